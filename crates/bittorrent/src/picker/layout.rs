//! How a torrent is cut into pieces and blocks. Where their bytes lie on disk is not here.

use alloc::vec::Vec;

use crate::id::{BLOCK_LEN, Block, PieceIndex};
use crate::metainfo::Info;

/// The sizes of all pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    piece_count: u32,
    piece_len: u32,
    last_len: u32,
    /// Pieces before the last that are shorter than `piece_len`, by index.
    odd: Vec<(PieceIndex, u32)>,
}

impl Layout {
    /// Pieces of `piece_len` bytes that together hold `total_len`; the last may be shorter.
    ///
    /// A `piece_len` of zero gives no pieces.
    #[must_use]
    pub fn new(piece_len: u32, total_len: u64) -> Self {
        let count = total_len
            .checked_div(u64::from(piece_len))
            .map_or(0, |whole| whole + u64::from(!total_len.is_multiple_of(u64::from(piece_len))));
        let piece_count = u32::try_from(count).unwrap_or(u32::MAX);
        let before = u64::from(piece_count.saturating_sub(1)) * u64::from(piece_len);
        let last_len = u32::try_from(total_len.saturating_sub(before)).unwrap_or(u32::MAX);
        Self { piece_count, piece_len, last_len: last_len.min(piece_len), odd: Vec::new() }
    }

    /// The same with other sizes for some pieces: in a v2-only torrent each file's last piece ends
    /// with the file (BEP 52). Sizes are cut to `1..=piece_len`; unknown pieces are ignored.
    #[must_use]
    pub fn with_odd_sizes(mut self, sizes: impl IntoIterator<Item = (PieceIndex, u32)>) -> Self {
        for (piece, len) in sizes {
            let len = len.clamp(1, self.piece_len.max(1));
            if piece.0 + 1 == self.piece_count {
                self.last_len = len;
            } else if piece.0 < self.piece_count && len != self.piece_len {
                self.odd.push((piece, len));
            }
        }
        self.odd.sort_unstable();
        self.odd.dedup_by_key(|entry| entry.0);
        self
    }

    /// The layout of `info`, without blocks of padding alone that pieces end in.
    #[must_use]
    pub fn of(info: &Info) -> Self {
        let layout = Self::new(info.piece_len, info.total_len);
        let piece_len = u64::from(info.piece_len.max(1));
        // Pieces that end with a file or with padding: only these can be short.
        let ends = info.files.iter().filter(|file| file.len > 0);
        let sizes = ends.filter_map(|file| {
            let last = PieceIndex(u32::try_from((file.offset + file.len - 1) / piece_len).ok()?);
            Some((last, info.request_size(last)))
        });
        layout.with_odd_sizes(sizes)
    }

    /// How many pieces there are.
    #[must_use]
    pub const fn piece_count(&self) -> u32 {
        self.piece_count
    }

    /// Bytes of every piece that is not odd or last.
    #[must_use]
    pub const fn piece_len(&self) -> u32 {
        self.piece_len
    }

    /// Bytes of `piece`; zero if there is no such piece.
    #[must_use]
    pub fn piece_size(&self, piece: PieceIndex) -> u32 {
        if piece.0 >= self.piece_count {
            0
        } else if piece.0 + 1 == self.piece_count {
            self.last_len
        } else if self.odd.is_empty() {
            self.piece_len
        } else {
            self.odd
                .binary_search_by_key(&piece, |entry| entry.0)
                .map_or(self.piece_len, |at| self.odd[at].1)
        }
    }

    /// How many blocks `piece` has.
    #[must_use]
    pub fn block_count(&self, piece: PieceIndex) -> u32 {
        self.piece_size(piece).div_ceil(BLOCK_LEN)
    }

    /// The `index`th block of `piece`.
    #[must_use]
    pub fn block(&self, piece: PieceIndex, index: u32) -> Block {
        let begin = index.saturating_mul(BLOCK_LEN);
        let len = self.piece_size(piece).saturating_sub(begin).min(BLOCK_LEN);
        Block { piece, begin, len }
    }

    /// Which block of its piece `block` is, if it is one of ours in place and length.
    #[must_use]
    pub fn block_index(&self, block: Block) -> Option<u32> {
        let index = block.begin / BLOCK_LEN;
        (block.len > 0 && self.block(block.piece, index) == block).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_add_up() {
        let layout = Layout::new(40_000, 100_000);
        assert_eq!(layout.piece_count(), 3);
        assert_eq!(layout.piece_size(PieceIndex(2)), 20_000);
        assert_eq!(layout.piece_size(PieceIndex(3)), 0);
        assert_eq!(layout.block_count(PieceIndex(0)), 3);
        assert_eq!(layout.block(PieceIndex(0), 2).len, 40_000 - 2 * BLOCK_LEN);
        assert_eq!(layout.block(PieceIndex(0), 3).len, 0);
        assert_eq!(Layout::new(0, 5).piece_count(), 0);
        assert_eq!(Layout::new(16_384, 0).piece_count(), 0);
        assert_eq!(Layout::new(16_384, 16_384).piece_size(PieceIndex(0)), 16_384);
    }

    #[test]
    fn only_whole_blocks_in_place_are_blocks() {
        let layout = Layout::new(40_000, 100_000);
        let good = layout.block(PieceIndex(2), 1);
        assert_eq!(layout.block_index(good), Some(1));
        for bad in [
            Block { begin: 1, ..good },
            Block { len: good.len - 1, ..good },
            Block { len: 0, ..good },
            Block { piece: PieceIndex(3), ..good },
            Block { begin: u32::MAX, ..good },
            Block { begin: 2 * BLOCK_LEN, len: 0, ..good },
        ] {
            assert_eq!(layout.block_index(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn odd_sizes_are_kept_within_bounds() {
        let layout = Layout::new(32_768, 200_000).with_odd_sizes([
            (PieceIndex(4), 5),
            (PieceIndex(1), 90_000),
            (PieceIndex(2), 0),
            (PieceIndex(6), 7),
            (PieceIndex(700), 7),
        ]);
        let sizes: Vec<_> = (0..8).map(|piece| layout.piece_size(PieceIndex(piece))).collect();
        assert_eq!(sizes, [32_768, 32_768, 1, 32_768, 5, 32_768, 7, 0]);
    }
}
