//! Messages that vendors gave numbers to (Vendor Messages 0.2): who, which and what version. Only
//! the list of what a servent understands is read here.

use alloc::vec::Vec;

use super::WireError;
use super::reader::Reader;

/// Four letters that name a vendor; four zeros for messages that are everybody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vendor(pub [u8; 4]);

/// A kind of vendor message that a servent understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability {
    /// Whose.
    pub vendor: Vendor,
    /// Which.
    pub selector: u16,
    /// In which version.
    pub version: u16,
}

/// A vendor message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VendorMessage<'a> {
    /// What it is.
    pub of: Capability,
    /// What it says.
    pub data: &'a [u8],
}

impl<'a> VendorMessage<'a> {
    /// "Messages Supported": the one that neighbours begin with.
    const SUPPORTED: Capability = Capability { vendor: Vendor([0; 4]), selector: 0, version: 0 };

    /// Reads a payload.
    ///
    /// # Errors
    /// If it is shorter than 8 bytes.
    pub fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader(payload);
        let of = capability(&mut reader)?;
        Ok(Self { of, data: reader.0 })
    }

    /// The payload.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + self.data.len());
        write(self.of, &mut out);
        out.extend_from_slice(self.data);
        out
    }

    /// The payload that says what we understand.
    ///
    /// # Errors
    /// If that is more than 65,535 kinds.
    pub fn supported_to_vec(kinds: &[Capability]) -> Result<Vec<u8>, WireError> {
        let count = u16::try_from(kinds.len()).map_err(|_| WireError::Inexpressible)?;
        let mut out = Vec::with_capacity(10 + 8 * kinds.len());
        write(Self::SUPPORTED, &mut out);
        out.extend_from_slice(&count.to_le_bytes());
        kinds.iter().for_each(|kind| write(*kind, &mut out));
        Ok(out)
    }

    /// What the other side understands, if that is what this message says.
    ///
    /// # Errors
    /// If it counts more than it holds.
    pub fn supported(
        &self,
    ) -> Result<Option<impl Iterator<Item = Capability> + use<'a>>, WireError> {
        if self.of != Self::SUPPORTED {
            return Ok(None);
        }
        let mut reader = Reader(self.data);
        let count = usize::from(reader.u16()?);
        let mut items = Reader(reader.take(8 * count)?);
        Ok(Some(core::iter::from_fn(move || capability(&mut items).ok())))
    }
}

fn capability(reader: &mut Reader<'_>) -> Result<Capability, WireError> {
    let vendor = Vendor(reader.array()?);
    Ok(Capability { vendor, selector: reader.u16()?, version: reader.u16()? })
}

fn write(of: Capability, out: &mut Vec<u8>) {
    out.extend_from_slice(&of.vendor.0);
    out.extend_from_slice(&of.selector.to_le_bytes());
    out.extend_from_slice(&of.version.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_count_more_than_they_hold_are_refused() {
        let kind = Capability { vendor: Vendor(*b"LIME"), selector: 21, version: 1 };
        let mut bytes = VendorMessage::supported_to_vec(&[kind, kind]).unwrap();
        let message = VendorMessage::parse(&bytes).unwrap();
        assert_eq!(message.supported().unwrap().unwrap().collect::<Vec<_>>(), [kind, kind]);
        assert_eq!(message.to_vec(), bytes);
        bytes[8] = 3;
        assert!(VendorMessage::parse(&bytes).unwrap().supported().is_err());
        bytes[0] = b'X';
        assert!(VendorMessage::parse(&bytes).unwrap().supported().unwrap().is_none());
        assert_eq!(VendorMessage::parse(&bytes[..7]), Err(WireError::Short));
    }
}
