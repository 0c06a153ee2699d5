//! A network of each system, with full tables, and upkeep at one pace or none.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dht::overlay::{Overlay, Rules, Topology};
use dht::{can, chord, kademlia, kelips, pastry, tapestry, viceroy};
use machine::Rng;
use machine::dht::Contact;
use sim::{Link, Node, Settings, World};

use super::{Experiment, Network, System, bytes, plane};
use crate::claims;
use crate::watch::{self, Stage};

/// How many candidates of a slot a node of Pastry or Tapestry has measured.
const SAMPLES: usize = 8;

/// What a network is made from.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) nodes: usize,
    /// Share of the messages that are lost.
    pub(super) loss: f64,
    /// Between two rounds of upkeep; `None` for none.
    pub(super) round: Option<Duration>,
}

impl Plan {
    fn world<M: sim::Simulated>(&self) -> (World<M>, Vec<Node>) {
        let link = Link::new(plane()).with_loss(self.loss);
        let mut world = World::new(Settings { seed: self.seed, threads: 1, link });
        let nodes = world.reserve(self.nodes);
        (world, nodes)
    }

    fn tick(&self) -> Option<(Duration, Duration)> {
        self.round.map(|round| (round / 2, round + round / 2))
    }

    fn rules(&self, base: Rules) -> Rules {
        Rules { tick: self.tick(), ..base }
    }

    /// Makes the network of `system` and does `experiment` with it.
    pub(super) fn run<E: Experiment>(&self, system: System, experiment: E) -> E::Outcome {
        match system {
            System::Chord => experiment.run(self.chord()),
            System::Kademlia => experiment.run(self.kademlia()),
            System::Pastry => experiment.run(self.pastry()),
            System::Tapestry => experiment.run(self.tapestry()),
            System::Can => experiment.run(self.can()),
            System::Kelips => experiment.run(self.kelips()),
            System::Viceroy => experiment.run(self.viceroy()),
        }
    }

    fn chord(&self) -> Network<chord::Chord<Node>> {
        let (mut world, mut nodes) = self.world();
        nodes.sort_unstable_by_key(Contact::key);
        let config = Arc::new(chord::Config { tick: self.tick(), ..chord::Config::default() });
        for (place, &node) in nodes.iter().enumerate() {
            world.start(node, chord::Chord::wired(&nodes, place, config.clone()));
        }
        watch::look_on(&mut world, &nodes, Stage::ring);
        Network {
            world,
            nodes,
            newcomer: Box::new(move |node| chord::Chord::new(node, config.clone())),
            length: bytes::chord,
            contacts: |node| {
                let known = node.successors().iter().chain(node.fingers()).copied();
                distinct(known.chain(node.predecessor()))
            },
        }
    }

    fn kademlia(&self) -> Network<kademlia::Kademlia<Node>> {
        let (mut world, mut nodes) = self.world();
        nodes.sort_unstable_by_key(Contact::key);
        let never = Duration::from_secs(30 * 24 * 3_600);
        let mut config = kademlia::Config::paper();
        config.timeout = Duration::from_millis(1_500);
        config.slow = Duration::from_millis(500);
        match self.round {
            // A bucket without traffic is looked up in every sixtieth round.
            Some(round) => {
                config.upkeep = round;
                config.refresh = 60 * round;
                config.questionable = 60 * round;
                config.republish = Some(60 * round);
            }
            None => {
                (config.upkeep, config.refresh, config.questionable) = (never, never, never);
                (config.republish, config.cache, config.hand_over) = (None, false, false);
            }
        }
        let config = Arc::new(config);
        let mut rng = Rng::new(self.seed);
        for &node in &nodes {
            let contacts = claims::kademlia::contacts(node, &nodes, config.k, &mut rng);
            world.start(node, kademlia::Kademlia::wired(node, config.clone(), [0; 16], contacts));
        }
        watch::look_on(&mut world, &nodes, Stage::tree);
        Network {
            world,
            nodes,
            newcomer: Box::new(move |node| kademlia::Kademlia::new(node, config.clone(), [0; 16])),
            length: bytes::kademlia,
            contacts: |node| distinct(node.table().nodes()),
        }
    }

    fn pastry(&self) -> Network<pastry::Pastry<Node>> {
        let (mut world, mut nodes) = self.world();
        nodes.sort_unstable_by_key(Contact::key);
        let config = pastry::Config::default();
        let config = Arc::new(pastry::Config { rules: self.rules(config.rules.clone()), ..config });
        for (place, &node) in nodes.iter().enumerate() {
            let machine = pastry::Pastry::standing(&nodes, place, config.clone(), SAMPLES, &micros);
            world.start(node, machine);
        }
        watch::look_on(&mut world, &nodes, Stage::ring);
        Network {
            world,
            nodes,
            newcomer: newcomer(config),
            length: bytes::pastry,
            contacts: |node| {
                let tables = node.topology();
                let table = tables.entries().iter().map(|entry| entry.contact);
                distinct(table.chain(tables.leaves().iter()).chain(tables.neighbourhood()))
            },
        }
    }

    fn tapestry(&self) -> Network<tapestry::Tapestry<Node>> {
        let (mut world, mut nodes) = self.world();
        nodes.sort_unstable_by_key(Contact::key);
        let config = tapestry::Config::default();
        let rules = self.rules(config.rules.clone());
        let config = Arc::new(tapestry::Config { rules, ..config });
        for (place, &node) in nodes.iter().enumerate() {
            let (config, all) = (config.clone(), &nodes);
            world.start(node, tapestry::Tapestry::standing(all, place, config, SAMPLES, &micros));
        }
        watch::look_on(&mut world, &nodes, Stage::tree);
        Network {
            world,
            nodes,
            newcomer: newcomer(config),
            length: bytes::tapestry,
            contacts: |node| distinct(node.topology().entries().iter().map(|it| it.contact)),
        }
    }

    fn can(&self) -> Network<can::Can<Node>> {
        let (mut world, nodes) = self.world();
        let config = can::Config::default();
        let config = Arc::new(can::Config {
            rules: self.rules(config.rules.clone()),
            expiry: self.round.map_or(config.expiry, |round| 4 * round),
            takeover_step: self.round.map_or(config.takeover_step, |round| 2 * round),
            ..config
        });
        let mut rng = Rng::new(self.seed);
        let standing = can::Standing::new(&nodes, &mut rng, config.clone());
        let rtt = |one, other| u16::try_from(micros(one, other) / 1_000).unwrap_or(u16::MAX);
        for (zone, node) in standing.zones() {
            world.start(node, standing.node(zone, node, rtt));
        }
        let dimensions = config.dimensions;
        watch::look_on(&mut world, &nodes, |world, _| {
            let spot = |(node, machine)| (node, claims::can::spot(machine, dimensions));
            Stage::torus(world.nodes().map(spot))
        });
        Network {
            world,
            nodes,
            newcomer: newcomer(config),
            length: bytes::can,
            contacts: |node| distinct(node.topology().neighbours()),
        }
    }

    fn kelips(&self) -> Network<kelips::Kelips<Node>> {
        let (mut world, nodes) = self.world();
        let config = kelips::Config::default();
        let config = Arc::new(kelips::Config {
            rules: self.rules(config.rules.clone()),
            groups: self.nodes.isqrt().max(1) as u32,
            ..config
        });
        let standing = kelips::Standing::new(&nodes, config.clone());
        nodes.iter().for_each(|&node| world.start(node, standing.node(node)));
        let count = config.groups;
        watch::look_on(&mut world, &nodes, |world, _| claims::kelips::stage(world, count));
        Network {
            world,
            nodes,
            newcomer: newcomer(config),
            length: bytes::kelips,
            contacts: |node| {
                let view = node.topology();
                distinct(view.members().chain(view.contacts().map(|(_, contact)| contact)))
            },
        }
    }

    fn viceroy(&self) -> Network<viceroy::Viceroy<Node>> {
        let (mut world, nodes) = self.world();
        let config = viceroy::Config::default();
        let config = Arc::new(viceroy::Config {
            rules: self.rules(config.rules.clone()),
            expiry: self.round.map_or(config.expiry, |round| 4 * round),
            ..config
        });
        let standing = viceroy::Standing::new(&nodes, config.clone());
        for (index, node) in standing.nodes().enumerate() {
            world.start(node, standing.node(index));
        }
        watch::look_on(&mut world, &nodes, |world, _| {
            let levels = claims::viceroy::levels(world.nodes().map(|(_, machine)| machine));
            let spot = |(node, machine)| (node, claims::viceroy::spot(machine, levels));
            Stage::butterfly(levels, world.nodes().map(spot))
        });
        Network {
            world,
            nodes,
            newcomer: newcomer(config),
            length: bytes::viceroy,
            contacts: |node| distinct(node.topology().links()),
        }
    }
}

fn newcomer<T>(config: Arc<T::Config>) -> Box<dyn Fn(Node) -> Overlay<T>>
where
    T: Topology<Contact = Node, Config: 'static>,
{
    Box::new(move |node| Overlay::new(node, config.clone()))
}

/// The round trip between two nodes, in microseconds.
fn micros(one: Node, other: Node) -> u32 {
    (super::round_trip(one, other) * 1e6) as u32
}

fn distinct(nodes: impl IntoIterator<Item = Node>) -> usize {
    nodes.into_iter().collect::<BTreeSet<_>>().len()
}
