//! Who may upload from us now, and who waits ("Passive/Active Remote Queueing", PARQ, version 1.1, 2009).
//! Those who wait keep their place for as long as they ask again in time, by a ticket or, if they know
//! nothing of queues, from the same host for the same file. They are called once it is their turn, and
//! before their place is lost. How the queue outlives a restart is told by `kept`.

mod kept;

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
/// Longest time until one may ask again.
const RETRY_MAX: Duration = Duration::from_secs(600);
/// How often somebody is called in vain (PARQ, section 4), and how long there is between two calls.
const CALLS_MAX: u8 = 2;
const CALL_AGAIN: Duration = Duration::from_secs(12);
/// How long a place is kept for somebody who can be called and has not asked again in time.
const CALLED_WITHIN: Duration = Duration::from_secs(30);

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

impl Waiting {
    /// Whether his place is lost.
    fn is_lost(&self, now: Instant) -> bool {
        let rest = if self.node.is_some() { CALLED_WITHIN } else { Duration::ZERO };
        now >= self.until + rest
    }

    /// Whether he can be called again.
    fn is_callable(&self, now: Instant) -> bool {
        let is_rested = self.called.is_none_or(|called| now >= called + CALL_AGAIN);
        self.node.is_some() && self.calls < CALLS_MAX && is_rested
    }
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
        self.waiting.retain(|one| !one.is_lost(now));
        let is_same = |one: &Waiting| {
            one.host == asker.host
                && asker.ticket.map_or(one.sha1 == asker.sha1, |ticket| one.ticket == ticket)
        };
        let known = self.waiting.iter().position(is_same);
        let at = known.unwrap_or(self.waiting.len());
        let position = self.ahead(at, now);
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
        one.calls = 0;
        Turn::Wait(Place { ticket: one.ticket, position: position + 1, length, retry, lifetime })
    }

    /// A slot is free again.
    pub(super) fn give_back(&mut self) {
        self.busy = self.busy.saturating_sub(1);
    }

    /// Somebody to be called, as it is his turn or he has not asked again in time; only for files that
    /// `is_shared`.
    pub(super) fn next_call(
        &mut self,
        now: Instant,
        is_shared: impl Fn(Sha1) -> bool,
    ) -> Option<(Ticket, SocketAddr)> {
        self.waiting.retain(|one| !one.is_lost(now));
        let is_due = |at: &usize| {
            let one = &self.waiting[*at];
            let is_time = now >= one.until || self.ahead(*at, now) < self.free();
            is_time && one.is_callable(now) && is_shared(one.sha1)
        };
        let at = (0..self.waiting.len()).find(is_due)?;
        let one = &mut self.waiting[at];
        one.calls += 1;
        (one.called, one.not_before) = (Some(now), one.not_before.min(now));
        Some((one.ticket, one.node?))
    }

    /// How many before a place hold him up.
    fn ahead(&self, at: usize, now: Instant) -> usize {
        self.waiting[..at].iter().filter(|one| now < one.not_before + OVERDUE).count()
    }

    fn free(&self) -> usize {
        self.slots.saturating_sub(self.busy)
    }
}

/// When somebody at this position may ask again (PARQ, section 4).
fn retry(position: usize) -> Duration {
    match position {
        0..=20 => Duration::from_secs(30 + 20 * (position as u64).saturating_sub(1)),
        _ => RETRY_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn asker(n: u8) -> Asker {
        let node = SocketAddr::from(([127, 0, 0, n], 6_346));
        Asker { host: node.ip(), sha1: Sha1([0; 20]), ticket: None, node: Some(node) }
    }

    pub(super) fn ask(queue: &mut Queue, n: u8, now: Instant) -> Turn {
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

    /// The number of whoever is called.
    fn called(queue: &mut Queue, now: Instant) -> Option<u8> {
        let (ticket, node) = queue.next_call(now, |_| true)?;
        assert_eq!(node, SocketAddr::from(([127, 0, 0, ticket.0[0]], 6_346)));
        Some(ticket.0[0])
    }

    #[test]
    fn whose_turn_it_is_is_called_and_not_too_often() {
        let (mut queue, now) = (Queue::new(1), Instant::now());
        for n in 1..=4 {
            ask(&mut queue, n, now);
        }
        assert_eq!(called(&mut queue, now), None, "nothing is free");
        queue.give_back();
        assert_eq!(called(&mut queue, now), Some(2));
        assert_eq!(called(&mut queue, now), None);
        assert_eq!(called(&mut queue, now + CALL_AGAIN), Some(2));
        assert_eq!(called(&mut queue, now + 2 * CALL_AGAIN), None);
        // Who does not come holds up nobody for long: the next is called.
        let later = now + OVERDUE;
        assert_eq!(called(&mut queue, later), Some(3));
        assert_eq!(ask(&mut queue, 3, later), Turn::Now, "long before it would have asked");
        assert_eq!(called(&mut queue, later), None);
    }

    #[test]
    fn who_does_not_ask_in_time_is_called_before_the_place_is_lost() {
        let (mut queue, start) = (Queue::new(0), Instant::now());
        for n in 1..=2 {
            ask(&mut queue, n, start);
        }
        let hidden = Asker { node: None, ..asker(3) };
        queue.ask(hidden, Ticket([3; 16]), start);
        let until = start + KEPT;
        assert_eq!(called(&mut queue, until - EARLY), None, "in time yet");
        assert_eq!(
            queue.next_call(until, |_| false),
            None,
            "nobody is called for what is not shared"
        );
        assert_eq!(queue.waiting.len(), 2, "who cannot be called is gone");
        assert_eq!(called(&mut queue, until), Some(1));
        assert_eq!(called(&mut queue, until), Some(2));
        assert_eq!(called(&mut queue, until), None);
        // Who comes has his place again, for the usual time, and may be called again after it.
        assert_eq!(place(ask(&mut queue, 2, until + EARLY)), Some((1, 2)));
        assert_eq!(called(&mut queue, until + CALL_AGAIN), Some(1));
        let gone = until + CALLED_WITHIN;
        assert_eq!(called(&mut queue, gone), None);
        assert_eq!(queue.waiting.len(), 1);
        assert_eq!(place(ask(&mut queue, 1, gone)), Some((2, 2)), "behind who came");
        assert_eq!(called(&mut queue, until + EARLY + KEPT), Some(2));
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
