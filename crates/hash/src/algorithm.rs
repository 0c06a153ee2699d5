//! What SHA-1 and SHA-256 have in common: blocks of 64 bytes, words of 32 bits, the same padding.

use super::lanes::{BLOCK_BYTES, Blocks, LaneState, Lanes, MAX_LANES};

pub(super) mod sha1;
pub(super) mod sha256;

/// A hash function of FIPS 180-4 with 32-bit words.
pub(super) trait Algorithm {
    /// What comes out.
    type Digest: Copy;
    /// The chaining value before the first block; words that it does not use are 0.
    const INITIAL: [u32; 8];

    /// The digest that a chaining value stands for.
    fn digest(words: [u32; 8]) -> Self::Digest;

    /// Compresses blocks of one input.
    fn compress_one(words: &mut [u32; 8], blocks: &[[u8; BLOCK_BYTES]]);

    /// Compresses the first `blocks` blocks of as many inputs as `lanes` has lanes.
    ///
    /// Always inlined, because the caller is what enables the instructions of `L`.
    fn compress_lanes<L: Lanes>(
        lanes: L,
        state: &mut LaneState,
        inputs: &[Blocks<'_>; MAX_LANES],
        blocks: usize,
    );

    /// Compresses the first `blocks` blocks of the first two inputs at once.
    #[cfg(target_arch = "x86_64")]
    fn compress_pair(
        sha_ni: super::sha_ni::ShaNi,
        state: &mut LaneState,
        inputs: [Blocks<'_>; 2],
        blocks: usize,
    );
}

/// The end of an input, padded: its last bytes, a 1 bit, zeros, its length in bits.
#[derive(Clone, Copy)]
pub(super) struct Tail {
    blocks: [[u8; BLOCK_BYTES]; 2],
    count: usize,
}

impl Tail {
    /// No blocks.
    pub(super) const EMPTY: Self = Self { blocks: [[0; BLOCK_BYTES]; 2], count: 0 };

    /// Pads `rest`, less than a block, of an input of `total` bytes.
    pub(super) fn new(rest: &[u8], total: usize) -> Self {
        let mut tail = Self::EMPTY;
        // The 1 bit and the length take 9 bytes.
        tail.count = if rest.len() + 9 <= BLOCK_BYTES { 1 } else { 2 };
        let bytes = tail.blocks.as_flattened_mut();
        bytes[..rest.len()].copy_from_slice(rest);
        bytes[rest.len()] = 0x80;
        let end = tail.count * BLOCK_BYTES;
        bytes[end - 8..end].copy_from_slice(&(total as u64 * 8).to_be_bytes());
        tail
    }

    /// The one or two blocks.
    pub(super) fn blocks(&self) -> &[[u8; BLOCK_BYTES]] {
        &self.blocks[..self.count]
    }
}
