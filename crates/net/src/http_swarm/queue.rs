//! Who may upload from us now, and who waits (PARQ, "Passive/Active Remote Queueing", 2003): those
//! who wait keep their place for as long as they ask again in time.

use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Most who wait.
const WAITING_MAX: usize = 64;
/// Earliest moment to ask again.
const POLL_MIN: Duration = Duration::from_secs(5);
/// Latest moment to ask again.
const POLL_MAX: Duration = Duration::from_secs(60);

/// What becomes of somebody who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// A slot, to be given back.
    Now,
    /// A place in the queue, from 1.
    Wait { position: usize, length: usize, poll: (Duration, Duration) },
    /// The queue is full.
    Full,
}

#[derive(Debug)]
struct Waiting {
    host: IpAddr,
    asked: Instant,
}

/// Slots, and the queue before them.
#[derive(Debug)]
pub(super) struct Queue {
    slots: usize,
    busy: usize,
    waiting: Vec<Waiting>,
}

impl Queue {
    pub(super) const fn new(slots: usize) -> Self {
        Self { slots, busy: 0, waiting: Vec::new() }
    }

    /// Somebody asks for a slot.
    pub(super) fn ask(&mut self, host: IpAddr, now: Instant) -> Turn {
        self.waiting.retain(|one| one.host == host || now - one.asked < POLL_MAX);
        let known = self.waiting.iter().position(|one| one.host == host);
        let free = self.slots.saturating_sub(self.busy);
        let position = known.unwrap_or(self.waiting.len());
        if position < free {
            known.map(|at| self.waiting.remove(at));
            self.busy += 1;
            return Turn::Now;
        }
        if known.is_none() {
            if self.waiting.len() >= WAITING_MAX {
                return Turn::Full;
            }
            self.waiting.push(Waiting { host, asked: now });
        } else if let Some(one) = self.waiting.get_mut(position) {
            one.asked = now;
        }
        let poll = (POLL_MIN, POLL_MAX);
        Turn::Wait { position: position + 1, length: self.waiting.len(), poll }
    }

    /// A slot is free again.
    pub(super) fn give_back(&mut self) {
        self.busy = self.busy.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(n: u8) -> IpAddr {
        [127, 0, 0, n].into()
    }

    #[test]
    fn places_are_kept_in_order_by_those_who_ask_again() {
        let (mut queue, start) = (Queue::new(1), Instant::now());
        let place = |turn| match turn {
            Turn::Wait { position, length, .. } => Some((position, length)),
            _ => None,
        };
        assert_eq!(queue.ask(host(1), start), Turn::Now);
        assert_eq!(place(queue.ask(host(2), start)), Some((1, 1)));
        assert_eq!(place(queue.ask(host(3), start)), Some((2, 2)));
        assert_eq!(place(queue.ask(host(2), start)), Some((1, 2)));
        queue.give_back();
        // Whoever comes first in the queue has the slot, not whoever asks first.
        assert_eq!(place(queue.ask(host(3), start)), Some((2, 2)));
        assert_eq!(queue.ask(host(2), start), Turn::Now);
        queue.give_back();
        // A place that nobody asks for is lost.
        assert_eq!(place(queue.ask(host(4), start)), Some((2, 2)));
        assert_eq!(queue.ask(host(4), start + POLL_MAX), Turn::Now);
    }

    #[test]
    fn the_queue_is_bounded() {
        let (mut queue, now) = (Queue::new(0), Instant::now());
        for n in 0..WAITING_MAX as u8 {
            assert_ne!(queue.ask(host(n), now), Turn::Full);
        }
        assert_eq!(queue.ask(host(200), now), Turn::Full);
    }
}
