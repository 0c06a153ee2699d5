//! The writer: values go straight into a buffer, with no tree in between.

use alloc::vec::Vec;
use core::ops::Range;

/// Encodes one value.
///
/// ```
/// let bytes = codec::bencode::encode(|value| {
///     value.dict(|dict| {
///         dict.entry("cow").bytes("moo");
///         dict.entry("n").int(3);
///     });
/// });
/// assert_eq!(bytes, b"d3:cow3:moo1:ni3ee");
/// ```
#[must_use]
pub fn encode(write: impl FnOnce(Encoder<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(Encoder::new(&mut out));
    out
}

/// The place of one value. Whoever has it writes that value by one of its methods.
#[derive(Debug)]
pub struct Encoder<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> Encoder<'o> {
    /// Appends the value to `out`.
    pub fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out }
    }

    /// An integer.
    pub fn int(self, value: i64) {
        self.out.push(b'i');
        if value < 0 {
            self.out.push(b'-');
        }
        decimal(self.out, value.unsigned_abs());
        self.out.push(b'e');
    }

    /// A string of bytes.
    pub fn bytes(self, value: impl AsRef<[u8]>) {
        string(self.out, value.as_ref());
    }

    /// A value that is encoded already.
    pub fn raw(self, value: &[u8]) {
        self.out.extend_from_slice(value);
    }

    /// A list.
    pub fn list(self, write: impl FnOnce(&mut ListEncoder<'_>)) {
        self.out.push(b'l');
        write(&mut ListEncoder { out: self.out });
        self.out.push(b'e');
    }

    /// A dictionary, its entries written in ascending order of keys.
    pub fn dict(self, write: impl FnOnce(&mut DictEncoder<'_>)) {
        self.out.push(b'd');
        write(&mut DictEncoder { out: self.out, last: None });
        self.out.push(b'e');
    }
}

/// A list that is being written.
#[derive(Debug)]
pub struct ListEncoder<'o> {
    out: &'o mut Vec<u8>,
}

impl ListEncoder<'_> {
    /// The place of the next element.
    pub fn item(&mut self) -> Encoder<'_> {
        Encoder::new(self.out)
    }
}

/// A dictionary that is being written.
#[derive(Debug)]
pub struct DictEncoder<'o> {
    out: &'o mut Vec<u8>,
    last: Option<Range<usize>>,
}

impl DictEncoder<'_> {
    /// The place of the value of `key`, which comes after all keys before it in byte order: debug
    /// builds check that.
    pub fn entry(&mut self, key: impl AsRef<[u8]>) -> Encoder<'_> {
        let key = key.as_ref();
        debug_assert!(
            self.last.clone().is_none_or(|last| &self.out[last] < key),
            "key {:?} is out of order",
            key.escape_ascii()
        );
        string(self.out, key);
        self.last = Some(self.out.len() - key.len()..self.out.len());
        Encoder::new(self.out)
    }
}

fn string(out: &mut Vec<u8>, content: &[u8]) {
    decimal(out, content.len() as u64);
    out.push(b':');
    out.extend_from_slice(content);
}

fn decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}
