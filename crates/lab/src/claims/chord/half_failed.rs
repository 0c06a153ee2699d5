//! Twice log N successors against the failure of half of all nodes.

use std::time::Duration;

use dht::chord::Config;
use machine::Rng;
use sim::Link;

use super::{OwnKeys, Ring, owner};
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "lecture.chord.half_failed",
    title: "2 log N successors survive half of the nodes",
    says: "With 2 log N successors each, lookups find the right node with high probability even \
           after half of all nodes have failed at once: none of the successors is left with \
           probability 1/N².",
    source: "Lectures on failures in Chord; Stoica et al., SIGCOMM 2001, theorem IV.5",
    provenance: Provenance::Text,
    params: &[
        Param {
            name: "nodes",
            what: "nodes N",
            kind: Kind::Integers(4, 65_536),
            paper: "64,256,1024,4096,16384,65536",
            small: "64,1024",
        },
        Param {
            name: "lookups",
            what: "lookups for each size",
            kind: Kind::Integer(1, 1_000_000),
            paper: "20000",
            small: "2000",
        },
        Param {
            name: "failed",
            what: "share of the nodes that fail",
            kind: Kind::Real(0.0, 0.95),
            paper: "0.5",
            small: "0.5",
        },
    ],
    seconds: 40,
    measure,
};

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (sizes, lookups) = (run.params.ints("nodes"), run.params.int("lookups"));
    let failed = run.params.real("failed");
    let jobs: Vec<(u64, usize)> = sizes
        .iter()
        .flat_map(|&nodes| [(nodes, 2 * (nodes as f64).log2().ceil() as usize), (nodes, 1)])
        .collect();
    let found = run.map(
        &jobs,
        |_| 1.0,
        |&(nodes, successors), tell| {
            let seed = run.seed_of(nodes);
            let config = Config {
                successors,
                tick: None,
                attempts: 1,
                timeout: Duration::from_millis(500),
                lookup_timeouts_max: 1_000,
                merge_every: 0,
                ..Config::default()
            };
            let mut ring = Ring::standing(seed, nodes as usize, Link::default(), config);
            let mut rng = Rng::new(seed);
            let alive = ring.fail(failed, &mut rng);
            let answers = ring.look_up(&alive, lookups, OwnKeys::Known, &mut rng, tell);
            let right = answers.iter().filter(|answer| {
                answer.owner().is_some() && answer.owner() == owner(&alive, &answer.key)
            });
            right.count() as f64 / lookups as f64
        },
    );
    let mut outcome = Outcome::default();
    let (mut many, mut one) = (Vec::new(), Vec::new());
    for (&nodes, shares) in sizes.iter().zip(found.chunks(2)) {
        let n = nodes as f64;
        many.push((n, shares[0] * 100.0));
        one.push((n, shares[1] * 100.0));
        // Of each node's list; any of N may be the unlucky one.
        let likely = 1.0 - 1.0 / n;
        let what = format!("share of lookups that succeed, N = {nodes}");
        outcome.check(Check::at_least(what, shares[0], likely));
    }
    outcome.plots.push(Plot {
        title: format!("Lookups that find the owner after {:.0} % have failed", failed * 100.0),
        x: Axis::log2("nodes N"),
        y: Axis::linear("% of the lookups"),
        series: vec![
            Series::new("2 log2 N successors", Role::Ours, many),
            Series::new("1 successor", Role::Other, one),
        ],
    });
    Ok(outcome)
}
