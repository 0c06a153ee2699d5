//! CAN: tori that stand, walked by the routing of the machine that runs live.

pub(super) mod hops;
pub(super) mod realities;
pub(super) mod rtt;

use std::sync::Arc;

use dht::can::{Can, Config, Point, Standing};
use dht::overlay::Rules;
use machine::Rng;
use sim::Node;

/// A torus that stands: its nodes by slot.
struct Torus {
    config: Arc<Config>,
    nodes: Vec<Can<Node>>,
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
        Self { config, nodes }
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
        way
    }

    /// A node at random.
    fn any(&self, rng: &mut Rng) -> Node {
        Node::new(rng.below(self.nodes.len() as u64) as u32, 0)
    }
}
