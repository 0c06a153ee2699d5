//! A machine for the simulator's own tests: gossip that goes on until its hops are used up.

use core::time::Duration;

use machine::{Cx, DatagramMachine, Instant, Machine, OpId, Send, Wire};

use crate::{Link, Node, Settings, World};

/// Passes each message on to a random one of its peers, and now and then speaks unasked.
pub(crate) struct Gossip {
    pub(crate) peers: Vec<Node>,
    pub(crate) heard: Vec<(Instant, Node, Rumour)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rumour {
    pub(crate) hops: u32,
    pub(crate) salt: u64,
}

/// A bug planted in the wire format: this bit of the hops is not read back.
const FORGOTTEN: u32 = 1 << 31;

impl Wire for Rumour {
    type Error = &'static str;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.hops.to_be_bytes());
        out.extend(self.salt.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self, Self::Error> {
        let (hops, salt) = bytes.split_first_chunk().ok_or("too short")?;
        let salt = salt.try_into().map_err(|_| "not 12 bytes")?;
        let hops = u32::from_be_bytes(*hops) & !FORGOTTEN;
        Ok(Self { hops, salt: u64::from_be_bytes(salt) })
    }
}

/// How often a gossip speaks unasked.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);

impl Machine for Gossip {
    type Command = Rumour;
    type Event = u32;
    type Timer = u8;
    type Effect = Send<Node, Rumour>;

    fn on_start(&mut self, cx: &mut Cx<'_, Self>) {
        let first = Duration::from_nanos(cx.rng().below(PERIOD.as_nanos() as u64));
        cx.set_timer(first, 0);
    }

    fn on_command(&mut self, op: OpId, rumour: Rumour, cx: &mut Cx<'_, Self>) {
        cx.answer(op, rumour.hops);
        self.pass_on(rumour, cx);
    }

    fn on_timer(&mut self, timer: u8, cx: &mut Cx<'_, Self>) {
        let salt = cx.rng().next_u64();
        self.pass_on(Rumour { hops: 4, salt }, cx);
        cx.set_timer(PERIOD, timer.wrapping_add(1));
    }
}

impl Gossip {
    fn pass_on(&mut self, rumour: Rumour, cx: &mut Cx<'_, Self>) {
        if let Some(to) = cx.rng().pick(&self.peers).copied() {
            cx.send(to, rumour);
        }
    }
}

impl DatagramMachine for Gossip {
    type Contact = Node;
    type Message = Rumour;

    fn on_message(&mut self, from: Node, rumour: Rumour, cx: &mut Cx<'_, Self>) {
        self.heard.push((cx.now(), from, rumour.clone()));
        match rumour.hops.checked_sub(1) {
            Some(hops) => {
                self.pass_on(Rumour { hops, salt: rumour.salt ^ cx.rng().next_u64() }, cx)
            }
            None => cx.emit(rumour.salt as u32),
        }
    }
}

/// A world of `count` gossips that all know each other.
pub(crate) fn gossips(seed: u64, threads: usize, link: Link, count: usize) -> World<Gossip> {
    let mut world = World::new(Settings { seed, threads, link });
    let nodes = world.reserve(count);
    for node in &nodes {
        world.start(*node, Gossip { peers: nodes.clone(), heard: Vec::new() });
    }
    world
}
