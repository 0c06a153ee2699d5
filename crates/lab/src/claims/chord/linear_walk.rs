//! What fingers spare: the walk along successors alone.

use dht::chord::{Config, Routing};
use machine::Rng;
use sim::Link;

use super::{OwnKeys, Ring, static_config};
use crate::claim::{Claim, Provenance};
use crate::claims::mean;
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "lecture.chord.linear_walk",
    title: "O(log M) with fingers, M/2 without",
    says: "A walk along successor pointers takes M/2 hops on average among M nodes. With finger \
           pointers it takes O(log M), for each step halves the distance.",
    source: "Lectures on Chord",
    provenance: Provenance::Text,
    params: &[
        Param {
            name: "nodes",
            what: "nodes M",
            kind: Kind::Integers(2, 8_192),
            paper: "16,32,64,128,256,512,1024,2048,4096",
            small: "16,64,256",
        },
        Param {
            name: "lookups",
            what: "lookups for each size",
            kind: Kind::Integer(1, 1_000_000),
            paper: "4000",
            small: "500",
        },
    ],
    seconds: 30,
    measure,
};

/// The mean of hops between 0 and M has a deviation of M / sqrt(12 lookups), 1 % at 1,000.
const TOLERANCE: f64 = 0.05;

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (sizes, lookups) = (run.params.ints("nodes"), run.params.int("lookups"));
    let jobs: Vec<(u64, Routing)> = sizes
        .iter()
        .flat_map(|&nodes| [(nodes, Routing::Successor), (nodes, Routing::Fingers)])
        .collect();
    let hops = run.map(
        &jobs,
        |(nodes, routing)| if *routing == Routing::Successor { *nodes as f64 } else { 10.0 },
        |&(nodes, routing), tell| {
            let seed = run.seed_of(nodes);
            let config = Config { routing, lookup_requests_max: u16::MAX, ..static_config(1) };
            let mut ring = Ring::standing(seed, nodes as usize, Link::default(), config);
            let all = ring.nodes.clone();
            let answers = ring.look_up(&all, lookups, OwnKeys::Known, &mut Rng::new(seed), tell);
            mean(&answers.iter().map(|answer| f64::from(answer.cost.hops)).collect::<Vec<_>>())
        },
    );
    let mut outcome = Outcome::default();
    let (mut walks, mut leaps) = (Vec::new(), Vec::new());
    for (&nodes, hops) in sizes.iter().zip(hops.chunks(2)) {
        let m = nodes as f64;
        walks.push((m, hops[0]));
        leaps.push((m, hops[1]));
        let tolerance = Tolerance::Relative(TOLERANCE);
        outcome.check(Check::new(format!("walk, M = {nodes}"), hops[0], m / 2.0, tolerance));
        outcome.check(Check::at_most(format!("with fingers, M = {nodes}"), hops[1], m.log2()));
    }
    let formula =
        |of: fn(f64) -> f64| sizes.iter().map(move |&nodes| (nodes as f64, of(nodes as f64)));
    outcome.plots.push(Plot {
        title: "Hops of a lookup, the last one included".to_owned(),
        x: Axis::log2("nodes M"),
        y: Axis::log10("hops"),
        series: vec![
            Series::new("ours, with fingers", Role::Ours, leaps),
            Series::new("ours, along successors", Role::Other, walks),
            Series::new("M/2", Role::Published, formula(|m| m / 2.0)),
            Series::new("log2 M", Role::Formula, formula(f64::log2)),
        ],
    });
    Ok(outcome)
}
