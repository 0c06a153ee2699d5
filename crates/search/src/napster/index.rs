//! The index of a server: who shares what, found by words and by content. Here lives what an index
//! promises, and the one that servers have in memory; others lie behind the same trait.

mod arena;
mod memory;
mod postings;
mod record;
mod words;

use alloc::vec::Vec;
use core::net::SocketAddrV4;

pub use memory::{Footprint, MemoryIndex};
pub use words::{WORD_LEN_MAX, words};

use super::{FileHash, Hit, LinkSpeed, Nick, Query, SharedFile, Text, Twin};

/// A user, as far as hits tell of him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// His name.
    pub nick: Nick,
    /// Where he accepts peers; port 0 if he cannot.
    pub address: SocketAddrV4,
    /// His line.
    pub link: LinkSpeed,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Users.
    pub users: u32,
    /// Files of all of them.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Who shares what. Users are named by their nicks; all that is shared goes with its owner.
pub trait Index {
    /// Why it cannot answer.
    type Error;

    /// A user is here, or what is known of him has changed; his files stay.
    ///
    /// # Errors
    /// When the index cannot be reached or written.
    fn enter(&mut self, owner: &Owner) -> Result<(), Self::Error>;

    /// A user has gone, and his files with him.
    ///
    /// # Errors
    /// As [`Self::enter`].
    fn leave(&mut self, nick: &Nick) -> Result<(), Self::Error>;

    /// A user shares files; those whose names he shares already, and all of a user who is not here,
    /// are passed over. Returns how many are new.
    ///
    /// # Errors
    /// As [`Self::enter`].
    fn share(&mut self, nick: &Nick, files: &[SharedFile]) -> Result<u32, Self::Error>;

    /// A user shares a file no longer. Returns whether he did.
    ///
    /// # Errors
    /// As [`Self::enter`].
    fn unshare(&mut self, nick: &Nick, name: &Text) -> Result<bool, Self::Error>;

    /// Files whose names hold all words of a search, and that its bounds admit. Nothing is found
    /// without words.
    ///
    /// # Errors
    /// As [`Self::enter`].
    fn search(&mut self, query: &Query) -> Result<Vec<Hit>, Self::Error>;

    /// Files of a user, at most `limit`.
    ///
    /// # Errors
    /// As [`Self::enter`].
    fn browse(&mut self, nick: &Nick, limit: usize) -> Result<Vec<SharedFile>, Self::Error>;

    /// A user's file by its name, and its owner.
    ///
    /// # Errors
    /// As [`Self::enter`].
    fn file(
        &mut self,
        nick: &Nick,
        name: &Text,
    ) -> Result<Option<(Owner, SharedFile)>, Self::Error>;

    /// Who has this content, at most `limit`.
    ///
    /// # Errors
    /// As [`Self::enter`].
    fn twins(&mut self, hash: &FileHash, size: u64, limit: usize)
    -> Result<Vec<Twin>, Self::Error>;

    /// How much there is.
    ///
    /// # Errors
    /// As [`Self::enter`].
    fn counts(&mut self) -> Result<Counts, Self::Error>;
}
