//! What Pastry nodes say of their leaf sets.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::config::LEAVES_MAX;
use crate::chord::Peer;
use crate::overlay::wire::{Contacts, encode_list};
use crate::overlay::{Malformed, Reader, Speech};
use crate::prefix::{ASKS_CONTACTS, OWN_KIND};

/// What only Pastry nodes say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaf<C> {
    /// Who is beside you?
    GetLeaves,
    /// These are.
    Leaves {
        /// The leaf set, each once.
        contacts: Box<[C]>,
    },
}

impl<C> Leaf<C> {
    /// The same among other contacts.
    #[must_use]
    pub fn map<D>(self, to: impl Fn(C) -> D) -> Leaf<D> {
        match self {
            Self::GetLeaves => Leaf::GetLeaves,
            Self::Leaves { contacts } => {
                Leaf::Leaves { contacts: contacts.into_iter().map(to).collect() }
            }
        }
    }
}

/// What a Pastry node waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafAsk {
    /// A leaf set.
    Leaves,
}

impl Speech for Leaf<Peer> {
    const MAGIC: [u8; 2] = *b"pa";

    fn kind(&self) -> u8 {
        match self {
            Self::GetLeaves => OWN_KIND,
            Self::Leaves { .. } => OWN_KIND + 1,
        }
    }

    fn least_length(&self) -> usize {
        match self {
            Self::GetLeaves => ASKS_CONTACTS,
            Self::Leaves { .. } => 0,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::GetLeaves => {}
            Self::Leaves { contacts } => encode_list(contacts, LEAVES_MAX, out),
        }
    }

    fn decode(kind: u8, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match kind.wrapping_sub(OWN_KIND) {
            0 => Ok(Self::GetLeaves),
            1 => Ok(Self::Leaves { contacts: reader.list(LEAVES_MAX)? }),
            _ => Err(Malformed::Kind(kind)),
        }
    }
}
