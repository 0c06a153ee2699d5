//! Tests of metainfo files: made here, compared with others, and spoilt in many ways.

mod create;
mod parse;
mod path;
mod pieces;

use alloc::string::ToString;
use alloc::vec::Vec;

use sha1::{Digest, Sha1};

use super::create::{Builder, PieceHashes, SourceFile, Version};
use super::*;
use crate::merkle;

/// The content of file number `number`.
fn content(number: u64, len: u64) -> Vec<u8> {
    (0..len).map(|i| ((i * 31 + number + (i >> 8)) % 256) as u8).collect()
}

fn source(path: &str, len: u64) -> SourceFile {
    let path = path.split('/').map(ToString::to_string).collect();
    SourceFile { path, len, executable: false }
}

/// A folder `set` of four files in pieces of 32 KiB.
fn set(version: Version) -> Builder {
    let files = [("sub/exact.bin", 65536), ("a.bin", 100_000), ("b.txt", 5), ("sub/c.bin", 40_000)];
    let files = files.map(|(path, len)| source(path, len)).into();
    Builder::folder("set", files, 32768, version).unwrap()
}

/// Hashes the files of a torrent in the making, which hold `content` by their numbers.
fn hash(builder: &Builder, first: u64) -> PieceHashes {
    let layout = builder.layout();
    let mut number = first..;
    let contents: Vec<Vec<u8>> = (layout.files.iter())
        .map(|file| match file.padding {
            true => [0].repeat(file.len as usize),
            false => content(number.next().unwrap(), file.len),
        })
        .collect();
    let mut hashes = PieceHashes::default();
    for piece in (0..layout.piece_count()).map(PieceIndex) {
        let read = |span: FileSpan| {
            let start = span.offset as usize;
            &contents[span.file][start..start + span.len as usize]
        };
        if layout.v1_pieces.is_some() {
            let mut hasher = Sha1::new();
            layout.piece_files(piece).for_each(|span| hasher.update(read(span)));
            hashes.v1.push(hasher.finalize().into());
        }
        if let Some(v2) = layout.v2_piece(piece, &[[]]) {
            let span = layout.file_spans(piece, 0, v2.len).next().unwrap();
            let leaves: Vec<_> = read(span).chunks(16384).map(merkle::leaf).collect();
            assert_eq!(leaves.len(), v2.leaves as usize);
            hashes.v2.push(merkle::root_of_width(&leaves, 0, v2.width as usize));
        }
    }
    hashes
}

fn made(version: Version) -> Metainfo {
    let builder = set(version);
    builder.build(&hash(&builder, 0)).unwrap()
}
