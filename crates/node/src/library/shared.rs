//! What the library's threads share: the tables, the index, and how it is with each folder, which
//! people see.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::index::{Index, IndexError};
use super::store::{self, AllTotals, Change, FileId, FolderId, Hashed, Store};
use super::view::{FolderState, LibraryFolder, LibraryStatus};
use super::watch::Desk;
use super::{LibraryError, lock};

/// Files that are put into the index in one step.
const INDEXED_MAX: usize = 4096;
/// Unreadable files of which it is remembered why.
const UNREADABLE_MAX: usize = 1000;

/// What the threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) index: Index,
    pub(super) index_folder: PathBuf,
    pub(super) desk: Arc<Desk>,
    pub(super) inner: Mutex<Inner>,
    /// Something in `inner` changed.
    pub(super) changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) folders: BTreeMap<FolderId, Folder>,
    pub(super) totals: AllTotals,
    /// Files that cannot be read, and why.
    pub(super) unreadable: BTreeMap<FileId, (FolderId, String)>,
    /// There may be something to hash.
    pub(super) work: bool,
    /// Why nothing is hashed.
    pub(super) trouble: Option<String>,
    pub(super) ends: bool,
}

#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) identity: (u64, u64),
    /// It is being looked at as a whole, or will be.
    pub(super) scanning: bool,
    pub(super) missing: bool,
    pub(super) failed: bool,
    pub(super) trouble: Option<String>,
    /// Bytes of the file that is being hashed.
    pub(super) hashing: u64,
}

impl Folder {
    pub(super) fn new(path: PathBuf, identity: (u64, u64)) -> Self {
        Self {
            path,
            identity,
            scanning: true,
            missing: false,
            failed: false,
            trouble: None,
            hashing: 0,
        }
    }
}

impl Inner {
    pub(super) fn view(&self, id: FolderId, folder: &Folder) -> LibraryFolder {
        let totals = self.totals.get(&id).copied().unwrap_or_default();
        let mut unreadable = self.unreadable.values().filter(|(of, _)| *of == id);
        let first = unreadable.next();
        let unreadable_count = u64::from(first.is_some()) + unreadable.count() as u64;
        let waits = totals.files_hashed + unreadable_count < totals.files;
        let state = if folder.missing {
            FolderState::Missing
        } else if folder.failed || (waits && self.trouble.is_some()) {
            FolderState::Failed
        } else if folder.scanning {
            FolderState::Scanning
        } else if waits {
            FolderState::Hashing
        } else {
            FolderState::Watching
        };
        let unreadable = first.map(|(_, why)| match unreadable_count {
            1 => format!("cannot be read: {why}"),
            more => format!("{more} files cannot be read, one is {why}"),
        });
        LibraryFolder {
            id,
            path: folder.path.clone(),
            state,
            error: folder.trouble.clone().or_else(|| self.trouble.clone()).or(unreadable),
            files: totals.files,
            files_hashed: totals.files_hashed,
            bytes: totals.bytes,
            bytes_hashed: totals.bytes_hashed.saturating_add(folder.hashing).min(totals.bytes),
        }
    }

    pub(super) fn status(&self) -> LibraryStatus {
        let folders: Vec<_> =
            self.folders.iter().map(|(&id, folder)| self.view(id, folder)).collect();
        let sum = |of: fn(&LibraryFolder) -> u64| folders.iter().map(of).sum();
        LibraryStatus {
            files: sum(|folder| folder.files),
            files_hashed: sum(|folder| folder.files_hashed),
            bytes: sum(|folder| folder.bytes),
            bytes_hashed: sum(|folder| folder.bytes_hashed),
            folders,
        }
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Where a folder of the library is.
    pub(super) fn root(&self, id: FolderId) -> Option<PathBuf> {
        self.lock().folders.get(&id).map(|folder| folder.path.clone())
    }

    /// Files that are known.
    pub(super) fn files(&self) -> u64 {
        self.lock().totals.values().map(|totals| totals.files).sum()
    }

    /// Changes something of a folder that people see.
    pub(super) fn change(&self, id: FolderId, change: impl FnOnce(&mut Folder)) {
        if let Some(folder) = self.lock().folders.get_mut(&id) {
            change(folder);
        }
        self.changed.notify_all();
    }

    /// Makes changes.
    pub(super) fn apply(&self, changes: &[Change]) -> Result<(), LibraryError> {
        if changes.is_empty() {
            return Ok(());
        }
        let differences = self.store.apply(changes)?;
        let mut inner = self.lock();
        store::add_up(&mut inner.totals, &differences);
        for change in changes {
            if let Change::Update(id, ..) | Change::Remove(id) | Change::Hash(id) = change {
                inner.unreadable.remove(id);
            }
        }
        inner.work = true;
        drop(inner);
        self.changed.notify_all();
        Ok(())
    }

    pub(super) fn index_failed(&self, source: IndexError) -> LibraryError {
        LibraryError::Index { path: self.index_folder.clone(), source: Box::new(source) }
    }

    /// Tells the index what it does not know yet.
    pub(super) fn index_news(&self) -> Result<(), LibraryError> {
        loop {
            let news = self.store.unindexed(INDEXED_MAX)?;
            if news.is_empty() {
                return Ok(());
            }
            let update = || {
                let update = self.index.change()?;
                for (id, known) in &news {
                    update.set(*id, known.as_ref())?;
                }
                update.commit()
            };
            update().map_err(|error| self.index_failed(error))?;
            let ids: Vec<_> = news.into_iter().map(|(id, _)| id).collect();
            self.store.indexed(&ids)?;
        }
    }

    /// Remembers what files hash to.
    pub(super) fn hashed(&self, results: &[Hashed]) -> Result<(), LibraryError> {
        let differences = self.store.hashed(results)?;
        tracing::debug!(count = results.len(), "files are hashed");
        let mut inner = self.lock();
        store::add_up(&mut inner.totals, &differences);
        inner.trouble = None;
        drop(inner);
        self.changed.notify_all();
        Ok(())
    }

    /// So many bytes of the file that is being hashed are done.
    pub(super) fn hashes(&self, id: FolderId, bytes: u64) {
        self.change(id, |folder| folder.hashing = bytes);
    }

    /// A file cannot be read.
    pub(super) fn unreadable(&self, folder: FolderId, file: FileId, why: String) {
        let mut inner = self.lock();
        let why = if inner.unreadable.len() < UNREADABLE_MAX { why } else { String::new() };
        inner.unreadable.insert(file, (folder, why));
    }

    /// Nothing can be hashed, for a reason.
    pub(super) fn fail(&self, why: String) {
        self.lock().trouble = Some(why);
        self.changed.notify_all();
    }

    /// Waits until there may be something to hash, or `time` has passed; false if the library ends.
    pub(super) fn waits_for_work(&self, time: Duration) -> bool {
        let inner = self.lock();
        let idle = |inner: &mut Inner| !inner.work && !inner.ends;
        let waited = self.changed.wait_timeout_while(inner, time, idle);
        let mut inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        inner.work = false;
        !inner.ends
    }
}
