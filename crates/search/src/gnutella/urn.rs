//! Names of contents by hash: SHA-1, the root of a Tiger tree, and both together, which is called
//! a bitprint (HUGE 0.94); and the torrent that a file can be had by too (BEP 9).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use codec::base32;
use codec::hex::{self, Hex};

/// The SHA-1 of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha1(pub [u8; 20]);

/// The root of a file's Tiger tree (THEX).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TigerRoot(pub [u8; 24]);

/// The infohash of a torrent of version 1 (BEP 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHash(pub [u8; 20]);

impl fmt::Debug for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base32::encode(&self.0))
    }
}

impl fmt::Debug for TigerRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base32::encode(&self.0))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Hex(&self.0), f)
    }
}

/// What a URN of this network may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Urn {
    /// `urn:sha1:`
    Sha1(Sha1),
    /// `urn:bitprint:`
    Bitprint(Sha1, TigerRoot),
    /// `urn:tree:tiger/:` and its spellings.
    Tiger(TigerRoot),
    /// `urn:btih:` (BEP 9): the file is all that this torrent is of.
    Torrent(InfoHash),
}

/// Characters of a SHA-1 in base32.
const SHA1_DIGITS: usize = 32;

impl Urn {
    /// Reads a whole URN, its scheme in any case.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let rest = strip(text, b"urn:")?;
        if let Some(digits) = strip(rest, b"sha1:") {
            return sha1(digits).map(Self::Sha1);
        }
        if let Some(both) = strip(rest, b"bitprint:") {
            let (first, second) = both.split_at_checked(SHA1_DIGITS)?;
            return Some(Self::Bitprint(sha1(first)?, tiger(second.strip_prefix(b".")?)?));
        }
        if let Some(digits) = strip(rest, b"btih:") {
            return infohash(digits).map(Self::Torrent);
        }
        let rest = strip(rest, b"tree:tiger")?;
        let rest = strip(rest, b"/").unwrap_or(rest);
        tiger(strip(rest, b":")?).map(Self::Tiger)
    }

    /// The SHA-1 in it.
    #[must_use]
    pub const fn sha1(&self) -> Option<Sha1> {
        match self {
            Self::Sha1(sha1) | Self::Bitprint(sha1, _) => Some(*sha1),
            Self::Tiger(_) | Self::Torrent(_) => None,
        }
    }

    /// The root of a tree in it.
    #[must_use]
    pub const fn tiger(&self) -> Option<TigerRoot> {
        match self {
            Self::Tiger(root) | Self::Bitprint(_, root) => Some(*root),
            Self::Sha1(_) | Self::Torrent(_) => None,
        }
    }

    /// The torrent in it.
    #[must_use]
    pub const fn infohash(&self) -> Option<InfoHash> {
        match self {
            Self::Torrent(infohash) => Some(*infohash),
            Self::Sha1(_) | Self::Bitprint(..) | Self::Tiger(_) => None,
        }
    }

    /// Reads the value of the GGEP extension `H`: which hash, and its bytes.
    #[must_use]
    pub fn from_ggep(value: &[u8]) -> Option<Self> {
        match value.split_first()? {
            (1, bytes) => Some(Self::Sha1(Sha1(bytes.try_into().ok()?))),
            (2, bytes) => {
                let (first, second) = bytes.split_first_chunk::<20>()?;
                Some(Self::Bitprint(Sha1(*first), TigerRoot(second.try_into().ok()?)))
            }
            _ => None,
        }
    }

    /// The value of the GGEP extension `H`; there is none for a tree alone, and none for a torrent.
    #[must_use]
    pub fn to_ggep(&self) -> Option<Vec<u8>> {
        match self {
            Self::Sha1(Sha1(bytes)) => Some([&[1][..], bytes].concat()),
            Self::Bitprint(Sha1(first), TigerRoot(second)) => {
                Some([&[2][..], first, second].concat())
            }
            Self::Tiger(_) | Self::Torrent(_) => None,
        }
    }

    /// As text, in the usual spelling.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Sha1(sha1) => format!("urn:sha1:{sha1:?}"),
            Self::Bitprint(sha1, root) => format!("urn:bitprint:{sha1:?}.{root:?}"),
            Self::Tiger(root) => format!("urn:tree:tiger/:{root:?}"),
            Self::Torrent(infohash) => format!("urn:btih:{infohash:?}"),
        }
    }
}

fn strip<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (front, rest) = text.split_at_checked(prefix.len())?;
    front.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn sha1(digits: &[u8]) -> Option<Sha1> {
    base32::decode(digits)?.try_into().ok().map(Sha1)
}

fn tiger(digits: &[u8]) -> Option<TigerRoot> {
    base32::decode(digits)?.try_into().ok().map(TigerRoot)
}

/// An infohash in hexadecimal, or as older links have it in base32.
fn infohash(digits: &[u8]) -> Option<InfoHash> {
    let bytes = match digits.len() {
        SHA1_DIGITS => base32::decode(digits)?.try_into().ok(),
        _ => hex::decode(digits),
    };
    bytes.map(InfoHash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &str = "EPAJIOF3H3HR6AJ5NJMSDBPJZSVSJLRI";
    const TIGER: &str = "NZMSGIMECPPYP7GDLZWYGX254H5XFCH4TKDMK2Q";
    const INFOHASH: &str = "23c09438bb3ecf1f013d6a592185e9ccab24ae28";

    #[test]
    fn reads_what_it_writes() {
        let texts = [
            format!("urn:sha1:{SHA1}"),
            format!("urn:bitprint:{SHA1}.{TIGER}"),
            format!("urn:tree:tiger/:{TIGER}"),
            format!("urn:btih:{INFOHASH}"),
        ];
        for text in texts {
            let urn = Urn::parse(text.as_bytes()).unwrap();
            assert_eq!(urn.to_text(), text);
            assert_eq!(Urn::parse(text.to_ascii_lowercase().as_bytes()), Some(urn));
            assert_eq!(urn.to_ggep().and_then(|value| Urn::from_ggep(&value)).unwrap_or(urn), urn);
        }
        assert!(Urn::parse(format!("URN:Tree:Tiger:{TIGER}").as_bytes()).is_some());
    }

    #[test]
    fn torrents_are_named_in_hexadecimal_and_read_in_base32_too() {
        let urn = Urn::parse(format!("urn:btih:{INFOHASH}").as_bytes()).unwrap();
        for digits in [&INFOHASH.to_uppercase(), SHA1, &SHA1.to_lowercase()] {
            assert_eq!(Urn::parse(format!("URN:BTIH:{digits}").as_bytes()), Some(urn), "{digits}");
        }
        let Some(Urn::Sha1(Sha1(bytes))) = Urn::parse(format!("urn:sha1:{SHA1}").as_bytes()) else {
            panic!("a hash")
        };
        // The same bytes name another thing.
        assert_eq!((urn.infohash(), urn.sha1()), (Some(InfoHash(bytes)), None));
        assert_eq!((urn.tiger(), urn.to_ggep()), (None, None));
    }

    #[test]
    fn refuses_everything_else() {
        let texts = [
            "".into(),
            "urn:".into(),
            "urn:sha1:".into(),
            format!("urn:sha1:{}", &SHA1[1..]),
            format!("urn:sha1:{SHA1}A"),
            format!("urn:bitprint:{SHA1}"),
            format!("urn:bitprint:{SHA1}-{TIGER}"),
            format!("urn:md5:{SHA1}"),
            format!("sha1:{SHA1}"),
            "urn:btih:".into(),
            format!("urn:btih:{}", &INFOHASH[1..]),
            format!("urn:btih:{INFOHASH}0"),
            format!("urn:btih:{}", INFOHASH.repeat(1_000)),
            format!("urn:btih:{}g", &INFOHASH[1..]),
            format!("urn:btih:{}1", &SHA1[1..]),
            format!("urn:btih:{INFOHASH}{}", &INFOHASH[..24]),
            format!("urn:btmh:1220{INFOHASH}"),
        ];
        for text in texts {
            assert_eq!(Urn::parse(text.as_bytes()), None, "{text}");
        }
        for value in [&[][..], &[1], &[2; 21], &[1; 22], &[9; 21]] {
            assert_eq!(Urn::from_ggep(value), None);
        }
    }
}
