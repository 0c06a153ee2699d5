//! The payload of pushes (Gnutella 0.6, section 2.2.8).

use alloc::vec::Vec;
use core::net::SocketAddrV4;

use super::reader::Reader;
use super::{Extensions, Guid, WireError};

/// Asks a servent that cannot be reached to connect and offer a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Push<'a> {
    /// Who is asked: the servent of a query hit.
    pub servent: Guid,
    /// The file, as the hit numbered it.
    pub index: u32,
    /// Where to connect to.
    pub addr: SocketAddrV4,
    /// What else it says, as it stands.
    pub extra: &'a [u8],
}

impl<'a> Push<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// If it is shorter than 26 bytes.
    pub fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader(payload);
        let servent = Guid(reader.array()?);
        let index = reader.u32()?;
        let ip = reader.ip()?;
        let port = reader.u16()?;
        Ok(Self { servent, index, addr: SocketAddrV4::new(ip, port), extra: reader.0 })
    }

    /// What else it says.
    #[must_use]
    pub fn extensions(&self) -> Extensions<'a> {
        Extensions::new(self.extra)
    }

    /// The payload.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(26 + self.extra.len());
        out.extend_from_slice(&self.servent.0);
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.addr.ip().octets());
        out.extend_from_slice(&self.addr.port().to_le_bytes());
        out.extend_from_slice(self.extra);
        out
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reads_what_it_writes(guid: [u8; 16], index: u32, ip: u32, port: u16, extra: Vec<u8>) {
            let addr = SocketAddrV4::new(Ipv4Addr::from_bits(ip), port);
            let push = Push { servent: Guid(guid), index, addr, extra: &extra };
            let bytes = push.to_vec();
            prop_assert_eq!(Push::parse(&bytes), Ok(push));
            prop_assert_eq!(Push::parse(&bytes[..25]), Err(WireError::Short));
        }
    }
}
