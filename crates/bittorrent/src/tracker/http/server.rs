//! The HTTP tracker protocol as a tracker speaks it: the targets of requests read, responses
//! written.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

use codec::bencode;
use codec::percent;

use crate::id::{InfoHash, PeerId};
use crate::tracker::udp::{Family, MAX_SCRAPE};
use crate::tracker::{AnnounceRequest, Event, ScrapeEntry, compact_v4, compact_v6};

/// Longest target of a request that is read, in bytes.
pub const MAX_TARGET: usize = 4_096;
/// Most parameters of a request that are looked at.
const MAX_PARAMETERS: usize = 100;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `/announce`.
    Announce(Announce),
    /// `/scrape`, of at most [`MAX_SCRAPE`] torrents.
    Scrape(Vec<InfoHash>),
    /// `/stats`.
    Stats,
}

/// An announce, and how its answer is to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The announce.
    pub request: AnnounceRequest,
    /// Peers as a string (BEP 23); only `compact=0` asks for a list.
    pub compact: bool,
    /// The address the client claims (`ip`); to be believed of few.
    pub ip: Option<IpAddr>,
}

/// Why a request is refused. The words go to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Neither `/announce` nor `/scrape` nor `/stats`.
    #[error("there is nothing here but /announce, /scrape and /stats")]
    NotFound,
    /// A target longer than [`MAX_TARGET`].
    #[error("the request is too long")]
    TooLong,
    /// A parameter without which there is no answer.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A parameter that is not what it should be.
    #[error("{0} is invalid")]
    Invalid(&'static str),
}

impl Request {
    /// Reads the target of a request: path and query, as they stand after `GET`.
    ///
    /// # Errors
    /// If it is not for a tracker, or not well-formed.
    pub fn parse(target: &[u8]) -> Result<Self, RequestError> {
        if target.len() > MAX_TARGET {
            return Err(RequestError::TooLong);
        }
        let question = target.iter().position(|byte| *byte == b'?');
        let (path, query) = target.split_at(question.unwrap_or(target.len()));
        let query = query.get(1..).unwrap_or_default();
        match path {
            b"/announce" => parse_announce(query).map(Self::Announce),
            b"/scrape" => parse_scrape(query).map(Self::Scrape),
            b"/stats" => Ok(Self::Stats),
            _ => Err(RequestError::NotFound),
        }
    }
}

fn parse_announce(query: &[u8]) -> Result<Announce, RequestError> {
    let (mut info_hash, mut peer_id, mut port, mut left) = (None, None, None, None);
    let mut announce = Announce {
        request: AnnounceRequest {
            info_hash: InfoHash([0; 20]),
            peer_id: PeerId([0; 20]),
            port: 0,
            uploaded: 0,
            downloaded: 0,
            left: 0,
            event: Event::Periodic,
            key: 0,
            num_want: None,
            tracker_id: None,
            ipv4: None,
            ipv6: None,
        },
        compact: true,
        ip: None,
    };
    let request = &mut announce.request;
    for (key, value) in percent::query(query).take(MAX_PARAMETERS) {
        let value = percent::decode_form(value);
        let value = &*value;
        match key {
            b"info_hash" => info_hash = Some(bytes_20("info_hash", value)?),
            b"peer_id" => peer_id = Some(bytes_20("peer_id", value)?),
            b"port" => port = Some(number("port", value)?),
            b"left" => left = Some(number("left", value)?),
            b"uploaded" => request.uploaded = number("uploaded", value)?,
            b"downloaded" => request.downloaded = number("downloaded", value)?,
            b"numwant" => request.num_want = num_want(value)?,
            b"event" => {
                request.event = match value {
                    b"" | b"empty" => Event::Periodic,
                    b"started" => Event::Started,
                    b"completed" => Event::Completed,
                    b"stopped" => Event::Stopped,
                    b"paused" => Event::Paused,
                    _ => return Err(RequestError::Invalid("event")),
                }
            }
            b"compact" => announce.compact = value != b"0",
            b"ip" => announce.ip = text(value),
            b"ipv4" => request.ipv4 = text(value),
            b"ipv6" => request.ipv6 = text(value),
            // Clients differ in how they write it, and we only compare.
            b"key" => request.key = str::from_utf8(value).ok().map_or(0, hex_key),
            _ => {}
        }
    }
    request.info_hash = InfoHash(info_hash.ok_or(RequestError::Missing("info_hash"))?);
    request.peer_id = PeerId(peer_id.ok_or(RequestError::Missing("peer_id"))?);
    request.port = port.ok_or(RequestError::Missing("port"))?;
    request.left = left.ok_or(RequestError::Missing("left"))?;
    if request.port == 0 {
        return Err(RequestError::Invalid("port"));
    }
    Ok(announce)
}

fn parse_scrape(query: &[u8]) -> Result<Vec<InfoHash>, RequestError> {
    let hashes = percent::query(query)
        .take(MAX_PARAMETERS)
        .filter(|(key, _)| *key == b"info_hash")
        .take(MAX_SCRAPE)
        .map(|(_, value)| bytes_20("info_hash", &percent::decode_form(value)).map(InfoHash))
        .collect::<Result<Vec<_>, _>>()?;
    if hashes.is_empty() {
        // Everything a tracker knows is too much to ask.
        return Err(RequestError::Missing("info_hash"));
    }
    Ok(hashes)
}

fn bytes_20(name: &'static str, value: &[u8]) -> Result<[u8; 20], RequestError> {
    value.try_into().map_err(|_| RequestError::Invalid(name))
}

fn text<T: FromStr>(value: &[u8]) -> Option<T> {
    str::from_utf8(value).ok()?.parse().ok()
}

fn number<T: FromStr>(name: &'static str, value: &[u8]) -> Result<T, RequestError> {
    text(value).ok_or(RequestError::Invalid(name))
}

/// As many as the client likes, if it says nothing or -1.
fn num_want(value: &[u8]) -> Result<Option<u32>, RequestError> {
    let wanted: i32 = number("numwant", value)?;
    Ok(u32::try_from(wanted).ok())
}

fn hex_key(text: &str) -> u32 {
    u32::from_str_radix(text, 16).unwrap_or(0)
}

/// The answer to an announce, but for its peers.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    /// Seconds until the next announce.
    pub interval_secs: u32,
    /// Seconds before which none is welcome.
    pub min_interval_secs: u32,
    /// Peers that have everything.
    pub seeders: u32,
    /// The others.
    pub leechers: u32,
    /// The client's address (BEP 24).
    pub external_ip: IpAddr,
}

/// The answer to an announce, with compact peers of one family.
#[must_use]
pub fn encode_announce(reply: &Reply, peers: &[u8], family: Family, compact: bool) -> Vec<u8> {
    bencode::encode(|value| {
        value.dict(|dict| {
            dict.entry("complete").int(reply.seeders.into());
            match reply.external_ip {
                IpAddr::V4(ip) => dict.entry("external ip").bytes(ip.octets()),
                IpAddr::V6(ip) => dict.entry("external ip").bytes(ip.octets()),
            }
            dict.entry("incomplete").int(reply.leechers.into());
            dict.entry("interval").int(reply.interval_secs.into());
            dict.entry("min interval").int(reply.min_interval_secs.into());
            match (compact, family) {
                (true, Family::V4) => dict.entry("peers").bytes(peers),
                (true, Family::V6) => {
                    // Some clients take a response without `peers` for a failure.
                    dict.entry("peers").bytes([]);
                    dict.entry("peers6").bytes(peers);
                }
                (false, Family::V4) => encode_list(dict.entry("peers"), compact_v4(peers)),
                (false, Family::V6) => encode_list(dict.entry("peers"), compact_v6(peers)),
            }
        });
    })
}

/// Peers as BEP 3 has them, without their ids: we do not keep those.
fn encode_list(value: bencode::Encoder<'_>, peers: impl Iterator<Item = SocketAddr>) {
    value.list(|list| {
        peers.for_each(|peer| {
            list.item().dict(|dict| {
                dict.entry("ip").bytes(peer.ip().to_string());
                dict.entry("port").int(peer.port().into());
            });
        });
    });
}

/// The answer to a scrape.
#[must_use]
pub fn encode_scrape(
    hashes: &[InfoHash],
    mut entry: impl FnMut(&InfoHash) -> ScrapeEntry,
) -> Vec<u8> {
    let mut hashes = hashes.to_vec();
    hashes.sort_unstable();
    hashes.dedup();
    bencode::encode(|value| {
        value.dict(|dict| {
            dict.entry("files").dict(|files| {
                for hash in &hashes {
                    let numbers = entry(hash);
                    files.entry(hash.0).dict(|file| {
                        file.entry("complete").int(numbers.seeders.into());
                        file.entry("downloaded").int(numbers.completed.into());
                        if let Some(downloaders) = numbers.downloaders {
                            file.entry("downloaders").int(downloaders.into());
                        }
                        file.entry("incomplete").int(numbers.leechers.into());
                    });
                }
            });
        });
    })
}

/// A refusal.
#[must_use]
pub fn encode_failure(reason: &str) -> Vec<u8> {
    bencode::encode(|value| {
        value.dict(|dict| dict.entry("failure reason").bytes(reason));
    })
}
