//! How machines in the simulator know each other: one small number, from which a place follows.

use core::fmt;

use machine::dht::Key;

use crate::random::mix;

/// The contact of a simulated node: where in the arena it lives, and which of the nodes that have
/// lived there one after another it is.
///
/// Whoever comes back anew is the next incarnation: another node, with another [`Key`]. Messages to
/// an incarnation that is gone vanish, as they do on a real network.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(u32);

/// Bits of a node that say where it lives.
const SLOT_BITS: u32 = 22;

impl Node {
    /// How many nodes a world can hold.
    pub const SLOTS: u32 = 1 << SLOT_BITS;
    /// How many nodes can follow each other in one slot before the first is back.
    pub const INCARNATIONS: u32 = 1 << (32 - SLOT_BITS);
    /// Nobody: where commands and other inputs from outside come from.
    pub(crate) const OUTSIDE: Self = Self(u32::MAX);

    /// The node in `slot` that is the `incarnation`th; both wrap.
    #[must_use]
    pub const fn new(slot: u32, incarnation: u32) -> Self {
        Self(incarnation << SLOT_BITS | slot & (Self::SLOTS - 1))
    }

    /// Where in the arena it lives; dense from 0.
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.0 & (Self::SLOTS - 1)
    }

    /// Which of the nodes in its slot it is; the first is not 0 but drawn from the seed.
    #[must_use]
    pub const fn incarnation(self) -> u32 {
        self.0 >> SLOT_BITS
    }

    /// The node that lives in this slot after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(Self::SLOTS))
    }

    /// The node as one number.
    #[must_use]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// The node that [`raw`](Self::raw) gave.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// The first 64 bits of its [`Key`], which differ between any two nodes.
    #[must_use]
    #[inline(always)]
    pub const fn place(self) -> u64 {
        mix(self.0 as u64 ^ PLACE)
    }
}

/// Where the sequences that keys are drawn from begin, so that small numbers give no zeros.
const PLACE: u64 = 0x6a09_e667_f3bc_c908;
const MIDDLE: u64 = 0xbb67_ae85_84ca_a73b;
const BACK: u64 = 0x3c6e_f372_fe94_f82b;

impl machine::Contact for Node {
    type Host = u32;

    /// Its slot: each node is on a host of its own.
    fn host(&self) -> u32 {
        self.slot()
    }
}

impl machine::dht::Contact for Node {
    const IS_KEY_FIXED: bool = true;

    #[inline(always)]
    fn key(&self) -> Key {
        let middle = mix(u64::from(self.0) ^ MIDDLE);
        let back = mix(u64::from(self.0) ^ BACK);
        Key::new(u128::from(self.place()) << 64 | u128::from(middle), back as u32)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot(), self.incarnation())
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use machine::dht::Contact;

    use super::*;

    #[test]
    fn parts_come_back_and_incarnations_wrap() {
        let node = Node::new(Node::SLOTS - 1, Node::INCARNATIONS - 1);
        assert_eq!((node.slot(), node.incarnation()), (Node::SLOTS - 1, Node::INCARNATIONS - 1));
        assert_eq!(node.next(), Node::new(Node::SLOTS - 1, 0));
        assert_eq!(Node::from_raw(node.raw()), node);
        assert_eq!(Node::new(7, 3).to_string(), "7.3");
    }

    #[test]
    fn keys_differ_and_spread_evenly() {
        let nodes = (0..4_096).flat_map(|slot| [Node::new(slot, 0), Node::new(slot, 1)]);
        let keys: BTreeSet<_> = nodes.map(|node| node.key()).collect();
        assert_eq!(keys.len(), 8_192);
        let mut quarters = [0; 4];
        for key in &keys {
            quarters[usize::from(key.0[0] >> 6)] += 1;
            assert!(key.front().count_ones().abs_diff(64) <= 50);
        }
        assert!(quarters.iter().all(|n| (1_850..2_250).contains(n)), "{quarters:?}");
        let first = Node::new(0, 0);
        assert_eq!((first.key().front() >> 64) as u64, first.place());
    }
}
