//! What must hold of a Viceroy network: one ring, and no more links than there may be.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dht::overlay::Rules;
use dht::viceroy::{Butterfly, Config, DEGREE, Fault, Link, Message};
use machine::Rng;
use machine::dht::{Contact, Key};
use sim::Node;

use crate::run::{Failure, Sim, Subject, Weather};
use crate::{found, weather, wire};

impl Subject for Butterfly<Node> {
    type Fault = Defect;
    const QUIET: Duration = Duration::from_secs(150);
    const MESSAGES_MAX: u64 = 400_000;

    fn config(rng: &mut Rng, _: Weather, fault: Option<Defect>) -> Config {
        let rules = Rules {
            tick: Some((Duration::from_millis(800), Duration::from_millis(1_200))),
            orphan_after: Duration::from_secs(15),
            never_repairs: matches!(fault, Some(Defect::NoRepair)),
            ..Rules::default()
        };
        let fault = match fault {
            Some(Defect::Viceroy(fault)) => Some(fault),
            _ => None,
        };
        let successors = 3 + rng.below(4) as usize;
        Config { rules, successors, expiry: Duration::from_secs(6), fault }
    }

    fn travel(message: &Message<Node>) -> Result<Message<Node>, String> {
        wire::travel(message, |said| said.map(wire::peer), |said| said.map(wire::node))
    }

    fn always(world: &Sim<Self>, _: Weather) -> Option<String> {
        world.nodes().find_map(|(node, it)| {
            let links = it.topology().links();
            (links.len() > DEGREE).then(|| format!("{node} has the links {links:?}"))
        })
    }

    fn finally(world: &Sim<Self>) -> Option<String> {
        let mut ring: Vec<Node> =
            world.nodes().filter(|(_, it)| it.is_member()).map(|(node, _)| node).collect();
        ring.sort_by_key(Contact::key);
        let levels: BTreeMap<Node, u8> = ring
            .iter()
            .filter_map(|&node| Some((node, world.get(node)?.topology().level())))
            .collect();
        let all: BTreeSet<u8> = levels.values().copied().collect();
        for (at, &node) in ring.iter().enumerate() {
            let table = world.get(node)?.topology();
            let next = ring[(at + 1) % ring.len()];
            let before = ring[(at + ring.len() - 1) % ring.len()];
            if (table.successor(), table.predecessor()) != (Some(next), Some(before)) {
                return Some(format!(
                    "{node} is between {:?} and {:?}, not {before} and {next}",
                    table.predecessor(),
                    table.successor(),
                ));
            }
            let down = table.level() + 1;
            let wanted = [
                (Link::Up, table.level() - 1),
                (Link::DownLeft, down),
                (Link::DownRight, down),
                (Link::Next, table.level()),
            ];
            for (link, level) in wanted {
                let to = table.link(link);
                let found = to.map(|to| levels.get(&to).copied());
                let alone = level == table.level()
                    && levels.values().filter(|&&it| it == level).count() == 1;
                let expected = (all.contains(&level) && !alone).then_some(Some(level));
                if found != expected {
                    return Some(format!("{node}: {link:?} leads to {to:?}, at {found:?}"));
                }
            }
        }
        None
    }

    fn copies_of(world: &Sim<Self>, _: &Key) -> usize {
        world.nodes().filter(|(_, it)| it.is_member()).count().min(3)
    }
}

/// What tests plant.
#[derive(Clone, Copy, Debug)]
pub enum Defect {
    Viceroy(Fault),
    NoRepair,
}

#[test]
fn viceroy_calm() {
    weather::<Butterfly<Node>>(Weather::Calm);
}

#[test]
fn viceroy_crashes() {
    weather::<Butterfly<Node>>(Weather::Crashes);
}

#[test]
fn viceroy_partitions() {
    weather::<Butterfly<Node>>(Weather::Partitions);
}

fn planted(fault: Defect, weather: Weather, as_expected: fn(&Failure) -> bool) {
    found::<Butterfly<Node>>(fault, weather, as_expected);
}

#[test]
fn viceroy_rings_that_are_not_stabilised_are_seen() {
    planted(
        Defect::Viceroy(Fault::NoStabilise),
        Weather::Crashes,
        |it| matches!(it, Failure::Unsettled(what) if what.contains("between")),
    );
}

#[test]
fn links_to_any_level_are_seen() {
    planted(
        Defect::Viceroy(Fault::AnyLevel),
        Weather::Calm,
        |it| matches!(it, Failure::Unsettled(what) if what.contains("leads to")),
    );
}

#[test]
fn more_than_seven_links_are_seen() {
    planted(Defect::Viceroy(Fault::KeepLinks), Weather::Crashes, |it| {
        matches!(it, Failure::Invariant(..))
    });
}

#[test]
fn viceroy_rings_that_do_not_look_for_the_lost_stay_apart() {
    planted(Defect::Viceroy(Fault::NoMerge), Weather::Partitions, |it| {
        matches!(it, Failure::Unsettled(_))
    });
}

#[test]
fn viceroy_copies_that_are_not_repaired_are_missed() {
    planted(Defect::NoRepair, Weather::Crashes, |it| matches!(it, Failure::TooFew(..)));
}
