//! Local service discovery (BEP 14): the message that looks for peers on the local network.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::id::InfoHash;

/// The IPv4 group.
pub const GROUP_V4: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 192, 152, 143)), 6771);
/// The IPv6 group.
pub const GROUP_V6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0xefc0, 0x988f)), 6771);

/// Bytes of a message at most; longer ones are ignored.
pub const MESSAGE_MAX: usize = 1_400;
/// Infohashes in one message at most; more are ignored, fewer are sent.
pub const HASHES_MAX: usize = 20;

/// "These torrents are here, at this port."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Where the sender listens.
    pub port: u16,
    /// Torrents that it takes part in.
    pub info_hashes: Vec<InfoHash>,
    /// A word by which a sender knows its own messages.
    pub cookie: Option<String>,
}

impl Search {
    /// The message, for the group `host`.
    #[must_use]
    pub fn encode(&self, host: SocketAddr) -> Vec<u8> {
        let mut text = format!("BT-SEARCH * HTTP/1.1\r\nHost: {host}\r\nPort: {}\r\n", self.port);
        for hash in self.info_hashes.iter().take(HASHES_MAX) {
            text.push_str(&format!("Infohash: {hash}\r\n"));
        }
        if let Some(cookie) = &self.cookie {
            text.push_str(&format!("cookie: {cookie}\r\n"));
        }
        text.push_str("\r\n\r\n");
        text.into_bytes()
    }

    /// Reads a message; `None` if it is no such message, names no port or no torrent.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MESSAGE_MAX {
            return None;
        }
        let text = core::str::from_utf8(bytes).ok()?;
        let mut lines = text.split("\r\n");
        lines.next().filter(|line| line.starts_with("BT-SEARCH * HTTP/1."))?;
        let mut found = Self { port: 0, info_hashes: Vec::new(), cookie: None };
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':')?;
            let value = value.trim();
            if name.eq_ignore_ascii_case("port") {
                found.port = value.parse().ok()?;
            } else if name.eq_ignore_ascii_case("cookie") {
                found.cookie = Some(value.into());
            } else if name.eq_ignore_ascii_case("infohash")
                && found.info_hashes.len() < HASHES_MAX
                && let Some(hash) = hash_of(value)
            {
                found.info_hashes.push(hash);
            }
        }
        (found.port != 0 && !found.info_hashes.is_empty()).then_some(found)
    }
}

fn hash_of(hex: &str) -> Option<InfoHash> {
    let mut hash = [0; 20];
    let digits = hex.as_bytes();
    if digits.len() != 40 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high * 16 + low) as u8;
    }
    Some(InfoHash(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search() -> Search {
        Search {
            port: 6881,
            info_hashes: [InfoHash([0xab; 20]), InfoHash([1; 20])].to_vec(),
            cookie: Some("name".into()),
        }
    }

    #[test]
    fn what_is_said_is_heard() {
        assert_eq!(Search::decode(&search().encode(GROUP_V4)), Some(search()));
        let text = String::from_utf8(search().encode(GROUP_V6)).unwrap();
        assert!(text.starts_with("BT-SEARCH * HTTP/1.1\r\nHost: [ff15::efc0:988f]:6771\r\n"));
    }

    #[test]
    fn other_programs_spellings_are_heard() {
        let said = b"BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 51413\r\n\
            Infohash: ABABABABABABABABABABABABABABABABABABABAB\r\n\r\n\r\n";
        let heard = Search::decode(said).unwrap();
        assert_eq!((heard.port, heard.info_hashes[0]), (51413, InfoHash([0xab; 20])));
    }

    #[test]
    fn nonsense_is_not() {
        let cases: [&[u8]; 6] = [
            b"",
            b"GET / HTTP/1.1\r\nPort: 1\r\n\r\n",
            b"BT-SEARCH * HTTP/1.1\r\nPort: 99999\r\nInfohash: 00\r\n\r\n",
            b"BT-SEARCH * HTTP/1.1\r\nPort: 1\r\n\r\n",
            b"BT-SEARCH * HTTP/1.1\r\nno colon\r\n\r\n",
            b"BT-SEARCH * HTTP/1.1\r\nPort: 1\r\nInfohash: \xff\xfe\r\n\r\n",
        ];
        for case in cases {
            assert_eq!(Search::decode(case), None, "{case:?}");
        }
        let many = Search { info_hashes: alloc::vec![InfoHash([7; 20]); 500], ..search() };
        assert_eq!(Search::decode(&many.encode(GROUP_V4)).unwrap().info_hashes.len(), HASHES_MAX);
    }
}
