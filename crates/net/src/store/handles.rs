//! Open files: few at a time, the least recently used one closed for the next.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::process::{Resource, getrlimit};

/// Most files that one store keeps open.
const MAX_PER_STORE: usize = 64;
/// Most files that all stores of the process keep open, if the system allows it.
const MAX_PER_PROCESS: usize = 512;
/// The share of the process's descriptors that files may take; the rest is for sockets.
const DESCRIPTOR_SHARE: u64 = 4;

static OPEN: AtomicUsize = AtomicUsize::new(0);

fn process_limit() -> usize {
    static LIMIT: OnceLock<usize> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let soft = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        usize::try_from(soft / DESCRIPTOR_SHARE).unwrap_or(MAX_PER_PROCESS).min(MAX_PER_PROCESS)
    })
}

/// An open file of a store. It stays open while anyone holds it.
#[derive(Debug)]
pub struct Handle {
    fd: OwnedFd,
    writable: bool,
}

impl Handle {
    pub(crate) fn new(fd: OwnedFd, writable: bool) -> Self {
        OPEN.fetch_add(1, Ordering::Relaxed);
        Self { fd, writable }
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The open files of one store, by a number that the store gives them.
#[derive(Debug, Default)]
pub(crate) struct Handles {
    open: HashMap<usize, (Arc<Handle>, u64)>,
    clock: u64,
}

impl Handles {
    /// The open file `key`, if it can do what is asked of it.
    pub fn get(&mut self, key: usize, write: bool) -> Option<Arc<Handle>> {
        self.clock += 1;
        let (handle, used) = self.open.get_mut(&key)?;
        *used = self.clock;
        (handle.writable || !write).then(|| handle.clone())
    }

    /// Keeps a file open, in place of the least recently used ones if there are too many.
    pub fn insert(&mut self, key: usize, handle: Arc<Handle>) {
        self.clock += 1;
        self.open.remove(&key);
        while !self.open.is_empty()
            && (self.open.len() >= MAX_PER_STORE || OPEN.load(Ordering::Relaxed) > process_limit())
        {
            let oldest = self.open.iter().min_by_key(|(_, (_, used))| *used);
            let Some((&oldest, _)) = oldest else { break };
            self.open.remove(&oldest);
        }
        self.open.insert(key, (handle, self.clock));
    }

    /// Closes one file.
    pub fn remove(&mut self, key: usize) {
        self.open.remove(&key);
    }

    /// Closes all files.
    pub fn clear(&mut self) {
        self.open = HashMap::new();
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(writable: bool) -> Arc<Handle> {
        Arc::new(Handle::new(std::fs::File::open("/dev/null").expect("it opens").into(), writable))
    }

    #[test]
    fn the_least_recently_used_file_is_closed() {
        let mut handles = Handles::default();
        for key in 0..MAX_PER_STORE {
            handles.insert(key, handle(false));
        }
        assert!(handles.get(0, false).is_some());
        handles.insert(1000, handle(false));
        assert!(handles.len() <= MAX_PER_STORE);
        assert!(handles.get(0, false).is_some());
        assert!(handles.get(1, false).is_none());
        handles.clear();
        assert_eq!(handles.len(), 0);
    }

    #[test]
    fn a_file_open_for_reading_is_not_written() {
        let mut handles = Handles::default();
        handles.insert(1, handle(false));
        handles.insert(2, handle(true));
        assert!(handles.get(1, true).is_none());
        assert!(handles.get(1, false).is_some());
        assert!(handles.get(2, true).is_some());
    }
}
