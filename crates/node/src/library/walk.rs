//! Looks at folders and files below a root without ever following a symbolic link. What is hidden
//! (a name that begins with a dot) and what is no regular file is not there.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};

/// Folders in folders that are looked at; deeper ones are left out.
pub(super) const DEPTH_MAX: usize = 64;

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);

/// What tells that a file is what it was: these stay while it is renamed, and differ when it is
/// written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Bytes.
    pub(super) len: u64,
    /// When it was written last, in nanoseconds since 1970.
    pub(super) modified: i64,
    /// The file system that it is on.
    pub(super) device: u64,
    /// Its number there.
    pub(super) inode: u64,
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        let seconds = stat.st_mtime.saturating_mul(1_000_000_000);
        Self {
            len: u64::try_from(stat.st_size).unwrap_or(0),
            modified: seconds.saturating_add(i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }
}

/// Something in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File(Stamp),
    Folder,
}

/// The real path of a file: its folder below the root (empty for the root, `/` between names) and
/// its name, both as bytes.
pub(super) fn path(root: &Path, dir: &[u8], name: &[u8]) -> PathBuf {
    let mut path = root.to_owned();
    if !dir.is_empty() {
        path.push(OsStr::from_bytes(dir));
    }
    if !name.is_empty() {
        path.push(OsStr::from_bytes(name));
    }
    path
}

/// Whether a name is left out.
pub(super) fn is_hidden(name: &[u8]) -> bool {
    name.first() == Some(&b'.')
}

/// The folder `dir` below `root`, one name after the other.
fn open_folder(root: &Path, dir: &[u8]) -> io::Result<OwnedFd> {
    // The root was chosen by its owner, and is real.
    let mut folder = openat(CWD, root, FOLDER, Mode::empty())?;
    for name in dir.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
        folder = openat(&folder, name, FOLDER, Mode::empty())?;
    }
    Ok(folder)
}

/// What is in the folder `dir` below `root`, by name in the order of bytes.
///
/// # Errors
/// When it cannot be read, or is no folder.
pub(super) fn list(root: &Path, dir: &[u8]) -> io::Result<Vec<(Vec<u8>, Kind)>> {
    let mut folder = Dir::new(open_folder(root, dir)?)?;
    let mut entries = Vec::new();
    while let Some(entry) = folder.read() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        let useless = !matches!(
            entry.file_type(),
            FileType::RegularFile | FileType::Directory | FileType::Unknown
        );
        if is_hidden(name) || useless {
            continue;
        }
        if entry.file_type() == FileType::Directory {
            entries.push((name.to_vec(), Kind::Folder));
        } else if let Some(kind) = look_in(folder.fd()?, name)? {
            entries.push((name.to_vec(), kind));
        }
    }
    entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(entries)
}

/// What `name` in the folder `dir` is; `None` if it is nothing of ours.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn look(root: &Path, dir: &[u8], name: &[u8]) -> io::Result<Option<Kind>> {
    look_in(open_folder(root, dir)?, name)
}

fn look_in(folder: impl std::os::fd::AsFd, name: &[u8]) -> io::Result<Option<Kind>> {
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Some(Kind::File(Stamp::of(&stat))),
            FileType::Directory => Some(Kind::Folder),
            _ => None,
        }),
        // It is gone since it was listed.
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens a file to read, with its stamp.
///
/// # Errors
/// When it cannot be, or is no regular file.
pub(super) fn open(root: &Path, dir: &[u8], name: &[u8]) -> io::Result<(File, Stamp)> {
    // NONBLOCK: opening a planted pipe must not wait for its other end.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(open_folder(root, dir)?, name, flags, Mode::empty())?;
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok((file.into(), Stamp::of(&stat)))
}

/// The stamp of an open file.
///
/// # Errors
/// When the system does not say.
pub(super) fn stamp(file: &File) -> io::Result<Stamp> {
    Ok(Stamp::of(&fstat(file)?))
}

/// Device and inode of the root itself.
///
/// # Errors
/// When it is not there, or is no folder.
pub(super) fn identity(root: &Path) -> io::Result<(u64, u64)> {
    let stat = fstat(open_folder(root, &[])?)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Splits an absolute path below `root` into the folder and the name that [`path`] takes. `None`
/// for the root itself and for what is elsewhere or hidden.
pub(super) fn split(root: &Path, path: &Path) -> Option<(Vec<u8>, Vec<u8>)> {
    let below = path.strip_prefix(root).ok()?;
    let mut parts = below.components().map(|part| part.as_os_str().as_bytes());
    if parts.clone().any(is_hidden) {
        return None;
    }
    let name = parts.next_back()?.to_vec();
    let dir = below.parent().map(|dir| dir.as_os_str().to_owned().into_vec());
    Some((dir.unwrap_or_default(), name))
}

/// `name` in the folder `dir`, as the name of a folder itself.
pub(super) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_regular_files_and_folders_that_show_themselves_are_there() {
        let temp = tempfile::tempdir().expect("a folder");
        let root = temp.path().canonicalize().expect("real");
        fs::create_dir_all(root.join("sub/.git")).expect("folders");
        fs::write(root.join("file"), "12345").expect("a file");
        fs::write(root.join(".key"), "secret").expect("a file");
        fs::write(root.join(OsStr::from_bytes(b"\xff")), "x").expect("a file");
        symlink("file", root.join("link")).expect("a link");
        symlink("/etc", root.join("out")).expect("a link");
        let (fifo, mode) = (FileType::Fifo, Mode::RUSR);
        rustix::fs::mknodat(CWD, root.join("pipe"), fifo, mode, 0).expect("a pipe");
        let found = list(&root, b"").expect("readable");
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_slice()).collect();
        assert_eq!(names, [&b"file"[..], b"sub", b"\xff"]);
        assert!(matches!(found[0].1, Kind::File(Stamp { len: 5, .. })), "{found:?}");
        assert!(list(&root, b"sub").expect("readable").is_empty());
        assert!(list(&root, b"out").is_err());
        assert!(look(&root, b"out", b"passwd").is_err());
        assert_eq!(look(&root, b"", b"link").expect("looked at"), None);
        assert_eq!(look(&root, b"", b"nothing").expect("looked at"), None);
        assert!(open(&root, b"", b"link").is_err());
        assert!(open(&root, b"", b"pipe").is_err());
        assert!(open(&root, b"out", b"passwd").is_err());
        assert_eq!(open(&root, b"", b"file").expect("opens").1.len, 5);
    }

    #[test]
    fn paths_are_split_as_they_are_joined() {
        let root = Path::new("/r");
        for (text, split_as) in [
            ("/r/a", Some(("", "a"))),
            ("/r/a/b/c", Some(("a/b", "c"))),
            ("/r", None),
            ("/r/.a", None),
            ("/r/.a/b", None),
            ("/rr/a", None),
            ("/other", None),
        ] {
            let found = split(root, Path::new(text));
            let wanted = split_as.map(|(dir, name)| (dir.as_bytes().to_vec(), name.into()));
            assert_eq!(found, wanted, "{text}");
            if let Some((dir, name)) = found {
                assert_eq!(path(root, &dir, &name), Path::new(text));
                assert_eq!(
                    split(root, &path(root, &join(&dir, &name), b"x")).map(|it| it.0),
                    Some(join(&dir, &name))
                );
            }
        }
    }
}
