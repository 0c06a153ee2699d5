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
mod sync;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod transfer;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bittorrent::id::PieceIndex;
use bittorrent::metainfo::Info;

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
    root: Arc<Root>,
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

    /// The error to report when the file of a [`Span`] gave fewer bytes than it should.
    #[must_use]
    pub fn truncated(&self, file: usize) -> StoreError {
        StoreError::new(Op::Read, self.path_of_file(file), error::truncated())
    }

    /// The numbers of the files that hold bytes of `piece`.
    pub(crate) fn files_of_piece(&self, piece: PieceIndex) -> impl Iterator<Item = usize> {
        let len = self.info.piece_size(piece) as usize;
        let segments = segments(&self.info, piece, 0, len).into_iter().flatten();
        segments.filter_map(|segment| self.locate(segment).map(|(key, _)| key))
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
