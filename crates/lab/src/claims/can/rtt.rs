//! Forwarding to where most is gained for the time that a hop takes.

use dht::can::{Config, Point};
use machine::Rng;

use super::{DOMAINS, ROUTERS, Torus, millis, network};
use crate::claim::{Claim, Provenance};
use crate::claims::mean;
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "can.rtt_weighted",
    title: "Routing by gain for each millisecond shortens hops",
    says: "Forwarding by the ratio of progress to round-trip time brings the time of a hop from 116 ms \
           to 88, 76, 71 and 71 ms in two to five dimensions.",
    source: "Ratnasamy et al., SIGCOMM 2001, section 3.3, table 1",
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

/// Dimensions, and milliseconds of a hop with and without weights, as published.
const PUBLISHED: [(u64, f64, f64); 4] =
    [(2, 116.8, 88.3), (3, 116.7, 76.1), (4, 115.8, 71.2), (5, 115.4, 70.9)];

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, lookups) = (run.params.int("nodes"), run.params.int("lookups"));
    let cases: Vec<(u64, bool)> =
        PUBLISHED.iter().flat_map(|row| [(row.0, false), (row.0, true)]).collect();
    let latency = network(run.params.int("domains"), run.params.int("routers"));
    let measured = run.map(
        &cases,
        |(d, _)| *d as f64,
        |&(d, rtt_weighted), _| {
            let mut rng = Rng::new(run.seed_of(d));
            let dimensions = d as usize;
            let config =
                Config { dimensions, rtt_weighted, uniform_partition: false, ..Config::default() };
            let rtt = |from, to| (2.0 * millis(&latency, from, to)) as u16;
            let torus = Torus::standing(nodes, config, &mut rng, rtt);
            let mut hops = Vec::new();
            for _ in 0..lookups {
                let way = torus.walk(torus.any(&mut rng), Point(rng.next_u64()));
                hops.extend(way.windows(2).map(|hop| millis(&latency, hop[0], hop[1])));
            }
            mean(&hops)
        },
    );
    let mut outcome = Outcome::default();
    for ((d, plain, weighted), ours) in PUBLISHED.iter().zip(measured.chunks(2)) {
        let what = format!("time of a hop with weights by that without, d = {d}");
        let (ours, expected) = (ours[1] / ours[0], weighted / plain);
        outcome.check(Check::new(what, ours, expected, Tolerance::Relative(0.15)));
    }
    let of = |weighted: usize| {
        let rows = PUBLISHED.iter().zip(measured.chunks(2));
        rows.map(move |(row, ours)| (row.0 as f64, ours[weighted])).collect::<Vec<_>>()
    };
    outcome.plots.push(Plot {
        title: "Milliseconds of a hop".to_owned(),
        x: Axis::linear("dimensions"),
        y: Axis::linear("ms"),
        series: vec![
            Series::new("ours, without weights", Role::Other, of(0)),
            Series::new("ours, weighted", Role::Ours, of(1)),
            Series::new("published", Role::Published, PUBLISHED.map(|row| (row.0 as f64, row.2))),
        ],
    });
    outcome.note(
        "The paper says what its links take and that two nodes are 115 ms apart on average, not how \
         its network was drawn, on which all depends. Here nodes are 22, 122 or 222 ms apart. With \
         domains=1 routers=4, 97 ms on average, the gain is within tolerance too; with domains=1 \
         routers=16 nearly all nodes are 122 ms apart, and a tenth is gained at most.",
    );
    Ok(outcome)
}
