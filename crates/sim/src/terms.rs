//! What all shards know and none changes while they run: the seed, the links, and what is wrong
//! with them.

use machine::DatagramMachine;

use crate::random::{mix, nanos, rng};
use crate::wheel::NEVER;
use crate::{Link, Node};

/// Takes a message through its wire format; says what is wrong with that, if something is.
pub(crate) type RoundTrip<M> =
    fn(<M as DatagramMachine>::Message) -> Result<<M as DatagramMachine>::Message, String>;

pub(crate) struct Terms<M: DatagramMachine> {
    /// The seed, mixed.
    pub(crate) seed: u64,
    pub(crate) link: Link,
    pub(crate) round_trip: Option<RoundTrip<M>>,
}

/// When a message arrives, in nanoseconds; [`NEVER`] if it is lost.
pub(crate) struct Arrival {
    pub(crate) first: u64,
    /// Of its copy, if it is delivered twice.
    pub(crate) second: Option<u64>,
}

impl<M: DatagramMachine> Terms<M> {
    pub(crate) fn new(seed: u64, link: Link) -> Self {
        Self { seed: mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)), link, round_trip: None }
    }

    /// The least delay of any message, in nanoseconds.
    pub(crate) fn lookahead(&self) -> u64 {
        nanos(self.link.latency.least())
    }

    /// When the sender's output number `seq`, sent at `time`, arrives.
    #[inline]
    pub(crate) fn arrival(&self, time: u64, from: Node, to: Node, seq: u32) -> Arrival {
        let mut rng = rng(self.seed, from.raw(), seq);
        if self.link.loss.draw(&mut rng) {
            return Arrival { first: NEVER, second: None };
        }
        let mut arrival = || {
            let delay = nanos(self.link.delay(from, to, &mut rng));
            (time.saturating_add(delay), self.link.duplication.draw(&mut rng))
        };
        let (first, twice) = arrival();
        Arrival { first, second: twice.then(|| arrival().0) }
    }

    /// Takes a message through its wire format, if that was asked for.
    #[cold]
    pub(crate) fn on_the_wire(&self, from: Node, to: Node, message: M::Message) -> M::Message {
        match self.round_trip {
            None => message,
            Some(round_trip) => match round_trip(message) {
                Ok(message) => message,
                Err(what) => panic!("{from} to {to}: {what}"),
            },
        }
    }
}
