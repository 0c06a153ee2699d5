//! The writer of KRPC: straight into the driver's buffer, keys in order.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use codec::bencode::{DictEncoder, Encoder};
use machine::dht::Key;

use super::super::item::Item;
use super::super::message::{Body, Found, Put, Query, Reply, Want};
use super::super::peer::Peer;
use super::{NODES_MAX, Packet, VERSION};

const NODE_V6_LEN: usize = 38;

pub(super) fn packet(packet: &Packet, out: &mut Vec<u8>) {
    let Packet { sender, observed, message } = packet;
    let sender = sender.as_ref();
    Encoder::new(out).dict(|top| {
        let kind = match &message.body {
            Body::Query { read_only, query } => {
                top.entry("a").dict(|a| arguments(sender, query, a));
                top.entry("q").bytes(name(query));
                if *read_only {
                    top.entry("ro").int(1);
                }
                "q"
            }
            Body::Reply(reply) => {
                address(observed.as_ref(), top);
                top.entry("r").dict(|r| results(sender, reply, r));
                "r"
            }
            Body::Refusal(refusal) => {
                top.entry("e").list(|e| {
                    e.item().int(refusal.code().into());
                    e.item().bytes(alloc::format!("{refusal}"));
                });
                address(observed.as_ref(), top);
                "e"
            }
        };
        top.entry("t").bytes(message.transaction.as_slice());
        top.entry("v").bytes(VERSION);
        top.entry("y").bytes(kind);
    });
}

fn name(query: &Query) -> &'static str {
    match query {
        Query::Ping | Query::Unknown => "ping",
        Query::FindNode { .. } => "find_node",
        Query::Get { .. } => "get",
        Query::Put(_) => "put",
        Query::GetPeers { .. } => "get_peers",
        Query::AnnouncePeer { .. } => "announce_peer",
        Query::SampleInfohashes { .. } => "sample_infohashes",
    }
}

fn arguments(sender: Option<&Key>, query: &Query, a: &mut DictEncoder<'_>) {
    let id = |a: &mut DictEncoder<'_>| {
        if let Some(sender) = sender {
            a.entry("id").bytes(sender.0);
        }
    };
    match query {
        Query::Ping | Query::Unknown => id(a),
        Query::FindNode { target, want: families }
        | Query::SampleInfohashes { target, want: families } => {
            id(a);
            a.entry("target").bytes(target.0);
            want(*families, a);
        }
        Query::Get { target, seq, want: families } => {
            id(a);
            if let Some(seq) = seq {
                a.entry("seq").int(*seq);
            }
            a.entry("target").bytes(target.0);
            want(*families, a);
        }
        Query::Put(put) => {
            let Put { token, item, cas, age, target: _ } = &**put;
            if *age > 0 {
                a.entry("age").int((*age).into());
            }
            if let Some(cas) = cas {
                a.entry("cas").int(*cas);
            }
            id(a);
            if let Item::Mutable(item) = item {
                a.entry("k").bytes(item.public_key);
                if !item.salt.is_empty() {
                    a.entry("salt").bytes(&item.salt);
                }
                a.entry("seq").int(item.seq);
                a.entry("sig").bytes(item.signature);
            }
            a.entry("token").bytes(token.as_slice());
            a.entry("v").raw(item.value());
        }
        Query::GetPeers { info_hash, want: families } => {
            id(a);
            a.entry("info_hash").bytes(info_hash.0);
            want(*families, a);
        }
        Query::AnnouncePeer { info_hash, token, port } => {
            id(a);
            if port.is_none() {
                a.entry("implied_port").int(1);
            }
            a.entry("info_hash").bytes(info_hash.0);
            a.entry("port").int(port.unwrap_or(0).into());
            a.entry("token").bytes(token.as_slice());
        }
    }
}

fn want(want: Want, a: &mut DictEncoder<'_>) {
    let families: &[_] = match want {
        Want::Same => return,
        Want::V4 => &["n4"],
        Want::V6 => &["n6"],
        Want::Both => &["n4", "n6"],
    };
    a.entry("want").list(|list| families.iter().for_each(|family| list.item().bytes(family)));
}

fn results(sender: Option<&Key>, reply: &Reply<Peer>, r: &mut DictEncoder<'_>) {
    if let Some(sender) = sender {
        r.entry("id").bytes(sender.0);
    }
    let samples = match &reply.found {
        Found::Samples(samples) => Some(samples),
        _ => None,
    };
    let mutable = match &reply.found {
        Found::Item(Item::Mutable(item)) => Some(item),
        _ => None,
    };
    if let Some(samples) = samples {
        r.entry("interval").int(samples.interval.into());
    }
    if let Some(item) = mutable {
        r.entry("k").bytes(item.public_key);
    }
    nodes("nodes", &reply.nodes, false, r);
    nodes("nodes6", &reply.nodes, true, r);
    if let Some(samples) = samples {
        r.entry("num").int(samples.total.into());
        let bytes: Vec<u8> = samples.info_hashes.iter().flat_map(|key| key.0).collect();
        r.entry("samples").bytes(bytes);
    }
    match (&reply.found, mutable) {
        (Found::Seq(seq), _) => r.entry("seq").int(*seq),
        (_, Some(item)) => {
            r.entry("seq").int(item.seq);
            r.entry("sig").bytes(item.signature);
        }
        _ => {}
    }
    if let Some(token) = &reply.token {
        r.entry("token").bytes(token.as_slice());
    }
    match &reply.found {
        Found::Item(item) => r.entry("v").raw(item.value()),
        Found::Peers(peers) => r.entry("values").list(|list| {
            for peer in peers {
                let (compact, len) = compact(peer);
                list.item().bytes(&compact[..len]);
            }
        }),
        _ => {}
    }
}

/// Nodes of one family in compact form, if there are any.
fn nodes(key: &str, nodes: &[Peer], v6: bool, r: &mut DictEncoder<'_>) {
    let mut bytes = [0; NODE_V6_LEN * NODES_MAX];
    let mut end = 0;
    for node in nodes.iter().filter(|node| node.addr.is_ipv6() == v6).take(NODES_MAX) {
        let (compact, len) = compact(&node.addr);
        bytes[end..end + 20].copy_from_slice(&node.id.0);
        bytes[end + 20..end + 20 + len].copy_from_slice(&compact[..len]);
        end += 20 + len;
    }
    if end > 0 {
        r.entry(key).bytes(&bytes[..end]);
    }
}

fn address(observed: Option<&SocketAddr>, top: &mut DictEncoder<'_>) {
    if let Some(observed) = observed {
        let (compact, len) = compact(observed);
        top.entry("ip").bytes(&compact[..len]);
    }
}

/// An address in 6 or 18 bytes, and how many they are.
fn compact(addr: &SocketAddr) -> ([u8; 18], usize) {
    let mut bytes = [0; 18];
    let len = match addr.ip() {
        IpAddr::V4(ip) => {
            bytes[..4].copy_from_slice(&ip.octets());
            4
        }
        IpAddr::V6(ip) => {
            bytes[..16].copy_from_slice(&ip.octets());
            16
        }
    };
    bytes[len..len + 2].copy_from_slice(&addr.port().to_be_bytes());
    (bytes, len + 2)
}
