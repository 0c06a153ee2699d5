//! How connections begin (Gnutella 0.6, section 2.1): a block from whoever dials, an answer, and a
//! last word. Here live the blocks and what they mean; when they are due is for the
//! [framing](super::GnutellaFraming) to know.

mod profile;

pub use profile::{Agreement, Profile, Role, Room};

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{Display, Write};
use core::net::{IpAddr, SocketAddr};

use codec::http::{Head, HttpError, Limits};

/// Bounds on a block.
pub const BLOCK_LIMITS: Limits = Limits { bytes: 4 * 1024, headers: 64 };

/// Most addresses that are taken from one field.
pub const TRY_MAX: usize = 32;

const GREETING: &[u8] = b"GNUTELLA";
const CONNECT: &str = "GNUTELLA CONNECT/";

/// Why a connection does not begin as one of Gnutella does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Some other protocol.
    #[error("not Gnutella")]
    NotGnutella,
    /// A line that ends without a carriage return.
    #[error("line feed without carriage return")]
    BareLineFeed,
    /// A block that is malformed or too long.
    #[error("handshake: {0}")]
    Head(#[from] HttpError),
}

/// The first line of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Of the side that dials, at first.
    Connect,
    /// Of an answer, and of the last word: 200 is yes.
    Status {
        /// 200 to agree, 503 where there is no room ..
        code: u16,
        /// In words.
        reason: String,
    },
}

/// One block of a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its first line.
    pub start: Start,
    fields: Vec<(String, String)>,
}

impl Block {
    /// The first block of a side that dials, without fields.
    #[must_use]
    pub const fn connect() -> Self {
        Self { start: Start::Connect, fields: Vec::new() }
    }

    /// An answer without fields.
    #[must_use]
    pub fn status(code: u16, reason: &str) -> Self {
        Self { start: Start::Status { code, reason: clean(reason) }, fields: Vec::new() }
    }

    /// The same with one more field; what would end the line is left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Display) -> Self {
        self.fields.push((clean(name), clean(&value.to_string())));
        self
    }

    /// Whether it is an answer that says yes.
    #[must_use]
    pub const fn is_yes(&self) -> bool {
        matches!(self.start, Start::Status { code: 200, .. })
    }

    /// The first value of a field, its name in any case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut same = self.fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        same.next().map(|(_, value)| value.as_str())
    }

    /// Names and values, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A field that says `True` or `False`.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        let value = self.get(name)?;
        let is = |word: &str| value.eq_ignore_ascii_case(word);
        if is("true") { Some(true) } else { is("false").then_some(false) }
    }

    /// A field that says a version, as in `X-Query-Routing: 0.2`.
    #[must_use]
    pub fn version(&self, name: &str) -> Option<(u8, u8)> {
        let (major, minor) = self.get(name)?.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    }

    /// A field that says a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u32> {
        self.get(name)?.parse().ok()
    }

    /// Whether the sender reads what is deflated.
    #[must_use]
    pub fn accepts_deflate(&self) -> bool {
        self.has_word("Accept-Encoding", "deflate")
    }

    /// Whether the sender deflates what it sends after the handshake.
    #[must_use]
    pub fn is_deflated(&self) -> bool {
        self.has_word("Content-Encoding", "deflate")
    }

    /// Where the sender accepts connections, as it says.
    #[must_use]
    pub fn listen_addr(&self) -> Option<SocketAddr> {
        ["Listen-IP", "X-My-Address", "Node"].into_iter().find_map(|name| {
            let value = self.get(name)?.split(',').next()?;
            value.trim().parse().ok()
        })
    }

    /// Whom the sender believes to be talking to: our address, seen from outside.
    #[must_use]
    pub fn remote_ip(&self) -> Option<IpAddr> {
        self.get("Remote-IP")?.parse().ok()
    }

    /// Ultrapeers to try instead; [`TRY_MAX`] at most.
    pub fn try_ultrapeers(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let fields = self.fields.iter().filter(|(name, _)| {
            ["X-Try-Ultrapeers", "X-Try"].iter().any(|other| name.eq_ignore_ascii_case(other))
        });
        let items = fields.flat_map(|(_, value)| value.split(',')).take(TRY_MAX);
        // Behind the address there may be the time it was last seen.
        items.filter_map(|item| item.split_whitespace().next()?.parse().ok())
    }

    fn has_word(&self, name: &str, word: &str) -> bool {
        let same = self.fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        let mut words = same.flat_map(|(_, value)| value.split([',', ';']));
        words.any(|found| found.trim().eq_ignore_ascii_case(word))
    }

    /// Reads the block that `bytes` begin with, and how many bytes it took; `None` if it is not
    /// complete yet. Fields that are not text are left out.
    ///
    /// # Errors
    /// As soon as no continuation could be a block.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, HandshakeError> {
        let known = bytes.len().min(GREETING.len());
        if bytes[..known] != GREETING[..known] {
            return Err(HandshakeError::NotGnutella);
        }
        let head = Head::parse(bytes, BLOCK_LIMITS)?;
        let len = head.as_ref().map_or(bytes.len(), |head| head.len);
        let lines = &bytes[..len];
        let is_bare = |(at, byte): (usize, &u8)| *byte == b'\n' && lines[at - 1] != b'\r';
        if lines.iter().enumerate().skip(1).any(is_bare) {
            return Err(HandshakeError::BareLineFeed);
        }
        let Some(head) = head else { return Ok(None) };
        let start = match head.start.strip_prefix(CONNECT) {
            Some(version) if is_modern(version) => Start::Connect,
            Some(_) => return Err(HandshakeError::NotGnutella),
            None => {
                let status = head.status()?;
                let version = status.protocol.strip_prefix("GNUTELLA/");
                version.filter(|version| is_modern(version)).ok_or(HandshakeError::NotGnutella)?;
                Start::Status { code: status.code, reason: status.reason.to_owned() }
            }
        };
        let text = |value| core::str::from_utf8(value).ok().map(ToOwned::to_owned);
        let fields = head.headers.iter();
        let fields = fields.filter_map(|(name, value)| Some((name.to_owned(), text(value)?)));
        Ok(Some((Self { start, fields: fields.collect() }, len)))
    }

    /// Appends it to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.to_string().as_bytes());
    }
}

impl Display for Block {
    /// As it stands on the wire, the empty line included.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match &self.start {
            Start::Connect => write!(f, "{CONNECT}0.6\r\n")?,
            Start::Status { code, reason } => write!(f, "GNUTELLA/0.6 {code} {reason}\r\n")?,
        }
        for (name, value) in &self.fields {
            write!(f, "{name}: {value}\r\n")?;
        }
        f.write_str("\r\n")
    }
}

/// Version 0.6 or a later one.
fn is_modern(version: &str) -> bool {
    let parsed = version.split_once('.');
    let parsed = parsed.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    parsed.is_some_and(|version: (u8, u8)| version >= (0, 6))
}

/// Without what would end the line.
fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.trim().chars().filter(|c| !c.is_control()) {
        // Writing to a string cannot fail.
        let _ = clean.write_char(c);
    }
    clean
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Option<(Block, usize)>, HandshakeError> {
        Block::parse(text.as_bytes())
    }

    #[test]
    fn gn_17_blocks_are_bounded_and_strict() {
        let long = format!("GNUTELLA CONNECT/0.6\r\nA: {}", "x".repeat(1 << 20));
        assert_eq!(parse(&long), Err(HttpError::HeadTooLong.into()));
        let many = format!("GNUTELLA CONNECT/0.6\r\n{}\r\n", "A: x\r\n".repeat(10_000));
        assert_eq!(parse(&many), Err(HttpError::HeadTooLong.into()));
        let lines = |count| format!("GNUTELLA CONNECT/0.6\r\n{}\r\n", "A: x\r\n".repeat(count));
        assert!(parse(&lines(64)).unwrap().is_some());
        assert_eq!(parse(&lines(65)), Err(HttpError::TooManyHeaders.into()));
        let table = [
            ("A: b\r\n c: continued\r\n\r\n", HttpError::Header.into()),
            ("A: b\n\r\n", HandshakeError::BareLineFeed),
            ("A: b\n", HandshakeError::BareLineFeed),
            ("A: b\0c\r\n\r\n", HttpError::Header.into()),
            ("A: b\rc\r\n\r\n", HttpError::Header.into()),
        ];
        for (fields, error) in table {
            let text = format!("GNUTELLA CONNECT/0.6\r\n{fields}");
            assert_eq!(parse(&text), Err(error), "{fields:?}");
        }
    }

    #[test]
    fn other_protocols_are_told_at_once() {
        for text in ["GET / HTTP/1.1", "G1", "GNUTELLB", "\u{13}BitTorrent"] {
            assert_eq!(parse(text), Err(HandshakeError::NotGnutella), "{text}");
        }
        for text in ["GNUTELLA CONNECT/0.5\r\n\r\n", "GNUTELLA/0.4 200 OK\r\n\r\n"] {
            assert_eq!(parse(text), Err(HandshakeError::NotGnutella), "{text}");
        }
        for text in ["", "G", "GNUTELLA", "GNUTELLA CONNECT/0.6\r\n", "GNUTELLA/0.6 200 OK\r\nA: b"]
        {
            assert_eq!(parse(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn fields_say_what_they_mean() {
        let block = Block::status(503, "Busy")
            .with("X-Ultrapeer", "true")
            .with("X-Query-Routing", "0.2")
            .with("X-Max-TTL", 4)
            .with("accept-encoding", "gzip, Deflate")
            .with("Listen-IP", "10.0.0.1:6346")
            .with("Remote-IP", "192.0.2.7")
            .with("X-Try-Ultrapeers", "192.0.2.1:6346 2024-06-01T12:00Z, [2001:db8::1]:6346,nobody")
            .with("Evil", "a\r\nX-Injected: b");
        assert_eq!(block.flag("x-ultrapeer"), Some(true));
        assert_eq!(block.flag("X-Query-Routing"), None);
        assert_eq!(block.version("X-Query-Routing"), Some((0, 2)));
        assert_eq!(block.number("X-Max-TTL"), Some(4));
        assert!(block.accepts_deflate() && !block.is_deflated() && !block.is_yes());
        assert_eq!(block.listen_addr(), "10.0.0.1:6346".parse().ok());
        assert_eq!(block.remote_ip(), "192.0.2.7".parse().ok());
        assert_eq!(block.try_ultrapeers().count(), 2);
        let (again, _) = parse(&block.to_string()).unwrap().unwrap();
        assert_eq!(again.get("X-Injected"), None);
        assert_eq!(again, block);
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(
            code in prop::option::of(100u16..1000),
            reason in "[!-~]{1,20}",
            fields in prop::collection::vec(("[A-Za-z-]{1,12}", "[!-~]{0,20}"), 0..20),
            behind: Vec<u8>,
        ) {
            let mut block =
                code.map_or_else(Block::connect, |code| Block::status(code, &reason));
            for (name, value) in fields {
                block = block.with(&name, value);
            }
            let mut bytes = Vec::new();
            block.encode(&mut bytes);
            let len = bytes.len();
            for cut in 0..len {
                prop_assert_eq!(Block::parse(&bytes[..cut]), Ok(None));
            }
            bytes.extend(behind);
            prop_assert_eq!(Block::parse(&bytes), Ok(Some((block, len))));
        }
    }
}
