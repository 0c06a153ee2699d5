//! The driver of machines that hold connections: dials, frames, and payload that shares the access
//! links of both ends. What does not live here: datagrams, and what payload is made of.
//!
//! Frames take the latency of the way and no capacity. Payload leaves its sender one piece at a
//! time, connections in turns, and enters its receiver in the order of arrival. A connection may
//! have only so much between its ends, so a receiver that is slow holds back what is meant for it
//! and leaves the sender's uplink to others: where sizes are alike, capacities are shared max-min
//! fairly, as by many TCP connections.

mod queue;

use std::collections::VecDeque;
use std::time::Duration;

use machine::{
    ConnId, Cx, Instant, Machine, OpId, Outbox, Output, Payload, Rng, Side, StreamMachine,
};
use queue::Queue;

/// What a machine asks of the network, in words that all stream machines share.
pub enum Act<M: StreamMachine> {
    /// Open a connection.
    Dial(M::Contact),
    /// Say something; frames overtake payload.
    Send(ConnId, M::Frame),
    /// Queue payload.
    SendPayload(ConnId, Payload),
    /// Drop queued payload whose first byte has not left.
    Drop(ConnId, Which),
    /// End a connection.
    Close(ConnId, M::CloseReason),
    /// Say whether an object is whole; here it always is.
    Verify(u32),
    /// Nothing that a simulated network does.
    Nothing,
}

/// Which queued payload is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// This one.
    One(Payload),
    /// All but that of these objects.
    AllBut(Vec<u32>),
}

impl Which {
    fn is(&self, payload: Payload) -> bool {
        match self {
            Self::One(one) => *one == payload,
            Self::AllBut(objects) => !objects.contains(&payload.object),
        }
    }
}

/// How one kind of machine speaks with this driver.
pub trait Adapter {
    /// The machine.
    type Machine: StreamMachine;

    /// How node `node` is known to others.
    fn contact(&self, node: u32) -> <Self::Machine as StreamMachine>::Contact;
    /// Which node is meant.
    fn node(&self, contact: <Self::Machine as StreamMachine>::Contact) -> u32;
    /// What an effect means. Here a node may also be made to lie, or to give nothing.
    fn act(&mut self, node: u32, effect: <Self::Machine as Machine>::Effect) -> Act<Self::Machine>;
    /// A frame leaves, for whoever looks on.
    fn sent(
        &mut self,
        _from: u32,
        _to: u32,
        _frame: &<Self::Machine as StreamMachine>::Frame,
        _now: Instant,
    ) {
    }
    /// A machine tells its user something.
    fn on_event(&mut self, node: u32, event: <Self::Machine as Machine>::Event, now: Instant);
    /// Why a connection ended, as the end that did not close it sees it.
    fn gone(&self) -> <Self::Machine as StreamMachine>::CloseReason;
}

/// What a node can send and receive, in bytes per second; `None` is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Upwards. 0 sends nothing ever.
    pub up: Option<u64>,
    /// Downwards.
    pub down: Option<u64>,
}

/// Fixed facts of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// What all randomness follows from.
    pub seed: u64,
    /// From any node to any other, one way.
    pub latency: Duration,
    /// How long it takes to verify an object.
    pub verifying: Duration,
    /// Payloads that may be between the ends of a connection.
    pub window: u32,
}

/// One end of a connection; the other one's number differs in the last bit.
struct End {
    node: u32,
    open: bool,
    queue: VecDeque<Payload>,
    /// Payloads that have left this end and have not been taken in at the other.
    flying: u32,
    /// Whether it is among its node's `turns`.
    in_turn: bool,
}

struct Host<M: StreamMachine> {
    machine: M,
    rng: Rng,
    access: Access,
    online: bool,
    /// Whether the uplink is busy.
    sending: bool,
    /// Connections that could send, in the order of their turns.
    turns: VecDeque<ConnId>,
    /// When the downlink will have taken in everything that has arrived.
    down_free: Instant,
    sent: u64,
    received: u64,
}

enum Happening<M: StreamMachine> {
    Dialled {
        by: u32,
        to: u32,
    },
    Frame {
        conn: ConnId,
        frame: M::Frame,
    },
    /// The last byte has left `conn`.
    Left {
        conn: ConnId,
        payload: Payload,
    },
    /// It is at the receiver's downlink; `conn` is the receiver's end.
    Arrived {
        conn: ConnId,
        payload: Payload,
    },
    /// It is through the downlink.
    TakenIn {
        conn: ConnId,
        payload: Payload,
    },
    Closed {
        conn: ConnId,
    },
    Verified {
        node: u32,
        object: u32,
    },
    Timer {
        node: u32,
        timer: M::Timer,
    },
}

/// A network of stream machines in virtual time.
pub struct StreamNet<A: Adapter> {
    config: Config,
    adapter: A,
    hosts: Vec<Host<A::Machine>>,
    ends: Vec<End>,
    queue: Queue<Happening<A::Machine>>,
    now: Instant,
    outbox: Outbox<A::Machine>,
    /// Outputs that wait until the input before them has run to completion.
    waiting: VecDeque<(u32, Output<A::Machine>)>,
    trace: u64,
}

impl<A: Adapter> StreamNet<A> {
    /// A network without nodes.
    pub fn new(config: Config, adapter: A) -> Self {
        Self {
            config,
            adapter,
            hosts: Vec::new(),
            ends: Vec::new(),
            queue: Queue::new(),
            now: Instant::ZERO,
            outbox: Outbox::new(),
            waiting: VecDeque::new(),
            trace: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// Adds a node and starts its machine; nodes are numbered from 0.
    pub fn add(&mut self, machine: A::Machine, access: Access) -> u32 {
        let node = self.hosts.len() as u32;
        let mut seeds = Rng::new(self.config.seed ^ u64::from(node).wrapping_mul(0x9e37_79b9));
        self.hosts.push(Host {
            machine,
            rng: Rng::new(seeds.next_u64()),
            access,
            online: true,
            sending: false,
            turns: VecDeque::new(),
            down_free: Instant::ZERO,
            sent: 0,
            received: 0,
        });
        self.input(node, |machine, cx| machine.on_start(cx));
        self.settle();
        node
    }

    /// Asks something of a node's machine.
    pub fn command(&mut self, node: u32, command: <A::Machine as Machine>::Command) {
        self.input(node, |machine, cx| machine.on_command(OpId(0), command, cx));
        self.settle();
    }

    /// A node is gone from one moment to the next: its connections break, and nobody can dial it.
    pub fn crash(&mut self, node: u32) {
        self.hosts[node as usize].online = false;
        for conn in (0..self.ends.len() as u32).map(ConnId) {
            if self.end(conn).node == node && self.end(conn).open {
                self.shut(conn);
                self.queue
                    .push(self.now + self.config.latency, Happening::Closed { conn: other(conn) });
            }
        }
    }

    /// The moment of the last event.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A node's machine.
    pub fn machine(&self, node: u32) -> &A::Machine {
        &self.hosts[node as usize].machine
    }

    /// The adapter, with whatever it has counted.
    pub fn adapter(&self) -> &A {
        &self.adapter
    }

    /// Bytes of payload that a node has sent, and received.
    pub fn moved(&self, node: u32) -> (u64, u64) {
        let host = &self.hosts[node as usize];
        (host.sent, host.received)
    }

    /// A number that differs if anything happened differently.
    pub fn trace(&self) -> u64 {
        self.trace
    }

    /// Lets the next thing happen; `false` if nothing would by `limit`.
    pub fn step(&mut self, limit: Instant) -> bool {
        if self.queue.next_at().is_none_or(|at| at > limit) {
            return false;
        }
        let Some((at, happening)) = self.queue.pop() else { return false };
        self.now = at;
        self.happen(happening);
        self.settle();
        true
    }

    fn end(&self, conn: ConnId) -> &End {
        &self.ends[conn.0 as usize]
    }

    fn end_mut(&mut self, conn: ConnId) -> &mut End {
        &mut self.ends[conn.0 as usize]
    }

    fn input(&mut self, node: u32, input: impl FnOnce(&mut A::Machine, &mut Cx<'_, A::Machine>)) {
        let host = &mut self.hosts[node as usize];
        input(&mut host.machine, &mut Cx::new(self.now, &mut host.rng, &mut self.outbox));
        self.waiting.extend(self.outbox.drain().map(|output| (node, output)));
    }

    /// Acts on everything that machines have asked for.
    fn settle(&mut self) {
        while let Some((node, output)) = self.waiting.pop_front() {
            match output {
                Output::Event(_, event) => self.adapter.on_event(node, event, self.now),
                Output::Timer(at, timer) => {
                    self.queue.push(at.max(self.now), Happening::Timer { node, timer });
                }
                Output::Effect(effect) => {
                    let act = self.adapter.act(node, effect);
                    self.act(node, act);
                }
            }
        }
    }

    fn act(&mut self, node: u32, act: Act<A::Machine>) {
        let Config { latency, verifying, .. } = self.config;
        match act {
            Act::Dial(contact) => {
                let to = self.adapter.node(contact);
                self.queue.push(self.now + 2 * latency, Happening::Dialled { by: node, to });
            }
            Act::Send(conn, frame) if self.is_open(node, conn) => {
                let conn = other(conn);
                let to = self.end(conn).node;
                self.adapter.sent(node, to, &frame, self.now);
                self.queue.push(self.now + latency, Happening::Frame { conn, frame });
            }
            Act::SendPayload(conn, payload) if self.is_open(node, conn) => {
                self.end_mut(conn).queue.push_back(payload);
                self.take_turn(conn);
                self.pump(node);
            }
            Act::Drop(conn, which) if self.is_open(node, conn) => {
                let queued = std::mem::take(&mut self.end_mut(conn).queue);
                let (dropped, kept): (VecDeque<_>, _) =
                    queued.into_iter().partition(|payload| which.is(*payload));
                self.end_mut(conn).queue = kept;
                for payload in dropped {
                    self.input(node, |machine, cx| machine.on_dropped(conn, payload, cx));
                }
            }
            Act::Close(conn, why) if self.is_open(node, conn) => {
                self.shut(conn);
                self.queue.push(self.now + latency, Happening::Closed { conn: other(conn) });
                self.input(node, |machine, cx| machine.on_close(conn, why, cx));
            }
            Act::Verify(object) => {
                self.queue.push(self.now + verifying, Happening::Verified { node, object });
            }
            // Either nothing was asked, or the connection is gone already.
            _ => {}
        }
    }

    fn is_open(&self, node: u32, conn: ConnId) -> bool {
        self.ends.get(conn.0 as usize).is_some_and(|end| end.open && end.node == node)
    }

    fn shut(&mut self, conn: ConnId) {
        let end = self.end_mut(conn);
        end.open = false;
        end.queue = VecDeque::new();
    }

    /// Puts a connection in line for the uplink, if it has something that may be sent.
    fn take_turn(&mut self, conn: ConnId) {
        let window = self.config.window;
        let end = self.end_mut(conn);
        if end.open && !end.in_turn && !end.queue.is_empty() && end.flying < window {
            end.in_turn = true;
            let node = end.node;
            self.hosts[node as usize].turns.push_back(conn);
        }
    }

    /// Puts the next payload on a free uplink.
    fn pump(&mut self, node: u32) {
        let host = &mut self.hosts[node as usize];
        if host.sending || host.access.up == Some(0) {
            return;
        }
        while let Some(conn) = self.hosts[node as usize].turns.pop_front() {
            let end = self.end_mut(conn);
            end.in_turn = false;
            if !end.open {
                continue;
            }
            let Some(payload) = end.queue.pop_front() else { continue };
            end.flying += 1;
            self.take_turn(conn);
            let host = &mut self.hosts[node as usize];
            host.sending = true;
            let takes = host.access.up.map_or(Duration::ZERO, |up| carrying(payload.len, up));
            self.queue.push(self.now + takes, Happening::Left { conn, payload });
            return;
        }
    }

    fn note(&mut self, node: u32, kind: u64, detail: u64) {
        for part in [self.now.as_nanos(), u64::from(node) << 8 | kind, detail] {
            self.trace = (self.trace ^ part).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
        }
    }

    fn happen(&mut self, happening: Happening<A::Machine>) {
        match happening {
            Happening::Dialled { by, to } => self.dialled(by, to),
            Happening::Frame { conn, frame } => {
                let End { node, open, .. } = *self.end(conn);
                self.note(node, 1, u64::from(conn.0));
                if open {
                    self.input(node, |machine, cx| machine.on_frame(conn, frame, cx));
                }
            }
            Happening::Left { conn, payload } => self.left(conn, payload),
            Happening::Arrived { conn, payload } => {
                let node = self.end(conn).node;
                let host = &mut self.hosts[node as usize];
                let takes =
                    host.access.down.map_or(Duration::ZERO, |down| carrying(payload.len, down));
                host.down_free = host.down_free.max(self.now) + takes;
                let at = host.down_free;
                self.queue.push(at, Happening::TakenIn { conn, payload });
            }
            Happening::TakenIn { conn, payload } => self.taken_in(conn, payload),
            Happening::Closed { conn } => {
                let End { node, open, .. } = *self.end(conn);
                self.note(node, 4, u64::from(conn.0));
                if open {
                    self.shut(conn);
                    let why = self.adapter.gone();
                    self.input(node, |machine, cx| machine.on_close(conn, why, cx));
                }
            }
            Happening::Verified { node, object } => {
                self.note(node, 5, u64::from(object));
                if self.hosts[node as usize].online {
                    self.input(node, |machine, cx| machine.on_verified(object, true, cx));
                }
            }
            Happening::Timer { node, timer } => {
                self.note(node, 6, 0);
                if self.hosts[node as usize].online {
                    self.input(node, |machine, cx| machine.on_timer(timer, cx));
                }
            }
        }
    }

    fn dialled(&mut self, by: u32, to: u32) {
        self.note(by, 0, u64::from(to));
        let online = |node: u32| self.hosts.get(node as usize).is_some_and(|host| host.online);
        if !online(by) {
            return;
        }
        if !online(to) {
            let contact = self.adapter.contact(to);
            return self.input(by, |machine, cx| machine.on_dial_failed(contact, cx));
        }
        let ours = ConnId(self.ends.len() as u32);
        for node in [by, to] {
            let queue = VecDeque::new();
            self.ends.push(End { node, open: true, queue, flying: 0, in_turn: false });
        }
        let (caller, called) = (self.adapter.contact(by), self.adapter.contact(to));
        let theirs = other(ours);
        self.input(to, |machine, cx| machine.on_open(theirs, caller, Side::Listener, cx));
        self.input(by, |machine, cx| machine.on_open(ours, called, Side::Dialer, cx));
    }

    fn left(&mut self, conn: ConnId, payload: Payload) {
        let End { node, open, .. } = *self.end(conn);
        self.note(node, 2, u64::from(payload.object) << 32 | u64::from(payload.offset));
        let host = &mut self.hosts[node as usize];
        host.sending = false;
        if open {
            host.sent += u64::from(payload.len);
            let there = other(conn);
            let at = self.now + self.config.latency;
            let down = self.hosts[self.end(there).node as usize].access.down;
            self.queue.push(
                at,
                match down {
                    Some(_) => Happening::Arrived { conn: there, payload },
                    None => Happening::TakenIn { conn: there, payload },
                },
            );
            self.input(node, |machine, cx| machine.on_sent(conn, payload, cx));
        }
        self.pump(node);
    }

    fn taken_in(&mut self, conn: ConnId, payload: Payload) {
        let End { node, open, .. } = *self.end(conn);
        self.note(node, 3, u64::from(payload.object) << 32 | u64::from(payload.offset));
        if open {
            self.hosts[node as usize].received += u64::from(payload.len);
            let mut wanted = false;
            self.input(node, |machine, cx| wanted = machine.on_payload_head(conn, payload, cx));
            if wanted {
                self.input(node, |machine, cx| machine.on_payload(conn, payload, cx));
            }
        }
        let sender = other(conn);
        let end = self.end_mut(sender);
        end.flying = end.flying.saturating_sub(1);
        let node = end.node;
        self.take_turn(sender);
        self.pump(node);
    }
}

/// The other end of a connection.
const fn other(conn: ConnId) -> ConnId {
    ConnId(conn.0 ^ 1)
}

/// How long `len` bytes take at `rate` bytes per second.
fn carrying(len: u32, rate: u64) -> Duration {
    Duration::from_nanos((u128::from(len) * 1_000_000_000 / u128::from(rate.max(1))) as u64)
}

#[cfg(test)]
mod tests;
