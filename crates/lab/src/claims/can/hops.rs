//! Hops and neighbours against nodes and dimensions.

use dht::can::{Config, Point};
use machine::Rng;

use super::Torus;
use crate::claim::{Claim, Provenance};
use crate::claims::mean;
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "can.hops.dimensions",
    title: "Hops grow with the d-th root of N",
    says: "In d dimensions a lookup takes about d/4 N^(1/d) hops, and a node has about 2d neighbours.",
    source: "Ratnasamy et al., SIGCOMM 2001, section 3.1, figure 4; the lecture on CAN",
    provenance: Provenance::Curve,
    params: &[
        Param {
            name: "nodes",
            what: "nodes N",
            kind: Kind::Integers(2, 1 << 20),
            paper: "256,1024,4096,16384,65536,262144",
            small: "256,1024",
        },
        Param {
            name: "dimensions",
            what: "dimensions d",
            kind: Kind::Integers(1, 16),
            paper: "2,3,4,5",
            small: "2,3",
        },
        Param {
            name: "lookups",
            what: "lookups of random places",
            kind: Kind::Integer(10, 1_000_000),
            paper: "4000",
            small: "1000",
        },
    ],
    seconds: 60,
    measure,
};

/// Nodes, and mean hops in 2, 3, 4 and 5 dimensions, as published.
const PUBLISHED: [(u64, [f64; 4]); 11] = [
    (256, [7.0, 4.3, 3.4, 3.5]),
    (512, [9.3, 5.0, 4.2, 4.0]),
    (1_024, [12.3, 6.1, 5.1, 4.5]),
    (2_048, [18.1, 8.2, 5.9, 5.0]),
    (4_096, [25.9, 10.0, 7.0, 5.9]),
    (8_192, [36.6, 12.3, 8.0, 6.9]),
    (32_768, [72.2, 18.7, 11.5, 8.8]),
    (65_536, [101.5, 23.0, 13.2, 9.9]),
    (131_072, [144.3, 30.3, 15.2, 11.6]),
    (262_144, [201.4, 38.4, 18.7, 13.5]),
    (524_288, [286.4, 47.9, 23.0, 15.4]),
];

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (sizes, dimensions) = (run.params.ints("nodes"), run.params.ints("dimensions"));
    let lookups = run.params.int("lookups");
    let points: Vec<(u64, u64)> =
        dimensions.iter().flat_map(|&d| sizes.iter().map(move |&nodes| (d, nodes))).collect();
    let measured = run.map(
        &points,
        |(_, nodes)| *nodes as f64,
        |&(d, nodes), _| {
            let mut rng = Rng::new(run.seed_of(nodes * 16 + d));
            // The bare system: random splits.
            let config =
                Config { dimensions: d as usize, uniform_partition: false, ..Config::default() };
            let torus = Torus::standing(nodes, config, &mut rng, |_, _| 1);
            let hops: Vec<f64> = (0..lookups)
                .map(|_| {
                    let (from, point) = (torus.any(&mut rng), Point(rng.next_u64()));
                    (torus.walk(from, point).len() - 1) as f64
                })
                .collect();
            let beside: Vec<f64> =
                torus.nodes.iter().map(|it| it.topology().neighbours().count() as f64).collect();
            (mean(&hops), mean(&beside))
        },
    );
    let mut outcome = Outcome::default();
    for (&(d, nodes), &(hops, beside)) in points.iter().zip(&measured) {
        let row = PUBLISHED.iter().find(|row| row.0 == nodes);
        if let (Some((_, published)), 2..=5) = (row, d) {
            let what = format!("mean hops, d = {d}, N = {nodes}");
            let expected = published[d as usize - 2];
            outcome.check(Check::new(what, hops, expected, Tolerance::Relative(0.07)));
        }
        let what = format!("mean neighbours, d = {d}, N = {nodes}");
        let most = 2.0 * d as f64 * 1.35;
        outcome.check(Check::at_most(what, beside, most));
    }
    let mut series = Vec::new();
    for &d in dimensions {
        let rows = points.iter().zip(&measured).filter(|((of, _), _)| *of == d);
        let ours: Vec<_> = rows.map(|((_, nodes), row)| (*nodes as f64, row.0)).collect();
        let formula: Vec<_> =
            ours.iter().map(|&(n, _)| (n, d as f64 / 4.0 * n.powf(1.0 / d as f64))).collect();
        series.push(Series::new(format!("ours, d = {d}"), Role::Ours, ours));
        series.push(Series::new(format!("d/4 N^(1/d), d = {d}"), Role::Formula, formula));
    }
    outcome.plots.push(Plot {
        title: "Hops of a lookup".to_owned(),
        x: Axis::log2("nodes"),
        y: Axis::log2("hops"),
        series,
    });
    Ok(outcome)
}
