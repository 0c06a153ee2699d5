//! Lookups in networks that stand still: what they find, and how often they ask.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use machine::Rng;
use machine::dht::Contact;
use proptest::prelude::*;

use super::super::config::Config;
use super::super::table::Table;
use super::{Lookup, Shape, Step};
use crate::testing::{Short, key};

const K: usize = 6;

fn shape(alpha: usize, paths: usize) -> Shape<Short> {
    Shape::from(&Config { k: K, alpha, paths, ..Config::paper() })
}

/// Tables in which every node knows some nodes of each of its buckets.
fn network(nodes: &BTreeSet<u16>, rng: &mut Rng) -> BTreeMap<Short, Table<Short>> {
    let mut all: Vec<Short> = nodes.iter().copied().map(Short).collect();
    let order = all.clone();
    let wire = |own: Short| {
        rng.shuffle(&mut all);
        (own, Table::wired(own.key(), all.clone(), K))
    };
    order.into_iter().map(wire).collect()
}

/// Runs a lookup of `own` until it is done; whom it asked, with the most requests under way at once.
fn run(
    own: Short,
    lookup: &mut Lookup<Short>,
    network: &BTreeMap<Short, Table<Short>>,
    dead: impl Fn(Short) -> bool,
    rng: &mut Rng,
) -> (Vec<Short>, usize) {
    let (mut asked, mut waiting, mut most) = (Vec::new(), Vec::new(), 0);
    loop {
        match lookup.next_step() {
            Step::Ask(contact) => {
                asked.push(contact);
                waiting.push(contact);
                most = most.max(waiting.len());
            }
            Step::Wait => {
                let at = rng.below(waiting.len() as u64) as usize;
                let contact = waiting.swap_remove(at);
                if dead(contact) {
                    lookup.on_failure(&contact);
                } else {
                    let mut nodes = Vec::new();
                    // Nobody is told of itself.
                    network[&contact].closest(lookup.target(), K, Some(&own), &mut nodes);
                    lookup.on_success(&contact, &contact, &nodes);
                }
            }
            Step::Done => return (asked, most),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_true_k_closest_are_found(
        nodes in prop::collection::btree_set(1..u16::MAX, 20..300),
        target: u16,
        seed: u64,
        alpha in 1..5_usize,
        paths in 1..4_usize,
    ) {
        let mut rng = Rng::new(seed);
        let network = network(&nodes, &mut rng);
        let own = *network.keys().next().unwrap();
        let mut known = Vec::new();
        network[&own].closest(&key(target), K, None, &mut known);
        let mut lookup = Lookup::new(key(target), own, &known, shape(alpha, paths));
        let (asked, most) = run(own, &mut lookup, &network, |_| false, &mut rng);
        let mut expected: Vec<Short> = network.keys().copied().filter(|node| *node != own).collect();
        expected.sort_by_key(|node| node.0 ^ target);
        expected.truncate(K);
        prop_assert_eq!(lookup.closest().collect::<Vec<_>>(), expected);
        let distinct: BTreeSet<_> = asked.iter().copied().collect();
        prop_assert_eq!(distinct.len(), asked.len(), "nobody is asked twice, on whatever path");
        prop_assert!(most <= alpha.div_ceil(paths) * paths);
        prop_assert!((1..=17).contains(&lookup.hops()));
    }
}

/// Where chance has killed all whom somebody knew of a part of the network, nobody finds the way: the
/// networks are always the same.
#[test]
fn the_closest_of_those_alive_are_found() {
    const NETWORKS: u64 = 200;
    let mut lost = Vec::new();
    for seed in 0..NETWORKS {
        let mut rng = Rng::new(seed);
        let nodes = (0..200).map(|_| 1 + rng.below(u64::from(u16::MAX)) as u16).collect();
        let target = rng.next_u32() as u16;
        let network = network(&nodes, &mut rng);
        let own = *network.keys().next().unwrap();
        // A fifth is gone, whom all others still know.
        let dead = |node: Short| node.0.is_multiple_of(5);
        let mut known = Vec::new();
        network[&own].closest(&key(target), K, None, &mut known);
        let mut lookup = Lookup::new(key(target), own, &known, shape(3, 1));
        run(own, &mut lookup, &network, dead, &mut rng);
        let found: Vec<Short> = lookup.closest().collect();
        assert!(found.iter().all(|node| !dead(*node)), "seed {seed}");
        let alive = |node: &&Short| **node != own && !dead(**node);
        let best = network.keys().filter(alive).min_by_key(|node| node.0 ^ target);
        if found.first() != best {
            lost.push(seed);
        }
    }
    assert!(lost.len() as u64 * 100 <= NETWORKS, "seeds {lost:?}");
}

#[test]
fn nodes_to_begin_with_are_asked_once_though_others_name_them() {
    let mut lookup = Lookup::new(key(0), Short(9), &[], shape(1, 1));
    lookup.ask_first([Short(2), Short(1)].into());
    assert_eq!([lookup.next_step(), lookup.next_step()], [Step::Ask(Short(1)), Step::Wait]);
    lookup.on_success(&Short(1), &Short(1), &[Short(2)]);
    assert_eq!([lookup.next_step(), lookup.next_step()], [Step::Ask(Short(2)), Step::Wait]);
    lookup.on_success(&Short(2), &Short(2), &[]);
    assert_eq!(lookup.next_step(), Step::Done);
}

#[test]
fn slow_nodes_do_not_hold_a_lookup_up() {
    let known: Vec<Short> = (1..=4).map(Short).collect();
    let mut lookup = Lookup::new(key(0), Short(9), &known, shape(2, 1));
    assert_eq!([lookup.next_step(), lookup.next_step()], [1, 2].map(|n| Step::Ask(Short(n))));
    assert_eq!(lookup.next_step(), Step::Wait);
    lookup.on_slow(&Short(1));
    assert_eq!([lookup.next_step(), lookup.next_step()], [Step::Ask(Short(3)), Step::Wait]);
    // When it answers after all, it counts, and does not make room twice.
    lookup.on_success(&Short(1), &Short(1), &[]);
    assert_eq!(lookup.next_step(), Step::Wait);
    for n in [2, 3] {
        lookup.on_success(&Short(n), &Short(n), &[]);
    }
    assert_eq!([lookup.next_step(), lookup.next_step()], [Step::Ask(Short(4)), Step::Wait]);
    lookup.on_failure(&Short(4));
    assert_eq!(lookup.next_step(), Step::Done);
    assert_eq!(lookup.closest().collect::<Vec<_>>(), [1, 2, 3].map(Short));
}

#[test]
fn one_subnet_does_not_fill_a_lookup() {
    let subnet = |contact: &Short| Some(u64::from(contact.0 >> 8));
    let shape = Shape { subnet_max: 2, subnet, ..shape(3, 1) };
    let mut lookup = Lookup::new(key(0), Short(0x900), &[Short(0x300)], shape);
    assert_eq!(lookup.next_step(), Step::Ask(Short(0x300)));
    let crowd: Vec<Short> = (1..=20).map(Short).collect();
    lookup.on_success(&Short(0x300), &Short(0x300), &crowd);
    let asked: Vec<_> = (0..3).map(|_| lookup.next_step()).collect();
    assert_eq!(asked, [Step::Ask(Short(1)), Step::Ask(Short(2)), Step::Wait]);
}

#[test]
fn nodes_of_unknown_names_take_the_place_of_the_name_they_answer_with() {
    let mut lookup = Lookup::new(key(0), Short(9), &[], shape(3, 1));
    lookup.ask_first([Short(0x7000)].into());
    assert_eq!([lookup.next_step(), lookup.next_step()], [Step::Ask(Short(0x7000)), Step::Wait]);
    lookup.on_success(&Short(0x7000), &Short(5), &[Short(6)]);
    assert_eq!(lookup.next_step(), Step::Ask(Short(6)));
    lookup.on_success(&Short(6), &Short(6), &[Short(5), Short(9)]);
    assert_eq!(lookup.next_step(), Step::Done);
    assert_eq!(lookup.closest().collect::<Vec<_>>(), [Short(5), Short(6)]);
}
