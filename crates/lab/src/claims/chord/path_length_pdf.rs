//! The distribution of path lengths in one ring.

use machine::Rng;
use sim::Link;

use super::{OwnKeys, Ring, static_config};
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "chord.path_length.pdf",
    title: "Distribution of path lengths",
    says: "In a ring of 4,096 nodes, path lengths lie around 6 and hardly any is above 11.",
    source: "Stoica et al., SIGCOMM 2001, figure 10(b); ToN 2003, figure 10(b)",
    provenance: Provenance::Curve,
    params: &[
        Param {
            name: "nodes",
            what: "nodes N",
            kind: Kind::Integer(2, 1 << 20),
            paper: "4096",
            small: "4096",
        },
        Param {
            name: "lookups",
            what: "lookups of random keys",
            kind: Kind::Integer(1, 100_000_000),
            paper: "409600",
            small: "20000",
        },
    ],
    seconds: 5,
    measure,
};

/// Probability of path lengths 1, 2 and so on.
const PUBLISHED: [f64; 12] = [
    0.0033, 0.0180, 0.0570, 0.1288, 0.2124, 0.2254, 0.1937, 0.1094, 0.0413, 0.0092, 0.0012, 0.0002,
];
const PUBLISHED_NODES: u64 = 4_096;

/// Sampling noise of the paper's 8,000 lookups is 0.005; random places add about the same.
const TOLERANCE: Tolerance = Tolerance::Absolute(0.015);

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, lookups) = (run.params.int("nodes"), run.params.int("lookups"));
    let counts = run.map(
        &[nodes],
        |_| 1.0,
        |&nodes, tell| {
            let seed = run.seed_of(nodes);
            let link = Link::default();
            let mut ring = Ring::standing(seed, nodes as usize, link, static_config(1));
            let all = ring.nodes.clone();
            let mut counts = [0u64; 32];
            for answer in ring.look_up(&all, lookups, OwnKeys::Walked, &mut Rng::new(seed), tell) {
                counts[usize::from(answer.path).min(31)] += 1;
            }
            counts
        },
    );
    let share = |hops: usize| counts[0][hops] as f64 / lookups as f64;
    let mut outcome = Outcome::default();
    let published = (1..).zip(PUBLISHED);
    if nodes == PUBLISHED_NODES {
        for (hops, expected) in published.clone() {
            let what = format!("share of paths of {hops}");
            outcome.check(Check::new(what, share(hops), expected, TOLERANCE));
        }
    }
    outcome.plots.push(Plot {
        title: format!("Path lengths in a ring of {nodes} nodes"),
        x: Axis::linear("hops, without the last one"),
        y: Axis::linear("share of the lookups"),
        series: vec![
            Series::new("ours", Role::Ours, (0..=14).map(|hops| (hops as f64, share(hops)))),
            Series::new(
                "published, N = 4096",
                Role::Published,
                published.map(|(hops, share)| (hops as f64, share)),
            ),
        ],
    });
    Ok(outcome)
}
