//! The leaf set: the nodes whose places are next to this one's, on either side of the circle.

use alloc::vec::Vec;

use machine::dht::{Contact, Key};

/// How far `to` is behind `from` on the circle of the first 128 bits.
fn clockwise(from: Key, to: Key) -> u128 {
    to.front().wrapping_sub(from.front())
}

/// How far two keys are apart, whichever way is shorter.
pub(super) fn apart(one: Key, other: Key) -> u128 {
    clockwise(one, other).min(clockwise(other, one))
}

/// The leaf set of one node. In small networks a node is on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaves<C> {
    after: Vec<C>,
    before: Vec<C>,
}

impl<C> Default for Leaves<C> {
    fn default() -> Self {
        Self { after: Vec::new(), before: Vec::new() }
    }
}

impl<C: Contact> Leaves<C> {
    /// Those behind the node, the nearest first.
    #[must_use]
    pub fn after(&self) -> &[C] {
        &self.after
    }

    /// Those before the node, the nearest first.
    #[must_use]
    pub fn before(&self) -> &[C] {
        &self.before
    }

    /// All of them; who is on both sides comes twice.
    pub fn iter(&self) -> impl Iterator<Item = C> + '_ {
        self.before.iter().chain(&self.after).copied()
    }

    /// Whether `who` is one of them.
    #[must_use]
    pub fn contains(&self, who: C) -> bool {
        self.iter().any(|leaf| leaf == who)
    }

    /// Takes `who` in where it is one of the `half` nearest to `me`; whether it is new there.
    pub(super) fn offer(&mut self, me: C, who: C, half: usize) -> bool {
        if who == me || who.key() == me.key() {
            return false;
        }
        let here = me.key();
        let after = insert(&mut self.after, who, half, |key| clockwise(here, key));
        let before = insert(&mut self.before, who, half, |key| clockwise(key, here));
        after || before
    }

    /// Leaves out those before the node: a defect.
    pub(super) fn forget_before(&mut self) {
        self.before.clear();
    }

    /// Whether `offer` would take `who` in, on a side that it is not on yet.
    pub(super) fn wants(&self, me: C, who: C, half: usize) -> bool {
        let (here, there) = (me.key(), who.key());
        let fits = |side: &[C], far: &dyn Fn(Key) -> u128| {
            let nearer = side.last().is_none_or(|last| far(there) < far(last.key()));
            (side.len() < half || nearer) && !side.contains(&who)
        };
        who != me
            && (fits(&self.after, &|key| clockwise(here, key))
                || fits(&self.before, &|key| clockwise(key, here)))
    }

    /// Takes `who` out; whether it was there.
    pub(super) fn remove(&mut self, who: C) -> bool {
        let was = self.contains(who);
        self.after.retain(|&leaf| leaf != who);
        self.before.retain(|&leaf| leaf != who);
        was
    }

    /// Whether `key` lies among the leaves of `me`: then whoever is responsible is one of them, or
    /// `me`. A side that is not full says that nobody else is known.
    #[must_use]
    pub fn covers(&self, me: C, key: &Key, half: usize) -> bool {
        let (Some(last), Some(first)) = (self.after.last(), self.before.last()) else {
            return true;
        };
        if self.after.len() < half || self.before.len() < half {
            return true;
        }
        let (here, first) = (me.key(), first.key());
        match clockwise(first, here).checked_add(clockwise(here, last.key())) {
            Some(span) => clockwise(first, *key) <= span,
            None => true,
        }
    }

    /// The `count` nearest to `key` of `me` and the leaves, the nearest first.
    #[must_use]
    pub fn closest(&self, me: C, key: &Key, count: usize) -> Vec<C> {
        let all = core::iter::once(me).chain(self.iter());
        let mut ranked: Vec<_> = all.map(|who| (apart(who.key(), *key), who.key(), who)).collect();
        ranked.sort_unstable_by_key(|&(apart, key, _)| (apart, key));
        ranked.dedup_by_key(|&mut (.., who)| who);
        ranked.truncate(count);
        ranked.into_iter().map(|(.., who)| who).collect()
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        (self.after.capacity() + self.before.capacity()) * size_of::<C>()
    }

    /// A leaf set that is exact: `after` and `before` are in order.
    pub(super) const fn wired(after: Vec<C>, before: Vec<C>) -> Self {
        Self { after, before }
    }
}

fn insert<C: Contact>(side: &mut Vec<C>, who: C, half: usize, far: impl Fn(Key) -> u128) -> bool {
    let distance = far(who.key());
    let at = side.partition_point(|leaf| far(leaf.key()) < distance);
    if at >= half || side.get(at) == Some(&who) {
        return false;
    }
    side.insert(at, who);
    side.truncate(half);
    true
}
