//! What a node waits for: requests that have no answer yet, with one timer for all of them.

use alloc::boxed::Box;
use alloc::vec::Vec;

use machine::dht::Key;
use machine::{Cx, Instant, OpId};

use super::keys::{Giving, Offering};
use super::lookup::Lookup;
use super::message::Message;
use super::names::Several;
use super::topology::{ContactOf, Topology};
use super::user::{Getting, Putting};
use super::{Overlay, Timer};
use crate::held::{Item, Version};

/// Why a node waits for another.
pub(super) enum Kind<T: Topology> {
    /// For the next word on a lookup.
    Lookup(Box<Lookup<T>>),
    /// For a value.
    Get(Box<Getting<T>>),
    /// Whether it wants the value of a put.
    PutOffer { id: u32, key: Key },
    /// For its word that it has stored the value of a put.
    PutGive { id: u32, token: u32, item: Box<Item> },
    /// Which of the values that were offered it wants.
    Offer(Box<Offering>),
    /// For its word that it has stored a value.
    Give(Box<Giving>),
    /// For something of the overlay's own.
    Own(T::Ask),
    /// For everything to be handed over before this node leaves.
    Leaving(OpId),
}

impl<T: Topology> Kind<T> {
    /// Whether it is a step of the put `id`.
    pub(super) fn is_put(&self, id: u32) -> bool {
        matches!(self, Self::PutOffer { id: other, .. } | Self::PutGive { id: other, .. } if *other == id)
    }

    /// Whether it moves keys.
    pub(super) const fn moves_keys(&self) -> bool {
        matches!(self, Self::Offer(_) | Self::Give(_))
    }
}

/// A request without an answer.
pub(super) struct Request<T: Topology> {
    pub(super) tag: u32,
    pub(super) to: ContactOf<T>,
    pub(super) deadline: Instant,
    /// How often it was sent.
    pub(super) attempt: u8,
    pub(super) kind: Kind<T>,
}

/// All that a node has under way. It exists only while there is something.
pub(super) struct Active<T: Topology> {
    pub(super) requests: Vec<Request<T>>,
    /// When the timer that was set for deadlines fires; in the past if none is set.
    pub(super) armed: Instant,
    /// The user's command to join.
    pub(super) joining: Option<OpId>,
    /// The last key that was handed over, if this node is about to leave.
    pub(super) leaving: Option<Option<Key>>,
    /// Values that the user puts.
    pub(super) puts: Vec<Putting<T>>,
    /// Commands that are under way at several names.
    pub(super) several: Vec<Several>,
}

impl<T: Topology> Default for Active<T> {
    fn default() -> Self {
        Self {
            requests: Vec::new(),
            armed: Instant::ZERO,
            joining: None,
            leaving: None,
            puts: Vec::new(),
            several: Vec::new(),
        }
    }
}

impl<T: Topology> Active<T> {
    /// Whether nothing is under way.
    pub(super) const fn is_idle(&self) -> bool {
        self.requests.is_empty()
            && self.joining.is_none()
            && self.puts.is_empty()
            && self.several.is_empty()
    }

    /// Sees to it that a timer fires no later than `deadline`.
    pub(super) fn arm(&mut self, deadline: Instant, cx: &mut Cx<'_, Overlay<T>>) {
        if self.armed <= cx.now() || deadline < self.armed {
            self.armed = deadline;
            cx.set_timer(deadline - cx.now(), Timer::Deadline);
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.requests.capacity() * size_of::<Request<T>>()
    }
}

impl<T: Topology> Overlay<T> {
    /// What to send for a request, the first time and again; `None` for what is only waited for.
    fn message_of(&self, tag: u32, kind: &Kind<T>) -> Option<Message<ContactOf<T>, T::Said>> {
        Some(match kind {
            Kind::Lookup(lookup) => Message::Find { tag, key: lookup.key, stage: lookup.stage() },
            Kind::Get(getting) => Message::Get { tag, key: getting.key() },
            Kind::PutOffer { key, .. } => {
                Message::Offer { tag, put: true, keys: Box::new([(*key, Version::default())]) }
            }
            Kind::Offer(offering) => {
                Message::Offer { tag, put: false, keys: offering.keys.as_slice().into() }
            }
            Kind::PutGive { token, item, .. } => {
                Message::Give { tag, token: *token, item: item.clone() }
            }
            Kind::Give(giving) => {
                Message::Give { tag, token: giving.token, item: Box::new(giving.item.clone()) }
            }
            Kind::Own(ask) => Message::Own { tag, said: T::request(self, ask) },
            Kind::Leaving(_) => return None,
        })
    }

    /// Sends a request and waits for its answer.
    pub(super) fn ask(&mut self, to: ContactOf<T>, kind: Kind<T>, cx: &mut Cx<'_, Self>) {
        let tag = cx.rng().next_u32().max(1);
        let patience = match kind {
            Kind::Leaving(_) => self.rules().leave_within,
            _ => self.rules().timeout,
        };
        let deadline = cx.now() + patience;
        if let Some(message) = self.message_of(tag, &kind) {
            cx.send(to, message);
        }
        let active = self.active.get_or_insert_default();
        active.requests.push(Request { tag, to, deadline, attempt: 1, kind });
        active.arm(deadline, cx);
    }

    /// Asks `to` something of the overlay's own.
    pub(crate) fn ask_own(&mut self, to: ContactOf<T>, ask: T::Ask, cx: &mut Cx<'_, Self>) {
        self.ask(to, Kind::Own(ask), cx);
    }

    /// Whether a question of the overlay's own is under way.
    pub(crate) fn waits_for(&self, fits: impl Fn(ContactOf<T>, &T::Ask) -> bool) -> bool {
        self.any(|request| matches!(&request.kind, Kind::Own(ask) if fits(request.to, ask)))
    }

    /// Whether a lookup of the overlay's own is under way.
    pub(crate) fn searches(&self, fits: impl Fn(&T::Search) -> bool) -> bool {
        self.any(|request| match &request.kind {
            Kind::Lookup(lookup) => lookup.is_search(&fits),
            _ => false,
        })
    }

    pub(super) fn any(&self, fits: impl Fn(&Request<T>) -> bool) -> bool {
        self.active.as_ref().is_some_and(|active| active.requests.iter().any(fits))
    }

    /// Takes out the request that `from` answers with `tag`, if one fits.
    pub(super) fn answered(
        &mut self,
        from: ContactOf<T>,
        tag: u32,
        fits: impl Fn(&Kind<T>) -> bool,
        cx: &mut Cx<'_, Self>,
    ) -> Option<Kind<T>> {
        let requests = &mut self.active.as_mut()?.requests;
        let at = requests
            .iter()
            .position(|request| request.tag == tag && request.to == from && fits(&request.kind))?;
        let request = requests.swap_remove(at);
        let rtt = (request.attempt == 1)
            .then(|| self.rules().timeout.saturating_sub(request.deadline - cx.now()));
        T::heard(self, from, rtt, cx);
        Some(request.kind)
    }

    /// Sends again what has waited long enough, or gives it up.
    pub(super) fn deadline(&mut self, cx: &mut Cx<'_, Self>) {
        let now = cx.now();
        let (attempts, timeout) = (self.rules().attempts, self.rules().timeout);
        let Some(active) = &mut self.active else { return };
        if now < active.armed {
            return;
        }
        active.armed = Instant::ZERO;
        let due = core::mem::take(&mut active.requests);
        let mut late = Vec::new();
        for mut request in due {
            if request.deadline <= now {
                match self.message_of(request.tag, &request.kind) {
                    Some(message) if request.attempt < attempts => {
                        request.attempt += 1;
                        request.deadline = now + timeout;
                        cx.send(request.to, message);
                    }
                    _ => {
                        late.push(request);
                        continue;
                    }
                }
            }
            self.active.get_or_insert_default().requests.push(request);
        }
        for request in &late {
            if let Kind::PutOffer { id, .. } | Kind::PutGive { id, .. } = request.kind {
                self.put_timed_out(id, request.to);
            }
        }
        for request in late {
            self.timed_out(request, cx);
        }
        if let Some(active) = &mut self.active
            && let Some(next) = active.requests.iter().map(|request| request.deadline).min()
        {
            active.arm(next, cx);
        }
    }

    /// A request has been given up.
    fn timed_out(&mut self, request: Request<T>, cx: &mut Cx<'_, Self>) {
        let silent = request.to;
        if silent != self.me {
            T::suspected(self, silent, cx);
        }
        match request.kind {
            Kind::Lookup(lookup) => self.lookup_timed_out(lookup, cx),
            Kind::Get(getting) => self.get_timed_out(*getting, cx),
            Kind::PutOffer { id, .. } | Kind::PutGive { id, .. } => self.put_on(id, cx),
            Kind::Offer(_) | Kind::Give(_) => self.moving_timed_out(cx),
            Kind::Own(ask) => T::on_silence(self, silent, ask, cx),
            Kind::Leaving(op) => self.depart(Some(op), cx),
        }
    }

    /// How many requests are outstanding.
    pub(super) fn outstanding(&self) -> usize {
        self.active.as_ref().map_or(0, |active| active.requests.len())
    }

    /// Whether another request of the user can be taken on.
    pub(super) fn has_room(&self) -> bool {
        self.outstanding() < self.rules().outstanding_max
    }

    /// Whether another request can be made because somebody else wants it. Half of the room is the
    /// user's.
    pub(super) fn has_room_for_others(&self) -> bool {
        self.outstanding() < self.rules().outstanding_max.div_ceil(2)
    }
}
