//! A node in Gnutella, as the facade has it: joined, shared with, searched and left.

mod common;

use std::time::{Duration, Instant};

use common::{Home, PATIENCE, await_state, find_in, publish, publish_as};
use node::networks::Standing;
use node::view::State;
use node::{Node, PublishOptions, SearchResult};

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

#[test]
fn rows_name_the_torrent_of_a_file_as_long_as_its_node_offers_it() {
    let homes: Vec<Home> = (0..2).map(|_| Home::new()).collect();
    let nodes: Vec<_> = homes.iter().map(Home::start).collect();
    let (giver, seeker) = (&nodes[0], &nodes[1]);
    let loopback = Some(([127, 0, 0, 1], 0).into());
    for (node, role) in [(giver, "ultrapeer"), (seeker, "leaf")] {
        node.change_settings(&[("gnutella.role".to_owned(), Some(role.into()))]).expect("set");
    }
    let names = ["amber lagoon.bin", "coral lagoon.bin", "set/jade lagoon.bin", "ivory lagoon.bin"];
    homes[0].make_files("shared", &names.map(|name| (name, 70_000)));
    let path = |name: &str| homes[0].path("shared").join(name);
    let library = giver.library().expect("it runs");
    library.add(&homes[0].path("shared")).expect("shared");
    assert!(library.wait_until(PATIENCE, |status| status.files == 4 && status.is_settled()));
    drop(library);
    let hub = giver.join_network("gnutella", Vec::new(), loopback).expect("joins");
    let known = vec![hub.addresses[0].to_string()];
    seeker.join_network("gnutella", known, loopback).expect("joins");

    // The library knows which torrent it would be, but nobody offers that.
    let unnamed = find_in(seeker, "gnutella", "amber");
    assert!(unnamed.content.sha1.is_some());
    assert_eq!(unnamed.content.infohash_v1, None);
    let id = publish(giver, &path(names[0]));
    let named = row_with(seeker, "amber", Some(&id));
    assert_eq!((&named.content.sha1, &named.id), (&unnamed.content.sha1, &unnamed.id));
    giver.pause(&id).expect("paused");
    row_with(seeker, "amber", None);
    giver.resume(&id).expect("resumed");
    row_with(seeker, "amber", Some(&id));
    giver.remove(&id, false).expect("removed");
    let again = row_with(seeker, "amber", None);
    assert_eq!(again.content.sha1, unnamed.content.sha1);

    // Peers of a private one come from its trackers alone, and of a folder nobody wants one file. What
    // is offered after them is named.
    let options = PublishOptions { private: true, ..PublishOptions::default() };
    publish_as(giver, &path(names[1]), options);
    publish(giver, &path("set"));
    let id = publish(giver, &path(names[3]));
    row_with(seeker, "ivory", Some(&id));
    for unnamed in ["coral", "jade"] {
        assert_eq!(find_in(seeker, "gnutella", unnamed).content.infohash_v1, None, "{unnamed}");
    }
    nodes.iter().for_each(|node| node.shutdown());
}

/// Searches until the row that Gnutella finds names this torrent, or none.
fn row_with(node: &Node, words: &str, infohash: Option<&str>) -> SearchResult {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let row = find_in(node, "gnutella", words);
        if row.content.infohash_v1.as_deref() == infohash {
            return row;
        }
        assert!(Instant::now() < deadline, "{:?} is not {infohash:?}", row.content);
        // What another node says has no event here.
        std::thread::park_timeout(Duration::from_millis(100));
    }
}
