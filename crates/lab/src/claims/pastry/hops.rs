//! The mean number of hops, against the number of nodes.

use dht::pastry::Config;
use machine::Rng;

use super::{Network, SAMPLES, still};
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "pastry.hops",
    title: "Pastry's hops grow with the logarithm to base 16",
    says: "With digits of four bits a lookup takes a little less than log16 N hops, from 2.49 at \
           1,000 to 3.98 at 100,000 nodes.",
    source: "Rowstron and Druschel, Middleware 2001, section 3.1, figure 4",
    provenance: Provenance::Curve,
    params: &[
        Param {
            name: "nodes",
            what: "nodes N",
            kind: Kind::Integers(2, 1 << 20),
            paper: "1000,2000,4000,5000,10000,20000,40000,50000,100000",
            small: "1000",
        },
        Param {
            name: "lookups",
            what: "lookups of random keys",
            kind: Kind::Integer(1, 10_000_000),
            paper: "200000",
            small: "20000",
        },
        Param {
            name: "bits",
            what: "bits of a digit, b",
            kind: Kind::Integer(1, 8),
            paper: "4",
            small: "4",
        },
    ],
    seconds: 30,
    measure,
};

const PUBLISHED: [(u64, f64); 9] = [
    (1_000, 2.49),
    (2_000, 2.69),
    (4_000, 2.88),
    (5_000, 2.95),
    (10_000, 3.23),
    (20_000, 3.50),
    (40_000, 3.69),
    (50_000, 3.75),
    (100_000, 3.98),
];

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (lookups, bits) = (run.params.int("lookups"), run.params.int("bits"));
    let sizes = run.params.ints("nodes");
    let hops = run.map(
        sizes,
        |nodes| *nodes as f64,
        |&nodes, tell| {
            let seed = run.seed_of(nodes);
            let config = still(Config { bits: bits as u8, ..Config::default() });
            let network = Network::standing(seed, nodes as usize, SAMPLES, config);
            tell(0.5);
            let mut rng = Rng::new(seed);
            let mut hops = 0;
            for _ in 0..lookups {
                let (from, key) = network.draw(&mut rng);
                hops += network.way(from, &key).len() - 1;
            }
            hops as f64 / lookups as f64
        },
    );
    let mut outcome = Outcome::default();
    for (&nodes, &hops) in sizes.iter().zip(&hops) {
        if let Some((_, published)) = PUBLISHED.iter().find(|row| row.0 == nodes && bits == 4) {
            let what = format!("mean hops, N = {nodes}");
            outcome.check(Check::new(what, hops, *published, Tolerance::Relative(0.03)));
        }
    }
    let xs = || sizes.iter().map(|&nodes| nodes as f64);
    outcome.plots.push(Plot {
        title: "Hops of a lookup".to_owned(),
        x: Axis::log2("nodes"),
        y: Axis::linear("hops"),
        series: vec![
            Series::new("ours", Role::Ours, xs().zip(hops)),
            Series::new(
                "published",
                Role::Published,
                PUBLISHED.map(|(nodes, hops)| (nodes as f64, hops)),
            ),
            Series::new(
                "log N to the base of a digit",
                Role::Formula,
                xs().map(|nodes| (nodes, nodes.log2() / bits as f64)),
            ),
        ],
    });
    outcome.note(
        "Ways are followed through the tables of the machines, from one to the next: the hop to \
         whoever is responsible counts. Tables are full, each slot with the nearest of eight that \
         fit it.",
    );
    Ok(outcome)
}
