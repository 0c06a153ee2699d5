//! One file of one user as bytes: fixed fields that change, then what does not.
//!
//! ```text
//! len:u16 id:u32 owner:u32 next:u32 prev:u32 kind:u8 size bitrate frequency seconds hash[16|20] name[]
//! ```
//! The four measures have seven bits a byte; `kind` is the media type, and 16 if the hash is SHA-1.

use alloc::vec::Vec;

use crate::napster::{FileHash, MediaType, Query, SharedFile, Text};

/// No file.
pub(super) const NONE: u32 = u32::MAX;

const ID: usize = 2;
const OWNER: usize = 6;
const NEXT: usize = 10;
const PREV: usize = 14;
const KIND: usize = 18;
const FIXED: usize = 19;
const IS_SHA1: u8 = 16;

/// Bytes of the record that lies at the front of `bytes`.
pub(super) fn len(bytes: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn set_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Number of the file.
pub(super) fn id(bytes: &[u8]) -> u32 {
    u32_at(bytes, ID)
}

/// Number of its owner.
pub(super) fn owner(bytes: &[u8]) -> u32 {
    u32_at(bytes, OWNER)
}

/// The next and the previous file of the same content.
pub(super) fn links(bytes: &[u8]) -> (u32, u32) {
    (u32_at(bytes, NEXT), u32_at(bytes, PREV))
}

pub(super) fn set_id(bytes: &mut [u8], id: u32) {
    set_u32(bytes, ID, id);
}

pub(super) fn set_next(bytes: &mut [u8], next: u32) {
    set_u32(bytes, NEXT, next);
}

pub(super) fn set_prev(bytes: &mut [u8], prev: u32) {
    set_u32(bytes, PREV, prev);
}

/// Writes a record into `out`, which is emptied first. Names are shorter than 64 KiB less the rest.
pub(super) fn write(out: &mut Vec<u8>, id: u32, owner: u32, next: u32, file: &SharedFile) {
    out.clear();
    out.extend_from_slice(&[0; 2]);
    for number in [id, owner, next, NONE] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let is_sha1 = matches!(file.hash, FileHash::Sha1(_));
    out.push(file.media as u8 | if is_sha1 { IS_SHA1 } else { 0 });
    for number in [file.size, file.bitrate.into(), file.frequency.into(), file.seconds.into()] {
        write_number(out, number);
    }
    out.extend_from_slice(file.hash.as_bytes());
    let name = file.name.as_bytes();
    let room = usize::from(u16::MAX) - out.len();
    out.extend_from_slice(&name[..name.len().min(room)]);
    let len = out.len() as u16;
    out[..2].copy_from_slice(&len.to_le_bytes());
}

fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    while let Some((&byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

/// A record, taken apart; the hash and the name are still bytes.
pub(super) struct Record<'a> {
    pub media: MediaType,
    pub size: u64,
    pub bitrate: u32,
    pub frequency: u32,
    pub seconds: u32,
    pub hash: &'a [u8],
    pub name: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads the record at the front of `bytes`.
    pub(super) fn read(bytes: &'a [u8]) -> Self {
        let bytes = &bytes[..len(bytes)];
        let kind = bytes[KIND];
        let mut rest = &bytes[FIXED..];
        let size = read_number(&mut rest);
        let [bitrate, frequency, seconds] = [(); 3].map(|()| read_number(&mut rest) as u32);
        let (hash, name) = rest.split_at(if kind & IS_SHA1 != 0 { 20 } else { 16 });
        let media = MediaType::ALL[usize::from(kind & 7).min(MediaType::ALL.len() - 1)];
        Self { media, size, bitrate, frequency, seconds, hash, name }
    }

    pub(super) fn is_admitted(&self, query: &Query) -> bool {
        query.admits_measures(self.media, self.size, self.bitrate, self.frequency)
    }

    pub(super) fn file(&self) -> SharedFile {
        SharedFile {
            name: Text::from(self.name),
            hash: FileHash::from_bytes(self.hash).unwrap_or(FileHash::Md5([0; 16])),
            size: self.size,
            bitrate: self.bitrate,
            frequency: self.frequency,
            seconds: self.seconds,
            media: self.media,
        }
    }
}
