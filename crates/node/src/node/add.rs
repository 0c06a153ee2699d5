//! Adding transfers, starting and stopping them, and starting again what ran before.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};

use bittorrent::id::InfoHashes;
use bittorrent::magnet::{Magnet, MagnetError};
use bittorrent::metainfo::{Info, MAX_METAINFO_LEN, Metainfo, MetainfoError};
use net::session::{AddTorrent, Earlier, Source};
use net::store::Journal;

use super::transfers::{Entry, Transfers, id_of};
use super::{Node, NodeError, lock, moves, rename, unix_now};
use crate::paths;
use crate::record::{Priority, Record, Rules};
use crate::view::Transfer;

/// What a transfer is added by.
#[derive(Clone, Debug)]
pub enum AddSource {
    /// A magnet link.
    Magnet(Box<Magnet>),
    /// A metainfo file.
    Metainfo(Box<Metainfo>),
}

/// Why a source cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Neither a magnet link nor an infohash.
    #[error("neither a magnet link nor an infohash")]
    Unknown,
    /// A malformed magnet link.
    #[error(transparent)]
    Magnet(#[from] MagnetError),
    /// A malformed metainfo file.
    #[error("not a usable torrent: {0}")]
    Metainfo(#[from] MetainfoError),
    /// More than a metainfo file may have.
    #[error("too large for a torrent: more than {MAX_METAINFO_LEN} bytes")]
    TooLarge,
}

impl AddSource {
    /// Reads a metainfo file.
    ///
    /// # Errors
    /// When it is malformed or too large.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SourceError> {
        if bytes.len() > MAX_METAINFO_LEN {
            return Err(SourceError::TooLarge);
        }
        Ok(Self::Metainfo(Box::new(Metainfo::parse(bytes)?)))
    }

    pub(super) fn hashes(&self) -> InfoHashes {
        match self {
            Self::Magnet(magnet) => magnet.hashes,
            Self::Metainfo(metainfo) => metainfo.info.hashes,
        }
    }
}

/// Reads a magnet link, or an infohash of 40 or 64 hexadecimal digits, which stands for one.
///
/// # Errors
/// When it is neither, or malformed.
pub fn parse_source(text: &str) -> Result<AddSource, SourceError> {
    let text = text.trim();
    let hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let link = match (text.len(), hexadecimal) {
        (40, true) => format!("magnet:?xt=urn:btih:{text}"),
        // A multihash: function 0x12 (SHA-256), 0x20 bytes long (BEP 52).
        (64, true) => format!("magnet:?xt=urn:btmh:1220{text}"),
        _ if text.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("magnet:?")) => {
            text.to_owned()
        }
        _ => return Err(SourceError::Unknown),
    };
    Ok(AddSource::Magnet(Box::new(Magnet::parse(&link)?)))
}

/// A transfer to add.
#[derive(Clone, Debug)]
pub struct AddRequest {
    /// What it is.
    pub source: AddSource,
    /// The folder for its files; `None` is the usual one.
    pub dir: Option<PathBuf>,
    /// Do nothing until it is resumed.
    pub paused: bool,
    /// Fetch from the beginning to the end.
    pub sequential: bool,
    /// Indices of the files to fetch; `None` is all.
    pub selection: Option<Vec<usize>>,
    /// Words of the user's.
    pub labels: Vec<String>,
    /// Trackers beyond those of the source.
    pub trackers: Vec<String>,
    /// Peers to dial.
    pub peers: Vec<SocketAddr>,
}

impl AddRequest {
    /// All of a torrent into the usual folder, at once.
    #[must_use]
    pub fn new(source: AddSource) -> Self {
        Self {
            source,
            dir: None,
            paused: false,
            sequential: false,
            selection: None,
            labels: Vec::new(),
            trackers: Vec::new(),
            peers: Vec::new(),
        }
    }
}

impl Node {
    /// Adds a transfer and begins it. When this returns, it is remembered.
    ///
    /// # Errors
    /// When it is here already, its folder is not allowed, or it cannot be remembered. That it
    /// cannot begin shows in its state.
    pub fn add(&self, request: AddRequest) -> Result<Transfer, NodeError> {
        let config = self.config().transfers;
        let dir = request.dir.unwrap_or_else(|| config.download_dir.clone());
        let dir = paths::beneath(&dir, &config.allowed()).ok_or(NodeError::Forbidden(dir))?;
        let mut record = Record {
            dir,
            paused: request.paused,
            rules: Rules {
                sequential: request.sequential,
                labels: request.labels,
                ..Rules::default()
            },
            trackers: request.trackers,
            peers: request.peers,
            ..Record::default()
        };
        match (&request.source, request.selection) {
            (AddSource::Metainfo(metainfo), Some(only)) => {
                select(&mut record, &metainfo.info, &only);
            }
            (AddSource::Magnet(_), only @ Some(_)) => record.only = only,
            (AddSource::Magnet(magnet), None) if !magnet.select_only.is_empty() => {
                let ranges = magnet.select_only.iter().take(MAGNET_FILES_MAX);
                let files = ranges.flat_map(|&(from, to)| from..=to).take(MAGNET_FILES_MAX);
                record.only = Some(files.collect());
            }
            (_, None) => {}
        }
        self.insert(request.source, record)
    }

    /// The transfer of this torrent, if there is one.
    pub(super) fn known_torrent(&self, source: &AddSource) -> Option<String> {
        known(&self.lock_transfers(), &source.hashes())
    }

    /// Takes a transfer in, remembers it and starts it unless it is paused.
    pub(super) fn insert(
        &self,
        source: AddSource,
        mut record: Record,
    ) -> Result<Transfer, NodeError> {
        self.session()?;
        let hashes = source.hashes();
        let id = id_of(&hashes).ok_or_else(|| NodeError::Invalid("it has no infohash".into()))?;
        record.added = unix_now();
        let torrent_file = match source {
            AddSource::Magnet(magnet) => {
                record.name.clone_from(&magnet.name);
                record.magnet = Some(magnet.to_string());
                // Once its metainfo is known, the link is not read again.
                record.peers.extend(&magnet.peers);
                None
            }
            AddSource::Metainfo(metainfo) => {
                record.name = Some(metainfo.info.name.clone());
                see_info(&mut record, &metainfo.info);
                Some(metainfo.to_bytes())
            }
        };
        let paused = record.paused;
        let record = {
            let mut transfers = self.lock_transfers();
            if let Some(other) = known(&transfers, &hashes) {
                return Err(NodeError::Duplicate(other));
            }
            let mut entry = Entry::new(record, hashes, torrent_file.is_some());
            entry.unwritten.clone_from(&torrent_file);
            transfers.insert(id.clone(), entry);
            transfers.get(&id).map(|entry| entry.record.clone()).unwrap_or_default()
        };
        let saved = match &torrent_file {
            Some(bytes) => self.state.save_torrent(&id, bytes),
            None => Ok(()),
        };
        if let Err(error) = saved.and_then(|()| self.state.save(&id, &record)) {
            self.lock_transfers().remove(&id);
            return Err(error.into());
        }
        self.with(&id, |entry| entry.unwritten = None)?;
        if !paused {
            self.begin(&id)?;
        }
        self.get(&id)
    }

    /// Starts every transfer that is not paused.
    pub(super) fn resume_all(&self) {
        let ids: Vec<String> = {
            let transfers = self.lock_transfers();
            let running = transfers.iter().filter(|(_, entry)| !entry.record.paused);
            running.map(|(id, _)| id.clone()).collect()
        };
        for id in ids {
            if self.ends_within(Duration::ZERO) {
                return;
            }
            if let Err(error) = self.begin_unless_paused(&id) {
                tracing::error!(%id, %error, "a transfer cannot begin");
            }
        }
    }

    fn begin_unless_paused(&self, id: &str) -> Result<(), NodeError> {
        // It may have been removed meanwhile.
        let Ok(turn) = self.turn(id) else { return Ok(()) };
        let _turn = lock(&turn);
        let paused = self.lock_transfers().get(id).is_none_or(|entry| entry.record.paused);
        if paused { Ok(()) } else { self.begin_in_turn(id) }
    }

    /// The turn to start, stop or move a transfer. While its files are on their way to another disk
    /// there is none.
    pub(super) fn turn(&self, id: &str) -> Result<Arc<Mutex<()>>, NodeError> {
        if self.with(id, |entry| entry.moving.is_some())? {
            let why = "its files are on their way to another folder: wait until they are there";
            return Err(NodeError::Conflict(why.to_owned()));
        }
        self.turn_of(id)
    }

    /// The turn, even of one whose files are on their way.
    pub(super) fn turn_of(&self, id: &str) -> Result<Arc<Mutex<()>>, NodeError> {
        let transfers = self.lock_transfers();
        let entry = transfers.get(id).ok_or_else(|| NodeError::NotFound(id.to_owned()))?;
        Ok(entry.turn.clone())
    }

    /// Hands a transfer to the session, if it is not there. Why it cannot begin becomes its state.
    pub(super) fn begin(&self, id: &str) -> Result<(), NodeError> {
        let turn = self.turn(id)?;
        let _turn = lock(&turn);
        self.begin_in_turn(id)
    }

    pub(super) fn begin_in_turn(&self, id: &str) -> Result<(), NodeError> {
        let (record, hashes) = {
            let transfers = self.lock_transfers();
            let entry = transfers.get(id).ok_or_else(|| NodeError::NotFound(id.to_owned()))?;
            if entry.torrent.is_some() {
                return Ok(());
            }
            (entry.record.clone(), entry.hashes)
        };
        if !self.has_its_turn(id) {
            return self.with(id, |entry| {
                entry.queued = true;
                entry.error = None;
            });
        }
        let record = match &record.moving_from {
            Some(from) if moves::are_apart(&from.dir, &record.dir) => {
                return self.move_later(id, None);
            }
            _ => match self.finish_move(id, record) {
                Ok(record) => record,
                Err(error) => return self.with(id, |entry| entry.error = Some(error.to_string())),
            },
        };
        let begun =
            self.options(id, &record, hashes).and_then(|add| Ok(self.session()?.add(add)?));
        let mut torrent = None;
        if let Some(entry) = self.lock_transfers().get_mut(id) {
            entry.queued = false;
            entry.moved = Instant::now();
            match begun {
                Ok(begun) => {
                    (entry.torrent, entry.error) = (Some(begun.clone()), None);
                    torrent = Some(begun);
                }
                Err(error) => entry.error = Some(error.to_string()),
            }
        }
        // What the session told of it before it was known here went unheard.
        if let Some(stats) = torrent.and_then(|torrent| torrent.stats()) {
            self.heed(id, stats);
        }
        Ok(())
    }

    /// How the session is to take part.
    fn options(
        &self,
        id: &str,
        record: &Record,
        hashes: InfoHashes,
    ) -> Result<AddTorrent, NodeError> {
        let config = self.config();
        let stored = self.state.torrent(id)?.map(|bytes| Metainfo::parse(&bytes));
        let source = match (stored, &record.magnet) {
            (Some(Ok(mut metainfo)), _) => {
                rename::put(&mut metainfo, &record.renames);
                if let Some(list) = &record.tracker_list {
                    metainfo.trackers = list.iter().map(|url| vec![url.clone()]).collect();
                }
                Source::Metainfo(Box::new(metainfo))
            }
            (_, Some(link)) => {
                let magnet = Magnet::parse(link);
                let mut magnet = magnet.map_err(|error| NodeError::Invalid(error.to_string()))?;
                if let Some(list) = &record.tracker_list {
                    magnet.trackers.clone_from(list);
                }
                Source::Magnet(Box::new(magnet))
            }
            (Some(Err(error)), None) => return Err(NodeError::Invalid(error.to_string())),
            (None, None) => {
                return Err(NodeError::Invalid(format!("no metainfo is stored for {id}")));
            }
        };
        let (mut selection, mut trusted) = (record.only.clone(), false);
        if let Source::Metainfo(metainfo) = &source {
            selection = record.selection(metainfo.info.files.len());
            trusted = record.published
                && !record.stamps.is_empty()
                && stamps(&metainfo.info, &record.dir) == record.stamps;
        }
        let state_dir = self.began_with.node.state_dir.join("journals");
        std::fs::create_dir_all(&state_dir)
            .map_err(|source| NodeError::File { path: state_dir.clone(), source })?;
        tracing::debug!(hash = ?hashes.primary(), trusted, "a transfer begins");
        Ok(AddTorrent {
            selection,
            trusted,
            read_only: record.published,
            state_dir: Some(state_dir),
            sequential: record.rules.sequential,
            trackers: record.trackers.clone(),
            peers: record.peers.clone(),
            seed_until: config.transfers.seed_until(record),
            earlier: Earlier {
                uploaded: record.uploaded,
                seeding: Duration::from_secs(record.seeding_time),
            },
            limits: config.transfers.torrent_limits(record),
            priorities: record.levels(),
            ..AddTorrent::new(source, record.dir.clone())
        })
    }

    /// Takes a transfer out of the session; it stays in the table.
    pub(super) fn end_in_turn(&self, id: &str) -> Result<(), NodeError> {
        let torrent = {
            let transfers = self.lock_transfers();
            let entry = transfers.get(id).ok_or_else(|| NodeError::NotFound(id.to_owned()))?;
            entry.torrent.clone()
        };
        let Some(torrent) = torrent else { return Ok(()) };
        let last = torrent.stats();
        self.session()?.remove(&torrent);
        if let Some(entry) = self.lock_transfers().get_mut(id) {
            if let Some(stats) = last {
                entry.keep_peers(&stats);
                entry.see(stats);
            }
            entry.left();
        }
        Ok(())
    }

    /// Removes what is known of verified pieces, so that all is hashed again.
    pub(super) fn forget_journal(&self, hashes: &InfoHashes) -> Result<(), NodeError> {
        let folder = self.began_with.node.state_dir.join("journals");
        let path = Journal::path_in(&folder, hashes);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(NodeError::File { path, source })
            }
            _ => Ok(()),
        }
    }
}

/// Files that a magnet link may choose.
const MAGNET_FILES_MAX: usize = 100_000;

/// Wants only the files in `only`.
pub(super) fn select(record: &mut Record, info: &Info, only: &[usize]) {
    for (index, file) in info.files.iter().enumerate() {
        if !file.padding && !only.contains(&index) {
            record.priorities.push((index, Priority::Skip));
        }
    }
}

/// Writes down what is known of a torrent before anything is checked.
fn see_info(record: &mut Record, info: &Info) {
    let files = info.files.iter().filter(|file| !file.padding);
    (record.seen.files, record.seen.bytes_total) =
        files.fold((0, 0), |(count, sum), file| (count + 1, sum + file.len));
    record.seen.bytes_wanted = record.seen.bytes_total;
    record.seen.pieces_total = info.piece_count();
    record.seen.private = info.private;
}

/// What takes part in this torrent already: a transfer, or a fetch that is under way.
fn known(transfers: &Transfers, hashes: &InfoHashes) -> Option<String> {
    let mut entries = transfers.iter().map(|(id, entry)| (id, entry.hashes));
    let mut fetches =
        transfers.fetches.iter().filter_map(|(id, fetch)| Some((id, fetch.torrent()?)));
    let is = |(_, other): &(&String, InfoHashes)| same(other, hashes);
    let found = entries.find(is).or_else(|| fetches.find(is));
    found.map(|(id, _)| id.clone())
}

/// Whether two torrents would meet the same peers.
fn same(one: &InfoHashes, other: &InfoHashes) -> bool {
    (one.v1.is_some() && one.v1 == other.v1) || (one.v2.is_some() && one.v2 == other.v2)
}

/// Size and time of last change of each file of a torrent, as they are on disk.
pub(super) fn stamps(info: &Info, dir: &Path) -> Vec<(u64, i64)> {
    let files = info.files.iter().filter(|file| !file.padding);
    let stamp = |file: &bittorrent::metainfo::File| {
        let path = dir.join(file.disk_path.iter().collect::<PathBuf>());
        let metadata = std::fs::metadata(path).ok()?;
        let since = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some((metadata.len(), i64::try_from(since.as_nanos()).ok()?))
    };
    // A file that is not there makes the whole differ from what was remembered.
    files.map(|file| stamp(file).unwrap_or((0, -1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infohashes_and_links_are_sources_and_nothing_else_is() {
        let (v1, v2) = ("ab".repeat(20), "CD".repeat(32));
        for (text, good) in [
            (v1.clone(), true),
            (v2, true),
            (format!(" magnet:?xt=urn:btih:{v1}\n"), true),
            ("magnet:?dn=x".to_owned(), false),
            ("http://example.org/x.torrent".to_owned(), false),
            (String::new(), false),
            ("ééééééé".to_owned(), false),
        ] {
            assert_eq!(parse_source(&text).is_ok(), good, "{text}");
        }
    }
}
