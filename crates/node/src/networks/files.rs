//! What the node asks of a network in which files are shared, searched for and fetched, and the list
//! of those that there are: a new one is another line here.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;

use super::NetworkError;
use super::fasttrack::FastTrack;
use super::gnutella::Gnutella;
use super::napster::Napster;
use super::picture::{Pictured, Standing};
use super::shares::Holdings;
use crate::config::Config;
use crate::fetch::Fetcher;
use crate::search::Finder;

/// How a network is joined: by the settings, but for what was asked now.
pub(crate) struct Joining {
    /// The settings.
    pub(crate) config: Config,
    /// Whom to begin with, as `HOST:PORT`; empty for those of the settings.
    pub(crate) peers: Vec<String>,
    /// Where it listens; `None` for where the settings say.
    pub(crate) listen: Option<SocketAddr>,
    /// What it shares.
    pub(crate) holdings: Holdings,
}

/// Settings by which the next start does the same.
pub(crate) type Remembered = Vec<(String, Value)>;

/// That `network` is joined, where it listens if that was said, and whom it begins with, in the
/// setting `first`, if somebody was named.
pub(super) fn remember(
    network: &str,
    listen: Option<SocketAddr>,
    first: (&str, Option<Value>),
) -> Remembered {
    let all = [
        ("join", Some(Value::Bool(true))),
        ("listen", listen.map(|listen| listen.to_string().into())),
        first,
    ];
    let said = all.into_iter().filter_map(|(name, value)| Some((name, value?)));
    said.map(|(name, value)| (format!("{network}.{name}"), value)).collect()
}

/// A network of files. Its settings are the section of its name, where `join` says whether it is
/// joined at the start.
pub(crate) trait FileNetwork: Finder + Fetcher {
    /// Begins to become part of it; it goes on trying until it is told to leave.
    fn join(&self, joining: Joining) -> Result<Remembered, NetworkError>;

    /// Says goodbye, and ends; within seconds.
    fn leave(&self);

    fn is_running(&self) -> bool;

    /// Whether it is joined at the start.
    fn is_wanted(&self, config: &Config) -> bool;

    fn standing(&self) -> Standing;

    /// How it stands, and what its picture is drawn from.
    fn look(&self) -> Pictured;
}

impl fmt::Debug for dyn FileNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Finder::network(self))
    }
}

/// All of them.
pub(super) fn all() -> Vec<Arc<dyn FileNetwork>> {
    vec![
        Arc::new(Gnutella::default()),
        Arc::new(Napster::default()),
        Arc::new(FastTrack::default()),
    ]
}
