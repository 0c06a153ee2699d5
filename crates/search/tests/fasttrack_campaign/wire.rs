//! Messages between simulated nodes as the datagrams that live ones send: whatever a campaign says
//! goes through the codec.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use machine::Wire;
use search::fasttrack::{DATAGRAM_MAX, Hit, Id, Message};
use sim::Node;

/// Where all nodes are, but for the last 32 bits: a private network of IPv6.
const NETWORK: u128 = 0xfd00 << 112;
const PORT: u16 = 4_000;

fn address(node: Node) -> Result<SocketAddr, String> {
    Ok((Ipv6Addr::from_bits(NETWORK | u128::from(node.raw())), PORT).into())
}

fn node(address: SocketAddr) -> Result<Node, String> {
    let raw = match address {
        SocketAddr::V6(addr) => u32::try_from(addr.ip().to_bits() ^ NETWORK).ok(),
        SocketAddr::V4(_) => None,
    };
    raw.map(Node::from_raw).ok_or_else(|| format!("nobody is at {address}"))
}

/// What arrives of `message`.
pub fn travel(message: &Message<Node>) -> Result<Message<Node>, String> {
    let mut bytes = Vec::new();
    map(message.clone(), address)?.encode(&mut bytes);
    if bytes.len() > DATAGRAM_MAX {
        return Err(format!("{} bytes: {message:?}", bytes.len()));
    }
    let heard = Message::decode(&bytes).map_err(|error| format!("{message:?}: {error}"))?;
    let heard = map(heard, node)?;
    if heard == *message { Ok(heard) } else { Err(format!("{message:?} became {heard:?}")) }
}

fn map<C: Copy, D>(
    message: Message<C>,
    to: impl Fn(C) -> Result<D, String>,
) -> Result<Message<D>, String> {
    let list = |contacts: Box<[C]>| contacts.into_iter().map(&to).collect::<Result<Box<[D]>, _>>();
    let named = |contacts: Box<[(C, Id)]>| {
        let pairs = contacts.into_iter().map(|(contact, id)| Ok((to(contact)?, id)));
        pairs.collect::<Result<Box<[(D, Id)]>, String>>()
    };
    let found = |hits: Arc<[Hit<C>]>| {
        let hits = hits.iter().map(|Hit { file, source, via }| {
            Ok(Hit { file: file.clone(), source: to(*source)?, via: to(*via)? })
        });
        hits.collect::<Result<Arc<[Hit<D>]>, String>>()
    };
    Ok(match message {
        Message::Elsewhere { others } => Message::Elsewhere { others: list(others)? },
        Message::Welcome { session, others } => Message::Welcome { session, others: list(others)? },
        Message::Well { session, in_sync, others } => {
            Message::Well { session, in_sync, others: list(others)? }
        }
        Message::Linked { session, id, others } => {
            Message::Linked { session, id, others: named(others)? }
        }
        Message::Beat { session, leaves, others } => {
            Message::Beat { session, leaves, others: named(others)? }
        }
        Message::Found { session, search, hits } => {
            Message::Found { session, search, hits: found(hits)? }
        }
        Message::Answer { session, guid, hits } => {
            Message::Answer { session, guid, hits: found(hits)? }
        }
        Message::Redirect { session, to: next } => Message::Redirect { session, to: to(next)? },
        Message::Receipt { session, uploader, receipt } => {
            Message::Receipt { session, uploader: to(uploader)?, receipt }
        }
        Message::Nominate { session, nominee, id, appointer } => {
            Message::Nominate { session, nominee: to(nominee)?, id, appointer }
        }
        Message::Push { cookie, leaf, ticket } => Message::Push { cookie, leaf: to(leaf)?, ticket },
        Message::Call { session, to: whom, ticket } => {
            Message::Call { session, to: to(whom)?, ticket }
        }
        Message::Confirm { ticket, nonce } => Message::Confirm { ticket, nonce },
        Message::Confirmed { ticket, nonce } => Message::Confirmed { ticket, nonce },
        Message::Hello => Message::Hello,
        Message::Cookie { cookie, id } => Message::Cookie { cookie, id },
        Message::Join { id, cookie, signature } => Message::Join { id, cookie, signature },
        Message::Link { id, cookie, signature, mandate } => {
            Message::Link { id, cookie, signature, mandate }
        }
        Message::Bye { session } => Message::Bye { session },
        Message::Alive { session, digest, mandated } => {
            Message::Alive { session, digest, mandated }
        }
        Message::Publish { session, round, batch, files } => {
            Message::Publish { session, round, batch, files }
        }
        Message::Kept { session, round, batch } => Message::Kept { session, round, batch },
        Message::Search { session, search, words } => Message::Search { session, search, words },
        Message::Voucher(voucher) => Message::Voucher(voucher),
        Message::Stand { session, vouchers } => Message::Stand { session, vouchers },
        Message::Probe { nonce } => Message::Probe { nonce },
        Message::Probed { nonce } => Message::Probed { nonce },
        Message::Testify { session, id, testimony } => Message::Testify { session, id, testimony },
        Message::Appoint { session, now, mandate } => Message::Appoint { session, now, mandate },
        Message::Query { session, guid, ttl, words } => {
            Message::Query { session, guid, ttl, words }
        }
    })
}
