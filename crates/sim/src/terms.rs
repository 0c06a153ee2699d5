//! What all shards know and none changes while they run: the seed, the links, and what is wrong
//! with them.

use machine::{DatagramMachine, Instant};

use crate::random::{mix, rng};
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

/// When a message arrives, in nanoseconds.
pub(crate) struct Copies {
    pub(crate) first: u64,
    pub(crate) second: Option<u64>,
}

impl<M: DatagramMachine> Terms<M> {
    pub(crate) fn new(seed: u64, link: Link) -> Self {
        Self { seed: mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)), link, round_trip: None }
    }

    /// The least delay of any message, in nanoseconds.
    pub(crate) fn lookahead(&self) -> u64 {
        u64::try_from(self.link.latency.least().as_nanos()).unwrap_or(u64::MAX)
    }

    /// What becomes of a message, which is the sender's output number `seq`; `None` if it is lost.
    #[inline]
    pub(crate) fn send(
        &self,
        now: Instant,
        from: Node,
        to: Node,
        seq: u32,
        mut message: M::Message,
    ) -> Option<(M::Message, Copies)> {
        if let Some(round_trip) = self.round_trip {
            message = match round_trip(message) {
                Ok(message) => message,
                Err(what) => panic!("{now:?}: {from} to {to}: {what}"),
            };
        }
        let mut rng = rng(self.seed, from.raw(), seq);
        if self.link.loss.draw(&mut rng) {
            return None;
        }
        let arrival = |rng: &mut machine::Rng| (now + self.link.delay(from, to, rng)).as_nanos();
        let first = arrival(&mut rng);
        let second = self.link.duplication.draw(&mut rng).then(|| arrival(&mut rng));
        Some((message, Copies { first, second }))
    }
}
