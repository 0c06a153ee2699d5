//! Seeds that leave early: how many copies must be out before the seed may go.

use sim::stream::Access;

use super::{ORDERS, PIECE_KIB, swarm};
use crate::claim::{Claim, Provenance};
use crate::claims::mean;
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;
use crate::swarm::{Leecher, Scenario};

pub(crate) static CLAIM: Claim = Claim {
    id: "distribution.seed_leaves",
    title: "Seeds that leave early",
    says: "Rarest first replicates what only the seed has before the seed may leave: little more \
           than one copy must be sent before the swarm can live without it, and less than with \
           pieces in random order or in sequence.",
    source: "Lectures on BitTorrent (Cohen 2003): why rarest first",
    provenance: Provenance::Derived,
    params: &[
        Param {
            name: "nodes",
            what: "leechers",
            kind: Kind::Integer(2, 1_000),
            paper: "20",
            small: "8",
        },
        Param {
            name: "file",
            what: "size of the file, MiB",
            kind: Kind::Integer(1, 16_384),
            paper: "64",
            small: "16",
        },
        Param {
            name: "copies",
            what: "copies that the seed sends before it is gone",
            kind: Kind::Reals(0.1, 100.0),
            paper: "0.9,1,1.1,1.2,1.3,1.4,1.6,1.8,2,2.5,3,4",
            small: "0.9,1.2,2",
        },
        Param {
            name: "runs",
            what: "runs of each",
            kind: Kind::Integer(1, 100),
            paper: "5",
            small: "2",
        },
        PIECE_KIB,
    ],
    seconds: 60,
    measure,
};

/// Bytes per second that everybody sends.
const UP: u64 = 256 * 1024;

/// Copies by which rarest first must have put every piece among the leechers.
const ENOUGH: f64 = 1.4;

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, mebibytes) = (run.params.int("nodes"), run.params.int("file"));
    let (piece_kib, runs) = (run.params.int("piece"), run.params.int("runs"));
    let all_copies = run.params.reals("copies");
    let mut jobs = Vec::new();
    for &copies in all_copies {
        for (order, _) in ORDERS {
            jobs.extend((0..runs).map(|number| (copies, order, number)));
        }
    }
    // What a leecher has at the end, of all that there is.
    let shares = run.map(
        &jobs,
        |_| 1.0,
        |&(copies, order, number), tell| {
            let access = Access { up: Some(UP), down: Some(16 * UP) };
            let leechers = vec![Leecher { access, rides: false }; nodes as usize];
            let swarm = swarm(run.seed_of(number), (mebibytes, piece_kib), access, leechers);
            let source_leaves_after = Some((copies * (mebibytes << 20) as f64) as u64);
            let end = Scenario { order, source_leaves_after, ..swarm }.run(tell);
            let whole = end.done.iter().filter(|at| at.is_finite()).count();
            (whole as f64 / nodes as f64, mean(&end.progress))
        },
    );
    let mut whole = ORDERS.map(|_| Vec::new());
    let mut had = ORDERS.map(|_| Vec::new());
    let per_order = runs as usize;
    for (&copies, shares) in all_copies.iter().zip(shares.chunks(ORDERS.len() * per_order)) {
        for (which, shares) in shares.chunks(per_order).enumerate() {
            let of =
                |part: fn(&(f64, f64)) -> f64| mean(&shares.iter().map(part).collect::<Vec<_>>());
            whole[which].push((copies, of(|share| share.0) * 100.0));
            had[which].push((copies, of(|share| share.1) * 100.0));
        }
    }
    let mut outcome = Outcome::default();
    for (place, &copies) in all_copies.iter().enumerate() {
        let [rarest, random, sequence] = [0, 1, 2].map(|which| had[which][place].1);
        let what = |of: &str| format!("{of}, % of the file left, after {copies} copies");
        if copies < 1.0 {
            let most = 100.0 * copies.ceil();
            outcome.check(Check::at_most(what("rarest first"), rarest, most - 1e-9));
        } else {
            outcome.check(Check::at_least(what("rarest first - random"), rarest - random, 0.0));
            outcome.check(Check::at_least(what("rarest first - sequence"), rarest - sequence, 0.0));
        }
        if copies >= ENOUGH {
            let what = format!("rarest first, % of leechers whole after {copies} copies");
            outcome.check(Check::at_least(what, whole[0][place].1, 100.0));
        }
    }
    let roles = [Role::Ours, Role::Other, Role::Other];
    let mut plot = |title: &str, label: &str, curves: [Vec<(f64, f64)>; 3]| {
        let series = curves.into_iter().zip(ORDERS).zip(roles);
        outcome.plots.push(Plot {
            title: title.to_owned(),
            x: Axis::linear("copies sent by the seed before it left"),
            y: Axis::linear(label),
            series: series
                .map(|((points, (_, name)), role)| Series::new(name, role, points))
                .collect(),
        });
    };
    plot("Leechers that got everything", "% of the leechers", whole);
    plot("What the leechers had when nothing moved any more", "% of the file", had);
    outcome.note(
        "The lectures state the order, not by how much: what decides here is that rarest first \
         leaves at least as much of the file alive as the others, and loses nothing once 1.4 copies \
         are out (our figure).",
    );
    Ok(outcome)
}
