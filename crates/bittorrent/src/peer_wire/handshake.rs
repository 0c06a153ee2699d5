//! The 68 bytes that open a connection: their form, the bits in them, and whether they fit.

use alloc::vec::Vec;

use super::{Handshake, Reserved, WireError};
use crate::id::{InfoHash, InfoHashes, PeerId};

/// How every BitTorrent connection begins: the length of a name, and the name (BEP 3).
pub const PROTOCOL: [u8; 20] = *b"\x13BitTorrent protocol";

/// Bytes of a handshake.
pub const HANDSHAKE_LEN: usize = PROTOCOL.len() + 8 + 20 + 20;

/// A bit of [`Reserved`]: which byte, and its mask.
#[derive(Clone, Copy)]
struct Bit(usize, u8);

/// Bit 20 from the right (BEP 10).
const EXTENSIONS: Bit = Bit(5, 0x10);
const FAST: Bit = Bit(7, 0x04);
const DHT: Bit = Bit(7, 0x01);
const V2: Bit = Bit(7, 0x10);

impl Reserved {
    /// Whether the sender speaks the extension protocol (BEP 10).
    #[must_use]
    pub const fn extensions(self) -> bool {
        self.has(EXTENSIONS)
    }

    /// Says that we speak the extension protocol (BEP 10).
    #[must_use]
    pub const fn with_extensions(self) -> Self {
        self.with(EXTENSIONS)
    }

    /// Whether the sender speaks the fast extension (BEP 6).
    #[must_use]
    pub const fn fast(self) -> bool {
        self.has(FAST)
    }

    /// Says that we speak the fast extension (BEP 6).
    #[must_use]
    pub const fn with_fast(self) -> Self {
        self.with(FAST)
    }

    /// Whether the sender has a node in the DHT (BEP 5).
    #[must_use]
    pub const fn dht(self) -> bool {
        self.has(DHT)
    }

    /// Says that we have a node in the DHT (BEP 5).
    #[must_use]
    pub const fn with_dht(self) -> Self {
        self.with(DHT)
    }

    /// Whether the sender can be upgraded to v2 on a hybrid torrent (BEP 52).
    #[must_use]
    pub const fn v2(self) -> bool {
        self.has(V2)
    }

    /// Says that we can be upgraded to v2 (BEP 52).
    #[must_use]
    pub const fn with_v2(self) -> Self {
        self.with(V2)
    }

    const fn has(self, bit: Bit) -> bool {
        self.0[bit.0] & bit.1 != 0
    }

    const fn with(mut self, bit: Bit) -> Self {
        self.0[bit.0] |= bit.1;
        self
    }
}

impl Handshake {
    /// Checks that a received handshake is about one of the names of `torrent`, and not from
    /// ourselves.
    ///
    /// # Errors
    /// [`WireError::WrongTorrent`] or [`WireError::SelfConnect`].
    pub fn check(&self, torrent: &InfoHashes, own_id: PeerId) -> Result<(), WireError> {
        if !torrent.handshake_hashes().any(|hash| hash == self.info_hash) {
            return Err(WireError::WrongTorrent(self.info_hash));
        }
        if self.peer_id == own_id {
            return Err(WireError::SelfConnect);
        }
        Ok(())
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&PROTOCOL);
        out.extend_from_slice(&self.reserved.0);
        out.extend_from_slice(&self.info_hash.0);
        out.extend_from_slice(&self.peer_id.0);
    }

    /// Reads a handshake; `None` if `bytes` are the beginning of one.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<Self>, WireError> {
        let known = bytes.len().min(PROTOCOL.len());
        if bytes[..known] != PROTOCOL[..known] {
            return Err(WireError::NotBitTorrent);
        }
        let Some(fields) = bytes.get(PROTOCOL.len()..HANDSHAKE_LEN) else { return Ok(None) };
        let mut handshake = Self {
            reserved: Reserved::default(),
            info_hash: InfoHash([0; 20]),
            peer_id: PeerId([0; 20]),
        };
        handshake.reserved.0.copy_from_slice(&fields[..8]);
        handshake.info_hash.0.copy_from_slice(&fields[8..28]);
        handshake.peer_id.0.copy_from_slice(&fields[28..]);
        Ok(Some(handshake))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_bits_are_where_the_beps_put_them() {
        let none = Reserved::default();
        assert_eq!(none.with_extensions().0, [0, 0, 0, 0, 0, 0x10, 0, 0]);
        assert_eq!(none.with_fast().0, [0, 0, 0, 0, 0, 0, 0, 0x04]);
        assert_eq!(none.with_dht().0, [0, 0, 0, 0, 0, 0, 0, 0x01]);
        assert_eq!(none.with_v2().0, [0, 0, 0, 0, 0, 0, 0, 0x10]);
        let all = none.with_extensions().with_fast().with_dht().with_v2();
        assert!(all.extensions() && all.fast() && all.dht() && all.v2());
        assert!(!none.extensions() && !none.fast() && !none.dht() && !none.v2());
    }
}
