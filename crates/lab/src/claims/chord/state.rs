//! What a node must remember of others.

use dht::chord::Config;
use sim::Link;

use super::Ring;
use crate::claim::{Claim, Provenance};
use crate::claims::mean;
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "lecture.chord.state",
    title: "A node knows O(log N) others",
    says: "A node keeps O(log N) pointers: of its fingers only about log2 N are different nodes.",
    source: "Lectures on Chord; comparison of Napster, Gnutella and Chord",
    provenance: Provenance::Text,
    params: &[Param {
        name: "nodes",
        what: "nodes N",
        kind: Kind::Integers(4, 1 << 20),
        paper: "16,64,256,1024,4096,16384,65536,262144",
        small: "16,256,4096",
    }],
    seconds: 5,
    measure,
};

/// Fingers at small distances fall on few nodes, by chance: log2 N, give or take one.
const GIVE_OR_TAKE: f64 = 1.0;

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let sizes = run.params.ints("nodes");
    let measured = run.map(
        sizes,
        |nodes| *nodes as f64,
        |&nodes, _| {
            let config = Config { successors: 1, tick: None, ..Config::default() };
            let ring = Ring::standing(run.seed_of(nodes), nodes as usize, Link::default(), config);
            let fingers: Vec<f64> =
                ring.world.nodes().map(|(_, chord)| chord.fingers().len() as f64).collect();
            let bytes: Vec<f64> =
                ring.world.nodes().map(|(_, chord)| chord.memory() as f64).collect();
            (mean(&fingers), mean(&bytes))
        },
    );
    let mut outcome = Outcome::default();
    for (&nodes, &(fingers, _)) in sizes.iter().zip(&measured) {
        let what = format!("different fingers, N = {nodes}");
        let expected = (nodes as f64).log2();
        outcome.check(Check::new(what, fingers, expected, Tolerance::Absolute(GIVE_OR_TAKE)));
    }
    let ours = |part: fn(&(f64, f64)) -> f64| {
        sizes.iter().zip(&measured).map(move |(&nodes, row)| (nodes as f64, part(row)))
    };
    outcome.plots.push(Plot {
        title: "Different nodes among the fingers".to_owned(),
        x: Axis::log2("nodes N"),
        y: Axis::linear("nodes"),
        series: vec![
            Series::new("ours", Role::Ours, ours(|row| row.0)),
            Series::new(
                "log2 N",
                Role::Formula,
                sizes.iter().map(|&nodes| (nodes as f64, (nodes as f64).log2())),
            ),
        ],
    });
    outcome.plots.push(Plot {
        title: "Memory of a node at rest, one successor".to_owned(),
        x: Axis::log2("nodes N"),
        y: Axis::linear("bytes"),
        series: vec![Series::new("ours", Role::Ours, ours(|row| row.1))],
    });
    Ok(outcome)
}
