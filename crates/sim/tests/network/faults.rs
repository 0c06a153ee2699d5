//! Cuts, lines, slow nodes and liars.

use crate::probe::{Load, Probe, at, millis, probes, send};
use machine::OpId;
use sim::{Access, Cut, Link, Node, World};

/// Who hears whom, if everybody sends to everybody now.
fn heard(world: &mut World<Probe>, nodes: &[Node]) -> Vec<(usize, usize)> {
    for from in nodes {
        nodes.iter().for_each(|to| send(world, *from, *to, 0));
    }
    world.run_for(millis(100));
    let place = |node| nodes.iter().position(|other| *other == node).expect("a known node");
    let mut heard: Vec<_> =
        world.drain_events().map(|event| (place(event.event.0), place(event.node))).collect();
    heard.sort_unstable();
    heard
}

#[test]
fn partitions_keep_sides_apart_until_they_end() {
    let (mut world, nodes) = probes(1, Link::constant(millis(5)), 3);
    let all: Vec<_> = (0..3).flat_map(|from| (0..3).map(move |to| (from, to))).collect();
    let alone = nodes[2];
    world.cut(Cut::between(at(100)..at(200), move |node| node == alone));
    assert_eq!(heard(&mut world, &nodes), all);
    assert_eq!(heard(&mut world, &nodes), [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)]);
    assert_eq!(heard(&mut world, &nodes), all);

    world.cut(Cut::one_way(at(300)..at(400), move |from, to| from == alone && to != alone));
    let deaf: Vec<_> = all.iter().copied().filter(|(from, to)| *from != 2 || *to == 2).collect();
    assert_eq!(heard(&mut world, &nodes), deaf);
    assert_eq!(world.counts().lost, 4 + 2);
    assert_eq!(heard(&mut world, &nodes), all);
}

/// When messages of so many bytes come that are all sent at once, in milliseconds.
fn arrivals(world: &mut World<Probe>, sends: &[(Node, Node, u32)]) -> Vec<(u32, u64)> {
    let begun = world.now();
    for (number, (from, to, bytes)) in (0..).zip(sends) {
        world.command(*from, OpId(0), (*to, Load { number, bytes: *bytes }));
    }
    world.run_for(millis(100_000));
    world
        .drain_events()
        .map(|event| (event.event.1, event.at.since(begun).as_millis() as u64))
        .collect()
}

#[test]
fn messages_wait_for_the_lines_at_both_ends() {
    let (mut world, n) = probes(1, Link::constant(millis(10)), 4);
    world.set_lines(Access { up: 1_000, down: 2_000 }, |load| load.bytes);
    // An uplink takes one after the other; a faster downlink adds nothing.
    let two = [(n[0], n[1], 500), (n[0], n[2], 500)];
    assert_eq!(arrivals(&mut world, &two), [(0, 510), (1, 1_010)]);
    // Three uplinks of 1,000 fill a downlink of 2,000: 1,500 bytes take 750 ms.
    let three = [(n[0], n[3], 500), (n[1], n[3], 500), (n[2], n[3], 500)];
    let arrived: Vec<_> = arrivals(&mut world, &three).into_iter().map(|(_, at)| at).collect();
    assert_eq!(arrived, [510, 510, 760]);
    // The slower of two lines counts, not their sum.
    world.set_line(n[1], Access { up: 1_000, down: 250 });
    assert_eq!(arrivals(&mut world, &[(n[0], n[1], 500)]), [(0, 2_010)]);
    world.set_line(n[0], Access::UNLIMITED);
    assert_eq!(arrivals(&mut world, &[(n[0], n[2], 500)]), [(0, 260)]);
    assert_eq!(arrivals(&mut world, &[(n[0], n[2], 0)]), [(0, 10)]);
    world.set_line(n[0], Access { up: 0, down: 1 });
    assert_eq!(arrivals(&mut world, &[(n[0], n[2], 500)]), []);
}

#[test]
fn slow_nodes_take_one_message_after_the_other() {
    let (mut world, n) = probes(1, Link::constant(millis(10)), 3);
    world.slow(n[1], millis(30));
    let sends = [(n[0], n[1], 0), (n[2], n[1], 0), (n[0], n[2], 0)];
    let mut arrived = arrivals(&mut world, &sends);
    arrived.sort_unstable_by_key(|(_, at)| *at);
    assert_eq!(arrived.iter().map(|(_, at)| *at).collect::<Vec<_>>(), [10, 40, 70]);
    world.slow(n[1], millis(0));
    assert_eq!(arrivals(&mut world, &sends[..1]), [(0, 10)]);
}

#[test]
fn liars_change_and_keep_back_what_they_send() {
    let (mut world, n) = probes(1, Link::constant(millis(10)), 3);
    let victim = n[2];
    world.corrupt(n[0], move |to, load, rng| {
        load.number = 1_000 + rng.below(10) as u32;
        to != victim
    });
    let sends = [(n[0], n[1], 0), (n[0], n[2], 0), (n[1], n[2], 0)];
    let numbers: Vec<_> = arrivals(&mut world, &sends).iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers.len(), 2);
    assert!(numbers.contains(&2) && numbers.iter().any(|number| *number >= 1_000), "{numbers:?}");
    assert_eq!(world.counts().lost, 1);
}
