//! Pastry: networks that stand, that grow by joins, and that lose nodes, of the machine that runs
//! live.

pub(super) mod failures;
pub(super) mod hops;
pub(super) mod hops_distribution;
pub(super) mod stretch;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use dht::overlay::Rules;
use dht::pastry::{Config, Pastry};
use machine::dht::{Command, Contact, Key};
use machine::{OpId, Rng};
use sim::{Latency, Link, Node, Settings, World};

use super::prefix::{after, nearby, plane, random_key, round_trip};
use crate::watch::{self, Stage, Ways};

/// How many candidates of a slot a standing node has measured.
const SAMPLES: usize = 8;
/// Between two joins: the last is over before the next begins.
const JOIN_EVERY: Duration = Duration::from_secs(4);

/// A Pastry network on a plane, its nodes in the order of their places.
struct Network {
    world: World<Pastry<Node>>,
    nodes: Vec<Node>,
    plane: Latency,
    ways: RefCell<Ways<Node>>,
}

impl Network {
    /// `count` nodes with full tables.
    fn standing(seed: u64, count: usize, config: Config) -> Self {
        let plane = plane();
        let link = Link::new(plane.clone());
        let mut world = World::new(Settings { seed, threads: 1, link });
        let mut nodes = world.reserve(count);
        nodes.sort_unstable_by_key(|node| node.key());
        let config = Arc::new(config);
        let rtt = |one, other| round_trip(&plane, one, other);
        for (index, &node) in nodes.iter().enumerate() {
            world.start(node, Pastry::standing(&nodes, index, config.clone(), SAMPLES, &rtt));
        }
        watch::look_on(&mut world, &nodes, Stage::ring);
        Self::of(world, nodes, plane)
    }

    /// `count` nodes that have joined one after the other, each by one that is near it.
    fn grown(seed: u64, count: usize, config: Config, tell: &dyn Fn(f64)) -> Self {
        let plane = plane();
        let link = Link::new(plane.clone());
        let mut world = World::new(Settings { seed, threads: 1, link });
        let mut nodes = world.reserve(count);
        let (config, mut rng) = (Arc::new(config), Rng::new(seed));
        watch::look_on(&mut world, &nodes, Stage::ring);
        for (index, &node) in nodes.iter().enumerate() {
            let known = nearby(&plane, &nodes[..index], node, &mut rng).into_iter().collect();
            world.start(node, Pastry::new(node, config.clone()));
            world.command(node, OpId(index as u64), Command::Join { known });
            world.run_until(after(JOIN_EVERY * (index as u32 + 1)));
            world.drain_events().for_each(drop);
            tell(index as f64 / count as f64);
        }
        nodes.sort_unstable_by_key(|node| node.key());
        Self::of(world, nodes, plane)
    }

    fn of(world: World<Pastry<Node>>, nodes: Vec<Node>, plane: Latency) -> Self {
        let ways = RefCell::new(Ways::new(|| Stage::ring(&world, &nodes)));
        Self { world, nodes, plane, ways }
    }

    /// The way of a lookup, whoever began it and whoever is responsible included.
    fn way(&self, from: Node, key: &Key) -> Vec<Node> {
        let mut way = vec![from];
        while let Some(next) = way.last().and_then(|&here| self.world.get(here)?.next_hop(key)) {
            way.push(next);
        }
        self.ways.borrow_mut().walked(&way);
        way
    }

    /// A random node and a random key.
    fn draw(&self, rng: &mut Rng) -> (Node, Key) {
        (self.nodes[rng.below(self.nodes.len() as u64) as usize], random_key(rng))
    }
}

/// A network in which nobody keeps anything up.
fn still(config: Config) -> Config {
    Config { rules: Rules::standing(), ..config }
}
