//! Tit-for-tat against free riders.

use sim::stream::Access;

use super::{PIECE_KIB, swarm};
use crate::claim::{Claim, Provenance};
use crate::claims::mean;
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;
use crate::swarm::Leecher;

pub(crate) static CLAIM: Claim = Claim {
    id: "distribution.free_riders",
    title: "Tit-for-tat against free riders",
    says: "Who uploads gets blocks from those to whom it uploads; who does not is choked. Free \
           riders get the file later than those who give, whatever their share of the swarm.",
    source: "Lectures on BitTorrent (Cohen 2003): tit-for-tat with four slots and an optimistic one",
    provenance: Provenance::Derived,
    params: &[
        Param {
            name: "nodes",
            what: "leechers, free riders among them",
            kind: Kind::Integer(2, 1_000),
            paper: "40",
            small: "10",
        },
        Param {
            name: "riders",
            what: "share of free riders",
            kind: Kind::Reals(0.0, 0.99),
            paper: "0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9",
            small: "0,0.5",
        },
        Param {
            name: "file",
            what: "size of the file, MiB",
            kind: Kind::Integer(1, 16_384),
            paper: "256",
            small: "32",
        },
        Param {
            name: "seed_up",
            what: "what the seed sends, in leechers' uplinks",
            kind: Kind::Real(0.1, 100.0),
            paper: "4",
            small: "4",
        },
        Param {
            name: "runs",
            what: "runs of each",
            kind: Kind::Integer(1, 100),
            paper: "2",
            small: "1",
        },
        PIECE_KIB,
    ],
    seconds: 80,
    measure,
};

/// Bytes per second that a leecher sends.
const UP: u64 = 256 * 1024;

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, mebibytes) = (run.params.int("nodes"), run.params.int("file"));
    let (piece_kib, runs) = (run.params.int("piece"), run.params.int("runs"));
    let seed_up = run.params.real("seed_up");
    let shares = run.params.reals("riders");
    let riders = |share: f64| (share * nodes as f64).round() as usize;
    let jobs: Vec<(f64, u64)> =
        shares.iter().flat_map(|&share| (0..runs).map(move |number| (share, number))).collect();
    let times = run.map(
        &jobs,
        |_| 1.0,
        |&(share, number), tell| {
            let access = Access { up: Some(UP), down: Some(16 * UP) };
            let giving = nodes as usize - riders(share);
            let source = Access { up: Some((seed_up * UP as f64) as u64), down: None };
            let leechers = (0..nodes as usize)
                .map(|leecher| Leecher { access, rides: leecher >= giving })
                .collect();
            let swarm = swarm(run.seed_of(number), (mebibytes, piece_kib), source, leechers);
            let done = swarm.run(tell).done;
            (mean(&done[..giving]), mean(&done[giving..]))
        },
    );
    let len = (mebibytes << 20) as f64;
    let (mut givers, mut takers, mut fluid) = (Vec::new(), Vec::new(), Vec::new());
    let mut outcome = Outcome::default();
    for (&share, times) in shares.iter().zip(times.chunks(runs as usize)) {
        let giving: Vec<f64> = times.iter().map(|(giving, _)| *giving).collect();
        let riding: Vec<f64> = times.iter().map(|(_, riding)| *riding).collect();
        let (giving, riding) = (mean(&giving), mean(&riding));
        givers.push((share * 100.0, giving));
        let giving_up = (nodes as usize - riders(share)) as f64;
        let up = UP as f64;
        let capacity = seed_up * up + giving_up * up;
        fluid.push((share * 100.0, (nodes as f64 * len / capacity).max(len / (seed_up * up))));
        if riders(share) > 0 {
            takers.push((share * 100.0, riding));
            let what = format!("time, riders / givers, {:.0} % riders", share * 100.0);
            outcome.check(Check::at_least(what, riding / giving, 1.0));
        }
    }
    outcome.plots.push(Plot {
        title: "Mean time to the whole file".to_owned(),
        x: Axis::linear("free riders among the leechers, %"),
        y: Axis::linear("seconds"),
        series: vec![
            Series::new("those who give", Role::Ours, givers),
            Series::new("free riders", Role::Other, takers),
            Series::new("the last one, if all shared all capacity", Role::Formula, fluid),
        ],
    });
    outcome.note(
        "The lectures state that free riders are choked, not by how much it costs them: what \
         decides here is that they are later on average. They still get the file: from the seed, \
         which has nothing to trade and serves all in turns, and through optimistic unchokes. Givers \
         stay and serve when they are done.",
    );
    Ok(outcome)
}
