//! The two directions of a connection as bytes: the handshake of 0.4 or 0.6, then messages, each
//! direction deflated if its sender said so. What the blocks say is not decided here.

use alloc::boxed::Box;
use alloc::vec::Vec;

use codec::zlib::{Deflater, Inflater};
use machine::{Decoded, Framing, Payload, Side, Wire};

use super::handshake::{Block, HandshakeError, Start};
use super::{Descriptor, HEADER_LEN, PAYLOAD_MAX, WireError};

/// Most bytes that may come out of a compressed stream beyond [`RATIO_MAX`] times what went in.
pub const INFLATE_SLACK: u64 = 1 << 20;

/// How many bytes may come out of each byte of a compressed stream.
pub const RATIO_MAX: u64 = 64;

/// Most bytes of a compressed stream that need not bring a message to its end: the longest message,
/// stored without being compressed, and what zlib puts between.
pub const STALL_MAX: usize = HEADER_LEN + PAYLOAD_MAX + 4 * 1024;

const CONNECT_04: &[u8] = b"GNUTELLA CONNECT/0.4\n\n";
const OK_04: &[u8] = b"GNUTELLA OK\n\n";

/// One thing said on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The greeting of version 0.4.
    Connect04,
    /// The answer to it.
    Ok04,
    /// A block of the handshake of version 0.6.
    Block(Block),
    /// A message.
    Message(Descriptor),
}

/// Why a connection must close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// A handshake that is none.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// A block that is not due: a greeting instead of an answer, or the other way round.
    #[error("handshake out of turn")]
    OutOfTurn,
    /// Anything after a no.
    #[error("bytes after a refusal")]
    Refused,
    /// A message that is too long.
    #[error(transparent)]
    Message(#[from] WireError),
    /// A compressed stream that is malformed, or has ended.
    #[error("malformed zlib stream")]
    Deflate,
    /// A compressed stream that makes too much of too little, or nothing of too much.
    #[error("zlib stream out of proportion")]
    Ratio,
}

/// Where one direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The first block of the side that dials is due.
    Greeting,
    /// The answer is due.
    Answer,
    /// The last word of the side that dials is due.
    LastWord,
    /// Messages.
    Messages,
    /// Somebody said no.
    Refused,
}

/// A compressed stream that is being read. Its bytes are taken from the caller as they are
/// inflated, though the caller is told so only with the next message.
struct Inflow {
    inflater: Inflater,
    /// Inflated bytes of which no message has been made; never more than the longest message.
    plain: Vec<u8>,
    /// Bytes at the front of the caller's that have been inflated already.
    ahead: usize,
    taken: u64,
    made: u64,
    ended: bool,
}

/// A connection's framing: see [`Framing`].
pub struct GnutellaFraming {
    incoming: Stage,
    outgoing: Stage,
    inflow: Option<Box<Inflow>>,
    deflater: Option<Deflater>,
}

impl GnutellaFraming {
    /// The framing of a new connection.
    #[must_use]
    pub const fn new(side: Side) -> Self {
        let (incoming, outgoing) = match side {
            Side::Dialer => (Stage::Answer, Stage::Greeting),
            Side::Listener => (Stage::Greeting, Stage::Answer),
        };
        Self { incoming, outgoing, inflow: None, deflater: None }
    }

    /// Whether this frame may be said now; if not, [`encode`](Framing::encode) writes nothing.
    #[must_use]
    pub fn can_encode(&self, frame: &Frame) -> bool {
        match frame {
            Frame::Connect04 => self.outgoing == Stage::Greeting,
            Frame::Ok04 => self.outgoing == Stage::Answer && self.incoming == Stage::Messages,
            Frame::Block(block) => {
                let is_old = self.outgoing == Stage::Answer && self.incoming == Stage::Messages;
                !is_old && next_stage(self.outgoing, block).is_some()
            }
            Frame::Message(_) => self.outgoing == Stage::Messages,
        }
    }

    /// Appends several frames to `out`. Where the connection is compressed this makes fewer bytes
    /// than one by one.
    pub fn encode_all<'a>(
        &mut self,
        frames: impl IntoIterator<Item = &'a Frame>,
        out: &mut Vec<u8>,
    ) {
        let mut plain = Vec::new();
        for frame in frames {
            match frame {
                Frame::Message(message) if self.can_encode(frame) => match &self.deflater {
                    Some(_) => message.encode(&mut plain),
                    None => message.encode(out),
                },
                _ => self.greet(frame, out),
            }
        }
        if let Some(deflater) = self.deflater.as_mut().filter(|_| !plain.is_empty()) {
            deflater.write(&plain, out);
        }
    }

    /// Appends a part of the handshake to `out`.
    fn greet(&mut self, frame: &Frame, out: &mut Vec<u8>) {
        if !self.can_encode(frame) {
            return;
        }
        match frame {
            Frame::Connect04 => {
                out.extend_from_slice(CONNECT_04);
                self.outgoing = Stage::Messages;
            }
            Frame::Ok04 => {
                out.extend_from_slice(OK_04);
                self.outgoing = Stage::Messages;
            }
            Frame::Block(block) => {
                block.encode(out);
                let Some(next) = next_stage(self.outgoing, block) else { return };
                self.outgoing = next;
                if next == Stage::Messages && block.is_deflated() {
                    self.deflater = Some(Deflater::default());
                }
            }
            Frame::Message(_) => {}
        }
    }

    fn hear_block(&mut self, bytes: &[u8]) -> Result<Decoded<Frame>, FramingError> {
        // Version 0.4 is answered in its own words, and nothing else is.
        let greeted_as_old = self.incoming == Stage::Answer && self.outgoing == Stage::Messages;
        let old = match self.incoming {
            Stage::Greeting => Some((CONNECT_04, Frame::Connect04)),
            _ if greeted_as_old => Some((OK_04, Frame::Ok04)),
            _ => None,
        };
        if let Some((words, frame)) = old {
            if bytes.starts_with(words) {
                self.incoming = Stage::Messages;
                return Ok(Decoded::Frame { frame, used: words.len() });
            }
            if words.starts_with(bytes) {
                return Ok(Decoded::Incomplete(bytes.len() + 1));
            }
        }
        let Some((block, used)) = Block::parse(bytes)? else {
            return Ok(Decoded::Incomplete(bytes.len() + 1));
        };
        let next = next_stage(self.incoming, &block).filter(|_| !greeted_as_old);
        self.incoming = next.ok_or(FramingError::OutOfTurn)?;
        if self.incoming == Stage::Messages && block.is_deflated() {
            self.inflow = Some(Box::new(Inflow::new()));
        }
        Ok(Decoded::Frame { frame: Frame::Block(block), used })
    }
}

/// Where a direction is once `block` has been said in it; `None` if that is not due.
fn next_stage(stage: Stage, block: &Block) -> Option<Stage> {
    let is_greeting = block.start == Start::Connect;
    match stage {
        Stage::Greeting => is_greeting.then_some(Stage::LastWord),
        _ if is_greeting => None,
        Stage::Answer | Stage::LastWord if !block.is_yes() => Some(Stage::Refused),
        Stage::Answer | Stage::LastWord => Some(Stage::Messages),
        Stage::Messages | Stage::Refused => None,
    }
}

/// Reads a message that is not compressed, or no longer.
fn message(bytes: &[u8]) -> Result<Decoded<Frame>, FramingError> {
    Ok(match Descriptor::read(bytes)? {
        Decoded::Frame { frame, used } => Decoded::Frame { frame: Frame::Message(frame), used },
        Decoded::Incomplete(need) => Decoded::Incomplete(need),
        Decoded::Payload { payload, used } => Decoded::Payload { payload, used },
    })
}

impl Inflow {
    fn new() -> Self {
        Self {
            inflater: Inflater::default(),
            plain: Vec::new(),
            ahead: 0,
            taken: 0,
            made: 0,
            ended: false,
        }
    }

    /// Reads on; `bytes` begin with those that have been inflated already.
    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded<Frame>, FramingError> {
        let mut chunk = [0; 4096];
        loop {
            let need = match message(&self.plain)? {
                Decoded::Frame { frame, used } => {
                    self.plain.drain(..used);
                    return Ok(Decoded::Frame { frame, used: self.report(bytes)? });
                }
                Decoded::Incomplete(need) => need,
                other @ Decoded::Payload { .. } => return Ok(other),
            };
            // No more than the message needs, so that no more is held than one message.
            let room = (need - self.plain.len()).min(chunk.len());
            let input = bytes.get(self.ahead..).unwrap_or_default();
            let step = self.step(input, &mut chunk[..room])?;
            self.plain.extend_from_slice(&chunk[..step.0]);
            if step == (0, 0) {
                if self.ahead > STALL_MAX {
                    return Err(FramingError::Ratio);
                }
                return Ok(Decoded::Incomplete(bytes.len() + 1));
            }
        }
    }

    /// Inflates once: bytes made and bytes taken.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<(usize, usize), FramingError> {
        if self.ended {
            return if input.is_empty() { Ok((0, 0)) } else { Err(FramingError::Deflate) };
        }
        let step = self.inflater.step(input, output).ok_or(FramingError::Deflate)?;
        self.ended = step.ended;
        self.ahead += step.used;
        self.taken += step.used as u64;
        self.made += step.made as u64;
        if self.made > self.taken.saturating_mul(RATIO_MAX).saturating_add(INFLATE_SLACK) {
            return Err(FramingError::Ratio);
        }
        Ok((step.made, step.used))
    }

    /// How many of the caller's bytes a message took. As long as another message may follow from
    /// the same bytes one of them is kept back, or the caller would not ask again.
    fn report(&mut self, bytes: &[u8]) -> Result<usize, FramingError> {
        // What follows may be complete already, or become so by what the inflater still holds.
        if self.ahead == bytes.len() && self.plain.is_empty() {
            let mut next = [0];
            let (made, _) = self.step(&[], &mut next)?;
            self.plain.extend_from_slice(&next[..made]);
        }
        let used = if self.plain.is_empty() { self.ahead } else { self.ahead.saturating_sub(1) };
        self.ahead -= used;
        Ok(used)
    }
}

impl Framing<Frame> for GnutellaFraming {
    type Error = FramingError;

    fn encode(&mut self, frame: &Frame, out: &mut Vec<u8>) {
        self.encode_all([frame], out);
    }

    /// Files do not travel on these connections: writes nothing.
    fn encode_payload_head(&mut self, _: Payload, _: &mut Vec<u8>) {}

    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded<Frame>, FramingError> {
        if bytes.is_empty() {
            return Ok(Decoded::Incomplete(1));
        }
        match self.incoming {
            Stage::Refused => return Err(FramingError::Refused),
            Stage::Messages => {}
            _ => return self.hear_block(bytes),
        }
        if let Some(inflow) = &mut self.inflow {
            return inflow.decode(bytes);
        }
        message(bytes)
    }
}

#[cfg(test)]
mod tests;
