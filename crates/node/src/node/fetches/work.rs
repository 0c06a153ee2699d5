//! One try to bring what is fetched: which networks take part, together or one after the other, and what
//! is told of how far it is. What becomes of it is the table's, one level up.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use bittorrent::metainfo::Metainfo;

use super::WHOLE;
use crate::fetch::{Brought, Fetcher, NotBrought, TorrentPart, Wanted, WantedTorrent, together};
use crate::node::{Node, lock};

/// Over how long a rate is counted.
const RATE_TIME: Duration = Duration::from_secs(1);
/// The folder in which a torrent's files come.
const TORRENT: &str = "torrent";

/// One try, on a thread of its own.
pub(super) struct Work {
    pub(super) node: Weak<Node>,
    pub(super) id: String,
    pub(super) wanted: Wanted,
    pub(super) folder: PathBuf,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) turn: Arc<Mutex<()>>,
}

impl Work {
    pub(super) fn run(self) {
        let _turn = lock(&self.turn);
        let is_over = |node: &Node| self.stop.load(Ordering::Relaxed) || node.is_ending();
        let (mut since, mut before, mut rate) = (Instant::now(), None, 0);
        let mut tell = |brought: Brought| {
            let Some(node) = self.node.upgrade().filter(|node| !is_over(node)) else {
                return ControlFlow::Break(());
            };
            let earlier = *before.get_or_insert(brought.have);
            if since.elapsed() >= RATE_TIME {
                let more = brought.have.saturating_sub(earlier);
                rate = (more as f64 / since.elapsed().as_secs_f64()) as u64;
                (since, before) = (Instant::now(), Some(brought.have));
            }
            if let Some(fetch) = node.lock_transfers().fetches.get_mut(&self.id) {
                if brought.have > fetch.brought.have {
                    fetch.retry = None;
                }
                (fetch.brought, fetch.rate) = (brought, rate);
            }
            ControlFlow::Continue(())
        };
        let ended = self.bring(&mut tell);
        if let Some(node) = self.node.upgrade().filter(|node| !is_over(node)) {
            node.end_fetch(&self.id, ended);
        }
    }

    /// Brings it; returns the torrent that it is, if that is known.
    fn bring(
        &self,
        tell: &mut dyn FnMut(Brought) -> ControlFlow<()>,
    ) -> Result<Option<Arc<Metainfo>>, String> {
        std::fs::create_dir_all(&self.folder)
            .map_err(|error| format!("{}: {error}", self.folder.display()))?;
        let whole = self.folder.join(WHOLE);
        // It may have been whole when the node was killed.
        if whole.is_file() {
            return Ok(None);
        }
        let mut why = Vec::new();
        let fetchers =
            self.node.upgrade().map(|node| lock(&node.fetchers).clone()).unwrap_or_default();
        let contributes = |wanted: &Wanted| {
            let mut fetchers = fetchers.iter().filter(|one| one.contributor().is_some());
            wanted.content.sha1.is_some()
                && fetchers.any(|fetcher| fetcher.network() == wanted.network)
        };
        let (together, alone): (Vec<_>, Vec<_>) =
            self.wanted.of_each_network().partition(contributes);
        if !together.is_empty() {
            match self.bring_together(&fetchers, &whole, tell) {
                Ok(torrent) => return Ok(torrent),
                Err(error) => why.push(error),
            }
        }
        for wanted in alone {
            let network = &wanted.network;
            let fetcher = fetchers.iter().find(|fetcher| fetcher.network() == network);
            let Some(fetcher) = fetcher else {
                why.push(format!("{network} is not there to bring it"));
                continue;
            };
            // What another network has begun is not for this one to go on with.
            let is_first = *network == self.wanted.network;
            let folder =
                if is_first { self.folder.clone() } else { self.folder.join(fetcher.network()) };
            let to = folder.join(WHOLE);
            let brought = std::fs::create_dir_all(&folder).map_err(|error| error.to_string());
            let brought = brought.and_then(|()| fetcher.fetch(&wanted, &to, tell));
            match brought {
                Ok(()) if to == whole || !to.is_file() => return Ok(None),
                Ok(()) => {
                    let renamed = std::fs::rename(&to, &whole).map(|()| None);
                    return renamed.map_err(|error| error.to_string());
                }
                Err(error) => why.push(error),
            }
        }
        Err(why.join("; "))
    }

    /// Lets all who can bring it do so at once; some find out for themselves who has it.
    fn bring_together(
        &self,
        fetchers: &[Arc<dyn Fetcher>],
        whole: &Path,
        tell: &mut dyn FnMut(Brought) -> ControlFlow<()>,
    ) -> Result<Option<Arc<Metainfo>>, String> {
        let mut wanted = self.wanted.clone();
        loop {
            let part = |one: &Arc<dyn Fetcher>| wanted.of_network(one.network());
            let parts = fetchers.iter().filter_map(|one| Some((part(one), one.contributor()?)));
            let (mut parts, mut why): (Vec<_>, Vec<_>) = (parts.collect(), Vec::new());
            let torrent = wanted.torrent.as_ref().map(|torrent| self.torrent(torrent));
            let torrent = torrent.transpose().unwrap_or_else(|error| {
                why.push(error);
                None
            });
            if let Some(torrent) = &torrent {
                let places = Wanted { ids: Vec::new(), others: Vec::new(), ..wanted.clone() };
                parts.push((places, torrent));
            }
            let brought = together(&parts, whole, tell);
            drop(parts);
            match brought {
                Ok(()) => return Ok(torrent.and_then(|torrent| torrent.metainfo())),
                Err(NotBrought::Corrupt)
                    if wanted.torrent.is_some() || wanted.content.tth.is_some() => {}
                Err(error) => {
                    why.push(error.to_string());
                    return Err(why.join("; "));
                }
            }
            // What strangers said beside its SHA-1 was false.
            (wanted.torrent, wanted.content.tth) = (None, None);
            if let Some(node) = self.node.upgrade() {
                node.want(&self.id, &wanted);
            }
        }
    }

    /// Takes part in the torrent that it is.
    fn torrent(&self, wanted: &WantedTorrent) -> Result<TorrentPart, String> {
        let session = self.node.upgrade().ok_or("the node has ended")?.session();
        let session = session.map_err(|error| error.to_string())?;
        TorrentPart::begin(&session, wanted, self.wanted.length, self.folder.join(TORRENT))
    }
}
