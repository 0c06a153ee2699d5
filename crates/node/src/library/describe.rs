//! A file of the library as people and networks see it: its names, digests and torrent.

use bittorrent::metainfo::Metainfo;
use bittorrent::metainfo::create::{Builder, PieceHashes, SourceFile, Version};

use super::digests::Pieces;
use super::store::{Content, FileId, Known};
use super::view::LibraryFile;
use super::walk;
use crate::mime;

/// A file, with what its content is called once it is hashed.
pub(super) fn describe(
    id: FileId,
    known: &Known,
    content: Option<(Content, Pieces)>,
) -> LibraryFile {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let name = text(&known.name);
    let (mut sha1, mut sha256, mut tth) = (None, None, None);
    let (mut infohash_v1, mut infohash_v2) = (None, None);
    if let Some((content, pieces)) = content {
        sha1 = Some(hex(&content.sha1));
        sha256 = Some(hex(&content.sha256));
        tth = Some(codec::base32::encode(&content.tth));
        if let Ok(metainfo) = metainfo(known, pieces) {
            let hashes = metainfo.info.hashes;
            infohash_v1 = hashes.v1.map(|hash| hash.to_string());
            infohash_v2 = hashes.v2.map(|hash| hash.to_string());
        }
    }
    LibraryFile {
        id,
        folder: known.folder,
        path: text(&walk::join(&known.dir, &known.name)),
        length: known.stamp.len,
        modified: known.stamp.modified.div_euclid(1_000_000_000),
        mime: mime::of_name(&name).to_owned(),
        name,
        sha1,
        sha256,
        tth,
        infohash_v1,
        infohash_v2,
    }
}

/// Why there is no torrent of a file.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoTorrent {
    #[error("its name is not UTF-8")]
    Name,
    #[error("a torrent would call it {0:?}")]
    Renamed(String),
    #[error(transparent)]
    Impossible(#[from] bittorrent::metainfo::create::CreateError),
}

/// A torrent of one file.
pub(super) fn metainfo(known: &Known, pieces: Pieces) -> Result<Metainfo, NoTorrent> {
    let name = str::from_utf8(&known.name).map_err(|_| NoTorrent::Name)?.to_owned();
    let file = SourceFile { path: vec![name.clone()], len: known.stamp.len, executable: false };
    let mut builder = Builder::single_file(file, pieces.piece_len, Version::Hybrid)?;
    builder.created_by = Some(net::CLIENT.to_owned());
    let made = builder.build(&PieceHashes { v1: pieces.v1, v2: pieces.v2 })?;
    match made.info.files.first().map(|file| file.disk_path.as_slice()) {
        Some([there]) if **there == *name => Ok(made),
        Some(other) => Err(NoTorrent::Renamed(other.join("/"))),
        None => Err(NoTorrent::Name),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
