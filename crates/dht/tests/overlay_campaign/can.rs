//! What must hold of a CAN: the zones of all members partition the torus.

use std::collections::BTreeSet;
use std::time::Duration;

use dht::can::{Config, Fault, Message, Zone, Zones};
use dht::overlay::Rules;
use machine::Rng;
use machine::dht::Key;
use sim::Node;

use crate::run::{Failure, Sim, Subject, Weather};
use crate::{found, weather, wire};

impl Subject for Zones<Node> {
    type Fault = Defect;
    const QUIET: Duration = Duration::from_secs(180);
    const MESSAGES_MAX: u64 = 600_000;

    fn config(rng: &mut Rng, _: Weather, fault: Option<Defect>) -> Config {
        let rules = Rules {
            tick: Some((Duration::from_millis(800), Duration::from_millis(1_200))),
            orphan_after: Duration::from_secs(15),
            lookup_requests_max: 256,
            never_repairs: matches!(fault, Some(Defect::NoRepair)),
            puts_under_one_name: matches!(fault, Some(Defect::OneName)),
            ..Rules::default()
        };
        let fault = match fault {
            Some(Defect::Can(fault)) => Some(fault),
            _ => None,
        };
        Config {
            rules,
            dimensions: 1 + rng.below(3) as usize,
            uniform_partition: rng.below(2) == 0,
            rtt_weighted: rng.below(2) == 0,
            hashes: 1 + rng.below(3) as usize,
            expiry: Duration::from_secs(6),
            takeover_step: Duration::from_secs(2),
            fault,
        }
    }

    fn travel(message: &Message<Node>) -> Result<Message<Node>, String> {
        wire::travel(message, |said| said.map(wire::peer), |said| said.map(wire::node))
    }

    fn always(world: &Sim<Self>, _: Weather) -> Option<String> {
        world.nodes().find_map(|(node, it)| {
            let zones: Vec<Zone> = it.topology().zones().collect();
            let twice = zones.iter().enumerate().find_map(|(at, zone)| {
                zones[..at].iter().find(|other| other.overlaps(*zone)).map(|other| (zone, other))
            });
            twice.map(|pair| format!("{node} has {pair:?}"))
        })
    }

    fn finally(world: &Sim<Self>) -> Option<String> {
        let zones: Vec<(Zone, Node)> = world
            .nodes()
            .filter(|(_, it)| it.is_member())
            .flat_map(|(node, it)| it.topology().zones().map(move |zone| (zone, node)))
            .collect();
        for (at, (zone, node)) in zones.iter().enumerate() {
            if let Some((other, owner)) = zones[..at].iter().find(|(it, _)| it.overlaps(*zone)) {
                return Some(format!("{node} has {zone:?} and {owner} has {other:?}"));
            }
        }
        let volume: u128 = zones.iter().map(|(zone, _)| 1u128 << (64 - zone.depth())).sum();
        if volume != 1 << 64 {
            return Some(format!(
                "nobody has {} of the torus",
                1.0 - volume as f64 / 2f64.powi(64)
            ));
        }
        for (node, it) in world.nodes().filter(|(_, it)| it.is_member()) {
            let dimensions = it.config().dimensions;
            let mine: Vec<Zone> = it.topology().zones().collect();
            let beside: BTreeSet<Node> = zones
                .iter()
                .filter(|(zone, owner)| {
                    *owner != node && mine.iter().any(|it| it.touches(*zone, dimensions).is_some())
                })
                .map(|(_, owner)| *owner)
                .collect();
            let known: BTreeSet<Node> = it.topology().neighbours().collect();
            if known != beside {
                return Some(format!("{node}: {known:?} is not {beside:?}"));
            }
            if mine.len() > 1 && world.nodes().count() > 1 {
                return Some(format!("{node} still has {} zones", mine.len()));
            }
        }
        None
    }

    fn copies_of(world: &Sim<Self>, _: &Key) -> usize {
        // In three dimensions or fewer everybody has at least two neighbours, if there are three.
        world.nodes().filter(|(_, it)| it.is_member()).count().min(3)
    }
}

/// What tests plant.
#[derive(Clone, Copy, Debug)]
pub enum Defect {
    Can(Fault),
    NoRepair,
    OneName,
}

#[test]
fn can_calm() {
    weather::<Zones<Node>>(Weather::Calm);
}

#[test]
fn can_crashes() {
    weather::<Zones<Node>>(Weather::Crashes);
}

#[test]
fn kr_13_zones_stay_a_partition_in_partitions() {
    weather::<Zones<Node>>(Weather::Partitions);
}

fn planted(fault: Defect, weather: Weather, as_expected: fn(&Failure) -> bool) {
    found::<Zones<Node>>(fault, weather, as_expected);
}

#[test]
fn zones_of_the_dead_that_nobody_takes_are_seen() {
    planted(Defect::Can(Fault::NoTakeover), Weather::Crashes, |it| {
        matches!(it, Failure::Unsettled(_))
    });
}

#[test]
fn zones_that_two_claim_are_seen() {
    planted(
        Defect::Can(Fault::KeepLost),
        Weather::Partitions,
        |it| matches!(it, Failure::Unsettled(what) if what.contains(" and ")),
    );
}

#[test]
fn neighbours_that_are_not_looked_for_are_missed() {
    planted(Defect::Can(Fault::NoGapSearch), Weather::Partitions, |it| {
        matches!(it, Failure::Unsettled(_))
    });
}

#[test]
fn zones_that_are_never_merged_are_seen() {
    planted(
        Defect::Can(Fault::NoMerge),
        Weather::Crashes,
        |it| matches!(it, Failure::Unsettled(what) if what.contains("still has")),
    );
}

#[test]
fn can_copies_that_are_not_repaired_are_missed() {
    planted(Defect::NoRepair, Weather::Crashes, |it| matches!(it, Failure::TooFew(..)));
}

#[test]
fn values_that_lie_at_one_of_their_points_are_seen() {
    planted(Defect::OneName, Weather::Calm, |it| matches!(it, Failure::TooFew(_, 0)));
}
