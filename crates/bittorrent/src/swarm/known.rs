//! Addresses of a swarm: which are worth a dial, which failed, which hosts are refused.
//! Nothing here knows connections; the machine says what became of each.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use machine::Instant;

use super::PeerContact;
use super::message::{PeerSource, limits};
use crate::extension::PexFlags;

/// First pause after a failed dial; doubled by each further failure.
const RETRY_FIRST: Duration = Duration::from_secs(15);
/// Failures after which an address is forgotten.
const FAILURES_MAX: u8 = 6;
/// Hosts refused at most; past that the oldest by order goes.
const BANNED_MAX: usize = 1_000;

#[derive(Clone, Copy, Debug)]
struct Entry {
    source: PeerSource,
    flags: PexFlags,
    failures: u8,
    next_try: Instant,
    busy: bool,
}

/// The table of addresses.
#[derive(Debug)]
pub(super) struct Known<C: PeerContact> {
    entries: BTreeMap<C, Entry>,
    /// Contacts without their port.
    banned: BTreeSet<C>,
}

impl<C: PeerContact> Known<C> {
    pub(super) fn new() -> Self {
        Self { entries: BTreeMap::new(), banned: BTreeSet::new() }
    }

    /// Adds an address; one that is known keeps its better source and learns new flags.
    pub(super) fn add(&mut self, contact: C, source: PeerSource, flags: PexFlags, now: Instant) {
        if self.is_banned(contact) {
            return;
        }
        if let Some(entry) = self.entries.get_mut(&contact) {
            entry.source = entry.source.min(source);
            entry.flags.0 |= flags.0;
            if source == PeerSource::User {
                entry.failures = 0;
                entry.next_try = now;
            }
        } else if self.entries.len() < limits::KNOWN_MAX || self.make_room(source) {
            let entry = Entry { source, flags, failures: 0, next_try: now, busy: false };
            self.entries.insert(contact, entry);
        }
    }

    /// Drops the least useful idle address if `source` is no worse than where it came from.
    fn make_room(&mut self, source: PeerSource) -> bool {
        let worst = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.busy)
            .max_by_key(|(_, entry)| (entry.failures, entry.source))
            .filter(|(_, entry)| entry.failures > 0 || entry.source > source)
            .map(|(contact, _)| *contact);
        worst.is_some_and(|contact| self.entries.remove(&contact).is_some())
    }

    /// The best address to dial now: fewest failures, best source, then the highest `rank`.
    pub(super) fn next(&mut self, now: Instant, rank: impl Fn(&C) -> u32) -> Option<(C, PexFlags)> {
        let (contact, entry) = self
            .entries
            .iter_mut()
            .filter(|(_, entry)| !entry.busy && entry.next_try <= now)
            .min_by_key(|(contact, entry)| (entry.failures, entry.source, !rank(contact)))?;
        entry.busy = true;
        Some((*contact, entry.flags))
    }

    /// Whether any address waits, now or later.
    pub(super) fn has_idle(&self) -> bool {
        self.entries.values().any(|entry| !entry.busy)
    }

    /// Addresses that are not connected.
    pub(super) fn idle_count(&self) -> usize {
        self.entries.values().filter(|entry| !entry.busy).count()
    }

    /// Marks an address as connected, so that it is not dialled.
    pub(super) fn connected(&mut self, contact: C) {
        if let Some(entry) = self.entries.get_mut(&contact) {
            entry.busy = true;
        }
    }

    /// A dial failed, or a connection broke before its handshake.
    pub(super) fn failed(&mut self, contact: C, now: Instant) {
        let Some(entry) = self.entries.get_mut(&contact) else { return };
        entry.busy = false;
        entry.failures = entry.failures.saturating_add(1);
        entry.next_try = now + RETRY_FIRST * (1 << (entry.failures.min(FAILURES_MAX) - 1));
        if entry.failures >= FAILURES_MAX && entry.source != PeerSource::User {
            self.entries.remove(&contact);
        }
    }

    /// A connection that worked has ended; try again after `pause`.
    pub(super) fn ended(&mut self, contact: C, pause: Duration, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&contact) {
            entry.busy = false;
            entry.failures = 0;
            entry.next_try = now + pause;
        }
    }

    /// Forgets an address for good: it is ourselves, or not a peer of this torrent.
    pub(super) fn forget(&mut self, contact: C) {
        self.entries.remove(&contact);
    }

    /// Refuses a host from now on; on our own host, where many peers may live, one port.
    pub(super) fn ban(&mut self, contact: C) {
        if self.banned.len() >= BANNED_MAX {
            self.banned.pop_first();
        }
        let refused = key(contact);
        self.banned.insert(refused);
        self.entries.retain(|contact, _| key(*contact) != refused);
    }

    pub(super) fn is_banned(&self, contact: C) -> bool {
        self.banned.contains(&key(contact))
    }
}

/// What of a contact is refused.
fn key<C: PeerContact>(contact: C) -> C {
    if contact.is_loopback() { contact } else { contact.with_port(0) }
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;
    use std::vec::Vec;

    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn known(ports: &[u16], source: PeerSource) -> Known<SocketAddr> {
        let mut known = Known::new();
        ports
            .iter()
            .for_each(|&port| known.add(at(port), source, PexFlags::default(), Instant::ZERO));
        known
    }

    #[test]
    fn dials_the_highest_rank_once() {
        let mut known = known(&[1, 2, 3], PeerSource::Tracker);
        let mut order = Vec::new();
        while let Some((contact, _)) = known.next(Instant::ZERO, |c| u32::from(c.port() % 3)) {
            order.push(contact.port());
        }
        assert_eq!(order, [2, 1, 3]);
    }

    #[test]
    fn failed_addresses_wait_longer_each_time_and_are_forgotten() {
        let mut known = known(&[1], PeerSource::Tracker);
        let mut now = Instant::ZERO;
        let mut pauses = Vec::new();
        while !known.entries.is_empty() {
            let began = now;
            while known.next(now, |_| 0).is_none() {
                now = now + Duration::from_secs(1);
            }
            pauses.push((now - began).as_secs());
            known.failed(at(1), now);
        }
        assert_eq!(pauses, [0, 15, 30, 60, 120, 240]);
    }

    #[test]
    fn table_is_bounded_and_prefers_better_sources() {
        let ports: Vec<u16> = (1..=limits::KNOWN_MAX as u16 + 10).collect();
        let mut known = known(&ports, PeerSource::Pex);
        assert_eq!(known.entries.len(), limits::KNOWN_MAX);
        known.add(at(60_000), PeerSource::Tracker, PexFlags::default(), Instant::ZERO);
        assert!(known.entries.contains_key(&at(60_000)));
        assert_eq!(known.entries.len(), limits::KNOWN_MAX);
    }

    #[test]
    fn banned_hosts_are_refused_whatever_their_port() {
        let mut known = known(&[1], PeerSource::User);
        let far = |port| SocketAddr::from(([198, 18, 0, 1], port));
        known.ban(far(1));
        known.add(far(2), PeerSource::User, PexFlags::default(), Instant::ZERO);
        assert!(known.is_banned(far(9)) && !known.entries.contains_key(&far(2)));
        known.ban(at(1));
        assert!(known.is_banned(at(1)) && !known.is_banned(at(2)), "loopback: by port");
    }
}
