//! What a node is told: one TOML file, then what was changed while it ran, then the environment.
//! Each setting has one name, `section.key`; its variable is `SHOAL_SECTION_KEY`.

mod fasttrack;
mod gnutella;
mod layers;
mod napster;
mod settings;
mod times;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use net::dht::MAINLINE;
use net::session::{DhtConfig, Encryption, SeedUntil, SessionConfig, TorrentLimits};
use serde::{Deserialize, Serialize};

pub use fasttrack::{FastTrackRole, FastTrackSection};
pub use gnutella::GnutellaSection;
pub use layers::{Layers, Origin};
pub use napster::NapsterSection;
pub use settings::{Kind, SETTINGS, Setting};
pub use times::Times;

use crate::paths;
use crate::record::Record;

/// Where the HTTP interfaces are, unless it is said otherwise.
pub const API_LISTEN: &str = "127.0.0.1:7680";
/// The other limits, unless it is said otherwise, in bytes per second.
const ALT_LIMIT: u64 = 50_000;
/// A transfer that moved nothing for so many seconds takes no place of the queue, unless it is said
/// otherwise.
const QUEUE_STALLED: u64 = 30 * 60;
/// Connections of one transfer, unless it is said otherwise.
const TRANSFER_CONNECTIONS: usize = 200;
/// The port for peers, unless it is said otherwise.
const PEER_PORT: u16 = 6881;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a key that there is not, or a value of the wrong kind.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        message: String,
    },
    /// A setting from elsewhere is wrong.
    #[error("{name}: {message}")]
    Setting {
        /// The setting or variable.
        name: String,
        /// What is wrong.
        message: String,
    },
}

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The node itself.
    pub node: NodeSection,
    /// The HTTP interfaces.
    pub api: ApiSection,
    /// How to meet other peers.
    pub network: NetworkSection,
    /// The ring of Chord.
    pub chord: ChordSection,
    /// The servent of Gnutella.
    pub gnutella: GnutellaSection,
    /// The client of Napster.
    pub napster: NapsterSection,
    /// The node of a two-level network.
    pub fasttrack: FastTrackSection,
    /// What is fetched and shared.
    pub transfers: TransfersSection,
    /// What is said about it.
    pub log: LogSection,
}

/// `[node]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeSection {
    /// Folder for what the node remembers.
    pub state_dir: PathBuf,
}

/// `[api]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiSection {
    /// `ADDR:PORT` or `unix:/path`.
    pub listen: String,
    /// Names by which the page may be asked for, beyond addresses and `localhost`.
    pub hosts: Vec<String>,
}

/// `[network]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkSection {
    /// Where to accept peers.
    pub listen: Vec<SocketAddr>,
    /// The one network interface to use; empty is any.
    pub interface: String,
    /// `off`, `allow`, `prefer` or `require`.
    pub encryption: EncryptionSetting,
    /// Use TCP.
    pub tcp: bool,
    /// Use uTP.
    pub utp: bool,
    /// Look for peers on the local network.
    pub lsd: bool,
    /// Exchange addresses of peers.
    pub pex: bool,
    /// Take part in the DHT.
    pub dht: bool,
    /// Nodes of the DHT to begin with, as `HOST:PORT`.
    pub dht_bootstrap: Vec<String>,
    /// Ask the router at home to let the outside in.
    pub port_mapping: bool,
    /// Most connections at once.
    pub max_connections: usize,
}

/// `[chord]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChordSection {
    /// Be part of a ring.
    pub join: bool,
    /// Where the node of Chord is; empty for a free port.
    pub listen: String,
    /// Nodes of the ring, as `HOST:PORT`.
    pub bootstrap: Vec<String>,
}

/// [`Encryption`], as a setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncryptionSetting {
    /// Plain connections only.
    Off,
    /// Dial plain, accept both.
    #[default]
    Allow,
    /// Dial obfuscated, accept both.
    Prefer,
    /// Obfuscated connections only.
    Require,
}

/// `[transfers]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransfersSection {
    /// Bytes of unfinished pieces kept in memory, over all transfers.
    pub piece_memory: u64,
    /// Where files go.
    pub download_dir: PathBuf,
    /// Folders in which transfers may be put, beyond `download_dir`.
    pub roots: Vec<PathBuf>,
    /// Folders from which files may be published through the API.
    pub publish_roots: Vec<PathBuf>,
    /// Bytes per second sent; 0 is no limit.
    pub upload_limit: u64,
    /// Bytes per second received; 0 is no limit.
    pub download_limit: u64,
    /// Stop sharing at this ratio; 0 is never.
    pub seed_ratio: f64,
    /// Stop sharing after so many seconds; 0 is never.
    pub seed_time: u64,
    /// Stop sharing after so many seconds in which nobody fetched anything; 0 is never.
    pub seed_idle: u64,
    /// Use the other limits.
    pub alt_enabled: bool,
    /// The other limit on bytes per second sent; 0 is no limit.
    pub alt_upload_limit: u64,
    /// The other limit on bytes per second received; 0 is no limit.
    pub alt_download_limit: u64,
    /// Turn the other limits on and off by `alt_times`.
    pub alt_scheduled: bool,
    /// When the other limits hold, such as `mon-fri 09:00-17:00`.
    pub alt_times: Times,
    /// Most transfers that fetch at once; 0 is all.
    pub download_queue: usize,
    /// Most transfers that are complete and offered at once; 0 is all.
    pub seed_queue: usize,
    /// A transfer that has moved nothing for so many seconds takes no place of the queue; 0 is never.
    pub queue_stalled: u64,
    /// Most connections of one transfer at once.
    pub max_connections: usize,
    /// Begin at once what comes by the watched folder, and what programs add without a word on it.
    pub start_added: bool,
    /// A folder in which .torrent and .magnet files are found and added; empty is none.
    pub watch_dir: PathBuf,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// `error`, `warn`, `info`, `debug`, `trace`, or by module.
    pub level: String,
}

impl Default for NodeSection {
    fn default() -> Self {
        Self { state_dir: paths::state_dir() }
    }
}

impl Default for ApiSection {
    fn default() -> Self {
        Self { listen: API_LISTEN.to_owned(), hosts: Vec::new() }
    }
}

impl Default for NetworkSection {
    fn default() -> Self {
        Self {
            listen: vec![([0, 0, 0, 0], PEER_PORT).into()],
            interface: String::new(),
            encryption: EncryptionSetting::default(),
            tcp: true,
            utp: true,
            lsd: true,
            pex: true,
            dht: true,
            dht_bootstrap: MAINLINE.iter().map(|&name| name.to_owned()).collect(),
            port_mapping: true,
            max_connections: 500,
        }
    }
}

impl Default for TransfersSection {
    fn default() -> Self {
        Self {
            piece_memory: SessionConfig::default().piece_memory,
            download_dir: paths::download_dir(),
            roots: Vec::new(),
            publish_roots: vec![paths::home()],
            upload_limit: 0,
            download_limit: 0,
            seed_ratio: 0.0,
            seed_time: 0,
            seed_idle: 0,
            alt_enabled: false,
            alt_upload_limit: ALT_LIMIT,
            alt_download_limit: ALT_LIMIT,
            alt_scheduled: false,
            alt_times: Times::default(),
            download_queue: 0,
            seed_queue: 0,
            queue_stalled: QUEUE_STALLED,
            max_connections: TRANSFER_CONNECTIONS,
            start_added: true,
            watch_dir: PathBuf::new(),
        }
    }
}

impl Default for LogSection {
    fn default() -> Self {
        Self { level: "info".to_owned() }
    }
}

impl ChordSection {
    /// Where the node of Chord is; `None` for a free port.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }
}

impl TransfersSection {
    /// Folders in which transfers may be put.
    #[must_use]
    pub fn allowed(&self) -> Vec<PathBuf> {
        std::iter::once(&self.download_dir).chain(&self.roots).cloned().collect()
    }

    /// When a transfer has shared enough, as far as it does not say so itself.
    #[must_use]
    pub(crate) fn seed_until(&self, record: &Record) -> SeedUntil {
        let seconds = |own: Option<u64>, of_all: u64| {
            Some(own.unwrap_or(of_all)).filter(|time| *time > 0).map(Duration::from_secs)
        };
        SeedUntil {
            ratio: Some(record.rules.seed_ratio.unwrap_or(self.seed_ratio))
                .filter(|ratio| *ratio > 0.0),
            time: seconds(record.rules.seed_time, self.seed_time),
            idle: seconds(record.rules.seed_idle, self.seed_idle),
        }
    }

    /// How much of the session a transfer may have.
    #[must_use]
    pub(crate) fn torrent_limits(&self, record: &Record) -> TorrentLimits {
        TorrentLimits {
            upload: record.rules.upload_limit,
            download: record.rules.download_limit,
            connections: Some(record.rules.max_connections.unwrap_or(self.max_connections)),
            precedence: record.rules.bandwidth.precedence(),
            exempt: record.rules.unlimited,
        }
    }

    /// The limits on bytes per second sent and received that hold now.
    #[must_use]
    pub fn limits(&self) -> (Option<u64>, Option<u64>) {
        let limit = |bytes: u64| (bytes > 0).then_some(bytes);
        if self.alt_enabled {
            (limit(self.alt_upload_limit), limit(self.alt_download_limit))
        } else {
            (limit(self.upload_limit), limit(self.download_limit))
        }
    }
}

impl Config {
    /// The session that these settings describe.
    #[must_use]
    pub fn session(&self) -> SessionConfig {
        let network = &self.network;
        let (upload_limit, download_limit) = self.transfers.limits();
        SessionConfig {
            listen: network.listen.clone(),
            interface: Some(network.interface.clone()).filter(|name| !name.is_empty()),
            upload_limit,
            download_limit,
            encryption: match network.encryption {
                EncryptionSetting::Off => Encryption::Off,
                EncryptionSetting::Allow => Encryption::Allow,
                EncryptionSetting::Prefer => Encryption::Prefer,
                EncryptionSetting::Require => Encryption::Require,
            },
            tcp: network.tcp,
            utp: network.utp,
            lsd: network.lsd,
            pex: network.pex,
            dht: network.dht.then(|| DhtConfig {
                bootstrap: network.dht_bootstrap.clone(),
                state: Some(self.node.state_dir.clone()),
            }),
            port_mapping: network.port_mapping,
            max_connections: network.max_connections,
            piece_memory: self.transfers.piece_memory,
            ..SessionConfig::default()
        }
    }
}

impl Config {
    /// What types alone cannot say.
    fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |name: &str, message: &str| {
            Err(ConfigError::Setting { name: name.to_owned(), message: message.to_owned() })
        };
        if crate::api::Listen::parse(&self.api.listen).is_none() {
            return wrong("api.listen", "neither ADDR:PORT nor unix:/path");
        }
        if !self.chord.listen.is_empty() && self.chord.address().is_none() {
            return wrong("chord.listen", "not an address and a port such as 192.0.2.1:7000");
        }
        if !self.gnutella.listen.is_empty() && self.gnutella.address().is_none() {
            return wrong("gnutella.listen", "not an address and a port such as 192.0.2.1:6346");
        }
        if !self.fasttrack.listen.is_empty() && self.fasttrack.address().is_none() {
            return wrong("fasttrack.listen", "not an address and a port such as 192.0.2.1:1214");
        }
        if !self.napster.listen.is_empty() && self.napster.address().is_none() {
            return wrong(
                "napster.listen",
                "not an IPv4 address and a port such as 192.0.2.1:6699",
            );
        }
        if self.transfers.max_connections == 0 {
            return wrong("transfers.max_connections", "at least 1 is needed");
        }
        if self.network.max_connections == 0 {
            return wrong("network.max_connections", "at least 1 is needed");
        }
        if !self.network.tcp && !self.network.utp {
            return wrong("network.tcp", "without TCP and uTP nobody can be reached");
        }
        if !self.transfers.seed_ratio.is_finite() || self.transfers.seed_ratio < 0.0 {
            return wrong("transfers.seed_ratio", "not a ratio such as 1.5");
        }
        const FROM_THE_ROOT: &str = "folders are named from the root: /home/me/files";
        let folders = [&self.node.state_dir, &self.transfers.download_dir];
        if folders.into_iter().chain(&self.transfers.roots).any(|path| !path.is_absolute()) {
            return wrong("transfers.download_dir", FROM_THE_ROOT);
        }
        let watched = &self.transfers.watch_dir;
        if !watched.as_os_str().is_empty() && !watched.is_absolute() {
            return wrong("transfers.watch_dir", FROM_THE_ROOT);
        }
        Ok(())
    }
}
