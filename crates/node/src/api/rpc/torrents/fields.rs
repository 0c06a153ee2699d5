//! The fields of `torrent-get`.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::SystemTime;

use bittorrent::metainfo::Metainfo;
use net::session::{TrackerStats, Transport};
use serde_json::{Map, Value, json};

use super::super::KILO;
use super::Failure;
use crate::node::{Node, NodeError};
use crate::record::{Bandwidth, Priority};
use crate::view::{File, Peer, State, Transfer};

/// What costs a look into the session, and is looked at once at most.
struct Look<'a> {
    node: &'a Node,
    transfer: &'a Transfer,
    files: OnceCell<Vec<File>>,
    peers: OnceCell<Vec<Peer>>,
    trackers: OnceCell<Vec<TrackerStats>>,
    metainfo: OnceCell<Option<Arc<Metainfo>>>,
}

/// The fields that are wanted and known.
pub(super) fn of(
    node: &Node,
    transfer: &Transfer,
    wanted: &[&str],
) -> Result<Map<String, Value>, Failure> {
    let look = Look {
        node,
        transfer,
        files: OnceCell::new(),
        peers: OnceCell::new(),
        trackers: OnceCell::new(),
        metainfo: OnceCell::new(),
    };
    let mut fields = Map::new();
    for name in wanted {
        match look.field(name) {
            Ok(Some(value)) => _ = fields.insert((*name).to_owned(), value),
            Ok(None) => {}
            // Removed while it was looked at.
            Err(NodeError::NotFound(_)) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(fields)
}

/// The number of a state; who waits in the queue does so to share, or to fetch.
fn status(state: State, complete: bool) -> u8 {
    match state {
        State::Paused | State::Finished | State::Failed | State::Moving => 0,
        State::Checking | State::Hashing => 2,
        State::Queued if complete => 5,
        State::Queued => 3,
        State::Metadata | State::Downloading => 4,
        State::Seeding => 6,
    }
}

/// Where a goal is set: for all, for this transfer, or nowhere.
fn mode(own: Option<bool>) -> u8 {
    match own {
        None => 0,
        Some(true) => 1,
        Some(false) => 2,
    }
}

/// The number of a priority.
fn level(priority: Priority) -> i8 {
    match priority {
        Priority::Low => -1,
        Priority::Skip | Priority::Normal => 0,
        Priority::High => 1,
    }
}

/// A part of a whole; all of nothing is all.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

impl Look<'_> {
    fn files(&self) -> Result<&[File], NodeError> {
        if self.files.get().is_none() {
            let files = self.node.files(&self.transfer.id)?;
            return Ok(self.files.get_or_init(|| files));
        }
        Ok(self.files.get().map_or(&[], Vec::as_slice))
    }

    fn peers(&self) -> Result<&[Peer], NodeError> {
        if self.peers.get().is_none() {
            let (peers, _) = self.node.peers(&self.transfer.id)?;
            return Ok(self.peers.get_or_init(|| peers));
        }
        Ok(self.peers.get().map_or(&[], Vec::as_slice))
    }

    fn trackers(&self) -> Result<&[TrackerStats], NodeError> {
        if self.trackers.get().is_none() {
            let trackers = self.node.trackers(&self.transfer.id)?;
            return Ok(self.trackers.get_or_init(|| trackers));
        }
        Ok(self.trackers.get().map_or(&[], Vec::as_slice))
    }

    fn metainfo(&self) -> Option<&Metainfo> {
        let look = || self.node.metainfo(&self.transfer.id).ok();
        self.metainfo.get_or_init(look).as_deref()
    }

    fn field(&self, name: &str) -> Result<Option<Value>, NodeError> {
        let transfer = self.transfer;
        let left = transfer.progress.bytes_wanted.saturating_sub(transfer.progress.bytes_have);
        let known = transfer.files > 0;
        let eta = transfer.eta.map_or(-1, |eta| eta as i64);
        Ok(Some(match name {
            "id" => json!(transfer.number),
            "hashString" => json!(transfer.id),
            "name" => json!(transfer.name.as_deref().unwrap_or(&transfer.id)),
            "status" => json!(status(transfer.state, known && left == 0)),
            "error" => json!(if transfer.progress.error.is_some() { 3 } else { 0 }),
            "errorString" => json!(transfer.progress.error.as_deref().unwrap_or_default()),
            "totalSize" => json!(transfer.bytes_total),
            "sizeWhenDone" => json!(transfer.progress.bytes_wanted),
            "leftUntilDone" => json!(left),
            "haveValid" => json!(transfer.progress.bytes_have),
            "haveUnchecked" | "corruptEver" => json!(0),
            "desiredAvailable" => json!(if transfer.peers_connected > 0 { left } else { 0 }),
            "percentDone" if !known => json!(0.0),
            "percentDone" => {
                json!(share(transfer.progress.bytes_have, transfer.progress.bytes_wanted))
            }
            "percentComplete" if !known => json!(0.0),
            "percentComplete" => json!(share(transfer.progress.bytes_have, transfer.bytes_total)),
            "metadataPercentComplete" => json!(if known { 1.0 } else { 0.0 }),
            "recheckProgress" => {
                json!(
                    transfer.progress.bytes_checked.map_or(0.0, |b| share(b, transfer.bytes_total))
                )
            }
            "rateDownload" => json!(transfer.progress.download_rate),
            "rateUpload" => json!(transfer.progress.upload_rate),
            "downloadedEver" => json!(transfer.progress.downloaded),
            "uploadedEver" => json!(transfer.progress.uploaded),
            "uploadRatio" => json!(transfer.ratio),
            "eta" => json!(eta),
            "etaIdle" => json!(-1),
            "addedDate" | "startDate" | "editDate" => json!(transfer.added),
            "doneDate" => json!(transfer.completed.unwrap_or(0)),
            "activityDate" => json!(transfer.completed.unwrap_or(transfer.added)),
            "downloadDir" => json!(transfer.dir),
            "isFinished" => json!(transfer.state == State::Finished),
            "isPrivate" => json!(transfer.private),
            "isStalled" => {
                json!(self.node.is_stalled(&transfer.id)?)
            }
            "queuePosition" => json!(transfer.rules.queue_position),
            "labels" => json!(transfer.rules.labels),
            "magnetLink" => json!(transfer.magnet.as_deref().unwrap_or_default()),
            "torrentFile" | "group" => json!(""),
            "sequentialDownload" => json!(transfer.rules.sequential),
            "seedRatioMode" => json!(mode(transfer.rules.seed_ratio.map(|ratio| ratio > 0.0))),
            "seedRatioLimit" => json!(transfer.rules.seed_ratio.unwrap_or(0.0)),
            "seedIdleMode" => json!(mode(transfer.rules.seed_idle.map(|time| time > 0))),
            "seedIdleLimit" => json!(transfer.rules.seed_idle.unwrap_or(0).div_ceil(60)),
            "uploadLimit" => json!(transfer.rules.upload_limit.unwrap_or(0).div_ceil(KILO)),
            "downloadLimit" => json!(transfer.rules.download_limit.unwrap_or(0).div_ceil(KILO)),
            "uploadLimited" => json!(transfer.rules.upload_limit.is_some()),
            "downloadLimited" => json!(transfer.rules.download_limit.is_some()),
            "honorsSessionLimits" => json!(!transfer.rules.unlimited),
            "bandwidthPriority" => json!(match transfer.rules.bandwidth {
                Bandwidth::Low => -1,
                Bandwidth::Normal => 0,
                Bandwidth::High => 1,
            }),
            "webseedsSendingToUs" | "manualAnnounceTime" => json!(0),
            "secondsDownloading" => json!(self.node.times(&transfer.id)?.0),
            "secondsSeeding" => json!(self.node.times(&transfer.id)?.1),
            "maxConnectedPeers" | "peer-limit" => {
                let usual = || self.node.config().transfers.max_connections;
                json!(transfer.rules.max_connections.unwrap_or_else(usual))
            }
            "pieceCount" => json!(transfer.progress.pieces_total),
            "file-count" => json!(transfer.files),
            "peersConnected" => json!(transfer.peers_connected),
            _ => return self.costly(name),
        }))
    }

    fn costly(&self, name: &str) -> Result<Option<Value>, NodeError> {
        Ok(Some(match name {
            "peersSendingToUs" => {
                json!(self.peers()?.iter().filter(|peer| peer.stats.download_rate > 0).count())
            }
            "peersGettingFromUs" => {
                json!(self.peers()?.iter().filter(|peer| peer.stats.upload_rate > 0).count())
            }
            "peers" => self.peers()?.iter().map(peer).collect(),
            "peersFrom" => json!({"fromCache": 0, "fromDht": 0, "fromIncoming": 0, "fromLpd": 0,
                "fromLtep": 0, "fromPex": 0, "fromTracker": 0}),
            "files" => {
                let file = |file: &File| {
                    json!({"name": file.path, "length": file.length,
                        "bytesCompleted": file.bytes_have, "beginPiece": 0, "endPiece": 0})
                };
                self.files()?.iter().map(file).collect()
            }
            "fileStats" => {
                let file = |file: &File| {
                    json!({"bytesCompleted": file.bytes_have, "priority": level(file.priority),
                        "wanted": file.priority != Priority::Skip})
                };
                self.files()?.iter().map(file).collect()
            }
            "priorities" => self.files()?.iter().map(|file| json!(level(file.priority))).collect(),
            // Numbers, as programs of the time expect them.
            "wanted" => {
                let wanted = |file: &File| json!(u8::from(file.priority != Priority::Skip));
                self.files()?.iter().map(wanted).collect()
            }
            "trackers" => {
                let tracker = |(id, tracker): (usize, &TrackerStats)| {
                    json!({"id": id, "announce": tracker.url, "scrape": "", "tier": id,
                        "sitename": host(&tracker.url)})
                };
                self.trackers()?.iter().enumerate().map(tracker).collect()
            }
            "trackerList" => {
                let urls: Vec<_> = self.trackers()?.iter().map(|one| one.url.as_str()).collect();
                json!(urls.join("\n\n"))
            }
            "trackerStats" => {
                let all = self.trackers()?.iter().enumerate();
                all.map(|(id, tracker)| tracker_stats(id, tracker)).collect()
            }
            "pieces" => match self.node.pieces(&self.transfer.id) {
                Ok(pieces) => json!(pieces.have),
                Err(NodeError::Conflict(_)) => json!(""),
                Err(error) => return Err(error),
            },
            "pieceSize" => json!(self.metainfo().map_or(0, |metainfo| metainfo.info.piece_len)),
            "comment" => {
                json!(self.metainfo().and_then(|one| one.comment.clone()).unwrap_or_default())
            }
            "creator" => {
                json!(self.metainfo().and_then(|one| one.created_by.clone()).unwrap_or_default())
            }
            "dateCreated" => json!(self.metainfo().and_then(|one| one.created_at).unwrap_or(0)),
            "webseeds" => {
                json!(self.metainfo().map(|one| one.web_seeds.clone()).unwrap_or_default())
            }
            "primary-mime-type" => {
                let largest = self.files()?.iter().max_by_key(|file| file.length);
                json!(largest.map_or("application/octet-stream", |file| file.mime))
            }
            _ => return Ok(None),
        }))
    }
}

fn peer(peer: &Peer) -> Value {
    json!({
        "address": peer.stats.address.ip().to_string(), "port": peer.stats.address.port(),
        "clientName": peer.stats.client, "flagStr": peer.flags, "progress": peer.stats.progress,
        "clientIsChoked": peer.stats.chokes_us, "clientIsInterested": peer.stats.interesting,
        "peerIsChoked": peer.stats.choked_by_us, "peerIsInterested": peer.stats.interested,
        "isEncrypted": peer.stats.encrypted, "isUTP": peer.stats.transport == Transport::Utp, "isIncoming": false,
        "isDownloadingFrom": peer.stats.download_rate > 0, "isUploadingTo": peer.stats.upload_rate > 0,
        "rateToClient": peer.stats.download_rate, "rateToPeer": peer.stats.upload_rate,
    })
}

fn host(url: &str) -> String {
    let parsed = url::Url::parse(url).ok();
    parsed.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

/// The host of a URL, and its port if it names one.
fn place(url: &str) -> String {
    let parsed = url::Url::parse(url).ok();
    let port = parsed.and_then(|url| url.port());
    port.map_or_else(|| host(url), |port| format!("{}:{port}", host(url)))
}

fn tracker_stats(id: usize, tracker: &TrackerStats) -> Value {
    let failed = tracker.error.is_some();
    let answered = failed || tracker.seeds.is_some();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs());
    json!({
        "id": id, "tier": id, "announce": tracker.url, "scrape": "", "sitename": host(&tracker.url),
        "host": place(&tracker.url), "isBackup": false,
        "seederCount": tracker.seeds.map_or(-1, i64::from),
        "leecherCount": tracker.leechers.map_or(-1, i64::from), "downloadCount": -1,
        "hasAnnounced": answered, "hasScraped": false, "announceState": 1, "scrapeState": 0,
        "lastAnnounceSucceeded": answered && !failed,
        "lastAnnounceResult": tracker.error.as_deref().unwrap_or("Success"),
        // That it is so now is what is known.
        "lastAnnouncePeerCount": 0, "lastAnnounceStartTime": now, "lastAnnounceTime": now,
        "lastAnnounceTimedOut": false, "lastScrapeResult": "", "lastScrapeStartTime": 0,
        "lastScrapeSucceeded": false, "lastScrapeTime": 0,
        "lastScrapeTimedOut": false, "nextAnnounceTime": 0, "nextScrapeTime": 0,
    })
}
