//! Leaf sets, datagrams, and what a node does with tables of others that cannot be.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{Ipv6Addr, SocketAddr};

use machine::dht::{Contact, Key};
use machine::{Cx, DatagramMachine, Instant, Outbox, Output, Rng, Wire};

use super::{Config, Leaf, Leaves, Message, Pastry};
use crate::chord::Peer;
use crate::prefix::{Base, Said, Word};
use crate::testing::Short;

fn standing(places: &[u16], index: usize, leaves: usize) -> Pastry<Short> {
    let ring: Vec<Short> = places.iter().map(|&at| Short(at)).collect();
    let config = Config { leaves, ..Config::default() };
    Pastry::standing(&ring, index, Arc::new(config), 8, &|one, other| {
        one.0.abs_diff(other.0).into()
    })
}

fn key(at: u16) -> Key {
    Short(at).key()
}

#[test]
fn hops_resolve_digits_until_leaves_cover_the_key() {
    let places = [0x1000, 0x1400, 0x2000, 0x4000, 0x7000, 0x7770, 0x7900, 0xa000, 0xf000];
    let node = standing(&places, 0, 2);
    assert_eq!(node.next_hop(&key(0x0fff)), None, "its own");
    assert_eq!(node.next_hop(&key(0x13ff)), Some(Short(0x1400)), "a leaf");
    assert_eq!(node.next_hop(&key(0xf100)), Some(Short(0xf000)), "a leaf before it");
    assert_eq!(node.next_hop(&key(0x7771)), Some(Short(0x7000)), "the nearest with the digit");
    assert_eq!(standing(&places, 4, 2).next_hop(&key(0x7771)), Some(Short(0x7770)));
    // Nobody has the digit: of the table, whoever is nearest and shares as much.
    assert_eq!(node.next_hop(&key(0x8000)), Some(Short(0x7000)));
}

#[test]
fn leaves_are_the_nearest_on_either_side() {
    let node = standing(&[0x1000, 0x2000, 0x3000, 0x8000, 0xf000], 0, 4);
    let leaves = node.topology().leaves();
    assert_eq!(leaves.after(), [Short(0x2000), Short(0x3000)]);
    assert_eq!(leaves.before(), [Short(0xf000), Short(0x8000)]);
    assert!(leaves.covers(Short(0x1000), &key(0x9000), 2));
    assert!(!leaves.covers(Short(0x1000), &key(0x5000), 2), "beyond the farthest of both sides");
    let few = standing(&[0x1000, 0x2000, 0x3000, 0x8000], 0, 4);
    assert!(few.topology().leaves().covers(Short(0x1000), &key(0x5000), 2), "the whole circle");
    assert_eq!(
        leaves.closest(Short(0x1000), &key(0xfff0), 3),
        [Short(0xf000), Short(0x1000), Short(0x2000)],
    );
}

#[test]
fn a_leaf_on_one_side_is_wanted_on_the_other_once_somebody_nearer_has_gone() {
    let me = Short(0x1000);
    let mut leaves = Leaves::default();
    for who in [0x2000, 0x3000, 0x8000, 0xf000] {
        leaves.offer(me, Short(who), 3);
    }
    assert_eq!(leaves.before(), [Short(0xf000), Short(0x8000), Short(0x3000)]);
    assert!(!leaves.wants(me, Short(0x3000), 3), "on both sides");
    leaves.remove(Short(0xf000));
    assert!(leaves.contains(Short(0x2000)) && leaves.wants(me, Short(0x2000), 3), "third before");
    leaves.offer(me, Short(0x2000), 3);
    assert_eq!(leaves.before(), [Short(0x8000), Short(0x3000), Short(0x2000)]);
    assert!(!leaves.wants(me, Short(0x2000), 3));
}

/// What `node` says when `from` says `said` as an answer to its only question.
fn answer(
    node: &mut Pastry<Short>,
    ask: impl FnOnce(&mut Pastry<Short>, &mut Cx<'_, Pastry<Short>>),
    said: impl FnOnce(u32) -> Message<Short>,
) -> Vec<(Short, Message<Short>)> {
    let (mut rng, mut outbox) = (Rng::new(1), Outbox::new());
    ask(node, &mut Cx::new(Instant::ZERO, &mut rng, &mut outbox));
    let mut asked = None;
    for output in outbox.drain() {
        if let Output::Effect(send) = output
            && let Message::Own { tag, .. } = send.message
        {
            asked = Some((send.to, tag));
        }
    }
    let (to, tag) = asked.expect("a question");
    node.on_message(to, said(tag), &mut Cx::new(Instant::ZERO, &mut rng, &mut outbox));
    let sent = outbox.drain().filter_map(|output| match output {
        Output::Effect(send) => Some((send.to, send.message)),
        _ => None,
    });
    sent.collect()
}

#[test]
fn kr_13_a_row_with_a_wrong_prefix_is_refused_whole() {
    let row = |contacts: &'static [u16]| {
        move |tag| Message::Own {
            tag,
            said: Said::Word(Word::Row {
                level: 0,
                contacts: contacts.iter().map(|&at| Short(at)).collect(),
            }),
        }
    };
    let ask = |node: &mut Pastry<Short>, cx: &mut Cx<'_, Pastry<Short>>| {
        crate::prefix::ask_row(node, cx);
    };
    let pings = |sent: &[(Short, Message<Short>)]| -> Vec<u16> {
        let ping = |said: &Message<Short>| {
            matches!(said, Message::Own { said: Said::Word(Word::Ping), .. })
        };
        sent.iter().filter(|(_, said)| ping(said)).map(|(to, _)| to.0).collect()
    };
    let mut node = standing(&[0x1000, 0x7000], 0, 2);
    let sent = answer(&mut node, ask, row(&[0x7100, 0x3000]));
    assert_eq!(pings(&sent), [0x7100, 0x3000], "both may share nothing");
    // The row that was asked for shares a digit with whoever is asked.
    let mut node = standing(&[0x1000, 0x1700], 0, 2);
    let deep = |contacts: &'static [u16]| {
        move |tag| Message::Own {
            tag,
            said: Said::Word(Word::Row {
                level: 1,
                contacts: contacts.iter().map(|&at| Short(at)).collect(),
            }),
        }
    };
    assert_eq!(pings(&answer(&mut node, ask, deep(&[0x1900, 0x3000]))), []);
    let sent = answer(&mut node, ask, row(&[0x1900]));
    assert_eq!(pings(&sent), [], "another row than the one that was asked for");
    assert_eq!(pings(&answer(&mut node, ask, deep(&[0x1900]))), [0x1900]);
    // Heard of is not known: nobody is taken in before it has answered.
    assert!(node.topology().entries().iter().all(|entry| entry.contact == Short(0x1700)));
}

fn peer(n: u8) -> Peer {
    let ip = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(n) + 1);
    Peer::new(SocketAddr::new(if n & 1 == 0 { ip.into() } else { [10, 0, 0, n].into() }, 7), 0)
}

#[test]
fn datagrams_come_back_and_damaged_ones_do_not() {
    let peers = |count: u8| -> Box<[Peer]> { (0..count).map(peer).collect() };
    let words = [
        Word::Ping,
        Word::Pong { member: true },
        Word::Walk { level: 3, member: false },
        Word::Way { done: false, level: 4, next: peers(4), contacts: peers(48) },
        Word::GetRow { level: 9 },
        Word::Row { level: 9, contacts: peers(48) },
        Word::Hello,
        Word::Goodbye { contacts: peers(32) },
    ];
    let own = [Leaf::GetLeaves, Leaf::Leaves { contacts: peers(32) }];
    let all = words.map(Said::Word).into_iter().chain(own.map(Said::Own));
    for said in all {
        let message: Message<Peer> = Message::Own { tag: 77, said };
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        assert!(bytes.len() <= crate::overlay::DATAGRAM_MAX, "{}", bytes.len());
        assert_eq!(Message::decode(&bytes).as_ref(), Ok(&message));
        for end in 0..bytes.len() {
            assert!(Message::<Peer>::decode(&bytes[..end]).is_err(), "{message:?} cut at {end}");
        }
        bytes.push(0);
        assert!(Message::<Peer>::decode(&bytes).is_err(), "a byte too many");
    }
    // An answer is at most three times as long as its question.
    let length = |said| {
        let mut bytes = Vec::new();
        Message::<Peer>::Own { tag: 1, said }.encode(&mut bytes);
        bytes.len()
    };
    let walk = length(Said::Word(Word::Walk { level: 0, member: true }));
    let contacts: Box<[Peer]> = (0..48).map(|n| peer(2 * n)).collect();
    let next = contacts[..4].into();
    assert!(length(Said::Word(Word::Way { done: true, level: 1, next, contacts })) <= 3 * walk + 2);
    assert_eq!(Base::new(4).levels(), 32);
}
