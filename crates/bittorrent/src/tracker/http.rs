//! The HTTP tracker protocol as a client speaks it: requests as URLs (BEP 3, 7, 48), responses as
//! bencode (BEP 3, 7, 21, 23, 24, 31, 48). The tracker's side is in [`server`]. HTTP itself is not
//! here.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use codec::bencode::{self, BencodeError, Dict, Kind};
use codec::percent::Encoded;

use super::{
    AnnounceRequest, AnnounceResponse, DEFAULT_INTERVAL, Event, MAX_PEERS, Refusal, Retry,
    ScrapeEntry, bounded_text, clamp_interval, compact_v4, compact_v6,
};
use crate::id::InfoHash;
use crate::peer_address::is_dialable;

pub mod server;

/// Longest `tracker id` that is kept and sent back, in bytes.
const MAX_TRACKER_ID: usize = 256;
/// Most torrents kept of one scrape.
const MAX_SCRAPED: usize = 1_000;

/// Why a response is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// It is not bencode.
    #[error("the tracker's response is not bencode: {0}")]
    Bencode(#[from] BencodeError),
    /// It is bencode, but no dictionary.
    #[error("the tracker's response is not a dictionary")]
    NoDict,
    /// An entry that must be there is not, or is of the wrong type.
    #[error("the tracker's response has no usable {0:?}")]
    Missing(&'static str),
    /// The tracker refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The URL of an announce: the tracker's URL with the request in its query.
#[must_use]
pub fn announce_url(tracker: &str, request: &AnnounceRequest) -> String {
    let mut url = with_query(tracker);
    let mut add = |arguments: core::fmt::Arguments<'_>| {
        // Writing to a string does not fail.
        let _ = url.write_fmt(arguments);
    };
    add(format_args!("info_hash={}", Encoded(&request.info_hash.0)));
    add(format_args!("&peer_id={}", Encoded(&request.peer_id.0)));
    add(format_args!("&port={}", request.port));
    add(format_args!("&uploaded={}", request.uploaded));
    add(format_args!("&downloaded={}", request.downloaded));
    add(format_args!("&left={}", request.left));
    add(format_args!("&key={:08X}", request.key));
    add(format_args!("&compact=1&no_peer_id=1&supportcrypto=1"));
    match request.event {
        Event::Periodic => {}
        Event::Started => add(format_args!("&event=started")),
        Event::Completed => add(format_args!("&event=completed")),
        Event::Stopped => add(format_args!("&event=stopped")),
        Event::Paused => add(format_args!("&event=paused")),
    }
    if let Some(num_want) = request.num_want {
        add(format_args!("&numwant={num_want}"));
    }
    if let Some(ip) = request.ipv4 {
        add(format_args!("&ipv4={ip}"));
    }
    if let Some(ip) = request.ipv6 {
        let mut text = String::new();
        let _ = write!(text, "{ip}");
        add(format_args!("&ipv6={}", Encoded(text.as_bytes())));
    }
    if let Some(id) = &request.tracker_id {
        add(format_args!("&trackerid={}", Encoded(id)));
    }
    url
}

/// The URL of a scrape, by the convention of BEP 48: the `announce` that begins the last element of
/// the tracker's path becomes `scrape`. `None` if there is none: it cannot be scraped.
#[must_use]
pub fn scrape_url(tracker: &str, hashes: &[InfoHash]) -> Option<String> {
    let (path, query) = tracker.split_once('?').map_or((tracker, None), |(p, q)| (p, Some(q)));
    let last = path.rfind('/')? + 1;
    let rest = path[last..].strip_prefix("announce")?;
    let mut url = String::from(&path[..last]);
    url.push_str("scrape");
    url.push_str(rest);
    if let Some(query) = query {
        url.push('?');
        url.push_str(query);
    }
    let mut url = with_query(&url);
    for (n, hash) in hashes.iter().enumerate() {
        let separator = if n == 0 { "" } else { "&" };
        let _ = write!(url, "{separator}info_hash={}", Encoded(&hash.0));
    }
    Some(url)
}

/// A URL to whose query one can append.
fn with_query(url: &str) -> String {
    let mut url: String = url.split('#').next().unwrap_or_default().into();
    match url.find('?') {
        None => url.push('?'),
        Some(_) if url.ends_with(['?', '&']) => {}
        Some(_) => url.push('&'),
    }
    url
}

/// Reads the answer to an announce. What follows the dictionary is ignored, as clients do.
///
/// # Errors
/// If it is none, or a refusal.
pub fn parse_announce(bytes: &[u8]) -> Result<AnnounceResponse, ResponseError> {
    let document = bencode::decode_prefix(bytes)?;
    let dict = checked(document.dict())?;
    let interval = dict.int("interval").map_or(DEFAULT_INTERVAL, clamp_interval);
    let mut peers = Vec::new();
    read_peers(dict, &mut peers);
    if let Some(compact) = dict.bytes("peers6") {
        peers.extend(compact_v6(compact).filter(|peer| is_dialable(peer, true)).take(MAX_PEERS));
    }
    peers.truncate(MAX_PEERS);
    let count = |key| dict.int(key).and_then(|n| u32::try_from(n).ok());
    Ok(AnnounceResponse {
        interval,
        min_interval: dict.int("min interval").map(|secs| clamp_interval(secs).min(interval)),
        seeders: count("complete"),
        leechers: count("incomplete"),
        completed: count("downloaded"),
        peers,
        tracker_id: dict
            .bytes("tracker id")
            .filter(|id| id.len() <= MAX_TRACKER_ID)
            .map(<[u8]>::to_vec),
        external_ip: dict.bytes("external ip").and_then(read_ip),
        warning: dict.bytes("warning message").map(bounded_text),
    })
}

/// Reads the answer to a scrape.
///
/// # Errors
/// If it is none, or a refusal.
pub fn parse_scrape(bytes: &[u8]) -> Result<BTreeMap<InfoHash, ScrapeEntry>, ResponseError> {
    let document = bencode::decode_prefix(bytes)?;
    let files = checked(document.dict())?.dict("files").ok_or(ResponseError::Missing("files"))?;
    let entries = files.iter().take(MAX_SCRAPED).filter_map(|(hash, value)| {
        let entry = value.as_dict()?;
        let count = |key| entry.int(key).and_then(|n| u32::try_from(n).ok());
        Some((
            InfoHash(hash.try_into().ok()?),
            ScrapeEntry {
                seeders: count("complete").unwrap_or(0),
                completed: count("downloaded").unwrap_or(0),
                leechers: count("incomplete").unwrap_or(0),
                downloaders: count("downloaders"),
            },
        ))
    });
    Ok(entries.collect())
}

/// The dictionary of a response, unless it says that the tracker refuses.
fn checked(dict: Option<Dict<'_>>) -> Result<Dict<'_>, ResponseError> {
    let dict = dict.ok_or(ResponseError::NoDict)?;
    let Some(reason) = dict.bytes("failure reason") else { return Ok(dict) };
    let retry = dict.get("retry in").and_then(|value| match value.kind() {
        Kind::Int => {
            let minutes = u64::try_from(value.as_int()?).ok()?;
            Some(Retry::After(Duration::from_secs(minutes.saturating_mul(60))))
        }
        _ => (value.as_bytes()? == b"never").then_some(Retry::Never),
    });
    Err(Refusal { reason: bounded_text(reason), retry }.into())
}

/// Peers in either form: a string of compact ones (BEP 23), or a list of dictionaries, of which
/// those with a host name instead of an address are left out.
fn read_peers(dict: Dict<'_>, peers: &mut Vec<SocketAddr>) {
    if let Some(compact) = dict.bytes("peers") {
        peers.extend(compact_v4(compact).filter(|peer| is_dialable(peer, true)).take(MAX_PEERS));
    } else if let Some(list) = dict.list("peers") {
        let listed = list.iter().filter_map(|peer| {
            let peer = peer.as_dict()?;
            let ip: IpAddr = peer.str("ip")?.parse().ok()?;
            Some(SocketAddr::new(ip, u16::try_from(peer.int("port")?).ok()?))
        });
        peers.extend(listed.filter(|peer| is_dialable(peer, true)).take(MAX_PEERS));
    }
}

/// An address of 4 or 16 bytes (BEP 24).
fn read_ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| Ipv6Addr::from(v6).to_canonical())
}

#[cfg(test)]
mod tests;
