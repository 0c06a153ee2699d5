//! Which parts of a file have come, and who fetches which; kept beside the file, so that a fetch goes
//! on where it has ended. Only the hash of the whole says whether what came is right.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a part.
pub(super) const PIECE: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Claimed,
    Done,
}

/// The parts of one file.
pub(super) struct Pieces {
    path: PathBuf,
    /// One byte for each part: 1 if it has come.
    map: File,
    states: Mutex<Vec<State>>,
    size: u64,
}

impl Pieces {
    /// Parts of the file `part`; `is_new` forgets what is said of them.
    pub(super) fn open(part: &Path, size: u64, is_new: bool) -> io::Result<Self> {
        let mut path = part.as_os_str().to_owned();
        path.push("-map");
        let path = PathBuf::from(path);
        let count = usize::try_from(size.div_ceil(PIECE)).map_err(io::Error::other)?;
        let mut options = OpenOptions::new();
        let mut map = options.read(true).write(true).create(true).truncate(is_new).open(&path)?;
        let mut had = Vec::new();
        map.read_to_end(&mut had)?;
        if had.len() != count {
            had = vec![0; count];
            map.set_len(0)?;
            map.set_len(count as u64)?;
        }
        let state = |byte: &u8| if *byte == 1 { State::Done } else { State::Free };
        let states = Mutex::new(had.iter().map(state).collect());
        Ok(Self { path, map, states, size })
    }

    /// A poisoned lock guards states that are whole between statements.
    fn states(&self) -> MutexGuard<'_, Vec<State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that have come.
    pub(super) fn have(&self) -> u64 {
        let states = self.states();
        let done = states.iter().filter(|state| **state == State::Done).count() as u64;
        let last_is_short = states.last() == Some(&State::Done) && !self.size.is_multiple_of(PIECE);
        done * PIECE - if last_is_short { PIECE - self.size % PIECE } else { 0 }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.states().iter().all(|state| *state == State::Done)
    }

    pub(super) fn has_free(&self) -> bool {
        self.states().contains(&State::Free)
    }

    /// Claims this part, if nobody has.
    pub(super) fn claim(&self, piece: usize) -> bool {
        match self.states().get_mut(piece) {
            Some(state @ State::Free) => {
                *state = State::Claimed;
                true
            }
            _ => false,
        }
    }

    /// Claims a part where the most is missing: at its beginning if nobody works towards it, else in
    /// its middle, so that both meet as late as may be.
    pub(super) fn claim_any(&self) -> Option<usize> {
        let mut states = self.states();
        let (mut best, mut start) = (0..0, 0);
        for at in 0..=states.len() {
            if states.get(at) != Some(&State::Free) {
                if at - start > best.len() {
                    best = start..at;
                }
                start = at + 1;
            }
        }
        if best.is_empty() {
            return None;
        }
        let is_followed = best.start > 0 && states[best.start - 1] == State::Claimed;
        let piece = if is_followed { best.start + best.len() / 2 } else { best.start };
        states[piece] = State::Claimed;
        Some(piece)
    }

    /// A part that was claimed does not come.
    pub(super) fn release(&self, piece: usize) {
        if let Some(state @ State::Claimed) = self.states().get_mut(piece) {
            *state = State::Free;
        }
    }

    /// A part has come.
    pub(super) fn done(&self, piece: usize) -> io::Result<()> {
        if let Some(state) = self.states().get_mut(piece) {
            *state = State::Done;
        }
        self.map.write_all_at(&[1], piece as u64)
    }

    /// Nothing is to be known of them the next time.
    pub(super) fn forget(&self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_claimed_far_from_each_other_and_remembered() {
        let folder = tempfile::tempdir().expect("a folder");
        let part = folder.path().join("f.part");
        let pieces = Pieces::open(&part, 9 * PIECE + 5, true).expect("opens");
        assert_eq!([(); 3].map(|()| pieces.claim_any()), [Some(0), Some(5), Some(3)]);
        assert!(pieces.claim(1) && !pieces.claim(5) && !pieces.claim(10));
        pieces.done(5).expect("noted");
        pieces.done(9).expect("noted");
        assert_eq!(pieces.have(), PIECE + 5);
        pieces.release(0);
        let again = Pieces::open(&part, 9 * PIECE + 5, false).expect("opens");
        assert_eq!(again.have(), PIECE + 5);
        assert!(!again.is_complete() && again.has_free());
        let other = Pieces::open(&part, 3 * PIECE, false).expect("opens");
        assert_eq!(other.have(), 0, "of another file");
        other.forget();
        let empty = Pieces::open(&part, 0, true).expect("opens");
        assert!(empty.is_complete() && empty.claim_any().is_none());
    }
}
