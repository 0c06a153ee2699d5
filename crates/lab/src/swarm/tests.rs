//! Whole swarms of the real machine. Every run follows from its seed; a test that fails names it.

use super::*;

/// Runs of each scenario, by seed.
const SEEDS: std::ops::Range<u64> = 1..21;
/// Runs of the longest scenario.
const RIDER_SEEDS: std::ops::Range<u64> = 1..6;
/// How much longer a free rider takes on average.
const RIDERS_SLOWER: f64 = 1.1;

/// A seed and six leechers, all with the same uplink.
fn plain(seed: u64) -> Scenario {
    let access = Access { up: Some(1 << 20), down: None };
    Scenario {
        seed,
        pieces: 64,
        piece_len: 1 << 18,
        source: access,
        leechers: vec![Leecher { access, rides: false }; 6],
        latency: Duration::from_millis(20),
        order: PieceOrder::RarestFirst,
        acquainted: true,
        source_leaves_after: None,
    }
}

/// Everybody gets everything, and honest machines do not close each other.
fn whole(scenario: &Scenario) -> Distribution {
    let seed = scenario.seed;
    let end = scenario.run(&|_| ());
    assert_eq!(end.blamed, 0, "seed {seed}: honest machines close each other");
    assert!(end.done.iter().all(|at| at.is_finite()), "seed {seed}: {end:?}");
    assert!(end.progress.iter().all(|share| *share == 1.0), "seed {seed}: {end:?}");
    end
}

#[test]
fn everybody_gets_everything_with_little_waste() {
    for seed in SEEDS {
        let scenario = plain(seed);
        let end = whole(&scenario);
        // It takes 16 s to send one copy.
        assert!(end.last() >= 16.0 && end.last() < 24.0, "seed {seed}: {end:?}");
        let much = scenario.len() / 8;
        assert!(end.wasted.iter().all(|bytes| *bytes < much), "seed {seed}: {end:?}");
    }
}

#[test]
fn free_riders_get_less_and_finish_last() {
    let (mut riders, mut honest, mut last_of_all) = (0.0, 0.0, 0);
    for seed in RIDER_SEEDS {
        let mut scenario = plain(seed);
        // Long enough for the credit that strangers have to be used up, and fast enough a seed that
        // pieces are not what everybody waits for.
        scenario.pieces = 512;
        scenario.source.up = Some(4 << 20);
        let access = scenario.leechers[0].access;
        scenario.leechers.extend([Leecher { access, rides: true }; 2]);
        let end = whole(&scenario);
        let (others, free) = end.done.split_at(6);
        riders += free.iter().sum::<f64>() / free.len() as f64;
        honest += others.iter().sum::<f64>() / others.len() as f64;
        let last = |times: &[f64]| times.iter().copied().fold(0.0, f64::max);
        last_of_all += u64::from(last(free) > last(others));
    }
    let runs = RIDER_SEEDS.end - RIDER_SEEDS.start;
    assert!(riders > RIDERS_SLOWER * honest, "of all runs, riders {riders} s, others {honest} s");
    assert!(last_of_all * 4 >= runs * 3, "a rider was last in only {last_of_all} runs");
}

#[test]
fn two_copies_are_enough_when_the_seed_leaves() {
    for seed in SEEDS {
        let enough = 2 * plain(seed).len();
        let end = whole(&Scenario { source_leaves_after: Some(enough), ..plain(seed) });
        assert!(end.source_sent < enough + (1 << 20), "seed {seed}: it went: {end:?}");
    }
}

#[test]
fn a_seed_that_leaves_too_soon_leaves_nobody_whole() {
    let half = plain(1).len() / 2;
    let end = Scenario { source_leaves_after: Some(half), ..plain(1) }.run(&|_| ());
    assert!(end.done.iter().all(|at| at.is_infinite()), "{end:?}");
    assert!(end.progress.iter().all(|share| *share > 0.3 && *share <= 0.52), "{end:?}");
}

#[test]
fn strangers_wait_for_the_seed() {
    let scenario = Scenario { acquainted: false, ..plain(1) };
    let end = whole(&scenario);
    assert!((96.0..100.0).contains(&end.last()), "{end:?}");
    assert!(end.source_sent >= 6 * scenario.len());
}

#[test]
fn equal_seeds_give_equal_runs() {
    assert_eq!(plain(3).run(&|_| ()), plain(3).run(&|_| ()));
    assert_ne!(plain(3).run(&|_| ()).done, plain(4).run(&|_| ()).done);
}
