//! Reading a file of a torrent while it is still being fetched. Only verified bytes come out.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bittorrent::id::PieceIndex;
use tokio::sync::oneshot;

use super::Torrent;
use super::reactor::{Control, ReaderId};
use crate::store::{Store, StoreError};

/// Bytes beyond the place that is read which are fetched before all else.
const AHEAD: u64 = 8 * 1024 * 1024;
/// Pieces that are fetched before all else at least, however long they are.
const AHEAD_PIECES: u64 = 3;

static READERS: AtomicU64 = AtomicU64::new(1);

/// Why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The torrent was stopped, removed, or failed.
    #[error("the torrent is stopped")]
    Stopped,
    /// The files cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A file of a torrent, to be read from any place. While it lives, what lies ahead of the place
/// that was asked for last is fetched before all else.
#[derive(Debug)]
pub struct FileReader {
    torrent: Torrent,
    store: Arc<Store>,
    id: ReaderId,
    start: u64,
    len: u64,
    /// Pieces known to be verified, in a row.
    ready: Range<u32>,
}

impl FileReader {
    /// A reader of file `index`; `None` if there is no such file, or it is not known yet.
    pub(super) fn open(torrent: &Torrent, index: usize) -> Option<Self> {
        let store = torrent.store()?;
        let file = store.info().files.get(index).filter(|file| !file.padding)?;
        let (start, len) = (file.offset, file.len);
        let id = READERS.fetch_add(1, Ordering::Relaxed);
        Some(Self { torrent: torrent.clone(), store, id, start, len, ready: 0..0 })
    }

    /// The file's length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn piece_at(&self, offset: u64) -> u32 {
        let piece = (self.start + offset) / u64::from(self.store.info().piece_len);
        u32::try_from(piece).unwrap_or(u32::MAX)
    }

    /// Waits until the byte at `offset` is verified. Returns how many bytes from there on are, up
    /// to the end of its piece; 0 at the end of the file.
    ///
    /// # Errors
    /// When the torrent was stopped, removed, or failed.
    pub async fn ready(&mut self, offset: u64) -> Result<u64, ReadError> {
        if offset >= self.len {
            return Ok(0);
        }
        let piece_len = u64::from(self.store.info().piece_len);
        let piece = self.piece_at(offset);
        if !self.ready.contains(&piece) {
            let ahead = AHEAD.max(AHEAD_PIECES * piece_len);
            let last = self.piece_at((offset + ahead).min(self.len - 1));
            let control = &self.torrent.control;
            let ask = Control::Read(self.torrent.tag, self.id, piece..last + 1);
            control.send(ask).map_err(|_| ReadError::Stopped)?;
            let (to, answer) = oneshot::channel();
            let ask = Control::Await(self.torrent.tag, PieceIndex(piece), to);
            control.send(ask).map_err(|_| ReadError::Stopped)?;
            answer.await.map_err(|_| ReadError::Stopped)?;
            self.ready = piece..piece + 1;
        }
        let end = (u64::from(piece) + 1) * piece_len;
        Ok((end - self.start).min(self.len) - offset)
    }

    /// Reads bytes that [`FileReader::ready`] has said to be verified, at most to the end of their
    /// piece, and says how many. It may wait for the disk.
    ///
    /// # Errors
    /// When the file cannot be read, or was cut short meanwhile.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> Result<usize, ReadError> {
        let piece = self.piece_at(offset);
        if offset >= self.len || !self.ready.contains(&piece) {
            return Ok(0);
        }
        let piece_len = u64::from(self.store.info().piece_len);
        let begin = (self.start + offset) % piece_len;
        let most = (piece_len - begin).min(self.len - offset);
        let len = out.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        self.store.read(PieceIndex(piece), begin as u32, &mut out[..len])?;
        Ok(len)
    }
}

impl Drop for FileReader {
    fn drop(&mut self) {
        // The session may have ended before.
        let _ = self.torrent.control.send(Control::Read(self.torrent.tag, self.id, 0..0));
    }
}
