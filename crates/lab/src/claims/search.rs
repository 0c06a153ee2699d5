//! Networks that find by words: the Gnutella machine that runs live, over topologies that are laid
//! out by hand, flat or in two levels.

pub(super) mod bytes_per_query;
pub(super) mod churn;
pub(super) mod flood_coverage;
pub(super) mod free_riders;
pub(super) mod low_bandwidth;
pub(super) mod ping_share;
pub(super) mod query_caching;
pub(super) mod scope;
pub(super) mod supernodes;
pub(super) mod ttl_tree;

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use machine::{Contact, Instant, Rng};
use search::gnutella::servent::{
    Address, CloseReason, Command, Config, Effect, Event, Mode, Servent, SharedFile,
};
use search::gnutella::{Frame, Guid, HEADER_LEN, Kind, Sha1};
use sim::stream::{Access, Act, Adapter, Config as NetConfig, StreamNet};

use crate::watch::Flood;

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
struct Wires {
    links: Vec<Vec<u32>>,
    /// Anybody may be dialled.
    free: bool,
    sent: HashMap<Kind, Traffic>,
    /// Bytes that each node has sent.
    by_node: Vec<u64>,
    /// Files that each node was told of, and by whom they are shared.
    found: Vec<Vec<(String, Guid)>>,
    flood: Flood,
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
            Effect::Dial(to) if self.free || self.links[node as usize].contains(&to.0) => {
                Act::Dial(to)
            }
            Effect::Send(conn, frame) => {
                if let Frame::Message(message) = &frame {
                    let traffic = self.sent.entry(message.header.kind).or_default();
                    traffic.messages += 1;
                    let bytes = (HEADER_LEN + message.payload.len()) as u64;
                    traffic.bytes += bytes;
                    self.by_node[node as usize] += bytes;
                }
                Act::Send(conn, frame)
            }
            Effect::Close(conn, why) => Act::Close(conn, why),
            Effect::Dial(_) | Effect::Datagram(..) => Act::Nothing,
        }
    }

    fn sent(&mut self, from: u32, to: u32, frame: &Frame, now: Instant) {
        if let Frame::Message(message) = frame {
            self.flood.sent(from, to, &message.header, now);
        }
    }

    fn on_event(&mut self, node: u32, event: Event<Place>, _: Instant) {
        if let Event::Found(found) = event {
            self.found[node as usize].push((found.name, found.servent));
        }
    }

    fn gone(&self) -> CloseReason {
        CloseReason::Gone
    }
}

/// Who is what and who dials whom; each pair is a connection, which the second of it dials.
struct Layout {
    modes: Vec<Mode>,
    pairs: Vec<(u32, u32)>,
    /// Whom each may dial later, beside those.
    known: Vec<Vec<u32>>,
}

impl Layout {
    /// Servents of version 0.4 in a random graph.
    fn flat(seed: u64, nodes: u32, degree: u32) -> Self {
        let modes = vec![Mode::Old; nodes as usize];
        Self { modes, pairs: random_pairs(seed, nodes, degree), known: Vec::new() }
    }

    /// Ultrapeers in a random graph, who are numbered first, and leaves with so many of them each.
    fn two_level(seed: u64, hubs: u32, leaves: u32, degree: u32, of_leaf: u32) -> Self {
        let mut pairs = random_pairs(seed, hubs, degree);
        let mut rng = Rng::new(seed ^ 1);
        let mut modes = vec![Mode::Ultrapeer; hubs as usize];
        let mut order: Vec<u32> = (0..hubs).collect();
        for leaf in hubs..hubs + leaves {
            rng.shuffle(&mut order);
            pairs.extend(order.iter().take(of_leaf as usize).map(|hub| (*hub, leaf)));
            modes.push(Mode::Leaf);
        }
        Self { modes, pairs, known: Vec::new() }
    }

    fn len(&self) -> u32 {
        self.modes.len() as u32
    }
}

/// Servents, linked as a topology says.
struct Overlay {
    net: StreamNet<Wires>,
    nodes: u32,
}

impl Overlay {
    /// Servents of version 0.4; each pair is a connection, which the second of it dials.
    fn new(seed: u64, nodes: u32, pairs: &[(u32, u32)], settings: impl Fn(&mut Config)) -> Self {
        let modes = vec![Mode::Old; nodes as usize];
        let layout = Layout { modes, pairs: pairs.to_vec(), known: Vec::new() };
        let mut overlay = Self::of(seed, &layout, settings);
        overlay.run(Duration::from_secs(10));
        overlay
    }

    /// Servents as they are laid out, who have only begun to connect.
    fn of(seed: u64, layout: &Layout, settings: impl Fn(&mut Config)) -> Self {
        let nodes = layout.len();
        let mut links = vec![Vec::new(); nodes as usize];
        for &(to, from) in &layout.pairs {
            links[from as usize].push(to);
        }
        let mut degree = vec![0; nodes as usize];
        let is_hub = |node: u32| layout.modes[node as usize] != Mode::Leaf;
        for &(one, other) in layout.pairs.iter().filter(|(_, other)| is_hub(*other)) {
            degree[one as usize] += 1;
            degree[other as usize] += 1;
        }
        let config = NetConfig {
            seed,
            latency: Duration::from_millis(30),
            verifying: Duration::ZERO,
            window: 8,
        };
        let wires = Wires {
            links: links.clone(),
            free: !layout.known.is_empty(),
            by_node: vec![0; nodes as usize],
            found: vec![Vec::new(); nodes as usize],
            sent: HashMap::new(),
            flood: Flood::new(nodes as usize),
        };
        let mut net = StreamNet::new(config, wires);
        let mut rng = Rng::new(seed);
        for (node, mode) in (0..).zip(&layout.modes) {
            let mut name = [0; 16];
            rng.fill(&mut name);
            let mut config = Config {
                local: true,
                listen: Some(Place(node).socket()),
                deflate: false,
                leaves_max: 256,
                ultrapeers_max: 256,
                ultrapeers_wanted: degree[node as usize],
                hubs_wanted: links[node as usize].len(),
                slots: 1 << 10,
                routes: 4_096,
                key: rng.next_u64(),
                ..Config::new(*mode, Guid(name))
            };
            settings(&mut config);
            net.add(Servent::new(config), Access::default());
        }
        for (node, links) in (0..).zip(links) {
            let more = layout.known.get(node as usize).into_iter().flatten().copied();
            let known = links.into_iter().chain(more).map(Place).collect();
            net.command(node, Command::Join(known));
        }
        Self { net, nodes }
    }

    /// Shares a file of this name; the same name is the same file.
    fn share(&mut self, node: u32, name: &str) {
        let mut sha1 = [0; 20];
        let bytes = name.as_bytes();
        sha1[..bytes.len().min(20)].copy_from_slice(&bytes[..bytes.len().min(20)]);
        let file = SharedFile { name: name.to_owned(), len: 1_000, sha1: Sha1(sha1), tree: None };
        self.net.command(node, Command::Share(file));
    }

    /// Queries and their answers so far.
    fn traffic(&self) -> Traffic {
        let sent = &self.net.adapter().sent;
        let of = |kind| sent.get(&kind).copied().unwrap_or_default();
        let (queries, hits) = (of(Kind::Query), of(Kind::QueryHit));
        Traffic { messages: queries.messages + hits.messages, bytes: queries.bytes + hits.bytes }
    }

    /// Lets `origin` search for so long: what was sent for it, and how many answered it.
    fn ask(&mut self, origin: u32, words: &str, span: Duration) -> (Traffic, usize) {
        let before = self.traffic();
        // Late answers to what it asked before would be answers to another question.
        self.net.command(origin, Command::StopSearch);
        let heard = self.net.adapter().found[origin as usize].len();
        self.net.command(origin, Command::Search { words: words.to_owned(), sha1: None });
        self.run(span);
        let after = self.traffic();
        let spent = Traffic {
            messages: after.messages - before.messages,
            bytes: after.bytes - before.bytes,
        };
        let new: BTreeSet<_> = self.net.adapter().found[origin as usize][heard..].iter().collect();
        (spent, new.len())
    }

    /// Queries so far, once for each link that they crossed.
    fn queries_sent(&self) -> u64 {
        self.net.adapter().sent.get(&Kind::Query).map_or(0, |traffic| traffic.messages)
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

/// One of the numbers below `count`, those before others more likely: the n-th is drawn in
/// proportion to 1 / n.
fn popular(count: u64, rng: &mut Rng) -> u64 {
    let weight = |number: u64| 1.0 / (number + 1) as f64;
    let all: f64 = (0..count).map(weight).sum();
    let mut left = rng.below(1 << 32) as f64 / (1u64 << 32) as f64 * all;
    for number in 0..count {
        left -= weight(number);
        if left < 0.0 {
            return number;
        }
    }
    count.saturating_sub(1)
}
