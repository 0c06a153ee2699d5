//! Small torrents for tests, with their contents.

use std::sync::Arc;

use bittorrent::id::{InfoHash, InfoHashV2, InfoHashes};
use bittorrent::metainfo::{File, Info};

use crate::merkle::{sha256_leaves, subtree_root};
use hash::{Digest, Sha1};

/// Which digests a torrent has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    V1,
    V2,
    Hybrid,
}

pub(crate) const KINDS: [Kind; 3] = [Kind::V1, Kind::V2, Kind::Hybrid];

/// A torrent and what it holds.
pub(crate) struct Sample {
    pub info: Arc<Info>,
    pub layers: Vec<Vec<[u8; 32]>>,
    /// The piece space, zeros in the gaps.
    pub bytes: Vec<u8>,
}

impl Sample {
    pub fn piece(&self, piece: u32) -> &[u8] {
        let start = piece as usize * self.info.piece_len as usize;
        let len = self.info.piece_size(bittorrent::id::PieceIndex(piece)) as usize;
        &self.bytes[start..start + len]
    }

    pub fn file(&self, index: usize) -> &[u8] {
        let file = &self.info.files[index];
        &self.bytes[file.offset as usize..(file.offset + file.len) as usize]
    }
}

fn file(name: &str, offset: u64, len: u64, padding: bool) -> File {
    let path: Vec<String> = name.split('/').map(str::to_owned).collect();
    let executable = name.ends_with(".sh");
    File {
        disk_path: path.clone(),
        path,
        offset,
        len,
        padding,
        executable,
        symlink: false,
        pieces_root: None,
    }
}

/// A v1 torrent without digests, for tests of where bytes lie.
pub(crate) fn info_of(piece_len: u32, files: &[(&str, u64)]) -> Info {
    let mut offset = 0;
    let files: Vec<File> = files
        .iter()
        .map(|&(name, len)| {
            offset += len;
            file(name, offset - len, len, false)
        })
        .collect();
    Info {
        hashes: InfoHashes { v1: Some(InfoHash([7; 20])), v2: None },
        name: "sample".to_owned(),
        piece_len,
        private: false,
        single_file: false,
        files,
        total_len: offset,
        v1_pieces: Some(Vec::new()),
    }
}

/// A torrent of files with these names and lengths and bytes that look random.
pub(crate) fn sample(kind: Kind, piece_len: u32, files: &[(&str, u64)]) -> Sample {
    let mut rng = machine::Rng::new(9);
    sample_of(kind, piece_len, files, || rng.next_u64() as u8)
}

/// A torrent of files with these names and lengths and nothing in them.
pub(crate) fn zeros(kind: Kind, piece_len: u32, files: &[(&str, u64)]) -> Sample {
    sample_of(kind, piece_len, files, || 0)
}

fn sample_of(
    kind: Kind,
    piece_len: u32,
    files: &[(&str, u64)],
    mut next_byte: impl FnMut() -> u8,
) -> Sample {
    let mut info = info_of(piece_len, &[]);
    let aligned = kind != Kind::V1;
    let mut offset = 0_u64;
    for (number, &(name, len)) in files.iter().enumerate() {
        info.files.push(file(name, offset, len, false));
        offset += len;
        let gap = offset.next_multiple_of(u64::from(piece_len)) - offset;
        if aligned && gap > 0 && number + 1 < files.len() {
            if kind == Kind::Hybrid {
                info.files.push(file(&format!(".pad/{number}"), offset, gap, true));
            }
            offset += gap;
        }
    }
    info.total_len = info.files.last().map_or(0, |file| file.offset + file.len);
    let mut bytes = vec![0; info.total_len as usize];
    for file in info.files.iter().filter(|file| !file.padding) {
        for byte in &mut bytes[file.offset as usize..(file.offset + file.len) as usize] {
            *byte = next_byte();
        }
    }
    let mut layers = vec![Vec::new(); info.files.len()];
    if kind != Kind::V1 {
        info.hashes.v2 = Some(InfoHashV2([8; 32]));
        for (file, layer) in info.files.iter_mut().zip(&mut layers) {
            if file.padding || file.len == 0 {
                continue;
            }
            let data = &bytes[file.offset as usize..(file.offset + file.len) as usize];
            let mut leaves = Vec::new();
            sha256_leaves(data, &mut leaves);
            let width = (leaves.len() as u32).next_power_of_two();
            file.pieces_root = subtree_root(&leaves, width);
            let per_piece = (piece_len / bittorrent::id::BLOCK_LEN) as usize;
            if file.len > u64::from(piece_len) {
                layer.extend(
                    leaves
                        .chunks(per_piece)
                        .filter_map(|leaves| subtree_root(leaves, per_piece as u32)),
                );
            }
        }
    }
    if kind == Kind::V2 {
        info.hashes.v1 = None;
        info.v1_pieces = None;
    } else {
        let pieces = bytes.chunks(piece_len as usize).map(|piece| Sha1::digest(piece).into());
        info.v1_pieces = Some(pieces.collect());
    }
    Sample { info: Arc::new(info), layers, bytes }
}
