//! Looking at transfers: which there are, and the files, peers, trackers and pieces of each.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bittorrent::metainfo::{Info, Metainfo};
use net::session::{FileReader, PeerStats, TorrentStats};

use super::transfers::Entry;
use super::{Node, NodeError, rename};
use crate::mime;
use crate::record::Priority;
use crate::view::{File, Peer, Pieces, Tracker, Transfer};

impl Node {
    /// All transfers, in the order of the queue.
    #[must_use]
    pub fn transfers(&self) -> Vec<Transfer> {
        let transfers = self.lock_transfers();
        let mut all: Vec<_> = transfers.iter().map(|(id, entry)| entry.view(id)).collect();
        all.sort_by_key(|transfer| transfer.rules.queue_position);
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
