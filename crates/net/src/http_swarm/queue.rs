//! Who may upload from us now, and who waits ("Passive/Active Remote Queueing", PARQ, version 1.1, 2009).
//! Those who wait keep their place for as long as they ask again in time, by a ticket or, if they know
//! nothing of queues, from the same host for the same file. Once it is their turn they are called.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use codec::hex::Hex;
use search::gnutella::Sha1;

/// Most who wait.
const WAITING_MAX: usize = 64;
/// Most places of one host.
const HOST_MAX: usize = 4;
/// How long a place is kept without a word (PARQ, section 3).
const KEPT: Duration = Duration::from_secs(300);
/// How much longer a place is kept than until one may ask again.
const GRACE: Duration = Duration::from_secs(60);
/// How long after he could have asked somebody does not hold others up any more.
const OVERDUE: Duration = Duration::from_secs(30);
/// How much too early one may ask.
const EARLY: Duration = Duration::from_secs(2);
/// How often one may ask too early before his place is lost.
const EARLY_MAX: u8 = 3;
/// How often somebody is called, and how long there is between two calls.
const CALLS_MAX: u8 = 2;
const CALL_AGAIN: Duration = Duration::from_secs(12);

/// What one shows to have his place in a queue again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket([u8; 16]);

impl Ticket {
    /// A new one.
    pub(super) fn random() -> Option<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// One of ours, as it was written.
    pub(super) fn parse(text: &str) -> Option<Self> {
        codec::hex::decode(text).map(Self)
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

/// Somebody who asks for a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub(super) host: IpAddr,
    pub(super) sha1: Sha1,
    /// What he was given before.
    pub(super) ticket: Option<Ticket>,
    /// Where he can be called.
    pub(super) node: Option<SocketAddr>,
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) ticket: Ticket,
    /// From 1.
    pub(super) position: usize,
    /// How many wait.
    pub(super) length: usize,
    /// Earliest moment to ask again.
    pub(super) retry: Duration,
    /// How long the place is kept.
    pub(super) lifetime: Duration,
}

/// What becomes of somebody who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// A slot, to be given back.
    Now,
    /// A place in the queue.
    Wait(Place),
    /// The queue is full, or he asks too often.
    Full,
}

#[derive(Debug)]
struct Waiting {
    ticket: Ticket,
    host: IpAddr,
    sha1: Sha1,
    node: Option<SocketAddr>,
    not_before: Instant,
    until: Instant,
    early: u8,
    calls: u8,
    called: Option<Instant>,
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

    /// Whether somebody waits.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Somebody asks for a slot; if he has to wait it may be with a `fresh` ticket.
    pub(super) fn ask(&mut self, asker: Asker, fresh: Ticket, now: Instant) -> Turn {
        self.waiting.retain(|one| now < one.until);
        let is_same = |one: &Waiting| {
            one.host == asker.host
                && asker.ticket.map_or(one.sha1 == asker.sha1, |ticket| one.ticket == ticket)
        };
        let known = self.waiting.iter().position(is_same);
        let at = known.unwrap_or(self.waiting.len());
        let ahead = &self.waiting[..at];
        let position = ahead.iter().filter(|one| now < one.not_before + OVERDUE).count();
        if position < self.free() {
            known.map(|at| self.waiting.remove(at));
            self.busy += 1;
            return Turn::Now;
        }
        if known.is_none() {
            let his = self.waiting.iter().filter(|one| one.host == asker.host).count();
            if self.waiting.len() >= WAITING_MAX || his >= HOST_MAX {
                return Turn::Full;
            }
            let Asker { host, sha1, .. } = asker;
            self.waiting.push(Waiting {
                ticket: fresh,
                host,
                sha1,
                node: None,
                not_before: now,
                until: now,
                early: 0,
                calls: 0,
                called: None,
            });
        }
        let length = self.waiting.len();
        let one = &mut self.waiting[at];
        if now + EARLY < one.not_before {
            one.early += 1;
            if one.early > EARLY_MAX {
                self.waiting.remove(at);
                return Turn::Full;
            }
        }
        let retry = retry(position + 1);
        let lifetime = KEPT.max(retry + GRACE);
        (one.not_before, one.until, one.node) = (now + retry, now + lifetime, asker.node);
        Turn::Wait(Place { ticket: one.ticket, position: position + 1, length, retry, lifetime })
    }

    /// A slot is free again.
    pub(super) fn give_back(&mut self) {
        self.busy = self.busy.saturating_sub(1);
    }

    /// Somebody whose turn it is, to be called.
    pub(super) fn next_call(&mut self, now: Instant) -> Option<(Ticket, SocketAddr)> {
        let free = self.free();
        let is_due = |one: &Waiting| {
            let rested = one.called.is_none_or(|called| now >= called + CALL_AGAIN);
            one.calls < CALLS_MAX && rested && now < one.until
        };
        let due = self.waiting.iter_mut().take(free).find(|one| one.node.is_some() && is_due(one));
        let one = due?;
        one.calls += 1;
        (one.called, one.not_before) = (Some(now), now);
        Some((one.ticket, one.node?))
    }

    fn free(&self) -> usize {
        self.slots.saturating_sub(self.busy)
    }
}

/// When somebody at this position may ask again (PARQ, section 4).
fn retry(position: usize) -> Duration {
    match position {
        0..=20 => Duration::from_secs(30 + 20 * (position as u64).saturating_sub(1)),
        _ => Duration::from_secs(600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(n: u8) -> Asker {
        let node = SocketAddr::from(([127, 0, 0, n], 6_346));
        Asker { host: node.ip(), sha1: Sha1([0; 20]), ticket: None, node: Some(node) }
    }

    fn ask(queue: &mut Queue, n: u8, now: Instant) -> Turn {
        queue.ask(asker(n), Ticket([n; 16]), now)
    }

    fn place(turn: Turn) -> Option<(usize, usize)> {
        match turn {
            Turn::Wait(place) => Some((place.position, place.length)),
            _ => None,
        }
    }

    #[test]
    fn places_are_kept_in_order_by_those_who_ask_again() {
        let (mut queue, start) = (Queue::new(1), Instant::now());
        assert_eq!(ask(&mut queue, 1, start), Turn::Now);
        assert_eq!(place(ask(&mut queue, 2, start)), Some((1, 1)));
        assert_eq!(place(ask(&mut queue, 3, start)), Some((2, 2)));
        let later = start + Duration::from_secs(30);
        assert_eq!(place(ask(&mut queue, 2, later)), Some((1, 2)));
        queue.give_back();
        // Whoever comes first in the queue has the slot, not whoever asks first.
        let later = start + Duration::from_secs(50);
        assert_eq!(place(ask(&mut queue, 3, later)), Some((2, 2)));
        assert_eq!(ask(&mut queue, 2, later), Turn::Now);
        queue.give_back();
        // Somebody who is overdue holds nobody up, and a place that nobody asks for is lost.
        assert_eq!(place(ask(&mut queue, 4, later)), Some((2, 2)));
        let overdue = later + retry(2) + OVERDUE;
        assert_eq!(ask(&mut queue, 4, overdue), Turn::Now);
        assert_eq!(queue.waiting.len(), 1);
        queue.give_back();
        assert_eq!(ask(&mut queue, 5, overdue + KEPT), Turn::Now);
        assert!(!queue.has_waiting());
    }

    #[test]
    fn a_ticket_is_a_place_and_only_its_hosts() {
        let (mut queue, now) = (Queue::new(0), Instant::now());
        let one = asker(1);
        let Turn::Wait(first) = queue.ask(one, Ticket([1; 16]), now) else { panic!("a place") };
        assert_eq!((first.retry.as_secs(), first.lifetime), (30, KEPT));
        let other = Asker { sha1: Sha1([1; 20]), ..one };
        assert_eq!(place(queue.ask(other, Ticket([2; 16]), now)), Some((2, 2)));
        // The ticket counts, not the file; a stranger's counts for nothing.
        let shown = Asker { ticket: Some(first.ticket), ..other };
        assert_eq!(place(queue.ask(shown, Ticket([3; 16]), now)), Some((1, 2)));
        let thief = Asker { ticket: Some(first.ticket), ..asker(9) };
        assert_eq!(place(queue.ask(thief, Ticket([4; 16]), now)), Some((3, 3)));
        // One host has few places, and loses one by asking again and again.
        for n in 2..4 {
            queue.ask(Asker { sha1: Sha1([n; 20]), ..one }, Ticket([n + 10; 16]), now);
        }
        let more = Asker { sha1: Sha1([9; 20]), ..one };
        assert_eq!(queue.ask(more, Ticket([20; 16]), now), Turn::Full);
        let turns: Vec<_> = (0..3).map(|_| queue.ask(shown, Ticket([5; 16]), now)).collect();
        assert_eq!(turns.last(), Some(&Turn::Full));
        assert_eq!(place(queue.ask(other, Ticket([6; 16]), now)), Some((1, 4)));
    }

    #[test]
    fn whose_turn_it_is_is_called_and_not_too_often() {
        let (mut queue, now) = (Queue::new(1), Instant::now());
        for n in 1..=3 {
            ask(&mut queue, n, now);
        }
        assert_eq!(queue.next_call(now), None, "nothing is free");
        queue.give_back();
        let call = Some((Ticket([2; 16]), SocketAddr::from(([127, 0, 0, 2], 6_346))));
        assert_eq!(queue.next_call(now), call);
        assert_eq!(queue.next_call(now), None);
        assert_eq!(queue.next_call(now + CALL_AGAIN), call);
        assert_eq!(queue.next_call(now + 2 * CALL_AGAIN), None);
        assert_eq!(ask(&mut queue, 2, now), Turn::Now, "long before it would have asked");
    }

    #[test]
    fn the_queue_is_bounded() {
        let (mut queue, now) = (Queue::new(0), Instant::now());
        for n in 0..WAITING_MAX as u8 {
            assert_ne!(ask(&mut queue, n, now), Turn::Full);
        }
        assert_eq!(ask(&mut queue, 200, now), Turn::Full);
        let waits: Vec<u64> = [1, 2, 20, 21].map(|position| retry(position).as_secs()).into();
        assert_eq!(waits, [30, 50, 410, 600]);
    }
}
