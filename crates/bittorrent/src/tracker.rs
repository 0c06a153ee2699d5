//! Trackers: who else is in a swarm. Formats of both kinds, seen from both sides, the table a
//! tracker keeps, and the order in which a client asks its trackers. In this file are the values
//! that the HTTP and the UDP protocol share.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use crate::id::{InfoHash, PeerId};

pub mod announcer;
pub mod http;
pub mod siphash;
pub mod table;
pub mod udp;

/// The shortest interval between announces that we accept from a tracker.
pub const MIN_INTERVAL: Duration = Duration::from_secs(60);
/// The longest interval between announces that we accept from a tracker.
pub const MAX_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// The interval assumed when a tracker names none: what most trackers name.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(30 * 60);
/// Most peers kept of one response; what is beyond is ignored.
pub const MAX_PEERS: usize = 2_000;
/// Longest text of a failure or a warning that is kept, in bytes.
pub const MAX_TEXT: usize = 512;

/// Why a client announces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// Because the interval has passed.
    #[default]
    Periodic,
    /// It has begun.
    Started,
    /// It now has everything.
    Completed,
    /// It is leaving.
    Stopped,
    /// It is incomplete and wants no more: a partial seed (BEP 21).
    Paused,
}

/// What a client tells a tracker (BEP 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceRequest {
    /// Which torrent; of a v2 torrent the truncated hash (BEP 52).
    pub info_hash: InfoHash,
    /// The client's name for itself.
    pub peer_id: PeerId,
    /// The port on which it accepts peers.
    pub port: u16,
    /// Bytes of payload sent since `started`.
    pub uploaded: u64,
    /// Bytes of payload received since `started`.
    pub downloaded: u64,
    /// Bytes still wanted; 0 makes it a seed.
    pub left: u64,
    /// Why it announces.
    pub event: Event,
    /// A secret that names the client when its address changes (BEP 7, BEP 15).
    pub key: u32,
    /// Most peers wanted; `None` leaves it to the tracker.
    pub num_want: Option<u32>,
    /// What the tracker said in `tracker id` last time; HTTP only.
    pub tracker_id: Option<Vec<u8>>,
    /// Its IPv4 address, should it differ from the packet's: `ip` in UDP, `ipv4` in HTTP (BEP 7).
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address: `ipv6` in HTTP (BEP 7).
    pub ipv6: Option<Ipv6Addr>,
}

/// What a tracker answers to an announce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnounceResponse {
    /// When to announce again; from [`MIN_INTERVAL`] to [`MAX_INTERVAL`].
    pub interval: Duration,
    /// Never to announce sooner than this; at most `interval`.
    pub min_interval: Option<Duration>,
    /// Peers that have everything.
    pub seeders: Option<u32>,
    /// Peers that do not.
    pub leechers: Option<u32>,
    /// How often the torrent was completed.
    pub completed: Option<u32>,
    /// Other peers, at most [`MAX_PEERS`].
    pub peers: Vec<SocketAddr>,
    /// To be repeated in the next announce.
    pub tracker_id: Option<Vec<u8>>,
    /// Our address as the tracker sees it (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// Words for the user, though the announce worked; a stranger's text.
    pub warning: Option<String>,
}

/// When a tracker that refused may be asked again (BEP 31).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// After this long.
    After(Duration),
    /// Never.
    Never,
}

/// A tracker's refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tracker refused: {reason}")]
pub struct Refusal {
    /// Why, in its words; a stranger's text of at most [`MAX_TEXT`] bytes.
    pub reason: String,
    /// When to ask again, if it said so.
    pub retry: Option<Retry>,
}

/// What a scrape tells of one torrent (BEP 48).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrapeEntry {
    /// Peers that have everything: `complete`.
    pub seeders: u32,
    /// How often it was completed: `downloaded`.
    pub completed: u32,
    /// Peers that do not have everything: `incomplete`.
    pub leechers: u32,
    /// Those leechers that still want something, if the tracker tells them apart (BEP 21).
    pub downloaders: Option<u32>,
}

/// Brings a tracker's interval in seconds into the accepted range.
#[must_use]
pub fn clamp_interval(secs: i64) -> Duration {
    let secs = u64::try_from(secs).unwrap_or(0);
    Duration::from_secs(secs).clamp(MIN_INTERVAL, MAX_INTERVAL)
}

/// A stranger's words as text, at most [`MAX_TEXT`] bytes of them.
pub(crate) fn bounded_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_TEXT)]);
    text.trim_end_matches(['\0', '\u{fffd}']).into()
}

/// Reads compact peers: 4 bytes of address and 2 of port each (BEP 23). A rest that is no whole
/// peer is ignored, and so are addresses nobody can be at.
pub fn compact_v4(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> + '_ {
    let (peers, _rest) = bytes.as_chunks::<6>();
    peers.iter().map(|&[a, b, c, d, hi, lo]| {
        SocketAddr::from((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([hi, lo])))
    })
}

/// Reads compact IPv6 peers: 16 bytes of address and 2 of port each (BEP 7).
pub fn compact_v6(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> + '_ {
    let (peers, _rest) = bytes.as_chunks::<18>();
    peers.iter().map(|peer| {
        let mut ip = [0; 16];
        ip.copy_from_slice(&peer[..16]);
        SocketAddr::from((Ipv6Addr::from(ip), u16::from_be_bytes([peer[16], peer[17]])))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_peers_are_read_and_rests_ignored() {
        let v4: Vec<_> = compact_v4(&[10, 0, 0, 1, 0x1a, 0xe1, 9, 9]).collect();
        assert_eq!(v4, ["10.0.0.1:6881".parse().unwrap()]);
        let mut bytes = [0; 19];
        bytes[15] = 1;
        bytes[17] = 80;
        let v6: Vec<_> = compact_v6(&bytes).collect();
        assert_eq!(v6, ["[::1]:80".parse().unwrap()]);
    }

    #[test]
    fn text_is_cut_on_a_character() {
        let long = "ä".repeat(MAX_TEXT);
        let text = bounded_text(&long.as_bytes()[1..]);
        assert!(text.len() <= MAX_TEXT + 3 && text.ends_with('ä'), "{text}");
        assert_eq!(bounded_text(b"no such torrent\0"), "no such torrent");
    }
}
