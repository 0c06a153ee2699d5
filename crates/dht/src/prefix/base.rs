//! Keys as digits of some bits each.

use machine::dht::Key;

/// How many bits a digit has. The first 128 bits of a key count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base(u8);

impl Base {
    /// Digits of `bits` bits, 1 to 8.
    #[must_use]
    pub const fn new(bits: u8) -> Self {
        Self(match bits {
            0 => 1,
            9.. => 8,
            bits => bits,
        })
    }

    /// How many digits there are to choose from.
    #[must_use]
    pub const fn width(self) -> usize {
        1 << self.0
    }

    /// How many digits a key has.
    #[must_use]
    pub const fn levels(self) -> usize {
        128 / self.0 as usize
    }

    /// The digit of `key` at `level`, the first at 0; 0 beyond the last.
    #[must_use]
    pub const fn digit(self, key: &Key, level: usize) -> usize {
        if level >= self.levels() {
            return 0;
        }
        let shift = 128 - (level as u32 + 1) * self.0 as u32;
        (key.front() >> shift) as usize & (self.width() - 1)
    }

    /// How many leading digits two keys share.
    #[must_use]
    pub const fn shared(self, one: &Key, other: &Key) -> usize {
        let equal = (one.front() ^ other.front()).leading_zeros() as usize / self.0 as usize;
        if equal > self.levels() { self.levels() } else { equal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_from_the_front() {
        let key = Key::new(0xa1b2 << 112, 9);
        let hex = Base::new(4);
        assert_eq!([0, 1, 2, 3, 4].map(|level| hex.digit(&key, level)), [0xa, 1, 0xb, 2, 0]);
        assert_eq!((hex.width(), hex.levels(), hex.digit(&key, 32)), (16, 32, 0));
        assert_eq!(hex.shared(&key, &Key::new(0xa1b7 << 112, 0)), 3);
        assert_eq!(hex.shared(&key, &key), 32);
        let three = Base::new(3);
        assert_eq!((three.levels(), three.digit(&key, 0), three.digit(&key, 1)), (42, 5, 0));
        assert_eq!(Base::new(1).shared(&key, &Key::new(0, 0)), 0);
        assert_eq!((Base::new(0).width(), Base::new(200).width()), (2, 256));
    }
}
