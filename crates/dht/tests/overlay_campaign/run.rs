//! One seed: nodes join one another, crash, join and leave while values are put, then a quiet time,
//! then the questions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use dht::overlay::{Event, Message, Overlay, Topology};
use machine::dht::{Command, Key, Report, Value};
use machine::{Instant, OpId, Rng};
use sim::{Latency, Link, Node, Schedule, Settings, Severity, World};

/// What may go wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Nodes come and leave, and none crashes.
    Calm,
    /// Nodes crash, too, and messages are doubled and overtaken.
    Crashes,
    /// Messages are lost, too, and nodes cut off from each other.
    Partitions,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// What must hold at all times does not.
    Invariant(String, Instant),
    /// After a quiet time, tables are not as they should be.
    Unsettled(String),
    /// A value that somebody held is not found.
    Lost(Key, String),
    /// Fewer nodes than there should be hold a value.
    TooFew(Key, usize),
    /// Somebody could not become a member.
    Outside(Node),
    /// A command was not answered.
    Unanswered(OpId),
    /// So many messages that they cannot be of use.
    Storm(u64),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(self, f)
    }
}

pub type Sim<T> = World<Overlay<T>>;

/// An overlay that can be put to the test.
pub trait Subject:
    Topology<
        Contact = Node,
        Said: Clone + Send + PartialEq,
        Config: Send + Sync,
        Ask: Send,
        Search: Send,
    > + Send
    + 'static
{
    /// What tests plant.
    type Fault: Copy + Debug;
    /// How long faults last, after all have joined.
    const STORMY: Duration = Duration::from_secs(60);
    /// How long all then have to get well.
    const QUIET: Duration;
    /// Most messages of a good run.
    const MESSAGES_MAX: u64;

    fn config(rng: &mut Rng, weather: Weather, fault: Option<Self::Fault>) -> Self::Config;
    fn travel(message: &Message<Node, Self::Said>) -> Result<Message<Node, Self::Said>, String>;
    /// What is wrong now, though it may never be.
    fn always(world: &Sim<Self>, weather: Weather) -> Option<String>;
    /// What is wrong after the quiet time.
    fn finally(world: &Sim<Self>) -> Option<String>;
    /// How many nodes should hold `key` at least.
    fn copies_of(world: &Sim<Self>, key: &Key) -> usize;
}

const SECOND: Duration = Duration::from_secs(1);
/// When all have joined.
const JOINED: Duration = Duration::from_secs(40);
const KEYS: usize = 10;
const PUTS: u64 = 30;
/// Joins have names from here on; other commands before.
const JOINS: u64 = 1 << 32;

struct Run<T: Subject> {
    world: Sim<T>,
    base: Vec<Node>,
    weather: Weather,
    reports: BTreeMap<OpId, Report<Node>>,
    left: BTreeSet<Node>,
    rng: Rng,
}

/// To join through two of the base.
fn join(base: &[Node], node: Node) -> Command<Node> {
    let at = node.raw() as usize;
    let known = [base[at % base.len()], base[(at + 1) % base.len()]];
    Command::Join { known: known.into_iter().filter(|&other| other != node).collect() }
}

/// Runs `seed`.
pub fn run<T: Subject>(
    seed: u64,
    weather: Weather,
    fault: Option<T::Fault>,
) -> Result<(), Failure> {
    let mut rng = Rng::new(seed);
    let config = Arc::new(T::config(&mut rng, weather, fault));
    let latency =
        Latency::Exponential { least: Duration::from_millis(5), mean: Duration::from_millis(40) };
    let link = match weather {
        Weather::Calm => Link::new(latency),
        _ => Link::new(latency).with_duplication(0.02).with_reordering(0.05, SECOND / 5),
    };
    let mut world: Sim<T> = World::new(Settings { seed, threads: 1, link });
    world.round_trip_by(T::travel);
    let (base, others) = (4, 6 + rng.below(10) as usize);
    let nodes = world.reserve(base + others);
    let base = nodes[..base].to_vec();
    let at = |span: Duration| Instant::ZERO + span;
    for (index, &node) in nodes.iter().enumerate() {
        let first = match index {
            0 => Command::Join { known: Vec::new() },
            _ => Command::Join { known: vec![nodes[rng.below(index as u64) as usize]] },
        };
        let when = at(Duration::from_millis(index as u64 * 300 + rng.below(600)).max(SECOND / 100));
        let when = if index == 0 { at(SECOND / 1_000) } else { when };
        let op = OpId(JOINS | u64::from(node.raw()));
        world.start_at(when, node, Overlay::new(node, Arc::clone(&config)), Some((op, first)));
    }
    let run = Run { world, base, weather, reports: BTreeMap::new(), left: BTreeSet::new(), rng };
    run.play(seed, &nodes, &config)
}

impl<T: Subject> Run<T> {
    fn play(mut self, seed: u64, nodes: &[Node], config: &Arc<T::Config>) -> Result<(), Failure> {
        let at = |span| Instant::ZERO + span;
        let end = JOINED + T::STORMY;
        self.run_until(at(JOINED))?;
        if let Some(&node) =
            nodes.iter().find(|&&node| !self.world.get(node).is_some_and(Overlay::is_member))
        {
            return Err(Failure::Outside(node));
        }
        let others: Vec<_> =
            nodes.iter().copied().filter(|node| !self.base.contains(node)).collect();
        if self.weather != Weather::Calm {
            let severity = Severity {
                during: at(JOINED + SECOND)..at(end),
                faults: 12,
                longest: 25 * SECOND,
                down: 0.5,
                away: 0.4,
                loss: 0.3,
                partitions: self.weather == Weather::Partitions,
            };
            let schedule = Schedule::draw(seed, &others, &severity);
            let (config, base) = (Arc::clone(config), self.base.clone());
            schedule.apply(&mut self.world, move |world, node| {
                world.start(node, Overlay::new(node, Arc::clone(&config)));
                world.command(node, OpId(JOINS | u64::from(node.raw())), join(&base, node));
            });
            if self.weather == Weather::Crashes {
                // A schedule without partitions may lose messages all the same; this one does not.
                let usual = self.world.link().clone();
                for tenth in 0..(T::STORMY.as_secs() * 10) as u32 {
                    let usual = usual.clone();
                    self.world.plan(at(JOINED + SECOND + SECOND / 10 * tenth), move |world| {
                        world.set_link(usual);
                    });
                }
            }
        }
        let keys: Vec<_> =
            (0..KEYS).map(|_| Key::new(u128::from(self.rng.next_u64()) << 64, 0)).collect();
        let mut puts: BTreeMap<Key, BTreeSet<Value>> = BTreeMap::new();
        let span = T::STORMY.as_millis() as u64 - 2_000;
        for op in 0..PUTS {
            let key = keys[self.rng.below(KEYS as u64) as usize];
            let value: Value = format!("{op}").as_bytes().into();
            let when = at(JOINED + Duration::from_millis(500 + self.rng.below(span)));
            // The base stays, so that it can be held to its answers.
            let node = *self.rng.pick(&self.base).expect("a base");
            let command = match self.rng.below(4) {
                0 => Command::Get { key },
                _ => {
                    puts.entry(key).or_default().insert(value.clone());
                    Command::Put { key, value }
                }
            };
            self.world.command_at(when, node, OpId(op), command);
        }
        for _ in 0..self.rng.below(6) {
            let when = at(JOINED + Duration::from_millis(500 + self.rng.below(span)));
            let node = self.world.reserve(1)[0];
            let machine = Overlay::new(node, Arc::clone(config));
            let first = (OpId(JOINS | u64::from(node.raw())), join(&self.base, node));
            self.world.start_at(when, node, machine, Some(first));
        }
        for _ in 0..self.rng.below(5) {
            let when = at(JOINED + Duration::from_millis(500 + self.rng.below(span)));
            let node = *self.rng.pick(&others).expect("others");
            let op = OpId((JOINS * 2) | u64::from(node.raw()));
            self.world.command_at(when, node, op, Command::Leave);
        }
        self.run_until(at(end))?;
        let held: BTreeSet<Key> = self
            .world
            .nodes()
            .filter(|(_, node)| node.is_member())
            .flat_map(|(_, it)| it.keys())
            .collect();
        self.run_until(at(end + T::QUIET))?;
        for op in 0..PUTS {
            if !self.reports.contains_key(&OpId(op)) {
                return Err(Failure::Unanswered(OpId(op)));
            }
        }
        let gone =
            self.world.nodes().find(|(node, it)| !it.is_member() && !self.left.contains(node));
        if let Some((node, _)) = gone {
            return Err(Failure::Outside(node));
        }
        if let Some(what) = T::finally(&self.world) {
            return Err(Failure::Unsettled(what));
        }
        let members: Vec<Node> =
            self.world.nodes().filter(|(_, it)| it.is_member()).map(|(node, _)| node).collect();
        for (&key, values) in &puts {
            let names = T::names(config, &key);
            if !names.iter().any(|name| held.contains(name)) {
                continue;
            }
            let node = *self.rng.pick(&members).expect("members");
            match self.get(node, key)? {
                Some(value) if values.contains(&value) => {}
                other => return Err(Failure::Lost(key, format!("{other:?} at {node}"))),
            }
            // Where nobody crashes, a put reaches all names.
            let missing = names.iter().find(|name| !held.contains(*name));
            if let (Some(&name), Weather::Calm) = (missing, self.weather) {
                return Err(Failure::TooFew(name, 0));
            }
        }
        for &key in &held {
            let count = self.world.nodes().filter(|(_, it)| it.value(&key).is_some()).count();
            if count < T::copies_of(&self.world, &key) {
                return Err(Failure::TooFew(key, count));
            }
        }
        Ok(())
    }

    /// Runs on, checking every fifth of a second.
    fn run_until(&mut self, end: Instant) -> Result<(), Failure> {
        while self.world.now() < end {
            self.world.run_until((self.world.now() + SECOND / 5).min(end));
            if self.world.counts().sent > T::MESSAGES_MAX {
                return Err(Failure::Storm(self.world.counts().sent));
            }
            let events: Vec<_> = self.world.drain_events().collect();
            for event in events {
                if let (Some(op), Event::Report(report)) = (event.op, event.event) {
                    self.heard(event.node, op, report);
                }
            }
            if let Some(what) = T::always(&self.world, self.weather) {
                return Err(Failure::Invariant(what, self.world.now()));
            }
        }
        Ok(())
    }

    /// Notes an answer; whoever failed to join tries again.
    fn heard(&mut self, node: Node, op: OpId, report: Report<Node>) {
        match report {
            Report::Failed { .. } if op.0 & JOINS != 0 => {
                let again = self.world.now() + 2 * SECOND;
                self.world.command_at(again, node, op, join(&self.base, node));
            }
            Report::Left => drop(self.left.insert(node)),
            Report::Joined => drop(self.left.remove(&node)),
            report if op.0 < JOINS => {
                let before = self.reports.insert(op, report);
                assert!(before.is_none(), "{op:?} was answered twice");
            }
            _ => {}
        }
    }

    /// Asks for `key` at `node`.
    fn get(&mut self, node: Node, key: Key) -> Result<Option<Value>, Failure> {
        let op = OpId(1_000 + self.reports.len() as u64);
        self.world.command(node, op, Command::Get { key });
        for _ in 0..30 {
            self.run_until(self.world.now() + SECOND)?;
            match self.reports.get(&op) {
                None => {}
                Some(Report::Found { value, .. }) => return Ok(Some(value.clone())),
                Some(_) => return Ok(None),
            }
        }
        Err(Failure::Unanswered(op))
    }
}
