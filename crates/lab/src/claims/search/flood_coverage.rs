//! What a flood reaches, and what it costs twice.

use super::{Overlay, random_pairs};
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "search.flood_coverage",
    title: "Coverage and duplicates of a flood against TTL and degree",
    says: "A flood reaches everybody once its TTL is large enough, and then most of its messages come \
           to peers that have them already: about degree - 2 for each peer.",
    source: "Lectures on Gnutella: flooding causes excessive traffic; the search scope is O(N)",
    provenance: Provenance::Derived,
    params: &[
        Param {
            name: "nodes",
            what: "peers of a random graph",
            kind: Kind::Integer(10, 10_000),
            paper: "1000",
            small: "200",
        },
        Param {
            name: "degrees",
            what: "mean neighbours of a peer",
            kind: Kind::Integers(3, 16),
            paper: "3,4,6,8",
            small: "4,8",
        },
        Param {
            name: "ttl",
            what: "TTLs of queries",
            kind: Kind::Integers(1, 7),
            paper: "1-7",
            small: "1,3,5,7",
        },
    ],
    seconds: 20,
    measure,
};

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let nodes = run.params.int("nodes") as u32;
    let degrees = run.params.ints("degrees");
    let ttls = run.params.ints("ttl");
    let cases: Vec<_> =
        degrees.iter().flat_map(|degree| ttls.iter().map(move |ttl| (*degree, *ttl))).collect();
    let measured = run.map(
        &cases,
        |(degree, _)| *degree as f64,
        |&(degree, ttl), _| {
            let pairs = random_pairs(run.seed_of(degree), nodes, degree as u32);
            let mut overlay = Overlay::new(run.seed_of(ttl), nodes, &pairs, |config| {
                config.ttl = ttl as u8;
                // Pings that are flooded are no part of what is asked here.
                config.pong_caching = true;
            });
            let (reached, duplicates) = overlay.search(0, "nobody has this");
            (reached as f64 / f64::from(nodes - 1), duplicates as f64 / reached.max(1) as f64)
        },
    );
    let mut outcome = Outcome::default();
    let (mut coverage, mut waste) = (Vec::new(), Vec::new());
    for (&degree, rows) in degrees.iter().zip(measured.chunks(ttls.len())) {
        let points = |part: fn(&(f64, f64)) -> f64| {
            ttls.iter().zip(rows).map(move |(&ttl, row)| (ttl as f64, part(row)))
        };
        coverage.push(Series::new(format!("degree {degree}"), Role::Ours, points(|row| row.0)));
        waste.push(Series::new(format!("degree {degree}"), Role::Ours, points(|row| row.1)));
        if let (Some(&7), Some(&(covered, wasted))) = (ttls.last(), rows.last())
            && degree >= 6
        {
            let what = format!("share reached, degree {degree}, TTL 7");
            outcome.check(Check::at_least(what, covered, 0.98));
            // Every link carries the query at least once, and a tree needs one message a peer.
            let what = format!("duplicates for each peer, degree {degree}, TTL 7");
            outcome.check(Check::at_least(what, wasted, degree as f64 / 2.0 - 1.1));
            let what = format!("at most, degree {degree}");
            outcome.check(Check::at_most(what, wasted, degree as f64 - 1.9));
        }
    }
    let plot = |title: &str, y: &str, series| Plot {
        title: title.to_owned(),
        x: Axis::linear("TTL"),
        y: Axis::linear(y),
        series,
    };
    outcome.plots.push(plot("Peers that receive the query", "share of all others", coverage));
    outcome.plots.push(plot("Messages that say nothing new", "for each peer reached", waste));
    Ok(outcome)
}
