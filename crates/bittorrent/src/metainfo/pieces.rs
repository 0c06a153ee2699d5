//! Where the bytes of pieces lie, and what their hashes should be.

use super::{Info, Metainfo};
use crate::id::PieceIndex;
use crate::merkle::{self, Hash};

/// A run of bytes of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSpan {
    /// Index in [`Info::files`].
    pub file: usize,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// Its length in bytes, never 0.
    pub len: u32,
}

/// What BEP 52 says about one piece, which is always a piece of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V2Piece {
    /// Index of the file in [`Info::files`].
    pub file: usize,
    /// Which piece of the file it is.
    pub index: u32,
    /// Bytes of it that are the file's. Padding that may follow in a hybrid is not hashed.
    pub len: u32,
    /// How many leaves these bytes have.
    pub leaves: u32,
    /// How many leaves the tree over the piece has, missing ones counted.
    pub width: u32,
    /// What the root of that tree should be.
    pub expected: Expected,
}

/// The hash that a v2 piece should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The root of the file's tree: the piece is the whole file.
    Root(Hash),
    /// A node of the file's piece layer.
    Layer(Hash),
    /// A node of the piece layer, which is not known yet.
    Unknown,
}

impl V2Piece {
    /// Whether the hashes of its blocks are right; `None` if that is not known.
    #[must_use]
    pub fn verify(&self, leaves: &[Hash]) -> Option<bool> {
        let expected = match self.expected {
            Expected::Root(hash) | Expected::Layer(hash) => hash,
            Expected::Unknown => return None,
        };
        let complete = leaves.len() == self.leaves as usize;
        Some(complete && merkle::root_of_width(leaves, 0, self.width as usize) == expected)
    }
}

impl Info {
    /// The runs of files that `len` bytes of a piece lie in, padding included. Ends early at the
    /// end of the torrent, or of the file in a v2-only torrent.
    pub fn file_spans(
        &self,
        piece: PieceIndex,
        begin: u32,
        len: u32,
    ) -> impl Iterator<Item = FileSpan> + '_ {
        let mut at = self.piece_start(piece) + u64::from(begin);
        let mut left = len;
        let mut index = self.files.partition_point(|file| file.offset + file.len <= at);
        core::iter::from_fn(move || {
            while self.files.get(index)?.len == 0 {
                index += 1;
            }
            let file = self.files.get(index)?;
            let offset = at.checked_sub(file.offset)?;
            let span = u32::try_from(file.len.checked_sub(offset)?).unwrap_or(u32::MAX).min(left);
            if span == 0 {
                return None;
            }
            let item = FileSpan { file: index, offset, len: span };
            at += u64::from(span);
            left -= span;
            index += 1;
            Some(item)
        })
    }

    /// The runs of files that a whole piece lies in.
    pub fn piece_files(&self, piece: PieceIndex) -> impl Iterator<Item = FileSpan> + '_ {
        self.file_spans(piece, 0, self.piece_size(piece))
    }

    /// The pieces that hold bytes of a file, the first and the one after the last.
    #[must_use]
    pub fn file_pieces(&self, file: usize) -> core::ops::Range<u32> {
        let piece_len = u64::from(self.piece_len);
        let piece = |offset: u64| u32::try_from(offset).unwrap_or(u32::MAX);
        match self.files.get(file) {
            Some(file) if file.len > 0 => {
                let end = (file.offset + file.len).div_ceil(piece_len);
                piece(file.offset / piece_len)..piece(end)
            }
            _ => 0..0,
        }
    }

    /// The SHA-1 that a piece should have; `None` in a v2-only torrent.
    #[must_use]
    pub fn v1_piece_hash(&self, piece: PieceIndex) -> Option<[u8; 20]> {
        self.v1_pieces.as_ref()?.get(piece.0 as usize).copied()
    }

    /// What BEP 52 says about a piece, given the piece layers of the files; `None` in a v1-only
    /// torrent.
    #[must_use]
    pub fn v2_piece(&self, piece: PieceIndex, layers: &[impl AsRef<[Hash]>]) -> Option<V2Piece> {
        let start = self.piece_start(piece);
        let file = self.files.partition_point(|file| file.offset + file.len <= start);
        let first = self.file_spans(piece, 0, self.piece_len).next()?;
        debug_assert!(file <= first.file);
        let root = self.files.get(first.file)?.pieces_root?;
        let index = u32::try_from(first.offset / u64::from(self.piece_len)).ok()?;
        let leaves = u32::try_from(merkle::leaf_count(u64::from(first.len))).ok()?;
        let whole = self.files.get(first.file)?.len <= u64::from(self.piece_len);
        let in_layer = || layers.get(first.file)?.as_ref().get(index as usize).copied();
        let expected = if whole {
            Expected::Root(root)
        } else {
            in_layer().map_or(Expected::Unknown, Expected::Layer)
        };
        let width = if whole {
            leaves.next_power_of_two()
        } else {
            u32::try_from(merkle::leaf_count(u64::from(self.piece_len))).ok()?
        };
        Some(V2Piece { file: first.file, index, len: first.len, leaves, width, expected })
    }

    fn piece_start(&self, piece: PieceIndex) -> u64 {
        u64::from(piece.0) * u64::from(self.piece_len)
    }
}

impl Metainfo {
    /// [`Info::v2_piece`] with the piece layers of this file.
    #[must_use]
    pub fn v2_piece(&self, piece: PieceIndex) -> Option<V2Piece> {
        self.info.v2_piece(piece, &self.piece_layers)
    }
}
