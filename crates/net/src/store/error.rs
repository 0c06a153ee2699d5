//! What goes wrong with files, in types: which file, which call, and what kind of trouble it is.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// What was being done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Opening it.
    Open,
    /// Creating it or the folders above it.
    Create,
    /// Giving it its length.
    Resize,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Bringing it to stable storage.
    Sync,
    /// Asking for its length or time of change.
    Stat,
    /// Renaming.
    Rename,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Create => "create",
            Self::Resize => "resize",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Stat => "examine",
            Self::Rename => "rename",
        })
    }
}

/// The kinds of trouble that call for different answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The device or a quota is full: wait for a person to make room, then go on.
    NoSpace,
    /// The file system or this store takes no writes.
    ReadOnly,
    /// The process or the system has no file descriptors left.
    TooManyFiles,
    /// Permission is missing.
    Denied,
    /// The file is not there.
    Missing,
    /// The file is shorter than the torrent says.
    Truncated,
    /// A symbolic link or a thing that is no regular file stands where the file should be.
    Unsafe,
    /// A range that the torrent does not have.
    OutOfRange,
    /// The device failed (EIO), or anything else.
    Other,
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSpace => "no space left",
            Self::ReadOnly => "read-only",
            Self::TooManyFiles => "too many open files",
            Self::Denied => "permission denied",
            Self::Missing => "no such file",
            Self::Truncated => "shorter than it should be",
            Self::Unsafe => "a link or special file is in its place",
            Self::OutOfRange => "outside of the torrent",
            Self::Other => "input/output error",
        })
    }
}

/// A failed call on a file of a store.
#[derive(Debug, thiserror::Error)]
#[error("cannot {op} {}: {} ({source})", path.display(), self.class())]
pub struct StoreError {
    /// What was tried.
    pub op: Op,
    /// On which file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl StoreError {
    pub(crate) fn new(op: Op, path: impl AsRef<Path>, source: impl Into<io::Error>) -> Self {
        Self { op, path: path.as_ref().to_owned(), source: source.into() }
    }

    /// What kind of trouble this is.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self.source.kind() {
            io::ErrorKind::UnexpectedEof => return ErrorClass::Truncated,
            io::ErrorKind::InvalidInput if self.source.raw_os_error().is_none() => {
                return ErrorClass::OutOfRange;
            }
            _ => {}
        }
        match Errno::from_io_error(&self.source) {
            Some(Errno::NOSPC | Errno::DQUOT) => ErrorClass::NoSpace,
            Some(Errno::ROFS) => ErrorClass::ReadOnly,
            Some(Errno::MFILE | Errno::NFILE) => ErrorClass::TooManyFiles,
            Some(Errno::ACCESS | Errno::PERM) => ErrorClass::Denied,
            Some(Errno::NOENT) => ErrorClass::Missing,
            Some(
                Errno::LOOP
                | Errno::XDEV
                | Errno::NOTDIR
                | Errno::ISDIR
                | Errno::NXIO
                | Errno::MEDIUMTYPE,
            ) => ErrorClass::Unsafe,
            _ => ErrorClass::Other,
        }
    }
}

/// The error for a thing that is no regular file.
pub(crate) fn not_a_file() -> io::Error {
    Errno::MEDIUMTYPE.into()
}

/// The error for a file that ends too early.
pub(crate) fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends early")
}

/// The error for a range that the torrent does not have.
pub(crate) fn out_of_range() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "no such range in the torrent")
}
