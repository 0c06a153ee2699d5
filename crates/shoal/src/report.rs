//! What `--json` prints. The names of fields are documented in the README, and do not change.

use std::net::SocketAddr;
use std::time::Duration;

use bittorrent::id::InfoHashes;
use net::session::{PeerStats, TorrentState, TorrentStats, TrackerStats, Transport};
use net::tracker::ServerStats;
use serde::{Deserialize, Serialize};

use crate::exit::{Failure, say};

/// One line of `shoal publish --json` or `shoal fetch --json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The session is up.
    Listening {
        /// Where it accepts peers.
        addresses: Vec<SocketAddr>,
        /// Where its nodes of the distributed hash table are.
        #[serde(default)]
        dht: Vec<SocketAddr>,
    },
    /// The torrent is known.
    Torrent(Names),
    /// How far it is; twice a second, and once more at the end.
    Progress(Box<Progress>),
    /// Everything that is wanted is there and verified.
    Complete {
        /// Seconds since the torrent was added.
        seconds: f64,
        /// Bytes wanted.
        bytes: u64,
    },
    /// The orderly end.
    Stopped {
        /// The exit code.
        exit: u8,
    },
}

/// One line of `shoal tracker --json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TrackerEvent {
    /// It is up.
    Listening {
        /// URLs to announce to.
        announce: Vec<String>,
    },
    /// What it has counted; as often as `--report` says, and at the end.
    Stats(TrackerCounts),
}

/// What a tracker has counted since it began, and what it knows.
#[derive(Debug, Serialize, Deserialize)]
pub struct TrackerCounts {
    /// Torrents known.
    pub torrents: u64,
    /// Peers known.
    pub peers: u64,
    /// Announces answered over HTTP.
    pub http_announces: u64,
    /// Scrapes answered over HTTP.
    pub http_scrapes: u64,
    /// Requests refused over HTTP, those above the rate of one host included.
    pub http_refused: u64,
    /// Announces answered over UDP.
    pub udp_announces: u64,
    /// Scrapes answered over UDP.
    pub udp_scrapes: u64,
    /// Requests refused over UDP.
    pub udp_refused: u64,
    /// Datagrams that were no good.
    pub udp_dropped: u64,
}

impl From<&ServerStats> for TrackerCounts {
    fn from(stats: &ServerStats) -> Self {
        Self {
            torrents: stats.torrents,
            peers: stats.peers,
            http_announces: stats.http_announces,
            http_scrapes: stats.http_scrapes,
            http_refused: stats.http_refused + stats.http_limited,
            udp_announces: stats.udp_announces,
            udp_scrapes: stats.udp_scrapes,
            udp_refused: stats.udp_refused,
            udp_dropped: stats.udp_dropped,
        }
    }
}

/// How a torrent is called.
#[derive(Debug, Serialize, Deserialize)]
pub struct Names {
    /// The name its author gave it.
    pub name: Option<String>,
    /// BEP 3 infohash, in hexadecimal.
    pub infohash_v1: Option<String>,
    /// BEP 52 infohash, in hexadecimal.
    pub infohash_v2: Option<String>,
    /// A magnet link to it.
    pub magnet: Option<String>,
}

impl Names {
    /// The hashes of `hashes`, with what else is known.
    #[must_use]
    pub fn new(hashes: &InfoHashes, name: Option<&str>, magnet: Option<String>) -> Self {
        Self {
            name: name.map(str::to_owned),
            infohash_v1: hashes.v1.map(|hash| hash.to_string()),
            infohash_v2: hashes.v2.map(|hash| hash.to_string()),
            magnet,
        }
    }
}

/// A picture of a transfer.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Seconds since the torrent was added.
    pub seconds: f64,
    /// `metadata`, `checking`, `downloading`, `seeding`, `finished` or `failed`.
    pub state: String,
    /// What went wrong, if the state is `failed`.
    pub error: Option<String>,
    /// Bytes hashed so far, if the state is `checking`.
    pub bytes_checked: Option<u64>,
    /// Bytes wanted.
    pub bytes_wanted: u64,
    /// Bytes of those that are verified.
    pub bytes_have: u64,
    /// Pieces of the torrent.
    pub pieces_total: u32,
    /// Pieces that are verified.
    pub pieces_have: u32,
    /// Payload bytes received.
    pub downloaded: u64,
    /// Payload bytes sent.
    pub uploaded: u64,
    /// Payload bytes received that were of no use.
    pub wasted: u64,
    /// Of those, bytes of pieces that did not match their hashes.
    pub corrupt: u64,
    /// Bytes per second received.
    pub download_rate: u64,
    /// Bytes per second sent.
    pub upload_rate: u64,
    /// Seconds to completion at this rate, if it can be said.
    pub eta: Option<f64>,
    /// Connected peers.
    pub peers: Vec<Peer>,
    /// Peers that are gone again.
    pub peers_past: Vec<Peer>,
    /// Addresses known and not connected.
    pub peers_known: usize,
    /// Trackers and what they last said.
    pub trackers: Vec<Tracker>,
}

/// One peer of a transfer.
#[derive(Debug, Serialize, Deserialize)]
pub struct Peer {
    /// Its end of the connection.
    pub address: SocketAddr,
    /// Where it listens, if it said so.
    pub listens: Option<SocketAddr>,
    /// Its program, as it calls itself.
    pub client: String,
    /// `tcp`, `utp` or `http`.
    pub transport: String,
    /// Whether the connection is obfuscated.
    pub encrypted: bool,
    /// Payload bytes received from it.
    pub downloaded: u64,
    /// Payload bytes sent to it.
    pub uploaded: u64,
    /// Bytes per second received.
    pub download_rate: u64,
    /// Bytes per second sent.
    pub upload_rate: u64,
    /// Pieces it has, as a share from 0 to 1.
    pub progress: f32,
    /// We choke it.
    pub choked_by_us: bool,
    /// It chokes us.
    pub chokes_us: bool,
    /// It wants pieces of ours.
    pub interested: bool,
    /// We want pieces of its.
    pub interesting: bool,
}

/// One tracker of a transfer.
#[derive(Debug, Serialize, Deserialize)]
pub struct Tracker {
    /// Its URL.
    pub url: String,
    /// Seeds it counts.
    pub seeds: Option<u32>,
    /// Leechers it counts.
    pub leechers: Option<u32>,
    /// What went wrong last.
    pub error: Option<String>,
}

impl Progress {
    /// A picture of `stats`, `elapsed` after the torrent was added.
    #[must_use]
    pub fn new(stats: &TorrentStats, elapsed: Duration) -> Self {
        let missing = stats.bytes_wanted.saturating_sub(stats.bytes_have);
        let downloading = stats.state == TorrentState::Downloading && missing > 0;
        let eta = crate::units::eta(missing, stats.download_rate).filter(|_| downloading);
        Self {
            seconds: elapsed.as_secs_f64(),
            state: state_name(&stats.state).to_owned(),
            error: match &stats.state {
                TorrentState::Failed(why) => Some(why.clone()),
                _ => None,
            },
            bytes_checked: match stats.state {
                TorrentState::Checking(bytes) => Some(bytes),
                _ => None,
            },
            bytes_wanted: stats.bytes_wanted,
            bytes_have: stats.bytes_have,
            pieces_total: stats.pieces_total,
            pieces_have: stats.pieces_have,
            downloaded: stats.downloaded,
            uploaded: stats.uploaded,
            wasted: stats.wasted,
            corrupt: stats.corrupt,
            download_rate: stats.download_rate,
            upload_rate: stats.upload_rate,
            eta: eta.map(|eta| eta.as_secs_f64()),
            peers: stats.peers.iter().map(Peer::from).collect(),
            peers_past: stats.peers_past.iter().map(Peer::from).collect(),
            peers_known: stats.peers_known,
            trackers: stats.trackers.iter().map(Tracker::from).collect(),
        }
    }
}

/// The name of a state in JSON.
#[must_use]
pub fn state_name(state: &TorrentState) -> &'static str {
    match state {
        TorrentState::FetchingMetadata => "metadata",
        TorrentState::Selecting => "selecting",
        TorrentState::Checking(_) => "checking",
        TorrentState::Downloading => "downloading",
        TorrentState::Seeding => "seeding",
        TorrentState::Finished => "finished",
        TorrentState::Failed(_) => "failed",
    }
}

impl From<&PeerStats> for Peer {
    fn from(peer: &PeerStats) -> Self {
        let transport = match peer.transport {
            Transport::Tcp => "tcp",
            Transport::Utp => "utp",
            Transport::Http => "http",
        };
        Self {
            address: peer.address,
            listens: peer.listens,
            client: peer.client.clone(),
            transport: transport.to_owned(),
            encrypted: peer.encrypted,
            downloaded: peer.downloaded,
            uploaded: peer.uploaded,
            download_rate: peer.download_rate,
            upload_rate: peer.upload_rate,
            progress: peer.progress,
            choked_by_us: peer.choked_by_us,
            chokes_us: peer.chokes_us,
            interested: peer.interested,
            interesting: peer.interesting,
        }
    }
}

impl From<&TrackerStats> for Tracker {
    fn from(tracker: &TrackerStats) -> Self {
        Self {
            url: tracker.url.clone(),
            seeds: tracker.counts.map(|(seeds, _)| seeds),
            leechers: tracker.counts.map(|(_, leechers)| leechers),
            error: tracker.error.clone(),
        }
    }
}

/// Prints `value` as one line of JSON.
///
/// # Errors
/// When it cannot be written.
pub fn say_json(value: &impl Serialize) -> Result<(), Failure> {
    say(serde_json::to_string(value).map_err(anyhow::Error::from)?)
}
