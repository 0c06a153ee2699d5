//! Networks that find by words: floods of the Gnutella machine that runs live, over topologies that
//! are laid out by hand.

pub(super) mod flood_coverage;
pub(super) mod ping_share;
pub(super) mod ttl_tree;

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use machine::{Contact, Instant, Rng};
use search::gnutella::servent::{
    Address, CloseReason, Command, Config, Effect, Event, Mode, Servent,
};
use search::gnutella::{Frame, Guid, HEADER_LEN, Kind};
use sim::stream::{Access, Act, Adapter, Config as NetConfig, StreamNet};

/// A servent, by number: at 10.0.0.1 and up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Place(u32);

const FIRST: u32 = 0x0a00_0001;

impl Contact for Place {
    type Host = u32;

    fn host(&self) -> u32 {
        self.0
    }
}

impl Address for Place {
    fn socket(&self) -> SocketAddr {
        SocketAddr::from(((FIRST + self.0).to_be_bytes(), 6_346))
    }

    fn from_socket(addr: SocketAddr) -> Option<Self> {
        let IpAddr::V4(ip) = addr.ip() else { return None };
        u32::from(ip).checked_sub(FIRST).map(Self)
    }
}

/// Messages and bytes of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Traffic {
    messages: u64,
    bytes: u64,
}

/// Counts what is sent, and lets servents dial only those who are laid out as their neighbours.
#[derive(Default)]
struct Wires {
    links: Vec<Vec<u32>>,
    sent: HashMap<Kind, Traffic>,
}

impl Adapter for Wires {
    type Machine = Servent<Place>;

    fn contact(&self, node: u32) -> Place {
        Place(node)
    }

    fn node(&self, contact: Place) -> u32 {
        contact.0
    }

    fn act(&mut self, node: u32, effect: Effect<Place>) -> Act<Servent<Place>> {
        match effect {
            Effect::Dial(to) if self.links[node as usize].contains(&to.0) => Act::Dial(to),
            Effect::Send(conn, frame) => {
                if let Frame::Message(message) = &frame {
                    let traffic = self.sent.entry(message.header.kind).or_default();
                    traffic.messages += 1;
                    traffic.bytes += (HEADER_LEN + message.payload.len()) as u64;
                }
                Act::Send(conn, frame)
            }
            Effect::Close(conn, why) => Act::Close(conn, why),
            Effect::Dial(_) | Effect::Datagram(..) => Act::Nothing,
        }
    }

    fn on_event(&mut self, _: u32, _: Event<Place>, _: Instant) {}

    fn gone(&self) -> CloseReason {
        CloseReason::Gone
    }
}

/// Servents of version 0.4, linked as a topology says.
struct Overlay {
    net: StreamNet<Wires>,
    nodes: u32,
}

impl Overlay {
    /// Each pair is a connection, which the second of it dials.
    fn new(seed: u64, nodes: u32, pairs: &[(u32, u32)], settings: impl Fn(&mut Config)) -> Self {
        let mut links = vec![Vec::new(); nodes as usize];
        for &(to, from) in pairs {
            links[from as usize].push(to);
        }
        let mut degree = vec![0; nodes as usize];
        for (one, other) in pairs {
            degree[*one as usize] += 1;
            degree[*other as usize] += 1;
        }
        let config = NetConfig {
            seed,
            latency: Duration::from_millis(30),
            verifying: Duration::ZERO,
            window: 8,
        };
        let wires = Wires { links: links.clone(), sent: HashMap::new() };
        let mut net = StreamNet::new(config, wires);
        let mut rng = Rng::new(seed);
        for node in 0..nodes {
            let mut name = [0; 16];
            rng.fill(&mut name);
            let mut config = Config {
                local: true,
                listen: Some(Place(node).socket()),
                deflate: false,
                ultrapeers_max: 256,
                ultrapeers_wanted: degree[node as usize],
                slots: 1 << 10,
                routes: 4_096,
                key: rng.next_u64(),
                ..Config::new(Mode::Old, Guid(name))
            };
            settings(&mut config);
            net.add(Servent::new(config), Access::default());
        }
        for (node, links) in (0..).zip(links) {
            let known = links.into_iter().map(Place).collect();
            net.command(node, Command::Join(known));
        }
        let mut overlay = Self { net, nodes };
        overlay.run(Duration::from_secs(10));
        overlay
    }

    fn run(&mut self, span: Duration) {
        let until = self.net.now() + span;
        while self.net.step(until) {}
    }

    /// Whether every pair is connected.
    fn links(&self) -> usize {
        (0..self.nodes).map(|node| self.net.machine(node).neighbours().count()).sum::<usize>() / 2
    }

    /// Lets `origin` search for what nobody has: how many others hear it, and how often it comes to
    /// somebody who has heard it.
    fn search(&mut self, origin: u32, words: &str) -> (u64, u64) {
        let heard = |overlay: &Self| -> Vec<_> {
            (0..overlay.nodes)
                .map(|node| overlay.net.machine(node).counters())
                .map(|counters| (counters.queries, counters.duplicates))
                .collect()
        };
        let before = heard(self);
        let command = Command::Search { words: words.to_owned(), sha1: None };
        self.net.command(origin, command);
        self.run(Duration::from_secs(5));
        let after = heard(self);
        let (mut reached, mut duplicates) = (0, 0);
        for ((queries, known), (queries_before, known_before)) in after.iter().zip(&before) {
            duplicates += known - known_before;
            reached += (queries - queries_before) - (known - known_before);
        }
        (reached, duplicates)
    }
}

/// A random graph in which each node has about `degree` neighbours, without loops and doubles.
fn random_pairs(seed: u64, nodes: u32, degree: u32) -> Vec<(u32, u32)> {
    let mut rng = Rng::new(seed);
    let mut pairs = BTreeSet::new();
    // Each node but the first knows somebody before it, so that the graph hangs together.
    for node in 1..nodes {
        pairs.insert((rng.below(node.into()) as u32, node));
    }
    while (pairs.len() as u64) < u64::from(nodes) * u64::from(degree) / 2 {
        let (one, other) = (rng.below(nodes.into()) as u32, rng.below(nodes.into()) as u32);
        if one != other {
            pairs.insert((one.min(other), one.max(other)));
        }
    }
    pairs.into_iter().collect()
}
