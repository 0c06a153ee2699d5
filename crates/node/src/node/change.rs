//! Changing transfers: pause, resume, check again, move, remove, and all that can be set of one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::add::{select, stamps};
use super::files::delete_files;
use super::transfers::Entry;
use super::{Node, NodeError, lock};
use crate::event::Event;
use crate::paths;
use crate::record::{Bandwidth, Place, Priority, Record};
use crate::view::Transfer;

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
            entry.record.rules.forced = false;
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
            entry.torrent.is_some() && !failed && !done && entry.record.rules.forced >= forced
        })?;
        if !runs_well {
            self.end_in_turn(id)?;
            self.with(id, |entry| {
                entry.record.paused = false;
                entry.record.rules.forced |= forced;
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
        record.rules.sequential = sequential;
    }
    if let Some(ratio) = change.seed_ratio {
        record.rules.seed_ratio = ratio;
    }
    if let Some(time) = change.seed_time {
        record.rules.seed_time = time;
    }
    if let Some(time) = change.seed_idle {
        record.rules.seed_idle = time;
    }
    if let Some(limit) = change.upload_limit {
        record.rules.upload_limit = limit;
    }
    if let Some(limit) = change.download_limit {
        record.rules.download_limit = limit;
    }
    if let Some(unlimited) = change.unlimited {
        record.rules.unlimited = unlimited;
    }
    if let Some(bandwidth) = change.bandwidth {
        record.rules.bandwidth = bandwidth;
    }
    if let Some(connections) = change.max_connections {
        record.rules.max_connections = connections;
    }
    if let Some(labels) = &change.labels {
        record.rules.labels.clone_from(labels);
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
    before.rules.sequential != after.rules.sequential
        || before.trackers != after.trackers
        || before.tracker_list != after.tracker_list
        || skipped(before) != skipped(after)
}

/// When a transfer of its own has shared enough.
fn goals(record: &Record) -> (Option<f64>, Option<u64>, Option<u64>) {
    (record.rules.seed_ratio, record.rules.seed_time, record.rules.seed_idle)
}

/// Where a file of a torrent lies on disk.
pub(super) fn disk_path(dir: &Path, file: &bittorrent::metainfo::File) -> PathBuf {
    dir.join(file.disk_path.iter().collect::<PathBuf>())
}
