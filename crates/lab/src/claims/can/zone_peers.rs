//! Zones that several nodes share, of whom a node knows the nearest.

use dht::can::{Config, Point};
use machine::Rng;

use super::{DOMAINS, ROUTERS, Torus, millis, network};
use crate::claim::{Claim, Provenance};
use crate::claims::mean;
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "can.zone_peers",
    title: "Zones that several nodes share shorten hops, and ways",
    says: "With up to one, two, three and four nodes in a zone, of whom each neighbour knows the \
           nearest, a hop takes 116, 93, 73 and 64 ms.",
    source: "Ratnasamy et al., SIGCOMM 2001, section 3.4, table 2",
    provenance: Provenance::Text,
    params: &[
        Param {
            name: "nodes",
            what: "nodes N",
            kind: Kind::Integer(64, 1 << 18),
            paper: "16384",
            small: "1024",
        },
        Param {
            name: "lookups",
            what: "lookups of random places",
            kind: Kind::Integer(10, 1_000_000),
            paper: "4000",
            small: "400",
        },
        DOMAINS,
        ROUTERS,
    ],
    seconds: 10,
    measure,
};

/// Most nodes of a zone, and milliseconds of a hop, as published.
const PUBLISHED: [(usize, f64); 4] = [(1, 116.4), (2, 92.8), (3, 72.9), (4, 64.4)];

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, lookups) = (run.params.int("nodes"), run.params.int("lookups"));
    let latency = network(run.params.int("domains"), run.params.int("routers"));
    let measured = run.map(
        &PUBLISHED,
        |_| 1.0,
        |&(zone_peers, _), _| {
            let mut rng = Rng::new(run.seed_of(zone_peers as u64));
            let config = Config { zone_peers, uniform_partition: false, ..Config::default() };
            let rtt = |from, to| (2.0 * millis(&latency, from, to)) as u16;
            let torus = Torus::standing(nodes, config, &mut rng, rtt);
            let (mut times, mut hops) = (Vec::new(), Vec::new());
            for _ in 0..lookups {
                let way = torus.walk(torus.any(&mut rng), Point(rng.next_u64()));
                hops.push((way.len() - 1) as f64);
                times.extend(way.windows(2).map(|hop| millis(&latency, hop[0], hop[1])));
            }
            (mean(&times), mean(&hops))
        },
    );
    let mut outcome = Outcome::default();
    let (alone, ways) = (measured[0].0, measured[0].1);
    for (&(peers, published), &(time, hops)) in PUBLISHED.iter().zip(&measured).skip(1) {
        let what = format!("time of a hop with {peers} in a zone by that with one");
        let expected = published / PUBLISHED[0].1;
        outcome.check(Check::new(what, time / alone, expected, Tolerance::Relative(0.15)));
        let what = format!("hops with {peers} in a zone by those with one");
        outcome.check(Check::at_most(what, hops / ways, 1.0));
    }
    let points = |of: fn(&(f64, f64)) -> f64| {
        let rows = PUBLISHED.iter().zip(&measured);
        rows.map(move |(row, ours)| (row.0 as f64, of(ours))).collect::<Vec<_>>()
    };
    outcome.plots.push(Plot {
        title: "Milliseconds of a hop".to_owned(),
        x: Axis::linear("most nodes of a zone"),
        y: Axis::linear("ms"),
        series: vec![
            Series::new("ours", Role::Ours, points(|row| row.0)),
            Series::new("published", Role::Published, PUBLISHED.map(|row| (row.0 as f64, row.1))),
        ],
    });
    outcome.plots.push(Plot {
        title: "Hops of a lookup".to_owned(),
        x: Axis::linear("most nodes of a zone"),
        y: Axis::linear("hops"),
        series: vec![Series::new("ours", Role::Ours, points(|row| row.1))],
    });
    outcome.note(
        "Joiners share the zone that they hit until it is full, then it is halved. How the paper's \
         network was drawn is not known; here nodes are 22, 122 or 222 ms apart, as for weighted \
         routing.",
    );
    Ok(outcome)
}
