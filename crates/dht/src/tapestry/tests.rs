//! Surrogate routing, datagrams, and what strangers may not do.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use machine::dht::{Contact, Key};
use machine::{Cx, DatagramMachine, Instant, Outbox, Output, Rng, Wire};

use super::{Config, Message, Pointing, Tapestry};
use crate::chord::Peer;
use crate::prefix::{Said, Word};
use crate::testing::Short;

fn standing(places: &[u16], index: usize) -> Tapestry<Short> {
    let ring: Vec<Short> = places.iter().map(|&at| Short(at)).collect();
    Tapestry::standing(&ring, index, Arc::new(Config::default()), 8, &|one, other| {
        one.0.abs_diff(other.0).into()
    })
}

/// Where a message for `key` from each node ends.
fn roots(places: &[u16], key: u16) -> Vec<u16> {
    let nodes: Vec<_> = (0..places.len()).map(|index| standing(places, index)).collect();
    let end = |from: usize| {
        let (mut here, mut level) = (from, 0);
        while let Some((next, resolved)) = nodes[here].next_hop(&Short(key).key(), level) {
            assert!(resolved > level, "each hop resolves a digit");
            here = places.iter().position(|&at| at == next.0).expect("a node");
            level = resolved;
        }
        places[here]
    };
    (0..places.len()).map(end).collect()
}

#[test]
fn all_ways_to_a_key_end_at_one_root() {
    let places = [0x1000, 0x1400, 0x2000, 0x4000, 0x4700, 0x4770, 0x7900, 0xa000, 0xf000];
    for (key, root) in [
        (0x4770, 0x4770),
        // Nobody has 8: the next digit that somebody has is a.
        (0x8123, 0xa000),
        // Nobody has 49: 4 and then 0, as digits go around; the rest as it comes.
        (0x4900, 0x4000),
        (0x4760, 0x4770),
        (0xf999, 0xf000),
        (0x1500, 0x1000),
    ] {
        assert_eq!(roots(&places, key), [root; 9], "{key:x}");
    }
}

#[test]
fn kr_13_newcomers_are_greeted_only_by_those_who_share_most_with_them() {
    let multicast = |newcomer, shared| Message::Own {
        tag: 5,
        said: Said::Own(Pointing::Multicast { newcomer: Short(newcomer), shared, level: shared }),
    };
    for (newcomer, shared, heard) in [
        // The node itself shares one digit.
        (0x1400, 1, true),
        (0x1400, 0, false),
        (0x1400, 2, false),
        // Somebody else shares one, and the node none.
        (0x2fff, 0, false),
        (0x3000, 0, true),
    ] {
        let mut node = standing(&[0x1000, 0x2000], 0);
        let (mut rng, mut outbox) = (Rng::new(1), Outbox::new());
        let mut cx = Cx::new(Instant::ZERO, &mut rng, &mut outbox);
        node.on_message(Short(0x9000), multicast(newcomer, shared), &mut cx);
        let hello = |output: Output<Tapestry<Short>>| {
            matches!(output, Output::Effect(send) if send.to == Short(newcomer)
                && matches!(send.message, Message::Own { said: Said::Word(Word::Hello), .. }))
        };
        assert_eq!(outbox.drain().any(hello), heard, "{newcomer:x} with {shared}");
    }
}

#[test]
fn datagrams_come_back_and_damaged_ones_do_not() {
    let peer = |n: u8| Peer::new(SocketAddr::from(([10, 0, 0, n + 1], 7)), 0);
    let peers = |count: u8| -> Box<[Peer]> { (0..count).map(peer).collect() };
    let (key, holder) = (Key::new(7, 9), peer(1));
    let all = [
        Pointing::Publish { key, holder, level: 3, seconds: 60 },
        Pointing::Taken,
        Pointing::Published { key, holders: peers(8), spare: peers(3) },
        Pointing::Multicast { newcomer: peer(4), shared: 1, level: 2 },
        Pointing::Multicasted,
        Pointing::Busy,
    ];
    for own in all {
        let message: Message<Peer> = Message::Own { tag: 77, said: Said::Own(own) };
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        assert_eq!(Message::decode(&bytes).as_ref(), Ok(&message));
        for end in 0..bytes.len() {
            assert!(Message::<Peer>::decode(&bytes[..end]).is_err(), "{message:?} cut at {end}");
        }
        bytes.push(0);
        assert!(Message::<Peer>::decode(&bytes).is_err(), "a byte too many");
    }
    // Pastry's do not pass for Tapestry's.
    let mut bytes = Vec::new();
    crate::pastry::Message::<Peer>::Own { tag: 1, said: Said::Word(Word::Ping) }.encode(&mut bytes);
    assert!(Message::<Peer>::decode(&bytes).is_err());
}
