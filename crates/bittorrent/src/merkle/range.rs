//! Runs of hashes as peers ask for and send them: whether they are possible, and whether they are
//! right.

use super::{Hash, leaf_count, parent, piece_layer, root_of_width};
use crate::peer_wire::HashRange;

/// Most hashes that are served in one message: the leaves of a piece of 128 MiB. BEP 52 asks to
/// request no more than 512 of a piece layer.
pub const MAX_RANGE_LEN: u32 = 8192;

/// Why a hash request or hashes were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashesError {
    /// Not about this file.
    #[error("hashes of another file")]
    Root,
    /// A layer that the tree does not have, or the root alone.
    #[error("no such layer in the file's tree")]
    Layer,
    /// An index that is not a multiple of the length, or outside of the layer.
    #[error("hashes that begin at an impossible index")]
    Index,
    /// No hashes, or too many.
    #[error("an impossible number of hashes")]
    Length,
    /// More proof layers than there are layers.
    #[error("more proof layers than the tree has")]
    ProofLayers,
    /// Another number of hashes than was said.
    #[error("{found} hashes where {needed} are needed")]
    Count {
        /// Hashes that were there.
        found: usize,
        /// Hashes that the range needs.
        needed: usize,
    },
    /// A proof that ends below every hash that is known.
    #[error("hashes that nothing known proves")]
    Unproven,
    /// Hashes that contradict what is known.
    #[error("wrong hashes")]
    Wrong,
}

/// The form of a file's tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileShape {
    /// The root.
    pub root: Hash,
    /// How many leaves there are, missing ones not counted.
    pub leaves: u64,
    /// The layer that is the root alone.
    pub height: u32,
    /// The piece layer, or `height` if the file is no longer than a piece.
    pub piece_layer: u32,
}

impl FileShape {
    /// The tree of a file; `None` if it is empty.
    #[must_use]
    pub fn new(root: Hash, file_len: u64, piece_len: u32) -> Option<Self> {
        let leaves = leaf_count(file_len);
        let height = leaves.checked_next_power_of_two().filter(|_| leaves > 0)?.ilog2();
        Some(Self { root, leaves, height, piece_layer: piece_layer(piece_len).min(height) })
    }

    /// How many pieces the file has.
    #[must_use]
    pub fn pieces(&self) -> u64 {
        self.leaves.div_ceil(1 << self.piece_layer)
    }

    /// Whether a run of hashes is possible in this tree.
    ///
    /// # Errors
    /// If it is not.
    pub fn check(&self, range: &HashRange) -> Result<(), HashesError> {
        if range.pieces_root != self.root {
            return Err(HashesError::Root);
        }
        let layers = self.height.checked_sub(range.base_layer).filter(|layers| *layers > 0);
        let layers = layers.ok_or(HashesError::Layer)?;
        let layer_len = 1 << layers;
        if range.length == 0 || range.length > MAX_RANGE_LEN {
            return Err(HashesError::Length);
        }
        // The length may be cut at the end of the layer, where a whole run begins all the same.
        let width = u64::from(range.length.next_power_of_two());
        let index = u64::from(range.index);
        if index % width != 0 || index + width > layer_len {
            return Err(HashesError::Index);
        }
        let is_cut = !range.length.is_power_of_two();
        if is_cut && index + u64::from(range.length) < self.nodes(range.base_layer) {
            return Err(HashesError::Length);
        }
        if range.proof_layers >= layers {
            return Err(HashesError::ProofLayers);
        }
        Ok(())
    }

    /// Checks hashes that a peer sent against `known` nodes, given by layer and index; the root
    /// need not be among them. Returns those of the run itself, without the proof.
    ///
    /// # Errors
    /// If the run is impossible, its proof does not reach anything known, or it is wrong.
    pub fn verify<'h>(
        &self,
        range: &HashRange,
        hashes: &'h [Hash],
        known: impl Fn(u32, u64) -> Option<Hash>,
    ) -> Result<&'h [Hash], HashesError> {
        self.check(range)?;
        let length = range.length as usize;
        let needed = length + uncle_layers(range).count();
        if hashes.len() != needed {
            return Err(HashesError::Count { found: hashes.len(), needed });
        }
        let (run, uncles) = hashes.split_at(length);
        let width = length.next_power_of_two();
        let mut node = root_of_width(run, range.base_layer, width);
        let mut layer = range.base_layer + width.ilog2();
        let mut index = u64::from(range.index) >> width.ilog2();
        for uncle in uncles {
            node = if index & 1 == 0 { parent(&node, uncle) } else { parent(uncle, &node) };
            layer += 1;
            index >>= 1;
        }
        let expected = if layer == self.height { Some(self.root) } else { known(layer, index) };
        match expected {
            None => Err(HashesError::Unproven),
            Some(expected) if expected == node => Ok(run),
            Some(_) => Err(HashesError::Wrong),
        }
    }

    /// How many nodes of a layer cover bytes of the file.
    pub(super) fn nodes(&self, layer: u32) -> u64 {
        self.leaves.div_ceil(1 << layer)
    }
}

/// The layers that the uncle hashes of a range come from. Proof layers are counted from the one
/// above the base; those that follow from the run itself are left out. A run of one hash is
/// followed by its sibling: BEP 52 has no such run, but libtorrent asks for it and expects that.
pub(super) fn uncle_layers(range: &HashRange) -> core::ops::RangeInclusive<u32> {
    let first = range.base_layer + range.length.next_power_of_two().ilog2();
    first..=range.base_layer + range.proof_layers
}
