//! Tapestry: ways through tables that stand, and a network that fails and grows while it is used,
//! all of the machine that runs live.

pub(super) mod dynamics;
pub(super) mod rdp;

use std::cell::RefCell;
use std::sync::Arc;

use dht::tapestry::{Config, Tapestry};
use machine::dht::{Contact, Key};
use sim::{Latency, Link, Node, Settings, World};

use super::prefix::round_trip;
use crate::watch::{self, Stage, Ways};

/// A Tapestry network on a plane, its nodes in the order of their places.
struct Network {
    world: World<Tapestry<Node>>,
    nodes: Vec<Node>,
    plane: Latency,
    config: Arc<Config>,
    ways: RefCell<Ways<Node>>,
}

impl Network {
    /// `count` nodes with full tables, the nearest of `samples` in each slot.
    fn standing(seed: u64, count: usize, samples: usize, plane: Latency, config: Config) -> Self {
        let link = Link::new(plane.clone());
        let mut world = World::new(Settings { seed, threads: 1, link });
        let mut nodes = world.reserve(count);
        nodes.sort_unstable_by_key(|node| node.key());
        let config = Arc::new(config);
        let rtt = |one, other| round_trip(&plane, one, other);
        for (index, &node) in nodes.iter().enumerate() {
            world.start(node, Tapestry::standing(&nodes, index, config.clone(), samples, &rtt));
        }
        watch::look_on(&mut world, &nodes, Stage::tree);
        let ways = RefCell::new(Ways::new(|| Stage::tree(&world, &nodes)));
        Self { world, nodes, plane, config, ways }
    }

    /// The way of a message, whoever sent it and the root included.
    fn way(&self, from: Node, key: &Key) -> Vec<Node> {
        let (mut way, mut level) = (vec![from], 0);
        while let Some((next, resolved)) =
            way.last().and_then(|&here| self.world.get(here)?.next_hop(key, level))
        {
            way.push(next);
            level = resolved;
        }
        self.ways.borrow_mut().walked(&way);
        way
    }
}
