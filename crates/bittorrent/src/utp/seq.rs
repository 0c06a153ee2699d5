//! Sequence numbers of packets: 16 bits that wrap, and so can only be compared when near.

/// Number of a packet within one direction of a connection (BEP 29).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SeqNr(pub u16);

impl SeqNr {
    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// The number before this one.
    #[must_use]
    pub const fn prev(self) -> Self {
        Self(self.0.wrapping_sub(1))
    }

    /// The number `steps` after this one.
    #[must_use]
    pub const fn plus(self, steps: u16) -> Self {
        Self(self.0.wrapping_add(steps))
    }

    /// Steps from `earlier` up to this number; more than half the circle means that it is older.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u16 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Whether this number comes after `other`, taking the shorter way round the circle.
    #[must_use]
    pub const fn is_after(self, other: Self) -> bool {
        let steps = self.since(other);
        steps != 0 && steps < 0x8000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparison_survives_the_wrap() {
        for (later, earlier) in [(1, 0), (0, 0xffff), (5, 0xfff0), (0x8000, 1), (0x7fff, 0)] {
            assert!(SeqNr(later).is_after(SeqNr(earlier)), "{later} after {earlier}");
            assert!(!SeqNr(earlier).is_after(SeqNr(later)), "{earlier} not after {later}");
        }
        assert!(!SeqNr(7).is_after(SeqNr(7)));
        assert_eq!(SeqNr(0xffff).next(), SeqNr(0));
        assert_eq!(SeqNr(0).prev(), SeqNr(0xffff));
        assert_eq!(SeqNr(2).since(SeqNr(0xfffe)), 4);
        assert_eq!(SeqNr(0xfffe).plus(4), SeqNr(2));
    }
}
