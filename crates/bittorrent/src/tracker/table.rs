//! What a tracker knows: which peers are in which swarm. Pure: time and randomness come in, nothing
//! goes out but answers. A tracker that uses several threads keeps several tables, each with a
//! share of the torrents.
//!
//! Peers are known by address and port, are handed out to their own address family only (a client
//! with both announces over both, BEP 7), and are forgotten when they have not announced for a
//! lifetime. A seed is told of no other seeds.

mod peers;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use hashbrown::HashTable;
use machine::{Instant, Rng};

use self::peers::{PeerList, STAMP_PERIOD, Stamp};
use super::siphash::SipKey;
use super::{AnnounceRequest, Event, ScrapeEntry};
use crate::id::InfoHash;

/// Stamps count in this fraction of a lifetime.
const TICKS_PER_LIFETIME: u64 = 1 << 10;
const _: () = assert!(STAMP_PERIOD > 2 * TICKS_PER_LIFETIME);

/// How much a table holds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most torrents; announces of further ones are refused.
    pub torrents: usize,
    /// Most peers of one torrent; further ones are answered, and not remembered.
    pub peers_per_torrent: usize,
    /// Most peers in all; further ones are answered, and not remembered.
    pub peers: usize,
    /// How long a peer is remembered after its announce. Rounded to 1/1024.
    pub lifetime: Duration,
}

/// What a peer is to its swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has everything.
    Seed,
    /// It wants something.
    Leecher,
    /// It lacks something and does not want it (BEP 21).
    PartialSeed,
    /// It is leaving.
    Gone,
}

impl Standing {
    /// What a peer is by its own announce.
    #[must_use]
    pub fn of(request: &AnnounceRequest) -> Self {
        match request.event {
            Event::Stopped => Self::Gone,
            _ if request.left == 0 => Self::Seed,
            Event::Paused => Self::PartialSeed,
            _ => Self::Leecher,
        }
    }
}

/// An announce, as far as the table is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Announce {
    /// The swarm.
    pub info_hash: InfoHash,
    /// Where the peer accepts connections.
    pub address: SocketAddr,
    /// What it is.
    pub standing: Standing,
    /// It says that it has just completed. Believed once, of a peer that was no seed before.
    pub completed: bool,
    /// It has just begun. Then even a seed hears of seeds: aria2 says of a magnet link, of which it
    /// has nothing, that nothing is left.
    pub started: bool,
}

/// The size of a swarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Peers that have everything.
    pub seeders: u32,
    /// The others.
    pub leechers: u32,
}

/// A torrent too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tracker has no room for another torrent")]
pub struct TableFull;

/// What a step of [`Table::expire`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Peers forgotten.
    pub peers: usize,
    /// Torrents forgotten, for they had no peers left.
    pub torrents: usize,
}

/// Swarms and their peers.
pub struct Table {
    limits: Limits,
    key: SipKey,
    swarms: Vec<Swarm>,
    /// Places in `swarms`.
    index: HashTable<u32>,
    peers: usize,
    sweep: Sweep,
}

/// Where [`Table::expire`] goes on.
#[derive(Clone, Copy, Debug, Default)]
struct Sweep {
    swarm: usize,
    list: usize,
    peer: usize,
}

struct Swarm {
    info_hash: [u8; 20],
    completed: u32,
    v4: Peers<6>,
    v6: Option<Box<Peers<18>>>,
}

/// The peers of one family. Partial seeds are among the leechers, and counted.
#[derive(Default)]
struct Peers<const N: usize> {
    seeds: PeerList<N>,
    leechers: PeerList<N>,
    partial: u32,
}

/// What an announce did to the number of peers.
struct Change {
    added: bool,
    removed: bool,
    completed: bool,
}

/// The time as lists need it.
#[derive(Clone, Copy)]
struct Clock {
    tick: u64,
}

impl Table {
    /// An empty table. The key keeps strangers from choosing hashes that collide.
    #[must_use]
    pub fn new(limits: Limits, key: SipKey) -> Self {
        Self {
            limits,
            key,
            swarms: Vec::new(),
            index: HashTable::new(),
            peers: 0,
            sweep: Sweep::default(),
        }
    }

    /// Peers in the table, over all torrents.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.peers
    }

    /// Torrents in the table.
    #[must_use]
    pub fn torrents(&self) -> usize {
        self.swarms.len()
    }

    /// Takes an announce and appends up to `want` other peers to `peers`, compact: 6 or 18 bytes
    /// each, as the announcer's family is.
    ///
    /// # Errors
    /// If the torrent is new and there is no room.
    pub fn announce(
        &mut self,
        now: Instant,
        announce: &Announce,
        want: usize,
        rng: &mut Rng,
        peers: &mut Vec<u8>,
    ) -> Result<Counts, TableFull> {
        let clock = self.clock(now);
        let Some(place) = self.swarm(announce)? else { return Ok(Counts::default()) };
        let swarm = &mut self.swarms[place];
        let room = self.peers < self.limits.peers && swarm.len() < self.limits.peers_per_torrent;
        let port = announce.address.port().to_be_bytes();
        let change = match announce.address.ip() {
            core::net::IpAddr::V4(ip) => {
                let mut address = [0; 6];
                address[..4].copy_from_slice(&ip.octets());
                address[4..].copy_from_slice(&port);
                swarm.v4.announce(&self.key, clock, address, announce, room, want, rng, peers)
            }
            core::net::IpAddr::V6(ip) => {
                let mut address = [0; 18];
                address[..16].copy_from_slice(&ip.octets());
                address[16..].copy_from_slice(&port);
                let v6 = swarm.v6.get_or_insert_default();
                v6.announce(&self.key, clock, address, announce, room, want, rng, peers)
            }
        };
        self.peers = self.peers + usize::from(change.added) - usize::from(change.removed);
        swarm.completed = swarm.completed.saturating_add(change.completed.into());
        Ok(swarm.counts())
    }

    /// The numbers of a torrent; zeros for one that is not known.
    #[must_use]
    pub fn scrape(&self, info_hash: &InfoHash) -> ScrapeEntry {
        let Some(place) = self.find(info_hash) else {
            return ScrapeEntry { downloaders: Some(0), ..ScrapeEntry::default() };
        };
        let swarm = &self.swarms[place];
        let Counts { seeders, leechers } = swarm.counts();
        let partial = swarm.v4.partial + swarm.v6.as_ref().map_or(0, |v6| v6.partial);
        ScrapeEntry {
            seeders,
            completed: swarm.completed,
            leechers,
            downloaders: Some(leechers.saturating_sub(partial)),
        }
    }

    /// Goes on looking for peers whose time is over and forgets them, and torrents left without
    /// peers. Looks at about `budget` of them, so that a large table holds nobody up; whoever calls
    /// this sees to it that the whole table is looked at several times a lifetime.
    pub fn expire(&mut self, now: Instant, budget: usize) -> Expired {
        let clock = self.clock(now);
        let mut expired = Expired::default();
        let mut left = budget;
        // Empty tables end, full rounds do: no torrent is looked at twice in one call.
        let mut torrents_left = self.swarms.len();
        while left > 0 && torrents_left > 0 {
            let Some(swarm) = self.swarms.get_mut(self.sweep.swarm) else {
                self.sweep = Sweep::default();
                continue;
            };
            expired.peers += swarm.sweep(&self.key, clock, &mut self.sweep, &mut left);
            if self.sweep.list < LISTS {
                break;
            }
            left = left.saturating_sub(1);
            torrents_left -= 1;
            let empty = swarm.len() == 0;
            self.sweep = Sweep { swarm: self.sweep.swarm, ..Sweep::default() };
            if empty {
                self.remove_swarm(self.sweep.swarm);
                expired.torrents += 1;
            } else {
                self.sweep.swarm += 1;
            }
        }
        self.peers -= expired.peers;
        expired
    }

    fn clock(&self, now: Instant) -> Clock {
        let lifetime = u64::try_from(self.limits.lifetime.as_nanos()).unwrap_or(u64::MAX);
        Clock { tick: now.as_nanos() / (lifetime / TICKS_PER_LIFETIME).max(1) }
    }

    fn find(&self, info_hash: &InfoHash) -> Option<usize> {
        self.index
            .find(self.key.place(&info_hash.0), |&at| {
                self.swarms[at as usize].info_hash == info_hash.0
            })
            .map(|&at| at as usize)
    }

    /// The place of the announcer's swarm, which is made if it is not there. None is made for one
    /// who leaves.
    fn swarm(&mut self, announce: &Announce) -> Result<Option<usize>, TableFull> {
        if let Some(place) = self.find(&announce.info_hash) {
            return Ok(Some(place));
        }
        if announce.standing == Standing::Gone {
            return Ok(None);
        }
        let place = self.swarms.len();
        if place >= self.limits.torrents.min(u32::MAX as usize) {
            return Err(TableFull);
        }
        self.swarms.push(Swarm {
            info_hash: announce.info_hash.0,
            completed: 0,
            v4: Peers::default(),
            v6: None,
        });
        let (key, swarms) = (&self.key, &self.swarms);
        self.index.insert_unique(key.place(&announce.info_hash.0), place as u32, |&at| {
            key.place(&swarms[at as usize].info_hash)
        });
        Ok(Some(place))
    }

    /// Takes a swarm out; the last one moves to its place.
    fn remove_swarm(&mut self, place: usize) {
        let last = self.swarms.len() - 1;
        let hash_of = |at: usize| self.key.place(&self.swarms[at].info_hash);
        if let Ok(entry) = self.index.find_entry(hash_of(place), |&at| at as usize == place) {
            entry.remove();
        }
        if let Some(at) = self.index.find_mut(hash_of(last), |&at| at as usize == last) {
            *at = place as u32;
        }
        self.swarms.swap_remove(place);
    }
}

/// Lists of a swarm: seeds and leechers in two families.
const LISTS: usize = 4;

impl Swarm {
    fn len(&self) -> usize {
        self.v4.len() + self.v6.as_ref().map_or(0, |v6| v6.len())
    }

    fn counts(&self) -> Counts {
        let v6 = self.v6.as_ref().map_or((0, 0), |v6| (v6.seeds.len(), v6.leechers.len()));
        Counts {
            seeders: (self.v4.seeds.len() + v6.0) as u32,
            leechers: (self.v4.leechers.len() + v6.1) as u32,
        }
    }

    /// Looks at up to `left` peers from `sweep` on; the number of those forgotten.
    fn sweep(&mut self, key: &SipKey, clock: Clock, sweep: &mut Sweep, left: &mut usize) -> usize {
        let before = self.len();
        while sweep.list < LISTS {
            let seeds = sweep.list.is_multiple_of(2);
            let done = match (sweep.list, &mut self.v6) {
                (0 | 1, _) => self.v4.sweep(key, clock, seeds, &mut sweep.peer, left),
                (_, Some(v6)) => v6.sweep(key, clock, seeds, &mut sweep.peer, left),
                (_, None) => true,
            };
            if !done {
                break;
            }
            sweep.list += 1;
            sweep.peer = 0;
        }
        if self.v6.as_ref().is_some_and(|v6| v6.len() == 0) {
            self.v6 = None;
        }
        before - self.len()
    }
}

impl<const N: usize> Peers<N> {
    fn len(&self) -> usize {
        self.seeds.len() + self.leechers.len()
    }

    #[expect(clippy::too_many_arguments, reason = "the inside of one function, over two families")]
    fn announce(
        &mut self,
        key: &SipKey,
        clock: Clock,
        address: [u8; N],
        announce: &Announce,
        room: bool,
        want: usize,
        rng: &mut Rng,
        out: &mut Vec<u8>,
    ) -> Change {
        let is_seed = announce.standing == Standing::Seed;
        let is_partial = announce.standing == Standing::PartialSeed;
        let (own, other) = if is_seed {
            (&mut self.seeds, &mut self.leechers)
        } else {
            (&mut self.leechers, &mut self.seeds)
        };
        let mut place = own.find(key, &address);
        let elsewhere = if place.is_none() { other.find(key, &address) } else { None };
        let known = place.is_some() || elsewhere.is_some();
        let was_seed = if is_seed { place.is_some() } else { elsewhere.is_some() };

        let mut gone = elsewhere.and_then(|place| other.remove(key, place));
        let stamp = Stamp::new(clock.tick, is_partial);
        if announce.standing == Standing::Gone {
            gone = gone.or_else(|| place.take().and_then(|place| own.remove(key, place)));
        } else if let Some(place) = place {
            self.partial -= own.stamp(place).map_or(0, |old| old.is_partial().into());
            self.partial += u32::from(is_partial);
            own.set_stamp(place, stamp);
        } else if known || room {
            place = Some(own.push(key, address, stamp));
            self.partial += u32::from(is_partial);
        }
        self.partial -= gone.map_or(0, |old| old.is_partial().into());

        if announce.standing != Standing::Gone {
            let before = out.len();
            self.sample(is_seed, place, want, clock, rng, out);
            if is_seed && announce.started {
                let room = want - ((out.len() - before) / N).min(want);
                let age = (clock.tick, TICKS_PER_LIFETIME);
                self.seeds.sample(room, place, age, rng, out);
            }
        }
        Change {
            added: !known && place.is_some(),
            removed: announce.standing == Standing::Gone && known,
            completed: announce.completed && is_seed && !was_seed,
        }
    }

    /// Appends up to `want` peers, of either standing in proportion; for a seed, leechers only.
    fn sample(
        &self,
        for_seed: bool,
        own_place: Option<usize>,
        want: usize,
        clock: Clock,
        rng: &mut Rng,
        out: &mut Vec<u8>,
    ) {
        let age = (clock.tick, TICKS_PER_LIFETIME);
        if for_seed {
            self.leechers.sample(want, None, age, rng, out);
            return;
        }
        let (seeds, leechers) = (self.seeds.len(), self.leechers.len());
        let others = seeds + leechers - usize::from(own_place.is_some());
        if others <= want {
            self.seeds.sample(seeds, None, age, rng, out);
            self.leechers.sample(leechers, own_place, age, rng, out);
            return;
        }
        // The remainder of the division is rounded at random, so that no seed is never seen.
        let exact = want as u64 * seeds as u64;
        let up = rng.below(others as u64) < exact % others as u64;
        let of_seeds = (exact / others as u64) as usize + usize::from(up);
        self.seeds.sample(of_seeds, None, age, rng, out);
        self.leechers.sample(want - of_seeds.min(want), own_place, age, rng, out);
    }

    /// Looks at the peers of one list from `at` on, while any are `left` to look at. Whether it got
    /// to the end.
    fn sweep(
        &mut self,
        key: &SipKey,
        clock: Clock,
        seeds: bool,
        at: &mut usize,
        left: &mut usize,
    ) -> bool {
        let list = if seeds { &mut self.seeds } else { &mut self.leechers };
        while let Some(stamp) = list.stamp(*at) {
            if *left == 0 {
                return false;
            }
            *left -= 1;
            if stamp.age(clock.tick) > TICKS_PER_LIFETIME {
                list.remove(key, *at);
                self.partial -= u32::from(stamp.is_partial());
            } else {
                *at += 1;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
