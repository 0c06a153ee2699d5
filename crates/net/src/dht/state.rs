//! What a node keeps from one run to the next: its id, and whom it knew. A file of text lines.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use machine::dht::Key;

/// Most nodes that are kept.
const NODES_MAX: usize = 200;
/// Longest file that is read, in bytes.
const FILE_MAX: u64 = 64 * 1024;

/// Why a state cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", .path.display())]
pub struct StateError {
    path: PathBuf,
    error: io::Error,
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// The node's id.
    pub id: Option<Key>,
    /// Nodes to begin with.
    pub nodes: Vec<SocketAddr>,
}

/// The file of one node. As long as it is open no other process can open it.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    /// Its lock is what counts.
    _lock: File,
}

impl StateFile {
    /// Opens the state at `path`, with what is in it; `None` if another process has it open.
    ///
    /// # Errors
    /// If the file or its folder cannot be made or read.
    pub fn open(path: &Path) -> Result<Option<(Self, Saved)>, StateError> {
        let failed = |error| StateError { path: path.to_owned(), error };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        // The file itself is replaced at every save.
        let lock = path.with_extension("lock");
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).open(lock).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
        let saved = Saved::read(path).map_err(failed)?;
        Ok(Some((Self { path: path.to_owned(), _lock: lock }, saved)))
    }

    /// Replaces what is kept.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, state: &Saved) -> Result<(), StateError> {
        let failed = |error| StateError { path: self.path.clone(), error };
        let new = self.path.with_extension("new");
        let mut file = File::create(&new).map_err(failed)?;
        file.write_all(state.to_text().as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&new, &self.path).map_err(failed)
    }
}

impl Saved {
    /// What is kept at `path`, whoever has it open; nothing, if there is no such file.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(file) => file.take(FILE_MAX).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        Ok(Self::from_text(&String::from_utf8_lossy(&bytes)))
    }

    /// Lines that are not understood are passed over: knowing fewer nodes does no harm.
    fn from_text(text: &str) -> Self {
        let mut saved = Self::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("id", id)) => saved.id = codec::hex::decode(id).map(Key),
                Some(("node", node)) if saved.nodes.len() < NODES_MAX => {
                    saved.nodes.extend(node.parse::<SocketAddr>().ok());
                }
                _ => {}
            }
        }
        saved
    }

    fn to_text(&self) -> String {
        let id = self.id.iter().map(|id| format!("id {id}\n"));
        let nodes = self.nodes.iter().take(NODES_MAX).map(|node| format!("node {node}\n"));
        id.chain(nodes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_comes_back_and_has_one_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/state");
        let (file, empty) = StateFile::open(&path).expect("made").expect("nobody has it");
        assert_eq!(empty, Saved::default());
        assert!(StateFile::open(&path).expect("readable").is_none(), "locked");
        let nodes = ["127.0.0.1:6881", "[::1]:7"].map(|node| node.parse().expect("an address"));
        let saved = Saved { id: Some(Key::new(1, 2)), nodes: nodes.to_vec() };
        file.save(&saved).expect("saved");
        assert_eq!(Saved::read(&path).expect("readable"), saved);
        drop(file);
        let (_file, again) = StateFile::open(&path).expect("readable").expect("free again");
        assert_eq!(again, saved);
    }

    #[test]
    fn nonsense_is_passed_over() {
        let text = "id 12\nnode x\nnode 127.0.0.1:1\n\nother 3\nnode \u{fffd}\n";
        let saved = Saved::from_text(text);
        assert_eq!((saved.id, saved.nodes.len()), (None, 1));
        let many: String = (0..10_000).map(|n| format!("node 127.0.0.1:{}\n", n + 1)).collect();
        assert_eq!(Saved::from_text(&many).nodes.len(), NODES_MAX);
    }
}
