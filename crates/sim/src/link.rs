//! What happens to a message between two nodes: delay, loss, duplication, reordering.

use core::time::Duration;

use machine::Rng;

use crate::random::{scale, unit};
use crate::{Latency, Node};

/// How often something happens: of 2^32 times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u32);

impl Rate {
    /// Not once.
    pub const NEVER: Self = Self(0);

    /// A share between 0 and 1; what lies outside is moved to the nearest of them.
    #[must_use]
    pub fn new(share: f64) -> Self {
        Self((share.clamp(0.0, 1.0) * 4_294_967_296.0) as u32)
    }

    /// As a share between 0 and 1.
    #[must_use]
    pub fn share(self) -> f64 {
        if self.0 == u32::MAX { 1.0 } else { f64::from(self.0) / 4_294_967_296.0 }
    }

    /// Whether it happens this time.
    pub fn draw(self, rng: &mut Rng) -> bool {
        self.0 != 0 && (rng.next_u32() < self.0 || self.0 == u32::MAX)
    }
}

/// How messages travel between any two nodes.
#[derive(Clone, Debug)]
pub struct Link {
    /// How long.
    pub latency: Latency,
    /// How many get lost.
    pub loss: Rate,
    /// How many arrive twice; the second copy travels on its own.
    pub duplication: Rate,
    /// How many are held up, so that later ones overtake them.
    pub reordering: Rate,
    /// At most how long those are held up, each time as likely.
    pub held_up: Duration,
}

impl Link {
    /// Without loss, duplication and reordering.
    #[must_use]
    pub const fn new(latency: Latency) -> Self {
        Self {
            latency,
            loss: Rate::NEVER,
            duplication: Rate::NEVER,
            reordering: Rate::NEVER,
            held_up: Duration::ZERO,
        }
    }

    /// The same, each message taking `delay`.
    #[must_use]
    pub const fn constant(delay: Duration) -> Self {
        Self::new(Latency::Constant(delay))
    }

    /// Loses this share of the messages.
    #[must_use]
    pub fn with_loss(mut self, share: f64) -> Self {
        self.loss = Rate::new(share);
        self
    }

    /// Delivers this share of the messages twice.
    #[must_use]
    pub fn with_duplication(mut self, share: f64) -> Self {
        self.duplication = Rate::new(share);
        self
    }

    /// Holds this share of the messages up for at most `held_up`.
    #[must_use]
    pub fn with_reordering(mut self, share: f64, held_up: Duration) -> Self {
        self.reordering = Rate::new(share);
        self.held_up = held_up;
        self
    }

    /// How long this message takes.
    #[inline]
    pub(crate) fn delay(&self, from: Node, to: Node, rng: &mut Rng) -> Duration {
        let delay = self.latency.delay(from, to, rng);
        if self.reordering.draw(rng) { delay + scale(self.held_up, unit(rng)) } else { delay }
    }
}

impl Default for Link {
    /// 50 ms, nothing lost.
    fn default() -> Self {
        Self::constant(Duration::from_millis(50))
    }
}
