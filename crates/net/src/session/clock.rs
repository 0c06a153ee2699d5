//! The live driver's clock: the only place here that reads time for machines.

use std::time::Instant as SystemInstant;

use machine::Instant;

/// Time since the session began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(SystemInstant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(SystemInstant::now())
    }

    pub(super) fn now(self) -> Instant {
        Instant::from_nanos(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// The moment `at` for the runtime's timers.
    pub(super) fn deadline(self, at: Instant) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.0 + at.since(Instant::ZERO))
    }
}
