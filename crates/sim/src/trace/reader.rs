//! Reading traces, from whomever they come: nothing is allocated on the word of a length.

use std::io::{self, Read};

use machine::{Instant, OpId};

use super::format::{
    ANSWERED, COMMAND, CRASH, HEARD, LOST, MAGIC, PAYLOAD_MAX, Record, SENT, SET, START, TIMER,
    TOLD, Text, VERSION, What,
};
use crate::Node;

/// Why bytes are not a trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Something else altogether.
    #[error("not a trace: it begins with {0:02x?}")]
    Magic([u8; 8]),
    /// Written by another version.
    #[error("version {0} of the format, only {VERSION} is known")]
    Version(u16),
    /// A record ends in the middle.
    #[error("cut short in the record at byte {at}")]
    Truncated {
        /// Where the record begins, in bytes.
        at: u64,
    },
    /// A record of no known kind.
    #[error("unknown kind {kind} of the record at byte {at}")]
    Kind {
        /// Where the record begins, in bytes.
        at: u64,
        /// Its kind.
        kind: u8,
    },
    /// A number does not fit where it belongs.
    #[error("a number is too large in the record at byte {at}")]
    Number {
        /// Where the record begins, in bytes.
        at: u64,
    },
    /// A message is longer than any datagram, or a text.
    #[error("a message of {len} bytes in the record at byte {at}, above {PAYLOAD_MAX}")]
    Payload {
        /// Where the record begins, in bytes.
        at: u64,
        /// The message's length, in bytes.
        len: u64,
    },
    /// The bytes could not be had.
    #[error("reading the record at byte {at}: {error}")]
    Io {
        /// Where the record begins, in bytes.
        at: u64,
        /// Why not.
        error: io::Error,
    },
}

/// Reads records one by one; after an error there are no more.
pub struct Reader<R> {
    input: R,
    /// Where the record begins that is being read, and where in it reading stands.
    record: u64,
    at: u64,
    before: Instant,
    seed: u64,
    done: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the head of a trace. Reads are small, so `input` is best buffered.
    ///
    /// # Errors
    /// [`TraceError`] if `input` does not begin as a trace does.
    pub fn new(input: R) -> Result<Self, TraceError> {
        let before = Instant::ZERO;
        let mut reader = Self { input, record: 0, at: 0, before, seed: 0, done: false };
        let magic = reader.bytes()?;
        if magic != MAGIC {
            return Err(TraceError::Magic(magic));
        }
        let version = u16::from_be_bytes(reader.bytes()?);
        if version != VERSION {
            return Err(TraceError::Version(version));
        }
        reader.seed = u64::from_be_bytes(reader.bytes()?);
        Ok(reader)
    }

    /// The seed of the world that was observed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), TraceError> {
        self.at += buffer.len() as u64;
        self.input.read_exact(buffer).map_err(|error| self.io(error))
    }

    fn io(&self, error: io::Error) -> TraceError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => TraceError::Truncated { at: self.record },
            _ => TraceError::Io { at: self.record, error },
        }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], TraceError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u64, TraceError> {
        let mut value = 0u64;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.bytes()?;
            let part = u64::from(byte & 0x7f);
            if part.leading_zeros() < shift {
                break;
            }
            value |= part << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(TraceError::Number { at: self.record })
    }

    fn node(&mut self) -> Result<Node, TraceError> {
        let raw = self.number()?;
        let raw = u32::try_from(raw).map_err(|_| TraceError::Number { at: self.record })?;
        Ok(Node::from_raw(raw))
    }

    fn payload(&mut self) -> Result<Vec<u8>, TraceError> {
        let len = self.number()?;
        if len > PAYLOAD_MAX as u64 {
            return Err(TraceError::Payload { at: self.record, len });
        }
        let mut payload = Vec::new();
        let read = (&mut self.input).take(len).read_to_end(&mut payload);
        read.map_err(|error| self.io(error))?;
        self.at += payload.len() as u64;
        if (payload.len() as u64) < len {
            return Err(TraceError::Truncated { at: self.record });
        }
        Ok(payload)
    }

    fn text(&mut self) -> Result<Text, TraceError> {
        self.payload().map(Text::new)
    }

    /// The next record, or `None` at the end.
    fn record(&mut self) -> Result<Option<Record>, TraceError> {
        self.record = self.at;
        let mut kind = [0];
        match self.input.read_exact(&mut kind) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            result => result.map_err(|error| self.io(error))?,
        }
        self.at += 1;
        let [kind] = kind;
        let since = self.number()?;
        let nanos = self.before.as_nanos().checked_add(since);
        let at = Instant::from_nanos(nanos.ok_or(TraceError::Number { at: self.record })?);
        let node = self.node()?;
        let what = match kind {
            START => What::Start,
            TIMER => What::Timer { timer: self.text()? },
            HEARD => What::Heard { from: self.node()?, message: self.payload()? },
            COMMAND => {
                let op = OpId(self.number()?);
                What::Command { op, command: self.text()? }
            }
            CRASH => What::Crash,
            SENT => {
                let (to, after) = (self.node()?, Some(self.number()?));
                What::Sent { to, after, message: self.payload()? }
            }
            LOST => What::Sent { to: self.node()?, after: None, message: self.payload()? },
            SET => {
                let after = self.number()?;
                What::Set { after, timer: self.text()? }
            }
            TOLD => What::Told { op: None, event: self.text()? },
            ANSWERED => {
                let op = Some(OpId(self.number()?));
                What::Told { op, event: self.text()? }
            }
            kind => return Err(TraceError::Kind { at: self.record, kind }),
        };
        self.before = at;
        Ok(Some(Record { at, node, what }))
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Record, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let record = self.record().transpose();
        self.done = !matches!(record, Some(Ok(_)));
        record
    }
}
