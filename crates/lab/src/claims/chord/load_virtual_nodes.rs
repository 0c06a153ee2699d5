//! How virtual nodes even the load out.

use super::load_keys_per_node::loads;
use crate::claim::{Claim, Provenance};
use crate::claims::{mean, percentile};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "chord.load.virtual_nodes",
    title: "Keys per node, with virtual nodes",
    says: "With log2 N virtual nodes each, keys spread more evenly: from 1 to 20 virtual nodes the \
           99th percentile falls from 4.8 to 1.6 times the mean, and the 1st rises from 0 to half \
           of it.",
    source: "Stoica et al., SIGCOMM 2001, section 6.2, figure 9; lectures on Chord",
    provenance: Provenance::Memory,
    params: &[
        Param {
            name: "nodes",
            what: "nodes",
            kind: Kind::Integer(1, 100_000),
            paper: "10000",
            small: "2000",
        },
        Param {
            name: "keys",
            what: "keys in all",
            kind: Kind::Integer(1, 100_000_000),
            paper: "1e6",
            small: "2e5",
        },
        Param {
            name: "virtual",
            what: "virtual nodes of each",
            kind: Kind::Integers(1, 100),
            paper: "1,2,5,10,20",
            small: "1,20",
        },
    ],
    seconds: 5,
    measure,
};

/// Virtual nodes, 1st and 99th percentile over the mean.
const PUBLISHED: [(u64, f64, f64); 2] = [(1, 0.0, 4.8), (20, 0.5, 1.6)];

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, keys) = (run.params.int("nodes"), run.params.int("keys"));
    let virtuals = run.params.ints("virtual");
    if virtuals.iter().any(|&each| each * nodes > 1 << 20) {
        return Err(run.refuse("more than 2^20 virtual nodes"));
    }
    let shares = run.map(
        virtuals,
        |each| *each as f64,
        |&each, tell| {
            let load = loads(run.seed_of(each), nodes, each, &[keys], tell).remove(0);
            let mut load: Vec<f64> = load.into_iter().map(f64::from).collect();
            let mean = mean(&load);
            (percentile(&mut load, 0.01) / mean, percentile(&mut load, 0.99) / mean)
        },
    );
    let mut outcome = Outcome::default();
    let (mut lows, mut highs) = (Vec::new(), Vec::new());
    for (&each, &(low, high)) in virtuals.iter().zip(&shares) {
        lows.push((each as f64, low));
        highs.push((each as f64, high));
        if let Some((_, p01, p99)) = PUBLISHED.iter().find(|row| row.0 == each) {
            let what = |of: &str| format!("{of} percentile / mean, {each} virtual nodes");
            outcome.check(Check::new(what("1st"), low, *p01, Tolerance::Absolute(0.1)));
            outcome.check(Check::new(what("99th"), high, *p99, Tolerance::Relative(0.1)));
        }
    }
    let published = |part: fn(&(u64, f64, f64)) -> f64| {
        PUBLISHED.iter().map(move |row| (row.0 as f64, part(row)))
    };
    outcome.plots.push(Plot {
        title: "Keys per node over the mean".to_owned(),
        x: Axis::linear("virtual nodes of each node"),
        y: Axis::linear("keys over the mean"),
        series: vec![
            Series::new("ours, 99th percentile", Role::Ours, highs),
            Series::new("ours, 1st percentile", Role::Other, lows),
            Series::new("published 99th percentile", Role::Published, published(|row| row.2)),
            Series::new("published 1st percentile", Role::Published, published(|row| row.1)),
        ],
    });
    Ok(outcome)
}
