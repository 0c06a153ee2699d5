//! What is found after many ultrapeers have gone at once.

use std::time::Duration;

use machine::Rng;

use super::{Layout, Overlay};
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "search.churn",
    title: "What leaves find when ultrapeers go",
    says: "Peers join, leave and fail at a high rate; what is shared by those who stay is found again \
           once their leaves have other ultrapeers.",
    source: "Lectures: pongs keep lists of neighbours fresh in spite of peers joining, leaving, failing",
    provenance: Provenance::Derived,
    params: &[
        Param {
            name: "ultrapeers",
            what: "ultrapeers, with ten leaves each",
            kind: Kind::Integer(4, 100),
            paper: "30",
            small: "12",
        },
        Param {
            name: "gone",
            what: "shares of the ultrapeers that go at once",
            kind: Kind::Reals(0.0, 0.9),
            paper: "0,0.25,0.5,0.75",
            small: "0.5",
        },
        Param {
            name: "after",
            what: "seconds after which is searched",
            kind: Kind::Integers(0, 600),
            paper: "0,2,5,30,60",
            small: "0,30",
        },
    ],
    seconds: 15,
    measure,
};

const SEARCHES: usize = 40;

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let hubs = run.params.int("ultrapeers") as u32;
    let (shares, spans) = (run.params.reals("gone"), run.params.ints("after"));
    let cases: Vec<_> =
        shares.iter().flat_map(|share| spans.iter().map(move |span| (*share, *span))).collect();
    let measured = run.map(
        &cases,
        |_| 1.0,
        |&(share, span), _| found(run.seed_of((share * 100.0) as u64), hubs, share, span),
    );
    let mut outcome = Outcome::default();
    let mut series = Vec::new();
    for (share, rows) in shares.iter().zip(measured.chunks(spans.len())) {
        for (span, found) in spans.iter().zip(rows).filter(|(span, _)| **span >= 30) {
            let what = format!("found {span} s after {share} of the ultrapeers went");
            outcome.check(Check::at_least(what, *found, 0.95));
        }
        let points = spans.iter().zip(rows).map(|(span, found)| (*span as f64, *found));
        series.push(Series::new(format!("{share} gone"), Role::Ours, points.collect::<Vec<_>>()));
    }
    outcome.plots.push(Plot {
        title: "Searches for what somebody has that find it".to_owned(),
        x: Axis::linear("seconds after ultrapeers went"),
        y: Axis::linear("share"),
        series,
    });
    outcome.note("Each search is for a file that one leaf has, and is given 30 seconds.");
    Ok(outcome)
}

fn found(seed: u64, hubs: u32, share: f64, after: u64) -> f64 {
    let leaves = 10 * hubs;
    let mut layout = Layout::two_level(seed, hubs, leaves, 4, 2);
    let mut rng = Rng::new(seed);
    layout.known = (0..hubs + leaves)
        .map(|_| (0..6).map(|_| rng.below(hubs.into()) as u32).collect())
        .collect();
    let mut overlay = Overlay::of(seed, &layout, |config| {
        config.ultrapeers_wanted = 4;
        config.slots = 1 << 12;
        config.dynamic_pause = Duration::from_millis(500);
    });
    let name = |leaf: u32| format!("only{leaf} here.ogg");
    for leaf in hubs..hubs + leaves {
        overlay.share(leaf, &name(leaf));
    }
    overlay.run(Duration::from_secs(60));
    let mut dying: Vec<u32> = (0..hubs).collect();
    rng.shuffle(&mut dying);
    dying.truncate((f64::from(hubs) * share) as usize);
    dying.iter().for_each(|hub| overlay.net.crash(*hub));
    overlay.run(Duration::from_secs(after));
    // All at once, so that none has more time than another.
    let leaf = |rng: &mut Rng| hubs + rng.below(leaves.into()) as u32;
    let mut asked: Vec<(u32, u32)> = Vec::new();
    while asked.len() < SEARCHES {
        let (seeker, holder) = (leaf(&mut rng), leaf(&mut rng));
        if seeker != holder && asked.iter().all(|(other, _)| *other != seeker) {
            asked.push((seeker, holder));
            overlay.ask(seeker, &format!("only{holder}"), Duration::ZERO);
        }
    }
    overlay.run(Duration::from_secs(30));
    let heard = &overlay.net.adapter().found;
    let has = |(seeker, holder): &&(u32, u32)| {
        heard[*seeker as usize].iter().any(|(found, _)| *found == name(*holder))
    };
    asked.iter().filter(has).count() as f64 / SEARCHES as f64
}
