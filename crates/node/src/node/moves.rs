//! Moves to another disk, which may take hours: one after the other, on a thread of their own. The
//! transfer waits outside of the session meanwhile, and nothing else may be done with it. What the
//! end of the node cuts short is taken up when it next starts (`rename`).

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread::{self, JoinHandle};

use super::{Node, NodeError, lock};
use crate::record::Place;

/// Moves that wait.
#[derive(Debug, Default)]
pub(super) struct Moves {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Transfers that are on their way, and where their files are to go if they cannot.
    waiting: VecDeque<(String, Option<Place>)>,
    thread: Option<JoinHandle<()>>,
    /// The thread looks for more before it ends.
    runs: bool,
}

impl Moves {
    /// Waits for the move that is under way to notice that the node ends.
    pub(super) fn join(&self) {
        let thread = lock(&self.queue).thread.take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that moves files panicked");
        }
    }
}

/// Whether two folders, that need not exist yet, are on different file systems.
pub(super) fn are_apart(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| -> Option<u64> {
        let there = path.ancestors().find_map(|ancestor| ancestor.metadata().ok());
        there.map(|metadata| metadata.dev())
    };
    device(one) != device(other)
}

impl Node {
    /// Moves a transfer's files in the background; `back` is where they are if that fails. The turn
    /// is the caller's, and the record says already from where to where.
    pub(super) fn move_later(&self, id: &str, back: Option<Place>) -> Result<(), NodeError> {
        self.with(id, |entry| {
            entry.moving = Some(0);
            entry.error = None;
        })?;
        let mut queue = lock(&self.moves.queue);
        queue.waiting.push_back((id.to_owned(), back));
        if queue.runs {
            return Ok(());
        }
        let Some(node) = self.me.upgrade() else { return Err(NodeError::Ended) };
        let run = move || while node.move_next() {};
        let started = thread::Builder::new().name("shoal-mover".into()).spawn(run);
        let path = PathBuf::from(id);
        queue.thread = Some(started.map_err(|source| NodeError::File { path, source })?);
        queue.runs = true;
        Ok(())
    }

    /// Makes the next move; says whether there may be more.
    fn move_next(&self) -> bool {
        let next = {
            let mut queue = lock(&self.moves.queue);
            let next = queue.waiting.pop_front().filter(|_| !self.is_ending());
            queue.runs = next.is_some();
            next
        };
        let Some((id, back)) = next else { return false };
        let Ok(turn) = self.turn_of(&id) else { return true };
        let _turn = lock(&turn);
        match self.make_move(&id, back) {
            // It goes on when the node next starts.
            Err(NodeError::Ended) => return false,
            Err(error) => tracing::error!(%id, %error, "a move cannot be ended"),
            Ok(()) => {}
        }
        true
    }

    fn make_move(&self, id: &str, back: Option<Place>) -> Result<(), NodeError> {
        let record = self.with(id, |entry| entry.record.clone())?;
        let (name, dir) = (record.name.clone(), record.dir.clone());
        let moved = self.finish_move(id, record);
        if self.is_ending() && moved.is_err() {
            return Err(NodeError::Ended);
        }
        let name = name.unwrap_or_else(|| id.to_owned());
        match &moved {
            Ok(_) => {
                let message = format!("{name} is in {} now", dir.display());
                self.notice("info", message, Some(id.to_owned()));
            }
            Err(error) => {
                let message = format!("{name} cannot be moved: {error}");
                tracing::warn!(%id, "{message}");
                self.notice("error", message, Some(id.to_owned()));
            }
        }
        let failed = moved.err().map(|error| error.to_string());
        let paused = self.with(id, |entry| {
            entry.moving = None;
            match (failed, back) {
                (Some(_), Some(back)) => {
                    (entry.record.dir, entry.record.renames) = (back.dir, back.renames);
                    entry.record.moving_from = None;
                }
                // It was taken up from an earlier run, and is tried again with the next start.
                (Some(why), None) => entry.error = Some(why),
                (None, _) => {}
            }
            entry.record.paused || entry.error.is_some()
        })?;
        self.save(id)?;
        if paused { Ok(()) } else { self.begin_in_turn(id) }
    }
}
