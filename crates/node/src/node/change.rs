//! Looking at transfers and changing them: pause, resume, check again, move, remove.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bittorrent::metainfo::{Info, Metainfo};
use net::session::{FileReader, PeerStats, TorrentStats};

use super::add::{select, stamps};
use super::files::delete_files;
use super::transfers::Entry;
use super::{Node, NodeError, lock, rename};
use crate::event::Event;
use crate::record::{Bandwidth, Place, Priority, Record};
use crate::view::{File, Peer, Pieces, Tracker, Transfer};
use crate::{mime, paths};

/// What to change of a transfer; `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Fetch from the beginning to the end.
    pub sequential: Option<bool>,
    /// Stop sharing at this ratio; the inner `None` is as the settings say.
    pub seed_ratio: Option<Option<f64>>,
    /// Stop sharing after so many seconds; the inner `None` is as the settings say.
    pub seed_time: Option<Option<u64>>,
    /// Stop sharing after so many seconds in which nobody fetched anything; the inner `None` is as
    /// the settings say.
    pub seed_idle: Option<Option<u64>>,
    /// Most bytes per second sent; the inner `None` is no limit of its own.
    pub upload_limit: Option<Option<u64>>,
    /// Most bytes per second received; the inner `None` is no limit of its own.
    pub download_limit: Option<Option<u64>>,
    /// The limits on all transfers together do not hold for it.
    pub unlimited: Option<bool>,
    /// Whether it comes before others where those limits hold.
    pub bandwidth: Option<Bandwidth>,
    /// Most connections at once; the inner `None` is as the settings say.
    pub max_connections: Option<Option<usize>>,
    /// Words of the user's.
    pub labels: Option<Vec<String>>,
    /// Its place in the queue.
    pub queue_position: Option<u64>,
    /// How much files are wanted, by index.
    pub files: Vec<(usize, Priority)>,
    /// More trackers.
    pub trackers_add: Vec<String>,
    /// Other trackers than all that it has, each a tier of its own.
    pub trackers: Option<Vec<String>>,
}

impl Node {
    /// All transfers, in the order of the queue.
    #[must_use]
    pub fn transfers(&self) -> Vec<Transfer> {
        let transfers = self.lock_transfers();
        let mut all: Vec<_> = transfers.iter().map(|(id, entry)| entry.view(id)).collect();
        all.sort_by_key(|transfer| transfer.queue_position);
        all.extend(transfers.fetches.iter().map(|(id, fetch)| fetch.view(id)));
        all.extend(transfers.hashing.values().cloned());
        all
    }

    /// The id of the transfer that `id` names: another only for one that was provisional while its
    /// files were hashed.
    #[must_use]
    pub fn real_id(&self, id: &str) -> String {
        self.lock_transfers().real(id).to_owned()
    }

    /// One transfer.
    ///
    /// # Errors
    /// When there is none of this id.
    pub fn get(&self, id: &str) -> Result<Transfer, NodeError> {
        let transfers = self.lock_transfers();
        let id = transfers.real(id);
        let view = transfers.get(id).map(|entry| entry.view(id));
        let fetched = || transfers.fetches.get(id).map(|fetch| fetch.view(id));
        let hashing = || transfers.hashing.get(id).cloned();
        view.or_else(fetched).or_else(hashing).ok_or_else(|| NodeError::NotFound(id.to_owned()))
    }

    /// Numbers of transfers that changed in any way in the last minute.
    #[must_use]
    pub fn changed_lately(&self) -> Vec<u64> {
        self.lock_transfers().changed_lately()
    }

    /// Numbers of transfers that were removed in the last minute.
    #[must_use]
    pub fn removed_lately(&self) -> Vec<u64> {
        self.lock_transfers().removed_lately()
    }

    /// The id of the transfer with this number.
    #[must_use]
    pub fn id_of_number(&self, number: u64) -> Option<String> {
        let transfers = self.lock_transfers();
        let found = transfers.iter().find(|(_, entry)| entry.record.number == number);
        found.map(|(id, _)| id.clone())
    }

    /// Seconds in which a transfer was fetched, and in which it was complete and offered.
    ///
    /// # Errors
    /// When there is none of this id.
    pub fn times(&self, id: &str) -> Result<(u64, u64), NodeError> {
        self.with(id, |entry| {
            entry.count_time();
            (entry.record.downloading_time, entry.record.seeding_time)
        })
    }

    pub(super) fn with<T>(
        &self,
        id: &str,
        act: impl FnOnce(&mut Entry) -> T,
    ) -> Result<T, NodeError> {
        let done = self.lock_transfers().get_mut(id).map(act);
        done.ok_or_else(|| self.not_a_torrent(id))
    }

    /// Writes a transfer's record down.
    pub(super) fn save(&self, id: &str) -> Result<(), NodeError> {
        let record = self.with(id, |entry| {
            entry.unsaved = false;
            entry.record.clone()
        })?;
        Ok(self.state.save(id, &record)?)
    }

    /// Stops a transfer until it is resumed. What is verified stays.
    ///
    /// # Errors
    /// When there is none of this id, or it cannot be remembered.
    pub fn pause(&self, id: &str) -> Result<Transfer, NodeError> {
        if let Some(paused) = self.pause_fetch(id, true)? {
            return Ok(paused);
        }
        let turn = self.turn(id)?;
        let _turn = lock(&turn);
        self.end_in_turn(id)?;
        self.with(id, |entry| {
            entry.record.paused = true;
            entry.record.forced = false;
            entry.error = None;
        })?;
        self.save(id)?;
        self.get(id)
    }

    /// Starts a transfer again that was paused, or failed.
    ///
    /// # Errors
    /// When there is none of this id, or it cannot be remembered.
    pub fn resume(&self, id: &str) -> Result<Transfer, NodeError> {
        self.resume_as(id, false)
    }

    /// Starts a transfer again, past all that wait in the queue.
    ///
    /// # Errors
    /// When there is none of this id, or it cannot be remembered.
    pub fn resume_now(&self, id: &str) -> Result<Transfer, NodeError> {
        self.resume_as(id, true)
    }

    fn resume_as(&self, id: &str, forced: bool) -> Result<Transfer, NodeError> {
        if let Some(resumed) = self.pause_fetch(id, false)? {
            return Ok(resumed);
        }
        let turn = self.turn(id)?;
        let _turn = lock(&turn);
        let runs_well = self.with(id, |entry| {
            let failed = entry.state().0 == crate::view::State::Failed;
            let done = entry.state().0 == crate::view::State::Finished;
            entry.torrent.is_some() && !failed && !done && entry.record.forced >= forced
        })?;
        if !runs_well {
            self.end_in_turn(id)?;
            self.with(id, |entry| {
                entry.record.paused = false;
                entry.record.forced |= forced;
            })?;
            self.save(id)?;
            self.begin_in_turn(id)?;
        }
        self.get(id)
    }

    /// Hashes all that is on disk again. A paused transfer is started by that.
    ///
    /// # Errors
    /// When there is none of this id, or its journal cannot be removed.
    pub fn verify(&self, id: &str) -> Result<Transfer, NodeError> {
        let turn = self.turn(id)?;
        let _turn = lock(&turn);
        self.end_in_turn(id)?;
        let hashes = self.with(id, |entry| {
            entry.record.paused = false;
            entry.record.stamps.clear();
            entry.hashes
        })?;
        self.forget_journal(&hashes)?;
        self.save(id)?;
        self.begin_in_turn(id)?;
        self.get(id)
    }

    /// Asks its trackers again now.
    ///
    /// # Errors
    /// When there is none of this id.
    pub fn reannounce(&self, id: &str) -> Result<Transfer, NodeError> {
        if let Some(torrent) = self.with(id, |entry| entry.torrent.clone())? {
            torrent.reannounce();
        }
        self.get(id)
    }

    /// Tries these addresses too, now.
    ///
    /// # Errors
    /// When there is none of this id.
    pub fn add_peers(&self, id: &str, peers: Vec<std::net::SocketAddr>) -> Result<(), NodeError> {
        if let Some(torrent) = self.with(id, |entry| entry.torrent.clone())? {
            torrent.add_peers(peers);
        }
        Ok(())
    }

    /// Removes a transfer, and its files if `data` says so. The user's own files are never deleted.
    ///
    /// # Errors
    /// When there is none of this id, or files cannot be deleted.
    pub fn remove(&self, id: &str, data: bool) -> Result<(), NodeError> {
        if self.remove_fetch(id, data)? {
            return Ok(());
        }
        let turn = self.turn(id)?;
        let _turn = lock(&turn);
        let (record, hashes) = self.with(id, |entry| (entry.record.clone(), entry.hashes))?;
        if data && record.published {
            return Err(NodeError::Conflict(
                "these are your own files: remove the transfer alone, and delete them yourself"
                    .to_owned(),
            ));
        }
        let info = self.info(id).ok();
        self.end_in_turn(id)?;
        // First the record: files without a record are found by looking, a record without files
        // would fetch them again.
        self.state.remove(id)?;
        self.lock_transfers().remove(id);
        self.forget_journal(&hashes)?;
        if let (true, Some(info)) = (data, info) {
            delete_files(&info, &record.dir)?;
        }
        Ok(())
    }

    /// Moves a transfer's files to another folder. If that is on another file system it returns when
    /// it has begun: the transfer is [`State::Moving`](crate::view::State::Moving) until it is done,
    /// and a notice says how it ended.
    ///
    /// # Errors
    /// When there is none of this id, the folder is not allowed, or files cannot be moved; then
    /// they are where they were.
    pub fn move_to(&self, id: &str, dir: &Path) -> Result<Transfer, NodeError> {
        let allowed = self.config().transfers.allowed();
        let dir = paths::beneath(dir, &allowed).ok_or_else(|| NodeError::Forbidden(dir.into()))?;
        let turn = self.turn(id)?;
        let _turn = lock(&turn);
        let (from, published) =
            self.with(id, |entry| (entry.record.place(), entry.record.published))?;
        if published {
            return Err(NodeError::Conflict("your own files are not moved".to_owned()));
        }
        if from.dir != dir {
            self.replace_in_turn(id, Place { dir, renames: from.renames })?;
        }
        self.get(id)
    }

    /// Says that its files are in another folder now, where somebody has moved them.
    ///
    /// # Errors
    /// When there is none of this id, or the folder is not allowed.
    pub fn relocate(&self, id: &str, dir: &Path) -> Result<Transfer, NodeError> {
        let allowed = self.config().transfers.allowed();
        let dir = paths::beneath(dir, &allowed).ok_or_else(|| NodeError::Forbidden(dir.into()))?;
        let turn = self.turn(id)?;
        let _turn = lock(&turn);
        self.end_in_turn(id)?;
        let paused = self.with(id, |entry| {
            entry.record.dir = dir;
            entry.record.paused
        })?;
        self.save(id)?;
        if !paused {
            self.begin_in_turn(id)?;
        }
        self.get(id)
    }

    /// Changes a transfer. What the session must be told anew, it is told by leaving and joining
    /// the torrent, which keeps all that is verified.
    ///
    /// # Errors
    /// When there is none of this id, a file does not exist, or it cannot be remembered.
    pub fn change(&self, id: &str, change: Change) -> Result<Transfer, NodeError> {
        let turn = self.turn(id)?;
        let _turn = lock(&turn);
        if !change.files.is_empty() {
            let info = self.info(id)?;
            let known = |index: usize| info.files.get(index).is_some_and(|file| !file.padding);
            if let Some((index, _)) = change.files.iter().find(|(index, _)| !known(*index)) {
                return Err(NodeError::Invalid(format!("there is no file {index}")));
            }
        }
        if change.max_connections.flatten() == Some(0) {
            return Err(NodeError::Invalid("at least one connection is needed".to_owned()));
        }
        if change.seed_ratio.flatten().is_some_and(|ratio| !ratio.is_finite() || ratio < 0.0) {
            return Err(NodeError::Invalid("not a ratio such as 1.5".to_owned()));
        }
        let (begin_anew, paused) = self.with(id, |entry| {
            let before = entry.record.clone();
            apply(&mut entry.record, &change);
            entry.unsaved = true;
            let shared_enough = entry.state().0 == crate::view::State::Finished;
            let anew = must_begin_anew(&before, &entry.record)
                || (shared_enough && goals(&before) != goals(&entry.record));
            (anew, entry.record.paused)
        })?;
        if let Some(position) = change.queue_position {
            self.lock_transfers().move_in_queue(id, position);
        }
        self.save(id)?;
        if begin_anew && !paused {
            self.end_in_turn(id)?;
            self.begin_in_turn(id)?;
        } else {
            self.tell_session(id)?;
        }
        self.get(id)
    }

    /// Tells the session what it is told while a torrent runs.
    fn tell_session(&self, id: &str) -> Result<(), NodeError> {
        let (record, torrent) =
            self.with(id, |entry| (entry.record.clone(), entry.torrent.clone()))?;
        if let Some(torrent) = torrent {
            let config = self.config().transfers;
            torrent.set_limits(config.torrent_limits(&record));
            torrent.set_priorities(record.levels());
            torrent.set_seed_until(config.seed_until(&record));
        }
        Ok(())
    }

    /// Tells the session anew what of each transfer follows from the settings.
    pub(super) fn tell_settings(&self) {
        let config = self.config().transfers;
        let transfers = self.lock_transfers();
        for (_, entry) in transfers.iter() {
            if let Some(torrent) = &entry.torrent {
                torrent.set_seed_until(config.seed_until(&entry.record));
                torrent.set_limits(config.torrent_limits(&entry.record));
            }
        }
    }

    /// The metainfo of a transfer.
    ///
    /// # Errors
    /// When there is none of this id, or it is not known yet.
    pub fn metainfo(&self, id: &str) -> Result<Arc<Metainfo>, NodeError> {
        let torrent = self.with(id, |entry| entry.torrent.clone())?;
        if let Some(metainfo) = torrent.and_then(|torrent| torrent.metainfo()) {
            return Ok(metainfo);
        }
        let metainfo = Metainfo::parse(&self.torrent_file(id)?);
        let mut metainfo = metainfo.map_err(|error| NodeError::Invalid(error.to_string()))?;
        self.with(id, |entry| rename::put(&mut metainfo, &entry.record.renames))?;
        Ok(Arc::new(metainfo))
    }

    /// The metainfo of a transfer as its author wrote it.
    pub(super) fn torrent_file(&self, id: &str) -> Result<Vec<u8>, NodeError> {
        if let Some(bytes) = self.with(id, |entry| entry.unwritten.clone())? {
            return Ok(bytes);
        }
        let unknown = || NodeError::Conflict("its files are not known yet".to_owned());
        self.state.torrent(id)?.ok_or_else(unknown)
    }

    pub(super) fn info(&self, id: &str) -> Result<Arc<Info>, NodeError> {
        let seen = |entry: &mut Entry| entry.stats.as_ref()?.info.clone();
        match self.with(id, seen)? {
            Some(info) => Ok(info),
            None => Ok(self.metainfo(id)?.info.clone()),
        }
    }

    /// Its files; none while they are not known.
    ///
    /// # Errors
    /// When there is none of this id.
    pub fn files(&self, id: &str) -> Result<Vec<File>, NodeError> {
        let (record, torrent) =
            self.with(id, |entry| (entry.record.clone(), entry.torrent.clone()))?;
        let Ok(info) = self.info(id) else { return Ok(Vec::new()) };
        let have = torrent.and_then(|torrent| torrent.have());
        let complete = record.seen.pieces_have == record.seen.pieces_total;
        let files = info.files.iter().enumerate().filter(|(_, file)| !file.padding);
        let view = |(index, file): (usize, &bittorrent::metainfo::File)| {
            let path = rename::shown(&info, index, &record.renames);
            let priority = record.priority(index);
            let bytes_have = match &have {
                Some(have) => verified(&info, file, |piece| have.get(piece)),
                None if complete => file.len,
                None => 0,
            };
            let wanted = priority != Priority::Skip;
            File {
                index,
                length: file.len,
                bytes_have,
                priority,
                mime: mime::of_name(&path),
                stream: wanted.then(|| format!("/stream/{id}/{index}")),
                path,
            }
        };
        Ok(files.map(view).collect())
    }

    /// Its peers, and those that are gone.
    ///
    /// # Errors
    /// When there is none of this id.
    pub fn peers(&self, id: &str) -> Result<(Vec<Peer>, Vec<Peer>), NodeError> {
        let Some(stats) = self.stats(id)? else { return Ok((Vec::new(), Vec::new())) };
        let views = |peers: Vec<PeerStats>| peers.into_iter().map(Peer::from).collect();
        Ok((views(stats.peers), views(stats.peers_past)))
    }

    /// Its trackers.
    ///
    /// # Errors
    /// When there is none of this id.
    pub fn trackers(&self, id: &str) -> Result<Vec<Tracker>, NodeError> {
        if let Some(stats) = self.stats(id)?
            && !stats.trackers.is_empty()
        {
            return Ok(stats.trackers);
        }
        let (mut urls, list) = self
            .with(id, |entry| (entry.record.trackers.clone(), entry.record.tracker_list.clone()))?;
        let of_source = || self.metainfo(id).map(|metainfo| metainfo.trackers.concat());
        urls.splice(0..0, list.unwrap_or_else(|| of_source().unwrap_or_default()));
        let tracker = |url| Tracker { url, seeds: None, leechers: None, error: None };
        Ok(urls.into_iter().map(tracker).collect())
    }

    fn stats(&self, id: &str) -> Result<Option<TorrentStats>, NodeError> {
        let torrent = self.with(id, |entry| entry.torrent.clone())?;
        Ok(torrent.and_then(|torrent| torrent.stats()))
    }

    /// Which of its pieces are verified.
    ///
    /// # Errors
    /// When there is none of this id, or its pieces are not known.
    pub fn pieces(&self, id: &str) -> Result<Pieces, NodeError> {
        let info = self.info(id)?;
        let (torrent, seen) =
            self.with(id, |entry| (entry.torrent.clone(), entry.record.seen.clone()))?;
        let total = info.piece_count();
        let empty = || codec::bitfield::Bitfield::new(total);
        let full = || codec::bitfield::Bitfield::full(total);
        let stopped = || if seen.pieces_have == total { full() } else { empty() };
        let have = torrent.and_then(|torrent| torrent.have()).unwrap_or_else(stopped);
        Ok(Pieces {
            pieces_total: total,
            piece_length: info.piece_len,
            have: STANDARD.encode(have.to_wire()),
            availability: None,
        })
    }

    /// A reader of one of its files, and the file's path as its author wrote it.
    ///
    /// # Errors
    /// When there is no such file, it is not wanted, or the transfer is paused.
    pub fn reader(&self, id: &str, index: usize) -> Result<(FileReader, String), NodeError> {
        let info = self.info(id)?;
        let file = info.files.get(index).filter(|file| !file.padding);
        file.ok_or_else(|| NodeError::NotFound(format!("{id}, file {index}")))?;
        let (torrent, priority, path) = self.with(id, |entry| {
            let path = rename::shown(&info, index, &entry.record.renames);
            (entry.torrent.clone(), entry.record.priority(index), path)
        })?;
        if priority == Priority::Skip {
            return Err(NodeError::Conflict("this file is not wanted: choose it first".to_owned()));
        }
        let reader = torrent.and_then(|torrent| torrent.reader(index));
        let paused = || NodeError::Conflict("this transfer is paused: resume it first".to_owned());
        Ok((reader.ok_or_else(paused)?, path))
    }

    /// Metainfo has come from peers: remembers it, and what is known by it.
    pub(super) fn learned(&self, id: &str) -> Result<(), NodeError> {
        let metainfo = self.metainfo(id)?;
        let incomplete =
            metainfo.info.files.iter().zip(&metainfo.piece_layers).any(|(file, layer)| {
                file.pieces_root.is_some()
                    && file.len > u64::from(metainfo.info.piece_len)
                    && layer.is_empty()
            });
        if incomplete {
            // A later look finds the layers; until then the magnet link says all.
            return Ok(());
        }
        self.state.save_torrent(id, &metainfo.to_bytes())?;
        self.with(id, |entry| {
            entry.has_torrent_file = true;
            if let Some(only) = entry.record.only.take() {
                select(&mut entry.record, &metainfo.info, &only);
            }
            if entry.record.published {
                entry.record.stamps = stamps(&metainfo.info, &entry.record.dir);
            }
        })?;
        self.save(id)
    }

    /// Says what happened, to people.
    pub(super) fn notice(&self, level: &'static str, message: String, transfer: Option<String>) {
        self.publish(Event::Notice(Arc::new(crate::event::Notice { level, message, transfer })));
    }
}

fn apply(record: &mut Record, change: &Change) {
    if let Some(sequential) = change.sequential {
        record.sequential = sequential;
    }
    if let Some(ratio) = change.seed_ratio {
        record.seed_ratio = ratio;
    }
    if let Some(time) = change.seed_time {
        record.seed_time = time;
    }
    if let Some(time) = change.seed_idle {
        record.seed_idle = time;
    }
    if let Some(limit) = change.upload_limit {
        record.upload_limit = limit;
    }
    if let Some(limit) = change.download_limit {
        record.download_limit = limit;
    }
    if let Some(unlimited) = change.unlimited {
        record.unlimited = unlimited;
    }
    if let Some(bandwidth) = change.bandwidth {
        record.bandwidth = bandwidth;
    }
    if let Some(connections) = change.max_connections {
        record.max_connections = connections;
    }
    if let Some(labels) = &change.labels {
        record.labels.clone_from(labels);
    }
    for &(index, priority) in &change.files {
        record.set_priority(index, priority);
    }
    if let Some(trackers) = &change.trackers {
        record.trackers.clear();
        record.tracker_list = Some(trackers.clone());
    }
    for url in &change.trackers_add {
        if !record.trackers.contains(url) {
            record.trackers.push(url.clone());
        }
    }
}

/// Whether the session must be told by joining the torrent anew.
fn must_begin_anew(before: &Record, after: &Record) -> bool {
    let skipped = |record: &Record| -> Vec<usize> {
        let skips = record.priorities.iter().filter(|(_, priority)| *priority == Priority::Skip);
        skips.map(|(index, _)| *index).collect()
    };
    before.sequential != after.sequential
        || before.trackers != after.trackers
        || before.tracker_list != after.tracker_list
        || skipped(before) != skipped(after)
}

/// When a transfer of its own has shared enough.
fn goals(record: &Record) -> (Option<f64>, Option<u64>, Option<u64>) {
    (record.seed_ratio, record.seed_time, record.seed_idle)
}

/// Bytes of `file` that lie in verified pieces.
fn verified(info: &Info, file: &bittorrent::metainfo::File, have: impl Fn(u32) -> bool) -> u64 {
    if file.len == 0 {
        return 0;
    }
    let piece_len = u64::from(info.piece_len.max(1));
    let end = file.offset + file.len;
    let pieces = file.offset / piece_len..=(end - 1) / piece_len;
    let bytes_in =
        |piece: u64| ((piece + 1) * piece_len).min(end) - (piece * piece_len).max(file.offset);
    pieces.filter(|&piece| u32::try_from(piece).is_ok_and(&have)).map(bytes_in).sum()
}

/// Where a file of a torrent lies on disk.
pub(super) fn disk_path(dir: &Path, file: &bittorrent::metainfo::File) -> PathBuf {
    dir.join(file.disk_path.iter().collect::<PathBuf>())
}
