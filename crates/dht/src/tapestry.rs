//! Tapestry (Zhao et al., JSAC 22(1), 2004; joins as Hildrum et al., SPAA 2002): each hop resolves
//! another digit of the key, and where nobody has the digit, the next one that somebody has. Who
//! holds a value publishes pointers to it along the way to its root.
//!
//! Here live the tables of a node. Not here: digits, tables and walks, which are [`prefix`]'s, and
//! requests and values, which are [`crate::overlay`]'s.

mod config;
mod message;
mod multicast;
mod pointers;
#[cfg(test)]
mod tests;
mod topology;
mod wired;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use machine::dht::{Contact, Key};

use crate::overlay::{self, Overlay};
use crate::prefix::{self, Core, Entry};

pub use config::{Config, Fault};
pub use message::{PointerAsk, Pointing};
pub use pointers::{HOLDERS_MAX, POINTERS_MAX};

use multicast::Cast;
use pointers::Pointers;

/// A Tapestry node.
pub type Tapestry<C> = Overlay<Tables<C>>;
/// What Tapestry nodes say.
pub type Message<C> = overlay::Message<C, prefix::Said<C, Pointing<C>>>;

/// Whom a Tapestry node knows, and which objects.
pub struct Tables<C> {
    core: Core<C>,
    pointers: Pointers<C>,
    /// Values that this node sees to, and who else should hold them.
    charge: BTreeMap<Key, Vec<C>>,
    /// The last key that was published.
    cursor: Option<Key>,
    casts: Vec<Cast<C>>,
    /// Nodes that were about to join when they were heard of.
    newcomers: Vec<C>,
    /// How far a join has come: whether those near are told, and those named have answered.
    told: bool,
    answered: bool,
}

impl<C: Contact> Tables<C> {
    /// The neighbour table, of each slot the primary first.
    #[must_use]
    pub fn entries(&self) -> &[Entry<C>] {
        self.core.table.entries()
    }

    /// Who is known to hold `key`.
    #[must_use]
    pub fn holders(&self, key: &Key) -> Vec<C> {
        self.pointers.holders(key)
    }

    /// Of how many keys it has pointers.
    #[must_use]
    pub fn pointers(&self) -> usize {
        self.pointers.len()
    }
}

impl<C: Contact> Tapestry<C> {
    /// Whom it passes a message for `key` on to once `level` digits are resolved, and how many are
    /// then; `None` if it is the root.
    #[must_use]
    pub fn next_hop(&self, key: &Key, level: u8) -> Option<(C, u8)> {
        let (level, ways) = topology::surrogate(self, key, level, None)?;
        Some((*ways.first()?, level))
    }
}
