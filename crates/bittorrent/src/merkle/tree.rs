//! The upper part of a file's tree, from the piece layer to the root: what hash requests are
//! answered from.

use alloc::vec::Vec;

use super::range::uncle_layers;
use super::{FileShape, Hash, parent, zero_root};
use crate::peer_wire::HashRange;

/// All layers of a file's tree from its piece layer up: 64 bytes for each piece.
#[derive(Clone, Debug)]
pub struct FileTree {
    shape: FileShape,
    /// The piece layer, then each one above it, without nodes that cover no bytes.
    layers: Vec<Vec<Hash>>,
}

impl FileTree {
    /// Builds the tree over a piece layer; over nothing if the file is no longer than a piece.
    /// `None` if the layer does not match the root.
    #[must_use]
    pub fn new(shape: FileShape, piece_layer: &[Hash]) -> Option<Self> {
        let pieces = if shape.piece_layer == shape.height {
            Vec::from([shape.root])
        } else {
            piece_layer.to_vec()
        };
        if pieces.len() as u64 != shape.pieces() {
            return None;
        }
        let mut zero = zero_root(shape.piece_layer);
        let mut layers = Vec::from([pieces]);
        for _ in shape.piece_layer..shape.height {
            let below = layers.last()?;
            let pairs = below.chunks(2);
            let above = pairs.map(|pair| parent(&pair[0], pair.get(1).unwrap_or(&zero))).collect();
            layers.push(above);
            zero = parent(&zero, &zero);
        }
        (layers.last()?.first() == Some(&shape.root)).then_some(Self { shape, layers })
    }

    /// The form of the tree.
    #[must_use]
    pub fn shape(&self) -> &FileShape {
        &self.shape
    }

    /// The piece of the file whose leaves [`FileTree::answer`] needs for this range, if it needs
    /// any.
    #[must_use]
    pub fn leaves_needed(&self, range: &HashRange) -> Option<u32> {
        let is_below = range.base_layer < self.shape.piece_layer;
        let piece = range
            .index
            .checked_shr(self.shape.piece_layer - range.base_layer.min(self.shape.piece_layer));
        piece.filter(|_| is_below)
    }

    /// The answer to a request: the hashes of the range, then the uncles. `leaves` are the hashes
    /// of all blocks of the piece that [`FileTree::leaves_needed`] names. `None` is a rejection:
    /// the range is impossible, or needs leaves that are not there.
    #[must_use]
    pub fn answer(&self, range: &HashRange, leaves: &[Hash]) -> Option<Vec<Hash>> {
        self.shape.check(range).ok()?;
        let below = match self.leaves_needed(range) {
            Some(piece) => self.below(range.base_layer, piece, leaves)?,
            None => Vec::new(),
        };
        let mut hashes = Vec::with_capacity(range.length as usize + 32);
        for offset in 0..u64::from(range.length) {
            hashes.push(self.node(range.base_layer, u64::from(range.index) + offset, &below)?);
        }
        for layer in uncle_layers(range) {
            let index = u64::from(range.index) >> (layer - range.base_layer);
            hashes.push(self.node(layer, index ^ 1, &below)?);
        }
        Some(hashes)
    }

    /// A node; those below the piece layer are in `below`.
    fn node(&self, layer: u32, index: u64, below: &[Below]) -> Option<Hash> {
        if index >= self.shape.nodes(layer) {
            return Some(zero_root(layer));
        }
        let (hashes, first) = match layer.checked_sub(self.shape.piece_layer) {
            Some(above) => (self.layers.get(above as usize)?, 0),
            None => {
                below.iter().find(|below| below.layer == layer).map(|b| (&b.hashes, b.first))?
            }
        };
        hashes.get(usize::try_from(index.checked_sub(first)?).ok()?).copied()
    }

    /// The layers of one piece from `base` up to below the piece layer; `None` if the leaves are
    /// not those of the piece.
    fn below(&self, base: u32, piece: u32, leaves: &[Hash]) -> Option<Vec<Below>> {
        let first = u64::from(piece) << self.shape.piece_layer;
        let count = self.shape.leaves.checked_sub(first)?.min(1 << self.shape.piece_layer);
        if leaves.len() as u64 != count {
            return None;
        }
        let mut zero = [0; 32];
        let mut layers = Vec::new();
        let mut hashes = leaves.to_vec();
        for layer in 0..self.shape.piece_layer {
            let pairs = hashes.chunks(2);
            let above = pairs.map(|pair| parent(&pair[0], pair.get(1).unwrap_or(&zero))).collect();
            let hashes = core::mem::replace(&mut hashes, above);
            if layer >= base {
                layers.push(Below { layer, first: first >> layer, hashes });
            }
            zero = parent(&zero, &zero);
        }
        let expected = self.node(self.shape.piece_layer, u64::from(piece), &[])?;
        (hashes.first() == Some(&expected)).then_some(layers)
    }
}

/// Part of a layer below the piece layer.
struct Below {
    layer: u32,
    /// Index of its first node in the layer.
    first: u64,
    hashes: Vec<Hash>,
}
