//! What a node is told: one TOML file, then what was changed while it ran, then the environment.
//! Each setting has one name, `section.key`; its variable is `SHOAL_SECTION_KEY`.

mod gnutella;
mod napster;
mod settings;
mod times;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use net::dht::MAINLINE;
use net::session::{DhtConfig, Encryption, SeedUntil, SessionConfig, TorrentLimits};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

pub use gnutella::GnutellaSection;
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

/// Where a setting's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Nobody said anything else.
    Default,
    /// The configuration file.
    File,
    /// It was changed while the node ran.
    Runtime,
    /// An environment variable.
    Environment,
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
            ratio: Some(record.seed_ratio.unwrap_or(self.seed_ratio)).filter(|ratio| *ratio > 0.0),
            time: seconds(record.seed_time, self.seed_time),
            idle: seconds(record.seed_idle, self.seed_idle),
        }
    }

    /// How much of the session a transfer may have.
    #[must_use]
    pub(crate) fn torrent_limits(&self, record: &Record) -> TorrentLimits {
        TorrentLimits {
            upload: record.upload_limit,
            download: record.download_limit,
            connections: Some(record.max_connections.unwrap_or(self.max_connections)),
            precedence: record.bandwidth.precedence(),
            exempt: record.unlimited,
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

/// A configuration in its layers, so that it can be said where each value comes from.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The configuration file's path, if there is one.
    pub file: Option<PathBuf>,
    from_file: Table,
    runtime: BTreeMap<String, Value>,
    environment: BTreeMap<String, Value>,
}

impl Layers {
    /// Reads the file at `path`, or the one at the usual place if there is one; then the variables
    /// among `environment`.
    ///
    /// # Errors
    /// When `path` cannot be read, or anything is unknown or of the wrong kind.
    pub fn load(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let usual = paths::config_file();
        let path = path.map_or_else(|| usual.is_file().then_some(usual.as_path()), Some);
        let mut layers = Self::default();
        if let Some(path) = path {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
            layers = Self::from_toml(&text, path)?;
        }
        for (variable, text) in environment {
            let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == variable)
            else {
                continue;
            };
            let value = setting.parse(&text);
            let mistake = |message| ConfigError::Setting { name: variable.clone(), message };
            layers.environment.insert(setting.name.to_owned(), value.map_err(mistake)?);
        }
        layers.check(None)?;
        Ok(layers)
    }

    fn from_toml(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let wrong = |message: String| ConfigError::File { path: path.to_owned(), message };
        // For its messages, which know line and column.
        toml::from_str::<Config>(text).map_err(|error| wrong(error.to_string()))?;
        let from_file = text.parse().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
        Ok(Self { file: Some(path.to_owned()), from_file, ..Self::default() })
    }

    /// Changes a setting while the node runs; `None` takes that back.
    ///
    /// # Errors
    /// When there is no such setting, or the value is not of its kind; then nothing changes.
    pub fn change(&mut self, name: &str, value: Option<Value>) -> Result<(), ConfigError> {
        let mut changed = self.clone();
        match value {
            Some(value) => changed.runtime.insert(name.to_owned(), value),
            None => changed.runtime.remove(name),
        };
        changed.check(Some(name))?;
        *self = changed;
        Ok(())
    }

    fn check(&self, name: Option<&str>) -> Result<(), ConfigError> {
        if let Some(name) = name
            && !SETTINGS.iter().any(|setting| setting.name == name)
        {
            let message = "there is no such setting".to_owned();
            return Err(ConfigError::Setting { name: name.to_owned(), message });
        }
        let wrong = |message: String| ConfigError::Setting {
            name: name.unwrap_or("configuration").to_owned(),
            message: message.trim().to_owned(),
        };
        self.merged().try_into::<Config>().map_err(|error| wrong(error.to_string()))?.validate()
    }

    fn merged(&self) -> Table {
        let mut merged = self.from_file.clone();
        for (name, value) in self.runtime.iter().chain(&self.environment) {
            let Some((section, key)) = name.split_once('.') else { continue };
            let section = merged.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Some(section) = section.as_table_mut() {
                section.insert(key.to_owned(), value.clone());
            }
        }
        merged
    }

    /// What all layers say together.
    #[must_use]
    pub fn config(&self) -> Config {
        // Every layer was checked when it was laid on.
        self.merged().try_into().unwrap_or_default()
    }

    /// A setting's value and where it comes from.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<(Value, Origin)> {
        let (section, key) = name.split_once('.')?;
        let in_table = |table: &Table| table.get(section)?.get(key).cloned();
        if let Some(value) = self.environment.get(name) {
            return Some((value.clone(), Origin::Environment));
        }
        if let Some(value) = self.runtime.get(name) {
            return Some((value.clone(), Origin::Runtime));
        }
        if let Some(value) = in_table(&self.from_file) {
            return Some((value, Origin::File));
        }
        let default = Table::try_from(Config::default()).ok()?;
        Some((in_table(&default)?, Origin::Default))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn from_toml(text: &str) -> Result<Layers, ConfigError> {
        let layers = Layers::from_toml(text, Path::new("config.toml"))?;
        layers.check(None)?;
        Ok(layers)
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error =
            from_toml("[api]\nlisten = \"127.0.0.1:1\"\nlissten = 3\n").expect_err("unknown");
        let message = error.to_string();
        assert!(message.contains("line 3") && message.contains("lissten"), "{message}");
        let error = from_toml("[transfers]\nupload_limit = \"fast\"\n").expect_err("a number");
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    #[test]
    fn layers_lie_on_each_other() {
        let mut layers = from_toml("[transfers]\nupload_limit = 1000\n").expect("good");
        assert_eq!(layers.config().transfers.limits(), (Some(1000), None));
        layers.change("transfers.upload_limit", Some(Value::Integer(2000))).expect("good");
        assert_eq!(layers.config().transfers.upload_limit, 2000);
        layers.environment.insert("transfers.upload_limit".into(), Value::Integer(3000));
        assert_eq!(layers.config().transfers.upload_limit, 3000);
        let (_, origin) = layers.value("transfers.upload_limit").expect("a setting");
        assert_eq!(origin, Origin::Environment);
        let (value, origin) = layers.value("network.pex").expect("a setting");
        assert_eq!((value, origin), (Value::Boolean(true), Origin::Default));
    }

    #[test]
    fn a_change_for_the_worse_changes_nothing() {
        let mut layers = from_toml("").expect("good");
        for (name, value) in [
            ("transfers.upload_limit", Value::String("x".into())),
            ("transfers.upload_limit", Value::Integer(-1)),
            ("transfers.nothing", Value::Integer(1)),
            ("api.listen", Value::String("everywhere".into())),
            ("transfers.download_dir", Value::String("here".into())),
            ("network.max_connections", Value::Integer(0)),
            ("transfers.max_connections", Value::Integer(0)),
        ] {
            assert!(layers.change(name, Some(value)).is_err(), "{name}");
        }
        assert_eq!(layers.config(), Config::default());
    }

    #[test]
    fn variables_are_parsed_by_the_kind_of_their_setting() {
        let variables = [
            ("SHOAL_API_LISTEN", "[::1]:9"),
            ("SHOAL_NETWORK_PEX", "false"),
            ("SHOAL_NETWORK_LISTEN", "127.0.0.1:1,[::1]:1"),
            ("SHOAL_LOG", "debug"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let empty = tempfile::NamedTempFile::new().expect("a file");
        let config = Layers::load(Some(empty.path()), variables).expect("good").config();
        assert_eq!(config.api.listen, "[::1]:9");
        assert!(!config.network.pex);
        assert_eq!(config.network.listen.len(), 2);
        let wrong = [("SHOAL_NETWORK_PEX".to_owned(), "maybe".to_owned())];
        let error = Layers::load(Some(empty.path()), wrong).expect_err("wrong");
        assert!(error.to_string().contains("SHOAL_NETWORK_PEX"), "{error}");
    }

    #[test]
    fn every_setting_is_described() {
        let table = Table::try_from(Config::default()).expect("plain values");
        let mut names: Vec<String> = Vec::new();
        for (section, keys) in &table {
            let keys = keys.as_table().expect("a section");
            names.extend(keys.keys().map(|key| format!("{section}.{key}")));
        }
        let mut described: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
        names.sort();
        described.sort_unstable();
        assert_eq!(names, described);
    }
}
