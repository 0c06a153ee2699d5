//! Both directions of one connection: handshake, then messages, extensions numbered as agreed.

use alloc::vec::Vec;
use core::net::SocketAddr;

use machine::{Decoded, Framing, Payload};

use super::handshake::HANDSHAKE_LEN;
use super::message::{self, PIECE_HEAD_LEN};
use super::{Frame, Handshake, MessageId, Reserved, WireError};
use crate::extension::{self, Extended, Extensions, PeerNumbers};
use crate::id::{Block, PieceIndex};

/// The bytes of one connection to a peer.
///
/// It remembers what was agreed on: the first frame in either direction is the handshake, whose
/// bits decide about the fast extension and the extension protocol, and extension handshakes
/// decide about numbers of extension messages. It does not know the torrent: whether pieces and
/// blocks exist is for the machine to check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerFraming {
    /// The bits that we have sent.
    sent: Option<Reserved>,
    /// The bits that the peer has sent.
    received: Option<Reserved>,
    /// The extensions that we have told the peer to use.
    offered: Extensions,
    /// The numbers under which the peer wants messages of extensions.
    numbers: PeerNumbers,
    /// The peer has said which pieces it has, or it is too late to.
    pieces_told: bool,
}

impl PeerFraming {
    /// A connection on which nothing was said yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the peer would understand this frame: frames of extensions need the peer's word
    /// that it speaks them. [`encode`](Framing::encode) writes nothing for a frame that it would
    /// not.
    #[must_use]
    pub fn can_encode(&self, frame: &Frame<SocketAddr>) -> bool {
        match frame {
            Frame::Suggest(_)
            | Frame::HaveAll
            | Frame::HaveNone
            | Frame::Reject(_)
            | Frame::AllowedFast(_) => self.received.is_some_and(Reserved::fast),
            Frame::Extended(message) => {
                self.received.is_some_and(Reserved::extensions)
                    && self.numbers.number_for(message).is_some()
            }
            Frame::Unknown(_) => false,
            _ => true,
        }
    }

    /// Which extensions the peer has said to understand, by its latest extension handshakes.
    #[must_use]
    pub fn peer_extensions(&self) -> Extensions {
        self.numbers.extensions()
    }

    fn decode_handshake(&mut self, bytes: &[u8]) -> Result<Decoded<Frame<SocketAddr>>, WireError> {
        let Some(handshake) = Handshake::decode(bytes)? else {
            return Ok(Decoded::Incomplete(HANDSHAKE_LEN));
        };
        self.received = Some(handshake.reserved);
        Ok(Decoded::Frame { frame: Frame::Handshake(handshake), used: HANDSHAKE_LEN })
    }

    fn decode_message(
        &mut self,
        received: Reserved,
        bytes: &[u8],
    ) -> Result<Decoded<Frame<SocketAddr>>, WireError> {
        let Some(prefix) = bytes.first_chunk() else { return Ok(Decoded::Incomplete(4)) };
        let len = u32::from_be_bytes(*prefix);
        let Some(body_len) = len.checked_sub(1) else {
            return Ok(Decoded::Frame { frame: Frame::KeepAlive, used: 4 });
        };
        let Some(&id) = bytes.get(4) else { return Ok(Decoded::Incomplete(5)) };
        let id = MessageId(id);
        let (min, max) = message::body_len(id);
        if body_len < min || body_len > max {
            return Err(WireError::Length { id, len });
        }
        // A peer may speak before it has heard us, and then it goes by its own bits alone.
        let fast = received.fast() && self.sent.is_none_or(Reserved::fast);
        if message::is_fast(id) && !fast {
            return Err(WireError::NotFast(id));
        }
        self.check_order(id)?;
        if id == MessageId::PIECE {
            let decoded = decode_piece_head(body_len, bytes)?;
            self.pieces_told |= matches!(decoded, Decoded::Payload { .. });
            return Ok(decoded);
        }
        if id == MessageId::EXTENDED {
            if !received.extensions() {
                return Err(WireError::NotExtended);
            }
            // Its second number narrows the bounds before its bytes are waited for.
            let Some(&number) = bytes.get(5) else { return Ok(Decoded::Incomplete(6)) };
            extension::check_len(&self.offered, number, body_len - 1)?;
        }
        let used = 4 + len as usize;
        let Some(body) = bytes.get(5..used) else { return Ok(Decoded::Incomplete(used)) };
        let frame = match (id, body) {
            (MessageId::EXTENDED, &[number, ref content @ ..]) => Frame::Extended(
                extension::decode(&self.offered, &mut self.numbers, number, content)?,
            ),
            _ => message::decode(id, body)?,
        };
        self.pieces_told |= tells_pieces(id) || ends_telling(id);
        Ok(Decoded::Frame { frame, used })
    }

    /// Checks that a peer says that it has all pieces or none once, and before it goes on from
    /// there. Other messages may come first: many programs send their extension handshake at once.
    /// Bitfields may come late: aria2 sends its own again where that is shorter than news of each
    /// piece.
    fn check_order(&self, id: MessageId) -> Result<(), WireError> {
        let late = self.pieces_told && tells_pieces(id) && id != MessageId::BITFIELD;
        if late { Err(WireError::NotFirst(id)) } else { Ok(()) }
    }
}

/// Whether a message says of all pieces at once whether its sender has them.
fn tells_pieces(id: MessageId) -> bool {
    matches!(id, MessageId::BITFIELD | MessageId::HAVE_ALL | MessageId::HAVE_NONE)
}

/// Whether it is too late for such a message after this one.
fn ends_telling(id: MessageId) -> bool {
    matches!(id, MessageId::HAVE | MessageId::REQUEST)
}

fn decode_piece_head(body_len: u32, bytes: &[u8]) -> Result<Decoded<Frame<SocketAddr>>, WireError> {
    let id = MessageId::PIECE;
    let Some(head) = bytes.get(5..PIECE_HEAD_LEN) else {
        return Ok(Decoded::Incomplete(PIECE_HEAD_LEN));
    };
    let (fields, _) = head.as_chunks::<4>();
    let (&[piece, begin], Some(len)) = (fields, body_len.checked_sub(8)) else {
        return Err(WireError::Length { id, len: body_len + 1 });
    };
    let [piece, begin] = [piece, begin].map(u32::from_be_bytes);
    let block = message::check_block(id, Block { piece: PieceIndex(piece), begin, len })?;
    Ok(Decoded::Payload { payload: block.into(), used: PIECE_HEAD_LEN })
}

impl Framing<Frame<SocketAddr>> for PeerFraming {
    type Error = WireError;

    fn encode(&mut self, frame: &Frame<SocketAddr>, out: &mut Vec<u8>) {
        if !self.can_encode(frame) {
            return;
        }
        match frame {
            Frame::Handshake(handshake) => {
                self.sent = Some(handshake.reserved);
                handshake.encode(out);
            }
            Frame::KeepAlive => out.extend_from_slice(&[0; 4]),
            Frame::Choke => message::encode_bare(MessageId::CHOKE, out),
            Frame::Unchoke => message::encode_bare(MessageId::UNCHOKE, out),
            Frame::Interested => message::encode_bare(MessageId::INTERESTED, out),
            Frame::NotInterested => message::encode_bare(MessageId::NOT_INTERESTED, out),
            Frame::Have(piece) => message::encode_piece(MessageId::HAVE, *piece, out),
            Frame::Bitfield(bits) => {
                message::encode_head(MessageId::BITFIELD, bits.len(), out);
                out.extend_from_slice(bits);
            }
            Frame::Request(block) => message::encode_block(MessageId::REQUEST, *block, out),
            Frame::Cancel(block) => message::encode_block(MessageId::CANCEL, *block, out),
            Frame::Port(port) => {
                message::encode_head(MessageId::PORT, 2, out);
                out.extend_from_slice(&port.to_be_bytes());
            }
            Frame::Suggest(piece) => message::encode_piece(MessageId::SUGGEST, *piece, out),
            Frame::HaveAll => message::encode_bare(MessageId::HAVE_ALL, out),
            Frame::HaveNone => message::encode_bare(MessageId::HAVE_NONE, out),
            Frame::Reject(block) => message::encode_block(MessageId::REJECT, *block, out),
            Frame::AllowedFast(piece) => {
                message::encode_piece(MessageId::ALLOWED_FAST, *piece, out);
            }
            Frame::HashRequest(range) => {
                message::encode_range(MessageId::HASH_REQUEST, range, out);
            }
            Frame::Hashes(range, hashes) => {
                let body_len = super::hash_range::RANGE_LEN + 32 * hashes.len();
                message::encode_head(MessageId::HASHES, body_len, out);
                range.encode(out);
                out.extend_from_slice(hashes.as_flattened());
            }
            Frame::HashReject(range) => message::encode_range(MessageId::HASH_REJECT, range, out),
            Frame::Extended(content) => {
                let Some(number) = self.numbers.number_for(content) else { return };
                let start = out.len();
                message::encode_head(MessageId::EXTENDED, 0, out);
                out.push(number);
                extension::encode(content, &self.offered, out);
                if let Extended::Handshake(handshake) = content {
                    self.offered = handshake.extensions;
                }
                let len = (out.len() - start - 4) as u32;
                out[start..start + 4].copy_from_slice(&len.to_be_bytes());
            }
            Frame::Unknown(_) => {}
        }
    }

    fn encode_payload_head(&mut self, payload: Payload, out: &mut Vec<u8>) {
        out.extend_from_slice(&(1 + 8 + payload.len).to_be_bytes());
        out.push(MessageId::PIECE.0);
        out.extend_from_slice(&payload.object.to_be_bytes());
        out.extend_from_slice(&payload.offset.to_be_bytes());
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded<Frame<SocketAddr>>, WireError> {
        match self.received {
            None => self.decode_handshake(bytes),
            Some(received) => self.decode_message(received, bytes),
        }
    }
}
