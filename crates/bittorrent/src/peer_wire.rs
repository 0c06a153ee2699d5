//! The peer wire protocol (BEP 3) with the fast extension (6), extension messages (10) and v2's
//! hash messages (52).
//!
//! Here live the messages, their bytes ([`PeerFraming`]), and what else peers must compute alike:
//! the [allowed fast set](allowed_fast_set) and [names of programs](client_name). What does not live
//! here: what extension messages say ([`extension`](crate::extension)) and when to say what
//! ([`swarm`](crate::swarm)).

mod client_name;
mod error;
mod fast_set;
mod framing;
mod handshake;
mod hash_range;
mod message;

#[cfg(test)]
mod tests;

pub use client_name::client_name;
pub use error::{MessageId, WireError};
pub use fast_set::allowed_fast_set;
pub use framing::PeerFraming;
pub use handshake::{HANDSHAKE_LEN, PROTOCOL};
pub use hash_range::MAX_HASHES;
pub use message::{MAX_BLOCK_LEN, MAX_PIECES, MAX_UNKNOWN_LEN, check_bitfield};

use alloc::vec::Vec;

use crate::extension::Extended;
use crate::id::{Block, InfoHash, PeerId, PieceIndex};

/// What peers say to each other, blocks of content aside: those are [`machine::Payload`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<C> {
    /// The first 68 bytes of a connection.
    Handshake(Handshake),
    /// Nothing, said to stay connected.
    KeepAlive,
    /// No more requests are served.
    Choke,
    /// Requests are served.
    Unchoke,
    /// The sender wants pieces of ours.
    Interested,
    /// It wants none.
    NotInterested,
    /// The sender has another piece.
    Have(PieceIndex),
    /// All pieces that the sender has, most significant bit first.
    Bitfield(Vec<u8>),
    /// Asks for a block.
    Request(Block),
    /// Takes a request back.
    Cancel(Block),
    /// The sender's DHT port (BEP 5).
    Port(u16),
    /// A piece worth asking for (BEP 6).
    Suggest(PieceIndex),
    /// The sender has every piece (BEP 6).
    HaveAll,
    /// The sender has no piece (BEP 6).
    HaveNone,
    /// A request will not be served (BEP 6).
    Reject(Block),
    /// A piece that may be requested while choked (BEP 6).
    AllowedFast(PieceIndex),
    /// Asks for hashes (BEP 52).
    HashRequest(HashRange),
    /// Carries hashes: those of the range, then the proof's uncle hashes (BEP 52).
    Hashes(HashRange, Vec<[u8; 32]>),
    /// Refuses hashes (BEP 52).
    HashReject(HashRange),
    /// An extension message (BEP 10).
    Extended(Extended<C>),
    /// A message with an unknown number; ignored.
    Unknown(u8),
}

/// The opening of a connection (BEP 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// What the sender can do.
    pub reserved: Reserved,
    /// The torrent.
    pub info_hash: InfoHash,
    /// The sender.
    pub peer_id: PeerId,
}

/// The eight reserved bytes of a handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved(pub [u8; 8]);

/// A run of one layer of a file's merkle tree (BEP 52).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HashRange {
    /// Root of the file's tree.
    pub pieces_root: [u8; 32],
    /// Layer above the leaves; 0 is the leaves.
    pub base_layer: u32,
    /// First hash.
    pub index: u32,
    /// How many, a power of two.
    pub length: u32,
    /// How many layers of uncle hashes follow as proof.
    pub proof_layers: u32,
}
