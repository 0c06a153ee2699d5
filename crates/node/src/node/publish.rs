//! Publishing files of the user's: they are hashed on a thread of their own, and become a transfer
//! that never writes them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use net::create::{CreateOptions, Kind, create};
use net::session::Progress;

use super::add::{AddSource, stamps};
use super::{Node, NodeError};
use crate::paths;
use crate::record::{Record, Rules};
use crate::view::{State, Transfer};

/// Files that may be hashed at once.
const HASHING_MAX: usize = 16;

/// How to publish.
#[derive(Clone, Debug, Default)]
pub struct PublishOptions {
    /// v1, v2 or both.
    pub kind: Kind,
    /// Bytes of a piece; `None` goes by the size of the whole.
    pub piece_length: Option<u32>,
    /// Peers come from the trackers alone.
    pub private: bool,
    /// Free text.
    pub comment: Option<String>,
    /// Trackers, each a tier of its own.
    pub trackers: Vec<String>,
    /// Words of the user's.
    pub labels: Vec<String>,
}

impl Node {
    /// Begins to publish the file or folder at `path`, and returns a provisional transfer in the
    /// state `hashing`. When all is hashed, the real one takes its place; until the node ends
    /// [`Self::real_id`] leads from the one to the other.
    ///
    /// # Errors
    /// When the path is in no folder from which files may be published, is hidden, or is not there.
    pub fn publish_path(
        self: &Arc<Self>,
        path: &Path,
        options: PublishOptions,
    ) -> Result<Transfer, NodeError> {
        self.session()?;
        let roots = self.config().transfers.publish_roots;
        let real = paths::beneath(path, &roots).filter(|real| !is_hidden(real, &roots));
        let path = real.ok_or_else(|| NodeError::Forbidden(path.to_owned()))?;
        let metadata = std::fs::metadata(&path)
            .map_err(|source| NodeError::File { path: path.clone(), source })?;
        let dir = path.parent().unwrap_or(&path).to_owned();
        let transfer = {
            let mut transfers = self.lock_transfers();
            if transfers.hashing.len() >= HASHING_MAX {
                return Err(NodeError::Conflict("too much is being hashed already".to_owned()));
            }
            let number = transfers.next_number();
            let transfer = Transfer {
                id: format!("publish-{number}"),
                number,
                name: path.file_name().map(|name| name.to_string_lossy().into_owned()),
                state: State::Hashing,
                progress: Progress {
                    bytes_checked: Some(0),
                    bytes_wanted: metadata.len(),
                    ..Progress::default()
                },
                bytes_total: metadata.len(),
                added: super::unix_now(),
                published: true,
                dir,
                ..Transfer::default()
            };
            transfers.hashing.insert(transfer.id.clone(), transfer.clone());
            transfer
        };
        let work = Work { node: Arc::downgrade(self), id: transfer.id.clone(), path, options };
        let begun =
            std::thread::Builder::new().name("shoal-publish".into()).spawn(move || work.run());
        if let Err(error) = begun {
            self.lock_transfers().hashing.remove(&transfer.id);
            return Err(NodeError::Session(net::session::SessionError::Start(error)));
        }
        Ok(transfer)
    }
}

/// Whether a part of `path` below the root that allows it begins with a dot: keys and settings of
/// programs live there.
pub(super) fn is_hidden(path: &Path, roots: &[PathBuf]) -> bool {
    let hidden = |below: &Path| {
        below.components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."))
    };
    let roots = roots.iter().filter_map(|root| root.canonicalize().ok());
    let mut below = roots.filter_map(|root| path.strip_prefix(root).ok().map(Path::to_owned));
    below.all(|below| hidden(&below))
}

struct Work {
    node: Weak<Node>,
    id: String,
    path: PathBuf,
    options: PublishOptions,
}

impl Work {
    fn run(self) {
        let made = self.make();
        let Some(node) = self.node.upgrade() else { return };
        {
            let mut transfers = node.lock_transfers();
            transfers.hashing.remove(&self.id);
            transfers.removed.push(self.id.clone());
            if let Ok(transfer) = &made {
                transfers.becomes(&self.id, transfer.id.clone());
            }
        }
        let name = self.path.display();
        match made {
            Ok(transfer) => {
                tracing::info!(path = %name, id = %transfer.id, "published");
                node.notice("info", format!("{name} is published"), Some(transfer.id));
            }
            Err(why) => {
                tracing::error!(path = %name, %why, "cannot be published");
                node.notice("error", format!("{name} cannot be published: {why}"), None);
            }
        }
    }

    fn make(&self) -> Result<Transfer, String> {
        let options = CreateOptions {
            kind: self.options.kind,
            piece_len: self.options.piece_length,
            private: self.options.private,
            comment: self.options.comment.clone(),
            trackers: self.options.trackers.iter().map(|url| vec![url.clone()]).collect(),
            created_by: Some(net::CLIENT.to_owned()),
            ..CreateOptions::default()
        };
        let progress = |hashed: u64, total: u64| {
            let Some(node) = self.node.upgrade() else { return };
            if let Some(transfer) = node.lock_transfers().hashing.get_mut(&self.id) {
                transfer.progress.bytes_checked = Some(hashed);
                transfer.bytes_total = total;
                transfer.progress.bytes_wanted = total;
            }
        };
        let metainfo =
            create(&self.path, &options, &progress).map_err(|error| error.to_string())?;
        let dir = self.path.parent().unwrap_or(&self.path).to_owned();
        let record = Record {
            stamps: stamps(&metainfo.info, &dir),
            published: true,
            rules: Rules { labels: self.options.labels.clone(), ..Rules::default() },
            dir,
            ..Record::default()
        };
        let node = self.node.upgrade().ok_or("the node has ended")?;
        let source = AddSource::Metainfo(Box::new(metainfo));
        node.insert(source, record).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_folders_are_not_published_unless_they_are_named() {
        let home = tempfile::tempdir().expect("a folder");
        let home = home.path().canonicalize().expect("real");
        std::fs::create_dir(home.join(".keys")).expect("made");
        let roots = [home.clone()];
        assert!(!is_hidden(&home.join("films/one"), &roots));
        assert!(is_hidden(&home.join(".keys/id"), &roots));
        assert!(is_hidden(&home.join("a/.b/c"), &roots));
        let roots = [home.clone(), home.join(".keys")];
        assert!(!is_hidden(&home.join(".keys/id"), &roots));
    }
}
