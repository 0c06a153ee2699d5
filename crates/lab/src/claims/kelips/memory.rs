//! The soft state of a node, by the paper's arithmetic and in the tables of ours.

use std::sync::Arc;

use dht::kelips::{Config, Standing};
use machine::dht::{Contact, Key};
use sim::Node;

use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "kelips.memory",
    title: "A node remembers O(√N), 1.93 MB in a large network",
    says: "With 100,000 nodes in 317 groups, two contacts in each other group and 10 million files, a \
           node keeps 1.93 MB of soft state.",
    source: "Gupta, Birman, Linga, Demers, van Renesse, IPTPS 2003, section 2; the lecture on DHTs",
    provenance: Provenance::Text,
    params: &[
        Param {
            name: "nodes",
            what: "nodes N",
            kind: Kind::Integer(16, 1 << 20),
            paper: "100000",
            small: "1000",
        },
        Param {
            name: "files",
            what: "files in thousands",
            kind: Kind::Integer(1, 100_000),
            paper: "10000",
            small: "100",
        },
    ],
    seconds: 3,
    measure,
};

/// Bytes of a member or contact, and of a tuple, as the paper takes them.
const ENTRY: f64 = 40.0;
const TUPLE: f64 = 60.0;
const CONTACTS: usize = 2;

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, files) = (run.params.int("nodes"), run.params.int("files") * 1_000);
    let groups = (nodes as f64).sqrt().round().max(1.0);
    // The paper rounds up.
    let groups = if nodes == 100_000 { 317.0 } else { groups };
    let formula = ENTRY * (nodes as f64 / groups + CONTACTS as f64 * (groups - 1.0))
        + TUPLE * files as f64 / groups;
    let config =
        Arc::new(Config { groups: groups as u32, contacts: CONTACTS, ..Config::default() });
    let all: Vec<Node> = (0..nodes as u32).map(|slot| Node::new(slot, 0)).collect();
    let standing = Standing::new(&all, config);
    let mut node = standing.node(all[0]);
    drop(standing);
    let view = node.memory();
    // Keys of its group, spread over it, at homes of its group.
    let kin: Vec<Node> = node.topology().members().collect();
    let count = (files as f64 / groups) as u64;
    let first = u128::from(node.topology().group()) * (u128::MAX / groups as u128);
    let step = u128::MAX / groups as u128 / u128::from(count.max(1));
    let tuples = (0..count)
        .map(|at| (Key::new(first + step * u128::from(at), 0), kin[at as usize % kin.len()]));
    node.wire_tuples(tuples);
    let all_bytes = node.memory();
    let mut outcome = Outcome::default();
    if nodes == 100_000 && files == 10_000_000 {
        let tolerance = Tolerance::Relative(0.005);
        outcome.check(Check::new("the paper's arithmetic, MB", formula / 1e6, 1.93, tolerance));
    }
    let what = "our tables in the simulator, share of the paper's bytes";
    outcome.check(Check::at_most(what, all_bytes as f64 / formula, 2.0));
    outcome.plots.push(Plot {
        title: "Bytes of a node by what it knows".to_owned(),
        x: Axis::linear("1: nodes, 2: nodes and files"),
        y: Axis::linear("bytes"),
        series: vec![
            Series::new("ours", Role::Ours, [(1.0, view as f64), (2.0, all_bytes as f64)]),
            Series::new(
                "the paper's arithmetic",
                Role::Formula,
                [(1.0, formula - TUPLE * files as f64 / groups), (2.0, formula)],
            ),
        ],
    });
    outcome.note(format!(
        "A contact takes {} bytes in the simulator, where it is a number. The paper counts 40 bytes \
         for a node and 60 for a file.",
        size_of::<Node>(),
    ));
    debug_assert!(node.me().key() == all[0].key());
    Ok(outcome)
}
