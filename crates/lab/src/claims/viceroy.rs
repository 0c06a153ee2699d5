//! Viceroy: networks that stand, walked by the routing of the machine that runs live.

use std::sync::Arc;

use dht::overlay::{Route, Rules, Topology};
use dht::viceroy::{Butterfly, Config, DEGREE, Standing, Viceroy};
use machine::Rng;
use machine::dht::Key;
use sim::Node;

use super::mean;
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;
use crate::watch::{Spot, Stage, Ways, place};

pub(crate) static CLAIM: Claim = Claim {
    id: "viceroy.degree",
    title: "Seven links a node, and O(log N) hops",
    says: "Each node has at most seven links, and a lookup takes O(log N) hops: divided by log2 N they \
           are about the same at all sizes. Levels are drawn alike from 1 to log2 N, which each node \
           estimates by itself.",
    source: "Malkhi, Naor, Ratajczak, PODC 2002",
    provenance: Provenance::Memory,
    params: &[
        Param {
            name: "nodes",
            what: "nodes N",
            kind: Kind::Integers(16, 1 << 20),
            paper: "256,1024,4096,16384,65536,131072",
            small: "256,1024",
        },
        Param {
            name: "lookups",
            what: "lookups of random keys",
            kind: Kind::Integer(10, 1_000_000),
            paper: "4000",
            small: "1000",
        },
    ],
    seconds: 10,
    measure,
};

/// Where a node stands on the ring, and on its level of so many.
pub(super) fn spot(node: &Viceroy<Node>, levels: u32) -> Spot {
    let down = (f32::from(node.topology().level()) - 0.5) / levels.max(1) as f32;
    [place(node.me()), down]
}

/// How many levels there are.
pub(super) fn levels<'a>(nodes: impl IntoIterator<Item = &'a Viceroy<Node>>) -> u32 {
    nodes.into_iter().map(|node| u32::from(node.topology().level())).max().unwrap_or(1)
}

/// Whom a lookup meets from the node at `from` to whoever owns `key`; `None` if it leads nowhere.
fn walk(nodes: &[Viceroy<Node>], from: Node, key: &Key) -> Option<Vec<Node>> {
    let (mut here, mut stage, mut way) = (from, 0, vec![from]);
    loop {
        match Butterfly::route(&nodes[here.slot() as usize], key, stage) {
            Route::Owners(_) => return Some(way),
            Route::Next { stage: next, nodes } => {
                (here, stage) = (*nodes.first()?, next);
                way.push(here);
            }
        }
    }
}

/// The share of the nodes that each level has, from the first on. A node draws its level from as many
/// as it takes for the logarithm of N, which it estimates by how far its successors are.
fn level_shares(nodes: &[Viceroy<Node>]) -> Vec<f64> {
    let mut shares = vec![0.0; levels(nodes) as usize];
    for node in nodes {
        shares[usize::from(node.topology().level()) - 1] += 1.0 / nodes.len() as f64;
    }
    shares
}

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (sizes, lookups) = (run.params.ints("nodes"), run.params.int("lookups"));
    let measured = run.map(
        sizes,
        |nodes| *nodes as f64,
        |&count, _| {
            let mut rng = Rng::new(run.seed_of(count));
            let config = Arc::new(Config { rules: Rules::standing(), ..Config::default() });
            let all: Vec<Node> = (0..count as u32).map(|slot| Node::new(slot, 0)).collect();
            let standing = Standing::new(&all, config);
            let mut nodes: Vec<Viceroy<Node>> =
                (0..all.len()).map(|index| standing.node(index)).collect();
            nodes.sort_by_key(|node| node.me().slot());
            let degree = nodes.iter().map(|node| node.topology().links().len()).max();
            let mut ways = Ways::new(|| {
                let levels = levels(&nodes);
                Stage::butterfly(levels, nodes.iter().map(|node| (node.me(), spot(node, levels))))
            });
            let hops: Vec<f64> = (0..lookups)
                .map(|_| {
                    let from = all[rng.below(count) as usize];
                    let key = Key::new(u128::from(rng.next_u64()) << 64, 0);
                    walk(&nodes, from, &key).map_or(f64::INFINITY, |way| {
                        ways.walked(&way);
                        (way.len() - 1) as f64
                    })
                })
                .collect();
            (mean(&hops), degree.unwrap_or(0) as f64, level_shares(&nodes))
        },
    );
    let mut outcome = Outcome::default();
    let log = |nodes: u64| (nodes as f64).log2();
    let shares: Vec<f64> =
        sizes.iter().zip(&measured).map(|(&nodes, row)| row.0 / log(nodes)).collect();
    for (&nodes, row) in sizes.iter().zip(&measured) {
        outcome.check(Check::at_most(format!("links, N = {nodes}"), row.1, DEGREE as f64));
    }
    for (&nodes, (_, _, levels)) in sizes.iter().zip(&measured) {
        // What a node takes for log2 N may be one or two off.
        let sure = (log(nodes) as usize).saturating_sub(2).min(levels.len());
        let share = mean(&levels[..sure]) * log(nodes);
        let what = format!("mean share of a level, up to log2 N - 2, by 1 / log2 N, N = {nodes}");
        outcome.check(Check::new(what, share, 1.0, Tolerance::Relative(0.15)));
        let what = format!("greatest level less log2 N, N = {nodes}");
        outcome.check(Check::at_most(what, levels.len() as f64 - log(nodes), 3.0));
    }
    let (least, most) = shares
        .iter()
        .fold((f64::INFINITY, 0.0f64), |(least, most), &it| (least.min(it), most.max(it)));
    let what = "greatest mean of hops / log2 N by the least, over all sizes";
    outcome.check(Check::at_most(what, most / least, 1.5));
    outcome.plots.push(Plot {
        title: "Hops of a lookup".to_owned(),
        x: Axis::log2("nodes"),
        y: Axis::linear("hops"),
        series: vec![
            Series::new(
                "ours",
                Role::Ours,
                sizes.iter().zip(&measured).map(|(&nodes, row)| (nodes as f64, row.0)),
            ),
            Series::new(
                "log2 N",
                Role::Formula,
                sizes.iter().map(|&nodes| (nodes as f64, log(nodes))),
            ),
        ],
    });
    if let Some((_, _, levels)) = measured.last() {
        let points = levels.iter().enumerate().map(|(at, share)| ((at + 1) as f64, *share));
        outcome.plots.push(Plot {
            title: "Nodes of each level, in the last network".to_owned(),
            x: Axis::linear("level"),
            y: Axis::linear("share of the nodes"),
            series: vec![Series::new("ours", Role::Ours, points)],
        });
    }
    Ok(outcome)
}
