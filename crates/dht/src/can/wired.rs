//! Nodes whose tables are exact from the beginning, for experiments on networks that stand.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::iter;

use machine::dht::Contact;
use machine::{Instant, Rng};

use super::{Can, Claim, Config, Neighbour, Point, Zone, Zones};
use crate::overlay::Topology;

/// A zone, and who shares it.
#[derive(Clone, Debug)]
struct Held<C> {
    zone: Zone,
    first: C,
    others: Vec<C>,
}

impl<C: Contact> Held<C> {
    fn holders(&self) -> impl Iterator<Item = C> + Clone + '_ {
        iter::once(self.first).chain(self.others.iter().copied())
    }
}

/// One torus, its zones by where they begin.
type Torus<C> = BTreeMap<u64, Held<C>>;

/// The tori, one of each reality, that nodes have divided among them by joining one after another at
/// random places.
#[derive(Debug)]
pub struct Standing<C> {
    config: Arc<Config>,
    realities: Vec<Torus<C>>,
    /// The zones of each node, if there are several realities.
    homes: BTreeMap<C, Vec<Zone>>,
}

impl<C: Contact> Standing<C> {
    /// The tori that `nodes` have joined in this order.
    #[must_use]
    pub fn new(nodes: &[C], rng: &mut Rng, config: Arc<Config>) -> Self {
        let mut standing = Self { config, realities: Vec::new(), homes: BTreeMap::new() };
        for reality in standing.config.all_realities() {
            let torus = standing.divide(reality, nodes, rng);
            for held in torus.values().filter(|_| standing.config.realities() > 1) {
                for node in held.holders() {
                    standing.homes.entry(node).or_default().push(held.zone);
                }
            }
            standing.realities.push(torus);
        }
        standing
    }

    fn divide(&self, reality: u8, nodes: &[C], rng: &mut Rng) -> Torus<C> {
        let peers = self.config.zone_peers();
        let mut torus = Torus::new();
        for &node in nodes {
            let Some(hit) = at(&torus, Point(rng.next_u64())) else {
                let zone = Zone::WHOLE.of(reality);
                torus.insert(0, Held { zone, first: node, others: Vec::new() });
                continue;
            };
            let (mut zone, mut begin) = (hit.zone, hit.zone.path());
            if self.config.uniform_partition {
                let beside = beside(&torus, zone, &self.config);
                let largest = beside.into_iter().min_by_key(|other| other.zone.depth());
                if let Some(largest) = largest.filter(|other| other.zone.depth() < zone.depth()) {
                    (zone, begin) = (largest.zone, largest.zone.path());
                }
            }
            let Some(held) = torus.get_mut(&begin) else { continue };
            if held.others.len() + 1 < peers {
                held.others.push(node);
                continue;
            }
            let Some((low, high)) = zone.halves() else { continue };
            let mut all: Vec<C> = held.holders().chain([node]).collect();
            if peers > 1 {
                all.sort_by_key(Contact::key);
            }
            for (place, zone) in [low, high].into_iter().enumerate() {
                let mut half = all.iter().copied().skip(place).step_by(2);
                let Some(first) = half.next() else { continue };
                torus.insert(zone.path(), Held { zone, first, others: half.collect() });
            }
        }
        torus
    }

    /// The zone of the first reality that `point` is in, and the first who has it.
    #[must_use]
    pub fn at(&self, point: Point) -> Option<(Zone, C)> {
        at(self.realities.first()?, point).map(|held| (held.zone, held.first))
    }

    /// Everybody, with its zone in the first reality.
    pub fn zones(&self) -> impl Iterator<Item = (Zone, C)> + '_ {
        let first = self.realities.first().into_iter().flat_map(BTreeMap::values);
        first.flat_map(|held| held.holders().map(|node| (held.zone, node)))
    }

    /// The node that has `zone` in the first reality, with exact tables; `rtt` says how many
    /// milliseconds a neighbour is away. Of those who share a zone beside it, it knows the nearest.
    #[must_use]
    pub fn node(&self, zone: Zone, me: C, rtt: impl Fn(C, C) -> u16) -> Can<C> {
        let mut tables = Zones::new(me, &self.config);
        tables.claims = self.claims_of(me, zone);
        for (mine, torus) in tables.claims.clone().iter().zip(&self.realities) {
            let mine = mine.zone;
            let peers = torus.get(&mine.path()).into_iter().flat_map(Held::holders);
            let peers = peers.filter(|&peer| peer != me).map(|peer| (mine, peer));
            let nearest = |held: &Held<C>| {
                let nearest = held.holders().min_by_key(|&it| (rtt(me, it), it));
                (held.zone, nearest.unwrap_or(held.first))
            };
            let beside = beside(torus, mine, &self.config);
            for (zone, contact) in peers.chain(beside.into_iter().map(nearest)) {
                let claims = self.claims_of(contact, zone);
                let (heard, kin) = (Instant::ZERO, Box::default());
                let rtt = rtt(me, contact);
                tables.neighbours.push(Neighbour { contact, claims, heard, rtt, kin });
            }
        }
        tables.neighbours.sort_by_key(|neighbour| neighbour.contact);
        tables.neighbours.dedup_by_key(|neighbour| neighbour.contact);
        tables.neighbours.shrink_to_fit();
        Can::wired(me, tables, Arc::clone(&self.config))
    }

    /// All that `node` has, of which `zone` is one.
    fn claims_of(&self, node: C, zone: Zone) -> Vec<Claim> {
        let claim = |zone| Claim { zone, epoch: 1 };
        match self.homes.get(&node) {
            Some(zones) => zones.iter().copied().map(claim).collect(),
            None => Vec::from([claim(zone)]),
        }
    }
}

/// The zone that `point` is in.
fn at<C>(torus: &Torus<C>, point: Point) -> Option<&Held<C>> {
    torus.range(..=point.0).next_back().map(|(_, held)| held)
}

/// The zones beside `zone`.
fn beside<'a, C>(torus: &'a Torus<C>, zone: Zone, config: &Config) -> Vec<&'a Held<C>> {
    let dimensions = config.dimensions();
    let mut found: Vec<&Held<C>> = Vec::new();
    for dimension in 0..dimensions {
        if zone.side(dimension, dimensions).1 == 0 {
            continue;
        }
        for above in [true, false] {
            // A box of the same shape on that side: all there touch it or lie in it.
            let there = zone.beside(dimension, above, Point(0), dimensions);
            let mirror = Zone::around(there, zone.depth());
            let end = mirror.path() | u64::MAX.checked_shr(zone.depth().into()).unwrap_or(0);
            let within = torus.range(mirror.path()..=end).map(|(_, held)| held);
            let covering = at(torus, Point(mirror.path()));
            for other in within.chain(covering) {
                if zone.touches(other.zone, dimensions).is_some()
                    && !found.iter().any(|known| known.zone == other.zone)
                {
                    found.push(other);
                }
            }
        }
    }
    found
}
