//! One step that changes files in all tables: a file's row and its places in all other tables change
//! together.

use std::collections::BTreeSet;

use redb::{ReadableTable, WriteTransaction};

use super::super::digests::Digests;
use super::super::tables::{
    CONTENTS, COPIES, ContentRow, FILES, FileRow, INODES, NEXT, PATHS, PIECES, SHA1, SHA256,
    UNHASHED, UNINDEXED,
};
use super::super::walk::Stamp;
use super::{Change, ContentNumber, Difference, FileId, Known, Place};

/// Counters in the table of them.
const FILE: &str = "file";
const CONTENT: &str = "content";

type Table<'a, K, V> = redb::Table<'a, K, V>;

/// One transaction that changes files. Its tables stay open: opening one costs as much as a row.
pub(super) struct Work<'a> {
    files: Table<'a, u64, FileRow>,
    paths: Table<'a, (u32, &'static [u8], &'static [u8]), u64>,
    inodes: Table<'a, (u64, u64, u64), ()>,
    copies: Table<'a, (u64, u64), ()>,
    unhashed: Table<'a, u64, ()>,
    unindexed: Table<'a, u64, ()>,
    contents: Table<'a, u64, ContentRow>,
    pieces: Table<'a, u64, (u32, &'static [u8], &'static [u8])>,
    sha256: Table<'a, [u8; 32], u64>,
    sha1: Table<'a, [u8; 20], u64>,
    counters: Table<'a, &'static str, u64>,
    next_file: u64,
    next_content: ContentNumber,
    /// Contents that a file had before.
    left: BTreeSet<ContentNumber>,
    differences: Vec<Difference>,
}

impl<'a> Work<'a> {
    pub(super) fn begin(write: &'a WriteTransaction) -> Result<Self, redb::Error> {
        let counters = write.open_table(NEXT)?;
        let next = |what| -> Result<u64, redb::Error> {
            Ok(counters.get(what)?.map_or(1, |number| number.value()))
        };
        let (next_file, next_content) = (next(FILE)?, next(CONTENT)?);
        Ok(Self {
            files: write.open_table(FILES)?,
            paths: write.open_table(PATHS)?,
            inodes: write.open_table(INODES)?,
            copies: write.open_table(COPIES)?,
            unhashed: write.open_table(UNHASHED)?,
            unindexed: write.open_table(UNINDEXED)?,
            contents: write.open_table(CONTENTS)?,
            pieces: write.open_table(PIECES)?,
            sha256: write.open_table(SHA256)?,
            sha1: write.open_table(SHA1)?,
            counters,
            next_file,
            next_content,
            left: BTreeSet::new(),
            differences: Vec::new(),
        })
    }

    fn get(&self, id: FileId) -> Result<Option<Known>, redb::Error> {
        Ok(self.files.get(id)?.map(|row| Known::of(row.value())))
    }

    pub(super) fn apply(&mut self, change: &Change) -> Result<(), redb::Error> {
        match change {
            Change::Add(known) => {
                // Another change of the same step may have been quicker.
                let there = self.paths.get(known.place())?.map(|id| id.value());
                let id = match there {
                    Some(id) => id,
                    None => {
                        let id = self.next_file;
                        self.next_file += 1;
                        id
                    }
                };
                self.put(id, Some(known.clone()))
            }
            Change::Update(id, stamp, content) => match self.get(*id)? {
                Some(known) => {
                    self.put(*id, Some(Known { stamp: *stamp, content: *content, ..known }))
                }
                None => Ok(()),
            },
            Change::Move(id, known) => {
                let there = self.paths.get(known.place())?.map(|there| there.value());
                if let Some(there) = there.filter(|there| there != id) {
                    self.put(there, None)?;
                }
                self.put(*id, Some(known.clone()))
            }
            Change::Remove(id) => self.put(*id, None),
            Change::Hash(id) => {
                if self.get(*id)?.is_some_and(|known| known.content == 0) {
                    self.unhashed.insert(id, ())?;
                }
                Ok(())
            }
        }
    }

    /// Replaces a file by another state of it, or by none, in all tables.
    fn put(&mut self, id: FileId, after: Option<Known>) -> Result<(), redb::Error> {
        let before = self.get(id)?;
        if before == after {
            return Ok(());
        }
        let (was, is) = (before.as_ref(), after.as_ref());
        // Most changes are of one part: the tables of the others are left alone.
        if was.map(Known::place) != is.map(Known::place) {
            if let Some(was) = was {
                self.paths.remove(was.place())?;
            }
            if let Some(is) = is {
                self.paths.insert(is.place(), id)?;
            }
        }
        let inode = |known: &Known| (known.stamp.device, known.stamp.inode, id);
        if was.map(inode) != is.map(inode) {
            if let Some(was) = was {
                self.inodes.remove(inode(was))?;
            }
            if let Some(is) = is {
                self.inodes.insert(inode(is), ())?;
            }
        }
        let content = |known: Option<&Known>| known.map_or(0, |known| known.content);
        let (had, has) = (content(was), content(is));
        if had != has && had != 0 {
            self.copies.remove((had, id))?;
            self.left.insert(had);
        }
        if had != has && has != 0 {
            self.copies.insert((has, id), ())?;
        }
        match is {
            Some(is) => {
                self.files.insert(id, is.row())?;
                // One that is changed and not hashed is to be hashed, also if that was in vain before.
                if has == 0 {
                    self.unhashed.insert(id, ())?
                } else {
                    self.unhashed.remove(id)?
                };
            }
            None => {
                self.files.remove(id)?;
                self.unhashed.remove(id)?;
            }
        }
        fn indexed(known: &Known) -> (Place<'_>, u64) {
            (known.place(), known.stamp.len)
        }
        if was.map(indexed) != is.map(indexed) {
            self.unindexed.insert(id, ())?;
        }
        self.differences.push((before, after));
        Ok(())
    }

    /// Forgets contents that no file has any more. Not earlier: a later change may use them.
    pub(super) fn finish(mut self) -> Result<Vec<Difference>, redb::Error> {
        for number in std::mem::take(&mut self.left) {
            if self.copies.range((number, 0)..=(number, u64::MAX))?.next().is_some() {
                continue;
            }
            let content = self.contents.remove(number)?.map(|row| row.value());
            self.pieces.remove(number)?;
            if let Some((_, sha1, sha256, _)) = content {
                self.sha1.remove(sha1)?;
                self.sha256.remove(sha256)?;
            }
        }
        self.counters.insert(FILE, self.next_file)?;
        self.counters.insert(CONTENT, self.next_content)?;
        Ok(self.differences)
    }

    pub(super) fn hashed(
        &mut self,
        id: FileId,
        stamp: &Stamp,
        digests: Option<&Digests>,
    ) -> Result<(), redb::Error> {
        let Some(known) = self.get(id)?.filter(|known| known.stamp == *stamp) else {
            return Ok(());
        };
        match digests {
            Some(digests) => {
                let content = self.content(digests)?;
                self.put(id, Some(Known { content, ..known }))
            }
            None => Ok(_ = self.unhashed.remove(id)?),
        }
    }

    /// The number of a content, a new one if it is new.
    fn content(&mut self, digests: &Digests) -> Result<ContentNumber, redb::Error> {
        if let Some(number) = self.sha256.get(digests.sha256)? {
            return Ok(number.value());
        }
        let number = self.next_content;
        self.next_content += 1;
        self.sha256.insert(digests.sha256, number)?;
        self.sha1.insert(digests.sha1, number)?;
        self.contents.insert(number, (digests.len, digests.sha1, digests.sha256, digests.tth))?;
        let pieces = &digests.pieces;
        let row = (pieces.piece_len, pieces.v1.as_flattened(), pieces.v2.as_flattened());
        self.pieces.insert(number, row)?;
        Ok(number)
    }
}
