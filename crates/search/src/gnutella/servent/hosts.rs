//! Ultrapeers that were heard of, to be dialled when neighbours are wanted: bounded, the best
//! known first, with a form that is kept between runs.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::SocketAddr;
use core::time::Duration;

use machine::{Instant, Rng};

use super::address::{Address, is_dialable};

/// Most addresses that are kept.
pub const HOSTS_MAX: usize = 1_000;
/// Most addresses on one host.
const PER_HOST: usize = 4;
/// Dials in a row that may fail before an address is forgotten.
const FAILURES_MAX: u8 = 3;
/// The same of one that has answered before: the network may have been away, not the host.
const PROVEN_FAILURES_MAX: u8 = 12;
/// How long an address rests after a dial; twice as long after each that failed, up to 16 minutes.
const REST: Duration = Duration::from_secs(30);
/// Failures after which the rest grows no longer.
const RESTS_MAX: u8 = 5;

#[derive(Clone, Copy, Debug, Default)]
struct Host {
    failures: u8,
    /// Whether a handshake with it has come to an end.
    proven: bool,
    rests_until: Instant,
}

/// Addresses by contact.
#[derive(Debug)]
pub(super) struct Hosts<C> {
    hosts: BTreeMap<C, Host>,
    local: bool,
}

impl<C: Address> Hosts<C> {
    pub(super) const fn new(local: bool) -> Self {
        Self { hosts: BTreeMap::new(), local }
    }

    pub(super) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Hears of an address, from whomever.
    pub(super) fn hear(&mut self, addr: SocketAddr, rng: &mut Rng) {
        if !is_dialable(addr, self.local) {
            return;
        }
        let Some(contact) = C::from_socket(addr) else { return };
        if self.hosts.contains_key(&contact) {
            return;
        }
        // Whoever has many addresses on one host does not fill the cache with them.
        if !self.local {
            let same = self.hosts.keys().filter(|known| known.host() == contact.host());
            if same.count() >= PER_HOST {
                return;
            }
        }
        if self.hosts.len() >= HOSTS_MAX {
            let at = rng.below(self.hosts.len() as u64) as usize;
            let unproven = self.hosts.iter().skip(at).find(|(_, host)| !host.proven);
            let Some(gone) = unproven.map(|(gone, _)| *gone) else { return };
            self.hosts.remove(&gone);
        }
        self.hosts.insert(contact, Host::default());
    }

    /// Hears from our user, who may name any address.
    pub(super) fn trust(&mut self, contact: C) {
        if self.hosts.len() < HOSTS_MAX {
            self.hosts.entry(contact).or_default().proven = true;
        }
    }

    /// An address to dial, which then rests.
    pub(super) fn take(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        mut is_busy: impl FnMut(&C) -> bool,
    ) -> Option<C> {
        let ready = |(contact, host): &(&C, &Host)| host.rests_until <= now && !is_busy(contact);
        let mut ready: Vec<(C, bool)> = self
            .hosts
            .iter()
            .filter(ready)
            .map(|(contact, host)| (*contact, host.proven))
            .collect();
        if ready.iter().any(|(_, proven)| *proven) && rng.below(4) != 0 {
            ready.retain(|(_, proven)| *proven);
        }
        let contact = rng.pick(&ready)?.0;
        let host = self.hosts.get_mut(&contact)?;
        host.rests_until = now + REST * (1 << host.failures.min(RESTS_MAX));
        Some(contact)
    }

    /// What became of a dial.
    pub(super) fn dialled(&mut self, contact: &C, shaken: bool) {
        let Some(host) = self.hosts.get_mut(contact) else { return };
        if shaken {
            (host.proven, host.failures) = (true, 0);
            return;
        }
        host.failures += 1;
        let most = if host.proven { PROVEN_FAILURES_MAX } else { FAILURES_MAX };
        if host.failures >= most {
            self.hosts.remove(contact);
        }
    }

    /// Some addresses to tell others, `max` at most.
    pub(super) fn some(&self, max: usize, rng: &mut Rng) -> Vec<SocketAddr> {
        let mut all: Vec<_> =
            self.hosts.iter().filter(|(_, host)| host.proven).map(|(c, _)| c.socket()).collect();
        rng.shuffle(&mut all);
        all.truncate(max);
        all
    }

    /// The form to be kept: an address a line, those that answered before the others.
    pub(super) fn save(&self) -> String {
        let mut text = String::new();
        for proven in [true, false] {
            for (contact, _) in self.hosts.iter().filter(|(_, host)| host.proven == proven) {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{}", contact.socket());
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gn_08_addresses_from_strangers_are_bounded_and_public() {
        let mut hosts: Hosts<SocketAddr> = Hosts::new(false);
        let mut rng = Rng::new(1);
        for text in ["127.0.0.1:1", "10.0.0.1:2", "8.8.8.8:0", "224.1.1.1:6"] {
            hosts.hear(text.parse().unwrap(), &mut rng);
        }
        assert_eq!(hosts.len(), 0);
        for port in 1..100 {
            hosts.hear(SocketAddr::from(([8, 8, 8, 8], port)), &mut rng);
        }
        assert_eq!(hosts.len(), PER_HOST);
        for n in 0..5_000u32 {
            let ip = (0x1400_0000 + n * 7).to_be_bytes();
            hosts.hear(SocketAddr::from((ip, 6_346)), &mut rng);
        }
        assert_eq!(hosts.len(), HOSTS_MAX);
    }

    #[test]
    fn addresses_that_fail_are_forgotten_and_those_that_answer_are_told() {
        let mut hosts: Hosts<SocketAddr> = Hosts::new(true);
        let mut rng = Rng::new(2);
        let (good, bad) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.2:1".parse().unwrap());
        hosts.hear(good, &mut rng);
        hosts.hear(bad, &mut rng);
        hosts.dialled(&good, true);
        (0..3).for_each(|_| hosts.dialled(&bad, false));
        (0..11).for_each(|_| hosts.dialled(&good, false));
        assert_eq!(hosts.len(), 1);
        hosts.dialled(&good, true);
        assert_eq!(hosts.some(9, &mut rng), [good]);
        assert_eq!(hosts.save(), "127.0.0.1:1\n");
        assert_eq!(hosts.take(Instant::ZERO, &mut rng, |_| false), Some(good));
        assert_eq!(hosts.take(Instant::ZERO, &mut rng, |_| false), None);
        let later = Instant::ZERO + REST;
        assert_eq!(hosts.take(later, &mut rng, |_| true), None);
        assert_eq!(hosts.take(later, &mut rng, |_| false), Some(good));
    }
}
