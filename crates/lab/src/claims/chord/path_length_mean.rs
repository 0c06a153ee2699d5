//! The mean path length of lookups, against the number of nodes.

use machine::Rng;
use sim::Link;

use super::{OwnKeys, Ring, static_config};
use crate::claim::{Claim, Provenance};
use crate::claims::{mean, percentile};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "chord.path_length.mean",
    title: "Path length grows with half of log N",
    says: "A lookup in a ring of N nodes is forwarded 1/2 log2 N times on average, not counting the \
           last hop to the owner.",
    source: "Stoica et al., SIGCOMM 2001, section 6.3, figure 10(a); ToN 2003, section V-C",
    provenance: Provenance::Curve,
    params: &[
        Param {
            name: "nodes",
            what: "nodes N",
            kind: Kind::Integers(2, 1 << 20),
            paper: "8,16,32,64,128,256,512,1024,2048,4096,8192,16384",
            small: "8,64,512",
        },
        Param {
            name: "lookups",
            what: "lookups per node, of random keys",
            kind: Kind::Integer(1, 100_000),
            paper: "100",
            small: "20",
        },
        Param {
            name: "successors",
            what: "length of the successor list",
            kind: Kind::Integer(1, 32),
            paper: "1",
            small: "1",
        },
    ],
    seconds: 40,
    measure,
};

/// Nodes, mean, 1st and 99th percentile, as published.
const PUBLISHED: [(u64, f64, f64, f64); 12] = [
    (8, 1.72, 1.0, 3.0),
    (16, 2.09, 1.0, 4.0),
    (32, 2.49, 1.0, 5.0),
    (64, 2.96, 1.0, 5.0),
    (128, 3.39, 1.0, 6.0),
    (256, 3.88, 1.0, 7.0),
    (512, 4.38, 1.0, 7.0),
    (1_024, 4.89, 2.0, 8.0),
    (2_048, 5.36, 2.0, 9.0),
    (4_096, 5.85, 2.0, 10.0),
    (8_192, 6.35, 2.0, 10.0),
    (16_384, 6.87, 3.0, 11.0),
];

/// Random places give a spread of about 1 % per run from 512 nodes on, and more below.
const fn tolerance(nodes: u64) -> Tolerance {
    Tolerance::Relative(if nodes < 256 { 0.10 } else { 0.03 })
}

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (lookups, successors) = (run.params.int("lookups"), run.params.int("successors"));
    let sizes = run.params.ints("nodes");
    let measured = run.map(
        sizes,
        |nodes| *nodes as f64,
        |&nodes, tell| {
            let seed = run.seed_of(nodes);
            let config = static_config(successors as usize);
            let mut ring = Ring::standing(seed, nodes as usize, Link::default(), config);
            let all = ring.nodes.clone();
            let answers =
                ring.look_up(&all, nodes * lookups, OwnKeys::Walked, &mut Rng::new(seed), tell);
            let mut hops: Vec<f64> = answers.iter().map(|answer| f64::from(answer.path)).collect();
            (mean(&hops), percentile(&mut hops, 0.01), percentile(&mut hops, 0.99))
        },
    );
    let mut outcome = Outcome::default();
    for (&nodes, &(mean, low, high)) in sizes.iter().zip(&measured) {
        let Some((_, published, p01, p99)) = PUBLISHED.iter().find(|row| row.0 == nodes) else {
            continue;
        };
        outcome.check(Check::new(
            format!("mean path, N = {nodes}"),
            mean,
            *published,
            tolerance(nodes),
        ));
        // Whole numbers: the next one is as near as can be asked for.
        let next = Tolerance::Absolute(1.0);
        outcome.check(Check::new(format!("1st percentile, N = {nodes}"), low, *p01, next));
        outcome.check(Check::new(format!("99th percentile, N = {nodes}"), high, *p99, next));
    }
    let ours = |part: fn(&(f64, f64, f64)) -> f64| {
        let points: Vec<_> =
            sizes.iter().zip(&measured).map(|(&nodes, row)| (nodes as f64, part(row))).collect();
        points
    };
    let published = PUBLISHED.iter().map(|row| (row.0 as f64, row.1));
    outcome.plots.push(Plot {
        title: "Hops of a lookup, without the last one".to_owned(),
        x: Axis::log2("nodes"),
        y: Axis::linear("hops"),
        series: vec![
            Series::new("ours, mean", Role::Ours, ours(|row| row.0)),
            Series::new("ours, 1st percentile", Role::Other, ours(|row| row.1)),
            Series::new("ours, 99th percentile", Role::Other, ours(|row| row.2)),
            Series::new("published mean", Role::Published, published),
            Series::new(
                "1/2 log2 N",
                Role::Formula,
                sizes.iter().map(|&nodes| (nodes as f64, 0.5 * (nodes as f64).log2())),
            ),
        ],
    });
    outcome.note(
        "Tables are exact and nothing fails. Our machine knows which keys are its own, the papers' \
         pseudocode asks all around the ring: that way is taken and counted here, too. Even so the \
         paper's sizes 8 and 16 lie above what exact tables give, 1.44 and 1.75 hops in ours, 1.48 \
         in an independent program without any messages. How they were counted is not said, so \
         these two sizes depart.",
    );
    Ok(outcome)
}
