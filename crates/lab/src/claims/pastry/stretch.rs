//! How much longer ways are than they would have to be, and where on them the long hops are.

use dht::pastry::Config;
use machine::Rng;

use super::super::prefix::{distance, length};
use super::{Network, still};
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "pastry.stretch",
    title: "Pastry's ways are a third longer than straight ones",
    says: "With tables filled by proximity as nodes join, the ways of lookups are 30 to 40 % longer \
           than the distance between their ends; the first hops are short and the last ones long.",
    source: "Rowstron and Druschel, Middleware 2001, section 3.2, figure 6; the lecture on Pastry",
    provenance: Provenance::Curve,
    params: &[
        Param {
            name: "nodes",
            what: "nodes, which join one after the other",
            kind: Kind::Integers(2, 1 << 20),
            paper: "1000,2000,4000,5000,10000,20000,40000,60000,100000",
            small: "500",
        },
        Param {
            name: "lookups",
            what: "messages",
            kind: Kind::Integer(1, 10_000_000),
            paper: "200000",
            small: "5000",
        },
        Param {
            name: "second_stage",
            what: "entries of each row that a new node asks for theirs",
            kind: Kind::Integer(0, 255),
            paper: "255",
            small: "255",
        },
        Param {
            name: "second_neighbours",
            what: "near nodes that it asks for their tables",
            kind: Kind::Integer(0, 32),
            paper: "32",
            small: "32",
        },
        Param {
            name: "to_nodes",
            what: "whether messages go to nodes (1), rather than to random keys (0)",
            kind: Kind::Integer(0, 1),
            paper: "1",
            small: "1",
        },
        Param {
            name: "perfect",
            what: "whether each slot has the nearest node of all (1), rather than as nodes join (0)",
            kind: Kind::Integer(0, 1),
            paper: "0",
            small: "0",
        },
    ],
    seconds: 600,
    measure,
};

const PUBLISHED: [(u64, f64); 9] = [
    (1_000, 1.33),
    (2_000, 1.32),
    (4_000, 1.30),
    (5_000, 1.31),
    (10_000, 1.35),
    (20_000, 1.37),
    (40_000, 1.33),
    (60_000, 1.32),
    (100_000, 1.34),
];
/// Hops whose lengths are told apart.
const HOPS: usize = 8;

struct Measured {
    stretch: f64,
    entries: f64,
    /// The mean length of the first hop, the second, and so on, as a share of the plane's side.
    hops: [f64; HOPS],
}

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (lookups, second) = (run.params.int("lookups"), run.params.int("second_stage"));
    let near = run.params.int("second_neighbours");
    let (to_nodes, perfect) = (run.params.int("to_nodes") > 0, run.params.int("perfect") > 0);
    let sizes = run.params.ints("nodes");
    let measured = run.map(
        sizes,
        |nodes| *nodes as f64,
        |&nodes, tell| {
            let seed = run.seed_of(nodes);
            let config = still(Config {
                second_stage: second as usize,
                second_neighbours: near as usize,
                ..Config::default()
            });
            let network = if perfect {
                Network::standing(seed, nodes as usize, usize::MAX, config)
            } else {
                Network::grown(seed, nodes as usize, config, tell)
            };
            look(&network, to_nodes, lookups, &mut Rng::new(seed))
        },
    );
    let mut outcome = Outcome::default();
    for (&nodes, got) in sizes.iter().zip(&measured) {
        if let Some((_, published)) = PUBLISHED.iter().find(|row| row.0 == nodes) {
            let what = format!("way over distance, N = {nodes}");
            outcome.check(Check::new(what, got.stretch, *published, Tolerance::Relative(0.05)));
        }
        if nodes == 100_000 {
            // The paper's 75 is the room in five rows of fifteen, of which the last is sparse.
            let what = "entries of a table, N = 100,000";
            outcome.check(Check::at_most(what, got.entries, 75.0));
        }
        let grows = got.hops[1] / got.hops[0].max(f64::MIN_POSITIVE);
        let what = format!("second hop over first, N = {nodes}");
        outcome.check(Check::at_least(what, grows, 1.5));
    }
    let xs = || sizes.iter().map(|&nodes| nodes as f64);
    outcome.plots.push(Plot {
        title: "Length of the way, of the straight one".to_owned(),
        x: Axis::log2("nodes"),
        y: Axis::linear("way over distance"),
        series: vec![
            Series::new("ours", Role::Ours, xs().zip(measured.iter().map(|got| got.stretch))),
            Series::new(
                "published",
                Role::Published,
                PUBLISHED.map(|(nodes, stretch)| (nodes as f64, stretch)),
            ),
            Series::new("complete tables", Role::Formula, xs().map(|nodes| (nodes, 1.0))),
        ],
    });
    if let (Some(nodes), Some(got)) = (sizes.last(), measured.last()) {
        outcome.plots.push(Plot {
            title: format!("Hops among {nodes} nodes: short ones first"),
            x: Axis::linear("hop"),
            y: Axis::linear("mean length, of the plane's side"),
            series: vec![Series::new(
                "ours",
                Role::Ours,
                (1..).zip(got.hops).filter(|(_, hop)| *hop > 0.0).map(|(at, hop)| (at.into(), hop)),
            )],
        });
    }
    outcome.note(
        "Each node joins by the nearest node that it finds by way of neighbourhood sets, measures \
         whom it hears of by pings, and takes in the nearest; the second stage asks all of its rows for theirs and all near nodes for \
         their tables, as the paper's does. The number is the sum of all ways over the sum of all \
         distances: near ends do not weigh more. With perfect=1 ways are those of the best tables that \
         there are: 1.298 among 4,000 nodes and 1.357 among 16,000, which are the paper's to within \
         one in a hundred. What brought ours there, among 4,000 nodes: 1.442 when near nodes were \
         neither asked nor told, 1.405 when they were asked, 1.358 when they were told, too, and 1.338 \
         with messages to nodes instead of random keys.",
    );
    Ok(outcome)
}

fn look(network: &Network, to_nodes: bool, lookups: u64, rng: &mut Rng) -> Measured {
    let (mut ways, mut straight) = (0.0, 0.0);
    let (mut lengths, mut counts) = ([0.0; HOPS], [0.0; HOPS]);
    for _ in 0..lookups {
        let (from, key) = if to_nodes { network.draw_two(rng) } else { network.draw(rng) };
        let way = network.way(from, &key);
        ways += length(&network.plane, &way);
        straight += way.last().map_or(0.0, |&end| distance(&network.plane, from, end));
        for (at, step) in way.windows(2).enumerate().take(HOPS) {
            lengths[at] += distance(&network.plane, step[0], step[1]);
            counts[at] += 1.0;
        }
    }
    let entries: usize = network.world.nodes().map(|(_, it)| it.topology().entries().len()).sum();
    let side = super::super::prefix::SIDE.as_nanos() as f64;
    let mut hops = lengths;
    for (hop, count) in hops.iter_mut().zip(counts) {
        // Few ways are as long as that: their hops say little.
        *hop = if count * 100.0 < lookups as f64 { 0.0 } else { *hop / count / side };
    }
    Measured {
        stretch: ways / straight.max(f64::MIN_POSITIVE),
        entries: entries as f64 / network.nodes.len() as f64,
        hops,
    }
}
