//! Joining, stabilising, leaving and looking up.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use machine::dht::{Command, Cost, Report};
use proptest::prelude::*;

use super::net::{At, Net, place};
use crate::chord::{Config, FingerUpkeep, Message, Neighbours, Routing, Style};

const PLACES: [u8; 12] = [3, 17, 40, 41, 66, 90, 121, 150, 151, 199, 230, 250];

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

fn styles() -> [Style; 3] {
    [
        Style::Iterative,
        Style::Recursive { acknowledged: false },
        Style::Recursive { acknowledged: true },
    ]
}

/// The first of `places` at or after `at`.
fn owner(places: &[u8], at: u8) -> u8 {
    let next = places.iter().copied().filter(|&place| place >= at).min();
    next.unwrap_or_else(|| places.iter().copied().min().expect("a node"))
}

#[test]
fn wired_ring_finds_every_owner_from_everywhere() {
    for style in styles() {
        for routing in [Routing::FingersAndSuccessors, Routing::Fingers, Routing::Successor] {
            let config = Config { style, routing, tick: None, ..Config::default() };
            let mut net = Net::wired(config, &PLACES);
            for from in PLACES {
                for key in 0..=255 {
                    let (found, hops) = net.look_up(from, place(key));
                    assert_eq!(found, owner(&PLACES, key), "{key} from {from} {style:?}");
                    assert_eq!(hops == 0, found == from);
                    assert!(routing == Routing::Successor || hops <= 5, "{hops}");
                }
            }
        }
    }
}

#[test]
fn walk_without_fingers_visits_every_node_between() {
    let config = Config { routing: Routing::Successor, tick: None, ..Config::default() };
    for style in styles() {
        let mut net = Net::wired(Config { style, ..config.clone() }, &PLACES);
        for (steps, at) in PLACES.into_iter().enumerate() {
            assert_eq!(net.look_up(PLACES[0], place(at)), (at, steps as u16));
        }
    }
}

#[test]
fn nodes_that_join_become_an_exact_ring() {
    for style in styles() {
        let config = Config { successors: 3, style, ..Config::default() };
        let mut net = Net::new(config);
        let first = net.join(PLACES[5], &[]);
        assert_eq!(net.answer(first), Report::Joined);
        for at in PLACES.into_iter().filter(|&at| at != PLACES[5]) {
            let op = net.join(at, &[PLACES[5]]);
            assert_eq!(net.answer(op), Report::Joined, "{at}");
            net.run(minutes(1));
        }
        net.run(minutes(30));
        net.assert_exact();
        assert!(net.suspected.is_empty(), "{:?}", net.suspected);
    }
}

#[test]
fn all_may_join_at_once() {
    let mut net = Net::new(Config { successors: 4, ..Config::default() });
    net.join(PLACES[5], &[]);
    for at in PLACES.into_iter().filter(|&at| at != PLACES[5]) {
        net.join(at, &[PLACES[5]]);
    }
    net.run(minutes(30));
    net.assert_exact();
}

#[test]
fn ring_closes_over_the_dead_and_those_who_leave() {
    let mut net = Net::wired(Config { successors: 4, ..Config::default() }, &PLACES);
    for dead in [17, 40, 41, 199] {
        net.crash(dead);
    }
    let op = net.command(230, Command::Leave);
    assert_eq!(net.answer(op), Report::Left);
    net.nodes.remove(&At(230));
    net.run(minutes(40));
    net.assert_exact();
}

#[test]
fn dead_fingers_go_with_their_turn_even_if_silence_does_not_count() {
    for upkeep in [FingerUpkeep::One, FingerUpkeep::All] {
        let config =
            Config { forget_dead_fingers: false, finger_upkeep: upkeep, ..Config::default() };
        let mut net = Net::wired(config, &PLACES);
        // Successors of others, alone in the span of their distance, and fingers farther off.
        for dead in [17, 41, 151] {
            net.crash(dead);
        }
        net.run(minutes(40));
        net.assert_exact();
        for node in net.nodes.values() {
            let dead = node.fingers().iter().find(|finger| !net.nodes.contains_key(finger));
            assert_eq!(dead, None, "{:?} of {:?}, {upkeep:?}", node.fingers(), node.me());
        }
    }
}

#[test]
fn whoever_leaves_is_replaced_without_waiting() {
    let mut net = Net::wired(Config { tick: None, ..Config::default() }, &PLACES);
    net.command(41, Command::Leave);
    net.run(Duration::from_secs(1));
    assert_eq!(net.nodes[&At(40)].successors()[0], At(66));
    assert_eq!(net.nodes[&At(66)].predecessor(), Some(At(40)));
    assert!(!net.nodes[&At(41)].is_member());
    let op = net.command(41, Command::Lookup { key: place(7) });
    assert_eq!(net.answer(op), Report::Failed { cost: Cost::default() });
}

#[test]
fn lookups_pass_over_dead_nodes() {
    for style in [Style::Iterative, Style::Recursive { acknowledged: true }] {
        let config = Config { style, tick: None, attempts: 1, ..Config::default() };
        for dead in [[17, 40, 90], [121, 150, 151], [66, 230, 250]] {
            let mut net = Net::wired(config.clone(), &PLACES);
            for at in dead {
                net.crash(at);
            }
            let alive: Vec<_> = PLACES.into_iter().filter(|at| !dead.contains(at)).collect();
            for &from in &alive {
                for key in (0..=255).step_by(3) {
                    let expected = owner(&alive, key);
                    let (found, _) = net.look_up(from, place(key));
                    // What a dead predecessor would have known, nobody can tell at once.
                    assert_eq!(found, expected, "{key} from {from} without {dead:?}, {style:?}");
                }
            }
        }
    }
}

#[test]
fn joining_fails_if_nobody_answers_and_can_be_tried_again() {
    let mut net = Net::wired(Config::default(), &PLACES[1..]);
    let op = net.join(3, &[4, 5]);
    assert!(matches!(net.answer(op), Report::Failed { .. }));
    let op = net.command(3, Command::Join { known: vec![At(6), At(199)] });
    assert_eq!(net.answer(op), Report::Joined);
    net.run(minutes(20));
    net.assert_exact();
}

#[test]
fn node_that_comes_back_finds_its_place_though_others_list_it() {
    let mut net = Net::wired(Config::default(), &PLACES);
    net.crash(90);
    let op = net.join(90, &[3]);
    assert_eq!(net.answer(op), Report::Joined);
    net.run(minutes(20));
    net.assert_exact();
}

#[test]
fn rings_that_were_torn_apart_grow_together() {
    let mut net = Net::wired(Config::default(), &PLACES[..6]);
    for &at in &PLACES[6..] {
        net.join(at, &if at == PLACES[6] { vec![] } else { vec![PLACES[6]] });
        net.run(minutes(2));
    }
    net.run(minutes(10));
    // One node once knew one of the others.
    net.nodes.get_mut(&At(17)).expect("it lives").remember_lost(At(150));
    net.run(minutes(30));
    net.assert_exact();
}

#[test]
fn last_one_left_is_a_ring_of_its_own() {
    let mut net = Net::wired(Config::default(), &[10, 200]);
    net.crash(200);
    net.run(minutes(5));
    assert!(net.nodes[&At(10)].is_member() && net.nodes[&At(10)].successors().is_empty());
    assert_eq!(net.look_up(10, place(100)), (10, 0));
    let op = net.join(60, &[10]);
    assert_eq!(net.answer(op), Report::Joined);
    net.run(minutes(5));
    net.assert_exact();
}

#[test]
fn kr_12_notify_from_elsewhere_is_ignored_while_the_predecessor_lives() {
    let mut net = Net::wired(Config { tick: None, ..Config::default() }, &PLACES);
    // Nobody lives at 67 and 80: what is sent in their name makes nobody a predecessor.
    for from in [3, 40, 121, 250, 90, 67, 80, 66] {
        net.inject(from, 90, Message::Notify);
        net.run(Duration::from_secs(5));
        assert_eq!(net.nodes[&At(90)].predecessor(), Some(At(66)), "{from}");
    }
    // One that lives and stands between is, and so is anybody once it is dead.
    let joined = net.join(80, &[3]);
    assert_eq!(net.answer(joined), Report::Joined);
    net.run(Duration::from_secs(5));
    assert_eq!(net.nodes[&At(90)].predecessor(), Some(At(80)));
    net.crash(80);
    net.inject(66, 90, Message::Notify);
    net.run(Duration::from_secs(5));
    assert_eq!(net.nodes[&At(90)].predecessor(), Some(At(66)));
}

#[test]
fn kr_12_successor_list_with_itself_dead_nodes_or_disorder_is_cut() {
    let cases: [(&[u8], &[u8]); 5] = [
        (&[41, 66, 17, 90], &[40, 41, 66]),
        (&[40, 41], &[40]),
        (&[66, 41, 90], &[40, 66]),
        (&[41, 41, 66], &[40, 41]),
        (&[3, 41], &[40, 41]),
    ];
    for (said, expected) in cases {
        let mut net = Net::wired(Config::default(), &[17, 40]);
        let mut node = net.nodes.remove(&At(17)).expect("it lives");
        let said: Vec<_> = said.iter().map(|&at| At(at)).collect();
        node.successors.adopt(At(17), At(40), &said, 8);
        let expected: Vec<_> = expected.iter().map(|&at| At(at)).collect();
        // From 17 on, 3 is the farthest of all.
        let expected = if said[0] == At(3) { vec![At(40), At(3)] } else { expected };
        assert_eq!(node.successors(), expected);
    }
    // Dead ones stay only until their turn comes.
    let mut net = Net::wired(Config::default(), &PLACES);
    let successors: Box<[At]> = [41, 42, 43, 66].into_iter().map(At).collect();
    let said = Neighbours { predecessor: Some(At(17)), successors };
    let mut node = net.nodes.remove(&At(17)).expect("it lives");
    node.successors.adopt(At(17), At(40), &said.successors, 8);
    net.nodes.insert(At(17), node);
    net.crash(40);
    net.crash(41);
    net.run(minutes(20));
    net.assert_exact();
}

#[test]
fn answers_that_nobody_asked_for_change_nothing() {
    let mut net = Net::wired(Config { tick: None, ..Config::default() }, &PLACES);
    let neighbours = Neighbours { predecessor: Some(At(18)), successors: Box::new([At(19)]) };
    net.inject(40, 17, Message::Neighbours { tag: 1, neighbours });
    net.inject(40, 17, Message::Refer { tag: 1, to: At(18) });
    net.inject(40, 17, Message::Owner { tag: 1, owner: At(18) });
    net.inject(40, 17, Message::Owners { tag: 1, owners: Box::new([]) });
    net.inject(40, 17, Message::Arrived { tag: 1, hops: 1, timeouts: 0, successors: None });
    net.inject(40, 17, Message::Pong { tag: 1 });
    net.run(Duration::from_secs(5));
    assert_eq!(net.messages, 0);
    net.assert_exact();
}

#[test]
fn strangers_take_at_most_half_of_the_room() {
    let config = Config { tick: None, outstanding_max: 8, ..Config::default() };
    let style = Style::Recursive { acknowledged: true };
    let mut net = Net::wired(Config { style, ..config }, &PLACES);
    for dead in PLACES.into_iter().filter(|&at| at != 17) {
        net.crash(dead);
    }
    for tag in 0..100 {
        let (key, origin) = (place(200), At(3));
        let route =
            Message::Route { tag, origin, key, hops: 1, timeouts: 0, last: false, list: false };
        net.inject(3, 17, route);
        net.inject(18 + tag as u8, 17, Message::Notify);
    }
    // Each waits for the owner and for the first hop.
    let lookups = [(); 2].map(|()| net.command(17, Command::Lookup { key: place(200) }));
    net.run(Duration::from_millis(400));
    // Each is an acknowledgement, or a lookup that is passed on, or a ping.
    assert_eq!(net.messages, 100 + 4 + 2, "four for strangers, two for the user");
    assert!(lookups.iter().all(|op| !net.reports.contains_key(op)), "none was turned away");
}

#[test]
fn idle_node_of_a_large_ring_is_small() {
    let config = Config::default();
    let net = Net::wired(config, &(0..=255).collect::<Vec<_>>());
    let largest = net.nodes.values().map(|node| node.memory()).max();
    assert!(largest <= Some(144), "{largest:?} bytes with contacts of one byte");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_ring_is_found_by_joining_and_upkeep(
        places in prop::collection::btree_set(any::<u8>(), 2..16),
        upkeep in prop::sample::select(vec![FingerUpkeep::One, FingerUpkeep::All]),
        successors in 1usize..6,
    ) {
        let config = Config { successors, finger_upkeep: upkeep, ..Config::default() };
        let mut net = Net::new(config);
        let places: Vec<_> = places.into_iter().collect();
        net.join(places[0], &[]);
        for &at in &places[1..] {
            net.join(at, &[places[0]]);
        }
        net.run(minutes(40));
        net.assert_exact();
    }
}
