//! Fifty live nodes of each hash table in this process, each with a socket of its own on loopback:
//! nodes are killed and others join while values are stored and found, and what replication covers
//! is not lost.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::dht::chord;
use ::dht::kademlia::{bencoded, immutable_key};
use machine::Rng;
use machine::dht::{Command, Contact, Dht, Key, Report};
use net::datagram::{Handle, Protocol};
use net::dht::{ChordNode, ChordWire, KademliaConfig, KademliaNode, Krpc, ask};
use tokio::net::UdpSocket;
use tokio::task::{JoinSet, LocalSet};

const NODES: usize = 50;
const VALUES: usize = 100;
const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(120);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.expect("a runtime"), async {
        tokio::time::timeout(2 * PATIENCE, test).await.expect("it ends in time");
    });
}

/// A socket at a loopback address of its own.
async fn socket(number: usize) -> UdpSocket {
    let ip = Ipv4Addr::new(127, 3, (number / 200) as u8, (number % 200 + 1) as u8);
    UdpSocket::bind((ip, 0)).await.expect("a socket")
}

/// The value that is put as the `number`th.
fn value(number: usize) -> Vec<u8> {
    format!("value {number}").into_bytes()
}

async fn put<P: Protocol<Machine: Dht>>(handle: Handle<P>, key: Key, value: Vec<u8>) -> u16 {
    match ask(&handle, Command::Put { key, value: value.into() }).await {
        Ok(Report::Stored { copies, .. }) => copies,
        _ => 0,
    }
}

/// The value under a key, as long as there is patience for it.
async fn find<P: Protocol<Machine: Dht>>(handle: Handle<P>, key: Key) -> Option<Vec<u8>> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Ok(Report::Found { value, .. }) = ask(&handle, Command::Get { key }).await {
            return Some(value.to_vec());
        }
    }
    None
}

/// Nodes that live, and what the test does to them.
struct Network<N> {
    nodes: Vec<N>,
    started: usize,
    rng: Rng,
    stored: BTreeMap<Key, Vec<u8>>,
}

trait Node: Sized {
    type Protocol: Protocol<Machine: Dht>;

    async fn start(number: usize) -> Self;
    async fn join(&self, known: &[SocketAddr]) -> bool;
    fn handle(&self) -> &Handle<Self::Protocol>;
    /// The key that a value is put under.
    fn key(value: &[u8]) -> Key;
    /// How many copies it has now on this node.
    async fn holds(&self, keys: Vec<Key>) -> Vec<bool>;
}

impl Node for KademliaNode {
    type Protocol = Krpc;

    async fn start(number: usize) -> Self {
        let config = KademliaConfig {
            queries_per_host: Some(0),
            timeout: Some(Duration::from_secs(1)),
            ..KademliaConfig::default()
        };
        KademliaNode::start(socket(number).await, &config).expect("a node").0
    }

    async fn join(&self, known: &[SocketAddr]) -> bool {
        self.join(known).await.expect("it runs")
    }

    fn handle(&self) -> &Handle<Krpc> {
        self.handle()
    }

    fn key(value: &[u8]) -> Key {
        immutable_key(&bencoded(value))
    }

    async fn holds(&self, keys: Vec<Key>) -> Vec<bool> {
        let look = self.handle().look(move |nodes, _| {
            let stored: Vec<Key> = nodes[0].stored().map(|(key, ..)| key).collect();
            keys.iter().map(|key| stored.contains(key)).collect()
        });
        look.await.expect("it runs")
    }
}

impl Node for ChordNode {
    type Protocol = ChordWire;

    async fn start(number: usize) -> Self {
        let config = Arc::new(chord::Config::responsive());
        ChordNode::start(socket(number).await, 1, config).expect("a node")
    }

    async fn join(&self, known: &[SocketAddr]) -> bool {
        self.join(known).await.expect("it runs")
    }

    fn handle(&self) -> &Handle<ChordWire> {
        self.handle()
    }

    fn key(value: &[u8]) -> Key {
        // Any name will do.
        immutable_key(value)
    }

    async fn holds(&self, keys: Vec<Key>) -> Vec<bool> {
        let look = self
            .handle()
            .look(move |nodes, _| keys.iter().map(|key| nodes[0].value(key).is_some()).collect());
        look.await.expect("it runs")
    }
}

impl<N: Node> Network<N> {
    async fn start() -> Self {
        let mut network =
            Self { nodes: Vec::new(), started: 0, rng: Rng::new(7), stored: BTreeMap::new() };
        for _ in 0..NODES {
            network.grow().await;
        }
        network
    }

    /// Another node joins, by way of one that is there, or of another where that one is too busy
    /// to be found by.
    async fn grow(&mut self) {
        let node = N::start(self.started).await;
        self.started += 1;
        let began = Instant::now();
        loop {
            let known: Vec<_> =
                self.rng.pick(&self.nodes).map(|n| n.handle().address()).into_iter().collect();
            if node.join(&known).await {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "node {} joins by {known:?}", self.started);
        }
        self.nodes.push(node);
    }

    /// A node ends without a word.
    async fn kill(&mut self) {
        let at = self.rng.below(self.nodes.len() as u64) as usize;
        self.nodes.swap_remove(at).handle().stop().await;
    }

    fn any(&mut self) -> Handle<N::Protocol> {
        self.rng.pick(&self.nodes).expect("a node").handle().clone()
    }

    /// Puts values, all at once; each must be stored by at least `copies` nodes.
    async fn put(&mut self, values: impl IntoIterator<Item = Vec<u8>>, copies: u16) {
        let mut puts = JoinSet::new();
        for value in values {
            let key = N::key(&value);
            self.stored.insert(key, value.clone());
            let handle = self.any();
            puts.spawn_local(put(handle, key, value));
        }
        while let Some(stored) = puts.join_next().await {
            let stored = stored.expect("no panic");
            assert!(stored >= copies, "{stored} copies where {copies} were to be made");
        }
    }

    /// Begins to look for every value, all at once.
    fn find_all(&mut self) -> JoinSet<(Key, Option<Vec<u8>>)> {
        let mut gets = JoinSet::new();
        for key in self.stored.keys().copied().collect::<Vec<_>>() {
            let handle = self.any();
            gets.spawn_local(async move { (key, find(handle, key).await) });
        }
        gets
    }

    async fn expect_all(&self, mut gets: JoinSet<(Key, Option<Vec<u8>>)>) {
        while let Some(found) = gets.join_next().await {
            let (key, found) = found.expect("no panic");
            assert_eq!(found.as_ref(), self.stored.get(&key), "{key}");
        }
    }

    /// The least copies that any value has.
    async fn least_copies(&self) -> usize {
        let keys: Vec<Key> = self.stored.keys().copied().collect();
        let mut copies = vec![0; keys.len()];
        for node in &self.nodes {
            let holds = node.holds(keys.clone()).await;
            copies.iter_mut().zip(holds).for_each(|(count, holds)| *count += usize::from(holds));
        }
        copies.into_iter().min().unwrap_or(0)
    }
}

impl Network<ChordNode> {
    /// Waits until the ring is as it should be and has three copies of every value. No node knows
    /// when that is, so all are looked at from outside, at the pace of their upkeep.
    async fn settle(&self) {
        let began = Instant::now();
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        while !self.is_ideal().await || !self.stored.is_empty() && self.least_copies().await < 3 {
            assert!(began.elapsed() < PATIENCE, "a ring, and three copies of each value");
            looks.tick().await;
        }
    }

    /// Whether every node knows who is before and behind it.
    async fn is_ideal(&self) -> bool {
        let mut ring = Vec::new();
        for node in &self.nodes {
            let look = node.handle().look(|nodes, _| {
                let node = &nodes[0];
                (node.me().key(), node.predecessor(), node.me(), node.successors().first().copied())
            });
            ring.push(look.await.expect("it runs"));
        }
        ring.sort_by_key(|(key, ..)| *key);
        let pairs = ring.iter().zip(ring.iter().cycle().skip(1));
        pairs.into_iter().all(|((.., me, successor), (_, predecessor, next, _))| {
            *successor == Some(*next) && *predecessor == Some(*me)
        })
    }
}

/// Where a command of a killed node's user is lost, another node is asked: the values that are
/// looked for while nodes go are looked for by nodes that stay.
async fn churn<N: Node>(network: &mut Network<N>, kills: usize) {
    for _ in 0..kills {
        network.kill().await;
    }
    let gets = network.find_all();
    for _ in 0..kills {
        network.grow().await;
    }
    network.expect_all(gets).await;
}

#[test]
fn fifty_live_kademlia_nodes_lose_nothing_that_replication_covers() {
    run(async {
        let mut network = Network::<KademliaNode>::start().await;
        network.put((0..VALUES).map(value), 8).await;
        for round in 1..=ROUNDS {
            // Fewer than the eight copies of any value.
            churn(&mut network, 4).await;
            // Publishers store again what they published, with those who are closest by then.
            let again: Vec<_> = network.stored.values().cloned().collect();
            network.put(again, 4).await;
            network.put((0..10).map(|n| value(1_000 * round + n)), 4).await;
        }
        assert_eq!(network.stored.len(), VALUES + 10 * ROUNDS);
        let gets = network.find_all();
        network.expect_all(gets).await;
    });
}

#[test]
fn fifty_live_chord_nodes_lose_nothing_that_replication_covers() {
    run(async {
        let mut network = Network::<ChordNode>::start().await;
        network.settle().await;
        network.put((0..VALUES).map(value), 1).await;
        for round in 1..=ROUNDS {
            // The ring makes three copies of everything itself, and after each loss anew; then it
            // stands two more.
            network.settle().await;
            churn(&mut network, 2).await;
            network.put((0..10).map(|n| value(1_000 * round + n)), 1).await;
        }
        assert_eq!(network.stored.len(), VALUES + 10 * ROUNDS);
        let gets = network.find_all();
        network.expect_all(gets).await;
    });
}
