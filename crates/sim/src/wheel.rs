//! What is to happen, in the order of (time, destination, source, sequence): a hierarchical timing
//! wheel whose buckets are sorted only when their time has come.
//!
//! Entries lie in chunks of one pool, so that a million waiting timers cost their own size and no
//! more. Buckets are gathered into a sorted run that ends before anything sent from within it can
//! arrive; what does arrive earlier goes through a small heap.

use core::cmp::Ordering;
use std::collections::BinaryHeap;

use machine::Near;

use crate::Node;
use crate::memory::{Caches, prefer_large_pages};

/// One thing that is to happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<B> {
    /// When, in nanoseconds.
    pub(crate) time: u64,
    /// To whom.
    pub(crate) to: Node,
    /// By whom.
    pub(crate) from: Node,
    /// The how-manieth of `from`; with it no two entries are equal.
    pub(crate) seq: u32,
    /// What.
    pub(crate) body: B,
}

impl<B> Entry<B> {
    pub(crate) fn order(&self) -> (u64, u64, u32) {
        (self.time, u64::from(self.to.raw()) << 32 | u64::from(self.from.raw()), self.seq)
    }
}

/// Nanoseconds that a bucket of the lowest level covers, as a power of two: a millisecond. With finer
/// ones, what a million nodes send within two hundred milliseconds is written to more places than the
/// cache of a core holds.
const GRAIN_BITS: u32 = 20;
/// Buckets of a level, as a power of two.
const LEVEL_BITS: u32 = 11;
const BUCKETS: usize = 1 << LEVEL_BITS;
const LEVELS: usize = 4;
/// Entries of a chunk.
const CHUNK: usize = 8;
/// A run is long enough for prefetching once it has this many entries.
const RUN: usize = 256;
/// The levels reach to the end of time, which never comes.
const _: () = assert!(GRAIN_BITS + LEVEL_BITS * LEVELS as u32 == u64::BITS);
pub(crate) const NEVER: u64 = u64::MAX;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Bucket {
    /// The chunk that is being filled; the others, all full, follow from it.
    chunk: u32,
    entries: u32,
}

struct Level {
    buckets: Vec<Bucket>,
    /// One bit for each bucket that has entries.
    full: [u64; BUCKETS / 64],
    entries: usize,
}

impl Level {
    fn new() -> Self {
        let empty = Bucket { chunk: NONE, entries: 0 };
        Self { buckets: vec![empty; BUCKETS], full: [0; BUCKETS / 64], entries: 0 }
    }

    /// The first bucket with entries at or after `from`, not looking beyond the level's end.
    fn next(&self, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut bits = self.full[word] & !0 << (from % 64);
        while bits == 0 {
            word += 1;
            bits = *self.full.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }
}

/// Entries that come out in order. `B` is what an entry carries.
pub(crate) struct Wheel<B> {
    levels: [Level; LEVELS],
    pool: Vec<Entry<B>>,
    /// For each chunk of the pool the one that follows it, in its bucket or among the free.
    links: Vec<u32>,
    free: u32,
    /// The lowest-level bucket that is gathered next, counted from time 0. Entries in the levels
    /// are not before it.
    cursor: u64,
    /// What was before the cursor, in order: when, in nanoseconds since `began`, above where in
    /// the pool.
    run: Vec<u64>,
    /// How many of the run have been taken.
    taken: usize,
    began: u64,
    /// The chunks that the run lies in.
    held: Vec<u32>,
    /// What came for times before the cursor after its bucket had been gathered.
    late: BinaryHeap<Late<B>>,
    /// The most buckets that one run gathers.
    stretch: u64,
}

/// One more chunk, that is not part of anything; the free ones are used up.
#[cold]
fn grow<B: Copy>(pool: &mut Vec<Entry<B>>, links: &mut Vec<u32>, entry: Entry<B>) -> u32 {
    let room = pool.capacity();
    pool.extend([entry; CHUNK]);
    if pool.capacity() != room {
        prefer_large_pages(pool);
    }
    links.push(NONE);
    links.len() as u32 - 1
}

struct Late<B>(Entry<B>);

impl<B> PartialEq for Late<B> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<B> Eq for Late<B> {}

impl<B> PartialOrd for Late<B> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<B> Ord for Late<B> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.order().cmp(&self.0.order())
    }
}

impl<B: Copy> Wheel<B> {
    /// An empty wheel at time 0, for entries that are mostly set at least `lookahead` nanoseconds
    /// before their time.
    pub(crate) fn new(lookahead: u64) -> Self {
        Self {
            levels: core::array::from_fn(|_| Level::new()),
            pool: Vec::new(),
            links: Vec::new(),
            free: NONE,
            cursor: 0,
            run: Vec::new(),
            taken: 0,
            began: 0,
            held: Vec::new(),
            late: BinaryHeap::new(),
            stretch: (lookahead >> (GRAIN_BITS + 1)).clamp(1, BUCKETS as u64),
        }
    }

    /// How many entries wait.
    pub(crate) fn len(&self) -> usize {
        self.levels.iter().map(|level| level.entries).sum::<usize>()
            + (self.run.len() - self.taken)
            + self.late.len()
    }

    /// Adds an entry; one for [`NEVER`] is dropped.
    #[inline]
    pub(crate) fn push(&mut self, entry: Entry<B>) {
        if entry.time == NEVER {
            return;
        }
        if entry.time >> GRAIN_BITS < self.cursor {
            self.late.push(Late(entry));
        } else {
            self.place(entry);
        }
    }

    /// The place in the order of the first entry, if its time is before `end`.
    pub(crate) fn first(&mut self, end: u64) -> Option<(u64, u64, u32)> {
        if self.taken == self.run.len() {
            self.gather(end);
        }
        let run = self.upcoming(0).map(Entry::order);
        let late = self.late.peek().map(|late| late.0.order());
        let first = late.map_or(run, |late| Some(run.map_or(late, |run| run.min(late))));
        first.filter(|(time, ..)| *time < end)
    }

    /// Takes the first entry, if its time is before `end`.
    #[inline]
    pub(crate) fn pop(&mut self, end: u64) -> Option<Entry<B>> {
        if self.taken == self.run.len() {
            self.gather(end);
        }
        let entry = self.upcoming(0).copied();
        if let Some(late) = self.late.peek()
            && entry.is_none_or(|entry| late.0.order() < entry.order())
        {
            return if late.0.time < end { self.late.pop().map(|late| late.0) } else { None };
        }
        let entry = entry.filter(|entry| entry.time < end)?;
        self.taken += 1;
        Some(entry)
    }

    /// Whether the entry that was taken last was the first of its run.
    #[inline]
    pub(crate) fn has_just_gathered(&self) -> bool {
        self.taken == 1
    }

    /// The entry of the run that comes `ahead` after the first of it, if the run goes so far.
    #[inline]
    pub(crate) fn upcoming(&self, ahead: usize) -> Option<&Entry<B>> {
        self.run.get(self.taken + ahead).map(|key| &self.pool[*key as u32 as usize])
    }

    /// Puts an entry that is not before the cursor into the lowest level that reaches so far.
    #[inline(always)]
    fn place(&mut self, entry: Entry<B>) {
        let mut level = 0;
        let mut number = entry.time >> GRAIN_BITS;
        let mut cursor = self.cursor;
        while number - cursor >= BUCKETS as u64 {
            number >>= LEVEL_BITS;
            cursor >>= LEVEL_BITS;
            level += 1;
        }
        let at = number as usize % BUCKETS;
        let level = &mut self.levels[level];
        level.entries += 1;
        let bucket = &mut level.buckets[at];
        let filled = bucket.entries as usize % CHUNK;
        bucket.entries += 1;
        if filled == 0 {
            level.full[at / 64] |= 1 << (at % 64);
            let follows = bucket.chunk;
            let chunk = match self.free {
                NONE => grow(&mut self.pool, &mut self.links, entry),
                chunk => chunk,
            };
            bucket.chunk = chunk;
            self.free = core::mem::replace(&mut self.links[chunk as usize], follows);
        }
        // Part by part: a whole copy would read what has just been written in parts.
        let place = &mut self.pool[bucket.chunk as usize * CHUNK + filled];
        place.time = entry.time;
        place.to = entry.to;
        place.from = entry.from;
        place.seq = entry.seq;
        place.body = entry.body;
    }

    /// Takes a bucket out of its level: its chunks and how many entries the first of them has.
    fn empty(&mut self, level: usize, at: usize) -> (u32, usize) {
        let level = &mut self.levels[level];
        let none = Bucket { chunk: NONE, entries: 0 };
        let Bucket { chunk, entries } = core::mem::replace(&mut level.buckets[at], none);
        level.full[at / 64] &= !(1 << (at % 64));
        level.entries -= entries as usize;
        match entries as usize % CHUNK {
            0 => (chunk, CHUNK),
            filled => (chunk, filled),
        }
    }

    fn release(&mut self, chunk: u32) {
        self.links[chunk as usize] = core::mem::replace(&mut self.free, chunk);
    }

    /// Makes the next entries the run, if there are any before `end`: one bucket, and more while
    /// there are few. The last run has been taken.
    fn gather(&mut self, end: u64) {
        let Some(last) = end.checked_sub(1) else { return };
        let Some(first) = self.seek(last >> GRAIN_BITS) else { return };
        self.run.clear();
        self.taken = 0;
        while let Some(chunk) = self.held.pop() {
            self.release(chunk);
        }
        self.cursor = first;
        self.began = first << GRAIN_BITS;
        while let Some(at) = self.levels[0].next(self.cursor as usize % BUCKETS) {
            let number = self.cursor - self.cursor % BUCKETS as u64 + at as u64;
            if number >= first + self.stretch || self.run.len() >= RUN {
                break;
            }
            let (mut chunk, mut filled) = self.empty(0, at);
            let first_held = self.held.len();
            while chunk != NONE {
                let begin = chunk as usize * CHUNK;
                Caches.bring(&self.pool[begin..begin + CHUNK]);
                self.held.push(chunk);
                chunk = self.links[chunk as usize];
            }
            for chunk in &self.held[first_held..] {
                let begin = *chunk as usize * CHUNK;
                let entries = self.pool[begin..begin + filled].iter().zip(begin as u64..);
                let began = self.began;
                self.run.extend(entries.map(|(entry, at)| (entry.time - began) << 32 | at));
                filled = CHUNK;
            }
            self.cursor = number + 1;
            if self.cursor.is_multiple_of(BUCKETS as u64) {
                self.cascade();
                break;
            }
        }
        self.sort();
    }

    /// Sorts the run: by time, since few have the same, and then those.
    fn sort(&mut self) {
        self.run.sort_unstable();
        let mut at = 0;
        while let Some(rest) = self.run.get_mut(at..)
            && let Some(first) = rest.first().map(|key| key >> 32)
        {
            let same = 1 + rest[1..].iter().take_while(|key| *key >> 32 == first).count();
            if same > 1 {
                let pool = &self.pool;
                rest[..same].sort_unstable_by_key(|key| pool[*key as u32 as usize].order());
            }
            at += same;
        }
    }

    /// The number of the next lowest-level bucket that has entries; moves the cursor, and the
    /// entries of higher levels, as far as that takes. `None`, and the cursor goes no further, if
    /// that is beyond bucket `last`.
    fn seek(&mut self, last: u64) -> Option<u64> {
        loop {
            // Higher levels have nothing before the end of this level's round.
            let level = self.levels.iter().position(|level| level.entries > 0)?;
            let shift = LEVEL_BITS * level as u32;
            let from = (self.cursor >> shift) as usize % BUCKETS;
            let round = (self.cursor >> shift) - from as u64;
            let at = self.levels[level].next(from);
            let number = (round + at.unwrap_or(BUCKETS) as u64) << shift;
            if number > last {
                return None;
            }
            if level == 0 && at.is_some() {
                return Some(number);
            }
            self.cursor = number;
            self.cascade();
        }
    }

    /// Spreads the higher buckets that begin at the cursor over the levels below them.
    fn cascade(&mut self) {
        for level in (1..LEVELS).rev() {
            let shift = LEVEL_BITS * level as u32;
            if self.cursor.trailing_zeros() >= shift {
                let at = (self.cursor >> shift) as usize % BUCKETS;
                let (mut chunk, mut filled) = self.empty(level, at);
                while chunk != NONE {
                    let begin = chunk as usize * CHUNK;
                    (begin..begin + filled).for_each(|at| self.place(self.pool[at]));
                    let next = self.links[chunk as usize];
                    self.release(chunk);
                    chunk = next;
                    filled = CHUNK;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BinaryHeap;

    use proptest::prelude::*;

    use super::*;

    /// What a wheel is asked: entries so long after the last time taken, or so many taken out.
    #[derive(Clone, Debug)]
    enum Step {
        Push { after: u64, to: u32, from: u32 },
        Take { count: usize, within: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        let span = prop_oneof![
            Just(0),
            0..100_000u64,
            (0..40u32).prop_map(|bits| 1 << bits),
            0..1u64 << 36,
            (0..4u64).prop_map(|n| n * 50_000_000),
            0..1u64 << 63,
        ];
        prop_oneof![
            3 => (span.clone(), 0..9u32, 0..9u32)
                .prop_map(|(after, to, from)| Step::Push { after, to, from }),
            1 => (0..40usize, span).prop_map(|(count, within)| Step::Take { count, within }),
        ]
    }

    proptest! {
        #[test]
        fn order_is_that_of_a_heap(
            steps in proptest::collection::vec(step(), 0..400),
            lookahead in prop_oneof![Just(0), 0..200_000_000u64],
        ) {
            let mut wheel = Wheel::new(lookahead);
            let mut heap = BinaryHeap::new();
            let mut now = 0;
            for (seq, step) in (0..).zip(&steps) {
                match *step {
                    Step::Push { after, to, from } => {
                        let time = u64::saturating_add(now, after);
                        let (to, from) = (Node::from_raw(to), Node::from_raw(from));
                        let entry = Entry { time, to, from, seq, body: seq };
                        wheel.push(entry);
                        if entry.time < NEVER {
                            heap.push(Late(entry));
                        }
                    }
                    Step::Take { count, within } => {
                        let end = now.saturating_add(within);
                        for _ in 0..count {
                            let first = heap.peek().map(|late| late.0.order());
                            let first = first.filter(|(time, ..)| *time < end);
                            prop_assert_eq!(wheel.first(end), first);
                            let taken = wheel.pop(end).map(|entry| (entry.order(), entry.body));
                            prop_assert_eq!(taken.map(|taken| taken.0), first);
                            if let Some(Late(entry)) = first.and_then(|_| heap.pop()) {
                                prop_assert_eq!(taken.map(|taken| taken.1), Some(entry.body));
                                now = entry.time;
                            }
                        }
                        if wheel.first(end).is_none() {
                            now = now.max(end.min(NEVER - 1));
                        }
                    }
                }
                prop_assert_eq!(wheel.len(), heap.len());
            }
            while let Some(Late(entry)) = heap.pop() {
                prop_assert_eq!(wheel.pop(NEVER).map(|taken| taken.order()), Some(entry.order()));
            }
            prop_assert!(wheel.pop(NEVER).is_none());
        }
    }

    #[test]
    fn chunks_are_used_again() {
        let mut wheel = Wheel::new(0);
        let node = Node::from_raw(0);
        for round in 0..100u64 {
            for seq in 0..1_000 {
                let time = round * 1_000_000_000 + u64::from(seq) * 1_000;
                wheel.push(Entry { time, to: node, from: node, seq, body: () });
            }
            while wheel.pop(NEVER).is_some() {}
        }
        assert!(wheel.pool.len() < 2_500, "{}", wheel.pool.len());
    }

    #[test]
    fn entries_are_small() {
        assert_eq!(size_of::<Entry<crate::shard::Body<u8>>>(), 32);
        assert_eq!(size_of::<Entry<crate::shard::Body<(u32, u8)>>>(), 32);
    }
}
