//! Writing to a journal's file so that a crash at any moment leaves the old state or the new one.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::store::{Op, StoreError};

/// `path` with `suffix` at the end of its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(suffix);
    path.with_file_name(name)
}

/// Opens a file for reading and for writing at its end; follows no link.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new().read(true).append(true).custom_flags(flags.bits() as i32).open(path)
}

/// Opens a file to write at its end, if it is as long as it was left.
pub(super) fn open_at_end(path: &Path, len: u64) -> Option<File> {
    let file = open(path).ok()?;
    file.metadata().is_ok_and(|metadata| metadata.len() == len).then_some(file)
}

/// Writes at the end of the file and waits until that is on disk.
pub(super) fn append(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    step("append");
    let (some, rest) = bytes.split_at(if cfg!(test) { bytes.len() / 2 } else { 0 });
    file.write_all(some)?;
    step("append-half");
    file.write_all(rest)?;
    step("append-whole");
    file.sync_data()?;
    step("append-synced");
    Ok(())
}

/// Puts a file with these bytes in the place of the one at `path`, by way of a temporary file.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<File, StoreError> {
    let temporary = beside(path, ".tmp");
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // What a crash left, or what someone planted: gone before a new file is made in its place.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StoreError::new(Op::Create, &temporary, error));
        }
        _ => {}
    }
    let mut file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .open(&temporary)
        .map_err(|source| StoreError::new(Op::Create, &temporary, source))?;
    step("temporary");
    let written = (|| {
        let (some, rest) = bytes.split_at(if cfg!(test) { bytes.len() / 2 } else { 0 });
        file.write_all(some)?;
        step("temporary-half");
        file.write_all(rest)?;
        step("temporary-whole");
        file.sync_all()
    })();
    if let Err(source) = written {
        // The disk may be full: leave nothing behind. If that fails the next attempt removes it.
        let _ = fs::remove_file(&temporary);
        return Err(StoreError::new(Op::Write, &temporary, source));
    }
    step("temporary-synced");
    fs::rename(&temporary, path).map_err(|source| StoreError::new(Op::Rename, path, source))?;
    step("renamed");
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| StoreError::new(Op::Sync, folder, source))?;
    step("folder-synced");
    Ok(file)
}

/// All places where a test ends the process, in order.
#[cfg(test)]
pub(super) const STEPS: [&str; 10] = [
    "append",
    "append-half",
    "append-whole",
    "append-synced",
    "temporary",
    "temporary-half",
    "temporary-whole",
    "temporary-synced",
    "renamed",
    "folder-synced",
];

/// A place where a test may end the process.
#[cfg(test)]
fn step(name: &str) {
    if std::env::var("CRASH_AT").is_ok_and(|at| at == name)
        && let Ok(()) =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
    {
        loop {
            std::thread::park();
        }
    }
}

#[cfg(not(test))]
#[inline(always)]
fn step(_name: &str) {}
