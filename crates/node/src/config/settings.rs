//! The list of all settings, for people: what each is, and whether it takes effect at once.

use serde::Serialize;
use toml::Value;

/// What kind of value a setting has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Words.
    Text,
    /// A number.
    Number,
    /// Yes or no.
    Bool,
    /// Several texts.
    List,
    /// Bytes per second; 0 is no limit.
    Rate,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// `section.key`
    pub name: &'static str,
    /// The kind of its value.
    pub kind: Kind,
    /// Whether a change takes effect at once, rather than after a restart.
    pub live: bool,
    /// What it is, in words.
    pub what: &'static str,
}

const fn setting(name: &'static str, kind: Kind, live: bool, what: &'static str) -> Setting {
    Setting { name, kind, live, what }
}

/// All settings.
pub const SETTINGS: &[Setting] = &[
    setting("node.state_dir", Kind::Text, false, "Folder for what the node remembers"),
    setting("api.listen", Kind::Text, false, "Where this page is: ADDR:PORT, or unix:/path"),
    setting("api.hosts", Kind::List, false, "Names by which this page may be asked for"),
    setting("network.listen", Kind::List, false, "Where to accept peers"),
    setting("network.interface", Kind::Text, false, "The one network interface to use"),
    setting(
        "network.encryption",
        Kind::Text,
        false,
        "Obfuscated connections: off, allow, prefer or require",
    ),
    setting("network.tcp", Kind::Bool, false, "Use TCP"),
    setting("network.utp", Kind::Bool, false, "Use uTP, which gives way to other traffic"),
    setting("network.lsd", Kind::Bool, false, "Look for peers on the local network"),
    setting("network.pex", Kind::Bool, false, "Exchange addresses of peers with peers"),
    setting("network.dht", Kind::Bool, false, "Take part in the DHT: magnets without trackers"),
    setting("network.dht_bootstrap", Kind::List, false, "Nodes of the DHT to begin with"),
    setting(
        "network.port_mapping",
        Kind::Bool,
        false,
        "Ask the router to let connections in (PCP, NAT-PMP or UPnP)",
    ),
    setting("network.max_connections", Kind::Number, true, "Most connections at once"),
    setting("chord.join", Kind::Bool, false, "Be part of a ring of Chord"),
    setting("chord.listen", Kind::Text, false, "Where this node is in the ring; empty is anywhere"),
    setting("chord.bootstrap", Kind::List, false, "Nodes of the ring to begin with"),
    setting("gnutella.join", Kind::Bool, false, "Share the library and search in Gnutella"),
    setting(
        "gnutella.listen",
        Kind::Text,
        false,
        "Where this node is in Gnutella; empty is anywhere",
    ),
    setting("gnutella.bootstrap", Kind::List, false, "Servents or host caches to begin with"),
    setting(
        "gnutella.role",
        Kind::Text,
        false,
        "What this node is in Gnutella: auto, leaf, ultrapeer or old (version 0.4)",
    ),
    setting(
        "gnutella.firewalled",
        Kind::Bool,
        false,
        "Others in Gnutella cannot connect to this node",
    ),
    setting("napster.join", Kind::Bool, false, "Share the library and search at a Napster server"),
    setting("napster.server", Kind::Text, false, "The server of Napster, as HOST:PORT"),
    setting("napster.nick", Kind::Text, false, "This node's name there; made up if empty"),
    setting("napster.listen", Kind::Text, false, "Where peers of Napster come; empty: any port"),
    setting("napster.firewalled", Kind::Bool, false, "Peers of Napster cannot reach this node"),
    setting("fasttrack.join", Kind::Bool, false, "Share the library and search among supernodes"),
    setting("fasttrack.listen", Kind::Text, false, "Where this node is there; empty is anywhere"),
    setting("fasttrack.bootstrap", Kind::List, false, "Nodes of FastTrack to begin with"),
    setting(
        "fasttrack.role",
        Kind::Text,
        false,
        "What this node is there: auto, or supernode from the start",
    ),
    setting(
        "fasttrack.firewalled",
        Kind::Bool,
        false,
        "Others in FastTrack cannot connect to this node",
    ),
    setting("transfers.download_dir", Kind::Text, true, "Where files go"),
    setting("transfers.roots", Kind::List, true, "Other folders in which transfers may be put"),
    setting(
        "transfers.publish_roots",
        Kind::List,
        true,
        "Folders from which files may be published through this page",
    ),
    setting("transfers.upload_limit", Kind::Rate, true, "Most bytes per second sent"),
    setting("transfers.download_limit", Kind::Rate, true, "Most bytes per second received"),
    setting("transfers.seed_ratio", Kind::Number, true, "Share until this ratio; 0 is for ever"),
    setting(
        "transfers.seed_time",
        Kind::Number,
        true,
        "Share for so many seconds once complete; 0 is for ever",
    ),
    setting(
        "transfers.seed_idle",
        Kind::Number,
        true,
        "Share until nobody has fetched anything for so many seconds; 0 is for ever",
    ),
    setting("transfers.alt_enabled", Kind::Bool, true, "Use the other limits now"),
    setting("transfers.alt_upload_limit", Kind::Rate, true, "The other limit on bytes sent"),
    setting("transfers.alt_download_limit", Kind::Rate, true, "The other limit on bytes received"),
    setting("transfers.alt_scheduled", Kind::Bool, true, "Use the other limits by the clock"),
    setting(
        "transfers.alt_times",
        Kind::Text,
        true,
        "When the other limits hold, such as mon-fri 09:00-17:00 or daily 22:00-06:00",
    ),
    setting("transfers.download_queue", Kind::Number, true, "Most that fetch at once; 0 is all"),
    setting("transfers.seed_queue", Kind::Number, true, "Most that share at once; 0 is all"),
    setting(
        "transfers.queue_stalled",
        Kind::Number,
        true,
        "One that has moved nothing for so many seconds takes no place of these; 0 is never",
    ),
    setting("transfers.max_connections", Kind::Number, true, "Most connections of one transfer"),
    setting(
        "transfers.start_added",
        Kind::Bool,
        true,
        "Begin at once what comes by the watched folder, and by front-ends that do not say otherwise",
    ),
    setting(
        "transfers.watch_dir",
        Kind::Text,
        true,
        "A folder whose .torrent and .magnet files are added; empty is none",
    ),
    setting(
        "transfers.piece_memory",
        Kind::Number,
        false,
        "Bytes of unfinished pieces kept in memory, over all transfers",
    ),
    setting("log.level", Kind::Text, false, "What is logged: error, warn, info, debug or trace"),
];

impl Setting {
    /// The environment variable that overrides it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("SHOAL_{}", self.name.replace('.', "_").to_uppercase())
    }

    /// Reads a value from a variable.
    ///
    /// # Errors
    /// In words, when it is not of this setting's kind.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        match self.kind {
            Kind::Text => Ok(Value::String(text.to_owned())),
            Kind::Bool => match text {
                "true" | "1" | "yes" => Ok(Value::Boolean(true)),
                "false" | "0" | "no" => Ok(Value::Boolean(false)),
                _ => Err(format!("`{text}` is neither true nor false")),
            },
            Kind::Number | Kind::Rate => {
                let whole = text.parse().map(Value::Integer);
                whole
                    .or_else(|_| text.parse().map(Value::Float))
                    .map_err(|_| format!("`{text}` is not a number"))
            }
            Kind::List => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Ok(Value::Array(parts.map(|part| Value::String(part.to_owned())).collect()))
            }
        }
    }
}
