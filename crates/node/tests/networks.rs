//! Networks as the facade and the API have them: joined, looked at, left, and joined again by the
//! next start.

mod common;

use std::sync::Arc;
use std::time::Instant;

use common::{Home, PATIENCE, Served};
use node::networks::{Picture, Pictured, Standing, Swarm};
use node::{Node, NodeError};
use serde_json::json;

/// Waits until a network's picture is as `wanted` says.
fn await_picture(node: &Node, name: &str, wanted: impl Fn(&Pictured) -> bool) -> Pictured {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let pictured = node.network(name, None).expect("a network");
        if wanted(&pictured) {
            return pictured;
        }
        assert!(Instant::now() < deadline, "stuck: {pictured:#?}");
        std::thread::yield_now();
    }
}

fn await_standing(node: &Node, name: &str, standing: Standing) -> Pictured {
    await_picture(node, name, |pictured| pictured.network.state == standing)
}

fn loopback() -> Option<std::net::SocketAddr> {
    Some(([127, 0, 0, 1], 0).into())
}

#[test]
fn two_nodes_make_a_ring_and_one_comes_back_to_it() {
    let (first_home, second_home) = (Home::new(), Home::new());
    let first = first_home.start();
    first.join_network("chord", Vec::new(), loopback()).expect("begins a ring");
    let ring = await_standing(&first, "chord", Standing::Up);
    let address = ring.network.addresses[0];
    let joins_twice = first.join_network("chord", Vec::new(), None);
    assert!(matches!(joins_twice, Err(NodeError::Conflict(_))), "{joins_twice:?}");

    let start = || -> Arc<Node> { second_home.start() };
    let second = start();
    second.join_network("chord", vec![address.to_string()], None).expect("joins");
    let seen = |pictured: &Pictured| match &pictured.picture {
        Picture::Chord(ring) => !ring.successors.is_empty() && ring.predecessor.is_some(),
        _ => false,
    };
    for node in [&first, &second] {
        let Picture::Chord(ring) = await_picture(node, "chord", seen).picture else {
            panic!("a ring");
        };
        assert_eq!(ring.successors.len(), 1);
        assert_eq!(ring.predecessor, ring.successors.first().cloned());
    }
    second.shutdown();
    drop(second);

    // It was told to be part of the ring, and so it is after a restart, until it is told to leave.
    let second = start();
    await_picture(&second, "chord", seen);
    assert_eq!(second.leave_network("chord").expect("leaves").state, Standing::Off);
    second.shutdown();
    drop(second);
    let second = start();
    assert_eq!(second.network("chord", None).expect("there").network.state, Standing::Off);
    second.shutdown();
    first.shutdown();
    assert!(matches!(first.join_network("chord", Vec::new(), None), Err(NodeError::Ended)));
}

#[test]
fn a_node_that_nobody_answers_goes_on_trying_until_it_leaves() {
    let home = Home::new();
    let node = home.start();
    // Bound and silent.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let silent = silent.local_addr().expect("bound").to_string();
    node.join_network("chord", vec![silent.clone()], None).expect("begins");
    let stuck = await_picture(&node, "chord", |pictured| pictured.network.error.is_some());
    assert_eq!(stuck.network.state, Standing::Starting);
    assert!(stuck.network.error.expect("why").contains(&silent));
    assert_eq!(node.leave_network("chord").expect("leaves").state, Standing::Off);
    node.shutdown();
}

#[test]
fn kademlia_is_joined_and_left() {
    let (first_home, second_home) = (Home::new(), Home::new());
    let (first, second) = (first_home.start(), second_home.start());
    for node in [&first, &second] {
        assert_eq!(node.network("kademlia", None).expect("there").network.state, Standing::Off);
    }
    first.join_network("kademlia", Vec::new(), None).expect("joins");
    let address = first.network("kademlia", None).expect("there").network.addresses[0];
    second.join_network("kademlia", vec![address.to_string()], None).expect("joins");
    for node in [&first, &second] {
        let up = await_standing(node, "kademlia", Standing::Up);
        let Picture::Kademlia(table) = up.picture else { panic!("a table") };
        let known: usize = table.buckets.iter().map(|bucket| bucket.nodes.len()).sum();
        assert_eq!((known, up.network.peers), (1, 1));
    }
    assert_eq!(second.leave_network("kademlia").expect("leaves").state, Standing::Off);
    assert!(!second.config().network.dht, "that is remembered");
    first.shutdown();
    second.shutdown();
}

#[test]
fn the_api_says_what_cannot_be_done() {
    let served = Served::new();
    let network = |path: &str| format!("/api/v1/networks/{path}");
    for (path, body, status) in [
        ("nothing/join", json!({}), 404),
        ("nothing/leave", json!({}), 404),
        ("bittorrent/join", json!({}), 409),
        ("bittorrent/leave", json!({}), 409),
        ("chord/join", json!({"peers": ["nonsense"]}), 400),
        ("chord/join", json!({"peers": ["169.254.169.254:80"]}), 400),
        ("chord/join", json!({"peers": vec!["127.0.0.1:1"; 1_000]}), 400),
        ("chord/join", json!({"listen": "192.0.2.1:1"}), 409),
        ("chord/join", json!({"other": 1}), 400),
        ("kademlia/join", json!({"peers": ["127.0.0.1:0"]}), 400),
        ("chord/join", json!({}), 202),
        ("chord/join", json!({}), 409),
        ("chord/leave", json!({}), 202),
        ("chord/leave", json!({}), 202),
        ("gnutella/join", json!({"peers": ["nonsense"]}), 400),
        ("gnutella/join", json!({"listen": "192.0.2.1:1"}), 409),
        ("gnutella/join", json!({}), 202),
        ("gnutella/join", json!({}), 409),
        ("gnutella/leave", json!({}), 202),
        ("gnutella/leave", json!({}), 202),
    ] {
        let answer = served.client.json("POST", &network(path), &body);
        assert_eq!(answer.status, status, "{path} {body} {:?}", answer.json());
    }
    assert_eq!(served.client.get(&network("demo")).status, 404);
    let swarm = Swarm::default();
    served.node.show_swarm("A demo", true, json!({"peers": 4}), swarm);
    let shown = served.client.get(&network("demo")).json();
    assert_eq!((&shown["picture"]["kind"], &shown["state"]), (&json!("swarm"), &json!("up")));
    let all = served.client.get("/api/v1/networks").json();
    let names: Vec<_> =
        all["networks"].as_array().expect("some").iter().map(|n| &n["name"]).collect();
    let (own, overlays) = names.split_at(7);
    assert_eq!(
        own,
        ["demo", "bittorrent", "kademlia", "chord", "gnutella", "napster", "fasttrack"]
    );
    assert_eq!(overlays, ["pastry", "tapestry", "kelips", "can", "viceroy"]);
}
