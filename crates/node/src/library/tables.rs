//! The library's tables in the state of the node. A file (a path and what tells that it is
//! unchanged) refers to its content (digests) by a number, so that a file that is renamed keeps
//! them, and files that are alike share them.

use redb::{TableDefinition, WriteTransaction};

/// Counters: the next folder, file and content. Numbers are never used twice.
pub(super) const NEXT: TableDefinition<'_, &str, u64> = TableDefinition::new("library.next");

/// Folders that are shared: path, device and inode.
pub(super) const FOLDERS: TableDefinition<'_, u32, (&[u8], u64, u64)> =
    TableDefinition::new("library.folders");

/// Files: folder of the library, folder below it, name, length, modified, device, inode, content
/// (0 while it is not known).
pub(super) const FILES: TableDefinition<'_, u64, FileRow> = TableDefinition::new("library.files");
pub(super) type FileRow = (u32, &'static [u8], &'static [u8], u64, i64, u64, u64, u64);

/// Files by where they are.
pub(super) const PATHS: TableDefinition<'_, (u32, &[u8], &[u8]), u64> =
    TableDefinition::new("library.paths");

/// Files by device and inode; names of one file share them.
pub(super) const INODES: TableDefinition<'_, (u64, u64, u64), ()> =
    TableDefinition::new("library.inodes");

/// Contents: length, SHA-1, SHA-256, Tiger tree root.
pub(super) const CONTENTS: TableDefinition<'_, u64, ContentRow> =
    TableDefinition::new("library.contents");
pub(super) type ContentRow = (u64, [u8; 20], [u8; 32], [u8; 24]);

/// Pieces of contents: their length, SHA-1 of each, merkle root of each.
pub(super) const PIECES: TableDefinition<'_, u64, (u32, &[u8], &[u8])> =
    TableDefinition::new("library.pieces");

/// Contents by SHA-256.
pub(super) const SHA256: TableDefinition<'_, [u8; 32], u64> =
    TableDefinition::new("library.sha256");

/// Contents by SHA-1.
pub(super) const SHA1: TableDefinition<'_, [u8; 20], u64> = TableDefinition::new("library.sha1");

/// Files of a content.
pub(super) const COPIES: TableDefinition<'_, (u64, u64), ()> =
    TableDefinition::new("library.copies");

/// Files that are to be hashed.
pub(super) const UNHASHED: TableDefinition<'_, u64, ()> = TableDefinition::new("library.unhashed");

/// Files that are to be put into the index, or taken out of it.
pub(super) const UNINDEXED: TableDefinition<'_, u64, ()> =
    TableDefinition::new("library.unindexed");

/// Makes the tables.
pub(crate) fn create(write: &WriteTransaction) -> Result<(), redb::Error> {
    write.open_table(NEXT)?;
    write.open_table(FOLDERS)?;
    write.open_table(FILES)?;
    write.open_table(PATHS)?;
    write.open_table(INODES)?;
    write.open_table(CONTENTS)?;
    write.open_table(PIECES)?;
    write.open_table(SHA256)?;
    write.open_table(SHA1)?;
    write.open_table(COPIES)?;
    write.open_table(UNHASHED)?;
    write.open_table(UNINDEXED)?;
    Ok(())
}
