//! Hashes files that wait for it, on all cores, in the background.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::fs::{Advice, fadvise};

use super::digests::{self, Digests};
use super::store::{FileId, Hashed, Known};
use super::walk::{self, Stamp};
use super::{LibraryError, Shared};

/// Files up to this length are hashed several at once by each thread.
const SMALL_LEN: u64 = 2 << 20;
/// Bytes of small files that one thread takes at once.
const GROUP_BYTES: u64 = 16 << 20;
/// Files that one thread takes at once.
const GROUP_FILES: usize = 1024;
/// Files that are looked up at once.
const BATCH_FILES: usize = 4096;

/// A file that was written so short a time ago may still be: it is hashed later.
const SETTLE_MIN: Duration = Duration::from_millis(500);
/// Longer files have more time, as much as hashing them in vain would cost.
const SETTLE_BYTES_PER_SECOND: u64 = 500_000_000;
const SETTLE_MAX: Duration = Duration::from_secs(30);

/// How long to wait for work, when there is nobody to say when.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// How nice the threads are to others: hashing takes what they leave.
const NICE: i32 = 10;

/// Runs until the library ends.
pub(super) fn run(shared: &Shared) {
    // Only this thread and those that it starts. It is no worse without.
    let _ = rustix::process::nice(NICE);
    let mut wait = Duration::ZERO;
    while shared.waits_for_work(wait) {
        wait = match hash_waiting(shared) {
            Ok(settles) => settles.unwrap_or(IDLE),
            Err(LibraryError::Ended) => return,
            Err(error) => {
                tracing::error!(%error, "hashing stops for a while");
                shared.fail(error.to_string());
                super::RETRY
            }
        };
    }
}

/// Hashes all that waits and has settled; returns when the next will have.
fn hash_waiting(shared: &Shared) -> Result<Option<Duration>, LibraryError> {
    let mut settles: Option<Duration> = None;
    let mut begin = 0;
    loop {
        let batch = shared.store.unhashed(begin, BATCH_FILES)?;
        let Some((last, _)) = batch.last() else { return Ok(settles) };
        begin = last + 1;
        let now = SystemTime::now();
        let mut small = Vec::new();
        for (id, known) in batch {
            if let Some(wait) = unsettled(&known.stamp, now) {
                settles = Some(settles.map_or(wait, |other| other.min(wait)));
            } else if known.stamp.len <= SMALL_LEN {
                small.push((id, known));
            } else {
                let result = hash_long(shared, id, &known)?;
                shared.hashed(&[result])?;
            }
        }
        hash_small(shared, small)?;
    }
}

/// How long to wait until a file is no longer being written.
fn unsettled(stamp: &Stamp, now: SystemTime) -> Option<Duration> {
    let modified = u64::try_from(stamp.modified).ok()?;
    let modified = SystemTime::UNIX_EPOCH + Duration::from_nanos(modified);
    // A file from the future was not written just now.
    let age = now.duration_since(modified).ok()?;
    let settle = Duration::from_millis(stamp.len / (SETTLE_BYTES_PER_SECOND / 1000));
    settle.clamp(SETTLE_MIN, SETTLE_MAX).checked_sub(age).filter(|wait| !wait.is_zero())
}

type Task = (FileId, Known);

/// Small files, several at once on each thread.
fn hash_small(shared: &Shared, files: Vec<Task>) -> Result<(), LibraryError> {
    let mut groups: Vec<Vec<Task>> = Vec::new();
    let mut room = 0;
    for file in files {
        let len = file.1.stamp.len;
        match groups.last_mut() {
            Some(group) if len <= room && group.len() < GROUP_FILES => {
                room -= len;
                group.push(file);
            }
            _ => {
                room = GROUP_BYTES.saturating_sub(len);
                groups.push(vec![file]);
            }
        }
    }
    let groups = Mutex::new(groups.into_iter());
    let work = || {
        while let Some(group) = { super::lock(&groups).next() } {
            if shared.desk.ends() {
                return Err(LibraryError::Ended);
            }
            shared.hashed(&hash_group(shared, group))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let helpers: Vec<_> = (1..digests::threads()).map(|_| scope.spawn(work)).collect();
        let mut result = work();
        for helper in helpers {
            let panicked = |_| Err(LibraryError::Ended);
            result = result.and(helper.join().unwrap_or_else(panicked));
        }
        result
    })
}

fn hash_group(shared: &Shared, group: Vec<Task>) -> Vec<Hashed> {
    let mut results = Vec::with_capacity(group.len());
    let mut read: Vec<(Task, Vec<u8>)> = Vec::with_capacity(group.len());
    for (id, known) in group {
        match read_whole(shared, &known) {
            Ok(bytes) => read.push(((id, known), bytes)),
            Err(trouble) => results.push(trouble.tell(shared, id, &known)),
        }
    }
    let contents: Vec<&[u8]> = read.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    let digests = digests::of_many(&contents);
    for (((id, known), _), digests) in read.into_iter().zip(digests) {
        results.push((id, known.stamp, Some(Box::new(digests))));
    }
    results
}

/// Why a file is not hashed now.
enum Trouble {
    /// It is not what was found; there is a new look at it.
    Changed,
    /// It cannot be read.
    Unreadable(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::NotFound | ErrorKind::NotADirectory => {
                Self::Changed
            }
            _ => Self::Unreadable(error),
        }
    }
}

impl Trouble {
    fn tell(self, shared: &Shared, id: FileId, known: &Known) -> Hashed {
        let path = path(shared, known);
        match self {
            Self::Changed => shared.desk.changed(known.folder, path),
            Self::Unreadable(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot be hashed");
                shared.unreadable(known.folder, id, format!("{}: {error}", path.display()));
            }
        }
        (id, known.stamp, None)
    }
}

fn path(shared: &Shared, known: &Known) -> PathBuf {
    walk::path(&shared.root(known.folder).unwrap_or_default(), &known.dir, &known.name)
}

/// Opens a file, if it is what was found.
fn open(shared: &Shared, known: &Known) -> Result<File, Trouble> {
    let root = shared.root(known.folder).ok_or(Trouble::Changed)?;
    let (file, stamp) = walk::open(&root, &known.dir, &known.name)?;
    if stamp != known.stamp {
        return Err(Trouble::Changed);
    }
    // Only a hint: some file systems do not know it.
    let _ = fadvise(&file, 0, None, Advice::Sequential);
    Ok(file)
}

fn check_unchanged(file: &File, known: &Known) -> Result<(), Trouble> {
    if walk::stamp(file)? == known.stamp { Ok(()) } else { Err(Trouble::Changed) }
}

fn read_whole(shared: &Shared, known: &Known) -> Result<Vec<u8>, Trouble> {
    let file = open(shared, known)?;
    let mut bytes = vec![0; usize::try_from(known.stamp.len).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    check_unchanged(&file, known)?;
    Ok(bytes)
}

/// A long file, on all cores.
fn hash_long(shared: &Shared, id: FileId, known: &Known) -> Result<Hashed, LibraryError> {
    let done = AtomicU64::new(0);
    let hash = || -> Result<Option<Digests>, Trouble> {
        let file = open(shared, known)?;
        let read =
            |offset, buffer: &mut [u8]| file.read_exact_at(buffer, offset).map_err(Trouble::from);
        let progress = |bytes| {
            let done = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
            shared.hashes(known.folder, done);
            if shared.desk.ends() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let digests = digests::of_long(known.stamp.len, read, progress)?;
        check_unchanged(&file, known)?;
        Ok(digests)
    };
    let result = hash();
    shared.hashes(known.folder, 0);
    match result {
        Ok(Some(digests)) => Ok((id, known.stamp, Some(Box::new(digests)))),
        Ok(None) => Err(LibraryError::Ended),
        Err(trouble) => Ok(trouble.tell(shared, id, known)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_were_written_just_now_wait() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let stamp = |len, age: i64| Stamp {
            len,
            modified: 1_000_000_000_000 - age * 1_000_000,
            device: 0,
            inode: 0,
        };
        let millis = Duration::from_millis;
        for (len, age, wait) in [
            (1, 0, Some(millis(500))),
            (1, 400, Some(millis(100))),
            (1, 500, None),
            (5_000_000_000, 4_000, Some(millis(6_000))),
            (u64::MAX, 0, Some(millis(30_000))),
            (u64::MAX, 30_000, None),
            (1, -1, None),
        ] {
            assert_eq!(unsettled(&stamp(len, age), now), wait, "{len} bytes, {age} ms");
        }
    }
}
