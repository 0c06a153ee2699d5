//! How many lookups take how many hops.

use dht::pastry::Config;
use machine::Rng;

use super::{Network, SAMPLES, still};
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "pastry.hops.distribution",
    title: "Nearly all lookups in Pastry take as many hops as there are digits",
    says: "Among 100,000 nodes 64 % of the lookups take four hops, and none more than five, which \
           is log16 N rounded up.",
    source: "Rowstron and Druschel, Middleware 2001, section 3.1, figure 5",
    provenance: Provenance::Text,
    params: &[
        Param {
            name: "nodes",
            what: "nodes N",
            kind: Kind::Integer(2, 1 << 20),
            paper: "100000",
            small: "2000",
        },
        Param {
            name: "lookups",
            what: "lookups of random keys",
            kind: Kind::Integer(1, 10_000_000),
            paper: "200000",
            small: "20000",
        },
    ],
    seconds: 15,
    measure,
};

const PUBLISHED: [f64; 7] = [0.0000, 0.0006, 0.0156, 0.1643, 0.6449, 0.1745, 0.0000];
const PUBLISHED_NODES: u64 = 100_000;

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, lookups) = (run.params.int("nodes"), run.params.int("lookups"));
    let counts = run.map(
        &[nodes],
        |_| 1.0,
        |&nodes, tell| {
            let seed = run.seed_of(nodes);
            let network =
                Network::standing(seed, nodes as usize, SAMPLES, still(Config::default()));
            tell(0.5);
            let (mut rng, mut counts) = (Rng::new(seed), [0u64; 32]);
            for _ in 0..lookups {
                let (from, key) = network.draw(&mut rng);
                counts[(network.way(from, &key).len() - 1).min(31)] += 1;
            }
            counts
        },
    );
    let share = |hops: usize| counts[0][hops] as f64 / lookups as f64;
    let most = counts[0].iter().rposition(|&count| count > 0).unwrap_or(0);
    let mut outcome = Outcome::default();
    if nodes == PUBLISHED_NODES {
        for (hops, &expected) in PUBLISHED.iter().enumerate() {
            let what = format!("share of lookups with {hops} hops");
            outcome.check(Check::new(what, share(hops), expected, Tolerance::Absolute(0.02)));
        }
    }
    let bound = ((nodes as f64).log2() / 4.0).ceil();
    outcome.check(Check::at_most("most hops, at most log16 N rounded up", most as f64, bound));
    outcome.plots.push(Plot {
        title: format!("Hops among {nodes} nodes"),
        x: Axis::linear("hops"),
        y: Axis::linear("share of the lookups"),
        series: vec![
            Series::new("ours", Role::Ours, (0..=6).map(|hops| (hops as f64, share(hops)))),
            Series::new(
                "published, N = 100,000",
                Role::Published,
                PUBLISHED.iter().enumerate().map(|(hops, &share)| (hops as f64, share)),
            ),
        ],
    });
    Ok(outcome)
}
