//! Prints how close the policies come to what a fluid would do, with and without free riders, and
//! with leechers that stay as seeds or leave once they are done.
//!
//! `cargo run --release -p shoal-bittorrent --example swarm_policy`

#[path = "../tests/swarm_policy/sim.rs"]
mod sim;

use std::time::Duration;

use bittorrent::choker::Config;
use sim::{Scenario, Swarm};

const MB: u64 = 1_000_000;
const RUNS: u64 = 40;

fn main() {
    println!("1 seed at 8 MB/s, 8 leechers at 4 MB/s, 128 MiB in pieces of 1 MiB, {RUNS} runs");
    println!("slots riders leave  mean  worst  contributors' last  blocks twice");
    let cases = [(0, false), (0, true), (2, false), (2, true)];
    for (slots, (free_riders, leave)) in [4, 6].into_iter().flat_map(|n| cases.map(|c| (n, c))) {
        let (mut sum, mut worst, mut contributors, mut wasted) = (0., 0f64, 0., 0);
        for seed in 0..RUNS {
            let mut leecher_up = vec![4 * MB; 8];
            leecher_up[8 - free_riders..].fill(0);
            let scenario = Scenario {
                total: 128 << 20,
                piece_len: 1 << 20,
                seed_up: 8 * MB,
                leecher_up,
                leave,
                config: Config::with_slots(slots),
                seed,
            };
            let bound = scenario.fluid_bound();
            let outcome = Swarm::new(scenario).run(Duration::from_secs(200));
            let last = |done: &[f64]| done.iter().copied().fold(0., f64::max);
            let ratio = last(&outcome.done) / bound;
            sum += ratio;
            worst = worst.max(ratio);
            contributors += last(&outcome.done[..8 - free_riders]);
            wasted += outcome.wasted;
            let sent: u64 = outcome.sent.iter().sum();
            assert!(sent >= (8 * 128) << 20);
        }
        let runs = RUNS as f64;
        println!(
            "{slots:5} {free_riders:6} {leave:5} {:5.3} {worst:6.3} {:17.2} s {:13}",
            sum / runs,
            contributors / runs,
            wasted / RUNS
        );
    }
}
