//! Pictures of the library for programs and people.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a folder of the library is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FolderState {
    /// All is known; changes are waited for.
    Watching,
    /// Looking for files that are new or changed.
    Scanning,
    /// Files are being hashed.
    Hashing,
    /// It is not there: perhaps its disk is not mounted. What is known of it is kept.
    Missing,
    /// Something keeps it from being looked at.
    Failed,
}

/// A folder that is shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LibraryFolder {
    /// Its number.
    pub id: u32,
    /// Where it is.
    #[schema(value_type = String)]
    pub path: PathBuf,
    /// What it is doing.
    pub state: FolderState,
    /// What is wrong, in words.
    pub error: Option<String>,
    /// Files in it.
    pub files: u64,
    /// Files that are hashed.
    pub files_hashed: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes of those that are hashed.
    pub bytes_hashed: u64,
}

/// The library as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LibraryStatus {
    /// Its folders.
    pub folders: Vec<LibraryFolder>,
    /// Files in all of them.
    pub files: u64,
    /// Files that are hashed.
    pub files_hashed: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes of those that are hashed.
    pub bytes_hashed: u64,
}

impl LibraryStatus {
    /// Whether nothing is left to do but to wait for changes.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let done = |folder: &LibraryFolder| {
            !matches!(folder.state, FolderState::Scanning | FolderState::Hashing)
        };
        self.folders.iter().all(done)
    }
}

/// A file of the library. Digests are `null` until it is hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LibraryFile {
    /// Its number.
    pub id: u64,
    /// The folder of the library that it is in.
    pub folder: u32,
    /// Where it is below that folder, with `/` between names.
    pub path: String,
    /// Its name.
    pub name: String,
    /// Bytes.
    pub length: u64,
    /// When it was written last, in unix seconds.
    pub modified: i64,
    /// MIME type, by its name.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub mime: String,
    /// SHA-1 in hexadecimal.
    pub sha1: Option<String>,
    /// SHA-256 in hexadecimal.
    pub sha256: Option<String>,
    /// Root of the Tiger tree (THEX) in base32.
    pub tth: Option<String>,
    /// BEP 3 infohash of a torrent of this file, in hexadecimal.
    pub infohash_v1: Option<String>,
    /// BEP 52 infohash of it.
    pub infohash_v2: Option<String>,
}

/// A part of a list of files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LibraryFiles {
    /// These files.
    pub files: Vec<LibraryFile>,
    /// How many there are in all.
    pub total: u64,
}
