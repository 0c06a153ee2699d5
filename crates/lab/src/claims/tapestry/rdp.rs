//! The relative delay penalty: how much longer the way to a node takes than a direct message.

use dht::overlay::Rules;
use dht::tapestry::Config;
use machine::dht::Contact;

use super::super::percentile;
use super::super::prefix::{SIDE, distance, length};
use super::Network;
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "tapestry.rdp",
    title: "Tapestry's detours weigh on near nodes only",
    says: "The median relative delay penalty between two of 400 nodes falls from about 3 where they \
           are near each other to about 1 where they are far apart.",
    source: "Zhao et al., JSAC 22(1), 2004, section VI-B, figures 13 to 15",
    provenance: Provenance::Memory,
    params: &[
        Param {
            name: "nodes",
            what: "nodes",
            kind: Kind::Integer(16, 20_000),
            paper: "400",
            small: "400",
        },
        Param {
            name: "samples",
            what: "nodes that are measured for each slot",
            kind: Kind::Integer(1, 100_000),
            paper: "400",
            small: "400",
        },
    ],
    seconds: 2,
    measure,
};

/// Parts of the longest distance, in each of which the median is taken.
const PARTS: usize = 12;

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, samples) = (run.params.int("nodes"), run.params.int("samples"));
    let medians = run.map(
        &[nodes],
        |_| 1.0,
        |&nodes, _| {
            let config = Config { rules: Rules::standing(), ..Config::default() };
            let seed = run.seed_of(nodes);
            let network = Network::standing(seed, nodes as usize, samples as usize, config);
            let longest = SIDE.as_nanos() as f64 * 2f64.sqrt();
            let mut parts = vec![Vec::new(); PARTS];
            for &from in &network.nodes {
                for &to in network.nodes.iter().filter(|&&to| to != from) {
                    let straight = distance(&network.plane, from, to);
                    let way = length(&network.plane, &network.way(from, &to.key()));
                    let part = (straight / longest * PARTS as f64) as usize;
                    parts[part.min(PARTS - 1)].push(way / straight.max(1.0));
                }
            }
            // The last parts have few pairs, from corner to corner.
            parts.retain(|part| part.len() as u64 >= nodes);
            parts.iter_mut().map(|part| percentile(part, 0.5)).collect::<Vec<f64>>()
        },
    );
    let medians = &medians[0];
    let mut outcome = Outcome::default();
    if let [near, .., far] = medians[..] {
        let hint = Tolerance::Absolute(1.0);
        outcome.check(Check::new("median penalty, nearest twelfth", near, 3.0, hint));
        let hint = Tolerance::Absolute(0.6);
        outcome.check(Check::new("median penalty, farthest", far, 1.0, hint));
        outcome.check(Check::at_least("near over far", near / far, 1.5));
    }
    let x = |at: usize| (at as f64 + 0.5) / PARTS as f64;
    outcome.plots.push(Plot {
        title: "Relative delay penalty".to_owned(),
        x: Axis::linear("distance, of the longest there is"),
        y: Axis::linear("median penalty"),
        series: vec![
            Series::new("ours", Role::Ours, (0..).map(x).zip(medians.iter().copied())),
            Series::new("published, ends", Role::Published, [(x(0), 3.0), (x(PARTS - 2), 1.0)]),
        ],
    });
    outcome.note(
        "The paper's 400 nodes ran on 62 hosts of PlanetLab, several on each; ours are random points \
         of a square, so there are no ways of length zero. Its figures are recalled: a hint. \
         What is near here is in the table itself, and takes no detour.",
    );
    Ok(outcome)
}
