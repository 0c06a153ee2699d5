//! What threads are asked to do, and what they answer.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bittorrent::id::PieceIndex;

use super::check::{Verdict, VerifyError};
use super::pool::PieceBuf;
use crate::store::{FlushError, Journal, Resume, Store, StoreError};

/// Where the bytes of a piece to judge are.
#[derive(Debug)]
pub enum PieceData {
    /// In memory, whole: they are written if they are good.
    Memory(PieceBuf),
    /// Written already, block by block. All [`DiskJob::Write`]s of the piece must have been
    /// answered, for jobs may overtake each other.
    OnDisk,
}

/// Something to do. `tag` is the caller's and comes back with the answer.
#[derive(Debug)]
pub enum DiskJob {
    /// Judge a piece, and write it if it is in memory and good.
    Verify {
        /// Whose piece.
        store: Arc<Store>,
        /// Comes back.
        tag: u64,
        /// Which.
        piece: PieceIndex,
        /// Its bytes.
        data: PieceData,
    },
    /// Write some bytes of a piece without judging them.
    Write {
        /// Whose piece.
        store: Arc<Store>,
        /// Comes back.
        tag: u64,
        /// Which.
        piece: PieceIndex,
        /// Where in the piece they belong.
        begin: u32,
        /// The bytes.
        data: PieceBuf,
    },
    /// Read some bytes of a piece.
    Read {
        /// Whose piece.
        store: Arc<Store>,
        /// Comes back.
        tag: u64,
        /// Which.
        piece: PieceIndex,
        /// Where in the piece they are.
        begin: u32,
        /// Filled from its beginning to its end.
        data: PieceBuf,
    },
    /// Hash the blocks of a stored piece (BEP 52).
    Leaves {
        /// Whose piece.
        store: Arc<Store>,
        /// Comes back.
        tag: u64,
        /// Which.
        piece: PieceIndex,
    },
    /// Judge stored pieces when there is nothing better to do.
    Recheck(Arc<Recheck>),
    /// [`Store::prepare`], then [`Journal::open`].
    Prepare {
        /// Whose files.
        store: Arc<Store>,
        /// Comes back.
        tag: u64,
        /// Where the journal is.
        journal: PathBuf,
    },
    /// [`Journal::flush`] or [`Journal::close`].
    Flush {
        /// Whose files.
        store: Arc<Store>,
        /// Comes back.
        tag: u64,
        /// Where their pieces are recorded.
        journal: Arc<Journal>,
        /// Whether nothing will be written after this.
        close: bool,
    },
}

/// An answer; one for each job, but for [`DiskJob::Recheck`], which has many.
#[derive(Debug)]
pub enum DiskEvent {
    /// To [`DiskJob::Verify`].
    Verified {
        /// The job's.
        tag: u64,
        /// The job's.
        piece: PieceIndex,
        /// `Good` means that it is written, too.
        result: Result<Verdict, VerifyError>,
        /// The piece, if it was in memory and was not written: to find out who sent the bad
        /// block, or to try again.
        data: Option<PieceBuf>,
    },
    /// To [`DiskJob::Write`].
    Written {
        /// The job's.
        tag: u64,
        /// The job's.
        piece: PieceIndex,
        /// The job's.
        begin: u32,
        /// Whether the system took it.
        result: Result<(), StoreError>,
        /// The job's.
        data: PieceBuf,
    },
    /// To [`DiskJob::Read`].
    Read {
        /// The job's.
        tag: u64,
        /// The job's.
        piece: PieceIndex,
        /// The job's.
        begin: u32,
        /// Whether `data` holds what was asked for.
        result: Result<(), StoreError>,
        /// The job's.
        data: PieceBuf,
    },
    /// To [`DiskJob::Leaves`].
    Leaves {
        /// The job's.
        tag: u64,
        /// The job's.
        piece: PieceIndex,
        /// Hashes of its blocks, without those past the end of the file.
        result: Result<Vec<[u8; 32]>, VerifyError>,
    },
    /// To [`DiskJob::Recheck`]: some more pieces were judged.
    Rechecked {
        /// The job's.
        tag: u64,
        /// Pieces that are good.
        good: Vec<PieceIndex>,
        /// Pieces that are not there, damaged, or not to be judged.
        bad: Vec<PieceIndex>,
    },
    /// To [`DiskJob::Recheck`]: no more will come.
    RecheckDone {
        /// The job's.
        tag: u64,
        /// Whether it was stopped before its end.
        cancelled: bool,
        /// The first failure other than a file that is missing or too short. The pieces it
        /// concerns were counted as bad.
        error: Option<StoreError>,
    },
    /// To [`DiskJob::Prepare`].
    Prepared {
        /// The job's.
        tag: u64,
        /// The journal, and what it knows.
        result: Result<Box<(Journal, Resume)>, StoreError>,
    },
    /// To [`DiskJob::Flush`].
    Flushed {
        /// The job's.
        tag: u64,
        /// Whether all that was recorded is on disk.
        result: Result<(), FlushError>,
    },
}

impl DiskEvent {
    /// The tag of the job that it answers.
    #[must_use]
    pub fn tag(&self) -> u64 {
        match self {
            Self::Verified { tag, .. }
            | Self::Written { tag, .. }
            | Self::Read { tag, .. }
            | Self::Leaves { tag, .. }
            | Self::Rechecked { tag, .. }
            | Self::RecheckDone { tag, .. }
            | Self::Prepared { tag, .. }
            | Self::Flushed { tag, .. } => *tag,
        }
    }
}

/// Pieces to judge, shared by the threads that do it and by whoever may stop it.
#[derive(Debug)]
pub struct Recheck {
    pub(super) store: Arc<Store>,
    pub(super) tag: u64,
    pieces: Vec<PieceIndex>,
    next: AtomicUsize,
    cancelled: AtomicBool,
    /// Whether all threads have been called to it.
    shared: AtomicBool,
    /// Threads that are not done with it.
    shares: AtomicUsize,
    error: Mutex<Option<StoreError>>,
}

/// Most pieces judged between two looks at more urgent work.
const SHARE_PIECES: usize = 64;
/// Bytes after which that look is due.
const SHARE_BYTES: u64 = 16 * 1024 * 1024;

impl Recheck {
    /// All pieces of a torrent.
    #[must_use]
    pub fn all(store: Arc<Store>, tag: u64) -> Arc<Self> {
        let pieces = (0..store.info().piece_count()).map(PieceIndex).collect();
        Self::of(store, tag, pieces)
    }

    /// Some pieces of a torrent.
    #[must_use]
    pub fn of(store: Arc<Store>, tag: u64, pieces: Vec<PieceIndex>) -> Arc<Self> {
        Arc::new(Self {
            store,
            tag,
            pieces,
            next: AtomicUsize::new(0),
            cancelled: AtomicBool::new(false),
            shared: AtomicBool::new(false),
            shares: AtomicUsize::new(1),
            error: Mutex::default(),
        })
    }

    /// Stops it. [`DiskEvent::RecheckDone`] follows when all threads have noticed.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// How many threads beside the first are to be called, of `threads` that there are.
    pub(super) fn shares_to_add(&self, threads: usize) -> Range<usize> {
        if self.shared.swap(true, Ordering::AcqRel) {
            return 0..0;
        }
        self.shares.fetch_add(threads.saturating_sub(1), Ordering::AcqRel);
        1..threads
    }

    /// A thread is done with it; true if it was the last one.
    pub(super) fn end_share(&self) -> bool {
        self.shares.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// The next pieces to judge; empty at the end.
    pub(super) fn next_pieces(&self) -> &[PieceIndex] {
        if self.is_cancelled() {
            return &[];
        }
        let each = u64::from(self.store.info().piece_len.max(1));
        let count = ((SHARE_BYTES / each) as usize).clamp(1, SHARE_PIECES);
        let start = self.next.fetch_add(count, Ordering::Relaxed).min(self.pieces.len());
        &self.pieces[start..(start + count).min(self.pieces.len())]
    }

    pub(super) fn keep_error(&self, error: StoreError) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    pub(super) fn take_error(&self) -> Option<StoreError> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
