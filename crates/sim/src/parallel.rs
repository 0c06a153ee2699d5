//! Shards side by side: conservative windows, each as long as the least delay of a link, so that
//! nothing sent within one can arrive in it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::barrier::Barrier;
use crate::observer::Watch;
use crate::shard::{Away, Shard};
use crate::terms::Terms;
use crate::{Happening, Simulated};

/// Windows shorter than this are not worth a meeting of threads, in nanoseconds.
const WINDOW_MIN: u64 = 100_000;

/// With fewer inputs to come than this, all in all, windows hold too few to be worth a meeting.
const INPUTS_MIN: usize = 20_000;

/// What threads tell each other between windows.
struct Meeting<M: Simulated> {
    barrier: Barrier,
    /// When each shard's next input is.
    next: Vec<AtomicU64>,
    /// What each shard has for each other, by receiver and sender.
    boxes: Vec<Vec<Mutex<Vec<Away<M>>>>>,
    events: Mutex<Vec<Happening<M::Event>>>,
    /// With what a thread has panicked.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Whether one has, since the last of these meetings; all end their work there.
    panicked: [AtomicBool; 2],
}

/// Before a window, when all say what is next, and after it, when all have sent what they had.
const BEFORE: usize = 0;
const AFTER: usize = 1;

impl<M: Simulated> Meeting<M> {
    /// Keeps the panic of `work` until all threads meet, `next` time.
    fn guard(&self, next: usize, work: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            *lock(&self.panic) = Some(panic);
            self.panicked[next].store(true, Ordering::Relaxed);
        }
    }

    /// Waits for all threads; whether they may go on.
    fn meet(&self, at: usize) -> bool {
        self.barrier.wait();
        !self.panicked[at].load(Ordering::Relaxed)
    }
}

/// Runs all shards up to `end`, which is not included, and hands over their events, window by
/// window and in order.
pub(crate) fn run<M: Simulated>(
    shards: &mut [Shard<M>],
    end: u64,
    lookahead: u64,
    terms: &Terms<M>,
    watch: &mut Watch<M>,
    mut deliver: impl FnMut(&mut Vec<Happening<M::Event>>),
) {
    if watch.is_some() || lookahead == 0 {
        one_by_one(shards, end, terms, watch, deliver);
        return;
    }
    let inputs: usize = shards.iter().map(|shard| shard.wheel.len()).sum();
    if lookahead < WINDOW_MIN || (inputs < INPUTS_MIN && !cfg!(test)) {
        in_turn(shards, end, lookahead, terms, deliver);
        return;
    }
    let count = shards.len();
    let meeting = Meeting {
        barrier: Barrier::new(count),
        next: (0..count).map(|_| AtomicU64::new(u64::MAX)).collect(),
        boxes: (0..count).map(|_| (0..count).map(|_| Mutex::default()).collect()).collect(),
        events: Mutex::default(),
        panic: Mutex::default(),
        panicked: Default::default(),
    };
    let Some((first, others)) = shards.split_first_mut() else { return };
    thread::scope(|scope| {
        for (index, shard) in (1..).zip(others) {
            let meeting = &meeting;
            scope.spawn(move || work(index, shard, meeting, end, lookahead, terms, |_| {}));
        }
        work(0, first, &meeting, end, lookahead, terms, |events| {
            let mut events = lock(events);
            order(&mut events);
            deliver(&mut events);
        });
    });
    if let Some(panic) = lock(&meeting.panic).take() {
        resume_unwind(panic);
    }
}

/// One thread's windows. `leader` is called after each, while no other thread is in one.
fn work<M: Simulated>(
    index: usize,
    shard: &mut Shard<M>,
    meeting: &Meeting<M>,
    end: u64,
    lookahead: u64,
    terms: &Terms<M>,
    mut leader: impl FnMut(&Mutex<Vec<Happening<M::Event>>>),
) {
    loop {
        let next = shard.wheel.first(end).map_or(u64::MAX, |(time, ..)| time);
        meeting.next[index].store(next, Ordering::Relaxed);
        if !meeting.meet(BEFORE) {
            return;
        }
        let next = meeting.next.iter().map(|next| next.load(Ordering::Relaxed)).min();
        let Some(next) = next.filter(|next| *next < u64::MAX) else { return };

        meeting.guard(AFTER, || {
            let window = next.saturating_add(lookahead).min(end);
            shard.run(window, usize::MAX, terms, &mut None);
        });
        if !shard.events.is_empty() {
            lock(&meeting.events).append(&mut shard.events);
        }
        for (to, away) in shard.away.iter_mut().enumerate() {
            core::mem::swap(&mut *lock(&meeting.boxes[to][index]), away);
        }
        if !meeting.meet(AFTER) {
            return;
        }
        for from in &meeting.boxes[index] {
            shard.receive(&mut lock(from));
        }
        meeting.guard(BEFORE, || leader(&meeting.events));
    }
}

/// What a thread that panicked leaves behind is looked at by nobody.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same on one thread.
fn in_turn<M: Simulated>(
    shards: &mut [Shard<M>],
    end: u64,
    lookahead: u64,
    terms: &Terms<M>,
    mut deliver: impl FnMut(&mut Vec<Happening<M::Event>>),
) {
    let mut events = Vec::new();
    while let Some(next) = shards.iter_mut().filter_map(|shard| shard.wheel.first(end)).min() {
        let window = next.0.saturating_add(lookahead).min(end);
        for shard in &mut *shards {
            shard.run(window, usize::MAX, terms, &mut None);
            events.append(&mut shard.events);
        }
        exchange(shards);
        order(&mut events);
        deliver(&mut events);
    }
}

/// The same input by input, in the order of all: right however short the delays are, and the order
/// that an observer is to see.
fn one_by_one<M: Simulated>(
    shards: &mut [Shard<M>],
    end: u64,
    terms: &Terms<M>,
    watch: &mut Watch<M>,
    mut deliver: impl FnMut(&mut Vec<Happening<M::Event>>),
) {
    while let Some(shard) = first(shards, end) {
        shard.run(end, 1, terms, watch);
        deliver(&mut shard.events);
        exchange(shards);
    }
}

/// Puts events of several shards in the order that one would have given them.
fn order<E>(events: &mut [Happening<E>]) {
    events.sort_by_key(|event| (event.at, event.node));
}

/// The shard whose input is the first of all, if that is before `end`.
pub(crate) fn first<M: Simulated>(shards: &mut [Shard<M>], end: u64) -> Option<&mut Shard<M>> {
    let orders = shards.iter_mut().enumerate();
    let (_, at) = orders.filter_map(|(at, shard)| Some((shard.wheel.first(end)?, at))).min()?;
    shards.get_mut(at)
}

/// Hands over what shards have for each other.
pub(crate) fn exchange<M: Simulated>(shards: &mut [Shard<M>]) {
    for from in 0..shards.len() {
        for to in 0..shards.len() {
            let mut away = core::mem::take(&mut shards[from].away[to]);
            shards[to].receive(&mut away);
            shards[from].away[to] = away;
        }
    }
}
