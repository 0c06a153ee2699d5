//! Files that the node offers as torrents now, by their paths: a network whose hits can name a torrent
//! names these. The node says what there is; nothing of its transfers is known here.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::lock;

/// A torrent of one file that is whole here and for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileTorrent {
    /// Its infohash (BEP 3).
    pub(crate) infohash_v1: [u8; 20],
    /// Bytes of the file.
    pub(crate) length: u64,
}

/// Torrents by the paths of their files.
pub(crate) type Offered = HashMap<PathBuf, FileTorrent>;

/// The torrents of now, for threads that look at them from time to time.
#[derive(Debug, Default)]
pub(crate) struct Torrents(Mutex<Arc<Offered>>);

impl Torrents {
    /// These are offered from now on, and no others.
    pub(crate) fn set(&self, offered: Offered) {
        *lock(&self.0) = Arc::new(offered);
    }

    /// What is offered; another allocation whenever it was set.
    pub(super) fn offered(&self) -> Arc<Offered> {
        lock(&self.0).clone()
    }
}
