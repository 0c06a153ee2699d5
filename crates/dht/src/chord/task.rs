//! What a node waits for: requests that have no answer yet, with one timer for all of them.
//! Not here: what answers and timeouts mean.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use machine::dht::{Contact, Key};
use machine::{Cx, Instant, OpId};

use super::config::Config;
use super::lookup::{Lookup, Purpose};
use super::membership::Join;
use super::message::Message;
use super::recursive::{ORIGIN_PATIENCE, Passing};
use super::repair::{Giving, Offering, Why};
use super::user::{Getting, PutGiving, Putting};
use super::{Chord, Timer};
use crate::held::Version;

/// Why a node waits for another.
pub(super) enum Kind<C> {
    /// For its neighbours: it is the successor, or may become it.
    Stabilise { steps: u8 },
    /// For any sign that the predecessor lives; `candidate` would like to take its place.
    CheckPredecessor { candidate: Option<C> },
    /// For a sign that it is where it says it is, before it becomes the predecessor.
    Greet,
    /// For its neighbours, before joining in front of it.
    Adopt,
    /// For the next word on a lookup.
    Lookup(Box<Lookup<C>>),
    /// For its acknowledgement of a lookup that was passed on to it.
    Forward(Box<Passing<C>>),
    /// For the answer of whoever a recursive lookup leads to.
    Origin(Box<Lookup<C>>),
    /// For a value.
    Get(Box<Getting<C>>),
    /// Whether it wants the value of a put.
    PutOffer { id: u32, key: Box<Key> },
    /// For its word that it has stored the value of a put.
    PutGive(Box<PutGiving>),
    /// Which of the values that were offered it wants.
    Offer(Box<Offering>),
    /// For its word that it has stored a value.
    Give(Box<Giving>),
    /// For everything to be handed over before this node leaves.
    Leaving(OpId),
}

impl<C: Contact> Kind<C> {
    /// How long an answer may take.
    pub(super) fn patience(&self, config: &Config) -> Duration {
        match self {
            Self::Origin(_) => config.timeout * ORIGIN_PATIENCE,
            Self::Leaving(_) => config.leave_within,
            _ => config.timeout,
        }
    }

    /// Whether it is the search for a finger.
    pub(super) fn is_finger_lookup(&self) -> bool {
        self.is_lookup_for(|purpose| matches!(purpose, Purpose::Finger(_)))
    }

    /// Whether it is a lookup for this.
    pub(super) fn is_lookup_for(&self, fits: impl Fn(&Purpose<C>) -> bool) -> bool {
        self.lookup().is_some_and(|lookup| fits(&lookup.purpose))
    }

    /// The lookup that it is a step of, if it is one.
    pub(super) fn lookup(&self) -> Option<&Lookup<C>> {
        match self {
            Self::Lookup(lookup) | Self::Origin(lookup) => Some(lookup),
            _ => None,
        }
    }

    /// Whether it is a step of the put `id`.
    pub(super) fn is_put(&self, id: u32) -> bool {
        match self {
            Self::PutOffer { id: other, .. } => *other == id,
            Self::PutGive(giving) => giving.id == id,
            _ => false,
        }
    }

    /// Whether it moves keys for this reason.
    pub(super) fn moves_keys(&self, why: Why) -> bool {
        match self {
            Self::Offer(offering) => offering.why == why,
            Self::Give(giving) => giving.why == why,
            _ => false,
        }
    }
}

/// A request without an answer.
pub(super) struct Task<C> {
    pub(super) tag: u32,
    pub(super) to: C,
    pub(super) deadline: Instant,
    /// How often it was sent.
    pub(super) attempt: u8,
    pub(super) kind: Kind<C>,
}

impl<C: Contact> Task<C> {
    /// What to send, the first time and again; `None` if sending again would not help.
    pub(super) fn request(&self) -> Option<Message<C>> {
        let tag = self.tag;
        Some(match &self.kind {
            Kind::Stabilise { .. } | Kind::Adopt => Message::GetNeighbours { tag },
            Kind::CheckPredecessor { .. } | Kind::Greet => Message::Ping { tag },
            Kind::Lookup(lookup) => lookup.request(tag),
            Kind::Forward(passing) => passing.message(),
            Kind::Get(getting) => Message::Get { tag, key: getting.key },
            Kind::PutOffer { key, .. } => {
                Message::Offer { tag, put: true, keys: Box::new([(**key, Version::default())]) }
            }
            Kind::Offer(offering) => {
                Message::Offer { tag, put: false, keys: offering.keys.as_slice().into() }
            }
            Kind::PutGive(giving) => {
                Message::Give { tag, token: giving.token, item: Box::new(giving.item.clone()) }
            }
            Kind::Give(giving) => {
                Message::Give { tag, token: giving.token, item: Box::new(giving.item.clone()) }
            }
            Kind::Origin(_) | Kind::Leaving(_) => return None,
        })
    }
}

/// How many tasks lie within their list: more than that few nodes have, and only now and then.
const NEAR: usize = 2;

/// Requests without an answer, in no order that matters.
pub(super) struct Tasks<C> {
    /// The first ones, without a gap.
    near: [Option<Task<C>>; NEAR],
    /// The others.
    rest: Vec<Task<C>>,
}

impl<C> Default for Tasks<C> {
    fn default() -> Self {
        Self { near: [const { None }; NEAR], rest: Vec::new() }
    }
}

impl<C> Tasks<C> {
    pub(super) fn len(&self) -> usize {
        self.near.iter().flatten().count() + self.rest.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.near[0].is_none()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Task<C>> {
        self.near.iter().flatten().chain(&self.rest)
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Task<C>> {
        match at.checked_sub(NEAR) {
            Some(at) => self.rest.get_mut(at),
            None => self.near[at].as_mut(),
        }
    }

    pub(super) fn push(&mut self, task: Task<C>) {
        match self.near.iter_mut().find(|near| near.is_none()) {
            Some(near) => *near = Some(task),
            None => self.rest.push(task),
        }
    }

    /// Takes out the task at `at`, if there is one; the last one takes its place.
    pub(super) fn swap_remove(&mut self, at: usize) -> Option<Task<C>> {
        let last = match self.rest.pop() {
            Some(last) => last,
            None => self.near.iter_mut().rev().find_map(Option::take)?,
        };
        Some(match self.get_mut(at) {
            Some(task) => core::mem::replace(task, last),
            None => last,
        })
    }

    /// All of them.
    pub(super) fn into_iter(self) -> impl Iterator<Item = Task<C>> {
        self.near.into_iter().flatten().chain(self.rest)
    }
}

impl<C: Contact> Tasks<C> {
    /// Bytes on the heap, but for those of what moves values.
    pub(super) fn heap_bytes(&self) -> usize {
        let lookups = self.iter().filter(|task| task.kind.lookup().is_some()).count();
        self.rest.capacity() * size_of::<Task<C>>() + lookups * size_of::<Lookup<C>>()
    }
}

/// All that a node has under way. It exists only while there is something.
pub(super) struct Active<C> {
    pub(super) tasks: Tasks<C>,
    /// When the timer that was set for deadlines fires; in the past if none is set.
    pub(super) armed: Instant,
    /// Whether fingers are looked up one after another until all are.
    pub(super) refreshing: bool,
    /// How this node is about to become a member.
    pub(super) joining: Option<Box<Join<C>>>,
    /// The last key that was handed over, if this node is about to leave.
    pub(super) leaving: Option<Option<Key>>,
    /// Values that the user puts.
    pub(super) puts: Vec<Putting<C>>,
}

impl<C: Contact> Default for Active<C> {
    fn default() -> Self {
        Self {
            tasks: Tasks::default(),
            armed: Instant::ZERO,
            refreshing: false,
            joining: None,
            leaving: None,
            puts: Vec::new(),
        }
    }
}

impl<C: Contact> Active<C> {
    /// Takes out the task that an answer of `from` with `tag` belongs to, if `fits`.
    pub(super) fn take(
        &mut self,
        from: C,
        tag: u32,
        fits: impl Fn(&Kind<C>) -> bool,
    ) -> Option<Task<C>> {
        let at = self
            .tasks
            .iter()
            .position(|task| task.tag == tag && task.to == from && fits(&task.kind))?;
        self.tasks.swap_remove(at)
    }

    /// Sees to it that a timer fires no later than `deadline`.
    pub(super) fn arm(&mut self, deadline: Instant, cx: &mut Cx<'_, Chord<C>>) {
        if self.armed <= cx.now() || deadline < self.armed {
            self.armed = deadline;
            cx.set_timer(deadline - cx.now(), Timer::Deadline);
        }
    }

    /// Whether a task of this kind is under way.
    pub(super) fn any(&self, fits: impl Fn(&Kind<C>) -> bool) -> bool {
        self.tasks.iter().any(|task| fits(&task.kind))
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.tasks.is_empty() && !self.refreshing && self.joining.is_none()
    }
}
