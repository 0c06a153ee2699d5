//! The payload of queries (Gnutella 0.6, section 2.2.5), and what became of its field for the
//! least speed.

use alloc::vec::Vec;

use super::reader::Reader;
use super::{Extensions, WireError};

/// The first two bytes of a query. Once a speed in kbit/s; with the highest bit set, flags that say
/// what answers are wanted, in big-endian order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MinSpeed(pub u16);

impl MinSpeed {
    /// These are flags, not a speed.
    pub const MARK: Self = Self(0x8000);
    /// Whoever asks cannot be reached: others that cannot need not answer.
    pub const FIREWALLED: Self = Self(0x4000);
    /// Metadata in XML is wanted.
    pub const XML: Self = Self(0x2000);
    /// The leaf that asks will say when it has enough (leaf guidance).
    pub const LEAF_GUIDED: Self = Self(0x1000);
    /// Hashes may come in the GGEP extension `H`.
    pub const GGEP_H: Self = Self(0x0800);
    /// Answers may come by UDP, to the address in the query's name.
    pub const OUT_OF_BAND: Self = Self(0x0400);
    /// Whoever asks can do transfers between firewalls.
    pub const FIREWALL_TRANSFER: Self = Self(0x0200);
    /// Whoever asks speaks semi-reliable UDP.
    pub const RELIABLE_UDP: Self = Self(0x0100);

    /// Both sets of flags.
    #[must_use]
    pub const fn with(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }

    /// Whether these are flags and all of `flags` are among them.
    #[must_use]
    pub const fn has(self, flags: Self) -> bool {
        let wanted = flags.0 | Self::MARK.0;
        self.0 & wanted == wanted
    }

    /// Most hits that are wanted, if these are flags and say so.
    #[must_use]
    pub const fn max_hits(self) -> Option<u8> {
        let most = self.0 as u8;
        if self.has(Self::MARK) && most > 0 { Some(most) } else { None }
    }
}

/// Who has this?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// What answers are wanted.
    pub speed: MinSpeed,
    /// The words; usually UTF-8. Empty, or of little meaning, where a hash is asked for.
    pub criteria: &'a [u8],
    /// What else it says, as it stands: hashes, GGEP.
    pub extra: &'a [u8],
}

impl<'a> Query<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// If the words do not end.
    pub fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader(payload);
        let speed = MinSpeed(u16::from_be_bytes(reader.array()?));
        let criteria = reader.text()?;
        Ok(Self { speed, criteria, extra: reader.0 })
    }

    /// What else it says.
    #[must_use]
    pub fn extensions(&self) -> Extensions<'a> {
        Extensions::new(self.extra)
    }

    /// The payload.
    ///
    /// # Errors
    /// If the words hold a NUL.
    pub fn to_vec(&self) -> Result<Vec<u8>, WireError> {
        if self.criteria.contains(&0) {
            return Err(WireError::Inexpressible);
        }
        let mut out = Vec::with_capacity(3 + self.criteria.len() + self.extra.len());
        out.extend_from_slice(&self.speed.0.to_be_bytes());
        out.extend_from_slice(self.criteria);
        out.push(0);
        out.extend_from_slice(self.extra);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn flags_are_flags_only_when_marked() {
        let flags = MinSpeed(0xb919);
        assert!(flags.has(MinSpeed::XML.with(MinSpeed::LEAF_GUIDED).with(MinSpeed::GGEP_H)));
        assert!(!flags.has(MinSpeed::FIREWALLED));
        assert_eq!(flags.max_hits(), Some(0x19));
        assert_eq!(MinSpeed(0x8000).max_hits(), None);
        let speed = MinSpeed(0x7fff);
        assert!(!speed.has(MinSpeed::XML));
        assert_eq!(speed.max_hits(), None);
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(speed: u16, criteria: Vec<u8>, extra: Vec<u8>) {
            let query = Query { speed: MinSpeed(speed), criteria: &criteria, extra: &extra };
            let Ok(bytes) = query.to_vec() else {
                prop_assert!(criteria.contains(&0));
                return Ok(());
            };
            prop_assert_eq!(Query::parse(&bytes), Ok(query));
            prop_assert!(Query::parse(&bytes[..criteria.len() + 2]).is_err());
        }
    }
}
