//! The files of one torrent: pieces to and from disk, beneath one folder and never outside of it.
//!
//! Calls are synchronous and come from any thread; which thread may wait for a disk is decided in
//! [`disk`](crate::disk). Files are opened when they are first needed, created sparse at their full
//! length by their first write, and never mapped into memory, so that a file cut short below us is
//! an error and not a signal. What was verified before is remembered by the [`Journal`].
//!
//! Files that are not selected are not created. Pieces at the ends of selected files hold bytes of
//! their neighbours too; those lie in a sparse side file, `.<infohash>.parts`, at the offset that
//! they have in the torrent.

mod beneath;
mod error;
mod expected;
mod files;
mod handles;
mod journal;
mod layout;
mod parts;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bittorrent::id::PieceIndex;
use bittorrent::metainfo::Info;
use rustix::fs::{Advice, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags};

use beneath::Root;
pub use error::{ErrorClass, Op, StoreError};
pub use expected::{Expected, LayerUnknown, Subtree};
pub use handles::Handle;
use handles::Handles;
#[doc(hidden)]
pub use journal::with_checksums;
pub use journal::{Contents, Damage, FlushError, Journal, Origin, Resume, Stamp, Totals};
use layout::{Segment, segments};

/// The file system in memory, which knows no cold data and no `RWF_NOWAIT`.
const TMPFS_MAGIC: i64 = 0x0102_1994;
/// How far apart [`Store::is_cached`] looks; the least read-ahead of Linux.
const PROBE_STEP: u64 = 128 * 1024;
/// Most slices in one vectored write (`IOV_MAX` of Linux).
const MAX_SLICES: usize = 1024;
/// The number of the side file among [`Handles`].
const PARTS: usize = usize::MAX;

/// How a store is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreOptions<'a> {
    /// Never create or change a file.
    pub read_only: bool,
    /// Indices of the files to fetch; `None` is all.
    pub selection: Option<&'a [usize]>,
}

/// Where the bytes of a file go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Into the file.
    File,
    /// Into the side file, because the file is not selected.
    Parts,
    /// Nowhere: they are zeros.
    Padding,
}

/// The files of one torrent.
#[derive(Debug)]
pub struct Store {
    info: Arc<Info>,
    root: Root,
    read_only: bool,
    in_memory: bool,
    places: Vec<Place>,
    parts_name: [String; 1],
    layers: RwLock<BTreeMap<usize, Arc<[[u8; 32]]>>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    handles: Handles,
    /// Files written since they were last synced.
    dirty: BTreeSet<usize>,
    /// Folders with entries that were not synced yet.
    fresh_folders: BTreeSet<Vec<String>>,
}

/// A run of bytes of a piece, as the system sees it.
#[derive(Clone, Debug)]
pub enum Span {
    /// Bytes of an open file. If it gives fewer, it was cut short: [`Store::truncated`].
    File {
        /// The file.
        handle: Arc<Handle>,
        /// Its index in [`Info::files`].
        file: usize,
        /// Where the run begins in it.
        offset: u64,
        /// Bytes of the run.
        len: usize,
    },
    /// So many zeros, which are in no file.
    Zeros(usize),
}

impl Store {
    /// Opens the folder `dir` (made if need be) and looks at which files are there; creates none.
    ///
    /// # Errors
    /// If the folder cannot be made or opened.
    pub fn open(
        info: Arc<Info>,
        dir: &Path,
        options: StoreOptions<'_>,
    ) -> Result<Self, StoreError> {
        if !options.read_only {
            std::fs::create_dir_all(dir)
                .map_err(|source| StoreError::new(Op::Create, dir, source))?;
        }
        let root = Root::open(dir).map_err(|source| StoreError::new(Op::Open, dir, source))?;
        let in_memory = rustix::fs::fstatfs(root.fd())
            .is_ok_and(|stat| i128::from(stat.f_type) == i128::from(TMPFS_MAGIC));
        let mut selected = vec![options.selection.is_none(); info.files.len()];
        for &index in options.selection.unwrap_or_default() {
            if let Some(flag) = selected.get_mut(index) {
                *flag = true;
            }
        }
        let name = info.hashes.primary().map(|hash| hash.to_string()).unwrap_or_default();
        let places = info.files.iter().zip(selected).map(|(file, selected)| {
            if file.padding {
                Place::Padding
            } else if selected || is_complete_in_length(&root, &file.disk_path, file.len) {
                Place::File
            } else {
                Place::Parts
            }
        });
        Ok(Self {
            places: places.collect(),
            root,
            read_only: options.read_only,
            in_memory,
            parts_name: [format!(".{name}.parts")],
            layers: RwLock::default(),
            state: Mutex::default(),
            info,
        })
    }

    /// What the torrent holds.
    #[must_use]
    pub fn info(&self) -> &Arc<Info> {
        &self.info
    }

    /// The folder that holds the files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.root.path()
    }

    /// Whether nothing may be written.
    #[must_use]
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// Makes what no write makes: selected files without bytes, and files that were in the side
    /// file until now because they were not selected. Needed once, before the first write.
    ///
    /// # Errors
    /// Of the first file that cannot be made.
    pub fn prepare(&self) -> Result<(), StoreError> {
        if self.read_only {
            return Ok(());
        }
        self.move_from_parts()?;
        for (index, file) in self.info.files.iter().enumerate() {
            if file.len == 0 && self.places[index] == Place::File {
                // Not kept open: there may be a million of them.
                self.open_file(index, true)?;
            }
        }
        Ok(())
    }

    /// Writes `data` at `begin` of `piece`.
    ///
    /// # Errors
    /// Of the system, or if the piece has no such range. What was written before stays written.
    pub fn write(&self, piece: PieceIndex, begin: u32, data: &[u8]) -> Result<(), StoreError> {
        self.write_vectored(piece, begin, &[IoSlice::new(data)])
    }

    /// Writes `data`, one slice after the other, at `begin` of `piece`.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_vectored(
        &self,
        piece: PieceIndex,
        begin: u32,
        data: &[IoSlice<'_>],
    ) -> Result<(), StoreError> {
        let total = data.iter().map(|slice| slice.len()).sum();
        let mut slices = data.iter().map(|slice| &**slice).filter(|slice| !slice.is_empty());
        let mut current: &[u8] = &[];
        let mut gathered: Vec<&[u8]> = Vec::with_capacity(data.len());
        for segment in self.segments(piece, begin, total)? {
            gathered.clear();
            let mut wanted = segment.len;
            while wanted > 0 {
                if current.is_empty() {
                    current = slices.next().unwrap_or_default();
                }
                let (taken, rest) = current.split_at(wanted.min(current.len()));
                gathered.push(taken);
                wanted -= taken.len();
                current = rest;
            }
            self.write_segment(segment, &mut gathered)?;
        }
        Ok(())
    }

    fn write_segment(&self, segment: Segment, data: &mut [&[u8]]) -> Result<(), StoreError> {
        let Some((key, offset)) = self.locate(segment) else { return Ok(()) };
        let handle = self.handle(key, true)?;
        let result = self.write_all(key, &handle, offset, data);
        // After the write: a sync that runs meanwhile must not believe that it has seen it.
        self.state().dirty.insert(key);
        result
    }

    fn write_all(
        &self,
        key: usize,
        handle: &Handle,
        mut offset: u64,
        data: &mut [&[u8]],
    ) -> Result<(), StoreError> {
        let failed = |source: io::Error| StoreError::new(Op::Write, self.path_of(key), source);
        let mut rest = data;
        while let Some(first) = rest.first() {
            let written = if rest.len() == 1 {
                rustix::io::pwrite(handle, first, offset)
            } else {
                let slices: Vec<IoSlice<'_>> =
                    rest.iter().take(MAX_SLICES).map(|slice| IoSlice::new(slice)).collect();
                rustix::io::pwritev(handle, &slices, offset)
            };
            let mut written = match written {
                Ok(0) => return Err(failed(io::ErrorKind::WriteZero.into())),
                Ok(written) => written,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(failed(errno.into())),
            };
            offset += written as u64;
            while let Some(first) = rest.first_mut().filter(|_| written > 0) {
                let whole = written.min(first.len());
                *first = &first[whole..];
                written -= whole;
                if first.is_empty() {
                    rest = &mut rest[1..];
                }
            }
        }
        Ok(())
    }

    /// Fills `out` with what is at `begin` of `piece`.
    ///
    /// # Errors
    /// Of the system, if a file ends too early, or if the piece has no such range.
    pub fn read(&self, piece: PieceIndex, begin: u32, out: &mut [u8]) -> Result<(), StoreError> {
        self.read_by(piece, begin, out, false).map(|_| ())
    }

    /// As [`Store::read`], but only what the system has in memory: `false` if it would have to wait
    /// for the disk, and then what is in `out` is of no use.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_cached(
        &self,
        piece: PieceIndex,
        begin: u32,
        out: &mut [u8],
    ) -> Result<bool, StoreError> {
        self.read_by(piece, begin, out, !self.in_memory)
    }

    fn read_by(
        &self,
        piece: PieceIndex,
        begin: u32,
        out: &mut [u8],
        only_cached: bool,
    ) -> Result<bool, StoreError> {
        let mut only_cached = only_cached;
        let mut rest = out;
        for segment in self.segments(piece, begin, rest.len())? {
            let (mut here, next) = rest.split_at_mut(segment.len);
            rest = next;
            let Some((key, mut offset)) = self.locate(segment) else {
                here.fill(0);
                continue;
            };
            let handle = self.handle(key, false)?;
            while !here.is_empty() {
                let read = if only_cached {
                    let slices = &mut [IoSliceMut::new(here)];
                    rustix::io::preadv2(&*handle, slices, offset, ReadWriteFlags::NOWAIT)
                } else {
                    rustix::io::pread(&*handle, &mut *here, offset)
                };
                match read {
                    Err(Errno::AGAIN) => return Ok(false),
                    // A file system that cannot tell; reading may wait then.
                    Err(Errno::OPNOTSUPP | Errno::NOSYS) if only_cached => only_cached = false,
                    Ok(0) => {
                        return Err(StoreError::new(
                            Op::Read,
                            self.path_of(key),
                            error::truncated(),
                        ));
                    }
                    Ok(read) => {
                        offset += read as u64;
                        here = &mut here[read..];
                    }
                    Err(Errno::INTR) => {}
                    Err(errno) => {
                        return Err(StoreError::new(Op::Read, self.path_of(key), errno));
                    }
                }
            }
        }
        Ok(true)
    }

    /// Where `len` bytes at `begin` of `piece` are, so that the system can send them from there.
    ///
    /// # Errors
    /// If the piece has no such range. Each item fails if its file cannot be opened.
    pub fn spans(
        &self,
        piece: PieceIndex,
        begin: u32,
        len: usize,
    ) -> Result<impl Iterator<Item = Result<Span, StoreError>> + '_, StoreError> {
        Ok(self.segments(piece, begin, len)?.map(|segment| {
            let Some((key, offset)) = self.locate(segment) else {
                return Ok(Span::Zeros(segment.len));
            };
            let handle = self.handle(key, false)?;
            Ok(Span::File { handle, file: segment.file, offset, len: segment.len })
        }))
    }

    /// The error to report when the file of a [`Span`] gave fewer bytes than it should.
    #[must_use]
    pub fn truncated(&self, file: usize) -> StoreError {
        StoreError::new(Op::Read, self.path_of_file(file), error::truncated())
    }

    /// Whether reading these bytes would not wait for a disk, as far as a few probes can tell.
    #[must_use]
    pub fn is_cached(&self, handle: &Handle, offset: u64, len: usize) -> bool {
        if self.in_memory || len == 0 {
            return true;
        }
        let end = offset.saturating_add(len as u64);
        let last = std::iter::once(end - 1);
        (offset..end).step_by(PROBE_STEP as usize).chain(last).all(|probe| {
            let mut byte = [0];
            let mut slices = [IoSliceMut::new(&mut byte)];
            // No byte there at all is found out by whoever reads in earnest, without waiting.
            rustix::io::preadv2(handle, &mut slices, probe, ReadWriteFlags::NOWAIT).is_ok()
        })
    }

    /// Whether nothing was ever written to a piece, as far as the file system can tell: it reads as
    /// zeros.
    #[must_use]
    pub(crate) fn is_hole(&self, piece: PieceIndex) -> bool {
        let len = self.info.piece_size(piece) as usize;
        let Ok(mut segments) = self.segments(piece, 0, len) else { return false };
        segments.all(|segment| {
            let Some((key, offset)) = self.locate(segment) else { return true };
            let Ok(handle) = self.handle(key, false) else { return false };
            let end = offset + segment.len as u64;
            match rustix::fs::seek(&*handle, SeekFrom::Data(offset)) {
                Ok(data) => data >= end,
                // No data up to the end of the file, which must not be before the hole's.
                Err(Errno::NXIO) => {
                    rustix::fs::fstat(&*handle).is_ok_and(|stat| stat.st_size as u64 >= end)
                }
                Err(_) => false,
            }
        })
    }

    /// Asks the system to read these bytes soon; does not wait for them.
    pub fn readahead(&self, handle: &Handle, offset: u64, len: usize) {
        // A hint that is not taken costs nothing but time.
        let _ = rustix::fs::fadvise(
            handle.as_fd(),
            offset,
            NonZeroU64::new(len as u64),
            Advice::WillNeed,
        );
    }

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

    /// The numbers of the files that hold bytes of `piece`.
    pub(crate) fn files_of_piece(&self, piece: PieceIndex) -> impl Iterator<Item = usize> {
        let len = self.info.piece_size(piece) as usize;
        let segments = segments(&self.info, piece, 0, len).into_iter().flatten();
        segments.filter_map(|segment| self.locate(segment).map(|(key, _)| key))
    }

    /// Length and time of change of file number `key`; `None` if there is no such regular file.
    pub(crate) fn stamp(&self, key: usize) -> Option<Stamp> {
        let stat = self.root.stat(self.elements_of(key)).ok()?;
        let nanos = i64::try_from(stat.st_mtime_nsec).ok()?;
        let modified = stat.st_mtime.checked_mul(1_000_000_000)?.checked_add(nanos)?;
        Some(Stamp { len: stat.st_size as u64, modified })
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

    /// Closes all files; they open again when they are needed.
    pub fn close_files(&self) {
        self.state().handles.clear();
    }

    /// Tells the piece layer of file `index` (BEP 52). Whoever calls this has checked it against
    /// the file's root.
    pub fn set_piece_layer(&self, index: usize, layer: &[[u8; 32]]) {
        if layer.is_empty() {
            return;
        }
        let mut layers = self.layers.write().unwrap_or_else(PoisonError::into_inner);
        layers.insert(index, layer.into());
    }

    /// Tells all piece layers of a metainfo file; empty ones say nothing.
    pub fn set_piece_layers(&self, layers: &[Vec<[u8; 32]>]) {
        for (index, layer) in layers.iter().enumerate() {
            self.set_piece_layer(index, layer);
        }
    }

    /// The piece layer of file `index`, if it is known.
    #[must_use]
    pub fn piece_layer(&self, index: usize) -> Option<Arc<[[u8; 32]]>> {
        self.layers.read().unwrap_or_else(PoisonError::into_inner).get(&index).cloned()
    }

    /// What `piece` must hash to.
    ///
    /// # Errors
    /// If that is not known yet.
    pub fn expected(&self, piece: PieceIndex) -> Result<Expected, LayerUnknown> {
        expected::expected(&self.info, piece, |file, number| {
            let layers = self.layers.read().unwrap_or_else(PoisonError::into_inner);
            layers.get(&file).and_then(|layer| layer.get(number)).copied()
        })
    }

    /// The pieces that hold bytes of file `index`.
    #[must_use]
    pub fn pieces_of_file(&self, index: usize) -> Range<u32> {
        layout::pieces_of_file(&self.info, index)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn segments(
        &self,
        piece: PieceIndex,
        begin: u32,
        len: usize,
    ) -> Result<layout::Segments<'_>, StoreError> {
        segments(&self.info, piece, begin, len)
            .ok_or_else(|| StoreError::new(Op::Open, self.root.path(), error::out_of_range()))
    }

    /// The file and the offset at which a segment is stored; `None` for padding.
    fn locate(&self, segment: Segment) -> Option<(usize, u64)> {
        match self.places[segment.file] {
            Place::File => Some((segment.file, segment.offset)),
            Place::Parts => Some((PARTS, self.info.files[segment.file].offset + segment.offset)),
            Place::Padding => None,
        }
    }

    fn elements_of(&self, key: usize) -> &[String] {
        if key == PARTS { &self.parts_name } else { &self.info.files[key].disk_path }
    }

    fn path_of(&self, key: usize) -> PathBuf {
        self.root.path().join(self.elements_of(key).iter().collect::<PathBuf>())
    }

    /// The path of file `index`, for people to read.
    #[must_use]
    pub fn path_of_file(&self, index: usize) -> PathBuf {
        if index < self.info.files.len() { self.path_of(index) } else { self.dir().to_owned() }
    }
}

fn is_complete_in_length(root: &Root, path: &[String], len: u64) -> bool {
    len > 0 && root.stat(path).is_ok_and(|stat| stat.st_size as u64 == len)
}
