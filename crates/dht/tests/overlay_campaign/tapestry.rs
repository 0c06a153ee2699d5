//! What must hold of a Tapestry network.

use std::time::Duration;

use dht::overlay::Rules;
use dht::prefix::Base;
use dht::tapestry::{Config, Fault, Message, Tables, Tapestry};
use machine::Rng;
use machine::dht::{Contact, Key};
use sim::Node;

use crate::run::{Failure, Sim, Subject, Weather};
use crate::{found, weather, wire};

/// What tests plant.
#[derive(Clone, Copy, Debug)]
pub enum Defect {
    Tapestry(Fault),
    NoRepair,
}

impl Subject for Tables<Node> {
    type Fault = Defect;
    const QUIET: Duration = Duration::from_secs(120);
    const MESSAGES_MAX: u64 = 600_000;

    fn config(rng: &mut Rng, _: Weather, fault: Option<Defect>) -> Config {
        let rules = Rules {
            tick: Some((Duration::from_millis(800), Duration::from_millis(1_200))),
            orphan_after: Duration::from_secs(15),
            never_repairs: matches!(fault, Some(Defect::NoRepair)),
            ..Rules::default()
        };
        let fault = match fault {
            Some(Defect::Tapestry(fault)) => Some(fault),
            _ => None,
        };
        Config {
            rules,
            bits: 1 + rng.below(4) as u8,
            backups: 1 + rng.below(2) as usize,
            pointer_life: Duration::from_secs(8),
            merge_every: 4,
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
            let base = Base::new(it.config().bits);
            let key = Key::new(u128::from(rng.next_u64()) << 64, 0);
            let level = rng.below(4) as u8;
            if let Some((next, resolved)) = it.next_hop(&key, level) {
                let shared = base.shared(&next.key(), &it.me().key());
                if resolved <= level || shared + 1 != usize::from(resolved) {
                    return Some(format!("{} resolves {resolved} with {next}", it.me()));
                }
            }
        }
        None
    }

    fn finally(world: &Sim<Self>) -> Option<String> {
        let members: Vec<&Tapestry<Node>> =
            world.nodes().map(|(_, it)| it).filter(|it| it.is_member()).collect();
        for it in &members {
            let base = Base::new(it.config().bits);
            let mine = it.me().key();
            for other in members.iter().filter(|other| other.me() != it.me()) {
                let level = base.shared(&mine, &other.me().key());
                let digit = base.digit(&other.me().key(), level);
                let fills = |node: Node| {
                    base.shared(&mine, &node.key()) == level
                        && base.digit(&node.key(), level) == digit
                };
                if !it.topology().entries().iter().any(|entry| fills(entry.contact)) {
                    return Some(format!("{} has a hole where {} belongs", it.me(), other.me()));
                }
            }
        }
        let mut rng = Rng::new(7);
        for _ in 0..20 {
            let key = Key::new(u128::from(rng.next_u64()) << 64, 0);
            let roots: Vec<_> = members.iter().map(|it| root(world, it.me(), &key)).collect();
            if roots.windows(2).any(|pair| pair[0] != pair[1]) || roots.contains(&None) {
                return Some(format!("{key} has the roots {roots:?}"));
            }
        }
        None
    }

    fn copies_of(world: &Sim<Self>, _: &Key) -> usize {
        world.nodes().filter(|(_, it)| it.is_member()).count().min(3)
    }
}

/// Where messages for `key` that begin at `from` end.
fn root(world: &Sim<Tables<Node>>, from: Node, key: &Key) -> Option<Node> {
    let (mut here, mut level) = (from, 0);
    loop {
        match world.get(here)?.next_hop(key, level) {
            None => return Some(here),
            Some((next, resolved)) => (here, level) = (next, resolved),
        }
    }
}

#[test]
fn tapestry_calm() {
    weather::<Tables<Node>>(Weather::Calm);
}

#[test]
fn tapestry_crashes() {
    weather::<Tables<Node>>(Weather::Crashes);
}

#[test]
fn tapestry_partitions() {
    weather::<Tables<Node>>(Weather::Partitions);
}

fn planted(fault: Defect, as_expected: fn(&Failure) -> bool) {
    found::<Tables<Node>>(fault, Weather::Crashes, as_expected);
}

#[test]
fn surrogates_that_nodes_choose_differently_are_seen() {
    planted(Defect::Tapestry(Fault::EitherWay), |it| matches!(it, Failure::Unsettled(_)));
}

#[test]
fn digits_that_are_not_counted_are_seen() {
    planted(Defect::Tapestry(Fault::NoProgress), |it| matches!(it, Failure::Invariant(..)));
}

#[test]
fn pointers_that_expire_are_missed() {
    planted(Defect::Tapestry(Fault::NoRepublish), |it| {
        matches!(it, Failure::Lost(..) | Failure::TooFew(..))
    });
}

#[test]
fn holes_in_tables_are_seen() {
    planted(Defect::Tapestry(Fault::StaleTable), |it| matches!(it, Failure::Unsettled(_)));
}

#[test]
fn tapestry_copies_that_are_not_repaired_are_missed() {
    planted(Defect::NoRepair, |it| matches!(it, Failure::TooFew(..) | Failure::Lost(..)));
}
