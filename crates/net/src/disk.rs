//! The threads that wait for disks and hash, so that the reactor does neither.
//!
//! The reactor hands in [`DiskJob`]s and never waits; answers come as [`DiskEvent`]s through one
//! channel. Three kinds of threads keep slow work from delaying quick work: those that hash and write,
//! those that read, and one that waits for stable storage. Pieces that wait at the same time are hashed by one call over vector lanes. Where bytes
//! lie is the [`store`](crate::store)'s business; what to do about an answer is the session's.

mod check;
mod job;
mod pool;
mod queue;
#[cfg(test)]
mod tests;
mod worker;

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::JoinHandle;

use bittorrent::id::PieceIndex;
use tokio::sync::mpsc;

use check::Checker;
pub use check::{Verdict, VerifyError};
pub use job::{DiskEvent, DiskJob, PieceData, Recheck};
pub use pool::{BufferPool, PieceBuf};
use queue::Queue;
use worker::Worker;

use crate::store::Store;

/// Most threads that hash if their number is not chosen.
const MAX_HASH_THREADS: usize = 4;
/// Stack of a thread: nothing recurses, but lanes that are not optimised keep all their words on it.
const STACK_LEN: usize = 1024 * 1024;

/// Whether these are the bytes of a piece; false while nobody has said what it hashes to.
pub(crate) fn is_good(store: &Store, piece: PieceIndex, bytes: &[u8]) -> bool {
    let Ok(expected) = store.expected(piece) else { return false };
    Checker::default().check(&[(expected, bytes)]).iter().all(Verdict::is_good)
}

/// How many threads, how much memory.
#[derive(Clone, Copy, Debug)]
pub struct DiskConfig {
    /// Threads that hash and write; `None` is half of the cores, 1 to 4.
    pub hash_threads: Option<NonZeroUsize>,
    /// Threads that read what is not in memory.
    pub read_threads: NonZeroUsize,
    /// Jobs that may wait for each kind of thread.
    pub queue_len: usize,
    /// Most bytes of pieces in memory.
    pub buffer_bytes: usize,
}

impl Default for DiskConfig {
    fn default() -> Self {
        Self {
            hash_threads: None,
            read_threads: NonZeroUsize::MIN.saturating_add(1),
            queue_len: 1024,
            buffer_bytes: 24 * 1024 * 1024,
        }
    }
}

/// The way to the threads. When it is dropped they finish what is queued and end.
#[derive(Debug)]
pub struct Disk {
    hash: Arc<Queue<DiskJob>>,
    read: Arc<Queue<DiskJob>>,
    sync: Arc<Queue<DiskJob>>,
    pool: BufferPool,
    threads: Vec<JoinHandle<()>>,
}

impl Disk {
    /// Starts the threads. No more events are outstanding than jobs were accepted, but for those
    /// of rechecks.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn start(config: DiskConfig) -> io::Result<(Self, mpsc::UnboundedReceiver<DiskEvent>)> {
        let (events, receiver) = mpsc::unbounded_channel();
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let hash_threads = config
            .hash_threads
            .map_or_else(|| (cores / 2).clamp(1, MAX_HASH_THREADS), NonZeroUsize::get);
        let mut disk = Self {
            hash: Arc::new(Queue::new(config.queue_len)),
            read: Arc::new(Queue::new(config.queue_len)),
            sync: Arc::new(Queue::new(config.queue_len)),
            pool: BufferPool::new(config.buffer_bytes),
            threads: Vec::new(),
        };
        let hashers = std::iter::repeat_n(("hash", &disk.hash), hash_threads);
        let readers = std::iter::repeat_n(("read", &disk.read), config.read_threads.get());
        let syncer = std::iter::once(("sync", &disk.sync));
        for (name, queue) in hashers.chain(readers).chain(syncer) {
            let worker = Worker {
                queue: queue.clone(),
                events: events.clone(),
                pool: Arc::ptr_eq(queue, &disk.hash).then(|| disk.pool.clone()),
                checker: Checker::default(),
                hash_threads,
            };
            let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_LEN);
            disk.threads.push(thread.spawn(|| worker.run())?);
        }
        Ok((disk, receiver))
    }

    /// Memory for pieces.
    #[must_use]
    pub fn pool(&self) -> &BufferPool {
        &self.pool
    }

    /// Hands in a job, or gives it back if too many wait already.
    ///
    /// # Errors
    /// The job.
    pub fn submit(&self, job: DiskJob) -> Result<(), DiskJob> {
        match job {
            DiskJob::Read { .. } => self.read.push(job, true),
            DiskJob::Prepare { .. } | DiskJob::Flush { .. } => self.sync.push(job, true),
            DiskJob::Recheck(_) => self.hash.push(job, false),
            _ => self.hash.push(job, true),
        }
    }

    /// Waits until all jobs are done and the threads have ended.
    pub fn shutdown(mut self) {
        self.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }

    fn close(&self) {
        self.hash.close();
        self.read.close();
        self.sync.close();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.close();
    }
}
