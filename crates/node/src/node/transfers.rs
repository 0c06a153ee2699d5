//! The table of transfers: what is remembered of each, its torrent in the session while it runs,
//! and the picture of it that was last seen. No calls to the session are made from here.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bittorrent::id::InfoHashes;
use bittorrent::magnet::Magnet;
use net::session::{Progress, Torrent, TorrentId, TorrentState, TorrentStats};

use super::change::disk_path;
use super::fetches::Fetch;
use crate::networks::{FileTorrent, Offered};
use crate::record::Record;
use crate::view::{State, Status, Transfer};

/// So long a removed transfer counts as removed lately.
const LATELY: Duration = Duration::from_secs(60);
/// Most removed transfers that are kept in mind.
const REMOVED_MAX: usize = 1_000;
/// Provisional ids that are kept in mind.
const PUBLISHED_MAX: usize = 1_000;
/// Peers of a transfer that are remembered.
const KEPT_PEERS_MAX: usize = 50;

/// All transfers, by id.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    entries: BTreeMap<String, Entry>,
    /// Files that are being hashed to be published, by their provisional id.
    pub(super) hashing: BTreeMap<String, Transfer>,
    /// What those became that were being hashed, by their provisional ids.
    published: VecDeque<(String, String)>,
    /// What other networks bring, by id.
    pub(super) fetches: BTreeMap<String, Fetch>,
    /// Ids of transfers that went away since that was last told.
    pub(super) removed: Vec<String>,
    /// Numbers of those that went away last, and when.
    removed_lately: VecDeque<(Instant, u64)>,
    next_number: u64,
    /// What is offered differs from what was taken last.
    offers_changed: bool,
}

/// One transfer.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: Record,
    pub(super) hashes: InfoHashes,
    /// Its torrent, unless it is paused or could not begin.
    pub(super) torrent: Option<Torrent>,
    /// Why it could not begin.
    pub(super) error: Option<String>,
    /// Bytes that were copied, while its files are on their way to another disk.
    pub(super) moving: Option<u64>,
    /// It waits for its turn.
    pub(super) queued: bool,
    /// When it began, or payload last moved.
    pub(super) moved: Instant,
    /// Part of a second of its times that is not in the record yet, and when it was last seen.
    pub(super) clock: Option<(Instant, Duration)>,
    /// Taken by whoever starts, stops or moves it.
    pub(super) turn: Arc<Mutex<()>>,
    /// Whether its metainfo is written down.
    pub(super) has_torrent_file: bool,
    /// Its metainfo, until that is written down.
    pub(super) unwritten: Option<Vec<u8>>,
    /// What was seen last.
    pub(super) stats: Option<TorrentStats>,
    /// What was told last.
    pub(super) told: Option<Transfer>,
    /// The file that it offered then, and as which torrent.
    offered: Option<(PathBuf, FileTorrent)>,
    /// When that differed from what was told before.
    pub(super) changed: Instant,
    /// Payload that is in the record already, of what this session counts.
    pub(super) counted: (u64, u64),
    /// The record differs from the one that is written down.
    pub(super) unsaved: bool,
    /// It may differ from what was told last.
    untold: bool,
}

impl Transfers {
    /// The table that was written down.
    pub(super) fn restore(records: Vec<(String, Record)>) -> Self {
        let mut transfers = Self::default();
        for (id, record) in records {
            if record.found.is_some() {
                transfers.next_number = transfers.next_number.max(record.number + 1);
                transfers.fetches.insert(id, Fetch::new(record));
                continue;
            }
            let Some(hashes) = hashes_of(&id) else {
                tracing::error!(%id, "a transfer without an infohash is left out");
                continue;
            };
            transfers.next_number = transfers.next_number.max(record.number + 1);
            let has_torrent_file = record.magnet.is_none() || record.seen.files > 0;
            transfers.entries.insert(id, Entry::new(record, hashes, has_torrent_file));
        }
        transfers
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.fetches.is_empty()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(id)?;
        entry.untold = true;
        Some(entry)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.entries.iter()
    }

    /// Pictures of the transfers that differ from what was told last.
    pub(super) fn tell(&mut self) -> Vec<Transfer> {
        let mut changed = Vec::new();
        for (id, entry) in self.entries.iter_mut().filter(|(_, entry)| entry.untold) {
            entry.untold = false;
            let offered = entry.offers();
            self.offers_changed |= entry.offered != offered;
            entry.offered = offered;
            let view = entry.view(id);
            if entry.told.as_ref() != Some(&view) {
                entry.told = Some(view.clone());
                entry.changed = Instant::now();
                changed.push(view);
            }
        }
        for (id, fetch) in &mut self.fetches {
            let view = fetch.view(id);
            if fetch.told.as_ref() != Some(&view) {
                fetch.told = Some(view.clone());
                changed.push(view);
            }
        }
        changed.extend(self.hashing.values().cloned());
        changed
    }

    /// Files that are offered as torrents, if others were when this was last asked.
    pub(super) fn take_offers(&mut self) -> Option<Offered> {
        let changed = std::mem::take(&mut self.offers_changed);
        let offered = self.entries.values().filter_map(|entry| entry.offered.clone());
        changed.then(|| offered.collect())
    }

    /// What runs has counted its time, which is written down at the end.
    pub(super) fn count_times(&mut self) {
        for entry in self.entries.values_mut().filter(|entry| entry.torrent.is_some()) {
            entry.count_time();
            entry.unsaved = true;
        }
    }

    /// Records that differ from what is written down; from now on they count as written.
    pub(super) fn take_unsaved(&mut self) -> Vec<(String, Record)> {
        let unsaved = self.entries.iter_mut().filter(|(_, entry)| entry.unsaved);
        let take = |(id, entry): (&String, &mut Entry)| {
            entry.unsaved = false;
            (id.clone(), entry.record.clone())
        };
        unsaved.map(take).collect()
    }

    /// The ids of these torrents of the session, as far as they are here.
    pub(super) fn ids_of(
        &self,
        torrents: Vec<(TorrentId, TorrentStats)>,
    ) -> Vec<(String, TorrentStats)> {
        if torrents.is_empty() {
            return Vec::new();
        }
        let running = self.entries.iter();
        let running = running.filter_map(|(id, entry)| Some((entry.torrent.as_ref()?.id(), id)));
        let ids: HashMap<TorrentId, &String> = running.collect();
        let known = torrents.into_iter();
        known.filter_map(|(torrent, stats)| Some(((*ids.get(&torrent)?).clone(), stats))).collect()
    }

    /// Takes a new transfer in, with a number of its own and at the end of the queue.
    pub(super) fn insert(&mut self, id: String, mut entry: Entry) {
        entry.record.number = self.next_number();
        entry.record.rules.queue_position = self.entries.len() as u64;
        self.removed.retain(|removed| *removed != id);
        self.entries.insert(id, entry);
    }

    /// What was being hashed or fetched as `provisional` is `id` from now on.
    pub(super) fn becomes(&mut self, provisional: &str, id: String) {
        if self.published.len() >= PUBLISHED_MAX {
            self.published.pop_front();
        }
        self.published.push_back((provisional.to_owned(), id));
    }

    /// The id of a transfer of which `id` may be the provisional one.
    pub(super) fn real<'a>(&'a self, id: &'a str) -> &'a str {
        let found = self.published.iter().find(|(provisional, _)| provisional == id);
        found.map_or(id, |(_, id)| id)
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.next_number = self.next_number.max(1);
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Entry> {
        let entry = self.entries.remove(id)?;
        let gap = entry.record.rules.queue_position;
        for other in self.entries.values_mut() {
            if other.record.rules.queue_position > gap {
                other.record.rules.queue_position -= 1;
                (other.unsaved, other.untold) = (true, true);
            }
        }
        self.offers_changed |= entry.offered.is_some();
        self.removed.push(id.to_owned());
        if self.removed_lately.len() == REMOVED_MAX {
            self.removed_lately.pop_front();
        }
        self.removed_lately.push_back((Instant::now(), entry.record.number));
        Some(entry)
    }

    /// Numbers of those that changed in the last minute.
    pub(super) fn changed_lately(&self) -> Vec<u64> {
        let lately = self.entries.values().filter(|entry| {
            // Something may have happened since changes were told.
            entry.changed.elapsed() < LATELY || entry.torrent.is_some() != entry.told_running()
        });
        lately.map(|entry| entry.record.number).collect()
    }

    /// Numbers of those that went away in the last minute.
    pub(super) fn removed_lately(&self) -> Vec<u64> {
        let lately = self.removed_lately.iter().filter(|(at, _)| at.elapsed() < LATELY);
        lately.map(|(_, number)| *number).collect()
    }

    /// Moves a transfer to `position` of the queue, or to its end.
    pub(super) fn move_in_queue(&mut self, id: &str, position: u64) {
        let mut order: Vec<(u64, String)> = self
            .entries
            .iter()
            .map(|(other, entry)| (entry.record.rules.queue_position, other.clone()))
            .filter(|(_, other)| other != id)
            .collect();
        order.sort();
        let place = usize::try_from(position).unwrap_or(usize::MAX).min(order.len());
        order.insert(place, (position, id.to_owned()));
        for (position, (_, other)) in (0..).zip(order) {
            if let Some(entry) = self.entries.get_mut(&other)
                && entry.record.rules.queue_position != position
            {
                entry.record.rules.queue_position = position;
                (entry.unsaved, entry.untold) = (true, true);
            }
        }
    }

    /// Adds what the transfers do to `status`.
    pub(super) fn sum_up(&self, status: &mut Status) {
        for entry in self.entries.values() {
            status.transfers.add(entry.state().0);
            if let (Some(stats), true) = (&entry.stats, entry.torrent.is_some()) {
                status.downloaded += stats.progress.downloaded;
                status.uploaded += stats.progress.uploaded;
                status.download_rate += stats.progress.download_rate;
                status.upload_rate += stats.progress.upload_rate;
                status.peers_connected += stats.peers.len();
            }
        }
        for fetch in self.fetches.values() {
            status.transfers.add(fetch.state());
            status.download_rate += fetch.rate();
        }
        self.hashing.values().for_each(|transfer| status.transfers.add(transfer.state));
    }
}

impl Entry {
    pub(super) fn new(record: Record, hashes: InfoHashes, has_torrent_file: bool) -> Self {
        Self {
            record,
            hashes,
            torrent: None,
            error: None,
            moving: None,
            queued: false,
            moved: Instant::now(),
            clock: None,
            turn: Arc::default(),
            has_torrent_file,
            unwritten: None,
            stats: None,
            told: None,
            offered: None,
            changed: Instant::now(),
            counted: (0, 0),
            unsaved: false,
            untold: true,
        }
    }

    /// The one file that it is of, while it runs, is not private (BEP 27) and has all of it: anybody
    /// can have that by the torrent too.
    fn offers(&self) -> Option<(PathBuf, FileTorrent)> {
        let stats = self.stats.as_ref().filter(|_| self.torrent.is_some())?;
        let info = stats.info.as_ref().filter(|info| info.single_file && !info.private)?;
        let [file] = &info.files[..] else { return None };
        let is_whole =
            stats.state == TorrentState::Seeding && stats.progress.bytes_have == file.len;
        let infohash_v1 = info.hashes.v1.filter(|_| is_whole)?.0;
        let path = disk_path(&self.record.dir, file);
        Some((path, FileTorrent { infohash_v1, length: file.len }))
    }

    /// Whether it was running when it was last told of.
    fn told_running(&self) -> bool {
        let idle =
            |told: &Transfer| matches!(told.state, State::Paused | State::Queued | State::Moving);
        self.told.as_ref().is_some_and(|told| !idle(told))
    }

    /// What it does, and what went wrong.
    pub(super) fn state(&self) -> (State, Option<String>) {
        if self.moving.is_some() {
            return (State::Moving, None);
        }
        if let Some(error) = &self.error {
            return (State::Failed, Some(error.clone()));
        }
        match &self.stats {
            _ if self.record.paused => (State::Paused, None),
            None if self.queued => (State::Queued, None),
            None => (State::Checking, None),
            Some(stats) => (stats.state.into(), stats.progress.error.clone()),
        }
    }

    /// Whether it runs, and nothing has moved for as long as `limit`.
    pub(super) fn is_stalled(&self, limit: Option<Duration>) -> bool {
        let runs = self.torrent.is_some();
        runs && limit.is_some_and(|limit| self.moved.elapsed() >= limit)
    }

    /// Remembers whom it is connected to, to begin with them the next time.
    pub(super) fn keep_peers(&mut self, stats: &TorrentStats) {
        let connected = stats.peers.iter().map(|peer| peer.listens.unwrap_or(peer.address));
        let mut peers: Vec<_> = connected.collect();
        peers.extend(
            self.record
                .peers
                .iter()
                .filter(|known| !peers.contains(known))
                .copied()
                .collect::<Vec<_>>(),
        );
        peers.truncate(KEPT_PEERS_MAX);
        self.unsaved |= peers != self.record.peers;
        self.record.peers = peers;
    }

    /// Puts the time that passed since it was last seen down to what it did then.
    pub(super) fn count_time(&mut self) {
        let whole = count_time(&mut self.clock);
        match self.stats.as_ref().map(|stats| stats.state) {
            Some(TorrentState::Seeding) => self.record.seeding_time += whole,
            Some(TorrentState::Downloading) => self.record.downloading_time += whole,
            _ => {}
        }
    }

    /// Takes a picture in, and brings the record up to date with it.
    pub(super) fn see(&mut self, stats: TorrentStats) {
        self.count_time();
        let record = &mut self.record;
        let (down, up) = self.counted;
        let progress = &stats.progress;
        let fresh =
            (progress.downloaded.saturating_sub(down), progress.uploaded.saturating_sub(up));
        if fresh != (0, 0) {
            record.downloaded += fresh.0;
            record.uploaded += fresh.1;
            self.unsaved = true;
            self.moved = Instant::now();
        }
        self.counted = (progress.downloaded, progress.uploaded);
        if let (Some(info), false) = (&stats.info, stats.state == TorrentState::Checking) {
            let mut seen = record.seen.clone();
            seen.bytes_wanted = progress.bytes_wanted;
            seen.bytes_have = progress.bytes_have;
            seen.pieces_total = progress.pieces_total;
            seen.pieces_have = progress.pieces_have;
            if seen.files == 0 {
                let files = info.files.iter().filter(|file| !file.padding);
                (seen.files, seen.bytes_total) =
                    files.fold((0, 0), |(count, sum), file| (count + 1, sum + file.len));
                seen.private = info.private;
            }
            if record.name.as_ref() != Some(&info.name) && !record.renamed {
                record.name = Some(info.name.clone());
                self.unsaved = true;
            }
            if seen != record.seen {
                record.seen = seen;
                self.unsaved = true;
            }
        }
        self.stats = Some(stats);
    }

    /// The session forgot its torrent: nothing moves any more.
    pub(super) fn left(&mut self) {
        self.torrent = None;
        self.clock = None;
        self.counted = (0, 0);
        self.stats = None;
    }

    /// A magnet link to it.
    pub(super) fn magnet(&self) -> Magnet {
        let trackers = self.stats.iter().flat_map(|stats| &stats.trackers);
        Magnet {
            name: self.record.name.clone(),
            trackers: trackers.map(|tracker| tracker.url.clone()).collect(),
            ..Magnet::new(self.hashes)
        }
    }

    /// The picture of it that people see.
    pub(super) fn view(&self, id: &str) -> Transfer {
        let record = &self.record;
        let seen = &record.seen;
        let (state, error) = self.state();
        let mut view = Transfer {
            id: id.to_owned(),
            number: record.number,
            name: record.name.clone(),
            infohash_v1: self.hashes.v1.map(|hash| hash.to_string()),
            infohash_v2: self.hashes.v2.map(|hash| hash.to_string()),
            magnet: Some(self.magnet().to_string()),
            state,
            progress: Progress {
                error,
                bytes_wanted: seen.bytes_wanted,
                bytes_have: seen.bytes_have,
                pieces_total: seen.pieces_total,
                pieces_have: seen.pieces_have,
                downloaded: record.downloaded,
                uploaded: record.uploaded,
                ..Progress::default()
            },
            bytes_total: seen.bytes_total,
            ratio: ratio(record.uploaded, seen.bytes_wanted),
            added: record.added,
            completed: record.completed,
            dir: record.dir.clone(),
            rules: record.rules.clone(),
            private: seen.private,
            published: record.published,
            bytes_moved: self.moving,
            files: seen.files,
            ..Transfer::default()
        };
        if let (Some(stats), true) = (&self.stats, self.torrent.is_some()) {
            view.progress = Progress {
                bytes_checked: stats.progress.bytes_checked,
                wasted: stats.progress.wasted,
                download_rate: stats.progress.download_rate,
                upload_rate: stats.progress.upload_rate,
                peers_known: stats.progress.peers_known,
                ..view.progress
            };
            view.peers_connected = stats.peers.len();
            view.seeds = stats.trackers.iter().filter_map(|tracker| tracker.seeds).max();
            view.leechers = stats.trackers.iter().filter_map(|tracker| tracker.leechers).max();
            if state == State::Downloading {
                view.eta = view.progress.eta().map(|eta| eta.as_secs_f64());
            }
        }
        view
    }
}

/// Whole seconds that have passed since the last look; the rest is kept for the next.
fn count_time(clock: &mut Option<(Instant, Duration)>) -> u64 {
    let now = Instant::now();
    let rest = clock.map_or(Duration::ZERO, |(at, rest)| rest + (now - at));
    let whole = rest.as_secs();
    *clock = Some((now, rest - Duration::from_secs(whole)));
    whole
}

/// Bytes sent over bytes of the whole; 0 while that is not known.
fn ratio(uploaded: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { uploaded as f64 / whole as f64 }
}

/// The infohash that an id is.
pub(super) fn hashes_of(id: &str) -> Option<InfoHashes> {
    let scheme = match id.len() {
        40 => "btih:",
        64 => "btmh:1220",
        _ => return None,
    };
    Magnet::parse(&format!("magnet:?xt=urn:{scheme}{id}")).ok().map(|magnet| magnet.hashes)
}

/// The id of a transfer with these infohashes.
pub(super) fn id_of(hashes: &InfoHashes) -> Option<String> {
    let v1 = hashes.v1.map(|hash| hash.to_string());
    v1.or_else(|| hashes.v2.map(|hash| hash.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(count: usize) -> (Transfers, Vec<String>) {
        let mut transfers = Transfers::default();
        let ids: Vec<_> = (0..count).map(|index| format!("{index:040x}")).collect();
        for id in &ids {
            let hashes = hashes_of(id).expect("an infohash");
            assert_eq!(id_of(&hashes).as_ref(), Some(id));
            transfers.insert(id.clone(), Entry::new(Record::default(), hashes, false));
        }
        (transfers, ids)
    }

    fn order(transfers: &Transfers) -> Vec<String> {
        let mut all: Vec<_> = transfers
            .iter()
            .map(|(id, entry)| (entry.record.rules.queue_position, id.clone()))
            .collect();
        all.sort();
        assert!(all.iter().zip(0..).all(|((position, _), place)| *position == place));
        all.into_iter().map(|(_, id)| id).collect()
    }

    #[test]
    fn the_queue_has_no_gaps() {
        let (mut transfers, ids) = table(4);
        transfers.move_in_queue(&ids[3], 0);
        assert_eq!(order(&transfers), [&*ids[3], &*ids[0], &*ids[1], &*ids[2]]);
        transfers.move_in_queue(&ids[0], u64::MAX);
        assert_eq!(order(&transfers), [&*ids[3], &*ids[1], &*ids[2], &*ids[0]]);
        transfers.remove(&ids[1]);
        assert_eq!(order(&transfers), [&*ids[3], &*ids[2], &*ids[0]]);
        assert_eq!(transfers.removed, [ids[1].clone()]);
    }

    #[test]
    fn numbers_are_never_used_twice() {
        let (mut transfers, ids) = table(2);
        let number = transfers.get(&ids[1]).expect("there").record.number;
        transfers.remove(&ids[1]);
        let hashes = hashes_of(&ids[1]).expect("an infohash");
        transfers.insert(ids[1].clone(), Entry::new(Record::default(), hashes, false));
        assert!(transfers.get(&ids[1]).expect("there").record.number > number);
    }
}
