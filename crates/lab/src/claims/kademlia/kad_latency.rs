//! eMule's KAD: lookups that wait for stale contacts.

use std::time::Duration;

use dht::kademlia::Config;
use machine::Rng;
use sim::Node;

use super::{Net, internet, lookups, static_config};
use crate::claim::{Claim, Provenance};
use crate::claims::{mean, percentile};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "kademlia.kad_latency",
    title: "KAD lookups wait for stale contacts",
    says: "Lookups of eMule's KAD take seconds, nearly all of which is spent waiting for contacts \
           that are stale.",
    source: "Steiner, Carra and Biersack, measurements of KAD, 2008 to 2010",
    provenance: Provenance::Memory,
    params: &[
        Param {
            name: "nodes",
            what: "nodes that live",
            kind: Kind::Integer(100, 1 << 17),
            paper: "10000",
            small: "500",
        },
        Param {
            name: "dead",
            what: "share of the table entries that are stale",
            kind: Kind::Reals(0.0, 0.9),
            paper: "0,0.1,0.2,0.3,0.4",
            small: "0,0.3",
        },
        Param {
            name: "timeout",
            what: "time-out of a request, s",
            kind: Kind::Real(0.1, 60.0),
            paper: "3",
            small: "3",
        },
        Param {
            name: "lookups",
            what: "lookups for each share",
            kind: Kind::Integer(1, 1_000_000),
            paper: "2000",
            small: "100",
        },
    ],
    seconds: 30,
    measure,
};

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, shares) = (run.params.int("nodes"), run.params.reals("dead"));
    let count = run.params.int("lookups");
    let timeout = Duration::from_secs_f64(run.params.real("timeout"));
    let measured = run.map(
        shares,
        |_| 1.0,
        |&dead, tell| {
            let seed = run.seed_of(0);
            let config: Config<Node> = Config { timeout, slow: timeout, ..static_config(10, 3) };
            let mut net = Net::standing(seed, nodes as usize, dead, internet(), config);
            let mut rng = Rng::new(seed);
            let all = net.nodes.clone();
            let commands = lookups(count, &mut rng);
            let answers = net.ask(&all, commands, &mut rng, tell);
            let mut seconds: Vec<f64> =
                answers.iter().map(|answer| answer.took.as_secs_f64()).collect();
            (mean(&seconds), percentile(&mut seconds, 0.5))
        },
    );
    let mut outcome = Outcome::default();
    let without = shares.iter().zip(&measured).find(|(share, _)| **share == 0.0);
    for (&share, &(mean, median)) in shares.iter().zip(&measured) {
        if share >= 0.3 {
            let what = |of: &str| format!("{of}, {:.0} % stale", share * 100.0);
            outcome.check(Check::at_least(what("median, s"), median, 1.0));
            if let Some((_, (fresh, _))) = without {
                let waiting = 1.0 - fresh / mean;
                outcome.check(Check::at_least(
                    what("share of the time spent waiting"),
                    waiting,
                    0.5,
                ));
            }
        }
    }
    let ours = |part: fn(&(f64, f64)) -> f64| {
        shares.iter().zip(&measured).map(move |(share, got)| (share * 100.0, part(got)))
    };
    outcome.plots.push(Plot {
        title: "Time to the ten nearest nodes".to_owned(),
        x: Axis::linear("table entries that are stale, %"),
        y: Axis::linear("seconds"),
        series: vec![
            Series::new("ours, mean", Role::Ours, ours(|got| got.0)),
            Series::new("ours, median", Role::Other, ours(|got| got.1)),
        ],
    });
    outcome.note(
        "The bounds are ours: the source's numbers are recalled as seconds, no closer. Buckets of 10, \
         α = 3, and a request holds its place until it has timed out.",
    );
    Ok(outcome)
}
