//! The bare system beside one with nearly all that the paper adds to it.

use dht::can::{Config, Point};
use machine::Rng;

use super::{DOMAINS, ROUTERS, Torus, millis, network};
use crate::claim::{Claim, Provenance};
use crate::claims::mean;
use crate::outcome::{Check, Outcome, Summary, Tolerance, number};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "can.full_system",
    title: "Ten dimensions, five nodes in a zone, weighted routing: stretch near one",
    says: "Among 262,144 nodes the bare CAN takes 198 hops and 23,008 ms; with ten dimensions, up to \
           four others in a zone, even zones and weighted routing 5.0 hops and 135 ms, to 27.1 \
           neighbours and 2.95 nodes that share the zone.",
    source: "Ratnasamy et al., SIGCOMM 2001, section 4, tables 4 and 5",
    provenance: Provenance::Text,
    params: &[
        Param {
            name: "nodes",
            what: "nodes N",
            kind: Kind::Integer(64, 1 << 18),
            paper: "262144",
            small: "1024",
        },
        Param {
            name: "lookups",
            what: "lookups of random places",
            kind: Kind::Integer(10, 1_000_000),
            paper: "2000",
            small: "300",
        },
        DOMAINS,
        ROUTERS,
    ],
    seconds: 60,
    measure,
};

/// What was published for 262,144 nodes: hops, neighbours, nodes that share the zone, and the time of
/// a lookup by that of the way between its ends.
const PUBLISHED: [(&str, [f64; 4]); 2] =
    [("bare", [198.0, 4.57, 0.0, 23_008.0 / 115.9]), ("all", [5.0, 27.1, 2.95, 135.29 / 82.4])];
const PUBLISHED_NODES: u64 = 1 << 18;

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, lookups) = (run.params.int("nodes"), run.params.int("lookups"));
    let latency = network(run.params.int("domains"), run.params.int("routers"));
    let bare = Config { uniform_partition: false, ..Config::default() };
    let all = Config {
        dimensions: 10,
        // The paper counts those whom one shares its zone with: none in the bare system.
        zone_peers: 1 + 4,
        uniform_partition: true,
        rtt_weighted: true,
        ..Config::default()
    };
    let measured = run.map(
        &[bare, all],
        |config| config.dimensions as f64,
        |config, _| {
            let mut rng = Rng::new(run.seed_of(config.dimensions as u64));
            let rtt = |from, to| (2.0 * millis(&latency, from, to)) as u16;
            let torus = Torus::standing(nodes, config.clone(), &mut rng, rtt);
            let (mut hops, mut took, mut direct) = (Vec::new(), 0.0, 0.0);
            for _ in 0..lookups {
                let way = torus.walk(torus.any(&mut rng), Point(rng.next_u64()));
                hops.push((way.len() - 1) as f64);
                took += way.windows(2).map(|hop| millis(&latency, hop[0], hop[1])).sum::<f64>();
                if let [first, .., last] = way[..] {
                    direct += millis(&latency, first, last);
                }
            }
            let (mut beside, mut peers) = (Vec::new(), Vec::new());
            for node in &torus.nodes {
                let tables = node.topology();
                let sharing =
                    tables.zones().map(|zone| tables.holders(zone).count()).sum::<usize>();
                peers.push(sharing as f64);
                beside.push((tables.neighbours().count() - sharing) as f64);
            }
            [mean(&hops), mean(&beside), mean(&peers), took / direct.max(f64::MIN_POSITIVE)]
        },
    );
    let mut outcome = Outcome::default();
    if nodes == PUBLISHED_NODES {
        for ((name, published), ours) in PUBLISHED.iter().zip(&measured) {
            let tenth = Tolerance::Relative(0.10);
            let mut check = |what: &str, at: usize, tolerance: Tolerance| {
                let what = format!("{name}: {what}");
                outcome.check(Check::new(what, ours[at], published[at], tolerance));
            };
            check("hops", 0, tenth);
            check("neighbours", 1, tenth);
            check("others in the zone", 2, tenth);
            // A factor of one and a half, for want of the paper's network.
            check("time by that of the direct way", 3, Tolerance::Relative(0.5));
        }
    }
    for (of, what) in [(0, "hops"), (3, "stretch")] {
        let what = format!("{what} with all by that of the bare system");
        outcome.check(Check::at_most(what, measured[1][of] / measured[0][of], 0.5));
    }
    outcome.summaries.push(Summary {
        title: format!("{nodes} nodes"),
        columns: ["hops", "neighbours", "others in the zone", "stretch"]
            .map(str::to_owned)
            .to_vec(),
        rows: PUBLISHED
            .iter()
            .zip(&measured)
            .map(|((name, _), row)| ((*name).to_owned(), row.map(number).to_vec()))
            .collect(),
    });
    outcome.note(
        "Both are tori that stand, walked by the routing of the machine. 262,144 nodes by four are \
         2^16 zones: of ten dimensions six are halved twice and four once. Such zones, if all are \
         alike, have 16 neighbours, and are 6 + 4/2 = 8 steps apart; the 5.0 hops and 27.1 neighbours \
         of the paper cannot be those of even zones. How its network was drawn it does not tell.",
    );
    Ok(outcome)
}
