//! Opening files beneath a folder and never outside of it, whatever links are planted there.
//!
//! `openat2` with `RESOLVE_BENEATH` does it in one call. On kernels without it each folder on the
//! way is opened with `O_NOFOLLOW` on its own.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::error;

const FOLDER: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A folder that files are opened beneath.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    path: PathBuf,
    has_openat2: AtomicBool,
}

impl Root {
    /// Opens `path`, which may itself lead through links: its owner chose it. Torrents in the same
    /// folder share one descriptor, for there may be thousands.
    pub fn open(path: &Path) -> io::Result<Arc<Self>> {
        static OPEN: LazyLock<Mutex<HashMap<PathBuf, Weak<Root>>>> = LazyLock::new(Mutex::default);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(root) = open.get(path).and_then(Weak::upgrade)
            && root.is_still(path)
        {
            return Ok(root);
        }
        open.retain(|_, root| root.strong_count() > 0);
        let root = Arc::new(Self::open_anew(path)?);
        open.insert(path.to_owned(), Arc::downgrade(&root));
        Ok(root)
    }

    /// Whether `path` leads to the same folder as when it was opened.
    fn is_still(&self, path: &Path) -> bool {
        let same =
            |one: Stat, other: Stat| (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino);
        let now = rustix::fs::stat(path);
        rustix::fs::fstat(&self.fd).is_ok_and(|then| now.is_ok_and(|now| same(then, now)))
    }

    fn open_anew(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        Ok(Self { fd, path: path.to_owned(), has_openat2: AtomicBool::new(true) })
    }

    /// The folder as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder itself.
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Opens the regular file at `elements`; fails on links and on anything but a file.
    pub fn open_file(&self, elements: &[String], flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        check(elements)?;
        // NONBLOCK: opening a planted FIFO must not wait for its other end.
        let mode = if flags.contains(OFlags::CREATE) { mode } else { Mode::empty() };
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = self.open_any(elements, flags, mode)?;
        if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != FileType::RegularFile {
            return Err(error::not_a_file());
        }
        Ok(fd)
    }

    /// Creates the folders above the file at `elements`; true if any was not there.
    pub fn create_parents(&self, elements: &[String]) -> io::Result<bool> {
        check(elements)?;
        let Some((_, parents)) = elements.split_last() else { return Ok(false) };
        let mut created = false;
        let mut here: Option<OwnedFd> = None;
        for name in parents {
            let at = here.as_ref().unwrap_or(&self.fd);
            match rustix::fs::mkdirat(at, name.as_str(), Mode::from_raw_mode(0o777)) {
                Ok(()) => created = true,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
            here = Some(rustix::fs::openat(at, name.as_str(), FOLDER, Mode::empty())?);
        }
        Ok(created)
    }

    /// Length and times of the file at `elements`, links not followed.
    pub fn stat(&self, elements: &[String]) -> io::Result<Stat> {
        check(elements)?;
        let Some((name, parents)) = elements.split_last() else {
            return Err(Errno::INVAL.into());
        };
        let parent = match parents {
            [] => None,
            _ => Some(self.open_any(parents, FOLDER, Mode::empty())?),
        };
        let at = parent.as_ref().unwrap_or(&self.fd);
        let stat = rustix::fs::statat(at, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(error::not_a_file());
        }
        Ok(stat)
    }

    /// Brings the entries of the folder at `elements` (the root itself if empty) to disk.
    pub fn sync_folder(&self, elements: &[String]) -> io::Result<()> {
        check(elements)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match elements {
            [] => rustix::fs::openat(&self.fd, ".", flags, Mode::empty())?,
            _ => self.open_any(elements, flags, Mode::empty())?,
        };
        Ok(rustix::fs::fsync(fd)?)
    }

    /// Removes the file at `name` of the root.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    fn open_any(&self, elements: &[String], flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        if self.has_openat2.load(Ordering::Relaxed) {
            let resolve =
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            let path = elements.join("/");
            // EAGAIN: a rename raced with the walk.
            for _ in 0..8 {
                match rustix::fs::openat2(&self.fd, path.as_str(), flags, mode, resolve) {
                    Ok(fd) => return Ok(fd),
                    Err(Errno::AGAIN) => {}
                    // PERM: a sandbox that does not know the call.
                    Err(Errno::NOSYS | Errno::PERM) => {
                        self.has_openat2.store(false, Ordering::Relaxed);
                        break;
                    }
                    // The path as a whole is too long, though no element of it is.
                    Err(Errno::NAMETOOLONG) => break,
                    Err(errno) => return Err(errno.into()),
                }
            }
        }
        self.walk(elements, flags, mode)
    }

    fn walk(&self, elements: &[String], flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let Some((name, parents)) = elements.split_last() else {
            return Err(Errno::INVAL.into());
        };
        let mut here: Option<OwnedFd> = None;
        for parent in parents {
            let at = here.as_ref().unwrap_or(&self.fd);
            here = Some(rustix::fs::openat(at, parent.as_str(), FOLDER, Mode::empty())?);
        }
        let at = here.as_ref().unwrap_or(&self.fd);
        Ok(rustix::fs::openat(at, name.as_str(), flags, mode)?)
    }
}

/// Elements are names, made safe when the torrent was parsed; this is the last gate.
fn check(elements: &[String]) -> io::Result<()> {
    let safe = |name: &String| {
        !matches!(name.as_str(), "" | "." | "..") && !name.contains('/') && !name.contains('\0')
    };
    if elements.iter().all(safe) { Ok(()) } else { Err(Errno::XDEV.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn names(path: &str) -> Vec<String> {
        path.split('/').map(str::to_owned).collect()
    }

    fn both_ways(test: impl Fn(&Root, &Path)) {
        for has_openat2 in [true, false] {
            let dir = tempfile::tempdir().expect("a temporary folder");
            let inside = dir.path().join("root");
            std::fs::create_dir(&inside).expect("a folder");
            let root = Root::open(&inside).expect("the folder opens");
            root.has_openat2.store(has_openat2, Ordering::Relaxed);
            test(&root, dir.path());
        }
    }

    const CREATE: OFlags = OFlags::RDWR.union(OFlags::CREATE);

    #[test]
    fn to_08_never_follows_links_out_or_within() {
        both_ways(|root, dir| {
            std::fs::create_dir(dir.join("outside")).expect("a folder");
            std::fs::write(dir.join("outside/file"), b"mine").expect("a file");
            std::fs::create_dir(root.path().join("real")).expect("a folder");
            symlink(dir.join("outside"), root.path().join("folder")).expect("a link");
            symlink(dir.join("outside/file"), root.path().join("file")).expect("a link");
            symlink("real", root.path().join("within")).expect("a link");
            for path in ["folder/file", "folder/new", "file", "within/new"] {
                let opened = root.open_file(&names(path), CREATE, Mode::from_raw_mode(0o666));
                let error = opened.expect_err(path);
                let class = error::StoreError::new(error::Op::Open, path, error).class();
                assert_eq!(class, error::ErrorClass::Unsafe, "{path}");
            }
            assert!(root.create_parents(&names("folder/deeper/file")).is_err());
            assert!(!dir.join("outside/deeper").exists());
            assert!(!dir.join("outside/new").exists());
            assert!(root.stat(&names("file")).is_err());
            assert!(root.stat(&names("folder/file")).is_err());
        });
    }

    #[test]
    fn to_01_names_that_are_no_names_are_refused() {
        both_ways(|root, dir| {
            for elements in [vec!["..", "up"], vec!["a/b"], vec!["."], vec![""], vec!["a\0b"]] {
                let elements: Vec<String> = elements.into_iter().map(str::to_owned).collect();
                let opened = root.open_file(&elements, CREATE, Mode::from_raw_mode(0o666));
                assert!(opened.is_err(), "{elements:?}");
                assert!(root.create_parents(&elements).is_err(), "{elements:?}");
            }
            assert!(!dir.join("up").exists());
        });
    }

    #[test]
    fn opens_only_regular_files_and_waits_for_none() {
        both_ways(|root, _| {
            let mode = Mode::from_raw_mode(0o666);
            rustix::fs::mknodat(root.fd(), "fifo", FileType::Fifo, mode, 0).expect("a fifo");
            std::fs::create_dir(root.path().join("folder")).expect("a folder");
            for path in ["fifo", "folder"] {
                assert!(root.open_file(&names(path), CREATE, mode).is_err(), "{path}");
                assert!(root.stat(&names(path)).is_err(), "{path}");
            }
        });
    }

    #[test]
    fn creates_folders_and_files() {
        both_ways(|root, _| {
            let path = names("a/b/c");
            assert!(root.open_file(&path, CREATE, Mode::from_raw_mode(0o666)).is_err());
            assert!(root.create_parents(&path).expect("folders"));
            assert!(!root.create_parents(&path).expect("folders are there"));
            root.open_file(&path, CREATE, Mode::from_raw_mode(0o666)).expect("a file");
            assert_eq!(root.stat(&path).expect("a file").st_size, 0);
            root.sync_folder(&names("a/b")).expect("syncs");
            root.sync_folder(&[]).expect("syncs");
        });
    }
}
