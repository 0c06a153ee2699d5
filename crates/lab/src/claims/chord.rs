//! Chord: rings that stand, rings that fail and rings that churn, all of the machine that runs live.

mod churn;
pub(super) mod churn_v2001;
pub(super) mod churn_v2003;
pub(super) mod failures_lost_keys;
pub(super) mod failures_mass;
pub(super) mod half_failed;
pub(super) mod join_cost;
pub(super) mod latency_internet;
pub(super) mod linear_walk;
pub(super) mod load_keys_per_node;
pub(super) mod load_virtual_nodes;
pub(super) mod path_length_mean;
pub(super) mod path_length_pdf;
pub(super) mod state;

use std::sync::Arc;
use std::time::Duration;

use dht::chord::{Chord, Config, Event, Routing};
use machine::dht::{Command, Contact, Cost, Key, Report};
use machine::{OpId, Rng};
use sim::{Link, Node, Settings, World};

use super::mean;
use crate::watch;

/// Commands that are under way between two looks at their answers.
const BATCH: u64 = 4_096;
/// Between two lookups of a standing ring.
const GAP: Duration = Duration::from_micros(100);
/// Nobody waits longer for a lookup.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// How one lookup ended.
#[derive(Clone, Debug)]
struct Answer {
    key: Key,
    /// Who is responsible, and who follows; empty if nobody was found.
    owners: Vec<Node>,
    cost: Cost,
    took: Duration,
    /// Hops as the papers count them: without the last one, to the owner.
    path: u16,
}

impl Answer {
    fn owner(&self) -> Option<Node> {
        self.owners.first().copied()
    }
}

/// What becomes of keys that whoever looks up is responsible for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OwnKeys {
    /// The machine knows that they are its own: no hops.
    Known,
    /// As in the papers' pseudocode, which asks all around the ring for its own predecessor. The
    /// same way is taken by looking up the place of the predecessor in the key's stead.
    Walked,
}

/// A ring of nodes, in the order of their places.
struct Ring {
    world: World<Chord<Node>>,
    nodes: Vec<Node>,
}

impl Ring {
    /// `count` nodes whose tables are exact.
    fn standing(seed: u64, count: usize, link: Link, config: Config) -> Self {
        let mut world = World::new(Settings { seed, threads: 1, link });
        let mut nodes = world.reserve(count);
        nodes.sort_unstable_by_key(|node| node.key());
        let config = Arc::new(config);
        for (place, &node) in nodes.iter().enumerate() {
            world.start(node, Chord::wired(&nodes, place, config.clone()));
        }
        watch::look_on(&mut world, &nodes, watch::Stage::ring);
        Self { world, nodes }
    }

    /// Whoever stands before `node`.
    fn before(&self, node: Node) -> Option<Node> {
        let at = self.nodes.partition_point(|other| other.key() < node.key());
        self.nodes.get(at.checked_sub(1).unwrap_or(self.nodes.len() - 1)).copied()
    }

    /// A share of the nodes, chosen at random, falls silent at once; the rest is returned, in order.
    fn fail(&mut self, share: f64, rng: &mut Rng) -> Vec<Node> {
        let mut order = self.nodes.clone();
        rng.shuffle(&mut order);
        let dead = (share * order.len() as f64).round() as usize;
        for node in &order[..dead] {
            self.world.crash(*node);
        }
        let mut alive = order.split_off(dead);
        alive.sort_unstable_by_key(|node| node.key());
        alive
    }

    /// Looks random keys up, from random ones of `from`; the answers come in no particular order.
    fn look_up(
        &mut self,
        from: &[Node],
        count: u64,
        own_keys: OwnKeys,
        rng: &mut Rng,
        tell: &dyn Fn(f64),
    ) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(count as usize);
        let mut asked = 0;
        while asked < count {
            let batch = BATCH.min(count - asked);
            let began = self.world.now();
            let mut asked_for = Vec::with_capacity(batch as usize);
            for number in 0..batch {
                let (Some(&node), mut key) = (rng.pick(from), random_key(rng)) else {
                    return answers;
                };
                let walked = own_keys == OwnKeys::Walked && owner(&self.nodes, &key) == Some(node);
                if let (true, Some(before)) = (walked, self.before(node)) {
                    key = before.key();
                }
                asked_for.push((key, walked));
                let at = began + GAP * number as u32;
                self.world.command_at(at, node, OpId(asked + number), Command::Lookup { key });
            }
            let mut open = batch;
            let last = began + GAP * batch as u32;
            while open > 0 && self.world.now() < last + PATIENCE {
                self.world.run_for(Duration::from_millis(500));
                for happening in self.world.drain_events() {
                    let (Some(op), Event::Report(report)) = (happening.op, happening.event) else {
                        continue;
                    };
                    // Answers beyond all patience belong to batches before.
                    let Some(number) = op.0.checked_sub(asked) else { continue };
                    open -= 1;
                    let took = happening.at - (began + GAP * number as u32);
                    let (key, walked) = asked_for[number as usize];
                    answers.extend(answer(report, key, walked, took));
                }
            }
            asked += batch;
            tell(asked as f64 / count as f64);
        }
        answers
    }
}

fn answer(report: Report<Node>, key: Key, walked: bool, took: Duration) -> Option<Answer> {
    let (owners, cost) = match report {
        Report::Located { nodes, cost } => (nodes, cost),
        Report::Failed { cost } => (Vec::new(), cost),
        _ => return None,
    };
    // Who walked has reached the predecessor, and the last hop would lead to itself.
    let path = if walked { cost.hops } else { cost.hops.saturating_sub(1) };
    Some(Answer { key, owners, cost, took, path })
}

fn random_key(rng: &mut Rng) -> Key {
    Key::new(u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()), rng.next_u32())
}

/// The first of `ring`, which is in order, at or after `key`.
fn owner(ring: &[Node], key: &Key) -> Option<Node> {
    let at = ring.partition_point(|node| node.key().front() < key.front());
    ring.get(at).or(ring.first()).copied()
}

/// A ring that nobody joins or leaves: no upkeep, and lookups as the papers count them, which end
/// with whoever knows the owner.
fn static_config(successors: usize) -> Config {
    Config { successors, tick: None, reach_owner: false, ..Config::default() }
}

/// The mean of hops, the last one included, in a ring of `nodes` with fingers and no more.
pub(super) fn mean_hops(seed: u64, nodes: usize, lookups: u64) -> f64 {
    let config = Config { routing: Routing::Fingers, ..static_config(1) };
    let mut ring = Ring::standing(seed, nodes, Link::default(), config);
    let all = ring.nodes.clone();
    let answers = ring.look_up(&all, lookups, OwnKeys::Known, &mut Rng::new(seed), &|_| ());
    mean(&answers.iter().map(|answer| f64::from(answer.cost.hops)).collect::<Vec<_>>())
}
