//! What must hold of a CAN: the zones of all members partition the torus.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dht::can::{Can, Config, Fault, Message, Point, Zone, Zones};
use dht::overlay::Rules;
use machine::Rng;
use machine::dht::Key;
use sim::Node;

use crate::run::{Failure, Sim, Subject, Weather};
use crate::{found, weather, wire};

impl Subject for Zones<Node> {
    type Fault = Defect;
    const QUIET: Duration = Duration::from_secs(180);
    const MESSAGES_MAX: u64 = 2_000_000;

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
        let dimensions = 1 + rng.below(3) as usize;
        let (uniform_partition, rtt_weighted) = (rng.below(2) == 0, rng.below(2) == 0);
        let hashes = 1 + rng.below(3) as usize;
        // Most are as they are by default.
        let (realities, zone_peers) = match rng.below(12) {
            0 => (2, 1),
            1 => (3, 1),
            2 => (1, 2),
            3 => (1, 3),
            4 => (2, 2),
            _ => (1, 1),
        };
        Config {
            rules,
            dimensions,
            uniform_partition,
            rtt_weighted,
            hashes,
            expiry: Duration::from_secs(6),
            takeover_step: Duration::from_secs(2),
            realities,
            zone_peers,
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
        let members: Vec<(Node, &Can<Node>)> =
            world.nodes().filter(|(_, it)| it.is_member()).collect();
        let config = members.first()?.1.config();
        let realities = 0..config.realities as u8;
        realities.into_iter().find_map(|reality| {
            divided(&members, reality)
                .or_else(|| members.iter().find_map(|it| settled(&members, *it, reality)))
                .or_else(|| placed(&members, reality))
        })
    }

    fn copies_of(world: &Sim<Self>, _: &Key) -> usize {
        // In three dimensions or fewer everybody has at least two neighbours, if there are three.
        world.nodes().filter(|(_, it)| it.is_member()).count().min(3)
    }
}

type Member<'a> = (Node, &'a Can<Node>);

fn holders(members: &[Member<'_>], reality: u8) -> BTreeMap<Zone, BTreeSet<Node>> {
    let mut holders = BTreeMap::<_, BTreeSet<Node>>::new();
    for (node, it) in members {
        for zone in it.topology().zones().filter(|zone| zone.reality() == reality) {
            holders.entry(zone).or_default().insert(*node);
        }
    }
    holders
}

/// The zones of all must partition the torus, and no more than may share one do.
fn divided(members: &[Member<'_>], reality: u8) -> Option<String> {
    let holders = holders(members, reality);
    let zones: Vec<_> = holders.iter().collect();
    for (at, (zone, nodes)) in zones.iter().enumerate() {
        if let Some((other, owners)) = zones[..at].iter().find(|(it, _)| it.overlaps(**zone)) {
            return Some(format!("{nodes:?} have {zone:?} and {owners:?} have {other:?}"));
        }
        if nodes.len() > members[0].1.config().zone_peers {
            return Some(format!("{nodes:?} crowd {zone:?}"));
        }
    }
    let volume: u128 = zones.iter().map(|(zone, _)| 1u128 << (64 - zone.depth())).sum();
    (volume != 1 << 64)
        .then(|| format!("nobody has {} of torus {reality}", 1.0 - volume as f64 / 2f64.powi(64)))
}

/// Everybody has one zone, knows all who share it, and somebody of every zone beside it.
fn settled(members: &[Member<'_>], (node, it): Member<'_>, reality: u8) -> Option<String> {
    let (config, tables) = (it.config(), it.topology());
    let mine: Vec<Zone> = tables.zones().filter(|zone| zone.reality() == reality).collect();
    let [mine] = mine[..] else {
        return Some(format!("{node} still has {} zones of torus {reality}", mine.len()));
    };
    let known: BTreeSet<Node> = tables.neighbours().collect();
    let holders = holders(members, reality);
    let beside = |zone: &Zone| zone.touches(mine, config.dimensions).is_some();
    for (zone, nodes) in &holders {
        let of_these = nodes.intersection(&known).count();
        if *zone == mine && of_these + 1 != nodes.len() {
            return Some(format!("{node} shares {zone:?} with {nodes:?}, and knows {known:?}"));
        }
        if beside(zone) && of_these == 0 {
            return Some(format!("{node}: {known:?} are none of {nodes:?}, who have {zone:?}"));
        }
        if beside(zone) && of_these > 1 && config.realities == 1 {
            return Some(format!("{node}: {known:?} are too many of {nodes:?}"));
        }
    }
    let is_needed = |other: &Node| {
        let theirs = members.iter().find(|(node, _)| node == other).map(|(_, it)| it.topology());
        theirs.is_some_and(|it| {
            let zones: Vec<Zone> = tables.zones().collect();
            it.zones().any(|zone| {
                zones
                    .iter()
                    .any(|mine| *mine == zone || mine.touches(zone, config.dimensions).is_some())
            })
        })
    };
    let stranger = known.iter().find(|other| !is_needed(other))?;
    Some(format!("{node} knows {stranger}, who is not beside it"))
}

/// Whatever anybody stores lies where it should in every reality.
fn placed(members: &[Member<'_>], reality: u8) -> Option<String> {
    let keys: BTreeSet<Key> = members.iter().flat_map(|(_, it)| it.keys()).collect();
    keys.iter().find_map(|key| {
        let owns = |it: &Can<Node>| {
            let mut there = it.topology().zones().filter(|zone| zone.reality() == reality);
            there.any(|zone| zone.contains(Point::from(*key)))
        };
        let bare = members.iter().find(|(_, it)| owns(it) && it.value(key).is_none())?;
        Some(format!("{} does not hold {key} of torus {reality}", bare.0))
    })
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
fn realities_that_are_never_entered_are_seen() {
    planted(
        Defect::Can(Fault::FirstRealityOnly),
        Weather::Calm,
        |it| matches!(it, Failure::Unsettled(what) if what.contains("still has 0 zones")),
    );
}

#[test]
fn values_that_lie_in_one_reality_are_seen() {
    planted(
        Defect::Can(Fault::OneHolder),
        Weather::Calm,
        |it| matches!(it, Failure::Unsettled(what) if what.contains("does not hold")),
    );
}

#[test]
fn zones_that_too_many_share_are_seen() {
    planted(
        Defect::Can(Fault::Crowds),
        Weather::Calm,
        |it| matches!(it, Failure::Unsettled(what) if what.contains("crowd")),
    );
}

#[test]
fn those_who_share_a_zone_and_are_forgotten_are_missed() {
    planted(
        Defect::Can(Fault::ForgetsPeers),
        Weather::Partitions,
        |it| matches!(it, Failure::Unsettled(what) if what.contains("shares")),
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
