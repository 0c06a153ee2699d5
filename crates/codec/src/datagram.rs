//! Fields of the datagram formats that are our own: a head that tells whose datagram it is, numbers
//! in network order, addresses of either family, and a reader that names the field at which it had
//! to stop. What the fields mean is each network's.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// Longest address: family, IP, port.
pub const ADDRESS_MAX: usize = 1 + 16 + 2;

/// Why a datagram is not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It does not begin as those of this network do.
    #[error("not a datagram of this network")]
    Foreign,
    /// It is of another version.
    #[error("version {0} of the format is not known")]
    Version(u8),
    /// It is of no known kind.
    #[error("message of unknown kind {0}")]
    Kind(u8),
    /// It ends too early.
    #[error("the datagram ends within {0}")]
    Truncated(&'static str),
    /// It goes on after its end, or is not filled up as it must be.
    #[error("{0} bytes where the message ends, or it is not filled up")]
    Length(usize),
    /// A number is outside of its range.
    #[error("{what} is {value}")]
    Range {
        /// Which.
        what: &'static str,
        /// What it is.
        value: u32,
    },
    /// A text is not UTF-8.
    #[error("{0} is not UTF-8")]
    Text(&'static str),
}

/// Appends the first four bytes of a datagram.
pub fn write_head(network: [u8; 2], version: u8, kind: u8, out: &mut Vec<u8>) {
    out.extend(network);
    out.extend([version, kind]);
}

/// Appends an address.
pub fn write_address(address: &SocketAddr, out: &mut Vec<u8>) {
    match address.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend(ip.octets());
        }
    }
    out.extend(address.port().to_be_bytes());
}

/// What of a datagram has not been read yet.
#[derive(Clone, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The kind of a datagram and what comes after its first four bytes.
    ///
    /// # Errors
    /// When it is another network's or another version's.
    pub fn open(bytes: &'a [u8], network: [u8; 2], version: u8) -> Result<(u8, Self), Malformed> {
        let mut reader = Self(bytes);
        if reader.array("the head").map_err(|_| Malformed::Foreign)? != network {
            return Err(Malformed::Foreign);
        }
        match reader.array("the head")? {
            [found, kind] if found == version => Ok((kind, reader)),
            [found, _] => Err(Malformed::Version(found)),
        }
    }

    /// What is left.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Checks that nothing is left but the zeros that fill a datagram of `total` bytes up to
    /// `least`.
    ///
    /// # Errors
    /// When there is more, or less, or something else.
    pub fn close(self, total: usize, least: usize) -> Result<(), Malformed> {
        let body = total.saturating_sub(self.0.len());
        match total == body.max(least) && self.0.iter().all(|&byte| byte == 0) {
            true => Ok(()),
            false => Err(Malformed::Length(self.0.len())),
        }
    }

    /// The next `count` bytes; `what` names the field, here and below.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], when there are fewer.
    pub fn bytes(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(Malformed::Truncated(what))?;
        self.0 = rest;
        Ok(bytes)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], when there are fewer.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Malformed::Truncated(what))?;
        self.0 = rest;
        Ok(*array)
    }

    /// A byte.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], as for all numbers.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        self.array(what).map(|[byte]| byte)
    }

    /// Two bytes.
    ///
    /// # Errors
    /// [`Malformed::Truncated`].
    pub fn u16(&mut self, what: &'static str) -> Result<u16, Malformed> {
        self.array(what).map(u16::from_be_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// [`Malformed::Truncated`].
    pub fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        self.array(what).map(u32::from_be_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// [`Malformed::Truncated`].
    pub fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        self.array(what).map(u64::from_be_bytes)
    }

    /// A byte that is 0 or 1.
    ///
    /// # Errors
    /// When it is another, or missing.
    pub fn flag(&mut self, what: &'static str) -> Result<bool, Malformed> {
        self.count(what, 1).map(|flag| flag == 1)
    }

    /// A byte that is `max` at the most.
    ///
    /// # Errors
    /// When it is more, or missing.
    pub fn count(&mut self, what: &'static str, max: usize) -> Result<usize, Malformed> {
        match self.u8(what)? {
            count if usize::from(count) <= max => Ok(count.into()),
            count => Err(Malformed::Range { what, value: count.into() }),
        }
    }

    /// A text of `max` bytes at the most, its length before it.
    ///
    /// # Errors
    /// When it is longer, or ends too early, or is not UTF-8.
    pub fn text(&mut self, what: &'static str, max: usize) -> Result<&'a str, Malformed> {
        let length = self.count(what, max)?;
        core::str::from_utf8(self.bytes(length, what)?).map_err(|_| Malformed::Text(what))
    }

    /// An address that a node can have.
    ///
    /// # Errors
    /// When it is none, or none that a node can have, or ends too early.
    pub fn address(&mut self) -> Result<SocketAddr, Malformed> {
        let none = Malformed::Range { what: "an address family", value: 0 };
        self.optional_address()?.ok_or(none)
    }

    /// The same, or a zero in its place.
    ///
    /// # Errors
    /// When it is neither.
    pub fn optional_address(&mut self) -> Result<Option<SocketAddr>, Malformed> {
        let ip: IpAddr = match self.u8("an address")? {
            0 => return Ok(None),
            4 => self.array::<4>("an address")?.into(),
            6 => self.array::<16>("an address")?.into(),
            value => {
                return Err(Malformed::Range { what: "an address family", value: value.into() });
            }
        };
        if ip.is_unspecified() || ip.is_multicast() || ip.to_canonical() != ip {
            return Err(Malformed::Range { what: "an address that no node has", value: 0 });
        }
        match self.u16("a port")? {
            0 => Err(Malformed::Range { what: "a port", value: 0 }),
            port => Ok(Some(SocketAddr::new(ip, port))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const NETWORK: [u8; 2] = *b"zz";

    #[test]
    fn the_head_tells_whose_datagram_it_is() {
        let open = |bytes: &'static [u8]| Reader::open(bytes, NETWORK, 3).map(|(kind, _)| kind);
        assert_eq!(open(b"zz\x03\x07rest"), Ok(7));
        for (bytes, error) in [
            (&b""[..], Malformed::Foreign),
            (b"z", Malformed::Foreign),
            (b"zy\x03\x07", Malformed::Foreign),
            (b"zz\x03", Malformed::Truncated("the head")),
            (b"zz\x02\x07", Malformed::Version(2)),
        ] {
            assert_eq!(open(bytes), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn a_datagram_is_as_long_as_its_body_or_filled_up_with_zeros() {
        let close = |bytes: &[u8], least| {
            let mut reader = Reader(bytes);
            reader.u16("two bytes")?;
            reader.close(bytes.len(), least)
        };
        assert_eq!(close(&[1, 2], 0), Ok(()));
        assert_eq!(close(&[1, 2, 0, 0], 4), Ok(()));
        assert_eq!(close(&[1, 2, 0], 0), Err(Malformed::Length(1)));
        assert_eq!(close(&[1, 2, 0], 4), Err(Malformed::Length(1)));
        assert_eq!(close(&[1, 2, 0, 1], 4), Err(Malformed::Length(2)));
    }

    #[test]
    fn addresses_that_no_node_has_are_refused() {
        let address = |bytes: &[u8]| Reader(bytes).address();
        assert_eq!(address(&[4, 127, 0, 0, 1, 0, 80]), Ok(([127, 0, 0, 1], 80).into()));
        let range = |what, value| Err(Malformed::Range { what, value });
        assert_eq!(address(&[0]), range("an address family", 0));
        assert_eq!(address(&[5]), range("an address family", 5));
        assert_eq!(address(&[4, 0, 0, 0, 0, 0, 80]), range("an address that no node has", 0));
        assert_eq!(address(&[4, 224, 0, 0, 1, 0, 80]), range("an address that no node has", 0));
        assert_eq!(address(&[4, 127, 0, 0, 1, 0, 0]), range("a port", 0));
        assert_eq!(address(&[4, 127, 0, 0, 1, 0]), Err(Malformed::Truncated("a port")));
        let mapped = [&[6][..], &[0; 10], &[255, 255, 1, 2, 3, 4, 0, 80]].concat();
        assert_eq!(address(&mapped), range("an address that no node has", 0));
    }

    #[test]
    fn texts_are_bounded_and_utf_8() {
        let text = |bytes: &'static [u8]| Reader(bytes).text("a name", 3);
        assert_eq!(text(b"\x02ab!"), Ok("ab"));
        assert_eq!(text(b"\x04abcd"), Err(Malformed::Range { what: "a name", value: 4 }));
        assert_eq!(text(b"\x02a"), Err(Malformed::Truncated("a name")));
        assert_eq!(text(b"\x01\xff"), Err(Malformed::Text("a name")));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(v6: bool, ip: [u8; 16], port in 1..u16::MAX) {
            let ip: IpAddr = match v6 {
                true => ip.into(),
                false => [ip[0], ip[1], ip[2], ip[3]].into(),
            };
            prop_assume!(!ip.is_unspecified() && !ip.is_multicast() && ip.to_canonical() == ip);
            let (address, mut out) = (SocketAddr::new(ip, port), Vec::new());
            write_address(&address, &mut out);
            prop_assert!(out.len() <= ADDRESS_MAX);
            let mut reader = Reader(&out);
            prop_assert_eq!(reader.address(), Ok(address), "{:?}", out);
            prop_assert!(reader.rest().is_empty());
        }
    }
}
