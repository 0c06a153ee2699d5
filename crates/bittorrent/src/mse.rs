//! Message Stream Encryption (also called Protocol Encryption): obfuscation that keeps a stream from
//! looking like BitTorrent. It hides; it does not authenticate.
//!
//! Here live the handshakes of both sides as state machines that eat and produce bytes
//! ([`Initiator`], [`Responder`]), and the cipher they end in ([`Rc4`]). What does not live here:
//! sockets, randomness (the driver hands it in) and the choice of whether to obfuscate.
//!
//! The exchange: keys `Ya PadA` and `Yb PadB`; then from the initiator
//! `HASH(req1 S) HASH(req2 SKEY)^HASH(req3 S)` and, enciphered, `VC provide len PadC len IA`; then
//! from the responder, enciphered, `VC select len PadD`. SKEY is the infohash of the torrent.

mod dh;
mod initiator;
mod rc4;
mod responder;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;

use sha1::{Digest, Sha1};

pub use initiator::Initiator;
pub use rc4::Rc4;
pub use responder::{Progress, Responder};

use crate::id::InfoHash;
use crate::peer_wire::PROTOCOL;

/// Random bytes that one handshake needs, from the operating system.
pub const ENTROPY_LEN: usize = dh::PRIVATE_LEN + 2 * 2 + MAX_PAD_LEN;

/// Most bytes of each of the four pads.
pub const MAX_PAD_LEN: usize = 512;

/// Most bytes of application data that a responder takes along with the handshake (IA). The field
/// has room for 65,535; programs send the 68 bytes of a BitTorrent handshake, or nothing.
pub const MAX_INITIAL_PAYLOAD_LEN: usize = 16 * 1024;

/// Verification constant: eight zero bytes, recognised once deciphered.
const VC: [u8; 8] = [0; 8];

/// What a stream becomes after the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Not enciphered any further (bit 1).
    Plain,
    /// RC4 to the end (bit 2).
    Rc4,
}

impl Method {
    const fn bit(self) -> u32 {
        match self {
            Self::Plain => 1,
            Self::Rc4 => 2,
        }
    }
}

/// A set of [`Method`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Methods(u32);

impl Methods {
    /// RC4 only.
    pub const RC4: Self = Self(Method::Rc4.bit());
    /// Plain only: the handshake is hidden, the rest is not.
    pub const PLAIN: Self = Self(Method::Plain.bit());
    /// Either.
    pub const ANY: Self = Self(Method::Plain.bit() | Method::Rc4.bit());

    /// The method that both sides support; if both are, RC4 unless `plain_first`.
    fn choose(self, other: u32, plain_first: bool) -> Option<Method> {
        let order =
            if plain_first { [Method::Plain, Method::Rc4] } else { [Method::Rc4, Method::Plain] };
        order.into_iter().find(|m| self.0 & other & m.bit() != 0)
    }
}

/// What a torrent is looked up by when its obfuscated handshake arrives: `HASH("req2", infohash)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SkeyHash(pub [u8; 20]);

impl SkeyHash {
    /// The hash that an initiator sends for this torrent.
    #[must_use]
    pub fn of(torrent: InfoHash) -> Self {
        Self(hash(&[b"req2", &torrent.0]))
    }
}

/// The outcome of a handshake.
#[derive(Debug)]
pub struct Established {
    /// The torrent that the handshake was about.
    pub torrent: InfoHash,
    /// The ciphers for the rest of the stream; `None` if it goes on plain.
    pub ciphers: Option<Box<Ciphers>>,
    /// Bytes of the stream behind the handshake that have already arrived, deciphered: the initial
    /// payload and whatever followed.
    pub received: Vec<u8>,
}

impl Established {
    /// The method that was agreed on.
    #[must_use]
    pub fn method(&self) -> Method {
        if self.ciphers.is_some() { Method::Rc4 } else { Method::Plain }
    }

    fn new(
        torrent: InfoHash,
        method: Method,
        mut ciphers: Box<Ciphers>,
        mut initial: Vec<u8>,
        rest: &mut [u8],
    ) -> Self {
        let ciphers = match method {
            Method::Plain => None,
            Method::Rc4 => {
                ciphers.decrypt.apply(rest);
                Some(ciphers)
            }
        };
        initial.extend_from_slice(rest);
        Self { torrent, ciphers, received: initial }
    }
}

/// Both directions of an obfuscated stream, as one side sees them.
#[derive(Clone, Debug)]
pub struct Ciphers {
    /// For bytes to send.
    pub encrypt: Rc4,
    /// For bytes received.
    pub decrypt: Rc4,
}

/// Why a handshake failed; the connection must close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MseError {
    /// The other side's public key is one that no exchange produces.
    #[error("unusable public key")]
    PublicKey,
    /// The point at which the handshake goes on did not come within the longest pad.
    #[error("no synchronisation point within {MAX_PAD_LEN} bytes of padding")]
    NoSync,
    /// The initiator wants a torrent that is not here.
    #[error("unknown torrent")]
    UnknownTorrent,
    /// What should decipher to the verification constant does not.
    #[error("verification constant is wrong")]
    VerificationConstant,
    /// A pad is longer than allowed.
    #[error("pad of {0} bytes, at most {MAX_PAD_LEN} allowed")]
    PadTooLong(u16),
    /// The initial payload is longer than this program accepts.
    #[error("initial payload of {0} bytes, at most {MAX_INITIAL_PAYLOAD_LEN} accepted")]
    InitialPayloadTooLong(u16),
    /// No method is acceptable to both sides; the other side's set.
    #[error("no common method in {0:#x}")]
    NoCommonMethod(u32),
    /// More bytes were fed than the handshake can use while it waits for its driver, or after its
    /// end.
    #[error("bytes fed to a handshake that cannot go on")]
    NotExpected,
}

/// Whether a connection that starts with these bytes is a plain BitTorrent connection; `None` while
/// they are too few to tell.
#[must_use]
pub fn looks_like_plain(first: &[u8]) -> Option<bool> {
    let len = first.len().min(PROTOCOL.len());
    if first[..len] != PROTOCOL[..len] {
        return Some(false);
    }
    (len == PROTOCOL.len()).then_some(true)
}

/// The driver's random bytes, cut to their uses.
struct Entropy {
    key: dh::PrivateKey,
    /// PadA or PadB.
    pad: Vec<u8>,
    /// Length of PadC or PadD, which consist of zeros: they are sent enciphered.
    zero_pad_len: u16,
}

impl Entropy {
    fn new(bytes: &[u8; ENTROPY_LEN]) -> Self {
        let (private, rest) = bytes.split_first_chunk().expect("ENTROPY_LEN covers the key");
        let (lens, pad) = rest.split_first_chunk::<4>().expect("ENTROPY_LEN covers the lengths");
        let len = |hi, lo| u16::from_be_bytes([hi, lo]) % (MAX_PAD_LEN as u16 + 1);
        Self {
            key: dh::PrivateKey::new(private),
            pad: pad[..usize::from(len(lens[0], lens[1]))].to_vec(),
            zero_pad_len: len(lens[2], lens[3]),
        }
    }
}

fn hash(parts: &[&[u8]]) -> [u8; 20] {
    parts.iter().fold(Sha1::new(), |sha, part| sha.chain_update(part)).finalize().into()
}

/// The cipher of what the initiator (`keyA`) or the responder (`keyB`) sends.
fn cipher(label: &[u8], secret: &[u8; dh::KEY_LEN], torrent: InfoHash) -> Rc4 {
    Rc4::new(&hash(&[label, secret, &torrent.0]))
}

fn xor(mut a: [u8; 20], b: [u8; 20]) -> [u8; 20] {
    a.iter_mut().zip(b).for_each(|(a, b)| *a ^= b);
    a
}

/// Looks in `buffer`, from `*scanned` on, for `marker` behind at most [`MAX_PAD_LEN`] bytes of
/// padding; returns where it ends.
fn synchronise(
    buffer: &[u8],
    scanned: &mut usize,
    marker: &[u8],
) -> Result<Option<usize>, MseError> {
    let window = &buffer[..buffer.len().min(MAX_PAD_LEN + marker.len())];
    if let Some(at) = window[*scanned..].windows(marker.len()).position(|w| w == marker) {
        return Ok(Some(*scanned + at + marker.len()));
    }
    if window.len() == MAX_PAD_LEN + marker.len() {
        return Err(MseError::NoSync);
    }
    *scanned = (window.len() + 1).saturating_sub(marker.len());
    Ok(None)
}

/// Takes the first `N` bytes off `buffer`, if they are there.
fn take<const N: usize>(buffer: &mut Vec<u8>) -> Option<[u8; N]> {
    let bytes = *buffer.first_chunk()?;
    buffer.drain(..N);
    Some(bytes)
}
