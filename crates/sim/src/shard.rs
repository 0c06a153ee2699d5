//! A part of the world that one thread runs: its nodes, what is to happen to them, and the one
//! place where a machine is handed an input.

use machine::{Cx, DatagramMachine, Instant, OpId, Outbox, Output, ROUNDS, Send as Sent};

use crate::access::Queue;
use crate::memory::{Caches, prefetch};
use crate::observer::{self, Made, Watch};
use crate::random::{mix, rng};
use crate::slab::Slab;
use crate::terms::{Arrival, Terms};
use crate::wheel::{Entry, NEVER, Wheel};
use crate::{Counts, Happening, Node, Simulated};

/// Where a node lives. What every input reads comes first, so that the first fetch brings it.
#[repr(C)]
pub(crate) struct Slot<M> {
    /// Who lives here, or lived here last.
    pub(crate) node: Node,
    /// Counts inputs and outputs: from it follow randomness and the order of what is sent.
    pub(crate) counter: u32,
    /// The counter when the machine began; timers set before are another machine's.
    pub(crate) born: u32,
    pub(crate) machine: Option<M>,
}

/// What an entry of the wheel does to its destination.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body<T> {
    Timer(T),
    /// By its number in [`Shard::messages`].
    Message(u32),
    /// One that has waited for the line or the processor of its receiver.
    Admitted(u32),
    /// By its number in [`Shard::commands`].
    Command(u32),
    /// By its number in [`Shard::starts`].
    Start(u32),
    Crash,
}

/// A message to a node of another shard.
pub(crate) struct Away<M: DatagramMachine> {
    pub(crate) time: u64,
    pub(crate) to: Node,
    pub(crate) from: Node,
    pub(crate) seq: u32,
    pub(crate) message: M::Message,
}

/// A machine that is to begin, and what its user asks of it first.
pub(crate) struct Start<M: DatagramMachine> {
    pub(crate) machine: M,
    pub(crate) first: Option<(OpId, M::Command)>,
}

pub(crate) struct Shard<M: DatagramMachine> {
    /// Which of the `1 << bits` shards it is; it holds the slots that end in these bits.
    index: u32,
    bits: u32,
    pub(crate) slots: Vec<Slot<M>>,
    pub(crate) wheel: Wheel<Body<M::Timer>>,
    messages: Slab<M::Message>,
    commands: Slab<(OpId, M::Command)>,
    starts: Slab<Start<M>>,
    /// By slot, once there is something to wait for.
    pub(crate) queues: Vec<Queue>,
    /// What is to go to each of the shards.
    pub(crate) away: Vec<Vec<Away<M>>>,
    pub(crate) events: Vec<Happening<M::Event>>,
    pub(crate) counts: Counts,
    /// The sum of the hashes of all inputs: it does not depend on their order, for the order at
    /// each node is in them.
    pub(crate) hash: u64,
}

/// How many inputs ahead the memory of a destination is asked for.
const AHEAD: usize = STEP * (ROUNDS as usize + 1);
/// The round in which memory is asked for that a timer will need.
const TIMER_ROUND: u32 = 1;
/// How many inputs there are between one round of asking for memory and the next.
const STEP: usize = 6;

/// One input, without what is only in the entry.
enum Input<M: DatagramMachine> {
    Start,
    Timer(M::Timer),
    Message(M::Message),
    Command(OpId, M::Command),
}

impl<M: Simulated> Input<M> {
    fn seen(&self, from: Node) -> observer::Input<'_, M> {
        match self {
            Self::Start => observer::Input::Start,
            Self::Timer(timer) => observer::Input::Timer(*timer),
            Self::Message(message) => observer::Input::Message { from, message },
            Self::Command(op, command) => observer::Input::Command { op: *op, command },
        }
    }
}

impl<M: Simulated> Shard<M> {
    pub(crate) fn new(index: u32, bits: u32, lookahead: u64) -> Self {
        Self {
            index,
            bits,
            slots: Vec::new(),
            wheel: Wheel::new(lookahead),
            messages: Slab::new(),
            commands: Slab::new(),
            starts: Slab::new(),
            queues: Vec::new(),
            away: (0..1 << bits).map(|_| Vec::new()).collect(),
            events: Vec::new(),
            counts: Counts::default(),
            hash: 0,
        }
    }

    pub(crate) fn slot(&self, node: Node) -> Option<&Slot<M>> {
        self.slots.get((node.slot() >> self.bits) as usize)
    }

    pub(crate) fn slot_mut(&mut self, node: Node) -> Option<&mut Slot<M>> {
        self.slots.get_mut((node.slot() >> self.bits) as usize)
    }

    pub(crate) fn put_command(&mut self, op: OpId, command: M::Command) -> Body<M::Timer> {
        Body::Command(self.commands.put((op, command)))
    }

    pub(crate) fn put_start(&mut self, start: Start<M>) -> Body<M::Timer> {
        Body::Start(self.starts.put(start))
    }

    /// Takes in what other shards sent.
    pub(crate) fn receive(&mut self, from: &mut Vec<Away<M>>) {
        for Away { time, to, from, seq, message } in from.drain(..) {
            let body = Body::Message(self.messages.put(message));
            self.wheel.push(Entry { time, to, from, seq, body });
        }
    }

    /// Runs inputs in order, while their time is before `end`, `limit` at the most; says how many.
    pub(crate) fn run(
        &mut self,
        end: u64,
        limit: usize,
        terms: &Terms<M>,
        watch: &mut Watch<M>,
    ) -> usize {
        // Not a part of the shard: rustdoc 1.95 cannot tell what holding one implies.
        let mut outbox = Outbox::new();
        for done in 0..limit {
            let Some(entry) = self.wheel.pop(end) else { return done };
            if self.wheel.has_just_gathered() {
                // A new run: nobody has looked at its first inputs.
                (0..AHEAD).for_each(|ahead| self.bring_near(ahead));
                for round in 0..ROUNDS {
                    (0..STEP * (ROUNDS - round) as usize).for_each(|at| self.foresee(at, round));
                }
            }
            self.bring_near(AHEAD);
            for round in 0..ROUNDS {
                self.foresee(STEP * (ROUNDS - round) as usize, round);
            }
            self.handle(entry, terms, watch, &mut outbox);
        }
        limit
    }

    /// Brings near the input that comes `ahead` after the next, and its destination.
    #[inline(always)]
    fn bring_near(&self, ahead: usize) {
        let Some(next) = self.wheel.upcoming(ahead) else { return };
        if let Some(slot) = self.slots.get((next.to.slot() >> self.bits) as usize) {
            prefetch(slot);
        }
        if let Body::Message(at) = next.body
            && let Some(message) = self.messages.peek(at)
        {
            prefetch(message);
        }
    }

    /// Brings near what the destination of that input says that it will read.
    #[inline(always)]
    fn foresee(&self, ahead: usize, round: u32) {
        let Some(next) = self.wheel.upcoming(ahead) else { return };
        let slot = self.slots.get((next.to.slot() >> self.bits) as usize);
        let Some(machine) = slot.and_then(|slot| slot.machine.as_ref()) else { return };
        match next.body {
            Body::Message(at) => {
                if let Some(Some(message)) = self.messages.peek(at) {
                    machine.foresee(next.from, message, round, &mut Caches);
                }
            }
            Body::Timer(timer) if round == TIMER_ROUND => {
                machine.foresee_timer(timer, &mut Caches);
            }
            _ => {}
        }
    }

    fn handle(
        &mut self,
        entry: Entry<Body<M::Timer>>,
        terms: &Terms<M>,
        watch: &mut Watch<M>,
        outbox: &mut Outbox<M>,
    ) {
        let input = match entry.body {
            Body::Timer(timer) => Some(Input::Timer(timer)),
            Body::Message(at) => {
                if terms.queues() && self.waits(entry, at, terms) {
                    return;
                }
                self.messages.take(at).map(Input::Message)
            }
            Body::Admitted(at) => self.messages.take(at).map(Input::Message),
            Body::Command(at) => {
                self.commands.take(at).map(|(op, command)| Input::Command(op, command))
            }
            Body::Start(at) => {
                if let Some(start) = self.starts.take(at) {
                    self.begin(entry.time, entry.to, start, terms, watch, outbox);
                }
                return;
            }
            Body::Crash => {
                self.crash(entry.time, entry.to, watch);
                return;
            }
        };
        if let Some(input) = input {
            self.input(entry, input, terms, watch, outbox);
        }
    }

    /// Whether a message has to wait; then it is put into the wheel again.
    #[cold]
    fn waits(&mut self, entry: Entry<Body<M::Timer>>, at: u32, terms: &Terms<M>) -> bool {
        self.queues.resize(self.slots.len(), Queue::default());
        let queue = self.queues.get_mut((entry.to.slot() >> self.bits) as usize);
        let message = self.messages.peek(at).and_then(Option::as_ref);
        let (Some(queue), Some(message)) = (queue, message) else { return false };
        let time = terms.admit(entry.time, entry.from, entry.to, message, queue);
        if time > entry.time {
            self.wheel.push(Entry { time, body: Body::Admitted(at), ..entry });
        }
        time > entry.time
    }

    /// Begins to run a machine as `node`, in place of whoever lives in its slot.
    pub(crate) fn start(
        &mut self,
        time: u64,
        node: Node,
        start: Start<M>,
        terms: &Terms<M>,
        watch: &mut Watch<M>,
    ) {
        self.begin(time, node, start, terms, watch, &mut Outbox::new());
    }

    fn begin(
        &mut self,
        time: u64,
        node: Node,
        start: Start<M>,
        terms: &Terms<M>,
        watch: &mut Watch<M>,
        outbox: &mut Outbox<M>,
    ) {
        if terms.queues() {
            self.queues.resize(self.slots.len(), Queue::default());
        }
        let Some(slot) = self.slot_mut(node) else { return };
        slot.machine = Some(start.machine);
        slot.node = node;
        slot.born = slot.counter;
        let seq = slot.counter;
        let entry = Entry { time, to: node, from: Node::OUTSIDE, seq, body: Body::Crash };
        self.input(entry, Input::Start, terms, watch, outbox);
        if let Some((op, command)) = start.first {
            self.input(entry, Input::Command(op, command), terms, watch, outbox);
        }
    }

    /// Takes the machine of `node` away, without a word to anyone.
    pub(crate) fn crash(&mut self, time: u64, node: Node, watch: &mut Watch<M>) -> Option<M> {
        let slot = self.slot_mut(node).filter(|slot| slot.node == node)?;
        let machine = slot.machine.take()?;
        self.counts.crashes += 1;
        if let Some(observer) = watch {
            observer.input(Instant::from_nanos(time), node, observer::Input::Crash);
        }
        Some(machine)
    }

    /// Hands one input to a machine and carries out what it wants.
    #[inline]
    fn input(
        &mut self,
        entry: Entry<Body<M::Timer>>,
        input: Input<M>,
        terms: &Terms<M>,
        watch: &mut Watch<M>,
        outbox: &mut Outbox<M>,
    ) {
        let Entry { time, to: node, from, seq, .. } = entry;
        let local = (node.slot() >> self.bits) as usize;
        let Some(slot) = self.slots.get_mut(local) else { return };
        let (Some(machine), true) = (&mut slot.machine, slot.node == node) else {
            self.counts.undeliverable += u64::from(matches!(input, Input::Message(_)));
            return;
        };
        // Counters wrap; a timer set since the machine began is less than half a turn on.
        if matches!(input, Input::Timer(_)) && seq.wrapping_sub(slot.born) > u32::MAX / 2 {
            return;
        }
        let mut counter = slot.counter;
        let mut rng = rng(terms.seed, node.raw(), counter);
        let hash = (u64::from(node.raw()) << 32 | u64::from(from.raw()))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ (u64::from(counter) << 32 | u64::from(seq));
        let now = Instant::from_nanos(time);
        let mut cx = Cx::new(now, &mut rng, outbox);
        if let Some(observer) = watch {
            observer.input(now, node, input.seen(from));
        }
        let kind = match input {
            Input::Message(message) => {
                self.counts.delivered += 1;
                machine.on_message(from, message, &mut cx);
                1
            }
            Input::Timer(timer) => {
                self.counts.timers += 1;
                machine.on_timer(timer, &mut cx);
                2
            }
            Input::Command(op, command) => {
                self.counts.commands += 1;
                machine.on_command(op, command, &mut cx);
                3
            }
            Input::Start => {
                self.counts.starts += 1;
                machine.on_start(&mut cx);
                4
            }
        };
        self.hash = self
            .hash
            .wrapping_add(mix(hash ^ (time << 3 | kind).wrapping_mul(0xd6e8_feb8_6659_fd93)));
        counter = counter.wrapping_add(1);

        for output in outbox.drain() {
            match output {
                Output::Effect(Sent { to, mut message }) => {
                    let seq = counter;
                    counter = counter.wrapping_add(1);
                    self.counts.sent += 1;
                    let mut left = Some(time);
                    if terms.interferes() {
                        let queue = self.queues.get_mut(local);
                        left = terms.interfere(time, node, to, seq, &mut message, queue);
                    }
                    let Arrival { first, second } = match left {
                        Some(left) => terms.arrival(left, node, to, seq),
                        None => Arrival::LOST,
                    };
                    if let Some(observer) = watch {
                        let arrives = (first != NEVER).then_some(Instant::from_nanos(first));
                        let made = Made::Message { to, message: &message, arrives };
                        observer.made(now, node, made);
                    }
                    if first == NEVER {
                        self.counts.lost += 1;
                        continue;
                    }
                    let shard = to.slot() & ((1 << self.bits) - 1);
                    let mut send = |time, seq, message| {
                        if shard == self.index {
                            let body = Body::Message(self.messages.put(message));
                            self.wheel.push(Entry { time, to, from: node, seq, body });
                        } else if let Some(away) = self.away.get_mut(shard as usize) {
                            away.push(Away { time, to, from: node, seq, message });
                        }
                    };
                    if let Some(second) = second {
                        // The copy has a number of its own, for no two entries may be equal.
                        send(second, counter, message.clone());
                        counter = counter.wrapping_add(1);
                        self.counts.duplicated += 1;
                    }
                    send(first, seq, message);
                }
                Output::Timer(at, timer) => {
                    if let Some(observer) = watch {
                        observer.made(now, node, Made::Timer { at, timer });
                    }
                    let (time, body) = (at.as_nanos().max(time), Body::Timer(timer));
                    self.wheel.push(Entry { time, to: node, from: node, seq: counter, body });
                    counter = counter.wrapping_add(1);
                }
                Output::Event(op, event) => {
                    if let Some(observer) = watch {
                        observer.made(now, node, Made::Event { op, event: &event });
                    }
                    self.events.push(Happening { at: now, node, op, event });
                }
            }
        }
        slot.counter = counter;
    }
}
