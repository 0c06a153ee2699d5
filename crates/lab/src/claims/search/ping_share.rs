//! What pings and pongs cost, and what caching pongs spares.

use std::time::Duration;

use machine::Rng;
use search::gnutella::Kind as Message;
use search::gnutella::servent::Command;

use super::{Overlay, random_pairs};
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "search.ping_share",
    title: "Pings and pongs, before and after pongs are cached",
    says: "Ping and Pong are half of the traffic, and caching pongs takes most of that away.",
    source: "Lectures on Gnutella: problems, and their solutions",
    provenance: Provenance::Text,
    params: &[
        Param {
            name: "nodes",
            what: "peers of a random graph",
            kind: Kind::Integer(10, 1_000),
            paper: "200",
            small: "60",
        },
        Param {
            name: "degree",
            what: "mean neighbours of a peer",
            kind: Kind::Integer(3, 8),
            paper: "4",
            small: "4",
        },
        Param {
            name: "per_minute",
            what: "searches of a peer in a minute",
            kind: Kind::Reals(0.0, 60.0),
            paper: "0.2,1,3,10,30,60",
            small: "1,10,60",
        },
    ],
    seconds: 60,
    measure,
};

const MINUTES: u64 = 2;

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, degree) = (run.params.int("nodes") as u32, run.params.int("degree") as u32);
    let rates = run.params.reals("per_minute");
    let cases: Vec<_> = rates.iter().flat_map(|rate| [(*rate, false), (*rate, true)]).collect();
    let measured = run.map(
        &cases,
        |(rate, cached)| 1.0 + rate + if *cached { 0.0 } else { 5.0 },
        |&(rate, cached), _| {
            let pairs = random_pairs(run.seed_of(1), nodes, degree);
            let mut overlay = Overlay::new(run.seed_of(2), nodes, &pairs, |config| {
                config.pong_caching = cached;
            });
            traffic(&mut overlay, rate, run.seed_of(3))
        },
    );
    let share = |(pings, all): (f64, f64)| pings / all.max(1.0);
    let (flooded, cached): (Vec<_>, Vec<_>) =
        measured.chunks(2).map(|pair| (pair[0], pair[1])).unzip();
    let mut outcome = Outcome::default();
    for ((rate, before), after) in rates.iter().zip(&flooded).zip(&cached) {
        let what = format!("bytes of pings and pongs spared by caching, {rate} searches a minute");
        outcome.check(Check::at_least(what, 1.0 - after.0 / before.0.max(1.0), 0.5));
    }
    // Which share they are depends on how much is searched; somewhere it is the half.
    let shares: Vec<_> = flooded.iter().map(|row| share(*row)).collect();
    let (least, most) = shares
        .iter()
        .fold((1.0_f64, 0.0_f64), |(least, most), share| (least.min(*share), most.max(*share)));
    let spans = f64::from(u8::from(least <= 0.5 && most >= 0.5));
    let exact = Tolerance::Absolute(0.0);
    outcome.check(Check::new(
        "half of the bytes lies within the range (1 = yes)",
        spans,
        1.0,
        exact,
    ));
    let series = |name: &str, role, rows: &[(f64, f64)]| {
        let points = rates.iter().zip(rows).map(|(rate, row)| (*rate, share(*row)));
        Series::new(name, role, points.collect::<Vec<_>>())
    };
    outcome.plots.push(Plot {
        title: "Share of pings and pongs in all bytes".to_owned(),
        x: Axis::log10("searches of a peer in a minute"),
        y: Axis::linear("share"),
        series: vec![
            series("flooded", Role::Ours, &flooded),
            series("cached", Role::Other, &cached),
        ],
    });
    outcome.note("Searches find nothing, so that query hits are no part of the traffic.");
    Ok(outcome)
}

/// Bytes of pings and pongs, and of everything, while everybody searches.
fn traffic(overlay: &mut Overlay, per_minute: f64, seed: u64) -> (f64, f64) {
    let bytes = |overlay: &Overlay| {
        let sent = &overlay.net.adapter().sent;
        let of = |kind| sent.get(&kind).map_or(0, |traffic| traffic.bytes);
        let all: u64 = sent.values().map(|traffic| traffic.bytes).sum();
        ((of(Message::Ping) + of(Message::Pong)) as f64, all as f64)
    };
    let mut rng = Rng::new(seed);
    let before = bytes(overlay);
    let searches = (per_minute * MINUTES as f64 * f64::from(overlay.nodes)).round() as u32;
    let gap = Duration::from_secs(60 * MINUTES) / searches.max(1);
    for number in 0..searches {
        let node = rng.below(overlay.nodes.into()) as u32;
        let words = format!("nobody has {number}");
        overlay.net.command(node, Command::Search { words, sha1: None });
        overlay.run(gap);
    }
    if searches == 0 {
        overlay.run(gap);
    }
    let after = bytes(overlay);
    (after.0 - before.0, after.1 - before.1)
}
