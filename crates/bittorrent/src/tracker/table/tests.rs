//! The table against a naive model, and its limits.

use super::*;
use crate::tracker::{compact_v4, compact_v6};
use machine::Rng;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use std::collections::{BTreeMap, BTreeSet};

const LIFETIME: Duration = Duration::from_secs(1024);
const LIMITS: Limits =
    Limits { torrents: 100, peers_per_torrent: 1_000, peers: 10_000, lifetime: LIFETIME };
const EVERYTHING: usize = usize::MAX;

fn table(limits: Limits) -> Table {
    Table::new(limits, SipKey([1, 2]))
}

fn at(secs: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(secs)
}

fn address(number: u16, v6: bool) -> SocketAddr {
    let ip = if v6 { [0xfd, 0, 0, 0, 0, 0, 0, 1].into() } else { [10, 0, 0, 1].into() };
    SocketAddr::new(ip, number)
}

fn ip(v6: bool, bytes: &[u8]) -> Vec<SocketAddr> {
    if v6 { compact_v6(bytes).collect() } else { compact_v4(bytes).collect() }
}

fn announce(torrent: u8, address: SocketAddr, standing: Standing) -> Announce {
    Announce {
        info_hash: InfoHash([torrent; 20]),
        address,
        standing,
        completed: false,
        started: false,
    }
}

#[derive(Default)]
struct Model {
    swarms: BTreeMap<u8, BTreeMap<SocketAddr, (Standing, u64)>>,
    completed: BTreeMap<u8, u32>,
}

impl Model {
    /// Forgets, and returns whom an announce may be told of.
    fn announce(&mut self, now: u64, torrent: u8, a: &Announce) -> BTreeSet<SocketAddr> {
        for swarm in self.swarms.values_mut() {
            swarm.retain(|_, (_, heard)| now - *heard <= LIFETIME.as_secs());
        }
        self.swarms.retain(|_, swarm| !swarm.is_empty());
        self.completed.retain(|torrent, _| self.swarms.contains_key(torrent));
        if a.standing == Standing::Gone {
            if let Some(swarm) = self.swarms.get_mut(&torrent) {
                swarm.remove(&a.address);
            }
            return BTreeSet::new();
        }
        let swarm = self.swarms.entry(torrent).or_default();
        let before = swarm.insert(a.address, (a.standing, now));
        let was_seed = before.is_some_and(|(standing, _)| standing == Standing::Seed);
        if a.completed && a.standing == Standing::Seed && !was_seed {
            *self.completed.entry(torrent).or_default() += 1;
        }
        let told = swarm.iter().filter(|&(other, (standing, _))| {
            *other != a.address
                && other.is_ipv4() == a.address.is_ipv4()
                && (a.standing != Standing::Seed || *standing != Standing::Seed)
        });
        told.map(|(other, _)| *other).collect()
    }

    fn scrape(&self, torrent: u8) -> ScrapeEntry {
        let count = |wanted: Standing| {
            let swarm = self.swarms.get(&torrent).into_iter().flatten();
            swarm.filter(|(_, (standing, _))| *standing == wanted).count() as u32
        };
        let (downloaders, partial) = (count(Standing::Leecher), count(Standing::PartialSeed));
        ScrapeEntry {
            seeders: count(Standing::Seed),
            completed: self.completed.get(&torrent).copied().unwrap_or(0),
            leechers: downloaders + partial,
            downloaders: Some(downloaders),
        }
    }
}

proptest! {
    #[test]
    fn agrees_with_a_naive_model(
        seed: u64,
        steps in proptest::collection::vec(
            (0u8..3, 0u16..120, any::<bool>(), 0usize..6, any::<bool>(), 0u64..12, 0usize..60),
            1..600,
        ),
    ) {
        let mut rng = Rng::new(seed);
        let (mut table, mut model) = (table(LIMITS), Model::default());
        let mut now = 0;
        for (torrent, number, v6, standing, completed, pause, want) in steps {
            now += pause;
            let standing = [
                Standing::Leecher, Standing::Leecher, Standing::Seed, Standing::Seed,
                Standing::PartialSeed, Standing::Gone,
            ][standing];
            let step = Announce { completed, ..announce(torrent, address(number, v6), standing) };
            table.expire(at(now), EVERYTHING);
            let mut out = Vec::new();
            let counts = table.announce(at(now), &step, want, &mut rng, &mut out).unwrap();
            let told = ip(v6, &out);
            let may_be_told = model.announce(now, torrent, &step);
            let set: BTreeSet<_> = told.iter().copied().collect();
            prop_assert_eq!(told.len(), set.len(), "someone is told twice");
            prop_assert!(set.is_subset(&may_be_told));
            prop_assert!(told.len() <= want);
            if may_be_told.len() <= want {
                prop_assert_eq!(set, may_be_told, "all fit");
            }
            let scrape = model.scrape(torrent);
            if standing != Standing::Gone {
                let Counts { seeders, leechers } = counts;
                prop_assert_eq!((seeders, leechers), (scrape.seeders, scrape.leechers));
            }
            if model.swarms.get(&torrent).is_some_and(|swarm| !swarm.is_empty()) {
                prop_assert_eq!(table.scrape(&step.info_hash), scrape);
            }
            let peers: usize = model.swarms.values().map(BTreeMap::len).sum();
            prop_assert_eq!(table.peers(), peers);
        }
        table.expire(at(now + 2 * LIFETIME.as_secs()), EVERYTHING);
        prop_assert_eq!((table.peers(), table.torrents()), (0, 0));
    }
}

/// Looking up what is to be removed must not rebuild a full index.
#[test]
fn those_who_stay_are_found_after_a_removal_from_a_full_index() {
    for torrents in 1..=64 {
        let (mut table, mut rng) = (table(LIMITS), Rng::new(1));
        let who = |torrent| announce(torrent, address(1, false), Standing::Leecher);
        for torrent in 0..torrents {
            table.announce(at(0), &who(torrent), 0, &mut rng, &mut Vec::new()).unwrap();
        }
        let leaving = announce(0, address(1, false), Standing::Gone);
        table.announce(at(0), &leaving, 0, &mut rng, &mut Vec::new()).unwrap();
        table.expire(at(0), EVERYTHING);
        for torrent in 1..torrents {
            assert_eq!(table.scrape(&who(torrent).info_hash).leechers, 1, "of {torrents}");
        }
    }
    for peers in 1..=500 {
        let (mut table, mut rng) = (table(LIMITS), Rng::new(1));
        let who = |number, standing| announce(1, address(number, false), standing);
        for number in 1..=peers {
            let new = who(number, Standing::Leecher);
            table.announce(at(0), &new, 0, &mut rng, &mut Vec::new()).unwrap();
        }
        table.announce(at(0), &who(1, Standing::Gone), 0, &mut rng, &mut Vec::new()).unwrap();
        for number in 2..=peers {
            let again = who(number, Standing::Leecher);
            table.announce(at(1), &again, 0, &mut rng, &mut Vec::new()).unwrap();
        }
        assert_eq!(table.peers(), usize::from(peers) - 1);
    }
}

#[test]
fn expiry_keeps_to_its_budget_and_reaches_everyone() {
    let (mut table, mut rng) = (table(LIMITS), Rng::new(1));
    for number in 1..=300 {
        let who = announce(number as u8 % 3, address(number, number % 2 == 0), Standing::Leecher);
        table.announce(at(0), &who, 0, &mut rng, &mut Vec::new()).unwrap();
    }
    let mut gone = 0;
    for _ in 0..64 {
        let step = table.expire(at(2_000), 10);
        assert!(step.peers <= 10, "{step:?}");
        gone += step.peers;
    }
    assert_eq!((gone, table.peers(), table.torrents()), (300, 0, 0));
}

#[test]
fn those_whose_time_is_over_are_not_told_of_before_they_are_swept() {
    let (mut table, mut rng) = (table(LIMITS), Rng::new(1));
    let old = announce(1, address(1, false), Standing::Seed);
    table.announce(at(0), &old, 50, &mut rng, &mut Vec::new()).unwrap();
    let mut told = Vec::new();
    let new = announce(1, address(2, false), Standing::Leecher);
    table.announce(at(1_024), &new, 50, &mut rng, &mut told).unwrap();
    assert_eq!(told.len(), 6);
    told.clear();
    table.announce(at(1_026), &new, 50, &mut rng, &mut told).unwrap();
    assert_eq!(told, []);
}

#[test]
fn limits_hold() {
    let limits = Limits { torrents: 2, peers_per_torrent: 3, peers: 4, lifetime: LIFETIME };
    let (mut table, mut rng) = (table(limits), Rng::new(1));
    for number in 0..5 {
        let who = announce(1, address(number, false), Standing::Leecher);
        let counts = table.announce(at(0), &who, 9, &mut rng, &mut Vec::new()).unwrap();
        assert_eq!(counts.leechers, u32::from(number + 1).min(3));
    }
    for number in 0..5 {
        let who = announce(2, address(number, true), Standing::Leecher);
        table.announce(at(0), &who, 9, &mut rng, &mut Vec::new()).unwrap();
    }
    assert_eq!((table.peers(), table.torrents()), (4, 2));
    let third = announce(3, address(1, false), Standing::Seed);
    let refused = table.announce(at(0), &third, 9, &mut rng, &mut Vec::new());
    assert_eq!(refused, Err(TableFull));
    let known = announce(1, address(0, false), Standing::Seed);
    let counts = table.announce(at(0), &known, 9, &mut rng, &mut Vec::new()).unwrap();
    assert_eq!(counts, Counts { seeders: 1, leechers: 2 }, "those who are in may change");
}

#[test]
fn every_peer_of_a_large_swarm_is_told_of_about_equally_often() {
    let (mut table, mut rng) = (table(LIMITS), Rng::new(7));
    for number in 0..1_000u16 {
        let standing = if number % 10 == 0 { Standing::Seed } else { Standing::Leecher };
        let who = announce(1, address(number, false), standing);
        table.announce(at(0), &who, 0, &mut rng, &mut Vec::new()).unwrap();
    }
    let mut told = [0u32; 1_000];
    let asker = announce(1, address(1, false), Standing::Leecher);
    for _ in 0..10_000 {
        let mut out = Vec::new();
        table.announce(at(1), &asker, 50, &mut rng, &mut out).unwrap();
        assert_eq!(out.len(), 300);
        compact_v4(&out).for_each(|peer| told[usize::from(peer.port())] += 1);
    }
    assert_eq!(told[1], 0, "the asker itself");
    let others = told.iter().enumerate().filter(|(number, _)| *number != 1);
    assert!(others.clone().all(|(_, &times)| (380..640).contains(&times)), "{told:?}");
}
