//! Connections that were asked for by an address which may be forged. Each costs a few bytes of
//! memory, and gets one answer no longer than what was asked, until the other end shows that it
//! receives at its address.

use alloc::collections::{BTreeMap, VecDeque};
use core::net::SocketAddr;
use core::time::Duration;

use machine::Instant;

use super::Config;
use super::seq::SeqNr;

/// How long the other end has to answer: longer than it takes an end that has nothing to say to
/// send something all the same.
const LIFETIME: Duration = Duration::from_secs(60);

/// The address of the other end, and the number that packets to this end carry.
pub(super) type Key = (SocketAddr, u16);

/// What was said so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HalfOpen {
    /// Number of the SYN.
    pub syn: SeqNr,
    /// Number of our first packet; only who has read our answer knows it.
    pub seq_nr: SeqNr,
    /// Largest datagram that the other end takes.
    pub max_datagram: Option<u16>,
    since: Instant,
}

/// All of them, bounded.
#[derive(Debug, Default)]
pub(super) struct HalfOpens {
    entries: BTreeMap<Key, HalfOpen>,
    /// Oldest first; an entry that is gone, or was opened again later, is skipped.
    order: VecDeque<(Instant, Key)>,
}

impl HalfOpens {
    /// Remembers a SYN, or finds that it was seen before. `None` if its address has too many.
    pub(super) fn open(
        &mut self,
        now: Instant,
        config: &Config,
        key: Key,
        syn: SeqNr,
        max_datagram: Option<u16>,
        seq_nr: SeqNr,
    ) -> Option<HalfOpen> {
        self.forget_old(now);
        if let Some(entry) = self.entries.get(&key) {
            return (entry.syn == syn).then_some(*entry);
        }
        let ip = key.0.ip();
        let of_ip = self
            .entries
            .range((SocketAddr::new(ip, 0), 0)..)
            .take_while(|((address, _), _)| address.ip() == ip)
            .take(config.max_half_open_per_ip)
            .count();
        if of_ip >= config.max_half_open_per_ip || config.max_half_open == 0 {
            return None;
        }
        // The oldest has had the most time to answer.
        while self.entries.len() >= config.max_half_open {
            let (since, oldest) = self.order.pop_front()?;
            self.remove_if(oldest, since);
        }
        let entry = HalfOpen { syn, seq_nr, max_datagram, since: now };
        self.entries.insert(key, entry);
        self.order.push_back((now, key));
        Some(entry)
    }

    /// Takes out the entry whose answer is acknowledged by `ack_nr`.
    pub(super) fn confirm(&mut self, now: Instant, key: Key, ack_nr: SeqNr) -> Option<HalfOpen> {
        let entry = *self.entries.get(&key)?;
        if ack_nr != entry.seq_nr.prev() || now - entry.since >= LIFETIME {
            return None;
        }
        self.entries.remove(&key)
    }

    /// Whether there is one with this key.
    pub(super) fn contains(&self, key: &Key) -> bool {
        self.entries.contains_key(key)
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some(&(since, key)) = self.order.front()
            && (now - since >= LIFETIME || !self.entries.contains_key(&key))
        {
            self.order.pop_front();
            self.remove_if(key, since);
        }
        // Confirmed entries leave their place in the order behind.
        if self.order.len() > 2 * self.entries.len() + 64 {
            let entries = &self.entries;
            self.order.retain(|(since, key)| entries.get(key).is_some_and(|e| e.since == *since));
        }
    }

    fn remove_if(&mut self, key: Key, since: Instant) {
        if self.entries.get(&key).is_some_and(|entry| entry.since == since) {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn config() -> Config {
        Config { max_half_open: 100, max_half_open_per_ip: 5, ..Config::default() }
    }

    fn key(ip: u32, port: u16, id: u16) -> Key {
        ((Ipv4Addr::from(ip), port).into(), id)
    }

    #[test]
    fn ut_07_a_flood_of_syns_takes_bounded_memory() {
        let mut all = HalfOpens::default();
        let config = config();
        for n in 0..100_000u32 {
            let now = Instant::from_nanos(u64::from(n) * 1_000);
            all.open(now, &config, key(n, 1, n as u16), SeqNr(1), None, SeqNr(2));
            assert!(all.entries.len() <= 100 && all.order.len() <= 300);
        }
        // The latest are still known.
        let now = Instant::from_nanos(100_000_000);
        assert!(all.confirm(now, key(99_999, 1, 99_999u32 as u16), SeqNr(1)).is_some());
    }

    #[test]
    fn ut_07_one_address_opens_few() {
        let mut all = HalfOpens::default();
        let opened = (0..50)
            .filter(|&n| {
                let key = key(7, n, n);
                all.open(Instant::ZERO, &config(), key, SeqNr(1), None, SeqNr(2)).is_some()
            })
            .count();
        assert_eq!(opened, 5);
        assert!(
            all.open(Instant::ZERO, &config(), key(8, 1, 1), SeqNr(1), None, SeqNr(2)).is_some()
        );
        let later = Instant::ZERO + LIFETIME;
        assert!(all.open(later, &config(), key(7, 9, 9), SeqNr(1), None, SeqNr(2)).is_some());
    }

    #[test]
    fn only_who_read_the_answer_is_confirmed() {
        let mut all = HalfOpens::default();
        let key = key(1, 1, 1);
        let first = all.open(Instant::ZERO, &config(), key, SeqNr(1), None, SeqNr(500)).unwrap();
        let again = all.open(Instant::ZERO, &config(), key, SeqNr(1), None, SeqNr(900)).unwrap();
        assert_eq!(first, again, "a repeated SYN gets the same answer");
        assert_eq!(all.open(Instant::ZERO, &config(), key, SeqNr(2), None, SeqNr(9)), None);
        assert_eq!(all.confirm(Instant::ZERO, key, SeqNr(500)), None);
        assert!(all.confirm(Instant::ZERO, key, SeqNr(499)).is_some());
        assert_eq!(all.confirm(Instant::ZERO, key, SeqNr(499)), None);
    }
}
