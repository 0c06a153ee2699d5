//! One seed: a ring that nodes crash in, join and leave while values are put, then a quiet time,
//! then the questions.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use dht::chord::{Chord, Config, Event, Fault, Style};
use machine::dht::{Command, Contact, Key, Report, Value};
use machine::{Instant, OpId, Rng};
use sim::observer::{Input, Made, Observer};
use sim::{Latency, Link, Node, Schedule, Settings, Severity, World};

use crate::invariant::{
    Members, Tables, Violation, check, check_lists, check_predecessor, position,
};
use crate::wire::travel;

/// What may go wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Nodes come and leave, none crashes, and there is one copy of each value.
    Calm,
    /// Nodes crash, too, and messages are late, doubled and overtaken.
    Crashes,
    /// Messages are lost, too, and nodes cut off from each other.
    Partitions,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// While it was to be trusted that nobody was wrongly taken for dead.
    Invariant(Violation, Instant),
    /// After a quiet time, the tables of this node are not those of the ring.
    Unsettled(Node, String),
    /// A value that somebody held is not found.
    Lost(Key, String),
    /// Copies are not where they should be.
    Misplaced(Key, Vec<Node>),
    /// So many messages that they cannot be of use.
    Storm,
    /// A command was not answered.
    Unanswered(OpId),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a good run was like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Inputs after which the invariant was checked.
    pub checked: u64,
    /// How often somebody who lived was taken for dead, or a partition made it look so, while the
    /// invariant held.
    pub disturbed: u32,
    /// Values that were found at the end.
    pub found: usize,
}

const SECOND: Duration = Duration::from_secs(1);
/// When faults are over.
const STORMY: Duration = Duration::from_secs(70);
/// How long the ring then has.
const QUIET: Duration = Duration::from_secs(110);
/// How long what was said goes on to have effects: messages are at most two seconds late, and are
/// sent three times.
const ECHOES: Duration = Duration::from_secs(8);
const KEYS: usize = 12;
/// A good run sends about 60,000.
const MESSAGES_MAX: u64 = 400_000;
/// Joins have names from here on; other commands before.
const JOINS: u64 = 1 << 32;

/// Notes who was handed something last.
struct Touched(Rc<Cell<Option<Node>>>);

impl Observer<Chord<Node>> for Touched {
    fn input(&mut self, _: Instant, node: Node, _: Input<'_, Chord<Node>>) {
        self.0.set(Some(node));
    }

    fn made(&mut self, _: Instant, _: Node, _: Made<'_, Chord<Node>>) {}
}

struct Run {
    world: World<Chord<Node>>,
    config: Arc<Config>,
    base: Vec<Node>,
    touched: Rc<Cell<Option<Node>>>,
    members: Members,
    /// Since when the invariant is back after somebody who lived was taken for dead; nobody was
    /// if there is none, and [`Instant::ZERO`] says that it is not back.
    doubt: Option<Instant>,
    disturbed: u32,
    /// What would be a failure, but is not what is looked for.
    expected: Option<fn(&Violation) -> bool>,
    checked: u64,
    reports: BTreeMap<OpId, Report<Node>>,
    rng: Rng,
}

/// The configuration of a seed.
fn config(rng: &mut Rng, weather: Weather, fault: Option<Fault>) -> Config {
    let successors = 3 + rng.below(4) as usize;
    Config {
        successors,
        replicas: if weather == Weather::Calm { 1 } else { 3 },
        style: match rng.below(3) {
            0 => Style::Recursive { acknowledged: true },
            _ => Style::Iterative,
        },
        tick: Some((SECOND, 3 * SECOND)),
        // Where there is one copy, handing over alone must bring it where it belongs.
        orphan_after: if weather == Weather::Calm { 600 } else { 20 } * SECOND,
        merge_every: 2,
        fault,
        ..Config::default()
    }
}

/// Runs `seed`. With a planted `fault`, an `expected` violation may be named: others do not end the
/// run then.
pub fn run(
    seed: u64,
    weather: Weather,
    fault: Option<Fault>,
    expected: Option<fn(&Violation) -> bool>,
) -> Result<Outcome, Failure> {
    let mut rng = Rng::new(seed);
    let config = Arc::new(config(&mut rng, weather, fault));
    let latency =
        Latency::Exponential { least: Duration::from_millis(5), mean: Duration::from_millis(50) };
    let link = match weather {
        Weather::Calm => Link::new(latency),
        _ => Link::new(latency).with_duplication(0.02).with_reordering(0.05, SECOND / 5),
    };
    let mut world = World::new(Settings { seed, threads: 1, link });
    let (base, others) = (config.successors + 1, 4 + rng.below(8) as usize);
    let nodes = world.reserve(base + others);
    let mut ring = nodes.clone();
    ring.sort_by_key(Contact::key);
    let touched = Rc::new(Cell::new(None));
    world.observe(Touched(Rc::clone(&touched)));
    world.round_trip_by(travel);
    for index in 0..ring.len() {
        world.start(ring[index], Chord::wired(&ring, index, Arc::clone(&config)));
    }
    let mut run = Run {
        world,
        config,
        base: nodes[..base].to_vec(),
        touched,
        members: Members::new(),
        doubt: None,
        disturbed: 0,
        expected,
        checked: 0,
        reports: BTreeMap::new(),
        rng,
    };
    run.look_at_all();
    run.play(seed, weather, &nodes[base..])
}

impl Run {
    fn play(mut self, seed: u64, weather: Weather, others: &[Node]) -> Result<Outcome, Failure> {
        let at = |span| Instant::ZERO + span;
        let severity = Severity {
            during: at(5 * SECOND)..at(STORMY),
            faults: 16,
            longest: 30 * SECOND,
            down: 0.5,
            away: 0.4,
            loss: 0.3,
            partitions: weather == Weather::Partitions,
        };
        if weather != Weather::Calm {
            let schedule = Schedule::draw(seed, others, &severity);
            let (config, base) = (Arc::clone(&self.config), self.base.clone());
            schedule.apply(&mut self.world, move |world, node| {
                world.start(node, Chord::new(node, Arc::clone(&config)));
                world.command(node, OpId(JOINS | u64::from(node.raw())), join(&base, node));
            });
        }
        if weather == Weather::Crashes {
            // A schedule without partitions may lose messages all the same; this weather does not.
            let usual = self.world.link().clone();
            for second in 0..STORMY.as_secs() * 10 {
                let usual = usual.clone();
                self.world.plan(at(SECOND / 10 * second as u32), move |world| {
                    world.set_link(usual);
                });
            }
        }
        let keys: Vec<_> =
            (0..KEYS).map(|_| Key::new(u128::from(self.rng.next_u64()) << 64, 0)).collect();
        let mut puts: BTreeMap<Key, BTreeSet<Value>> = BTreeMap::new();
        let mut ops = Vec::new();
        for op in 0..40 {
            let key = keys[self.rng.below(KEYS as u64) as usize];
            let value: Value = format!("{op}").as_bytes().into();
            let when = at(Duration::from_millis(5_000 + self.rng.below(63_000)));
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
            ops.push((OpId(op), key));
        }
        for _ in 0..self.rng.below(8) {
            let when = at(Duration::from_millis(5_000 + self.rng.below(63_000)));
            let node = self.world.reserve(1)[0];
            let machine = Chord::new(node, Arc::clone(&self.config));
            let first = (OpId(JOINS | u64::from(node.raw())), join(&self.base, node));
            self.world.start_at(when, node, machine, Some(first));
        }
        let leave = if weather == Weather::Calm { 8 } else { 4 };
        for _ in 0..self.rng.below(leave) {
            let when = at(Duration::from_millis(5_000 + self.rng.below(60_000)));
            let node = *self.rng.pick(others).expect("others");
            self.world.command_at(
                when,
                node,
                OpId((JOINS * 2) | u64::from(node.raw())),
                Command::Leave,
            );
        }
        self.run_until(at(STORMY))?;
        let live: Vec<Key> = match weather {
            Weather::Calm => self.stored(&ops),
            _ => self.held(),
        };
        self.run_until(at(STORMY + QUIET))?;
        self.finish(&live, &puts, &ops)
    }

    /// Keys of which a put has succeeded.
    fn stored(&self, ops: &[(OpId, Key)]) -> Vec<Key> {
        let stored = |op| matches!(self.reports.get(op), Some(Report::Stored { .. }));
        let keys: BTreeSet<_> =
            ops.iter().filter(|(op, _)| stored(op)).map(|&(_, key)| key).collect();
        keys.into_iter().collect()
    }

    /// Keys that some member holds.
    fn held(&self) -> Vec<Key> {
        let members = self.world.nodes().filter(|(_, node)| node.is_member());
        let keys: BTreeSet<_> = members.flat_map(|(_, node)| node.keys()).collect();
        keys.into_iter().collect()
    }

    fn look_at_all(&mut self) {
        self.members = self
            .world
            .nodes()
            .filter_map(|(node, machine)| Some((node, Tables::of(machine)?)))
            .collect();
    }

    /// Runs on, checking after every event.
    fn run_until(&mut self, end: Instant) -> Result<(), Failure> {
        while self.world.step(end) {
            if self.world.counts().sent > MESSAGES_MAX {
                return Err(Failure::Storm);
            }
            let events: Vec<_> = self.world.drain_events().collect();
            for event in events {
                match event.event {
                    Event::Suspected(whom) if self.members.contains_key(&whom) => {
                        self.disturbed += u32::from(self.doubt.is_none());
                        self.doubt = Some(Instant::ZERO);
                    }
                    Event::Suspected(_) => {}
                    Event::Report(report) => self.heard(event.node, event.op, report),
                }
            }
            let Some(node) = self.touched.take() else { continue };
            let tables = self.world.get(node).and_then(Tables::of);
            if self.members.get(&node) == tables.as_ref() {
                self.checked += u64::from(self.doubt.is_none());
                continue;
            }
            let was = match tables.clone() {
                Some(tables) => self.members.insert(node, tables),
                None => self.members.remove(&node),
            };
            let was = was.and_then(|tables| tables.predecessor);
            let is = tables.and_then(|tables| tables.predecessor);
            self.judge(node, was, is)?;
        }
        Ok(())
    }

    /// Checks what can be demanded now that the tables of `node` have changed. The invariant is
    /// inductive: once it is back, and nothing that was said before is on its way any more, it must
    /// hold on.
    fn judge(&mut self, node: Node, was: Option<Node>, is: Option<Node>) -> Result<(), Failure> {
        let now = self.world.now();
        let mut violations = check(&self.members, &self.base);
        self.doubt = match self.doubt {
            None => None,
            Some(_) if !violations.is_empty() => Some(Instant::ZERO),
            Some(Instant::ZERO) => Some(now),
            Some(since) if now.since(since) > ECHOES => None,
            since => since,
        };
        if self.doubt.is_none() {
            self.checked += 1;
            violations.extend(check_predecessor(&self.members, node, was, is));
        } else {
            violations = check_lists(&self.members);
        }
        let fails = |violation: &&Violation| self.expected.is_none_or(|of| of(violation));
        match violations.iter().find(fails) {
            Some(&violation) => Err(Failure::Invariant(violation, now)),
            None => Ok(()),
        }
    }

    /// Notes an answer; whoever failed to join tries again.
    fn heard(&mut self, node: Node, op: Option<OpId>, report: Report<Node>) {
        let op = op.expect("reports answer commands");
        if op.0 & JOINS != 0 && matches!(report, Report::Failed { .. }) {
            let again = self.world.now() + 2 * SECOND;
            self.world.command_at(again, node, op, join(&self.base, node));
        } else if op.0 < JOINS {
            let before = self.reports.insert(op, report);
            assert!(before.is_none(), "{op:?} was answered twice");
        }
    }

    /// Asks for `key` at `node`.
    fn get(&mut self, node: Node, key: Key) -> Result<Option<Value>, Failure> {
        let op = OpId(1_000 + self.reports.len() as u64);
        self.world.command(node, op, Command::Get { key });
        self.run_until(self.world.now() + 30 * SECOND)?;
        match self.reports.get(&op) {
            None => Err(Failure::Unanswered(op)),
            Some(Report::Found { value, .. }) => Ok(Some(value.clone())),
            Some(_) => Ok(None),
        }
    }

    /// Whether all is as it should be.
    fn finish(
        mut self,
        live: &[Key],
        puts: &BTreeMap<Key, BTreeSet<Value>>,
        ops: &[(OpId, Key)],
    ) -> Result<Outcome, Failure> {
        if let Some(&(op, _)) = ops.iter().find(|(op, _)| !self.reports.contains_key(op)) {
            return Err(Failure::Unanswered(op));
        }
        let mut ring: Vec<_> = self.members.keys().copied().collect();
        ring.sort_by_key(Contact::key);
        for (index, &node) in ring.iter().enumerate() {
            let exact = Chord::wired(&ring, index, Arc::clone(&self.config));
            let tables = &self.members[&node];
            let exact = Tables::of(&exact).expect("a member");
            if *tables != exact {
                return Err(Failure::Unsettled(node, format!("{tables:?} is not {exact:?}")));
            }
        }
        if let Some(&violation) = check(&self.members, &self.base).first() {
            return Err(Failure::Invariant(violation, self.world.now()));
        }
        for &key in live {
            let owner = ring.partition_point(|&node| position(node).number() < key.front());
            let holders = (0..self.config.replicas.min(ring.len()))
                .map(|step| ring[(owner + step) % ring.len()]);
            let without: Vec<_> = holders
                .filter(|&node| self.world.get(node).is_none_or(|node| node.value(&key).is_none()))
                .collect();
            if !without.is_empty() {
                return Err(Failure::Misplaced(key, without));
            }
        }
        for &key in live {
            let node = ring[self.rng.below(ring.len() as u64) as usize];
            match self.get(node, key)? {
                Some(value) if puts[&key].contains(&value) => {}
                other => return Err(Failure::Lost(key, format!("{other:?}"))),
            }
        }
        let (checked, disturbed) = (self.checked, self.disturbed);
        Ok(Outcome { checked, disturbed, found: live.len() })
    }
}

/// To join through two of the base.
fn join(base: &[Node], node: Node) -> Command<Node> {
    let at = node.raw() as usize;
    Command::Join { known: vec![base[at % base.len()], base[(at + 1) % base.len()]] }
}
