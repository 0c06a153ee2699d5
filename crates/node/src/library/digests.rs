//! All digests of files in one reading: SHA-1 and SHA-256 of the whole, the Tiger tree root, the
//! pieces of BitTorrent v1 and v2. Which files, and what becomes of the digests, is not known here.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::thread;

use hash::{Digest, Sha1, Sha256};
use hash::{sha1_many, sha256_many};
use net::merkle::LEAF_LEN;
use net::merkle::{sha256_leaves, subtree_root};

use super::tth::{self, SUBTREE_LEN, TigerHash, Tree};

/// Shortest pieces, in bytes. With them, digests of pieces take a five-thousandth of the content.
const PIECE_LEN_MIN: u32 = 256 << 10;
/// Longest pieces, in bytes.
const PIECE_LEN_MAX: u32 = 16 << 20;
/// Pieces that a file has at most while they need not be longer than [`PIECE_LEN_MAX`].
const PIECES_PREFERRED: u64 = 1024;

/// Bytes that are read and hashed at once: whole pieces of any length.
const CHUNK_LEN: usize = PIECE_LEN_MAX as usize;

/// What a content hashes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digests {
    /// Bytes of the content.
    pub(super) len: u64,
    pub(super) sha1: [u8; 20],
    pub(super) sha256: [u8; 32],
    /// Root of the Tiger tree.
    pub(super) tth: TigerHash,
    pub(super) pieces: Pieces,
}

/// What the pieces of a torrent of this one file hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pieces {
    /// Bytes of a piece.
    pub(super) piece_len: u32,
    /// SHA-1 of each (BEP 3).
    pub(super) v1: Vec<[u8; 20]>,
    /// Merkle root of each (BEP 52).
    pub(super) v2: Vec<[u8; 32]>,
}

/// The piece length of a file of `len` bytes: a power of two. It is part of what the content's
/// torrent is called, so that it must never change for content that people know.
pub(super) fn piece_len(len: u64) -> u32 {
    let fair = len.div_ceil(PIECES_PREFERRED).max(1).checked_next_power_of_two();
    let fair = fair.and_then(|len| u32::try_from(len).ok()).unwrap_or(PIECE_LEN_MAX);
    fair.clamp(PIECE_LEN_MIN, PIECE_LEN_MAX)
}

/// Leaves of the merkle tree over one piece of a file, missing ones counted (BEP 52).
fn merkle_width(len: u64, piece_len: u32) -> u32 {
    let leaf_len = LEAF_LEN as u64;
    let leaves = len.min(u64::from(piece_len)).div_ceil(leaf_len);
    // At most PIECE_LEN_MAX / LEAF_LEN.
    u32::try_from(leaves.next_power_of_two()).unwrap_or(u32::MAX)
}

/// Appends merkle roots of the pieces that `data` begins.
fn merkle_roots(data: &[u8], piece_len: u32, width: u32, roots: &mut Vec<[u8; 32]>) {
    let mut leaves = Vec::with_capacity(data.len().div_ceil(LEAF_LEN));
    sha256_leaves(data, &mut leaves);
    roots.extend(
        leaves.chunks(piece_len as usize / LEAF_LEN).filter_map(|own| subtree_root(own, width)),
    );
}

/// Digests of contents that are in memory, best of about the same length and many at once.
pub(super) fn of_many(contents: &[&[u8]]) -> Vec<Digests> {
    let mut sha1 = vec![[0; 20]; contents.len()];
    sha1_many(contents, &mut sha1);
    let mut sha256 = vec![[0; 32]; contents.len()];
    sha256_many(contents, &mut sha256);
    // A file of one piece has its SHA-1 already.
    let long = |data: &&&[u8]| data.len() > piece_len(data.len() as u64) as usize;
    let pieces = |data: &&'_ [u8]| piece_len(data.len() as u64) as usize;
    let inputs: Vec<&[u8]> =
        contents.iter().filter(long).flat_map(|data| data.chunks(pieces(data))).collect();
    let mut v1_pieces = vec![[0; 20]; inputs.len()];
    sha1_many(&inputs, &mut v1_pieces);
    let mut v1_rest = v1_pieces.as_slice();
    let each = contents.iter().zip(sha1.into_iter().zip(sha256));
    each.map(|(data, (sha1, sha256))| {
        let len = data.len() as u64;
        let piece_len = piece_len(len);
        let v1 = if data.is_empty() {
            Vec::new()
        } else if data.len() <= piece_len as usize {
            vec![sha1]
        } else {
            let (own, others) = v1_rest.split_at(data.len().div_ceil(piece_len as usize));
            v1_rest = others;
            own.to_vec()
        };
        let mut v2 = Vec::with_capacity(v1.len());
        merkle_roots(data, piece_len, merkle_width(len, piece_len), &mut v2);
        let tth = tth::subtrees(data).root();
        Digests { len, sha1, sha256, tth, pieces: Pieces { piece_len, v1, v2 } }
    })
    .collect()
}

type Task<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Digests of one content of `len` bytes, on all cores. `read` fills a buffer with what begins at
/// an offset; `progress` is told how many bytes more are done, and may stop the work: then there is
/// no result.
///
/// # Errors
/// The first of `read`.
pub(super) fn of_long<E: Send>(
    len: u64,
    mut read: impl FnMut(u64, &mut [u8]) -> Result<(), E> + Send,
    mut progress: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<Option<Digests>, E> {
    let piece_len = piece_len(len);
    let width = merkle_width(len, piece_len);
    let mut pieces = Pieces { piece_len, v1: Vec::new(), v2: Vec::new() };
    let (mut sha1, mut sha256, mut tree) = (Sha1::new(), Sha256::new(), Tree::default());
    let room = |left: u64| usize::try_from(left).unwrap_or(CHUNK_LEN).min(CHUNK_LEN);
    let (mut here, mut next) = (vec![0; room(len)], Vec::new());
    read(0, &mut here)?;
    let mut begin = 0;
    while !here.is_empty() {
        let end = begin + here.len() as u64;
        next.resize(room(len - end), 0);
        let data = here.as_slice();
        let mut subtrees = vec![Tree::default(); data.len().div_ceil(SUBTREE_LEN)];
        let inputs: Vec<&[u8]> = data.chunks(piece_len as usize).collect();
        let done = pieces.v1.len();
        pieces.v1.resize(done + inputs.len(), [0; 20]);
        let (v1, v2) = (&mut pieces.v1[done..], &mut pieces.v2);
        let mut was_read = Ok(());
        // Those that take longest come first.
        let mut tasks: Vec<Task<'_>> = vec![
            Box::new(|| was_read = if next.is_empty() { Ok(()) } else { read(end, &mut next) }),
            Box::new(|| sha256.update(data)),
            Box::new(|| sha1.update(data)),
            Box::new(|| merkle_roots(data, piece_len, width, v2)),
            Box::new(|| sha1_many(&inputs, v1)),
        ];
        for (subtree, data) in subtrees.iter_mut().zip(data.chunks(SUBTREE_LEN)) {
            tasks.push(Box::new(|| *subtree = tth::subtrees(data)));
        }
        run_all(tasks);
        was_read?;
        subtrees.iter().for_each(|subtree| tree.append(subtree));
        if progress(end - begin).is_break() {
            return Ok(None);
        }
        begin = end;
        std::mem::swap(&mut here, &mut next);
    }
    let (sha1, sha256) = (sha1.finalize().into(), sha256.finalize().into());
    Ok(Some(Digests { len, sha1, sha256, tth: tree.root(), pieces }))
}

/// How many threads hash at once.
pub(super) fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Runs all tasks on as many threads as there are cores; returns when they are done.
fn run_all(tasks: Vec<Task<'_>>) {
    let threads = threads().min(tasks.len());
    let tasks = Mutex::new(tasks.into_iter());
    let work = || {
        while let Some(task) = {
            let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
            tasks.next()
        } {
            task();
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::fs;

    use net::create::{CreateOptions, create};

    use super::*;

    fn content(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 7 + i / 251 + i / 65_521) as u8).collect()
    }

    const LENS: [usize; 9] = [
        0,
        1,
        LEAF_LEN,
        LEAF_LEN + 1,
        PIECE_LEN_MIN as usize - 1,
        PIECE_LEN_MIN as usize,
        PIECE_LEN_MIN as usize + 1,
        CHUNK_LEN,
        CHUNK_LEN + SUBTREE_LEN + 12_345,
    ];

    fn long(data: &[u8]) -> Digests {
        let read = |offset: u64, buffer: &mut [u8]| {
            let offset = offset as usize;
            buffer.copy_from_slice(&data[offset..offset + buffer.len()]);
            Ok::<_, Infallible>(())
        };
        let mut told = 0;
        let progress = |bytes| {
            told += bytes;
            ControlFlow::Continue(())
        };
        let digests = of_long(data.len() as u64, read, progress).expect("readable");
        assert_eq!(told, data.len() as u64);
        digests.expect("not stopped")
    }

    #[test]
    fn many_at_once_are_what_each_is_alone() {
        let contents = LENS.map(content);
        let inputs: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
        for (data, digests) in inputs.iter().zip(of_many(&inputs)) {
            assert_eq!(digests.sha1, <[u8; 20]>::from(Sha1::digest(data)));
            assert_eq!(digests.sha256, <[u8; 32]>::from(Sha256::digest(data)));
            assert_eq!(digests, long(data), "{} bytes", data.len());
        }
    }

    #[test]
    fn pieces_are_those_of_a_torrent_that_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        for len in &LENS[1..] {
            let data = content(*len);
            let path = folder.path().join("file");
            fs::write(&path, &data).expect("written");
            let digests = long(&data);
            let options = CreateOptions {
                piece_len: Some(digests.pieces.piece_len),
                ..CreateOptions::default()
            };
            let made = create(&path, &options, &|_, _| {}).expect("made");
            assert_eq!(made.info.v1_pieces.as_deref(), Some(&*digests.pieces.v1), "{len} bytes");
            let layer = &made.piece_layers[0];
            match &*digests.pieces.v2 {
                [root] => assert_eq!(made.info.files[0].pieces_root, Some(*root), "{len} bytes"),
                roots => assert_eq!(layer, roots, "{len} bytes"),
            }
        }
    }

    #[test]
    fn the_work_stops_when_it_is_told_to() {
        let read = |_: u64, buffer: &mut [u8]| {
            buffer.fill(1);
            Ok::<_, Infallible>(())
        };
        let stopped = of_long(1 << 40, read, |_| ControlFlow::Break(()));
        assert_eq!(stopped, Ok(None));
    }

    #[test]
    fn an_error_of_reading_is_the_result() {
        let read = |offset: u64, _: &mut [u8]| if offset == 0 { Ok(()) } else { Err("gone") };
        let failed = of_long(3 * CHUNK_LEN as u64, read, |_| ControlFlow::Continue(()));
        assert_eq!(failed, Err("gone"));
    }

    #[test]
    fn pieces_grow_with_the_file() {
        for (len, wanted) in [
            (0, PIECE_LEN_MIN),
            (1, PIECE_LEN_MIN),
            (256 << 20, 256 << 10),
            ((256 << 20) + 1, 512 << 10),
            (16 << 30, 16 << 20),
            (u64::MAX, PIECE_LEN_MAX),
        ] {
            assert_eq!(piece_len(len), wanted, "{len} bytes");
        }
    }
}
