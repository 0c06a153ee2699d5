//! What must hold of a Pastry network.

use std::sync::Arc;
use std::time::Duration;

use dht::overlay::Rules;
use dht::pastry::{Config, Fault, Message, Pastry, Tables};
use dht::prefix::Base;
use machine::Rng;
use machine::dht::{Contact, Key};
use sim::Node;

use crate::run::{Failure, Sim, Subject, Weather};
use crate::{found, weather, wire};

/// What tests plant.
#[derive(Clone, Copy, Debug)]
pub enum Defect {
    Pastry(Fault),
    NoRepair,
}

impl Subject for Tables<Node> {
    type Fault = Defect;
    const QUIET: Duration = Duration::from_secs(120);
    const MESSAGES_MAX: u64 = 400_000;

    fn config(rng: &mut Rng, _: Weather, fault: Option<Defect>) -> Config {
        let rules = Rules {
            tick: Some((Duration::from_millis(800), Duration::from_millis(1_200))),
            orphan_after: Duration::from_secs(15),
            never_repairs: matches!(fault, Some(Defect::NoRepair)),
            ..Rules::default()
        };
        let fault = match fault {
            Some(Defect::Pastry(fault)) => Some(fault),
            _ => None,
        };
        Config {
            rules,
            bits: 1 + rng.below(4) as u8,
            leaves: 4 + 2 * rng.below(3) as usize,
            neighbours: 4,
            rows_every: 2,
            merge_every: 4,
            randomised: rng.below(4) == 0,
            fault,
            ..Config::default()
        }
    }

    fn travel(message: &Message<Node>) -> Result<Message<Node>, String> {
        wire::travel(
            message,
            |said| said.map(wire::peer, |own| own.map(wire::peer)),
            |said| said.map(wire::node, |own| own.map(wire::node)),
        )
    }

    fn always(world: &Sim<Self>, _: Weather) -> Option<String> {
        let mut rng = Rng::new(world.now().as_nanos());
        for (_, it) in world.nodes().filter(|(_, it)| it.is_member()) {
            if let Some(what) = unordered(it) {
                return Some(what);
            }
            let key = Key::new(u128::from(rng.next_u64()) << 64, 0);
            if let Some(what) = astray(it, &key) {
                return Some(what);
            }
        }
        None
    }

    fn finally(world: &Sim<Self>) -> Option<String> {
        let mut ring: Vec<Node> =
            world.nodes().filter(|(_, it)| it.is_member()).map(|(node, _)| node).collect();
        ring.sort_by_key(Contact::key);
        for (index, &node) in ring.iter().enumerate() {
            let it = world.get(node).expect("a member");
            let exact = Pastry::standing(&ring, index, Arc::new(it.config().clone()), 1, &|_, _| 1);
            let (is, ought) = (it.topology().leaves(), exact.topology().leaves());
            if is != ought {
                return Some(format!("{node}: {is:?} is not {ought:?}"));
            }
            // Symmetric: where sides are full, whoever is k behind me has me k before it.
            for leaf in is.iter() {
                let back = world.get(leaf).is_some_and(|it| it.topology().leaves().contains(node));
                if !back {
                    return Some(format!("{leaf} is a leaf of {node}, which is none of its"));
                }
            }
        }
        None
    }

    fn copies_of(world: &Sim<Self>, _: &Key) -> usize {
        world.nodes().filter(|(_, it)| it.is_member()).count().min(3)
    }
}

/// What is out of order in the leaf set of a node.
fn unordered(it: &Pastry<Node>) -> Option<String> {
    let (me, leaves) = (it.me(), it.topology().leaves());
    let place = |node: Node| node.key().front();
    let after = leaves.after().iter().map(|&leaf| place(leaf).wrapping_sub(place(me)));
    let before = leaves.before().iter().map(|&leaf| place(me).wrapping_sub(place(leaf)));
    let in_order = |side: &[u128]| side.windows(2).all(|pair| pair[0] < pair[1]);
    let (after, before): (Vec<_>, Vec<_>) = (after.collect(), before.collect());
    let fine = in_order(&after) && in_order(&before) && !leaves.contains(me);
    (!fine).then(|| format!("{me}: {leaves:?} is not in order"))
}

/// Whether the next hop from a node shares no longer prefix with `key`, and is no nearer to it.
fn astray(it: &Pastry<Node>, key: &Key) -> Option<String> {
    let (me, next) = (it.me(), it.next_hop(key)?);
    let base = Base::new(it.config().bits);
    let apart = |node: Node| {
        let there = node.key().front();
        there.wrapping_sub(key.front()).min(key.front().wrapping_sub(there))
    };
    let shared = |node: Node| base.shared(&node.key(), key);
    let onward = shared(next) > shared(me) || apart(next) < apart(me);
    (!onward).then(|| format!("{me} passes {key} on to {next}, which is no nearer"))
}

#[test]
fn pastry_calm() {
    weather::<Tables<Node>>(Weather::Calm);
}

#[test]
fn pastry_crashes() {
    weather::<Tables<Node>>(Weather::Crashes);
}

#[test]
fn pastry_partitions() {
    weather::<Tables<Node>>(Weather::Partitions);
}

fn planted(fault: Defect, as_expected: fn(&Failure) -> bool) {
    found::<Tables<Node>>(fault, Weather::Crashes, as_expected);
}

#[test]
fn one_sided_leaf_sets_are_seen() {
    planted(Defect::Pastry(Fault::OneSided), |it| matches!(it, Failure::Unsettled(_)));
}

#[test]
fn leaf_sets_that_nobody_keeps_are_seen() {
    planted(Defect::Pastry(Fault::StaleLeaves), |it| matches!(it, Failure::Unsettled(_)));
}

#[test]
fn hops_that_lead_nowhere_are_seen() {
    planted(Defect::Pastry(Fault::AnyHop), |it| matches!(it, Failure::Invariant(..)));
}

#[test]
fn pastry_copies_that_are_not_repaired_are_missed() {
    planted(Defect::NoRepair, |it| matches!(it, Failure::TooFew(..) | Failure::Lost(..)));
}
