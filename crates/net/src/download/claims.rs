//! Which blocks of a file are there, which somebody fetches, and which are to be fetched next.

use std::collections::BTreeSet;

/// The blocks of one file.
#[derive(Debug)]
pub(super) struct Claims {
    /// Nobody has or fetches them.
    missing: BTreeSet<usize>,
    claimed: BTreeSet<usize>,
    /// Those that are there, in the order in which they came.
    arrived: Vec<usize>,
}

impl Claims {
    /// So many blocks, of which those in `kept` are there.
    pub(super) fn new(blocks: usize, kept: &[usize]) -> Self {
        let mut missing: BTreeSet<usize> = (0..blocks).collect();
        for block in kept {
            missing.remove(block);
        }
        Self { missing, claimed: BTreeSet::new(), arrived: kept.to_vec() }
    }

    /// How many are not there.
    pub(super) fn left(&self) -> usize {
        self.missing.len() + self.claimed.len()
    }

    /// Whether one could be claimed.
    pub(super) fn has_free(&self) -> bool {
        !self.missing.is_empty()
    }

    /// The first that `is` good.
    pub(super) fn first(&mut self, is: impl Fn(usize) -> bool) -> Option<usize> {
        let block = self.missing.iter().copied().find(|block| is(*block))?;
        self.take(block).then_some(block)
    }

    /// One where the most is missing: the beginning of it if nobody works towards it, else its
    /// middle, so that both meet as late as may be.
    pub(super) fn far(&mut self) -> Option<usize> {
        let (mut best, mut run) = (0..0, 0..0);
        for &block in &self.missing {
            run = if block == run.end { run.start..block + 1 } else { block..block + 1 };
            if run.len() > best.len() {
                best = run.clone();
            }
        }
        if best.is_empty() {
            return None;
        }
        let before = best.start.checked_sub(1);
        let is_followed = before.is_some_and(|before| self.claimed.contains(&before));
        let block = if is_followed { best.start + best.len() / 2 } else { best.start };
        self.take(block).then_some(block)
    }

    /// Claims this one, if nobody has.
    pub(super) fn take(&mut self, block: usize) -> bool {
        self.missing.remove(&block) && self.claimed.insert(block)
    }

    /// One that was claimed does not come.
    pub(super) fn give_back(&mut self, block: usize) {
        if self.claimed.remove(&block) {
            self.missing.insert(block);
        }
    }

    /// One is there, whether or not somebody else has claimed it; whether it was not before.
    pub(super) fn done(&mut self, block: usize) -> bool {
        let is_new = self.missing.remove(&block) | self.claimed.remove(&block);
        if is_new {
            self.arrived.push(block);
        }
        is_new
    }

    /// Whether this one is there.
    pub(super) fn has(&self, block: usize) -> bool {
        !self.missing.contains(&block) && !self.claimed.contains(&block)
    }

    /// Those that are there, in the order in which they came.
    pub(super) fn arrived(&self) -> &[usize] {
        &self.arrived
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_claimed_from_the_front_or_far_from_each_other() {
        let mut claims = Claims::new(10, &[]);
        assert_eq!([(); 3].map(|()| claims.far()), [Some(0), Some(5), Some(3)]);
        assert!(claims.take(1) && !claims.take(5) && !claims.take(10));
        assert_eq!(claims.first(|_| true), Some(2));
        assert_eq!(claims.first(|block| block > 6), Some(7));
        claims.done(5);
        claims.give_back(5);
        claims.give_back(0);
        assert_eq!((claims.left(), claims.first(|_| true)), (9, Some(0)));
    }

    #[test]
    fn what_was_kept_is_not_claimed() {
        let mut claims = Claims::new(4, &[1, 2, 9]);
        assert_eq!((claims.left(), claims.far(), claims.far()), (2, Some(0), Some(3)));
        assert!(!claims.has_free() && claims.far().is_none() && claims.first(|_| true).is_none());
        claims.done(0);
        claims.done(3);
        assert_eq!(claims.left(), 0);
        assert_eq!(Claims::new(0, &[]).left(), 0);
    }
}
