//! Peers from peers: exchange and its limits, private torrents, holepunching.

use super::*;
use crate::extension::{Holepunch, HolepunchError, Pex, PexFlags};
use crate::swarm::PeerSource;

fn pex(added: impl IntoIterator<Item = SocketAddr>) -> Extended<SocketAddr> {
    let added = added.into_iter().map(|contact| (contact, PexFlags::default())).collect();
    Extended::Pex(Pex { added, dropped: Vec::new() })
}

/// A peer through its handshakes that listens at the address it is known by.
fn listener(bench: &mut Bench) -> ConnId {
    let conn = bench.greet(MODERN);
    let said = ExtensionHandshake { listen_port: Some(6881), ..abilities() };
    bench.extended(conn, Extended::Handshake(said));
    bench.take(conn);
    conn
}

fn told(frames: Vec<Wire>) -> Vec<Pex<SocketAddr>> {
    let messages = frames.into_iter().filter_map(|frame| match frame {
        Frame::Extended(Extended::Pex(message)) => Some(message),
        _ => None,
    });
    messages.collect()
}

#[test]
fn neighbours_are_told_of_each_other_once_a_minute_and_only_of_changes() {
    let mut bench = Bench::seed(4);
    let (one, two) = (listener(&mut bench), listener(&mut bench));
    bench.wait(2);
    let first = told(bench.take(one));
    assert_eq!(first.len(), 1);
    let contacts: Vec<_> = first[0].added.iter().map(|(contact, _)| *contact).collect();
    assert_eq!(contacts, [address(two.0)], "not of itself");
    assert_eq!(first[0].added[0].1.0 & PexFlags::REACHABLE, 0, "it dialled us");
    bench.wait(58);
    assert_eq!(told(bench.take(one)), []);
    bench.close(two, CloseReason::Gone);
    bench.wait(2);
    let second = told(bench.take(one));
    assert_eq!(second.len(), 1);
    assert_eq!((second[0].added.len(), &second[0].dropped[..]), (0, &[address(two.0)][..]));
}

#[test]
fn who_could_be_told_nothing_is_told_of_the_next_that_comes() {
    let mut bench = Bench::seed(4);
    let one = listener(&mut bench);
    bench.wait(3);
    assert_eq!(told(bench.take(one)), []);
    let two = listener(&mut bench);
    bench.wait(6);
    let first = told(bench.take(one));
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].added[0].0, address(two.0));
}

#[test]
fn peers_without_a_port_are_not_told_of() {
    let mut bench = Bench::seed(4);
    let one = listener(&mut bench);
    bench.greet(MODERN);
    bench.wait(5);
    assert_eq!(told(bench.take(one)), []);
}

#[test]
fn pw_14_exchange_is_bounded_in_size_and_time() {
    let mut bench = Bench::leecher(1);
    let conn = listener(&mut bench);
    let before = bench.swarm.totals().known;
    bench.extended(conn, pex((100..1_100).map(address)));
    let known = bench.swarm.totals().known + bench.dials.len() - before;
    assert_eq!(known, limits::PEX_PEERS_MAX);
    // More before half a minute is over is an offence, and not listened to.
    bench.extended(conn, pex([address(2_000)]));
    assert_eq!(bench.swarm.totals().known + bench.dials.len() - before, known);
    assert_eq!(bench.swarm.peers[&conn].offences, 1);
    bench.wait(30);
    bench.extended(conn, pex([address(2_000)]));
    assert_eq!(bench.swarm.peers[&conn].offences, 1);
}

#[test]
fn pw_14_addresses_that_nobody_should_dial_are_dropped() {
    let bad = ["127.0.0.1:80", "0.0.0.0:1", "224.0.0.1:6881", "198.18.0.1:0", "[::1]:80"];
    let mut bench = Bench::leecher(1);
    let conn = listener(&mut bench);
    bench.extended(conn, pex(bad.map(|text| text.parse().expect("an address"))));
    assert_eq!((bench.swarm.totals().known, &bench.dials[..]), (0, &[][..]));
}

#[test]
fn to_22_private_torrents_exchange_no_peers() {
    let private = Info { private: true, ..info(4) };
    let mut bench = Bench::with(config(), content(private, Bitfield::full(4)));
    let conn = bench.greet(MODERN);
    let said = bench.take(conn);
    let offered = said.iter().find_map(|frame| match frame {
        Frame::Extended(Extended::Handshake(said)) => Some(said.extensions),
        _ => None,
    });
    let offered = offered.expect("an extension handshake");
    assert!(!offered.pex && !offered.holepunch);
    let (one, two) = (listener(&mut bench), listener(&mut bench));
    bench.wait(100);
    assert_eq!((told(bench.take(one)), told(bench.take(two))), (vec![], vec![]));
    // Nor are they listened to.
    bench.extended(one, pex([address(500)]));
    bench.extended(one, Extended::Holepunch(Holepunch::Connect(address(501))));
    bench.extended(one, Extended::Holepunch(Holepunch::Rendezvous(address(two.0))));
    assert_eq!((bench.swarm.totals().known, &bench.dials[..]), (0, &[][..]));
    assert_eq!(bench.take(two), []);
    // What trackers name is dialled.
    bench.command(Command::AddPeers(vec![address(600)], PeerSource::Tracker));
    assert_eq!(bench.dials.len(), 1);
}

#[test]
fn a_magnet_that_turns_out_private_stops_exchanging() {
    let mut bench = Bench::magnet(config());
    let one = listener(&mut bench);
    let _two = listener(&mut bench);
    let private = Info { private: true, ..info(4) };
    bench.command(Command::Begin(Box::new(content(private, Bitfield::new(4)))));
    bench.wait(70);
    assert_eq!(told(bench.take(one)), []);
}

#[test]
fn failed_dials_are_tried_again_through_the_neighbour_that_named_them() {
    let mut bench = Bench::leecher(1);
    let relay = listener(&mut bench);
    bench.extended(relay, pex([address(300)]));
    assert_eq!(
        bench.dials.pop().map(|(contact, hint)| (contact, hint.holepunch)),
        Some((address(300), false))
    );
    bench.input(|swarm, cx| swarm.on_dial_failed(address(300), cx));
    let ask = Holepunch::Rendezvous(address(300));
    assert_eq!(bench.take(relay), [Frame::Extended(Extended::Holepunch(ask))]);
    bench.extended(relay, Extended::Holepunch(Holepunch::Connect(address(300))));
    assert_eq!(
        bench.dials.pop().map(|(contact, hint)| (contact, hint.holepunch)),
        Some((address(300), true))
    );
    // Once: the neighbour is not asked for ever.
    bench.input(|swarm, cx| swarm.on_dial_failed(address(300), cx));
    assert_eq!(bench.take(relay), []);
}

#[test]
fn we_relay_between_two_neighbours_and_say_why_not() {
    let mut bench = Bench::leecher(1);
    let (one, two) = (listener(&mut bench), listener(&mut bench));
    let mute = bench.greet(MODERN);
    let said = ExtensionHandshake {
        extensions: Extensions { holepunch: false, ..abilities().extensions },
        listen_port: Some(6881),
        ..abilities()
    };
    bench.extended(mute, Extended::Handshake(said));
    let cases = [
        (address(one.0), HolepunchError::NoSelf),
        (address(777), HolepunchError::NotConnected),
        (address(mute.0), HolepunchError::NoSupport),
    ];
    for (target, error) in cases {
        bench.extended(one, Extended::Holepunch(Holepunch::Rendezvous(target)));
        let answer = Holepunch::Error(target, error);
        assert_eq!(bench.take(one), [Frame::Extended(Extended::Holepunch(answer))]);
    }
    bench.extended(one, Extended::Holepunch(Holepunch::Rendezvous(address(two.0))));
    let connect = |n| vec![Frame::Extended(Extended::Holepunch(Holepunch::Connect(address(n))))];
    assert_eq!(bench.take(one), connect(two.0));
    assert_eq!(bench.take(two), connect(one.0));
}

#[test]
fn holepunches_to_where_nobody_should_dial_are_ignored() {
    let mut bench = Bench::leecher(1);
    let conn = listener(&mut bench);
    for text in ["127.0.0.1:22", "224.0.0.1:1", "198.18.0.1:0"] {
        let target = text.parse().expect("an address");
        bench.extended(conn, Extended::Holepunch(Holepunch::Connect(target)));
    }
    assert_eq!(bench.dials, []);
    for n in 0..1_000 {
        bench.extended(conn, Extended::Holepunch(Holepunch::Connect(address(1_000 + n))));
    }
    assert!(bench.dials.len() <= limits::DIALS_MAX);
}

/// Greets as somebody who has a node in the DHT.
fn greet_with_dht(bench: &mut Bench) -> ConnId {
    let conn = bench.open(Side::Listener);
    let Frame::Handshake(mut said) = greeting(peer_id(conn.0), PLAIN) else { unreachable!() };
    said.reserved = said.reserved.with_dht();
    bench.frame(conn, Frame::Handshake(said));
    conn
}

/// Whether our handshake says that we have a node in the DHT, and the ports we named.
fn says_dht(frames: &[Wire]) -> (bool, Vec<u16>) {
    let dht = |frame: &Wire| matches!(frame, Frame::Handshake(said) if said.reserved.dht());
    let port = |frame: &Wire| if let Frame::Port(port) = frame { Some(*port) } else { None };
    (frames.iter().any(dht), frames.iter().filter_map(port).collect())
}

fn dht_nodes(bench: &Bench) -> Vec<SocketAddr> {
    let node = |event: &Event<SocketAddr>| match event {
        Event::DhtNode(node) => Some(*node),
        _ => None,
    };
    bench.events.iter().filter_map(node).collect()
}

#[test]
fn peers_tell_each_other_of_their_nodes_in_the_dht() {
    let mut bench = Bench::leecher(1);
    let conn = greet_with_dht(&mut bench);
    assert_eq!(says_dht(&bench.take(conn)), (true, vec![6881]));
    bench.frame(conn, Frame::Port(0));
    bench.frame(conn, Frame::Port(7_000));
    let node = SocketAddr::new(bench.swarm.peers[&conn].contact.ip(), 7_000);
    assert_eq!(dht_nodes(&bench), [node]);
    // One peer does not have many nodes.
    bench.frame(conn, Frame::Port(7_001));
    assert_eq!(dht_nodes(&bench), [node]);
    // Who has none is not told of ours.
    let other = bench.greet(MODERN);
    assert_eq!(says_dht(&bench.take(other)), (true, vec![]));

    let mut bench = Bench::magnet(SwarmConfig { dht_port: None, ..config() });
    let conn = greet_with_dht(&mut bench);
    bench.frame(conn, Frame::Port(7_000));
    assert_eq!((says_dht(&bench.take(conn)), dht_nodes(&bench)), ((false, vec![]), vec![]));
}

#[test]
fn to_22_private_torrents_have_nothing_to_do_with_the_dht() {
    let private = || content(Info { private: true, ..info(4) }, Bitfield::new(4));
    let mut bench = Bench::with(config(), private());
    let conn = greet_with_dht(&mut bench);
    bench.frame(conn, Frame::Port(7_000));
    assert_eq!((says_dht(&bench.take(conn)), dht_nodes(&bench)), ((false, vec![]), vec![]));

    let mut bench = Bench::magnet(config());
    let early = greet_with_dht(&mut bench);
    bench.command(Command::Begin(Box::new(private())));
    bench.frame(early, Frame::Port(7_000));
    let late = greet_with_dht(&mut bench);
    assert_eq!((says_dht(&bench.take(late)), dht_nodes(&bench)), ((false, vec![]), vec![]));
}
