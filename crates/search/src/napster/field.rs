//! Fields of a message: words, and words in quotes, with spaces between; writing them.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt::Display;
use core::net::Ipv4Addr;
use core::str::FromStr;

use super::{Nick, Text};

/// Why a message is not what its type demands; each names the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// It ends too early.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A quote is never closed, or something clings to it.
    #[error("the quotes of {0} are not balanced")]
    Quotes(&'static str),
    /// It is not a number, or not one in range.
    #[error("{0} is not a number that is possible there")]
    Number(&'static str),
    /// It is not a name of a user, of a hash, of a media type.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// It is longer than its limit.
    #[error("{0} is too long")]
    TooLong(&'static str),
}

/// What is left of a message.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The fields of `body`.
    #[must_use]
    pub fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    fn skip_spaces(&mut self) {
        let start = self.0.iter().position(|byte| !is_space(*byte)).unwrap_or(self.0.len());
        self.0 = &self.0[start..];
    }

    /// Whether nothing but spaces is left.
    pub fn is_end(&mut self) -> bool {
        self.skip_spaces();
        self.0.is_empty()
    }

    /// The next field, if there is one.
    ///
    /// # Errors
    /// When its quotes are not balanced.
    pub fn optional(&mut self, what: &'static str) -> Result<Option<&'a [u8]>, FieldError> {
        self.skip_spaces();
        let Some((&first, rest)) = self.0.split_first() else { return Ok(None) };
        let (field, rest) = if first == b'"' {
            let end = rest.iter().position(|byte| *byte == b'"').ok_or(FieldError::Quotes(what))?;
            let (field, rest) = (&rest[..end], &rest[end + 1..]);
            if rest.first().is_some_and(|byte| !is_space(*byte)) {
                return Err(FieldError::Quotes(what));
            }
            (field, rest)
        } else {
            let end = self.0.iter().position(|byte| is_space(*byte)).unwrap_or(self.0.len());
            if self.0[..end].contains(&b'"') {
                return Err(FieldError::Quotes(what));
            }
            self.0.split_at(end)
        };
        self.0 = rest;
        Ok(Some(field))
    }

    /// The next field.
    ///
    /// # Errors
    /// When there is none, or its quotes are not balanced.
    pub fn field(&mut self, what: &'static str) -> Result<&'a [u8], FieldError> {
        self.optional(what)?.ok_or(FieldError::Missing(what))
    }

    /// The next field, as text of at most `max` bytes.
    ///
    /// # Errors
    /// When there is none, or it is too long.
    pub fn text(&mut self, what: &'static str, max: usize) -> Result<Text, FieldError> {
        let field = self.field(what)?;
        if field.len() > max { Err(FieldError::TooLong(what)) } else { Ok(field.into()) }
    }

    /// The next field, as a number.
    ///
    /// # Errors
    /// When there is none, or it is not one of this kind.
    pub fn number<N: FromStr>(&mut self, what: &'static str) -> Result<N, FieldError> {
        number(self.field(what)?, what)
    }

    /// The next field, as the name of a user.
    ///
    /// # Errors
    /// When there is none, or it is not one word.
    pub fn nick(&mut self, what: &'static str) -> Result<Nick, FieldError> {
        Nick::new(self.field(what)?).ok_or(FieldError::Malformed(what))
    }

    /// The next field, as an address: four octets in a number, the first one lowest.
    ///
    /// # Errors
    /// When there is none, or it is not a number of 32 bits.
    pub fn address(&mut self) -> Result<Ipv4Addr, FieldError> {
        Ok(Ipv4Addr::from(self.number::<u32>("address")?.to_le_bytes()))
    }

    /// All that is left, as one text of at most `max` bytes; quotes around it are taken off.
    ///
    /// # Errors
    /// When it is too long.
    pub fn rest(mut self, what: &'static str, max: usize) -> Result<Text, FieldError> {
        self.skip_spaces();
        let text = self.0;
        let bare = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
        let text = bare.filter(|bare| !bare.contains(&b'"')).unwrap_or(text);
        if text.len() > max { Err(FieldError::TooLong(what)) } else { Ok(text.into()) }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0)
}

/// Reads decimal digits, without a sign.
pub(crate) fn number<N: FromStr>(field: &[u8], what: &'static str) -> Result<N, FieldError> {
    if !field.first().is_some_and(u8::is_ascii_digit) {
        return Err(FieldError::Number(what));
    }
    let digits = core::str::from_utf8(field).map_err(|_| FieldError::Number(what))?;
    digits.parse().map_err(|_| FieldError::Number(what))
}

/// A message in the making.
#[derive(Debug, Default)]
pub(crate) struct Line(Vec<u8>);

impl Line {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn space(&mut self) {
        if !self.0.is_empty() {
            self.0.push(b' ');
        }
    }

    /// As it is; between quotes if it would not be read as one word without them.
    pub(crate) fn word(mut self, word: impl Display) -> Self {
        let word = word.to_string();
        if word.is_empty() || word.bytes().any(is_space) {
            return self.quoted(word.as_bytes());
        }
        self.space();
        self.0.extend_from_slice(word.as_bytes());
        self
    }

    /// Between quotes; what cannot stand there is written as an apostrophe or a space.
    pub(crate) fn quoted(mut self, text: &[u8]) -> Self {
        self.space();
        self.0.push(b'"');
        self.0.extend(text.iter().map(|&byte| match byte {
            b'"' => b'\'',
            byte if byte.is_ascii_control() => b' ',
            byte => byte,
        }));
        self.0.push(b'"');
        self
    }

    pub(crate) fn address(self, address: Ipv4Addr) -> Self {
        self.word(u32::from_le_bytes(address.octets()))
    }

    /// To the end of the message, as it is but for control characters.
    pub(crate) fn rest(mut self, text: &[u8]) -> Self {
        if !text.is_empty() {
            self.space();
        }
        let printable = |&byte: &u8| if byte.is_ascii_control() { b' ' } else { byte };
        self.0.extend(text.iter().map(printable));
        self
    }

    pub(crate) fn end(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_spaces_together() {
        let mut fields = Fields::new(b" mred  \"C:\\My Music\\a b.mp3\" 12 \"\" rest of it");
        assert_eq!(fields.field("a"), Ok(&b"mred"[..]));
        assert_eq!(fields.field("b"), Ok(&b"C:\\My Music\\a b.mp3"[..]));
        assert_eq!(fields.number::<u8>("c"), Ok(12));
        assert_eq!(fields.field("d"), Ok(&b""[..]));
        assert_eq!(fields.rest("e", 100), Ok("rest of it".into()));
    }

    #[test]
    fn na_03_unbalanced_quotes_and_what_is_not_a_number_are_errors() {
        for (body, expected) in [
            (&b""[..], FieldError::Missing("x")),
            (b"\"no end", FieldError::Quotes("x")),
            (b"\"a\"b", FieldError::Quotes("x")),
            (b"a\"b", FieldError::Quotes("x")),
        ] {
            assert_eq!(Fields::new(body).field("x"), Err(expected), "{body:?}");
        }
        for body in [&b"-1"[..], b"+1", b"1x", b"one", b"256", b"\"\"", b"99999999999999999999999"]
        {
            assert_eq!(Fields::new(body).number::<u8>("x"), Err(FieldError::Number("x")));
        }
    }

    #[test]
    fn words_are_read_as_they_were_written() {
        let written = Line::new().word("").word("a b").word(7).word("c").end();
        assert_eq!(written, b"\"\" \"a b\" 7 c");
        let mut fields = Fields::new(&written);
        for word in ["", "a b", "7", "c"] {
            assert_eq!(fields.field("word"), Ok(word.as_bytes()));
        }
        assert!(fields.is_end());
    }

    #[test]
    fn addresses_begin_with_the_lowest_octet() {
        // The example of message 201.
        let address = Fields::new(b"3437166285").address().expect("an address");
        assert_eq!(address, Ipv4Addr::new(205, 254, 222, 204));
        assert_eq!(Line::new().address(address).end(), b"3437166285");
    }
}
