//! How messages become bytes, at the edge of the live driver. A simulator does without.

use alloc::vec::Vec;

use crate::Payload;

/// A message that fits one datagram.
pub trait Wire: Sized {
    /// Why bytes are not such a message.
    type Error;

    /// Appends the message to `out`.
    fn encode(&self, out: &mut Vec<u8>);
    /// Reads a message that fills `bytes` exactly.
    ///
    /// # Errors
    /// When `bytes` are anything else.
    fn decode(bytes: &[u8]) -> Result<Self, Self::Error>;
}

/// What the front of a stream's bytes turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded<F> {
    /// Not whole yet: at least this many bytes, counted from the front, are needed to go on.
    Incomplete(usize),
    /// A frame that took `used` bytes.
    Frame {
        /// The frame.
        frame: F,
        /// Bytes it took.
        used: usize,
    },
    /// The head of a payload that took `used` bytes; the next `payload.len` bytes are the payload.
    Payload {
        /// What follows.
        payload: Payload,
        /// Bytes the head took.
        used: usize,
    },
}

/// The two directions of one connection, with whatever state its format needs.
pub trait Framing<F> {
    /// Why bytes are not acceptable; the connection must close.
    type Error;

    /// Appends `frame` to `out`.
    fn encode(&mut self, frame: &F, out: &mut Vec<u8>);
    /// Appends the head of `payload` to `out`; its bytes must follow.
    fn encode_payload_head(&mut self, payload: Payload, out: &mut Vec<u8>);
    /// Reads what stands at the front of `bytes`.
    ///
    /// # Errors
    /// When no continuation of `bytes` could be acceptable.
    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded<F>, Self::Error>;
}
