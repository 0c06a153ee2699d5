//! The SHA-256 merkle trees of v2 torrents (BEP 52): binary, over blocks of 16 KiB, missing leaves
//! zero. Layers are counted from the leaves up; the leaves are layer 0.
//!
//! Here is the arithmetic; hashes that peers send are checked in `range`, put together to piece
//! layers in `assemble`, and sent to peers from `tree`.

mod assemble;
mod range;
mod tree;

pub use assemble::LayerAssembler;
pub use range::{FileShape, HashesError, MAX_RANGE_LEN};
pub use tree::FileTree;

use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use crate::id::BLOCK_LEN;

/// A node of a tree.
pub type Hash = [u8; 32];

/// Hashes a block of at most [`BLOCK_LEN`] bytes: a leaf.
#[must_use]
pub fn leaf(block: &[u8]) -> Hash {
    Sha256::digest(block).into()
}

/// Hashes two nodes into their parent.
#[must_use]
pub fn parent(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(left);
    hasher.update(right);
    hasher.finalize().into()
}

/// The root of a tree of 2^`layer` missing leaves.
#[must_use]
pub fn zero_root(layer: u32) -> Hash {
    (0..layer).fold([0; 32], |below, _| parent(&below, &below))
}

/// The root over `nodes` of one layer, filled up to a power of two with the roots of missing
/// leaves. Zeros if there are no nodes.
#[must_use]
pub fn root(nodes: &[Hash], layer: u32) -> Hash {
    root_of_width(nodes, layer, nodes.len().next_power_of_two())
}

/// [`root`], filled up to `width` nodes, a power of two.
#[must_use]
pub fn root_of_width(nodes: &[Hash], layer: u32, width: usize) -> Hash {
    let height = width.next_power_of_two().ilog2();
    let mut zero = zero_root(layer);
    let mut above = Vec::new();
    for _ in 0..height {
        let below = if above.is_empty() { nodes } else { &above[..] };
        let pairs = below.chunks(2).map(|pair| parent(&pair[0], pair.get(1).unwrap_or(&zero)));
        above = pairs.collect();
        zero = parent(&zero, &zero);
    }
    above.first().or(nodes.first()).copied().unwrap_or(zero)
}

/// The layer whose nodes cover `piece_len` bytes each.
#[must_use]
pub fn piece_layer(piece_len: u32) -> u32 {
    (piece_len / BLOCK_LEN).checked_ilog2().unwrap_or(0)
}

/// How many leaves a file of `len` bytes has, missing ones not counted.
#[must_use]
pub fn leaf_count(len: u64) -> u64 {
    len.div_ceil(u64::from(BLOCK_LEN))
}

#[cfg(test)]
mod tests;
