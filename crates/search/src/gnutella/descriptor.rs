//! The head that every message begins with, and a message whose payload nobody has read
//! (Gnutella 0.6, section 2.2.1).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use codec::hex::Hex;
use machine::{Decoded, Wire};

/// Bytes of a [`Header`] on the wire, the payload's length included.
pub const HEADER_LEN: usize = 23;

/// Most bytes of a payload.
pub const PAYLOAD_MAX: usize = 64 * 1024;

/// Why bytes are not the message they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A payload longer than [`PAYLOAD_MAX`].
    #[error("payload of {0} bytes")]
    PayloadLen(u32),
    /// Bytes behind the end of a datagram's message.
    #[error("bytes behind the message")]
    Trailing,
    /// It ends before everything that it must have.
    #[error("message too short")]
    Short,
    /// A text without the NUL that ends it.
    #[error("text without an end")]
    Unterminated,
    /// A text that would have to hold a NUL, or more of something than its count can say.
    #[error("not expressible")]
    Inexpressible,
    /// A query hit whose vendor part is cut off.
    #[error("malformed trailer")]
    Trailer,
    /// Neither a reset nor a patch.
    #[error("unknown variant {0} of a routing table message")]
    QrpVariant(u8),
}

/// Names a message, or a servent.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// A name made of random bytes, marked as that of a modern servent: byte 8 is all ones and
    /// byte 15 is zero (Gnutella 0.6, section 2.2.1).
    #[must_use]
    pub const fn modern(mut random: [u8; 16]) -> Self {
        random[8] = 0xff;
        random[15] = 0;
        Self(random)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Hex(&self.0), f)
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Who is there?
    Ping,
    /// An answer to a ping.
    Pong,
    /// Why a connection is about to close.
    Bye,
    /// A routing table, or what changed in one.
    Qrp,
    /// A message of some vendor.
    Vendor,
    /// A message of some vendor that all have taken up.
    StandardVendor,
    /// Asks a servent behind a firewall to connect.
    Push,
    /// Who has this?
    Query,
    /// An answer to a query.
    QueryHit,
    /// How much the neighbours' neighbours share (HSEP 0.2).
    Hsep,
    /// Anything else.
    Other(u8),
}

impl Kind {
    const NAMED: [(u8, Self); 10] = [
        (0x00, Self::Ping),
        (0x01, Self::Pong),
        (0x02, Self::Bye),
        (0x30, Self::Qrp),
        (0x31, Self::Vendor),
        (0x32, Self::StandardVendor),
        (0x40, Self::Push),
        (0x80, Self::Query),
        (0x81, Self::QueryHit),
        (0xcd, Self::Hsep),
    ];

    /// What the byte of a header means.
    #[must_use]
    pub fn from_byte(byte: u8) -> Self {
        let named = Self::NAMED.iter().find(|(of, _)| *of == byte);
        named.map_or(Self::Other(byte), |(_, kind)| *kind)
    }

    /// The byte of a header.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Other(byte) => byte,
            named => Self::NAMED.iter().find(|(_, kind)| *kind == named).map_or(0, |(of, _)| *of),
        }
    }
}

/// What all messages have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name; an answer has the name of its question.
    pub guid: Guid,
    /// What it is.
    pub kind: Kind,
    /// How many more times it may be forwarded, this one included.
    pub ttl: u8,
    /// How many times it has been forwarded.
    pub hops: u8,
}

impl Header {
    /// The header of a new message.
    #[must_use]
    pub const fn new(guid: Guid, kind: Kind, ttl: u8) -> Self {
        Self { guid, kind, ttl, hops: 0 }
    }

    /// This header with a life that is no longer than `max` in all: a time to live that asks for
    /// more is cut. `None` if it has already lived for longer.
    #[must_use]
    pub fn within(self, max: u8) -> Option<Self> {
        let left = max.checked_sub(self.hops)?;
        Some(Self { ttl: self.ttl.min(left), ..self })
    }

    /// The header to forward it with; `None` if its life ends here.
    #[must_use]
    pub fn forwarded(self) -> Option<Self> {
        let ttl = self.ttl.checked_sub(1).filter(|ttl| *ttl > 0)?;
        Some(Self { ttl, hops: self.hops.checked_add(1)?, ..self })
    }
}

/// A message: cheap to clone and to forward, since its payload is shared and not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its head.
    pub header: Header,
    /// Its payload; no longer than [`PAYLOAD_MAX`].
    pub payload: Arc<[u8]>,
}

impl Descriptor {
    /// A message with this payload.
    ///
    /// # Errors
    /// If the payload is too long.
    pub fn new(header: Header, payload: impl Into<Arc<[u8]>>) -> Result<Self, WireError> {
        let payload = payload.into();
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        if payload.len() > PAYLOAD_MAX {
            return Err(WireError::PayloadLen(len));
        }
        Ok(Self { header, payload })
    }

    /// Bytes on the wire.
    #[must_use]
    pub fn len(&self) -> usize {
        HEADER_LEN + self.payload.len()
    }

    /// Whether it has no payload.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// Reads the message at the front of a stream.
    ///
    /// # Errors
    /// As soon as the length is known to be too long.
    pub fn read(bytes: &[u8]) -> Result<Decoded<Self>, WireError> {
        let Some((head, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Ok(Decoded::Incomplete(HEADER_LEN));
        };
        let (guid, tail) = head.split_at(16);
        let mut name = [0; 16];
        name.copy_from_slice(guid);
        let len = u32::from_le_bytes([tail[3], tail[4], tail[5], tail[6]]);
        let size = usize::try_from(len).unwrap_or(usize::MAX);
        if size > PAYLOAD_MAX {
            return Err(WireError::PayloadLen(len));
        }
        let used = HEADER_LEN + size;
        let Some(payload) = rest.get(..size) else { return Ok(Decoded::Incomplete(used)) };
        let kind = Kind::from_byte(tail[0]);
        let header = Header { guid: Guid(name), kind, ttl: tail[1], hops: tail[2] };
        Ok(Decoded::Frame { frame: Self { header, payload: payload.into() }, used })
    }
}

impl Wire for Descriptor {
    type Error = WireError;

    fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.len());
        out.extend_from_slice(&self.header.guid.0);
        out.extend_from_slice(&[self.header.kind.byte(), self.header.ttl, self.header.hops]);
        out.extend_from_slice(&(self.payload.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.payload);
    }

    fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        match Self::read(bytes)? {
            Decoded::Frame { frame, used } if used == bytes.len() => Ok(frame),
            Decoded::Incomplete(_) => Err(WireError::Short),
            _ => Err(WireError::Trailing),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn gn_01_payloads_that_are_too_long_are_refused_at_once() {
        for len in [0xffff_ffff, 0x8000_0000, PAYLOAD_MAX as u32 + 1] {
            let mut bytes = [0; HEADER_LEN];
            bytes[19..].copy_from_slice(&len.to_le_bytes());
            assert_eq!(Descriptor::read(&bytes), Err(WireError::PayloadLen(len)));
        }
        let mut bytes = [0; HEADER_LEN];
        bytes[19..].copy_from_slice(&(PAYLOAD_MAX as u32).to_le_bytes());
        let need = HEADER_LEN + PAYLOAD_MAX;
        assert_eq!(Descriptor::read(&bytes), Ok(Decoded::Incomplete(need)));
        let header = Header::new(Guid([1; 16]), Kind::Query, 4);
        assert!(Descriptor::new(header, alloc::vec![0; PAYLOAD_MAX]).is_ok());
        assert!(Descriptor::new(header, alloc::vec![0; PAYLOAD_MAX + 1]).is_err());
    }

    #[test]
    fn gn_02_lives_are_cut_and_never_made_longer() {
        let header = |ttl, hops| Header { hops, ..Header::new(Guid::default(), Kind::Query, ttl) };
        let table = [
            (header(255, 0), Some(7)),
            (header(7, 0), Some(7)),
            (header(7, 1), Some(6)),
            (header(3, 2), Some(3)),
            (header(0, 7), Some(0)),
            (header(255, 7), Some(0)),
            (header(1, 8), None),
            (header(255, 255), None),
        ];
        for (before, ttl) in table {
            assert_eq!(before.within(7).map(|after| after.ttl), ttl, "{before:?}");
        }
        assert_eq!(header(2, 3).forwarded(), Some(header(1, 4)));
        assert_eq!(header(1, 3).forwarded(), None);
        assert_eq!(header(0, 3).forwarded(), None);
        assert_eq!(header(9, 255).forwarded(), None);
    }

    #[test]
    fn kinds_are_their_bytes() {
        for byte in 0..=255 {
            assert_eq!(Kind::from_byte(byte).byte(), byte);
        }
        assert_eq!(Kind::from_byte(0x81), Kind::QueryHit);
    }

    #[test]
    fn modern_names_are_marked() {
        let Guid(bytes) = Guid::modern([7; 16]);
        assert_eq!((bytes[8], bytes[15], bytes[0]), (0xff, 0, 7));
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(guid: [u8; 16], kind: u8, ttl: u8, hops: u8, payload: Vec<u8>) {
            let header = Header { guid: Guid(guid), kind: Kind::from_byte(kind), ttl, hops };
            let message = Descriptor::new(header, payload).unwrap();
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            prop_assert_eq!(Descriptor::decode(&bytes), Ok(message.clone()));
            let short = &bytes[..bytes.len() - 1];
            prop_assert!(Descriptor::decode(short).is_err());
            bytes.push(0);
            prop_assert_eq!(Descriptor::decode(&bytes), Err(WireError::Trailing));
            let whole = Decoded::Frame { frame: message, used: bytes.len() - 1 };
            prop_assert_eq!(Descriptor::read(&bytes), Ok(whole));
        }
    }
}
