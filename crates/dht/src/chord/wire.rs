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

use codec::datagram::{ADDRESS_MAX, Malformed, Reader, write_address, write_head};
use machine::Wire;

use super::config::SUCCESSORS_MAX;
use super::message::{Message, Neighbours, Wanted};
use super::peer::Peer;
use crate::held::{Fields, ITEM_HEAD, VALUE_MAX, write_item, write_offer};

const MAGIC: [u8; 2] = *b"ch";
const VERSION: u8 = 1;
const HEAD: usize = 10;
/// An address and an index.
const PEER_MAX: usize = ADDRESS_MAX + 1;
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

impl Wire for Packet {
    type Error = Malformed;

    fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let (kind, tag) = head(&self.message);
        write_head(MAGIC, VERSION, kind, out);
        out.extend([self.to, self.from]);
        out.extend(tag.to_be_bytes());
        encode_body(&self.message, out);
        let length = (out.len() - start).max(least_length(&self.message));
        out.resize(start + length, 0);
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (kind, mut reader) = Reader::open(bytes, MAGIC, VERSION)?;
        let [to, from] = reader.array("the head")?;
        let tag = reader.u32("the tag")?;
        let message = decode_body(kind, tag, &mut reader)?;
        reader.close(bytes.len(), least_length(&message))?;
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
        Message::Value { item, .. } => write_item(item, out),
        Message::Offer { put, keys, .. } => write_offer(*put, keys, out),
        Message::Want { wanted, .. } => {
            for number in [wanted.bits, wanted.token, wanted.number] {
                out.extend(number.to_be_bytes());
            }
        }
        Message::Give { token, item, .. } => {
            out.extend(token.to_be_bytes());
            write_item(item, out);
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
    write_address(&peer.addr(), out);
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

fn decode_body(kind: u8, tag: u32, reader: &mut Reader<'_>) -> Result<Message<Peer>, Malformed> {
    Ok(match kind {
        1 => {
            let key = reader.key()?;
            let list = reader.flag("the list flag")?;
            Message::Find { tag, key, avoid: optional_peer(reader)?, list }
        }
        2 => Message::Refer { tag, to: peer(reader)? },
        3 => Message::Owner { tag, owner: peer(reader)? },
        4 => Message::Owners { tag, owners: list(reader)? },
        5 => {
            let (origin, key) = (peer(reader)?, reader.key()?);
            let hops = reader.u16("the hops")?;
            let [timeouts, flags] = reader.array("the flags")?;
            if flags > 3 {
                return Err(Malformed::Range { what: "the flags", value: flags.into() });
            }
            let (last, list) = (flags & 1 != 0, flags & 2 != 0);
            Message::Route { tag, origin, key, hops, timeouts, last, list }
        }
        6 => Message::Ack { tag },
        7 => {
            let hops = reader.u16("the hops")?;
            let [timeouts] = reader.array("the timeouts")?;
            let successors = match reader.flag("the list flag")? {
                true => Some(list(reader)?),
                false => None,
            };
            Message::Arrived { tag, hops, timeouts, successors }
        }
        8 => Message::GetNeighbours { tag },
        9 => Message::Neighbours { tag, neighbours: neighbours(reader)? },
        10 => untagged(tag, Message::Notify)?,
        11 => untagged(tag, Message::Suggest { contact: peer(reader)? })?,
        12 => Message::Ping { tag },
        13 => Message::Pong { tag },
        14 => untagged(tag, Message::Goodbye { neighbours: neighbours(reader)? })?,
        15 => Message::Get { tag, key: reader.key()? },
        16 => Message::Value { tag, item: reader.item()? },
        17 => Message::Absent { tag },
        18 => {
            let (put, keys) = reader.offer()?;
            Message::Offer { tag, put, keys }
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
        _ => return Err(Malformed::Kind(kind)),
    })
}

/// A message that carries no tag, unless it does.
fn untagged(tag: u32, message: Message<Peer>) -> Result<Message<Peer>, Malformed> {
    match tag {
        0 => Ok(message),
        value => Err(Malformed::Range { what: "the tag", value }),
    }
}

fn peer(reader: &mut Reader<'_>) -> Result<Peer, Malformed> {
    Ok(Peer::new(reader.address()?, reader.u8("an index")?))
}

fn optional_peer(reader: &mut Reader<'_>) -> Result<Option<Peer>, Malformed> {
    match reader.optional_address()? {
        Some(address) => Ok(Some(Peer::new(address, reader.u8("an index")?))),
        None => Ok(None),
    }
}

fn list(reader: &mut Reader<'_>) -> Result<Box<[Peer]>, Malformed> {
    let count = reader.count("contacts", LIST_MAX)?;
    (0..count).map(|_| peer(reader)).collect()
}

fn neighbours(reader: &mut Reader<'_>) -> Result<Neighbours<Peer>, Malformed> {
    Ok(Neighbours { predecessor: optional_peer(reader)?, successors: list(reader)? })
}
