//! The library: folders whose files are shared. They are watched, every file is hashed once into
//! all the digests by which networks name content, and found by words. What is remembered of a file
//! outlives renames, restarts and sudden ends.
//!
//! Two threads do the work: one looks at folders ([`scan`]), one hashes ([`hasher`]). Symbolic links
//! are not followed; hidden files and folders are not shared. Networks and transfers are not known
//! here.

mod digests;
mod hasher;
mod index;
mod look;
mod query;
mod scan;
mod store;
mod tables;
mod tth;
mod view;
mod walk;
mod watch;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bittorrent::metainfo::Metainfo;
use bittorrent::metainfo::create::{Builder, PieceHashes, SourceFile, Version};

use crate::mime;
use crate::state::{State, StateError};
use digests::Pieces;
use index::{Index, IndexError};
use query::Query;
use store::{AllTotals, Change, Content, FileId, FolderId, Hashed, Known, Store};
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
/// Files that are put into the index in one step.
const INDEXED_MAX: usize = 4096;

/// After a failure, or while a folder is missing, it is tried again after so long.
const RETRY: Duration = Duration::from_secs(30);
/// Unreadable files of which it is remembered why.
const UNREADABLE_MAX: usize = 1000;

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

/// What the threads share.
#[derive(Debug)]
struct Shared {
    store: Store,
    index: Index,
    index_folder: PathBuf,
    desk: Arc<Desk>,
    inner: Mutex<Inner>,
    /// Something in `inner` changed.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    folders: BTreeMap<FolderId, Folder>,
    totals: AllTotals,
    /// Files that cannot be read, and why.
    unreadable: BTreeMap<FileId, (FolderId, String)>,
    /// There may be something to hash.
    work: bool,
    /// Why nothing is hashed.
    trouble: Option<String>,
    ends: bool,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    identity: (u64, u64),
    /// It is being looked at as a whole, or will be.
    scanning: bool,
    missing: bool,
    failed: bool,
    trouble: Option<String>,
    /// Bytes of the file that is being hashed.
    hashing: u64,
}

impl Folder {
    fn new(path: PathBuf, identity: (u64, u64)) -> Self {
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

impl Inner {
    fn view(&self, id: FolderId, folder: &Folder) -> LibraryFolder {
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

    fn status(&self) -> LibraryStatus {
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
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Where a folder of the library is.
    fn root(&self, id: FolderId) -> Option<PathBuf> {
        self.lock().folders.get(&id).map(|folder| folder.path.clone())
    }

    /// Files that are known.
    fn files(&self) -> u64 {
        self.lock().totals.values().map(|totals| totals.files).sum()
    }

    /// Changes something of a folder that people see.
    fn change(&self, id: FolderId, change: impl FnOnce(&mut Folder)) {
        if let Some(folder) = self.lock().folders.get_mut(&id) {
            change(folder);
        }
        self.changed.notify_all();
    }

    /// Makes changes.
    fn apply(&self, changes: &[Change]) -> Result<(), LibraryError> {
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

    fn index_failed(&self, source: IndexError) -> LibraryError {
        LibraryError::Index { path: self.index_folder.clone(), source: Box::new(source) }
    }

    /// Tells the index what it does not know yet.
    fn index_news(&self) -> Result<(), LibraryError> {
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
    fn hashed(&self, results: &[Hashed]) -> Result<(), LibraryError> {
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
    fn hashes(&self, id: FolderId, bytes: u64) {
        self.change(id, |folder| folder.hashing = bytes);
    }

    /// A file cannot be read.
    fn unreadable(&self, folder: FolderId, file: FileId, why: String) {
        let mut inner = self.lock();
        let why = if inner.unreadable.len() < UNREADABLE_MAX { why } else { String::new() };
        inner.unreadable.insert(file, (folder, why));
    }

    /// Nothing can be hashed, for a reason.
    fn fail(&self, why: String) {
        self.lock().trouble = Some(why);
        self.changed.notify_all();
    }

    /// Waits until there may be something to hash, or `time` has passed; false if the library ends.
    fn waits_for_work(&self, time: Duration) -> bool {
        let inner = self.lock();
        let idle = |inner: &mut Inner| !inner.work && !inner.ends;
        let waited = self.changed.wait_timeout_while(inner, time, idle);
        let mut inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        inner.work = false;
        !inner.ends
    }
}

fn describe(id: FileId, known: &Known, content: Option<(Content, Pieces)>) -> LibraryFile {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let name = text(&known.name);
    let (mut sha1, mut sha256, mut tth) = (None, None, None);
    let (mut infohash_v1, mut infohash_v2) = (None, None);
    if let Some((content, pieces)) = content {
        sha1 = Some(hex(&content.sha1));
        sha256 = Some(hex(&content.sha256));
        tth = Some(codec::base32::encode(&content.tth));
        if let Ok(metainfo) = metainfo(known, pieces) {
            let hashes = metainfo.info.hashes;
            infohash_v1 = hashes.v1.map(|hash| hash.to_string());
            infohash_v2 = hashes.v2.map(|hash| hash.to_string());
        }
    }
    LibraryFile {
        id,
        folder: known.folder,
        path: text(&walk::join(&known.dir, &known.name)),
        length: known.stamp.len,
        modified: known.stamp.modified.div_euclid(1_000_000_000),
        mime: mime::of_name(&name).to_owned(),
        name,
        sha1,
        sha256,
        tth,
        infohash_v1,
        infohash_v2,
    }
}

/// Why there is no torrent of a file.
#[derive(Debug, thiserror::Error)]
enum NoTorrent {
    #[error("its name is not UTF-8")]
    Name,
    #[error("a torrent would call it {0:?}")]
    Renamed(String),
    #[error(transparent)]
    Impossible(#[from] bittorrent::metainfo::create::CreateError),
}

/// A torrent of one file.
fn metainfo(known: &Known, pieces: Pieces) -> Result<Metainfo, NoTorrent> {
    let name = str::from_utf8(&known.name).map_err(|_| NoTorrent::Name)?.to_owned();
    let file = SourceFile { path: vec![name.clone()], len: known.stamp.len, executable: false };
    let mut builder = Builder::single_file(file, pieces.piece_len, Version::Hybrid)?;
    builder.created_by = Some(net::CLIENT.to_owned());
    let made = builder.build(&PieceHashes { v1: pieces.v1, v2: pieces.v2 })?;
    match made.info.files.first().map(|file| file.disk_path.as_slice()) {
        Some([there]) if **there == *name => Ok(made),
        Some(other) => Err(NoTorrent::Renamed(other.join("/"))),
        None => Err(NoTorrent::Name),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A poisoned lock guards data that is whole between statements: the panic was elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
