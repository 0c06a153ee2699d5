//! What peers say to each other before a file's bytes: who waits says `1`, who dials says `GET` or
//! `SEND` and a line, and is answered by a number.
//!
//! ```text
//! download:  dial; hear `1`; say `GET` `<me> "<file>" <offset>`; hear `<size>` and the bytes
//! push:      dial; hear `1`; say `SEND` `<me> "<file>" <size>`; hear `<offset>`; say the bytes
//! ```
//! Nothing ends the lines and the numbers but what follows them: after a `GET` nothing does until it
//! is answered, and a size ends where the file begins. A file that begins with a digit would make its
//! size ambiguous; both sides know the size, so it is read by that many digits.

use alloc::vec::Vec;

use super::field::{Line, number};
use super::file::parse_name;
use super::{FieldError, Fields, Nick, Text};

/// What whoever accepted a connection says first.
pub const GREETING: u8 = b'1';
/// Bytes of a request, verb and line.
pub const REQUEST_MAX: usize = 1_536;
/// Digits of a size or an offset.
pub const DIGITS_MAX: usize = 20;
/// What is said of a file that is not shared.
pub const NOT_SHARED: &[u8] = b"FILE NOT SHARED";
/// What is said of a request that cannot be read.
pub const INVALID: &[u8] = b"INVALID REQUEST";

/// What whoever dialled asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Send me this file from this offset on.
    Get {
        /// Who asks.
        nick: Nick,
        /// Which file, in its owner's words.
        name: Text,
        /// From where on.
        offset: u64,
    },
    /// Here is this file, which you asked for.
    Send {
        /// Who sends.
        nick: Nick,
        /// Which file, in its owner's words.
        name: Text,
        /// Its length in bytes.
        size: u64,
    },
}

impl Request {
    /// The verb, which goes in a packet of its own.
    #[must_use]
    pub fn verb(&self) -> &'static [u8] {
        match self {
            Self::Get { .. } => b"GET",
            Self::Send { .. } => b"SEND",
        }
    }

    /// The line that follows the verb.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let (Self::Get { nick, name, offset: number } | Self::Send { nick, name, size: number }) =
            self;
        Line::new().word(nick).quoted(name.as_bytes()).word(number).end()
    }

    /// Reads verb and line as far as they have come: `None` as long as nothing but the verb and an
    /// unfinished line is there. The number at its end has no end of its own, so whoever reads must
    /// wait until no more comes.
    ///
    /// # Errors
    /// When it can no longer become a request.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, FieldError> {
        let (is_get, line) = match bytes {
            [b'G', b'E', b'T', line @ ..] => (true, line),
            [b'S', b'E', b'N', b'D', line @ ..] => (false, line),
            _ if b"GET".starts_with(bytes) || b"SEND".starts_with(bytes) => return Ok(None),
            _ => return Err(FieldError::Malformed("verb")),
        };
        let quotes = line.iter().filter(|byte| **byte == b'"').count();
        let after = line.iter().rposition(|byte| *byte == b'"').map_or(0, |at| at + 1);
        let has_number = line[after..].iter().any(u8::is_ascii_digit);
        if bytes.len() < REQUEST_MAX && (quotes < 2 || !has_number) {
            return Ok(None);
        }
        let mut fields = Fields::new(line);
        let (nick, name) = (fields.nick("nick")?, parse_name(&mut fields)?);
        let number = fields.number("number")?;
        if !fields.is_end() {
            return Err(FieldError::Malformed("end of the line"));
        }
        Ok(Some(if is_get {
            Self::Get { nick, name, offset: number }
        } else {
            Self::Send { nick, name, size: number }
        }))
    }
}

/// What is answered to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A size or an offset, that took so many bytes.
    Number(u64, usize),
    /// Words: it is refused.
    Refused,
    /// More bytes are needed.
    Incomplete,
}

/// Reads the size that stands before a file which is `expected` bytes long, if that is known.
#[must_use]
pub fn parse_size(bytes: &[u8], expected: Option<u64>) -> Answer {
    if bytes.first().is_some_and(|byte| !byte.is_ascii_digit()) {
        return Answer::Refused;
    }
    if let Some(size) = expected {
        let digits = Line::new().word(size).end();
        if bytes.starts_with(&digits) {
            return Answer::Number(size, digits.len());
        }
        if digits.starts_with(bytes) {
            return Answer::Incomplete;
        }
    }
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit());
    match end {
        None if bytes.len() <= DIGITS_MAX => Answer::Incomplete,
        None => Answer::Refused,
        Some(end) => match number(&bytes[..end], "size") {
            Ok(size) => Answer::Number(size, end),
            Err(_) => Answer::Refused,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_when_their_number_has_come() {
        let nick = Nick::new(b"lefty").expect("a name");
        let get = Request::Get { nick, name: "C:\\a b.mp3".into(), offset: 12 };
        let bytes = [get.verb(), &get.line()].concat();
        assert_eq!(bytes, b"GETlefty \"C:\\a b.mp3\" 12");
        for end in 0..bytes.len() - 2 {
            assert_eq!(Request::parse(&bytes[..end]), Ok(None), "{end}");
        }
        assert_eq!(Request::parse(&bytes), Ok(Some(get)));
        for bytes in [&b"PUT"[..], b"GETlefty \"a\" 1 2", b"GETlefty \"\" 1"] {
            assert!(Request::parse(bytes).is_err(), "{}", bytes.escape_ascii());
        }
        assert!(Request::parse(&[&b"GET"[..], &[b'x'; REQUEST_MAX]].concat()).is_err());
    }

    #[test]
    fn sizes_end_where_the_file_begins() {
        assert_eq!(parse_size(b"443332\xff\xfb", None), Answer::Number(443_332, 6));
        assert_eq!(
            parse_size(b"4433321 begins with a digit", Some(443_332)),
            Answer::Number(443_332, 6)
        );
        assert_eq!(parse_size(b"4433", Some(443_332)), Answer::Incomplete);
        assert_eq!(parse_size(b"12\xff", Some(443_332)), Answer::Number(12, 2));
        assert_eq!(parse_size(NOT_SHARED, Some(5)), Answer::Refused);
        assert_eq!(parse_size(&[b'9'; 21], None), Answer::Refused);
        assert_eq!(parse_size(b"99999999999999999999x", None), Answer::Refused);
    }
}
