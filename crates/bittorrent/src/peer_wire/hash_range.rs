//! Runs of merkle hashes (BEP 52): which can be, and how many hashes they come with.

use alloc::vec::Vec;

use super::{Frame, HashRange, MessageId, WireError};

/// Most hashes in one range, proof not counted: the leaves of a piece of 128 MiB. BEP 52 advises
/// 512, and programs ask for all leaves of a piece at once.
pub const MAX_HASHES: u32 = 8192;

/// Most layers of a tree: 2^48 leaves of 16 KiB are more than a file can have.
const MAX_LAYERS: u32 = 48;

/// Bytes of a range, as messages carry it.
pub(super) const RANGE_LEN: usize = 32 + 4 * 4;

/// Most bytes of a hashes message behind its number.
pub(super) const MAX_HASHES_LEN: usize = RANGE_LEN + 32 * (MAX_HASHES + MAX_LAYERS) as usize;

impl HashRange {
    /// Whether the range can be asked for in some tree: a power of two of hashes, at most
    /// [`MAX_HASHES`], from a multiple of their number, within a tree of 48 layers.
    ///
    /// Ranges that cannot are to be refused by a hash reject message.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.length.is_power_of_two()
            && self.length <= MAX_HASHES
            && self.index.is_multiple_of(self.length)
            && self.index.checked_add(self.length).is_some()
            && self.base_layer <= MAX_LAYERS
            && self.proof_layers <= MAX_LAYERS
            && self.base_layer + self.proof_layers <= MAX_LAYERS
    }

    /// How many uncle hashes prove the range, in a tree that is tall enough: layers that the
    /// range itself spans need none.
    ///
    /// The range must be [well-formed](Self::is_well_formed).
    #[must_use]
    pub fn proof_len(&self) -> u32 {
        let spanned = self.length.max(1).ilog2().saturating_sub(1);
        self.proof_layers.saturating_sub(spanned)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.pieces_root);
        for field in [self.base_layer, self.index, self.length, self.proof_layers] {
            out.extend_from_slice(&field.to_be_bytes());
        }
    }

    pub(super) fn decode(bytes: &[u8; RANGE_LEN]) -> Self {
        let mut pieces_root = [0; 32];
        pieces_root.copy_from_slice(&bytes[..32]);
        let field = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Self {
            pieces_root,
            base_layer: field(32),
            index: field(36),
            length: field(40),
            proof_layers: field(44),
        }
    }
}

/// Reads the body of a hashes message.
pub(super) fn decode_hashes<C>(body: &[u8]) -> Result<Frame<C>, WireError> {
    let malformed =
        WireError::Length { id: MessageId::HASHES, len: (body.len() as u32).saturating_add(1) };
    let (range, hashes) = body.split_first_chunk().ok_or(malformed)?;
    let range = HashRange::decode(range);
    let (hashes, rest) = hashes.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(malformed);
    }
    let count = hashes.len() as u32;
    // Fewer uncles than asked for end at the root of a small tree; whether they prove anything is
    // for the tree to say.
    if !range.is_well_formed() || count < range.length || count - range.length > range.proof_len() {
        return Err(WireError::Hashes(count));
    }
    Ok(Frame::Hashes(range, hashes.to_vec()))
}
