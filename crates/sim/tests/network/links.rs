//! Whether links do to messages what they say, in the long run and to each.

use std::collections::BTreeMap;

use crate::probe::{at, millis, probes, send};
use machine::Instant;
use sim::{Latency, Link, Matrix, Node, TransitStub};

const MESSAGES: u32 = 20_000;

/// Sends messages from one node to another, each a second after the last, and returns what came
/// when, in milliseconds since it was sent.
fn delays(link: Link) -> Vec<(u32, f64)> {
    let (mut world, nodes) = probes(3, link, 2);
    let mut came = Vec::new();
    for number in 0..MESSAGES {
        send(&mut world, nodes[0], nodes[1], number);
        let sent = world.now();
        world.run_for(millis(10_000));
        let delays = world.drain_events().map(|event| {
            assert_eq!(event.event, (nodes[0], number));
            (number, event.at.since(sent).as_secs_f64() * 1e3)
        });
        came.extend(delays);
    }
    came
}

fn mean(delays: &[(u32, f64)]) -> f64 {
    delays.iter().map(|(_, delay)| delay).sum::<f64>() / delays.len() as f64
}

#[test]
fn constant_delays_are_exact() {
    assert!(delays(Link::constant(millis(50))).iter().all(|(_, delay)| *delay == 50.0));
}

#[test]
fn uniform_delays_lie_between_their_bounds() {
    let delays = delays(Link::new(Latency::Uniform { least: millis(10), most: millis(200) }));
    assert!(delays.iter().all(|(_, delay)| (10.0..200.0).contains(delay)));
    assert!((mean(&delays) - 105.0).abs() < 1.5, "{}", mean(&delays));
}

#[test]
fn exponential_delays_have_their_mean_and_spread() {
    let delays = delays(Link::new(Latency::Exponential { least: millis(10), mean: millis(60) }));
    assert!(delays.iter().all(|(_, delay)| *delay >= 10.0));
    assert!((mean(&delays) - 60.0).abs() < 1.5, "{}", mean(&delays));
    // One in e is beyond the least by more than the mean beyond it.
    let beyond = delays.iter().filter(|(_, delay)| *delay > 60.0).count();
    let share = beyond as f64 / f64::from(MESSAGES);
    assert!((share - (-1f64).exp()).abs() < 0.012, "{share}");
}

#[test]
fn losses_copies_and_hold_ups_have_their_rates() {
    let rate = |count: usize| count as f64 / f64::from(MESSAGES);
    let lossy = delays(Link::constant(millis(5)).with_loss(0.2));
    assert!((rate(lossy.len()) - 0.8).abs() < 0.01, "{}", rate(lossy.len()));

    let doubled = delays(Link::constant(millis(5)).with_duplication(0.1));
    assert!((rate(doubled.len()) - 1.1).abs() < 0.01, "{}", rate(doubled.len()));
    let mut copies = BTreeMap::new();
    doubled.iter().for_each(|(number, _)| *copies.entry(*number).or_insert(0) += 1);
    assert!(copies.len() == MESSAGES as usize && copies.values().all(|copies| *copies <= 2));

    let overtaken = delays(Link::constant(millis(5)).with_reordering(0.3, millis(100)));
    let late: Vec<_> = overtaken.iter().copied().filter(|(_, delay)| *delay > 5.0).collect();
    assert!((rate(late.len()) - 0.3).abs() < 0.012, "{}", rate(late.len()));
    assert!(late.iter().all(|(_, delay)| *delay <= 105.0));
    assert!((mean(&late) - 55.0).abs() < 1.5, "{}", mean(&late));

    assert_eq!(delays(Link::constant(millis(5)).with_loss(1.0)), []);
    assert_eq!(delays(Link::constant(millis(5)).with_loss(0.0)).len(), MESSAGES as usize);
}

/// All delays among some nodes, in milliseconds.
fn distances(latency: Latency, count: u32) -> BTreeMap<(Node, Node), f64> {
    let link = Link::new(latency);
    let (mut world, nodes) = probes(5, link, count as usize);
    let mut distances = BTreeMap::new();
    for from in &nodes {
        for to in &nodes {
            send(&mut world, *from, *to, 0);
        }
        let sent = world.now();
        world.run_for(millis(10_000));
        for event in world.drain_events() {
            let delay = event.at.since(sent).as_secs_f64() * 1e3;
            distances.insert((event.event.0, event.node), delay);
        }
    }
    assert_eq!(distances.len(), (count * count) as usize);
    distances
}

#[test]
fn the_plane_is_a_plane() {
    let distances = distances(Latency::Plane { least: millis(2), side: millis(100) }, 60);
    let mut sum = 0.0;
    for (&(a, b), &there) in &distances {
        assert_eq!(there, distances[&(b, a)]);
        assert!((2.0..2.0 + 141.5).contains(&there), "{there}");
        assert_eq!(there == 2.0, a == b);
        sum += there - 2.0;
        for &(_, c) in distances.keys().filter(|(from, _)| *from == b) {
            assert!(distances[&(a, c)] <= there + distances[&(b, c)]);
        }
    }
    // Two points of a unit square are 0.5214 apart in the mean; these nodes are one sample.
    let mean = sum / f64::from(60 * 59);
    assert!((mean - 52.1).abs() < 5.0, "{mean}");
}

#[test]
fn sites_of_a_matrix_are_all_used_and_its_directions_kept_apart() {
    let row = |delays: [u64; 3]| delays.into_iter().map(millis).collect::<Vec<_>>();
    let rows = [row([1, 20, 30]), row([21, 2, 31]), row([32, 33, 3])];
    let matrix = Matrix::new(&rows).expect("a square table");
    assert_eq!(Latency::Matrix(matrix.clone()).least(), millis(1));
    let distances = distances(Latency::Matrix(matrix), 30);
    let seen: std::collections::BTreeSet<_> =
        distances.values().map(|delay| *delay as u64).collect();
    assert_eq!(seen, [1, 2, 3, 20, 21, 30, 31, 32, 33].into());
    for (&(a, b), &delay) in &distances {
        let back = distances[&(b, a)] as u64;
        let expected = match delay as u64 {
            20 => 21,
            21 => 20,
            30 => 32,
            32 => 30,
            31 => 33,
            33 => 31,
            same => same,
        };
        assert_eq!(back, expected);
    }

    let error = Matrix::new(&rows[..2]).expect_err("not a square table");
    assert_eq!((error.row, error.columns, error.rows), (0, 3, 2));
    assert!(Matrix::new(&[]).is_err());
}

#[test]
fn transit_and_stub_links_add_up() {
    let net = TransitStub::default();
    let distances = distances(Latency::TransitStub(net), 80);
    let mut seen = BTreeMap::new();
    for (&(a, b), &delay) in &distances {
        let (a, b) = (net.stub_of(a), net.stub_of(b));
        let expected = match () {
            () if a == b => 1.0,
            () if a / net.stubs == b / net.stubs => 22.0,
            () if a / (net.stubs * net.routers) == b / (net.stubs * net.routers) => 122.0,
            () => 222.0,
        };
        assert_eq!(delay, expected);
        *seen.entry(delay as u64).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn nothing_is_faster_than_the_least_delay() {
    let exponential = Latency::Exponential { least: millis(3), mean: millis(4) };
    for latency in [exponential, Latency::TransitStub(TransitStub::default())] {
        let least = latency.least().as_secs_f64() * 1e3;
        let fastest = distances(latency, 40).into_values().fold(f64::MAX, f64::min);
        assert!(fastest >= least && fastest < least + 1.0, "{fastest} {least}");
    }
}

#[test]
fn time_stands_where_it_was_told_to() {
    let (mut world, nodes) = probes(1, Link::constant(millis(5)), 2);
    world.run_until(at(7));
    send(&mut world, nodes[0], nodes[1], 1);
    world.run_until(at(12));
    assert_eq!(world.drain_events().next().map(|event| event.at), Some(at(12)));
    world.run_until(Instant::ZERO);
    assert_eq!(world.now(), at(12));
}
