//! How many keys a node holds, without virtual nodes.

use machine::Rng;
use machine::dht::Contact;
use sim::{Link, Node, Settings, World};

use crate::claim::{Claim, Provenance};
use crate::claims::{mean, percentile};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;
use dht::chord::Chord;

pub(crate) static CLAIM: Claim = Claim {
    id: "chord.load.keys_per_node",
    title: "Keys per node, without virtual nodes",
    says: "With 10,000 nodes the number of keys per node varies widely: at 50 keys per node on \
           average the 99th percentile is 4.6 times the mean, the maximum 457 (9.1 times), and some \
           nodes have none.",
    source: "Stoica et al., SIGCOMM 2001, section 6.2, figure 8; ToN 2003, section V-B",
    provenance: Provenance::Text,
    params: &[
        Param {
            name: "nodes",
            what: "nodes",
            kind: Kind::Integer(1, 1 << 20),
            paper: "10000",
            small: "10000",
        },
        Param {
            name: "keys",
            what: "keys in all",
            kind: Kind::Integers(1, 100_000_000),
            paper: "1e5,2e5,3e5,4e5,5e5,6e5,7e5,8e5,9e5,1e6",
            small: "1e5,5e5",
        },
        Param {
            name: "runs",
            what: "rings",
            kind: Kind::Integer(1, 1_000),
            paper: "20",
            small: "2",
        },
    ],
    seconds: 10,
    measure,
};

/// At these numbers the paper gives figures.
const PUBLISHED: (u64, u64) = (10_000, 500_000);

/// Keys on each node, for each of the key counts, which ascend.
pub(super) fn loads(
    seed: u64,
    hosts: u64,
    virtual_nodes: u64,
    key_counts: &[u64],
    tell: &dyn Fn(f64),
) -> Vec<Vec<u32>> {
    let link = Link::default();
    let mut world: World<Chord<Node>> = World::new(Settings { seed, threads: 1, link });
    let mut places: Vec<(u64, u32)> = (0..)
        .zip(world.reserve((hosts * virtual_nodes) as usize))
        .map(|(number, node)| ((node.key().front() >> 64) as u64, number / virtual_nodes as u32))
        .collect();
    places.sort_unstable();
    // Where in `places` each 2^16th of the ring begins.
    let begins: Vec<usize> =
        (0..=1u64 << 16).map(|part| places.partition_point(|place| place.0 >> 48 < part)).collect();
    let mut rng = Rng::new(seed);
    let mut load = vec![0; hosts as usize];
    let mut loads = Vec::new();
    let mut placed = 0;
    for (which, &keys) in (1..).zip(key_counts) {
        while placed < keys {
            let key = rng.next_u64();
            let part = (key >> 48) as usize;
            let within = &places[begins[part]..begins[part + 1]];
            let at = begins[part] + within.partition_point(|place| place.0 < key);
            load[places[if at < places.len() { at } else { 0 }].1 as usize] += 1;
            placed += 1;
        }
        loads.push(load.clone());
        tell(f64::from(which) / key_counts.len() as f64);
    }
    loads
}

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, runs) = (run.params.int("nodes"), run.params.int("runs"));
    let mut keys = run.params.ints("keys").to_vec();
    keys.sort_unstable();
    let numbers: Vec<u64> = (0..runs).collect();
    let all = run.map(
        &numbers,
        |_| 1.0,
        |&number, tell| loads(run.seed_of(number), nodes, 1, &keys, tell),
    );
    let mut outcome = Outcome::default();
    let (mut means, mut lows, mut highs) = (Vec::new(), Vec::new(), Vec::new());
    for (which, &keys) in keys.iter().enumerate() {
        let mut loads: Vec<f64> =
            all.iter().flat_map(|run| &run[which]).map(|&load| f64::from(load)).collect();
        let average = mean(&loads);
        let (p01, p99) = (percentile(&mut loads, 0.01), percentile(&mut loads, 0.99));
        let most = loads.iter().copied().fold(0.0, f64::max);
        let empty = loads.iter().filter(|load| **load == 0.0).count() as f64 / runs as f64;
        means.push((keys as f64, average));
        lows.push((keys as f64, p01));
        highs.push((keys as f64, p99));
        if (nodes, keys) == PUBLISHED {
            let exact = Tolerance::Relative(0.0);
            outcome.check(Check::new("mean keys per node at 5e5 keys", average, 50.0, exact));
            outcome.check(Check::new("1st percentile", p01, 0.0, exact));
            let five = Tolerance::Relative(0.05);
            outcome.check(Check::new("99th percentile / mean", p99 / average, 4.6, five));
            let extreme = Tolerance::Between(400.0, 650.0);
            outcome.check(Check::new("most keys on one node, all runs", most, 457.0, extreme));
            outcome.check(Check::at_least("empty nodes per run", empty, 1.0));
        }
    }
    outcome.plots.push(Plot {
        title: format!("Keys per node, {nodes} nodes"),
        x: Axis::linear("keys"),
        y: Axis::linear("keys per node"),
        series: vec![
            Series::new("ours, mean", Role::Ours, means.clone()),
            Series::new("ours, 1st percentile", Role::Other, lows),
            Series::new("ours, 99th percentile", Role::Other, highs),
            Series::new(
                "published 99th percentile, 4.6 times the mean",
                Role::Published,
                means.iter().map(|(keys, mean)| (*keys, 4.6 * mean)),
            ),
        ],
    });
    Ok(outcome)
}
