//! A network shares what the library shares: files that come are published, files that go are
//! withdrawn. Hashes are the library's, but that of a torrent, which the node offers now. How a network
//! is told is its own to say, by [`Shares`].

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::torrents::{Offered, Torrents};
use crate::library::{FileQuery, LIST_MAX, Library, LibraryError, LibraryFile};

/// Most files that are shared in one network: their tables and servers have no room for more.
const SHARED_MAX: usize = 20_000;
/// Between two looks at the library.
const PAUSE: Duration = Duration::from_secs(1);
/// After so many looks without a change everything is compared all the same: a name may have changed.
const ANYWAY: u32 = 30;

/// What the node has to share.
#[derive(Debug)]
pub(crate) struct Holdings {
    /// Files.
    pub(crate) library: Weak<Library>,
    /// Which files can be had as torrents, too.
    pub(crate) torrents: Arc<Torrents>,
}

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

    /// Says by which torrent (BEP 3) a file that is shared can be had too, or that it cannot any
    /// more. Most networks have no word for it.
    fn name_torrent(&self, _: &Shared, _: Option<[u8; 20]>) {}
}

/// A file that a network was told of.
struct Told {
    file: Shared,
    /// The torrent that was named.
    torrent: Option<[u8; 20]>,
}

/// All of those, by hash.
type AllTold = BTreeMap<[u8; 20], Told>;

/// Shares what is in the library, on a thread of its own, until the network or the library ends.
pub(super) fn share<N: Shares>(
    network: Weak<N>,
    holdings: Holdings,
    ended: Receiver<()>,
) -> io::Result<()> {
    let run = move || {
        let (mut told, mut last, mut quiet) = (AllTold::new(), None, 0);
        let mut named = Arc::default();
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(PAUSE) {
            let (Some(network), Some(library)) = (network.upgrade(), holdings.library.upgrade())
            else {
                return;
            };
            let status = library.status();
            quiet += 1;
            let is_due = last.as_ref() != Some(&status) || quiet >= ANYWAY;
            if is_due {
                quiet = 0;
                update(&*network, &library, &mut told);
                last = Some(status);
            }
            let offered = holdings.torrents.offered();
            if is_due || !Arc::ptr_eq(&named, &offered) {
                name(&*network, &offered, &mut told);
                named = offered;
            }
        }
    };
    std::thread::Builder::new().name("shoal-shares".into()).spawn(run).map(drop)
}

/// Makes what is shared what is in the library.
fn update(network: &impl Shares, library: &Library, told: &mut AllTold) {
    let files = match files(library) {
        Ok(files) => files,
        Err(error) => return tracing::warn!(%error, "what the library has is not known"),
    };
    told.retain(|sha1, Told { file, .. }| {
        let stays = files.get(sha1) == Some(&*file);
        if !stays {
            network.withdraw(file);
        }
        stays
    });
    for (sha1, file) in files {
        if told.contains_key(&sha1) {
            continue;
        }
        match network.publish(&file) {
            Ok(()) => {
                told.insert(sha1, Told { file, torrent: None });
            }
            Err(error) => tracing::debug!(path = %file.path.display(), %error, "not shared"),
        }
    }
}

/// Makes what is said of torrents what is offered.
fn name(network: &impl Shares, offered: &Offered, told: &mut AllTold) {
    for Told { file, torrent } in told.values_mut() {
        let now = offered.get(&file.path).filter(|torrent| torrent.length == file.length);
        let now = now.map(|torrent| torrent.infohash_v1);
        if *torrent != now {
            *torrent = now;
            network.name_torrent(file, now);
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::torrents::FileTorrent;
    use super::*;

    /// A network that remembers which torrents it was told of.
    #[derive(Default)]
    struct Named(Mutex<Vec<Option<[u8; 20]>>>);

    impl Shares for Named {
        fn publish(&self, _: &Shared) -> Result<(), String> {
            Ok(())
        }

        fn withdraw(&self, _: &Shared) {}

        fn name_torrent(&self, _: &Shared, infohash: Option<[u8; 20]>) {
            super::super::lock(&self.0).push(infohash);
        }
    }

    #[test]
    fn a_network_is_told_of_a_torrent_when_that_changes_and_is_of_the_same_file() {
        let file = Shared {
            path: PathBuf::from("/shared/reef"),
            inside: "reef".to_owned(),
            name: "reef".to_owned(),
            length: 7,
            sha1: [1; 20],
            tiger: None,
        };
        let offer = |path: &str, infohash, length| {
            let torrent = FileTorrent { infohash_v1: [infohash; 20], length };
            Offered::from([(PathBuf::from(path), torrent)])
        };
        let mut told = AllTold::from([(file.sha1, Told { file, torrent: None })]);
        let network = Named::default();
        for offered in [
            offer("/other/reef", 2, 7),
            // What the library has there is not what the torrent is of.
            offer("/shared/reef", 3, 8),
            offer("/shared/reef", 4, 7),
            offer("/shared/reef", 4, 7),
            offer("/shared/reef", 5, 7),
            Offered::new(),
            Offered::new(),
        ] {
            name(&network, &offered, &mut told);
        }
        let heard = super::super::lock(&network.0).clone();
        assert_eq!(heard, [Some([4; 20]), Some([5; 20]), None]);
    }
}
