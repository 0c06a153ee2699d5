//! Messages between simulated nodes as the datagrams that live ones send.

use std::fmt::Debug;
use std::net::{Ipv6Addr, SocketAddr};

use dht::chord::Peer;
use dht::overlay::{Message, Speech};
use machine::Wire;
use sim::Node;

/// Where all nodes are, but for the last 32 bits: a private network of IPv6.
const NETWORK: u128 = 0xfd00 << 112;
const PORT: u16 = 4_000;

/// The live node that stands for `node`, whose number ends its address.
pub fn peer(node: Node) -> Peer {
    Peer::new((Ipv6Addr::from_bits(NETWORK | u128::from(node.raw())), PORT).into(), 0)
}

pub fn node(peer: Peer) -> Node {
    let raw = match peer.addr() {
        SocketAddr::V6(addr) => u32::try_from(addr.ip().to_bits() ^ NETWORK).ok(),
        SocketAddr::V4(_) => None,
    };
    Node::from_raw(raw.expect("an address of the simulation"))
}

/// What arrives of `message`, whose own part `there` and `back` carry over.
pub fn travel<S, L>(
    message: &Message<Node, S>,
    there: impl Fn(S) -> L,
    back: impl Fn(L) -> S,
) -> Result<Message<Node, S>, String>
where
    S: Clone + PartialEq + Debug,
    L: Speech + Debug,
{
    let sent = map(message.clone(), peer, there);
    let mut bytes = Vec::new();
    sent.encode(&mut bytes);
    let heard = Message::decode(&bytes).map_err(|error| format!("{message:?}: {error}"))?;
    let heard = map(heard, node, back);
    match heard == *message {
        true => Ok(heard),
        false => Err(format!("{message:?} became {heard:?}")),
    }
}

fn map<C, D, S, R>(
    message: Message<C, S>,
    to: impl Fn(C) -> D,
    own: impl Fn(S) -> R,
) -> Message<D, R> {
    let list = |contacts: Box<[C]>| contacts.into_iter().map(&to).collect();
    match message {
        Message::Find { tag, key, stage } => Message::Find { tag, key, stage },
        Message::Nearer { tag, stage, nodes } => Message::Nearer { tag, stage, nodes: list(nodes) },
        Message::Owners { tag, owners } => Message::Owners { tag, owners: list(owners) },
        Message::Get { tag, key } => Message::Get { tag, key },
        Message::Value { tag, item } => Message::Value { tag, item },
        Message::Absent { tag } => Message::Absent { tag },
        Message::Offer { tag, put, keys } => Message::Offer { tag, put, keys },
        Message::Want { tag, bits, number } => Message::Want { tag, bits, number },
        Message::Give { tag, item } => Message::Give { tag, item },
        Message::Kept { tag } => Message::Kept { tag },
        Message::Own { tag, said } => Message::Own { tag, said: own(said) },
    }
}
