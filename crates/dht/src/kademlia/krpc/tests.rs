//! Tests of KRPC: examples of the specifications, rows of malformed input, and round trips.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use machine::Wire;
use machine::dht::Key;
use proptest::prelude::*;

use super::super::bytes::{Token, Transaction};
use super::super::item::{Item, Mutable};
use super::super::message::{Body, Found, Message, Put, Query, Refusal, Reply, Samples, Want};
use super::super::peer::Peer;
use super::{DATAGRAM_MAX, KrpcError, Packet};

fn decode(bytes: &[u8]) -> Result<Packet, KrpcError> {
    Packet::decode(bytes)
}

fn encode(packet: &Packet) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(&mut out);
    out
}

fn query(bytes: &[u8]) -> Query {
    match decode(bytes).unwrap().message.body {
        Body::Query { query, .. } => query,
        body => panic!("{body:?} is no query"),
    }
}

#[test]
fn examples_of_bep_5() {
    let id = Key(*b"abcdefghij0123456789");
    let target = Key(*b"mnopqrstuvwxyz123456");
    let ping = decode(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe").unwrap();
    assert_eq!(ping.sender, Some(id));
    assert_eq!(ping.message.transaction.as_slice(), b"aa");
    assert_eq!(ping.message.body, Body::Query { read_only: false, query: Query::Ping });
    let find = b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe";
    assert_eq!(query(find), Query::FindNode { target, want: Want::Same });
    let peers = b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe";
    assert_eq!(query(peers), Query::GetPeers { info_hash: target, want: Want::Same });
    let announce = b"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe";
    let token = Token::new(b"aoeusnth").unwrap();
    assert_eq!(
        query(announce),
        Query::AnnouncePeer { info_hash: target, token: token.into(), port: None }
    );
    let values = decode(b"d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re").unwrap();
    let found = [([97, 120, 106, 101], 11893), ([105, 100, 104, 116], 28269)].map(Into::into);
    let reply =
        Reply { nodes: [].into(), token: Some(token.into()), found: Found::Peers(found.into()) };
    assert_eq!(values.message.body, Body::Reply(reply));
    let error = decode(b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee").unwrap();
    assert_eq!((error.sender, error.message.body), (None, Body::Refusal(Refusal::Generic)));
}

#[test]
fn kr_01_messages_without_what_they_need_are_dropped() {
    const ID: &str = "2:id20:abcdefghij0123456789";
    let cases: &[(&str, KrpcError)] = &[
        (&format!("d1:ad{ID}e1:q4:ping1:y1:qe"), KrpcError::Missing("t")),
        (&format!("d1:ad{ID}e1:q4:ping1:t2:aae"), KrpcError::Missing("y")),
        (&format!("d1:ad{ID}e1:t2:aa1:y1:qe"), KrpcError::Missing("q")),
        ("d1:q4:ping1:t2:aa1:y1:qe", KrpcError::Missing("a")),
        ("d1:ade1:q4:ping1:t2:aa1:y1:qe", KrpcError::Missing("id")),
        ("d1:ad2:id19:abcdefghij012345678e1:q4:ping1:t2:aa1:y1:qe", KrpcError::Invalid("id")),
        ("d1:ad2:id21:abcdefghij0123456789ke1:q4:ping1:t2:aa1:y1:qe", KrpcError::Invalid("id")),
        ("d1:ad2:idi3ee1:q4:ping1:t2:aa1:y1:qe", KrpcError::Invalid("id")),
        (&format!("d1:ad{ID}e1:q9:find_node1:t2:aa1:y1:qe"), KrpcError::Missing("target")),
        (&format!("d1:ad{ID}e1:q9:get_peers1:t2:aa1:y1:qe"), KrpcError::Missing("info_hash")),
        (&format!("d1:ad{ID}e1:q4:ping1:t17:aaaaaaaaaaaaaaaaa1:y1:qe"), KrpcError::Invalid("t")),
        (&format!("d1:ad{ID}e1:q4:ping1:t2:aa1:y1:xe"), KrpcError::Invalid("y")),
        ("d1:rd2:id19:abcdefghij012345678e1:t2:aa1:y1:re", KrpcError::Invalid("id")),
        ("d1:t2:aa1:y1:re", KrpcError::Missing("r")),
        ("d1:t2:aa1:y1:ee", KrpcError::Missing("e")),
        (&format!("d1:ad{ID}e1:q4:ping1:t2:aa1:y1:qe0:"), KrpcError::Trailing),
    ];
    for (input, error) in cases {
        assert_eq!(decode(input.as_bytes()).as_ref(), Err(error), "{input}");
    }
    for input in [&b""[..], b"i1e", b"le", b"d", &[0; 20], &[b'l'; 1_500]] {
        assert!(matches!(decode(input), Err(KrpcError::Bencode(_))), "{input:?}");
    }
    assert_eq!(decode(&[b'd'; DATAGRAM_MAX + 1]), Err(KrpcError::TooLong));
}

#[test]
fn kr_04_nodes_of_a_broken_length_are_dropped() {
    for (key, len, good) in [("nodes", 52, true), ("nodes", 53, false), ("nodes", 38, false)]
        .into_iter()
        .chain([("nodes6", 76, true), ("nodes6", 26, false), ("nodes6", 1, false)])
    {
        let nodes = "x".repeat(len);
        let field = format!("{}:{key}{len}:{nodes}", key.len());
        let reply = format!("d1:rd2:id20:abcdefghij0123456789{field}e1:t2:aa1:y1:re");
        assert_eq!(decode(reply.as_bytes()).is_ok(), good, "{key} of {len}");
    }
}

#[test]
fn unknown_queries_with_a_place_are_answered_by_its_nodes() {
    let target = Key(*b"mnopqrstuvwxyz123456");
    for key in ["6:target", "9:info_hash"] {
        let bytes = format!(
            "d1:ad2:id20:abcdefghij0123456789{key}20:mnopqrstuvwxyz123456e1:q4:vote1:t2:aa1:y1:qe"
        );
        assert_eq!(query(bytes.as_bytes()), Query::FindNode { target, want: Want::Same });
    }
    let bytes = b"d1:ad2:id20:abcdefghij0123456789e1:q4:vote1:t2:aa1:y1:qe";
    assert_eq!(query(bytes), Query::Unknown);
}

#[test]
fn nobody_is_at_port_zero() {
    let zero = b"d1:rd2:id20:abcdefghij01234567895:nodes26:mnopqrstuvwxyz123456axje\0\x005:token1:x6:valuesl6:axje\0\0ee1:t2:aa1:y1:re";
    let Body::Reply(reply) = decode(zero).unwrap().message.body else { panic!("no reply") };
    assert_eq!((reply.nodes, reply.found), (Vec::new(), Found::Peers(Vec::new())));
}

fn key() -> impl Strategy<Value = Key> {
    any::<[u8; 20]>().prop_map(Key)
}

fn addr() -> impl Strategy<Value = core::net::SocketAddr> {
    let v4 = (1..u32::MAX / 2, 1..=u16::MAX)
        .prop_map(|(ip, port)| (core::net::Ipv4Addr::from(ip), port).into());
    let v6 = (1..u128::MAX / 2, 1..=u16::MAX)
        .prop_map(|(ip, port)| (core::net::Ipv6Addr::from(ip), port).into());
    prop_oneof![v4, v6]
}

fn token() -> impl Strategy<Value = Token> {
    prop::collection::vec(any::<u8>(), 0..=32).prop_map(|bytes| Token::new(&bytes).unwrap())
}

fn item(salt: bool) -> impl Strategy<Value = Item> {
    let value =
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|v| super::super::item::bencoded(&v));
    let salt = prop::collection::vec(any::<u8>(), 0..if salt { 64 } else { 1 });
    let mutable = (any::<[u8; 32]>(), salt, any::<i64>(), any::<[u8; 64]>(), value.clone());
    prop_oneof![
        value.prop_map(Item::Immutable),
        mutable.prop_map(|(public_key, salt, seq, signature, value)| {
            Item::Mutable(Mutable { public_key, salt: salt.into(), seq, signature, value }.into())
        })
    ]
}

fn any_query() -> impl Strategy<Value = Query> {
    let want = || prop_oneof![Just(Want::Same), Just(Want::V4), Just(Want::V6), Just(Want::Both)];
    prop_oneof![
        Just(Query::Ping),
        (key(), want()).prop_map(|(target, want)| Query::FindNode { target, want }),
        (key(), any::<Option<i64>>(), want()).prop_map(|(target, seq, want)| Query::Get {
            target,
            seq,
            want
        }),
        (token(), item(true), any::<Option<i64>>(), any::<u32>()).prop_map(
            |(token, item, cas, age)| {
                Query::Put(Box::new(Put { target: item.target(), token, item, cas, age }))
            }
        ),
        (key(), want()).prop_map(|(info_hash, want)| Query::GetPeers { info_hash, want }),
        (key(), token(), prop::option::of(1..=u16::MAX)).prop_map(|(info_hash, token, port)| {
            Query::AnnouncePeer { info_hash, token: token.into(), port }
        }),
        (key(), want()).prop_map(|(target, want)| Query::SampleInfohashes { target, want }),
    ]
}

fn any_reply() -> impl Strategy<Value = Reply<Peer>> {
    let node = (key(), addr()).prop_map(|(id, addr)| Peer { id, addr });
    // In one message the nodes of IPv4 come first.
    let nodes = prop::collection::vec(node, 0..16).prop_map(|mut nodes| {
        nodes.sort_by_key(|node| node.addr.is_ipv6());
        nodes
    });
    let samples = (any::<u32>(), any::<u32>(), prop::collection::vec(key(), 0..20)).prop_map(
        |(interval, total, keys)| {
            Found::Samples(Samples { interval, total, info_hashes: keys.into() })
        },
    );
    let found = prop_oneof![
        Just(Found::Nothing),
        item(false).prop_map(Found::Item),
        any::<i64>().prop_map(Found::Seq),
        prop::collection::vec(addr(), 0..20).prop_map(Found::Peers),
        samples,
    ];
    (nodes, prop::option::of(token()), found).prop_map(|(nodes, token, found)| Reply {
        nodes,
        token: token.map(Box::new),
        found,
    })
}

fn packet() -> impl Strategy<Value = Packet> {
    let transaction = prop::collection::vec(any::<u8>(), 0..=16);
    let refusals = [201, 202, 203, 204, 205, 206, 207, 301, 302, 999].map(Refusal::from_code);
    let body = prop_oneof![
        (any::<bool>(), any_query())
            .prop_map(|(read_only, query)| Body::Query { read_only, query }),
        any_reply().prop_map(Body::Reply),
        prop::sample::select(refusals.to_vec()).prop_map(Body::Refusal),
    ];
    (key(), addr(), transaction, body).prop_map(|(sender, to, transaction, body)| {
        let transaction = Transaction::new(&transaction).unwrap();
        let mut packet = Packet::new(sender, to, Message { transaction, body });
        if matches!(packet.message.body, Body::Refusal(_)) {
            packet.sender = None;
        }
        packet
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(packet in packet()) {
        let bytes = encode(&packet);
        prop_assert_eq!(codec::bencode::decode(&bytes).unwrap().disorder(), None);
        let read = decode(&bytes).unwrap();
        // Peers compare by address alone.
        let ids = |packet: &Packet| match &packet.message.body {
            Body::Reply(reply) => reply.nodes.iter().map(|node| node.id).collect(),
            _ => Vec::new(),
        };
        prop_assert_eq!(ids(&read), ids(&packet));
        prop_assert_eq!(read, packet);
    }

    #[test]
    fn no_datagram_panics(packet in packet(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode(&packet);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode(&bytes);
        let _ = decode(&bytes[..at]);
    }
}
