//! What is left of a network in which most share nothing.

use std::time::Duration;

use machine::Rng;

use super::{Layout, Overlay, popular};
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "search.free_riders",
    title: "Answers in a network in which 70 % share nothing",
    says: "70 % of the users only take. A search costs as much as ever, and finds what the other 30 % \
           have: three tenths of the answers, from three tenths of the peers.",
    source: "Lectures on Gnutella: problems (in 2000, 70 % were freeloaders)",
    provenance: Provenance::Derived,
    params: &[
        Param {
            name: "nodes",
            what: "peers of a random graph with 4 neighbours each",
            kind: Kind::Integer(20, 1_000),
            paper: "400",
            small: "100",
        },
        Param {
            name: "riders",
            what: "shares of the peers that share nothing",
            kind: Kind::Reals(0.0, 0.95),
            paper: "0,0.3,0.5,0.7,0.9",
            small: "0,0.7",
        },
    ],
    seconds: 15,
    measure,
};

/// Different files; the n-th is shared and searched for in proportion to 1 / n.
const FILES: u64 = 100;
/// Files of a peer that shares.
const SHARED: u32 = 5;
const SEARCHES: u32 = 100;

/// Of a search: answers, messages of queries, and whether it found anything.
type Row = (f64, f64, f64);

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let nodes = run.params.int("nodes") as u32;
    let riders = run.params.reals("riders");
    let rows: Vec<Row> = run.map(
        riders,
        |_| 1.0,
        |&riders, _| searches(run.seed_of(1), nodes, (f64::from(nodes) * riders) as u32),
    );
    let mut outcome = Outcome::default();
    if let (Some((&0.0, all)), Some((at, row))) = (
        riders.iter().zip(&rows).next(),
        riders.iter().zip(&rows).find(|(share, _)| **share == 0.7),
    ) {
        let what = format!("answers with {at} free riders, of those without");
        outcome.check(Check::new(
            what,
            row.0 / all.0.max(1e-9),
            1.0 - at,
            Tolerance::Absolute(0.08),
        ));
        let what = format!("queries sent with {at} free riders, of those without");
        outcome.check(Check::new(what, row.1 / all.1.max(1e-9), 1.0, Tolerance::Absolute(0.05)));
        outcome.check(Check::at_least("searches that find something all the same", row.2, 0.6));
    }
    let plot = |title: &str, y: &str, part: fn(&Row) -> f64| Plot {
        title: title.to_owned(),
        x: Axis::linear("share of the peers that share nothing"),
        y: Axis::linear(y),
        series: vec![Series::new(
            "ours",
            Role::Ours,
            riders.iter().zip(&rows).map(|(share, row)| (*share, part(row))).collect::<Vec<_>>(),
        )],
    };
    outcome.plots.push(plot("Answers to a search", "answers", |row| row.0));
    outcome.plots.push(plot("Searches that find something", "share", |row| row.2));
    outcome.note("Those who share nothing pass queries on like all others.");
    Ok(outcome)
}

fn searches(seed: u64, nodes: u32, riders: u32) -> Row {
    let layout = Layout::flat(seed, nodes, 4);
    let mut overlay = Overlay::of(seed, &layout, |config| config.pong_caching = true);
    let mut rng = Rng::new(seed);
    let mut order: Vec<u32> = (0..nodes).collect();
    rng.shuffle(&mut order);
    for node in &order[riders as usize..] {
        for _ in 0..SHARED {
            let file = popular(FILES, &mut rng);
            overlay.share(*node, &format!("song{file:02}.ogg"));
        }
    }
    overlay.run(Duration::from_secs(10));
    // The same questions of the same peers, whoever shares.
    let mut rng = Rng::new(seed ^ 1);
    let (mut answers, mut found) = (0, 0);
    let before = overlay.queries_sent();
    for _ in 0..SEARCHES {
        let (origin, file) = (rng.below(nodes.into()) as u32, popular(FILES, &mut rng));
        let (_, heard) = overlay.ask(origin, &format!("song{file:02}"), Duration::from_secs(5));
        answers += heard;
        found += usize::from(heard > 0);
    }
    let sent = overlay.queries_sent() - before;
    let of = |sum: usize| sum as f64 / f64::from(SEARCHES);
    (of(answers), sent as f64 / f64::from(SEARCHES), of(found))
}
