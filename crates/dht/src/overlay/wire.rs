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

use codec::datagram::{ADDRESS_MAX, Malformed, Reader, write_address, write_head};
use machine::Wire;

use super::message::Message;
use super::rules::LIST_MAX;
use crate::chord::Peer;
use crate::held::{Fields, ITEM_HEAD, VALUE_MAX, write_item, write_offer};

const VERSION: u8 = 1;
const HEAD: usize = 8;
/// An address.
pub(crate) const PEER_MAX: usize = ADDRESS_MAX;
/// Lengths of requests whose answers may be long.
const ASKS_CONTACTS: usize = (HEAD + 2 + LIST_MAX * PEER_MAX).div_ceil(3);
const ASKS_VALUE: usize = (HEAD + ITEM_HEAD + VALUE_MAX).div_ceil(3);
/// Longest datagram: what fits the path of IPv6 everywhere, but for its heads.
pub const DATAGRAM_MAX: usize = 1_232;
/// The first kind that is an overlay's own.
pub(crate) const OWN: u8 = 32;

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
    fn decode(kind: u8, reader: &mut Reader<'_>) -> Result<Self, Malformed>;
}

impl<S: Speech> Wire for Message<Peer, S> {
    type Error = Malformed;

    fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let (kind, tag) = head(self);
        write_head(S::MAGIC, VERSION, kind, out);
        out.extend(tag.to_be_bytes());
        encode_body(self, out);
        let length = (out.len() - start).max(least_length(self));
        out.resize(start + length, 0);
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (kind, mut reader) = Reader::open(bytes, S::MAGIC, VERSION)?;
        let tag = reader.u32("the tag")?;
        let message = decode_body(kind, tag, &mut reader)?;
        if bytes.len() > DATAGRAM_MAX {
            return Err(Malformed::Length(reader.rest().len()));
        }
        reader.close(bytes.len(), least_length(&message))?;
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
        Message::Value { item, .. } => write_item(item, out),
        Message::Give { token, item, .. } => {
            out.extend(token.to_be_bytes());
            write_item(item, out);
        }
        Message::Offer { put, keys, .. } => write_offer(*put, keys, out),
        Message::Want { bits, token, number, .. } => {
            [bits, token, number].iter().for_each(|it| out.extend(it.to_be_bytes()));
        }
        Message::Own { said, .. } => said.encode(out),
        Message::Absent { .. } | Message::Kept { .. } => {}
    }
}

fn decode_body<S: Speech>(
    kind: u8,
    tag: u32,
    reader: &mut Reader<'_>,
) -> Result<Message<Peer, S>, Malformed> {
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
            let (put, keys) = reader.offer()?;
            Message::Offer { tag, put, keys }
        }
        8 => {
            let bits = reader.u32("the wanted keys")?;
            let (token, number) = (reader.u32("the token")?, reader.u32("the version")?);
            Message::Want { tag, bits, token, number }
        }
        9 => {
            let token = reader.u32("the token")?;
            Message::Give { tag, token, item: reader.item()? }
        }
        10 => Message::Kept { tag },
        OWN.. => Message::Own { tag, said: S::decode(kind, reader)? },
        _ => return Err(Malformed::Kind(kind)),
    })
}

/// Appends the address of `peer`.
pub(crate) fn encode_peer(peer: &Peer, out: &mut Vec<u8>) {
    write_address(&peer.addr(), out);
}

/// Appends the first `max` of `list`, at most 255.
pub(crate) fn encode_list(list: &[Peer], max: usize, out: &mut Vec<u8>) {
    let list = &list[..list.len().min(max)];
    out.push(list.len() as u8);
    list.iter().for_each(|peer| encode_peer(peer, out));
}

/// Reading contacts: a node for each address.
pub(crate) trait Contacts {
    /// One.
    fn peer(&mut self) -> Result<Peer, Malformed>;
    /// Up to `max` of them.
    fn list(&mut self, max: usize) -> Result<Box<[Peer]>, Malformed>;
}

impl Contacts for Reader<'_> {
    fn peer(&mut self) -> Result<Peer, Malformed> {
        self.address().map(|address| Peer::new(address, 0))
    }

    fn list(&mut self, max: usize) -> Result<Box<[Peer]>, Malformed> {
        let count = self.count("contacts", max)?;
        (0..count).map(|_| self.peer()).collect()
    }
}
