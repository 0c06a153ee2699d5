//! The handshake of the side that dialled.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use super::{
    Ciphers, ENTROPY_LEN, Entropy, Established, MAX_INITIAL_PAYLOAD_LEN, MAX_PAD_LEN, Method,
    Methods, MseError, VC, cipher, dh, hash, synchronise, take, xor,
};
use crate::id::InfoHash;

/// The handshake of the side that dialled.
pub struct Initiator {
    torrent: InfoHash,
    provide: Methods,
    /// Received and not yet used.
    buffer: Vec<u8>,
    state: State,
}

enum State {
    /// Waits for the responder's public key.
    Key { entropy: Box<Entropy>, initial_payload: Vec<u8> },
    /// Looks for the enciphered verification constant behind PadB.
    Sync { ciphers: Box<Ciphers>, marker: [u8; VC.len()], scanned: usize },
    /// Waits for the chosen method and the length of PadD.
    Select { ciphers: Box<Ciphers> },
    /// Waits for PadD.
    Pad { ciphers: Box<Ciphers>, method: Method, len: u16 },
    /// Has ended, well or not.
    Ended,
}

impl Initiator {
    /// Begins a handshake about `torrent`, and appends its first bytes to `out`.
    ///
    /// `initial_payload` is sent along, enciphered, as soon as there is a key: usually the 68 bytes
    /// of a BitTorrent handshake; at most [`MAX_INITIAL_PAYLOAD_LEN`] bytes of it are sent.
    #[must_use]
    pub fn new(
        torrent: InfoHash,
        provide: Methods,
        entropy: &[u8; ENTROPY_LEN],
        initial_payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Self {
        let entropy = Box::new(Entropy::new(entropy));
        out.extend_from_slice(&entropy.key.public());
        out.extend_from_slice(&entropy.pad);
        let initial_payload =
            initial_payload[..initial_payload.len().min(MAX_INITIAL_PAYLOAD_LEN)].to_vec();
        let state = State::Key { entropy, initial_payload };
        Self { torrent, provide, buffer: Vec::new(), state }
    }

    /// Takes all of `input`, appends what is to be sent to `out`, and returns the outcome once the
    /// handshake is complete.
    ///
    /// # Errors
    /// When the other side does not speak MSE with us about this torrent: [`MseError`].
    pub fn feed(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Established>, MseError> {
        self.buffer.extend_from_slice(input);
        loop {
            match mem::replace(&mut self.state, State::Ended) {
                State::Key { entropy, initial_payload } => {
                    let Some(public) = take(&mut self.buffer) else {
                        self.state = State::Key { entropy, initial_payload };
                        return Ok(None);
                    };
                    let secret = entropy.key.shared(&public).ok_or(MseError::PublicKey)?;
                    let mut ciphers = Box::new(Ciphers {
                        encrypt: cipher(b"keyA", &secret, self.torrent),
                        decrypt: cipher(b"keyB", &secret, self.torrent),
                    });
                    self.request(&secret, &entropy, &initial_payload, &mut ciphers, out);
                    let mut marker = VC;
                    ciphers.decrypt.apply(&mut marker);
                    self.state = State::Sync { ciphers, marker, scanned: 0 };
                }
                State::Sync { ciphers, marker, mut scanned } => {
                    let Some(end) = synchronise(&self.buffer, &mut scanned, &marker)? else {
                        self.state = State::Sync { ciphers, marker, scanned };
                        return Ok(None);
                    };
                    self.buffer.drain(..end);
                    self.state = State::Select { ciphers };
                }
                State::Select { mut ciphers } => {
                    let Some(mut head) = take::<6>(&mut self.buffer) else {
                        self.state = State::Select { ciphers };
                        return Ok(None);
                    };
                    ciphers.decrypt.apply(&mut head);
                    let [a, b, c, d, len @ ..] = head;
                    let (select, len) = (u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes(len));
                    let method = self
                        .provide
                        .choose(select, false)
                        .filter(|method| method.bit() == select)
                        .ok_or(MseError::NoCommonMethod(select))?;
                    if usize::from(len) > MAX_PAD_LEN {
                        return Err(MseError::PadTooLong(len));
                    }
                    self.state = State::Pad { ciphers, method, len };
                }
                State::Pad { mut ciphers, method, len } => {
                    let mut buffer = mem::take(&mut self.buffer);
                    let Some((pad, rest)) = buffer.split_at_mut_checked(len.into()) else {
                        self.buffer = buffer;
                        self.state = State::Pad { ciphers, method, len };
                        return Ok(None);
                    };
                    ciphers.decrypt.apply(pad);
                    let established =
                        Established::new(self.torrent, method, ciphers, Vec::new(), rest);
                    return Ok(Some(established));
                }
                State::Ended => return Err(MseError::NotExpected),
            }
        }
    }

    /// Writes the initiator's second message.
    fn request(
        &self,
        secret: &[u8; dh::KEY_LEN],
        entropy: &Entropy,
        initial_payload: &[u8],
        ciphers: &mut Ciphers,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(&hash(&[b"req1", secret]));
        let skey = super::SkeyHash::of(self.torrent).0;
        out.extend_from_slice(&xor(skey, hash(&[b"req3", secret])));
        let enciphered = out.len();
        out.extend_from_slice(&VC);
        out.extend_from_slice(&self.provide.0.to_be_bytes());
        out.extend_from_slice(&entropy.zero_pad_len.to_be_bytes());
        out.resize(out.len() + usize::from(entropy.zero_pad_len), 0);
        out.extend_from_slice(&(initial_payload.len() as u16).to_be_bytes());
        out.extend_from_slice(initial_payload);
        ciphers.encrypt.apply(&mut out[enciphered..]);
    }
}
