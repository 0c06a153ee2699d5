//! What must hold of a Kelips network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dht::kelips::{Config, Fault, Groups, Message, Standing};
use dht::overlay::{Event, Rules};
use machine::dht::{Command, Contact, Key, Report};
use machine::{OpId, Rng};
use sim::{Latency, Link, Node, Settings, World};

use crate::run::{Failure, Sim, Subject, Weather};
use crate::{found, weather, wire};

impl Subject for Groups<Node> {
    type Fault = Defect;
    const QUIET: Duration = Duration::from_secs(110);
    const MESSAGES_MAX: u64 = 400_000;

    fn config(rng: &mut Rng, _: Weather, fault: Option<Defect>) -> Config {
        let rules = Rules {
            tick: Some((Duration::from_millis(800), Duration::from_millis(1_200))),
            orphan_after: Duration::from_secs(15),
            get_tries: 4,
            never_repairs: matches!(fault, Some(Defect::NoRepair)),
            ..Rules::default()
        };
        let fault = match fault {
            Some(Defect::Kelips(fault)) => Some(fault),
            _ => None,
        };
        Config { rules, groups: 1 + rng.below(4) as u32, fault, ..Config::default() }
    }

    fn travel(message: &Message<Node>) -> Result<Message<Node>, String> {
        wire::travel(message, |said| said.map(wire::peer), |said| said.map(wire::node))
    }

    fn always(_: &Sim<Self>, _: Weather) -> Option<String> {
        None
    }

    fn finally(world: &Sim<Self>) -> Option<String> {
        let mut groups: BTreeMap<u32, BTreeSet<Node>> = BTreeMap::new();
        for (node, it) in world.nodes().filter(|(_, it)| it.is_member()) {
            groups.entry(it.topology().group()).or_default().insert(node);
        }
        for (node, it) in world.nodes().filter(|(_, it)| it.is_member()) {
            let view = it.topology();
            let mut members: BTreeSet<Node> = view.members().collect();
            members.insert(node);
            if members != groups[&view.group()] {
                return Some(format!("{node}: {members:?} is not {:?}", groups[&view.group()]));
            }
            if let Some((age, patience)) = view.oldest(it.config(), world.now())
                && age > patience + Duration::from_secs(2)
            {
                return Some(format!("{node} has an entry of {age:?}, which may be {patience:?}"));
            }
            for (group, there) in &groups {
                let contacts: BTreeSet<Node> =
                    view.contacts().filter(|(of, _)| of == group).map(|(_, it)| it).collect();
                if *group != view.group() && (contacts.is_empty() || !contacts.is_subset(there)) {
                    return Some(format!("{node} has {contacts:?} in {group}, of {there:?}"));
                }
            }
        }
        // Every member knows where every value of its group is.
        for (holder, it) in world.nodes().filter(|(_, it)| it.is_member()) {
            for key in it.keys() {
                let kin = groups[&it.topology().group()].iter().copied();
                let unaware = kin
                    .filter_map(|node| world.get(node))
                    .find(|other| !other.topology().homes(&key).any(|home| home == holder));
                if let Some(other) = unaware {
                    let homes: Vec<_> = other.topology().homes(&key).collect();
                    let who = other.me();
                    return Some(format!("{who} has {homes:?} for {key}, and not {holder}"));
                }
            }
        }
        None
    }

    fn copies_of(world: &Sim<Self>, key: &Key) -> usize {
        let holder = world.nodes().find(|(_, it)| it.value(key).is_some());
        let Some((_, holder)) = holder else { return 1 };
        let group = holder.topology().group();
        world
            .nodes()
            .filter(|(_, it)| it.is_member() && it.topology().group() == group)
            .count()
            .min(3)
    }
}

/// What tests plant.
#[derive(Clone, Copy, Debug)]
pub enum Defect {
    Kelips(Fault),
    NoRepair,
}

#[test]
fn kelips_calm() {
    weather::<Groups<Node>>(Weather::Calm);
}

#[test]
fn kelips_crashes() {
    weather::<Groups<Node>>(Weather::Crashes);
}

#[test]
fn kelips_partitions() {
    weather::<Groups<Node>>(Weather::Partitions);
}

fn planted(fault: Defect, as_expected: fn(&Failure) -> bool) {
    found::<Groups<Node>>(fault, Weather::Crashes, as_expected);
}

#[test]
fn entries_that_never_expire_are_seen() {
    planted(Defect::Kelips(Fault::NeverExpire), |it| matches!(it, Failure::Unsettled(_)));
}

#[test]
fn the_dead_who_are_believed_to_live_are_seen() {
    planted(Defect::Kelips(Fault::AnyBeat), |it| matches!(it, Failure::Unsettled(_)));
}

#[test]
fn members_without_heartbeats_are_seen() {
    planted(Defect::Kelips(Fault::NoBeats), |it| matches!(it, Failure::Unsettled(_)));
}

#[test]
fn values_that_nobody_is_told_of_are_seen() {
    planted(Defect::Kelips(Fault::NoTuples), |it| {
        matches!(it, Failure::Unsettled(_) | Failure::Lost(..))
    });
}

#[test]
fn kelips_copies_that_are_not_repaired_are_missed() {
    planted(Defect::NoRepair, |it| matches!(it, Failure::TooFew(..)));
}

/// What a put comes to when its user's first contact in the group of the key is dead, or `homes`
/// of those who should hold the value are.
fn put_past_the_dead(rules: Rules, homes: usize) -> Option<Report<Node>> {
    let config = Arc::new(Config { rules, groups: 5, ..Config::default() });
    let link = Link::new(Latency::Constant(Duration::from_millis(20)));
    let mut world = World::new(Settings { seed: 1, threads: 1, link });
    let nodes = world.reserve(60);
    let standing = Standing::new(&nodes, Arc::clone(&config));
    nodes.iter().for_each(|&node| world.start(node, standing.node(node)));
    world.run_for(Duration::from_secs(1));
    let key = Key::new(0, 0);
    let (asker, contact) = nodes.iter().find_map(|&node| {
        let mut known = world.get(node)?.topology().contacts();
        known.find(|(group, _)| *group == 0).map(|(_, contact)| (node, contact))
    })?;
    if homes == 0 {
        world.crash(contact);
    }
    let mut group: Vec<Node> = nodes
        .iter()
        .copied()
        .filter(|&node| world.get(node).is_some_and(|it| it.topology().group() == 0))
        .collect();
    group.sort_by_key(|node| node.key().xor(&key));
    group.truncate(homes);
    for home in group {
        world.crash(home);
    }
    let value = b"kept".as_slice().into();
    world.command(asker, OpId(1), Command::Put { key, value });
    world.run_for(Duration::from_secs(20));
    world.drain_events().find_map(|it| match it.event {
        Event::Report(report) if it.op == Some(OpId(1)) => Some(report),
        _ => None,
    })
}

#[test]
fn inserts_go_on_to_the_next_contact_when_the_first_is_dead() {
    let rules = Rules { tick: None, ..Rules::default() };
    let report = put_past_the_dead(rules.clone(), 0);
    assert!(matches!(report, Some(Report::Stored { cost, .. }) if cost.timeouts > 0), "{report:?}");
    let once = Rules { lookup_timeouts_max: 0, ..rules };
    let report = put_past_the_dead(once, 0);
    assert!(matches!(report, Some(Report::Failed { .. })), "{report:?}");
}

#[test]
fn inserts_go_to_other_homes_when_all_who_were_named_are_dead() {
    let rules = Rules { tick: None, ..Rules::default() };
    for (homes, living) in [(2, 1), (3, 3), (5, 1)] {
        let report = put_past_the_dead(rules.clone(), homes);
        let Some(Report::Stored { copies, cost }) = report else { panic!("{homes}: {report:?}") };
        assert_eq!((usize::from(cost.timeouts), copies), (homes, living));
    }
    let report = put_past_the_dead(rules, 60);
    assert!(matches!(report, Some(Report::Failed { .. })), "{report:?}");
}
