//! All pieces, and those that may be begun in the order in which to begin them: by priority, then
//! rarest first, then random. Blocks are not here.
//!
//! Per priority there is one array of pieces, cut into buckets of equal availability. A piece whose
//! availability changes by one is swapped to the edge of its bucket and the edge moves past it:
//! constant time. Twelve bytes per piece, and one bit.

use alloc::vec::Vec;
use core::cmp::Reverse;

use machine::Rng;

use super::view::{PieceSet, Priority};
use crate::id::PieceIndex;

const HAVE: u8 = 0x08;
const PARTIAL: u8 = 0x10;
const PRIORITY: u8 = 0x07;

/// Pieces looked at in order before a pick turns to what the peer has.
const SCAN: usize = 512;

/// Above this share of all pieces in one bitfield, sorting anew is cheaper than moving each.
const RESORT_SHARE: u32 = 16;

#[derive(Clone, Copy)]
struct Piece {
    /// Where it is: in its class's order, or among the partial pieces.
    place: u32,
    /// How many peers that are not seeds have it.
    availability: u16,
    flags: u8,
}

impl Piece {
    const fn class(&self) -> usize {
        (self.flags & PRIORITY) as usize
    }

    /// Whether it is in an order: wanted, missing and not begun.
    const fn is_listed(&self) -> bool {
        self.flags & PRIORITY != 0 && self.flags & (HAVE | PARTIAL) == 0
    }
}

/// The pieces of one priority that may be begun.
#[derive(Default)]
struct Class {
    order: Vec<u32>,
    /// Where the bucket of each availability ends in `order`.
    ends: Vec<u32>,
}

impl Class {
    fn start(&self, bucket: usize) -> u32 {
        bucket.checked_sub(1).map_or(0, |before| self.ends[before])
    }
}

/// The state of every piece.
pub(super) struct Order {
    pieces: Vec<Piece>,
    classes: [Class; 8],
    listed: u32,
    /// Wanted and missing pieces, begun or not, as a bitfield.
    missing: Vec<u8>,
    missing_count: u32,
    have_count: u32,
    /// Peers that have everything; not counted in each piece's availability.
    seeds: u32,
    /// The lowest piece that may be listed, for picking in sequence.
    lowest: u32,
    /// Whether the classes must be built before use.
    dirty: bool,
    rng: Rng,
}

impl Order {
    pub fn new(piece_count: u32, rng: Rng) -> Self {
        let piece = Piece { place: 0, availability: 0, flags: Priority::NORMAL.level() };
        let mut missing = alloc::vec![0xff; (piece_count as usize).div_ceil(8)];
        if let Some(last) = missing.last_mut() {
            *last <<= piece_count.wrapping_neg() % 8;
        }
        Self {
            pieces: alloc::vec![piece; piece_count as usize],
            classes: Default::default(),
            listed: piece_count,
            missing,
            missing_count: piece_count,
            have_count: 0,
            seeds: 0,
            lowest: 0,
            dirty: true,
            rng,
        }
    }

    pub fn piece_count(&self) -> u32 {
        self.pieces.len() as u32
    }

    pub fn has(&self, piece: PieceIndex) -> bool {
        self.get(piece).is_some_and(|state| state.flags & HAVE != 0)
    }

    pub fn priority(&self, piece: PieceIndex) -> Priority {
        self.get(piece).map_or(Priority::SKIP, |state| Priority::new(state.flags & PRIORITY))
    }

    pub fn is_wanted_missing(&self, piece: PieceIndex) -> bool {
        self.get(piece).is_some_and(|state| state.flags & PRIORITY != 0 && state.flags & HAVE == 0)
    }

    pub fn is_listed(&self, piece: PieceIndex) -> bool {
        self.get(piece).is_some_and(Piece::is_listed)
    }

    /// The place of `piece` among the partial pieces, if it is one.
    pub fn partial(&self, piece: PieceIndex) -> Option<u32> {
        self.get(piece).filter(|state| state.flags & PARTIAL != 0).map(|state| state.place)
    }

    /// How many connected peers have `piece`, seeds included.
    pub fn availability(&self, piece: PieceIndex) -> u32 {
        self.get(piece).map_or(0, |state| u32::from(state.availability)) + self.seeds
    }

    pub const fn listed(&self) -> u32 {
        self.listed
    }

    pub const fn missing_count(&self) -> u32 {
        self.missing_count
    }

    pub const fn have_count(&self) -> u32 {
        self.have_count
    }

    pub const fn seeds(&self) -> u32 {
        self.seeds
    }

    /// Whether `set` has a piece that is wanted and missing.
    pub fn is_interesting(&self, set: PieceSet<'_>) -> bool {
        match set {
            PieceSet::All => self.missing_count > 0,
            _ => self.missing.iter().enumerate().any(|(at, byte)| byte & set.byte(at) != 0),
        }
    }

    pub fn change_seeds(&mut self, joined: bool) {
        self.seeds =
            if joined { self.seeds.saturating_add(1) } else { self.seeds.saturating_sub(1) };
    }

    /// Counts all pieces of a peer in or out.
    pub fn change_set(&mut self, bytes: &[u8], joined: bool) {
        let ones: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
        if ones > self.piece_count() / RESORT_SHARE {
            self.dirty = true;
        }
        for (at, byte) in bytes.iter().enumerate() {
            let mut left = *byte;
            while left != 0 {
                let bit = left.leading_zeros();
                left &= !(0x80 >> bit);
                self.change_piece(PieceIndex((at as u32).saturating_mul(8) + bit), joined);
            }
        }
    }

    /// Counts one piece of a peer in or out.
    pub fn change_piece(&mut self, piece: PieceIndex, joined: bool) {
        let Some(state) = self.pieces.get_mut(piece.0 as usize) else { return };
        let before = state.availability;
        let after = if joined { before.saturating_add(1) } else { before.saturating_sub(1) };
        if after == before {
            return;
        }
        state.availability = after;
        if state.is_listed() && !self.dirty {
            let (class, place) = (state.class(), state.place);
            if joined {
                self.move_up(class, place, before as usize);
            } else {
                self.move_down(class, place, before as usize);
            }
        }
    }

    pub fn set_priority(&mut self, piece: PieceIndex, priority: Priority) {
        self.change_flags(piece, |flags| flags & !PRIORITY | priority.level());
    }

    pub fn set_have(&mut self, piece: PieceIndex, have: bool) {
        self.change_flags(piece, |flags| if have { flags | HAVE } else { flags & !HAVE });
    }

    pub fn set_partial(&mut self, piece: PieceIndex, place: Option<u32>) {
        match place {
            Some(place) => {
                self.change_flags(piece, |flags| flags | PARTIAL);
                if let Some(state) = self.pieces.get_mut(piece.0 as usize) {
                    state.place = place;
                }
            }
            None => self.change_flags(piece, |flags| flags & !PARTIAL),
        }
    }

    /// The first piece in order that `set` has. The walk is cut short after
    /// [`SCAN`] pieces; then the best of some that the set and we have use for is taken.
    pub fn rarest(&mut self, set: PieceSet<'_>) -> Option<PieceIndex> {
        self.sort();
        let mut left = SCAN;
        for class in self.classes.iter().rev() {
            for &piece in class.order.get(self.reachable(class)..).unwrap_or_default() {
                let piece = PieceIndex(piece);
                if set.has(piece) {
                    return Some(piece);
                }
                left -= 1;
                if left == 0 {
                    return self.best_of_set(set);
                }
            }
        }
        None
    }

    /// A random piece of the highest priority that `set` has, if one is found
    /// near a random place.
    pub fn random(&mut self, set: PieceSet<'_>) -> Option<PieceIndex> {
        self.sort();
        let class = self.classes.iter().rev().find(|class| !class.order.is_empty())?;
        let order = class.order.get(self.reachable(class)..)?;
        let start = self.rng.below(order.len() as u64) as usize;
        let around = order[start..].iter().chain(&order[..start]).take(SCAN);
        around.map(|&piece| PieceIndex(piece)).find(|&piece| set.has(piece))
    }

    /// The lowest piece that `set` has.
    pub fn lowest(&mut self, set: PieceSet<'_>) -> Option<PieceIndex> {
        while self.pieces.get(self.lowest as usize).is_some_and(|state| !state.is_listed()) {
            self.lowest += 1;
        }
        (self.lowest..self.piece_count())
            .map(PieceIndex)
            .find(|&piece| self.is_listed(piece) && set.has(piece))
    }

    /// Where in a class's order the pieces begin that somebody has.
    fn reachable(&self, class: &Class) -> usize {
        if self.seeds > 0 { 0 } else { class.ends.first().map_or(0, |&end| end as usize) }
    }

    /// The best of up to 32 pieces found by walking over `set` from a random place.
    fn best_of_set(&mut self, set: PieceSet<'_>) -> Option<PieceIndex> {
        let bytes = self.missing.len();
        let start = self.rng.below(bytes as u64) as usize;
        (start..bytes)
            .chain(0..start)
            .flat_map(|at| {
                let byte = set.byte(at) & self.missing[at];
                (0..8)
                    .filter(move |bit| byte & 0x80 >> bit != 0)
                    .map(move |bit| at as u32 * 8 + bit)
            })
            .map(PieceIndex)
            .filter(|&piece| self.is_listed(piece))
            .take(32)
            .min_by_key(|&piece| (Reverse(self.priority(piece)), self.availability(piece)))
    }

    fn get(&self, piece: PieceIndex) -> Option<&Piece> {
        self.pieces.get(piece.0 as usize)
    }

    fn change_flags(&mut self, piece: PieceIndex, change: impl Fn(u8) -> u8) {
        let Some(&before) = self.get(piece) else { return };
        let after = Piece { flags: change(before.flags), ..before };
        if after.flags == before.flags {
            return;
        }
        if before.is_listed() {
            self.listed -= 1;
            if !self.dirty {
                self.remove(before);
            }
        }
        self.pieces[piece.0 as usize].flags = after.flags;
        self.count_missing(piece, before, after);
        if after.is_listed() {
            self.listed += 1;
            self.lowest = self.lowest.min(piece.0);
            if !self.dirty {
                self.insert(piece);
            }
        }
    }

    fn count_missing(&mut self, piece: PieceIndex, before: Piece, after: Piece) {
        let missing = |state: Piece| state.flags & PRIORITY != 0 && state.flags & HAVE == 0;
        let (byte, mask) = ((piece.0 / 8) as usize, 0x80 >> (piece.0 % 8));
        match (missing(before), missing(after)) {
            (true, false) => {
                self.missing[byte] &= !mask;
                self.missing_count -= 1;
            }
            (false, true) => {
                self.missing[byte] |= mask;
                self.missing_count += 1;
            }
            _ => {}
        }
        match (before.flags & HAVE != 0, after.flags & HAVE != 0) {
            (true, false) => self.have_count -= 1,
            (false, true) => self.have_count += 1,
            _ => {}
        }
    }

    /// Builds the classes from nothing by counting, if they are out of date.
    fn sort(&mut self) {
        if !self.dirty {
            return;
        }
        self.dirty = false;
        for class in &mut self.classes {
            class.order.clear();
            class.ends.clear();
        }
        let mut totals = [0; 8];
        for state in self.pieces.iter().filter(|state| state.is_listed()) {
            let counts = &mut self.classes[state.class()].ends;
            let bucket = usize::from(state.availability);
            if counts.len() <= bucket {
                counts.resize(bucket + 1, 0);
            }
            counts[bucket] += 1;
            totals[state.class()] += 1;
        }
        for (class, total) in self.classes.iter_mut().zip(totals) {
            class.order.resize(total, 0);
            let mut start = 0;
            for count in &mut class.ends {
                start += core::mem::replace(count, start);
            }
        }
        for (piece, state) in (0..).zip(&self.pieces).filter(|(_, state)| state.is_listed()) {
            let class = &mut self.classes[state.class()];
            let next = &mut class.ends[usize::from(state.availability)];
            class.order[*next as usize] = piece;
            *next += 1;
        }
        for class in &mut self.classes {
            let mut start = 0;
            for &end in &class.ends {
                self.rng.shuffle(&mut class.order[start as usize..end as usize]);
                start = end;
            }
            for (place, &piece) in (0..).zip(&class.order) {
                self.pieces[piece as usize].place = place;
            }
        }
    }

    fn move_up(&mut self, class: usize, place: u32, bucket: usize) {
        let target = &mut self.classes[class];
        if target.ends.len() <= bucket + 1 {
            target.ends.push(target.order.len() as u32);
        }
        target.ends[bucket] -= 1;
        let edge = target.ends[bucket];
        self.swap(class, place, edge);
        self.mix(class, edge, bucket + 1);
    }

    fn move_down(&mut self, class: usize, place: u32, bucket: usize) {
        let edge = self.classes[class].start(bucket);
        self.swap(class, place, edge);
        self.classes[class].ends[bucket - 1] += 1;
        self.mix(class, edge, bucket - 1);
    }

    fn insert(&mut self, piece: PieceIndex) {
        let state = self.pieces[piece.0 as usize];
        let (index, bucket) = (state.class(), usize::from(state.availability));
        let class = &mut self.classes[index];
        let mut hole = class.order.len() as u32;
        class.order.push(piece.0);
        if class.ends.len() <= bucket {
            class.ends.resize(bucket + 1, hole);
        }
        for above in (bucket + 1..class.ends.len()).rev() {
            let first = class.ends[above - 1];
            class.ends[above] += 1;
            if first == hole {
                continue;
            }
            let moved = class.order[first as usize];
            class.order[hole as usize] = moved;
            self.pieces[moved as usize].place = hole;
            hole = first;
        }
        class.ends[bucket] += 1;
        class.order[hole as usize] = piece.0;
        self.pieces[piece.0 as usize].place = hole;
        self.mix(index, hole, bucket);
    }

    fn remove(&mut self, state: Piece) {
        let class = &mut self.classes[state.class()];
        let mut hole = state.place;
        for end in &mut class.ends[usize::from(state.availability)..] {
            *end -= 1;
            if *end == hole {
                continue;
            }
            let moved = class.order[*end as usize];
            class.order[hole as usize] = moved;
            self.pieces[moved as usize].place = hole;
            hole = *end;
        }
        class.order.pop();
    }

    /// Swaps the piece at `place` with a random one of its bucket.
    fn mix(&mut self, class: usize, place: u32, bucket: usize) {
        let (start, end) = (self.classes[class].start(bucket), self.classes[class].ends[bucket]);
        let other = start + self.rng.below(u64::from(end - start)) as u32;
        self.swap(class, place, other);
    }

    fn swap(&mut self, class: usize, one: u32, other: u32) {
        let order = &mut self.classes[class].order;
        order.swap(one as usize, other as usize);
        self.pieces[order[one as usize] as usize].place = one;
        self.pieces[order[other as usize] as usize].place = other;
    }
}
