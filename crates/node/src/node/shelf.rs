//! The node and its library: which folders may be shared, and publishing what is hashed already.

use std::path::Path;

use super::add::{AddSource, stamps};
use super::publish::is_hidden;
use super::{Node, NodeError};
use crate::library::{Library, LibraryError, LibraryFolder};
use crate::paths;
use crate::record::Record;
use crate::view::Transfer;

impl Node {
    /// The folders that are shared, and what is known of their files.
    ///
    /// # Errors
    /// When the node has ended.
    pub fn library(&self) -> Result<std::sync::Arc<Library>, NodeError> {
        super::lock(&self.library).clone().ok_or(NodeError::Ended)
    }

    /// Shares the folder at `path` from now on: [`Library::add`], for folders that requests may name.
    ///
    /// # Errors
    /// When it is in none of the folders from which files may be published, is hidden, or the
    /// library refuses.
    pub fn library_add(&self, path: &Path) -> Result<LibraryFolder, NodeError> {
        let roots = self.config().transfers.publish_roots;
        let real = paths::beneath(path, &roots).filter(|real| !is_hidden(real, &roots));
        let path = real.ok_or_else(|| NodeError::Forbidden(path.to_owned()))?;
        Ok(self.library()?.add(&path)?)
    }

    /// Publishes a file of the library as a transfer, without hashing it again.
    ///
    /// # Errors
    /// When there is no such file, it is not hashed yet or changed since, it is published already,
    /// or its name cannot be in a torrent.
    pub fn library_publish(&self, file: u64) -> Result<Transfer, NodeError> {
        let (path, metainfo) = self.library()?.torrent(file)?;
        let dir = path.parent().unwrap_or(&path).to_owned();
        let record = Record {
            stamps: stamps(&metainfo.info, &dir),
            published: true,
            dir,
            ..Record::default()
        };
        self.insert(AddSource::Metainfo(Box::new(metainfo)), record)
    }
}

impl From<LibraryError> for NodeError {
    fn from(error: LibraryError) -> Self {
        match error {
            LibraryError::State(error) => Self::State(error),
            LibraryError::NoFolder(id) => Self::NoFolder(id),
            LibraryError::NoFile(id) => Self::NoFile(id),
            LibraryError::Folder { path, source } => Self::File { path, source },
            LibraryError::Index { .. } | LibraryError::Start(_) => Self::Library(error),
            LibraryError::Conflict(why) => Self::Conflict(why),
            LibraryError::Ended => Self::Ended,
        }
    }
}
