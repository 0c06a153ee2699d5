//! What is verified, remembered from one run to the next, and never ahead of the disk: pieces are
//! written, judged, brought to stable storage, and only then recorded.
//!
//! A journal is one file, `.<infohash>.shoal`, in the folder of the torrent or in a folder for
//! state. Records are appended while pieces arrive and folded into one from time to time, by way of
//! a temporary file. It holds the info dictionary too, so that a magnet link asks for it but once.
//!
//! Each record has the length and time of change of the files it is about. A file that has changed
//! since is not trusted, but for one case: after a crash, files may be newer than the last record by
//! as much as lies between two records, because we wrote to them ourselves.

mod format;
mod replace;
mod resume;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bittorrent::id::{InfoHashes, PieceIndex};
use bittorrent::metainfo::Info;
use codec::bitfield::Bitfield;

#[doc(hidden)]
pub use format::with_checksums;
pub use format::{Contents, Damage, Stamp, Totals};
use format::{Progress, Sum, Torrent, Writer};
pub use resume::{Origin, Resume};

use super::{Op, Store, StoreError};

/// How long a piece waits to be recorded.
const FLUSH_AFTER: Duration = Duration::from_secs(2);
/// Bytes of pieces that wait to be recorded before it is done at once.
const FLUSH_BYTES: u64 = 256 * 1024 * 1024;
/// Bytes of appended records that are not worth folding.
const SMALL_LOG: usize = 64 * 1024;

/// The journal of one torrent. Recording is cheap; [`Journal::flush`] waits for the disk.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    piece_len: u32,
    pending: Mutex<Pending>,
    log: Mutex<Log>,
}

/// What was told and is not on disk. Its lock is held for moments.
#[derive(Debug, Default)]
struct Pending {
    pieces: Vec<PieceIndex>,
    since: Option<Instant>,
    totals: Totals,
    info: Option<Arc<[u8]>>,
    layers: Vec<(u32, Vec<[u8; 32]>)>,
    /// Pieces that turned out to be bad.
    forgotten: Vec<PieceIndex>,
}

/// What is on disk. Its lock is held during a flush.
#[derive(Debug)]
struct Log {
    torrent: Torrent,
    /// Whether the next flush may append to what the file holds; else it writes the whole file.
    /// Between flushes the file is closed: there may be thousands of torrents.
    appendable: bool,
    sum: Sum,
    /// Bytes of the file.
    len: usize,
    /// How many of them were written by the last folding.
    folded_len: usize,
    have: Bitfield,
    stamps: BTreeMap<u32, Stamp>,
    totals: Totals,
    closed: bool,
    info: Option<Arc<[u8]>>,
    layers: BTreeMap<u32, Vec<[u8; 32]>>,
    /// What is on the files' disk and in the fields above, but not in the file yet.
    unwritten: Progress,
}

/// A flush that failed.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct FlushError {
    /// Why.
    pub source: StoreError,
    /// Pieces that may not be on disk, for the system reports a failed write-back only once. They
    /// are not recorded and must be judged anew. Empty if only the journal could not be written:
    /// then the next flush tries again.
    pub lost: Vec<PieceIndex>,
}

impl Journal {
    /// Where the journal of a torrent is, in the folder `dir`.
    #[must_use]
    pub fn path_in(dir: &Path, hashes: &InfoHashes) -> PathBuf {
        let name = hashes.primary().map(|hash| hash.to_string()).unwrap_or_default();
        dir.join(format!(".{name}.shoal"))
    }

    /// The bytes of the info dictionary that the journal at `path` holds, if they are the ones that
    /// `hashes` name.
    #[must_use]
    pub fn info_bytes(path: &Path, hashes: &InfoHashes) -> Option<Vec<u8>> {
        resume::info_bytes(path, hashes)
    }

    /// Opens or begins the journal at `path`, and says which pieces of `store` need no check. A
    /// damaged journal is kept beside it, with `.bad` at the end of its name.
    ///
    /// # Errors
    /// If the journal is there and cannot be read.
    pub fn open(path: &Path, store: &Store) -> Result<(Self, Resume), StoreError> {
        resume::open(path, store)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells that these pieces are good and written.
    pub fn record(&self, pieces: &[PieceIndex]) {
        if pieces.is_empty() {
            return;
        }
        let mut pending = self.pending();
        pending.pieces.extend(pieces);
        pending.since.get_or_insert_with(Instant::now);
    }

    /// Tells that these pieces are not good after all. The next flush takes them off the record.
    pub fn forget(&self, pieces: &[PieceIndex]) {
        let mut pending = self.pending();
        pending.pieces.retain(|piece| !pieces.contains(piece));
        pending.forgotten.extend(pieces);
    }

    /// Tells what was exchanged in all; goes to disk with the next flush.
    pub fn set_totals(&self, totals: Totals) {
        self.pending().totals = totals;
    }

    /// Tells the info dictionary; goes to disk with the next flush.
    pub fn set_info_bytes(&self, bytes: Arc<[u8]>) {
        self.pending().info = Some(bytes);
    }

    /// Tells the piece layer of file `index` (BEP 52); goes to disk with the next flush.
    pub fn set_piece_layer(&self, index: usize, layer: &[[u8; 32]]) {
        if let Ok(index) = u32::try_from(index) {
            self.pending().layers.push((index, layer.to_vec()));
        }
    }

    /// Whether pieces have waited for long enough, or enough of them wait.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        let pending = self.pending();
        let bytes = pending.pieces.len() as u64 * u64::from(self.piece_len);
        bytes >= FLUSH_BYTES
            || pending
                .since
                .is_some_and(|since| now.saturating_duration_since(since) >= FLUSH_AFTER)
    }

    /// Brings the files to stable storage and then what was told here. Waits for the disk.
    ///
    /// # Errors
    /// Of the files or of the journal.
    pub fn flush(&self, store: &Store) -> Result<(), FlushError> {
        self.flush_as(store, false)
    }

    /// Flushes, and notes that nothing was written after that: any later change of a file is not
    /// ours. To be called when all jobs of the store are done.
    ///
    /// # Errors
    /// As [`Journal::flush`].
    pub fn close(&self, store: &Store) -> Result<(), FlushError> {
        self.flush_as(store, true)
    }

    fn flush_as(&self, store: &Store, closed: bool) -> Result<(), FlushError> {
        let mut log = self.log();
        let told = {
            let mut pending = self.pending();
            let totals = pending.totals;
            std::mem::replace(&mut *pending, Pending { totals, ..Pending::default() })
        };
        let synced = match store.sync_files() {
            Ok(synced) => synced,
            Err(source) => {
                let mut pending = self.pending();
                pending.info = pending.info.take().or(told.info);
                pending.layers.extend(told.layers);
                pending.forgotten.extend(told.forgotten);
                return Err(FlushError { source, lost: told.pieces });
            }
        };
        // From here on the pieces are on disk: if the journal fails, memory still knows them.
        log.take_in(store, told, &synced);
        log.write(&self.path, closed).map_err(|source| FlushError { source, lost: Vec::new() })
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    /// Takes in what was told, with the stamps of the files that it is about.
    fn take_in(&mut self, store: &Store, told: Pending, synced: &[usize]) {
        let mut touched: BTreeSet<usize> = synced.iter().copied().collect();
        for piece in told.forgotten {
            // Records only ever add pieces, so the whole file has to go.
            if self.have.clear(piece.0) {
                self.appendable = false;
            }
        }
        for &piece in &told.pieces {
            if self.have.set(piece.0) {
                self.unwritten.pieces.push(piece);
            }
            touched.extend(store.files_of_piece(piece));
        }
        for key in touched {
            if let Some(stamp) = store.stamp(key) {
                self.unwritten.stamps.push((number_of(key), stamp));
                self.stamps.insert(number_of(key), stamp);
            }
        }
        self.unwritten.totals = told.totals;
        if let Some(info) = told.info.filter(|info| self.info.as_ref() != Some(info)) {
            self.info = Some(info);
            self.appendable = false;
        }
        for (file, layer) in told.layers {
            if self.layers.get(&file) != Some(&layer) {
                self.layers.insert(file, layer);
                self.appendable = false;
            }
        }
    }

    /// Writes what is not written, at the end or anew. After a failure the next call writes anew.
    fn write(&mut self, path: &Path, closed: bool) -> Result<(), StoreError> {
        let new = &mut self.unwritten;
        let untouched = new.pieces.is_empty() && new.stamps.is_empty();
        new.closed = closed || (self.closed && untouched);
        let as_before = untouched && new.totals == self.totals && new.closed == self.closed;
        if as_before && self.appendable {
            return Ok(());
        }
        new.at = now_in_nanos();
        let appended = self.len - self.folded_len;
        let appends = std::mem::take(&mut self.appendable);
        let appends = appends && appended <= self.folded_len.max(SMALL_LOG);
        let file = appends.then(|| replace::open_at_end(path, self.len as u64)).flatten();
        match file {
            Some(mut file) => {
                let mut writer = Writer::after(self.sum);
                writer.progress(new);
                replace::append(&mut file, &writer.bytes)
                    .map_err(|source| StoreError::new(Op::Write, path, source))?;
                self.sum = writer.sum;
                self.len += writer.bytes.len();
            }
            None => {
                let writer = self.fold();
                replace::replace(path, &writer.bytes)?;
                self.sum = writer.sum;
                self.len = writer.bytes.len();
                self.folded_len = self.len;
            }
        }
        self.appendable = true;
        self.totals = self.unwritten.totals;
        self.closed = self.unwritten.closed;
        self.unwritten.pieces.clear();
        self.unwritten.stamps.clear();
        Ok(())
    }

    /// All that is known, in as few records as can be.
    fn fold(&self) -> Writer {
        let mut writer = Writer::new();
        writer.torrent(&self.torrent);
        if let Some(info) = &self.info {
            writer.info(info);
        }
        for (&file, layer) in &self.layers {
            writer.layer(file, layer);
        }
        writer.have(&self.have);
        writer.progress(&Progress {
            at: self.unwritten.at,
            closed: self.unwritten.closed,
            totals: self.unwritten.totals,
            stamps: self.stamps.iter().map(|(&file, &stamp)| (file, stamp)).collect(),
            pieces: Vec::new(),
        });
        writer
    }
}

/// The number by which a journal knows a file of a store.
fn number_of(key: usize) -> u32 {
    // Torrents have far fewer files, so only the side file has this number.
    u32::try_from(key).unwrap_or(format::PARTS)
}

fn torrent_of(info: &Info) -> Torrent {
    Torrent {
        hashes: info.hashes,
        piece_len: info.piece_len,
        piece_count: info.piece_count(),
        file_count: number_of(info.files.len()),
    }
}

/// Nanoseconds since 1970 by the clock that files are stamped with.
fn now_in_nanos() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
