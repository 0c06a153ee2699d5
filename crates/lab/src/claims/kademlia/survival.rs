//! What k is for: that one of k holders of a value is left.

use std::sync::Arc;

use machine::Rng;
use machine::dht::{Command, Key};
use sim::Link;

use super::{Net, random_key, static_config};
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "kademlia.properties.survival",
    title: "Twenty holders do not all fail within an hour",
    says: "k is chosen so that any k nodes are very unlikely to fail within an hour of each other, \
           the time between republications: k = 20.",
    source: "Maymounkov and Mazieres, IPTPS 2002, section 2",
    provenance: Provenance::Memory,
    params: &[
        Param {
            name: "nodes",
            what: "nodes",
            kind: Kind::Integer(100, 1 << 17),
            paper: "2000",
            small: "400",
        },
        Param {
            name: "k",
            what: "holders of a value k",
            kind: Kind::Integers(1, 64),
            paper: "1,2,3,5,8,12,20",
            small: "1,20",
        },
        Param {
            name: "failed",
            what: "share of the nodes that fail within the hour",
            kind: Kind::Reals(0.0, 0.95),
            paper: "0.5,0.75",
            small: "0.5",
        },
        Param {
            name: "values",
            what: "values stored",
            kind: Kind::Integer(1, 100_000),
            paper: "2000",
            small: "200",
        },
    ],
    seconds: 30,
    measure,
};

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, ks) = (run.params.int("nodes"), run.params.ints("k"));
    let (failed, values) = (run.params.reals("failed"), run.params.int("values"));
    let jobs: Vec<(f64, u64)> =
        failed.iter().flat_map(|&share| ks.iter().map(move |&k| (share, k))).collect();
    let found = run.map(
        &jobs,
        |(_, k)| *k as f64,
        |&(share, k), tell| {
            let seed = run.seed_of(k);
            let config = static_config(k as usize, 3);
            let mut net = Net::standing(seed, nodes as usize, 0.0, Link::default(), config);
            let mut rng = Rng::new(seed);
            let mut all = net.nodes.clone();
            let keys: Vec<Key> = (0..values).map(|_| random_key(&mut rng)).collect();
            let value: Arc<[u8]> = Arc::from(&b"value"[..]);
            let puts = keys.iter().map(|&key| Command::Put { key, value: value.clone() });
            let stored = net.ask(&all, puts, &mut rng, &|share| tell(share / 2.0));
            rng.shuffle(&mut all);
            let dead = (share * all.len() as f64).round() as usize;
            all.drain(..dead).for_each(|node| drop(net.world.crash(node)));
            let gets = keys.iter().map(|&key| Command::Get { key });
            let got = net.ask(&all, gets, &mut rng, &|share| tell(0.5 + share / 2.0));
            let count =
                |answers: &[super::Answer]| answers.iter().filter(|a| a.done).count() as f64;
            (count(&stored) / values as f64, count(&got) / values as f64)
        },
    );
    let mut outcome = Outcome::default();
    let mut plot = Plot {
        title: "Values that are found after the failures, before republication".to_owned(),
        x: Axis::linear("holders of a value k"),
        y: Axis::linear("share of the values"),
        series: Vec::new(),
    };
    for (&share, found) in failed.iter().zip(found.chunks(ks.len())) {
        let theory = |k: u64| 1.0 - share.powi(k as i32);
        let stored = found.iter().map(|found| found.0).fold(1.0, f64::min);
        outcome.check(Check::at_least("stored before the failures, least share", stored, 1.0));
        for (&k, &(_, found)) in ks.iter().zip(found) {
            let percent = share * 100.0;
            let what = format!("found, k = {k}, {percent:.0} % failed");
            if k == 20 {
                outcome.check(Check::new(what, found, theory(k), Tolerance::Absolute(0.005)));
            }
        }
        let percent = format!("{:.0} % failed", share * 100.0);
        let ours = ks.iter().zip(found).map(|(&k, found)| (k as f64, found.1));
        let role = if plot.series.is_empty() { Role::Ours } else { Role::Other };
        plot.series.push(Series::new(format!("ours, {percent}"), role, ours));
        let law = ks.iter().map(|&k| (k as f64, theory(k)));
        plot.series.push(Series::new(format!("1 - p^k, {percent}"), Role::Formula, law));
    }
    outcome.plots.push(plot);
    outcome.note(
        "k is the size of buckets, too: at small k lookups lose their way among dead entries besides, \
         so that less is found than one holder's survival would allow. Nothing is repaired between \
         the failures and the search.",
    );
    Ok(outcome)
}
