//! What simulated messages weigh as the datagrams that live nodes send over IPv4.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::rc::Rc;

use dht::overlay::Speech;
use dht::{can, chord, kademlia, kelips, overlay, pastry, tapestry, viceroy};
use machine::dht::{Contact, Key};
use machine::{Instant, OpId, Wire};
use sim::observer::{Input, Made};
use sim::{Node, Observer, Simulated};

/// Heads of IPv4 and UDP.
const HEADS: usize = 20 + 8;
const PORT: u16 = 4_000;

/// Bytes that the messages of a network have taken since it was last looked at, and whose message
/// answered which command.
pub(super) struct Scales<M: Simulated> {
    length: fn(&M::Message) -> usize,
    bytes: u64,
    /// Whom the message that is being heard is from.
    heard: Option<Node>,
    answered: BTreeMap<OpId, Node>,
}

impl<M: Simulated> Scales<M> {
    pub(super) fn new(length: fn(&M::Message) -> usize) -> Rc<RefCell<Self>> {
        let answered = BTreeMap::new();
        Rc::new(RefCell::new(Self { length, bytes: 0, heard: None, answered }))
    }

    pub(super) const fn take(&mut self) -> u64 {
        core::mem::replace(&mut self.bytes, 0)
    }

    /// Whose message the end of `op` came with; `None` if it came without one.
    pub(super) fn answered(&mut self, op: OpId) -> Option<Node> {
        self.answered.remove(&op)
    }
}

impl<M: Simulated> Observer<M> for Scales<M> {
    fn input(&mut self, _: Instant, _: Node, input: Input<'_, M>) {
        self.heard = match input {
            Input::Message { from, .. } => Some(from),
            _ => None,
        };
    }

    fn made(&mut self, _: Instant, _: Node, made: Made<'_, M>) {
        match (made, self.heard) {
            (Made::Message { message, .. }, _) => {
                self.bytes += ((self.length)(message) + HEADS) as u64;
            }
            (Made::Event { op: Some(op), .. }, Some(from)) => {
                self.answered.insert(op, from);
            }
            _ => {}
        }
    }
}

fn peer(node: Node) -> chord::Peer {
    chord::Peer::new((Ipv4Addr::from_bits(node.raw()), PORT).into(), 0)
}

fn length(message: &impl Wire) -> usize {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes.len()
}

fn overlaid<S: Clone, R: Speech>(
    message: &overlay::Message<Node, S>,
    own: impl FnOnce(S) -> R,
) -> usize {
    length(&message.clone().map(peer, own))
}

pub(super) fn chord(message: &chord::Message<Node>) -> usize {
    length(&chord::Packet { to: 0, from: 0, message: message.clone().map(peer) })
}

pub(super) fn kademlia(message: &kademlia::Message<Node>) -> usize {
    let there = |node: Node| kademlia::Peer { id: node.key(), addr: peer(node).addr() };
    let to = peer(Node::new(0, 0)).addr();
    length(&kademlia::krpc::Packet::new(Key::default(), to, message.clone().map(there)))
}

pub(super) fn pastry(message: &pastry::Message<Node>) -> usize {
    overlaid(message, |said| said.map(peer, |own| own.map(peer)))
}

pub(super) fn tapestry(message: &tapestry::Message<Node>) -> usize {
    overlaid(message, |said| said.map(peer, |own| own.map(peer)))
}

pub(super) fn can(message: &can::Message<Node>) -> usize {
    overlaid(message, |said| said.map(peer))
}

pub(super) fn kelips(message: &kelips::Message<Node>) -> usize {
    overlaid(message, |said| said.map(peer))
}

pub(super) fn viceroy(message: &viceroy::Message<Node>) -> usize {
    overlaid(message, |said| said.map(peer))
}
