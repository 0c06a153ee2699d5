//! What is wanted and where it can be had, in types and in words. Taking it is `fetch`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use search::gnutella::{Guid, Sha1, TigerRoot};

/// Sources that are known of one file.
pub(crate) const KNOWN_MAX: usize = 64;
/// Servents that pass pushes on to one source.
pub(crate) const PROXIES_MAX: usize = 8;

/// A file that is wanted.
#[derive(Clone, Debug)]
pub struct Want {
    /// Its hash.
    pub sha1: Sha1,
    /// Its length in bytes.
    pub len: u64,
    /// The root of its Tiger tree, from whoever is believed.
    pub tree: Option<TigerRoot>,
    /// Who has it.
    pub sources: Vec<From>,
}

/// Where a file can be had. In words it is `ADDR:PORT`, or `ADDR:PORT/GUID/INDEX/PROXY,PROXY` for one
/// that must be asked to connect, without the `GUID` if it has no name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct From {
    /// Where the host accepts connections.
    pub addr: SocketAddr,
    /// How to ask it to connect to us, if it must be.
    pub push: Option<Pushed>,
}

/// A host that must be asked to connect to us.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pushed {
    /// Its name, all zeros where hosts have none but their addresses.
    pub servent: Guid,
    /// How it numbers the file.
    pub index: u32,
    /// Who passes pushes on to it.
    pub proxies: Vec<SocketAddr>,
}

/// Words that are no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no source of Gnutella, such as 192.0.2.1:6346")]
pub struct NoSource(String);

impl From {
    /// What tells hosts apart: addresses, and names of those that have any.
    pub(super) fn key(&self) -> (SocketAddr, Option<Guid>) {
        let name = self.push.as_ref().map(|push| push.servent);
        (self.addr, name.filter(|name| *name != Guid::default()))
    }
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.addr)?;
        let Some(push) = &self.push else { return Ok(()) };
        let proxies: Vec<String> = push.proxies.iter().map(ToString::to_string).collect();
        let name = (push.servent != Guid::default()).then(|| push.servent.to_string());
        write!(f, "/{}/{}/{}", name.unwrap_or_default(), push.index, proxies.join(","))
    }
}

impl FromStr for From {
    type Err = NoSource;

    fn from_str(text: &str) -> Result<Self, NoSource> {
        parse(text).ok_or_else(|| NoSource(text.chars().take(80).collect()))
    }
}

fn parse(text: &str) -> Option<From> {
    let mut parts = text.split('/');
    let addr = parts.next()?.parse().ok()?;
    let Some(servent) = parts.next() else { return Some(From { addr, push: None }) };
    let servent = match servent {
        "" => Guid::default(),
        name => Guid(codec::hex::decode::<16>(name)?),
    };
    let index = parts.next()?.parse().ok()?;
    let proxies = parts.next()?.split(',').filter(|proxy| !proxy.is_empty());
    let proxies = proxies.take(PROXIES_MAX).map(|proxy| proxy.parse().ok());
    let push = Pushed { servent, index, proxies: proxies.collect::<Option<_>>()? };
    parts.next().is_none().then_some(From { addr, push: Some(push) })
}

/// How far a fetch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are there, verified if blocks have hashes.
    pub have: u64,
    /// Sources that are asked.
    pub sources: usize,
}

/// What one source gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gave {
    /// Where it is.
    pub addr: SocketAddr,
    /// Who it is by its own word, in networks whose hosts have keys.
    pub identity: Option<[u8; 32]>,
    /// Verified bytes.
    pub bytes: u64,
    /// How long it took over them.
    pub took: Duration,
}

/// What a fetch took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// What each source gave.
    pub from: Vec<Gave>,
    /// Whether each block was verified by itself.
    pub by_hashes: bool,
    /// Blocks that were not what they should be, and were thrown away.
    pub bad_blocks: u64,
    /// Blocks that were there from an earlier try.
    pub kept_blocks: u64,
}

/// Why a file is not there.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No source is left.
    #[error("no source has the rest: {missing} of {blocks} blocks are missing")]
    NoSource {
        /// Blocks that are missing.
        missing: usize,
        /// Blocks in all.
        blocks: usize,
    },
    /// The whole does not hash to what was asked for.
    #[error("the file is not what its hash says")]
    Corrupt,
    /// More bytes than can be asked for.
    #[error("a file of {0} bytes is too large")]
    Len(u64),
    /// The disk.
    #[error("{path}: {source}")]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_as_they_are_written() {
        let addr = "192.0.2.1:6346".parse().expect("an address");
        let proxies = vec!["192.0.2.2:1".parse().expect("an address"); 2];
        let pushed = Pushed { servent: Guid([0xab; 16]), index: 7, proxies };
        let hidden = Pushed { proxies: Vec::new(), ..pushed.clone() };
        let unnamed = Pushed { servent: Guid::default(), ..pushed.clone() };
        for push in [None, Some(pushed), Some(hidden), Some(unnamed)] {
            let from = From { addr, push };
            assert_eq!(from.to_string().parse(), Ok(from));
        }
        let guid = "ab".repeat(16);
        for text in [
            "",
            "192.0.2.1",
            "192.0.2.1:6346/",
            "192.0.2.1:6346/ab/1/",
            &format!("192.0.2.1:6346/{guid}"),
            &format!("192.0.2.1:6346/{guid}/x/"),
            &format!("192.0.2.1:6346/{guid}/1/nobody"),
            &format!("192.0.2.1:6346/{guid}/1//"),
        ] {
            assert!(text.parse::<From>().is_err(), "{text}");
        }
    }
}
