//! A table of the hashes of words: one bit a slot, since on the last hop only presence counts.

use alloc::boxed::Box;
use alloc::vec;

use super::{QueryHashes, WordHash};

/// Fewest slots of a table.
pub const SLOTS_MIN: u32 = 8;

/// Most slots of a table: 256 KiB of memory.
pub const SLOTS_MAX: u32 = 1 << 21;

/// A table that is fuller than this many percent tells nothing, and draws every query.
const SATURATED_PERCENT: u64 = 50;

/// Which slots hold a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The first slot is the highest bit of the first byte.
    slots: Box<[u8]>,
    bits: u32,
}

impl Table {
    /// An empty table of `slots` slots; `None` unless that is a power of two from [`SLOTS_MIN`] to
    /// [`SLOTS_MAX`].
    #[must_use]
    pub fn new(slots: u32) -> Option<Self> {
        let is_possible = slots.is_power_of_two() && (SLOTS_MIN..=SLOTS_MAX).contains(&slots);
        is_possible.then(|| Self {
            slots: vec![0; (slots / 8) as usize].into_boxed_slice(),
            bits: slots.ilog2(),
        })
    }

    /// How many slots it has.
    #[must_use]
    pub const fn len(&self) -> u32 {
        1 << self.bits
    }

    /// Whether no slot holds a word.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(|byte| *byte == 0)
    }

    /// How many slots hold a word.
    #[must_use]
    pub fn filled(&self) -> u32 {
        self.slots.iter().map(|byte| byte.count_ones()).sum()
    }

    /// Whether so many slots hold a word that the table filters nothing.
    #[must_use]
    pub fn is_saturated(&self) -> bool {
        u64::from(self.filled()) * 100 > u64::from(self.len()) * SATURATED_PERCENT
    }

    /// Adds one hash.
    pub fn insert(&mut self, hash: WordHash) {
        let slot = hash.slot(self.bits);
        self.slots[slot / 8] |= 0x80 >> (slot % 8);
    }

    /// Adds the words of a file's name, and their beginnings of four bytes and more with up to five
    /// bytes cut off, so that searches for those find them too.
    pub fn insert_name(&mut self, name: &str) {
        super::words::index_hashes(name, |hash| self.insert(hash));
    }

    /// Whether this hash, or another in the same slot, is in it.
    #[must_use]
    #[inline]
    pub fn contains(&self, hash: WordHash) -> bool {
        let slot = hash.slot(self.bits);
        self.slots[slot / 8] & 0x80 >> (slot % 8) != 0
    }

    /// Whether a query may have an answer behind this table: all words are there, or a URN is.
    #[must_use]
    #[inline]
    pub fn may_answer(&self, query: &QueryHashes) -> bool {
        let words = query.words();
        (!words.is_empty() && words.iter().all(|hash| self.contains(*hash)))
            || query.urns().iter().any(|hash| self.contains(*hash))
    }

    /// Adds all that another table has, which may have more slots or fewer: the table that an
    /// ultrapeer tells others is the union of its leaves'.
    pub fn merge(&mut self, other: &Self) {
        if self.bits == other.bits {
            self.slots.iter_mut().zip(&other.slots).for_each(|(to, from)| *to |= from);
            return;
        }
        for slot in other.filled_slots() {
            // The slots of both that share their front bits.
            let (first, last) = if self.bits > other.bits {
                let shift = self.bits - other.bits;
                (slot << shift, ((slot + 1) << shift) - 1)
            } else {
                let slot = slot >> (other.bits - self.bits);
                (slot, slot)
            };
            for slot in first..=last {
                self.slots[slot / 8] |= 0x80 >> (slot % 8);
            }
        }
    }

    /// The slots that hold a word, in order.
    pub fn filled_slots(&self) -> impl Iterator<Item = usize> + '_ {
        let filled = self.slots.iter().enumerate().filter(|(_, byte)| **byte != 0);
        filled.flat_map(|(at, byte)| {
            (0..8).filter(move |bit| byte & 0x80 >> bit != 0).map(move |bit| at * 8 + bit)
        })
    }

    /// The slots as bits, the first slot the highest bit of the first byte.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.slots
    }

    /// As [`bytes`](Self::bytes), to change.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.slots
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn gn_16_a_table_of_all_ones_counts_as_saturated() {
        let mut table = Table::new(1 << 14).unwrap();
        assert!(!table.is_saturated() && table.is_empty());
        table.bytes_mut()[..1 << 10].fill(0xff);
        assert!(!table.is_saturated());
        table.bytes_mut()[1 << 10] = 1;
        assert!(table.is_saturated());
    }

    #[test]
    fn sizes_are_powers_of_two_within_bounds() {
        for slots in [0, 4, 9, SLOTS_MAX + 1, SLOTS_MAX * 2, u32::MAX] {
            assert_eq!(Table::new(slots), None, "{slots}");
        }
        assert_eq!(Table::new(SLOTS_MAX).unwrap().len(), SLOTS_MAX);
        assert_eq!(Table::new(SLOTS_MIN).unwrap().len(), SLOTS_MIN);
    }

    proptest! {
        #[test]
        fn a_union_has_the_words_of_both(
            first in prop::collection::vec("[a-z]{3,9}", 0..30),
            second in prop::collection::vec("[a-z]{3,9}", 0..30),
            sizes in (3u32..17, 3u32..17),
        ) {
            let mut tables = [sizes.0, sizes.1].map(|bits| Table::new(1 << bits).unwrap());
            for (table, words) in tables.iter_mut().zip([&first, &second]) {
                words.iter().for_each(|word| table.insert(WordHash::of(word.as_bytes())));
                let slots: Vec<_> = table.filled_slots().collect();
                prop_assert_eq!(slots.len(), table.filled() as usize);
            }
            let [mut union, other] = tables;
            union.merge(&other);
            for word in first.iter().chain(&second) {
                prop_assert!(union.contains(WordHash::of(word.as_bytes())));
            }
        }
    }
}
