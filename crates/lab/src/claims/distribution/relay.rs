//! A machine that passes a file on by plan: whole copies, or block by block as they come.

use std::collections::VecDeque;

use machine::{ConnId, Contact, Cx, Instant, Machine, OpId, Payload, Side, StreamMachine};
use sim::stream::{Access, Act, Adapter, Config, StreamNet};
use std::time::Duration;

/// A node, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Node(u32);

impl Contact for Node {
    type Host = u32;

    fn host(&self) -> u32 {
        self.0
    }
}

/// What a node does with the file.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// To whom, one after the other.
    pub(super) targets: VecDeque<u32>,
    /// Whether to begin before the whole file is here.
    pub(super) at_once: bool,
}

/// The machine.
pub(super) struct Relay {
    plan: Plan,
    blocks: u32,
    block_len: u32,
    /// Blocks that are here, from the first on.
    have: u32,
    to: Option<ConnId>,
    dialling: bool,
    queued: u32,
}

impl Relay {
    fn dial(&mut self, cx: &mut Cx<'_, Self>) {
        let ready = self.have == self.blocks || (self.plan.at_once && self.have > 0);
        if ready
            && self.to.is_none()
            && !self.dialling
            && let Some(target) = self.plan.targets.pop_front()
        {
            self.dialling = true;
            cx.effect(Effect::Dial(Node(target)));
        }
    }

    fn queue(&mut self, cx: &mut Cx<'_, Self>) {
        let Some(conn) = self.to else { return };
        for object in self.queued..self.have {
            cx.effect(Effect::Block(conn, Payload { object, offset: 0, len: self.block_len }));
        }
        self.queued = self.queued.max(self.have);
    }
}

pub(super) enum Effect {
    Dial(Node),
    Block(ConnId, Payload),
}

impl Machine for Relay {
    type Command = ();
    type Event = ();
    type Timer = ();
    type Effect = Effect;

    fn on_command(&mut self, _op: OpId, (): (), cx: &mut Cx<'_, Self>) {
        self.have = self.blocks;
        self.dial(cx);
    }

    fn on_timer(&mut self, (): (), _cx: &mut Cx<'_, Self>) {}
}

impl StreamMachine for Relay {
    type Contact = Node;
    type Frame = ();
    type CloseReason = ();

    fn on_open(&mut self, conn: ConnId, _peer: Node, side: Side, cx: &mut Cx<'_, Self>) {
        if side == Side::Dialer {
            self.dialling = false;
            self.to = Some(conn);
            self.queued = 0;
            self.queue(cx);
        }
    }

    fn on_dial_failed(&mut self, _peer: Node, _cx: &mut Cx<'_, Self>) {}

    fn on_frame(&mut self, _conn: ConnId, (): (), _cx: &mut Cx<'_, Self>) {}

    fn on_payload_head(&mut self, _: ConnId, _: Payload, _cx: &mut Cx<'_, Self>) -> bool {
        true
    }

    fn on_payload(&mut self, _conn: ConnId, _payload: Payload, cx: &mut Cx<'_, Self>) {
        self.have += 1;
        if self.have == self.blocks {
            cx.emit(());
        }
        self.dial(cx);
        if self.plan.at_once {
            self.queue(cx);
        }
    }

    fn on_sent(&mut self, _conn: ConnId, payload: Payload, cx: &mut Cx<'_, Self>) {
        if payload.object + 1 == self.blocks {
            self.to = None;
            self.dial(cx);
        }
    }

    fn on_dropped(&mut self, _: ConnId, _: Payload, _cx: &mut Cx<'_, Self>) {}

    fn on_verified(&mut self, _object: u32, _ok: bool, _cx: &mut Cx<'_, Self>) {}

    fn on_close(&mut self, _conn: ConnId, (): (), _cx: &mut Cx<'_, Self>) {}
}

struct Times(Vec<f64>);

impl Adapter for Times {
    type Machine = Relay;

    fn contact(&self, node: u32) -> Node {
        Node(node)
    }

    fn node(&self, contact: Node) -> u32 {
        contact.0
    }

    fn act(&mut self, _node: u32, effect: Effect) -> Act<Relay> {
        match effect {
            Effect::Dial(node) => Act::Dial(node),
            Effect::Block(conn, payload) => Act::SendPayload(conn, payload),
        }
    }

    fn on_event(&mut self, node: u32, (): (), now: Instant) {
        self.0[node as usize] = now.since(Instant::ZERO).as_secs_f64();
    }

    fn gone(&self) {}
}

/// Seconds until each node had `blocks` blocks of `block_len` bytes, where node 0 has them at the
/// beginning and every link carries `rate` bytes per second each way.
pub(super) fn relay(plans: &[Plan], blocks: u32, block_len: u32, rate: u64) -> Vec<f64> {
    let config = Config { seed: 0, latency: Duration::ZERO, verifying: Duration::ZERO, window: 2 };
    let mut net = StreamNet::new(config, Times(vec![f64::INFINITY; plans.len()]));
    for plan in plans {
        let relay = Relay {
            plan: plan.clone(),
            blocks,
            block_len,
            have: 0,
            to: None,
            dialling: false,
            queued: 0,
        };
        net.add(relay, Access { up: Some(rate), down: None });
    }
    net.command(0, ());
    while net.step(Instant::from_nanos(u64::MAX)) {}
    net.adapter().0[1..].to_vec()
}
