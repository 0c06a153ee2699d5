//! What keeping answers for others who ask the same spares.

use std::time::Duration;

use machine::Rng;

use super::{Layout, Overlay, popular};
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "search.query_caching",
    title: "Queries, before and after their answers are cached",
    says: "The same words are searched for again and again; peers that keep queries and their hits \
           answer without passing the query on.",
    source: "Lectures on Gnutella: problems (repeated searches), and their solutions",
    provenance: Provenance::Text,
    params: &[
        Param {
            name: "nodes",
            what: "peers of a random graph with 4 neighbours each",
            kind: Kind::Integer(20, 1_000),
            paper: "300",
            small: "60",
        },
        Param {
            name: "searches",
            what: "searches in ten minutes",
            kind: Kind::Integers(1, 2_000),
            paper: "50,100,200,400",
            small: "20,80",
        },
    ],
    seconds: 15,
    measure,
};

/// Files, of which the n-th is searched for in proportion to 1 / n.
const FILES: u64 = 20;
/// Peers that have one.
const COPIES: usize = 3;
const SPAN: Duration = Duration::from_secs(600);

/// What was seen: messages, and the share of searches that found something.
type Seen = (f64, f64);

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let nodes = run.params.int("nodes") as u32;
    let counts = run.params.ints("searches");
    let cases: Vec<_> = counts.iter().flat_map(|count| [(*count, false), (*count, true)]).collect();
    let measured = run.map(
        &cases,
        |(count, _)| *count as f64,
        |&(count, cached), _| {
            let layout = Layout::flat(run.seed_of(1), nodes, 4);
            let mut overlay = Overlay::of(run.seed_of(2), &layout, |config| {
                config.pong_caching = true;
                config.query_caching = cached.then_some(SPAN);
            });
            searches(&mut overlay, count, run.seed_of(count))
        },
    );
    let mut outcome = Outcome::default();
    let rows: Vec<(Seen, Seen)> = measured.chunks(2).map(|pair| (pair[0], pair[1])).collect();
    for (&count, (plain, cached)) in counts.iter().zip(&rows) {
        let what = format!("found with caching, of what is found without, {count} searches");
        outcome.check(Check::at_least(what, cached.1 / plain.1.max(1e-9), 0.95));
    }
    if let (Some(count), Some((plain, cached))) = (counts.last(), rows.last()) {
        let what = format!("messages with caching, of those without, {count} searches");
        outcome.check(Check::at_most(what, cached.0 / plain.0.max(1.0), 0.75));
    }
    let points = |of: fn(&(Seen, Seen)) -> Seen| {
        counts.iter().zip(&rows).map(move |(count, row)| (*count as f64, of(row).0 / *count as f64))
    };
    outcome.plots.push(Plot {
        title: "Queries and hits sent for one search".to_owned(),
        x: Axis::log2("searches in ten minutes"),
        y: Axis::linear("messages"),
        series: vec![
            Series::new("passed on", Role::Other, points(|row| row.0)),
            Series::new("cached", Role::Ours, points(|row| row.1)),
        ],
    });
    Ok(outcome)
}

fn searches(overlay: &mut Overlay, count: u64, seed: u64) -> Seen {
    let mut rng = Rng::new(seed);
    let name = |file: u64| format!("song{file:02} some.ogg");
    let mut holders = Vec::new();
    for file in 0..FILES {
        let mut order: Vec<u32> = (0..overlay.nodes).collect();
        rng.shuffle(&mut order);
        order.truncate(COPIES);
        order.iter().for_each(|holder| overlay.share(*holder, &name(file)));
        holders.push(order);
    }
    overlay.run(Duration::from_secs(10));
    let (mut messages, mut found) = (0, 0);
    let pause = SPAN / u32::try_from(count).unwrap_or(u32::MAX);
    for _ in 0..count {
        let file = popular(FILES, &mut rng);
        let seeker = loop {
            let seeker = rng.below(overlay.nodes.into()) as u32;
            if !holders[file as usize].contains(&seeker) {
                break seeker;
            }
        };
        let (spent, answered) = overlay.ask(seeker, &format!("song{file:02}"), pause);
        messages += spent.messages;
        found += u64::from(answered > 0);
    }
    (messages as f64, found as f64 / count as f64)
}
