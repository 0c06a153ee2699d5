//! Several realities: tori in each of which every node has a zone and every key a holder.

use dht::can::Config;

use super::look_up;
use crate::claim::{Claim, Provenance};
use crate::claims::mean;
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "can.hops.realities",
    title: "More realities shorten the way",
    says: "A node that has a zone in each of r tori forwards by the one in which it is nearest: hops \
           fall from 201 with one to 16 with four among 262,144 nodes of two dimensions.",
    source: "Ratnasamy et al., SIGCOMM 2001, section 3.2, figure 5",
    provenance: Provenance::Curve,
    params: &[
        Param {
            name: "nodes",
            what: "nodes N",
            kind: Kind::Integers(2, 1 << 19),
            paper: "1024,4096,65536",
            small: "1024",
        },
        Param {
            name: "lookups",
            what: "lookups of random places",
            kind: Kind::Integer(10, 1_000_000),
            paper: "4000",
            small: "500",
        },
    ],
    seconds: 20,
    measure,
};

/// Nodes, and mean hops with 1 to 4 realities, as published.
const PUBLISHED: [(u64, [f64; 4]); 3] = [
    (1_024, [13.2, 4.7, 3.5, 3.0]),
    (4_096, [24.6, 7.6, 5.4, 4.5]),
    (65_536, [98.2, 18.6, 12.3, 10.5]),
];

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (sizes, lookups) = (run.params.ints("nodes"), run.params.int("lookups"));
    let measured = run.map(
        sizes,
        |nodes| *nodes as f64,
        |&nodes, _| {
            [1, 2, 3, 4].map(|realities| {
                let seed = run.seed_of(nodes * 8 + realities as u64);
                let config = Config { realities, uniform_partition: false, ..Config::default() };
                mean(&look_up(nodes, config, lookups, seed))
            })
        },
    );
    let mut outcome = Outcome::default();
    for (&nodes, hops) in sizes.iter().zip(&measured) {
        if let Some((_, published)) = PUBLISHED.iter().find(|row| row.0 == nodes) {
            for (at, (&ours, &expected)) in hops.iter().zip(published).enumerate() {
                let what = format!("mean hops, r = {}, N = {nodes}", at + 1);
                outcome.check(Check::new(what, ours, expected, Tolerance::Relative(0.10)));
            }
        }
        let falls = hops.windows(2).filter(|pair| pair[1] < pair[0]).count();
        let what = format!("times that one more reality shortens the way, N = {nodes}");
        outcome.check(Check::new(what, falls as f64, 3.0, Tolerance::Absolute(0.0)));
    }
    let of = |at: usize| {
        let rows = sizes.iter().zip(&measured);
        let points: Vec<_> = rows.map(|(&nodes, row)| (nodes as f64, row[at])).collect();
        Series::new(format!("ours, r = {}", at + 1), Role::Ours, points)
    };
    outcome.plots.push(Plot {
        title: "Hops of a lookup, two dimensions".to_owned(),
        x: Axis::log2("nodes"),
        y: Axis::log2("hops"),
        series: (0..4).map(of).collect(),
    });
    outcome.note(
        "Hops are those that the machines report of lookups that they do by messages, from random \
         nodes to random keys. A node tells its neighbours its zones in all realities, so whoever \
         forwards weighs all of them: the paper's words leave open whether a neighbour counts only \
         in the reality in which it is one. If so, hops with four realities are twice as many.",
    );
    Ok(outcome)
}
