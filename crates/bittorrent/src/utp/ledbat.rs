//! Congestion control: the window grows while queues on the path are short and shrinks before they
//! bother anyone else (LEDBAT, RFC 6817). Numbers in, a window out; no packets and no clock here.

use core::time::Duration;

/// The queueing delay that is aimed at (TARGET, RFC 6817).
pub const TARGET: Duration = Duration::from_millis(100);
/// Most growth per round trip outside slow start, bytes (BEP 29).
const GAIN: u64 = 3_000;
/// Latest delay samples of which the least counts (CURRENT_FILTER, RFC 6817).
const FILTER: usize = 4;
/// Packets in the first window (RFC 3390).
const INITIAL_PACKETS: u64 = 4;
/// Packets in the least window but after a timeout (MIN_CWND, RFC 6817).
const MIN_PACKETS: u64 = 2;
/// Most bytes in flight.
const MAX_WINDOW: u64 = 64 << 20;
/// The window is kept in parts of a byte, so that small gains add up.
const FRACTION: u64 = 1 << 10;

/// The congestion window of one connection.
#[derive(Clone, Debug)]
pub struct Ledbat {
    /// In bytes times [`FRACTION`].
    window: u64,
    /// Where slow start ends; unbounded until the first loss.
    threshold: u64,
    slow_start: bool,
    delays: [Option<u32>; FILTER],
    next_delay: usize,
}

impl Ledbat {
    /// The window of a new connection whose packets carry `mss` bytes.
    #[must_use]
    pub fn new(mss: usize) -> Self {
        Self {
            window: INITIAL_PACKETS * mss as u64 * FRACTION,
            threshold: u64::MAX,
            slow_start: true,
            delays: [None; FILTER],
            next_delay: 0,
        }
    }

    /// Bytes that may be in flight.
    #[must_use]
    pub const fn window(&self) -> usize {
        (self.window / FRACTION) as usize
    }

    /// Whether the window doubles with each round trip.
    #[must_use]
    pub const fn in_slow_start(&self) -> bool {
        self.slow_start
    }

    /// `acked` bytes have arrived, of `in_flight` that were on their way before. `delay` is the
    /// queueing delay in microseconds, if this acknowledgement measured it.
    pub fn on_ack(&mut self, acked: usize, in_flight: usize, delay: Option<u32>, mss: usize) {
        if let Some(delay) = delay {
            self.delays[self.next_delay] = Some(delay);
            self.next_delay = (self.next_delay + 1) % FILTER;
        }
        let target = TARGET.as_micros() as i64;
        let queued = self.delays.iter().flatten().min().map_or(0, |&least| i64::from(least));
        if self.slow_start && queued > target * 3 / 4 {
            self.slow_start = false;
        }
        // A window that its user does not fill says nothing of the path (RFC 6817, 2.4.1).
        let limited = in_flight + mss > self.window();
        let (acked, mss) = (acked as u64, mss as u64);
        if self.slow_start {
            if limited {
                self.window += acked * FRACTION;
                self.slow_start = self.window / FRACTION < self.threshold;
            }
        } else {
            // Twice the target shrinks the window as fast as an empty queue grows it; longer
            // queues shrink it faster, to at most one half per round trip.
            let off_target = target - queued;
            let step = acked.saturating_mul(off_target.unsigned_abs()) / target.unsigned_abs();
            let step = step * GAIN.max(mss) * FRACTION / (self.window / FRACTION).max(1);
            if off_target < 0 {
                self.window = self.window.saturating_sub(step.min(acked * FRACTION / 2));
            } else if limited {
                self.window += step;
            }
        }
        self.window = self.window.clamp(MIN_PACKETS * mss * FRACTION, MAX_WINDOW * FRACTION);
    }

    /// A packet was lost, the first of this round trip.
    pub fn on_loss(&mut self, mss: usize) {
        self.window = (self.window / 2).max(MIN_PACKETS * mss as u64 * FRACTION);
        self.threshold = self.window / FRACTION;
        self.slow_start = false;
    }

    /// Nothing was heard for a retransmission timeout: start over with one packet.
    pub fn on_timeout(&mut self, mss: usize) {
        self.threshold = (self.window / FRACTION / 2).max(MIN_PACKETS * mss as u64);
        self.window = mss as u64 * FRACTION;
        self.slow_start = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: usize = 1_400;

    /// Acknowledges one window in steps of a packet, at a queueing delay.
    fn round_trip(ledbat: &mut Ledbat, delay: u32) {
        let window = ledbat.window();
        for _ in 0..window / MSS {
            ledbat.on_ack(MSS, ledbat.window(), Some(delay), MSS);
        }
    }

    #[test]
    fn slow_start_doubles_until_queues_build() {
        let mut ledbat = Ledbat::new(MSS);
        for _ in 0..5 {
            let before = ledbat.window();
            round_trip(&mut ledbat, 1_000);
            assert_eq!(ledbat.window(), before * 2);
        }
        round_trip(&mut ledbat, 90_000);
        assert!(!ledbat.in_slow_start());
    }

    #[test]
    fn window_follows_the_distance_from_the_target() {
        let mut ledbat = Ledbat::new(MSS);
        ledbat.on_loss(MSS);
        for _ in 0..50 {
            round_trip(&mut ledbat, 0);
        }
        let grown = ledbat.window();
        // At most GAIN bytes per round trip.
        assert!((100_000..=2 * MSS + 50 * 3_100).contains(&grown), "{grown}");
        round_trip(&mut ledbat, 100_000);
        assert!(ledbat.window().abs_diff(grown) < 3 * MSS, "stays at the target");
        for _ in 0..20 {
            round_trip(&mut ledbat, 200_000);
        }
        assert!(ledbat.window() < grown - 15 * 2_500, "shrinks above it: {}", ledbat.window());
        for _ in 0..100 {
            round_trip(&mut ledbat, 1_000_000);
        }
        assert_eq!(ledbat.window(), 2 * MSS, "never below two packets");
    }

    #[test]
    fn one_late_sample_is_noise() {
        let mut ledbat = Ledbat::new(MSS);
        ledbat.on_loss(MSS);
        for _ in 0..10 {
            round_trip(&mut ledbat, 0);
        }
        let before = ledbat.window();
        ledbat.on_ack(MSS, before, Some(500_000), MSS);
        assert!(ledbat.window() >= before);
    }

    #[test]
    fn a_window_that_is_not_filled_does_not_grow() {
        let mut ledbat = Ledbat::new(MSS);
        let before = ledbat.window();
        ledbat.on_ack(MSS, MSS, Some(0), MSS);
        assert_eq!(ledbat.window(), before);
    }

    #[test]
    fn loss_halves_and_timeout_starts_over() {
        let mut ledbat = Ledbat::new(MSS);
        for _ in 0..6 {
            round_trip(&mut ledbat, 0);
        }
        let before = ledbat.window();
        ledbat.on_loss(MSS);
        assert_eq!(ledbat.window(), before / 2);
        ledbat.on_timeout(MSS);
        assert_eq!(ledbat.window(), MSS);
        assert!(ledbat.in_slow_start());
        // Slow start ends at half of what failed.
        for _ in 0..20 {
            if ledbat.in_slow_start() {
                round_trip(&mut ledbat, 0);
            }
        }
        assert!(ledbat.window() <= before / 4 + 2 * MSS, "{}", ledbat.window());
    }
}
