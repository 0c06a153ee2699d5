//! Why bytes are not the peer wire protocol.

use core::fmt;

use crate::extension::{Extension, ExtensionError};
use crate::id::{Block, InfoHash};

/// Why a connection must close: what its peer sent cannot be, or must not be, said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The first bytes are not those of a BitTorrent handshake.
    #[error("not a BitTorrent handshake")]
    NotBitTorrent,
    /// The handshake is about a torrent that was not meant.
    #[error("handshake for another torrent, {0}")]
    WrongTorrent(InfoHash),
    /// The handshake bears our own peer id: we dialled ourselves.
    #[error("connected to ourselves")]
    SelfConnect,
    /// A message is shorter or longer than its kind can be.
    #[error("{id} message of {len} bytes")]
    Length {
        /// Which message.
        id: MessageId,
        /// Its length in bytes, the length prefix not counted.
        len: u32,
    },
    /// A message names a block that is empty, longer than
    /// [`MAX_BLOCK_LEN`](super::MAX_BLOCK_LEN), or ends beyond 4 GiB.
    #[error("{id} message with {} bytes at {} of piece {}", block.len, block.begin, block.piece.0)]
    Block {
        /// Which message.
        id: MessageId,
        /// The block.
        block: Block,
    },
    /// What pieces a peer has was told twice, or too late.
    #[error("{0} message that is not first")]
    NotFirst(MessageId),
    /// A bitfield does not fit the number of pieces, or has spare bits set.
    #[error("bitfield does not fit {0} pieces")]
    Bitfield(u32),
    /// A message of the fast extension, which was not agreed on (BEP 6).
    #[error("{0} message without the fast extension")]
    NotFast(MessageId),
    /// A message of the extension protocol, which its sender does not claim to speak (BEP 10).
    #[error("extension message without the extension protocol")]
    NotExtended,
    /// Hashes whose number does not fit their range (BEP 52).
    #[error("{0} hashes do not fit their range")]
    Hashes(u32),
    /// A message of an extension is longer than its kind can be.
    #[error("{} message of {len} bytes", extension_name(*extension))]
    ExtensionLength {
        /// Whose message; `None` is the extension handshake.
        extension: Option<Extension>,
        /// Its length in bytes, without its numbers.
        len: u32,
    },
    /// A message of an extension is malformed.
    #[error("{} message: {error}", extension_name(*extension))]
    Extension {
        /// Whose message; `None` is the extension handshake.
        extension: Option<Extension>,
        /// What is wrong with it.
        error: ExtensionError,
    },
}

fn extension_name(extension: Option<Extension>) -> &'static str {
    extension.map_or("extension handshake", Extension::name)
}

/// The number of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u8);

impl MessageId {
    pub(super) const CHOKE: Self = Self(0);
    pub(super) const UNCHOKE: Self = Self(1);
    pub(super) const INTERESTED: Self = Self(2);
    pub(super) const NOT_INTERESTED: Self = Self(3);
    pub(super) const HAVE: Self = Self(4);
    pub(super) const BITFIELD: Self = Self(5);
    pub(super) const REQUEST: Self = Self(6);
    pub(super) const PIECE: Self = Self(7);
    pub(super) const CANCEL: Self = Self(8);
    pub(super) const PORT: Self = Self(9);
    pub(super) const SUGGEST: Self = Self(13);
    pub(super) const HAVE_ALL: Self = Self(14);
    pub(super) const HAVE_NONE: Self = Self(15);
    pub(super) const REJECT: Self = Self(16);
    pub(super) const ALLOWED_FAST: Self = Self(17);
    pub(super) const EXTENDED: Self = Self(20);
    pub(super) const HASH_REQUEST: Self = Self(21);
    pub(super) const HASHES: Self = Self(22);
    pub(super) const HASH_REJECT: Self = Self(23);
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::CHOKE => "choke",
            Self::UNCHOKE => "unchoke",
            Self::INTERESTED => "interested",
            Self::NOT_INTERESTED => "not interested",
            Self::HAVE => "have",
            Self::BITFIELD => "bitfield",
            Self::REQUEST => "request",
            Self::PIECE => "piece",
            Self::CANCEL => "cancel",
            Self::PORT => "port",
            Self::SUGGEST => "suggest piece",
            Self::HAVE_ALL => "have all",
            Self::HAVE_NONE => "have none",
            Self::REJECT => "reject request",
            Self::ALLOWED_FAST => "allowed fast",
            Self::EXTENDED => "extended",
            Self::HASH_REQUEST => "hash request",
            Self::HASHES => "hashes",
            Self::HASH_REJECT => "hash reject",
            Self(id) => return write!(f, "unknown ({id})"),
        })
    }
}
