//! By what a block of a download is believed before the whole is there.

use std::sync::Arc;

use bittorrent::id::PieceIndex;

use crate::disk::is_good;
use crate::http_swarm::Tree;
use crate::store::Store;

/// Hashes of all blocks of a file.
#[derive(Clone, Debug)]
pub enum Hashes {
    /// A level of its Tiger tree (THEX).
    Tiger(Tree),
    /// The pieces of a torrent that is this file and nothing else (BEP 3, BEP 52).
    Pieces(Arc<Store>),
}

impl Hashes {
    /// Bytes of a block, which only the last one may lack.
    pub(super) fn block(&self) -> u64 {
        match self {
            Self::Tiger(tree) => tree.slice,
            Self::Pieces(store) => u64::from(store.info().piece_len),
        }
    }

    /// Whether `bytes` are what stands at this block.
    pub(super) fn verify(&self, block: usize, bytes: &[u8]) -> bool {
        match self {
            Self::Tiger(tree) => tree.verifies(block, bytes),
            Self::Pieces(store) => {
                u32::try_from(block).is_ok_and(|piece| is_good(store, PieceIndex(piece), bytes))
            }
        }
    }

    /// The tree that others can have.
    pub(super) fn tree(&self) -> Option<&Tree> {
        match self {
            Self::Tiger(tree) => Some(tree),
            Self::Pieces(_) => None,
        }
    }
}
