//! How far a query goes in a tree.

use super::Overlay;
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "search.ttl_tree",
    title: "What a query with a TTL of 3 reaches in a tree",
    says: "In a balanced ternary tree of four levels (40 peers), a query with TTL 3 of a child of the \
           root is received by 21 others: 12 below it, the root, 2 siblings and 6 of their children.",
    source: "Homework on Gnutella, question 8 (the answer follows from the topology)",
    provenance: Provenance::Derived,
    params: &[Param {
        name: "ttl",
        what: "TTLs of the query",
        kind: Kind::Integers(1, 7),
        paper: "1-6",
        small: "1-6",
    }],
    seconds: 1,
    measure,
};

const LEVELS: u32 = 4;
const CHILDREN: u32 = 3;
/// The first child of the root.
const ORIGIN: u32 = 1;

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let nodes = (CHILDREN.pow(LEVELS) - 1) / (CHILDREN - 1);
    let pairs: Vec<_> = (1..nodes).map(|node| ((node - 1) / CHILDREN, node)).collect();
    let ttls = run.params.ints("ttl");
    let measured = run.map(
        ttls,
        |_| 1.0,
        |&ttl, _| {
            let mut tree = Overlay::new(run.seed_of(ttl), nodes, &pairs, |config| {
                config.ttl = ttl as u8;
            });
            assert_eq!(tree.links(), pairs.len(), "every link of the tree is up");
            tree.search(ORIGIN, "nobody has this")
        },
    );
    let mut outcome = Outcome::default();
    for (&ttl, &(reached, duplicates)) in ttls.iter().zip(&measured) {
        let exact = Tolerance::Absolute(0.0);
        let expected = within(&pairs, ttl) as f64;
        outcome.check(Check::new(format!("receivers, TTL {ttl}"), reached as f64, expected, exact));
        let what = format!("duplicates, TTL {ttl}: a tree has one way only");
        outcome.check(Check::new(what, duplicates as f64, 0.0, exact));
    }
    outcome.plots.push(Plot {
        title: "Peers that receive the query, of 39".to_owned(),
        x: Axis::linear("TTL"),
        y: Axis::linear("peers"),
        series: vec![
            Series::new(
                "ours",
                Role::Ours,
                ttls.iter().zip(&measured).map(|(ttl, row)| (*ttl as f64, row.0 as f64)),
            ),
            Series::new(
                "by the topology",
                Role::Formula,
                ttls.iter().map(|ttl| (*ttl as f64, within(&pairs, *ttl) as f64)),
            ),
        ],
    });
    Ok(outcome)
}

/// How many others are at most so many hops from the origin.
fn within(pairs: &[(u32, u32)], hops: u64) -> usize {
    let mut near = vec![ORIGIN];
    for _ in 0..hops {
        for node in near.clone() {
            let beside = pairs.iter().filter_map(|&(one, other)| match node {
                node if node == one => Some(other),
                node if node == other => Some(one),
                _ => None,
            });
            for other in beside {
                if !near.contains(&other) {
                    near.push(other);
                }
            }
        }
    }
    near.len() - 1
}

#[test]
fn the_homework_counts_twenty_one() {
    let pairs: Vec<_> = (1..40).map(|node| ((node - 1) / CHILDREN, node)).collect();
    assert_eq!(within(&pairs, 3), 21);
}
