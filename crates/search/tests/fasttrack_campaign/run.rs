//! One seed: a network that nodes crash in and come back to while files are published, looked for
//! and uploaded, and some nodes lie about their uploads; then a quiet time, then the questions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use machine::{Instant, OpId, Rng};
use search::fasttrack::{
    Bar, Command, Config, Event, FastTrack, Fault, File, FileHash, Identity, Message, Nominal,
    Receipt, Signature, Voucher,
};
use search::gnutella::{Sha1, TigerRoot};
use sim::{Every, Latency, Link, Node, Schedule, Settings, Severity, World};

use crate::wire::travel;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// More in a directory, or more leaves, than there may be.
    Unbounded(Node, String),
    /// A supernode that nobody with a right to has made one.
    Unattested(Node),
    /// A node without a supernode that lives and knows it.
    Alone(Node, String),
    /// Supernodes that do not reach each other.
    Apart(usize),
    /// Files of somebody who is not there.
    Stale(Node, Node),
    /// A file that somebody shares and another does not find.
    Lost(String, Node),
    /// A search that did not outlive its supernode.
    Forgotten(Node),
    /// So many messages that they cannot be of use.
    Storm,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a good run was like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Supernodes at the end.
    pub supernodes: usize,
    /// How often somebody became one, the founder aside.
    pub elected: usize,
    /// How often somebody lost its supernode.
    pub failovers: usize,
    /// Files that were found at the end.
    pub found: usize,
    /// Searches that outlived their supernode.
    pub survived: usize,
    /// Messages.
    pub sent: u64,
}

type Machine = FastTrack<Node, Nominal>;

const SECOND: Duration = Duration::from_secs(1);
/// When faults are over.
const STORMY: Duration = Duration::from_secs(90);
/// How long the network then has.
const QUIET: Duration = Duration::from_secs(60);
/// A good run sends at most 60,000.
const MESSAGES_MAX: u64 = 200_000;
/// These are accomplices: all in one network, and only too glad to sign for each other.
const ACCOMPLICES: std::ops::Range<usize> = 5..8;
/// This one shows vouchers that nobody signed.
const FORGER: usize = 4;
/// This one shares too much.
const HOARDER: usize = 3;
/// Of a leaf, in a directory.
const FILES_PER_LEAF: usize = 8;

fn network(host: u32) -> u64 {
    if ACCOMPLICES.contains(&(host as usize)) { 999_999 } else { host.into() }
}

fn config(fault: Option<Fault>) -> Config<Node> {
    let millis = Duration::from_millis;
    Config {
        tick: (millis(900), millis(1_300)),
        silence: 5 * SECOND,
        timeout: millis(500),
        leaves_high: 5,
        leaves_max: 12,
        leaves_low: 2,
        lonely: 15 * SECOND,
        files_max: 12 * FILES_PER_LEAF,
        files_per_leaf: FILES_PER_LEAF,
        bar: Bar { uptime: 10 * SECOND, networks: 2, rate: 1_000, witnesses: 1 },
        vouch_after: 3 * SECOND,
        search_for: 20 * SECOND,
        search_again: 4 * SECOND,
        searches_per_tick: 64,
        fault,
        ..Config::new(network)
    }
}

fn identity(node: Node) -> Nominal {
    Nominal(u64::from(node.raw()))
}

fn hash(byte: u8) -> FileHash {
    FileHash { sha1: Sha1([byte; 20]), tree: TigerRoot([byte; 24]) }
}

/// What a node shares; each name has one word that no other has.
fn files(node: Node) -> Vec<Arc<File>> {
    let slot = node.slot() as usize;
    let count = if slot == HOARDER { 3 * FILES_PER_LEAF } else { 1 + slot % 3 };
    (0..count)
        .map(|number| {
            let name = format!("Song n{slot}f{number}.ogg");
            Arc::new(File::new(hash(slot as u8), 1 << 20, &name))
        })
        .collect()
}

struct Run {
    world: World<Machine>,
    nodes: Vec<Node>,
    config: Arc<Config<Node>>,
    /// Who has got files from whom.
    uploads: BTreeMap<Node, BTreeSet<Node>>,
    rng: Rng,
    ops: u64,
    outcome: Outcome,
    found: BTreeMap<OpId, BTreeSet<Node>>,
}

/// Runs one seed.
pub fn run(seed: u64, fault: Option<Fault>) -> Result<Outcome, Failure> {
    let mut rng = Rng::new(seed ^ 0xfa57);
    let least = Duration::from_millis(5);
    let mean = Duration::from_millis(10 + rng.below(60));
    let link = Link::new(Latency::Exponential { least, mean });
    let mut world = World::new(Settings { seed, threads: 1, link });
    world.round_trip_by(travel);
    let count = 14 + rng.below(10) as usize;
    let nodes = world.reserve(count);
    let run = Run {
        world,
        nodes,
        config: Arc::new(config(fault)),
        uploads: BTreeMap::new(),
        rng,
        ops: 0,
        outcome: Outcome::default(),
        found: BTreeMap::new(),
    };
    run.play(seed)
}

/// Starts a node, or starts it again.
fn start(world: &mut World<Machine>, config: &Arc<Config<Node>>, nodes: &[Node], node: Node) {
    let secret = u64::from(node.raw()) ^ world.now().as_nanos();
    world.start(node, FastTrack::new(node, identity(node), config.clone(), secret));
    world.command(node, OpId(0), Command::Share { files: files(node) });
    // The first begins the network, whenever it comes.
    let known = if node == nodes[0] { vec![] } else { nodes[..3].to_vec() };
    world.command(node, OpId(0), Command::Join { known });
}

impl Run {
    fn op(&mut self) -> OpId {
        self.ops += 1;
        OpId(self.ops)
    }

    fn play(mut self, seed: u64) -> Result<Outcome, Failure> {
        let at = |span| Instant::ZERO + span;
        for node in self.nodes.clone() {
            start(&mut self.world, &self.config, &self.nodes, node);
        }
        let severity = Severity {
            during: at(25 * SECOND)..at(STORMY),
            faults: 14,
            longest: 25 * SECOND,
            down: 0.4,
            away: 0.3,
            loss: 0.3,
            partitions: true,
        };
        // Two of those that all others know stay.
        let mortal: Vec<_> =
            self.nodes.iter().copied().filter(|node| !self.nodes[1..3].contains(node)).collect();
        let schedule = Schedule::draw(seed, &mortal, &severity);
        let (config, nodes) = (self.config.clone(), self.nodes.clone());
        schedule.apply(&mut self.world, move |world, node| start(world, &config, &nodes, node));
        let (config, nodes) = (self.config.clone(), self.nodes.clone());
        self.world.plan(at(STORMY), move |world| {
            if world.get(nodes[0]).is_none() {
                start(world, &config, &nodes, nodes[0]);
            }
        });
        self.plan_uploads();
        self.plan_lies();
        for _ in 0..20 {
            let when = at(Duration::from_millis(3_000 + self.rng.below(85_000)));
            let node = *self.rng.pick(&self.nodes).expect("nodes");
            let op = self.op();
            self.world.command_at(when, node, op, Command::Search { words: "song".into() });
        }
        self.run_until(at(STORMY + QUIET))?;
        self.settled()?;
        self.find_all()?;
        self.outlive()?;
        self.outcome.sent = self.world.counts().sent;
        Ok(self.outcome)
    }

    /// Some nodes upload much; accomplices upload to one of them.
    fn plan_uploads(&mut self) {
        let servers: Vec<_> = self.nodes[1..]
            .iter()
            .copied()
            .filter(|node| {
                let slot = node.slot() as usize;
                slot % 3 == 1 && !ACCOMPLICES.contains(&slot) && slot != FORGER
            })
            .collect();
        for number in 0..120 {
            let accomplices = number % 10 == 0;
            let (from, to) = if accomplices {
                let to = ACCOMPLICES.start + 1 + number / 10 % 2;
                (self.nodes[ACCOMPLICES.start], self.nodes[to])
            } else {
                let to = *self.rng.pick(&self.nodes).expect("nodes");
                (*self.rng.pick(&servers).expect("servers"), to)
            };
            if from == to {
                continue;
            }
            let when = Instant::ZERO + Duration::from_millis(5_000 + self.rng.below(80_000));
            self.uploads.entry(from).or_default().insert(to);
            let uploader = identity(from).id();
            let hash = hash(number as u8);
            let op = self.op();
            let command =
                Command::Downloaded { from, uploader, hash, bytes: 1 << 20, millis: 1_000 };
            self.world.command_at(when, to, op, command);
        }
    }

    /// The forger says that it has uploaded to everybody, whenever it says anything.
    fn plan_lies(&mut self) {
        let forger = self.nodes[FORGER];
        let uploader = identity(forger).id();
        let forged: Box<[Voucher]> = (0..2)
            .map(|number| Voucher {
                receipt: Receipt {
                    uploader,
                    downloader: identity(self.nodes[8 + number]).id(),
                    hash: hash(7),
                    bytes: 1 << 30,
                    millis: 1,
                    signature: Signature([number as u8; 64]),
                },
                network: 8 + number as u64,
                supernode: identity(self.nodes[0]).id(),
                signature: Signature([9; 64]),
            })
            .collect();
        self.world.corrupt(forger, move |_, message, rng| {
            if let Message::Alive { session, .. } = message
                && rng.below(2) == 0
            {
                *message = Message::Stand { session: *session, vouchers: forged.clone() };
            }
            true
        });
    }

    /// Whether somebody has earned to be a supernode.
    fn has_earned(&self, node: Node) -> bool {
        let to = self.uploads.get(&node).into_iter().flatten();
        let networks: BTreeSet<_> = to.map(|node| network(node.slot())).collect();
        node == self.nodes[0]
            || networks.iter().filter(|it| **it != network(node.slot())).count() >= 2
    }

    fn check(&self, world: &World<Machine>) -> Result<(), Failure> {
        let (leaves_max, files_max) = (self.config.leaves_max, self.config.files_max);
        for (node, machine) in world.nodes().filter(|(_, machine)| machine.is_supernode()) {
            let (leaves, files) = (machine.leaves().count(), machine.directory_len());
            let mut each = BTreeMap::<_, usize>::new();
            machine.directory_owners().for_each(|owner| *each.entry(owner).or_default() += 1);
            each.remove(&node);
            let most = each.values().copied().max().unwrap_or(0);
            if leaves > leaves_max || files > files_max || most > FILES_PER_LEAF {
                let what = format!("{leaves} leaves, {files} files, {most} of one");
                return Err(Failure::Unbounded(node, what));
            }
            if !self.has_earned(node) {
                return Err(Failure::Unattested(node));
            }
        }
        match world.counts().sent {
            ..MESSAGES_MAX => Ok(()),
            _ => Err(Failure::Storm),
        }
    }

    fn run_until(&mut self, end: Instant) -> Result<(), Failure> {
        let step = Every::Interval(SECOND / 2);
        while self.world.now() < end {
            let next = (self.world.now() + SECOND / 2).min(end);
            let mut world = std::mem::replace(&mut self.world, World::new(Settings::default()));
            let mut failure = None;
            let checked = world.run_checked(next, step, |world| {
                self.check(world).map_err(|what| failure = Some(what)).map_err(|()| String::new())
            });
            self.world = world;
            if checked.is_err() {
                return Err(failure.unwrap_or(Failure::Storm));
            }
            for happening in self.world.drain_events() {
                match happening.event {
                    Event::Elected if happening.node != self.nodes[0] => self.outcome.elected += 1,
                    Event::Lost => self.outcome.failovers += 1,
                    Event::Found { hits } => {
                        let Some(op) = happening.op else { continue };
                        self.found.entry(op).or_default().extend(hits.iter().map(|hit| hit.source));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn live(&self) -> Vec<Node> {
        self.world.nodes().map(|(node, _)| node).collect()
    }

    /// Whether everybody has a supernode, all supernodes reach each other, and directories are
    /// those of who is there.
    fn settled(&mut self) -> Result<(), Failure> {
        let live = self.live();
        let supernodes: Vec<_> = live
            .iter()
            .copied()
            .filter(|node| self.world.get(*node).is_some_and(|machine| machine.is_supernode()))
            .collect();
        self.outcome.supernodes = supernodes.len();
        // The forger says so much else that it is now and then taken for dead.
        let honest = live.iter().copied().filter(|node| *node != self.nodes[FORGER]);
        for node in honest {
            let of = self.world.get(node).and_then(|machine| machine.supernode());
            let knows = of.and_then(|of| self.world.get(of)).is_some_and(|supernode| {
                of == Some(node) || supernode.leaves().any(|leaf| leaf == node)
            });
            if !knows {
                return Err(Failure::Alone(node, format!("{of:?} of {supernodes:?}")));
            }
        }
        let mut reached = BTreeSet::from([supernodes[0]]);
        let mut next = vec![supernodes[0]];
        while let Some(node) = next.pop() {
            let links = self.world.get(node).into_iter().flat_map(|machine| machine.links());
            next.extend(links.filter(|link| reached.insert(*link)));
        }
        if !supernodes.iter().all(|node| reached.contains(node)) {
            return Err(Failure::Apart(reached.len()));
        }
        for (node, machine) in self.world.nodes() {
            let leaves: BTreeSet<_> = machine.leaves().chain([node]).collect();
            let stale = machine
                .directory_owners()
                .find(|owner| !leaves.contains(owner) || !live.contains(owner));
            if let Some(owner) = stale {
                return Err(Failure::Stale(node, owner));
            }
        }
        Ok(())
    }

    /// Looks for one file of everybody, from anywhere.
    fn find_all(&mut self) -> Result<(), Failure> {
        let live = self.live();
        let mut asked = Vec::new();
        let honest: Vec<_> =
            live.iter().copied().filter(|node| *node != self.nodes[FORGER]).collect();
        for &holder in &honest {
            let others: Vec<_> = honest.iter().copied().filter(|node| *node != holder).collect();
            let node = *self.rng.pick(&others).expect("others");
            let words = format!("n{}f0", holder.slot());
            let op = self.op();
            let command = Command::Search { words: words.as_str().into() };
            self.world.command(node, op, command);
            asked.push((op, holder, words, node));
        }
        self.run_until(self.world.now() + 21 * SECOND)?;
        for (op, holder, words, node) in asked {
            if !self.found.get(&op).is_some_and(|sources| sources.contains(&holder)) {
                return Err(Failure::Lost(words, node));
            }
            self.outcome.found += 1;
        }
        Ok(())
    }

    /// Takes a supernode away while one of its leaves searches.
    fn outlive(&mut self) -> Result<(), Failure> {
        let live = self.live();
        let leaf = live.iter().copied().find(|node| {
            let machine = self.world.get(*node).expect("it lives");
            let supernode = machine.supernode().expect("it has one");
            let of = self.world.get(supernode).expect("it lives");
            supernode != *node && machine.links().count() == 0 && of.links().count() > 0
        });
        let Some(leaf) = leaf else { return Ok(()) };
        let supernode = self.world.get(leaf).and_then(|machine| machine.supernode());
        let supernode = supernode.expect("it has one");
        let holder = live.iter().copied().find(|node| *node != leaf && *node != supernode);
        let holder = holder.expect("others");
        let words = format!("n{}f0", holder.slot());
        let op = self.op();
        self.world.command(leaf, op, Command::Search { words: words.as_str().into() });
        self.world.crash_at(self.world.now() + Duration::from_millis(1), supernode);
        self.run_until(self.world.now() + 21 * SECOND)?;
        if !self.found.get(&op).is_some_and(|sources| sources.contains(&holder)) {
            return Err(Failure::Forgotten(leaf));
        }
        self.outcome.survived += 1;
        Ok(())
    }
}
