//! What nodes say to each other: the queries of Kademlia's paper as the mainline DHT names them
//! (BEP 5, 44, 51), and their replies. How they look on the wire is [`super::krpc`]'s.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use machine::dht::Key;

use super::bytes::{Token, Transaction};
use super::item::Item;

/// One datagram's worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<C> {
    /// Ties a reply to its query.
    pub transaction: Transaction,
    /// What is said.
    pub body: Body<C>,
}

/// A query, or what answers one.
#[derive(Clone, Debug, PartialEq)]
pub enum Body<C> {
    /// Something is asked.
    Query {
        /// Whether whoever asks answers no queries, and so belongs in no table (BEP 43).
        read_only: bool,
        /// What is asked.
        query: Query,
    },
    /// It is answered.
    Reply(Reply<C>),
    /// It is refused.
    Refusal(Refusal),
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// Whether the node is there.
    Ping,
    /// Which nodes are closest to a key.
    FindNode {
        /// The key.
        target: Key,
        /// Addresses of which family.
        want: Want,
    },
    /// The item under a key, else the closest nodes (FIND_VALUE; BEP 44).
    Get {
        /// The key.
        target: Key,
        /// Only an item of a later sequence number than this is of interest.
        seq: Option<i64>,
        /// Addresses of which family.
        want: Want,
    },
    /// To store an item (STORE; BEP 44).
    Put(Box<Put>),
    /// Peers of a torrent, and the closest nodes.
    GetPeers {
        /// The torrent.
        info_hash: Key,
        /// Addresses of which family.
        want: Want,
    },
    /// To list the sender as a peer of a torrent.
    AnnouncePeer {
        /// The torrent.
        info_hash: Key,
        /// What `get_peers` brought.
        token: Box<Token>,
        /// The port of the peer; the one that this comes from, if there is none.
        port: Option<u16>,
    },
    /// Some torrents that the node knows peers of (BEP 51).
    SampleInfohashes {
        /// The nodes closest to it are wanted too.
        target: Key,
        /// Addresses of which family.
        want: Want,
    },
    /// Something that we know nothing of.
    Unknown,
}

/// An item to store.
#[derive(Clone, Debug, PartialEq)]
pub struct Put {
    /// Its key.
    pub target: Key,
    /// What `get` brought.
    pub token: Token,
    /// The item.
    pub item: Item,
    /// Store only over an item of this sequence number.
    pub cas: Option<i64>,
    /// Seconds since its publisher stored it. On the wire a key of our own, left out where it is
    /// zero: by mainline's rules it always is, as holders store nothing again.
    pub age: u32,
}

/// Which families of addresses are asked for (BEP 32).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Want {
    /// That of the datagram.
    #[default]
    Same,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// Both.
    Both,
}

/// What a query brings.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply<C> {
    /// Nodes close to what was asked for, in no order.
    pub nodes: Vec<C>,
    /// Leave to store something here. Apart: millions of replies without it may be under way.
    pub token: Option<Box<Token>>,
    /// What else there is.
    pub found: Found,
}

/// What there is besides nodes.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// An item.
    Item(Item),
    /// An item of this sequence number, which was not of interest.
    Seq(i64),
    /// Peers of a torrent.
    Peers(Vec<SocketAddr>),
    /// Torrents that have peers.
    Samples(Samples),
}

/// A sample of the torrents that a node knows peers of (BEP 51).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Samples {
    /// Seconds for which the sample stays as it is.
    pub interval: u32,
    /// Torrents there are in all.
    pub total: u32,
    /// The sample.
    pub info_hashes: Arc<[Key]>,
}

/// Why a query is refused, in the codes of BEP 5 and BEP 44.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 201.
    #[error("Generic Error")]
    Generic,
    /// 202.
    #[error("Server Error")]
    Server,
    /// 203: a malformed packet, invalid arguments, or a bad token.
    #[error("Protocol Error")]
    Protocol,
    /// 204.
    #[error("Method Unknown")]
    UnknownMethod,
    /// 205.
    #[error("Message (v field) too big")]
    TooBig,
    /// 206.
    #[error("Invalid signature")]
    Signature,
    /// 207.
    #[error("Salt (salt field) too big")]
    Salt,
    /// 301.
    #[error("CAS mismatch: read the value again and try again")]
    Cas,
    /// 302.
    #[error("Sequence number less than current")]
    Seq,
    /// Any other code.
    #[error("Refused with code {0}")]
    Other(i32),
}

impl<C> Message<C> {
    /// The same among other contacts.
    #[must_use]
    pub fn map<D>(self, to: impl Fn(C) -> D) -> Message<D> {
        let body = match self.body {
            Body::Query { read_only, query } => Body::Query { read_only, query },
            Body::Reply(Reply { nodes, token, found }) => {
                Body::Reply(Reply { nodes: nodes.into_iter().map(to).collect(), token, found })
            }
            Body::Refusal(refusal) => Body::Refusal(refusal),
        };
        Message { transaction: self.transaction, body }
    }
}

impl Query {
    /// What nodes are wanted close to, if any are.
    pub(super) fn target(&self) -> Option<&Key> {
        match self {
            Self::FindNode { target, .. }
            | Self::Get { target, .. }
            | Self::GetPeers { info_hash: target, .. }
            | Self::SampleInfohashes { target, .. } => Some(target),
            Self::Ping | Self::Put(_) | Self::AnnouncePeer { .. } | Self::Unknown => None,
        }
    }
}

impl Refusal {
    /// Its number on the wire.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::Generic => 201,
            Self::Server => 202,
            Self::Protocol => 203,
            Self::UnknownMethod => 204,
            Self::TooBig => 205,
            Self::Signature => 206,
            Self::Salt => 207,
            Self::Cas => 301,
            Self::Seq => 302,
            Self::Other(code) => code,
        }
    }

    /// The refusal with this number.
    #[must_use]
    pub const fn from_code(code: i32) -> Self {
        match code {
            201 => Self::Generic,
            202 => Self::Server,
            203 => Self::Protocol,
            204 => Self::UnknownMethod,
            205 => Self::TooBig,
            206 => Self::Signature,
            207 => Self::Salt,
            301 => Self::Cas,
            302 => Self::Seq,
            _ => Self::Other(code),
        }
    }
}

impl<C> Reply<C> {
    /// Says no more than that the node is there, or did as it was asked.
    #[must_use]
    pub fn plain() -> Self {
        Self { nodes: Vec::new(), token: None, found: Found::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_small_where_contacts_are() {
        // A few hundred thousand of them are under way in a simulation of a million nodes.
        assert!(size_of::<Message<u32>>() <= 88, "{}", size_of::<Message<u32>>());
    }
}
