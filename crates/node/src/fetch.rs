//! Fetching what is no torrent: the network that found it brings the bytes, the node keeps the
//! transfer. A network joins by implementing [`Fetcher`] beside [`Finder`](crate::Finder), and
//! [`Contributor`] if others may bring part of the same file. `together` has several do so, `torrent`
//! is BitTorrent's part.

mod together;
mod torrent;

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::search::ContentId;

pub use together::{Contributor, Pending};
pub(crate) use together::{NotBrought, together, want};
pub(crate) use torrent::TorrentPart;

/// Places at which one network has something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Places {
    /// The network.
    pub network: String,
    /// How it calls it, once for each place.
    pub ids: Vec<String>,
}

/// The torrent that something is, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WantedTorrent {
    /// A magnet link to it.
    pub link: String,
    /// Whoever wants it has said so. Else strangers have, and what others bring is not judged by it.
    pub is_certain: bool,
}

/// What a network found, and is to bring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// The network.
    pub network: String,
    /// Its name there; text from a stranger.
    pub name: String,
    /// Bytes, as the network says.
    pub length: u64,
    /// What it is, as far as it is known, from whichever network.
    pub content: ContentId,
    /// How the network calls it ([`Hit::id`](crate::Hit::id)), once for each place that was found
    /// there. It is all that is kept: with these words it can be brought after a restart.
    pub ids: Vec<String>,
    /// Other networks that bring it when this one cannot.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Places>,
    /// The torrent that brings it, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub torrent: Option<WantedTorrent>,
}

impl Wanted {
    /// The same for each network that may bring it, the first one first.
    pub(crate) fn of_each_network(&self) -> impl Iterator<Item = Self> + '_ {
        let first = Places { network: self.network.clone(), ids: self.ids.clone() };
        let all = std::iter::once(first).chain(self.others.iter().cloned());
        all.map(|places| self.at(places))
    }

    /// The same for this network, which perhaps was not asked yet where it has it.
    pub(crate) fn of_network(&self, network: &str) -> Self {
        let known = self.of_each_network().find(|one| one.network == network);
        known.unwrap_or_else(|| self.at(Places { network: network.to_owned(), ids: Vec::new() }))
    }

    fn at(&self, Places { network, ids }: Places) -> Self {
        Self { network, ids, others: Vec::new(), ..self.clone() }
    }
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// Bytes that are there.
    pub have: u64,
    /// Who sends them.
    pub sources: usize,
}

/// A network that brings what it found. Each fetch has a thread of its own, which may wait.
pub trait Fetcher: Send + Sync {
    /// What the network is called, as its [`Finder`](crate::Finder) is.
    fn network(&self) -> &'static str;

    /// Brings `wanted` to the file `to`. Under that name it appears only when it is whole and
    /// verified by all that `wanted.content` says and this network can hash. What has come before is
    /// kept beside it, in a folder that belongs to this fetch alone, and taken up again by the next
    /// call. `tell` hears about twice a second how far it is, and says to stop, which is no error.
    ///
    /// # Errors
    /// In words, when it cannot be brought now. It is tried again later.
    fn fetch(
        &self,
        wanted: &Wanted,
        to: &Path,
        tell: &mut dyn FnMut(Brought) -> ControlFlow<()>,
    ) -> Result<(), String> {
        let part = self.contributor().map(|network| (wanted.clone(), network));
        together(part.as_slice(), to, tell).map_err(|why| why.to_string())
    }

    /// The same network, if it brings what is named by its SHA-1 while others bring part of it.
    fn contributor(&self) -> Option<&dyn Contributor> {
        None
    }
}

impl fmt::Debug for dyn Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.network())
    }
}
