//! A torrent as one of those that bring a file, in a folder of its own beside the file, for as long as
//! that takes. What it brings and what it leaves to others is `net::download`'s.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bittorrent::magnet::Magnet;
use bittorrent::metainfo::Metainfo;
use net::download::{Download, Hashes, TorrentError, TorrentFile};
use net::session::{AddTorrent, Session, Source, Torrent};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::{Contributor, Pending, Wanted, WantedTorrent};

/// How long the others wait until it is known what the torrent is: its pieces verify what they bring.
const METADATA_TIME: Duration = Duration::from_secs(5);

/// A torrent while a file is fetched; it leaves the session with this.
#[derive(Debug)]
pub(crate) struct TorrentPart {
    torrent: Torrent,
    length: u64,
    is_certain: bool,
    file: OnceCell<TorrentFile>,
}

impl TorrentPart {
    /// Takes part in a torrent that has a file of `length` bytes, with its files in `dir`.
    ///
    /// # Errors
    /// In words, when it is in the session already, or is none.
    pub(crate) fn begin(
        session: &Session,
        wanted: &WantedTorrent,
        length: u64,
        dir: PathBuf,
    ) -> Result<Self, String> {
        let magnet = Magnet::parse(&wanted.link).map_err(|error| error.to_string())?;
        std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let add =
            AddTorrent { hold: true, ..AddTorrent::new(Source::Magnet(Box::new(magnet)), dir) };
        let torrent = session.add(add).map_err(|error| error.to_string())?;
        Ok(Self { torrent, length, is_certain: wanted.is_certain, file: OnceCell::new() })
    }

    /// The torrent, if it is the file and nothing else, not even a folder, once that is known.
    pub(crate) fn metainfo(&self) -> Option<Arc<Metainfo>> {
        let metainfo = self.file.get().and_then(|_| self.torrent.metainfo())?;
        Some(metainfo).filter(|metainfo| metainfo.info.single_file)
    }

    async fn file(&self) -> Result<&TorrentFile, TorrentError> {
        self.file.get_or_try_init(|| TorrentFile::open(&self.torrent, self.length)).await
    }
}

impl Drop for TorrentPart {
    fn drop(&mut self) {
        self.torrent.remove();
    }
}

impl Contributor for TorrentPart {
    fn hashes<'a>(&'a self, _: &'a Wanted) -> Pending<'a, Option<Hashes>> {
        Box::pin(async {
            if !self.is_certain {
                return None;
            }
            let hashes = async { self.file().await.ok()?.hashes().await };
            timeout(METADATA_TIME, hashes).await.ok()?
        })
    }

    fn contribute<'a>(
        &'a self,
        _: &'a Wanted,
        download: &'a Download,
    ) -> Pending<'a, Result<(), String>> {
        let brought = async {
            // Others may bring all before anybody says what the torrent is.
            let file = tokio::select! {
                file = self.file() => file?,
                () = download.completed() => return Ok(()),
            };
            tokio::select! {
                brought = file.bring(download, self.is_certain) => brought.map(drop),
                // What others have brought is not for it to judge.
                () = download.completed(), if !self.is_certain => Ok(()),
            }
        };
        Box::pin(async { brought.await.map_err(|error: TorrentError| error.to_string()) })
    }
}
