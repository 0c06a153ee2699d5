//! Whether every byte arrived: files are read back from disk and hashed here, by code that the
//! nodes do not use.

use std::fs::{self, File};
use std::io::{self, Read};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, anyhow};
use bittorrent::metainfo::Metainfo;
use sha2::{Digest, Sha256};

use crate::exit::Failure;
use crate::progress;

const CHUNK_LEN: usize = 1 << 20;
/// Folders within folders that are looked into for their size.
const DEPTH_MAX: usize = 64;

/// What the comparison found.
#[derive(Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Files of the source.
    pub files: usize,
    /// Bytes read back from the peers' folders.
    pub bytes: u64,
    /// Copies that differ from their source, as they lie on disk.
    pub wrong: Vec<PathBuf>,
}

impl Comparison {
    /// Whether every copy is like its source.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.wrong.is_empty()
    }
}

/// Compares the files of a torrent in each of `folders` with those below `source`.
///
/// # Errors
/// When the torrent or the source cannot be read; a copy that cannot be read is a wrong one.
pub fn compare(torrent: &Path, source: &Path, folders: &[PathBuf]) -> Result<Comparison, Failure> {
    let bytes = fs::read(torrent).with_context(|| torrent.display().to_string())?;
    let metainfo = Metainfo::parse(&bytes).map_err(|error| anyhow!("{error}"))?;
    let info = metainfo.info;
    let files: Vec<_> =
        info.files.iter().filter(|file| !file.padding).map(|file| &file.disk_path).collect();
    let total = info.files.iter().filter(|file| !file.padding).map(|file| file.len).sum::<u64>();
    let total = total * (folders.len() as u64 + 1);

    let bar = progress::bar("check", total);
    bar.set_message("hashing every copy");
    let hashed = AtomicU64::new(0);
    let hash = |path: &Path| {
        hash_file(path, |len| bar.set_position(hashed.fetch_add(len, Ordering::Relaxed) + len))
    };
    let beside_source = source.parent().unwrap_or(source);
    let mut originals = Vec::new();
    for path in &files {
        let path = beside_source.join(path.iter().collect::<PathBuf>());
        originals.push(hash(&path).with_context(|| path.display().to_string())?);
    }
    let read_before = hashed.load(Ordering::Relaxed);
    let wrong = thread::scope(|scope| {
        let checks: Vec<_> = folders
            .iter()
            .map(|folder| {
                scope.spawn(|| {
                    let copies =
                        files.iter().map(|path| folder.join(path.iter().collect::<PathBuf>()));
                    let pairs = copies.zip(&originals);
                    let wrong =
                        pairs.filter(|(copy, original)| hash(copy).ok() != Some(**original));
                    wrong.map(|(copy, _)| copy).collect::<Vec<_>>()
                })
            })
            .collect();
        checks
            .into_iter()
            .flat_map(|check| check.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    });
    progress::remove(&bar);
    let bytes = hashed.load(Ordering::Relaxed) - read_before;
    Ok(Comparison { files: files.len(), bytes, wrong })
}

fn hash_file(path: &Path, mut progress: impl FnMut(u64)) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_LEN];
    loop {
        let len = file.read(&mut chunk)?;
        if len == 0 {
            return Ok(hasher.finalize().into());
        }
        hasher.update(&chunk[..len]);
        progress(len as u64);
    }
}

/// Bytes of a file, or of all files below a folder.
///
/// # Errors
/// When it cannot be read.
pub fn size_of(path: &Path) -> io::Result<u64> {
    let mut total = 0;
    let mut open = vec![(path.to_owned(), 0)];
    while let Some((path, depth)) = open.pop() {
        let metadata = fs::metadata(&path)?;
        if metadata.is_file() {
            total += metadata.len();
        } else if depth < DEPTH_MAX {
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                if !entry.file_type()?.is_symlink() {
                    open.push((entry.path(), depth + 1));
                }
            }
        }
    }
    Ok(total)
}
