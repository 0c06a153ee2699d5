//! Chord messages as datagrams. There is no published format, so this one is ours: a head of ten
//! bytes, numbers in network order, and addresses of either family.
//!
//! ```text
//! 0   "ch", version 1, kind, receiver's index, sender's index    6 bytes
//! 6   tag                                                        4
//! 10  body, by kind
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

use super::config::{SUCCESSORS_MAX, VALUE_MAX};
use super::keys::OFFER_MAX;
use super::message::{Item, Message, Neighbours, Version, Wanted};
use super::peer::Peer;

const MAGIC: [u8; 2] = *b"ch";
const VERSION: u8 = 1;
const HEAD: usize = 10;
/// An address: family, IP, port, index.
const PEER_MAX: usize = 1 + 16 + 2 + 1;
/// Key, version, lifetime, length.
const ITEM_HEAD: usize = 20 + 8 + 4 + 2;
/// Most that a list of owners holds: one of them and its successors.
const LIST_MAX: usize = SUCCESSORS_MAX + 1;
/// Longest answer with contacts.
const CONTACTS_MAX: usize = HEAD + 4 + PEER_MAX + 1 + LIST_MAX * PEER_MAX;
/// Longest answer with a value.
const ANSWER_MAX: usize = HEAD + ITEM_HEAD + VALUE_MAX;
/// Longest datagram: a value that is given.
pub const DATAGRAM_MAX: usize = ANSWER_MAX + 4;
/// Lengths of requests whose answers may be long.
const ASKS_CONTACTS: usize = CONTACTS_MAX.div_ceil(3);
const ASKS_VALUE: usize = ANSWER_MAX.div_ceil(3);

/// A message with the indices of the virtual nodes that it goes from and to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Which of the nodes at the receiver's address is meant.
    pub to: u8,
    /// Which of the nodes at the sender's address speaks.
    pub from: u8,
    /// What it says.
    pub message: Message<Peer>,
}

/// Why a datagram is not a [`Packet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It does not begin as packets do.
    #[error("not a Chord datagram")]
    NotChord,
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

impl Wire for Packet {
    type Error = Error;

    fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let (kind, tag) = head(&self.message);
        out.extend(MAGIC);
        out.extend([VERSION, kind, self.to, self.from]);
        out.extend(tag.to_be_bytes());
        encode_body(&self.message, out);
        let length = (out.len() - start).max(least_length(&self.message));
        out.resize(start + length, 0);
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader(bytes);
        if reader.array("the head").map_err(|_| Error::NotChord)? != MAGIC {
            return Err(Error::NotChord);
        }
        let [version, kind, to, from] = reader.array("the head")?;
        if version != VERSION {
            return Err(Error::Version(version));
        }
        let tag = reader.u32("the tag")?;
        let message = decode_body(kind, tag, &mut reader)?;
        let body = bytes.len() - reader.0.len();
        let expected = body.max(least_length(&message));
        if bytes.len() != expected || reader.0.iter().any(|&byte| byte != 0) {
            return Err(Error::Length(reader.0.len()));
        }
        Ok(Self { to, from, message })
    }
}

/// The number of a message's kind, and its tag.
const fn head(message: &Message<Peer>) -> (u8, u32) {
    match message {
        Message::Find { tag, .. } => (1, *tag),
        Message::Refer { tag, .. } => (2, *tag),
        Message::Owner { tag, .. } => (3, *tag),
        Message::Owners { tag, .. } => (4, *tag),
        Message::Route { tag, .. } => (5, *tag),
        Message::Ack { tag } => (6, *tag),
        Message::Arrived { tag, .. } => (7, *tag),
        Message::GetNeighbours { tag } => (8, *tag),
        Message::Neighbours { tag, .. } => (9, *tag),
        Message::Notify => (10, 0),
        Message::Suggest { .. } => (11, 0),
        Message::Ping { tag } => (12, *tag),
        Message::Pong { tag } => (13, *tag),
        Message::Goodbye { .. } => (14, 0),
        Message::Get { tag, .. } => (15, *tag),
        Message::Value { tag, .. } => (16, *tag),
        Message::Absent { tag } => (17, *tag),
        Message::Offer { tag, .. } => (18, *tag),
        Message::Want { tag, .. } => (19, *tag),
        Message::Give { tag, .. } => (20, *tag),
        Message::Kept { tag } => (21, *tag),
    }
}

/// How long a message must be at least.
const fn least_length(message: &Message<Peer>) -> usize {
    match message {
        Message::Find { list: true, .. }
        | Message::Route { list: true, .. }
        | Message::GetNeighbours { .. }
        // It makes its receiver ask for neighbours.
        | Message::Suggest { .. } => ASKS_CONTACTS,
        Message::Get { .. } => ASKS_VALUE,
        _ => 0,
    }
}

fn encode_body(message: &Message<Peer>, out: &mut Vec<u8>) {
    match message {
        Message::Find { key, avoid, list, .. } => {
            out.extend(key.0);
            out.push(u8::from(*list));
            encode_option(avoid.as_ref(), out);
        }
        Message::Refer { to: contact, .. }
        | Message::Owner { owner: contact, .. }
        | Message::Suggest { contact } => encode_peer(contact, out),
        Message::Owners { owners, .. } => encode_list(owners, out),
        Message::Route { origin, key, hops, timeouts, last, list, .. } => {
            encode_peer(origin, out);
            out.extend(key.0);
            out.extend(hops.to_be_bytes());
            out.extend([*timeouts, u8::from(*last) | u8::from(*list) << 1]);
        }
        Message::Arrived { hops, timeouts, successors, .. } => {
            out.extend(hops.to_be_bytes());
            out.extend([*timeouts, u8::from(successors.is_some())]);
            if let Some(successors) = successors {
                encode_list(successors, out);
            }
        }
        Message::Neighbours { neighbours, .. } | Message::Goodbye { neighbours } => {
            encode_option(neighbours.predecessor.as_ref(), out);
            encode_list(&neighbours.successors, out);
        }
        Message::Get { key, .. } => out.extend(key.0),
        Message::Value { item, .. } => encode_item(item, out),
        Message::Offer { put, keys, .. } => {
            let keys = &keys[..keys.len().min(OFFER_MAX)];
            out.extend([u8::from(*put), keys.len() as u8]);
            for (key, version) in keys {
                out.extend(key.0);
                encode_version(*version, out);
            }
        }
        Message::Want { wanted, .. } => {
            for number in [wanted.bits, wanted.token, wanted.number] {
                out.extend(number.to_be_bytes());
            }
        }
        Message::Give { token, item, .. } => {
            out.extend(token.to_be_bytes());
            encode_item(item, out);
        }
        Message::Ack { .. }
        | Message::GetNeighbours { .. }
        | Message::Notify
        | Message::Ping { .. }
        | Message::Pong { .. }
        | Message::Absent { .. }
        | Message::Kept { .. } => {}
    }
}

fn encode_peer(peer: &Peer, out: &mut Vec<u8>) {
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
    out.push(peer.vnode());
}

fn encode_option(peer: Option<&Peer>, out: &mut Vec<u8>) {
    match peer {
        Some(peer) => encode_peer(peer, out),
        None => out.push(0),
    }
}

fn encode_list(list: &[Peer], out: &mut Vec<u8>) {
    let list = &list[..list.len().min(LIST_MAX)];
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

fn decode_body(kind: u8, tag: u32, reader: &mut Reader<'_>) -> Result<Message<Peer>, Error> {
    Ok(match kind {
        1 => {
            let key = reader.key()?;
            let list = reader.flag("the list flag")?;
            Message::Find { tag, key, avoid: reader.optional_peer()?, list }
        }
        2 => Message::Refer { tag, to: reader.peer()? },
        3 => Message::Owner { tag, owner: reader.peer()? },
        4 => Message::Owners { tag, owners: reader.list()? },
        5 => {
            let (origin, key) = (reader.peer()?, reader.key()?);
            let hops = reader.u16("the hops")?;
            let [timeouts, flags] = reader.array("the flags")?;
            if flags > 3 {
                return Err(Error::Range { what: "the flags", value: flags.into() });
            }
            let (last, list) = (flags & 1 != 0, flags & 2 != 0);
            Message::Route { tag, origin, key, hops, timeouts, last, list }
        }
        6 => Message::Ack { tag },
        7 => {
            let hops = reader.u16("the hops")?;
            let [timeouts] = reader.array("the timeouts")?;
            let successors = match reader.flag("the list flag")? {
                true => Some(reader.list()?),
                false => None,
            };
            Message::Arrived { tag, hops, timeouts, successors }
        }
        8 => Message::GetNeighbours { tag },
        9 => Message::Neighbours { tag, neighbours: reader.neighbours()? },
        10 => untagged(tag, Message::Notify)?,
        11 => untagged(tag, Message::Suggest { contact: reader.peer()? })?,
        12 => Message::Ping { tag },
        13 => Message::Pong { tag },
        14 => untagged(tag, Message::Goodbye { neighbours: reader.neighbours()? })?,
        15 => Message::Get { tag, key: reader.key()? },
        16 => Message::Value { tag, item: reader.item()? },
        17 => Message::Absent { tag },
        18 => {
            let put = reader.flag("the put flag")?;
            let count = reader.count("keys", OFFER_MAX)?;
            let keys = (0..count).map(|_| Ok((reader.key()?, reader.version()?)));
            Message::Offer { tag, put, keys: keys.collect::<Result<_, Error>>()? }
        }
        19 => {
            let bits = reader.u32("the wanted keys")?;
            let (token, number) = (reader.u32("the token")?, reader.u32("the version")?);
            Message::Want { tag, wanted: Box::new(Wanted { bits, token, number }) }
        }
        20 => {
            let token = reader.u32("the token")?;
            Message::Give { tag, token, item: reader.item()? }
        }
        21 => Message::Kept { tag },
        _ => return Err(Error::Kind(kind)),
    })
}

/// A message that carries no tag, unless it does.
fn untagged(tag: u32, message: Message<Peer>) -> Result<Message<Peer>, Error> {
    match tag {
        0 => Ok(message),
        value => Err(Error::Range { what: "the tag", value }),
    }
}

/// What has not been read yet.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Error> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Error::Truncated(what))?;
        self.0 = rest;
        Ok(*array)
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, Error> {
        self.array(what).map(u16::from_be_bytes)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, Error> {
        self.array(what).map(u32::from_be_bytes)
    }

    fn flag(&mut self, what: &'static str) -> Result<bool, Error> {
        match self.array(what)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [value] => Err(Error::Range { what, value: value.into() }),
        }
    }

    fn count(&mut self, what: &'static str, max: usize) -> Result<usize, Error> {
        let [count] = self.array(what)?;
        match usize::from(count) {
            count if count <= max => Ok(count),
            _ => Err(Error::Range { what, value: count.into() }),
        }
    }

    fn key(&mut self) -> Result<Key, Error> {
        self.array("a key").map(Key)
    }

    fn version(&mut self) -> Result<Version, Error> {
        Ok(Version { number: self.u32("a version")?, digest: self.u32("a version")? })
    }

    fn item(&mut self) -> Result<Box<Item>, Error> {
        let (key, version) = (self.key()?, self.version()?);
        let seconds_left = self.u32("a lifetime")?;
        let length = self.u16("the length of a value")?;
        if usize::from(length) > VALUE_MAX {
            return Err(Error::Range { what: "the length of a value", value: length.into() });
        }
        let (value, rest) =
            self.0.split_at_checked(length.into()).ok_or(Error::Truncated("a value"))?;
        self.0 = rest;
        Ok(Box::new(Item { key, version, seconds_left, value: value.into() }))
    }

    fn peer(&mut self) -> Result<Peer, Error> {
        self.optional_peer()?.ok_or(Error::Range { what: "an address family", value: 0 })
    }

    fn optional_peer(&mut self) -> Result<Option<Peer>, Error> {
        let ip: IpAddr = match self.array("an address")? {
            [0] => return Ok(None),
            [4] => self.array::<4>("an address")?.into(),
            [6] => self.array::<16>("an address")?.into(),
            [value] => {
                return Err(Error::Range { what: "an address family", value: value.into() });
            }
        };
        if ip.is_unspecified() || ip.is_multicast() || ip.to_canonical() != ip {
            return Err(Error::Range { what: "an address that no node has", value: 0 });
        }
        let port = self.u16("a port")?;
        if port == 0 {
            return Err(Error::Range { what: "a port", value: 0 });
        }
        let [vnode] = self.array("an index")?;
        Ok(Some(Peer::new(SocketAddr::new(ip, port), vnode)))
    }

    fn list(&mut self) -> Result<Box<[Peer]>, Error> {
        let count = self.count("contacts", LIST_MAX)?;
        (0..count).map(|_| self.peer()).collect()
    }

    fn neighbours(&mut self) -> Result<Neighbours<Peer>, Error> {
        let predecessor = self.optional_peer()?;
        Ok(Neighbours { predecessor, successors: self.list()? })
    }
}
