//! CAN: tori that stand, walked by the routing of the machine that runs live.

pub(super) mod hops;
pub(super) mod realities;
pub(super) mod rtt;

use std::cell::RefCell;
use std::sync::Arc;

use dht::can::{Can, Config, Point, Standing};
use dht::overlay::Rules;
use machine::Rng;
use sim::Node;

use crate::watch::{Spot, Stage, Ways};

/// A torus that stands: its nodes by slot.
struct Torus {
    config: Arc<Config>,
    nodes: Vec<Can<Node>>,
    ways: RefCell<Ways<Node>>,
}

/// The middle of a node's zone, in the first two dimensions.
pub(super) fn spot(node: &Can<Node>, dimensions: usize) -> Spot {
    let Some(zone) = node.topology().zones().next() else { return [0.5; 2] };
    let middle = |dimension: usize| {
        if dimension >= dimensions {
            return 0.5;
        }
        let (low, halvings) = zone.side(dimension, dimensions);
        (low as f64 / 2f64.powi(64) + 0.5f64.powi(halvings as i32 + 1)) as f32
    };
    [middle(0), middle(1)]
}

impl Torus {
    /// `count` nodes that joined at random places; `rtt` says how far neighbours are.
    fn standing(
        count: u64,
        config: Config,
        rng: &mut Rng,
        rtt: impl Fn(Node, Node) -> u16,
    ) -> Self {
        let config = Arc::new(Config { rules: Rules::standing(), ..config });
        let all: Vec<Node> = (0..count as u32).map(|slot| Node::new(slot, 0)).collect();
        let standing = Standing::new(&all, rng, Arc::clone(&config));
        let mut nodes: Vec<Can<Node>> =
            standing.zones().map(|(zone, node)| standing.node(zone, node, &rtt)).collect();
        nodes.sort_by_key(|node| node.me().slot());
        let ways = Ways::new(|| {
            Stage::torus(nodes.iter().map(|node| (node.me(), spot(node, config.dimensions))))
        });
        Self { config, nodes, ways: RefCell::new(ways) }
    }

    fn node(&self, node: Node) -> &Can<Node> {
        &self.nodes[node.slot() as usize]
    }

    /// The way from `from` to whoever owns `point`, both included.
    fn walk(&self, from: Node, point: Point) -> Vec<Node> {
        let mut way = vec![from];
        let mut here = from;
        while let Some(next) = self.node(here).topology().next(point, &self.config) {
            way.push(next);
            here = next;
        }
        self.ways.borrow_mut().walked(&way);
        way
    }

    /// A node at random.
    fn any(&self, rng: &mut Rng) -> Node {
        Node::new(rng.below(self.nodes.len() as u64) as u32, 0)
    }
}
