//! One-way delay between two clocks that nobody synchronised: the least difference seen lately is
//! taken for the path, and what exceeds it for queues (RFC 6817, 4.2).

use core::time::Duration;

use machine::Instant;

/// Buckets of history; the base delay is the least of them (BASE_HISTORY, RFC 6817).
const HISTORY: usize = 10;
/// How long each bucket collects.
const BUCKET: Duration = Duration::from_secs(60);

/// Least clock differences of the last minutes, in microseconds that wrap.
#[derive(Clone, Debug, Default)]
pub(super) struct DelayHistory {
    minima: [u32; HISTORY],
    filled: usize,
    current: usize,
    bucket_began: Instant,
    base: u32,
}

/// Whether `a` is less than `b` on a circle of 32 bits.
const fn less(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

impl DelayHistory {
    /// Takes in a difference of clocks and returns by how much it exceeds the base delay.
    pub(super) fn sample(&mut self, now: Instant, difference: u32) -> u32 {
        if self.filled == 0 {
            (self.filled, self.bucket_began) = (1, now);
            self.minima[0] = difference;
            self.base = difference;
        } else if now - self.bucket_began >= BUCKET {
            self.current = (self.current + 1) % HISTORY;
            self.filled = HISTORY.min(self.filled + 1);
            self.bucket_began = now;
            self.minima[self.current] = difference;
            self.find_base();
        } else if less(difference, self.minima[self.current]) {
            self.minima[self.current] = difference;
            if less(difference, self.base) {
                self.base = difference;
            }
        }
        difference.wrapping_sub(self.base)
    }

    /// The least difference of the last minutes, once there is a sample.
    pub(super) const fn base(&self) -> Option<u32> {
        if self.filled == 0 { None } else { Some(self.base) }
    }

    /// Raises all minima: the clocks have drifted by this many microseconds.
    pub(super) fn raise(&mut self, by: u32) {
        for minimum in &mut self.minima {
            *minimum = minimum.wrapping_add(by);
        }
        self.base = self.base.wrapping_add(by);
    }

    fn find_base(&mut self) {
        let minima = &self.minima[..self.filled];
        self.base = minima.iter().fold(self.base_of_any(), |a, &b| if less(b, a) { b } else { a });
    }

    const fn base_of_any(&self) -> u32 {
        self.minima[self.current]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn delay_is_what_exceeds_the_least_difference() {
        let mut history = DelayHistory::default();
        assert_eq!(history.base(), None);
        for (sample, queued) in [(5_000, 0), (9_000, 4_000), (4_000, 0), (104_000, 100_000)] {
            assert_eq!(history.sample(at(1), sample), queued);
        }
    }

    #[test]
    fn differences_wrap() {
        let mut history = DelayHistory::default();
        history.sample(at(1), u32::MAX - 10);
        assert_eq!(history.sample(at(1), 20), 31);
        assert_eq!(history.sample(at(1), u32::MAX - 20), 0);
        assert_eq!(history.sample(at(1), 0), 21);
    }

    #[test]
    fn a_longer_route_becomes_the_base_after_ten_minutes() {
        let mut history = DelayHistory::default();
        history.sample(at(0), 1_000);
        let mut queued = 0;
        for minute in 1..=10 {
            assert_eq!(queued, if minute == 1 { 0 } else { 50_000 });
            queued = history.sample(at(minute * 60), 51_000);
        }
        assert_eq!(queued, 0);
    }

    #[test]
    fn drift_raises_the_base() {
        let mut history = DelayHistory::default();
        history.sample(at(0), 1_000);
        history.raise(500);
        assert_eq!(history.base(), Some(1_500));
        assert_eq!(history.sample(at(1), 1_600), 100);
    }
}
