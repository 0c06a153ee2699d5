//! Metainfo files and info dictionaries (BEP 3, 12, 17, 19, 27, 47, 52), parsed once and then
//! trusted. Reading them is in `parse` and `files`, making them in [`create`], names on disk in
//! [`path`], which byte of a piece lies in which file in `pieces`.

pub mod create;
mod error;
mod files;
mod parse;
pub mod path;
mod pieces;

pub use error::{MetainfoError, Problem};
pub use parse::{MAX_FILES, MAX_INFO_LEN, MAX_METAINFO_LEN, MAX_PIECE_LEN, MAX_PIECES};
pub use pieces::{Expected, FileSpan, V2Piece};

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::id::{BLOCK_LEN, InfoHashes, PieceIndex};

/// A parsed metainfo file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metainfo {
    /// What is shared.
    pub info: Arc<Info>,
    /// The info dictionary, byte for byte as it was found.
    pub info_bytes: Arc<[u8]>,
    /// Tiers of tracker URLs (BEP 12); one tier of one if only `announce` was there.
    pub trackers: Vec<Vec<String>>,
    /// `url-list` (BEP 19).
    pub web_seeds: Vec<String>,
    /// `httpseeds` (BEP 17).
    pub http_seeds: Vec<String>,
    /// Free text.
    pub comment: Option<String>,
    /// The program that made it.
    pub created_by: Option<String>,
    /// Seconds since 1970.
    pub created_at: Option<i64>,
    /// v2 piece layers, one per file of [`Info::files`]; empty where a file needs none or the
    /// layers are not known (a magnet link).
    pub piece_layers: Vec<Vec<[u8; 32]>>,
}

/// What a torrent holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Both infohashes, as far as they exist.
    pub hashes: InfoHashes,
    /// The name as its author wrote it; never a path.
    pub name: String,
    /// Bytes of every piece but the last.
    pub piece_len: u32,
    /// Whether peers come from the trackers alone (BEP 27).
    pub private: bool,
    /// Whether the torrent is one file without a folder of its own.
    pub single_file: bool,
    /// The files in order, padding included (BEP 47).
    pub files: Vec<File>,
    /// Bytes of the piece space: the end of the last file. Files of a v2-only torrent begin at
    /// multiples of `piece_len`, and the gaps between them belong to no piece.
    pub total_len: u64,
    /// SHA-1 of each piece; `None` if the torrent is v2 only.
    pub v1_pieces: Option<Vec<[u8; 20]>>,
}

/// A file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Path elements as its author wrote them (text from a stranger).
    pub path: Vec<String>,
    /// Path elements that are safe and distinct on disk, the torrent's folder included; empty for
    /// what is never written to disk.
    pub disk_path: Vec<String>,
    /// Where it begins in the piece space, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
    /// Never written to disk: zeros that only align the next file (BEP 47), or a symbolic link.
    pub padding: bool,
    /// A symbolic link, which is not made: it could point out of the torrent (BEP 47).
    pub symlink: bool,
    /// Whether its author marked it executable.
    pub executable: bool,
    /// Root of its merkle tree (BEP 52); `None` for empty files and in v1 torrents.
    pub pieces_root: Option<[u8; 32]>,
}

impl Info {
    /// How many pieces there are.
    #[must_use]
    pub fn piece_count(&self) -> u32 {
        u32::try_from(self.total_len.div_ceil(u64::from(self.piece_len))).unwrap_or(u32::MAX)
    }

    /// Bytes of a piece. In a v2-only torrent the last piece of each file ends with the file.
    #[must_use]
    pub fn piece_size(&self, piece: PieceIndex) -> u32 {
        let start = u64::from(piece.0) * u64::from(self.piece_len);
        let end = if self.v1_pieces.is_some() {
            self.total_len
        } else {
            self.file_at(start).map_or(start, |file| file.offset + file.len)
        };
        u32::try_from(end.saturating_sub(start)).unwrap_or(u32::MAX).min(self.piece_len)
    }

    /// The indices of files whose place on disk is not the one that their author gave them,
    /// because the name was unsafe or taken.
    pub fn renamed_files(&self) -> impl Iterator<Item = usize> + '_ {
        let folder = (!self.single_file).then_some(&self.name);
        let on_disk = self.files.iter().enumerate().filter(|(_, file)| !file.padding);
        let changed = on_disk
            .filter(move |(_, file)| folder.into_iter().chain(&file.path).ne(&file.disk_path));
        changed.map(|(index, _)| index)
    }

    /// Bytes of a piece before the padding at its end (BEP 47), which is known to be zeros.
    #[must_use]
    pub fn data_size(&self, piece: PieceIndex) -> u32 {
        let size = self.piece_size(piece);
        let start = u64::from(piece.0) * u64::from(self.piece_len);
        let end = start + u64::from(size);
        match self.file_at(end.saturating_sub(1)) {
            // All of a piece may be padding only in torrents that nobody should make.
            Some(last) if last.padding && last.offset > start => (last.offset - start) as u32,
            _ => size,
        }
    }

    /// Bytes of a piece that are asked of peers: every block that is not padding alone, and whole,
    /// because some programs, rqbit among them, cut off whoever asks for less than a block.
    #[must_use]
    pub fn request_size(&self, piece: PieceIndex) -> u32 {
        let blocks = self.data_size(piece).div_ceil(BLOCK_LEN);
        blocks.saturating_mul(BLOCK_LEN).min(self.piece_size(piece))
    }

    /// The file that holds the byte at `offset` of the piece space.
    #[must_use]
    pub fn file_at(&self, offset: u64) -> Option<&File> {
        let next = self.files.partition_point(|file| file.offset + file.len <= offset);
        self.files[next..].iter().find(|file| file.len > 0).filter(|file| file.offset <= offset)
    }
}

#[cfg(test)]
mod tests;
