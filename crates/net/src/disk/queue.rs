//! A bounded queue of work between the reactor, which never waits, and threads that do.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many urgent items are taken before one that can wait is.
const PATIENCE: u32 = 64;

/// Work in two classes: what is urgent, and what is done when nothing is.
#[derive(Debug)]
pub(super) struct Queue<T> {
    capacity: usize,
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    urgent: VecDeque<T>,
    patient: VecDeque<T>,
    /// Urgent batches taken since a patient item was.
    in_a_row: u32,
    closed: bool,
}

/// What a thread found in the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Items, in the caller's list.
    Items,
    /// Nothing for a while.
    Idle,
    /// Nothing, and nothing more will come.
    Closed,
}

impl<T> Queue<T> {
    /// A queue that holds `capacity` items of each class.
    pub fn new(capacity: usize) -> Self {
        let state =
            State { urgent: VecDeque::new(), patient: VecDeque::new(), in_a_row: 0, closed: false };
        Self { capacity, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Adds an item, or gives it back if the queue is full or closed.
    pub fn push(&self, item: T, urgent: bool) -> Result<(), T> {
        let mut state = self.state();
        let closed = state.closed;
        let items = if urgent { &mut state.urgent } else { &mut state.patient };
        if closed || items.len() >= self.capacity {
            return Err(item);
        }
        items.push_back(item);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Adds a patient item that was taken before, even if the queue is full; gives it back if the
    /// queue is closed.
    pub fn put_back(&self, item: T) -> Result<(), T> {
        let mut state = self.state();
        if state.closed {
            return Err(item);
        }
        state.patient.push_back(item);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits up to `patience` for items and moves them to `out`: the first one, and those behind it
    /// that `joins` says can be done with it, up to `most`.
    pub fn take(
        &self,
        out: &mut Vec<T>,
        most: usize,
        joins: impl Fn(&T, &T) -> bool,
        patience: Duration,
    ) -> Taken {
        let mut state = self.state();
        while state.urgent.is_empty() && state.patient.is_empty() {
            if state.closed {
                return Taken::Closed;
            }
            let (next, timeout) =
                self.changed.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if timeout.timed_out() && state.urgent.is_empty() && state.patient.is_empty() {
                return if state.closed { Taken::Closed } else { Taken::Idle };
            }
        }
        let wait_no_longer = state.in_a_row >= PATIENCE && !state.patient.is_empty();
        if state.urgent.is_empty() || wait_no_longer {
            state.in_a_row = 0;
            out.extend(state.patient.pop_front());
            return Taken::Items;
        }
        state.in_a_row += 1;
        out.extend(state.urgent.pop_front());
        while out.len() < most
            && let (Some(first), Some(next)) = (out.first(), state.urgent.front())
            && joins(first, next)
        {
            out.extend(state.urgent.pop_front());
        }
        Taken::Items
    }

    /// Takes nothing more in; what is there is still given out.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(queue: &Queue<u32>, most: usize) -> (Taken, Vec<u32>) {
        let mut out = Vec::new();
        let taken = queue.take(&mut out, most, |a, b| a % 10 == b % 10, Duration::ZERO);
        (taken, out)
    }

    #[test]
    fn gives_runs_of_items_that_join() {
        let queue = Queue::new(8);
        for item in [1, 11, 21, 2, 31] {
            queue.push(item, true).expect("room");
        }
        assert_eq!(take(&queue, 2), (Taken::Items, vec![1, 11]));
        assert_eq!(take(&queue, 9), (Taken::Items, vec![21]));
        assert_eq!(take(&queue, 9), (Taken::Items, vec![2]));
        assert_eq!(take(&queue, 9), (Taken::Items, vec![31]));
        assert_eq!(take(&queue, 9), (Taken::Idle, vec![]));
    }

    #[test]
    fn urgent_items_go_first_but_not_for_ever() {
        let queue = Queue::new(1000);
        queue.push(7, false).expect("room");
        for item in 0..=PATIENCE {
            queue.push(item, true).expect("room");
        }
        let order: Vec<u32> = (0..PATIENCE + 2).flat_map(|_| take(&queue, 1).1).collect();
        assert_eq!(order.iter().position(|&item| item == 7), Some(7), "the urgent 7");
        assert_eq!(order[PATIENCE as usize], 7, "then the patient one");
        assert_eq!(order.len(), PATIENCE as usize + 2);
    }

    #[test]
    fn is_bounded_and_can_be_closed() {
        let queue = Queue::new(2);
        assert_eq!((queue.push(1, true), queue.push(2, true)), (Ok(()), Ok(())));
        assert_eq!(queue.push(3, true), Err(3));
        assert_eq!((queue.push(3, false), queue.push(4, false)), (Ok(()), Ok(())));
        assert_eq!(queue.push(5, false), Err(5));
        assert_eq!(queue.put_back(6), Ok(()));
        queue.close();
        assert_eq!((queue.push(7, false), queue.put_back(7)), (Err(7), Err(7)));
        let left: Vec<u32> = (0..5).flat_map(|_| take(&queue, 1).1).collect();
        assert_eq!(left, [1, 2, 3, 4, 6]);
        assert_eq!(take(&queue, 1), (Taken::Closed, vec![]));
    }
}
