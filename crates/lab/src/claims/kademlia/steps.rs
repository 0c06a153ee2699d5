//! How many steps a lookup takes.

use machine::Rng;
use sim::Link;

use super::{Net, lookups, static_config};
use crate::claim::{Claim, Provenance};
use crate::claims::{mean, percentile};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "kademlia.properties.steps",
    title: "Lookups take log n steps",
    says: "With k = 20 a lookup takes at most ceil(log2 n) steps, and a small constant more, for \
           each step comes nearer by one bit at least.",
    source: "Maymounkov and Mazieres, IPTPS 2002, sections 2.3 and 3",
    provenance: Provenance::Memory,
    params: &[
        Param {
            name: "nodes",
            what: "nodes n",
            kind: Kind::Integers(2, 1 << 17),
            paper: "64,256,1024,4096,16384",
            small: "64,512",
        },
        Param {
            name: "lookups",
            what: "lookups for each size",
            kind: Kind::Integer(1, 1_000_000),
            paper: "5000",
            small: "200",
        },
        Param { name: "k", what: "k", kind: Kind::Integer(1, 64), paper: "20", small: "20" },
        Param { name: "alpha", what: "α", kind: Kind::Integer(1, 32), paper: "3", small: "3" },
    ],
    seconds: 40,
    measure,
};

/// The constant, which the paper leaves open.
const MORE: f64 = 1.0;

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (sizes, count) = (run.params.ints("nodes"), run.params.int("lookups"));
    let (k, alpha) = (run.params.int("k") as usize, run.params.int("alpha") as usize);
    let measured = run.map(
        sizes,
        |nodes| *nodes as f64 + 4_096.0,
        |&nodes, tell| {
            let seed = run.seed_of(nodes);
            let config = static_config(k, alpha);
            let mut net = Net::standing(seed, nodes as usize, 0.0, Link::default(), config);
            let mut rng = Rng::new(seed);
            let all = net.nodes.clone();
            let commands = lookups(count, &mut rng);
            let answers = net.ask(&all, commands, &mut rng, tell);
            let mut hops: Vec<f64> =
                answers.iter().map(|answer| f64::from(answer.cost.hops)).collect();
            let requests: Vec<f64> =
                answers.iter().map(|answer| f64::from(answer.cost.messages)).collect();
            (mean(&hops), percentile(&mut hops, 0.99), mean(&requests))
        },
    );
    let mut outcome = Outcome::default();
    for (&nodes, got) in sizes.iter().zip(&measured) {
        let what = format!("99th percentile of the steps, n = {nodes}");
        outcome.check(Check::at_most(what, got.1, (nodes as f64).log2().ceil() + MORE));
    }
    let ours = |part: fn(&(f64, f64, f64)) -> f64| {
        sizes.iter().zip(&measured).map(move |(&nodes, got)| (nodes as f64, part(got)))
    };
    outcome.plots.push(Plot {
        title: "Steps of a lookup: nodes on the longest chain of referrals".to_owned(),
        x: Axis::log2("nodes n"),
        y: Axis::linear("steps"),
        series: vec![
            Series::new("ours, mean", Role::Ours, ours(|got| got.0)),
            Series::new("ours, 99th percentile", Role::Other, ours(|got| got.1)),
            Series::new(
                "ceil(log2 n)",
                Role::Published,
                sizes.iter().map(|&nodes| (nodes as f64, (nodes as f64).log2().ceil())),
            ),
        ],
    });
    outcome.plots.push(Plot {
        title: "Requests of a lookup".to_owned(),
        x: Axis::log2("nodes n"),
        y: Axis::linear("requests"),
        series: vec![Series::new("ours, mean", Role::Ours, ours(|got| got.2))],
    });
    outcome.note(
        "A bucket of k = 20 skips several bits at once, so that steps stay well below the bound; \
         most requests go to the k nearest, all of which must answer before a lookup ends.",
    );
    Ok(outcome)
}
