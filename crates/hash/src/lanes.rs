//! Vectors whose lanes hold one word each of as many independent hashes.
//!
//! [`Lanes`] is what the rounds of SHA-1 and SHA-256 are written over; the vectors of each
//! instruction set implement it. A value of an implementing type is proof that the processor has
//! the instructions, so the rounds themselves need no `unsafe`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(super) use avx512::{Avx512, Avx512Half};

/// Most lanes that any vector has.
pub(super) const MAX_LANES: usize = 16;

/// Bytes that one compression takes (FIPS 180-4, both algorithms).
pub(super) const BLOCK_BYTES: usize = 64;

/// How far ahead of the block in work to prefetch: sixteen streams are more than the prefetchers of
/// processors follow.
#[cfg(target_arch = "x86_64")]
const PREFETCH_BYTES: usize = 8 * BLOCK_BYTES;

/// Whole blocks of one input.
pub(super) type Blocks<'a> = &'a [[u8; BLOCK_BYTES]];

/// Chaining values, one word of all lanes after the other; SHA-1 uses the first five words.
#[repr(align(64))]
#[derive(Clone)]
pub(super) struct LaneState(pub(super) [[u32; MAX_LANES]; 8]);

impl LaneState {
    /// The chaining value of one lane.
    pub(super) fn lane(&self, lane: usize) -> [u32; 8] {
        self.0.map(|row| row[lane])
    }

    /// Replaces the chaining value of one lane.
    pub(super) fn set_lane(&mut self, lane: usize, words: [u32; 8]) {
        for (row, word) in self.0.iter_mut().zip(words) {
            row[lane] = word;
        }
    }
}

/// A set of vector instructions over 32-bit lanes.
///
/// Everything is `inline(always)`: only inside a function that enables the instructions do these
/// become single instructions.
pub(super) trait Lanes: Copy {
    /// A vector of words.
    type Vector: Copy;
    /// Lanes of a vector, at most [`MAX_LANES`].
    const COUNT: usize;

    /// The same word in all lanes.
    fn splat(self, word: u32) -> Self::Vector;
    /// The first [`Self::COUNT`] words of `row`.
    fn load(self, row: &[u32; MAX_LANES]) -> Self::Vector;
    /// Puts the words back into the beginning of `row`.
    fn store(self, vector: Self::Vector, row: &mut [u32; MAX_LANES]);
    /// Word by word (big-endian) block number `block` of the first [`Self::COUNT`] inputs.
    fn message(self, inputs: &[Blocks<'_>; MAX_LANES], block: usize) -> [Self::Vector; 16];
    /// Wrapping sum.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a ^ b`.
    fn xor(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a ^ b ^ c`.
    fn xor3(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// Bits of `a` where `mask` is set, of `b` elsewhere.
    fn choose(self, mask: Self::Vector, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The value that at least two of three bits have.
    fn majority(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// Rotation to the left; `bits`, from 1 to 31, must be a constant for this to be fast.
    fn rotate_left(self, a: Self::Vector, bits: u32) -> Self::Vector;
    /// Shift to the right, zeros coming in; `bits`, below 32, must be a constant to be fast.
    fn shift_right(self, a: Self::Vector, bits: u32) -> Self::Vector;
}
