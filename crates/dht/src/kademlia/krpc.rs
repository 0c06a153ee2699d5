//! KRPC (BEP 5): messages of the mainline DHT as datagrams. Addresses of both families, items
//! (BEP 44), samples (BEP 51), the sender's view of our address (BEP 42) and read-only senders
//! (BEP 43) included. What the messages mean is not known here.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use core::net::SocketAddr;

use codec::bencode::BencodeError;
use machine::Wire;
use machine::dht::Key;

use super::message::{Body, Message};
use super::peer::Peer;

/// Longest datagram that is worth reading, in bytes: an item of the greatest size with nodes of
/// both families and room to spare.
pub const DATAGRAM_MAX: usize = 2_048;
/// Most nodes of one family that are written or read in one message.
pub const NODES_MAX: usize = 20;
/// Most peers of a torrent that are read from one message.
pub const PEERS_MAX: usize = 200;
/// Most torrents in a sample that are read from one message.
pub const SAMPLES_MAX: usize = 64;

/// What our datagrams carry as `v`: two letters and a version.
const VERSION: &[u8] = b"SO\x00\x01";

/// A message with what surrounds it in its datagram.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// What the sender calls itself; refusals do not say.
    pub sender: Option<Key>,
    /// Written into replies: where the one that is answered was heard from.
    pub observed: Option<SocketAddr>,
    /// What is said.
    pub message: Message<Peer>,
}

/// Why a datagram is not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KrpcError {
    /// Not bencode.
    #[error("malformed: {0}")]
    Bencode(#[from] BencodeError),
    /// Longer than [`DATAGRAM_MAX`].
    #[error("datagram too long")]
    TooLong,
    /// Something after the message.
    #[error("bytes after the message")]
    Trailing,
    /// A key that must be there is not.
    #[error("no {0:?}")]
    Missing(&'static str),
    /// A value of a length or kind that its key does not allow.
    #[error("{0:?} is not what it should be")]
    Invalid(&'static str),
}

impl Packet {
    /// A message from the node `sender` to one at `to`, which replies tell where it is.
    #[must_use]
    pub fn new(sender: Key, to: SocketAddr, message: Message<Peer>) -> Self {
        let observed = (!matches!(message.body, Body::Query { .. })).then_some(to);
        Self { sender: Some(sender), observed, message }
    }

    /// Whom a message is from that came from `addr`.
    #[must_use]
    pub fn from(&self, addr: SocketAddr) -> Peer {
        Peer { id: self.sender.unwrap_or_default(), addr }
    }
}

impl Wire for Packet {
    type Error = KrpcError;

    fn encode(&self, out: &mut alloc::vec::Vec<u8>) {
        encode::packet(self, out);
    }

    fn decode(bytes: &[u8]) -> Result<Self, KrpcError> {
        decode::packet(bytes)
    }
}
