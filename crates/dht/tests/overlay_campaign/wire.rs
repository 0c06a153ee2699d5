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
    let sent = message.clone().map(peer, there);
    let mut bytes = Vec::new();
    sent.encode(&mut bytes);
    let heard = Message::decode(&bytes).map_err(|error| format!("{message:?}: {error}"))?;
    let heard = heard.map(node, back);
    match heard == *message {
        true => Ok(heard),
        false => Err(format!("{message:?} became {heard:?}")),
    }
}
