//! A perfect network of a few nodes with a fixed delay, and crashes. Faults of links are the
//! simulator's.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use machine::dht::{Command, Key, Report};
use machine::{Cx, DatagramMachine, Instant, Machine, OpId, Outbox, Output, Rng};

use crate::chord::{Chord, Config, Event, Message, Timer};

/// A contact that stands where a test wants it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At(pub u8);

impl machine::Contact for At {
    type Host = u8;
    fn host(&self) -> u8 {
        self.0
    }
}

impl machine::dht::Contact for At {
    fn key(&self) -> Key {
        place(self.0)
    }
}

/// The key at `at` 256ths of the ring.
pub fn place(at: u8) -> Key {
    Key::new(u128::from(at) << 120, 0)
}

enum Input {
    Message(At, Message<At>),
    Timer(Timer),
    Command(OpId, Command<At>),
}

/// The network.
pub struct Net {
    pub config: Arc<Config>,
    pub nodes: BTreeMap<At, Chord<At>>,
    pub reports: BTreeMap<OpId, Report<At>>,
    pub suspected: Vec<(At, At)>,
    pub messages: usize,
    now: Instant,
    queue: BTreeMap<(Instant, u64), (At, Input)>,
    made: u64,
    rng: Rng,
}

const DELAY: Duration = Duration::from_millis(50);

impl Net {
    pub fn new(config: Config) -> Self {
        Self {
            config: Arc::new(config),
            nodes: BTreeMap::new(),
            reports: BTreeMap::new(),
            suspected: Vec::new(),
            messages: 0,
            now: Instant::ZERO,
            queue: BTreeMap::new(),
            made: 0,
            rng: Rng::new(1),
        }
    }

    /// A standing ring of `places`.
    pub fn wired(config: Config, places: &[u8]) -> Self {
        let mut net = Self::new(config);
        let mut ring: Vec<_> = places.iter().map(|&at| At(at)).collect();
        ring.sort();
        for index in 0..ring.len() {
            net.add(Chord::wired(&ring, index, net.config.clone()));
        }
        net
    }

    pub fn add(&mut self, mut node: Chord<At>) {
        let me = node.me();
        self.step(&mut node, |node, cx| node.on_start(cx));
        self.nodes.insert(me, node);
    }

    /// A node that joins through `known`.
    pub fn join(&mut self, at: u8, known: &[u8]) -> OpId {
        self.add(Chord::new(At(at), self.config.clone()));
        self.command(at, Command::Join { known: known.iter().map(|&at| At(at)).collect() })
    }

    pub fn crash(&mut self, at: u8) {
        self.nodes.remove(&At(at));
    }

    pub fn command(&mut self, at: u8, command: Command<At>) -> OpId {
        let op = OpId(self.made);
        self.push(Duration::ZERO, At(at), Input::Command(op, command));
        op
    }

    /// A message out of nowhere.
    pub fn inject(&mut self, from: u8, to: u8, message: Message<At>) {
        self.push(Duration::ZERO, At(to), Input::Message(At(from), message));
    }

    fn push(&mut self, after: Duration, to: At, input: Input) {
        self.made += 1;
        self.queue.insert((self.now + after, self.made), (to, input));
    }

    fn step(
        &mut self,
        node: &mut Chord<At>,
        input: impl FnOnce(&mut Chord<At>, &mut Cx<'_, Chord<At>>),
    ) {
        let mut outbox = Outbox::new();
        input(node, &mut Cx::new(self.now, &mut self.rng, &mut outbox));
        let me = node.me();
        for output in outbox.drain() {
            match output {
                Output::Event(op, Event::Report(report)) => {
                    let twice = self.reports.insert(op.expect("an op"), report);
                    assert!(twice.is_none(), "answered twice");
                }
                Output::Event(_, Event::Suspected(whom)) => self.suspected.push((me, whom)),
                Output::Effect(send) => {
                    self.messages += 1;
                    self.push(DELAY, send.to, Input::Message(me, send.message));
                }
                Output::Timer(at, timer) => self.push(at - self.now, me, Input::Timer(timer)),
            }
        }
    }

    /// Hands the next input to its node; `false` if there is none before `until`.
    pub fn next(&mut self, until: Instant) -> bool {
        let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= until) else {
            return false;
        };
        self.now = entry.key().0;
        let (to, input) = entry.remove();
        if let Some(mut node) = self.nodes.remove(&to) {
            self.step(&mut node, |node, cx| match input {
                Input::Message(from, message) => node.on_message(from, message, cx),
                Input::Timer(timer) => node.on_timer(timer, cx),
                Input::Command(op, command) => node.on_command(op, command, cx),
            });
            self.nodes.insert(to, node);
        }
        true
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.next(until) {}
        self.now = until;
    }

    /// Lets time pass until `op` is answered.
    pub fn answer(&mut self, op: OpId) -> Report<At> {
        let until = self.now + Duration::from_secs(600);
        while !self.reports.contains_key(&op) {
            assert!(self.next(until), "no answer");
        }
        self.reports.remove(&op).expect("an answer")
    }

    /// Looks `key` up at `at` and returns the owner and the hops.
    pub fn look_up(&mut self, at: u8, key: Key) -> (u8, u16) {
        let op = self.command(at, Command::Lookup { key });
        match self.answer(op) {
            Report::Located { nodes, cost } => (nodes[0].0, cost.hops),
            other => panic!("{other:?}"),
        }
    }

    /// Asserts that every node has exactly the tables that a standing ring would have.
    pub fn assert_exact(&self) {
        let ring: Vec<_> = self.nodes.keys().copied().collect();
        for (index, (at, node)) in self.nodes.iter().enumerate() {
            let exact = Chord::wired(&ring, index, self.config.clone());
            assert_eq!(node.successors(), exact.successors(), "{at:?}");
            assert_eq!(node.predecessor(), exact.predecessor(), "{at:?}");
            // The successor itself may be left out: it is asked for at every step.
            let beyond = |node: &Chord<At>| {
                let head = node.successors().first().copied();
                let fingers = node.fingers().iter().copied();
                fingers.filter(|&finger| Some(finger) != head).collect::<Vec<_>>()
            };
            assert_eq!(beyond(node), beyond(&exact), "{at:?}");
        }
    }
}
