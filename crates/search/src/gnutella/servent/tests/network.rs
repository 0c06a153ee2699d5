//! Networks of servents in virtual time.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;

use machine::{Contact, Instant, Rng};
use sim::stream::{Access, Act, Adapter, Config as NetConfig, StreamNet};

use super::super::super::{Guid, Sha1};
use super::super::*;

/// A servent of the simulator, at 10.0.0.0 and up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Place(u32);

impl Contact for Place {
    type Host = u32;

    fn host(&self) -> u32 {
        self.0
    }
}

impl Address for Place {
    fn socket(&self) -> SocketAddr {
        SocketAddr::from(((0x0a00_0001 + self.0).to_be_bytes(), 6_346))
    }

    fn from_socket(addr: SocketAddr) -> Option<Self> {
        let IpAddr::V4(ip) = addr.ip() else { return None };
        u32::from(ip).checked_sub(0x0a00_0001).map(Self)
    }
}

#[derive(Default)]
struct World {
    found: BTreeMap<u32, Vec<String>>,
    roles: BTreeMap<u32, Role>,
}

impl Adapter for World {
    type Machine = Servent<Place>;

    fn contact(&self, node: u32) -> Place {
        Place(node)
    }

    fn node(&self, contact: Place) -> u32 {
        contact.0
    }

    fn act(&mut self, _: u32, effect: Effect<Place>) -> Act<Servent<Place>> {
        match effect {
            Effect::Dial(contact) => Act::Dial(contact),
            Effect::Send(conn, frame) => Act::Send(conn, frame),
            Effect::Close(conn, why) => Act::Close(conn, why),
            Effect::Datagram(..) => Act::Nothing,
        }
    }

    fn on_event(&mut self, node: u32, event: Event<Place>, _: Instant) {
        match event {
            Event::Found(found) => self.found.entry(node).or_default().push(found.name),
            Event::Role(role) => drop(self.roles.insert(node, role)),
            _ => {}
        }
    }

    fn gone(&self) -> CloseReason {
        CloseReason::Gone
    }
}

const HUBS: u32 = 8;
const NODES: u32 = 30;

fn net() -> StreamNet<World> {
    net_of(7)
}

fn net_of(seed: u64) -> StreamNet<World> {
    let config = NetConfig {
        seed,
        latency: Duration::from_millis(30),
        verifying: Duration::ZERO,
        window: 8,
    };
    StreamNet::new(config, World::default())
}

fn servent(node: u32, mode: Mode) -> Servent<Place> {
    let mut rng = Rng::new(u64::from(node));
    let mut name = [0; 16];
    rng.fill(&mut name);
    Servent::new(Config {
        local: true,
        listen: Some(Place(node).socket()),
        slots: 1 << 12,
        dynamic_pause: Duration::from_millis(500),
        ultrapeers_wanted: 4,
        key: rng.next_u64(),
        ..Config::new(mode, Guid(name))
    })
}

fn run(net: &mut StreamNet<World>, secs: u64) {
    let limit = net.now() + Duration::from_secs(secs);
    while net.step(limit) {}
}

fn share(node: u32) -> Command<Place> {
    let mut sha1 = [0; 20];
    sha1[..4].copy_from_slice(&node.to_be_bytes());
    let name = std::format!("treasure of{node:02}.bin");
    Command::Share(SharedFile { name, len: 100, sha1: Sha1(sha1), tree: None })
}

fn look_for(words: &str) -> Command<Place> {
    Command::Search { words: words.into(), sha1: None }
}

#[test]
fn everything_stays_findable_while_ultrapeers_die_under_load() {
    let mut net = net();
    for node in 0..NODES {
        let mode = if node < HUBS { Mode::Ultrapeer } else { Mode::Leaf };
        net.add(servent(node, mode), Access::default());
        net.command(node, share(node));
        let known = (0..HUBS.min(node)).map(Place).collect();
        net.command(node, Command::Join(known));
    }
    run(&mut net, 60);
    for node in 0..NODES {
        assert!(net.machine(node).neighbours().count() >= 2, "node {node} has neighbours");
    }
    // Everybody looks for something while every other ultrapeer dies.
    for (at, gone) in (1..HUBS).step_by(2).enumerate() {
        for node in (HUBS..NODES).filter(|node| *node as usize % 4 == at) {
            net.command(node, look_for("treasure"));
        }
        run(&mut net, 1);
        net.crash(gone);
        run(&mut net, 5);
    }
    run(&mut net, 120);
    let alive: Vec<u32> = (0..NODES).filter(|node| *node >= HUBS || node % 2 == 0).collect();
    for seeker in [HUBS, NODES - 1, 0] {
        for have in &alive {
            if *have == seeker {
                continue;
            }
            let name = std::format!("treasure of{have:02}.bin");
            net.command(seeker, look_for(&name));
            run(&mut net, 10);
            let found = net.adapter().found.get(&seeker).cloned().unwrap_or_default();
            assert!(found.contains(&name), "{seeker} does not find {name}");
        }
    }
}

/// Every leaf asks once, before or while half of the ultrapeers die, for what another leaf has; who
/// has found nothing in time.
fn unlucky(seed: u64) -> Vec<u32> {
    const HUBS: u32 = 6;
    let mut net = net_of(seed);
    let mut rng = Rng::new(seed);
    for node in 0..NODES {
        let mode = if node < HUBS { Mode::Ultrapeer } else { Mode::Leaf };
        net.add(servent(node, mode), Access::default());
        net.command(node, share(node));
        let known = (0..HUBS.min(node)).map(Place).collect();
        net.command(node, Command::Join(known));
    }
    run(&mut net, 30);
    let mut dying: Vec<u32> = (0..HUBS).collect();
    rng.shuffle(&mut dying);
    dying.truncate(3);
    let leaves = NODES - HUBS;
    let wanted = |node: u32| HUBS + (node - HUBS + 7) % leaves;
    for node in HUBS..NODES {
        // Some just before, some between, some when all of them are gone.
        if node % 8 == 3 {
            dying.pop().into_iter().for_each(|gone| net.crash(gone));
        }
        net.command(node, look_for(&std::format!("treasure of{:02}", wanted(node))));
        let soon = net.now() + Duration::from_millis(rng.below(200));
        while net.step(soon) {}
    }
    run(&mut net, 20);
    let found = &net.adapter().found;
    let has = |node: &u32| {
        let name = std::format!("treasure of{:02}.bin", wanted(*node));
        found.get(node).is_some_and(|names| names.contains(&name))
    };
    (HUBS..NODES).filter(|node| !has(node)).collect()
}

#[test]
fn searches_outlive_the_ultrapeers_that_they_were_asked_of() {
    let seeds = std::env::var("SHOAL_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    for seed in 0..seeds.unwrap_or(20) {
        assert_eq!(unlucky(seed), [0; 0], "seed {seed}");
    }
}

#[test]
fn version_04_floods_and_finds_within_seven_hops() {
    let mut net = net();
    for node in 0..12 {
        let mut servent = servent(node, Mode::Old);
        servent.config.ultrapeers_wanted = 1;
        net.add(servent, Access::default());
        net.command(node, share(node));
        // A chain.
        let known = node.checked_sub(1).map(Place).into_iter().collect();
        net.command(node, Command::Join(known));
        run(&mut net, 3);
    }
    net.command(0, look_for("treasure"));
    run(&mut net, 10);
    let mut found = net.adapter().found.get(&0).cloned().unwrap_or_default();
    found.sort();
    found.dedup();
    let within: Vec<_> = (1..=7).map(|node| std::format!("treasure of{node:02}.bin")).collect();
    assert_eq!(found, within);
}

#[test]
fn a_leaf_that_is_needed_becomes_an_ultrapeer_and_a_leaf_again() {
    let mut net = net();
    for node in 0..3 {
        let mut servent = servent(node, Mode::Auto);
        servent.config.promote_after = Duration::from_secs(10);
        servent.config.demote_after = Duration::from_secs(600);
        if node > 0 {
            // Those who stay leaves.
            servent.config.mode = Mode::Leaf;
        }
        net.add(servent, Access::default());
        let known = if node > 0 { [Place(0)].into() } else { Vec::new() };
        net.command(node, Command::Join(known));
    }
    run(&mut net, 120);
    assert_eq!(net.machine(0).role(), Role::Ultrapeer);
    assert_eq!(net.machine(0).neighbours().filter(|(_, role)| *role == Role::Leaf).count(), 2);
    net.crash(1);
    net.crash(2);
    run(&mut net, 1_300);
    assert_eq!(net.machine(0).role(), Role::Leaf);
}
