//! The payload of pongs (Gnutella 0.6, section 2.2.3). A ping's payload, if it has one, is a run
//! of [`Extensions`](super::Extensions).

use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};

use super::reader::Reader;
use super::{Extensions, WireError};

/// Where a servent is and what it shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong<'a> {
    /// Where it accepts connections.
    pub addr: SocketAddrV4,
    /// Files it shares.
    pub files: u32,
    /// Kibibytes it shares.
    pub kib: u32,
    /// What else it says, as it stands.
    pub extra: &'a [u8],
}

impl<'a> Pong<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// If it is shorter than 14 bytes.
    pub fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader(payload);
        let port = reader.u16()?;
        let ip: Ipv4Addr = reader.ip()?;
        let (files, kib) = (reader.u32()?, reader.u32()?);
        Ok(Self { addr: SocketAddrV4::new(ip, port), files, kib, extra: reader.0 })
    }

    /// What else it says.
    #[must_use]
    pub fn extensions(&self) -> Extensions<'a> {
        Extensions::new(self.extra)
    }

    /// The payload.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(14 + self.extra.len());
        out.extend_from_slice(&self.addr.port().to_le_bytes());
        out.extend_from_slice(&self.addr.ip().octets());
        out.extend_from_slice(&self.files.to_le_bytes());
        out.extend_from_slice(&self.kib.to_le_bytes());
        out.extend_from_slice(self.extra);
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reads_what_it_writes(ip: u32, port: u16, files: u32, kib: u32, extra: Vec<u8>) {
            let addr = SocketAddrV4::new(Ipv4Addr::from_bits(ip), port);
            let pong = Pong { addr, files, kib, extra: &extra };
            let bytes = pong.to_vec();
            prop_assert_eq!(Pong::parse(&bytes), Ok(pong));
            prop_assert_eq!(Pong::parse(&bytes[..13]), Err(WireError::Short));
        }
    }
}
