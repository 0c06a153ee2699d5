//! Chunked bodies (RFC 9112, section 7.1).

use super::HttpError;
use crate::hex;

/// Longest line that gives the length of a chunk, and most bytes of trailer fields.
const MAX_LINE_LEN: usize = 4096;

/// Takes the chunks out of a body, in pieces as they arrive.
#[derive(Clone, Debug)]
pub struct ChunkedDecoder {
    state: State,
    /// Bytes of content that may still come.
    room: u64,
    /// Bytes of the line, or of the trailer, so far.
    line_len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the length of a chunk; how many digits there were.
    Len {
        value: u64,
        digits: u32,
    },
    /// Between the length and the end of its line.
    Extension {
        value: u64,
    },
    /// After the `\r` of a length's line.
    LenReturn {
        value: u64,
    },
    /// In a chunk.
    Content {
        left: u64,
    },
    /// After a chunk.
    ContentEnd,
    /// After the `\r` that ends a chunk.
    ContentReturn,
    /// In the trailer; whether the line is empty so far.
    Trailer {
        empty: bool,
    },
    Done,
}

/// A step of decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Content; may be empty.
    pub content: &'a [u8],
    /// How many bytes of the input were used.
    pub used: usize,
    /// Whether the body is over; what was not used belongs to the next message.
    pub done: bool,
}

impl ChunkedDecoder {
    /// A decoder for a body of at most `max_len` bytes of content.
    #[must_use]
    pub fn new(max_len: u64) -> Self {
        Self { state: State::Len { value: 0, digits: 0 }, room: max_len, line_len: 0 }
    }

    /// Takes the next run of content out of `input`. Uses all of the input, or all up to the end
    /// of that content: call again with the rest.
    ///
    /// # Errors
    /// If a chunk is malformed, or the body is longer than allowed. The decoder is of no use then.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Chunk<'a>, HttpError> {
        let mut used = 0;
        while let Some(&byte) = input.get(used) {
            if let State::Content { left } = self.state {
                let rest = &input[used..];
                let len = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let left = left - len as u64;
                self.state = if left > 0 { State::Content { left } } else { State::ContentEnd };
                return Ok(Chunk { content: &rest[..len], used: used + len, done: false });
            }
            if self.state == State::Done {
                break;
            }
            self.state = self.after(byte)?;
            used += 1;
        }
        Ok(Chunk { content: &[], used, done: self.state == State::Done })
    }

    /// The state after a byte that is not content.
    fn after(&mut self, byte: u8) -> Result<State, HttpError> {
        self.line_len += 1;
        if self.line_len > MAX_LINE_LEN {
            return Err(HttpError::ChunkLength);
        }
        match (self.state, byte) {
            (State::Len { value, digits }, b'\r') if digits > 0 => Ok(State::LenReturn { value }),
            (State::Len { value, digits }, b';' | b' ' | b'\t') if digits > 0 => {
                Ok(State::Extension { value })
            }
            (State::Len { value, digits }, byte) => {
                let digit = hex::digit(byte).ok_or(HttpError::ChunkLength)?;
                // Checked at each digit, so it can never overflow.
                let value = value.checked_mul(16).and_then(|v| v.checked_add(u64::from(digit)));
                let value = value.filter(|v| *v <= self.room).ok_or(HttpError::BodyTooLong)?;
                Ok(State::Len { value, digits: digits + 1 })
            }
            (State::Extension { value }, b'\r') => Ok(State::LenReturn { value }),
            (State::Extension { .. }, b'\n') => Err(HttpError::ChunkLength),
            (State::Extension { value }, _) => Ok(State::Extension { value }),
            (State::LenReturn { value }, b'\n') => {
                self.line_len = 0;
                self.room -= value;
                let last = State::Trailer { empty: true };
                Ok(if value == 0 { last } else { State::Content { left: value } })
            }
            (State::LenReturn { .. }, _) => Err(HttpError::ChunkLength),
            (State::ContentEnd, b'\r') => Ok(State::ContentReturn),
            (State::ContentReturn, b'\n') => {
                self.line_len = 0;
                Ok(State::Len { value: 0, digits: 0 })
            }
            (State::ContentEnd | State::ContentReturn, _) => Err(HttpError::ChunkEnd),
            (State::Trailer { empty: true }, b'\n') => Ok(State::Done),
            (State::Trailer { empty }, b'\r') => Ok(State::Trailer { empty }),
            (State::Trailer { .. }, byte) => Ok(State::Trailer { empty: byte == b'\n' }),
            // Content is taken before, and nothing after the end.
            (State::Content { .. } | State::Done, _) => Ok(self.state),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use super::*;

    /// Decodes `input` in steps of `step` bytes: the content, and what was left over.
    fn decode(input: &[u8], step: usize, max_len: u64) -> Result<(Vec<u8>, Vec<u8>), HttpError> {
        let mut decoder = ChunkedDecoder::new(max_len);
        let (mut content, mut at) = (Vec::new(), 0);
        while at < input.len() {
            let chunk = decoder.decode(&input[at..input.len().min(at + step)])?;
            content.extend(chunk.content);
            at += chunk.used;
            if chunk.done {
                break;
            }
        }
        Ok((content, input[at..].to_vec()))
    }

    #[test]
    fn decodes_in_steps_of_any_size() {
        let body = b"4\r\nWiki\r\nC;name=value\r\nin\r\n\r\nchunks\r\n0\r\nA: b\r\n\r\nnext";
        for step in 1..body.len() {
            let (content, rest) = decode(body, step, 100).unwrap();
            assert_eq!(content, b"Wikiin\r\n\r\nchunks");
            assert_eq!(rest, b"next");
        }
    }

    #[test]
    fn tr_02_malformed_chunks_are_an_error() {
        let table: &[(&[u8], HttpError)] = &[
            (b"FFFFFFFFFFFFFFFF\r\n", HttpError::BodyTooLong),
            (b"FFFFFFFFFFFFFFFFF\r\n", HttpError::BodyTooLong),
            (b"-1\r\n", HttpError::ChunkLength),
            (b"+1\r\n", HttpError::ChunkLength),
            (b"0x1\r\n", HttpError::ChunkLength),
            (b"\r\n", HttpError::ChunkLength),
            (b"g\r\n", HttpError::ChunkLength),
            (b"4\nWiki\r\n", HttpError::ChunkLength),
            (b"4\rxWiki", HttpError::ChunkLength),
            (b"4;a\nWiki\r\n", HttpError::ChunkLength),
            (b"4\r\nWikipedia\r\n", HttpError::ChunkEnd),
            (b"4\r\nWiki\n0\r\n", HttpError::ChunkEnd),
            (b"4\r\nWiki\rx", HttpError::ChunkEnd),
        ];
        for (body, error) in table {
            assert_eq!(decode(body, 3, 1000), Err(*error), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn bodies_and_lines_are_bounded() {
        assert_eq!(decode(b"5\r\nhello\r\n5\r\nhello\r\n", 99, 9), Err(HttpError::BodyTooLong));
        let extension = format!("1;{}\r\n", "x".repeat(5000));
        assert_eq!(decode(extension.as_bytes(), 99, 9), Err(HttpError::ChunkLength));
        let zeros = "0".repeat(5000);
        assert_eq!(decode(zeros.as_bytes(), 99, 9), Err(HttpError::ChunkLength));
        let trailer = format!("0\r\n{}", "a: b\r\n".repeat(1000));
        assert_eq!(decode(trailer.as_bytes(), 99, 9), Err(HttpError::ChunkLength));
    }
}
