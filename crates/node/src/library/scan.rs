//! Finds out what is different on disk from what is remembered: new, changed, renamed and missing
//! files of one folder of the library.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use super::store::{Change, ContentNumber, FileId, FolderId, Known};
use super::walk::{self, DEPTH_MAX, Kind, Stamp};
use super::watch::Watcher;
use super::{FILES_MAX, LibraryError, Shared};

/// Changes that are written at once.
const CHANGES_MAX: usize = 2048;
/// Changes in one folder beyond which it is looked at as a whole.
const ENTRIES_MAX: usize = 256;

/// Folders below a folder of the library that were seen, and are watched.
pub(super) type Dirs = BTreeSet<Vec<u8>>;

/// Files that are not where they were. Other folders may be looked at before they are given up:
/// they may have been moved there.
#[derive(Debug, Default)]
pub(super) struct Missing {
    gone: Vec<FileId>,
    /// Those that were found elsewhere.
    claimed: HashSet<FileId>,
}

impl Missing {
    /// Forgets those that were not found elsewhere.
    pub(super) fn give_up(self, shared: &Shared) -> Result<(), LibraryError> {
        let mut changes = Vec::new();
        for id in self.gone.into_iter().filter(|id| !self.claimed.contains(id)) {
            let Some(known) = shared.store.file(id)? else { continue };
            let is_back = shared.root(known.folder).filter(|root| {
                let there = walk::look(root, &known.dir, &known.name);
                matches!(there, Ok(Some(Kind::File(_))))
            });
            match is_back {
                Some(root) => {
                    let path = walk::path(&root, &known.dir, &known.name);
                    shared.desk.changed(known.folder, path);
                }
                None => changes.push(Change::Remove(id)),
            }
            if changes.len() >= CHANGES_MAX {
                shared.apply(&std::mem::take(&mut changes))?;
            }
        }
        shared.apply(&changes)
    }
}

/// One look.
pub(super) struct Scan<'a> {
    shared: &'a Shared,
    folder: FolderId,
    root: PathBuf,
    dirs: &'a mut Dirs,
    watcher: &'a mut Watcher,
    changes: Vec<Change>,
    missing: &'a mut Missing,
    /// What could not be looked at.
    trouble: Option<String>,
    added: u64,
}

/// A folder of another folder, and what was known below it.
struct Below {
    dir: Vec<u8>,
    unseen: Dirs,
}

impl<'a> Scan<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        folder: FolderId,
        root: &Path,
        dirs: &'a mut Dirs,
        watcher: &'a mut Watcher,
        missing: &'a mut Missing,
    ) -> Self {
        Self {
            shared,
            folder,
            root: root.to_owned(),
            dirs,
            watcher,
            changes: Vec::new(),
            missing,
            trouble: None,
            added: 0,
        }
    }

    /// Looks at all of it, and returns what could not be looked at. The watcher must be new.
    pub(super) fn all(mut self) -> Result<Option<String>, LibraryError> {
        self.dirs.clear();
        let unseen = self.shared.store.dirs(self.folder)?.into_iter().collect();
        self.below(Below { dir: Vec::new(), unseen })?;
        self.finish()
    }

    /// Looks at what changed, and returns what could not be looked at.
    pub(super) fn paths(
        mut self,
        paths: &BTreeSet<PathBuf>,
    ) -> Result<Option<String>, LibraryError> {
        let mut entries = BTreeMap::<Vec<u8>, BTreeSet<Vec<u8>>>::new();
        for path in paths {
            if let Some((dir, name)) = walk::split(&self.root, path) {
                entries.entry(dir).or_default().insert(name);
            }
        }
        let mut whole = Vec::new();
        entries.retain(|dir, names| {
            let is_many = names.len() > ENTRIES_MAX;
            if is_many {
                whole.push(dir.clone());
            }
            !is_many
        });
        // A folder that was renamed is still the same to the system: what is watched by its old
        // name must be let go before it is watched by the new one.
        let mut belows = BTreeMap::<Vec<u8>, Below>::new();
        for dir in whole {
            let unseen = self.leave(&dir);
            belows.insert(dir.clone(), Below { dir, unseen });
        }
        for (dir, names) in &entries {
            for name in names {
                let dir = walk::join(dir, name);
                if self.dirs.contains(&dir) {
                    let unseen = self.leave(&dir);
                    belows.insert(dir.clone(), Below { dir, unseen });
                }
            }
        }
        for (dir, names) in &entries {
            for name in names {
                let below = walk::join(dir, name);
                match self.entry(dir, name)? {
                    Some(Kind::Folder) => {
                        belows
                            .entry(below.clone())
                            .or_insert(Below { dir: below, unseen: Dirs::new() });
                    }
                    Some(Kind::File(_)) | None => {}
                }
            }
        }
        for below in belows.into_values() {
            // It may lie in one that was looked at just now.
            if self.dirs.contains(&below.dir) {
                self.lose(below.unseen)?;
            } else {
                self.below(below)?;
            }
        }
        self.finish()
    }

    /// Takes a folder and those below it out of those that are watched.
    fn leave(&mut self, dir: &[u8]) -> Dirs {
        let is_below = |other: &Vec<u8>| {
            dir.is_empty()
                || other.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        };
        let left: Dirs = self.dirs.iter().filter(|other| is_below(other)).cloned().collect();
        for dir in &left {
            self.watcher.unwatch(&walk::path(&self.root, dir, &[]));
            self.dirs.remove(dir);
        }
        left
    }

    /// Looks at one entry of a folder.
    fn entry(&mut self, dir: &[u8], name: &[u8]) -> Result<Option<Kind>, LibraryError> {
        let kind = match walk::look(&self.root, dir, name) {
            Ok(kind) => kind,
            Err(error) if is_gone(&error) => None,
            Err(error) => {
                self.complain(dir, &error);
                return Ok(None);
            }
        };
        let known = self.shared.store.at(self.folder, dir, name)?;
        match kind {
            Some(Kind::File(stamp)) => self.file(dir, name, stamp, known)?,
            Some(Kind::Folder) | None => self.missing.gone.extend(known.map(|(id, _)| id)),
        }
        Ok(kind)
    }

    /// Looks at a folder and all below it.
    fn below(&mut self, Below { dir, mut unseen }: Below) -> Result<(), LibraryError> {
        let mut stack = vec![dir];
        while let Some(dir) = stack.pop() {
            if self.shared.desk.ends() {
                return Err(LibraryError::Ended);
            }
            // Watched first, so that nothing happens unseen between.
            self.watcher.watch(&walk::path(&self.root, &dir, &[]));
            self.dirs.insert(dir.clone());
            match walk::list(&self.root, &dir) {
                Ok(entries) => {
                    unseen.remove(&dir);
                    let below = self.compare(&dir, entries)?;
                    if dir.split(|&byte| byte == b'/').count() < DEPTH_MAX {
                        stack.extend(below.iter().map(|name| walk::join(&dir, name)));
                    } else if !below.is_empty() {
                        self.complain(&dir, &io::Error::other("folders are nested too deeply"));
                    }
                }
                Err(error) if is_gone(&error) && !dir.is_empty() => {
                    self.watcher.unwatch(&walk::path(&self.root, &dir, &[]));
                    self.dirs.remove(&dir);
                }
                Err(error) => {
                    // What is in it is not known, so it is not known to be gone.
                    let is_below = |other: &[u8]| {
                        other.strip_prefix(&*dir).is_some_and(|rest| rest.starts_with(b"/"))
                    };
                    unseen.retain(|other| !(dir.is_empty() || *other == dir || is_below(other)));
                    self.complain(&dir, &error);
                }
            }
        }
        self.lose(unseen)
    }

    /// Folders were not seen again: neither are their files.
    fn lose(&mut self, unseen: Dirs) -> Result<(), LibraryError> {
        for dir in unseen.iter().filter(|dir| !self.dirs.contains(*dir)) {
            let files = self.shared.store.files_in(self.folder, dir)?;
            self.missing.gone.extend(files.into_iter().map(|(id, _)| id));
        }
        Ok(())
    }

    fn complain(&mut self, dir: &[u8], error: &io::Error) {
        let path = walk::path(&self.root, dir, &[]);
        tracing::warn!(path = %path.display(), %error, "cannot be looked at");
        self.trouble.get_or_insert_with(|| format!("{}: {error}", path.display()));
    }

    /// Compares what is in a folder with what is known of it; returns the folders in it.
    fn compare(
        &mut self,
        dir: &[u8],
        entries: Vec<(Vec<u8>, Kind)>,
    ) -> Result<Vec<Vec<u8>>, LibraryError> {
        let mut known = self.shared.store.files_in(self.folder, dir)?.into_iter().peekable();
        let mut folders = Vec::new();
        for (name, kind) in entries {
            while let Some((id, _)) = known.next_if(|(_, known)| known.name < name) {
                self.missing.gone.push(id);
            }
            let known = known.next_if(|(_, known)| known.name == name);
            match kind {
                Kind::File(stamp) => self.file(dir, &name, stamp, known)?,
                Kind::Folder => {
                    self.missing.gone.extend(known.map(|(id, _)| id));
                    folders.push(name);
                }
            }
        }
        self.missing.gone.extend(known.map(|(id, _)| id));
        Ok(folders)
    }

    /// Compares a file with what is known of it.
    fn file(
        &mut self,
        dir: &[u8],
        name: &[u8],
        stamp: Stamp,
        known: Option<(FileId, Known)>,
    ) -> Result<(), LibraryError> {
        let change = match known {
            Some((id, known)) if known.stamp == stamp => {
                (known.content == 0).then_some(Change::Hash(id))
            }
            // A file system that was mounted anew may have another number.
            Some((id, Known { stamp: before, content, .. }))
                if before.device != stamp.device
                    && (before.len, before.modified) == (stamp.len, stamp.modified) =>
            {
                Some(Change::Update(id, stamp, content))
            }
            Some((id, _)) => {
                self.tell_links(id, &stamp)?;
                let content = match self.origin(&stamp)? {
                    Origin::Renamed(_, known) => known.content,
                    Origin::Linked(content) => content,
                    Origin::New => 0,
                };
                Some(Change::Update(id, stamp, content))
            }
            None => {
                let place = |content| Known {
                    folder: self.folder,
                    dir: dir.to_vec(),
                    name: name.to_vec(),
                    stamp,
                    content,
                };
                match self.origin(&stamp)? {
                    Origin::Renamed(id, known) => {
                        let change = Change::Move(id, place(known.content));
                        self.missing.claimed.insert(id);
                        Some(change)
                    }
                    Origin::Linked(content) => self.add(place(content)),
                    Origin::New => self.add(place(0)),
                }
            }
        };
        self.changes.extend(change);
        if self.changes.len() >= CHANGES_MAX { self.flush() } else { Ok(()) }
    }

    /// A file that has several names was changed by one of them: the system does not say so of the
    /// others.
    fn tell_links(&self, id: FileId, stamp: &Stamp) -> Result<(), LibraryError> {
        for (other, known) in self.shared.store.with_inode(stamp)? {
            if other != id
                && known.stamp != *stamp
                && let Some(root) = self.shared.root(known.folder)
            {
                let path = walk::path(&root, &known.dir, &known.name);
                self.shared.desk.changed(known.folder, path);
            }
        }
        Ok(())
    }

    fn add(&mut self, file: Known) -> Option<Change> {
        if self.shared.files() + self.added >= FILES_MAX {
            let why = format!("a library has at most {FILES_MAX} files: the others are left out");
            self.trouble.get_or_insert(why);
            return None;
        }
        self.added += 1;
        Some(Change::Add(file))
    }

    /// Where a file of this stamp was before.
    fn origin(&self, stamp: &Stamp) -> Result<Origin, LibraryError> {
        let mut linked = 0;
        for (id, known) in self.shared.store.with_inode(stamp)? {
            if known.stamp != *stamp {
                continue;
            }
            let is_there = || {
                let Some(root) = self.shared.root(known.folder) else { return false };
                let found = walk::look(&root, &known.dir, &known.name);
                matches!(found, Ok(Some(Kind::File(found))) if found == *stamp)
            };
            if self.missing.claimed.contains(&id) || is_there() {
                linked = known.content.max(linked);
            } else {
                return Ok(Origin::Renamed(id, known));
            }
        }
        Ok(if linked == 0 { Origin::New } else { Origin::Linked(linked) })
    }

    fn flush(&mut self) -> Result<(), LibraryError> {
        self.added = 0;
        self.shared.apply(&std::mem::take(&mut self.changes))
    }

    fn finish(mut self) -> Result<Option<String>, LibraryError> {
        self.flush()?;
        Ok(self.trouble)
    }
}

/// Where a file comes from.
enum Origin {
    /// It was known by another path, where it is no longer.
    Renamed(FileId, Known),
    /// It is known by another path, too.
    Linked(ContentNumber),
    /// From nowhere.
    New,
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
