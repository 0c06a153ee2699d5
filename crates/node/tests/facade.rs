//! A node through its facade alone: what it does, and what it remembers.

mod common;

use std::time::Duration;

use common::{Home, PATIENCE, await_state, magnet_to};
use node::view::State;
use node::{AddRequest, AddSource, Change, NodeError, Priority, PublishOptions, parse_source};

#[test]
fn what_one_node_publishes_another_fetches() {
    let (giver, taker) = (Home::new(), Home::new());
    let files = giver.make_files("set", &[("a.bin", 300_000), ("sub/b.bin", 700_000)]);
    let from = giver.start();
    let id = common::publish(&from, &giver.path("set"));
    assert!(from.get(&id).expect("there").published);
    let to = taker.start();
    let request = AddRequest::new(parse_source(&magnet_to(&from, &id)).expect("a link"));
    let added = to.add(request.clone()).expect("added");
    assert_eq!(added.id, id);
    assert!(matches!(to.add(request), Err(NodeError::Duplicate(other)) if other == id));
    let done = await_state(&to, &id, State::Seeding);
    assert_eq!((done.progress.bytes_have, done.files), (1_000_000, 2));
    assert!(done.completed.is_some() && done.progress.downloaded >= 1_000_000);
    for (name, bytes) in &files {
        assert!(std::fs::read(taker.downloads().join("set").join(name)).expect(name) == *bytes);
    }
    let listed = to.files(&id).expect("known");
    assert!(listed.iter().all(|file| file.bytes_have == file.length), "{listed:?}");

    // The user's own files are not deleted, fetched ones are.
    assert!(matches!(from.remove(&id, true), Err(NodeError::Conflict(_))));
    to.remove(&id, true).expect("removed");
    assert!(!taker.downloads().join("set").exists(), "files and folders are gone");
    assert!(matches!(to.get(&id), Err(NodeError::NotFound(_))));
    from.shutdown();
    to.shutdown();
}

#[test]
fn a_node_goes_on_where_it_ended() {
    let (giver, taker) = (Home::new(), Home::new());
    giver.make_files("set", &[("a.bin", 100_000), ("b.bin", 100_000)]);
    let from = giver.start();
    let id = common::publish(&from, &giver.path("set"));
    let to = taker.start();
    let link = parse_source(&magnet_to(&from, &id)).expect("a link");
    to.add(AddRequest::new(link)).expect("added");
    let before = await_state(&to, &id, State::Seeding);
    let labels = Some(vec!["mine".to_owned()]);
    to.change(&id, Change { labels, ..Change::default() }).expect("changed");
    to.change_settings(&[("transfers.upload_limit".into(), Some(5_000_000.into()))]).expect("set");
    to.shutdown();
    from.shutdown();
    drop((to, from));

    let to = taker.start();
    let back = await_state(&to, &id, State::Seeding);
    assert_eq!(back.rules.labels, ["mine"]);
    assert_eq!(
        back.progress.downloaded, before.progress.downloaded,
        "what was counted is not counted twice"
    );
    assert_eq!(to.config().transfers.upload_limit, 5_000_000);
    // Files that did not change are not hashed again: without its bytes it could not be.
    let from = giver.start();
    await_state(&from, &id, State::Seeding);
    to.shutdown();
    from.shutdown();
}

#[test]
fn files_are_chosen_before_and_after() {
    let (giver, taker) = (Home::new(), Home::new());
    giver.make_files("set", &[("a.bin", 500_000), ("b.bin", 500_000), ("c.bin", 500_000)]);
    let from = giver.start();
    let id = common::publish(&from, &giver.path("set"));
    let metainfo = from.metainfo(&id).expect("known");
    let to = taker.start();
    let request = AddRequest {
        selection: Some(vec![first_file(&metainfo.info, "b.bin")]),
        peers: from.addresses().to_vec(),
        ..AddRequest::new(AddSource::Metainfo(Box::new((*metainfo).clone())))
    };
    to.add(request).expect("added");
    await_state(&to, &id, State::Seeding);
    let downloads = taker.downloads().join("set");
    assert!(downloads.join("b.bin").exists() && !downloads.join("c.bin").exists());
    let more = vec![(first_file(&metainfo.info, "c.bin"), Priority::High)];
    to.change(&id, Change { files: more, ..Change::default() }).expect("changed");
    to.add_peers(&id, from.addresses().to_vec()).expect("told");
    common::await_that(&to, &id, |transfer| {
        transfer.state == State::Seeding && transfer.progress.bytes_have >= 1_000_000
    });
    assert!(downloads.join("c.bin").exists() && !downloads.join("a.bin").exists());
    let nothing = to.change(&id, Change { files: vec![(99, Priority::Low)], ..Change::default() });
    assert!(matches!(nothing, Err(NodeError::Invalid(_))));
    to.shutdown();
    from.shutdown();
}

fn first_file(info: &bittorrent::metainfo::Info, name: &str) -> usize {
    let named =
        |file: &bittorrent::metainfo::File| file.path.last().is_some_and(|last| last == name);
    info.files.iter().position(named).expect("such a file")
}

#[test]
fn files_move_with_their_transfer() {
    let (giver, taker) = (Home::new(), Home::new());
    giver.make_files("set", &[("a.bin", 100_000), ("sub/b.bin", 100_000)]);
    let from = giver.start();
    let id = common::publish(&from, &giver.path("set"));
    let to = taker.start();
    to.add(AddRequest::new(parse_source(&magnet_to(&from, &id)).expect("a link"))).expect("added");
    await_state(&to, &id, State::Seeding);
    let elsewhere = taker.downloads().join("else/where");
    to.move_to(&id, &elsewhere).expect("moved");
    await_state(&to, &id, State::Seeding);
    assert!(elsewhere.join("set/sub/b.bin").exists());
    assert!(!taker.downloads().join("set").exists());
    for outside in ["/etc", "/tmp", "relative"] {
        let refused = to.move_to(&id, std::path::Path::new(outside));
        assert!(matches!(refused, Err(NodeError::Forbidden(_))), "{outside}");
    }
    to.shutdown();
    from.shutdown();
}

#[test]
fn pause_stops_and_verify_looks_again() {
    let giver = Home::new();
    let files = giver.make_files("set", &[("a.bin", 300_000)]);
    let node = giver.start();
    let id = common::publish(&node, &giver.path("set"));
    assert_eq!(node.pause(&id).expect("paused").state, State::Paused);
    let mut damaged = files[0].1.clone();
    damaged[0] ^= 1;
    std::fs::write(giver.path("set/a.bin"), &damaged).expect("written");
    node.verify(&id).expect("begins");
    let seen = common::await_that(&node, &id, |transfer| {
        !matches!(transfer.state, State::Checking | State::Paused)
    });
    assert!(seen.progress.pieces_have < seen.progress.pieces_total, "{seen:?}");
    node.shutdown();
}

#[test]
fn nothing_is_published_from_where_it_is_not_allowed() {
    let home = Home::new();
    let node = home.start();
    for path in ["/etc/passwd", "../x", "/proc/self/environ"] {
        let refused = node.publish_path(std::path::Path::new(path), PublishOptions::default());
        assert!(matches!(refused, Err(NodeError::Forbidden(_))), "{path}");
    }
    node.shutdown();
    assert!(matches!(node.pause("x"), Err(NodeError::NotFound(_))));
    let link = parse_source(&"ab".repeat(20)).expect("a hash");
    assert!(matches!(node.add(AddRequest::new(link)), Err(NodeError::Ended)));
    let _ = (PATIENCE, Duration::ZERO);
}

#[test]
fn a_transfer_that_was_paused_finds_its_peers_again() {
    let (here, there) = (Home::new(), Home::new());
    here.make_files("shared", &[("big.bin", 3_000_000)]);
    let (publisher, fetcher) = (here.start(), there.start());
    let id = common::publish(&publisher, &here.path("shared/big.bin"));
    // Nothing but the link tells of the publisher.
    let source = parse_source(&magnet_to(&publisher, &id)).expect("a link");
    let change = |limit: u64| {
        let limit = Some(serde_json::json!(limit));
        fetcher.change_settings(&[("transfers.download_limit".to_owned(), limit)]).expect("good");
    };
    change(100_000);
    fetcher.add(AddRequest::new(source)).expect("added");
    common::await_that(&fetcher, &id, |transfer| {
        transfer.peers_connected > 0 && transfer.files > 0
    });
    fetcher.pause(&id).expect("pauses");
    change(0);
    fetcher.resume(&id).expect("resumes");
    await_state(&fetcher, &id, State::Seeding);
    fetcher.shutdown();
    publisher.shutdown();
}
