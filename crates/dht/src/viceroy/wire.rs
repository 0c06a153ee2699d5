//! What Viceroy nodes say, in bytes.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Levelled, SUCCESSORS_MAX, Said};
use crate::chord::Peer;
use crate::overlay::wire::{Contacts, PEER_MAX, encode_peer};
use crate::overlay::{Malformed, Reader, Speech};

/// Longest answer to whoever asks who is beside one.
const BESIDE_MAX: usize = 8 + 1 + 1 + PEER_MAX + 1 + SUCCESSORS_MAX * (PEER_MAX + 1);

impl Speech for Said<Peer> {
    const MAGIC: [u8; 2] = *b"vi";

    fn kind(&self) -> u8 {
        match self {
            Self::WhoIsBeside => 32,
            Self::Beside { .. } => 33,
            Self::Notify => 34,
            Self::Level { .. } => 35,
            Self::Suggest { .. } => 36,
            Self::Goodbye { .. } => 37,
        }
    }

    fn least_length(&self) -> usize {
        match self {
            // It makes its receiver ask, and the asked one answer.
            Self::WhoIsBeside | Self::Suggest { .. } => BESIDE_MAX.div_ceil(3),
            _ => 0,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Beside { level, predecessor, successors } => {
                out.push(*level);
                encode_beside(predecessor.as_ref(), successors, out);
            }
            Self::Level { level } => out.push(*level),
            Self::Suggest { contact, hops } => {
                encode_peer(contact, out);
                out.push(*hops);
            }
            Self::Goodbye { predecessor, successors } => {
                encode_beside(predecessor.as_ref(), successors, out);
            }
            Self::WhoIsBeside | Self::Notify => {}
        }
    }

    fn decode(kind: u8, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match kind {
            32 => Self::WhoIsBeside,
            33 => {
                let level = level(reader)?;
                let (predecessor, successors) = beside(reader)?;
                Self::Beside { level, predecessor, successors }
            }
            34 => Self::Notify,
            35 => Self::Level { level: level(reader)? },
            36 => Self::Suggest { contact: reader.peer()?, hops: reader.u8("the hops")? },
            37 => {
                let (predecessor, successors) = beside(reader)?;
                Self::Goodbye { predecessor, successors }
            }
            _ => return Err(Malformed::Kind(kind)),
        })
    }
}

fn encode_beside(predecessor: Option<&Peer>, successors: &[Levelled<Peer>], out: &mut Vec<u8>) {
    out.push(u8::from(predecessor.is_some()));
    if let Some(predecessor) = predecessor {
        encode_peer(predecessor, out);
    }
    let successors = &successors[..successors.len().min(SUCCESSORS_MAX)];
    out.push(successors.len() as u8);
    for it in successors {
        encode_peer(&it.contact, out);
        out.push(it.level);
    }
}

type Beside = (Option<Peer>, Box<[Levelled<Peer>]>);

fn beside(reader: &mut Reader<'_>) -> Result<Beside, Malformed> {
    let predecessor = match reader.flag("the predecessor flag")? {
        true => Some(reader.peer()?),
        false => None,
    };
    let count = reader.count("successors", SUCCESSORS_MAX)?;
    let list = (0..count).map(|_| Ok(Levelled { contact: reader.peer()?, level: level(reader)? }));
    Ok((predecessor, list.collect::<Result<_, Malformed>>()?))
}

fn level(reader: &mut Reader<'_>) -> Result<u8, Malformed> {
    match reader.u8("a level")? {
        level @ 1..=63 => Ok(level),
        value => Err(Malformed::Range { what: "a level", value: value.into() }),
    }
}
