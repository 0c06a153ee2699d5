//! What the system says has changed, gathered until somebody looks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::store::FolderId;

/// Changed paths that are remembered one by one; when there are more, all is looked at.
const PATHS_MAX: usize = 20_000;

/// So long nothing more must happen before changes are looked at: what is renamed or unpacked
/// makes several.
const QUIET: Duration = Duration::from_millis(100);
/// So long they wait at most.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// What is to be looked at.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// Folders of the library to look at as a whole.
    pub(super) scans: BTreeSet<FolderId>,
    /// Folders that are shared no longer.
    pub(super) removals: BTreeSet<FolderId>,
    /// Paths that changed, by folder.
    pub(super) paths: BTreeMap<FolderId, BTreeSet<PathBuf>>,
    count: usize,
    /// When the first and the last of the paths came.
    came: Option<(Instant, Instant)>,
    /// The library ends.
    pub(super) end: bool,
}

impl Orders {
    fn is_empty(&self) -> bool {
        self.scans.is_empty() && self.removals.is_empty() && self.paths.is_empty() && !self.end
    }

    /// How long the paths have to wait for others.
    fn wait(&self) -> Duration {
        let Some((first, last)) = self.came else { return Duration::ZERO };
        if !self.scans.is_empty() || !self.removals.is_empty() || self.end {
            return Duration::ZERO;
        }
        let until = (last + QUIET).min(first + WAIT_MAX);
        until.saturating_duration_since(Instant::now())
    }

    fn add(&mut self, folder: FolderId, path: PathBuf) {
        let now = Instant::now();
        self.came = Some((self.came.map_or(now, |(first, _)| first), now));
        if self.scans.contains(&folder) {
            return;
        }
        if self.count >= PATHS_MAX {
            self.scan(folder);
        } else if self.paths.entry(folder).or_default().insert(path) {
            self.count += 1;
        }
    }

    fn scan(&mut self, folder: FolderId) {
        self.scans.insert(folder);
        self.count -= self.paths.remove(&folder).map_or(0, |paths| paths.len());
    }
}

/// Orders to the thread that looks.
#[derive(Debug, Default)]
pub(super) struct Desk {
    orders: Mutex<Orders>,
    came: Condvar,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a look at a whole folder.
    pub(super) fn scan(&self, folder: FolderId) {
        self.lock().scan(folder);
        self.came.notify_all();
    }

    /// Asks that a folder be forgotten.
    pub(super) fn remove(&self, folder: FolderId) {
        self.lock().removals.insert(folder);
        self.came.notify_all();
    }

    /// Asks for a look at what changed.
    pub(super) fn changed(&self, folder: FolderId, path: PathBuf) {
        self.lock().add(folder, path);
        self.came.notify_all();
    }

    /// Ends the thread.
    pub(super) fn end(&self) {
        self.lock().end = true;
        self.came.notify_all();
    }

    /// Whether it should end.
    pub(super) fn ends(&self) -> bool {
        self.lock().end
    }

    /// Whether a look at this whole folder is asked for.
    pub(super) fn has_scan(&self, folder: FolderId) -> bool {
        self.lock().scans.contains(&folder)
    }

    /// Waits for something to do, at most `time`, and takes it.
    pub(super) fn take(&self, time: Duration) -> Orders {
        let deadline = Instant::now() + time;
        let mut orders = self.lock();
        loop {
            let left = if orders.is_empty() {
                deadline.saturating_duration_since(Instant::now())
            } else {
                orders.wait()
            };
            if left.is_zero() {
                return std::mem::take(&mut *orders);
            }
            let waited = self.came.wait_timeout(orders, left);
            orders = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Watches the folders below one folder of the library.
#[derive(Debug)]
pub(super) struct Watcher {
    watcher: Option<RecommendedWatcher>,
    /// Why not all is watched.
    pub(super) trouble: Option<String>,
}

impl Watcher {
    /// A watcher that puts what it sees on the desk.
    pub(super) fn new(folder: FolderId, root: &Path, desk: &Arc<Desk>) -> Self {
        let (desk, root) = (desk.clone(), root.to_owned());
        let handler = move |event: notify::Result<notify::Event>| match event {
            Ok(event) if event.need_rescan() => desk.scan(folder),
            Ok(event) if is_change(event.kind) => {
                for path in event.paths {
                    if path == root {
                        desk.scan(folder);
                    } else {
                        desk.changed(folder, path);
                    }
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "watching a folder");
                desk.scan(folder);
            }
        };
        match notify::recommended_watcher(handler) {
            Ok(watcher) => Self { watcher: Some(watcher), trouble: None },
            Err(error) => Self { watcher: None, trouble: Some(in_words(&error)) },
        }
    }

    /// Watches what is right in `dir`. A folder that cannot be watched is not told.
    pub(super) fn watch(&mut self, dir: &Path) {
        let Some(watcher) = &mut self.watcher else { return };
        if let Err(error) = watcher.watch(dir, RecursiveMode::NonRecursive) {
            // It may be gone already, or be gone and there again: its parent is told of both.
            if !is_gone(&error) && dir.exists() {
                self.trouble.get_or_insert_with(|| in_words(&error));
            }
        }
    }

    /// Watches `dir` no longer.
    pub(super) fn unwatch(&mut self, dir: &Path) {
        if let Some(watcher) = &mut self.watcher {
            // Gone folders are watched no longer anyway.
            let _ = watcher.unwatch(dir);
        }
    }
}

/// Whether there was no such folder.
fn is_gone(error: &notify::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => matches!(error.kind(), NotFound | NotADirectory),
        _ => false,
    }
}

/// Whether something is not what it was. Reading is nothing.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

fn in_words(error: &notify::Error) -> String {
    match error.kind {
        ErrorKind::MaxFilesWatch => {
            "the system allows no more watches (fs.inotify.max_user_watches)".to_owned()
        }
        _ => format!("it cannot be watched: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_changes_become_one_look_at_all() {
        let desk = Desk::default();
        for number in 0..PATHS_MAX + 5 {
            desk.changed(number as u32 % 2, PathBuf::from(format!("/{number}")));
        }
        let orders = desk.take(Duration::ZERO);
        assert!(!orders.scans.is_empty());
        assert!(orders.paths.values().map(BTreeSet::len).sum::<usize>() <= PATHS_MAX);
        assert!(desk.lock().is_empty());
    }

    #[test]
    fn a_folder_is_not_looked_at_twice() {
        let desk = Desk::default();
        desk.changed(1, "/a".into());
        desk.scan(1);
        desk.changed(1, "/b".into());
        let orders = desk.take(Duration::from_secs(60));
        assert_eq!((orders.scans.len(), orders.paths.len()), (1, 0));
    }
}
