//! Putting together a piece layer that came without a metainfo file (a magnet link) from the
//! hashes that peers send.

use alloc::vec;
use alloc::vec::Vec;

use super::{FileShape, Hash, HashesError};
use crate::peer_wire::HashRange;

/// Hashes of a piece layer in one request (BEP 52).
const RUN_LEN: u64 = 512;

/// Collects the piece layer of one file. Every run is proven up to the root when it comes, so
/// that a wrong one is blamed on its sender.
#[derive(Clone, Debug)]
pub struct LayerAssembler {
    shape: FileShape,
    layer: Vec<Hash>,
    have: Vec<bool>,
}

impl LayerAssembler {
    /// Begins; `None` if the file needs no piece layer, for it is no longer than a piece.
    #[must_use]
    pub fn new(shape: FileShape) -> Option<Self> {
        let pieces = usize::try_from(shape.pieces()).ok().filter(|pieces| *pieces > 1)?;
        let have = vec![false; pieces.div_ceil(RUN_LEN as usize)];
        Some(Self { shape, layer: vec![[0; 32]; pieces], have })
    }

    /// What has not come yet, each as one request.
    pub fn missing(&self) -> impl Iterator<Item = HashRange> + '_ {
        let runs = self.have.iter().zip(0..).filter(|(have, _)| !**have);
        runs.map(|(_, run)| self.range(run))
    }

    /// Takes what a peer sent. Returns whether the layer is complete. Hashes that are there
    /// already are ignored.
    ///
    /// # Errors
    /// If it is no run that [`LayerAssembler::missing`] gave, or is wrong.
    pub fn feed(&mut self, range: &HashRange, hashes: &[Hash]) -> Result<bool, HashesError> {
        let run = range.index / RUN_LEN as u32;
        if *range != self.range(run) || run as usize >= self.have.len() {
            self.shape.check(range)?;
            return Err(HashesError::Index);
        }
        let hashes = self.shape.verify(range, hashes, |_, _| None)?;
        let place = self.layer.iter_mut().skip(range.index as usize);
        place.zip(hashes).for_each(|(place, hash)| *place = *hash);
        self.have[run as usize] = true;
        Ok(self.is_complete())
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.have.iter().all(|have| *have)
    }

    /// The piece layer, once it is complete.
    #[must_use]
    pub fn finish(self) -> Option<Vec<Hash>> {
        self.is_complete().then_some(self.layer)
    }

    fn range(&self, run: u32) -> HashRange {
        let first = u64::from(run) * RUN_LEN;
        // BEP 52 has no runs of one hash, so the last one may go over the end of the file.
        let left = (self.layer.len() as u64).saturating_sub(first).max(2);
        HashRange {
            pieces_root: self.shape.root,
            base_layer: self.shape.piece_layer,
            index: run * RUN_LEN as u32,
            length: left.next_power_of_two().min(RUN_LEN) as u32,
            proof_layers: self.shape.height - self.shape.piece_layer - 1,
        }
    }
}
