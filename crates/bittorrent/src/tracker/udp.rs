//! The UDP tracker protocol (BEP 15) and its options (BEP 41), as a client and as a tracker see
//! it. Bytes only: retransmission and timeouts are the driver's.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::{
    AnnounceRequest, AnnounceResponse, Event, MAX_PEERS, Refusal, ScrapeEntry, bounded_text,
    clamp_interval, compact_v4, compact_v6,
};
use crate::id::{InfoHash, PeerId};
use crate::peer_address::is_dialable;

/// Stands where a connection id would, in the request for one.
const PROTOCOL_ID: u64 = 0x417_2710_1980;
/// Most torrents in one scrape: what fits a datagram of common size (BEP 15).
pub const MAX_SCRAPE: usize = 74;
/// Bytes of an announce without options.
pub const ANNOUNCE_LEN: usize = 98;
/// Bytes of a connect, either way.
pub const CONNECT_LEN: usize = 16;
/// Longest path and query that is sent as options (BEP 41).
const MAX_URL_DATA: usize = 1024;

const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const SCRAPE: u32 = 2;
const ERROR: u32 = 3;

const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_URL_DATA: u8 = 2;

/// A tracker's token for an address that has proved to be real.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId(pub u64);

/// Ties a response to its request; random, from the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub u32);

/// The family of the addresses in a response: that of the datagram it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// 6 bytes a peer.
    V4,
    /// 18 bytes a peer.
    V6,
}

/// Why a datagram is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UdpError {
    /// It ends before its fields do.
    #[error("a datagram of {len} bytes is too short for action {action}")]
    Truncated {
        /// Its length in bytes.
        len: usize,
        /// The action it claims, or `u32::MAX` if it is too short even for that.
        action: u32,
    },
    /// It claims an action that does not exist, or not in this direction.
    #[error("unknown action {0}")]
    UnknownAction(u32),
    /// A request that begins neither with a connection id nor with the protocol's number.
    #[error("a connect request without the protocol's number")]
    NotTheProtocol,
    /// A scrape of more than [`MAX_SCRAPE`] torrents, or of none.
    #[error("a scrape of {0} torrents")]
    ScrapeLen(usize),
}

/// A request, as a tracker reads it. Nothing is copied that need not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Asks for a connection id.
    Connect {
        /// To be repeated.
        transaction: TransactionId,
    },
    /// Announces.
    Announce {
        /// What connect gave.
        connection: ConnectionId,
        /// To be repeated.
        transaction: TransactionId,
        /// The announce.
        announce: AnnounceRequest,
        /// Options after it (BEP 41), for [`url_data`].
        options: &'a [u8],
    },
    /// Asks for numbers.
    Scrape {
        /// What connect gave.
        connection: ConnectionId,
        /// To be repeated.
        transaction: TransactionId,
        /// Of which torrents; from 1 to [`MAX_SCRAPE`].
        hashes: &'a [[u8; 20]],
    },
}

impl<'a> Request<'a> {
    /// Reads a request.
    ///
    /// # Errors
    /// If it is too short for its action, or no request at all.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, UdpError> {
        let truncated = |action| UdpError::Truncated { len: bytes.len(), action };
        let (head, body) =
            bytes.split_first_chunk::<CONNECT_LEN>().ok_or_else(|| truncated(u32::MAX))?;
        let connection = ConnectionId(u64_at(head, 0));
        let action = u32_at(head, 8);
        let transaction = TransactionId(u32_at(head, 12));
        match action {
            CONNECT if connection.0 == PROTOCOL_ID => Ok(Self::Connect { transaction }),
            CONNECT => Err(UdpError::NotTheProtocol),
            ANNOUNCE => {
                let (fields, options) = body
                    .split_first_chunk::<{ ANNOUNCE_LEN - CONNECT_LEN }>()
                    .ok_or_else(|| truncated(action))?;
                let announce = read_announce(fields);
                Ok(Self::Announce { connection, transaction, announce, options })
            }
            SCRAPE => {
                let (hashes, _rest) = body.as_chunks::<20>();
                if hashes.is_empty() || hashes.len() > MAX_SCRAPE {
                    return Err(UdpError::ScrapeLen(hashes.len()));
                }
                Ok(Self::Scrape { connection, transaction, hashes })
            }
            _ => Err(UdpError::UnknownAction(action)),
        }
    }
}

/// Where the fields begin that follow the head of an announce.
fn read_announce(fields: &[u8; ANNOUNCE_LEN - CONNECT_LEN]) -> AnnounceRequest {
    let ip = u32_at(fields, 68);
    let num_want = u32_at(fields, 76);
    AnnounceRequest {
        info_hash: InfoHash(array_at(fields, 0)),
        peer_id: PeerId(array_at(fields, 20)),
        downloaded: u64_at(fields, 40),
        left: u64_at(fields, 48),
        uploaded: u64_at(fields, 56),
        event: match u32_at(fields, 64) {
            1 => Event::Completed,
            2 => Event::Started,
            3 => Event::Stopped,
            4 => Event::Paused,
            _ => Event::Periodic,
        },
        ipv4: (ip != 0).then(|| Ipv4Addr::from_bits(ip)),
        key: u32_at(fields, 72),
        // Anything with the sign bit set means "as many as you like" (BEP 15: -1).
        num_want: (num_want <= i32::MAX as u32).then_some(num_want),
        port: u16::from_be_bytes(array_at(fields, 80)),
        tracker_id: None,
        ipv6: None,
    }
}

/// Path and query of the tracker's URL as the client was given it, from the options of an announce
/// (BEP 41). Reading stops at the end, at what is unknown without a length, and at a truncation.
#[must_use]
pub fn url_data(options: &[u8]) -> Vec<u8> {
    let mut url = Vec::new();
    let mut rest = options;
    while let Some((&kind, after)) = rest.split_first() {
        rest = match kind {
            OPTION_END => break,
            OPTION_NOP => after,
            _ => {
                let Some((&len, after)) = after.split_first() else { break };
                let Some((data, after)) = after.split_at_checked(len.into()) else { break };
                if kind == OPTION_URL_DATA && url.len() + data.len() <= MAX_URL_DATA {
                    url.extend_from_slice(data);
                }
                after
            }
        };
    }
    url
}

/// A request for a connection id.
#[must_use]
pub fn encode_connect(transaction: TransactionId) -> [u8; CONNECT_LEN] {
    head(ConnectionId(PROTOCOL_ID), CONNECT, transaction)
}

/// An announce. `url` is path and query of the tracker's URL, sent as options (BEP 41) if there
/// is more to it than `/`; beyond 1024 bytes it is left out.
#[must_use]
pub fn encode_announce(
    connection: ConnectionId,
    transaction: TransactionId,
    announce: &AnnounceRequest,
    url: &[u8],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(ANNOUNCE_LEN + url.len() + 8);
    out.extend_from_slice(&head(connection, ANNOUNCE, transaction));
    out.extend_from_slice(&announce.info_hash.0);
    out.extend_from_slice(&announce.peer_id.0);
    out.extend_from_slice(&announce.downloaded.to_be_bytes());
    out.extend_from_slice(&announce.left.to_be_bytes());
    out.extend_from_slice(&announce.uploaded.to_be_bytes());
    let event: u32 = match announce.event {
        Event::Periodic => 0,
        Event::Completed => 1,
        Event::Started => 2,
        Event::Stopped => 3,
        Event::Paused => 4,
    };
    out.extend_from_slice(&event.to_be_bytes());
    out.extend_from_slice(&announce.ipv4.map_or(0, Ipv4Addr::to_bits).to_be_bytes());
    out.extend_from_slice(&announce.key.to_be_bytes());
    let num_want = announce.num_want.map_or(u32::MAX, |want| want.min(i32::MAX as u32));
    out.extend_from_slice(&num_want.to_be_bytes());
    out.extend_from_slice(&announce.port.to_be_bytes());
    if !matches!(url, b"" | b"/") && url.len() <= MAX_URL_DATA {
        for part in url.chunks(255) {
            out.extend_from_slice(&[OPTION_URL_DATA, part.len() as u8]);
            out.extend_from_slice(part);
        }
        out.push(OPTION_END);
    }
    out
}

/// A scrape.
///
/// # Errors
/// If there are more than [`MAX_SCRAPE`] torrents, or none.
pub fn encode_scrape(
    connection: ConnectionId,
    transaction: TransactionId,
    hashes: &[InfoHash],
) -> Result<Vec<u8>, UdpError> {
    if hashes.is_empty() || hashes.len() > MAX_SCRAPE {
        return Err(UdpError::ScrapeLen(hashes.len()));
    }
    let mut out = Vec::with_capacity(CONNECT_LEN + 20 * hashes.len());
    out.extend_from_slice(&head(connection, SCRAPE, transaction));
    hashes.iter().for_each(|hash| out.extend_from_slice(&hash.0));
    Ok(out)
}

/// A response, as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// A connection id, of use for a minute.
    Connect(ConnectionId),
    /// The answer to an announce.
    Announce(AnnounceResponse),
    /// The numbers asked for, in the order of the request; at most [`MAX_SCRAPE`].
    Scrape(Vec<ScrapeEntry>),
    /// A refusal.
    Error(Refusal),
}

/// Reads a response that came over an address family. Who asked compares the transaction.
///
/// # Errors
/// If it is too short for its action, or no response at all.
pub fn decode_response(
    bytes: &[u8],
    family: Family,
) -> Result<(TransactionId, Response), UdpError> {
    let truncated = |action| UdpError::Truncated { len: bytes.len(), action };
    let (head, body) = bytes.split_first_chunk::<8>().ok_or_else(|| truncated(u32::MAX))?;
    let action = u32_at(head, 0);
    let response = match action {
        CONNECT => {
            let (id, _rest) = body.split_first_chunk::<8>().ok_or_else(|| truncated(action))?;
            Response::Connect(ConnectionId(u64::from_be_bytes(*id)))
        }
        ANNOUNCE => {
            let (numbers, peers) =
                body.split_first_chunk::<12>().ok_or_else(|| truncated(action))?;
            let peers = match family {
                Family::V4 => compact_v4(peers)
                    .filter(|peer| is_dialable(peer, true))
                    .take(MAX_PEERS)
                    .collect(),
                Family::V6 => compact_v6(peers)
                    .filter(|peer| is_dialable(peer, true))
                    .take(MAX_PEERS)
                    .collect(),
            };
            Response::Announce(AnnounceResponse {
                interval: clamp_interval(i32::from_be_bytes(array_at(numbers, 0)).into()),
                leechers: Some(u32_at(numbers, 4)),
                seeders: Some(u32_at(numbers, 8)),
                peers,
                ..AnnounceResponse::default()
            })
        }
        SCRAPE => {
            let (entries, _rest) = body.as_chunks::<12>();
            let entries = entries.iter().take(MAX_SCRAPE).map(|entry| ScrapeEntry {
                seeders: u32_at(entry, 0),
                completed: u32_at(entry, 4),
                leechers: u32_at(entry, 8),
                downloaders: None,
            });
            Response::Scrape(entries.collect())
        }
        ERROR => Response::Error(Refusal { reason: bounded_text(body), retry: None }),
        _ => return Err(UdpError::UnknownAction(action)),
    };
    Ok((TransactionId(u32_at(head, 4)), response))
}

/// Appends the answer to a connect: as long as the request, so of no use to amplify.
pub fn write_connect(out: &mut Vec<u8>, transaction: TransactionId, id: ConnectionId) {
    write_head(out, CONNECT, transaction);
    out.extend_from_slice(&id.0.to_be_bytes());
}

/// Bytes of the answer to an announce before its compact peers.
pub const ANNOUNCE_HEAD_LEN: usize = 20;

/// The answer to an announce but for its compact peers, which follow.
#[must_use]
pub fn announce_head(
    transaction: TransactionId,
    interval_secs: u32,
    leechers: u32,
    seeders: u32,
) -> [u8; ANNOUNCE_HEAD_LEN] {
    let mut head = [0; ANNOUNCE_HEAD_LEN];
    let words = [ANNOUNCE, transaction.0, interval_secs, leechers, seeders];
    for (bytes, word) in head.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_be_bytes();
    }
    head
}

/// Appends the answer to a scrape.
pub fn write_scrape(
    out: &mut Vec<u8>,
    transaction: TransactionId,
    entries: impl IntoIterator<Item = ScrapeEntry>,
) {
    write_head(out, SCRAPE, transaction);
    for entry in entries {
        out.extend_from_slice(&entry.seeders.to_be_bytes());
        out.extend_from_slice(&entry.completed.to_be_bytes());
        out.extend_from_slice(&entry.leechers.to_be_bytes());
    }
}

/// Appends a refusal.
pub fn write_error(out: &mut Vec<u8>, transaction: TransactionId, reason: &str) {
    write_head(out, ERROR, transaction);
    out.extend_from_slice(reason.as_bytes());
}

fn write_head(out: &mut Vec<u8>, action: u32, transaction: TransactionId) {
    out.extend_from_slice(&action.to_be_bytes());
    out.extend_from_slice(&transaction.0.to_be_bytes());
}

fn head(connection: ConnectionId, action: u32, transaction: TransactionId) -> [u8; CONNECT_LEN] {
    let mut head = [0; CONNECT_LEN];
    head[..8].copy_from_slice(&connection.0.to_be_bytes());
    head[8..12].copy_from_slice(&action.to_be_bytes());
    head[12..].copy_from_slice(&transaction.0.to_be_bytes());
    head
}

/// The `N` bytes at an offset that the caller knows to be inside.
fn array_at<const LEN: usize, const N: usize>(bytes: &[u8; LEN], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

fn u32_at<const LEN: usize>(bytes: &[u8; LEN], at: usize) -> u32 {
    u32::from_be_bytes(array_at(bytes, at))
}

fn u64_at<const LEN: usize>(bytes: &[u8; LEN], at: usize) -> u64 {
    u64::from_be_bytes(array_at(bytes, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const TRANSACTION: TransactionId = TransactionId(0xdead_beef);

    fn announce() -> AnnounceRequest {
        AnnounceRequest {
            info_hash: InfoHash(*b"aaaaaaaaaaaaaaaaaaaa"),
            peer_id: PeerId(*b"-SH0001-bbbbbbbbbbbb"),
            port: 6881,
            uploaded: 3,
            downloaded: 1,
            left: 2,
            event: Event::Started,
            key: 0x0102_0304,
            num_want: None,
            tracker_id: None,
            ipv4: None,
            ipv6: None,
        }
    }

    #[test]
    fn announce_lies_in_the_datagram_as_bep_15_draws_it() {
        let bytes = encode_announce(ConnectionId(7), TRANSACTION, &announce(), b"");
        assert_eq!(bytes.len(), 98);
        assert_eq!(bytes[..16], *b"\0\0\0\0\0\0\0\x07\0\0\0\x01\xde\xad\xbe\xef");
        assert_eq!(bytes[16..36], *b"aaaaaaaaaaaaaaaaaaaa");
        assert_eq!(bytes[56..64], 1u64.to_be_bytes());
        assert_eq!(bytes[64..72], 2u64.to_be_bytes());
        assert_eq!(bytes[72..80], 3u64.to_be_bytes());
        assert_eq!(bytes[80..84], [0, 0, 0, 2]);
        assert_eq!(bytes[84..], *b"\0\0\0\0\x01\x02\x03\x04\xff\xff\xff\xff\x1a\xe1");
        assert_eq!(encode_connect(TRANSACTION)[..12], *b"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0");
    }

    #[test]
    fn path_and_query_travel_as_options() {
        let mut long = std::vec![b'x'; 300];
        long[0] = b'/';
        for url in [&b"/announce?key=1"[..], &long] {
            let bytes = encode_announce(ConnectionId(7), TRANSACTION, &announce(), url);
            let Ok(Request::Announce { options, .. }) = Request::decode(&bytes) else {
                panic!("not read back")
            };
            assert_eq!(url_data(options), url);
        }
        let options: &[u8] = &[1, 9, 2, 1, 1, 2, 1, b'/', 2, 1, b'a', 0, 2, 1, b'b'];
        assert_eq!(url_data(options), b"/a", "unknown options are skipped, the end ends");
        assert_eq!(url_data(&[2, 200, b'/']), b"");
    }

    #[test]
    fn responses_read_back() {
        let mut out = Vec::new();
        out.extend_from_slice(&announce_head(TRANSACTION, 1800, 4, 5));
        out.extend_from_slice(&[10, 0, 0, 1, 0x1a, 0xe1, 10, 0, 0, 2, 0, 0]);
        let expected = AnnounceResponse {
            interval: Duration::from_secs(1800),
            leechers: Some(4),
            seeders: Some(5),
            peers: std::vec!["10.0.0.1:6881".parse().unwrap()],
            ..AnnounceResponse::default()
        };
        let read = decode_response(&out, Family::V4);
        assert_eq!(read, Ok((TRANSACTION, Response::Announce(expected))), "port 0 is left out");

        out.clear();
        let entry = ScrapeEntry { seeders: 1, completed: 2, leechers: 3, downloaders: None };
        write_scrape(&mut out, TRANSACTION, [entry]);
        let read = decode_response(&out, Family::V6);
        assert_eq!(read, Ok((TRANSACTION, Response::Scrape(std::vec![entry]))));

        out.clear();
        write_error(&mut out, TRANSACTION, "no");
        let refusal = Refusal { reason: "no".into(), retry: None };
        assert_eq!(decode_response(&out, Family::V4), Ok((TRANSACTION, Response::Error(refusal))));
    }

    #[test]
    fn tr_09_replies_that_are_no_replies_are_errors() {
        let mut connect = Vec::new();
        write_connect(&mut connect, TRANSACTION, ConnectionId(9));
        assert_eq!(connect.len(), CONNECT_LEN);
        let read = |bytes: &[u8]| decode_response(bytes, Family::V4);
        assert_eq!(read(&connect), Ok((TRANSACTION, Response::Connect(ConnectionId(9)))));
        assert!(matches!(read(&connect[..7]), Err(UdpError::Truncated { len: 7, .. })));
        assert!(matches!(read(&connect[..15]), Err(UdpError::Truncated { action: CONNECT, .. })));
        let mut unknown = connect;
        unknown[3] = 9;
        assert_eq!(read(&unknown), Err(UdpError::UnknownAction(9)));
    }

    #[test]
    fn tr_03_intervals_are_clamped() {
        for (sent, kept) in [(0u32, 60), (u32::MAX, 60), (i32::MAX as u32, 86_400), (900, 900)] {
            let mut out = Vec::new();
            out.extend_from_slice(&announce_head(TRANSACTION, sent, 0, 0));
            let Ok((_, Response::Announce(read))) = decode_response(&out, Family::V4) else {
                panic!("not read back")
            };
            assert_eq!(read.interval, Duration::from_secs(kept));
        }
    }

    #[test]
    fn tr_12_requests_without_the_protocols_number_are_errors() {
        let mut connect = encode_connect(TRANSACTION);
        connect[0] = 1;
        assert_eq!(Request::decode(&connect), Err(UdpError::NotTheProtocol));
        let scrape = head(ConnectionId(1), SCRAPE, TRANSACTION);
        assert_eq!(Request::decode(&scrape), Err(UdpError::ScrapeLen(0)));
        assert_eq!(
            encode_scrape(ConnectionId(1), TRANSACTION, &[InfoHash([0; 20]); 75]),
            Err(UdpError::ScrapeLen(75))
        );
    }

    proptest! {
        #[test]
        fn announces_read_back(
            hash: [u8; 20], id: [u8; 20], port: u16, numbers: [u64; 3], key: u32,
            event in 0usize..5, want in proptest::option::of(0u32..1 << 31), ip: u32,
        ) {
            use Event::{Completed, Paused, Periodic, Started, Stopped};
            let request = AnnounceRequest {
                info_hash: InfoHash(hash),
                peer_id: PeerId(id),
                port,
                uploaded: numbers[0],
                downloaded: numbers[1],
                left: numbers[2],
                event: [Periodic, Started, Completed, Stopped, Paused][event],
                key,
                num_want: want,
                tracker_id: None,
                ipv4: (ip != 0).then(|| ip.into()),
                ipv6: None,
            };
            let bytes = encode_announce(ConnectionId(1), TRANSACTION, &request, b"/");
            prop_assert_eq!(Request::decode(&bytes), Ok(Request::Announce {
                connection: ConnectionId(1),
                transaction: TRANSACTION,
                announce: request,
                options: &[],
            }));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = decode_response(&bytes, Family::V4);
            let _ = decode_response(&bytes, Family::V6);
            if let Ok(Request::Announce { options, .. }) = Request::decode(&bytes) {
                let _ = url_data(options);
            }
        }
    }
}
