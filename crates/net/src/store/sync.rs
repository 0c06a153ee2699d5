//! Bringing files to stable storage, and noticing when they are not what they were.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rustix::io::Errno;

use super::{Op, PARTS, Stamp, Store, StoreError, error};

impl Store {
    /// Brings all that was written to stable storage, and checks that the files written are still
    /// the ones that the torrent says.
    ///
    /// # Errors
    /// Of the first file that fails. What was written to it since the last success must be
    /// considered lost, for the system reports a failed write-back only once.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.sync_files().map(drop)
    }

    /// [`Store::sync`]; returns the numbers of the files that were written.
    pub(crate) fn sync_files(&self) -> Result<Vec<usize>, StoreError> {
        let (mut dirty, mut folders) = {
            let mut state = self.state();
            (std::mem::take(&mut state.dirty), std::mem::take(&mut state.fresh_folders))
        };
        let files = dirty.iter().copied().collect();
        let result = self.sync_these(&mut dirty, &mut folders);
        if result.is_err() {
            let mut state = self.state();
            state.dirty.append(&mut dirty);
            state.fresh_folders.append(&mut folders);
        }
        result.map(|()| files)
    }

    fn sync_these(
        &self,
        dirty: &mut BTreeSet<usize>,
        folders: &mut BTreeSet<Vec<String>>,
    ) -> Result<(), StoreError> {
        while let Some(key) = dirty.pop_first() {
            let handle = self.handle(key, false)?;
            let failed = |errno: Errno| StoreError::new(Op::Sync, self.path_of(key), errno);
            rustix::fs::fdatasync(&*handle).map_err(failed)?;
            let stat = rustix::fs::fstat(&*handle).map_err(failed)?;
            if stat.st_nlink == 0 {
                return Err(failed(Errno::NOENT));
            }
            let short = key != PARTS && (stat.st_size as u64) < self.info.files[key].len;
            if short {
                return Err(StoreError::new(Op::Sync, self.path_of(key), error::truncated()));
            }
        }
        while let Some(folder) = folders.pop_first() {
            self.root.sync_folder(&folder).map_err(|source| {
                let path = self.root.path().join(folder.iter().collect::<PathBuf>());
                StoreError::new(Op::Sync, path, source)
            })?;
        }
        Ok(())
    }

    /// Length and time of change of file number `key`; `None` if there is no such regular file.
    pub(crate) fn stamp(&self, key: usize) -> Option<Stamp> {
        let stat = self.root.stat(self.elements_of(key)).ok()?;
        let nanos = i64::try_from(stat.st_mtime_nsec).ok()?;
        let modified = stat.st_mtime.checked_mul(1_000_000_000)?.checked_add(nanos)?;
        Some(Stamp { len: stat.st_size as u64, modified })
    }
}
