//! Hash tables beside Kademlia, as the facade has them: joined, looked at and left, all at once, and
//! joined again when the node starts again.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

use common::{Home, PATIENCE};
use net::dht::{CHORD, OVERLAYS};
use node::networks::{Overlaid, Picture, Pictured, Standing};
use node::{Node, NodeError};

/// What a node knows, once it knows somebody.
fn await_others(node: &Node, name: &str) -> (Pictured, Overlaid) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let pictured = node.network(name, None).expect("a network");
        if let Picture::Overlay(known) = &pictured.picture
            && !known.links.is_empty()
            && pictured.network.state == Standing::Up
        {
            return (pictured.clone(), known.clone());
        }
        assert!(Instant::now() < deadline, "stuck: {pictured:#?}");
        std::thread::yield_now();
    }
}

#[test]
fn two_nodes_are_in_all_overlays_at_once_and_see_each_other() {
    let (first_home, second_home) = (Home::new(), Home::new());
    let (first, second) = (first_home.start(), second_home.start());
    let loopback = Some(([127, 0, 0, 1], 0).into());
    for kind in OVERLAYS {
        let begun = first.join_network(kind.name, Vec::new(), loopback).expect("begins one");
        let address = begun.addresses[0].to_string();
        let again = first.join_network(kind.name, Vec::new(), loopback);
        assert!(matches!(again, Err(NodeError::Conflict(_))), "{again:?}");
        second.join_network(kind.name, vec![address], None).expect("joins");
    }
    for kind in OVERLAYS {
        let theirs = second.network(kind.name, None).expect("there").network.addresses;
        let (pictured, known) = await_others(&first, kind.name);
        assert_eq!((pictured.network.peers, known.system), (1, kind.name));
        assert!(known.links.iter().all(|link| theirs.contains(&link.address)), "{known:?}");
        let (_, known) = await_others(&second, kind.name);
        let whole: f64 = known.zones.iter().map(|zone| zone.width * zone.height).sum();
        assert!(known.zones.is_empty() || (whole - 1.0).abs() < 1e-9, "a partition: {known:?}");
    }
    for kind in OVERLAYS {
        assert_eq!(second.leave_network(kind.name).expect("leaves").state, Standing::Off);
    }
    first.shutdown();
    second.shutdown();
}

/// Waits until a node knows another, and says where that is.
fn await_another(node: &Node, name: &str) -> BTreeSet<SocketAddr> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let pictured = node.network(name, None).expect("a network");
        let known: BTreeSet<SocketAddr> = match &pictured.picture {
            Picture::Overlay(known) => known.links.iter().map(|link| link.address).collect(),
            Picture::Chord(ring) => ring.successors.iter().map(|place| place.address).collect(),
            _ => BTreeSet::new(),
        };
        if !known.is_empty() && pictured.network.state == Standing::Up {
            return known;
        }
        assert!(Instant::now() < deadline, "stuck: {pictured:#?}");
        std::thread::yield_now();
    }
}

#[test]
fn whoever_begins_a_network_finds_it_again_after_a_restart() {
    let (first_home, second_home) = (Home::new(), Home::new());
    let (first, second) = (first_home.start(), second_home.start());
    let loopback = Some(([127, 0, 0, 1], 0).into());
    let names = || std::iter::once(&CHORD).chain(OVERLAYS).map(|kind| kind.name);
    let mut theirs = BTreeMap::new();
    for name in names() {
        let begun = first.join_network(name, Vec::new(), loopback).expect("begins one");
        let address = begun.addresses[0].to_string();
        let joined = second.join_network(name, vec![address], loopback).expect("joins");
        theirs.insert(name, joined.addresses[0]);
    }
    for name in names() {
        assert_eq!(await_another(&first, name), [theirs[name]].into());
        await_another(&second, name);
    }
    second.leave_network("viceroy").expect("leaves");
    first.shutdown();
    drop(first);
    let first = first_home.start();
    for name in names().filter(|&name| name != "viceroy") {
        assert_eq!(await_another(&first, name), [theirs[name]].into(), "{name}");
    }
    // Nobody is there any more, and it is no worse than the first of a network.
    assert_eq!(first.network("viceroy", None).expect("there").network.peers, 0);
    first.leave_network("can").expect("leaves");
    first.shutdown();
    drop(first);
    let first = first_home.start();
    assert_eq!(first.network("can", None).expect("there").network.state, Standing::Off);
    first.shutdown();
    second.shutdown();
}
