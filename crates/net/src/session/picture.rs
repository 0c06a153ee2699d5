//! What a session tells of its torrents, in the words that programs read: a `--json` line and an
//! answer of the HTTP API hold these types as they are. Rates are bytes per second. No behaviour of
//! a torrent is here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bittorrent::metainfo::Info;
use serde::{Deserialize, Serialize};

/// What a torrent is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TorrentState {
    /// Waiting for the info dictionary.
    #[default]
    Metadata,
    /// Waiting to be told which files to fetch.
    Selecting,
    /// Hashing what is on disk.
    Checking,
    /// Fetching.
    Downloading,
    /// Complete (of what is wanted), and offering it.
    Seeding,
    /// Its seeding limit is reached.
    Finished,
    /// Stopped by an error of its storage.
    Failed,
}

/// How far a torrent is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Progress {
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
    /// Payload bytes received in this session that were of no use (duplicates, failed hashes).
    pub wasted: u64,
    /// Bytes per second received, over the last seconds.
    pub download_rate: u64,
    /// Bytes per second sent, over the last seconds.
    pub upload_rate: u64,
    /// Addresses known and not connected.
    pub peers_known: usize,
}

impl Progress {
    /// Bytes that are wanted and not here.
    #[must_use]
    pub fn bytes_missing(&self) -> u64 {
        self.bytes_wanted.saturating_sub(self.bytes_have)
    }

    /// How long it takes at this rate; `None` if nothing is missing, or nothing comes.
    #[must_use]
    pub fn eta(&self) -> Option<Duration> {
        let missing = self.bytes_missing();
        let comes = missing > 0 && self.download_rate > 0;
        comes.then(|| Duration::from_secs_f64(missing as f64 / self.download_rate as f64))
    }
}

/// A picture of a torrent at one moment. Bytes are those of this session.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TorrentStats {
    /// What it is doing.
    pub state: TorrentState,
    /// How far it is.
    #[serde(flatten)]
    pub progress: Progress,
    /// Of the bytes wasted, those of pieces that did not match their hashes.
    pub corrupt: u64,
    /// Connected peers.
    pub peers: Vec<PeerStats>,
    /// Peers that are gone again, with what was exchanged with them.
    pub peers_past: Vec<PeerStats>,
    /// Trackers and what they last said.
    pub trackers: Vec<TrackerStats>,
    /// The info dictionary, once it is known.
    #[serde(skip)]
    pub info: Option<Arc<Info>>,
}

/// Memory of unfinished pieces over all torrents of a session, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceMemory {
    /// Pieces that are begun, as far as they were asked for.
    pub begun: u64,
    /// The most that those ever were.
    pub begun_peak: u64,
    /// The most that was ever taken, while pieces are verified included.
    pub taken_peak: u64,
}

/// What carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// uTP over UDP.
    Utp,
    /// HTTP from a web seed.
    Http,
}

/// A picture of one peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PeerStats {
    /// Its end of the connection.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub address: SocketAddr,
    /// Where it listens, if it said so.
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub listens: Option<SocketAddr>,
    /// Its program, as it calls itself; text from a stranger.
    pub client: String,
    /// What carries the connection.
    pub transport: Transport,
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

/// A tracker and its last answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TrackerStats {
    /// Its URL.
    pub url: String,
    /// Seeds it counts, once it has answered.
    pub seeds: Option<u32>,
    /// Leechers it counts, once it has answered.
    pub leechers: Option<u32>,
    /// What went wrong last.
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_to_completion_follows_from_what_is_missing_and_the_rate() {
        for (bytes_wanted, bytes_have, download_rate, seconds) in
            [(10, 0, 0, None), (10, 10, 5, None), (10, 0, 4, Some(2.5)), (10, 12, 4, None)]
        {
            let progress =
                Progress { bytes_wanted, bytes_have, download_rate, ..Progress::default() };
            assert_eq!(progress.eta(), seconds.map(Duration::from_secs_f64));
        }
    }
}
