//! What Kelips nodes say, in bytes.

use alloc::vec::Vec;

use super::Said;
use super::config::{ENTRIES_MAX, TUPLES_MAX};
use super::view::{Entry, Tuple};
use crate::chord::Peer;
use crate::held::Fields;
use crate::overlay::wire::{Contacts, PEER_MAX, encode_peer};
use crate::overlay::{Malformed, Reader, Speech};

/// Longest answer to whoever asks whom one knows.
const VIEW_MAX: usize = 8 + 4 + 2 + 1 + ENTRIES_MAX * (PEER_MAX + 4);

impl Speech for Said<Peer> {
    const MAGIC: [u8; 2] = *b"ke";

    fn kind(&self) -> u8 {
        match self {
            Self::Gossip { .. } => 32,
            Self::WhoIsThere { .. } => 33,
            Self::View { .. } => 34,
            Self::Ping => 35,
            Self::Pong { .. } => 36,
            Self::Goodbye => 37,
        }
    }

    fn least_length(&self) -> usize {
        match self {
            Self::WhoIsThere { .. } => VIEW_MAX.div_ceil(3),
            _ => 0,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Gossip { entries, tuples } => {
                encode_entries(entries, out);
                let tuples = &tuples[..tuples.len().min(TUPLES_MAX)];
                out.push(tuples.len() as u8);
                for tuple in tuples {
                    out.extend(tuple.key.0);
                    encode_peer(&tuple.home, out);
                    out.extend(tuple.number.to_be_bytes());
                    out.extend(tuple.beat.to_be_bytes());
                }
            }
            Self::WhoIsThere { group, after } => {
                out.extend(group.to_be_bytes());
                out.extend(after.to_be_bytes());
            }
            Self::View { beat, entries, next } => {
                out.extend(beat.to_be_bytes());
                // A view never goes on at its beginning.
                out.extend(next.unwrap_or(0).to_be_bytes());
                encode_entries(entries, out);
            }
            Self::Pong { beat } => out.extend(beat.to_be_bytes()),
            Self::Ping | Self::Goodbye => {}
        }
    }

    fn decode(kind: u8, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match kind {
            32 => {
                let entries = entries(reader)?;
                let count = reader.count("tuples", TUPLES_MAX)?;
                let tuple = |_| {
                    let (key, home) = (reader.key()?, reader.peer()?);
                    let (number, beat) = (reader.u32("a version")?, reader.u32("a heartbeat")?);
                    Ok(Tuple { key, home, number, beat })
                };
                Self::Gossip { entries, tuples: (0..count).map(tuple).collect::<Result<_, _>>()? }
            }
            33 => Self::WhoIsThere { group: reader.u32("a group")?, after: reader.u16("a place")? },
            34 => {
                let beat = reader.u32("a heartbeat")?;
                let next = Some(reader.u16("a place")?).filter(|&next| next > 0);
                Self::View { beat, entries: entries(reader)?, next }
            }
            35 => Self::Ping,
            36 => Self::Pong { beat: reader.u32("a heartbeat")? },
            37 => Self::Goodbye,
            _ => return Err(Malformed::Kind(kind)),
        })
    }
}

fn encode_entries(entries: &[Entry<Peer>], out: &mut Vec<u8>) {
    let entries = &entries[..entries.len().min(ENTRIES_MAX)];
    out.push(entries.len() as u8);
    for entry in entries {
        encode_peer(&entry.contact, out);
        out.extend(entry.beat.to_be_bytes());
    }
}

fn entries(reader: &mut Reader<'_>) -> Result<alloc::boxed::Box<[Entry<Peer>]>, Malformed> {
    let count = reader.count("entries", ENTRIES_MAX)?;
    (0..count)
        .map(|_| Ok(Entry { contact: reader.peer()?, beat: reader.u32("a heartbeat")? }))
        .collect()
}
