//! For tests: contacts whose place can be read off them.

use machine::dht::{self, Key};

/// A contact in a space of 16 bits; equal ones may claim different places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Short(pub(crate) u16);

impl machine::Contact for Short {
    type Host = u16;

    fn host(&self) -> u16 {
        self.0
    }
}

impl dht::Contact for Short {
    fn key(&self) -> Key {
        key(self.0)
    }
}

/// The key whose first 16 bits are `front`.
pub(crate) fn key(front: u16) -> Key {
    Key::new(u128::from(front) << 112, 0)
}
