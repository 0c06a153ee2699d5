//! What the library remembers: reading it, and changing it in steps that are whole or not at all
//! (how one is made is in `work`).

mod work;

use std::collections::BTreeMap;
use std::path::PathBuf;

use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::digests::{Digests, Pieces};
use super::tables::{
    CONTENTS, COPIES, FILES, FOLDERS, INODES, NEXT, PATHS, PIECES, SHA1, SHA256, UNHASHED,
    UNINDEXED,
};
use super::walk::Stamp;
use crate::state::{State, StateError};
use work::Work;

/// Number of a folder of the library.
pub(super) type FolderId = u32;
/// Number of a file.
pub(super) type FileId = u64;
/// Number of a content; 0 is none.
pub(super) type ContentNumber = u64;

/// A file that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) folder: FolderId,
    /// The folder below it.
    pub(super) dir: Vec<u8>,
    pub(super) name: Vec<u8>,
    pub(super) stamp: Stamp,
    pub(super) content: ContentNumber,
}

/// Where a file is: folder of the library, folder below it, name.
type Place<'a> = (u32, &'a [u8], &'a [u8]);
type Row<'a> = (u32, &'a [u8], &'a [u8], u64, i64, u64, u64, u64);

impl Known {
    fn of((folder, dir, name, len, modified, device, inode, content): Row<'_>) -> Self {
        let stamp = Stamp { len, modified, device, inode };
        Self { folder, dir: dir.to_vec(), name: name.to_vec(), stamp, content }
    }

    fn row(&self) -> Row<'_> {
        let Stamp { len, modified, device, inode } = self.stamp;
        (self.folder, &self.dir, &self.name, len, modified, device, inode, self.content)
    }

    fn place(&self) -> Place<'_> {
        (self.folder, &self.dir, &self.name)
    }
}

/// Whole digests of a content, but for its pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) len: u64,
    pub(super) sha1: [u8; 20],
    pub(super) sha256: [u8; 32],
    pub(super) tth: [u8; 24],
}

/// Something that was found out about files.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// A new file; without content it is to be hashed.
    Add(Known),
    /// A known file has another stamp; without content it is to be hashed.
    Update(FileId, Stamp, ContentNumber),
    /// A known file is elsewhere.
    Move(FileId, Known),
    /// A file is gone.
    Remove(FileId),
    /// A file is to be hashed after all.
    Hash(FileId),
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) files_hashed: u64,
    pub(super) bytes_hashed: u64,
}

impl Totals {
    fn add(&mut self, known: &Known) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(known.stamp.len);
        if known.content != 0 {
            self.files_hashed += 1;
            self.bytes_hashed = self.bytes_hashed.saturating_add(known.stamp.len);
        }
    }

    fn take(&mut self, known: &Known) {
        self.files = self.files.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(known.stamp.len);
        if known.content != 0 {
            self.files_hashed = self.files_hashed.saturating_sub(1);
            self.bytes_hashed = self.bytes_hashed.saturating_sub(known.stamp.len);
        }
    }
}

/// Totals of each folder.
pub(super) type AllTotals = BTreeMap<FolderId, Totals>;

/// What came of hashing one file.
pub(super) type Hashed = (FileId, Stamp, Option<Box<Digests>>);

/// A folder, with the device and inode that it had.
pub(super) type KnownFolder = (FolderId, PathBuf, (u64, u64));

/// A file, and its content once that is known.
pub(super) type Described = (FileId, Known, Option<(Content, Pieces)>);

/// The tables, open.
#[derive(Clone, Debug)]
pub(super) struct Store {
    state: State,
}

impl Store {
    pub(super) fn new(state: State) -> Self {
        Self { state }
    }

    fn read<T>(
        &self,
        look: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StateError> {
        self.state.read(look)
    }

    fn write<T>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StateError> {
        self.state.write(change)
    }

    /// All folders with the device and inode that they had.
    pub(super) fn folders(&self) -> Result<Vec<KnownFolder>, StateError> {
        self.read(|read| {
            let table = read.open_table(FOLDERS)?;
            let folders = table.iter()?.map(|row| {
                let (id, row) = row?;
                let (path, device, inode) = row.value();
                Ok((id.value(), to_path(path), (device, inode)))
            });
            folders.collect()
        })
    }

    /// Remembers a folder.
    pub(super) fn add_folder(
        &self,
        path: &std::path::Path,
        identity: (u64, u64),
    ) -> Result<FolderId, StateError> {
        use std::os::unix::ffi::OsStrExt;
        self.write(|write| {
            let id = u32::try_from(next(write, "folder")?).unwrap_or(u32::MAX);
            let row = (path.as_os_str().as_bytes(), identity.0, identity.1);
            write.open_table(FOLDERS)?.insert(id, row)?;
            Ok(id)
        })
    }

    /// Remembers that a folder is another one now.
    pub(super) fn set_identity(
        &self,
        id: FolderId,
        identity: (u64, u64),
    ) -> Result<(), StateError> {
        self.write(|write| {
            let mut table = write.open_table(FOLDERS)?;
            let path = table.get(id)?.map(|row| row.value().0.to_vec());
            if let Some(path) = path {
                table.insert(id, (path.as_slice(), identity.0, identity.1))?;
            }
            Ok(())
        })
    }

    /// Forgets a folder; its files are to be removed first.
    pub(super) fn remove_folder(&self, id: FolderId) -> Result<(), StateError> {
        self.write(|write| Ok(_ = write.open_table(FOLDERS)?.remove(id)?))
    }

    /// How much is in each folder.
    pub(super) fn totals(&self) -> Result<AllTotals, StateError> {
        self.read(|read| {
            let mut all = AllTotals::new();
            for row in read.open_table(FILES)?.iter()? {
                let (_, row) = row?;
                let known = Known::of(row.value());
                all.entry(known.folder).or_default().add(&known);
            }
            Ok(all)
        })
    }

    /// Up to `count` files that wait to be hashed, from `begin` on.
    pub(super) fn unhashed(
        &self,
        begin: FileId,
        count: usize,
    ) -> Result<Vec<(FileId, Known)>, StateError> {
        self.read(|read| {
            let (queue, files) = (read.open_table(UNHASHED)?, read.open_table(FILES)?);
            let mut found = Vec::new();
            for id in queue.range(begin..)?.take(count) {
                let id = id?.0.value();
                if let Some(row) = files.get(id)? {
                    found.push((id, Known::of(row.value())));
                }
            }
            Ok(found)
        })
    }

    /// A file.
    pub(super) fn file(&self, id: FileId) -> Result<Option<Known>, StateError> {
        self.read(|read| Ok(read.open_table(FILES)?.get(id)?.map(|row| Known::of(row.value()))))
    }

    /// The file of this name in this folder.
    pub(super) fn at(
        &self,
        folder: FolderId,
        dir: &[u8],
        name: &[u8],
    ) -> Result<Option<(FileId, Known)>, StateError> {
        self.read(|read| {
            let Some(id) = read.open_table(PATHS)?.get((folder, dir, name))? else {
                return Ok(None);
            };
            let id = id.value();
            let row = read.open_table(FILES)?.get(id)?;
            Ok(row.map(|row| (id, Known::of(row.value()))))
        })
    }

    /// The files right in the folder `dir`, by name in the order of bytes.
    pub(super) fn files_in(
        &self,
        folder: FolderId,
        dir: &[u8],
    ) -> Result<Vec<(FileId, Known)>, StateError> {
        self.read(|read| {
            let (paths, files) = (read.open_table(PATHS)?, read.open_table(FILES)?);
            let mut found = Vec::new();
            for row in paths.range((folder, dir, &[][..])..)? {
                let (place, id) = row?;
                let (in_folder, in_dir, _) = place.value();
                if in_folder != folder || in_dir != dir {
                    break;
                }
                let id = id.value();
                if let Some(row) = files.get(id)? {
                    found.push((id, Known::of(row.value())));
                }
            }
            Ok(found)
        })
    }

    /// The folders below a folder of the library in which files are known.
    pub(super) fn dirs(&self, folder: FolderId) -> Result<Vec<Vec<u8>>, StateError> {
        self.read(|read| {
            let paths = read.open_table(PATHS)?;
            let mut dirs: Vec<Vec<u8>> = Vec::new();
            for row in paths.range((folder, &[][..], &[][..])..)? {
                let (place, _) = row?;
                let (in_folder, dir, _) = place.value();
                if in_folder != folder {
                    break;
                }
                if dirs.last().is_none_or(|last| last != dir) {
                    dirs.push(dir.to_vec());
                }
            }
            Ok(dirs)
        })
    }

    /// Files that were last seen with this device and inode, wherever they were.
    pub(super) fn with_inode(&self, stamp: &Stamp) -> Result<Vec<(FileId, Known)>, StateError> {
        self.read(|read| {
            let (inodes, files) = (read.open_table(INODES)?, read.open_table(FILES)?);
            let range = (stamp.device, stamp.inode, 0)..=(stamp.device, stamp.inode, u64::MAX);
            let mut found = Vec::new();
            for row in inodes.range(range)? {
                let (_, _, id) = row?.0.value();
                found.extend(files.get(id)?.map(|row| (id, Known::of(row.value()))));
            }
            Ok(found)
        })
    }

    /// Calls `each` for files in the order of their paths (of one folder, or of all, one after the
    /// other), until it returns false.
    pub(super) fn in_order(
        &self,
        folder: Option<FolderId>,
        mut each: impl FnMut(FileId) -> bool,
    ) -> Result<(), StateError> {
        self.read(|read| {
            let paths = read.open_table(PATHS)?;
            for row in paths.range((folder.unwrap_or(0), &[][..], &[][..])..)? {
                let (place, id) = row?;
                if folder.is_some_and(|folder| place.value().0 != folder) || !each(id.value()) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// The first file with a content of one of these names.
    pub(super) fn with_content(
        &self,
        sha1: Option<[u8; 20]>,
        sha256: Option<[u8; 32]>,
    ) -> Result<Option<FileId>, StateError> {
        self.read(|read| {
            let mut content = None;
            if let Some(sha1) = sha1 {
                content = read.open_table(SHA1)?.get(sha1)?.map(|number| number.value());
            }
            if let Some(sha256) = sha256.filter(|_| content.is_none()) {
                content = read.open_table(SHA256)?.get(sha256)?.map(|number| number.value());
            }
            let Some(content) = content else { return Ok(None) };
            let copies = read.open_table(COPIES)?;
            let first = copies.range((content, 0)..=(content, u64::MAX))?.next().transpose()?;
            Ok(first.map(|(copy, _)| copy.value().1))
        })
    }

    /// Files with their contents, in this order; those that are gone are left out.
    pub(super) fn describe(&self, ids: &[FileId]) -> Result<Vec<Described>, StateError> {
        self.read(|read| {
            let files = read.open_table(FILES)?;
            let mut found = Vec::new();
            for &id in ids {
                let Some(row) = files.get(id)? else { continue };
                let known = Known::of(row.value());
                let content = content_of(read, known.content)?;
                found.push((id, known, content));
            }
            Ok(found)
        })
    }

    /// Makes changes, all or none; returns what is in the folders more, and less.
    pub(super) fn apply(&self, changes: &[Change]) -> Result<Vec<Difference>, StateError> {
        self.write(|write| {
            let mut work = Work::begin(write)?;
            for change in changes {
                work.apply(change)?;
            }
            work.finish()
        })
    }

    /// Remembers what files hash to, as far as they are still what was hashed; those without
    /// digests are waited for no longer.
    pub(super) fn hashed(&self, results: &[Hashed]) -> Result<Vec<Difference>, StateError> {
        self.write(|write| {
            let mut work = Work::begin(write)?;
            for (id, stamp, digests) in results {
                work.hashed(*id, stamp, digests.as_deref())?;
            }
            work.finish()
        })
    }

    /// Has every file put into the index again.
    pub(super) fn unindex_all(&self) -> Result<(), StateError> {
        self.write(|write| {
            let mut queue = write.open_table(UNINDEXED)?;
            for row in write.open_table(FILES)?.iter()? {
                queue.insert(row?.0.value(), ())?;
            }
            Ok(())
        })
    }

    /// The index knows these files as they are.
    pub(super) fn indexed(&self, ids: &[FileId]) -> Result<(), StateError> {
        self.write(|write| {
            let mut queue = write.open_table(UNINDEXED)?;
            for id in ids {
                queue.remove(id)?;
            }
            Ok(())
        })
    }

    /// Files that the index does not know as they are.
    pub(super) fn unindexed(
        &self,
        count: usize,
    ) -> Result<Vec<(FileId, Option<Known>)>, StateError> {
        self.read(|read| {
            let (queue, files) = (read.open_table(UNINDEXED)?, read.open_table(FILES)?);
            let mut found = Vec::new();
            for id in queue.iter()?.take(count) {
                let id = id?.0.value();
                found.push((id, files.get(id)?.map(|row| Known::of(row.value()))));
            }
            Ok(found)
        })
    }
}

/// A file before and after a change.
pub(super) type Difference = (Option<Known>, Option<Known>);

/// Applies differences to totals.
pub(super) fn add_up(all: &mut AllTotals, differences: &[Difference]) {
    for (before, after) in differences {
        if let Some(before) = before {
            all.entry(before.folder).or_default().take(before);
        }
        if let Some(after) = after {
            all.entry(after.folder).or_default().add(after);
        }
    }
}

fn to_path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

/// A number that was never used.
fn next(write: &WriteTransaction, what: &str) -> Result<u64, redb::Error> {
    let mut table = write.open_table(NEXT)?;
    let number = table.get(what)?.map_or(1, |number| number.value());
    table.insert(what, number + 1)?;
    Ok(number)
}

fn content_of(
    read: &ReadTransaction,
    number: ContentNumber,
) -> Result<Option<(Content, Pieces)>, redb::Error> {
    let content = read.open_table(CONTENTS)?.get(number)?;
    let pieces = read.open_table(PIECES)?.get(number)?;
    let (Some(content), Some(pieces)) = (content, pieces) else { return Ok(None) };
    let (len, sha1, sha256, tth) = content.value();
    let (piece_len, v1, v2) = pieces.value();
    let pieces = Pieces { piece_len, v1: v1.as_chunks().0.to_vec(), v2: v2.as_chunks().0.to_vec() };
    Ok(Some((Content { len, sha1, sha256, tth }, pieces)))
}
