//! Nodes whose tables are exact from the beginning, for experiments on networks that stand.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use machine::dht::Contact;
use machine::{Instant, Rng};

use super::{Can, Claim, Config, Neighbour, Point, Zone, Zones};
use crate::overlay::Topology;

/// A torus that nodes have divided among them by joining one after another at random places.
#[derive(Debug)]
pub struct Standing<C> {
    config: Arc<Config>,
    /// By where they begin.
    zones: BTreeMap<u64, (Zone, C)>,
}

impl<C: Contact> Standing<C> {
    /// The torus that `nodes` have joined in this order.
    #[must_use]
    pub fn new(nodes: &[C], rng: &mut Rng, config: Arc<Config>) -> Self {
        let mut standing = Self { config, zones: BTreeMap::new() };
        for &node in nodes {
            let Some((mut zone, mut owner)) = standing.at(Point(rng.next_u64())) else {
                standing.zones.insert(0, (Zone::WHOLE, node));
                continue;
            };
            if standing.config.uniform_partition {
                let beside = standing.beside(zone);
                let largest = beside.into_iter().min_by_key(|(other, _)| other.depth());
                if let Some(largest) = largest.filter(|(other, _)| other.depth() < zone.depth()) {
                    (zone, owner) = largest;
                }
            }
            let Some((low, high)) = zone.halves() else { continue };
            standing.zones.insert(low.path(), (low, owner));
            standing.zones.insert(high.path(), (high, node));
        }
        standing
    }

    /// The zone that `point` is in, and whose it is.
    #[must_use]
    pub fn at(&self, point: Point) -> Option<(Zone, C)> {
        self.zones.range(..=point.0).next_back().map(|(_, zone)| *zone)
    }

    /// All zones, with their owners.
    pub fn zones(&self) -> impl Iterator<Item = (Zone, C)> + '_ {
        self.zones.values().copied()
    }

    /// The zones beside `zone`.
    #[must_use]
    pub fn beside(&self, zone: Zone) -> Vec<(Zone, C)> {
        let dimensions = self.config.dimensions();
        let mut found: Vec<(Zone, C)> = Vec::new();
        for dimension in 0..dimensions {
            if zone.side(dimension, dimensions).1 == 0 {
                continue;
            }
            for above in [true, false] {
                // A box of the same shape on that side: all there touch it or lie in it.
                let there = zone.beside(dimension, above, Point(0), dimensions);
                let mirror = Zone::around(there, zone.depth());
                let end = mirror.path() | u64::MAX.checked_shr(zone.depth().into()).unwrap_or(0);
                let within = self.zones.range(mirror.path()..=end).map(|(_, zone)| *zone);
                let covering = self.at(Point(mirror.path()));
                for (other, owner) in within.chain(covering) {
                    if zone.touches(other, dimensions).is_some()
                        && !found.iter().any(|(known, _)| *known == other)
                    {
                        found.push((other, owner));
                    }
                }
            }
        }
        found
    }

    /// The node that owns `zone`, with exact tables; `rtt` says how many milliseconds a neighbour
    /// is away.
    #[must_use]
    pub fn node(&self, zone: Zone, me: C, rtt: impl Fn(C, C) -> u16) -> Can<C> {
        let mut tables = Zones::new(me, &self.config);
        tables.claims = Vec::from([Claim { zone, epoch: 1 }]);
        let beside = self.beside(zone);
        let neighbours = beside.into_iter().map(|(zone, contact)| {
            let claims = Vec::from([Claim { zone, epoch: 1 }]);
            let (heard, kin) = (Instant::ZERO, alloc::boxed::Box::default());
            Neighbour { contact, claims, heard, rtt: rtt(me, contact), kin }
        });
        tables.neighbours = neighbours.collect();
        tables.neighbours.sort_by_key(|neighbour| neighbour.contact);
        tables.neighbours.shrink_to_fit();
        Can::wired(me, tables, Arc::clone(&self.config))
    }
}
