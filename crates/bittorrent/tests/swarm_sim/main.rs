//! Whole swarms of the real machine in virtual time. Every run follows from its seed; a test that
//! fails names it.

mod sim;

use std::time::Duration;

use sim::{Outcome, Scenario};

/// Runs of each scenario, by seed.
const SEEDS: std::ops::Range<u64> = 1..21;

/// Runs of the longest scenario.
const RIDER_SEEDS: std::ops::Range<u64> = 1..6;

/// How much longer a free rider takes on average.
const RIDERS_SLOWER: f64 = 1.1;

/// A seed and eight leechers, all with the same uplink.
fn plain(seed: u64) -> Scenario {
    Scenario {
        seed,
        pieces: 48,
        leechers: 8,
        riders: 0,
        uplink: 512 * 1024,
        seed_uplink: 512 * 1024,
        latency: Duration::from_millis(20),
        seed_leaves: false,
    }
}

fn run(scenario: Scenario) -> Outcome {
    let outcome = scenario.run();
    let seed = scenario.seed;
    assert_eq!(outcome.blamed, [], "seed {seed}: honest machines close each other");
    for (node, done) in outcome.done.iter().enumerate() {
        assert!(done.is_some(), "seed {seed}: node {node} is not done");
    }
    outcome
}

/// When the last of some nodes was done, in seconds.
fn last(times: &[Option<Duration>]) -> f64 {
    times.iter().flatten().max().map_or(0.0, Duration::as_secs_f64)
}

#[test]
fn everybody_gets_everything_with_little_waste() {
    for seed in SEEDS {
        let scenario = plain(seed);
        let outcome = run(scenario);
        let len = scenario.total_len();
        for (node, totals) in outcome.totals.iter().enumerate().skip(1) {
            assert!(totals.downloaded >= len, "seed {seed}: node {node} has less than all");
            assert!(totals.wasted < len / 8, "seed {seed}: node {node} wasted {totals:?}");
        }
        // What a fluid would need: each byte leaves the seed once, then all uplinks carry the rest.
        let fluid = len as f64 / scenario.uplink as f64;
        let took = last(&outcome.done);
        assert!(took < 3.0 * fluid, "seed {seed}: {took:.1} s where a fluid needs {fluid:.1} s");
    }
}

#[test]
fn free_riders_get_less_and_finish_last() {
    let (mut riders, mut honest, mut last_of_all) = (0.0, 0.0, 0);
    // Long enough for the credit that strangers have to be used up.
    for seed in RIDER_SEEDS {
        // And fast enough a seed that pieces are not what everybody waits for.
        let seed_uplink = 4 * plain(seed).uplink;
        let outcome = run(Scenario { pieces: 1_024, riders: 2, seed_uplink, ..plain(seed) });
        let (others, free) = outcome.done[1..].split_at(8);
        riders += free.iter().flatten().map(Duration::as_secs_f64).sum::<f64>() / 2.0;
        honest += others.iter().flatten().map(Duration::as_secs_f64).sum::<f64>() / 8.0;
        last_of_all += u32::from(last(free) > last(others));
    }
    let runs = RIDER_SEEDS.end - RIDER_SEEDS.start;
    let (riders, honest) = (riders / runs as f64, honest / runs as f64);
    println!("riders {riders:.1} s, others {honest:.1} s, rider last in {last_of_all} of {runs}");
    assert!(riders > RIDERS_SLOWER * honest, "riders took {riders:.1} s, others {honest:.1} s");
    assert!(u64::from(last_of_all) * 4 >= runs * 3, "a rider was last in only {last_of_all} runs");
}

#[test]
fn one_copy_is_enough_when_the_seed_leaves() {
    for seed in SEEDS {
        let outcome = run(Scenario { seed_leaves: true, ..plain(seed) });
        let sent = outcome.totals[0].uploaded as f64 / plain(seed).total_len() as f64;
        assert!(sent < 4.0, "seed {seed}: {sent:.2} copies were sent before one was out");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let hash = |seed| plain(seed).run().hash;
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}
