//! What it costs to join.

use std::sync::Arc;
use std::time::Duration;

use dht::chord::{Chord, Config};
use machine::dht::Command;
use machine::{OpId, Rng};
use sim::Link;

use super::Ring;
use crate::claim::{Claim, Provenance};
use crate::claims::mean;
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "lecture.chord.join_cost",
    title: "Joining costs O(log² N) messages",
    says: "A node that joins looks up each of its log N fingers, at O(log N) each: O(log² N) \
           messages.",
    source: "Lectures on Chord; Stoica et al., SIGCOMM 2001, section 4.4",
    provenance: Provenance::Text,
    params: &[
        Param {
            name: "nodes",
            what: "nodes N before the join",
            kind: Kind::Integers(4, 1 << 18),
            paper: "64,256,1024,4096,16384,65536",
            small: "64,256,1024",
        },
        Param {
            name: "joins",
            what: "joins for each size",
            kind: Kind::Integer(1, 100_000),
            paper: "200",
            small: "20",
        },
    ],
    seconds: 10,
    measure,
};

/// The order is claimed, not the factor: over all sizes it may vary by as much as this.
const STEADY: f64 = 1.5;

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (sizes, joins) = (run.params.ints("nodes"), run.params.int("joins"));
    let config = Config { successors: 1, tick: None, merge_every: 0, ..Config::default() };
    let messages = run.map(
        sizes,
        |nodes| *nodes as f64 + 1_000.0,
        |&nodes, tell| {
            let seed = run.seed_of(nodes);
            let mut ring = Ring::standing(seed, nodes as usize, Link::default(), config.clone());
            let mut rng = Rng::new(seed);
            let shared = Arc::new(config.clone());
            let mut sent = Vec::new();
            for number in 0..joins {
                let before = ring.world.counts().sent;
                let node = ring.world.spawn(|node| Chord::new(node, shared.clone()));
                let known = rng.pick(&ring.nodes).copied().into_iter().collect();
                ring.world.command(node, OpId(0), Command::Join { known });
                ring.world.run_for(Duration::from_secs(120));
                ring.world.drain_events().for_each(drop);
                sent.push((ring.world.counts().sent - before) as f64);
                tell((number + 1) as f64 / joins as f64);
            }
            mean(&sent)
        },
    );
    let square = |nodes: u64| (nodes as f64).log2().powi(2);
    let factors: Vec<f64> =
        sizes.iter().zip(&messages).map(|(&nodes, sent)| sent / square(nodes)).collect();
    let (least, most) =
        factors.iter().fold((f64::INFINITY, 0.0f64), |(a, b), &f| (a.min(f), b.max(f)));
    let mut outcome = Outcome::default();
    outcome.check(Check::at_most(
        "messages / log2² N: greatest over least, all sizes",
        most / least,
        STEADY,
    ));
    outcome.check(Check::at_most("messages / log2² N: greatest", most, 2.0));
    let points = sizes.iter().zip(&messages).map(|(&nodes, &sent)| (nodes as f64, sent));
    outcome.plots.push(Plot {
        title: "Messages of one join".to_owned(),
        x: Axis::log2("nodes N"),
        y: Axis::linear("messages"),
        series: vec![
            Series::new("ours", Role::Ours, points),
            Series::new(
                "log2² N",
                Role::Formula,
                sizes.iter().map(|&nodes| (nodes as f64, square(nodes))),
            ),
        ],
    });
    outcome.note(
        "Requests and answers count alike, from the first question to the last finger. The fingers \
         of others that should now point to the newcomer are found by their own upkeep.",
    );
    Ok(outcome)
}
