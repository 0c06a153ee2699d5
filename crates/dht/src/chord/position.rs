//! Places on the ring and clockwise distances between them. Not here: who stands at a place.

use core::fmt;

use machine::dht::{Contact, Key};

/// How many bits a place has, and so how many fingers a node could have.
pub const BITS: u32 = 128;

/// A place on the ring: the first 128 bits of a key. The ring has no first place, so places are
/// compared only as seen from a third one, by [`to`](Self::to).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position(u128);

impl Position {
    /// The place with this number.
    #[must_use]
    pub const fn new(number: u128) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u128 {
        self.0
    }

    /// The first key that lies here.
    #[must_use]
    pub const fn key(self) -> Key {
        Key::new(self.0, 0)
    }

    /// How far one walks clockwise from here to `other`; 0 only to itself.
    #[must_use]
    pub const fn to(self, other: Self) -> u128 {
        other.0.wrapping_sub(self.0)
    }

    /// The place `distance` further clockwise.
    #[must_use]
    pub const fn plus(self, distance: u128) -> Self {
        Self(self.0.wrapping_add(distance))
    }

    /// Whether `self` is met on the way clockwise from `after` to `before`, both excluded. From a
    /// place to itself the way is the whole ring.
    #[must_use]
    pub const fn is_between(self, after: Self, before: Self) -> bool {
        let (here, way) = (after.to(self), after.to(before));
        here != 0 && (here < way || way == 0)
    }

    /// Whether a node here with its predecessor at `predecessor` is responsible for `key`.
    #[must_use]
    pub const fn owns(self, predecessor: Self, key: Self) -> bool {
        key.is_between(predecessor, self) || key.0 == self.0
    }
}

impl From<Key> for Position {
    fn from(key: Key) -> Self {
        Self(key.front())
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Where a contact stands.
#[inline]
pub(super) fn position<C: Contact>(contact: C) -> Position {
    Position::from(contact.key())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_goes_clockwise_and_around() {
        let at = Position::new;
        let last = u128::MAX;
        let cases = [
            (1, 2, 3, true),
            (1, 1, 3, false),
            (1, 3, 3, false),
            (3, 2, 1, false),
            (last, 0, 1, true),
            (last - 1, last, 0, true),
            (3, last, 1, true),
            (3, 0, 1, true),
            (5, 5, 5, false),
            (5, 6, 5, true),
            (5, 4, 5, true),
        ];
        for (after, here, before, expected) in cases {
            assert_eq!(
                at(here).is_between(at(after), at(before)),
                expected,
                "{after} {here} {before}"
            );
        }
    }

    #[test]
    fn owner_is_the_first_node_at_or_after_the_key() {
        let at = Position::new;
        assert!(at(10).owns(at(5), at(10)) && at(10).owns(at(5), at(6)));
        assert!(!at(10).owns(at(5), at(5)) && !at(10).owns(at(5), at(11)));
        assert!(at(10).owns(at(10), at(10)) && at(10).owns(at(10), at(11)), "alone, it owns all");
    }
}
