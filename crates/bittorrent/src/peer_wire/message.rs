//! Messages of fixed meaning: their lengths, and their bytes.

use alloc::vec::Vec;

use super::hash_range::{MAX_HASHES_LEN, RANGE_LEN, decode_hashes};
use super::{Frame, HashRange, MessageId, WireError};
use crate::id::{Block, PieceIndex};

/// Most bytes of a block. Programs request 16 KiB; some used to request more, and none more than
/// this.
pub const MAX_BLOCK_LEN: u32 = 128 * 1024;

/// Most pieces of a torrent, hence bits of a bitfield.
pub const MAX_PIECES: u32 = 0x20_0000;

/// Most bytes of a message whose meaning is unknown: room for anything plausible, to be ignored.
pub const MAX_UNKNOWN_LEN: u32 = 128 * 1024;

/// Bytes of a block's name.
const BLOCK_LEN: usize = 12;

/// Bytes of a piece message that come before the block: length, number, piece and offset.
pub(super) const PIECE_HEAD_LEN: usize = 4 + 1 + 8;

/// The least and the most bytes that may follow the number of a message.
pub(super) const fn body_len(id: MessageId) -> (u32, u32) {
    let (min, max) = match id {
        MessageId::CHOKE
        | MessageId::UNCHOKE
        | MessageId::INTERESTED
        | MessageId::NOT_INTERESTED
        | MessageId::HAVE_ALL
        | MessageId::HAVE_NONE => (0, 0),
        MessageId::HAVE | MessageId::SUGGEST | MessageId::ALLOWED_FAST => (4, 4),
        MessageId::BITFIELD => (1, MAX_PIECES as usize / 8),
        MessageId::REQUEST | MessageId::CANCEL | MessageId::REJECT => (BLOCK_LEN, BLOCK_LEN),
        // Its block may be empty here: that is an error of its own.
        MessageId::PIECE => (8, 8 + MAX_BLOCK_LEN as usize),
        MessageId::PORT => (2, 2),
        MessageId::HASH_REQUEST | MessageId::HASH_REJECT => (RANGE_LEN, RANGE_LEN),
        MessageId::HASHES => (RANGE_LEN + 32, MAX_HASHES_LEN),
        // Extension messages have narrower bounds once their second number is known.
        MessageId::EXTENDED => (1, 1 + MAX_UNKNOWN_LEN as usize),
        _ => (0, MAX_UNKNOWN_LEN as usize),
    };
    (min as u32, max as u32)
}

/// Whether a message is part of the fast extension.
pub(super) const fn is_fast(id: MessageId) -> bool {
    matches!(
        id,
        MessageId::SUGGEST
            | MessageId::HAVE_ALL
            | MessageId::HAVE_NONE
            | MessageId::REJECT
            | MessageId::ALLOWED_FAST
    )
}

/// Reads the body of a message that is neither a piece nor an extension message; its length is
/// within [`body_len`].
pub(super) fn decode<C>(id: MessageId, body: &[u8]) -> Result<Frame<C>, WireError> {
    let length = WireError::Length { id, len: body.len() as u32 + 1 };
    let piece = || Some(PieceIndex(u32::from_be_bytes(*body.first_chunk()?)));
    let range = || Some(HashRange::decode(body.first_chunk()?));
    let frame = match id {
        MessageId::CHOKE => Some(Frame::Choke),
        MessageId::UNCHOKE => Some(Frame::Unchoke),
        MessageId::INTERESTED => Some(Frame::Interested),
        MessageId::NOT_INTERESTED => Some(Frame::NotInterested),
        MessageId::HAVE => piece().map(Frame::Have),
        MessageId::BITFIELD => Some(Frame::Bitfield(body.to_vec())),
        MessageId::REQUEST => decode_block(id, body)?.map(Frame::Request),
        MessageId::CANCEL => decode_block(id, body)?.map(Frame::Cancel),
        MessageId::PORT => body.first_chunk().map(|port| Frame::Port(u16::from_be_bytes(*port))),
        MessageId::SUGGEST => piece().map(Frame::Suggest),
        MessageId::HAVE_ALL => Some(Frame::HaveAll),
        MessageId::HAVE_NONE => Some(Frame::HaveNone),
        MessageId::REJECT => decode_block(id, body)?.map(Frame::Reject),
        MessageId::ALLOWED_FAST => piece().map(Frame::AllowedFast),
        MessageId::HASH_REQUEST => range().map(Frame::HashRequest),
        MessageId::HASHES => Some(decode_hashes(body)?),
        MessageId::HASH_REJECT => range().map(Frame::HashReject),
        MessageId(id) => Some(Frame::Unknown(id)),
    };
    frame.ok_or(length)
}

fn decode_block(id: MessageId, body: &[u8]) -> Result<Option<Block>, WireError> {
    let (fields, _) = body.as_chunks::<4>();
    let &[piece, begin, len] = fields else { return Ok(None) };
    let [piece, begin, len] = [piece, begin, len].map(u32::from_be_bytes);
    check_block(id, Block { piece: PieceIndex(piece), begin, len }).map(Some)
}

/// Checks that a block is one that could exist.
pub(super) fn check_block(id: MessageId, block: Block) -> Result<Block, WireError> {
    let sound =
        (1..=MAX_BLOCK_LEN).contains(&block.len) && block.begin.checked_add(block.len).is_some();
    if sound { Ok(block) } else { Err(WireError::Block { id, block }) }
}

/// Checks that a received bitfield has exactly one bit for each of `piece_count` pieces, and only
/// zeros behind them.
///
/// # Errors
/// [`WireError::Bitfield`].
pub fn check_bitfield(bits: &[u8], piece_count: u32) -> Result<(), WireError> {
    let spare = (bits.len() as u64 * 8).checked_sub(u64::from(piece_count));
    let last = bits.last().copied().unwrap_or(0);
    match spare {
        Some(spare @ 0..8) if last.trailing_zeros() >= spare as u32 => Ok(()),
        _ => Err(WireError::Bitfield(piece_count)),
    }
}

/// Appends a message without a body.
pub(super) fn encode_bare(id: MessageId, out: &mut Vec<u8>) {
    encode_head(id, 0, out);
}

/// Appends a message whose body is one number.
pub(super) fn encode_piece(id: MessageId, piece: PieceIndex, out: &mut Vec<u8>) {
    encode_head(id, 4, out);
    out.extend_from_slice(&piece.0.to_be_bytes());
}

/// Appends a message whose body is the name of a block.
pub(super) fn encode_block(id: MessageId, block: Block, out: &mut Vec<u8>) {
    encode_head(id, BLOCK_LEN, out);
    for field in [block.piece.0, block.begin, block.len] {
        out.extend_from_slice(&field.to_be_bytes());
    }
}

/// Appends a message whose body is a range of hashes.
pub(super) fn encode_range(id: MessageId, range: &HashRange, out: &mut Vec<u8>) {
    encode_head(id, RANGE_LEN, out);
    range.encode(out);
}

/// Appends the length and the number of a message whose body has `body_len` bytes.
pub(super) fn encode_head(id: MessageId, body_len: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(body_len as u32 + 1).to_be_bytes());
    out.push(id.0);
}
