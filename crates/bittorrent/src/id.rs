//! Names: torrents, peers, pieces, blocks.

use core::fmt;

/// Bytes of a block: the unit that peers request (BEP 3) and v2 hashes (BEP 52).
pub const BLOCK_LEN: u32 = 16 * 1024;

/// SHA-1 of the info dictionary (BEP 3), or a v2 infohash cut to 20 bytes (BEP 52): what goes into
/// handshakes, announces and the DHT.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHash(pub [u8; 20]);

/// SHA-256 of the info dictionary (BEP 52).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHashV2(pub [u8; 32]);

impl InfoHashV2 {
    /// The first 20 bytes, for places that have room for no more (BEP 52).
    #[must_use]
    pub fn truncated(&self) -> InfoHash {
        let mut short = [0; 20];
        short.copy_from_slice(&self.0[..20]);
        InfoHash(short)
    }
}

/// The names of one torrent; a hybrid has both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHashes {
    /// BEP 3.
    pub v1: Option<InfoHash>,
    /// BEP 52.
    pub v2: Option<InfoHashV2>,
}

impl InfoHashes {
    /// The hashes under which this torrent is announced and dialled, the preferred one first.
    pub fn handshake_hashes(&self) -> impl Iterator<Item = InfoHash> + use<> {
        self.v1.into_iter().chain(self.v2.map(|v2| v2.truncated()))
    }

    /// The preferred name: v1 if there is one, else the truncated v2.
    #[must_use]
    pub fn primary(&self) -> Option<InfoHash> {
        self.handshake_hashes().next()
    }
}

/// A peer's name for itself (BEP 20).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 20]);

/// The index of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceIndex(pub u32);

/// A run of bytes of one piece, as peers request it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// The piece.
    pub piece: PieceIndex,
    /// Where in the piece it begins, in bytes.
    pub begin: u32,
    /// Its length in bytes.
    pub len: u32,
}

impl From<machine::Payload> for Block {
    fn from(payload: machine::Payload) -> Self {
        Self { piece: PieceIndex(payload.object), begin: payload.offset, len: payload.len }
    }
}

impl From<Block> for machine::Payload {
    fn from(block: Block) -> Self {
        Self { object: block.piece.0, offset: block.begin, len: block.len }
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

macro_rules! shows_as_hex {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    )*};
}
shows_as_hex!(InfoHash, InfoHashV2, PeerId);
