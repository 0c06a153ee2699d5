//! Transfers that are no torrents: what a search found in another network, and that network brings.

mod work;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bittorrent::id::InfoHashes;
use bittorrent::magnet::Magnet;
use bittorrent::metainfo::Metainfo;
use bittorrent::metainfo::path::sanitize;
use net::session::Progress;
use url::form_urlencoded;

use super::{AddRequest, AddSource, Node, NodeError, lock, parse_source, unix_now};
use crate::fetch::{Brought, Fetcher, Places, Wanted, WantedTorrent};
use crate::paths;
use crate::record::Record;
use crate::search::{ContentId, SearchResult};
use crate::view::{State, Transfer};
use work::Work;

/// Fetches that are kept.
const FETCHES_MAX: usize = 1_000;
/// What ids begin with.
const ID: &str = "fetch-";
/// How long after a failure it is tried again: the first time, and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(1800));
/// What a file is called in its folder.
const WHOLE: &str = "whole";
/// Files of one name, told apart by a number.
const SAME_NAME_MAX: u32 = 1_000;

/// What a network brings.
#[derive(Debug)]
pub(super) struct Fetch {
    record: Record,
    state: State,
    error: Option<String>,
    brought: Brought,
    /// Bytes per second.
    rate: u64,
    /// Tells its thread to stop.
    stop: Arc<AtomicBool>,
    /// Held by its thread: there is one at a time.
    turn: Arc<Mutex<()>>,
    /// When it is tried again, and how long that was waited for.
    retry: Option<(Instant, Duration)>,
    pub(super) told: Option<Transfer>,
}

impl Fetch {
    pub(super) fn new(record: Record) -> Self {
        let state = match (record.completed, record.paused) {
            (Some(_), _) => State::Finished,
            (None, true) => State::Paused,
            (None, false) => State::Queued,
        };
        let have = if record.completed.is_some() { record.seen.bytes_total } else { 0 };
        Self {
            state,
            error: None,
            brought: Brought { have: have.max(record.seen.bytes_have), sources: 0 },
            rate: 0,
            stop: Arc::default(),
            turn: Arc::default(),
            retry: None,
            told: None,
            record,
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn rate(&self) -> u64 {
        self.rate
    }

    /// The torrent in which it takes part until it is whole.
    pub(super) fn torrent(&self) -> Option<InfoHashes> {
        let found = self.record.found.as_ref().filter(|_| self.state != State::Finished)?;
        Some(Magnet::parse(&found.torrent.as_ref()?.link).ok()?.hashes)
    }

    /// Where its file is, or will be.
    fn path(&self) -> PathBuf {
        self.record.dir.join(self.record.name.as_deref().unwrap_or_default())
    }

    /// The folder in which it comes: beside where it will be, so that it need not be copied.
    fn folder(&self, id: &str) -> PathBuf {
        self.record.dir.join(format!(".shoal-{id}"))
    }

    pub(super) fn view(&self, id: &str) -> Transfer {
        let record = &self.record;
        let bytes = record.seen.bytes_total;
        let left = bytes.saturating_sub(self.brought.have);
        Transfer {
            id: id.to_owned(),
            number: record.number,
            name: record.name.clone(),
            network: record.found.as_ref().map(|wanted| wanted.network.clone()),
            state: self.state,
            progress: Progress {
                error: self.error.clone(),
                bytes_wanted: bytes,
                bytes_have: self.brought.have,
                downloaded: self.brought.have,
                download_rate: self.rate,
                ..Progress::default()
            },
            bytes_total: bytes,
            eta: (self.rate > 0).then(|| left as f64 / self.rate as f64),
            peers_connected: self.brought.sources,
            added: record.added,
            completed: record.completed,
            dir: record.dir.clone(),
            files: 1,
            ..Transfer::default()
        }
    }
}

impl Node {
    /// Lets a network bring what its [`Finder`](crate::Finder) found. What was being fetched from it
    /// goes on.
    pub fn add_fetcher(&self, fetcher: Arc<dyn Fetcher>) {
        lock(&self.fetchers).push(fetcher);
    }

    /// The network of this name, if it brings what it finds.
    pub(super) fn fetcher(&self, network: &str) -> Option<Arc<dyn Fetcher>> {
        lock(&self.fetchers).iter().find(|fetcher| fetcher.network() == network).cloned()
    }

    /// Fetches what a search found, into `dir` or the usual folder. With a SHA-1 all networks that have
    /// it bring it at once, and the torrent that it is, too; else it is fetched by its infohash, or
    /// from the networks that found it: when one cannot, the next.
    ///
    /// # Errors
    /// When it is here already, no network that found it brings files, the folder is not allowed,
    /// or it cannot be remembered.
    pub fn fetch_found(
        &self,
        found: &SearchResult,
        dir: Option<PathBuf>,
    ) -> Result<Transfer, NodeError> {
        let content = &found.content;
        let infohash = content.infohash_v1.as_ref().or(content.infohash_v2.as_ref());
        let torrent = infohash.map(|hash| parse_source(hash));
        let torrent = torrent.transpose().map_err(|why| NodeError::Invalid(why.to_string()))?;
        self.fetch_with(found, torrent, false, dir)
    }

    /// The same, with the torrent that it is, if that is known, and whether that is certain.
    fn fetch_with(
        &self,
        found: &SearchResult,
        torrent: Option<AddSource>,
        is_certain: bool,
        dir: Option<PathBuf>,
    ) -> Result<Transfer, NodeError> {
        self.session()?;
        let (mut content, mut link) = (found.content.clone(), None);
        if let Some(mut source) = torrent {
            if let Some(id) = self.known_torrent(&source) {
                return Err(NodeError::Duplicate(id));
            }
            let hashes = source.hashes();
            content.insist(&ContentId {
                infohash_v1: hashes.v1.map(|hash| hash.to_string()),
                infohash_v2: hashes.v2.map(|hash| hash.to_string()),
                ..ContentId::default()
            });
            if let AddSource::Magnet(magnet) = &mut source {
                magnet.name.get_or_insert_with(|| found.name.clone());
                link = Some(magnet.to_string());
            }
            let others = found.found.iter().filter_map(|place| self.fetcher(&place.network));
            let mut others = others.filter(|fetcher| fetcher.contributor().is_some());
            if content.sha1.is_none() || others.next().is_none() {
                return self.add(AddRequest { dir, ..AddRequest::new(source) });
            }
        }
        if found.found.iter().any(|place| place.network == "library") {
            return Err(NodeError::Conflict("it is in your library already".to_owned()));
        }
        let mut networks: Vec<Places> = Vec::new();
        for place in &found.found {
            let (network, id) = (place.network.clone(), place.id.clone());
            match networks.iter_mut().find(|places| places.network == network) {
                Some(places) => places.ids.push(id),
                None => networks.push(Places { network, ids: vec![id] }),
            }
        }
        let names: Vec<_> = networks.iter().map(|places| places.network.clone()).collect();
        networks.retain(|places| self.fetcher(&places.network).is_some());
        // The one with most places first.
        networks.sort_by_key(|places| std::cmp::Reverse(places.ids.len()));
        let mut networks = networks.into_iter();
        let Some(first) = networks.next() else {
            return Err(NodeError::CannotFetch(names.join(", ")));
        };
        let wanted = Wanted {
            network: first.network,
            name: found.name.clone(),
            length: found.length,
            content,
            ids: first.ids,
            others: networks.collect(),
            torrent: link.map(|link| WantedTorrent { link, is_certain }),
        };
        let config = self.config().transfers;
        let dir = dir.unwrap_or_else(|| config.download_dir.clone());
        let dir = paths::beneath(&dir, &config.allowed()).ok_or(NodeError::Forbidden(dir))?;
        let (id, record) = {
            let mut transfers = self.lock_transfers();
            if transfers.fetches.len() >= FETCHES_MAX {
                return Err(NodeError::Conflict("too much is being fetched already".to_owned()));
            }
            let same = |(id, fetch): (&String, &Fetch)| {
                let is = fetch.record.found.as_ref() == Some(&wanted);
                (is && fetch.record.dir == dir).then(|| id.clone())
            };
            if let Some(id) = transfers.fetches.iter().find_map(same) {
                return Err(NodeError::Duplicate(id));
            }
            let taken = transfers.fetches.values().map(Fetch::path).collect();
            let name = free_name(&dir, &wanted.name, &taken)?;
            let mut record = Record {
                number: transfers.next_number(),
                name: Some(name),
                dir,
                added: unix_now(),
                ..Record::default()
            };
            (record.seen.bytes_total, record.seen.files) = (wanted.length, 1);
            record.found = Some(wanted);
            let id = format!("{ID}{}", record.number);
            transfers.fetches.insert(id.clone(), Fetch::new(record.clone()));
            (id, record)
        };
        if let Err(error) = self.state.save(&id, &record) {
            self.lock_transfers().fetches.remove(&id);
            return Err(error.into());
        }
        self.begin_fetch(&id);
        self.get(&id)
    }

    /// Fetches what a URN or a magnet link names, once somebody who has it is found. A link that names
    /// a torrent, too, is fetched as that if nobody else has it.
    ///
    /// # Errors
    /// When it names nothing, nobody who can be asked has it, or as [`Node::fetch_found`].
    pub fn fetch_link(&self, link: &str, dir: Option<PathBuf>) -> Result<Transfer, NodeError> {
        let content = ContentId::parse(link);
        let torrent = match parse_source(link) {
            Ok(source) => Some(source),
            // It need not name one.
            Err(_) if content.is_some() => None,
            Err(why) => return Err(NodeError::Invalid(why.to_string())),
        };
        if let Some(id) = torrent.as_ref().and_then(|torrent| self.known_torrent(torrent)) {
            return Err(NodeError::Duplicate(id));
        }
        let found = content.as_ref().map(|content| self.locate(content)).transpose()?.flatten();
        match (found, torrent) {
            (Some(mut found), torrent) => {
                // What was asked for is what is verified, whatever strangers say beside it.
                content.iter().for_each(|content| found.content.insist(content));
                if let Some(name) = name_in(link) {
                    found.name = name;
                }
                self.fetch_with(&found, torrent, true, dir)
            }
            (None, Some(torrent)) => self.add(AddRequest { dir, ..AddRequest::new(torrent) }),
            (None, None) => {
                Err(NodeError::Conflict("nobody who can be asked has it now".to_owned()))
            }
        }
    }

    /// What is being fetched, by id.
    pub(super) fn contents_of_fetches(&self) -> HashMap<String, ContentId> {
        let transfers = self.lock_transfers();
        let content = |(id, fetch): (&String, &Fetch)| {
            Some((id.clone(), fetch.record.found.as_ref()?.content.clone()))
        };
        transfers.fetches.iter().filter_map(content).collect()
    }

    /// Begins what waits for its first or next try.
    pub(super) fn serve_fetches(&self) {
        let waits = |(id, fetch): (&String, &Fetch)| {
            let due = match fetch.retry {
                Some((at, _)) => fetch.state == State::Failed && at <= Instant::now(),
                None => fetch.state == State::Queued,
            };
            due.then(|| id.clone())
        };
        let due: Vec<String> = self.lock_transfers().fetches.iter().filter_map(waits).collect();
        due.iter().for_each(|id| self.begin_fetch(id));
    }

    fn begin_fetch(&self, id: &str) {
        let mut transfers = self.lock_transfers();
        let Some(fetch) = transfers.fetches.get_mut(id) else { return };
        let Some(wanted) = fetch.record.found.clone() else { return };
        fetch.stop = Arc::default();
        (fetch.state, fetch.error) = (State::Downloading, None);
        let work = Work {
            node: self.me.clone(),
            id: id.to_owned(),
            folder: fetch.folder(id),
            stop: fetch.stop.clone(),
            turn: fetch.turn.clone(),
            wanted,
        };
        drop(transfers);
        let begun = std::thread::Builder::new().name("shoal-fetch".into());
        if let Err(error) = begun.spawn(move || work.run()) {
            self.end_fetch(id, Err(error.to_string()));
        }
    }

    /// Something else is known of what is being fetched.
    fn want(&self, id: &str, wanted: &Wanted) {
        let record = {
            let mut transfers = self.lock_transfers();
            let Some(fetch) = transfers.fetches.get_mut(id) else { return };
            fetch.record.found = Some(wanted.clone());
            fetch.record.clone()
        };
        if let Err(error) = self.state.save(id, &record) {
            tracing::error!(%id, %error, "what is known of it cannot be written down");
        }
    }

    /// How a try ended, and the torrent that the file is, if that is known; what was stopped is left as
    /// it is.
    fn end_fetch(&self, id: &str, ended: Result<Option<Arc<Metainfo>>, String>) {
        let put = |torrent: &Option<Arc<Metainfo>>| {
            let name = torrent.as_ref().map(|torrent| torrent.info.name.as_str());
            self.put_in_place(id, name).map_err(|why| why.to_string())
        };
        let ended = ended.and_then(|torrent| put(&torrent).map(|()| torrent));
        let (name, record) = {
            let mut transfers = self.lock_transfers();
            let Some(fetch) = transfers.fetches.get_mut(id) else { return };
            (fetch.rate, fetch.brought.sources) = (0, 0);
            match &ended {
                Ok(_) => {
                    fetch.state = State::Finished;
                    fetch.record.completed = Some(unix_now());
                    fetch.brought.have = fetch.record.seen.bytes_total;
                }
                Err(why) => {
                    let waited = fetch.retry.map_or(RETRY.0, |(_, waited)| waited * 2).min(RETRY.1);
                    fetch.retry = Some((Instant::now() + waited, waited));
                    (fetch.state, fetch.error) = (State::Failed, Some(why.clone()));
                }
            }
            fetch.record.seen.bytes_have = fetch.brought.have;
            (fetch.record.name.clone().unwrap_or_default(), fetch.record.clone())
        };
        if let Err(error) = self.state.save(id, &record) {
            tracing::error!(%id, %error, "how far it is cannot be written down");
        }
        match ended {
            Ok(torrent) => {
                self.notice("info", format!("{name} is complete"), Some(id.to_owned()));
                if let Some(torrent) = torrent
                    && let Err(error) = self.become_torrent(id, torrent)
                {
                    tracing::warn!(%id, %error, "it is not shared as a torrent");
                }
            }
            Err(why) => tracing::warn!(%id, %why, "it cannot be fetched now"),
        }
    }

    /// What was fetched is shared on as the torrent that it is, which takes its place.
    fn become_torrent(&self, id: &str, torrent: Arc<Metainfo>) -> Result<(), NodeError> {
        let (name, dir) = {
            let transfers = self.lock_transfers();
            let Some(fetch) = transfers.fetches.get(id) else { return Ok(()) };
            (fetch.record.name.clone(), fetch.record.dir.clone())
        };
        let path = |path: &[String]| path.iter().collect::<PathBuf>();
        let is_there =
            torrent.info.files.iter().any(|file| {
                name.as_ref().is_some_and(|name| path(&file.disk_path) == Path::new(name))
            });
        if !is_there {
            return Err(NodeError::Conflict("its name there was taken".to_owned()));
        }
        let source = AddSource::Metainfo(Box::new(Metainfo::clone(&torrent)));
        let transfer = self.add(AddRequest { dir: Some(dir), ..AddRequest::new(source) })?;
        self.state.remove(id)?;
        let mut transfers = self.lock_transfers();
        transfers.fetches.remove(id);
        transfers.removed.push(id.to_owned());
        transfers.becomes(id, transfer.id);
        Ok(())
    }

    /// Gives a file that is whole its name: this one, or as it was found.
    fn put_in_place(&self, id: &str, name: Option<&str>) -> Result<(), NodeError> {
        let mut transfers = self.lock_transfers();
        let Some(fetch) = transfers.fetches.get(id) else { return Ok(()) };
        let others = transfers.fetches.iter().filter(|(other, _)| *other != id);
        let taken = others.map(|(_, fetch)| fetch.path()).collect();
        let (dir, folder) = (fetch.record.dir.clone(), fetch.folder(id));
        // Something may have taken the name meanwhile.
        let name = name.or(fetch.record.name.as_deref()).unwrap_or_default();
        let name = free_name(&dir, name, &taken)?;
        let (from, to) = (folder.join(WHOLE), dir.join(&name));
        let failed = |source| NodeError::File { path: to.clone(), source };
        let bytes = std::fs::metadata(&from).map_err(failed)?.len();
        std::fs::rename(&from, &to).map_err(failed)?;
        if let Some(fetch) = transfers.fetches.get_mut(id) {
            (fetch.record.name, fetch.record.seen.bytes_total) = (Some(name), bytes);
        }
        drop(transfers);
        if let Err(error) = std::fs::remove_dir_all(&folder) {
            tracing::warn!(path = %folder.display(), %error, "it cannot be deleted");
        }
        Ok(())
    }

    /// Stops a fetch until it is resumed.
    pub(super) fn pause_fetch(
        &self,
        id: &str,
        paused: bool,
    ) -> Result<Option<Transfer>, NodeError> {
        let record = {
            let mut transfers = self.lock_transfers();
            let Some(fetch) = transfers.fetches.get_mut(id) else { return Ok(None) };
            if fetch.state == State::Finished {
                return Ok(Some(fetch.view(id)));
            }
            if paused || fetch.state != State::Downloading {
                fetch.stop.store(true, Ordering::Relaxed);
                (fetch.rate, fetch.brought.sources, fetch.error) = (0, 0, None);
                (fetch.retry, fetch.record.paused) = (None, paused);
                fetch.state = if paused { State::Paused } else { State::Queued };
            }
            fetch.record.clone()
        };
        self.state.save(id, &record)?;
        if !paused {
            self.serve_fetches();
        }
        self.get(id).map(Some)
    }

    /// Removes a fetch, and what it has brought if `data` says so; says whether there was one.
    pub(super) fn remove_fetch(&self, id: &str, data: bool) -> Result<bool, NodeError> {
        let (path, folder, turn) = {
            let transfers = self.lock_transfers();
            let Some(fetch) = transfers.fetches.get(id) else { return Ok(false) };
            fetch.stop.store(true, Ordering::Relaxed);
            let whole = fetch.record.completed.is_some().then(|| fetch.path());
            (whole, fetch.folder(id), fetch.turn.clone())
        };
        self.state.remove(id)?;
        {
            let mut transfers = self.lock_transfers();
            transfers.fetches.remove(id);
            transfers.removed.push(id.to_owned());
        }
        // Its thread may be writing still.
        let _turn = lock(&turn);
        let gone = |path: PathBuf, deleted: std::io::Result<()>| match deleted {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(NodeError::File { path, source })
            }
            _ => Ok(()),
        };
        gone(folder.clone(), std::fs::remove_dir_all(&folder))?;
        match path.filter(|_| data) {
            Some(path) => gone(path.clone(), std::fs::remove_file(&path)).map(|()| true),
            None => Ok(true),
        }
    }

    /// Why a transfer of this id cannot do what torrents do.
    pub(super) fn not_a_torrent(&self, id: &str) -> NodeError {
        let transfers = self.lock_transfers();
        if transfers.fetches.contains_key(id) {
            let why = "it is no torrent: it can be paused, resumed and removed";
            return NodeError::Conflict(why.to_owned());
        }
        if transfers.hashing.contains_key(id) {
            let why = "it is being hashed: wait until that is done";
            return NodeError::Conflict(why.to_owned());
        }
        NodeError::NotFound(id.to_owned())
    }
}

/// What a magnet link calls its file.
fn name_in(link: &str) -> Option<String> {
    let (_, pairs) = link.split_once('?')?;
    let mut pairs = form_urlencoded::parse(pairs.as_bytes());
    pairs.find(|(key, name)| key == "dn" && !name.is_empty()).map(|(_, name)| name.into_owned())
}

/// A name for a file called `name` by a stranger that nothing in `dir` has.
fn free_name(dir: &Path, name: &str, taken: &HashSet<PathBuf>) -> Result<String, NodeError> {
    let name = sanitize(name, "fetched");
    let (stem, end) = match name.rsplit_once('.') {
        Some((stem, end)) if !stem.is_empty() => (stem, format!(".{end}")),
        _ => (name.as_str(), String::new()),
    };
    let numbered = (2..SAME_NAME_MAX).map(|number| format!("{stem} ({number}){end}"));
    let free = |name: &String| {
        let path = dir.join(name);
        !taken.contains(&path) && path.symlink_metadata().is_err()
    };
    let mut names = std::iter::once(name.clone()).chain(numbered);
    names.find(free).ok_or_else(|| NodeError::Conflict(format!("{name} is there already")))
}
