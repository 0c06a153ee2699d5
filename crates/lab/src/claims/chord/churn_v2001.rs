//! Lookups while nodes join and fail, as in the conference paper.

use std::time::Duration;

use dht::chord::{Config, FingerUpkeep, Routing};
use sim::Link;

use super::churn::{Churn, Departure, Ended, FORGET, Verdict};
use crate::claim::{Claim, Provenance};
use crate::claims::mean;
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "chord.churn.v2001",
    title: "Lookups that fail under churn, without retries",
    says: "While 500 nodes fail and join at 0.01 to 0.1 nodes a second, and lookups that meet a \
           dead node are not retried, 0.3 % to 6.4 % of them fail.",
    source: "Stoica et al., SIGCOMM 2001, section 6.5, figure 12",
    provenance: Provenance::Curve,
    params: &[
        Param {
            name: "nodes",
            what: "nodes",
            kind: Kind::Integer(3, 1 << 18),
            paper: "500",
            small: "500",
        },
        Param {
            name: "rates",
            what: "failures per second, and as many joins",
            kind: Kind::Reals(0.0001, 1_000.0),
            paper: "0.01,0.02,0.05,0.1",
            small: "0.1",
        },
        Param {
            name: "hours",
            what: "simulated time of a run",
            kind: Kind::Real(0.01, 1_000.0),
            paper: "2",
            small: "0.1",
        },
        Param {
            name: "runs",
            what: "runs",
            kind: Kind::Integer(1, 1_000),
            paper: "10",
            small: "2",
        },
        Param {
            name: "successors",
            what: "length of the successor list",
            kind: Kind::Integer(1, 32),
            paper: "9",
            small: "9",
        },
        FORGET,
    ],
    seconds: 120,
    measure,
};

/// Rate, and share of the lookups that fail.
const PUBLISHED: [(f64, f64); 4] = [(0.01, 0.003), (0.02, 0.009), (0.05, 0.024), (0.10, 0.064)];
const PUBLISHED_NODES: u64 = 500;

/// The paper's own bars are from 20 to 80 %.
const TOLERANCE: Tolerance = Tolerance::Relative(0.40);

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, rates) = (run.params.int("nodes"), run.params.reals("rates"));
    let (hours, runs) = (run.params.real("hours"), run.params.int("runs"));
    let config = Config {
        successors: run.params.int("successors") as usize,
        routing: Routing::Fingers,
        forget_dead_fingers: run.params.int("forget") == 1,
        reach_owner: true,
        finger_upkeep: FingerUpkeep::All,
        attempts: 1,
        timeout: Duration::from_millis(500),
        ..Config::default()
    };
    let jobs: Vec<(f64, u64)> =
        rates.iter().flat_map(|&rate| (0..runs).map(move |number| (rate, number))).collect();
    let shares = run.map(
        &jobs,
        |_| 1.0,
        |&(rate, number), tell| {
            let churn = Churn {
                nodes: nodes as usize,
                rate,
                departure: Departure::Crash,
                warm_up: Duration::from_secs(120),
                lookups: (hours * 3_600.0).ceil() as u64,
            };
            let seed = run.seed_of((rate * 1e6) as u64 ^ number << 40);
            let ended = churn.run(seed, Link::default(), config.clone(), tell);
            // Nothing is retried for users; upkeep may.
            let lost =
                |end: &&Ended| end.verdict == Verdict::Failed || end.answer.cost.timeouts > 0;
            let stale = |end: &&Ended| !lost(end) && end.verdict == Verdict::Stale;
            let all = ended.len().max(1) as f64;
            [ended.iter().filter(lost).count(), ended.iter().filter(stale).count()]
                .map(|count| count as f64 / all)
        },
    );
    let mut outcome = Outcome::default();
    let (mut failed, mut stale) = (Vec::new(), Vec::new());
    for (&rate, shares) in rates.iter().zip(shares.chunks(runs as usize)) {
        let of = |which: usize| mean(&shares.iter().map(|share| share[which]).collect::<Vec<_>>());
        let (lost, led_astray) = (of(0), of(1));
        failed.push((rate, (lost + led_astray) * 100.0));
        stale.push((rate, led_astray * 100.0));
        let row = PUBLISHED.iter().find(|row| row.0 == rate);
        if let Some((_, published)) = row.filter(|_| nodes == PUBLISHED_NODES) {
            let what = format!("share of lookups that fail, at {rate} per second");
            outcome.check(Check::new(what, lost + led_astray, *published, TOLERANCE));
        }
    }
    outcome.plots.push(Plot {
        title: "Lookups that fail".to_owned(),
        x: Axis::linear("failures per second, and as many joins"),
        y: Axis::linear("% of the lookups"),
        series: vec![
            Series::new("ours", Role::Ours, failed),
            Series::new("of these: who was responsible before a join", Role::Other, stale),
            Series::new("published", Role::Published, PUBLISHED.map(|(rate, y)| (rate, y * 100.0))),
        ],
    });
    outcome.note(
        "The length of the successor list is not stated: ours is log2 N. A lookup counts as failed \
         if any node on its way does not answer, the owner included, or if it names another than the \
         node that is responsible; lookups of upkeep go around dead nodes.",
    );
    outcome.note(
        "At 0.1 per second fewer of ours fail than published. There every node lives 83 minutes on \
         average and stabilises every 30 seconds, so what a lookup meets depends on how soon the \
         dead are found out; the paper states neither how long its nodes waited for an answer nor \
         how long messages took. Live, dead fingers are forgotten at once; with forget=1 fewer fail.",
    );
    Ok(outcome)
}
