//! A node in a two-level network, as the facade has it: joined, shared with, searched, fetched from
//! and left.

mod common;

use std::time::Instant;

use common::{Home, PATIENCE, await_state, find_in};
use node::Node;
use node::networks::{Network, Picture, Standing};
use node::view::State;

/// Waits until the network is as it should be.
fn until(node: &Node, is: impl Fn(&Network) -> bool) -> Network {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let network = node.network("fasttrack", None).expect("known").network;
        if is(&network) {
            return network;
        }
        assert!(Instant::now() < deadline, "{network:?}");
        std::thread::yield_now();
    }
}

#[test]
fn what_one_library_shares_another_node_finds_and_fetches() {
    let homes: Vec<Home> = (0..3).map(|_| Home::new()).collect();
    let nodes: Vec<_> = homes.iter().map(Home::start).collect();
    let loopback = Some(([127, 0, 0, 1], 0).into());
    let made = homes[1].make_files("shared", &[("amber lagoon.ogg", 70_000)]);
    nodes[1].library().expect("it runs").add(&homes[1].path("shared")).expect("shared");
    let hub = nodes[0].join_network("fasttrack", Vec::new(), loopback).expect("joins");
    let known = vec![hub.addresses[0].to_string()];
    for node in &nodes[1..] {
        // Others are told an address that leads here.
        let anywhere = Some(([0, 0, 0, 0], 0).into());
        let joined = node.join_network("fasttrack", known.clone(), anywhere).expect("joins");
        assert!(joined.addresses[0].ip().is_loopback());
        assert!(joined.can_leave && !joined.can_join);
        assert!(node.join_network("fasttrack", Vec::new(), loopback).is_err(), "twice");
        let leaf = until(node, |now| now.state == Standing::Up);
        assert_eq!(
            (&leaf.detail["role"], &leaf.detail["supernode"]),
            (&"leaf".into(), &known[0].as_str().into())
        );
    }
    let hub = until(&nodes[0], |now| now.detail["directory"] == 1);
    assert_eq!((&hub.detail["role"], hub.peers), (&"supernode".into(), 2));
    let picture = nodes[0].network("fasttrack", None).expect("known").picture;
    let Picture::Swarm(swarm) = picture else { panic!("{picture:?}") };
    assert_eq!(swarm.nodes.iter().filter(|node| node.label == "leaf").count(), 2);

    let found = find_in(&nodes[2], "fasttrack", "amber lagoon");
    assert_eq!((found.name.as_str(), found.length), ("amber lagoon.ogg", 70_000));
    assert!(found.content.sha1.is_some() && found.content.tth.is_some());
    let fetched = nodes[2].fetch_found(&found, None).expect("begun");
    await_state(&nodes[2], &fetched.id, State::Finished);
    let path = homes[2].downloads().join("amber lagoon.ogg");
    assert_eq!(std::fs::read(path).expect("there"), made[0].1);

    let left = nodes[2].leave_network("fasttrack").expect("left");
    assert_eq!(left.state, Standing::Off);
    let kept = std::fs::read_to_string(homes[2].path("state/fasttrack-hosts")).expect("kept");
    assert_eq!(kept.trim(), known[0]);
    nodes.iter().for_each(|node| node.shutdown());
    drop(nodes);
    // It is part of the network again when it next runs.
    let again = homes[1].start();
    let state = again.network("fasttrack", None).expect("known").network;
    assert!(state.can_leave, "{state:?}");
    again.shutdown();
}
