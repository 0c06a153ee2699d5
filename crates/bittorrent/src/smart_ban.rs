//! Who sent the block that spoiled a piece, when several peers contributed to it.
//!
//! When a piece fails its hash, a digest of each block and its sender are kept. When the piece is
//! verified at last, whoever had sent a block that differs from the good one is the culprit; the
//! others are cleared. Digests are made by the driver and are opaque here; they must be keyed or
//! collision resistant, or a culprit could forge its alibi.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::id::PieceIndex;

/// Digests kept at most; beyond it the pieces with the lowest indices are forgotten.
pub const MAX_RECORDS: usize = 16 * 1024;

/// Digests kept of one block: as often as its piece may fail and still tell who did it.
const MAX_PER_BLOCK: usize = 8;

/// A digest of a block.
pub type Digest = [u8; 20];

/// What peers sent in pieces that failed. `K` names a peer, and should outlive its connection.
#[derive(Clone, Debug)]
pub struct SmartBan<K> {
    failed: BTreeMap<PieceIndex, BTreeMap<u32, Vec<(K, Digest)>>>,
    records: usize,
}

impl<K> Default for SmartBan<K> {
    fn default() -> Self {
        Self { failed: BTreeMap::new(), records: 0 }
    }
}

impl<K: Copy + Ord> SmartBan<K> {
    /// A memory without records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `piece` failed; `blocks` are the offset, sender and digest of each of its blocks.
    ///
    /// Returns the culprits that are certain at once: the sender of all blocks, if there was but
    /// one, and whoever sent a block anew that differs from what it sent before.
    pub fn on_failed(
        &mut self,
        piece: PieceIndex,
        blocks: impl IntoIterator<Item = (u32, K, Digest)>,
    ) -> BTreeSet<K> {
        let mut culprits = BTreeSet::new();
        let mut senders = BTreeSet::new();
        for (begin, sender, digest) in blocks {
            senders.insert(sender);
            let known = self.failed.entry(piece).or_default().entry(begin).or_default();
            match known.iter().find(|(who, _)| *who == sender) {
                Some((_, before)) if *before != digest => {
                    culprits.insert(sender);
                }
                Some(_) => {}
                None if known.len() < MAX_PER_BLOCK => {
                    known.push((sender, digest));
                    self.records += 1;
                }
                None => {}
            }
        }
        if senders.len() == 1 {
            culprits.extend(senders);
        }
        self.shrink(piece);
        culprits
    }

    /// Whether `piece` has failed before, so that digests of its good blocks are of use.
    #[must_use]
    pub fn has_failed(&self, piece: PieceIndex) -> bool {
        self.failed.contains_key(&piece)
    }

    /// `piece` is verified; `blocks` are the offset and digest of each of its blocks. Returns who
    /// had sent others, and forgets the piece.
    pub fn on_verified(
        &mut self,
        piece: PieceIndex,
        blocks: impl IntoIterator<Item = (u32, Digest)>,
    ) -> BTreeSet<K> {
        let failed = self.forget(piece);
        blocks
            .into_iter()
            .filter_map(|(begin, good)| Some((failed.get(&begin)?, good)))
            .flat_map(|(sent, good)| sent.iter().filter(move |(_, digest)| *digest != good))
            .map(|(sender, _)| *sender)
            .collect()
    }

    /// Digests kept.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.records
    }

    /// Whether no digest is kept.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records == 0
    }

    fn forget(&mut self, piece: PieceIndex) -> BTreeMap<u32, Vec<(K, Digest)>> {
        let failed = self.failed.remove(&piece).unwrap_or_default();
        self.records -= failed.values().map(Vec::len).sum::<usize>();
        failed
    }

    /// Forgets other pieces, and at last this one too, until the limit is kept.
    fn shrink(&mut self, latest: PieceIndex) {
        while self.records > MAX_RECORDS {
            let other = self.failed.keys().copied().find(|&piece| piece != latest);
            self.forget(other.unwrap_or(latest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: PieceIndex = PieceIndex(7);

    const fn digest(of: u8) -> Digest {
        [of; 20]
    }

    #[test]
    fn pw_09_the_sender_of_the_bad_block_is_found_and_no_other() {
        let mut ban = SmartBan::new();
        let first = [(0, 'a', digest(1)), (16, 'b', digest(66)), (32, 'c', digest(3))];
        assert!(ban.on_failed(PIECE, first).is_empty());
        assert!(ban.has_failed(PIECE));
        // A second try fails by another's fault; `b` now sends what is right elsewhere.
        let second = [(0, 'b', digest(1)), (16, 'c', digest(2)), (32, 'd', digest(67))];
        assert!(ban.on_failed(PIECE, second).is_empty());
        let good = [(0, digest(1)), (16, digest(2)), (32, digest(3))];
        assert_eq!(ban.on_verified(PIECE, good), BTreeSet::from(['b', 'd']));
        assert!(ban.is_empty() && !ban.has_failed(PIECE));
        assert!(ban.on_verified(PIECE, good).is_empty());
    }

    #[test]
    fn pw_09_a_sole_sender_is_certain_at_once() {
        let mut ban = SmartBan::new();
        let blocks = [(0, 'a', digest(1)), (16, 'a', digest(2))];
        assert_eq!(ban.on_failed(PIECE, blocks), BTreeSet::from(['a']));
    }

    #[test]
    fn pw_09_who_sends_one_block_in_two_ways_is_certain_at_once() {
        let mut ban = SmartBan::new();
        assert!(ban.on_failed(PIECE, [(0, 'a', digest(1)), (16, 'b', digest(2))]).is_empty());
        let again = ban.on_failed(PIECE, [(0, 'a', digest(9)), (16, 'b', digest(2))]);
        assert_eq!(again, BTreeSet::from(['a']));
    }

    #[test]
    fn memory_is_bounded() {
        let mut ban = SmartBan::new();
        for piece in 0..100 {
            let blocks = (0..1_000).map(|block| (block, block % 3, digest(block as u8)));
            let _ = ban.on_failed(PieceIndex(piece), blocks);
            assert!(ban.len() <= MAX_RECORDS);
        }
        assert!(ban.has_failed(PieceIndex(99)) && !ban.has_failed(PieceIndex(0)));
        let many = (0..100_000).map(|block| (block, 1, digest(1)));
        let _ = ban.on_failed(PieceIndex(3), many);
        assert!(ban.len() <= MAX_RECORDS);
        for _ in 0..100 {
            for sender in 0..100 {
                let _ = ban.on_failed(PIECE, [(0, sender, digest(1)), (1, 0, digest(1))]);
            }
        }
        let good = [(0, digest(2)), (1, digest(1))];
        assert_eq!(ban.on_verified(PIECE, good).len(), MAX_PER_BLOCK);
    }
}
