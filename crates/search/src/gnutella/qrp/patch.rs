//! How a table travels: what changed since the last one, made into messages and back.

use alloc::boxed::Box;
use alloc::vec::Vec;

use codec::zlib::{self, Inflater};

use super::{PatchPart, QrpMessage, Table};

/// Bits per slot that a patch may have. With 1 a set bit turns a slot over; with more a negative
/// number fills it and a positive one empties it.
pub const ENTRY_BITS: [u8; 4] = [1, 2, 4, 8];

/// The value of a slot that is empty, in what we send.
const INFINITY: u8 = 2;

/// Bytes of a patch in one message, unless it would take more messages than can be counted.
const PART: usize = 4_000;

const PLAIN: u8 = 0;
const ZLIB: u8 = 1;

/// Why a neighbour's table cannot be used; its connection must close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// A table of so many slots is not possible.
    #[error("routing table of {0} slots")]
    Slots(u32),
    /// An infinity of 0, below which there is nothing.
    #[error("routing table with an infinity of 0")]
    Infinity,
    /// A patch for no table.
    #[error("patch before a reset")]
    NoReset,
    /// A part that is not the next one, or is one of more than there are.
    #[error("patch out of sequence")]
    Sequence,
    /// Parts of one patch that are packed differently, or in a way that is not known.
    #[error("patch packed as {compressor} with {entry_bits} bits a slot")]
    Packing {
        /// How it is compressed.
        compressor: u8,
        /// Bits per slot.
        entry_bits: u8,
    },
    /// A malformed zlib stream.
    #[error("malformed patch")]
    Malformed,
    /// A patch for more slots than the table has, or for fewer.
    #[error("patch of a length that the table has not")]
    Len,
}

/// A patch of which not all parts are here.
struct Draft {
    table: Table,
    next: u8,
    of: u8,
    compressor: u8,
    entry_bits: u8,
    inflater: Option<Inflater>,
    /// The slot that comes next.
    at: usize,
}

/// What a neighbour has told of its table. Until a patch is whole the table before it counts.
#[derive(Default)]
pub struct Receiver {
    table: Option<Table>,
    /// Whether the table filters anything.
    filters: bool,
    draft: Option<Box<Draft>>,
}

impl Receiver {
    /// One that has been told nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { table: None, filters: false, draft: None }
    }

    /// The table that counts; `None` before there is one, and if it is so full that it filters
    /// nothing.
    #[must_use]
    pub fn table(&self) -> Option<&Table> {
        self.table.as_ref().filter(|_| self.filters)
    }

    /// Takes a message in; whether another table counts now.
    ///
    /// # Errors
    /// If it makes no sense. Then no table counts any more, and the connection must close.
    pub fn on_message(&mut self, message: &QrpMessage<'_>) -> Result<bool, PatchError> {
        let done = match message {
            QrpMessage::Reset { slots, infinity } => self.reset(*slots, *infinity).map(|()| true),
            QrpMessage::Patch(part) => self.patch(part),
        };
        match done {
            Ok(true) => {
                self.filters = self.table.as_ref().is_some_and(|table| !table.is_saturated())
            }
            Ok(false) => {}
            Err(_) => *self = Self::new(),
        }
        done
    }

    fn reset(&mut self, slots: u32, infinity: u8) -> Result<(), PatchError> {
        if infinity == 0 {
            return Err(PatchError::Infinity);
        }
        self.table = Some(Table::new(slots).ok_or(PatchError::Slots(slots))?);
        self.draft = None;
        Ok(())
    }

    fn patch(&mut self, part: &PatchPart<'_>) -> Result<bool, PatchError> {
        let mut draft = match self.draft.take() {
            Some(draft) => draft,
            None => Box::new(Draft::new(self.table.clone().ok_or(PatchError::NoReset)?, part)?),
        };
        draft.take(part)?;
        if part.number < part.of {
            self.draft = Some(draft);
            return Ok(false);
        }
        if draft.at != draft.table.len() as usize {
            return Err(PatchError::Len);
        }
        self.table = Some(draft.table);
        Ok(true)
    }
}

impl Draft {
    fn new(table: Table, part: &PatchPart<'_>) -> Result<Self, PatchError> {
        let PatchPart { of, compressor, entry_bits, .. } = *part;
        if ![PLAIN, ZLIB].contains(&compressor) || !ENTRY_BITS.contains(&entry_bits) {
            return Err(PatchError::Packing { compressor, entry_bits });
        }
        let inflater = (compressor == ZLIB).then(Inflater::default);
        Ok(Self { table, next: 1, of, compressor, entry_bits, inflater, at: 0 })
    }

    fn take(&mut self, part: &PatchPart<'_>) -> Result<(), PatchError> {
        let PatchPart { number, of, compressor, entry_bits, data } = *part;
        if number != self.next || of != self.of || number > of {
            return Err(PatchError::Sequence);
        }
        if (compressor, entry_bits) != (self.compressor, self.entry_bits) {
            return Err(PatchError::Packing { compressor, entry_bits });
        }
        self.next = self.next.wrapping_add(1);
        let Some(mut inflater) = self.inflater.take() else { return self.apply(data) };
        let (mut rest, mut plain) = (data, [0; 1024]);
        loop {
            let step = inflater.step(rest, &mut plain).ok_or(PatchError::Malformed)?;
            self.apply(&plain[..step.made])?;
            rest = &rest[step.used..];
            if step.ended && !rest.is_empty() {
                return Err(PatchError::Malformed);
            }
            if step.ended || (step.made == 0 && step.used == 0) {
                break;
            }
        }
        self.inflater = Some(inflater);
        Ok(())
    }

    /// Changes the slots that come next.
    fn apply(&mut self, bytes: &[u8]) -> Result<(), PatchError> {
        let entry_bits = usize::from(self.entry_bits);
        let count = bytes.len() * 8 / entry_bits;
        if count > self.table.len() as usize - self.at {
            return Err(PatchError::Len);
        }
        let slots = self.table.bytes_mut();
        if entry_bits == 1 {
            // Whole bytes so far, so whole bytes from here.
            let slots = &mut slots[self.at / 8..];
            slots.iter_mut().zip(bytes).for_each(|(slot, flip)| *slot ^= flip);
            self.at += count;
            return Ok(());
        }
        for byte in bytes {
            for shift in (0..8 / entry_bits).rev() {
                // The value in the highest bits, its sign in the highest.
                let value = byte >> (shift * entry_bits) << (8 - entry_bits);
                let mask = 0x80 >> (self.at % 8);
                let slot = &mut slots[self.at / 8];
                match value {
                    0 => {}
                    0x80.. => *slot |= mask,
                    _ => *slot &= !mask,
                }
                self.at += 1;
            }
        }
        Ok(())
    }
}

/// The payloads that turn the table a neighbour has into `new`: a patch, after a reset if it has
/// none or one of another size, and nothing if it has the same one. `entry_bits` is 4, or 1 for
/// neighbours that speak version 0.2; others count as 4.
#[must_use]
pub fn update(old: Option<&Table>, new: &Table, entry_bits: u8) -> Vec<Vec<u8>> {
    let old = old.filter(|old| old.len() == new.len());
    if old == Some(new) {
        return Vec::new();
    }
    let mut payloads = Vec::new();
    if old.is_none() {
        payloads.push(QrpMessage::Reset { slots: new.len(), infinity: INFINITY }.to_vec());
    }
    let before = |at: usize| old.map_or(0, |old| old.bytes()[at]);
    let changes = new.bytes().iter().enumerate().map(|(at, byte)| (before(at) ^ byte, *byte));
    let entry_bits = if entry_bits == 1 { 1 } else { 4 };
    let plain: Vec<u8> = if entry_bits == 1 {
        changes.map(|(changed, _)| changed).collect()
    } else {
        changes.flat_map(|(changed, now)| nibbles(changed, now)).collect()
    };
    let packed = zlib::deflate(&plain);
    let (data, compressor) =
        if packed.len() < plain.len() { (&packed, ZLIB) } else { (&plain, PLAIN) };
    let parts = data.chunks(PART.max(data.len().div_ceil(255)));
    let of = parts.len() as u8;
    payloads.extend(parts.zip(1..=of).map(|(data, number)| {
        QrpMessage::Patch(PatchPart { number, of, compressor, entry_bits, data }).to_vec()
    }));
    payloads
}

/// What happens to eight slots, in four bits each.
fn nibbles(changed: u8, now: u8) -> [u8; 4] {
    let nibble = |slot: u8| {
        let mask = 0x80 >> slot;
        match (changed & mask, now & mask) {
            (0, _) => 0,
            (_, 0) => 1,
            _ => 0xf,
        }
    };
    [0, 2, 4, 6].map(|slot| nibble(slot) << 4 | nibble(slot + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::WordHash;
    use super::*;

    fn tell(receiver: &mut Receiver, payloads: &[Vec<u8>]) -> Result<bool, PatchError> {
        let mut done = Ok(false);
        for payload in payloads {
            done = receiver.on_message(&QrpMessage::parse(payload).unwrap());
        }
        done
    }

    fn part(number: u8, of: u8, entry_bits: u8, data: &[u8]) -> QrpMessage<'_> {
        QrpMessage::Patch(PatchPart { number, of, compressor: PLAIN, entry_bits, data })
    }

    #[test]
    fn gn_13_resets_to_impossible_tables_are_refused() {
        let table = [
            (u32::MAX, 2, PatchError::Slots(u32::MAX)),
            (1 << 31, 2, PatchError::Slots(1 << 31)),
            (0, 2, PatchError::Slots(0)),
            (10_000, 2, PatchError::Slots(10_000)),
            (1 << 14, 0, PatchError::Infinity),
        ];
        for (slots, infinity, error) in table {
            let mut receiver = Receiver::new();
            let reset = QrpMessage::Reset { slots, infinity };
            assert_eq!(receiver.on_message(&reset), Err(error));
            assert!(receiver.table().is_none());
        }
    }

    #[test]
    fn gn_14_patches_that_make_no_sense_are_refused_and_no_table_is_kept() {
        let reset = QrpMessage::Reset { slots: 16, infinity: 7 };
        let zlib = |data| {
            QrpMessage::Patch(PatchPart { number: 1, of: 1, compressor: ZLIB, entry_bits: 4, data })
        };
        let bomb = zlib::deflate(&alloc::vec![0; 1 << 20]);
        let trailing = [&zlib::deflate(&[0; 8])[..], &[0]].concat();
        let nine = zlib::deflate(&[0; 9]);
        let packing = |compressor, entry_bits| PatchError::Packing { compressor, entry_bits };
        let table: [(&[QrpMessage<'_>], PatchError); 15] = [
            (&[part(1, 1, 4, &[0; 8])], PatchError::NoReset),
            (&[reset, part(2, 2, 4, &[0; 8])], PatchError::Sequence),
            (&[reset, part(0, 1, 4, &[0; 8])], PatchError::Sequence),
            (&[reset, part(1, 0, 4, &[0; 8])], PatchError::Sequence),
            (&[reset, part(1, 3, 4, &[0]), part(3, 3, 4, &[0])], PatchError::Sequence),
            (&[reset, part(1, 3, 4, &[0]), part(2, 4, 4, &[0])], PatchError::Sequence),
            (&[reset, part(1, 2, 4, &[0; 4]), part(1, 2, 4, &[0; 4])], PatchError::Sequence),
            (&[reset, part(1, 2, 4, &[0; 4]), part(2, 2, 8, &[0; 8])], packing(0, 8)),
            (&[reset, part(1, 1, 3, &[0; 6])], packing(0, 3)),
            (&[reset, part(1, 1, 0, &[0; 6])], packing(0, 0)),
            (&[reset, part(1, 1, 4, &[0; 9])], PatchError::Len),
            (&[reset, part(1, 1, 4, &[0; 7])], PatchError::Len),
            (&[reset, zlib(&nine)], PatchError::Len),
            (&[reset, zlib(&bomb)], PatchError::Len),
            (&[reset, zlib(&trailing)], PatchError::Malformed),
        ];
        for (messages, error) in table {
            let mut receiver = Receiver::new();
            let results: Vec<_> =
                messages.iter().map(|message| receiver.on_message(message)).collect();
            assert_eq!(results.last(), Some(&Err(error)), "{messages:?}");
            assert!(receiver.table().is_none());
            assert_eq!(receiver.on_message(&part(1, 1, 4, &[0; 8])), Err(PatchError::NoReset));
        }
        let other = QrpMessage::Patch(PatchPart {
            number: 1,
            of: 1,
            compressor: 2,
            entry_bits: 4,
            data: &[0; 8],
        });
        let mut receiver = Receiver::new();
        receiver.on_message(&reset).unwrap();
        assert_eq!(receiver.on_message(&other), Err(packing(2, 4)));
    }

    #[test]
    fn gn_16_a_saturated_table_is_none() {
        let mut receiver = Receiver::new();
        receiver.on_message(&QrpMessage::Reset { slots: 16, infinity: 2 }).unwrap();
        assert!(receiver.table().is_some());
        assert_eq!(receiver.on_message(&part(1, 1, 4, &[0xff; 8])), Ok(true));
        assert!(receiver.table().is_none());
        // It may be mended.
        receiver.on_message(&part(1, 1, 4, &[0x11; 8])).unwrap();
        assert!(receiver.table().unwrap().is_empty());
    }

    #[test]
    fn patches_of_all_widths_mean_the_same() {
        let reset = QrpMessage::Reset { slots: 16, infinity: 7 };
        let table: [(u8, &[u8]); 4] = [
            (1, &[0x40, 0x01]),
            (2, &[0x30, 0x00, 0x00, 0x03]),
            (4, &[0x0a, 0, 0, 0, 0, 0, 0, 0x0f]),
            (8, &[0, 0xfa, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]),
        ];
        for (entry_bits, data) in table {
            let mut receiver = Receiver::new();
            receiver.on_message(&reset).unwrap();
            assert_eq!(receiver.on_message(&part(1, 1, entry_bits, data)), Ok(true));
            let slots: Vec<_> = receiver.table().unwrap().filled_slots().collect();
            assert_eq!(slots, [1, 15], "{entry_bits} bits");
        }
    }

    #[test]
    fn the_table_before_counts_until_a_patch_is_whole() {
        let mut receiver = Receiver::new();
        receiver.on_message(&QrpMessage::Reset { slots: 16, infinity: 2 }).unwrap();
        assert_eq!(receiver.on_message(&part(1, 2, 1, &[0xf0])), Ok(false));
        assert!(receiver.table().unwrap().is_empty());
        assert_eq!(receiver.on_message(&part(2, 2, 1, &[0x00])), Ok(true));
        assert_eq!(receiver.table().unwrap().filled(), 4);
    }

    proptest! {
        #[test]
        fn updates_arrive(
            words in prop::collection::vec("[a-z]{3,9}", 0..600),
            keep in 0usize..600,
            bits in (3u32..18, 3u32..18),
            flips: bool,
        ) {
            let entry_bits = if flips { 1 } else { 4 };
            let table = |words: &[alloc::string::String], bits: u32| {
                let mut table = Table::new(1 << bits).unwrap();
                words.iter().for_each(|word| table.insert(WordHash::of(word.as_bytes())));
                table
            };
            let first = table(&words, bits.0);
            let second = table(&words[keep.min(words.len())..], bits.0);
            let third = table(&words, bits.1);
            let mut receiver = Receiver::new();
            let steps = [(None, &first), (Some(&first), &second), (Some(&second), &third)];
            for (old, new) in steps {
                let payloads = update(old, new, entry_bits);
                tell(&mut receiver, &payloads).unwrap();
                prop_assert_eq!(receiver.table.as_ref(), Some(new));
                prop_assert_eq!(payloads.is_empty(), old == Some(new));
            }
        }
    }
}
