//! Keys that are lost with the nodes that held them, where nothing is replicated.

use std::time::Duration;

use dht::chord::Config;
use machine::Rng;
use sim::Link;

use super::{OwnKeys, Ring, owner};
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "chord.failures.lost_keys",
    title: "Lookups lost with the failed nodes",
    says: "After a share p of the nodes has failed and the ring has stabilised, the share of lookups \
           that do not find the node that held the key is p: nothing but the keys on failed nodes \
           is lost.",
    source: "Stoica et al., SIGCOMM 2001, section 6.4, figure 11",
    provenance: Provenance::Text,
    params: &[
        Param {
            name: "nodes",
            what: "nodes",
            kind: Kind::Integer(3, 1 << 20),
            paper: "10000",
            small: "1000",
        },
        Param {
            name: "lookups",
            what: "lookups for each share",
            kind: Kind::Integer(1, 10_000_000),
            paper: "100000",
            small: "5000",
        },
        Param {
            name: "failed",
            what: "share p of the nodes that fail",
            kind: Kind::Reals(0.0, 0.9),
            paper: "0,0.05,0.1,0.15,0.2",
            small: "0,0.2",
        },
        Param {
            name: "stabilise",
            what: "time for stabilisation, s",
            kind: Kind::Integer(0, 100_000),
            paper: "900",
            small: "300",
        },
    ],
    seconds: 60,
    measure,
};

/// Keys per node vary exponentially: the share that is lost has a deviation of sqrt(2 p (1 - p)/N).
const TOLERANCE: f64 = 0.01;
const PUBLISHED_NODES: f64 = 10_000.0;

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, lookups) = (run.params.int("nodes"), run.params.int("lookups"));
    let (shares, stabilise) = (run.params.reals("failed"), run.params.int("stabilise"));
    let config = Config { successors: 20, reach_owner: false, ..Config::default() };
    let lost = run.map(
        shares,
        |_| 1.0,
        |&share, tell| {
            let seed = run.seed_of((share * 1e6) as u64);
            let mut ring = Ring::standing(seed, nodes as usize, Link::default(), config.clone());
            let before = ring.nodes.clone();
            let mut rng = Rng::new(seed);
            let alive = ring.fail(share, &mut rng);
            ring.world.run_for(Duration::from_secs(stabilise));
            ring.world.drain_events().for_each(drop);
            tell(0.5);
            let answers = ring.look_up(&alive, lookups, OwnKeys::Known, &mut rng, &|share| {
                tell(0.5 + share / 2.0)
            });
            let kept =
                answers.iter().filter(|answer| answer.owner() == owner(&before, &answer.key));
            let astray =
                answers.iter().filter(|answer| answer.owner() != owner(&alive, &answer.key));
            (1.0 - kept.count() as f64 / lookups as f64, astray.count())
        },
    );
    let mut outcome = Outcome::default();
    // Smaller rings have a wider spread.
    let tolerance = TOLERANCE * (PUBLISHED_NODES / nodes as f64).sqrt().max(1.0);
    for (&share, &(lost, astray)) in shares.iter().zip(&lost) {
        let what = |of: &str| format!("{of}, p = {share}");
        outcome.check(Check::new(
            what("lost lookups"),
            lost,
            share,
            Tolerance::Absolute(tolerance),
        ));
        let none = Tolerance::Absolute(0.0);
        outcome.check(Check::new(what("lookups that end elsewhere"), astray as f64, 0.0, none));
    }
    let ours = shares.iter().zip(&lost).map(|(share, (lost, _))| (*share, *lost));
    outcome.plots.push(Plot {
        title: "Lookups that do not find the node that held the key".to_owned(),
        x: Axis::linear("share of the nodes that failed"),
        y: Axis::linear("share of the lookups that fail"),
        series: vec![
            Series::new("ours", Role::Ours, ours),
            Series::new(
                "published: the same share",
                Role::Published,
                shares.iter().map(|&p| (p, p)),
            ),
        ],
    });
    outcome.note(
        "Sizes of 10^4 nodes and 10^6 keys are recalled; the law is in the paper's text. Each lookup \
         here is for another random key, which stands for the keys that were stored.",
    );
    Ok(outcome)
}
