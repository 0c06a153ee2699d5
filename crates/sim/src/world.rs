//! The world: nodes, their machines, and the time that passes for them.

use core::time::Duration;
use std::collections::{BTreeMap, HashMap};

use machine::{Instant, OpId, Rng, Wire};

use crate::access::Queue;
use crate::memory::prefer_large_pages;
use crate::observer::{Both, Observer, Watch};
use crate::random::mix;
use crate::shard::{Body, Shard, Slot, Start};
use crate::terms::{Lines, Terms};
use crate::wheel::Entry;
use crate::{Access, Counts, Cut, Happening, Link, Node, Simulated, parallel};

/// What a world is made from.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// All randomness follows from it.
    pub seed: u64,
    /// How many threads run it, rounded down to a power of two; results do not depend on it. One
    /// thread is used while the least delay of [`link`](Self::link) is zero.
    pub threads: usize,
    /// How messages travel.
    pub link: Link,
}

/// What is to be done to the world at some moment.
type Plan<M> = Box<dyn FnOnce(&mut World<M>)>;
/// Who hears of events.
type Sink<E> = Box<dyn FnMut(Happening<E>)>;

/// Machines in a virtual network, and its clock.
pub struct World<M: Simulated> {
    seed: u64,
    terms: Terms<M>,
    /// A power of two.
    shards: Vec<Shard<M>>,
    now: u64,
    slots: u32,
    /// Counts what comes from outside.
    outside: u32,
    plans: BTreeMap<(u64, u32), Plan<M>>,
    events: Vec<Happening<M::Event>>,
    sink: Option<Sink<M::Event>>,
    watch: Watch<M>,
}

/// Inputs between looks at the events of a world that runs on one thread.
const INPUTS_PER_FLUSH: usize = 4_096;

impl<M: Simulated> World<M> {
    /// An empty world at time zero.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let Settings { seed, threads, link } = settings;
        let terms = Terms::new(seed, link);
        let bits = threads.max(1).ilog2();
        let lookahead = terms.lookahead();
        Self {
            seed,
            terms,
            shards: (0..1 << bits).map(|index| Shard::new(index, bits, lookahead)).collect(),
            now: 0,
            slots: 0,
            outside: 0,
            plans: BTreeMap::new(),
            events: Vec::new(),
            sink: None,
            watch: None,
        }
    }

    /// The seed that it was made from.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The moment up to which everything has happened.
    #[must_use]
    pub const fn now(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    // --- Nodes ---

    /// Names `count` more nodes, in new slots, without machines yet: so tables that refer to all
    /// of them can be made before the first of them starts.
    ///
    /// # Panics
    /// Beyond [`Node::SLOTS`] slots.
    pub fn reserve(&mut self, count: usize) -> Vec<Node> {
        let each = count / self.shards.len();
        if each > 1 {
            for shard in &mut self.shards {
                shard.slots.reserve_exact(each + 1);
                prefer_large_pages(&mut shard.slots);
            }
        }
        (0..count)
            .map(|_| {
                assert!(self.slots < Node::SLOTS - 1, "a world holds {} nodes", Node::SLOTS - 1);
                let incarnation = mix(self.terms.seed ^ u64::from(self.slots)) as u32;
                let node = Node::new(self.slots, incarnation);
                let slot = Slot { machine: None, node, counter: 0, born: 0 };
                self.shard(node).slots.push(slot);
                self.slots += 1;
                node
            })
            .collect()
    }

    /// Runs `machine` as `node` from now on; whatever ran there is gone. Starting a node again
    /// that crashed is its restart: same name, new machine.
    pub fn start(&mut self, node: Node, machine: M) {
        let Self { now, terms, shards, watch, .. } = self;
        let shard = node.slot() as usize & (shards.len() - 1);
        shards[shard].start(*now, node, Start { machine, first: None }, terms, watch);
    }

    /// Runs a machine as a node in a new slot.
    pub fn spawn(&mut self, machine: impl FnOnce(Node) -> M) -> Node {
        let node = self.reserve(1)[0];
        self.start(node, machine(node));
        node
    }

    /// Starts `machine` at a later moment, and hands it a first command then, if there is one.
    pub fn start_at(
        &mut self,
        at: Instant,
        node: Node,
        machine: M,
        first: Option<(OpId, M::Command)>,
    ) {
        let body = self.shard(node).put_start(Start { machine, first });
        self.push(at, node, body);
    }

    /// Takes the machine of `node` away: it falls silent, and nobody is told. The machine is
    /// returned for its state to be looked at, or to be kept as if on a disk.
    pub fn crash(&mut self, node: Node) -> Option<M> {
        let Self { now, shards, watch, .. } = self;
        let shard = node.slot() as usize & (shards.len() - 1);
        shards[shard].crash(*now, node, watch)
    }

    /// [`crash`](Self::crash) at a later moment.
    pub fn crash_at(&mut self, at: Instant, node: Node) {
        self.push(at, node, Body::Crash);
    }

    /// Hands a command to a node, before anything else that happens now or later.
    pub fn command(&mut self, node: Node, op: OpId, command: M::Command) {
        self.command_at(self.now(), node, op, command);
    }

    /// Hands a command to a node at a later moment; a node that is not there then ignores it.
    pub fn command_at(&mut self, at: Instant, node: Node, op: OpId, command: M::Command) {
        let body = self.shard(node).put_command(op, command);
        self.push(at, node, body);
    }

    /// Does something to the world at a later moment, before any input of that moment.
    pub fn plan(&mut self, at: Instant, plan: impl FnOnce(&mut Self) + 'static) {
        let key = (at.as_nanos().max(self.now), self.outside);
        self.outside += 1;
        self.plans.insert(key, Box::new(plan));
    }

    /// The machine of `node`, while it runs.
    #[must_use]
    pub fn get(&self, node: Node) -> Option<&M> {
        let shard = &self.shards[node.slot() as usize & (self.shards.len() - 1)];
        shard.slot(node).filter(|slot| slot.node == node)?.machine.as_ref()
    }

    /// All nodes that run, by slot.
    pub fn nodes(&self) -> impl Iterator<Item = (Node, &M)> {
        let shards = self.shards.len();
        (0..self.slots as usize).filter_map(move |slot| {
            let slot = self.shards[slot & (shards - 1)].slots.get(slot / shards)?;
            Some((slot.node, slot.machine.as_ref()?))
        })
    }

    /// Who lives in a slot, or lived there last; `None` beyond the slots that were reserved.
    #[must_use]
    pub fn occupant(&self, slot: u32) -> Option<Node> {
        let shard = &self.shards[slot as usize & (self.shards.len() - 1)];
        (slot < self.slots).then(|| shard.slot(Node::new(slot, 0)).map(|slot| slot.node))?
    }

    // --- Links ---

    /// How messages travel from now on.
    pub fn set_link(&mut self, link: Link) {
        self.terms.link = link;
    }

    /// How messages travel.
    #[must_use]
    pub const fn link(&self) -> &Link {
        &self.terms.link
    }

    /// Gives messages a size, and each node a line that they have to pass through one after the
    /// other: uplinks at their senders, downlinks at their receivers.
    pub fn set_lines(&mut self, usual: Access, size: fn(&M::Message) -> u32) {
        self.terms.lines = Some(Lines { size, usual, special: HashMap::new() });
        self.make_queues();
    }

    /// Gives one node a line unlike the others', after [`set_lines`](Self::set_lines).
    pub fn set_line(&mut self, node: Node, access: Access) {
        if let Some(lines) = &mut self.terms.lines {
            lines.special.insert(node, access);
        }
    }

    /// Loses messages between some nodes for some time, whatever else is cut.
    pub fn cut(&mut self, cut: Cut) {
        let now = self.now();
        self.terms.faults.cuts.retain(|cut| !cut.is_over(now));
        self.terms.faults.cuts.push(cut);
    }

    /// Lets a node take `processing` for each message, one after the other; zero ends it.
    pub fn slow(&mut self, node: Node, processing: Duration) {
        if processing.is_zero() {
            self.terms.faults.slow.remove(&node);
        } else {
            self.terms.faults.slow.insert(node, processing);
        }
        self.make_queues();
    }

    /// Lets a node lie: each message that it sends is first handed to `lie`, with its receiver,
    /// to be changed, or to be suppressed by answering `false`.
    pub fn corrupt(
        &mut self,
        node: Node,
        lie: impl Fn(Node, &mut M::Message, &mut Rng) -> bool + Send + Sync + 'static,
    ) {
        self.terms.faults.liars.insert(node, Box::new(lie));
    }

    /// Takes every message through its wire format from now on, so that each run is a test of it.
    /// The run panics at a message that does not survive.
    pub fn round_trip(&mut self)
    where
        M::Message: Wire<Error: core::fmt::Debug> + PartialEq + core::fmt::Debug,
    {
        self.round_trip_by(|message| {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            match M::Message::decode(&bytes) {
                Ok(decoded) if decoded == *message => Ok(decoded),
                Ok(decoded) => Err(format!("{message:?} became {decoded:?} on the wire")),
                Err(error) => Err(format!("{message:?} cannot be read: {error:?} in {bytes:02x?}")),
            }
        });
    }

    /// The same where the wire format is of messages between other contacts: `travel` says what
    /// arrives, or what is wrong with it.
    pub fn round_trip_by(&mut self, travel: fn(&M::Message) -> Result<M::Message, String>) {
        self.terms.round_trip = Some(travel);
    }

    // --- Time ---

    /// Lets everything happen up to and including `until`.
    pub fn run_until(&mut self, until: Instant) {
        let until = until.as_nanos();
        while let Some(plan) = self.plans.first_entry() {
            let (at, _) = *plan.key();
            if at > until {
                break;
            }
            let plan = plan.remove();
            self.run_before(at);
            self.now = at;
            plan(self);
        }
        self.run_before(until.saturating_add(1));
        self.now = self.now.max(until);
    }

    /// Lets `span` pass.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now() + span);
    }

    /// Lets one thing happen, if anything is to happen up to and including `until`; else time
    /// passes until then. Returns whether something happened.
    pub fn step(&mut self, until: Instant) -> bool {
        let end = until.as_nanos().saturating_add(1);
        let shard = parallel::first(&mut self.shards, end);
        let first = shard.and_then(|shard| shard.wheel.first(end)).map(|(time, ..)| time);
        let plan = self.plans.first_key_value().map(|((at, _), _)| *at).filter(|at| *at < end);
        match (first, plan) {
            (first, Some(at)) if first.is_none_or(|first| at <= first) => {
                let Some((_, plan)) = self.plans.pop_first() else { return false };
                self.now = at;
                plan(self);
            }
            (Some(time), _) => {
                self.now = time;
                let Some(shard) = parallel::first(&mut self.shards, end) else { return false };
                shard.run(end, 1, &self.terms, &mut self.watch);
                parallel::exchange(&mut self.shards);
                self.flush();
            }
            (None, _) => {
                self.now = self.now.max(until.as_nanos());
                return false;
            }
        }
        true
    }

    fn run_before(&mut self, end: u64) {
        // What starting machines told, before anything that comes now.
        self.flush();
        let Self { terms, shards, events, sink, watch, .. } = self;
        if let [shard] = shards.as_mut_slice() {
            while shard.run(end, INPUTS_PER_FLUSH, terms, watch) == INPUTS_PER_FLUSH {
                hand_over(&mut shard.events, events, sink);
            }
            hand_over(&mut shard.events, events, sink);
        } else {
            let lookahead = terms.lookahead();
            parallel::run(shards, end, lookahead, terms, watch, |new| hand_over(new, events, sink));
        }
    }

    /// Hands over what happened outside of a run.
    fn flush(&mut self) {
        for shard in &mut self.shards {
            hand_over(&mut shard.events, &mut self.events, &mut self.sink);
        }
    }

    // --- Looking on ---

    /// Lets `observer` watch from now on, in place of who did until now. To look at it later, share
    /// it: an `Rc<RefCell<O>>` observes as `O` does.
    pub fn observe(&mut self, observer: impl Observer<M> + 'static) {
        self.watch = Some(Box::new(observer));
    }

    /// Lets `observer` watch from now on, beside who does already.
    pub fn observe_too(&mut self, observer: impl Observer<M> + 'static)
    where
        M: 'static,
    {
        self.watch = Some(match self.watch.take() {
            Some(first) => Box::new(Both(first, Box::new(observer))),
            None => Box::new(observer),
        });
    }

    /// Hands events to `sink` as the world runs, by time and node, instead of keeping them.
    pub fn on_event(&mut self, sink: impl FnMut(Happening<M::Event>) + 'static) {
        self.sink = Some(Box::new(sink));
    }

    /// Takes out the events since the last call, by time and node.
    pub fn drain_events(&mut self) -> impl Iterator<Item = Happening<M::Event>> + '_ {
        self.events.drain(..)
    }

    /// A fingerprint of every input so far. Two runs are the same if and, almost surely, only if
    /// theirs are; the number of threads does not matter.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        mix(self.shards.iter().fold(0, |sum, shard| sum.wrapping_add(shard.hash)))
    }

    /// What has happened so far, in numbers.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shards.iter().map(|shard| shard.counts).sum()
    }

    /// How many inputs are to come.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.shards.iter().map(|shard| shard.wheel.len()).sum()
    }

    fn make_queues(&mut self) {
        for shard in &mut self.shards {
            shard.queues.resize(shard.slots.len(), Queue::default());
        }
    }

    fn shard(&mut self, node: Node) -> &mut Shard<M> {
        let at = node.slot() as usize & (self.shards.len() - 1);
        &mut self.shards[at]
    }

    fn push(&mut self, at: Instant, to: Node, body: Body<M::Timer>) {
        let time = at.as_nanos().max(self.now);
        let seq = self.outside;
        self.outside += 1;
        self.shard(to).wheel.push(Entry { time, to, from: Node::OUTSIDE, seq, body });
    }
}

fn hand_over<E>(
    from: &mut Vec<Happening<E>>,
    to: &mut Vec<Happening<E>>,
    sink: &mut Option<Sink<E>>,
) {
    match sink {
        Some(sink) => from.drain(..).for_each(sink),
        None => to.append(from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Latency;
    use crate::testing::{Gossip, Rumour, gossips};

    const SECOND: Duration = Duration::from_secs(1);

    fn links() -> Vec<Link> {
        let millis = Duration::from_millis;
        let exponential = Latency::Exponential { least: millis(5), mean: millis(40) };
        vec![
            Link::constant(millis(50)),
            Link::new(exponential).with_loss(0.1).with_duplication(0.1),
            Link::new(Latency::Plane { least: millis(9), side: millis(80) })
                .with_reordering(0.2, millis(300)),
        ]
    }

    #[test]
    fn seeds_decide_and_threads_do_not() {
        for link in links() {
            let run = |seed, threads| {
                let mut world = gossips(seed, threads, link.clone(), 50);
                for second in 0..8u64 {
                    let node = world.occupant(second as u32).unwrap();
                    world.command(node, OpId(second), Rumour { hops: 9, salt: second });
                    world.run_for(SECOND);
                }
                let events: Vec<_> = world.drain_events().collect();
                (world.trace_hash(), world.counts(), events)
            };
            let one = run(1, 1);
            assert!(one.1.delivered > 1_000, "{:?}", one.1);
            assert_eq!(one, run(1, 1));
            assert_eq!(one, run(1, 2));
            assert_ne!(one.0, run(2, 1).0);
        }
        let hash = |threads| {
            let mut world = gossips(1, threads, Link::default(), 50);
            world.run_for(SECOND);
            world.trace_hash()
        };
        assert_eq!(hash(1), hash(4));
    }

    #[test]
    fn steps_lead_where_runs_lead() {
        for threads in [1, 2] {
            let mut stepped = gossips(5, threads, Link::default(), 9);
            let mut run = gossips(5, threads, Link::default(), 9);
            let end = Instant::ZERO + 5 * SECOND;
            while stepped.step(end) {}
            run.run_until(end);
            assert_eq!(stepped.trace_hash(), run.trace_hash());
            assert_eq!((stepped.now(), stepped.counts()), (end, run.counts()));
        }
    }

    #[test]
    fn messages_and_timers_of_those_who_are_gone_vanish() {
        let mut world = gossips(3, 1, Link::constant(SECOND), 2);
        let (gone, stays) = (world.occupant(0).unwrap(), world.occupant(1).unwrap());
        world.run_for(SECOND / 2);
        world.command(stays, OpId(0), Rumour { hops: 0, salt: 1 });
        assert!(world.crash(gone).is_some());
        assert!(world.get(gone).is_none());
        let anew = gone.next();
        world.start(anew, Gossip { peers: vec![], heard: vec![] });
        world.run_for(10 * SECOND);
        let anew = world.get(anew).unwrap();
        assert!(anew.heard.is_empty(), "{:?}", anew.heard);
        assert!(world.counts().undeliverable > 0);
        // 10.5 s of one node, 10 s of the other: a timer from before the crash would be one more.
        assert!((20..=21).contains(&world.counts().timers), "{:?}", world.counts());
    }

    #[test]
    fn restarted_nodes_keep_their_name_and_lose_their_timers() {
        let mut world = gossips(3, 1, Link::constant(SECOND), 1);
        let node = world.occupant(0).unwrap();
        let at = |tenths| Instant::ZERO + tenths * SECOND / 10;
        world.crash_at(at(5), node);
        let machine = Gossip { peers: vec![node], heard: vec![] };
        world.start_at(at(7), node, machine, Some((OpId(4), Rumour { hops: 0, salt: 3 })));
        world.run_until(at(6));
        assert!(world.get(node).is_none());
        world.run_until(at(106));
        assert_eq!(world.counts().starts, 2);
        assert!(world.get(node).unwrap().heard.iter().any(|(_, _, rumour)| rumour.salt == 3));
        assert!((9..=11).contains(&world.counts().timers), "{:?}", world.counts());
        assert!(world.drain_events().any(|event| event.op == Some(OpId(4))));
    }

    #[test]
    fn short_delays_are_run_in_order_whatever_the_threads() {
        let link = Link::new(Latency::Uniform { least: Duration::ZERO, most: SECOND / 50 });
        let constant = [0, 10, 50_000].map(|micros| Link::constant(Duration::from_micros(micros)));
        for link in constant.into_iter().chain([link]) {
            let run = |threads| {
                let mut world = gossips(4, threads, link.clone(), 20);
                world.run_for(5 * SECOND);
                (world.trace_hash(), world.drain_events().collect::<Vec<_>>())
            };
            assert_eq!(run(1), run(2));
        }
    }

    #[test]
    #[should_panic(expected = "became")]
    fn a_panic_in_any_thread_ends_the_run() {
        let mut world = gossips(3, 2, Link::default(), 2);
        world.round_trip();
        // The test's rumour forgets this bit on the wire.
        let node = world.occupant(1).unwrap();
        world.command(node, OpId(0), Rumour { hops: 1 << 31, salt: 0 });
        world.run_for(SECOND);
    }

    #[test]
    fn plans_come_before_the_inputs_of_their_moment() {
        let mut world = gossips(3, 2, Link::constant(SECOND), 2);
        let node = world.occupant(0).unwrap();
        let at = Instant::ZERO + SECOND;
        world.command_at(at, node, OpId(1), Rumour { hops: 0, salt: 0 });
        world.plan(at, move |world| {
            assert_eq!((world.now(), world.counts().commands), (at, 0));
            world.crash(node);
        });
        world.run_until(at);
        assert_eq!(world.counts().commands, 0);
    }

    #[test]
    fn messages_survive_its_wire_format_when_asked() {
        let mut world = gossips(3, 1, Link::default(), 5);
        let mut checked = gossips(3, 1, Link::default(), 5);
        checked.round_trip();
        world.run_for(5 * SECOND);
        checked.run_for(5 * SECOND);
        assert_eq!(world.trace_hash(), checked.trace_hash());
    }
}
