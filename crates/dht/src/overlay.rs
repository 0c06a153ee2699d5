//! What overlays share whose nodes find each other by greedy steps: requests and their timeouts,
//! lookups, putting and getting, and copies that are kept where they belong. How a kind of overlay
//! is made, and kept up, is its [`Topology`]: [`kelips`](crate::kelips), [`can`](crate::can),
//! [`viceroy`](crate::viceroy), [`pastry`](crate::pastry) and [`tapestry`](crate::tapestry).

mod keys;
mod lookup;
mod message;
mod names;
mod request;
mod rules;
#[cfg(test)]
mod tests;
mod topology;
mod user;
pub(crate) mod wire;

use alloc::boxed::Box;
use alloc::sync::Arc;

use machine::dht::{Command, Cost, Dht, Report};
use machine::{Cx, DatagramMachine, Machine, OpId, Send};

pub use message::Message;
pub use rules::{LIST_MAX, Rules};
pub use topology::{ContactOf, Route, Topology};
pub use wire::{DATAGRAM_MAX, Speech};

pub use crate::held::{Item, OFFER_MAX, VALUE_MAX, Version};
pub use codec::datagram::{Malformed, Reader};

use keys::Keys;
use lookup::Purpose;
use request::{Active, Kind};

/// What a node of an overlay tells its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<C> {
    /// How a command ended.
    Report(Report<C>),
    /// This node did not answer and is taken for dead.
    Suspected(C),
}

/// Which timer of a node fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// It is time for upkeep.
    Tick,
    /// The first of the outstanding requests may have waited long enough.
    Deadline,
}

/// How far a node has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Outside,
    Joining,
    Member,
}

/// One node of an overlay.
pub struct Overlay<T: Topology> {
    pub(crate) me: T::Contact,
    status: Status,
    /// Whether a tick is to come.
    ticking: bool,
    pub(crate) topology: T,
    pub(crate) config: Arc<T::Config>,
    active: Option<Box<Active<T>>>,
    keys: Option<Box<Keys<T::Contact>>>,
}

impl<T: Topology> Overlay<T> {
    /// A node that is in no network yet.
    #[must_use]
    pub fn new(me: T::Contact, config: Arc<T::Config>) -> Self {
        let topology = T::new(me, &config);
        Self {
            me,
            status: Status::Outside,
            ticking: false,
            topology,
            config,
            active: None,
            keys: None,
        }
    }

    /// A member with these tables.
    pub(crate) fn wired(me: T::Contact, topology: T, config: Arc<T::Config>) -> Self {
        let mut node = Self::new(me, config);
        (node.topology, node.status) = (topology, Status::Member);
        node
    }

    /// Its own contact.
    #[must_use]
    pub const fn me(&self) -> T::Contact {
        self.me
    }

    /// Its tables.
    #[must_use]
    pub const fn topology(&self) -> &T {
        &self.topology
    }

    /// How it behaves.
    #[must_use]
    pub fn config(&self) -> &T::Config {
        &self.config
    }

    /// Whether it is part of a network.
    #[must_use]
    pub const fn is_member(&self) -> bool {
        matches!(self.status, Status::Member)
    }

    /// Bytes that it occupies, heap included but for the bytes of values.
    #[must_use]
    pub fn memory(&self) -> usize {
        let active = self.active.as_ref();
        size_of::<Self>()
            + self.topology.heap_bytes()
            + active.map_or(0, |active| size_of::<Active<T>>() + active.heap_bytes())
            + self.keys.as_ref().map_or(0, |keys| size_of::<Keys<T::Contact>>() + keys.heap_bytes())
    }

    pub(crate) fn rules(&self) -> &Rules {
        T::rules(&self.config)
    }

    /// Sends what nobody waits for.
    pub(crate) fn say(&self, to: T::Contact, said: T::Said, cx: &mut Cx<'_, Self>) {
        self.reply(to, 0, said, cx);
    }

    /// Answers the question of `tag`.
    pub(crate) fn reply(&self, to: T::Contact, tag: u32, said: T::Said, cx: &mut Cx<'_, Self>) {
        cx.send(to, Message::Own { tag, said });
    }

    fn join(&mut self, op: OpId, known: alloc::vec::Vec<T::Contact>, cx: &mut Cx<'_, Self>) {
        match self.status {
            Status::Member => return cx.answer(op, Event::Report(Report::Joined)),
            Status::Joining if self.is_asked_to_join() => {
                return self.tell(op, Report::Failed { cost: Cost::default() }, cx);
            }
            _ => {}
        }
        self.active.get_or_insert_default().joining = Some(op);
        self.rejoin(known, cx);
    }

    /// Joins by its own will, or by the user's.
    pub(crate) fn rejoin(&mut self, mut known: alloc::vec::Vec<T::Contact>, cx: &mut Cx<'_, Self>) {
        known.retain(|&other| other != self.me);
        known.truncate(LIST_MAX);
        self.status = Status::Joining;
        T::join(self, known, cx);
    }

    /// It is a member now.
    pub(crate) fn joined(&mut self, cx: &mut Cx<'_, Self>) {
        self.status = Status::Member;
        if let Some(op) = self.active.as_mut().and_then(|active| active.joining.take()) {
            cx.answer(op, Event::Report(Report::Joined));
        }
        self.next_tick(cx);
    }

    /// Whether its user waits for it to become a member.
    pub(crate) fn is_asked_to_join(&self) -> bool {
        self.active.as_ref().is_some_and(|active| active.joining.is_some())
    }

    /// Nobody lets it in.
    pub(crate) fn join_failed(&mut self, cx: &mut Cx<'_, Self>) {
        self.status = Status::Outside;
        if let Some(op) = self.active.as_mut().and_then(|active| active.joining.take()) {
            self.tell(op, Report::Failed { cost: Cost::default() }, cx);
        }
    }

    fn forget_everything(&mut self) {
        self.status = Status::Outside;
        self.topology = T::new(self.me, &self.config);
        (self.active, self.keys) = (None, None);
    }

    fn next_tick(&mut self, cx: &mut Cx<'_, Self>) {
        if let (false, Some((least, greatest))) = (self.ticking, self.rules().tick) {
            let spread = greatest.saturating_sub(least).as_nanos() as u64;
            let after = least + core::time::Duration::from_nanos(cx.rng().below(spread.max(1)));
            self.ticking = true;
            cx.set_timer(after, Timer::Tick);
        }
    }

    fn tick(&mut self, cx: &mut Cx<'_, Self>) {
        self.ticking = false;
        if self.status == Status::Outside {
            return;
        }
        T::tick(self, cx);
        if self.status == Status::Member {
            self.repair(cx);
        }
        self.next_tick(cx);
    }

    /// Frees what is no longer needed.
    fn tidy(&mut self) {
        if self.active.as_ref().is_some_and(|active| active.is_idle()) {
            self.active = None;
        }
    }

    /// What a request is answered. Answers that nobody waits for find nothing to do.
    fn on_answer(
        &mut self,
        from: T::Contact,
        message: Message<T::Contact, T::Said>,
        cx: &mut Cx<'_, Self>,
    ) {
        match message {
            Message::Nearer { tag, stage, nodes } => {
                if let Some(Kind::Lookup(lookup)) =
                    self.answered(from, tag, |kind| matches!(kind, Kind::Lookup(_)), cx)
                {
                    self.on_nearer(lookup, stage, &nodes, cx);
                }
            }
            Message::Owners { tag, owners } => {
                if let Some(Kind::Lookup(lookup)) =
                    self.answered(from, tag, |kind| matches!(kind, Kind::Lookup(_)), cx)
                {
                    self.arrived(lookup, &owners, cx);
                }
            }
            Message::Value { tag, item } => {
                let fits = |kind: &Kind<T>| matches!(kind, Kind::Get(getting) if getting.key() == item.key);
                if let Some(Kind::Get(getting)) = self.answered(from, tag, fits, cx) {
                    self.got(*getting, Some(item.value), cx);
                }
            }
            Message::Absent { tag } => {
                if let Some(Kind::Get(getting)) =
                    self.answered(from, tag, |kind| matches!(kind, Kind::Get(_)), cx)
                {
                    self.got(*getting, None, cx);
                }
            }
            Message::Want { tag, bits, token, number } => {
                let fits = |kind: &Kind<T>| matches!(kind, Kind::PutOffer { .. } | Kind::Offer(_));
                match self.answered(from, tag, fits, cx) {
                    Some(Kind::PutOffer { id, .. }) => {
                        let token = (bits & 1 == 1).then_some(token);
                        self.put_wanted(id, from, token, number, cx);
                    }
                    Some(Kind::Offer(offering)) => self.on_want(from, &offering, (bits, token), cx),
                    _ => {}
                }
            }
            Message::Kept { tag } => {
                let fits = |kind: &Kind<T>| matches!(kind, Kind::PutGive { .. } | Kind::Give(_));
                match self.answered(from, tag, fits, cx) {
                    Some(Kind::PutGive { id, .. }) => self.put_kept(id, cx),
                    Some(Kind::Give(giving)) => self.on_kept(&giving, cx),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// What a member is asked.
    fn on_request(
        &mut self,
        from: T::Contact,
        message: Message<T::Contact, T::Said>,
        cx: &mut Cx<'_, Self>,
    ) {
        T::heard(self, from, None, cx);
        match message {
            Message::Find { tag, key, stage } => self.on_find(from, tag, key, stage, cx),
            Message::Get { tag, key } => self.on_get(from, tag, key, cx),
            Message::Offer { tag, put, keys } => self.on_offer(from, tag, put, &keys, cx),
            Message::Give { tag, token, item } => self.on_give(from, (tag, token), &item, cx),
            _ => {}
        }
    }
}

impl<T: Topology> Machine for Overlay<T> {
    type Command = Command<T::Contact>;
    type Event = Event<T::Contact>;
    type Timer = Timer;
    type Effect = Send<T::Contact, Message<T::Contact, T::Said>>;

    fn on_start(&mut self, cx: &mut Cx<'_, Self>) {
        if self.is_member()
            && let Some((_, greatest)) = self.rules().tick
        {
            // Nodes that start together do not tick together.
            let after = cx.rng().below(greatest.as_nanos() as u64);
            self.ticking = true;
            cx.set_timer(core::time::Duration::from_nanos(after), Timer::Tick);
        }
    }

    fn on_command(&mut self, op: OpId, command: Command<T::Contact>, cx: &mut Cx<'_, Self>) {
        let ready = self.is_member() && self.has_room();
        match command {
            Command::Join { known } => self.join(op, known, cx),
            Command::Leave => self.leave_now(op, cx),
            Command::Lookup { key } if ready => self.look_up(Purpose::Locate(op), key, cx),
            Command::Get { key } if ready => self.get_under_any(op, key, cx),
            Command::Put { key, value } if ready => self.put_under_all(op, key, value, cx),
            Command::Lookup { .. } | Command::Put { .. } | Command::Get { .. } => {
                self.tell(op, Report::Failed { cost: Cost::default() }, cx);
            }
        }
        self.tidy();
    }

    fn on_timer(&mut self, timer: Timer, cx: &mut Cx<'_, Self>) {
        match timer {
            Timer::Tick => self.tick(cx),
            Timer::Deadline => self.deadline(cx),
        }
        self.tidy();
    }
}

impl<T: Topology> DatagramMachine for Overlay<T> {
    type Contact = T::Contact;
    type Message = Message<T::Contact, T::Said>;

    fn on_message(
        &mut self,
        from: T::Contact,
        message: Message<T::Contact, T::Said>,
        cx: &mut Cx<'_, Self>,
    ) {
        match message {
            Message::Own { tag, said } => {
                let answer = self.answered(from, tag, |kind| matches!(kind, Kind::Own(_)), cx);
                match answer {
                    Some(Kind::Own(ask)) => T::on_answer(self, from, ask, said, cx),
                    _ if self.status == Status::Outside => {}
                    _ => {
                        T::heard(self, from, None, cx);
                        T::on_said(self, from, tag, said, cx);
                    }
                }
            }
            Message::Nearer { .. }
            | Message::Owners { .. }
            | Message::Value { .. }
            | Message::Absent { .. }
            | Message::Want { .. }
            | Message::Kept { .. } => self.on_answer(from, message, cx),
            // Nobody knows of a joiner yet, and whoever left is gone.
            _ if self.is_member() => self.on_request(from, message, cx),
            _ => {}
        }
        self.tidy();
    }
}

impl<T: Topology> Dht for Overlay<T> {
    fn command(command: Command<T::Contact>) -> Command<T::Contact> {
        command
    }

    fn report(event: Event<T::Contact>) -> Option<Report<T::Contact>> {
        match event {
            Event::Report(report) => Some(report),
            Event::Suspected(_) => None,
        }
    }
}
