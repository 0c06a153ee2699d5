//! Kademlia: networks whose tables are full from the beginning, of the machine that runs live.

pub(super) mod alpha_one;
pub(super) mod kad_latency;
pub(super) mod mainline_latency;
pub(super) mod steps;
pub(super) mod survival;
pub(super) mod uptime;

use std::sync::Arc;
use std::time::Duration;

use ::dht::kademlia::{Command, Config, Event, Kademlia};
use machine::dht::{self, Contact, Cost, Key, Report};
use machine::{OpId, Rng};
use sim::{Link, Node, Settings, World};

use crate::watch;

/// Commands that are under way between two looks at their answers.
const BATCH: u64 = 1_024;
/// Between two commands.
const GAP: Duration = Duration::from_millis(1);
/// Nobody waits longer.
const PATIENCE: Duration = Duration::from_secs(300);

/// How one command ended.
#[derive(Clone, Copy, Debug)]
struct Answer {
    /// It was found, stored or located.
    done: bool,
    cost: Cost,
    took: Duration,
}

/// Nodes with full tables.
struct Net {
    world: World<Kademlia<Node>>,
    /// Those that live.
    nodes: Vec<Node>,
}

impl Net {
    /// `count` nodes that live, whose tables name `dead_share` of nodes that do not.
    fn standing(
        seed: u64,
        count: usize,
        dead_share: f64,
        link: Link,
        config: Config<Node>,
    ) -> Self {
        let mut world = World::new(Settings { seed, threads: 1, link });
        let mut rng = Rng::new(seed);
        let all = (count as f64 / (1.0 - dead_share)).round() as usize;
        let mut nodes = world.reserve(all);
        rng.shuffle(&mut nodes);
        let mut places = nodes.clone();
        places.sort_unstable_by_key(Contact::key);
        nodes.truncate(count);
        let config = Arc::new(config);
        for &node in &nodes {
            let contacts = contacts(node, &places, config.k, &mut rng);
            world.start(node, Kademlia::wired(node, config.clone(), [0; 16], contacts));
        }
        watch::look_on(&mut world, &nodes, watch::Stage::tree);
        Self { world, nodes }
    }

    /// Hands `commands` to random ones of `from`; the answers come in the order of the commands,
    /// without those of commands that were never answered.
    fn ask(
        &mut self,
        from: &[Node],
        commands: impl ExactSizeIterator<Item = dht::Command<Node>>,
        rng: &mut Rng,
        tell: &dyn Fn(f64),
    ) -> Vec<Answer> {
        let count = commands.len() as u64;
        let mut answers = Vec::with_capacity(count as usize);
        let mut commands = (0..count).zip(commands).peekable();
        while let Some(&(first, _)) = commands.peek() {
            let began = self.world.now();
            let batch = BATCH.min(count - first);
            for (number, command) in commands.by_ref().take(batch as usize) {
                let Some(&node) = rng.pick(from) else { return answers };
                let at = began + GAP * (number - first) as u32;
                self.world.command_at(at, node, OpId(number + 1), Command::Dht(command));
            }
            let last = began + GAP * batch as u32;
            let mut ended = Vec::new();
            while (ended.len() as u64) < batch && self.world.now() < last + PATIENCE {
                self.world.run_for(Duration::from_millis(500));
                for happening in self.world.drain_events() {
                    let (Some(op), Event::Report(report)) = (happening.op, happening.event) else {
                        continue;
                    };
                    let Some(number) = op.0.checked_sub(first + 1) else { continue };
                    let took = happening.at - (began + GAP * number as u32);
                    ended.extend(answer(&report, took).map(|answer| (number, answer)));
                }
            }
            ended.sort_by_key(|(number, _)| *number);
            answers.extend(ended.into_iter().map(|(_, answer)| answer));
            tell((first + batch) as f64 / count as f64);
        }
        answers
    }
}

/// What a full table holds: of each bucket all nodes, or `k` at random.
pub(super) fn contacts(node: Node, places: &[Node], k: usize, rng: &mut Rng) -> Vec<Node> {
    let own = node.key().front();
    let mut contacts = Vec::new();
    for depth in 0..u128::BITS {
        // The nodes that share `depth` bits and differ in the next.
        let bit = 1u128 << (u128::BITS - 1 - depth);
        let first = (own ^ bit) & !(bit - 1);
        let last = first | (bit - 1);
        let begin = places.partition_point(|place| place.key().front() < first);
        let end = places.partition_point(|place| place.key().front() <= last);
        let bucket = &places[begin..end];
        if bucket.len() <= k {
            contacts.extend_from_slice(bucket);
        } else {
            let from = contacts.len();
            while contacts.len() < from + k {
                let pick = bucket[rng.below(bucket.len() as u64) as usize];
                if !contacts[from..].contains(&pick) {
                    contacts.push(pick);
                }
            }
        }
        let before = places.partition_point(|place| place.key().front() < own & !(bit - 1));
        let after = places.partition_point(|place| place.key().front() <= own | (bit - 1));
        // Nobody but the node itself is nearer.
        if after - before <= 1 {
            break;
        }
    }
    contacts
}

fn answer(report: &Report<Node>, took: Duration) -> Option<Answer> {
    let (done, cost) = match *report {
        Report::Located { cost, .. } | Report::Stored { cost, .. } | Report::Found { cost, .. } => {
            (true, cost)
        }
        Report::NotFound { cost } | Report::Failed { cost } => (false, cost),
        Report::Joined | Report::Left => return None,
    };
    Some(Answer { done, cost, took })
}

fn random_key(rng: &mut Rng) -> Key {
    Key::new(u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()), rng.next_u32())
}

fn lookups(count: u64, rng: &mut Rng) -> impl ExactSizeIterator<Item = dht::Command<Node>> + use<> {
    let keys: Vec<Key> = (0..count).map(|_| random_key(rng)).collect();
    keys.into_iter().map(|key| dht::Command::Lookup { key })
}

/// The rules of the paper, in a network that stands for the time of an experiment: nothing is
/// refreshed, republished or cached.
fn static_config(k: usize, alpha: usize) -> Config<Node> {
    const DAY: Duration = Duration::from_secs(24 * 3_600);
    Config {
        k,
        alpha,
        refresh: 30 * DAY,
        upkeep: 30 * DAY,
        republish: None,
        item_expiry: 30 * DAY,
        questionable: 30 * DAY,
        cache: false,
        hand_over: false,
        ..Config::paper()
    }
}

/// How messages travel in the latency claims: round trips of 100 ms on average, with a tail.
fn internet() -> Link {
    Link::new(sim::Latency::Exponential {
        least: Duration::from_millis(10),
        mean: Duration::from_millis(50),
    })
}
