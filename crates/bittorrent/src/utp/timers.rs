//! One deadline for each of many connections, most of which move later with every packet: a
//! deadline that moves later is left alone until the earlier one has come.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use machine::Instant;

/// Deadlines of connections by their index.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeSet<(Instant, u32)>,
    /// What is queued for each index.
    queued: Vec<Option<Instant>>,
}

impl Timers {
    /// Makes sure that `index` comes due no later than `at`; `None` leaves a queued one to find
    /// nothing to do.
    pub(super) fn set(&mut self, index: u32, at: Option<Instant>) {
        let Some(at) = at else { return };
        let place = index as usize;
        if self.queued.len() <= place {
            self.queued.resize(place + 1, None);
        }
        if let Some(queued) = self.queued[place] {
            if queued <= at {
                return;
            }
            self.queue.remove(&(queued, index));
        }
        self.queue.insert((at, index));
        self.queued[place] = Some(at);
    }

    /// The next index that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<u32> {
        let &(at, index) = self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.pop_first();
        self.queued[index as usize] = None;
        Some(index)
    }

    /// When the next is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|&(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_deadline_of_each_counts() {
        let at = Instant::from_nanos;
        let mut timers = Timers::default();
        timers.set(1, Some(at(50)));
        timers.set(0, Some(at(40)));
        timers.set(1, Some(at(60)));
        timers.set(0, Some(at(30)));
        timers.set(0, None);
        assert_eq!(timers.next(), Some(at(30)));
        assert_eq!(timers.pop(at(29)), None);
        assert_eq!((timers.pop(at(55)), timers.pop(at(55))), (Some(0), Some(1)));
        assert_eq!((timers.pop(at(99)), timers.next()), (None, None));
    }
}
