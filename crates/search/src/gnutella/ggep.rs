//! GGEP, the Gnutella Generic Extension Protocol (0.51): named values in one block, each perhaps
//! compressed, perhaps freed of zeros. Where a block stands in a message is not told here.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use codec::zlib;

/// What a block begins with.
pub const MAGIC: u8 = 0xc3;

/// Most bytes that a compressed value may become.
pub const VALUE_MAX: usize = 64 * 1024;

/// Most bytes that the length of a value can express: three times six bits.
const LEN_MAX: usize = (1 << 18) - 1;

const LAST: u8 = 0x80;
const COBS: u8 = 0x40;
const DEFLATE: u8 = 0x20;
const RESERVED: u8 = 0x10;
const ID_LEN: u8 = 0x0f;

const MORE_LEN: u8 = 0x80;
const LAST_LEN: u8 = 0x40;

/// Why a block cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GgepError {
    /// It does not begin as a block does.
    #[error("no GGEP block")]
    Magic,
    /// It ends before its last item.
    #[error("GGEP block cut off")]
    Short,
    /// A bit is set that must not be.
    #[error("reserved GGEP flag")]
    Reserved,
    /// A name that is empty, longer than 15 bytes or holds a NUL.
    #[error("malformed GGEP name")]
    Id,
    /// A length that is malformed, or too large to be written.
    #[error("malformed GGEP length")]
    Len,
    /// Zeros were not taken out as COBS does.
    #[error("malformed COBS")]
    Cobs,
    /// A value that is not what zlib writes, or becomes too long.
    #[error("malformed or excessive zlib stream")]
    Deflate,
}

/// One named value, as it stands in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Its name.
    pub id: &'a [u8],
    flags: u8,
    raw: &'a [u8],
}

impl<'a> Item<'a> {
    /// What it says.
    ///
    /// # Errors
    /// If the ways in which it was packed are malformed, or it is more than [`VALUE_MAX`].
    pub fn value(&self) -> Result<Cow<'a, [u8]>, GgepError> {
        let plain = if self.flags & COBS == 0 {
            Cow::Borrowed(self.raw)
        } else {
            Cow::Owned(with_zeros(self.raw).ok_or(GgepError::Cobs)?)
        };
        if self.flags & DEFLATE == 0 {
            return Ok(plain);
        }
        let inflated = zlib::inflate(&plain, VALUE_MAX).ok_or(GgepError::Deflate)?;
        Ok(Cow::Owned(inflated))
    }
}

/// A block, known to be sound but for what its values are packed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ggep<'a>(&'a [u8]);

impl<'a> Ggep<'a> {
    /// Reads the block at the front of `bytes`, and how many bytes it took.
    ///
    /// # Errors
    /// If there is none, or it is malformed.
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, usize), GgepError> {
        let Some((&MAGIC, mut rest)) = bytes.split_first() else {
            return Err(GgepError::Magic);
        };
        loop {
            let (item, behind) = item(rest)?;
            rest = behind;
            if item.flags & LAST != 0 {
                let used = bytes.len() - rest.len();
                return Ok((Self(&bytes[1..used]), used));
            }
        }
    }

    /// Its items in order.
    pub fn items(&self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (item, behind) = item(rest).ok()?;
            rest = behind;
            Some(item)
        })
    }

    /// The first item of this name.
    #[must_use]
    pub fn get(&self, id: &[u8]) -> Option<Item<'a>> {
        self.items().find(|item| item.id == id)
    }
}

/// Reads one item, and what stands behind it.
fn item(bytes: &[u8]) -> Result<(Item<'_>, &[u8]), GgepError> {
    let (&flags, rest) = bytes.split_first().ok_or(GgepError::Short)?;
    if flags & RESERVED != 0 {
        return Err(GgepError::Reserved);
    }
    let id_len = usize::from(flags & ID_LEN);
    let (id, mut rest) = rest.split_at_checked(id_len).ok_or(GgepError::Short)?;
    if id.is_empty() || id.contains(&0) {
        return Err(GgepError::Id);
    }
    let mut len = 0;
    for place in 0.. {
        let (&byte, behind) = rest.split_first().ok_or(GgepError::Short)?;
        rest = behind;
        len = len << 6 | usize::from(byte & 0x3f);
        match byte & (MORE_LEN | LAST_LEN) {
            LAST_LEN => break,
            MORE_LEN if place < 2 => {}
            _ => return Err(GgepError::Len),
        }
    }
    let (raw, rest) = rest.split_at_checked(len).ok_or(GgepError::Short)?;
    Ok((Item { id, flags, raw }, rest))
}

/// Writes a block, item by item.
#[derive(Clone, Debug)]
pub struct Builder {
    out: Vec<u8>,
    /// Where the flags of the last item stand.
    last: usize,
    zeros: bool,
}

impl Builder {
    /// A block that may hold zeros: in pings, pongs and behind the records of a hit.
    #[must_use]
    pub const fn new() -> Self {
        Self { out: Vec::new(), last: 0, zeros: true }
    }

    /// A block without zeros, as a query and the records of a hit need it.
    #[must_use]
    pub const fn without_zeros() -> Self {
        Self { out: Vec::new(), last: 0, zeros: false }
    }

    /// Adds an item.
    ///
    /// # Errors
    /// If its name or length cannot be expressed; then nothing is added.
    pub fn add(&mut self, id: &[u8], value: &[u8]) -> Result<(), GgepError> {
        self.push(id, value, 0)
    }

    /// Adds an item, compressed if that makes it shorter.
    ///
    /// # Errors
    /// If its name or length cannot be expressed; then nothing is added.
    pub fn add_compressed(&mut self, id: &[u8], value: &[u8]) -> Result<(), GgepError> {
        let packed = zlib::deflate(value);
        if packed.len() < value.len() && value.len() <= VALUE_MAX {
            return self.push(id, &packed, DEFLATE);
        }
        self.push(id, value, 0)
    }

    fn push(&mut self, id: &[u8], value: &[u8], flags: u8) -> Result<(), GgepError> {
        let id_len = u8::try_from(id.len()).ok().filter(|len| (1..=ID_LEN).contains(len));
        let id_len = id_len.filter(|_| !id.contains(&0)).ok_or(GgepError::Id)?;
        let (value, flags) = if self.zeros || !value.contains(&0) {
            (Cow::Borrowed(value), flags)
        } else {
            (Cow::Owned(without_zeros(value)), flags | COBS)
        };
        let len = value.len();
        if len > LEN_MAX {
            return Err(GgepError::Len);
        }
        if self.out.is_empty() {
            self.out.push(MAGIC);
        }
        self.last = self.out.len();
        self.out.push(flags | id_len);
        self.out.extend_from_slice(id);
        for shift in [12, 6] {
            if len >> shift > 0 {
                self.out.push(MORE_LEN | (len >> shift & 0x3f) as u8);
            }
        }
        self.out.push(LAST_LEN | (len & 0x3f) as u8);
        self.out.extend_from_slice(&value);
        Ok(())
    }

    /// The block; empty if nothing was added.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        if let Some(flags) = self.out.get_mut(self.last) {
            *flags |= LAST;
        }
        self.out
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes zeros out (Cheshire and Baker, "Consistent Overhead Byte Stuffing", 1997).
fn without_zeros(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 254 + 1);
    let mut runs = bytes.split(|byte| *byte == 0).peekable();
    while let Some(mut run) = runs.next() {
        // A full chunk stands for its bytes alone, a shorter one for a zero behind them too.
        while run.len() >= 254 {
            let (full, rest) = run.split_at(254);
            out.push(255);
            out.extend_from_slice(full);
            run = rest;
            if run.is_empty() && runs.peek().is_none() {
                return out;
            }
        }
        out.push(run.len() as u8 + 1);
        out.extend_from_slice(run);
    }
    out
}

/// Puts the zeros back; `None` if a chunk reaches past the end or holds a zero.
fn with_zeros(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    while let Some((&code, rest)) = bytes.split_first() {
        let (run, rest) = rest.split_at_checked(usize::from(code).checked_sub(1)?)?;
        if run.contains(&0) {
            return None;
        }
        out.extend_from_slice(run);
        if code < 255 && !rest.is_empty() {
            out.push(0);
        }
        bytes = rest;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn gn_11_malformed_blocks_are_refused() {
        let table: [(&[u8], GgepError); 12] = [
            (&[], GgepError::Magic),
            (&[0xc4, 0x81, b'A', 0x40], GgepError::Magic),
            (&[MAGIC], GgepError::Short),
            (&[MAGIC, 0x80, 0x40], GgepError::Id),
            (&[MAGIC, 0x81, 0, 0x40], GgepError::Id),
            (&[MAGIC, 0x91, b'A', 0x40], GgepError::Reserved),
            (&[MAGIC, 0x01, b'A', 0x40], GgepError::Short),
            (&[MAGIC, 0x81, b'A', 0x42, 1], GgepError::Short),
            (&[MAGIC, 0x81, b'A', 0x00], GgepError::Len),
            (&[MAGIC, 0x81, b'A', 0xc1], GgepError::Len),
            (&[MAGIC, 0x81, b'A', 0xbf, 0xbf, 0xbf, 0x7f], GgepError::Len),
            (&[MAGIC, 0x81, b'A', 0xbf, 0xbf, 0x7f], GgepError::Short),
        ];
        for (bytes, error) in table {
            assert_eq!(Ggep::parse(bytes), Err(error), "{bytes:x?}");
        }
    }

    #[test]
    fn gn_11_values_inflate_within_bounds() {
        let mut builder = Builder::new();
        builder.add_compressed(b"Z", &vec![0; VALUE_MAX]).unwrap();
        let bytes = builder.finish();
        let (block, _) = Ggep::parse(&bytes).unwrap();
        assert_eq!(block.get(b"Z").unwrap().value().unwrap().len(), VALUE_MAX);
        let bomb = zlib::deflate(&vec![0; VALUE_MAX + 1]);
        let item = Item { id: b"Z", flags: DEFLATE, raw: &bomb };
        assert_eq!(item.value(), Err(GgepError::Deflate));
        let item = Item { id: b"Z", flags: DEFLATE, raw: b"no zlib" };
        assert_eq!(item.value(), Err(GgepError::Deflate));
        for raw in [&[0][..], &[3, 1], &[2, 0]] {
            assert_eq!(Item { id: b"Z", flags: COBS, raw }.value(), Err(GgepError::Cobs));
        }
    }

    #[test]
    fn zeros_go_and_come_back_at_the_edges_of_chunks() {
        for len in [0, 1, 253, 254, 255, 508, 509] {
            for tail in [&[][..], &[0], &[0, 0], &[1, 0, 2]] {
                let bytes = [&vec![7; len][..], tail].concat();
                let packed = without_zeros(&bytes);
                assert!(!packed.contains(&0));
                assert_eq!(with_zeros(&packed), Some(bytes), "{len} and {tail:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(
            items in prop::collection::vec(("[A-Z]{1,15}", prop::collection::vec(0u8..3, 0..700)), 1..5),
            zeros: bool,
            behind: Vec<u8>,
        ) {
            let mut builder = if zeros { Builder::new() } else { Builder::without_zeros() };
            for (at, (id, value)) in items.iter().enumerate() {
                if at % 2 == 0 {
                    builder.add(id.as_bytes(), value).unwrap();
                } else {
                    builder.add_compressed(id.as_bytes(), value).unwrap();
                }
            }
            let mut bytes = builder.finish();
            prop_assert!(zeros || !bytes.contains(&0));
            let len = bytes.len();
            bytes.extend_from_slice(&behind);
            let (block, used) = Ggep::parse(&bytes).unwrap();
            prop_assert_eq!(used, len);
            prop_assert_eq!(block.items().count(), items.len());
            for (item, (id, value)) in block.items().zip(&items) {
                prop_assert_eq!(item.id, id.as_bytes());
                prop_assert_eq!(&item.value().unwrap()[..], &value[..]);
            }
        }
    }
}
