//! The threads: what each does with what it takes from its queue.

use std::sync::Arc;
use std::time::Duration;

use bittorrent::id::PieceIndex;
use tokio::sync::mpsc::UnboundedSender;

use super::check::{Checker, MAX_LANES, Verdict, VerifyError};
use super::job::{DiskEvent, DiskJob, PieceData, Recheck};
use super::pool::{BufferPool, PieceBuf};
use super::queue::{Queue, Taken};
use crate::store::{ErrorClass, Expected, Journal, Store};

/// How long a thread has nothing to do before it gives its memory back.
const IDLE: Duration = Duration::from_secs(2);

/// A thread of the pool.
pub(super) struct Worker {
    pub queue: Arc<Queue<DiskJob>>,
    pub events: UnboundedSender<DiskEvent>,
    /// Memory to give back when there is nothing to do: that of the threads that empty it.
    pub pool: Option<BufferPool>,
    pub checker: Checker,
    /// How many threads there are of this kind.
    pub hash_threads: usize,
}

/// A piece in memory.
struct InMemory {
    store: Arc<Store>,
    tag: u64,
    piece: PieceIndex,
    data: PieceBuf,
    expected: Expected,
}

impl Worker {
    /// Works until the queue is closed and empty.
    pub fn run(mut self) {
        let mut jobs = Vec::with_capacity(MAX_LANES);
        let mut patience = IDLE;
        loop {
            match self.queue.take(&mut jobs, MAX_LANES, is_batch, patience) {
                Taken::Items => {}
                Taken::Idle => {
                    self.checker.release();
                    if let Some(pool) = &self.pool {
                        pool.trim();
                    }
                    patience = Duration::MAX;
                    continue;
                }
                Taken::Closed => return,
            }
            patience = IDLE;
            let mut batch = Vec::with_capacity(jobs.len());
            for job in jobs.drain(..) {
                match job {
                    DiskJob::Verify { store, tag, piece, data: PieceData::Memory(data) } => {
                        match store.expected(piece) {
                            Ok(expected) => {
                                batch.push(InMemory { store, tag, piece, data, expected });
                            }
                            Err(error) => self.tell(DiskEvent::Verified {
                                tag,
                                piece,
                                result: Err(error.into()),
                                data: Some(data),
                            }),
                        }
                    }
                    DiskJob::Verify { store, tag, piece, data: PieceData::OnDisk } => {
                        self.verify_stored(&store, tag, piece);
                    }
                    DiskJob::Write { store, tag, piece, begin, data } => {
                        let result = store.write(piece, begin, &data);
                        self.tell(DiskEvent::Written { tag, piece, begin, result, data });
                    }
                    DiskJob::Read { store, tag, piece, begin, mut data } => {
                        let result = store.read(piece, begin, &mut data);
                        self.tell(DiskEvent::Read { tag, piece, begin, result, data });
                    }
                    DiskJob::Leaves { store, tag, piece } => {
                        let result = self.checker.leaves(&store, piece);
                        self.tell(DiskEvent::Leaves { tag, piece, result });
                    }
                    DiskJob::Recheck(recheck) => self.recheck(recheck),
                    DiskJob::Prepare { store, tag, journal } => {
                        let result = store.prepare().and_then(|()| Journal::open(&journal, &store));
                        let result = result.map(Box::new);
                        self.tell(DiskEvent::Prepared { tag, result });
                    }
                    DiskJob::Flush { store, tag, journal, close } => {
                        let result =
                            if close { journal.close(&store) } else { journal.flush(&store) };
                        self.tell(DiskEvent::Flushed { tag, result });
                    }
                }
            }
            self.verify(batch);
        }
    }

    /// An event that nobody waits for any more is not needed.
    fn tell(&self, event: DiskEvent) {
        let _ = self.events.send(event);
    }

    fn verify(&mut self, batch: Vec<InMemory>) {
        if batch.is_empty() {
            return;
        }
        let inputs: Vec<(Expected, &[u8])> =
            batch.iter().map(|piece| (piece.expected, &*piece.data)).collect();
        let verdicts = self.checker.check(&inputs);
        for (InMemory { store, tag, piece, data, .. }, verdict) in batch.into_iter().zip(verdicts) {
            let (result, data) = match verdict {
                Verdict::Good => match store.write(piece, 0, &data) {
                    Ok(()) => {
                        // First, so that who hears of it finds room in the pool.
                        drop(data);
                        (Ok(Verdict::Good), None)
                    }
                    Err(error) => (Err(error.into()), Some(data)),
                },
                bad @ Verdict::Bad { .. } => (Ok(bad), Some(data)),
            };
            self.tell(DiskEvent::Verified { tag, piece, result, data });
        }
    }

    fn verify_stored(&mut self, store: &Store, tag: u64, piece: PieceIndex) {
        let events = &self.events;
        self.checker.check_stored(store, &[piece], |piece, result| {
            let _ = events.send(DiskEvent::Verified { tag, piece, result, data: None });
        });
    }

    /// Does a share of a recheck, and puts the rest behind more urgent work.
    fn recheck(&mut self, recheck: Arc<Recheck>) {
        for _ in recheck.shares_to_add(self.hash_threads) {
            if self.queue.put_back(DiskJob::Recheck(recheck.clone())).is_err() {
                recheck.end_share();
            }
        }
        let pieces = recheck.next_pieces();
        if !pieces.is_empty() {
            let (mut good, mut bad) = (Vec::new(), Vec::new());
            self.checker.check_stored(&recheck.store, pieces, |piece, result| {
                let is_good = result.as_ref().is_ok_and(Verdict::is_good);
                if is_good { &mut good } else { &mut bad }.push(piece);
                if let Err(VerifyError::Store(error)) = result
                    && !matches!(error.class(), ErrorClass::Missing | ErrorClass::Truncated)
                {
                    recheck.keep_error(error);
                }
            });
            self.tell(DiskEvent::Rechecked { tag: recheck.tag, good, bad });
            if self.queue.put_back(DiskJob::Recheck(recheck.clone())).is_ok() {
                return;
            }
            // The queue was closed meanwhile.
            recheck.cancel();
        }
        if recheck.end_share() {
            self.tell(DiskEvent::RecheckDone {
                tag: recheck.tag,
                cancelled: recheck.is_cancelled(),
                error: recheck.take_error(),
            });
        }
    }
}

/// Pieces in memory are hashed together.
fn is_batch(first: &DiskJob, next: &DiskJob) -> bool {
    let in_memory =
        |job: &DiskJob| matches!(job, DiskJob::Verify { data: PieceData::Memory(_), .. });
    in_memory(first) && in_memory(next)
}
