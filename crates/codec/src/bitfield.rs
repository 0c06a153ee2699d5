//! Sets of small numbers as bitfields, most significant bit first (BEP 3).

use alloc::vec;
use alloc::vec::Vec;

/// A set of numbers below a fixed bound, one bit each. It knows how many there are.
#[derive(Clone, PartialEq, Eq)]
pub struct Bitfield {
    /// Bit 0 is the most significant bit of the first word. Bits from `len` on are zero.
    words: Vec<u64>,
    len: u32,
    ones: u32,
}

/// Why bytes are no bitfield of a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BitfieldError {
    /// More or fewer bytes than the bits need.
    #[error("a bitfield of {found} bytes where {needed} are needed")]
    Len {
        /// Bytes that were there.
        found: usize,
        /// Bytes that the bits need.
        needed: usize,
    },
    /// Bits after the last are set.
    #[error("a bitfield with spare bits set")]
    SpareBits,
}

impl Bitfield {
    /// `len` bits, none of them set.
    #[must_use]
    pub fn new(len: u32) -> Self {
        Self { words: vec![0; len.div_ceil(64) as usize], len, ones: 0 }
    }

    /// `len` bits, all of them set.
    #[must_use]
    pub fn full(len: u32) -> Self {
        let mut words = vec![u64::MAX; len.div_ceil(64) as usize];
        if let Some(last) = words.last_mut() {
            *last <<= (64 - len % 64) % 64;
        }
        Self { words, len, ones: len }
    }

    /// `len` bits from the bytes in which peers send them.
    ///
    /// # Errors
    /// If there are too many or too few bytes, or a bit after the last is set.
    pub fn from_wire(bytes: &[u8], len: u32) -> Result<Self, BitfieldError> {
        let needed = len.div_ceil(8) as usize;
        if bytes.len() != needed {
            return Err(BitfieldError::Len { found: bytes.len(), needed });
        }
        let mut words = Vec::with_capacity(len.div_ceil(64) as usize);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            words.push(u64::from_be_bytes(word));
        }
        // No shift if the last word is used up, for then it would be by all 64 bits.
        let used = len % 64;
        if words.last().is_some_and(|last| used > 0 && last << used != 0) {
            return Err(BitfieldError::SpareBits);
        }
        let ones = words.iter().map(|word| word.count_ones()).sum();
        Ok(Self { words, len, ones })
    }

    /// The bytes in which peers send it.
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.truncate(self.len.div_ceil(8) as usize);
        bytes
    }

    /// Eight bits from `index * 8` on, as on the wire; zeros past the end.
    #[must_use]
    pub fn byte(&self, index: u32) -> u8 {
        let word = self.words.get((index / 8) as usize).copied().unwrap_or(0);
        (word >> (56 - index % 8 * 8)) as u8
    }

    /// How many bits there are, set or not.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is no bit at all, set or not.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bits are set, without counting them anew.
    #[must_use]
    pub fn count_ones(&self) -> u32 {
        self.ones
    }

    /// Whether every bit is set.
    #[must_use]
    pub fn all(&self) -> bool {
        self.ones == self.len
    }

    /// Whether no bit is set.
    #[must_use]
    pub fn none(&self) -> bool {
        self.ones == 0
    }

    /// Whether a bit is set; bits out of range are not.
    #[must_use]
    pub fn get(&self, index: u32) -> bool {
        index < self.len && self.words[(index / 64) as usize] & mask(index) != 0
    }

    /// Sets a bit. Returns whether that changed it; a bit out of range stays as it is.
    pub fn set(&mut self, index: u32) -> bool {
        let changes = index < self.len && !self.get(index);
        if changes {
            self.words[(index / 64) as usize] |= mask(index);
            self.ones += 1;
        }
        changes
    }

    /// Clears a bit. Returns whether that changed it.
    pub fn clear(&mut self, index: u32) -> bool {
        let changes = self.get(index);
        if changes {
            self.words[(index / 64) as usize] &= !mask(index);
            self.ones -= 1;
        }
        changes
    }

    /// The set bits in ascending order.
    pub fn ones(&self) -> impl Iterator<Item = u32> + '_ {
        bits(self.words.iter().copied())
    }

    /// The bits that are not set, in ascending order.
    pub fn zeros(&self) -> impl Iterator<Item = u32> + '_ {
        bits(self.words.iter().map(|word| !word)).take((self.len - self.ones) as usize)
    }

    /// The bits that are set here and not in `other`, in ascending order. Bits that `other` has no
    /// room for are not set in it.
    pub fn difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u32> + 'a {
        bits(self.difference_words(other))
    }

    /// How many bits are set here and not in `other`.
    #[must_use]
    pub fn count_difference(&self, other: &Self) -> u32 {
        self.difference_words(other).map(u64::count_ones).sum()
    }

    /// Whether every bit that is set here is set in `other`.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.difference_words(other).all(|word| word == 0)
    }

    fn difference_words<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u64> + 'a {
        let others = other.words.iter().copied().chain(core::iter::repeat(0));
        self.words.iter().zip(others).map(|(mine, theirs)| mine & !theirs)
    }
}

impl core::fmt::Debug for Bitfield {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Bitfield({} of {})", self.ones, self.len)
    }
}

fn mask(index: u32) -> u64 {
    1 << (63 - index % 64)
}

/// The numbers of the set bits of `words`.
fn bits(words: impl Iterator<Item = u64>) -> impl Iterator<Item = u32> {
    let mut words = words.zip((0..).step_by(64));
    let (mut word, mut base) = (0_u64, 0);
    core::iter::from_fn(move || {
        while word == 0 {
            (word, base) = words.next()?;
        }
        let bit = word.leading_zeros();
        word &= !mask(bit);
        Some(base + bit)
    })
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_bit_is_the_most_significant() {
        let mut bits = Bitfield::new(10);
        assert!(bits.set(0) && bits.set(9) && !bits.set(9) && !bits.set(10));
        assert_eq!(bits.to_wire(), [0b1000_0000, 0b0100_0000]);
        assert_eq!(Bitfield::from_wire(&[0b1000_0000, 0b0100_0000], 10), Ok(bits));
    }

    #[test]
    fn refuses_other_lengths_and_spare_bits() {
        assert_eq!(Bitfield::from_wire(&[0], 10), Err(BitfieldError::Len { found: 1, needed: 2 }));
        assert_eq!(
            Bitfield::from_wire(&[0; 3], 10),
            Err(BitfieldError::Len { found: 3, needed: 2 })
        );
        assert_eq!(Bitfield::from_wire(&[0, 0b0010_0000], 10), Err(BitfieldError::SpareBits));
        assert_eq!(Bitfield::from_wire(&[0xff; 9], 71), Err(BitfieldError::SpareBits));
        assert!(Bitfield::from_wire(&[0xff; 8], 64).unwrap().all());
        assert_eq!(Bitfield::from_wire(&[], 0), Ok(Bitfield::new(0)));
    }

    #[test]
    fn a_full_one_has_every_bit_and_no_more() {
        for len in [0, 1, 63, 64, 65, 128, 1000] {
            let full = Bitfield::full(len);
            assert!(full.all());
            assert_eq!(full.ones().count(), len as usize);
            assert_eq!(Bitfield::from_wire(&full.to_wire(), len), Ok(full));
            assert_eq!(Bitfield::new(len).zeros().count(), len as usize);
        }
    }

    #[test]
    fn difference_with_a_shorter_one_keeps_the_rest() {
        let mut short = Bitfield::new(3);
        short.set(1);
        let long = Bitfield::full(130);
        assert_eq!(long.count_difference(&short), 129);
        assert_eq!(long.difference(&short).nth(1), Some(2));
        assert_eq!(short.difference(&long).count(), 0);
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(
            len in 1_u32..300,
            steps in prop::collection::vec((any::<bool>(), 0_u32..320), 0..200),
            other in prop::collection::btree_set(0_u32..300, 0..100),
        ) {
            let (mut bits, mut set) = (Bitfield::new(len), BTreeSet::new());
            for (add, index) in steps {
                if add {
                    prop_assert_eq!(bits.set(index), index < len && set.insert(index));
                } else {
                    prop_assert_eq!(bits.clear(index), set.remove(&index));
                }
            }
            prop_assert_eq!(bits.count_ones() as usize, set.len());
            prop_assert!(bits.ones().eq(set.iter().copied()));
            prop_assert!(bits.zeros().eq((0..len).filter(|index| !set.contains(index))));
            let mut theirs = Bitfield::new(len);
            other.iter().for_each(|index| { theirs.set(*index); });
            let expected: Vec<_> = set.iter().copied().filter(|i| !theirs.get(*i)).collect();
            prop_assert_eq!(bits.is_subset(&theirs), expected.is_empty());
            prop_assert_eq!(bits.count_difference(&theirs) as usize, expected.len());
            prop_assert!(bits.difference(&theirs).eq(expected));
            prop_assert_eq!(Bitfield::from_wire(&bits.to_wire(), len), Ok(bits));
        }
    }
}
