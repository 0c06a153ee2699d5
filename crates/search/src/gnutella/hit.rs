//! The payload of query hits (Gnutella 0.6, section 2.2.6): files, what the servent says of itself
//! and its name.

use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};

use super::reader::Reader;
use super::{Extensions, Guid, Urn, Vendor, WireError};

/// One file of a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// How the servent numbers it.
    pub index: u32,
    /// Its size in bytes as far as 32 bits can say; see [`len`](Self::len).
    pub size: u32,
    /// Its name; usually UTF-8.
    pub name: &'a [u8],
    /// What else is said of it, as it stands.
    pub extra: &'a [u8],
}

impl<'a> Record<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let (index, size) = (reader.u32()?, reader.u32()?);
        Ok(Self { index, size, name: reader.text()?, extra: reader.text()? })
    }

    /// What else is said of it.
    #[must_use]
    pub fn extensions(&self) -> Extensions<'a> {
        Extensions::new(self.extra)
    }

    /// Its size in bytes, of files larger than 4 GiB too (GGEP `LF`).
    #[must_use]
    pub fn len(&self) -> u64 {
        let large = self.extensions().item(b"LF").and_then(|item| item.value().ok());
        let large = large.filter(|value| (1..=8).contains(&value.len()));
        large.map_or(u64::from(self.size), |value| {
            value.iter().rev().fold(0, |len, byte| len << 8 | u64::from(*byte))
        })
    }

    /// Whether it is of no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its names by hash.
    pub fn urns(&self) -> impl Iterator<Item = Urn> + 'a {
        self.extensions().urns()
    }
}

/// The files of a hit, known to be as many as it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let mut reader = Reader(self.0);
        let record = Record::read(&mut reader).ok()?;
        self.0 = reader.0;
        Some(record)
    }
}

/// What the servent says of itself behind the files (the "QHD", or extended query hit descriptor).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer<'a> {
    /// Whose program it is.
    pub vendor: Vendor,
    /// What all vendors understand: [`HitFlags`], and perhaps the length of XML.
    pub open: &'a [u8],
    /// What only that vendor understands, but that GGEP stands here too.
    pub private: &'a [u8],
}

impl<'a> Trailer<'a> {
    /// The flags, if there are any.
    #[must_use]
    pub fn flags(&self) -> Option<HitFlags> {
        self.open.first_chunk().map(|bytes| HitFlags::from_bytes(*bytes))
    }

    /// GGEP among what only the vendor understands, if the flags say that there is some.
    #[must_use]
    pub fn extensions(&self) -> Option<Extensions<'a>> {
        self.flags().filter(|flags| flags.ggep)?;
        let start = self.private.iter().position(|byte| *byte == super::ggep::MAGIC)?;
        Some(Extensions::new(&self.private[start..]))
    }
}

/// Two bytes of which one says what is known, and the other what is so; `None` is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HitFlags {
    /// The servent cannot be reached: send a push.
    pub push: Option<bool>,
    /// All of its upload slots are taken.
    pub busy: Option<bool>,
    /// It has uploaded a file with success.
    pub uploaded: Option<bool>,
    /// Its speed is measured, not set by its user.
    pub measured: Option<bool>,
    /// There is GGEP behind this.
    pub ggep: bool,
}

impl HitFlags {
    const PUSH: u8 = 0x01;
    const BUSY: u8 = 0x04;
    const UPLOADED: u8 = 0x08;
    const MEASURED: u8 = 0x10;
    const GGEP: u8 = 0x20;

    /// What the first two bytes of the open part say. For a push the two have changed places.
    #[must_use]
    pub const fn from_bytes([first, second]: [u8; 2]) -> Self {
        const fn flag(known: u8, set: u8, bit: u8) -> Option<bool> {
            if known & bit == 0 { None } else { Some(set & bit != 0) }
        }
        Self {
            push: flag(second, first, Self::PUSH),
            busy: flag(first, second, Self::BUSY),
            uploaded: flag(first, second, Self::UPLOADED),
            measured: flag(first, second, Self::MEASURED),
            ggep: first & second & Self::GGEP != 0,
        }
    }

    /// The first two bytes of the open part.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 2] {
        let known = |flag: Option<bool>, bit| if flag.is_some() { bit } else { 0 };
        let set = |flag: Option<bool>, bit| if flag == Some(true) { bit } else { 0 };
        let rest = [
            (self.busy, Self::BUSY),
            (self.uploaded, Self::UPLOADED),
            (self.measured, Self::MEASURED),
            (Some(self.ggep).filter(|there| *there), Self::GGEP),
        ];
        let mut first = set(self.push, Self::PUSH);
        let mut second = known(self.push, Self::PUSH);
        for (flag, bit) in rest {
            first |= known(flag, bit);
            second |= set(flag, bit);
        }
        [first, second]
    }
}

/// An answer to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryHit<'a> {
    /// Where the servent accepts connections.
    pub addr: SocketAddrV4,
    /// Its speed in kbit/s, as it says.
    pub speed: u32,
    /// How many files follow.
    pub count: u8,
    /// The files.
    pub records: Records<'a>,
    /// What it says of itself.
    pub trailer: Option<Trailer<'a>>,
    /// Its name, for pushes.
    pub servent: Guid,
}

impl<'a> QueryHit<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// If it holds fewer files than it counts, a file does not end, the trailer is cut off, or
    /// there is no name at the end.
    pub fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let (body, servent) = payload.split_last_chunk::<16>().ok_or(WireError::Short)?;
        let mut reader = Reader(body);
        let count = reader.u8()?;
        let port = reader.u16()?;
        let ip: Ipv4Addr = reader.ip()?;
        let speed = reader.u32()?;
        let from = reader.0;
        for _ in 0..count {
            Record::read(&mut reader)?;
        }
        let records = Records(&from[..from.len() - reader.0.len()]);
        let trailer = match reader.0 {
            [] => None,
            _ => Some(trailer(&mut reader).ok_or(WireError::Trailer)?),
        };
        let addr = SocketAddrV4::new(ip, port);
        Ok(Self { addr, speed, count, records, trailer, servent: Guid(*servent) })
    }

    /// The name of the servent in a payload that is only passed on.
    #[must_use]
    pub fn servent(payload: &[u8]) -> Option<Guid> {
        payload.last_chunk().copied().map(Guid)
    }

    /// The payload.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let builder = HitBuilder {
            addr: self.addr,
            speed: self.speed,
            count: self.count,
            records: self.records.0.to_vec(),
        };
        builder.finish(self.trailer.as_ref(), self.servent)
    }
}

fn trailer<'a>(reader: &mut Reader<'a>) -> Option<Trailer<'a>> {
    let vendor = Vendor(reader.array().ok()?);
    let open_len = reader.u8().ok()?;
    let open = reader.take(usize::from(open_len)).ok()?;
    Some(Trailer { vendor, open, private: reader.0 })
}

/// Gathers the files of a hit.
#[derive(Clone, Debug)]
pub struct HitBuilder {
    addr: SocketAddrV4,
    speed: u32,
    count: u8,
    records: Vec<u8>,
}

impl HitBuilder {
    /// A hit without files, of a servent at `addr` with `speed` kbit/s.
    #[must_use]
    pub const fn new(addr: SocketAddrV4, speed: u32) -> Self {
        Self { addr, speed, count: 0, records: Vec::new() }
    }

    /// Bytes of the files so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no file yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a file.
    ///
    /// # Errors
    /// If there are 255 already, or a text of it holds a NUL.
    pub fn add(&mut self, record: &Record<'_>) -> Result<(), WireError> {
        let count = self.count.checked_add(1).ok_or(WireError::Inexpressible)?;
        if record.name.contains(&0) || record.extra.contains(&0) {
            return Err(WireError::Inexpressible);
        }
        self.count = count;
        self.records.extend_from_slice(&record.index.to_le_bytes());
        self.records.extend_from_slice(&record.size.to_le_bytes());
        for text in [record.name, record.extra] {
            self.records.extend_from_slice(text);
            self.records.push(0);
        }
        Ok(())
    }

    /// The payload. Of the trailer's open part no more than 255 bytes are taken.
    #[must_use]
    pub fn finish(self, trailer: Option<&Trailer<'_>>, servent: Guid) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + self.records.len());
        out.push(self.count);
        out.extend_from_slice(&self.addr.port().to_le_bytes());
        out.extend_from_slice(&self.addr.ip().octets());
        out.extend_from_slice(&self.speed.to_le_bytes());
        out.extend_from_slice(&self.records);
        if let Some(trailer) = trailer {
            let open = &trailer.open[..trailer.open.len().min(255)];
            out.extend_from_slice(&trailer.vendor.0);
            out.push(open.len() as u8);
            out.extend_from_slice(open);
            out.extend_from_slice(trailer.private);
        }
        out.extend_from_slice(&servent.0);
        out
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    const ADDR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 6_346);

    fn one_record() -> Vec<u8> {
        let mut builder = HitBuilder::new(ADDR, 100);
        builder.add(&Record { index: 1, size: 2, name: b"reef.txt", extra: b"" }).unwrap();
        builder.finish(None, Guid([9; 16]))
    }

    #[test]
    fn gn_07_hits_that_count_more_than_they_hold_are_refused() {
        let good = one_record();
        assert!(QueryHit::parse(&good).is_ok());
        let mut lies = good.clone();
        lies[0] = 255;
        assert!(QueryHit::parse(&lies).is_err());
        // Without the NUL behind the name, or the second one, or the name of the servent.
        let end = good.len() - 16;
        for gone in [vec![end - 1], vec![end - 2, end - 1]] {
            let kept = good.iter().enumerate().filter(|(at, _)| !gone.contains(at));
            let cut: Vec<u8> = kept.map(|(_, byte)| *byte).collect();
            assert_eq!(QueryHit::parse(&cut), Err(WireError::Unterminated));
        }
        assert!(QueryHit::parse(&good[..end]).is_err());
        assert_eq!(QueryHit::parse(&[0; 15]), Err(WireError::Short));
    }

    #[test]
    fn gn_07_trailers_that_are_cut_off_are_refused() {
        let good = one_record();
        let (body, servent) = good.split_at(good.len() - 16);
        for trailer in [&b"GTK"[..], b"GTKG", b"GTKG\x02\x2c", b"GTKG\xff"] {
            let bytes = [body, trailer, servent].concat();
            assert_eq!(QueryHit::parse(&bytes), Err(WireError::Trailer));
        }
        let bytes = [body, b"GTKG\x00", servent].concat();
        assert_eq!(QueryHit::parse(&bytes).unwrap().trailer.unwrap().flags(), None);
    }

    #[test]
    fn flags_know_what_they_do_not_know() {
        let table = [
            ([0x00, 0x00], HitFlags::default()),
            ([0x01, 0x01], HitFlags { push: Some(true), ..HitFlags::default() }),
            ([0x00, 0x01], HitFlags { push: Some(false), ..HitFlags::default() }),
            ([0x04, 0x00], HitFlags { busy: Some(false), ..HitFlags::default() }),
            (
                [0x18, 0x08],
                HitFlags { uploaded: Some(true), measured: Some(false), ..HitFlags::default() },
            ),
            ([0x20, 0x20], HitFlags { ggep: true, ..HitFlags::default() }),
        ];
        for (bytes, flags) in table {
            assert_eq!(HitFlags::from_bytes(bytes), flags);
            assert_eq!(flags.to_bytes(), bytes);
        }
    }

    #[test]
    fn sizes_beyond_four_gib_are_told() {
        let mut block = super::super::ggep::Builder::without_zeros();
        block.add(b"LF", &[0, 0, 0, 0, 2]).unwrap();
        let extra = block.finish();
        let record = Record { index: 0, size: u32::MAX, name: b"x", extra: &extra };
        assert_eq!(record.len(), 2 << 32);
        assert_eq!(Record { extra: b"", ..record }.len(), u64::from(u32::MAX));
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(
            files in prop::collection::vec((any::<u32>(), any::<u32>(), "[^\0]{0,9}", "[^\0]{0,9}"), 0..20),
            vendor: Option<[u8; 4]>,
            open in prop::collection::vec(any::<u8>(), 0..255),
            private: Vec<u8>,
            servent: [u8; 16],
        ) {
            let mut builder = HitBuilder::new(ADDR, 7);
            for (index, size, name, extra) in &files {
                let (name, extra) = (name.as_bytes(), extra.as_bytes());
                builder.add(&Record { index: *index, size: *size, name, extra }).unwrap();
            }
            let trailer =
                vendor.map(|vendor| Trailer { vendor: Vendor(vendor), open: &open, private: &private });
            let bytes = builder.finish(trailer.as_ref(), Guid(servent));
            let hit = QueryHit::parse(&bytes).unwrap();
            prop_assert_eq!(hit.trailer, trailer);
            prop_assert_eq!(hit.servent, Guid(servent));
            prop_assert_eq!(QueryHit::servent(&bytes), Some(Guid(servent)));
            prop_assert_eq!(hit.records.count(), files.len());
            for (record, (index, size, name, extra)) in hit.records.zip(&files) {
                prop_assert_eq!((record.index, record.size), (*index, *size));
                prop_assert_eq!((record.name, record.extra), (name.as_bytes(), extra.as_bytes()));
            }
            prop_assert_eq!(hit.to_vec(), bytes);
        }
    }
}
