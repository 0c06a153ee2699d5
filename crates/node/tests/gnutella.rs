//! A node in Gnutella, as the facade has it: joined, shared with, searched and left.

mod common;

use common::{Home, PATIENCE, await_state, find_in};
use node::Node;
use node::networks::Standing;
use node::view::State;

#[test]
fn what_one_library_shares_another_node_finds_and_fetches() {
    let homes: Vec<Home> = (0..3).map(|_| Home::new()).collect();
    let nodes: Vec<_> = homes.iter().map(Home::start).collect();
    let loopback = Some(([127, 0, 0, 1], 0).into());
    let role = |node: &Node, role: &str| {
        node.change_settings(&[("gnutella.role".to_owned(), Some(role.into()))]).expect("set");
    };
    let made = homes[1].make_files("shared", &[("amber lagoon.bin", 70_000)]);
    let library = nodes[1].library().expect("it runs");
    library.add(&homes[1].path("shared")).expect("shared");
    assert!(library.wait_until(PATIENCE, |status| status.files == 1 && status.is_settled()));
    drop(library);
    role(&nodes[0], "ultrapeer");
    let hub = nodes[0].join_network("gnutella", Vec::new(), loopback).expect("joins");
    let known = vec![hub.addresses[0].to_string()];
    for node in &nodes[1..] {
        role(node, "leaf");
        // Others are told an address that leads here.
        let anywhere = Some(([0, 0, 0, 0], 0).into());
        let joined = node.join_network("gnutella", known.clone(), anywhere).expect("joins");
        assert!(joined.addresses[0].ip().is_loopback());
        assert!(joined.can_leave && !joined.can_join);
        assert!(node.join_network("gnutella", Vec::new(), loopback).is_err(), "twice");
    }
    let found = find_in(&nodes[2], "gnutella", "amber lagoon");
    assert_eq!((found.name.as_str(), found.length), ("amber lagoon.bin", 70_000));
    assert!(found.content.sha1.is_some() && found.content.tth.is_some());
    let address = nodes[1].network("gnutella", None).expect("known").network.addresses[0];
    assert_eq!(found.id, address.to_string());

    let fetched = nodes[2].fetch_found(&found, None).expect("begun");
    await_state(&nodes[2], &fetched.id, State::Finished);
    let path = homes[2].downloads().join("amber lagoon.bin");
    assert_eq!(std::fs::read(path).expect("there"), made[0].1);

    let left = nodes[2].leave_network("gnutella").expect("left");
    assert_eq!(left.state, Standing::Off);
    let kept = std::fs::read_to_string(homes[2].path("state/gnutella-hosts")).expect("kept");
    assert_eq!(kept.trim(), known[0]);
    let queue = std::fs::read_to_string(homes[2].path("state/gnutella-queue")).expect("kept");
    assert_eq!(queue, "shoal upload queue 1\n", "nobody waits");
    nodes.iter().for_each(|node| node.shutdown());
    drop(nodes);
    // It is part of the network again when it next runs, even if what it kept of its queue is broken.
    std::fs::write(homes[1].path("state/gnutella-queue"), [0xff; 99]).expect("written");
    let again = homes[1].start();
    let state = again.network("gnutella", None).expect("known").network;
    assert!(state.can_leave, "{state:?}");
    again.shutdown();
}
