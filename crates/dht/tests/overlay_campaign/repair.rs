//! How long it takes until copies that died with their holders are there again: 30 nodes as people
//! run them, of which some are killed, and others join, while values are put.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dht::overlay::{Event, Overlay};
use dht::{can, kelips, pastry, tapestry, viceroy};
use machine::dht::{Command, Key, Report};
use machine::{OpId, Rng};
use sim::{Latency, Link, Node, Settings, World};

use crate::SEEDS;
use crate::run::{Sim, Subject};

const NODES: usize = 30;
const ROUNDS: u64 = 3;
/// Fewer than the three copies that there are of everything.
const KILLS: usize = 2;
const SECOND: Duration = Duration::from_secs(1);
/// When a run is given up.
const ENDLESS: Duration = Duration::from_secs(100);

struct Run<T: Subject> {
    world: Sim<T>,
    config: Arc<T::Config>,
    members: Vec<Node>,
    /// What is being put, and what is stored.
    putting: BTreeMap<OpId, Key>,
    stored: Vec<Key>,
    ops: u64,
    rng: Rng,
}

impl<T: Subject> Run<T> {
    fn new(seed: u64, config: T::Config) -> Self {
        let latency =
            Latency::Exponential { least: SECOND / 1_000, mean: Duration::from_millis(20) };
        let link = Link::new(latency).with_loss(0.01);
        let mut run = Self {
            world: World::new(Settings { seed, threads: 1, link }),
            config: Arc::new(config),
            members: Vec::new(),
            putting: BTreeMap::new(),
            stored: Vec::new(),
            ops: 0,
            rng: Rng::new(seed),
        };
        for _ in 0..NODES {
            run.grow();
            run.go_on(SECOND);
        }
        run.go_on(10 * SECOND);
        run.put(60);
        run.go_on(SECOND);
        run
    }

    fn command(&mut self, node: Node, command: Command<Node>) -> OpId {
        let op = OpId(self.ops);
        self.ops += 1;
        self.world.command(node, op, command);
        op
    }

    fn grow(&mut self) {
        let known = self.rng.pick(&self.members).copied().into_iter().collect();
        let node = self.world.reserve(1)[0];
        self.world.start(node, Overlay::new(node, Arc::clone(&self.config)));
        self.command(node, Command::Join { known });
        self.members.push(node);
    }

    fn kill(&mut self) {
        let at = self.rng.below(self.members.len() as u64) as usize;
        self.world.crash(self.members.swap_remove(at));
        // A group of Kelips may have fewer members than there are copies elsewhere.
        let world = &self.world;
        self.stored.retain(|key| world.nodes().any(|(_, node)| node.value(key).is_some()));
    }

    fn put(&mut self, count: usize) {
        for _ in 0..count {
            let key = Key::new(u128::from(self.rng.next_u64()) << 64, 0);
            let node = *self.rng.pick(&self.members).expect("a node");
            let value = self.ops.to_be_bytes().as_slice().into();
            let op = self.command(node, Command::Put { key, value });
            self.putting.insert(op, key);
        }
    }

    /// Whoever cannot join tries again.
    fn go_on(&mut self, span: Duration) {
        self.world.run_for(span);
        let events: Vec<_> = self.world.drain_events().collect();
        for event in events {
            let (Some(op), Event::Report(report)) = (event.op, event.event) else { continue };
            match report {
                Report::Stored { .. } => self.stored.extend(self.putting.remove(&op)),
                Report::Failed { .. } if !self.putting.contains_key(&op) => {
                    let others = self.members.iter().copied().filter(|&it| it != event.node);
                    let known = others.take(2).collect();
                    self.command(event.node, Command::Join { known });
                }
                _ => {}
            }
        }
    }

    /// Whether each value has the copies that it should have.
    fn is_whole(&self) -> bool {
        let mut copies: BTreeMap<Key, usize> = self.stored.iter().map(|&key| (key, 0)).collect();
        for key in self.world.nodes().flat_map(|(_, node)| node.keys()) {
            *copies.entry(key).or_default() += 1;
        }
        copies.iter().all(|(key, &count)| count >= T::copies_of(&self.world, key).min(3))
    }

    /// How long it takes until everything has its copies.
    fn repaired(&mut self) -> Duration {
        let began = self.world.now();
        while !self.is_whole() && self.world.now() - began < ENDLESS {
            self.go_on(SECOND / 5);
        }
        self.world.now() - began
    }
}

/// The longest that copies are missing, in any of `seeds` runs, and how long they are on average.
fn repair<T: Subject>(seeds: u64, config: impl Fn() -> T::Config) -> (Duration, Duration) {
    let mut times = Vec::new();
    for seed in 0..seeds {
        let mut run = Run::<T>::new(seed, config());
        run.repaired();
        for _ in 0..ROUNDS {
            (0..KILLS).for_each(|_| run.kill());
            run.put(10);
            (0..KILLS).for_each(|_| run.grow());
            times.push(run.repaired());
        }
    }
    let sum: Duration = times.iter().sum();
    (times.iter().copied().max().unwrap_or_default(), sum / times.len().max(1) as u32)
}

/// Asserts that copies are back within `bound`.
fn bounded<T: Subject>(seeds: u64, config: impl Fn() -> T::Config, bound: Duration) {
    let (worst, mean) = repair::<T>(seeds, config);
    println!("copies are back after {mean:.1?}, and at worst after {worst:.1?}");
    assert!(worst <= bound, "some copies are missing for {worst:?}");
}

/// The dead are believed to hold what they held until their pointers expire; then there is a round
/// of publishing, and three rounds for nodes that are found silent.
fn tapestry_bound() -> Duration {
    let config = tapestry::Config::responsive();
    let (_, round) = config.rules.tick.expect("it is kept up");
    config.pointer_life + 4 * round + config.rules.timeout * u32::from(config.rules.attempts)
}

#[test]
fn tapestry_repairs_within_the_life_of_a_pointer_and_some_rounds() {
    bounded::<tapestry::Tables<Node>>(SEEDS, tapestry::Config::responsive, tapestry_bound());
}

#[test]
fn roots_that_name_the_dead_are_seen() {
    let config = || {
        let fault = Some(tapestry::Fault::BelievesRoots);
        tapestry::Config { fault, ..tapestry::Config::responsive() }
    };
    let (worst, _) = repair::<tapestry::Tables<Node>>(SEEDS / 10, config);
    assert!(worst > tapestry_bound(), "{worst:?}");
}

#[test]
fn pastry_repairs_within_some_rounds() {
    bounded::<pastry::Tables<Node>>(SEEDS / 4, pastry::Config::responsive, 10 * SECOND);
}

#[test]
fn can_repairs_within_some_rounds() {
    bounded::<can::Zones<Node>>(SEEDS / 4, can::Config::responsive, 20 * SECOND);
}

#[test]
fn viceroy_repairs_within_some_rounds() {
    bounded::<viceroy::Butterfly<Node>>(SEEDS / 4, viceroy::Config::responsive, 20 * SECOND);
}

#[test]
fn kelips_repairs_within_some_rounds() {
    bounded::<kelips::Groups<Node>>(SEEDS / 4, kelips::Config::responsive, 30 * SECOND);
}
