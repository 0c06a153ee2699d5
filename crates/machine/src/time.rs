//! Time as machines see it: nanoseconds since the driver began. There is no wall clock here.

use core::ops::{Add, Sub};
use core::time::Duration;

/// A moment, in nanoseconds since the driver began to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The moment the driver began.
    pub const ZERO: Self = Self(0);

    /// The moment `nanos` nanoseconds after the driver began.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the driver began.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Microseconds since the driver began, wrapped to 32 bits as uTP timestamps are (BEP 29).
    #[must_use]
    pub const fn as_micros_wrapping(self) -> u32 {
        (self.0 / 1_000) as u32
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the end of time, 584 years after the driver began.
    fn add(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_never_go_below_zero() {
        let early = Instant::ZERO + Duration::from_millis(3);
        assert_eq!(early - Instant::ZERO, Duration::from_millis(3));
        assert_eq!(Instant::ZERO - early, Duration::ZERO);
        assert_eq!(early + Duration::MAX, Instant::from_nanos(u64::MAX));
    }
}
