//! The thread that looks at folders: at first, when something changed, and now and then.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use super::scan::{Dirs, Missing, Scan};
use super::store::{Change, FolderId};
use super::watch::Watcher;
use super::{Folder, LibraryError, RETRY, Shared, walk};

/// Every folder is looked at so often even if nothing is said to have changed: some file systems do
/// not tell.
const LOOK_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// And those that cannot be watched.
const UNWATCHED_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// Files that are forgotten at once.
const FORGOTTEN_MAX: usize = 2048;

/// Runs until the library ends.
pub(super) fn run(shared: &Shared) {
    let mut eyes = Eyes { shared, watched: BTreeMap::new(), next: BTreeMap::new() };
    if let Err(error) = shared.index_news() {
        tracing::error!(%error, "the index is not up to date");
    }
    while eyes.look() {}
}

struct Eyes<'a> {
    shared: &'a Shared,
    watched: BTreeMap<FolderId, (Dirs, Watcher)>,
    /// When to look at a folder as a whole.
    next: BTreeMap<FolderId, Instant>,
}

/// What came of a look at a whole folder.
enum Seen {
    Whole { trouble: Option<String>, watched: bool },
    Missing(String),
}

impl Eyes<'_> {
    /// Waits for something to do, and does it; false when the library ends.
    fn look(&mut self) -> bool {
        let first = self.next.values().min();
        let wait = first.map_or(LOOK_INTERVAL, |at| at.saturating_duration_since(Instant::now()));
        let mut orders = self.shared.desk.take(wait);
        if orders.end {
            return false;
        }
        let now = Instant::now();
        orders.scans.extend(self.next.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id));
        for id in orders.removals {
            self.watched.remove(&id);
            self.next.remove(&id);
            if let Err(error) = self.forget(id) {
                tracing::error!(%error, "files of a folder are not forgotten yet");
            }
        }
        let mut missing = Missing::default();
        let mut looked_at = Vec::new();
        for id in orders.scans {
            let Some(root) = self.shared.root(id) else { continue };
            self.shared.change(id, |folder| folder.scanning = true);
            match self.whole(id, &root, &mut missing) {
                Ok(seen) => {
                    self.seen(id, seen);
                    looked_at.push(id);
                }
                Err(LibraryError::Ended) => return false,
                Err(error) => self.failed(id, &error),
            }
        }
        for (id, paths) in orders.paths {
            let Some(root) = self.shared.root(id) else { continue };
            let Some((dirs, watcher)) = self.watched.get_mut(&id) else { continue };
            let scan = Scan::new(self.shared, id, &root, dirs, watcher, &mut missing);
            match scan.paths(&paths) {
                Ok(None) => {}
                Ok(trouble) => self.shared.change(id, |folder| folder.trouble = trouble),
                Err(LibraryError::Ended) => return false,
                Err(error) => self.failed(id, &error),
            }
        }
        if let Err(error) = missing.give_up(self.shared) {
            tracing::error!(%error, "missing files are not forgotten yet");
            self.next.extend(looked_at.iter().map(|&id| (id, Instant::now() + RETRY)));
        }
        if let Err(error) = self.shared.index_news() {
            tracing::error!(%error, "the index is not up to date");
            self.next.extend(looked_at.iter().map(|&id| (id, Instant::now() + RETRY)));
        }
        self.shared.changed.notify_all();
        for id in looked_at {
            // It may have been asked for once more.
            let again = self.shared.desk.has_scan(id);
            self.shared.change(id, |folder| folder.scanning = again);
        }
        true
    }

    /// Looks at a whole folder.
    fn whole(
        &mut self,
        id: FolderId,
        root: &std::path::Path,
        missing: &mut Missing,
    ) -> Result<Seen, LibraryError> {
        let identity = match walk::identity(root) {
            Ok(identity) => identity,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Seen::Missing("it is not there: is its disk not mounted?".to_owned()));
            }
            Err(source) => return Err(LibraryError::Folder { path: root.to_owned(), source }),
        };
        let (before, files) = {
            let inner = self.shared.lock();
            let identity_before = inner.folders.get(&id).map(|folder| folder.identity);
            (identity_before, inner.totals.get(&id).map_or(0, |totals| totals.files))
        };
        if before.is_some_and(|before| before.0 != identity.0)
            && files > 0
            && walk::list(root, &[]).is_ok_and(|entries| entries.is_empty())
        {
            let why = "it is empty, and on another disk than before: is that not mounted? \
                       If it is meant to be empty, remove it from the library";
            return Ok(Seen::Missing(why.to_owned()));
        }
        if before != Some(identity) {
            self.shared.store.set_identity(id, identity)?;
            self.shared.change(id, |folder| folder.identity = identity);
        }
        let watcher = Watcher::new(id, root, &self.shared.desk);
        let (dirs, watcher) =
            self.watched.entry(id).insert_entry((Dirs::new(), watcher)).into_mut();
        let trouble = Scan::new(self.shared, id, root, dirs, watcher, missing).all()?;
        let unwatched = watcher.trouble.clone();
        let watched = unwatched.is_none();
        Ok(Seen::Whole { trouble: trouble.or(unwatched), watched })
    }

    fn seen(&mut self, id: FolderId, seen: Seen) {
        let (missing, trouble, again) = match seen {
            Seen::Missing(why) => (true, Some(why), RETRY),
            Seen::Whole { trouble, watched: true } => (false, trouble, LOOK_INTERVAL),
            Seen::Whole { trouble, watched: false } => (false, trouble, UNWATCHED_INTERVAL),
        };
        self.next.insert(id, Instant::now() + again);
        let known = |folder: &mut Folder| {
            (folder.missing, folder.failed, folder.trouble) = (missing, false, trouble);
        };
        self.shared.change(id, known);
    }

    fn failed(&mut self, id: FolderId, error: &LibraryError) {
        tracing::error!(%error, "a folder of the library cannot be looked at");
        self.next.insert(id, Instant::now() + RETRY);
        self.shared.change(id, |folder| {
            folder.failed = true;
            folder.scanning = false;
            folder.trouble = Some(error.to_string());
        });
    }

    /// Forgets all files of a folder that is no longer in the library.
    fn forget(&self, id: FolderId) -> Result<(), LibraryError> {
        loop {
            let mut files = Vec::new();
            self.shared.store.in_order(Some(id), |file| {
                files.push(Change::Remove(file));
                files.len() < FORGOTTEN_MAX
            })?;
            if files.is_empty() {
                return Ok(());
            }
            if self.shared.desk.ends() {
                return Err(LibraryError::Ended);
            }
            self.shared.apply(&files)?;
        }
    }
}
