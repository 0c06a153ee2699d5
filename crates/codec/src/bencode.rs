//! Bencode (BEP 3): a reader that borrows and never recurses, and a writer.
//!
//! [`decode`] checks the whole input and notes where each value lies; the values themselves are
//! read from the input when they are asked for. What the keys mean is the business of others.

mod cursor;
mod encode;
mod scan;
mod value;

pub use cursor::Cursor;
pub use encode::{DictEncoder, Encoder, ListEncoder, encode};
pub use value::{Dict, Kind, List, Value};

use alloc::vec::Vec;

use scan::{Span, scan};

/// Bounds on what is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most lists and dictionaries inside each other.
    pub depth: usize,
    /// Most values, dictionary keys counted.
    pub tokens: usize,
}

impl Default for Limits {
    /// 100 levels and 3,000,000 values: bounds that the field settled on.
    fn default() -> Self {
        Self { depth: 100, tokens: 3_000_000 }
    }
}

/// What is wrong with an input, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {at}")]
pub struct BencodeError {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Offset in the input, in bytes.
    pub at: usize,
}

/// The ways in which an input can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// The input ends inside a value.
    #[error("unexpected end of input")]
    End,
    /// A byte that begins no value.
    #[error("a byte that begins no value")]
    Byte,
    /// More levels than [`Limits::depth`].
    #[error("values nested too deeply")]
    Depth,
    /// More values than [`Limits::tokens`].
    #[error("too many values")]
    TokenLimit,
    /// An integer without digits, with leading zeros, or minus zero.
    #[error("malformed integer")]
    Int,
    /// An integer that does not fit in 64 bits.
    #[error("integer overflow")]
    IntOverflow,
    /// A malformed length of a string.
    #[error("malformed string length")]
    Length,
    /// A string that is longer than the rest of the input.
    #[error("string longer than the input")]
    LengthOverflow,
    /// A dictionary key that is not a string.
    #[error("dictionary key that is not a string")]
    Key,
    /// A dictionary that ends after a key.
    #[error("dictionary key without a value")]
    MissingValue,
    /// Bytes after the value.
    #[error("bytes after the end of the value")]
    Trailing,
    /// An input of 4 GiB or more.
    #[error("input too large")]
    Size,
}

impl ErrorKind {
    /// A name for machines to read; it does not change.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Byte => "byte",
            Self::Depth => "depth",
            Self::TokenLimit => "token_limit",
            Self::Int => "int",
            Self::IntOverflow => "int_overflow",
            Self::Length => "length",
            Self::LengthOverflow => "length_overflow",
            Self::Key => "key",
            Self::MissingValue => "missing_value",
            Self::Trailing => "trailing",
            Self::Size => "size",
        }
    }
}

/// A checked input: one value, and all values inside it.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    bytes: &'a [u8],
    spans: Vec<Span>,
    disorder: Option<usize>,
}

impl<'a> Document<'a> {
    /// The outermost value.
    #[must_use]
    pub fn root(&self) -> Value<'_> {
        Value::new(self.bytes, &self.spans, 0)
    }

    /// The outermost value if it is a dictionary.
    #[must_use]
    pub fn dict(&self) -> Option<Dict<'_>> {
        self.root().as_dict()
    }

    /// The bytes of the outermost value, without what may follow it.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.bytes
    }

    /// Offset of the first dictionary key that is not greater than the key before it: `None` means
    /// that every dictionary is sorted and free of duplicates, as BEP 3 demands.
    #[must_use]
    pub fn disorder(&self) -> Option<usize> {
        self.disorder
    }
}

/// Decodes an input that is exactly one value, within the default [`Limits`].
///
/// # Errors
/// If the input is malformed, goes on after the value, or exceeds the limits.
pub fn decode(bytes: &[u8]) -> Result<Document<'_>, BencodeError> {
    decode_with(bytes, Limits::default())
}

/// [`decode`] within other limits.
///
/// # Errors
/// As [`decode`].
pub fn decode_with(bytes: &[u8], limits: Limits) -> Result<Document<'_>, BencodeError> {
    let document = decode_prefix_with(bytes, limits)?;
    match document.bytes.len() {
        used if used == bytes.len() => Ok(document),
        at => Err(BencodeError { kind: ErrorKind::Trailing, at }),
    }
}

/// Decodes the value that an input begins with, within the default [`Limits`]. The value takes
/// `raw().len()` bytes; what follows is not looked at.
///
/// # Errors
/// If the value is malformed or exceeds the limits.
pub fn decode_prefix(bytes: &[u8]) -> Result<Document<'_>, BencodeError> {
    decode_prefix_with(bytes, Limits::default())
}

/// [`decode_prefix`] within other limits.
///
/// # Errors
/// As [`decode_prefix`].
pub fn decode_prefix_with(bytes: &[u8], limits: Limits) -> Result<Document<'_>, BencodeError> {
    // Counting first costs a second pass, and makes the one allocation exact: 8 bytes a value,
    // where the shortest value is 2 bytes long.
    let outline = scan(bytes, limits, &mut scan::Count)?;
    let mut spans = Vec::with_capacity(outline.tokens);
    scan(bytes, limits, &mut spans)?;
    Ok(Document { bytes: &bytes[..outline.len], spans, disorder: outline.disorder })
}

#[cfg(test)]
mod tests;
