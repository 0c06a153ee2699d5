//! Magnet links (BEP 9, 52, 53).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;

use codec::percent::{self, Encoded};
use codec::{base32, hex};

use crate::id::{InfoHash, InfoHashV2, InfoHashes};
use crate::metainfo::{Metainfo, path};
use crate::peer_address::is_dialable;
use crate::url;

/// Longest link that is read, in bytes.
pub const MAX_LEN: usize = 1 << 20;
/// Most trackers that are kept; of web seeds and peers as many each.
pub const MAX_URLS: usize = 100;
/// Most ranges of files that are kept.
pub const MAX_RANGES: usize = 1000;
/// Longest name that is kept, in bytes.
const MAX_NAME_LEN: usize = 1024;

/// A parsed magnet link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Magnet {
    /// `xt`: at least one of the two.
    pub hashes: InfoHashes,
    /// `dn`: a name to show until the real one is known.
    pub name: Option<String>,
    /// `tr`: tracker URLs.
    pub trackers: Vec<String>,
    /// `ws`: web seeds.
    pub web_seeds: Vec<String>,
    /// `x.pe`: peers by address.
    pub peers: Vec<SocketAddr>,
    /// `x.pe` by host name and port, to be looked up.
    pub peer_hosts: Vec<(String, u16)>,
    /// `so`: ranges of file indices to fetch, first and last included (BEP 53); empty is all.
    pub select_only: Vec<(usize, usize)>,
}

/// Why a magnet link was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MagnetError {
    /// Another scheme, or none.
    #[error("not a magnet link: it does not begin with `magnet:?`")]
    Scheme,
    /// More than [`MAX_LEN`] bytes.
    #[error("a magnet link of more than {MAX_LEN} bytes")]
    TooLong,
    /// A BitTorrent infohash that cannot be read, and none that can.
    #[error("a magnet link with a malformed infohash")]
    Hash,
    /// No BitTorrent infohash.
    #[error("a magnet link without a BitTorrent infohash (`xt=urn:btih:` or `xt=urn:btmh:`)")]
    NoHash,
}

impl MagnetError {
    /// A name for machines to read; it does not change.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Scheme => "scheme",
            Self::TooLong => "too_long",
            Self::Hash => "hash",
            Self::NoHash => "no_hash",
        }
    }
}

impl Magnet {
    /// A link that has nothing but infohashes.
    #[must_use]
    pub fn new(hashes: InfoHashes) -> Self {
        Self {
            hashes,
            name: None,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            peers: Vec::new(),
            peer_hosts: Vec::new(),
            select_only: Vec::new(),
        }
    }

    /// Reads a link. Parameters that are unknown, malformed, or beyond the limits of this module
    /// are left out.
    ///
    /// # Errors
    /// If it is no magnet link, or names no torrent.
    pub fn parse(link: &str) -> Result<Self, MagnetError> {
        let link = link.trim();
        if link.len() > MAX_LEN {
            return Err(MagnetError::TooLong);
        }
        let (scheme, query) = link.split_once('?').ok_or(MagnetError::Scheme)?;
        if !scheme.eq_ignore_ascii_case("magnet:") {
            return Err(MagnetError::Scheme);
        }
        let mut magnet = Self::new(InfoHashes { v1: None, v2: None });
        let mut malformed = false;
        for (key, value) in percent::query(query.as_bytes()) {
            // Keys may be numbered to be told apart: `tr.1`.
            let is_number = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
            let dot = key.iter().rposition(|byte| *byte == b'.');
            let dot = dot.filter(|dot| is_number(&key[dot + 1..]));
            match &key[..dot.unwrap_or(key.len())] {
                b"xt" => malformed |= magnet.add_topic(&percent::decode(value)).is_none(),
                b"dn" => {
                    let name = percent::decode_form(value);
                    let mut name = String::from_utf8_lossy(&name).into_owned();
                    name.truncate(name.floor_char_boundary(MAX_NAME_LEN));
                    magnet.name = magnet.name.or(Some(name)).filter(|name| !name.is_empty());
                }
                b"tr" => add_url(&mut magnet.trackers, value),
                b"ws" => add_url(&mut magnet.web_seeds, value),
                b"x.pe" => magnet.add_peer(&percent::decode(value)),
                b"so" => magnet.add_ranges(&percent::decode(value)),
                _ => {}
            }
        }
        match magnet.hashes.primary() {
            Some(_) => Ok(magnet),
            None if malformed => Err(MagnetError::Hash),
            None => Err(MagnetError::NoHash),
        }
    }

    /// The name that a file or folder may have on disk.
    #[must_use]
    pub fn disk_name(&self) -> String {
        let hash = self.hashes.primary().map(|hash| hash.to_string()).unwrap_or_default();
        path::sanitize(self.name.as_deref().unwrap_or_default(), &hash)
    }

    /// The peers that may be dialled.
    pub fn dialable_peers(&self, allow_loopback: bool) -> impl Iterator<Item = SocketAddr> + '_ {
        self.peers.iter().copied().filter(move |peer| is_dialable(peer, allow_loopback))
    }

    /// `xt`; `None` if it is one of ours and malformed.
    fn add_topic(&mut self, topic: &[u8]) -> Option<()> {
        let topic = core::str::from_utf8(topic).ok()?;
        let after = |prefix: &str| {
            let (head, rest) = topic.split_at_checked(prefix.len())?;
            head.eq_ignore_ascii_case(prefix).then_some(rest)
        };
        if let Some(hash) = after("urn:btih:") {
            let hash = hex::decode(hash).or_else(|| base32::decode(hash)?.try_into().ok())?;
            self.hashes.v1 = self.hashes.v1.or(Some(InfoHash(hash)));
        } else if let Some(multihash) = after("urn:btmh:") {
            // SHA-256 (0x12) of 32 bytes (0x20).
            let hash = hex::decode(multihash.strip_prefix("1220")?)?;
            self.hashes.v2 = self.hashes.v2.or(Some(InfoHashV2(hash)));
        }
        Some(())
    }

    fn add_peer(&mut self, peer: &[u8]) {
        let Ok(peer) = core::str::from_utf8(peer) else { return };
        if self.peers.len() + self.peer_hosts.len() == MAX_URLS {
            return;
        }
        if let Ok(address) = peer.parse::<SocketAddr>() {
            if is_dialable(&address, true) && !self.peers.contains(&address) {
                self.peers.push(address);
            }
            return;
        }
        let Some((host, port)) = peer.rsplit_once(':') else { return };
        let port = port.parse().ok().filter(|port| *port != 0);
        let host = url::ascii_host(host).filter(|host| is_host_name(host));
        if let Some((host, port)) = host.zip(port) {
            let host = (host.into_owned(), port);
            if !self.peer_hosts.contains(&host) {
                self.peer_hosts.push(host);
            }
        }
    }

    fn add_ranges(&mut self, ranges: &[u8]) {
        let Ok(ranges) = core::str::from_utf8(ranges) else { return };
        let ranges = ranges.split(',').filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let range: (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            (range.0 <= range.1).then_some(range)
        });
        let room = MAX_RANGES - self.select_only.len();
        self.select_only.extend(ranges.take(room));
    }
}

/// Whether a host is a name rather than an address, by the letters it is made of.
fn is_host_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let host = host.strip_suffix('.').unwrap_or(host);
    // A last label of digits or `0x..` is an IPv4 address written to go unnoticed.
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253
        && host.split('.').all(is_label)
        && !is_number(last)
        && !last.to_ascii_lowercase().starts_with("0x")
}

fn add_url(urls: &mut Vec<String>, value: &[u8]) {
    if urls.len() < MAX_URLS
        && let Some(url) = url::clean(&percent::decode(value))
        && !urls.contains(&url)
    {
        urls.push(url);
    }
}

impl FromStr for Magnet {
    type Err = MagnetError;

    fn from_str(link: &str) -> Result<Self, MagnetError> {
        Self::parse(link)
    }
}

impl From<&Metainfo> for Magnet {
    /// A link to the same torrent, with its name, trackers and web seeds.
    fn from(metainfo: &Metainfo) -> Self {
        Self {
            name: Some(metainfo.info.name.clone()).filter(|name| !name.is_empty()),
            trackers: metainfo.trackers.concat(),
            web_seeds: metainfo.web_seeds.clone(),
            ..Self::new(metainfo.info.hashes)
        }
    }
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "magnet:?";
        let mut parameter = |key: &str, value: fmt::Arguments<'_>| {
            write!(f, "{separator}{key}={value}")?;
            separator = "&";
            Ok(())
        };
        if let Some(v1) = self.hashes.v1 {
            parameter("xt", format_args!("urn:btih:{v1}"))?;
        }
        if let Some(v2) = self.hashes.v2 {
            parameter("xt", format_args!("urn:btmh:1220{v2}"))?;
        }
        if let Some(name) = &self.name {
            parameter("dn", format_args!("{}", Encoded(name.as_bytes())))?;
        }
        for url in &self.trackers {
            parameter("tr", format_args!("{}", Encoded(url.as_bytes())))?;
        }
        for url in &self.web_seeds {
            parameter("ws", format_args!("{}", Encoded(url.as_bytes())))?;
        }
        for peer in &self.peers {
            parameter("x.pe", format_args!("{}", Encoded(peer.to_string().as_bytes())))?;
        }
        for (host, port) in &self.peer_hosts {
            parameter("x.pe", format_args!("{}%3A{port}", Encoded(host.as_bytes())))?;
        }
        let range = |(first, last): &(usize, usize)| {
            if first == last { first.to_string() } else { alloc::format!("{first}-{last}") }
        };
        if !self.select_only.is_empty() {
            let ranges: Vec<_> = self.select_only.iter().map(range).collect();
            parameter("so", format_args!("{}", ranges.join(",")))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
