//! Thirty live nodes of hash tables that [`OVERLAYS`] lists, in this process, each with a socket
//! of its own on loopback: nodes are killed and others join while values are stored and found, and
//! what replication covers is not lost.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use dht::chord::Peer;
use machine::Rng;
use machine::dht::{Command, Contact, Key, Report};
use net::dht::{OVERLAYS, OverlayKind, OverlayNode};
use tokio::net::UdpSocket;
use tokio::task::{JoinSet, LocalSet};

const NODES: usize = 30;
const VALUES: usize = 60;
const ROUNDS: usize = 3;
/// Fewer than the three copies that there are of everything.
const KILLS: usize = 2;
/// No wait is longer, also on a machine with much else to do: on one with nothing else, copies take
/// 16 seconds at most.
const PATIENCE: Duration = Duration::from_secs(90);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.expect("a runtime"), async {
        tokio::time::timeout(3 * PATIENCE, test).await.expect("it ends in time");
    });
}

struct Network {
    kind: &'static OverlayKind,
    nodes: Vec<OverlayNode>,
    started: usize,
    rng: Rng,
    stored: BTreeMap<Key, Vec<u8>>,
}

/// The value under a key, as long as there is patience for it.
async fn find(node: OverlayNode, key: Key) -> Option<Vec<u8>> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Ok(Report::Found { value, .. }) = node.ask(Command::Get { key }).await {
            return Some(value.to_vec());
        }
        tokio::task::yield_now().await;
    }
    None
}

/// Whether a value is stored in the end, and by how many.
async fn put(node: OverlayNode, key: Key, value: Vec<u8>) -> u16 {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let value = value.clone().into();
        if let Ok(Report::Stored { copies, .. }) = node.ask(Command::Put { key, value }).await {
            return copies;
        }
        tokio::task::yield_now().await;
    }
    0
}

impl Network {
    async fn start(kind: &'static OverlayKind) -> Self {
        let stored = BTreeMap::new();
        let mut network = Self { kind, nodes: Vec::new(), started: 0, rng: Rng::new(7), stored };
        for _ in 0..NODES {
            network.grow().await;
        }
        network
    }

    async fn grow(&mut self) {
        let place = OVERLAYS.iter().position(|kind| kind == self.kind).expect("it is listed");
        let ip = Ipv4Addr::new(127, 5, place as u8, (self.started % 250 + 1) as u8);
        self.started += 1;
        let node = self.node_at(ip).await;
        let began = Instant::now();
        loop {
            let known: Vec<_> =
                self.rng.pick(&self.nodes).map(OverlayNode::address).into_iter().collect();
            if node.join(&known).await.expect("it runs") {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "node {} joins by {known:?}", self.started);
        }
        self.nodes.push(node);
    }

    /// A node whose place is in the next quarter of all places: where values lie at members of
    /// their part of the places, no part may be left with fewer nodes than there are copies.
    async fn node_at(&self, ip: Ipv4Addr) -> OverlayNode {
        loop {
            let socket = UdpSocket::bind((ip, 0)).await.expect("a socket");
            let address = socket.local_addr().expect("its address");
            let quarter = Peer::new(address, 0).key().0[0] >> 6;
            if usize::from(quarter) == self.started % 4 {
                return self.kind.start(socket).expect("a node");
            }
        }
    }

    async fn kill(&mut self) {
        let at = self.rng.below(self.nodes.len() as u64) as usize;
        self.nodes.swap_remove(at).stop().await;
    }

    fn any(&mut self) -> OverlayNode {
        self.rng.pick(&self.nodes).expect("a node").clone()
    }

    async fn put(&mut self, values: impl IntoIterator<Item = usize>) {
        let mut puts = JoinSet::new();
        for number in values {
            let value = format!("{} {number}", self.kind.name).into_bytes();
            let mut rng = Rng::new(number as u64);
            let key = Key::new(u128::from(rng.next_u64()) << 64, number as u32);
            self.stored.insert(key, value.clone());
            puts.spawn_local(put(self.any(), key, value));
        }
        while let Some(copies) = puts.join_next().await {
            assert!(copies.expect("no panic") > 0, "a value is stored");
        }
    }

    fn find_all(&mut self) -> JoinSet<(Key, Option<Vec<u8>>)> {
        let mut gets = JoinSet::new();
        for key in self.stored.keys().copied().collect::<Vec<_>>() {
            let node = self.any();
            gets.spawn_local(async move { (key, find(node, key).await) });
        }
        gets
    }

    async fn expect_all(&self, mut gets: JoinSet<(Key, Option<Vec<u8>>)>) {
        while let Some(found) = gets.join_next().await {
            let (key, found) = found.expect("no panic");
            assert_eq!(found.as_ref(), self.stored.get(&key), "{key}");
        }
    }

    /// Waits until there are three copies of everything again. No node knows when that is, so all
    /// are looked at from outside.
    async fn settle(&self) {
        let began = Instant::now();
        let mut looks = tokio::time::interval(Duration::from_millis(200));
        loop {
            let mut copies: BTreeMap<Key, usize> =
                self.stored.keys().map(|&key| (key, 0)).collect();
            for node in &self.nodes {
                for key in node.state().await.expect("it runs").held {
                    *copies.entry(key).or_default() += 1;
                }
            }
            copies.retain(|_, count| *count < 3);
            if copies.is_empty() {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "too few copies: {copies:?}");
            looks.tick().await;
        }
    }
}

fn lives(name: &str) {
    let kind = OVERLAYS.iter().find(|kind| kind.name == name).expect("it is listed");
    run(async {
        let mut network = Network::start(kind).await;
        network.put(0..VALUES).await;
        for round in 1..=ROUNDS {
            network.settle().await;
            for _ in 0..KILLS {
                network.kill().await;
            }
            let gets = network.find_all();
            network.put((0..10).map(|n| 1_000 * round + n)).await;
            for _ in 0..KILLS {
                network.grow().await;
            }
            network.expect_all(gets).await;
        }
        network.settle().await;
        let gets = network.find_all();
        network.expect_all(gets).await;
    });
}

#[test]
fn thirty_live_can_nodes_lose_nothing_that_replication_covers() {
    lives("can");
}

#[test]
fn thirty_live_viceroy_nodes_lose_nothing_that_replication_covers() {
    lives("viceroy");
}

#[test]
fn thirty_live_pastry_nodes_lose_nothing_that_replication_covers() {
    lives("pastry");
}

#[test]
fn thirty_live_tapestry_nodes_lose_nothing_that_replication_covers() {
    lives("tapestry");
}

#[test]
fn thirty_live_kelips_nodes_lose_nothing_that_replication_covers() {
    lives("kelips");
}
