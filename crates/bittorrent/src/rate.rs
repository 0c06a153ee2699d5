//! How fast bytes flow and how fast they may: a rolling meter and a token bucket. Neither keeps
//! time; both are told it.

use core::time::Duration;

use machine::Instant;

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// Seconds that a [`Rate`] looks back: the span over which peers are judged (Cohen 2003, 3.2).
pub const WINDOW_SECS: usize = 20;

/// Bytes per second over the last 20 seconds, counted in buckets of one second.
///
/// A bucket saturates at 4 GiB, so rates above 4 GiB/s read as that.
#[derive(Clone, Debug)]
pub struct Rate {
    buckets: [u32; WINDOW_SECS],
    /// Second that the newest bucket stands for; buckets are addressed by second modulo length.
    newest: u64,
    started: Instant,
}

impl Rate {
    /// A meter that begins to count at `now`.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { buckets: [0; WINDOW_SECS], newest: now.as_nanos() / NANOS_PER_SEC, started: now }
    }

    /// Counts `bytes` at `now`.
    pub fn add(&mut self, now: Instant, bytes: u64) {
        self.advance(now);
        let bucket = &mut self.buckets[(self.newest % WINDOW_SECS as u64) as usize];
        *bucket = bucket.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Bytes per second over the window, or since the meter began if that is less long ago (but
    /// never over less than one second, so that a first block does not read as a fast link).
    #[must_use]
    pub fn per_second(&self, now: Instant) -> u64 {
        let span = now.since(self.started).as_nanos().min(self.span_nanos(now));
        let span = span.max(u128::from(NANOS_PER_SEC));
        u64::try_from(u128::from(self.total(now)) * u128::from(NANOS_PER_SEC) / span)
            .unwrap_or(u64::MAX)
    }

    /// Bytes counted within the window.
    #[must_use]
    pub fn total(&self, now: Instant) -> u64 {
        let oldest = (second_of(now) + 1).saturating_sub(WINDOW_SECS as u64);
        let first = (self.newest + 1).saturating_sub(WINDOW_SECS as u64).max(oldest);
        (first..=self.newest)
            .map(|second| u64::from(self.buckets[(second % WINDOW_SECS as u64) as usize]))
            .sum()
    }

    /// Time that the buckets cover: all whole seconds before this one and what has passed of it.
    fn span_nanos(&self, now: Instant) -> u128 {
        let into = now.as_nanos() % NANOS_PER_SEC;
        u128::from((WINDOW_SECS as u64 - 1) * NANOS_PER_SEC + into)
    }

    fn advance(&mut self, now: Instant) {
        let second = second_of(now);
        if second <= self.newest {
            return;
        }
        for stale in (self.newest + 1..=second).rev().take(WINDOW_SECS) {
            self.buckets[(stale % WINDOW_SECS as u64) as usize] = 0;
        }
        self.newest = second;
    }
}

const fn second_of(now: Instant) -> u64 {
    now.as_nanos() / NANOS_PER_SEC
}

/// A limit in bytes per second that allows bursts up to a bound.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    per_second: u64,
    burst: u64,
    /// Tokens in billionths of a byte, so that slow limits lose nothing to rounding.
    nano_tokens: u128,
    updated: Instant,
}

impl TokenBucket {
    /// A full bucket that gains `per_second` bytes a second and holds `burst` bytes at most.
    #[must_use]
    pub fn new(per_second: u64, burst: u64, now: Instant) -> Self {
        Self { per_second, burst, nano_tokens: nano(burst), updated: now }
    }

    /// Changes the limit; tokens already gained stay, up to the new bound.
    pub fn set_limit(&mut self, per_second: u64, burst: u64, now: Instant) {
        self.refill(now);
        self.per_second = per_second;
        self.burst = burst;
        self.nano_tokens = self.nano_tokens.min(nano(burst));
    }

    /// Takes what there is of `want` bytes and says how much that was.
    pub fn take_up_to(&mut self, now: Instant, want: u64) -> u64 {
        self.refill(now);
        let whole = u64::try_from(self.nano_tokens / u128::from(NANOS_PER_SEC)).unwrap_or(u64::MAX);
        let granted = want.min(whole);
        self.nano_tokens -= nano(granted);
        granted
    }

    /// When `want` bytes (at most the burst) will be there, or `None` if the limit is zero.
    #[must_use]
    pub fn ready_at(&self, now: Instant, want: u64) -> Option<Instant> {
        let missing = nano(want.min(self.burst)).saturating_sub(self.tokens_at(now));
        if missing == 0 {
            return Some(now);
        }
        if self.per_second == 0 {
            return None;
        }
        let nanos = missing.div_ceil(u128::from(self.per_second));
        Some(now + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    fn tokens_at(&self, now: Instant) -> u128 {
        let gained = now.since(self.updated).as_nanos() * u128::from(self.per_second);
        (self.nano_tokens + gained).min(nano(self.burst))
    }

    fn refill(&mut self, now: Instant) {
        self.nano_tokens = self.tokens_at(now);
        self.updated = self.updated.max(now);
    }
}

const fn nano(bytes: u64) -> u128 {
    bytes as u128 * NANOS_PER_SEC as u128
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn steady_flow_reads_as_its_rate() {
        let mut rate = Rate::new(at(500));
        for tick in 0..600 {
            rate.add(at(500 + tick * 100), 1_000);
            if tick >= 10 {
                let read = rate.per_second(at(600 + tick * 100));
                assert!((9_900..=10_600).contains(&read), "{read} after {tick} ticks");
            }
        }
    }

    #[test]
    fn silence_is_forgotten_after_the_window() {
        let mut rate = Rate::new(at(0));
        rate.add(at(0), 20_000);
        assert_eq!(rate.total(at(19_999)), 20_000);
        assert_eq!(rate.total(at(20_000)), 0);
        assert_eq!(rate.per_second(at(1_000_000)), 0);
        rate.add(at(1_000_000), 7);
        assert_eq!(rate.total(at(1_000_000)), 7);
    }

    #[test]
    fn first_block_does_not_read_as_a_fast_link() {
        let mut rate = Rate::new(at(10));
        rate.add(at(11), 16_384);
        assert_eq!(rate.per_second(at(11)), 16_384);
    }

    #[test]
    fn buckets_saturate() {
        let mut rate = Rate::new(at(0));
        rate.add(at(0), u64::MAX);
        rate.add(at(0), 5);
        assert_eq!(rate.total(at(0)), u64::from(u32::MAX));
    }

    #[test]
    fn bucket_grants_its_rate_and_no_more_than_its_burst() {
        let mut bucket = TokenBucket::new(1_000, 500, at(0));
        assert_eq!(bucket.take_up_to(at(0), 2_000), 500);
        assert_eq!(bucket.take_up_to(at(0), 1), 0);
        assert_eq!(bucket.ready_at(at(0), 100), Some(at(100)));
        assert_eq!(bucket.take_up_to(at(100), 2_000), 100);
        assert_eq!(bucket.take_up_to(at(60_000), 2_000), 500);
        let granted: u64 = (0..10_000).map(|ms| bucket.take_up_to(at(60_000 + ms), 16)).sum();
        assert!((9_900..=10_000).contains(&granted), "{granted}");
    }

    #[test]
    fn zero_limit_is_never_ready() {
        let mut bucket = TokenBucket::new(0, 10, at(0));
        assert_eq!(bucket.take_up_to(at(0), 10), 10);
        assert_eq!(bucket.ready_at(at(0), 1), None);
        bucket.set_limit(10, 10, at(0));
        assert_eq!(bucket.ready_at(at(0), 1), Some(at(100)));
    }

    #[test]
    fn time_that_stands_still_or_jumps_back_grants_nothing() {
        let mut bucket = TokenBucket::new(1_000, 1_000, at(1_000));
        assert_eq!(bucket.take_up_to(at(1_000), 1_000), 1_000);
        assert_eq!(bucket.take_up_to(at(0), 1_000), 0);
        assert_eq!(bucket.take_up_to(at(1_000), 1_000), 0);
    }
}
