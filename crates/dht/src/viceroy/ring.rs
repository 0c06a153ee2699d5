//! Places on the unit ring, as fractions of 2^64, and the level of the butterfly that a node takes.

use machine::dht::{Contact, Key};

/// Where `key` is on the ring.
pub(super) fn place(key: &Key) -> u64 {
    (key.front() >> 64) as u64
}

/// How far it is from `from` to `to`, clockwise.
pub(super) fn ahead<C: Contact>(from: C, to: C) -> u64 {
    place(&to.key()).wrapping_sub(place(&from.key()))
}

/// Whether `it` stands strictly between the two, clockwise; all but `from` do if these are one.
pub(super) fn is_between<C: Contact>(it: C, from: C, to: C) -> bool {
    let whole = ahead(from, to).wrapping_sub(1);
    it != from && it != to && ahead(from, it).wrapping_sub(1) < whole
}

/// The levels that there are by the estimate of a node whose `count`th successor is `distance`
/// away: the logarithm of the number of nodes, at least 1.
pub(super) fn levels(count: usize, distance: u64) -> u8 {
    if count == 0 || distance == 0 {
        return 1;
    }
    let nodes = (u128::from(u64::MAX) * count as u128 / u128::from(distance)).max(2);
    nodes.ilog2().clamp(1, 63) as u8
}

/// The level of `key` among `levels`: uniform, and always the same.
pub(super) fn level(key: &Key, levels: u8) -> u8 {
    1 + (key.back() % u32::from(levels.max(1))) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_and_levels_follow_the_density() {
        assert_eq!(levels(1, u64::MAX / 1_024), 10);
        assert_eq!(levels(4, u64::MAX / 256), 10);
        assert_eq!((levels(0, 0), levels(1, u64::MAX)), (1, 1));
        let mut count = [0; 10];
        for back in 0..10_000u32 {
            count[usize::from(level(&Key::new(0, back.wrapping_mul(0x9e37_79b9)), 10)) - 1] += 1;
        }
        assert!(count.iter().all(|it| (900..1_100).contains(it)), "{count:?}");
    }
}
