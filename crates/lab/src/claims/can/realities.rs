//! Several tori at a time, each node in all of them.

use dht::can::{Config, Point};
use machine::Rng;
use sim::Node;

use super::Torus;
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

/// Hops from `from` to anybody who owns `point` in any of the tori: always to the neighbour that is
/// nearest to it in any of them, whichever torus it is a neighbour in.
fn walk(tori: &[Torus], from: Node, point: Point) -> f64 {
    let away = |node: Node| {
        let distances = tori
            .iter()
            .map(|torus| torus.node(node).topology().distance(point, torus.config.dimensions));
        distances.min().unwrap_or(0)
    };
    let (mut here, mut way) = (from, vec![from]);
    let mut left = away(here);
    while left > 0 {
        let beside = tori.iter().flat_map(|torus| torus.node(here).topology().neighbours());
        let next = beside.map(|node| (away(node), node)).min();
        let Some((nearest, next)) = next.filter(|(nearest, _)| *nearest < left) else {
            break;
        };
        (here, left) = (next, nearest);
        way.push(here);
    }
    // Where they stand in the first.
    tori[0].ways.borrow_mut().walked(&way);
    (way.len() - 1) as f64
}

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (sizes, lookups) = (run.params.ints("nodes"), run.params.int("lookups"));
    let measured = run.map(
        sizes,
        |nodes| *nodes as f64,
        |&nodes, _| {
            let mut rng = Rng::new(run.seed_of(nodes));
            let mut torus = || {
                let config = Config { uniform_partition: false, ..Config::default() };
                Torus::standing(nodes, config, &mut rng, |_, _| 1)
            };
            let tori: Vec<Torus> = (0..4).map(|_| torus()).collect();
            [1, 2, 3, 4].map(|realities| {
                let hops: Vec<f64> = (0..lookups)
                    .map(|_| {
                        let (from, point) = (tori[0].any(&mut rng), Point(rng.next_u64()));
                        walk(&tori[..realities], from, point)
                    })
                    .collect();
                mean(&hops)
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
        "A node knows its neighbours' zones in all tori, and forwards to whoever is nearest in any of \
         them: the paper's words leave open whether a neighbour counts only in the torus in which it \
         is one. If so, hops with four realities are twice as many.",
    );
    Ok(outcome)
}
