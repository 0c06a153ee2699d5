//! The servent shares what the library shares: files that come are published, files that go are not
//! any more. Hashes are the library's.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Weak;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use net::gnutella::{Sha1, SharedFile, TigerRoot};

use super::Running;
use crate::library::{FileQuery, LIST_MAX, Library, LibraryFile};

/// Most files that are shared: a table of words has no room for more.
const SHARED_MAX: usize = 20_000;
/// Between two looks at the library.
const PAUSE: Duration = Duration::from_secs(1);
/// After so long without a change the library is looked at all the same: a name may have changed.
const ANYWAY: u32 = 30;

/// Shares what is in the library, on a thread of its own, until the servent or the library ends.
pub(super) fn share(
    running: Weak<Running>,
    library: Weak<Library>,
    ended: Receiver<()>,
) -> io::Result<()> {
    let run = move || {
        let (mut shared, mut last, mut quiet) = (BTreeMap::new(), None, 0);
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(PAUSE) {
            let (Some(running), Some(library)) = (running.upgrade(), library.upgrade()) else {
                return;
            };
            let status = library.status();
            quiet += 1;
            if last.as_ref() != Some(&status) || quiet >= ANYWAY {
                quiet = 0;
                update(&running, &library, &mut shared);
                last = Some(status);
            }
        }
    };
    std::thread::Builder::new().name("shoal-shares".into()).spawn(run).map(drop)
}

/// Makes what is shared what is in the library.
fn update(
    running: &Running,
    library: &Library,
    shared: &mut BTreeMap<[u8; 20], (PathBuf, String)>,
) {
    let files = match files(library) {
        Ok(files) => files,
        Err(error) => return tracing::warn!(%error, "what the library has is not known"),
    };
    let gone: Vec<[u8; 20]> =
        shared.keys().filter(|sha1| !files.contains_key(*sha1)).copied().collect();
    for sha1 in gone {
        shared.remove(&sha1);
        running.handle.block_on(running.node.unpublish(Sha1(sha1)));
    }
    for (sha1, (path, file)) in files {
        let is = (path, file.name.clone());
        if shared.get(&sha1) == Some(&is) {
            continue;
        }
        match running.handle.block_on(running.node.publish_known(&is.0, file)) {
            Ok(()) => {
                shared.insert(sha1, is);
            }
            Err(error) => tracing::debug!(path = %is.0.display(), %error, "not shared"),
        }
    }
}

/// Files that are hashed, by hash.
fn files(
    library: &Library,
) -> Result<BTreeMap<[u8; 20], (PathBuf, SharedFile)>, crate::LibraryError> {
    let folders: HashMap<u32, PathBuf> =
        library.status().folders.into_iter().map(|folder| (folder.id, folder.path)).collect();
    let (mut files, mut offset) = (BTreeMap::new(), 0);
    loop {
        let query = FileQuery { offset, limit: Some(LIST_MAX), ..FileQuery::default() };
        let page = library.files(&query)?.files;
        offset += page.len();
        let is_last = page.len() < LIST_MAX;
        for file in page {
            let Some(folder) = folders.get(&file.folder) else { continue };
            let Some((sha1, shared)) = described(&file) else { continue };
            if files.len() >= SHARED_MAX {
                return Ok(files);
            }
            files.insert(sha1, (folder.join(&file.path), shared));
        }
        if is_last {
            return Ok(files);
        }
    }
}

fn described(file: &LibraryFile) -> Option<([u8; 20], SharedFile)> {
    let sha1 = codec::hex::decode::<20>(file.sha1.as_ref()?)?;
    let tree = file.tth.as_ref().and_then(|tth| codec::base32::decode(tth)?.try_into().ok());
    let tree = tree.map(TigerRoot);
    Some((sha1, SharedFile { name: file.name.clone(), len: file.length, sha1: Sha1(sha1), tree }))
}
