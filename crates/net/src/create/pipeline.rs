//! Reads and hashes many pieces on all cores at once, in bounded memory: the core of making a
//! torrent and of checking one that is on disk. Which files pieces lie in, and what they should
//! hash to, is the caller's to know.

use std::iter::Peekable;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use bittorrent::id::PieceIndex;
use bittorrent::metainfo::Info;

use hash::{sha1_many, sha256_many};

use crate::merkle::{LEAF_LEN, subtree_root};

/// Bytes of pieces in memory, over all threads, unless single pieces are larger than their share.
const MEMORY: usize = 64 << 20;

/// Most bytes of pieces in memory of one thread: sixteen pieces of 1 MiB fill all lanes.
const MEMORY_PER_THREAD: usize = 16 << 20;

/// Most pieces that one thread takes at once.
const BATCH_PIECES: usize = 1024;

/// A piece to hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which one it is.
    pub index: PieceIndex,
    /// Bytes to read.
    pub data_len: u32,
    /// Bytes to hash by SHA-1: those that are read, and zeros (the padding of a hybrid). `None` if
    /// no SHA-1 is wanted.
    pub v1_len: Option<u32>,
    /// Leaves of the merkle tree over the bytes that are read, missing ones counted: a power of
    /// two. `None` if its root is not wanted.
    pub v2_width: Option<u32>,
}

impl Piece {
    /// What the info dictionary says about a piece. Padding that follows the file of a hybrid is not
    /// to be read; padding within a v1-only torrent is, as any other file.
    #[must_use]
    pub fn of(info: &Info, index: PieceIndex) -> Self {
        const NO_LAYERS: &[Vec<[u8; 32]>] = &[];
        let v1_len = info.v1_pieces.is_some().then(|| info.piece_size(index));
        match info.v2_piece(index, NO_LAYERS) {
            Some(v2) => Self { index, data_len: v2.len, v1_len, v2_width: Some(v2.width) },
            None => Self { index, data_len: info.piece_size(index), v1_len, v2_width: None },
        }
    }

    /// Bytes that it takes in memory.
    fn room(&self) -> usize {
        self.data_len.max(self.v1_len.unwrap_or(0)) as usize
    }
}

/// What a piece hashes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceDigests {
    /// SHA-1, if it was wanted.
    pub v1: Option<[u8; 20]>,
    /// Root of the merkle tree (BEP 52), if it was wanted and the piece has any bytes.
    pub v2: Option<[u8; 32]>,
}

/// Hashes all `pieces`: `read` fills a buffer of [`Piece::data_len`] bytes from any of several
/// threads, `each` is told of every piece on this one, in no particular order.
///
/// Pieces that follow each other are read one after the other by the same thread. One that cannot
/// be read does not stop the others, unless `each` breaks.
pub fn hash_pieces<E: Send>(
    pieces: impl Iterator<Item = Piece> + Send,
    read: impl Fn(&Piece, &mut [u8]) -> Result<(), E> + Sync,
    mut each: impl FnMut(Piece, Result<PieceDigests, E>) -> ControlFlow<()>,
) {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let memory = (MEMORY / threads).min(MEMORY_PER_THREAD);
    let queue = Mutex::new(pieces.peekable());
    thread::scope(|scope| {
        let (sender, results) = sync_channel(2 * threads);
        for _ in 0..threads {
            let sender = sender.clone();
            scope.spawn(|| work(&queue, memory, &read, sender));
        }
        drop(sender);
        for batch in results {
            for (piece, result) in batch {
                if each(piece, result).is_break() {
                    return;
                }
            }
        }
    });
}

/// Pieces and what came of them.
type Results<E> = Vec<(Piece, Result<PieceDigests, E>)>;

/// Takes batches off the queue until it is empty or nobody wants results.
fn work<E>(
    queue: &Mutex<Peekable<impl Iterator<Item = Piece>>>,
    memory: usize,
    read: &impl Fn(&Piece, &mut [u8]) -> Result<(), E>,
    results: SyncSender<Results<E>>,
) {
    let mut buffer = Vec::new();
    let mut batch = Vec::new();
    loop {
        take_batch(&mut *queue.lock().unwrap_or_else(PoisonError::into_inner), memory, &mut batch);
        if batch.is_empty() || results.send(hash_batch(&batch, &mut buffer, read)).is_err() {
            return;
        }
    }
}

/// Moves the next pieces that fit into `memory` (at least one) from the queue to `batch`.
fn take_batch(
    queue: &mut Peekable<impl Iterator<Item = Piece>>,
    memory: usize,
    batch: &mut Vec<Piece>,
) {
    batch.clear();
    let mut left = memory;
    while batch.len() < BATCH_PIECES
        && let Some(piece) = queue.next_if(|next| batch.is_empty() || next.room() <= left)
    {
        left = left.saturating_sub(piece.room());
        batch.push(piece);
    }
}

fn hash_batch<E>(
    batch: &[Piece],
    buffer: &mut Vec<u8>,
    read: &impl Fn(&Piece, &mut [u8]) -> Result<(), E>,
) -> Results<E> {
    let room = batch.iter().map(Piece::room).sum();
    if buffer.len() < room {
        buffer.resize(room, 0);
    }
    let mut results = Vec::with_capacity(batch.len());
    let mut free = &mut buffer[..room];
    let mut loaded: Vec<(usize, &[u8])> = Vec::with_capacity(batch.len());
    for (number, piece) in batch.iter().enumerate() {
        let (bytes, rest) = free.split_at_mut(piece.room());
        free = rest;
        let (data, padding) = bytes.split_at_mut(piece.data_len as usize);
        let result = read(piece, data);
        padding.fill(0);
        if result.is_ok() {
            loaded.push((number, bytes));
        }
        results.push((*piece, result.map(|()| PieceDigests { v1: None, v2: None })));
    }
    let mut set = |number: usize, change: &dyn Fn(&mut PieceDigests)| {
        if let Some((_, Ok(digests))) = results.get_mut(number) {
            change(digests);
        }
    };

    let (numbers, inputs): (Vec<usize>, Vec<&[u8]>) = loaded
        .iter()
        .filter_map(|&(number, bytes)| Some((number, &bytes[..batch[number].v1_len? as usize])))
        .unzip();
    let mut digests = vec![[0; 20]; inputs.len()];
    sha1_many(&inputs, &mut digests);
    for (number, digest) in numbers.into_iter().zip(digests) {
        set(number, &|digests| digests.v1 = Some(digest));
    }

    let trees: Vec<(usize, &[u8], u32)> = loaded
        .iter()
        .filter_map(|&(number, bytes)| {
            let piece = batch[number];
            Some((number, &bytes[..piece.data_len as usize], piece.v2_width?))
        })
        .collect();
    let inputs: Vec<&[u8]> =
        trees.iter().flat_map(|(_, bytes, _)| bytes.chunks(LEAF_LEN)).collect();
    let mut leaves = vec![[0; 32]; inputs.len()];
    sha256_many(&inputs, &mut leaves);
    let mut rest = leaves.as_slice();
    for (number, bytes, width) in trees {
        let (own, others) = rest.split_at(bytes.len().div_ceil(LEAF_LEN));
        rest = others;
        let root = subtree_root(own, width);
        set(number, &|digests| digests.v2 = root);
    }
    results
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use hash::{Digest, Sha1};

    fn content(piece: &Piece, data: &mut [u8]) -> Result<(), &'static str> {
        for (i, byte) in data.iter_mut().enumerate() {
            *byte = (i * 31 + piece.index.0 as usize * 7) as u8;
        }
        if piece.index.0 % 10 == 3 { Err("unreadable") } else { Ok(()) }
    }

    #[test]
    fn every_piece_is_told_once_with_what_it_hashes_to() {
        let pieces = (0..100).map(|i| Piece {
            index: PieceIndex(i),
            data_len: i * 1_000,
            v1_len: (i % 3 != 0).then_some(i * 1_000 + (i % 2) * 500),
            v2_width: (i % 3 != 1).then_some(8),
        });
        let mut found = BTreeMap::new();
        hash_pieces(pieces.clone(), content, |piece, result| {
            assert!(found.insert(piece.index, result).is_none(), "{piece:?} twice");
            ControlFlow::Continue(())
        });
        assert_eq!(found.len(), 100);
        for piece in pieces {
            let mut data = vec![0; piece.room()];
            let wanted =
                content(&piece, &mut data[..piece.data_len as usize]).map(|()| PieceDigests {
                    v1: piece.v1_len.map(|len| Sha1::digest(&data[..len as usize]).into()),
                    v2: piece.v2_width.and_then(|width| {
                        let mut leaves = Vec::new();
                        crate::merkle::sha256_leaves(&data[..piece.data_len as usize], &mut leaves);
                        (!leaves.is_empty())
                            .then(|| bittorrent::merkle::root_of_width(&leaves, 0, width as usize))
                    }),
                });
            assert_eq!(found[&piece.index], wanted, "{piece:?}");
        }
    }

    #[test]
    fn a_break_stops_the_work() {
        let read = std::sync::atomic::AtomicU32::new(0);
        let pieces = (0..u32::MAX).map(|i| Piece {
            index: PieceIndex(i),
            data_len: 1 << 20,
            v1_len: Some(1 << 20),
            v2_width: None,
        });
        let count = |_: &Piece, _: &mut [u8]| {
            read.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Err(())
        };
        let mut told = 0;
        hash_pieces(pieces, count, |_, _| {
            told += 1;
            ControlFlow::Break(())
        });
        assert_eq!(told, 1);
    }

    #[test]
    fn batches_fit_into_memory_but_for_single_large_pieces() {
        let lens = [5, 5, 1, 20, 3, 8];
        let mut queue = lens
            .into_iter()
            .map(|data_len| Piece { index: PieceIndex(0), data_len, v1_len: None, v2_width: None })
            .peekable();
        let mut batches = Vec::new();
        let mut batch = Vec::new();
        loop {
            take_batch(&mut queue, 10, &mut batch);
            if batch.is_empty() {
                break;
            }
            batches.push(batch.iter().map(|piece| piece.data_len).collect::<Vec<_>>());
        }
        assert_eq!(batches, [vec![5, 5], vec![1], vec![20], vec![3], vec![8]]);
    }
}
