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

use super::prefix::{after, distance, nearby, plane, random_key, round_trip};
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
    /// `count` nodes with full tables, each slot with the nearest of `samples`.
    fn standing(seed: u64, count: usize, samples: usize, config: Config) -> Self {
        let plane = plane();
        let link = Link::new(plane.clone());
        let mut world = World::new(Settings { seed, threads: 1, link });
        let mut nodes = world.reserve(count);
        nodes.sort_unstable_by_key(|node| node.key());
        let config = Arc::new(config);
        let rtt = |one, other| round_trip(&plane, one, other);
        for (index, &node) in nodes.iter().enumerate() {
            world.start(node, Pastry::standing(&nodes, index, config.clone(), samples, &rtt));
        }
        watch::look_on(&mut world, &nodes, Stage::ring);
        Self::of(world, nodes, plane)
    }

    /// `count` nodes that have joined one after the other, each by the nearest that it finds.
    fn grown(seed: u64, count: usize, config: Config, tell: &dyn Fn(f64)) -> Self {
        let plane = plane();
        let link = Link::new(plane.clone());
        let mut world = World::new(Settings { seed, threads: 1, link });
        let mut nodes = world.reserve(count);
        let (config, mut rng) = (Arc::new(config), Rng::new(seed));
        watch::look_on(&mut world, &nodes, Stage::ring);
        for (index, &node) in nodes.iter().enumerate() {
            let drawn = nearby(&plane, &nodes[..index], node, &mut rng);
            let known =
                drawn.map(|drawn| nearest(&world, &plane, drawn, node)).into_iter().collect();
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

    /// Two random nodes, the other one as a key.
    fn draw_two(&self, rng: &mut Rng) -> (Node, Key) {
        let mut any = || self.nodes[rng.below(self.nodes.len() as u64) as usize];
        (any(), any().key())
    }

    /// A random node and a random key.
    fn draw(&self, rng: &mut Rng) -> (Node, Key) {
        (self.nodes[rng.below(self.nodes.len() as u64) as usize], random_key(rng))
    }
}

/// Who is nearest to `newcomer`, as one finds it who begins at `from` and asks whoever is nearest for
/// its neighbourhood set until nobody there is nearer (Castro et al., MSR-TR-2002-82, section 4.2).
fn nearest(world: &World<Pastry<Node>>, plane: &Latency, from: Node, newcomer: Node) -> Node {
    let mut here = (distance(plane, newcomer, from), from);
    loop {
        let beside = world.get(here.1).into_iter().flat_map(|it| it.topology().neighbourhood());
        let others = beside.filter(|&it| it != newcomer);
        let best = others
            .map(|it| (distance(plane, newcomer, it), it))
            .min_by(|one, other| one.0.total_cmp(&other.0));
        match best {
            Some(best) if best.0 < here.0 => here = best,
            _ => return here.1,
        }
    }
}

/// A network in which nobody keeps anything up.
fn still(config: Config) -> Config {
    Config { rules: Rules::standing(), ..config }
}
