//! Round-trip time and the retransmission timeout that follows from it (RFC 6298).

use core::time::Duration;

/// Least timeout: acknowledgements may be late by a scheduling delay at the other end (BEP 29).
const MIN_RTO: Duration = Duration::from_millis(500);
/// Most, however often it has been doubled.
const MAX_RTO: Duration = Duration::from_secs(60);
/// Before there is a measurement (BEP 29 and RFC 6298, 5.7).
pub(super) const INITIAL_RTO: Duration = Duration::from_secs(3);

/// Smoothed round-trip time of one connection.
#[derive(Clone, Debug, Default)]
pub struct Rtt {
    smoothed: Option<Duration>,
    variation: Duration,
    doublings: u32,
}

impl Rtt {
    /// Takes in a measurement, of a packet that was sent once only (Karn's rule).
    pub fn sample(&mut self, rtt: Duration) {
        match self.smoothed {
            None => {
                self.variation = rtt / 2;
                self.smoothed = Some(rtt);
            }
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(rtt)) / 4;
                self.smoothed = Some((smoothed * 7 + rtt) / 8);
            }
        }
    }

    /// The smoothed round-trip time, once measured.
    #[must_use]
    pub const fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// How long to wait for an acknowledgement.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        let base = match self.smoothed {
            None => INITIAL_RTO,
            Some(smoothed) => (smoothed + self.variation * 4).max(MIN_RTO),
        };
        base.saturating_mul(1 << self.doublings.min(16)).min(MAX_RTO)
    }

    /// The timeout has passed: the next is twice as long.
    pub fn back_off(&mut self) {
        self.doublings = self.doublings.saturating_add(1);
    }

    /// The other end is heard again.
    pub fn recover(&mut self) {
        self.doublings = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_rfc() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.timeout(), INITIAL_RTO);
        rtt.sample(Duration::from_millis(200));
        assert_eq!(rtt.timeout(), Duration::from_millis(200 + 4 * 100));
        rtt.sample(Duration::from_millis(280));
        assert_eq!(rtt.smoothed(), Some(Duration::from_millis(210)));
        assert_eq!(rtt.timeout(), Duration::from_millis(210 + 4 * 95));
    }

    #[test]
    fn timeout_is_bounded_and_backs_off() {
        let mut rtt = Rtt::default();
        rtt.sample(Duration::from_micros(80));
        assert_eq!(rtt.timeout(), MIN_RTO);
        for expected in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            rtt.back_off();
            assert_eq!(rtt.timeout(), Duration::from_millis(expected));
        }
        rtt.recover();
        assert_eq!(rtt.timeout(), MIN_RTO);
    }
}
