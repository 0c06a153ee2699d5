//! Peers of torrents that announced themselves to us (BEP 5), in bounded memory.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use machine::Rng;
use machine::dht::Key;

use super::message::Samples;
use super::table::Seconds;

/// Torrents with peers; the one announced longest ago gives way.
pub const TORRENTS_MAX: usize = 2_000;
/// Peers of one torrent; the one announced longest ago gives way.
pub const TORRENT_PEERS_MAX: usize = 500;
/// Ports of one address in one torrent: a few clients behind one NAT.
pub const ADDRESS_PORTS_MAX: usize = 8;
/// Places of one address in all torrents.
pub const ADDRESS_PEERS_MAX: u32 = 200;
/// Peers in one reply: with the nodes it stays below a kilobyte (BEP 32).
pub const REPLY_PEERS_MAX: usize = 40;
/// Torrents in one sample.
pub const SAMPLE_MAX: usize = 20;
/// Seconds for which a sample stays as it is (BEP 51).
pub const SAMPLE_INTERVAL: Seconds = 600;

#[derive(Clone, Copy, Debug)]
struct Entry {
    addr: SocketAddr,
    at: Seconds,
}

#[derive(Clone, Debug, Default)]
struct Torrent {
    /// In the order of their last announces.
    peers: Vec<Entry>,
    /// Its place in the order of torrents.
    turn: u64,
}

/// What announces left here.
#[derive(Clone, Debug, Default)]
pub(super) struct PeerStore {
    torrents: BTreeMap<Key, Torrent>,
    /// Torrents in the order of their last announces.
    order: BTreeSet<(u64, Key)>,
    /// Places taken by each address.
    places: BTreeMap<IpAddr, u32>,
    turn: u64,
    sample: Option<(Seconds, Arc<[Key]>)>,
}

impl PeerStore {
    /// Lists a peer; whether there was a place for it.
    pub(super) fn announce(&mut self, info_hash: Key, addr: SocketAddr, now: Seconds) -> bool {
        self.turn += 1;
        let torrent = self.torrents.entry(info_hash).or_default();
        let known = torrent.peers.iter().position(|entry| entry.addr == addr);
        if let Some(at) = known {
            torrent.peers.remove(at);
        } else {
            let ip = addr.ip();
            let ports = torrent.peers.iter().filter(|entry| entry.addr.ip() == ip).count();
            let places = self.places.get(&ip).copied().unwrap_or(0);
            if ports >= ADDRESS_PORTS_MAX || places >= ADDRESS_PEERS_MAX {
                if torrent.peers.is_empty() {
                    self.torrents.remove(&info_hash);
                }
                return false;
            }
            *self.places.entry(ip).or_default() += 1;
            if torrent.peers.len() == TORRENT_PEERS_MAX {
                let oldest = torrent.peers.remove(0);
                free(&mut self.places, oldest.addr.ip());
            }
        }
        torrent.peers.push(Entry { addr, at: now });
        self.order.remove(&(torrent.turn, info_hash));
        torrent.turn = self.turn;
        self.order.insert((self.turn, info_hash));
        if self.torrents.len() > TORRENTS_MAX
            && let Some((_, oldest)) = self.order.first().copied()
        {
            self.forget(&oldest);
        }
        true
    }

    /// Some peers of a torrent, by chance if there are many; `None` if there are none.
    pub(super) fn peers(&self, info_hash: &Key, rng: &mut Rng) -> Option<Vec<SocketAddr>> {
        let peers = &self.torrents.get(info_hash)?.peers;
        let start = if peers.len() > REPLY_PEERS_MAX { rng.below(peers.len() as u64) } else { 0 };
        let from = peers.iter().cycle().skip(start as usize);
        Some(from.take(peers.len().min(REPLY_PEERS_MAX)).map(|entry| entry.addr).collect())
    }

    /// All peers of a torrent.
    pub(super) fn listed(&self, info_hash: &Key) -> impl Iterator<Item = SocketAddr> {
        let peers = self.torrents.get(info_hash).map(|torrent| torrent.peers.as_slice());
        peers.unwrap_or_default().iter().map(|entry| entry.addr)
    }

    /// Some torrents, the same for a while (BEP 51).
    pub(super) fn sample(&mut self, now: Seconds, rng: &mut Rng) -> Samples {
        let stale = |drawn: Seconds| now.saturating_sub(drawn) >= SAMPLE_INTERVAL;
        let (drawn, info_hashes) = match self.sample.take() {
            Some((drawn, sample)) if !stale(drawn) => (drawn, sample),
            _ => {
                let mut keys: Vec<Key> = self.torrents.keys().copied().collect();
                rng.shuffle(&mut keys);
                keys.truncate(SAMPLE_MAX);
                (now, keys.into())
            }
        };
        self.sample = Some((drawn, info_hashes.clone()));
        let interval = (drawn + SAMPLE_INTERVAL).saturating_sub(now);
        Samples { interval, total: self.torrents.len() as u32, info_hashes }
    }

    /// Forgets peers that were announced before `before`.
    pub(super) fn expire(&mut self, before: Seconds) {
        let mut empty = Vec::new();
        for (key, torrent) in &mut self.torrents {
            let gone = torrent.peers.partition_point(|entry| entry.at < before);
            for entry in torrent.peers.drain(..gone) {
                free(&mut self.places, entry.addr.ip());
            }
            if torrent.peers.is_empty() {
                empty.push(*key);
            }
        }
        empty.iter().for_each(|key| self.forget(key));
    }

    /// Torrents, and peers of all of them.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.torrents.len(), self.torrents.values().map(|torrent| torrent.peers.len()).sum())
    }

    fn forget(&mut self, key: &Key) {
        if let Some(torrent) = self.torrents.remove(key) {
            self.order.remove(&(torrent.turn, *key));
            torrent.peers.iter().for_each(|entry| free(&mut self.places, entry.addr.ip()));
        }
    }
}

fn free(places: &mut BTreeMap<IpAddr, u32>, ip: IpAddr) {
    if let Some(count) = places.get_mut(&ip) {
        *count -= 1;
        if *count == 0 {
            places.remove(&ip);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(ip: u32, port: u16) -> SocketAddr {
        SocketAddr::new(core::net::Ipv4Addr::from_bits(ip).into(), port)
    }

    fn key(n: u32) -> Key {
        Key::new(0, n)
    }

    #[test]
    fn kr_07_a_million_announces_leave_two_thousand_torrents() {
        let mut store = PeerStore::default();
        for n in 0..1_000_000 {
            store.announce(key(n), addr(n, 1), 0);
        }
        assert_eq!(store.count(), (TORRENTS_MAX, TORRENTS_MAX));
        assert_eq!((store.order.len(), store.places.len()), (TORRENTS_MAX, TORRENTS_MAX));
        assert!(
            store.torrents.contains_key(&key(999_999)) && !store.torrents.contains_key(&key(0))
        );
    }

    #[test]
    fn kr_07_one_torrent_has_five_hundred_peers_and_one_address_few_places() {
        let mut store = PeerStore::default();
        for ip in 0..10_000 {
            assert!(store.announce(key(1), addr(ip, 1), 0));
        }
        assert_eq!(store.count(), (1, TORRENT_PEERS_MAX));
        for port in 1..100 {
            store.announce(key(2), addr(7, port), 0);
        }
        assert_eq!(store.count(), (2, TORRENT_PEERS_MAX + ADDRESS_PORTS_MAX));
        for n in 0..10_000 {
            store.announce(key(10 + n), addr(7, 1), 0);
        }
        assert_eq!(store.places[&addr(7, 1).ip()], ADDRESS_PEERS_MAX);
    }

    #[test]
    fn peers_stay_while_they_announce_themselves() {
        let (mut store, mut rng) = (PeerStore::default(), Rng::new(1));
        store.announce(key(1), addr(1, 1), 10);
        store.announce(key(1), addr(2, 2), 20);
        store.announce(key(1), addr(1, 1), 30);
        store.expire(25);
        assert_eq!(store.peers(&key(1), &mut rng), Some([addr(1, 1)].into()));
        store.expire(31);
        assert_eq!(store.peers(&key(1), &mut rng), None);
        assert!(store.places.is_empty() && store.order.is_empty());
    }

    #[test]
    fn replies_and_samples_are_small() {
        let (mut store, mut rng) = (PeerStore::default(), Rng::new(1));
        for n in 0..100 {
            store.announce(key(1), addr(n, 1), 0);
            store.announce(key(n), addr(1_000, 1), 0);
        }
        assert_eq!(store.peers(&key(1), &mut rng).unwrap().len(), REPLY_PEERS_MAX);
        let sample = store.sample(0, &mut rng);
        assert_eq!((sample.total, sample.info_hashes.len()), (100, SAMPLE_MAX));
        assert_eq!(store.sample(SAMPLE_INTERVAL - 1, &mut rng).info_hashes, sample.info_hashes);
        assert_ne!(store.sample(SAMPLE_INTERVAL, &mut rng).info_hashes, sample.info_hashes);
    }
}
