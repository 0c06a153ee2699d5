//! CAN: tori that stand, walked by the routing of the machine that runs live.

pub(super) mod full_system;
pub(super) mod hops;
pub(super) mod realities;
pub(super) mod rtt;
pub(super) mod zone_peers;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use dht::can::{Can, Config, Point, Standing};
use dht::overlay::{Event, Rules};
use machine::dht::{Command, Report};
use machine::{OpId, Rng};
use sim::{Latency, Link, Node, Settings, TransitStub, World};

use crate::param::{Kind, Param};
use crate::watch::{self, Spot, Stage, Ways};

/// Transit domains of a [`network`].
const DOMAINS: Param = Param {
    name: "domains",
    what: "transit domains, two links of 100 ms apart",
    kind: Kind::Integer(1, 64),
    paper: "2",
    small: "2",
};

/// Routers in each.
const ROUTERS: Param = Param {
    name: "routers",
    what: "routers in each domain, one such link apart",
    kind: Kind::Integer(1, 64),
    paper: "2",
    small: "2",
};

/// A transit-stub network with links of 100, 10 and 1 ms.
fn network(domains: u64, routers: u64) -> Latency {
    let millis = Duration::from_millis;
    Latency::TransitStub(TransitStub {
        domains: domains as u32,
        routers: routers as u32,
        stubs: 4,
        transit: millis(100),
        access: millis(10),
        stub: millis(1),
    })
}

/// Milliseconds from one node to another.
fn millis(latency: &Latency, from: Node, to: Node) -> f64 {
    latency.delay(from, to, &mut Rng::new(0)).as_secs_f64() * 1_000.0
}

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

/// Hops of `lookups` of random keys, which nodes of a torus that stands do by messages.
fn look_up(count: u64, config: Config, lookups: u64, seed: u64) -> Vec<f64> {
    let link = Link::new(Latency::Constant(Duration::from_millis(10)));
    let mut world = World::new(Settings { seed, threads: 1, link });
    let nodes = world.reserve(count as usize);
    let mut rng = Rng::new(seed);
    let config = Arc::new(Config { rules: Rules::standing(), ..config });
    let dimensions = config.dimensions;
    let standing = Standing::new(&nodes, &mut rng, config);
    for (zone, node) in standing.zones() {
        world.start(node, standing.node(zone, node, |_, _| 1));
    }
    watch::look_on(&mut world, &nodes, |world, _| {
        Stage::torus(world.nodes().map(|(node, machine)| (node, spot(machine, dimensions))))
    });
    let began = world.now() + Duration::from_millis(1);
    for number in 0..lookups {
        let Some(&node) = rng.pick(&nodes) else { break };
        let key = Point(rng.next_u64()).key();
        let at = began + Duration::from_millis(number);
        world.command_at(at, node, OpId(number), Command::Lookup { key });
    }
    world.run_for(Duration::from_millis(lookups) + Duration::from_secs(60));
    let hops = world.drain_events().filter_map(|it| match it.event {
        Event::Report(Report::Located { cost, .. }) => Some(f64::from(cost.hops)),
        _ => None,
    });
    hops.collect()
}
