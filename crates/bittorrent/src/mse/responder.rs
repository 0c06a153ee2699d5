//! The handshake of the side that accepted.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use super::{
    Ciphers, ENTROPY_LEN, Entropy, Established, MAX_INITIAL_PAYLOAD_LEN, MAX_PAD_LEN, Methods,
    MseError, SkeyHash, VC, cipher, dh, hash, synchronise, take, xor,
};
use crate::id::InfoHash;

/// Most bytes kept while the driver looks a torrent up.
const MAX_BUFFERED: usize = 128 * 1024;

/// The handshake of the side that accepted.
pub struct Responder {
    accept: Methods,
    /// Leave the stream plain if the initiator offers that, too.
    plain_first: bool,
    /// Length of PadD.
    zero_pad_len: u16,
    /// Received and not yet used.
    buffer: Vec<u8>,
    state: State,
}

/// How far a [`Responder`] has come.
#[derive(Debug)]
pub enum Progress {
    /// More bytes are needed.
    NeedMore,
    /// The torrent with this hash is wanted: look it up and call [`Responder::resolve`]. To refuse
    /// ([`MseError::UnknownTorrent`]) just close.
    NeedTorrent(SkeyHash),
    /// The handshake is complete.
    Done(Established),
}

enum State {
    /// Waits for the initiator's public key.
    Key { entropy: Box<Entropy> },
    /// Looks for `HASH(req1, S)` behind PadA.
    Sync { secret: Box<[u8; dh::KEY_LEN]>, marker: [u8; 20], scanned: usize },
    /// Waits for the hash that names the torrent.
    Skey { secret: Box<[u8; dh::KEY_LEN]> },
    /// Waits for the driver to look the torrent up.
    Lookup { secret: Box<[u8; dh::KEY_LEN]>, wanted: SkeyHash },
    /// Waits for the verification constant, the methods and the length of PadC.
    Provide { torrent: InfoHash, ciphers: Box<Ciphers> },
    /// Waits for PadC and the length of the initial payload.
    Pad { torrent: InfoHash, ciphers: Box<Ciphers>, provide: u32, len: u16 },
    /// Waits for the initial payload.
    InitialPayload { torrent: InfoHash, ciphers: Box<Ciphers>, provide: u32, len: u16 },
    /// Has ended, well or not.
    Ended,
}

impl Responder {
    /// Begins a handshake that ends in one of the methods `accept`.
    #[must_use]
    pub fn new(accept: Methods, entropy: &[u8; ENTROPY_LEN]) -> Self {
        let entropy = Box::new(Entropy::new(entropy));
        let zero_pad_len = entropy.zero_pad_len;
        Self {
            accept,
            plain_first: false,
            zero_pad_len,
            buffer: Vec::new(),
            state: State::Key { entropy },
        }
    }

    /// Chooses plain over RC4 where the initiator offers both (`plain_first`): costs no cipher.
    #[must_use]
    pub fn preferring_plain(mut self, plain_first: bool) -> Self {
        self.plain_first = plain_first;
        self
    }

    /// Takes all of `input`, appends what is to be sent to `out`, and tells how far it got.
    ///
    /// # Errors
    /// When the other side does not speak MSE: [`MseError`].
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Progress, MseError> {
        if self.buffer.len() + input.len() > MAX_BUFFERED {
            self.state = State::Ended;
            return Err(MseError::NotExpected);
        }
        self.buffer.extend_from_slice(input);
        self.advance(out)
    }

    /// Goes on with the torrent that [`Progress::NeedTorrent`] asked for.
    ///
    /// # Errors
    /// [`MseError::UnknownTorrent`] if `torrent` is not the one, or else as [`feed`](Self::feed).
    pub fn resolve(&mut self, torrent: InfoHash, out: &mut Vec<u8>) -> Result<Progress, MseError> {
        let State::Lookup { secret, wanted } = mem::replace(&mut self.state, State::Ended) else {
            return Err(MseError::NotExpected);
        };
        if SkeyHash::of(torrent) != wanted {
            return Err(MseError::UnknownTorrent);
        }
        let ciphers = Box::new(Ciphers {
            encrypt: cipher(b"keyB", &secret, torrent),
            decrypt: cipher(b"keyA", &secret, torrent),
        });
        self.state = State::Provide { torrent, ciphers };
        self.advance(out)
    }

    fn advance(&mut self, out: &mut Vec<u8>) -> Result<Progress, MseError> {
        loop {
            // A step that lacks bytes puts its state back; one that fails leaves `Ended`.
            let state = mem::replace(&mut self.state, State::Ended);
            match self.step(state, out)? {
                Step::Next(state) => self.state = state,
                Step::Wait(state) => {
                    let progress = match &state {
                        State::Lookup { wanted, .. } => Progress::NeedTorrent(*wanted),
                        _ => Progress::NeedMore,
                    };
                    self.state = state;
                    return Ok(progress);
                }
                Step::Done(established) => return Ok(Progress::Done(established)),
            }
        }
    }

    fn step(&mut self, state: State, out: &mut Vec<u8>) -> Result<Step, MseError> {
        let next = match state {
            State::Key { entropy } => {
                let Some(public) = take(&mut self.buffer) else {
                    return Ok(Step::Wait(State::Key { entropy }));
                };
                let secret = Box::new(entropy.key.shared(&public).ok_or(MseError::PublicKey)?);
                out.extend_from_slice(&entropy.key.public());
                out.extend_from_slice(&entropy.pad);
                let marker = hash(&[b"req1", &*secret]);
                State::Sync { secret, marker, scanned: 0 }
            }
            State::Sync { secret, marker, mut scanned } => {
                let Some(end) = synchronise(&self.buffer, &mut scanned, &marker)? else {
                    return Ok(Step::Wait(State::Sync { secret, marker, scanned }));
                };
                self.buffer.drain(..end);
                State::Skey { secret }
            }
            State::Skey { secret } => {
                let Some(masked) = take(&mut self.buffer) else {
                    return Ok(Step::Wait(State::Skey { secret }));
                };
                let wanted = SkeyHash(xor(masked, hash(&[b"req3", &*secret])));
                State::Lookup { secret, wanted }
            }
            State::Lookup { .. } => return Ok(Step::Wait(state)),
            State::Provide { torrent, mut ciphers } => {
                let Some(mut head) = take::<14>(&mut self.buffer) else {
                    return Ok(Step::Wait(State::Provide { torrent, ciphers }));
                };
                ciphers.decrypt.apply(&mut head);
                let [vc @ .., a, b, c, d, len_hi, len_lo] = head;
                if vc != VC {
                    return Err(MseError::VerificationConstant);
                }
                let len = u16::from_be_bytes([len_hi, len_lo]);
                if usize::from(len) > MAX_PAD_LEN {
                    return Err(MseError::PadTooLong(len));
                }
                State::Pad { torrent, ciphers, provide: u32::from_be_bytes([a, b, c, d]), len }
            }
            State::Pad { torrent, mut ciphers, provide, len } => {
                let end = usize::from(len) + 2;
                let Some(bytes) = self.buffer.get_mut(..end) else {
                    return Ok(Step::Wait(State::Pad { torrent, ciphers, provide, len }));
                };
                ciphers.decrypt.apply(bytes);
                let len = u16::from_be_bytes([bytes[end - 2], bytes[end - 1]]);
                if usize::from(len) > MAX_INITIAL_PAYLOAD_LEN {
                    return Err(MseError::InitialPayloadTooLong(len));
                }
                self.buffer.drain(..end);
                State::InitialPayload { torrent, ciphers, provide, len }
            }
            State::InitialPayload { torrent, mut ciphers, provide, len } => {
                let mut initial = mem::take(&mut self.buffer);
                if initial.len() < len.into() {
                    self.buffer = initial;
                    return Ok(Step::Wait(State::InitialPayload {
                        torrent,
                        ciphers,
                        provide,
                        len,
                    }));
                }
                let mut rest = initial.split_off(len.into());
                ciphers.decrypt.apply(&mut initial);
                let method = self
                    .accept
                    .choose(provide, self.plain_first)
                    .ok_or(MseError::NoCommonMethod(provide))?;
                let enciphered = out.len();
                out.extend_from_slice(&VC);
                out.extend_from_slice(&method.bit().to_be_bytes());
                out.extend_from_slice(&self.zero_pad_len.to_be_bytes());
                out.resize(out.len() + usize::from(self.zero_pad_len), 0);
                ciphers.encrypt.apply(&mut out[enciphered..]);
                return Ok(Step::Done(Established::new(
                    torrent, method, ciphers, initial, &mut rest,
                )));
            }
            State::Ended => return Err(MseError::NotExpected),
        };
        Ok(Step::Next(next))
    }
}

/// What came of one step.
enum Step {
    Next(State),
    Wait(State),
    Done(Established),
}
