//! The successor list: who follows a node on the ring, nearest first. Not here: when to ask them.

use machine::dht::Contact;

use super::position::{Position, position};
use super::table::Table;

/// How many successors lie within the node; longer lists go to the heap.
const INLINE: usize = 8;

/// The nodes that follow `me` clockwise, in ring order, without repetition and without `me`.
/// Empty means that `me` knows of nobody else.
#[derive(Clone, Debug)]
pub(super) struct SuccessorList<C>(Table<C, INLINE>);

impl<C: Contact> SuccessorList<C> {
    pub(super) const fn new(me: C) -> Self {
        Self(Table::new(me))
    }

    pub(super) fn as_slice(&self) -> &[C] {
        &self.0
    }

    /// The nearest one.
    pub(super) fn head(&self) -> Option<C> {
        self.0.first().copied()
    }

    /// Becomes `head` followed by what `head` says follows it, cut to `limit` entries and at the
    /// first that breaks the order of the ring: nobody's word puts `me`, a repetition or a node
    /// from before into the list.
    pub(super) fn adopt(&mut self, me: C, head: C, rest: &[C], limit: usize) {
        let list = core::iter::once(&head).chain(rest).take(limit);
        if self.0.iter().eq(list) {
            return;
        }
        self.0.clear();
        let here = position(me);
        let mut last = 0;
        for &contact in core::iter::once(&head).chain(rest).take(limit) {
            let distance = here.to(position(contact));
            if distance <= last {
                break;
            }
            last = distance;
            self.0.push(contact);
        }
    }

    /// Breaks the order, as a defect that tests plant: the nearest becomes the last.
    pub(super) fn rotate(&mut self) {
        if let Some(head) = self.head() {
            self.0.remove(0, 1);
            self.0.push(head);
        }
    }

    /// Takes out `contact`; whether it was there.
    pub(super) fn remove(&mut self, contact: C) -> bool {
        let at = self.0.iter().position(|&entry| entry == contact);
        if let Some(at) = at {
            self.0.remove(at, at + 1);
        }
        at.is_some()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The last one at a distance from `here` below `limit` that has not `failed`.
    pub(super) fn closest_preceding(&self, here: Position, limit: u128, failed: &[C]) -> Option<C> {
        let end = self.0.partition_point(|&contact| here.to(position(contact)) < limit);
        self.0[..end].iter().rev().find(|contact| !failed.contains(contact)).copied()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}
