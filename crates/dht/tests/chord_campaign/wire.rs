//! Messages between simulated nodes as the datagrams that live ones send: whatever a campaign says
//! goes through the codec.

use std::net::{Ipv6Addr, SocketAddr};

use dht::chord::{Message, Packet, Peer};
use machine::Wire;
use sim::Node;

/// Where all nodes are, but for the last 32 bits: a private network of IPv6.
const NETWORK: u128 = 0xfd00 << 112;
const PORT: u16 = 4_000;

/// The live node that stands for `node`, whose number ends its address.
fn peer(node: Node) -> Peer {
    Peer::new((Ipv6Addr::from_bits(NETWORK | u128::from(node.raw())), PORT).into(), 0)
}

fn node(peer: Peer) -> Node {
    let raw = match peer.addr() {
        SocketAddr::V6(addr) => u32::try_from(addr.ip().to_bits() ^ NETWORK).ok(),
        SocketAddr::V4(_) => None,
    };
    Node::from_raw(raw.expect("an address of the simulation"))
}

/// What arrives of `message`.
pub fn travel(message: &Message<Node>) -> Result<Message<Node>, String> {
    let sent = message.clone().map(peer);
    let (to, from) = (7, 9);
    let mut bytes = Vec::new();
    Packet { to, from, message: sent }.encode(&mut bytes);
    let packet = Packet::decode(&bytes).map_err(|error| format!("{message:?}: {error}"))?;
    let heard = packet.message.map(node);
    match (packet.to, packet.from) == (to, from) && heard == *message {
        true => Ok(heard),
        false => Err(format!("{message:?} became {heard:?}")),
    }
}
