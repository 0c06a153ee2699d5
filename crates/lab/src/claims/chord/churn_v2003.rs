//! Lookups while nodes join and leave, as in the journal paper.

use std::time::Duration;

use dht::chord::Config;
use sim::{Latency, Link};

use super::churn::{Churn, Departure, FORGET, Verdict};
use crate::claim::{Claim, Provenance};
use crate::claims::mean;
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "chord.churn.v2003",
    title: "Lookups under churn, with successor lists",
    says: "While 1,000 nodes are joined by 0.05 to 0.4 nodes a second and left by as many, paths \
           stay near 3.9 hops, lookups meet 0.05 to 0.46 dead nodes, and 0 to 16 of 10,000 fail.",
    source: "Stoica et al., ToN 2003, section V-E, table III",
    provenance: Provenance::Text,
    params: &[
        Param {
            name: "nodes",
            what: "nodes",
            kind: Kind::Integer(3, 1 << 18),
            paper: "1000",
            small: "1000",
        },
        Param {
            name: "rates",
            what: "joins per second, and as many departures",
            kind: Kind::Reals(0.0001, 1_000.0),
            paper: "0.05,0.1,0.15,0.2,0.25,0.3,0.35,0.4",
            small: "0.4",
        },
        Param {
            name: "lookups",
            what: "lookups to count, one a second on average",
            kind: Kind::Integer(1, 10_000_000),
            paper: "10000",
            small: "500",
        },
        Param {
            name: "successors",
            what: "length of the successor list",
            kind: Kind::Integer(1, 32),
            paper: "20",
            small: "20",
        },
        Param {
            name: "warm_up",
            what: "before lookups begin, s",
            kind: Kind::Integer(0, 1_000_000),
            paper: "1200",
            small: "200",
        },
        FORGET,
    ],
    seconds: 120,
    measure,
};

/// Rate; mean path; mean timeouts; failures per 10,000 lookups.
const PUBLISHED: [(f64, f64, f64, f64); 8] = [
    (0.05, 3.90, 0.05, 0.0),
    (0.10, 3.83, 0.11, 0.0),
    (0.15, 3.84, 0.16, 2.0),
    (0.20, 3.81, 0.23, 5.0),
    (0.25, 3.83, 0.30, 6.0),
    (0.30, 3.91, 0.34, 8.0),
    (0.35, 3.94, 0.42, 16.0),
    (0.40, 4.06, 0.46, 15.0),
];
const PUBLISHED_NODES: u64 = 1_000;

fn config(successors: usize, forget_dead_fingers: bool) -> Config {
    Config {
        successors,
        forget_dead_fingers,
        reach_owner: false,
        attempts: 1,
        timeout: Duration::from_millis(500),
        ..Config::default()
    }
}

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, lookups) = (run.params.int("nodes"), run.params.int("lookups"));
    let (rates, successors) = (run.params.reals("rates"), run.params.int("successors"));
    let config = config(successors as usize, run.params.int("forget") == 1);
    let warm_up = Duration::from_secs(run.params.int("warm_up"));
    let fifty = Duration::from_millis(50);
    let link = Link::new(Latency::Exponential { least: Duration::ZERO, mean: fifty });
    let measured = run.map(
        rates,
        |_| 1.0,
        |&rate, tell| {
            let churn = Churn {
                nodes: nodes as usize,
                rate,
                departure: Departure::Leave,
                warm_up,
                lookups,
            };
            let seed = run.seed_of((rate * 1e6) as u64);
            let ended = churn.run(seed, link.clone(), config.clone(), tell);
            let paths: Vec<f64> = ended.iter().map(|end| f64::from(end.answer.path)).collect();
            let timeouts: Vec<f64> =
                ended.iter().map(|end| f64::from(end.answer.cost.timeouts)).collect();
            let share = |verdict| {
                let count = ended.iter().filter(|end| end.verdict == verdict).count();
                count as f64 * 10_000.0 / ended.len().max(1) as f64
            };
            [mean(&paths), mean(&timeouts), share(Verdict::Failed), share(Verdict::Stale)]
        },
    );
    let mut outcome = Outcome::default();
    for (&rate, got) in rates.iter().zip(&measured) {
        let row = PUBLISHED.iter().find(|row| row.0 == rate);
        let Some((_, path, timeouts, failed)) = row.filter(|_| nodes == PUBLISHED_NODES) else {
            continue;
        };
        let what = |of: &str| format!("{of}, R = {rate}");
        let ten = Tolerance::Relative(0.10);
        outcome.check(Check::new(what("mean path"), got[0], *path, ten));
        outcome.check(Check::new(what("mean timeouts"), got[1], *timeouts, ten));
        let two = Tolerance::Factor(2.0);
        outcome.check(Check::new(what("failed of 10,000"), got[2] + got[3], *failed, two));
    }
    let ours =
        |which: usize| rates.iter().zip(&measured).map(move |(rate, got)| (*rate, got[which]));
    let published = |part: fn(&(f64, f64, f64, f64)) -> f64| {
        PUBLISHED.iter().map(move |row| (row.0, part(row)))
    };
    let axis = || Axis::linear("joins per second, and as many departures");
    outcome.plots.push(Plot {
        title: "Path length and timeouts".to_owned(),
        x: axis(),
        y: Axis::linear("mean of a lookup"),
        series: vec![
            Series::new("our path", Role::Ours, ours(0)),
            Series::new("our timeouts", Role::Other, ours(1)),
            Series::new("published path", Role::Published, published(|row| row.1)),
            Series::new("published timeouts", Role::Published, published(|row| row.2)),
        ],
    });
    outcome.plots.push(Plot {
        title: "Lookups that fail, of 10,000".to_owned(),
        x: axis(),
        y: Axis::linear("lookups"),
        series: vec![
            Series::new("ours: a departed node, or none", Role::Ours, ours(2)),
            Series::new("ours: who was responsible before a join", Role::Other, ours(3)),
            Series::new("published", Role::Published, published(|row| row.3)),
        ],
    });
    outcome.note(
        "A lookup fails here if it does not name the node that is responsible, from the moment that \
         node says that it has joined; ours that fail all name who was responsible before, as the \
         newcomer's predecessor does not know it until it stabilises. None names a departed node. The \
         paper does not say how soon a newcomer counts.",
    );
    outcome.note(
        "We look fingers up in turn, so that a finger is half a round old on average. Looked up at \
         random, as in the pseudocode of SIGCOMM 2001, it would be a whole round old and meet twice \
         as many timeouts, which is the factor that is missing. That the paper did so is our guess.",
    );
    Ok(outcome)
}
