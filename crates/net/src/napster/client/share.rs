//! What is shared: the only files that anybody is ever sent.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use search::napster::{SharedFile, Text};
use tokio::sync::Semaphore;

/// A file of this machine, and what others are told of it.
#[derive(Clone, Debug)]
pub struct LocalFile {
    /// Where it is.
    pub path: PathBuf,
    /// What others are told: its name is the only thing by which they can ask for it.
    pub shared: SharedFile,
}

/// The table of shared files.
pub(super) struct Shares {
    files: RwLock<HashMap<Text, (PathBuf, u64)>>,
    /// Files that are sent at once.
    pub(super) slots: Arc<Semaphore>,
}

impl Shares {
    pub(super) fn new(slots: usize) -> Self {
        let slots = Arc::new(Semaphore::new(slots.clamp(1, 1_024)));
        Self { files: RwLock::default(), slots }
    }

    pub(super) fn add(&self, files: Vec<LocalFile>) {
        let mut table = self.files.write().unwrap_or_else(PoisonError::into_inner);
        for LocalFile { path, shared } in files {
            table.entry(shared.name).or_insert((path, shared.size));
        }
    }

    pub(super) fn remove(&self, name: &Text) {
        self.files.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Opens what is shared under a name; `None` if nothing is.
    ///
    /// # Errors
    /// When it cannot be opened, or has another length than others were told.
    pub(super) fn open(&self, name: &Text) -> io::Result<Option<(File, u64)>> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let Some((path, size)) = files.get(name).cloned() else { return Ok(None) };
        drop(files);
        let file = File::open(path)?;
        if file.metadata()?.len() != size {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file has changed"));
        }
        Ok(Some((file, size)))
    }
}
