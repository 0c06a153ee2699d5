//! The files that hold a word: ascending numbers, of which only the differences are kept, seven bits
//! a byte. Numbers are appended; those that no longer count are taken out many at a time.

use alloc::vec::Vec;

/// Rewriting is not worth while for fewer.
const DEAD_MIN: u32 = 32;
/// Above this many bytes a list grows by an eighth rather than by doubling.
const GROW_GENTLY: usize = 1_024;

/// The files that hold one word.
#[derive(Debug, Default)]
pub(super) struct Postings {
    bytes: Vec<u8>,
    last: u32,
    count: u32,
    dead: u32,
}

impl Postings {
    /// How many are listed, those included that no longer count.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Bytes on the heap.
    pub(super) fn heap(&self) -> usize {
        self.bytes.capacity()
    }

    /// Appends a number above all that are listed.
    pub(super) fn push(&mut self, id: u32) {
        if self.bytes.len() + 5 > self.bytes.capacity() && self.bytes.len() > GROW_GENTLY {
            self.bytes.reserve_exact(self.bytes.len() / 8);
        }
        let mut rest = id - self.last;
        while rest >= 0x80 {
            self.bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.bytes.push(rest as u8);
        self.last = id;
        self.count += 1;
    }

    /// One number no longer counts. Returns whether none are left that do.
    pub(super) fn bury(&mut self, is_live: impl Fn(u32) -> bool) -> bool {
        self.dead += 1;
        if self.dead >= self.count {
            return true;
        }
        if self.dead > DEAD_MIN && self.dead * 2 > self.count {
            self.rewrite(|id| is_live(id).then_some(id));
        }
        false
    }

    /// Gives every number the one that `renumber` says, or strikes it out.
    pub(super) fn rewrite(&mut self, renumber: impl Fn(u32) -> Option<u32>) {
        let mut kept = Self::default();
        self.iter().filter_map(renumber).for_each(|id| kept.push(id));
        kept.bytes.shrink_to_fit();
        *self = kept;
    }

    /// All numbers, ascending.
    pub(super) fn iter(&self) -> Iter<'_> {
        Iter { bytes: &self.bytes, last: 0 }
    }
}

/// Numbers of a list.
#[derive(Clone, Debug)]
pub(super) struct Iter<'a> {
    bytes: &'a [u8],
    last: u32,
}

impl Iter<'_> {
    /// Goes on to the first number that is not below `id`.
    pub(super) fn seek(&mut self, id: u32) -> Option<u32> {
        // The number it stands on may be the one.
        while self.last < id {
            self.next()?;
        }
        Some(self.last)
    }
}

impl Iterator for Iter<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (&first, mut rest) = self.bytes.split_first()?;
        let mut difference = u32::from(first & 0x7f);
        let (mut byte, mut shift) = (first, 7);
        while byte & 0x80 != 0 {
            (byte, rest) = rest.split_first().map(|(byte, rest)| (*byte, rest))?;
            difference |= u32::from(byte & 0x7f) << shift;
            shift += 7;
        }
        self.bytes = rest;
        self.last += difference;
        Some(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_in_order() {
        let numbers: Vec<u32> = (1..2_000u32).map(|n| n * n * 7 % 50_021 + n * 60_000).collect();
        let mut list = Postings::default();
        numbers.iter().for_each(|id| list.push(*id));
        assert_eq!(list.iter().collect::<Vec<_>>(), numbers);
        let mut iter = list.iter();
        for wanted in [0, numbers[0], numbers[5] + 1, numbers[1_998]] {
            let expected = numbers.iter().copied().find(|id| *id >= wanted);
            assert_eq!(iter.seek(wanted), if wanted == 0 { Some(0) } else { expected });
        }
        assert_eq!(iter.seek(u32::MAX), None);
        for (dead, _) in numbers.iter().enumerate().take(1_100) {
            assert!(!list.bury(|id| id > numbers[dead]));
        }
        assert!(list.count() < 1_000, "{}", list.count());
        assert!(list.iter().last() == numbers.last().copied());
    }
}
