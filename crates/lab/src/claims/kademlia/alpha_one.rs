//! Kademlia that asks one node at a time, beside Chord.

use machine::Rng;
use sim::Link;

use super::{Net, lookups, static_config};
use crate::claim::{Claim, Provenance};
use crate::claims::{chord, mean};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "lecture.kademlia.alpha_one",
    title: "α = 1 behaves like Chord",
    says: "Kademlia that asks one node at a time behaves like Chord: O(log N) steps to the node that \
           is responsible.",
    source: "Lecture on Kademlia",
    provenance: Provenance::Text,
    params: &[
        Param {
            name: "nodes",
            what: "nodes N",
            kind: Kind::Integers(4, 1 << 16),
            paper: "64,256,1024,4096,16384",
            small: "64,512",
        },
        Param {
            name: "lookups",
            what: "lookups for each size",
            kind: Kind::Integer(1, 1_000_000),
            paper: "4000",
            small: "200",
        },
        Param {
            name: "k",
            what: "size of a bucket; 1 is what a finger table has",
            kind: Kind::Integer(1, 64),
            paper: "1",
            small: "1",
        },
    ],
    seconds: 10,
    measure,
};

/// Alike is within half and twice as many.
const ALIKE: Tolerance = Tolerance::Factor(2.0);

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (sizes, count) = (run.params.ints("nodes"), run.params.int("lookups"));
    let k = run.params.int("k") as usize;
    let measured = run.map(
        sizes,
        |nodes| *nodes as f64,
        |&nodes, tell| {
            let seed = run.seed_of(nodes);
            let config = static_config(k, 1);
            let mut net = Net::standing(seed, nodes as usize, 0.0, Link::default(), config);
            let mut rng = Rng::new(seed);
            let all = net.nodes.clone();
            let commands = lookups(count, &mut rng);
            let answers = net.ask(&all, commands, &mut rng, &|share| tell(share / 2.0));
            let requests: Vec<f64> =
                answers.iter().map(|answer| f64::from(answer.cost.messages)).collect();
            let hops: Vec<f64> = answers.iter().map(|answer| f64::from(answer.cost.hops)).collect();
            (mean(&requests), mean(&hops), chord::mean_hops(seed, nodes as usize, count))
        },
    );
    let mut outcome = Outcome::default();
    for (&nodes, got) in sizes.iter().zip(&measured) {
        let what = |of: &str| format!("{of}, N = {nodes}");
        outcome.check(Check::new(what("steps, beside Chord's"), got.1, got.2, ALIKE));
    }
    let ours = |part: fn(&(f64, f64, f64)) -> f64| {
        sizes.iter().zip(&measured).map(move |(&nodes, got)| (nodes as f64, part(got)))
    };
    outcome.plots.push(Plot {
        title: format!("Asking one node at a time, buckets of {k}"),
        x: Axis::log2("nodes N"),
        y: Axis::linear("per lookup"),
        series: vec![
            Series::new("Kademlia, steps", Role::Ours, ours(|got| got.1)),
            Series::new("Kademlia, requests", Role::Other, ours(|got| got.0)),
            Series::new("Chord, hops", Role::Other, ours(|got| got.2)),
            Series::new(
                "1/2 log2 N",
                Role::Formula,
                sizes.iter().map(|&nodes| (nodes as f64, 0.5 * (nodes as f64).log2())),
            ),
        ],
    });
    outcome.note(
        "Chord's hops are counted with the last one, to the owner. What is claimed is likeness: we \
         take it for within a factor of two.",
    );
    Ok(outcome)
}
