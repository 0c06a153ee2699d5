//! Messages of overlays as datagrams. There is no published format for any of them, so this one is
//! ours: a head of eight bytes, numbers in network order, and addresses of either family.
//!
//! ```text
//! 0   two letters of the overlay, version 1, kind    4 bytes
//! 4   tag                                            4
//! 8   body, by kind; kinds from 32 on are the overlay's own
//! ```
//!
//! Whoever forges an address must not make nodes send more there than it sends itself. So a request
//! whose answer may be long is filled up with zeros to a third of the longest answer, and one that
//! is not is malformed.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use machine::Wire;
use machine::dht::Key;

use super::keys::OFFER_MAX;
use super::message::{Item, Message, Version};
use super::rules::{LIST_MAX, VALUE_MAX};
use crate::chord::Peer;

const VERSION: u8 = 1;
const HEAD: usize = 8;
/// An address: family, IP, port.
pub(crate) const PEER_MAX: usize = 1 + 16 + 2;
/// Key, version, lifetime, length.
const ITEM_HEAD: usize = 20 + 8 + 4 + 2;
/// Lengths of requests whose answers may be long.
const ASKS_CONTACTS: usize = (HEAD + 2 + LIST_MAX * PEER_MAX).div_ceil(3);
const ASKS_VALUE: usize = (HEAD + ITEM_HEAD + VALUE_MAX).div_ceil(3);
/// Longest datagram: what fits the path of IPv6 everywhere, but for its heads.
pub const DATAGRAM_MAX: usize = 1_232;
/// The first kind that is an overlay's own.
pub(crate) const OWN: u8 = 32;

/// Why a datagram is not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It does not begin as those of this overlay do.
    #[error("not a datagram of this overlay")]
    Foreign,
    /// It is of another version.
    #[error("version {0} of the format is not known")]
    Version(u8),
    /// It is of no known kind.
    #[error("message of unknown kind {0}")]
    Kind(u8),
    /// It ends too early.
    #[error("the datagram ends within {0}")]
    Truncated(&'static str),
    /// It goes on after its end, or is not filled up as it must be.
    #[error("{0} bytes where the message ends, or it is not filled up")]
    Length(usize),
    /// A number is outside of its range.
    #[error("{what} is {value}")]
    Range {
        /// Which.
        what: &'static str,
        /// What it is.
        value: u32,
    },
}

/// What nodes of one kind of overlay say, in bytes.
pub trait Speech: Sized {
    /// What its datagrams begin with.
    const MAGIC: [u8; 2];

    /// The number of its kind, 32 or more.
    fn kind(&self) -> u8;
    /// How long its datagram must be at least, if its answer may be long.
    fn least_length(&self) -> usize;
    /// Appends it to `out`.
    fn encode(&self, out: &mut Vec<u8>);
    /// Reads what is of `kind`.
    ///
    /// # Errors
    /// When the bytes are anything else.
    fn decode(kind: u8, reader: &mut Reader<'_>) -> Result<Self, WireError>;
}

impl<S: Speech> Wire for Message<Peer, S> {
    type Error = WireError;

    fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let (kind, tag) = head(self);
        out.extend(S::MAGIC);
        out.extend([VERSION, kind]);
        out.extend(tag.to_be_bytes());
        encode_body(self, out);
        let length = (out.len() - start).max(least_length(self));
        out.resize(start + length, 0);
    }

    fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader(bytes);
        if reader.array("the head").map_err(|_| WireError::Foreign)? != S::MAGIC {
            return Err(WireError::Foreign);
        }
        let [version, kind] = reader.array("the head")?;
        if version != VERSION {
            return Err(WireError::Version(version));
        }
        let tag = reader.u32("the tag")?;
        let message = decode_body(kind, tag, &mut reader)?;
        let body = bytes.len() - reader.0.len();
        let expected = body.max(least_length(&message));
        if bytes.len() != expected
            || bytes.len() > DATAGRAM_MAX
            || reader.0.iter().any(|&byte| byte != 0)
        {
            return Err(WireError::Length(reader.0.len()));
        }
        Ok(message)
    }
}

/// The number of a message's kind, and its tag.
fn head<S: Speech>(message: &Message<Peer, S>) -> (u8, u32) {
    match message {
        Message::Find { tag, .. } => (1, *tag),
        Message::Nearer { tag, .. } => (2, *tag),
        Message::Owners { tag, .. } => (3, *tag),
        Message::Get { tag, .. } => (4, *tag),
        Message::Value { tag, .. } => (5, *tag),
        Message::Absent { tag } => (6, *tag),
        Message::Offer { tag, .. } => (7, *tag),
        Message::Want { tag, .. } => (8, *tag),
        Message::Give { tag, .. } => (9, *tag),
        Message::Kept { tag } => (10, *tag),
        Message::Own { tag, said } => (said.kind(), *tag),
    }
}

/// How long a message must be at least.
fn least_length<S: Speech>(message: &Message<Peer, S>) -> usize {
    match message {
        Message::Find { .. } => ASKS_CONTACTS,
        Message::Get { .. } => ASKS_VALUE,
        Message::Own { said, .. } => said.least_length(),
        _ => 0,
    }
}

fn encode_body<S: Speech>(message: &Message<Peer, S>, out: &mut Vec<u8>) {
    match message {
        Message::Find { key, stage, .. } => {
            out.extend(key.0);
            out.push(*stage);
        }
        Message::Nearer { stage, nodes, .. } => {
            out.push(*stage);
            encode_list(nodes, LIST_MAX, out);
        }
        Message::Owners { owners, .. } => encode_list(owners, LIST_MAX, out),
        Message::Get { key, .. } => out.extend(key.0),
        Message::Value { item, .. } | Message::Give { item, .. } => encode_item(item, out),
        Message::Offer { put, keys, .. } => {
            let keys = &keys[..keys.len().min(OFFER_MAX)];
            out.extend([u8::from(*put), keys.len() as u8]);
            for (key, version) in keys {
                out.extend(key.0);
                encode_version(*version, out);
            }
        }
        Message::Want { bits, number, .. } => {
            out.extend(bits.to_be_bytes());
            out.extend(number.to_be_bytes());
        }
        Message::Own { said, .. } => said.encode(out),
        Message::Absent { .. } | Message::Kept { .. } => {}
    }
}

fn decode_body<S: Speech>(
    kind: u8,
    tag: u32,
    reader: &mut Reader<'_>,
) -> Result<Message<Peer, S>, WireError> {
    Ok(match kind {
        1 => Message::Find { tag, key: reader.key()?, stage: reader.u8("the stage")? },
        2 => {
            let stage = reader.u8("the stage")?;
            Message::Nearer { tag, stage, nodes: reader.list(LIST_MAX)? }
        }
        3 => Message::Owners { tag, owners: reader.list(LIST_MAX)? },
        4 => Message::Get { tag, key: reader.key()? },
        5 => Message::Value { tag, item: reader.item()? },
        6 => Message::Absent { tag },
        7 => {
            let put = reader.flag("the put flag")?;
            let count = reader.count("keys", OFFER_MAX)?;
            let keys = (0..count).map(|_| Ok((reader.key()?, reader.version()?)));
            Message::Offer { tag, put, keys: keys.collect::<Result<_, WireError>>()? }
        }
        8 => {
            let bits = reader.u32("the wanted keys")?;
            Message::Want { tag, bits, number: reader.u32("the version")? }
        }
        9 => Message::Give { tag, item: reader.item()? },
        10 => Message::Kept { tag },
        OWN.. => Message::Own { tag, said: S::decode(kind, reader)? },
        _ => return Err(WireError::Kind(kind)),
    })
}

/// Appends the address of `peer`.
pub(crate) fn encode_peer(peer: &Peer, out: &mut Vec<u8>) {
    match peer.addr().ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend(ip.octets());
        }
    }
    out.extend(peer.addr().port().to_be_bytes());
}

/// Appends the first `max` of `list`, at most 255.
pub(crate) fn encode_list(list: &[Peer], max: usize, out: &mut Vec<u8>) {
    let list = &list[..list.len().min(max)];
    out.push(list.len() as u8);
    list.iter().for_each(|peer| encode_peer(peer, out));
}

fn encode_version(version: Version, out: &mut Vec<u8>) {
    out.extend(version.number.to_be_bytes());
    out.extend(version.digest.to_be_bytes());
}

fn encode_item(item: &Item, out: &mut Vec<u8>) {
    let value = &item.value[..item.value.len().min(VALUE_MAX)];
    out.extend(item.key.0);
    encode_version(item.version, out);
    out.extend(item.seconds_left.to_be_bytes());
    out.extend((value.len() as u16).to_be_bytes());
    out.extend(value);
}

/// What has not been read yet.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    pub(crate) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], WireError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(WireError::Truncated(what))?;
        self.0 = rest;
        Ok(*array)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, WireError> {
        self.array(what).map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, WireError> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, WireError> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(crate) fn flag(&mut self, what: &'static str) -> Result<bool, WireError> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(WireError::Range { what, value: value.into() }),
        }
    }

    pub(crate) fn count(&mut self, what: &'static str, max: usize) -> Result<usize, WireError> {
        match usize::from(self.u8(what)?) {
            count if count <= max => Ok(count),
            count => Err(WireError::Range { what, value: count as u32 }),
        }
    }

    pub(crate) fn key(&mut self) -> Result<Key, WireError> {
        self.array("a key").map(Key)
    }

    fn version(&mut self) -> Result<Version, WireError> {
        Ok(Version { number: self.u32("a version")?, digest: self.u32("a version")? })
    }

    fn item(&mut self) -> Result<Box<Item>, WireError> {
        let (key, version) = (self.key()?, self.version()?);
        let seconds_left = self.u32("a lifetime")?;
        let length = self.u16("the length of a value")?;
        if usize::from(length) > VALUE_MAX {
            let what = "the length of a value";
            return Err(WireError::Range { what, value: length.into() });
        }
        let (value, rest) =
            self.0.split_at_checked(length.into()).ok_or(WireError::Truncated("a value"))?;
        self.0 = rest;
        Ok(Box::new(Item { key, version, seconds_left, value: value.into() }))
    }

    pub(crate) fn peer(&mut self) -> Result<Peer, WireError> {
        let ip: IpAddr = match self.u8("an address")? {
            4 => self.array::<4>("an address")?.into(),
            6 => self.array::<16>("an address")?.into(),
            value => {
                return Err(WireError::Range { what: "an address family", value: value.into() });
            }
        };
        if ip.is_unspecified() || ip.is_multicast() || ip.to_canonical() != ip {
            return Err(WireError::Range { what: "an address that no node has", value: 0 });
        }
        match self.u16("a port")? {
            0 => Err(WireError::Range { what: "a port", value: 0 }),
            port => Ok(Peer::new(SocketAddr::new(ip, port), 0)),
        }
    }

    pub(crate) fn list(&mut self, max: usize) -> Result<Box<[Peer]>, WireError> {
        let count = self.count("contacts", max)?;
        (0..count).map(|_| self.peer()).collect()
    }
}
