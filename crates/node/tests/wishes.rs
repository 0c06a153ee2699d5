//! What people wish of their transfers: turns, limits, goals, names, places, and a folder that is
//! watched.

mod common;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Home, PATIENCE, await_state, await_that, publish};
use node::view::{State, Transfer};
use node::{AddRequest, AddSource, Change, Node, NodeError, Priority, parse_source};
use serde_json::{Value, json};

/// A node that offers a set of files, one that may fetch it, and how.
struct Pair {
    giver: Home,
    taker: Home,
    from: Arc<Node>,
    to: Arc<Node>,
    id: String,
}

impl Pair {
    fn new(files: &[(&str, usize)]) -> Self {
        let (giver, taker) = (Home::new(), Home::new());
        giver.make_files("set", files);
        let (from, to) = (giver.start(), taker.start());
        let id = publish(&from, &giver.path("set"));
        Self { giver, taker, from, to, id }
    }

    fn request(&self) -> AddRequest {
        let metainfo = (*self.from.metainfo(&self.id).expect("known")).clone();
        let source = AddSource::Metainfo(Box::new(metainfo));
        AddRequest { peers: self.from.addresses().to_vec(), ..AddRequest::new(source) }
    }

    fn fetched(&self) -> Transfer {
        self.to.add(self.request()).expect("added");
        await_state(&self.to, &self.id, State::Seeding)
    }

    fn change(&self, change: Change) -> Transfer {
        self.to.change(&self.id, change).expect("changed")
    }

    fn end(self) {
        self.to.shutdown();
        self.from.shutdown();
    }
}

fn set(node: &Node, settings: &[(&str, Value)]) {
    let settings: Vec<_> =
        settings.iter().map(|(name, value)| ((*name).to_owned(), Some(value.clone()))).collect();
    node.change_settings(&settings).expect("set");
}

fn add_hash(node: &Node, digit: u8) -> String {
    let link = parse_source(&format!("{digit:040x}")).expect("a hash");
    node.add(AddRequest::new(link)).expect("added").id
}

#[test]
fn those_in_front_of_the_queue_run_and_the_others_wait() {
    let home = Home::new();
    let node = home.start();
    set(&node, &[("transfers.download_queue", json!(1))]);
    let ids: Vec<String> = (1..=3).map(|digit| add_hash(&node, digit)).collect();
    let expect = |states: [State; 3]| {
        for (id, state) in ids.iter().zip(states) {
            await_state(&node, id, state);
        }
    };
    use State::{Metadata, Paused, Queued};
    expect([Metadata, Queued, Queued]);
    let first = Change { queue_position: Some(0), ..Change::default() };
    node.change(&ids[2], first).expect("moved");
    expect([Queued, Queued, Metadata]);
    node.pause(&ids[2]).expect("paused");
    expect([Metadata, Queued, Paused]);
    // Who starts now takes nobody's place.
    node.resume_now(&ids[1]).expect("started");
    expect([Metadata, Metadata, Paused]);
    node.shutdown();
    drop(node);
    let node = home.start();
    let states = ids.iter().map(|id| node.get(id).expect("there").state);
    assert!(!states.clone().any(|state| state == Queued), "{:?}", states.collect::<Vec<_>>());
    node.pause(&ids[1]).expect("paused");
    node.resume(&ids[1]).expect("resumed");
    await_state(&node, &ids[1], Queued);
    set(&node, &[("transfers.download_queue", json!(0))]);
    await_state(&node, &ids[1], Metadata);
    node.shutdown();
}

#[test]
fn who_moves_nothing_for_long_takes_no_place_of_the_queue() {
    let home = Home::new();
    let node = home.start();
    set(&node, &[("transfers.download_queue", json!(1))]);
    let ids: Vec<String> = (1..=2).map(|digit| add_hash(&node, digit)).collect();
    await_state(&node, &ids[0], State::Metadata);
    await_state(&node, &ids[1], State::Queued);
    assert_eq!(node.is_stalled(&ids[0]).ok(), Some(false));
    set(&node, &[("transfers.queue_stalled", json!(1))]);
    await_state(&node, &ids[1], State::Metadata);
    assert_eq!(node.is_stalled(&ids[0]).ok(), Some(true));
    assert_eq!(node.get(&ids[0]).expect("there").state, State::Metadata, "it goes on");
    node.shutdown();
}

#[test]
fn whoever_is_complete_leaves_the_place_to_the_next() {
    let pair = Pair::new(&[("a.bin", 100_000)]);
    set(&pair.to, &[("transfers.download_queue", json!(1))]);
    pair.to.add(pair.request()).expect("added");
    let next = add_hash(&pair.to, 1);
    await_state(&pair.to, &pair.id, State::Seeding);
    await_state(&pair.to, &next, State::Metadata);
    pair.end();
}

#[test]
fn a_transfer_has_limits_of_its_own_that_are_remembered() {
    const LEN: u64 = 1_500_000;
    let pair = Pair::new(&[("a.bin", LEN as usize)]);
    let limits = Change {
        upload_limit: Some(Some(7)),
        download_limit: Some(Some(1_000)),
        ..Change::default()
    };
    pair.to.add(AddRequest { paused: true, ..pair.request() }).expect("added");
    let limited = pair.change(limits);
    assert_eq!((limited.rules.upload_limit, limited.rules.download_limit), (Some(7), Some(1_000)));
    pair.to.resume(&pair.id).expect("resumed");
    await_that(&pair.to, &pair.id, |transfer| transfer.progress.downloaded > 0);
    // At that rate the whole would take half an hour.
    let began = Instant::now();
    pair.change(Change { download_limit: Some(Some(1_000_000)), ..Change::default() });
    await_state(&pair.to, &pair.id, State::Seeding);
    assert!(began.elapsed() > Duration::from_millis(900), "{:?}", began.elapsed());
    let Pair { taker, from, to, id, .. } = pair;
    to.shutdown();
    drop(to);
    let to = taker.start();
    let back = await_state(&to, &id, State::Seeding);
    assert_eq!((back.rules.upload_limit, back.rules.download_limit), (Some(7), Some(1_000_000)));
    let lifted = Change { upload_limit: Some(None), ..Change::default() };
    assert_eq!(to.change(&id, lifted).expect("changed").rules.upload_limit, None);
    to.shutdown();
    from.shutdown();
}

#[test]
fn files_that_are_wanted_most_come_first() {
    let pair = Pair::new(&[("a.bin", 1_500_000), ("b.bin", 1_500_000)]);
    pair.to.add(AddRequest { paused: true, ..pair.request() }).expect("added");
    let files = pair.to.files(&pair.id).expect("known");
    let index = |name: &str| files.iter().find(|file| file.path == name).expect("there").index;
    let (a, b) = (index("set/a.bin"), index("set/b.bin"));
    pair.change(Change {
        files: vec![(a, Priority::Low), (b, Priority::High)],
        download_limit: Some(Some(1_000_000)),
        ..Change::default()
    });
    pair.to.resume(&pair.id).expect("resumed");
    await_that(&pair.to, &pair.id, |transfer| transfer.progress.bytes_have > 400_000);
    let files = pair.to.files(&pair.id).expect("known");
    let have =
        |index: usize| files.iter().find(|file| file.index == index).map(|file| file.bytes_have);
    assert!(have(b) > have(a), "{files:?}");
    // Wishes may change while it runs, and connections stay.
    let peers = pair.to.get(&pair.id).expect("there").peers_connected;
    pair.change(Change {
        files: vec![(a, Priority::High), (b, Priority::Normal)],
        ..Change::default()
    });
    assert_eq!(pair.to.get(&pair.id).expect("there").peers_connected, peers);
    pair.end();
}

#[test]
fn what_was_shared_in_earlier_runs_counts_for_the_goal() {
    let (giver, taker) = (Home::new(), Home::new());
    giver.make_files("set", &[("a.bin", 200_000)]);
    let (from, to) = (giver.start(), taker.start());
    let id = publish(&from, &giver.path("set"));
    to.add(AddRequest::new(parse_source(&common::magnet_to(&from, &id)).expect("a link")))
        .expect("added");
    await_state(&to, &id, State::Seeding);
    await_that(&from, &id, |transfer| transfer.ratio >= 1.0);
    from.shutdown();
    drop(from);
    let from = giver.start();
    await_state(&from, &id, State::Seeding);
    let goal = |ratio| Change { seed_ratio: Some(Some(ratio)), ..Change::default() };
    from.change(&id, goal(0.9)).expect("changed");
    await_state(&from, &id, State::Finished);
    // A higher goal, and it shares again.
    from.change(&id, goal(50.0)).expect("changed");
    await_state(&from, &id, State::Seeding);
    from.change(&id, Change { seed_ratio: Some(None), ..Change::default() }).expect("changed");
    set(&from, &[("transfers.seed_idle", json!(1))]);
    await_state(&from, &id, State::Finished);
    to.shutdown();
    from.shutdown();
}

#[test]
fn files_and_folders_get_other_names_on_disk_too() {
    let pair = Pair::new(&[("a.bin", 100_000), ("sub/b.bin", 200_000), ("sub/c.bin", 1_000)]);
    let before = pair.fetched();
    let down = pair.taker.downloads();
    let rename = |path: &str, name: &str| pair.to.rename_path(&pair.id, path, name);
    rename("set/sub", "dir").expect("renamed");
    rename("set/dir/b.bin", "other.bin").expect("renamed");
    let renamed = rename("set", "new").expect("renamed");
    assert_eq!(renamed.name.as_deref(), Some("new"));
    for name in ["new/a.bin", "new/dir/other.bin", "new/dir/c.bin"] {
        assert!(down.join(name).exists(), "{name}");
    }
    assert!(!down.join("set").exists());
    let done = await_state(&pair.to, &pair.id, State::Seeding);
    assert_eq!(done.progress.downloaded, before.progress.downloaded, "nothing was fetched again");
    let shown: Vec<String> =
        pair.to.files(&pair.id).expect("known").into_iter().map(|file| file.path).collect();
    assert!(shown.contains(&"new/dir/other.bin".to_owned()), "{shown:?}");
    fs::write(down.join("new/mine"), b"x").expect("written");
    for (path, name) in
        [("new/a.bin", "dir"), ("new/a.bin", "mine"), ("new/a.bin", "../x"), ("new/none", "x")]
    {
        assert!(rename(path, name).is_err(), "{path} {name}");
        assert!(down.join("new/a.bin").exists());
    }
    // It goes on under its names after a restart, moves with them, and is deleted by them.
    let Pair { taker, from, to, id, .. } = pair;
    to.shutdown();
    drop(to);
    let to = taker.start();
    assert_eq!(await_state(&to, &id, State::Seeding).name.as_deref(), Some("new"));
    to.move_to(&id, &down.join("else")).expect("moved");
    await_state(&to, &id, State::Seeding);
    assert!(down.join("else/new/dir/other.bin").exists());
    to.verify(&id).expect("begins");
    await_state(&to, &id, State::Seeding);
    to.remove(&id, true).expect("removed");
    assert!(!down.join("else/new").exists() && down.join("new/mine").exists());
    to.shutdown();
    from.shutdown();
}

#[test]
fn files_move_while_they_are_shared_also_to_another_disk() {
    let pair = Pair::new(&[("a.bin", 300_000), ("sub/b.bin", 300_000)]);
    pair.fetched();
    let memory = tempfile::tempdir_in("/dev/shm").expect("a folder");
    let elsewhere = memory.path().canonicalize().expect("real");
    set(&pair.to, &[("transfers.roots", json!([elsewhere]))]);
    // It is under way when this returns, and nothing else is done meanwhile.
    let begun = pair.to.move_to(&pair.id, &elsewhere).expect("begun");
    assert_eq!((begun.state, begun.dir), (State::Moving, elsewhere.clone()));
    await_state(&pair.to, &pair.id, State::Seeding);
    assert!(elsewhere.join("set/sub/b.bin").exists());
    assert!(!pair.taker.downloads().join("set").exists());
    // Others fetch it from there.
    let third = Home::new();
    let node = third.start();
    let request = AddRequest { peers: pair.to.addresses().to_vec(), ..pair.request() };
    pair.from.shutdown();
    node.add(request).expect("added");
    await_state(&node, &pair.id, State::Seeding);
    node.shutdown();
    // Something is in the way: all stays where it is.
    let taken = pair.taker.downloads().join("taken/set");
    fs::create_dir_all(&taken).expect("made");
    fs::write(taken.join("a.bin"), b"mine").expect("written");
    let refused = pair.to.move_to(&pair.id, &pair.taker.downloads().join("taken"));
    assert!(matches!(refused, Err(NodeError::Conflict(_))), "{refused:?}");
    await_state(&pair.to, &pair.id, State::Seeding);
    assert_eq!(fs::read(taken.join("a.bin")).expect("there"), b"mine");
    pair.to.shutdown();
    drop(pair.giver);
}

#[test]
fn torrents_and_links_in_the_watched_folder_are_added() {
    let pair = Pair::new(&[("a.bin", 100_000)]);
    let watched = pair.taker.path("watched");
    fs::create_dir(&watched).expect("made");
    set(&pair.to, &[("transfers.watch_dir", json!(watched))]);
    let bytes = pair.from.metainfo(&pair.id).expect("known").to_bytes();
    let hash = format!("{:040x}", 5);
    fs::write(watched.join("one.torrent"), bytes).expect("written");
    fs::write(watched.join("two.magnet"), format!("magnet:?xt=urn:btih:{hash}\n"))
        .expect("written");
    fs::write(watched.join("bad.torrent"), b"not a torrent").expect("written");
    fs::write(watched.join("other.txt"), b"x").expect("written");
    std::os::unix::fs::symlink("/etc/passwd", watched.join("link.torrent")).expect("linked");
    let deadline = Instant::now() + PATIENCE;
    let mut events = pair.to.subscribe();
    let done = ["one.torrent.added", "two.magnet.added", "bad.torrent.failed"];
    while !done.iter().all(|name| watched.join(name).exists()) {
        assert!(Instant::now() < deadline, "{:?}", pair.to.transfers());
        let _ = events.blocking_recv();
    }
    let mut ids: Vec<String> = pair.to.transfers().into_iter().map(|one| one.id).collect();
    let mut expected = vec![pair.id.clone(), hash];
    ids.sort();
    expected.sort();
    assert_eq!(ids, expected);
    assert!(watched.join("other.txt").exists() && watched.join("link.torrent").is_symlink());
    pair.end();
}
