//! Makes a torrent of a file or a folder: finds the files, reads each once, hashes on all cores.
//!
//! What goes into the metainfo file, and how, is in `bittorrent::metainfo::create`.

pub mod pipeline;
mod source;
mod walk;

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bittorrent::id::PieceIndex;
use bittorrent::metainfo::create::{Builder, PieceHashes, SourceFile, default_piece_len};
use bittorrent::metainfo::{Info, Metainfo};

use self::pipeline::{Piece, hash_pieces};
use source::Source;
use walk::Tree;

pub use bittorrent::metainfo::create::Version as Kind;

/// How to make a torrent.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    /// Bytes of a piece, a power of two from 16 KiB; `None` is [`default_piece_len`] of the size.
    pub piece_len: Option<u32>,
    /// v1, v2 or both.
    pub kind: Kind,
    /// Tiers of tracker URLs (BEP 12).
    pub trackers: Vec<Vec<String>>,
    /// URLs of the same files (BEP 19).
    pub web_seeds: Vec<String>,
    /// Peers come from the trackers alone (BEP 27).
    pub private: bool,
    /// A tag in the info dictionary, by which private trackers tell their torrents apart.
    pub source: Option<String>,
    /// Free text.
    pub comment: Option<String>,
    /// The program that makes it.
    pub created_by: Option<String>,
    /// Seconds since 1970; `None` leaves it out.
    pub created_at: Option<i64>,
}

/// Why a torrent cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The operating system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// Neither a file nor a folder.
    #[error("{} is neither a file nor a folder", path.display())]
    NotAFile {
        /// What it is not.
        path: PathBuf,
    },
    /// The path ends in no name that a torrent could have.
    #[error("a torrent needs a name, and this folder has none")]
    NoName,
    /// A metainfo file has only UTF-8.
    #[error("the name of {} is not UTF-8", path.display())]
    NameNotUtf8 {
        /// The file or folder.
        path: PathBuf,
    },
    /// Folders are nested too deeply.
    #[error("{} is nested too deeply", path.display())]
    TooDeep {
        /// The first folder that is.
        path: PathBuf,
    },
    /// A file is not what it was when the work began.
    #[error("{} changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// What was found cannot be a torrent.
    #[error(transparent)]
    Torrent(#[from] bittorrent::metainfo::create::CreateError),
}

impl CreateError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    fn changed(path: &Path) -> Self {
        Self::Changed { path: path.to_owned() }
    }
}

/// Makes a torrent of the file or folder at `path`; `progress` is told bytes done and in all.
///
/// A folder gives all regular files below it, hidden ones too, in the order of their names as
/// bytes. Links are followed to files of the same folder only. Other links and whatever else is no
/// file are left out, with a warning to the log; so are empty folders, which a torrent cannot hold.
///
/// # Errors
/// If something cannot be read, changes meanwhile, or cannot be in a torrent.
pub fn create(
    path: &Path,
    options: &CreateOptions,
    progress: &dyn Fn(u64, u64),
) -> Result<Metainfo, CreateError> {
    let tree = walk::walk(path)?;
    let total = tree.total_len();
    let builder = builder(&tree, options)?;
    let hashes = hash_tree(&tree, &builder.layout(), |done| progress(done, total))?;
    Ok(builder.build(&hashes)?)
}

fn builder(tree: &Tree, options: &CreateOptions) -> Result<Builder, CreateError> {
    let piece_len = options.piece_len.unwrap_or_else(|| default_piece_len(tree.total_len()));
    let mut files = tree.files.iter().map(|file| SourceFile {
        path: file.path.clone(),
        len: file.version.len,
        executable: file.executable,
    });
    let mut builder = match files.next() {
        Some(file) if tree.single_file => Builder::single_file(file, piece_len, options.kind)?,
        first => {
            let files = first.into_iter().chain(files).collect();
            Builder::folder(tree.name.as_str(), files, piece_len, options.kind)?
        }
    };
    builder.trackers.clone_from(&options.trackers);
    builder.web_seeds.clone_from(&options.web_seeds);
    builder.private = options.private;
    builder.source.clone_from(&options.source);
    builder.comment.clone_from(&options.comment);
    builder.created_by.clone_from(&options.created_by);
    builder.created_at = options.created_at;
    Ok(builder)
}

/// Reads and hashes the files of a tree that lies in pieces like this; `progress` is told bytes
/// done.
fn hash_tree(
    tree: &Tree,
    layout: &Info,
    progress: impl Fn(u64),
) -> Result<PieceHashes, CreateError> {
    let source = Source::new(&tree.files);
    // The layout has padding between the files, which is not read.
    let mut next = 0..tree.files.len();
    let numbers: Vec<Option<usize>> =
        layout.files.iter().map(|file| if file.padding { None } else { next.next() }).collect();
    let read = |piece: &Piece, buffer: &mut [u8]| {
        let mut rest = buffer;
        for span in layout.file_spans(piece.index, 0, piece.data_len) {
            let (bytes, behind) = rest.split_at_mut(span.len as usize);
            rest = behind;
            match numbers[span.file] {
                Some(number) => source.read(number, span.offset, bytes)?,
                None => bytes.fill(0),
            }
        }
        Ok(())
    };

    let count = layout.piece_count();
    let mut hashes = PieceHashes::default();
    if layout.v1_pieces.is_some() {
        hashes.v1.resize(count as usize, [0; 20]);
    }
    if layout.files.iter().any(|file| file.pieces_root.is_some()) {
        hashes.v2.resize(count as usize, [0; 32]);
    }
    let mut done = 0;
    let mut failed = None;
    let pieces = (0..count).map(|index| Piece::of(layout, PieceIndex(index)));
    hash_pieces(pieces, read, |piece, result| {
        let digests = match result {
            Ok(digests) => digests,
            Err(error) => {
                failed = Some(error);
                return ControlFlow::Break(());
            }
        };
        let index = piece.index.0 as usize;
        if let Some(digest) = digests.v1 {
            hashes.v1[index] = digest;
        }
        if let Some(root) = digests.v2 {
            hashes.v2[index] = root;
        }
        done += u64::from(piece.data_len);
        progress(done);
        ControlFlow::Continue(())
    });
    match failed {
        Some(error) => Err(error),
        None => source.check_unchanged().map(|()| hashes),
    }
}

#[cfg(test)]
mod tests;
