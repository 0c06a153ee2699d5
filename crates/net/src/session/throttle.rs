//! The limits that one torrent's connections obey: its own first, then those of the session, unless
//! it is exempt. How a limit is kept and shared is in `limiter`.

use std::cell::Cell;
use std::rc::Rc;
use std::task::Waker;

use super::clock::Clock;
use super::config::{Precedence, TorrentLimits};
use super::limiter::{Limiter, Turn};

/// A connection's places in both queues.
#[derive(Default)]
pub(super) struct Turns {
    own: Rc<Turn>,
    session: Rc<Turn>,
}

/// One direction of a torrent.
pub(super) struct Lane {
    own: Limiter,
    exempt: Cell<bool>,
    precedence: Cell<Precedence>,
}

impl Lane {
    fn new(per_second: Option<u64>, limits: TorrentLimits, clock: Clock) -> Self {
        Self {
            own: Limiter::new(per_second, clock),
            exempt: Cell::new(limits.exempt),
            precedence: Cell::new(limits.precedence),
        }
    }

    /// Serves those who wait for the torrent's own limit; runs for ever.
    pub(super) async fn run(&self) {
        self.own.run().await;
    }

    /// Whether any limit holds.
    pub(super) fn is_limited(&self, session: &Limiter) -> bool {
        self.own.is_limited() || (!self.exempt.get() && session.is_limited())
    }

    /// Grants up to `want` bytes. Zero means: wait, `waker` is woken when the turn has come.
    pub(super) fn take(&self, session: &Limiter, want: u64, turns: &Turns, waker: &Waker) -> u64 {
        let own = self.own.take(want, &turns.own, waker);
        if own == 0 || self.exempt.get() {
            return own;
        }
        turns.session.set_precedence(self.precedence.get());
        let granted = session.take(own, &turns.session, waker);
        self.own.give_back(own - granted);
        granted
    }

    /// Counts what became of a grant: the rest is given back, and what was used beyond it is owed.
    pub(super) fn settle(&self, session: &Limiter, granted: u64, used: u64) {
        self.give_back(session, granted.saturating_sub(used));
        let beyond = used.saturating_sub(granted);
        self.own.overdraw(beyond);
        if !self.exempt.get() {
            session.overdraw(beyond);
        }
    }

    /// Takes back what was granted and not used.
    pub(super) fn give_back(&self, session: &Limiter, bytes: u64) {
        self.own.give_back(bytes);
        if !self.exempt.get() {
            session.give_back(bytes);
        }
    }
}

/// Both directions of a torrent.
pub(super) struct Throttle {
    pub(super) up: Lane,
    pub(super) down: Lane,
}

impl Throttle {
    pub(super) fn new(limits: TorrentLimits, clock: Clock) -> Self {
        Self {
            up: Lane::new(limits.upload, limits, clock),
            down: Lane::new(limits.download, limits, clock),
        }
    }

    /// Limits anew.
    pub(super) fn set(&self, limits: TorrentLimits) {
        for (lane, limit) in [(&self.up, limits.upload), (&self.down, limits.download)] {
            lane.own.set_limit(limit);
            lane.exempt.set(limits.exempt);
            lane.precedence.set(limits.precedence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_of(lane: &Lane, session: &Limiter, want: u64) -> u64 {
        let (turns, mut sum) = (Turns::default(), 0);
        while sum < want {
            match lane.take(session, want - sum, &turns, Waker::noop()) {
                0 => break,
                granted => sum += granted,
            }
        }
        sum
    }

    #[test]
    fn the_narrower_limit_counts_unless_a_torrent_is_exempt() {
        const PLENTY: u64 = 100_000_000;
        let clock = Clock::start();
        let (narrow, wide) = (Some(1_000), None);
        for (own, session, exempt, is_limited) in [
            (wide, wide, false, false),
            (narrow, wide, false, true),
            (wide, narrow, false, true),
            (wide, narrow, true, false),
            (narrow, narrow, true, true),
        ] {
            let limits = TorrentLimits { exempt, ..TorrentLimits::default() };
            let lane = Lane::new(own, limits, clock);
            let session = Limiter::new(session, clock);
            assert_eq!(lane.is_limited(&session), is_limited);
            let granted = all_of(&lane, &session, PLENTY);
            assert_eq!(granted < PLENTY, is_limited, "{own:?} {exempt}: {granted}");
        }
    }

    #[test]
    fn what_the_session_does_not_grant_is_not_lost_to_the_torrent() {
        // Its burst is 40 ms of its limit; the session's is two blocks.
        const BURST: u64 = 400_000;
        let clock = Clock::start();
        let lane = Lane::new(Some(10_000_000), TorrentLimits::default(), clock);
        let session = Limiter::new(Some(1), clock);
        let before = all_of(&lane, &session, BURST);
        assert!(before < BURST, "{before}");
        session.set_limit(None);
        // What the session held back of it is still there.
        assert_eq!(before + all_of(&lane, &session, BURST - before), BURST);
    }
}
