//! What Tapestry nodes say of objects and of newcomers.

use alloc::boxed::Box;
use alloc::vec::Vec;

use machine::dht::Key;

use crate::chord::Peer;
use crate::held::Fields;
use crate::overlay::wire::{Contacts, PEER_MAX, encode_list, encode_peer};
use crate::overlay::{LIST_MAX, Malformed, Reader, Speech};
use crate::prefix::OWN_KIND;

/// What only Tapestry nodes say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pointing<C> {
    /// `holder` has the value of `key`: remember it, and tell the next one on the way to its root.
    Publish {
        /// The name.
        key: Key,
        /// Who has it.
        holder: C,
        /// Digits resolved at the receiver.
        level: u8,
        /// For how long.
        seconds: u16,
    },
    /// It is remembered.
    Taken,
    /// The root of `key` knows these.
    Published {
        /// The name.
        key: Key,
        /// Who holds it.
        holders: Box<[C]>,
        /// Who else could.
        spare: Box<[C]>,
    },
    /// `newcomer` joins: tell everybody who shares `level` digits with you.
    Multicast {
        /// Who.
        newcomer: C,
        /// How many digits it shares with each of them, and nobody more.
        shared: u8,
        /// How many digits.
        level: u8,
    },
    /// They have been told.
    Multicasted,
    /// They are being told.
    Busy,
}

impl<C> Pointing<C> {
    /// The same among other contacts.
    #[must_use]
    pub fn map<D>(self, to: impl Fn(C) -> D) -> Pointing<D> {
        match self {
            Self::Publish { key, holder, level, seconds } => {
                Pointing::Publish { key, holder: to(holder), level, seconds }
            }
            Self::Taken => Pointing::Taken,
            Self::Published { key, holders, spare } => Pointing::Published {
                key,
                holders: holders.into_iter().map(&to).collect(),
                spare: spare.into_iter().map(&to).collect(),
            },
            Self::Multicast { newcomer, shared, level } => {
                Pointing::Multicast { newcomer: to(newcomer), shared, level }
            }
            Self::Multicasted => Pointing::Multicasted,
            Self::Busy => Pointing::Busy,
        }
    }
}

/// What a Tapestry node waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointerAsk<C> {
    /// That a pointer is taken.
    Publish {
        /// The name.
        key: Key,
        /// Who holds it.
        holder: C,
        /// Digits resolved here.
        here: u8,
        /// Digits resolved at the receiver.
        level: u8,
        /// For how long.
        seconds: u16,
    },
    /// That others are told of a newcomer.
    Multicast {
        /// Who joins.
        newcomer: C,
        /// Digits that it shares with them.
        shared: u8,
        /// Digits that those who are told share.
        level: u8,
        /// Who wants them to be told.
        parent: C,
    },
}

impl<C: Copy> PointerAsk<C> {
    /// How it is asked.
    pub(super) const fn request(&self) -> Pointing<C> {
        match *self {
            Self::Publish { key, holder, level, seconds, .. } => {
                Pointing::Publish { key, holder, level, seconds }
            }
            Self::Multicast { newcomer, shared, level, .. } => {
                Pointing::Multicast { newcomer, shared, level }
            }
        }
    }
}

/// The longest word of a root, a third of which a publication has.
const PUBLISHED_MAX: usize = 8 + 20 + 2 + 2 * LIST_MAX * PEER_MAX;

impl Speech for Pointing<Peer> {
    const MAGIC: [u8; 2] = *b"ta";

    fn kind(&self) -> u8 {
        OWN_KIND
            + match self {
                Self::Publish { .. } => 0,
                Self::Taken => 1,
                Self::Published { .. } => 2,
                Self::Multicast { .. } => 3,
                Self::Multicasted => 4,
                Self::Busy => 5,
            }
    }

    fn least_length(&self) -> usize {
        match self {
            Self::Publish { .. } => PUBLISHED_MAX.div_ceil(3),
            _ => 0,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Publish { key, holder, level, seconds } => {
                out.extend(key.0);
                encode_peer(holder, out);
                out.push(*level);
                out.extend(seconds.to_be_bytes());
            }
            Self::Published { key, holders, spare } => {
                out.extend(key.0);
                encode_list(holders, LIST_MAX, out);
                encode_list(spare, LIST_MAX, out);
            }
            Self::Multicast { newcomer, shared, level } => {
                encode_peer(newcomer, out);
                out.extend([*shared, *level]);
            }
            Self::Taken | Self::Multicasted | Self::Busy => {}
        }
    }

    fn decode(kind: u8, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match kind.wrapping_sub(OWN_KIND) {
            0 => {
                let (key, holder) = (reader.key()?, reader.peer()?);
                let level = reader.u8("the level")?;
                Self::Publish { key, holder, level, seconds: reader.u16("a lifetime")? }
            }
            1 => Self::Taken,
            2 => {
                let (key, holders) = (reader.key()?, reader.list(LIST_MAX)?);
                Self::Published { key, holders, spare: reader.list(LIST_MAX)? }
            }
            3 => {
                let (newcomer, shared) = (reader.peer()?, reader.u8("the shared digits")?);
                Self::Multicast { newcomer, shared, level: reader.u8("the level")? }
            }
            4 => Self::Multicasted,
            5 => Self::Busy,
            _ => return Err(Malformed::Kind(kind)),
        })
    }
}
