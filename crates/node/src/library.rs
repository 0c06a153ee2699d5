//! The library: folders whose files are shared. They are watched, every file is hashed once into
//! all the digests by which networks name content, and found by words. What is remembered of a file
//! outlives renames, restarts and sudden ends.
//!
//! Two threads do the work: one looks at folders ([`scan`]), one hashes ([`hasher`]). Symbolic links
//! are not followed; hidden files and folders are not shared. Networks and transfers are not known
//! here.

mod describe;
mod digests;
mod hasher;
mod index;
mod look;
mod query;
mod scan;
mod shared;
mod store;
mod tables;
mod tth;
mod view;
mod walk;
mod watch;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bittorrent::metainfo::Metainfo;

use crate::state::{State, StateError};
use describe::{describe, metainfo};
use index::{Index, IndexError};
pub(crate) use query::{Query, kinds, name_words};
use shared::{Folder, Inner, Shared};
use store::{FileId, Known, Store};
use watch::Desk;

pub(crate) use tables::create as create_tables;
pub use view::{FolderState, LibraryFile, LibraryFiles, LibraryFolder, LibraryStatus};

/// Folders that may be shared.
pub const FOLDERS_MAX: usize = 64;
/// Files that may be shared.
pub const FILES_MAX: u64 = 2_000_000;
/// Files that one answer lists.
pub const LIST_MAX: usize = 1000;

/// The index, in the folder of the state.
const INDEX_FOLDER: &str = "library-index";

/// After a failure, or while a folder is missing, it is tried again after so long.
const RETRY: Duration = Duration::from_secs(30);

/// Why something cannot be done with the library.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// What is remembered cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// There is no such folder.
    #[error("the library has no folder {0}")]
    NoFolder(u32),
    /// There is no such file.
    #[error("the library has no file {0}")]
    NoFile(u64),
    /// The folder cannot be used.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be done in this state of things.
    #[error("{0}")]
    Conflict(String),
    /// The index cannot be read or written.
    #[error("{}: {source}", path.display())]
    Index {
        /// Its folder.
        path: PathBuf,
        /// What is wrong.
        source: Box<IndexError>,
    },
    /// No thread can be started.
    #[error("start the library: {0}")]
    Start(#[source] io::Error),
    /// The library has ended.
    #[error("the library has ended")]
    Ended,
}

/// Which files to list.
#[derive(Clone, Debug, Default)]
pub struct FileQuery {
    /// Words that the files' names or folders hold; none is all files.
    pub words: String,
    /// Only those in this folder of the library.
    pub folder: Option<u32>,
    /// So many are left out at the beginning.
    pub offset: usize,
    /// Most to list, up to 1000.
    pub limit: Option<usize>,
}

/// The library of a node. It ends when it is dropped.
#[derive(Debug)]
pub struct Library {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Library {
    /// Opens the library of the node whose state is in `folder`, without the rest of the node, and
    /// begins to look at its folders.
    ///
    /// # Errors
    /// When the state cannot be opened, or no thread can be started.
    pub fn open(folder: &Path) -> Result<Self, LibraryError> {
        Self::start(State::open(folder)?, folder)
    }

    /// Begins with the tables of `state`, and the index in `folder`.
    pub(crate) fn start(state: State, folder: &Path) -> Result<Self, LibraryError> {
        let store = Store::new(state);
        let index_folder = folder.join(INDEX_FOLDER);
        let index = Index::open(&index_folder).map_err(|source| LibraryError::Index {
            path: index_folder.clone(),
            source: Box::new(source),
        })?;
        let mut inner = Inner { totals: store.totals()?, work: true, ..Inner::default() };
        let desk = Arc::new(Desk::default());
        for (id, path, identity) in store.folders()? {
            inner.folders.insert(id, Folder::new(path, identity));
            desk.scan(id);
        }
        for &id in inner.totals.keys().filter(|id| !inner.folders.contains_key(id)) {
            desk.remove(id);
        }
        let files: u64 = inner.totals.values().map(|totals| totals.files).sum();
        if index.len() != files && store.unindexed(1)?.is_empty() {
            store.unindex_all()?;
        }
        let (inner, changed) = (Mutex::new(inner), Condvar::new());
        let shared = Arc::new(Shared { store, index, index_folder, desk, inner, changed });
        let mut library = Self { shared, threads: Vec::new() };
        library.spawn("shoal-library", look::run)?;
        library.spawn("shoal-hasher", hasher::run)?;
        Ok(library)
    }

    fn spawn(&mut self, name: &str, run: fn(&Shared)) -> Result<(), LibraryError> {
        let shared = self.shared.clone();
        let thread = thread::Builder::new().name(name.into()).spawn(move || run(&shared));
        self.threads.push(thread.map_err(LibraryError::Start)?);
        Ok(())
    }

    /// Shares the folder at `path` from now on. When this returns, it is remembered; its files are
    /// looked for and hashed in the background.
    ///
    /// # Errors
    /// When it is no folder that can be read, it is within one that is shared or holds one, or it
    /// cannot be remembered.
    pub fn add(&self, path: &Path) -> Result<LibraryFolder, LibraryError> {
        let fail = |source| LibraryError::Folder { path: path.to_owned(), source };
        let real = path.canonicalize().map_err(fail)?;
        let identity = walk::identity(&real).map_err(fail)?;
        let mut inner = self.shared.lock();
        if inner.folders.len() >= FOLDERS_MAX {
            let why = format!("a library has at most {FOLDERS_MAX} folders");
            return Err(LibraryError::Conflict(why));
        }
        for folder in inner.folders.values() {
            let other = folder.path.display();
            let why = if folder.path == real {
                format!("{other} is in the library already")
            } else if real.starts_with(&folder.path) {
                format!("{} is within {other}, which is in the library already", real.display())
            } else if folder.path.starts_with(&real) {
                format!("{} holds {other}: remove that from the library first", real.display())
            } else {
                continue;
            };
            return Err(LibraryError::Conflict(why));
        }
        let id = self.shared.store.add_folder(&real, identity)?;
        inner.folders.insert(id, Folder::new(real, identity));
        drop(inner);
        self.shared.desk.scan(id);
        self.folder(id)
    }

    /// Shares a folder no longer. Its files stay where they are; what is known of them is forgotten.
    ///
    /// # Errors
    /// When there is no such folder, or that cannot be written down.
    pub fn remove(&self, id: u32) -> Result<(), LibraryError> {
        let mut inner = self.shared.lock();
        if !inner.folders.contains_key(&id) {
            return Err(LibraryError::NoFolder(id));
        }
        self.shared.store.remove_folder(id)?;
        inner.folders.remove(&id);
        inner.unreadable.retain(|_, (folder, _)| *folder != id);
        drop(inner);
        self.shared.desk.remove(id);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Looks at a folder as a whole again, and tries again what could not be read.
    ///
    /// # Errors
    /// When there is no such folder.
    pub fn rescan(&self, id: u32) -> Result<LibraryFolder, LibraryError> {
        {
            let mut inner = self.shared.lock();
            inner.folders.get_mut(&id).ok_or(LibraryError::NoFolder(id))?.scanning = true;
        }
        self.shared.desk.scan(id);
        self.folder(id)
    }

    /// One folder.
    ///
    /// # Errors
    /// When there is no such folder.
    pub fn folder(&self, id: u32) -> Result<LibraryFolder, LibraryError> {
        let inner = self.shared.lock();
        let folder = inner.folders.get(&id).ok_or(LibraryError::NoFolder(id))?;
        Ok(inner.view(id, folder))
    }

    /// All folders, and how far they are.
    #[must_use]
    pub fn status(&self) -> LibraryStatus {
        self.shared.lock().status()
    }

    /// Waits until `is` says so of the library, for at most `time`; returns whether it did. It is
    /// asked at once and after every change, and must not use the library itself.
    pub fn wait_until(&self, time: Duration, mut is: impl FnMut(&LibraryStatus) -> bool) -> bool {
        let deadline = Instant::now() + time;
        let mut inner = self.shared.lock();
        loop {
            if is(&inner.status()) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || inner.ends {
                return false;
            }
            let waited = self.shared.changed.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lists files: in the order of their paths, or the best first if there are words.
    ///
    /// # Errors
    /// When there is no such folder, or the tables cannot be read.
    pub fn files(&self, query: &FileQuery) -> Result<LibraryFiles, LibraryError> {
        if let Some(id) = query.folder {
            self.folder(id)?;
        }
        let limit = query.limit.unwrap_or(LIST_MAX).min(LIST_MAX);
        let words = Query::parse(&query.words);
        if words != Query::default() {
            let found = self.shared.index.search(&words, query.folder, query.offset, limit);
            let (ids, total) = found.map_err(|error| self.shared.index_failed(error))?;
            return Ok(LibraryFiles { files: self.describe(&ids)?, total });
        }
        let (mut ids, mut seen) = (Vec::new(), 0);
        self.shared.store.in_order(query.folder, |id| {
            if seen >= query.offset && ids.len() < limit {
                ids.push(id);
            }
            seen += 1;
            ids.len() < limit
        })?;
        let status = self.status();
        let total = match query.folder {
            Some(id) => status.folders.iter().find(|it| it.id == id).map_or(0, |it| it.files),
            None => status.files,
        };
        Ok(LibraryFiles { files: self.describe(&ids)?, total })
    }

    /// A file with this content, by its SHA-1 or SHA-256.
    pub(crate) fn with_content(
        &self,
        sha1: Option<[u8; 20]>,
        sha256: Option<[u8; 32]>,
    ) -> Result<Option<LibraryFile>, LibraryError> {
        let Some(id) = self.shared.store.with_content(sha1, sha256)? else { return Ok(None) };
        Ok(self.describe(&[id])?.pop())
    }

    fn describe(&self, ids: &[FileId]) -> Result<Vec<LibraryFile>, LibraryError> {
        let files = self.shared.store.describe(ids)?;
        let describe = |(id, known, content): (_, Known, _)| describe(id, &known, content);
        Ok(files.into_iter().map(describe).collect())
    }

    /// Where a file is, and a torrent of it, made of what it was hashed to.
    ///
    /// # Errors
    /// When there is no such file, it is not hashed yet, or its name cannot be in a torrent.
    pub fn torrent(&self, id: u64) -> Result<(PathBuf, Metainfo), LibraryError> {
        let found = self.shared.store.describe(&[id])?;
        let (_, known, content) = found.into_iter().next().ok_or(LibraryError::NoFile(id))?;
        let root = self.shared.root(known.folder).ok_or(LibraryError::NoFile(id))?;
        let path = walk::path(&root, &known.dir, &known.name);
        let Some((_, pieces)) = content else {
            let why = format!("{} is not hashed yet", path.display());
            return Err(LibraryError::Conflict(why));
        };
        let unchanged = matches!(
            walk::look(&root, &known.dir, &known.name),
            Ok(Some(walk::Kind::File(stamp))) if stamp == known.stamp
        );
        if !unchanged {
            let why = format!("{} is not what was hashed", path.display());
            return Err(LibraryError::Conflict(why));
        }
        let made = metainfo(&known, pieces)
            .map_err(|error| LibraryError::Conflict(format!("{}: {error}", path.display())))?;
        Ok((path, made))
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        self.shared.desk.end();
        self.shared.lock().ends = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the library panicked");
            }
        }
    }
}

/// A poisoned lock guards data that is whole between statements: the panic was elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
