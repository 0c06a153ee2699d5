//! Query routing (QRP 0.2): a node tells its neighbours a table of the hashes of its words, so that
//! they send it no query that it cannot answer. Here live the messages and the hash; tables, words
//! and patches have files of their own.

mod patch;
mod table;
mod words;

pub use patch::{ENTRY_BITS, PatchError, Receiver, update};
pub use table::{SLOTS_MAX, SLOTS_MIN, Table};
pub use words::{QueryHashes, WORD_MIN, WORDS_MAX};

use alloc::vec::Vec;

use super::WireError;
use super::reader::Reader;

/// The hash of a word or a URN: its front bits are its slot in a table of any size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WordHash(u32);

impl WordHash {
    /// The hash of a word in lower case, or of a URN as text. Letters of ASCII count as lower case.
    #[must_use]
    pub fn of(word: &[u8]) -> Self {
        let mut xor = 0;
        for (at, byte) in word.iter().enumerate() {
            xor ^= u32::from(byte.to_ascii_lowercase()) << (8 * (at & 3));
        }
        // Multiplicative hashing by 2^32 times half the golden ratio's fraction.
        Self(u32::wrapping_mul(xor, 0x4f1b_bcdc))
    }

    /// Its slot in a table of `2^bits` slots, `bits` from 1 to 31.
    #[must_use]
    pub const fn slot(self, bits: u32) -> usize {
        (self.0 >> (32 - bits)) as usize
    }
}

/// A message of query routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QrpMessage<'a> {
    /// Begin with an empty table.
    Reset {
        /// Its slots.
        slots: u32,
        /// The value of a slot that is empty.
        infinity: u8,
    },
    /// Change the table.
    Patch(PatchPart<'a>),
}

/// One message of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchPart<'a> {
    /// Which part it is, from 1.
    pub number: u8,
    /// How many parts there are.
    pub of: u8,
    /// 0 is plain, 1 is zlib.
    pub compressor: u8,
    /// Bits per slot.
    pub entry_bits: u8,
    /// Its share of the patch.
    pub data: &'a [u8],
}

impl<'a> QrpMessage<'a> {
    const RESET: u8 = 0;
    const PATCH: u8 = 1;

    /// Reads a payload; whether it makes sense is for a [`Receiver`] to say.
    ///
    /// # Errors
    /// If it is too short or of another variant.
    pub fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader(payload);
        match reader.u8()? {
            Self::RESET => Ok(Self::Reset { slots: reader.u32()?, infinity: reader.u8()? }),
            Self::PATCH => {
                let [number, of, compressor, entry_bits] = reader.array()?;
                Ok(Self::Patch(PatchPart { number, of, compressor, entry_bits, data: reader.0 }))
            }
            other => Err(WireError::QrpVariant(other)),
        }
    }

    /// The payload.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Reset { slots, infinity } => {
                out.push(Self::RESET);
                out.extend_from_slice(&slots.to_le_bytes());
                out.push(*infinity);
            }
            Self::Patch(PatchPart { number, of, compressor, entry_bits, data }) => {
                out.extend_from_slice(&[Self::PATCH, *number, *of, *compressor, *entry_bits]);
                out.extend_from_slice(data);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_fall_into_the_slots_that_a_real_servent_uses() {
        let table = [
            ("atlas", 2709),
            ("atla", 9465),
            ("golden", 5553),
            ("golde", 4218),
            ("gold", 7671),
            ("reef", 5546),
            ("vol1", 4511),
            ("txt", 6962),
            ("ATLAS", 2709),
        ];
        for (word, slot) in table {
            assert_eq!(WordHash::of(word.as_bytes()).slot(14), slot, "{word}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(slots: u32, infinity: u8, head: [u8; 4], data: Vec<u8>) {
            let [number, of, compressor, entry_bits] = head;
            let patch = PatchPart { number, of, compressor, entry_bits, data: &data };
            for message in [QrpMessage::Reset { slots, infinity }, QrpMessage::Patch(patch)] {
                let bytes = message.to_vec();
                prop_assert_eq!(QrpMessage::parse(&bytes), Ok(message));
            }
            prop_assert!(QrpMessage::parse(&[]).is_err());
            prop_assert_eq!(QrpMessage::parse(&[2, 0]), Err(WireError::QrpVariant(2)));
        }
    }
}
