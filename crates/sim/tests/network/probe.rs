//! A machine for tests of the network: it sends what it is told to, and tells what it hears.

use core::time::Duration;

use machine::{Cx, DatagramMachine, Instant, Machine, OpId, Send, Wire};
use sim::{Link, Node, Settings, World};

/// Sends and tells, nothing else.
pub struct Probe;

/// A message that stands for so many bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    pub number: u32,
    pub bytes: u32,
}

impl Wire for Load {
    type Error = usize;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.number.to_be_bytes());
        out.extend(self.bytes.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self, usize> {
        let word: [u8; 8] = bytes.try_into().map_err(|_| bytes.len())?;
        let word = u64::from_be_bytes(word);
        Ok(Self { number: (word >> 32) as u32, bytes: word as u32 })
    }
}

impl Machine for Probe {
    type Command = (Node, Load);
    type Event = (Node, u32);
    type Timer = u8;
    type Effect = Send<Node, Load>;

    fn on_command(&mut self, _: OpId, (to, load): (Node, Load), cx: &mut Cx<'_, Self>) {
        cx.send(to, load);
    }

    fn on_timer(&mut self, _: u8, _: &mut Cx<'_, Self>) {}
}

impl DatagramMachine for Probe {
    type Contact = Node;
    type Message = Load;

    fn on_message(&mut self, from: Node, load: Load, cx: &mut Cx<'_, Self>) {
        cx.emit((from, load.number));
    }
}

/// A world of probes, and their names.
pub fn probes(seed: u64, link: Link, count: usize) -> (World<Probe>, Vec<Node>) {
    let mut world = World::new(Settings { seed, threads: 1, link });
    let nodes = world.reserve(count);
    nodes.iter().for_each(|node| world.start(*node, Probe));
    (world, nodes)
}

pub const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// Lets one node send another `number`, now.
pub fn send(world: &mut World<Probe>, from: Node, to: Node, number: u32) {
    world.command(from, OpId(0), (to, Load { number, bytes: 0 }));
}
