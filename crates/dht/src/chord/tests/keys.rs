//! Putting and getting, and where copies go when nodes come and go.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use machine::dht::{Command, Key, Report, Value};

use super::net::{At, Net, place};
use crate::chord::{Config, Fault, Item, Message, Style, VALUE_MAX, Version};

const PLACES: [u8; 10] = [3, 17, 40, 66, 90, 121, 150, 199, 230, 250];

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

fn value(text: &str) -> Value {
    text.as_bytes().into()
}

fn put(net: &mut Net, at: u8, key: Key, text: &str) -> u16 {
    let op = net.command(at, Command::Put { key, value: value(text) });
    match net.answer(op) {
        Report::Stored { copies, .. } => copies,
        other => panic!("{other:?}"),
    }
}

fn get(net: &mut Net, at: u8, key: Key) -> Option<Value> {
    let op = net.command(at, Command::Get { key });
    match net.answer(op) {
        Report::Found { value, .. } => Some(value),
        Report::NotFound { .. } => None,
        other => panic!("{other:?}"),
    }
}

/// Who holds `key`, in ring order.
fn holders(net: &Net, key: Key) -> Vec<u8> {
    let holders = net.nodes.iter().filter(|(_, node)| node.value(&key).is_some());
    holders.map(|(at, _)| at.0).collect()
}

#[test]
fn values_are_stored_at_owner_and_successors_and_found_from_everywhere() {
    for style in [Style::Iterative, Style::Recursive { acknowledged: true }] {
        let mut net = Net::wired(Config { style, ..Config::default() }, &PLACES);
        for (from, key, expected) in [(3, 100, [121, 150, 199]), (230, 240, [3, 17, 250])] {
            assert_eq!(put(&mut net, from, place(key), "x"), 3);
            assert_eq!(holders(&net, place(key)), expected);
            for at in PLACES {
                assert_eq!(get(&mut net, at, place(key)), Some(value("x")));
            }
        }
        assert_eq!(get(&mut net, 3, place(8)), None);
        // At the owner itself, and again: the later one counts.
        assert_eq!(put(&mut net, 150, place(100), "y"), 3);
        assert_eq!(put(&mut net, 199, place(130), "z"), 3);
        assert_eq!(get(&mut net, 17, place(100)), Some(value("y")));
        assert_eq!(get(&mut net, 199, place(130)), Some(value("z")));
    }
}

#[test]
fn lone_node_stores_for_itself() {
    let mut net = Net::new(Config::default());
    let op = net.join(7, &[]);
    assert_eq!(net.answer(op), Report::Joined);
    assert_eq!(put(&mut net, 7, place(100), "x"), 1);
    assert_eq!(get(&mut net, 7, place(100)), Some(value("x")));
    assert_eq!(get(&mut net, 7, place(101)), None);
}

#[test]
fn keys_move_to_whoever_joins_before_their_owner() {
    for replicas in [1, 3] {
        let mut net = Net::wired(Config { replicas, ..Config::default() }, &PLACES);
        for key in 91..=121 {
            put(&mut net, 3, place(key), "x");
        }
        let op = net.join(110, &[3]);
        assert_eq!(net.answer(op), Report::Joined);
        net.run(minutes(3));
        for key in 91..=121 {
            let node = &net.nodes[&At(110)];
            assert_eq!(node.value(&place(key)).is_some(), key <= 110, "{key}");
            assert_eq!(get(&mut net, 250, place(key)), Some(value("x")));
            if replicas == 1 {
                assert_eq!(holders(&net, place(key)), [if key <= 110 { 110 } else { 121 }]);
            }
        }
        // And back again when it leaves.
        let op = net.command(110, Command::Leave);
        assert_eq!(net.answer(op), Report::Left);
        assert_eq!(net.nodes[&At(110)].keys().count(), 0);
        for key in 91..=121 {
            assert_eq!(get(&mut net, 250, place(key)), Some(value("x")), "{key}");
        }
    }
}

#[test]
fn more_keys_than_fit_one_offer_are_handed_over() {
    let mut net = Net::wired(Config { replicas: 1, ..Config::default() }, &PLACES);
    let keys: Vec<_> = (0..100).map(|n| Key::new(place(100).front() + n, 0)).collect();
    for &key in &keys {
        put(&mut net, 121, key, "x");
    }
    net.join(110, &[3]);
    net.run(minutes(3));
    assert_eq!(net.nodes[&At(110)].keys().collect::<Vec<_>>(), keys);
    net.command(110, Command::Leave);
    net.run(minutes(3));
    assert_eq!(net.nodes[&At(121)].keys().collect::<Vec<_>>(), keys);
}

#[test]
fn copies_are_made_anew_when_holders_die() {
    let mut net = Net::wired(Config::default(), &PLACES);
    put(&mut net, 3, place(100), "x");
    for dead in [121, 150, 199, 230] {
        net.crash(dead);
        net.run(minutes(5));
        assert_eq!(get(&mut net, 3, place(100)), Some(value("x")), "without {dead}");
        assert!(holders(&net, place(100)).len() >= 3);
    }
}

#[test]
fn copies_that_nobody_confirms_go_to_their_owner() {
    let config = Config { orphan_after: Duration::from_secs(600), ..Config::default() };
    let mut net = Net::wired(config, &PLACES);
    let item = Item {
        key: place(100),
        version: Version::new(1, b"x"),
        seconds_left: 36_000,
        value: value("x"),
    };
    net.nodes.get_mut(&At(17)).expect("it lives").keep(&item, machine::Instant::ZERO);
    net.run(minutes(30));
    assert_eq!(holders(&net, place(100)), [121, 150, 199]);
}

#[test]
fn newer_versions_win_wherever_they_are() {
    for newest in [121, 150, 199] {
        let mut net = Net::wired(Config::default(), &PLACES);
        put(&mut net, 3, place(100), "old");
        let item = Item {
            key: place(100),
            version: Version::new(7, b"new"),
            seconds_left: 36_000,
            value: value("new"),
        };
        net.nodes.get_mut(&At(newest)).expect("it lives").keep(&item, machine::Instant::ZERO);
        net.run(minutes(5));
        for holder in [121, 150, 199] {
            let held = net.nodes[&At(holder)].value(&place(100)).cloned();
            assert_eq!(held, Some(value("new")), "{holder}, known by {newest}");
        }
    }
}

#[test]
fn values_expire_and_putting_again_renews_them() {
    let config = Config { lifetime: Duration::from_secs(3_600), ..Config::default() };
    let mut net = Net::wired(config, &PLACES);
    put(&mut net, 3, place(100), "x");
    put(&mut net, 3, place(200), "y");
    net.run(minutes(40));
    put(&mut net, 3, place(200), "y");
    net.run(minutes(40));
    assert_eq!(get(&mut net, 3, place(100)), None);
    assert_eq!(get(&mut net, 3, place(200)), Some(value("y")));
    net.run(minutes(40));
    assert_eq!(net.nodes.values().map(|node| node.keys().count()).sum::<usize>(), 0);
}

#[test]
fn values_that_were_not_wanted_are_not_stored() {
    let mut net = Net::wired(Config { tick: None, ..Config::default() }, &PLACES);
    let long: Value = vec![0; VALUE_MAX + 1].into();
    let op = net.command(3, Command::Put { key: place(100), value: long.clone() });
    assert!(matches!(net.answer(op), Report::Failed { .. }));
    for text in [value("x"), long] {
        let item =
            Item { key: place(100), version: Version::new(1, &text), seconds_left: 9, value: text };
        net.inject(3, 121, Message::Give { tag: 1, token: 0, item: Box::new(item) });
    }
    net.run(minutes(1));
    assert_eq!(holders(&net, place(100)), []);
    assert_eq!(net.messages, 0, "nothing is said to whom nothing was promised");
}

#[test]
fn full_stores_refuse_and_the_user_hears_of_it() {
    let mut net = Net::wired(Config { values_max: 1, ..Config::default() }, &PLACES);
    assert_eq!(put(&mut net, 3, place(100), "x"), 3);
    assert_eq!(put(&mut net, 3, place(130), "y"), 1, "199 and 150 are full, 230 is not");
    let op = net.command(3, Command::Put { key: place(101), value: value("z") });
    assert!(matches!(net.answer(op), Report::Failed { .. }));
}

#[test]
fn planted_faults_of_storage_are_seen() {
    let config = |fault| Config { replicas: 1, fault: Some(fault), ..Config::default() };
    let mut net = Net::wired(config(Fault::NoHandover), &PLACES);
    put(&mut net, 3, place(100), "x");
    net.join(110, &[3]);
    net.run(minutes(3));
    assert_eq!(holders(&net, place(100)), [121]);
    let config = Config { fault: Some(Fault::NoRepair), ..Config::default() };
    let mut net = Net::wired(config, &PLACES);
    put(&mut net, 3, place(100), "x");
    net.crash(121);
    net.run(minutes(20));
    assert_eq!(holders(&net, place(100)), [150, 199]);
}
