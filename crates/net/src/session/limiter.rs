//! A limit on payload bytes per second, shared fairly by connections that wait their turn: those of
//! the same precedence one after the other, those of a higher one first.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use bittorrent::rate::TokenBucket;
use tokio::sync::Notify;

use super::clock::Clock;
use super::config::Precedence;

/// What one connection gets in a turn at least, in bytes: one block.
const QUANTUM_MIN: u64 = 16 * 1024;
/// Turns per second into which a limit is cut, at most: fast limits cost little.
const TURNS_PER_SEC: u64 = 200;
/// What a connection that waited gets at most when the limit is lifted, in bytes.
const QUANTUM_MAX: u64 = 1024 * 1024;
/// Bursts are bounded to what the limit gives in this many milliseconds.
const BURST_MILLIS: u64 = 40;
/// Every so many turns one is for those of the least precedence that wait: nobody waits for ever.
const TURNS_PER_LEAST: u64 = 16;

/// The limiter; without a limit it grants everything at once.
pub(super) struct Limiter {
    clock: Clock,
    bucket: RefCell<Option<TokenBucket>>,
    quantum: Cell<u64>,
    /// Bytes granted and not used.
    refund: Cell<u64>,
    /// Bytes used beyond what was granted, at most a quantum; they are paid before anything else.
    debt: Cell<u64>,
    waiting: RefCell<Queue>,
    changed: Notify,
}

/// One connection's place in the queue.
#[derive(Default)]
pub(super) struct Turn {
    waker: RefCell<Option<Waker>>,
    queued: Cell<bool>,
    granted: Cell<u64>,
    precedence: Cell<Precedence>,
}

impl Turn {
    /// Where it queues up the next time.
    pub(super) fn set_precedence(&self, precedence: Precedence) {
        self.precedence.set(precedence);
    }
}

/// Who waits, by precedence.
#[derive(Default)]
struct Queue {
    high: VecDeque<Rc<Turn>>,
    normal: VecDeque<Rc<Turn>>,
    low: VecDeque<Rc<Turn>>,
    /// Turns that were served.
    served: u64,
}

impl Queue {
    fn of(&mut self, precedence: Precedence) -> &mut VecDeque<Rc<Turn>> {
        match precedence {
            Precedence::High => &mut self.high,
            Precedence::Normal => &mut self.normal,
            Precedence::Low => &mut self.low,
        }
    }

    /// Whether nobody waits whom one of this precedence must not overtake.
    fn lets_pass(&self, precedence: Precedence) -> bool {
        self.high.is_empty()
            && (precedence < Precedence::Normal || self.normal.is_empty())
            && (precedence < Precedence::Low || self.low.is_empty())
    }

    fn is_empty(&self) -> bool {
        self.lets_pass(Precedence::Low)
    }

    /// Whose turn is next.
    fn next(&mut self) -> Option<Rc<Turn>> {
        self.served += 1;
        let mut queues = [&mut self.high, &mut self.normal, &mut self.low];
        if self.served.is_multiple_of(TURNS_PER_LEAST) {
            queues.reverse();
        }
        queues.into_iter().find_map(VecDeque::pop_front)
    }
}

impl Limiter {
    pub(super) fn new(per_second: Option<u64>, clock: Clock) -> Self {
        let limiter = Self {
            clock,
            bucket: RefCell::new(None),
            quantum: Cell::new(QUANTUM_MAX),
            refund: Cell::new(0),
            debt: Cell::new(0),
            waiting: RefCell::default(),
            changed: Notify::new(),
        };
        limiter.set_limit(per_second);
        limiter
    }

    /// Limits to so many bytes per second from now on; `None` lifts the limit.
    pub(super) fn set_limit(&self, per_second: Option<u64>) {
        let quantum =
            per_second.map_or(QUANTUM_MAX, |rate| (rate / TURNS_PER_SEC).max(QUANTUM_MIN));
        self.quantum.set(quantum);
        self.refund.set(0);
        self.debt.set(0);
        *self.bucket.borrow_mut() = per_second.map(|rate| {
            let burst = (rate.saturating_mul(BURST_MILLIS) / 1_000).max(2 * quantum);
            TokenBucket::new(rate, burst, self.clock.now())
        });
        self.changed.notify_one();
    }

    /// Whether there is a limit at all.
    pub(super) fn is_limited(&self) -> bool {
        self.bucket.borrow().is_some()
    }

    /// Grants up to `want` bytes. Zero means: wait, `waker` is woken when the turn has come.
    pub(super) fn take(&self, want: u64, turn: &Rc<Turn>, waker: &Waker) -> u64 {
        let mut bucket = self.bucket.borrow_mut();
        let Some(bucket) = &mut *bucket else { return want };
        let granted = turn.granted.get();
        if granted > 0 {
            turn.granted.set(granted.saturating_sub(want));
            return granted.min(want);
        }
        if !turn.queued.get() && self.waiting.borrow().lets_pass(turn.precedence.get()) {
            let share = want.min(self.quantum.get());
            let refund = self.refund.take();
            if refund >= share {
                self.refund.set(refund - share);
                return share;
            }
            self.refund.set(refund);
            let now = self.clock.now();
            if bucket.ready_at(now, share + self.debt.get()).is_some_and(|at| at <= now) {
                bucket.take_up_to(now, self.debt.take());
                return bucket.take_up_to(now, share);
            }
        }
        *turn.waker.borrow_mut() = Some(waker.clone());
        if !turn.queued.replace(true) {
            self.waiting.borrow_mut().of(turn.precedence.get()).push_back(turn.clone());
            self.changed.notify_one();
        }
        0
    }

    /// Takes back what was granted and not used.
    pub(super) fn give_back(&self, bytes: u64) {
        if self.bucket.borrow().is_some() {
            self.refund.set((self.refund.get() + bytes).min(2 * self.quantum.get()));
        }
    }

    /// Counts what was used beyond what was granted: reads end at the end of a block.
    pub(super) fn overdraw(&self, bytes: u64) {
        if self.bucket.borrow().is_some() {
            let spare = self.refund.get().min(bytes);
            self.refund.set(self.refund.get() - spare);
            self.debt.set((self.debt.get() + bytes - spare).min(self.quantum.get()));
        }
    }

    /// Serves waiting connections one by one as the limit allows; runs for ever.
    pub(super) async fn run(&self) {
        loop {
            // They keep their places until a turn has come, so that nobody overtakes them.
            if self.waiting.borrow().is_empty() {
                self.changed.notified().await;
                continue;
            }
            loop {
                let now = self.clock.now();
                // Not in the match itself: its borrow would last over the wait.
                let ready = match &*self.bucket.borrow() {
                    Some(bucket) => bucket.ready_at(now, self.quantum.get() + self.debt.get()),
                    None => Some(now),
                };
                let wait = match ready {
                    Some(at) if at <= now => break,
                    Some(at) => at - now,
                    None => Duration::from_secs(1),
                };
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    // Another limit, perhaps.
                    () = self.changed.notified() => {}
                }
            }
            let Some(first) = self.waiting.borrow_mut().next() else { continue };
            if Rc::strong_count(&first) == 1 {
                continue; // Its connection is gone.
            }
            let quantum = self.quantum.get();
            let granted = match &mut *self.bucket.borrow_mut() {
                Some(bucket) => {
                    let now = self.clock.now();
                    bucket.take_up_to(now, self.debt.take());
                    bucket.take_up_to(now, quantum)
                }
                None => quantum,
            };
            first.granted.set(granted);
            first.queued.set(false);
            if let Some(waker) = first.waker.take() {
                waker.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_connection_is_not_overtaken() {
        let limiter = Limiter::new(Some(1_000_000), Clock::start());
        let (first, second) = (Rc::<Turn>::default(), Rc::<Turn>::default());
        let waker = Waker::noop();
        while limiter.take(u64::MAX, &first, waker) > 0 {}
        assert_eq!(limiter.take(1, &second, waker), 0, "the first waits already");
        assert_eq!(limiter.waiting.borrow().normal.len(), 2);
    }

    #[test]
    fn those_of_a_higher_precedence_come_first_and_nobody_waits_for_ever() {
        let limiter = Limiter::new(Some(1_000), Clock::start());
        let turn = |precedence| {
            let turn = Rc::<Turn>::default();
            turn.set_precedence(precedence);
            turn
        };
        let low = turn(Precedence::Low);
        while limiter.take(u64::MAX, &low, Waker::noop()) > 0 {}
        let others: Vec<_> = (0..40).map(|_| turn(Precedence::High)).collect();
        for other in &others {
            assert_eq!(limiter.take(1, other, Waker::noop()), 0);
        }
        assert!(!limiter.waiting.borrow().lets_pass(Precedence::Normal));
        let mut queue = limiter.waiting.borrow_mut();
        let order: Vec<_> = std::iter::from_fn(|| queue.next()).collect();
        assert_eq!(order.len(), 41);
        let place = order.iter().position(|turn| Rc::ptr_eq(turn, &low));
        assert_eq!(place, Some(TURNS_PER_LEAST as usize - 1));
        assert!(Rc::ptr_eq(&order[0], &others[0]), "in the order in which they came");
    }

    #[tokio::test]
    async fn all_who_wait_are_served_in_turn_within_the_limit() {
        let local = tokio::task::LocalSet::new();
        let served = async {
            let limiter = Rc::new(Limiter::new(Some(2_000_000), Clock::start()));
            let runs = limiter.clone();
            tokio::task::spawn_local(async move { runs.run().await });
            let began = std::time::Instant::now();
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..4 {
                let limiter = limiter.clone();
                tasks.spawn_local(async move {
                    let (turn, mut taken) = (Rc::<Turn>::default(), 0);
                    while taken < 100_000 {
                        taken += std::future::poll_fn(|cx| {
                            match limiter.take(16 * 1024, &turn, cx.waker()) {
                                0 => std::task::Poll::Pending,
                                bytes => std::task::Poll::Ready(bytes),
                            }
                        })
                        .await;
                    }
                    taken
                });
            }
            let total: u64 = tasks.join_all().await.into_iter().sum();
            (total, began.elapsed())
        };
        let (total, took) = local.run_until(served).await;
        // All but the first burst has to wait for its tokens.
        let least = Duration::from_secs_f64((total - 80_000) as f64 / 2_000_000.0);
        assert!(took >= least, "{total} bytes in {took:?}, at least {least:?}");
    }

    #[tokio::test]
    async fn lifting_the_limit_lets_those_go_who_wait() {
        let limiter = Rc::new(Limiter::new(Some(1), Clock::start()));
        let turn = Rc::<Turn>::default();
        while limiter.take(u64::MAX, &turn, Waker::noop()) > 0 {}
        let local = tokio::task::LocalSet::new();
        let runs = limiter.clone();
        local.spawn_local(async move { runs.run().await });
        let granted = local.run_until(async {
            limiter.set_limit(None);
            let waits = std::future::poll_fn(|cx| {
                *turn.waker.borrow_mut() = Some(cx.waker().clone());
                if turn.queued.get() {
                    std::task::Poll::Pending
                } else {
                    std::task::Poll::Ready(())
                }
            });
            tokio::time::timeout(Duration::from_secs(5), waits).await.expect("woken at once");
            turn.granted.get()
        });
        assert!(granted.await > 0);
        assert_eq!(limiter.take(7_000_000, &turn, Waker::noop()), 7_000_000);
    }

    #[test]
    fn what_is_not_used_of_a_turn_is_there_for_the_next_block() {
        let limiter = Limiter::new(Some(1_000), Clock::start());
        let turn = Rc::<Turn>::default();
        turn.granted.set(100);
        assert_eq!(limiter.take(60, &turn, Waker::noop()), 60);
        assert_eq!(limiter.take(60, &turn, Waker::noop()), 40);
        limiter.give_back(10);
        assert_eq!(limiter.take(10, &turn, Waker::noop()), 10);
    }

    #[test]
    fn what_was_used_beyond_a_grant_is_paid_before_the_next() {
        let clock = Clock::start();
        let limiter = Limiter::new(Some(1_000), clock);
        let turn = Rc::<Turn>::default();
        // The burst is two blocks, and the first was used with as much again.
        assert_eq!(limiter.take(QUANTUM_MIN, &turn, Waker::noop()), QUANTUM_MIN);
        limiter.overdraw(QUANTUM_MIN);
        assert_eq!(limiter.take(QUANTUM_MIN, &turn, Waker::noop()), 0);
    }

    #[test]
    fn no_limit_grants_everything() {
        let limiter = Limiter::new(None, Clock::start());
        assert_eq!(limiter.take(u64::MAX, &Rc::default(), Waker::noop()), u64::MAX);
    }
}
