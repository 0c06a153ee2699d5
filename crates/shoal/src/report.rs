//! What `--json` prints. The names of fields are documented in the README, and do not change.

use std::net::SocketAddr;
use std::time::Duration;

use bittorrent::id::InfoHashes;
use net::session::{TorrentState, TorrentStats};
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
    Progress(Box<Picture>),
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
pub struct Picture {
    /// Seconds since the torrent was added.
    pub seconds: f64,
    /// What the session tells of it.
    #[serde(flatten)]
    pub stats: TorrentStats,
    /// Seconds to completion at this rate, if it can be said.
    pub eta: Option<f64>,
}

impl Picture {
    /// A picture of `stats`, `elapsed` after the torrent was added.
    #[must_use]
    pub fn new(stats: TorrentStats, elapsed: Duration) -> Self {
        let eta = stats.progress.eta().filter(|_| stats.state == TorrentState::Downloading);
        let eta = eta.map(|eta| eta.as_secs_f64());
        Self { seconds: elapsed.as_secs_f64(), stats, eta }
    }
}

/// Prints `value` as one line of JSON.
///
/// # Errors
/// When it cannot be written.
pub fn say_json(value: &impl Serialize) -> Result<(), Failure> {
    say(serde_json::to_string(value).map_err(anyhow::Error::from)?)
}
