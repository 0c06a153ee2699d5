//! Pastry (Rowstron and Druschel, Middleware 2001): each hop resolves another digit of the key, by
//! the nearest node that does, until the leaf set of a node covers the key.
//!
//! Here live the tables of a node. Not here: digits, tables and walks, which are [`prefix`]'s, and
//! requests, values and their copies, which are [`crate::overlay`]'s.

mod config;
mod leaves;
mod message;
#[cfg(test)]
mod tests;

mod topology;
mod wired;

use alloc::vec::Vec;
use core::cell::Cell;

use machine::dht::{Contact, Key};

use crate::overlay::{self, Overlay, Route, Topology};
use crate::prefix::{self, Core, Entry};

pub use config::{Config, Fault, LEAVES_MAX};
pub use leaves::Leaves;
pub use message::{Leaf, LeafAsk};

/// A Pastry node.
pub type Pastry<C> = Overlay<Tables<C>>;
/// What Pastry nodes say.
pub type Message<C> = overlay::Message<C, prefix::Said<C, Leaf<C>>>;

/// Whom a Pastry node knows.
pub struct Tables<C> {
    core: Core<C>,
    leaves: Leaves<C>,
    /// Those with the shortest round trips, whatever their place: the neighbourhood set.
    near: Vec<(u32, C)>,
    /// The next leaf that is asked for its leaves.
    next_leaf: u8,
    /// Varies what randomised routing chooses.
    salt: Cell<u32>,
}

impl<C: Contact> Tables<C> {
    /// The leaf set.
    #[must_use]
    pub const fn leaves(&self) -> &Leaves<C> {
        &self.leaves
    }

    /// The routing table.
    #[must_use]
    pub fn entries(&self) -> &[Entry<C>] {
        self.core.table.entries()
    }

    /// The neighbourhood set, the nearest first.
    pub fn neighbourhood(&self) -> impl Iterator<Item = C> + '_ {
        self.near.iter().map(|&(_, who)| who)
    }

    /// Everybody known, each once.
    #[must_use]
    pub fn known(&self) -> Vec<C> {
        let table = self.entries().iter().map(|it| it.contact);
        let mut all: Vec<C> = table.chain(self.leaves.iter()).chain(self.neighbourhood()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl<C: Contact> Pastry<C> {
    /// Whom it passes a lookup of `key` on to; `None` if it is responsible itself.
    #[must_use]
    pub fn next_hop(&self, key: &Key) -> Option<C> {
        match Tables::route(self, key, 0) {
            Route::Owners(_) => None,
            Route::Next { nodes, .. } => nodes.first().copied(),
        }
    }
}
