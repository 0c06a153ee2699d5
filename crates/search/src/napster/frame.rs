//! Frames of the connection between client and server: length and type, two bytes each, least
//! significant byte first, then as many bytes as the length says.

use alloc::vec::Vec;

use machine::{Decoded, Framing, Payload};

/// Bytes of the length and the type.
pub const HEAD_LEN: usize = 4;
/// Bytes that may follow them. Clients send at most 2,048 to a server of opennap; messages that
/// list the files of a folder may be longer elsewhere.
pub const BODY_MAX: usize = 8_192;

/// A message that was not looked into yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What kind of message it is.
    pub kind: u16,
    /// Its fields.
    pub body: Vec<u8>,
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A message is longer than [`BODY_MAX`].
    #[error("a message of {0} bytes, above {BODY_MAX}")]
    TooLong(usize),
}

impl Frame {
    /// Appends its bytes to `out`; a body beyond [`BODY_MAX`] is cut.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let body = &self.body[..self.body.len().min(BODY_MAX)];
        out.extend_from_slice(&(body.len() as u16).to_le_bytes());
        out.extend_from_slice(&self.kind.to_le_bytes());
        out.extend_from_slice(body);
    }
}

/// The bytes of one connection. It has no state: every message stands for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NapsterFraming;

impl Framing<Frame> for NapsterFraming {
    type Error = FrameError;

    fn encode(&mut self, frame: &Frame, out: &mut Vec<u8>) {
        frame.encode(out);
    }

    /// There is no payload on this connection, and nothing is written.
    fn encode_payload_head(&mut self, _: Payload, _: &mut Vec<u8>) {}

    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded<Frame>, FrameError> {
        let Some(&[a, b, c, d]) = bytes.first_chunk() else {
            return Ok(Decoded::Incomplete(HEAD_LEN));
        };
        let len = usize::from(u16::from_le_bytes([a, b]));
        if len > BODY_MAX {
            return Err(FrameError::TooLong(len));
        }
        let used = HEAD_LEN + len;
        let Some(body) = bytes.get(HEAD_LEN..used) else { return Ok(Decoded::Incomplete(used)) };
        let frame = Frame { kind: u16::from_le_bytes([c, d]), body: body.to_vec() };
        Ok(Decoded::Frame { frame, used })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_when_they_are_whole() {
        let frame = Frame { kind: 0x0203, body: b"lefty".to_vec() };
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        assert_eq!(bytes, b"\x05\x00\x03\x02lefty");
        assert_eq!(NapsterFraming.decode(&bytes[..3]), Ok(Decoded::Incomplete(4)));
        assert_eq!(NapsterFraming.decode(&bytes[..8]), Ok(Decoded::Incomplete(9)));
        bytes.push(0);
        assert_eq!(NapsterFraming.decode(&bytes), Ok(Decoded::Frame { frame, used: 9 }));
        assert_eq!(NapsterFraming.decode(b"\xff\xff\0\0"), Err(FrameError::TooLong(65_535)));
    }
}
