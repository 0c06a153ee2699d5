//! What all shards know and none changes while they run: the seed, the links, and what is wrong
//! with them.

use std::collections::HashMap;

use machine::{DatagramMachine, Instant};

use crate::access::Queue;
use crate::faults::Faults;
use crate::random::{mix, nanos, rng};
use crate::wheel::NEVER;
use crate::{Access, Link, Node};

/// Takes a message through its wire format; says what is wrong with that, if something is.
pub(crate) type RoundTrip<M> =
    fn(&<M as DatagramMachine>::Message) -> Result<<M as DatagramMachine>::Message, String>;

pub(crate) struct Terms<M: DatagramMachine> {
    /// The seed, mixed.
    pub(crate) seed: u64,
    pub(crate) link: Link,
    pub(crate) faults: Faults<M>,
    pub(crate) lines: Option<Lines<M>>,
    pub(crate) round_trip: Option<RoundTrip<M>>,
}

/// The lines of the nodes.
pub(crate) struct Lines<M: DatagramMachine> {
    /// How many bytes a message takes.
    pub(crate) size: fn(&M::Message) -> u32,
    pub(crate) usual: Access,
    pub(crate) special: HashMap<Node, Access>,
}

impl<M: DatagramMachine> Lines<M> {
    pub(crate) fn of(&self, node: Node) -> Access {
        self.special.get(&node).copied().unwrap_or(self.usual)
    }
}

/// When a message arrives, in nanoseconds; [`NEVER`] if it is lost.
pub(crate) struct Arrival {
    pub(crate) first: u64,
    /// Of its copy, if it is delivered twice.
    pub(crate) second: Option<u64>,
}

impl Arrival {
    pub(crate) const LOST: Self = Self { first: NEVER, second: None };
}

impl<M: DatagramMachine> Terms<M> {
    pub(crate) fn new(seed: u64, link: Link) -> Self {
        Self {
            seed: mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)),
            link,
            faults: Faults::default(),
            lines: None,
            round_trip: None,
        }
    }

    /// The least delay of any message, in nanoseconds.
    pub(crate) fn lookahead(&self) -> u64 {
        nanos(self.link.latency.least())
    }

    /// Whether messages have to wait at their receivers.
    pub(crate) fn queues(&self) -> bool {
        self.lines.is_some() || !self.faults.slow.is_empty()
    }

    /// Whether anything but links stands between a message and its way.
    #[inline(always)]
    pub(crate) fn interferes(&self) -> bool {
        self.round_trip.is_some()
            || self.lines.is_some()
            || !self.faults.cuts.is_empty()
            || !self.faults.liars.is_empty()
    }

    /// Does to the sender's output number `seq` what is wrong with the sender, and says when it
    /// has left, in nanoseconds; `None` if it does not get away.
    #[cold]
    pub(crate) fn interfere(
        &self,
        time: u64,
        from: Node,
        to: Node,
        seq: u32,
        message: &mut M::Message,
        queue: Option<&mut Queue>,
    ) -> Option<u64> {
        if let Some(lie) = self.faults.liars.get(&from) {
            // Draws of its own: the link's are the same whether somebody lies or not.
            let mut rng = rng(!self.seed, from.raw(), seq);
            if !lie(to, message, &mut rng) {
                return None;
            }
        }
        if let Some(round_trip) = self.round_trip {
            *message = match round_trip(message) {
                Ok(message) => message,
                Err(what) => panic!("{from} to {to}: {what}"),
            };
        }
        let now = Instant::from_nanos(time);
        if self.faults.cuts.iter().any(|cut| cut.severs(now, from, to)) {
            return None;
        }
        Some(match (&self.lines, queue) {
            (Some(lines), Some(queue)) => queue.leave(time, (lines.size)(message), lines.of(from)),
            _ => time,
        })
    }

    /// When a message that could be here at `time` has been received and dealt with.
    pub(crate) fn admit(
        &self,
        time: u64,
        from: Node,
        to: Node,
        message: &M::Message,
        queue: &mut Queue,
    ) -> u64 {
        let processing = self.faults.slow.get(&to).copied().unwrap_or_default();
        match &self.lines {
            Some(lines) => {
                let bytes = (lines.size)(message);
                queue.arrive(time, bytes, lines.of(from).up, lines.of(to), processing)
            }
            None => queue.arrive(time, 0, u64::MAX, Access::UNLIMITED, processing),
        }
    }

    /// When the sender's output number `seq`, sent at `time`, arrives.
    #[inline]
    pub(crate) fn arrival(&self, time: u64, from: Node, to: Node, seq: u32) -> Arrival {
        let mut rng = rng(self.seed, from.raw(), seq);
        if self.link.loss.draw(&mut rng) {
            return Arrival::LOST;
        }
        let mut arrival = || {
            let delay = nanos(self.link.delay(from, to, &mut rng));
            (time.saturating_add(delay), self.link.duplication.draw(&mut rng))
        };
        let (first, twice) = arrival();
        Arrival { first, second: twice.then(|| arrival().0) }
    }
}
