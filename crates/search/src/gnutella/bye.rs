//! The payload of a bye: the last message of a connection (Gnutella 0.6, section 2.2.9).

use alloc::vec::Vec;

use super::WireError;
use super::reader::Reader;

/// Why a connection is about to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bye<'a> {
    /// In the manner of SMTP: 2xx nobody's fault, 4xx yours, 5xx mine.
    pub code: u16,
    /// In words; then perhaps lines as in a head of HTTP.
    pub text: &'a [u8],
}

impl<'a> Bye<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// If it has no code, or a text that does not end.
    pub fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader(payload);
        Ok(Self { code: reader.u16()?, text: reader.text()? })
    }

    /// The payload.
    ///
    /// # Errors
    /// If the text holds a NUL.
    pub fn to_vec(&self) -> Result<Vec<u8>, WireError> {
        if self.text.contains(&0) {
            return Err(WireError::Inexpressible);
        }
        let mut out = Vec::with_capacity(3 + self.text.len());
        out.extend_from_slice(&self.code.to_le_bytes());
        out.extend_from_slice(self.text);
        out.push(0);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let bye = Bye { code: 401, text: b"Too many duplicates" };
        let bytes = bye.to_vec().unwrap();
        assert_eq!(bytes[..2], [0x91, 0x01]);
        assert_eq!(Bye::parse(&bytes), Ok(bye));
        assert_eq!(Bye::parse(&bytes[..1]), Err(WireError::Short));
        assert_eq!(Bye::parse(&bytes[..bytes.len() - 1]), Err(WireError::Unterminated));
        assert_eq!(Bye { code: 1, text: b"a\0b" }.to_vec(), Err(WireError::Inexpressible));
    }
}
