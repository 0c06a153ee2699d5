//! Reads the files that a torrent is made of, and notices when they change meanwhile.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Advice, OFlags, fadvise};

use super::CreateError;
use super::walk::{Found, Version};

/// Most files that are kept open for the pieces to come.
const MAX_OPEN: usize = 64;

/// Files that are read from several threads, mostly in order.
pub(super) struct Source<'a> {
    files: &'a [Found],
    /// The last files used, the newest at the back.
    open: Mutex<VecDeque<(usize, Arc<File>)>>,
}

impl<'a> Source<'a> {
    pub(super) fn new(files: &'a [Found]) -> Self {
        Self { files, open: Mutex::default() }
    }

    /// Fills `buffer` with what the file with this index holds from `offset` on.
    pub(super) fn read(
        &self,
        index: usize,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), CreateError> {
        let path = &self.files[index].disk_path;
        self.file(index)?.read_exact_at(buffer, offset).map_err(|source| {
            if source.kind() == ErrorKind::UnexpectedEof {
                CreateError::changed(path)
            } else {
                CreateError::io(path, source)
            }
        })
    }

    /// The file, opened now unless it still is.
    fn file(&self, index: usize) -> Result<Arc<File>, CreateError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, file)) = open.iter().rev().find(|(of, _)| *of == index) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(open_file(&self.files[index])?);
        if open.len() == MAX_OPEN {
            open.pop_front();
        }
        open.push_back((index, Arc::clone(&file)));
        Ok(file)
    }

    /// Whether all files still are what they were when they were found.
    pub(super) fn check_unchanged(&self) -> Result<(), CreateError> {
        self.files.iter().try_for_each(|file| {
            let path = &file.disk_path;
            let now = fs::symlink_metadata(path).map_err(|source| CreateError::io(path, source))?;
            same(file, Version::of(&now), path)
        })
    }
}

fn open_file(found: &Found) -> Result<File, CreateError> {
    let path = &found.disk_path;
    let fail = |source| CreateError::io(path, source);
    // What was a regular file may have been replaced: neither follow a link nor wait for a pipe.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    if !metadata.is_file() {
        return Err(CreateError::changed(path));
    }
    same(found, Version::of(&metadata), path)?;
    // Only a hint: some file systems do not know it.
    let _ = fadvise(&file, 0, None, Advice::Sequential);
    Ok(file)
}

fn same(found: &Found, now: Version, path: &Path) -> Result<(), CreateError> {
    if now == found.version { Ok(()) } else { Err(CreateError::changed(path)) }
}
