//! The side file of a store, which holds what pieces have of files that are not selected.

use std::io;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::layout::Segment;
use super::{Op, PARTS, Place, Store, StoreError};

/// Bytes copied at a time.
const COPY_LEN: usize = 64 * 1024;

impl Store {
    /// Copies what the side file holds of files that are selected now and not on disk yet.
    pub(super) fn move_from_parts(&self) -> Result<(), StoreError> {
        let stat = match self.root.stat(&self.parts_name) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(StoreError::new(Op::Stat, self.path_of(PARTS), error)),
        };
        let parts_len = stat.st_size as u64;
        let mut still_used = false;
        for (index, file) in self.info.files.iter().enumerate() {
            match self.places[index] {
                Place::Parts if file.len > 0 => still_used = true,
                Place::File if file.len > 0 && file.offset < parts_len => {
                    let missing = self.root.stat(&file.disk_path);
                    if missing.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
                        self.copy_from_parts(index, parts_len)?;
                    }
                }
                _ => {}
            }
        }
        if !still_used {
            self.sync()?;
            self.state().handles.remove(PARTS);
            self.root
                .remove(&self.parts_name[0])
                .map_err(|source| StoreError::new(Op::Rename, self.path_of(PARTS), source))?;
        }
        Ok(())
    }

    fn copy_from_parts(&self, index: usize, parts_len: u64) -> Result<(), StoreError> {
        let parts = self.handle(PARTS, false)?;
        let file = &self.info.files[index];
        let end = (file.offset + file.len).min(parts_len);
        let read_failed = |errno: Errno| StoreError::new(Op::Read, self.path_of(PARTS), errno);
        let mut buffer = vec![0; COPY_LEN];
        let mut position = file.offset;
        while position < end {
            position = match rustix::fs::seek(&*parts, SeekFrom::Data(position)) {
                Ok(data) if data < end => data,
                Ok(_) | Err(Errno::NXIO) => break,
                // A file system that cannot tell holes apart.
                Err(Errno::INVAL) => position,
                Err(errno) => return Err(read_failed(errno)),
            };
            let len = buffer.len().min((end - position) as usize);
            let read = match rustix::io::pread(&*parts, &mut buffer[..len], position) {
                Ok(0) => break,
                Ok(read) => read,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(read_failed(errno)),
            };
            let segment = Segment { file: index, offset: position - file.offset, len: read };
            self.write_segment(segment, &mut [&buffer[..read]])?;
            position += read as u64;
        }
        Ok(())
    }
}
