//! Hashing pieces and comparing them with what they should be, many at a time.

use bittorrent::id::PieceIndex;

use crate::merkle::{LEAF_LEN, sha256_leaves};
use crate::store::{Expected, LayerUnknown, Store, StoreError};
use hash::{Digest, Sha1, sha1_many};

/// Most bytes that are read from disk at a time: lanes for pieces that are small, a chunk of those
/// that are not.
const READ_LEN: usize = 4 * 1024 * 1024;
/// Most pieces hashed by one call: the lanes of the widest vectors.
pub(crate) const MAX_LANES: usize = 16;

/// Why a piece could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody has said what it should hash to.
    #[error(transparent)]
    LayerUnknown(#[from] LayerUnknown),
}

/// What the hashes say of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is what the torrent says.
    Good,
    /// It is not.
    Bad {
        /// The v2 hashes of its blocks, as they are (BEP 52); empty in a v1 torrent.
        leaves: Vec<[u8; 32]>,
    },
}

impl Verdict {
    /// Whether the piece is good.
    #[must_use]
    pub fn is_good(&self) -> bool {
        *self == Self::Good
    }
}

/// Judges pieces; keeps memory between calls.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    buffer: Vec<u8>,
    digests: Vec<[u8; 20]>,
    /// The last digest of nothing but zeros, and of how many.
    zeros: Option<(u32, [u8; 20])>,
}

impl Checker {
    /// Frees the memory kept.
    pub fn release(&mut self) {
        *self = Self::default();
    }

    /// Judges pieces in memory, one verdict for each.
    pub fn check(&mut self, pieces: &[(Expected, &[u8])]) -> Vec<Verdict> {
        check(&mut self.digests, pieces)
    }

    /// Judges pieces of a store.
    pub fn check_stored(
        &mut self,
        store: &Store,
        pieces: &[PieceIndex],
        mut judged: impl FnMut(PieceIndex, Result<Verdict, VerifyError>),
    ) {
        let mut batch: Vec<(PieceIndex, Expected, usize)> = Vec::with_capacity(MAX_LANES);
        let mut used = 0;
        for &piece in pieces {
            let len = store.info().piece_size(piece) as usize;
            let expected = match store.expected(piece) {
                Ok(expected) => expected,
                Err(error) => {
                    judged(piece, Err(error.into()));
                    continue;
                }
            };
            if store.is_hole(piece) {
                judged(piece, Ok(self.check_zeros(&expected, len as u32)));
                continue;
            }
            if len > READ_LEN {
                judged(piece, self.check_in_chunks(store, piece, &expected));
                continue;
            }
            if batch.len() == MAX_LANES || used + len > READ_LEN {
                self.check_batch(&mut batch, &mut judged);
                used = 0;
            }
            if self.buffer.len() < used + len {
                self.buffer.resize(READ_LEN.min((used + len).next_power_of_two()), 0);
            }
            match store.read(piece, 0, &mut self.buffer[used..used + len]) {
                Ok(()) => {
                    batch.push((piece, expected, len));
                    used += len;
                }
                Err(error) => judged(piece, Err(error.into())),
            }
        }
        self.check_batch(&mut batch, &mut judged);
    }

    /// The v2 hashes of the blocks of a stored piece, padding not counted.
    pub fn leaves(
        &mut self,
        store: &Store,
        piece: PieceIndex,
    ) -> Result<Vec<[u8; 32]>, VerifyError> {
        let data_len = match store.expected(piece)?.v2 {
            Some(subtree) => subtree.data_len as usize,
            None => store.info().piece_size(piece) as usize,
        };
        let mut leaves = Vec::with_capacity(data_len.div_ceil(LEAF_LEN));
        self.read_chunks(store, piece, data_len, |chunk| sha256_leaves(chunk, &mut leaves))?;
        Ok(leaves)
    }

    fn check_batch(
        &mut self,
        batch: &mut Vec<(PieceIndex, Expected, usize)>,
        judged: &mut impl FnMut(PieceIndex, Result<Verdict, VerifyError>),
    ) {
        let mut rest = self.buffer.as_slice();
        let mut inputs: Vec<(Expected, &[u8])> = Vec::with_capacity(batch.len());
        for &(_, expected, len) in &*batch {
            let (data, next) = rest.split_at(len);
            inputs.push((expected, data));
            rest = next;
        }
        let verdicts = check(&mut self.digests, &inputs);
        for ((piece, ..), verdict) in batch.drain(..).zip(verdicts) {
            judged(piece, Ok(verdict));
        }
    }

    /// Judges a piece that is too long to be held in memory.
    fn check_in_chunks(
        &mut self,
        store: &Store,
        piece: PieceIndex,
        expected: &Expected,
    ) -> Result<Verdict, VerifyError> {
        let len = store.info().piece_size(piece) as usize;
        let mut sha1 = expected.v1.map(|_| Sha1::new());
        let mut leaves = Vec::new();
        let mut data_left = expected.v2.map_or(0, |subtree| subtree.data_len as usize);
        self.read_chunks(store, piece, len, |chunk| {
            if let Some(sha1) = &mut sha1 {
                sha1.update(chunk);
            }
            let data = &chunk[..chunk.len().min(data_left)];
            sha256_leaves(data, &mut leaves);
            data_left -= data.len();
        })?;
        let v1_good = sha1.map(|sha1| sha1.finalize().into()) == expected.v1;
        Ok(verdict(expected, v1_good, leaves))
    }

    fn read_chunks(
        &mut self,
        store: &Store,
        piece: PieceIndex,
        len: usize,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), StoreError> {
        // A multiple of the length of leaves, so that none is cut.
        let chunk_len = len.min(1024 * 1024);
        if self.buffer.len() < chunk_len {
            self.buffer.resize(chunk_len, 0);
        }
        let mut begin = 0;
        while begin < len {
            let chunk = &mut self.buffer[..chunk_len.min(len - begin)];
            store.read(piece, begin as u32, chunk)?;
            each(chunk);
            begin += chunk.len();
        }
        Ok(())
    }

    /// Judges a piece of `len` zeros without hashing them each time.
    fn check_zeros(&mut self, expected: &Expected, len: u32) -> Verdict {
        let v1_good = expected.v1.is_none_or(|digest| {
            let (known, zeros) = self.zeros.unwrap_or_default();
            let zeros = if known == len && len > 0 {
                zeros
            } else {
                let mut sha1 = Sha1::new();
                let mut left = len as usize;
                while left > 0 {
                    let some = left.min(LEAF_LEN);
                    sha1.update(&[0; LEAF_LEN][..some]);
                    left -= some;
                }
                sha1.finalize().into()
            };
            self.zeros = Some((len, zeros));
            digest == zeros
        });
        let mut leaves = Vec::new();
        if let Some(subtree) = expected.v2 {
            let whole = subtree.data_len as usize / LEAF_LEN;
            let rest = subtree.data_len as usize % LEAF_LEN;
            sha256_leaves(&[0; LEAF_LEN], &mut leaves);
            leaves.resize(whole, leaves[0]);
            sha256_leaves(&[0; LEAF_LEN][..rest], &mut leaves);
        }
        verdict(expected, v1_good, leaves)
    }
}

fn check(digests: &mut Vec<[u8; 20]>, pieces: &[(Expected, &[u8])]) -> Vec<Verdict> {
    let v1: Vec<&[u8]> = pieces
        .iter()
        .filter(|(expected, _)| expected.v1.is_some())
        .map(|(_, data)| *data)
        .collect();
    digests.clear();
    digests.resize(v1.len(), [0; 20]);
    sha1_many(&v1, digests);
    let mut digests = digests.iter();
    let verdicts = pieces.iter().map(|(expected, data)| {
        let v1_good = expected.v1.is_none_or(|digest| digests.next() == Some(&digest));
        let mut leaves = Vec::new();
        if let Some(subtree) = expected.v2 {
            let data = &data[..data.len().min(subtree.data_len as usize)];
            leaves.reserve_exact(data.len().div_ceil(LEAF_LEN));
            sha256_leaves(data, &mut leaves);
        }
        verdict(expected, v1_good, leaves)
    });
    verdicts.collect()
}

/// Both versions have to agree where both are known.
fn verdict(expected: &Expected, v1_good: bool, leaves: Vec<[u8; 32]>) -> Verdict {
    let v2_good = expected.v2.is_none_or(|subtree| subtree.matches(&leaves));
    let judged = expected.v1.is_some() || expected.v2.is_some();
    if judged && v1_good && v2_good { Verdict::Good } else { Verdict::Bad { leaves } }
}
