//! A network shares what the library shares: files that come are published, files that go are
//! withdrawn. Hashes are the library's. How a network is told is its own to say, by [`Shares`].

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Weak;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::library::{FileQuery, LIST_MAX, Library, LibraryError, LibraryFile};

/// Most files that are shared in one network: their tables and servers have no room for more.
const SHARED_MAX: usize = 20_000;
/// Between two looks at the library.
const PAUSE: Duration = Duration::from_secs(1);
/// After so many looks without a change everything is compared all the same: a name may have changed.
const ANYWAY: u32 = 30;

/// A file of the library that is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shared {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Where it is below its folder, with `/` between names.
    pub(super) inside: String,
    /// Its name.
    pub(super) name: String,
    /// Bytes.
    pub(super) length: u64,
    /// SHA-1 of the whole.
    pub(super) sha1: [u8; 20],
    /// Root of its Tiger tree.
    pub(super) tiger: Option<[u8; 24]>,
}

impl Shared {
    /// What the library knows of a file, once that is hashed.
    fn of(folder: &std::path::Path, file: LibraryFile) -> Option<Self> {
        let sha1 = codec::hex::decode::<20>(file.sha1?)?;
        let tiger = file.tth.and_then(|tth| codec::base32::decode(&tth)?.try_into().ok());
        let path = folder.join(&file.path);
        let (inside, name, length) = (file.path, file.name, file.length);
        Some(Self { path, inside, name, length, sha1, tiger })
    }
}

/// A network in which files are shared. Each content is shared once.
pub(super) trait Shares: Send + Sync + 'static {
    /// Shares a file.
    ///
    /// # Errors
    /// In words, when it cannot be shared. It is tried again.
    fn publish(&self, file: &Shared) -> Result<(), String>;

    /// Shares a file no longer.
    fn withdraw(&self, file: &Shared);
}

/// Shares what is in the library, on a thread of its own, until the network or the library ends.
pub(super) fn share<N: Shares>(
    network: Weak<N>,
    library: Weak<Library>,
    ended: Receiver<()>,
) -> io::Result<()> {
    let run = move || {
        let (mut shared, mut last, mut quiet) = (BTreeMap::new(), None, 0);
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(PAUSE) {
            let (Some(network), Some(library)) = (network.upgrade(), library.upgrade()) else {
                return;
            };
            let status = library.status();
            quiet += 1;
            if last.as_ref() != Some(&status) || quiet >= ANYWAY {
                quiet = 0;
                update(&*network, &library, &mut shared);
                last = Some(status);
            }
        }
    };
    std::thread::Builder::new().name("shoal-shares".into()).spawn(run).map(drop)
}

/// Makes what is shared what is in the library.
fn update(network: &impl Shares, library: &Library, shared: &mut BTreeMap<[u8; 20], Shared>) {
    let files = match files(library) {
        Ok(files) => files,
        Err(error) => return tracing::warn!(%error, "what the library has is not known"),
    };
    shared.retain(|sha1, file| {
        let stays = files.get(sha1) == Some(file);
        if !stays {
            network.withdraw(file);
        }
        stays
    });
    for (sha1, file) in files {
        if shared.contains_key(&sha1) {
            continue;
        }
        match network.publish(&file) {
            Ok(()) => {
                shared.insert(sha1, file);
            }
            Err(error) => tracing::debug!(path = %file.path.display(), %error, "not shared"),
        }
    }
}

/// Files that are hashed, by hash.
fn files(library: &Library) -> Result<BTreeMap<[u8; 20], Shared>, LibraryError> {
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
            let Some(shared) = Shared::of(folder, file) else { continue };
            if files.len() >= SHARED_MAX {
                return Ok(files);
            }
            files.insert(shared.sha1, shared);
        }
        if is_last {
            return Ok(files);
        }
    }
}
