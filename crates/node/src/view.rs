//! Pictures of a node for programs and people: what the HTTP API answers with. Times are seconds,
//! points in time unix seconds, sizes bytes, rates bytes per second; what is not known is `null`.

use std::net::SocketAddr;
use std::path::PathBuf;

use net::port_map::{MapState, PortMapping};
pub use net::session::TrackerStats as Tracker;
use net::session::{PeerStats, Progress, TorrentState, Transport};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::networks::Standing;
use crate::record::{Priority, Rules};

/// What a transfer is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waiting for the info dictionary.
    Metadata,
    /// Hashing what is on disk.
    Checking,
    /// Fetching.
    Downloading,
    /// Complete, and offering it.
    Seeding,
    /// Its seeding limit is reached.
    Finished,
    /// It does nothing until it is resumed.
    #[default]
    Paused,
    /// Stopped by an error.
    Failed,
    /// New files are being hashed to be published.
    Hashing,
    /// It waits for its turn.
    Queued,
    /// Its files are on their way to another disk.
    Moving,
}

/// A transfer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Transfer {
    /// Its infohash in hexadecimal, v1 if there is one, else v2; otherwise a word with its number.
    pub id: String,
    /// A number that no other transfer of this node ever had.
    pub number: u64,
    /// Its name; text from a stranger.
    pub name: Option<String>,
    /// The network that brings it, if it is no torrent.
    pub network: Option<String>,
    /// BEP 3 infohash, in hexadecimal.
    pub infohash_v1: Option<String>,
    /// BEP 52 infohash, in hexadecimal.
    pub infohash_v2: Option<String>,
    /// A magnet link to it.
    pub magnet: Option<String>,
    /// What it is doing.
    pub state: State,
    /// How far it is; bytes received and sent are those of all runs.
    #[serde(flatten)]
    pub progress: Progress,
    /// Bytes of all files.
    pub bytes_total: u64,
    /// Bytes sent over bytes of what is wanted.
    pub ratio: f64,
    /// Seconds to completion at this rate, if it can be said.
    pub eta: Option<f64>,
    /// Connected peers.
    pub peers_connected: usize,
    /// Seeds that trackers count.
    pub seeds: Option<u32>,
    /// Leechers that trackers count.
    pub leechers: Option<u32>,
    /// When it was added.
    pub added: u64,
    /// When it was complete.
    pub completed: Option<u64>,
    /// The folder in which its files lie.
    #[schema(value_type = String)]
    pub dir: PathBuf,
    /// What the user wants of it.
    #[serde(flatten)]
    pub rules: Rules,
    /// Whether its peers come from its trackers alone.
    pub private: bool,
    /// Whether it is the user's own files, which are never written.
    pub published: bool,
    /// Bytes copied so far, while its files are on their way to another disk.
    pub bytes_moved: Option<u64>,
    /// How many files it has.
    pub files: usize,
}

/// A file of a transfer.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct File {
    /// Its index among the files of the torrent.
    pub index: usize,
    /// Its path; text from a stranger.
    pub path: String,
    /// Its length in bytes.
    pub length: u64,
    /// Bytes of it that are verified.
    pub bytes_have: u64,
    /// How much it is wanted.
    pub priority: Priority,
    /// Its MIME type, by its name.
    #[serde(rename = "type")]
    pub mime: &'static str,
    /// Where it can be read while it comes; `null` if it is not wanted.
    pub stream: Option<String>,
}

/// A peer of a transfer.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Peer {
    /// What is known of it.
    #[serde(flatten)]
    pub stats: PeerStats,
    /// The same in letters, as other programs show it: `D` and `d` we fetch, or would if it let
    /// us; `U` and `u` it fetches, or would; `E` obfuscated; `T` uTP; `H` a web seed.
    pub flags: String,
}

/// Which pieces of a transfer are verified.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Pieces {
    /// Pieces of the torrent.
    pub pieces_total: u32,
    /// Bytes of each but the last.
    pub piece_length: u32,
    /// One bit for each piece, the most significant first, in base64.
    pub have: String,
    /// How many connected peers have each piece, as pairs of peers and run length; not known yet.
    #[schema(value_type = Option<Vec<Vec<u32>>>)]
    pub availability: Option<Vec<(u32, u32)>>,
}

/// How many transfers do what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[expect(missing_docs, reason = "named as the states are")]
pub struct Counts {
    pub total: usize,
    pub metadata: usize,
    pub checking: usize,
    pub downloading: usize,
    pub seeding: usize,
    pub finished: usize,
    pub paused: usize,
    pub failed: usize,
    pub hashing: usize,
    pub queued: usize,
    pub moving: usize,
}

/// A network, in short.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct NetworkState {
    /// Its name.
    pub name: &'static str,
    /// How it stands with it.
    pub state: Standing,
}

/// A node as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Status {
    /// This program's version.
    pub version: &'static str,
    /// Seconds since the node began.
    pub uptime: f64,
    /// Whether nothing was ever added.
    pub first_start: bool,
    /// Where it accepts peers.
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<SocketAddr>,
    /// Where files go.
    #[schema(value_type = String)]
    pub download_dir: PathBuf,
    /// Bytes that are free there.
    pub free_space: Option<u64>,
    /// Payload bytes received in this run.
    pub downloaded: u64,
    /// Payload bytes sent in this run.
    pub uploaded: u64,
    /// Bytes per second received.
    pub download_rate: u64,
    /// Bytes per second sent.
    pub upload_rate: u64,
    /// Most bytes per second received.
    pub download_limit: Option<u64>,
    /// Most bytes per second sent.
    pub upload_limit: Option<u64>,
    /// Connected peers.
    pub peers_connected: usize,
    /// What the transfers do.
    pub transfers: Counts,
    /// What the networks do.
    pub networks: Vec<NetworkState>,
    /// Ports that the router was asked to let the outside reach.
    pub port_mappings: Vec<MappedPort>,
}

/// A port that the router was asked to let the outside reach.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct MappedPort {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The port here.
    pub port: u16,
    /// `asking`, `mapped` or `failed`.
    pub state: &'static str,
    /// Where the outside finds it, once mapped; 0.0.0.0 if the router does not say.
    #[schema(value_type = Option<String>)]
    pub external: Option<SocketAddr>,
    /// `pcp`, `nat-pmp` or `upnp`, once mapped.
    pub method: Option<String>,
    /// Why not, in words.
    pub error: Option<String>,
}

impl From<PortMapping> for MappedPort {
    fn from(mapping: PortMapping) -> Self {
        let (state, external, method, error) = match mapping.state {
            MapState::Asking => ("asking", None, None, None),
            MapState::Mapped { external, method } => {
                ("mapped", Some(external), Some(method.to_string()), None)
            }
            MapState::Failed(why) => ("failed", None, None, Some(why)),
        };
        let protocol = mapping.protocol.to_string();
        Self { protocol, port: mapping.port, state, external, method, error }
    }
}

impl From<PeerStats> for Peer {
    fn from(stats: PeerStats) -> Self {
        let letters = [
            stats.interesting.then_some(if stats.chokes_us { 'd' } else { 'D' }),
            stats.interested.then_some(if stats.choked_by_us { 'u' } else { 'U' }),
            stats.encrypted.then_some('E'),
            match stats.transport {
                Transport::Tcp => None,
                Transport::Utp => Some('T'),
                Transport::Http => Some('H'),
            },
        ];
        Self { flags: letters.into_iter().flatten().collect(), stats }
    }
}

impl From<TorrentState> for State {
    fn from(state: TorrentState) -> Self {
        match state {
            TorrentState::Metadata | TorrentState::Selecting => Self::Metadata,
            TorrentState::Checking => Self::Checking,
            TorrentState::Downloading => Self::Downloading,
            TorrentState::Seeding => Self::Seeding,
            TorrentState::Finished => Self::Finished,
            TorrentState::Failed => Self::Failed,
        }
    }
}

impl Counts {
    /// Counts one more transfer in `state`.
    pub fn add(&mut self, state: State) {
        self.total += 1;
        *match state {
            State::Metadata => &mut self.metadata,
            State::Checking => &mut self.checking,
            State::Downloading => &mut self.downloading,
            State::Seeding => &mut self.seeding,
            State::Finished => &mut self.finished,
            State::Paused => &mut self.paused,
            State::Failed => &mut self.failed,
            State::Hashing => &mut self.hashing,
            State::Queued => &mut self.queued,
            State::Moving => &mut self.moving,
        } += 1;
    }
}
