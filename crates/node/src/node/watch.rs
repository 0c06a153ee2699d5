//! A folder in which .torrent and .magnet files are found and added. A file that was taken in is
//! renamed: `.added`, or `.failed` if it makes no sense.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bittorrent::metainfo::MAX_METAINFO_LEN;

use super::add::{AddRequest, AddSource, parse_source};
use super::{Node, NodeError};

/// It is looked into once in so many looks at the node.
pub(super) const TICKS: u32 = 4;
/// Files that are looked at in one go.
const FILES_MAX: usize = 1_000;

/// Files that were seen and may still be written to: their lengths and times.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: BTreeMap<PathBuf, (u64, Option<SystemTime>)>,
    failed: bool,
}

impl Node {
    /// Adds what has come and has not changed since the last look.
    pub(super) fn look_into_watch_dir(&self, watch: &mut Watch) {
        let dir = self.config().transfers.watch_dir;
        if dir.as_os_str().is_empty() {
            return;
        }
        let found = match find(&dir) {
            Ok(found) => found,
            Err(error) => {
                if !std::mem::replace(&mut watch.failed, true) {
                    let why = format!("{} cannot be watched: {error}", dir.display());
                    tracing::warn!("{why}");
                    self.notice("error", why, None);
                }
                return;
            }
        };
        watch.failed = false;
        let before = std::mem::replace(&mut watch.seen, found);
        let settled: Vec<PathBuf> = watch
            .seen
            .iter()
            .filter(|(path, stamp)| before.get(*path) == Some(*stamp))
            .map(|(path, _)| path.clone())
            .collect();
        for path in settled {
            self.take_in_file(&path);
        }
    }

    fn take_in_file(&self, path: &Path) {
        let name = path.display();
        let ending = match self.add_file(path) {
            Ok(()) => "added",
            Err(error) => {
                tracing::warn!(path = %name, %error, "a file in the watched folder is not added");
                self.notice("error", format!("{name} cannot be added: {error}"), None);
                "failed"
            }
        };
        let mut renamed = path.as_os_str().to_owned();
        renamed.push(".");
        renamed.push(ending);
        if let Err(error) = fs::rename(path, &renamed) {
            // It is looked at again, and is then here already.
            tracing::warn!(path = %name, %error, "a file in the watched folder cannot be renamed");
        }
    }

    fn add_file(&self, path: &Path) -> Result<(), NodeError> {
        let mut bytes = Vec::new();
        let read = fs::File::open(path)
            .and_then(|file| file.take(MAX_METAINFO_LEN as u64 + 1).read_to_end(&mut bytes));
        read.map_err(|source| NodeError::File { path: path.to_owned(), source })?;
        let source = if path.extension().is_some_and(|ending| ending == "magnet") {
            parse_source(&String::from_utf8_lossy(&bytes))
        } else {
            AddSource::from_bytes(&bytes)
        };
        let source = source.map_err(|error| NodeError::Invalid(error.to_string()))?;
        let paused = !self.config().transfers.start_added;
        match self.add(AddRequest { paused, ..AddRequest::new(source) }) {
            Ok(_) | Err(NodeError::Duplicate(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Files in `dir` that may be added. Links are not followed.
fn find(dir: &Path) -> std::io::Result<BTreeMap<PathBuf, (u64, Option<SystemTime>)>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if !matches!(ending, Some("torrent" | "magnet")) || found.len() >= FILES_MAX {
            continue;
        }
        // One that vanished between two calls is nobody's loss.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_file() {
            found.insert(path, (metadata.len(), metadata.modified().ok()));
        }
    }
    Ok(found)
}
