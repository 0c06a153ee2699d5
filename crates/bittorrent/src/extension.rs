//! Extension messages (BEP 10) and what travels in them: metadata (9), peer exchange (11),
//! holepunch (55), don't-have (54) and upload-only (21).
//!
//! Here live the messages, their numbering and their bytes. What does not live here: the frame
//! around them ([`peer_wire`](crate::peer_wire)) and when to say what ([`swarm`](crate::swarm)).

mod handshake;
mod holepunch;
mod kind;
mod message;
mod metadata;
mod pex;

#[cfg(test)]
mod tests;

pub use handshake::MAX_CLIENT_CHARS;
pub use kind::Extension;
pub use message::ExtensionError;
pub(crate) use message::{PeerNumbers, check_len, decode, encode};
pub use metadata::{MAX_METADATA_LEN, METADATA_PART_LEN};
pub use pex::MAX_PEX_PEERS;

use alloc::string::String;
use alloc::vec::Vec;

use crate::id::PieceIndex;

/// An extension message, its numbering already undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extended<C> {
    /// What a peer can do (BEP 10).
    Handshake(ExtensionHandshake),
    /// Parts of the info dictionary (BEP 9).
    Metadata(MetadataMessage),
    /// Peers come and gone (BEP 11).
    Pex(Pex<C>),
    /// Help to connect through NATs (BEP 55).
    Holepunch(Holepunch<C>),
    /// A piece that was announced is no longer there (BEP 54).
    DontHave(PieceIndex),
    /// Whether the peer only uploads (BEP 21).
    UploadOnly(bool),
    /// A message whose number was never negotiated; ignored.
    Unknown(u8),
}

/// The extensions that we speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// `ut_metadata`, BEP 9.
    pub metadata: bool,
    /// `ut_pex`, BEP 11.
    pub pex: bool,
    /// `ut_holepunch`, BEP 55.
    pub holepunch: bool,
    /// `lt_donthave`, BEP 54.
    pub dont_have: bool,
    /// `upload_only`, BEP 21.
    pub upload_only: bool,
}

/// The payload of an extension handshake (BEP 10).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtensionHandshake {
    /// Which messages the sender understands.
    pub extensions: Extensions,
    /// `v`: name and version of the program; at most 64 characters are kept.
    pub client: Option<String>,
    /// `p`: the port on which the sender listens.
    pub listen_port: Option<u16>,
    /// `reqq`: how many requests the sender queues before it drops some.
    pub request_queue: Option<u32>,
    /// `metadata_size`: bytes of the info dictionary (BEP 9).
    pub metadata_len: Option<u32>,
    /// `upload_only` (BEP 21).
    pub upload_only: bool,
    /// `yourip`: our address as the sender sees it, 4 or 16 bytes.
    pub your_ip: Option<core::net::IpAddr>,
}

/// A message of BEP 9.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataMessage {
    /// Asks for a 16 KiB part.
    Request(u32),
    /// Carries a part.
    Data {
        /// Index of the part.
        part: u32,
        /// Length of the whole info dictionary in bytes.
        total_len: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Refuses a part.
    Reject(u32),
}

/// Peer exchange (BEP 11).
///
/// Of received messages at most [`MAX_PEX_PEERS`] peers of each list are kept, and of these only
/// [dialable](crate::peer_address::is_dialable) ones; of sent messages at most as many are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pex<C> {
    /// Peers that the sender has connected to since the last message, with their flags.
    pub added: Vec<(C, PexFlags)>,
    /// Peers that it has lost.
    pub dropped: Vec<C>,
}

impl<C> Default for Pex<C> {
    fn default() -> Self {
        Self { added: Vec::new(), dropped: Vec::new() }
    }
}

/// What is said of a peer in [`Pex`]: bits of BEP 11.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PexFlags(pub u8);

impl PexFlags {
    /// It prefers encryption.
    pub const ENCRYPTION: u8 = 0x01;
    /// It is a seed or only uploads.
    pub const SEED: u8 = 0x02;
    /// It speaks uTP.
    pub const UTP: u8 = 0x04;
    /// It speaks `ut_holepunch`.
    pub const HOLEPUNCH: u8 = 0x08;
    /// The sender reached it by dialling.
    pub const REACHABLE: u8 = 0x10;
}

/// A message of BEP 55.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holepunch<C> {
    /// Asks the relay to bring us together with this peer.
    Rendezvous(C),
    /// From the relay: connect to this peer now.
    Connect(C),
    /// From the relay: it did not work.
    Error(C, HolepunchError),
}

/// Why a rendezvous failed (BEP 55).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolepunchError {
    /// The target is not a valid address (1).
    NoSuchPeer,
    /// The relay is not connected to it (2).
    NotConnected,
    /// It does not speak the extension (3).
    NoSupport,
    /// It is the asker itself (4).
    NoSelf,
}
