//! A reader that allocates nothing and keeps nothing: it walks over an input once, for small
//! messages that come by the hundred thousand. Documents that are looked into are the others'.

use super::scan::{int_at, string_at};
use super::{BencodeError, ErrorKind, Kind};

/// Deepest nesting that [`Cursor::skip`] passes over; one bit of a word for each level.
const DEPTH_MAX: u32 = 64;

/// A place in an input, moved on by reading the value that stands there.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The front of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How far reading has come, in bytes.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// What the next value is.
    ///
    /// # Errors
    /// If no value begins here.
    pub fn kind(&self) -> Result<Kind, BencodeError> {
        match self.peek()? {
            b'0'..=b'9' => Ok(Kind::Bytes),
            b'i' => Ok(Kind::Int),
            b'l' => Ok(Kind::List),
            b'd' => Ok(Kind::Dict),
            _ => Err(self.error(ErrorKind::Byte)),
        }
    }

    /// Reads a string.
    ///
    /// # Errors
    /// If anything else comes next.
    pub fn string(&mut self) -> Result<&'a [u8], BencodeError> {
        let (content, end) = string_at(self.bytes, self.at)?;
        self.at = end;
        Ok(content)
    }

    /// Reads a number.
    ///
    /// # Errors
    /// If anything else comes next, or it does not fit in 64 bits.
    pub fn int(&mut self) -> Result<i64, BencodeError> {
        if self.peek()? != b'i' {
            return Err(self.error(ErrorKind::Byte));
        }
        let (value, end) = int_at(self.bytes, self.at)?;
        self.at = end;
        Ok(value)
    }

    /// Enters a dictionary: its keys and values follow, then [`Cursor::leave`].
    ///
    /// # Errors
    /// If anything else comes next.
    pub fn enter_dict(&mut self) -> Result<(), BencodeError> {
        self.expect(b'd')
    }

    /// Enters a list: its elements follow, then [`Cursor::leave`].
    ///
    /// # Errors
    /// If anything else comes next.
    pub fn enter_list(&mut self) -> Result<(), BencodeError> {
        self.expect(b'l')
    }

    /// Leaves the list or dictionary that was entered last, if it ends here.
    ///
    /// # Errors
    /// If the input ends.
    pub fn leave(&mut self) -> Result<bool, BencodeError> {
        let ends = self.peek()? == b'e';
        self.at += usize::from(ends);
        Ok(ends)
    }

    /// Passes over one value of any kind, and returns its bytes.
    ///
    /// # Errors
    /// If the value is malformed, or nested more than 64 levels deep.
    pub fn skip(&mut self) -> Result<&'a [u8], BencodeError> {
        let start = self.at;
        let (mut depth, mut dicts, mut keys) = (0, 0_u64, 0_u64);
        loop {
            let level = 1_u64.checked_shl(depth).unwrap_or(0) >> 1;
            let byte = self.peek()?;
            if depth > 0 && byte == b'e' {
                if dicts & level != 0 && keys & level == 0 {
                    return Err(self.error(ErrorKind::MissingValue));
                }
                self.at += 1;
                depth -= 1;
            } else {
                if dicts & level != 0 {
                    if keys & level != 0 && !byte.is_ascii_digit() {
                        return Err(self.error(ErrorKind::Key));
                    }
                    keys ^= level;
                }
                match byte {
                    b'0'..=b'9' => drop(self.string()?),
                    b'i' => drop(self.int()?),
                    b'l' | b'd' => {
                        if depth == DEPTH_MAX - 1 {
                            return Err(self.error(ErrorKind::Depth));
                        }
                        let inner = 1 << depth;
                        depth += 1;
                        (dicts, keys) = (dicts & !inner, keys & !inner);
                        if byte == b'd' {
                            (dicts, keys) = (dicts | inner, keys | inner);
                        }
                        self.at += 1;
                    }
                    _ => return Err(self.error(ErrorKind::Byte)),
                }
            }
            if depth == 0 {
                return Ok(&self.bytes[start..self.at]);
            }
        }
    }

    fn peek(&self) -> Result<u8, BencodeError> {
        self.bytes.get(self.at).copied().ok_or(self.error(ErrorKind::End))
    }

    fn expect(&mut self, byte: u8) -> Result<(), BencodeError> {
        if self.peek()? != byte {
            return Err(self.error(ErrorKind::Byte));
        }
        self.at += 1;
        Ok(())
    }

    fn error(&self, kind: ErrorKind) -> BencodeError {
        BencodeError { kind, at: self.at }
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_read_in_turn() {
        let mut cursor = Cursor::new(b"d1:ai-3e1:bl2:xye1:cd1:zleee");
        cursor.enter_dict().unwrap();
        assert_eq!(cursor.string().unwrap(), b"a");
        assert_eq!(cursor.int().unwrap(), -3);
        assert_eq!(cursor.string().unwrap(), b"b");
        cursor.enter_list().unwrap();
        assert!(!cursor.leave().unwrap());
        assert_eq!(cursor.string().unwrap(), b"xy");
        assert!(cursor.leave().unwrap());
        assert_eq!(cursor.string().unwrap(), b"c");
        assert_eq!(cursor.kind().unwrap(), Kind::Dict);
        assert_eq!(cursor.skip().unwrap(), b"d1:zlee");
        assert!(cursor.leave().unwrap() && cursor.is_at_end());
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |levels: usize| [b"l".repeat(levels), b"e".repeat(levels)].concat();
        assert!(Cursor::new(&nested(63)).skip().is_ok());
        let error = Cursor::new(&nested(64)).skip().unwrap_err();
        assert_eq!(error, BencodeError { kind: ErrorKind::Depth, at: 63 });
    }

    proptest! {
        /// Both readers agree on every input, but for those that are nested too deeply.
        #[test]
        fn agrees_with_the_document_reader(input in "[dlei0-3:a-]{0,24}") {
            let bytes = input.as_bytes();
            let mut cursor = Cursor::new(bytes);
            let skipped = cursor.skip().is_ok() && cursor.is_at_end();
            prop_assert_eq!(skipped, decode(bytes).is_ok());
        }
    }
}
