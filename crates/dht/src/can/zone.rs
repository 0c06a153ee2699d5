//! The torus and its zones: boxes that come from halving it along one dimension after another, so
//! that each is named by the halves that were taken.

use core::cmp::Ordering;

use machine::dht::Key;

/// Most dimensions of a torus.
pub const DIMENSIONS_MAX: usize = 16;
/// How often the torus is halved at most.
pub const DEPTH_MAX: u8 = 56;
/// Most realities, which are tori side by side.
pub const REALITIES_MAX: usize = 4;

/// A place on the torus: the bits of its coordinates, dealt out to the dimensions in turn. The
/// coordinates of a key are so many hash functions of it: every `d`th bit of its first 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point(pub u64);

impl From<Key> for Point {
    fn from(key: Key) -> Self {
        Self((key.front() >> 64) as u64)
    }
}

impl Point {
    /// A key at this place.
    #[must_use]
    pub const fn key(self) -> Key {
        Key::new((self.0 as u128) << 64, 0)
    }

    /// Its coordinate along `dimension` of `of`, as a fraction of 2^64.
    #[must_use]
    pub fn coordinate(self, dimension: usize, of: usize) -> u64 {
        gather(self.0, 64, dimension, of)
    }
}

/// Every `of`th of the first `bits` bits of `path`, from `first` on, at the front of a number.
fn gather(path: u64, bits: u32, first: usize, of: usize) -> u64 {
    let (mut gathered, mut place) = (0, 63);
    let mut bit = first as u32;
    while bit < bits {
        gathered |= (path >> (63 - bit) & 1) << place;
        place -= 1;
        bit += of as u32;
    }
    gathered
}

/// A box: the part of the torus of one reality that is left after so many halvings. Zones of two
/// realities have nothing in common, and are not beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone {
    path: u64,
    depth: u8,
    reality: u8,
}

impl Zone {
    /// The whole torus of the first reality.
    pub const WHOLE: Self = Self { path: 0, depth: 0, reality: 0 };

    /// The zone of `depth` halvings that begins with these bits, in the first reality; `None` if it
    /// has more bits, or more halvings than there may be.
    #[must_use]
    pub const fn new(path: u64, depth: u8) -> Option<Self> {
        let zone = Self { path, depth, reality: 0 };
        if depth > DEPTH_MAX || path & !zone.mask() != 0 { None } else { Some(zone) }
    }

    /// The same box in another reality, which counts from 0.
    #[must_use]
    pub const fn of(self, reality: u8) -> Self {
        Self { reality, ..self }
    }

    /// Its reality, which counts from 0.
    #[must_use]
    pub const fn reality(self) -> u8 {
        self.reality
    }

    /// The bits of the halves that were taken, at the front of a number.
    #[must_use]
    pub const fn path(self) -> u64 {
        self.path
    }

    /// How many halvings it has: its volume is 2^-depth.
    #[must_use]
    pub const fn depth(self) -> u8 {
        self.depth
    }

    const fn mask(self) -> u64 {
        match self.depth {
            0 => 0,
            depth => u64::MAX << (64 - depth as u32),
        }
    }

    /// The zone of `depth` halvings that `point` is in, in the first reality.
    #[must_use]
    pub const fn around(point: Point, depth: u8) -> Self {
        let zone = Self { path: 0, depth, reality: 0 };
        Self { path: point.0 & zone.mask(), ..zone }
    }

    /// Whether `point` of its reality is in it.
    #[must_use]
    pub const fn contains(self, point: Point) -> bool {
        (self.path ^ point.0) & self.mask() == 0
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        self.reality == other.reality
            && self.depth <= other.depth
            && self.contains(Point(other.path))
    }

    /// Whether they have anything in common: then one covers the other.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// Its two halves; `None` if it is too small.
    #[must_use]
    pub const fn halves(self) -> Option<(Self, Self)> {
        if self.depth >= DEPTH_MAX {
            return None;
        }
        let depth = self.depth + 1;
        let low = Self { depth, ..self };
        Some((low, Self { path: self.path | 1 << (64 - depth as u32), ..low }))
    }

    /// What it is a half of.
    #[must_use]
    pub const fn parent(self) -> Option<Self> {
        match self.depth {
            0 => None,
            depth => Some(Self::around(Point(self.path), depth - 1).of(self.reality)),
        }
    }

    /// The other half of its parent.
    #[must_use]
    pub const fn sibling(self) -> Option<Self> {
        match self.depth {
            0 => None,
            depth => Some(Self { path: self.path ^ 1 << (64 - depth as u32), ..self }),
        }
    }

    /// How often it was halved along `dimension` of `of`.
    fn halvings(self, dimension: usize, of: usize) -> u32 {
        (u32::from(self.depth) + (of - 1 - dimension) as u32) / of as u32
    }

    /// Where it begins along `dimension` of `of`, as a fraction of 2^64, and how many halvings its
    /// width is.
    #[must_use]
    pub fn side(self, dimension: usize, of: usize) -> (u64, u32) {
        let low = gather(self.path, self.depth.into(), dimension, of);
        (low, self.halvings(dimension, of))
    }

    /// How far `point` is from it on the torus of `dimensions`: the square of the Euclidean
    /// distance to its nearest place, 0 within.
    #[must_use]
    pub fn distance(self, point: Point, dimensions: usize) -> u128 {
        (0..dimensions)
            .map(|dimension| {
                let (low, halvings) = self.side(dimension, dimensions);
                if halvings == 0 {
                    return 0;
                }
                let at = point.coordinate(dimension, dimensions);
                let width = 1u64 << (64 - halvings);
                let beyond = at.wrapping_sub(low);
                if beyond < width {
                    return 0;
                }
                let away = (beyond - (width - 1)).min(beyond.wrapping_neg());
                u128::from(away >> 2).pow(2)
            })
            .sum()
    }

    /// Whether they touch along one dimension and overlap along all others; along which, and whether
    /// `other` lies above.
    #[must_use]
    pub fn touches(self, other: Self, dimensions: usize) -> Option<(usize, bool)> {
        if self.reality != other.reality {
            return None;
        }
        let mut touching = None;
        for dimension in 0..dimensions {
            let (a, wide_a) = self.side(dimension, dimensions);
            let (b, wide_b) = other.side(dimension, dimensions);
            let narrow = wide_a.min(wide_b);
            let within = narrow == 0 || (a ^ b) >> (64 - narrow) == 0;
            if within {
                continue;
            }
            let end = |low: u64, halvings: u32| low.wrapping_add(1u64 << (64 - halvings));
            let above = end(a, wide_a) == b;
            if touching.is_some() || !above && end(b, wide_b) != a {
                return None;
            }
            touching = Some((dimension, above));
        }
        touching
    }

    /// How much of its face along `dimension` `other` touches, in units of 2^-40 of the face.
    pub(super) fn share(self, other: Self, dimension: usize, dimensions: usize) -> u64 {
        let finer: u32 = (0..dimensions)
            .filter(|&side| side != dimension)
            .map(|side| {
                let own = self.halvings(side, dimensions);
                other.halvings(side, dimensions).saturating_sub(own)
            })
            .sum();
        (1u64 << 40).checked_shr(finer).unwrap_or(0)
    }

    /// A place just outside of its face along `dimension`, above or below; `within` says where on
    /// the face.
    pub(super) fn beside(
        self,
        dimension: usize,
        above: bool,
        within: Point,
        dimensions: usize,
    ) -> Point {
        let inside = self.path | within.0 & !self.mask();
        let (low, halvings) = self.side(dimension, dimensions);
        let at = match above {
            true => low.wrapping_add(1u64.checked_shl(64 - halvings).unwrap_or(0)),
            false => low.wrapping_sub(1),
        };
        let mut point = inside;
        for (place, bit) in (dimension as u32..64).step_by(dimensions).enumerate() {
            let set = at >> (63 - place as u32) & 1;
            point = point & !(1 << (63 - bit)) | set << (63 - bit);
        }
        Point(point)
    }
}

/// A zone that somebody says is its own. Whenever two claims overlap, one of them wins, whoever
/// judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Of what.
    pub zone: Zone,
    /// How often it has changed hands or shape.
    pub epoch: u32,
}

impl Claim {
    /// Whether it wins over `other` where they overlap: the later one, then the more particular
    /// one, then that of the lesser place.
    #[must_use]
    pub fn wins(&self, owner: &Key, other: &Self, other_owner: &Key) -> bool {
        let order = self.epoch.cmp(&other.epoch).then(self.zone.depth.cmp(&other.zone.depth));
        order.then_with(|| other_owner.cmp(owner)) == Ordering::Greater
    }

    /// What is left of it without `zone`: its parts, appended to `rest`.
    pub(super) fn without(&self, zone: Zone, rest: &mut alloc::vec::Vec<Self>) {
        if zone.covers(self.zone) {
            return;
        }
        if !self.zone.covers(zone) {
            return rest.push(*self);
        }
        let mut inner = zone;
        while inner.depth > self.zone.depth {
            let (Some(sibling), Some(parent)) = (inner.sibling(), inner.parent()) else { return };
            rest.push(Self { zone: sibling, epoch: self.epoch });
            inner = parent;
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use machine::Rng;

    use super::*;

    /// The torus in `count` zones.
    fn split(count: usize, rng: &mut Rng) -> Vec<Zone> {
        let mut zones = Vec::from([Zone::WHOLE]);
        while zones.len() < count {
            let point = Point(rng.next_u64());
            let at = zones.iter().position(|zone| zone.contains(point)).expect("a partition");
            let (low, high) = zones[at].halves().expect("it is large");
            zones[at] = low;
            zones.push(high);
        }
        zones
    }

    #[test]
    fn sides_are_as_long_or_twice_as_long_as_each_other() {
        let mut rng = Rng::new(1);
        for dimensions in 1..=5 {
            for zone in split(64, &mut rng) {
                let sides: Vec<_> = (0..dimensions).map(|it| zone.side(it, dimensions).1).collect();
                let (least, most) = (sides.iter().min(), sides.iter().max());
                assert!(most <= least.map(|it| it + 1).as_ref(), "{zone:?}: {sides:?}");
                assert_eq!(sides.iter().sum::<u32>(), u32::from(zone.depth()));
            }
        }
    }

    #[test]
    fn faces_are_covered_exactly_and_greedy_steps_come_nearer() {
        let mut rng = Rng::new(2);
        for dimensions in 1..=4 {
            let zones = split(200, &mut rng);
            for &zone in &zones {
                for dimension in 0..dimensions {
                    if zone.side(dimension, dimensions).1 == 0 {
                        continue;
                    }
                    for above in [true, false] {
                        let beside = |other: &&Zone| {
                            zone.touches(**other, dimensions).is_some_and(|(along, up)| {
                                // Two halves touch on both sides.
                                let is_half = |it: Zone| it.side(dimension, dimensions).1 == 1;
                                let both = is_half(zone) && is_half(**other);
                                along == dimension && (up == above || both)
                            })
                        };
                        let covered: u64 = zones
                            .iter()
                            .filter(beside)
                            .map(|other| zone.share(*other, dimension, dimensions))
                            .sum();
                        assert_eq!(covered, 1 << 40, "{zone:?} along {dimension}");
                        let outside =
                            zone.beside(dimension, above, Point(rng.next_u64()), dimensions);
                        let there = zones.iter().find(|other| other.contains(outside));
                        assert!(there.is_some_and(|it| zone.touches(*it, dimensions).is_some()));
                    }
                }
                let target = Point(rng.next_u64());
                let here = zone.distance(target, dimensions);
                let nearer = zones
                    .iter()
                    .filter(|other| zone.touches(**other, dimensions).is_some())
                    .any(|other| other.distance(target, dimensions) < here);
                assert_eq!(nearer, !zone.contains(target), "{zone:?} to {target:?}");
            }
        }
    }

    #[test]
    fn what_is_left_of_a_claim_and_what_is_taken_make_it_up() {
        let whole = Claim { zone: Zone::around(Point(5 << 60), 3), epoch: 4 };
        let taken = Zone::around(Point(5 << 60), 7);
        let mut rest = Vec::new();
        whole.without(taken, &mut rest);
        let volume = |zone: Zone| 1u64 << (32 - zone.depth());
        let sum: u64 = rest.iter().map(|claim| volume(claim.zone)).sum();
        assert_eq!(sum + volume(taken), volume(whole.zone));
        assert!(rest.iter().all(|claim| !claim.zone.overlaps(taken)));
    }

    #[test]
    fn kr_13_of_two_claims_that_overlap_one_wins_whoever_judges() {
        let mut rng = Rng::new(3);
        for _ in 0..10_000 {
            let mut claim = || Claim {
                zone: Zone::around(Point(rng.next_u64()), rng.below(4) as u8),
                epoch: rng.below(3) as u32,
            };
            let (a, b) = (claim(), claim());
            let (key, other) = (Key::new(rng.below(3).into(), 0), Key::new(3, 0));
            assert_ne!(a.wins(&key, &b, &other), b.wins(&other, &a, &key));
        }
        assert_eq!(Zone::new(1, 3), None, "bits beyond the halvings");
        assert_eq!(Zone::new(0, DEPTH_MAX + 1), None);
    }
}
