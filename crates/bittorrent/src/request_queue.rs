//! How many blocks to have asked of one peer at once, and when to give up waiting. Which blocks is
//! the picker's affair ([`crate::picker`]).

use core::time::Duration;

use machine::Instant;

use crate::choker::SNUB_AFTER;
use crate::id::BLOCK_LEN;
use crate::picker::Speed;

/// Blocks asked for before anything is known of the peer (Cohen 2003, 2.3).
pub const INITIAL_DEPTH: usize = 5;

/// Blocks asked for at most, unless told otherwise: 8 MiB, a second of a link of 64 Mbit/s and the
/// product of 1 GB/s and 8 ms.
pub const DEFAULT_MAX_DEPTH: usize = 500;

/// How long requests should last at the measured rate. Longer would keep a peer busy through
/// longer gaps, but bind blocks to slow peers that fast ones could send.
const DRAIN: Duration = Duration::from_secs(1);

/// Requests outlast this many round trips, so that a distant peer never runs dry.
const DRAIN_ROUND_TRIPS: u32 = 2;

/// Time over which the rate is measured.
const MEASURE: Duration = Duration::from_secs(1);

/// Shortest time after which a request is late.
const MIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A request is late after this many times what it took to drain the queue so far.
const TIMEOUT_DRAINS: u32 = 4;

/// The requests of one connection: how many, and how long they may take.
#[derive(Clone, Debug)]
pub struct RequestQueue {
    max: usize,
    depth: usize,
    /// Whether the depth grows by one with each block, doubling every round trip.
    slow_start: bool,
    /// Shortest time seen from request to block.
    round_trip: Option<Duration>,
    /// When the measurement now under way began, and its bytes.
    measured_from: Instant,
    bytes: u64,
    /// Bytes per second of the last whole measurement.
    rate: u64,
    /// When the last block came, or when we began to wait for one.
    waiting_from: Instant,
}

impl RequestQueue {
    /// A queue for a peer that may be asked from `now` on, of at most `max` blocks.
    #[must_use]
    pub fn new(now: Instant, max: usize) -> Self {
        let max = max.max(1);
        Self {
            max,
            depth: INITIAL_DEPTH.min(max),
            slow_start: true,
            round_trip: None,
            measured_from: now,
            bytes: 0,
            rate: 0,
            waiting_from: now,
        }
    }

    /// How many blocks to have asked for: five at first, doubling while the rate grows, then what
    /// the rate drains in a second or two round trips; one from a peer that has snubbed us.
    #[must_use]
    pub fn target_depth(&self, now: Instant, outstanding: usize) -> usize {
        if self.is_snubbed(now, outstanding) { 1 } else { self.depth }
    }

    /// Requests were sent and none had been outstanding, or the peer unchoked us: what came before
    /// says nothing about its rate or its silence.
    pub const fn on_idle_end(&mut self, now: Instant) {
        self.waiting_from = now;
        self.measured_from = now;
        self.bytes = 0;
    }

    /// A block of `len` bytes has arrived, `took` after it was asked for, if that is known.
    pub fn on_block(&mut self, now: Instant, len: u32, took: Option<Duration>) {
        self.waiting_from = now;
        self.round_trip = self.round_trip.into_iter().chain(took).min();
        self.bytes = self.bytes.saturating_add(u64::from(len));
        if self.slow_start {
            self.depth = (self.depth + 1).min(self.max);
        }
        let elapsed = now.since(self.measured_from);
        if elapsed >= MEASURE {
            let rate = per_second(self.bytes, elapsed);
            // Within a twentieth, the peer sends no faster for being asked for more.
            self.slow_start &= rate > self.rate.saturating_add(self.rate / 20);
            self.rate = rate;
            self.measured_from = now;
            self.bytes = 0;
            if !self.slow_start {
                self.depth = self.depth_for(rate);
            }
        }
    }

    /// Whether the peer has sent nothing for [`SNUB_AFTER`] though `outstanding` blocks were asked
    /// of it.
    #[must_use]
    pub fn is_snubbed(&self, now: Instant, outstanding: usize) -> bool {
        outstanding > 0 && now.since(self.waiting_from) >= SNUB_AFTER
    }

    /// How long after the last block (or after the first request) the oldest request is late and
    /// should be asked of others: four times what the queue takes to drain, between ten seconds
    /// and [`SNUB_AFTER`].
    #[must_use]
    pub fn timeout(&self) -> Duration {
        let Some(round_trip) = self.round_trip else { return SNUB_AFTER };
        let queued = self.depth as u64 * u64::from(BLOCK_LEN);
        let drain = match queued.saturating_mul(1_000).checked_div(self.rate) {
            Some(millis) => Duration::from_millis(millis),
            None => Duration::ZERO,
        };
        let patience = drain.saturating_add(round_trip).saturating_mul(TIMEOUT_DRAINS);
        patience.clamp(MIN_TIMEOUT, SNUB_AFTER)
    }

    /// When the oldest request is late, if none is answered before.
    #[must_use]
    pub fn late_at(&self) -> Instant {
        self.waiting_from + self.timeout()
    }

    fn depth_for(&self, rate: u64) -> usize {
        let round_trips = self.round_trip.unwrap_or_default().saturating_mul(DRAIN_ROUND_TRIPS);
        let nanos = DRAIN.max(round_trips).as_nanos();
        let bytes = u128::from(rate) * nanos / Duration::from_secs(1).as_nanos();
        let blocks = usize::try_from(bytes / u128::from(BLOCK_LEN)).unwrap_or(usize::MAX);
        blocks.clamp(INITIAL_DEPTH.min(self.max), self.max)
    }
}

/// The class of a peer that sends `rate` bytes per second: fast if it fills four pieces a second,
/// slow if one takes it more than twenty seconds.
#[must_use]
pub const fn speed(rate: u64, piece_len: u32) -> Speed {
    let piece = piece_len as u64;
    if rate >= piece.saturating_mul(4) {
        Speed::Fast
    } else if rate.saturating_mul(20) >= piece {
        Speed::Medium
    } else {
        Speed::Slow
    }
}

fn per_second(bytes: u64, elapsed: Duration) -> u64 {
    let nanos = elapsed.as_nanos().max(1);
    let rate = u128::from(bytes) * Duration::from_secs(1).as_nanos() / nanos;
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    /// Feeds blocks at `rate` for `secs` seconds from `from` on.
    fn feed(queue: &mut RequestQueue, from: u64, secs: u64, rate: u64, took: Duration) {
        let blocks = rate * secs / u64::from(BLOCK_LEN);
        for block in 1..=blocks {
            queue.on_block(at(from + block * secs * 1_000 / blocks), BLOCK_LEN, Some(took));
        }
    }

    #[test]
    fn depth_starts_at_five_and_doubles() {
        let mut queue = RequestQueue::new(at(0), DEFAULT_MAX_DEPTH);
        assert_eq!(queue.target_depth(at(0), 0), INITIAL_DEPTH);
        for _ in 0..INITIAL_DEPTH {
            queue.on_block(at(10), BLOCK_LEN, Some(Duration::from_millis(10)));
        }
        assert_eq!(queue.target_depth(at(10), 5), 2 * INITIAL_DEPTH);
    }

    #[test]
    fn depth_follows_bandwidth_and_delay_within_bounds() {
        for (rate, took_ms, depth) in [
            (10 * u64::from(BLOCK_LEN), 10, 5..=11),
            (100 * u64::from(BLOCK_LEN), 10, 95..=105),
            (100 * u64::from(BLOCK_LEN), 900, 170..=190),
            (4_000 * u64::from(BLOCK_LEN), 10, DEFAULT_MAX_DEPTH..=DEFAULT_MAX_DEPTH),
            (3 * u64::from(BLOCK_LEN), 10, INITIAL_DEPTH..=INITIAL_DEPTH),
        ] {
            let mut queue = RequestQueue::new(at(0), DEFAULT_MAX_DEPTH);
            feed(&mut queue, 0, 10, rate, Duration::from_millis(took_ms));
            let got = queue.target_depth(at(10_000), 1);
            assert!(depth.contains(&got), "{got} at {rate} B/s and {took_ms} ms");
        }
    }

    #[test]
    fn depth_falls_with_the_rate() {
        let mut queue = RequestQueue::new(at(0), DEFAULT_MAX_DEPTH);
        feed(&mut queue, 0, 5, 100 * u64::from(BLOCK_LEN), Duration::from_millis(1));
        feed(&mut queue, 5_000, 5, 20 * u64::from(BLOCK_LEN), Duration::from_millis(1));
        assert!((18..=21).contains(&queue.target_depth(at(10_000), 1)));
    }

    #[test]
    fn pw_18_silent_peers_are_late_and_then_snub_us() {
        let mut queue = RequestQueue::new(at(0), DEFAULT_MAX_DEPTH);
        assert_eq!(queue.timeout(), SNUB_AFTER);
        feed(&mut queue, 0, 5, 100 * u64::from(BLOCK_LEN), Duration::from_millis(1));
        assert_eq!(queue.late_at(), at(5_000) + MIN_TIMEOUT);
        assert!(!queue.is_snubbed(at(64_999), 3));
        assert!(queue.is_snubbed(at(65_000), 3));
        assert!(!queue.is_snubbed(at(65_000), 0));
        assert_eq!(queue.target_depth(at(65_000), 3), 1);
        queue.on_idle_end(at(70_000));
        assert!(!queue.is_snubbed(at(71_000), 3));
    }

    #[test]
    fn a_block_of_unknown_age_says_nothing_about_round_trips() {
        let mut queue = RequestQueue::new(at(0), DEFAULT_MAX_DEPTH);
        queue.on_block(at(10), BLOCK_LEN, None);
        assert_eq!((queue.round_trip, queue.target_depth(at(10), 0)), (None, INITIAL_DEPTH + 1));
        queue.on_block(at(30), BLOCK_LEN, Some(Duration::from_millis(20)));
        queue.on_block(at(31), BLOCK_LEN, None);
        assert_eq!(queue.round_trip, Some(Duration::from_millis(20)));
    }

    #[test]
    fn slow_peers_get_more_time_but_not_forever() {
        let mut queue = RequestQueue::new(at(0), DEFAULT_MAX_DEPTH);
        feed(&mut queue, 0, 30, u64::from(BLOCK_LEN), Duration::from_secs(1));
        assert_eq!(queue.timeout(), Duration::from_secs(4 * (5 + 1)));
        feed(&mut queue, 30_000, 100, u64::from(BLOCK_LEN) / 10, Duration::from_secs(5));
        assert_eq!(queue.timeout(), SNUB_AFTER);
    }

    #[test]
    fn classes_compare_rate_and_piece() {
        assert_eq!(speed(0, 1 << 20), Speed::Slow);
        assert_eq!(speed(60_000, 1 << 20), Speed::Medium);
        assert_eq!(speed(1 << 22, 1 << 20), Speed::Fast);
        assert_eq!(speed(u64::MAX, u32::MAX), Speed::Fast);
    }
}
