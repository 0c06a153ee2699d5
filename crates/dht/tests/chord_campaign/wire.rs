//! Messages between simulated nodes as the datagrams that live ones send: whatever a campaign says
//! goes through the codec.

use std::net::{Ipv6Addr, SocketAddr};

use dht::chord::{Message, Neighbours, Packet, Peer};
use machine::Wire;
use sim::Node;

/// Where all nodes are, but for the last 32 bits: a private network of IPv6.
const NETWORK: u128 = 0xfd00 << 112;
const PORT: u16 = 4_000;

/// The live node that stands for `node`, whose number ends its address.
fn peer(node: Node) -> Peer {
    Peer::new((Ipv6Addr::from_bits(NETWORK | u128::from(node.raw())), PORT).into(), 0)
}

fn node(peer: Peer) -> Result<Node, String> {
    let raw = match peer.addr() {
        SocketAddr::V6(addr) => u32::try_from(addr.ip().to_bits() ^ NETWORK).ok(),
        SocketAddr::V4(_) => None,
    };
    raw.map(Node::from_raw).ok_or_else(|| format!("nobody is at {}", peer.addr()))
}

/// What arrives of `message`.
pub fn travel(message: &Message<Node>) -> Result<Message<Node>, String> {
    let sent = map(message.clone(), |node| Ok(peer(node)))?;
    let (to, from) = (7, 9);
    let mut bytes = Vec::new();
    Packet { to, from, message: sent }.encode(&mut bytes);
    let packet = Packet::decode(&bytes).map_err(|error| format!("{message:?}: {error}"))?;
    let heard = map(packet.message, node)?;
    match (packet.to, packet.from) == (to, from) && heard == *message {
        true => Ok(heard),
        false => Err(format!("{message:?} became {heard:?}")),
    }
}

fn map<C, D>(
    message: Message<C>,
    mut to: impl FnMut(C) -> Result<D, String>,
) -> Result<Message<D>, String> {
    fn list<C, D>(
        contacts: Box<[C]>,
        to: &mut impl FnMut(C) -> Result<D, String>,
    ) -> Result<Box<[D]>, String> {
        contacts.into_iter().map(to).collect()
    }
    let mut beside = |said: Neighbours<C>| -> Result<Neighbours<D>, String> {
        let predecessor = said.predecessor.map(&mut to).transpose()?;
        Ok(Neighbours { predecessor, successors: list(said.successors, &mut to)? })
    };
    Ok(match message {
        Message::Neighbours { tag, neighbours } => {
            Message::Neighbours { tag, neighbours: beside(neighbours)? }
        }
        Message::Goodbye { neighbours } => Message::Goodbye { neighbours: beside(neighbours)? },
        Message::Find { tag, key, avoid, list } => {
            Message::Find { tag, key, avoid: avoid.map(to).transpose()?, list }
        }
        Message::Refer { tag, to: next } => Message::Refer { tag, to: to(next)? },
        Message::Owner { tag, owner } => Message::Owner { tag, owner: to(owner)? },
        Message::Owners { tag, owners } => Message::Owners { tag, owners: list(owners, &mut to)? },
        Message::Route { tag, origin, key, hops, timeouts, last, list } => {
            Message::Route { tag, origin: to(origin)?, key, hops, timeouts, last, list }
        }
        Message::Arrived { tag, hops, timeouts, successors } => {
            let successors = successors.map(|contacts| list(contacts, &mut to)).transpose()?;
            Message::Arrived { tag, hops, timeouts, successors }
        }
        Message::Suggest { contact } => Message::Suggest { contact: to(contact)? },
        Message::Ack { tag } => Message::Ack { tag },
        Message::GetNeighbours { tag } => Message::GetNeighbours { tag },
        Message::Notify => Message::Notify,
        Message::Ping { tag } => Message::Ping { tag },
        Message::Pong { tag } => Message::Pong { tag },
        Message::Get { tag, key } => Message::Get { tag, key },
        Message::Value { tag, item } => Message::Value { tag, item },
        Message::Absent { tag } => Message::Absent { tag },
        Message::Offer { tag, put, keys } => Message::Offer { tag, put, keys },
        Message::Want { tag, wanted } => Message::Want { tag, wanted },
        Message::Give { tag, token, item } => Message::Give { tag, token, item },
        Message::Kept { tag } => Message::Kept { tag },
    })
}
