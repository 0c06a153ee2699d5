//! A large file to eight nodes: whole copies, a chain of blocks, and a swarm.

use std::collections::VecDeque;

use bittorrent::picker::PieceOrder;
use sim::stream::Access;

use super::relay::{Plan, relay};
use super::{LATENCY, PIECE_KIB};
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;
use crate::swarm::{Leecher, Scenario};

pub(crate) static CLAIM: Claim = Claim {
    id: "distribution.copies_and_chain",
    title: "Whole copies, a chain of blocks, a swarm",
    says: "1 GB to 8 nodes over links of 1 Mbps takes 24,000 s where whoever has the file sends \
           whole copies, log2 N x F/C, and 8,056 s along a chain of 1 MB blocks, \
           F/C + (N - 1) B/C.",
    source: "CS162 lecture 23 (Joseph and Stoica, Berkeley 2012), slides 42 to 47",
    provenance: Provenance::Text,
    params: &[
        Param {
            name: "nodes",
            what: "nodes N",
            kind: Kind::Integer(2, 1_024),
            paper: "8",
            small: "8",
        },
        Param {
            name: "file",
            what: "size of the file F, MB (10^6 bytes)",
            kind: Kind::Integer(1, 16_000),
            paper: "1000",
            small: "200",
        },
        Param {
            name: "rate",
            what: "what each link carries C, kbps",
            kind: Kind::Integer(8, 10_000_000),
            paper: "1000",
            small: "1000",
        },
        Param {
            name: "block",
            what: "size of a block in the chain B, kB",
            kind: Kind::Integer(1, 1_000_000),
            paper: "1000",
            small: "1000",
        },
        PIECE_KIB,
    ],
    seconds: 6,
    measure,
};

/// The share by which a real swarm may be slower than a fluid.
const SWARM_TOLERANCE: f64 = 0.10;

/// Whole copies: in round k, node i sends to node i + 2^k.
fn doubling(nodes: u32) -> Vec<Plan> {
    let rounds = u32::BITS - (nodes - 1).leading_zeros();
    let targets = |node: u32| -> VecDeque<u32> {
        let first = u32::BITS - node.leading_zeros();
        (first..rounds).map(|round| node + (1 << round)).filter(|&to| to < nodes).collect()
    };
    (0..nodes).map(|node| Plan { targets: targets(node), at_once: false }).collect()
}

/// A chain in which each passes on what it gets.
fn chain(nodes: u32) -> Vec<Plan> {
    let next = |node: u32| (node + 1 < nodes).then_some(node + 1).into_iter().collect();
    (0..nodes).map(|node| Plan { targets: next(node), at_once: true }).collect()
}

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let nodes = run.params.int("nodes") as u32;
    let file = run.params.int("file") * 1_000_000;
    let block = run.params.int("block") * 1_000;
    let rate = run.params.int("rate") * 1_000 / 8;
    if !file.is_multiple_of(block) {
        return Err(run.refuse("the file must be made of whole blocks"));
    }
    let blocks = u32::try_from(file / block)
        .ok()
        .filter(|blocks| *blocks <= 1 << 22)
        .ok_or_else(|| run.refuse("more than 4 million blocks"))?;
    let block = block as u32;
    let piece_len = run.params.int("piece") as u32 * 1024;
    let access = Access { up: Some(rate), down: Some(rate) };
    let swarm = Scenario {
        seed: run.seed_of(0),
        pieces: file.div_ceil(u64::from(piece_len)) as u32,
        piece_len,
        source: access,
        leechers: vec![Leecher { access, rides: false }; nodes as usize],
        latency: LATENCY,
        order: PieceOrder::RarestFirst,
        acquainted: true,
        source_leaves_after: None,
    };
    let mut times = run.map(
        &[0, 1, 2],
        |way| if *way == 2 { 20.0 } else { 1.0 },
        |way, tell| match way {
            0 => relay(&doubling(nodes), blocks, block, rate),
            1 => relay(&chain(nodes + 1), blocks, block, rate),
            _ => swarm.run(tell).done,
        },
    );
    times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    let last = |way: usize| times[way].last().copied().unwrap_or(f64::INFINITY);
    let copy = file as f64 / rate as f64;
    let copies = f64::from(nodes).log2().ceil() * copy;
    let chained = copy + f64::from(nodes - 1) * f64::from(block) / rate as f64;
    let mut outcome = Outcome::default();
    let exact = Tolerance::Relative(0.001);
    outcome.check(Check::new("whole copies, seconds", last(0), copies, exact));
    outcome.check(Check::new("chain of blocks, seconds", last(1), chained, exact));
    let near = Tolerance::Relative(SWARM_TOLERANCE);
    outcome.check(Check::new("swarm against F/C, seconds", last(2), copy, near));
    let steps = |way: usize| (1u32..).zip(&times[way]).map(|(n, at)| (f64::from(n), *at));
    let formula = |of: &dyn Fn(f64) -> f64| {
        let points: Vec<_> = (1..=nodes).map(|n| (f64::from(n), of(f64::from(n)))).collect();
        points
    };
    outcome.plots.push(Plot {
        title: "When the n-th receiver has the file".to_owned(),
        x: Axis::linear("receivers that have the whole file"),
        y: Axis::linear("seconds"),
        series: vec![
            Series::new("our swarm", Role::Ours, steps(2)),
            Series::new("our chain", Role::Other, steps(1)),
            Series::new("our whole copies", Role::Other, steps(0)),
            Series::new(
                "chain, lecture",
                Role::Published,
                formula(&|n| copy + (n - 1.0) * f64::from(block) / rate as f64),
            ),
            Series::new(
                "whole copies, lecture",
                Role::Published,
                formula(&|n| (n + 1.0).min(f64::from(nodes)).log2().ceil() * copy),
            ),
        ],
    });
    outcome.note(
        "The lecture counts the source among the 8 nodes for whole copies (three rounds reach 2^3), \
         and beside them for the chain, whose formula has 8 receivers. We follow it in both; the \
         swarm has 8 receivers. Copies and chain are small machines made for this, without latency; \
         the swarm is the BitTorrent machine, which also has its uplinks and downlinks at C.",
    );
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_reach_everybody_once() {
        for nodes in 2..40 {
            for plans in [doubling(nodes), chain(nodes)] {
                let mut reached: Vec<u32> =
                    plans.iter().flat_map(|plan| plan.targets.iter().copied()).collect();
                reached.sort_unstable();
                assert_eq!(reached, (1..nodes).collect::<Vec<_>>());
            }
        }
    }
}
