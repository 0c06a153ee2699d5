//! The finger table, kept as the distinct nodes in it. Not here: when to look for better ones.
//!
//! Finger `i` of a node is the first node at a distance of `2^i` or more. Nodes at distances from
//! `2^k` to `2^(k+1)` can only be fingers if they are the first there, so one entry for each `k` is
//! the whole table: finger `i` is the first entry at or beyond `2^i`. Of a million nodes that is
//! about 20 entries instead of 128.

use machine::dht::Contact;

use super::position::{BITS, Position, position};
use super::table::Table;

/// How many fingers lie within the node; more go to the heap.
const INLINE: usize = 24;

/// Distinct fingers of a node, nearest first.
#[derive(Clone, Debug)]
pub(super) struct FingerTable<C>(Table<C, INLINE>);

impl<C: Contact> FingerTable<C> {
    pub(super) const fn new(me: C) -> Self {
        Self(Table::new(me))
    }

    pub(super) fn as_slice(&self) -> &[C] {
        &self.0
    }

    /// How many entries are nearer than `limit`.
    fn below(&self, here: Position, limit: u128) -> usize {
        self.0.partition_point(|&contact| here.to(position(contact)) < limit)
    }

    /// Finger `index`, as far as it is known.
    pub(super) fn finger(&self, here: Position, index: u32) -> Option<C> {
        self.0.get(self.below(here, 1 << index)).copied()
    }

    /// Learns that finger `index` is `contact`: whoever was thought to be in between is gone, and
    /// so is the former finger of the same span.
    pub(super) fn set(&mut self, here: Position, index: u32, contact: C) {
        let distance = here.to(position(contact));
        if distance < 1 << index {
            // The whole ring has nobody so far: what was believed to be there is not.
            self.0.remove(self.below(here, 1 << index), self.0.len());
            return;
        }
        let span = distance.ilog2();
        let start = self.below(here, 1 << index);
        let end = if span + 1 == BITS { self.0.len() } else { self.below(here, 1 << (span + 1)) };
        if end > start {
            self.0.replace(start, contact);
            self.0.remove(start + 1, end);
        } else {
            self.0.insert(start, contact);
        }
    }

    /// Appends a finger that is beyond all others.
    pub(super) fn push(&mut self, contact: C) {
        self.0.push(contact);
    }

    /// Takes out `contact`; whether it was there.
    pub(super) fn remove(&mut self, here: Position, contact: C) -> bool {
        let at = self.below(here, here.to(position(contact)));
        let found = self.0.get(at) == Some(&contact);
        if found {
            self.0.remove(at, at + 1);
        }
        found
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The last one at a distance from `here` below `limit` that has not `failed`.
    pub(super) fn closest_preceding(&self, here: Position, limit: u128, failed: &[C]) -> Option<C> {
        let before = &self.0[..self.below(here, limit)];
        before.iter().rev().find(|contact| !failed.contains(contact)).copied()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use machine::dht::Key;
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    struct At(u128);

    impl machine::Contact for At {
        type Host = u128;
        fn host(&self) -> u128 {
            self.0
        }
    }

    impl Contact for At {
        fn key(&self) -> Key {
            Key::new(self.0, 0)
        }
    }

    /// Finger `index` of `me` among `others`, by definition.
    fn finger(me: At, others: &[At], index: u32) -> Option<At> {
        let start = Position::new(me.0).plus(1 << index);
        let nearest =
            others.iter().min_by_key(|other| start.to(Position::new(other.0))).copied()?;
        (Position::new(me.0).to(Position::new(nearest.0)) >= 1 << index).then_some(nearest)
    }

    proptest! {
        #[test]
        fn distinct_entries_stand_for_the_whole_table(
            me: u128,
            old in prop::collection::vec((0u32..128, any::<u128>()), 1..60),
            new in prop::collection::vec((0u32..128, any::<u128>()), 1..60),
        ) {
            let here = Position::new(me);
            let mut table = FingerTable::new(At(me));
            // Twice, so that the second round corrects what has become wrong.
            for ring in [old, new] {
                let others: Vec<_> = ring
                    .iter()
                    .map(|&(shift, random)| At(here.plus(random >> shift | 1).number()))
                    .collect();
                for index in 0..BITS {
                    if let Some(contact) = finger(At(me), &others, index) {
                        table.set(here, index, contact);
                    } else {
                        table.set(here, index, others[0]);
                    }
                }
                for index in 0..BITS {
                    prop_assert_eq!(table.finger(here, index), finger(At(me), &others, index));
                }
                let distances: Vec<_> =
                    table.as_slice().iter().map(|other| here.to(Position::new(other.0))).collect();
                prop_assert!(distances.is_sorted() && table.as_slice().len() <= others.len());
            }
        }
    }
}
