//! The vocabulary that all distributed hash tables share, so that one experiment measures any of
//! them and the node treats them alike. How a network routes, replicates and repairs is its own.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::DatagramMachine;

/// The name of a value, and of a node's place: 160 bits, as SHA-1 gives and the mainline DHT uses
/// (BEP 5). Ordered as a big-endian number; networks with shorter identifiers use its front.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; 20]);

impl Key {
    /// A key whose first 128 bits are `front` and whose last 32 are `back`.
    #[must_use]
    #[inline]
    pub const fn new(front: u128, back: u32) -> Self {
        let mut bytes = [0; 20];
        let (first, last) = bytes.split_at_mut(16);
        first.copy_from_slice(&front.to_be_bytes());
        last.copy_from_slice(&back.to_be_bytes());
        Self(bytes)
    }

    /// The first 128 bits.
    #[must_use]
    #[inline]
    pub const fn front(&self) -> u128 {
        match self.0.first_chunk() {
            Some(front) => u128::from_be_bytes(*front),
            None => 0,
        }
    }

    /// The last 32 bits.
    #[must_use]
    #[inline]
    pub const fn back(&self) -> u32 {
        u32::from_be_bytes([self.0[16], self.0[17], self.0[18], self.0[19]])
    }

    /// The distance of the XOR metric (Kademlia, section 2.1).
    #[must_use]
    #[inline]
    pub const fn xor(&self, other: &Self) -> Self {
        Self::new(self.front() ^ other.front(), self.back() ^ other.back())
    }

    /// How many leading bits are zero; 160 for the zero key.
    #[must_use]
    #[inline]
    pub const fn leading_zeros(&self) -> u32 {
        match self.front().leading_zeros() {
            128 => 128 + self.back().leading_zeros(),
            zeros => zeros,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A contact that has a place among the keys. Live the place is stored beside the address or
/// hashed from it; in the simulator it is derived from a small number.
pub trait Contact: crate::Contact {
    /// Whether contacts that are equal always have one key. Not so live, where a node is its
    /// address and a key is what it claims.
    const IS_KEY_FIXED: bool = false;

    /// Its place.
    fn key(&self) -> Key;
}

/// What is stored under a key; shared, since replicas and messages in flight hold the same bytes.
pub type Value = Arc<[u8]>;

/// What a user asks of any distributed hash table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<C> {
    /// Become part of the network that these nodes are in; alone, if there are none.
    Join {
        /// Nodes to begin with.
        known: Vec<C>,
    },
    /// Hand over what is held for others, say goodbye, and stop.
    Leave,
    /// Store a value under a key.
    Put {
        /// Its name.
        key: Key,
        /// What to store.
        value: Value,
    },
    /// Find the value under a key.
    Get {
        /// Its name.
        key: Key,
    },
    /// Find the nodes that are responsible for a key.
    Lookup {
        /// The key.
        key: Key,
    },
}

/// What a lookup took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Nodes on the longest chain of referrals, the node that answered included; 0 if it was
    /// known without asking.
    pub hops: u16,
    /// Requests sent, by whichever node.
    pub messages: u16,
    /// Requests that nobody answered in time.
    pub timeouts: u16,
}

/// How a [`Command`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report<C> {
    /// Part of the network now.
    Joined,
    /// Out of the network, with everything handed over that could be.
    Left,
    /// The value is stored.
    Stored {
        /// Nodes that confirmed it.
        copies: u16,
        /// What it took.
        cost: Cost,
    },
    /// The value.
    Found {
        /// What was stored.
        value: Value,
        /// What it took.
        cost: Cost,
    },
    /// Nobody responsible has a value.
    NotFound {
        /// What it took.
        cost: Cost,
    },
    /// The nodes responsible for a key, the nearest first.
    Located {
        /// Who they are.
        nodes: Vec<C>,
        /// What it took.
        cost: Cost,
    },
    /// The network could not be reached, or the way was lost.
    Failed {
        /// What it took.
        cost: Cost,
    },
}

/// A distributed hash table that speaks this vocabulary, whatever else it can do.
pub trait Dht: DatagramMachine<Contact: Contact> {
    /// `command` in its own words.
    fn command(command: Command<Self::Contact>) -> Self::Command;
    /// What `event` says in this vocabulary; `None` if it tells of something else.
    fn report(event: Self::Event) -> Option<Report<Self::Contact>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_big_endian_numbers() {
        let key = Key::new(u128::MAX >> 3, 7);
        assert_eq!((key.front(), key.back()), (u128::MAX >> 3, 7));
        assert_eq!(key.leading_zeros(), 3);
        assert!(Key::new(1, 0) > Key::new(0, u32::MAX));
        assert_eq!(Key::new(0, 1).leading_zeros(), 159);
        assert_eq!(key.xor(&key).leading_zeros(), 160);
    }
}
