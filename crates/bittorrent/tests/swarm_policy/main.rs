//! How close the policies come to what a fluid would do.

mod sim;

use std::time::Duration;

use bittorrent::choker::Config;
use sim::{Scenario, Swarm};

const MB: u64 = 1_000_000;

fn scenario(free_riders: usize, leave: bool, seed: u64) -> Scenario {
    let mut leecher_up = vec![4 * MB; 8];
    leecher_up[8 - free_riders..].fill(0);
    Scenario {
        total: 128 << 20,
        piece_len: 1 << 20,
        seed_up: 8 * MB,
        leecher_up,
        leave,
        config: Config::default(),
        seed,
    }
}

/// Last completion over the fluid bound, over runs with different seeds: mean and worst.
fn measure(free_riders: usize, leave: bool, runs: u64) -> (f64, f64) {
    let (mut sum, mut worst) = (0., 0f64);
    for seed in 0..runs {
        let scenario = scenario(free_riders, leave, seed);
        let bound = scenario.fluid_bound();
        let outcome = Swarm::new(scenario).run(Duration::from_secs(200));
        let last = outcome.done.iter().copied().fold(0., f64::max);
        let sent: Vec<_> = outcome.sent.iter().map(|bytes| bytes / MB).collect();
        println!("{:.1?} s, {} blocks twice, {sent:?} MB sent", outcome.done, outcome.wasted);
        sum += last / bound;
        worst = worst.max(last / bound);
    }
    println!(
        "{free_riders} free riders, leave {leave}: {:.3} of the bound, {worst:.3} at worst",
        sum / runs as f64
    );
    (sum / runs as f64, worst)
}

#[test]
fn eight_leechers_are_done_within_8_percent_of_a_fluid() {
    let (mean, worst) = measure(0, false, 10);
    assert!(mean <= 1.06 && worst <= 1.08, "{mean} {worst}");
}

#[test]
fn two_free_riders_do_not_hold_the_swarm_up() {
    let (mean, worst) = measure(2, false, 10);
    assert!(mean <= 1.06 && worst <= 1.08, "{mean} {worst}");
}

#[test]
fn equal_seeds_give_equal_runs() {
    let run = || Swarm::new(scenario(2, false, 5)).run(Duration::from_secs(200)).done;
    assert_eq!(run(), run());
}
