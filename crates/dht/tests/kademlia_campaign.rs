//! Kademlia under faults drawn per seed: crashes, partitions, loss, churn and liars. What must
//! always hold is checked from outside all the while; then faults stop, and every value that
//! somebody still keeps must be found by everybody. A bug is planted for each promise.

use core::net::{IpAddr, Ipv6Addr};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use dht::kademlia::krpc::Packet;
use dht::kademlia::{
    Body, Command, Config, Event, Found, Kademlia, Message, Naming, Peer, bencoded, immutable_key,
};
use machine::dht::{Command as Dht, Contact, Key, Report, Value};
use machine::{Instant, OpId, Rng, Wire};
use sim::observer::{Input, Made};
use sim::{
    Change, Churn, Latency, Link, Node, Observer, Schedule, Settings, Severity, Span, World,
};

type Machine = Kademlia<Node>;

const SECOND: Duration = Duration::from_secs(1);
const K: usize = 8;
const ITEMS_MAX: usize = 60;
const EXPIRY: u32 = 900;
/// Nodes of one subnet in a bucket.
const SUBNET_MAX: usize = 3;
/// When faults are over, and when their traces are to be gone.
const CALM: u64 = 300;
const HEALED: u64 = 540;

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn subnet(node: &Node) -> Option<u64> {
    Some(u64::from(node.slot() / 4))
}

/// The paper's rules with everything sixty times as fast.
fn rules() -> Config<Node> {
    Config {
        k: K,
        timeout: SECOND,
        slow: SECOND / 2,
        questionable: 60 * SECOND,
        refresh: 60 * SECOND,
        upkeep: 5 * SECOND,
        republish: Some(60 * SECOND),
        item_expiry: Duration::from_secs(EXPIRY.into()),
        items_max: ITEMS_MAX,
        naming: Naming::Hashed,
        subnet,
        subnet_in_bucket: SUBNET_MAX,
        subnet_in_lookup: 2 * K,
        ..Config::paper()
    }
}

/// What is done differently from what should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    /// Buckets hold one node more.
    LongBuckets,
    /// Subnets are not told apart.
    BlindToSubnets,
    /// More nodes wait than may.
    LongQueues,
    /// A node takes another's place for its own.
    WrongPlace,
    /// A node names others that it never heard from.
    NamesStrangers,
    /// Items outlive their time.
    Hoards,
    /// More items are kept than may be.
    Bloats,
    /// Requests are waited for without end.
    WaitsForever,
    /// Nodes deny what they keep.
    Denies,
}

fn config(bug: Bug) -> Config<Node> {
    let rules = rules();
    match bug {
        Bug::LongBuckets => Config { k: K + 1, ..rules },
        Bug::BlindToSubnets => Config { subnet: |_| None, ..rules },
        Bug::LongQueues => Config { replacements: rules.replacements + 1, ..rules },
        Bug::Hoards => Config { item_expiry: 4 * rules.item_expiry, ..rules },
        Bug::Bloats => Config { items_max: usize::MAX, ..rules },
        Bug::WaitsForever => Config { timeout: 10_000 * SECOND, ..rules },
        _ => rules,
    }
}

/// Hears everything, and knows who answered whom.
#[derive(Default)]
struct Witness {
    answered: HashMap<Node, HashSet<Node>>,
    /// Commands that have not been answered, and since when.
    commands: HashMap<(Node, OpId), Instant>,
    liars: BTreeSet<Node>,
    caught: Option<String>,
}

impl Observer<Machine> for Witness {
    fn input(&mut self, at: Instant, node: Node, input: Input<'_, Machine>) {
        match input {
            Input::Message { from, message: Message { body: Body::Reply(_), .. } } => {
                self.answered.entry(node).or_default().insert(from);
            }
            Input::Start | Input::Crash => {
                self.answered.remove(&node);
                self.commands.retain(|(asked, _), _| *asked != node);
            }
            Input::Command { op, .. } => drop(self.commands.insert((node, op), at)),
            _ => {}
        }
    }

    fn made(&mut self, at: Instant, node: Node, made: Made<'_, Machine>) {
        let reply = match made {
            Made::Message { message: Message { body: Body::Reply(reply), .. }, .. } => reply,
            Made::Event { op: Some(op), .. } => {
                self.commands.remove(&(node, op));
                return;
            }
            _ => return,
        };
        if self.liars.contains(&node) {
            return;
        }
        let answered = self.answered.entry(node).or_default();
        if let Some(stranger) = reply.nodes.iter().find(|named| !answered.contains(named)) {
            self.caught.get_or_insert(format!("{at:?}: {node} names the stranger {stranger}"));
        }
        if reply.nodes.len() > K {
            let count = reply.nodes.len();
            self.caught.get_or_insert(format!("{at:?}: {node} names {count} nodes"));
        }
    }
}

impl Witness {
    /// What was seen that must not be.
    fn verdict(&self, now: Instant) -> Result<(), String> {
        let overdue = self.commands.iter().find(|(_, since)| now.since(**since) > 60 * SECOND);
        match (&self.caught, overdue) {
            (Some(caught), _) => Err(caught.clone()),
            (None, Some(((node, op), since))) => {
                Err(format!("{node} was asked {op:?} at {since:?}, and says nothing"))
            }
            (None, None) => Ok(()),
        }
    }
}

/// What must hold of every node at any time.
fn check(world: &World<Machine>, now: u32) -> Result<(), String> {
    let rules = rules();
    for (node, machine) in world.nodes() {
        let table = machine.table();
        for index in 0..table.depth() {
            let bucket: Vec<Node> = table.bucket(index).collect();
            if bucket.len() > K {
                return Err(format!("{node} has {} nodes in bucket {index}", bucket.len()));
            }
            for known in &bucket {
                let shared = node.key().xor(&known.key()).leading_zeros() as usize;
                if known == &node || shared.min(table.depth() - 1) != index {
                    return Err(format!("{node} has {known} in bucket {index}, not {shared}"));
                }
                let same = bucket.iter().filter(|other| subnet(other) == subnet(known)).count();
                if same > SUBNET_MAX {
                    return Err(format!("{node} has {same} of a subnet in bucket {index}"));
                }
            }
        }
        let known: BTreeSet<Node> = table.nodes().collect();
        if known.len() != table.len() {
            return Err(format!("{node} has a node in its table twice"));
        }
        let mut waiting = BTreeMap::<usize, usize>::new();
        for waits in table.waiting() {
            let count = waiting.entry(table.index(&waits.key())).or_default();
            *count += 1;
            if *count > rules.replacements {
                return Err(format!("{count} nodes wait for a place with {node}"));
            }
        }
        let mut items = 0;
        for (key, _, expires) in machine.stored() {
            items += 1;
            if expires > now + EXPIRY || expires + 10 < now {
                return Err(format!("{node} keeps {key} until {expires}, and it is {now}"));
            }
        }
        if items > ITEMS_MAX {
            return Err(format!("{node} keeps {items} items"));
        }
    }
    Ok(())
}

struct Run {
    world: World<Machine>,
    config: Arc<Config<Node>>,
    rng: Rng,
    op: u64,
}

impl Run {
    fn new(seed: u64, bug: Bug) -> Self {
        let mut rng = Rng::new(seed ^ 0x6b61_6465_6d6c_6961);
        let least = Duration::from_millis(5);
        let link = Link::new(match rng.below(3) {
            0 => Latency::Constant(Duration::from_millis(40)),
            1 => Latency::Uniform { least, most: Duration::from_millis(200) },
            _ => Latency::Exponential { least, mean: Duration::from_millis(60) },
        });
        let world = World::new(Settings { seed, threads: 1, link });
        Self { world, config: Arc::new(config(bug)), rng, op: 0 }
    }

    fn op(&mut self) -> OpId {
        self.op += 1;
        OpId(self.op)
    }

    fn up(&self) -> Vec<Node> {
        self.world.nodes().map(|(node, _)| node).collect()
    }

    fn any(&mut self) -> Node {
        let up = self.up();
        *self.rng.pick(&up).expect("somebody is up")
    }

    fn dht(&mut self, node: Node, command: Dht<Node>) -> OpId {
        let op = self.op();
        self.world.command(node, op, Command::Dht(command));
        op
    }
}

/// A machine that begins anew, with the command by which it joins.
fn newcomer(node: Node, known: Vec<Node>, config: &Arc<Config<Node>>) -> (Machine, Command<Node>) {
    let machine = Kademlia::new(node, config.clone(), [node.slot() as u8; 16]);
    (machine, Command::Dht(Dht::Join { known }))
}

fn value(seed: u64, n: u64) -> Value {
    [seed, n].map(u64::to_be_bytes).concat().into()
}

/// A network in which every number of a node is an address.
const NETWORK: u128 = 0x2001_0db8 << 96;

fn peer(node: &Node) -> Peer {
    let ip = Ipv6Addr::from_bits(NETWORK | u128::from(node.raw()));
    Peer { id: node.key(), addr: (ip, 1).into() }
}

fn node(peer: &Peer) -> Node {
    let IpAddr::V6(ip) = peer.addr.ip() else { panic!("{peer:?} is in another network") };
    Node::from_raw(ip.to_bits() as u32)
}

/// Takes a message through KRPC, as a datagram between peers.
fn travel(message: &Message<Node>) -> Result<Message<Node>, String> {
    let sent = message.clone().map(|contact| peer(&contact));
    let (mut bytes, mut again) = (Vec::new(), Vec::new());
    Packet::new(Key::default(), peer(&Node::new(0, 0)).addr, sent.clone()).encode(&mut bytes);
    let packet = Packet::decode(&bytes).map_err(|error| format!("{error}: {sent:?}"))?;
    packet.encode(&mut again);
    // Peers are equal if their addresses are, whatever their ids: those are in the bytes.
    if packet.message != sent || again != bytes {
        return Err(format!("{sent:?} became {:?} on the wire", packet.message));
    }
    Ok(packet.message.map(|contact| node(&contact)))
}

fn run(seed: u64, bug: Bug) -> Result<(), String> {
    let mut run = Run::new(seed, bug);
    let witness = Rc::new(RefCell::new(Witness::default()));
    run.world.observe(witness.clone());
    run.world.round_trip_by(travel);
    let count = 20 + run.rng.below(21) as usize;
    let nodes = run.world.reserve(count);
    for (n, &node) in nodes.iter().enumerate() {
        let known: Vec<Node> = nodes[..n].iter().rev().take(2).copied().collect();
        let place = if bug == Bug::WrongPlace && n == 5 { nodes[0] } else { node };
        let (machine, join) = newcomer(place, known, &run.config);
        run.world.start_at(at(n as u64 / 4), node, machine, Some((OpId(0), join)));
    }
    run.world.run_until(at(40));

    // Values, put by anybody.
    let mut keys = Vec::new();
    for n in 0..if bug == Bug::Bloats { 300_u64 } else { 20 } {
        let value = value(run.world.seed(), n);
        let key = immutable_key(&bencoded(&value));
        keys.push(key);
        let node = run.any();
        run.dht(node, Dht::Put { key, value });
    }
    run.world.run_until(at(50));

    lie(&mut run, &nodes, &witness, bug);
    let severity = Severity {
        during: at(60)..at(CALM),
        faults: 16,
        longest: 40 * SECOND,
        down: 0.3,
        away: 0.3,
        loss: 0.4,
        partitions: true,
    };
    let schedule = Schedule::draw(seed, &nodes, &severity);
    let (config, first) = (run.config.clone(), nodes.clone());
    schedule.apply(&mut run.world, move |world, node| {
        // Whoever restarts remembers addresses, not what it kept.
        let (machine, join) = newcomer(node, first.clone(), &config);
        world.start(node, machine);
        world.command(node, OpId(0), join);
    });
    // On top of that a few come and go for good, in slots of their own.
    let extra = run.world.reserve(6);
    let stay = Span::Exponential { mean: 90 * SECOND };
    let mut churn = Churn::new(seed, &extra, stay, Span::Constant(20 * SECOND));
    let mut now = 50;
    // Whoever would be there already comes when its turn is next.
    while churn.next_before(at(now)).is_some() {}
    while now < CALM {
        now += 5;
        while let Some(change) = churn.next_before(at(now)) {
            match change {
                Change::Down { at, node } => run.world.crash_at(at, node),
                Change::Up { at, node, .. } => {
                    let (machine, join) = newcomer(node, nodes.clone(), &run.config);
                    run.world.start_at(at, node, machine, Some((OpId(0), join)));
                }
            }
        }
        let node = run.any();
        let n = run.rng.below(keys.len() as u64) as usize;
        run.dht(node, Dht::Get { key: keys[n] });
        run.world.run_until(at(now));
        check(&run.world, now as u32)?;
        witness.borrow().verdict(run.world.now())?;
    }
    while now < HEALED {
        now += 20;
        run.world.run_until(at(now));
        check(&run.world, now as u32)?;
        witness.borrow().verdict(run.world.now())?;
    }
    found(&mut run, &keys)?;
    witness.borrow().verdict(run.world.now())
}

/// Some nodes lie from now on, until calm: they name nodes that are not there, or themselves for
/// everything, and deny what they keep.
fn lie(run: &mut Run, nodes: &[Node], witness: &Rc<RefCell<Witness>>, bug: Bug) {
    if bug == Bug::NamesStrangers {
        let stranger = nodes[3].next();
        run.world.corrupt(nodes[2], move |_, message, _| {
            if let Body::Reply(reply) = &mut message.body {
                reply.nodes.push(stranger);
            }
            true
        });
    }
    if bug == Bug::Denies {
        for &node in nodes {
            run.world.corrupt(node, |_, message, _| {
                if let Body::Reply(reply) = &mut message.body {
                    reply.found = Found::Nothing;
                }
                true
            });
        }
        return;
    }
    let liars = run.rng.below(3);
    for _ in 0..liars {
        let Some(&liar) = run.rng.pick(&nodes[8..]) else { break };
        witness.borrow_mut().liars.insert(liar);
        let kind = run.rng.below(2);
        run.world.corrupt(liar, move |_, message, rng| {
            if let Body::Reply(reply) = &mut message.body {
                reply.found = Found::Nothing;
                for node in &mut reply.nodes {
                    *node = if kind == 0 { Node::from_raw(rng.next_u32()) } else { liar };
                }
            }
            true
        });
        run.world.plan(at(CALM), move |world| world.corrupt(liar, |_, _, _| true));
    }
}

/// Everybody finds every value that somebody keeps.
fn found(run: &mut Run, keys: &[Key]) -> Result<(), String> {
    let kept: BTreeSet<Key> =
        run.world.nodes().flat_map(|(_, node)| node.stored()).map(|(key, ..)| key).collect();
    let live: Vec<usize> = (0..keys.len()).filter(|n| kept.contains(&keys[*n])).collect();
    // Seven copies of eight would have to be lost at once.
    if live.len() * 10 < keys.len().min(ITEMS_MAX) * 9 {
        return Err(format!("only {} of {} values are left", live.len(), keys.len()));
    }
    run.world.drain_events().for_each(drop);
    let mut asked = HashMap::new();
    for &n in live.iter().take(20) {
        for _ in 0..5 {
            let node = run.any();
            asked.insert(run.dht(node, Dht::Get { key: keys[n] }), (node, n));
        }
    }
    run.world.run_for(60 * SECOND);
    let (seed, mut wrong) = (run.world.seed(), Vec::new());
    for happening in run.world.drain_events() {
        let Some((node, n)) = happening.op.and_then(|op| asked.remove(&op)) else { continue };
        match happening.event {
            Event::Report(Report::Found { value: found, .. }) if found == value(seed, n as u64) => {
            }
            event => wrong.push(format!("{node} gets {}: {event:?}", keys[n])),
        }
    }
    match (wrong.first(), asked.len()) {
        (Some(wrong), _) => Err(wrong.clone()),
        (None, 0) => Ok(()),
        (None, silent) => Err(format!("{silent} requests were not answered")),
    }
}

#[test]
fn values_survive_two_hundred_seeds_of_faults() {
    sim::campaign(0..200, |seed| run(seed, Bug::None));
}

/// Every promise is one that is checked: a bug that breaks it is seen.
#[test]
fn planted_bugs_are_caught() {
    for (bug, complaint) in [
        (Bug::LongBuckets, "nodes in bucket"),
        (Bug::BlindToSubnets, "of a subnet in bucket"),
        (Bug::LongQueues, "nodes wait for a place"),
        (Bug::WrongPlace, " in bucket "),
        (Bug::NamesStrangers, "names the stranger"),
        (Bug::Hoards, "keeps"),
        (Bug::Bloats, " items"),
        (Bug::WaitsForever, "says nothing"),
        (Bug::Denies, "NotFound"),
    ] {
        let caught = (0..5).find_map(|seed| run(seed, bug).err());
        let caught = caught.unwrap_or_else(|| panic!("{bug:?} goes unnoticed"));
        assert!(caught.contains(complaint), "{bug:?} is noticed as: {caught}");
    }
}
