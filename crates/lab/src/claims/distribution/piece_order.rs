//! Rarest first against random and in sequence.

use sim::stream::Access;

use super::{ORDERS, PIECE_KIB, swarm};
use crate::claim::{Claim, Provenance};
use crate::claims::mean;
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;
use crate::swarm::{Leecher, Scenario};

pub(crate) static CLAIM: Claim = Claim {
    id: "distribution.piece_order",
    title: "Rarest first against random and in sequence",
    says: "Peers that fetch the rarest pieces first spread all pieces as soon as possible, so that \
           everybody has something that others lack. In sequence, all want the same from the seed.",
    source: "Lectures on BitTorrent (Cohen 2003): local rarest first",
    provenance: Provenance::Derived,
    params: &[
        Param {
            name: "nodes",
            what: "leechers",
            kind: Kind::Integer(2, 1_000),
            paper: "30",
            small: "8",
        },
        Param {
            name: "file",
            what: "size of the file, MiB",
            kind: Kind::Integer(1, 16_384),
            paper: "128",
            small: "16",
        },
        Param {
            name: "seed_up",
            what: "what the seed sends, in leechers' uplinks",
            kind: Kind::Reals(0.1, 100.0),
            paper: "0.5,1,2,4,8",
            small: "1,2",
        },
        Param {
            name: "runs",
            what: "runs of each",
            kind: Kind::Integer(1, 100),
            paper: "3",
            small: "1",
        },
        PIECE_KIB,
    ],
    seconds: 60,
    measure,
};

/// Bytes per second that a leecher sends.
const UP: u64 = 128 * 1024;

/// How often a peer chooses anew whom it sends to (Cohen 2003, section 3.2), in seconds. Nobody's
/// time is told more exactly by the order of pieces than by when the last choice was.
const ROUND: f64 = 10.0;

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, mebibytes) = (run.params.int("nodes"), run.params.int("file"));
    let (piece_kib, runs) = (run.params.int("piece"), run.params.int("runs"));
    let shares = run.params.reals("seed_up");
    let len = (mebibytes << 20) as f64;
    let fluid = |share: f64| {
        let up = UP as f64;
        (len / (share * up)).max(nodes as f64 * len / (share * up + nodes as f64 * up))
    };
    let mut jobs = Vec::new();
    for &share in shares {
        for (order, _) in ORDERS {
            jobs.extend((0..runs).map(|number| (share, order, number)));
        }
    }
    let times = run.map(
        &jobs,
        |_| 1.0,
        |&(share, order, number), tell| {
            let access = Access { up: Some(UP), down: Some(16 * UP) };
            let source = Access { up: Some((share * UP as f64) as u64), down: None };
            let leechers = vec![Leecher { access, rides: false }; nodes as usize];
            let swarm = swarm(run.seed_of(number), (mebibytes, piece_kib), source, leechers);
            Scenario { order, ..swarm }.run(tell).last()
        },
    );
    let mut outcome = Outcome::default();
    let mut curves = ORDERS.map(|(_, name)| (name, Vec::new()));
    for (&share, times) in shares.iter().zip(times.chunks(ORDERS.len() * runs as usize)) {
        let means: Vec<f64> = times.chunks(runs as usize).map(mean).collect();
        for ((_, curve), took) in curves.iter_mut().zip(&means) {
            curve.push((share, took / fluid(share)));
        }
        let what = |other| format!("time, {other} / rarest first, seed sends {share} uplinks");
        let least = 1.0 - ROUND / means[0];
        outcome.check(Check::at_least(what("random"), means[1] / means[0], least));
        outcome.check(Check::at_least(what("in sequence"), means[2] / means[0], least));
    }
    let roles = [Role::Ours, Role::Other, Role::Other];
    outcome.plots.push(Plot {
        title: "Time until the last leecher is done, over a fluid’s".to_owned(),
        x: Axis::log2("what the seed sends, in leechers’ uplinks"),
        y: Axis::linear("times the fluid bound"),
        series: curves
            .into_iter()
            .zip(roles)
            .map(|((name, points), role)| Series::new(name, role, points))
            .collect(),
    });
    outcome.note(
        "The lectures state the order, not by how much: what decides here is that neither of the \
         others is faster, on the mean of the runs, by more than one round of the choker: peers \
         choose every ten seconds whom they send to (Cohen 2003), and less than that says nothing of \
         the order. Where the seed sends eight \
         uplinks nothing is rare for long, and the order of pieces decides nothing.",
    );
    Ok(outcome)
}
