//! Opening the files of a store, creating them, and giving them their length.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{ErrorClass, Handle, Op, PARTS, Store, StoreError};

impl Store {
    pub(super) fn handle(&self, key: usize, write: bool) -> Result<Arc<Handle>, StoreError> {
        if write && self.read_only {
            return Err(StoreError::new(Op::Write, self.path_of(key), Errno::ROFS));
        }
        {
            let mut state = self.state();
            if let Some(handle) = state.handles.get(key, write) {
                return Ok(handle);
            }
        }
        // Opened without the lock: it may wait for a disk. Two threads at it do no harm.
        let handle = self.open_file(key, write)?;
        self.state().handles.insert(key, handle.clone());
        Ok(handle)
    }

    pub(super) fn open_file(&self, key: usize, write: bool) -> Result<Arc<Handle>, StoreError> {
        match self.try_open_file(key, write) {
            Err(error) if error.class() == ErrorClass::TooManyFiles => {
                self.close_files();
                self.try_open_file(key, write)
            }
            result => result,
        }
    }

    fn try_open_file(&self, key: usize, write: bool) -> Result<Arc<Handle>, StoreError> {
        let elements = self.elements_of(key);
        let failed = |op, source: io::Error| StoreError::new(op, self.path_of(key), source);
        let open = |flags| self.root.open_file(elements, flags, Mode::empty());
        if self.read_only {
            let fd = open(OFlags::RDONLY).map_err(|source| failed(Op::Open, source))?;
            return Ok(Arc::new(Handle::new(fd, false)));
        }
        let fd = match open(OFlags::RDWR) {
            Ok(fd) => fd,
            Err(error) if write && error.kind() == io::ErrorKind::NotFound => {
                self.create(key).map_err(|source| failed(Op::Create, source))?
            }
            Err(error) if !write && error.kind() != io::ErrorKind::NotFound => {
                let fd = open(OFlags::RDONLY).map_err(|_| failed(Op::Open, error))?;
                return Ok(Arc::new(Handle::new(fd, false)));
            }
            Err(error) => return Err(failed(Op::Open, error)),
        };
        if write && key != PARTS {
            let len = self.info.files[key].len;
            let resize = |errno: Errno| failed(Op::Resize, errno.into());
            if rustix::fs::fstat(&fd).map_err(resize)?.st_size as u64 != len {
                rustix::fs::ftruncate(&fd, len).map_err(resize)?;
            }
        }
        Ok(Arc::new(Handle::new(fd, true)))
    }

    fn create(&self, key: usize) -> io::Result<OwnedFd> {
        let elements = self.elements_of(key);
        let executable = self.info.files.get(key).is_some_and(|file| file.executable);
        let mode = Mode::from_raw_mode(if executable { 0o777 } else { 0o666 });
        let parents = &elements[..elements.len().saturating_sub(1)];
        let new_folders = !parents.is_empty() && self.root.create_parents(elements)?;
        let fd = self.root.open_file(elements, OFlags::RDWR | OFlags::CREATE, mode)?;
        let mut state = self.state();
        state.fresh_folders.insert(parents.to_vec());
        if new_folders {
            state.fresh_folders.extend((0..parents.len()).map(|depth| parents[..depth].to_vec()));
        }
        Ok(fd)
    }
}
