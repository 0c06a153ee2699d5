//! Lookup latency in a network of which a third of the table entries is dead.

use std::sync::Arc;
use std::time::Duration;

use dht::kademlia::Config;
use machine::Rng;
use machine::dht::{Command, Key};
use sim::Node;

use super::{Net, internet, random_key, static_config};
use crate::claim::{Claim, Provenance};
use crate::claims::percentile;
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "kademlia.mainline_latency",
    title: "Sub-second lookups in the mainline DHT",
    says: "With 30 to 40 % dead table entries and time-outs of 2 s, many lookups of a plain client \
           take under a second, but its tail does not. A client that heeds round-trip times, with \
           α = 4, has a median of 100 to 300 ms and stays below a second.",
    source: "Jimenez, Osmani and Knutsson, P2P 2011, abstract; the gate is ours",
    provenance: Provenance::Text,
    params: &[
        Param {
            name: "nodes",
            what: "nodes that live",
            kind: Kind::Integer(100, 1 << 17),
            paper: "20000",
            small: "500",
        },
        Param {
            name: "dead",
            what: "share of the table entries that are dead",
            kind: Kind::Real(0.0, 0.9),
            paper: "0.35",
            small: "0.35",
        },
        Param {
            name: "lookups",
            what: "values that are looked up",
            kind: Kind::Integer(1, 1_000_000),
            paper: "5000",
            small: "200",
        },
        Param {
            name: "slow",
            what: "how long the modified client waits before it asks another, ms",
            kind: Kind::Integer(1, 60_000),
            paper: "200",
            small: "200",
        },
    ],
    seconds: 40,
    measure,
};

const TIMEOUT: Duration = Duration::from_secs(2);

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, dead) = (run.params.int("nodes"), run.params.real("dead"));
    let (count, slow) = (run.params.int("lookups"), run.params.int("slow"));
    let mainline = |alpha: usize, slow: Duration| Config::<Node> {
        timeout: TIMEOUT,
        slow,
        ..static_config(8, alpha)
    };
    let plain = mainline(3, TIMEOUT);
    let modified = mainline(4, Duration::from_millis(slow));
    let mut seconds = run.map(
        &[plain, modified],
        |_| 1.0,
        |config, tell| {
            let seed = run.seed_of(0);
            let mut net = Net::standing(seed, nodes as usize, dead, internet(), config.clone());
            let mut rng = Rng::new(seed);
            let all = net.nodes.clone();
            let keys: Vec<Key> = (0..count).map(|_| random_key(&mut rng)).collect();
            let value: Arc<[u8]> = Arc::from(&b"value"[..]);
            let puts = keys.iter().map(|&key| Command::Put { key, value: value.clone() });
            net.ask(&all, puts, &mut rng, &|share| tell(share / 2.0));
            let gets = keys.iter().map(|&key| Command::Get { key });
            let answers = net.ask(&all, gets, &mut rng, &|share| tell(0.5 + share / 2.0));
            let found = answers.iter().filter(|answer| answer.done);
            found.map(|answer| answer.took.as_secs_f64()).collect::<Vec<_>>()
        },
    );
    let mut outcome = Outcome::default();
    let mut at = |which: usize, share: f64| percentile(&mut seconds[which], share);
    let (plain_median, plain_tail) = (at(0, 0.5), at(0, 0.95));
    let (median, tail) = (at(1, 0.5), at(1, 0.95));
    let curve = |which: usize, seconds: &[Vec<f64>]| {
        let all = seconds[which].len();
        let points: Vec<_> = (1..100)
            .map(|percent| (seconds[which][all * percent / 100] * 1e3, percent as f64))
            .collect();
        points
    };
    outcome.check(Check::at_most("plain, median, s", plain_median, 1.0));
    outcome.check(Check::at_least("plain, 95th percentile, s", plain_tail, 1.0));
    let gate = Tolerance::Between(0.1, 0.3);
    outcome.check(Check::new("modified, median, s", median, 0.2, gate));
    outcome.check(Check::at_most("modified, 95th percentile, s", tail, 1.0));
    for (which, name) in [(0, "plain"), (1, "modified")] {
        let share = seconds[which].len() as f64 / count as f64;
        outcome.check(Check::at_least(format!("{name}, share found"), share, 0.99));
    }
    outcome.plots.push(Plot {
        title: "Lookups that have found their value by then".to_owned(),
        x: Axis::log10("milliseconds"),
        y: Axis::linear("% of the lookups"),
        series: vec![
            Series::new("modified", Role::Ours, curve(1, &seconds)),
            Series::new("plain", Role::Other, curve(0, &seconds)),
            Series::new(
                "published: median of modified clients",
                Role::Published,
                [(100.0, 50.0), (200.0, 50.0)],
            ),
        ],
    });
    outcome.note(
        "Round trips are 100 ms on average with an exponential tail, and a dead entry answers \
         nothing. The plain client asks the next node only once one has answered or timed out; the \
         modified one asks another as soon as an answer is later than usual round trips, and still \
         accepts the late one. Both have the same tables.",
    );
    Ok(outcome)
}
