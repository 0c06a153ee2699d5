//! What one search costs, by how it travels.

use std::time::Duration;

use machine::Rng;
use search::gnutella::HEADER_LEN;

use super::{Layout, Overlay, random_pairs};
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "search.bytes_per_query",
    title: "Bytes of a query: flooding, ultrapeers, QRP, dynamic querying, random walkers",
    says: "Each step makes a search cheaper: floods among ultrapeers only, finer tables of words that \
           keep queries from those who have nothing, queries that stop when there is enough, and \
           walkers in place of floods.",
    source: "Lectures: two-level hierarchy (flooding happens only at the top level); QRP 0.2; Fisk, \
             dynamic querying 0.1, 2003; Lv, Cao, Cohen, Li, Shenker, ICS 2002 (random walks)",
    provenance: Provenance::Derived,
    params: &[
        Param {
            name: "nodes",
            what: "peers; of the two-level ones a tenth are ultrapeers",
            kind: Kind::Integer(50, 2_000),
            paper: "400",
            small: "100",
        },
        Param {
            name: "shares",
            what: "shares of the peers that have what is looked for",
            kind: Kind::Reals(0.001, 0.5),
            paper: "0.01,0.03,0.1,0.3",
            small: "0.05,0.3",
        },
    ],
    seconds: 20,
    measure,
};

/// Answers that are enough.
const WANTED: u32 = 5;
/// Searches that a mean is taken of.
const SEARCHES: u32 = 10;
/// How long a search that is led goes on at most.
const SPAN: Duration = Duration::from_secs(60);
/// As many as Lv and others found to be about right.
const WALKERS: usize = 16;
const STEPS_MAX: usize = 1_024;

/// How a search travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Flood,
    CoarseTables,
    Tables,
    Dynamic,
    Walkers,
}

const WAYS: [(Way, &str); 5] = [
    (Way::Flood, "flooding, flat"),
    (Way::CoarseTables, "ultrapeers, tables of 64 slots"),
    (Way::Tables, "tables of 4,096 slots"),
    (Way::Dynamic, "dynamic querying"),
    (Way::Walkers, "random walkers, flat"),
];

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let nodes = run.params.int("nodes") as u32;
    let shares = run.params.reals("shares");
    let cases: Vec<_> =
        WAYS.iter().flat_map(|(way, _)| shares.iter().map(move |share| (*way, *share))).collect();
    let measured = run.map(
        &cases,
        |(way, _)| if *way == Way::Flood { 4.0 } else { 1.0 },
        |&(way, share), _| {
            let seed = run.seed_of((share * 1e4) as u64);
            if way == Way::Walkers {
                walk(seed, nodes, share)
            } else {
                search(seed, nodes, share, way)
            }
        },
    );
    let rows: Vec<&[(f64, f64)]> = measured.chunks(shares.len()).collect();
    let mut outcome = Outcome::default();
    if let (Some(&least), Some(&most)) = (shares.first(), shares.last()) {
        let mut compare = |way: usize, with: usize, share: f64, limit: f64| {
            let at = if share == least { 0 } else { shares.len() - 1 };
            let what = format!("{} against {}, {share} have it", WAYS[way].1, WAYS[with].1);
            let ratio = rows[way][at].0 / rows[with][at].0.max(1.0);
            outcome.check(Check::at_most(what, ratio, limit));
        };
        compare(1, 0, least, 0.7);
        compare(2, 1, least, 0.9);
        compare(3, 2, most, 0.7);
        compare(4, 0, most, 0.3);
        for (row, (_, name)) in rows.iter().zip(&WAYS) {
            let answers = row.last().map_or(0.0, |row| row.1);
            let what = format!("answers, {name}, {most} have it");
            outcome.check(Check::at_least(what, answers, f64::from(WANTED)));
        }
    }
    let plot = |title: &str, y: Axis, part: fn(&(f64, f64)) -> f64| Plot {
        title: title.to_owned(),
        x: Axis::log10("share of the peers that have it"),
        y,
        series: rows
            .iter()
            .zip(&WAYS)
            .map(|(row, (way, name))| {
                let role = if *way == Way::Dynamic { Role::Ours } else { Role::Other };
                let points = shares.iter().zip(*row).map(|(share, row)| (*share, part(row)));
                Series::new(*name, role, points.collect::<Vec<_>>())
            })
            .collect(),
    };
    let bytes = plot("Bytes of a query and its hits", Axis::log10("bytes"), |row| row.0);
    let answers = plot("Answers to a query", Axis::log10("answers"), |row| row.1);
    outcome.plots.extend([bytes, answers]);
    outcome.note(format!(
        "Enough are {WANTED} answers; {WALKERS} walkers stop when they have found as many together. \
         They are a model, over the same graph as the flat flood, and their answers go straight home."
    ));
    Ok(outcome)
}

/// Bytes and answers of a search, in the mean.
fn search(seed: u64, nodes: u32, share: f64, way: Way) -> (f64, f64) {
    let hubs = (nodes / 10).max(12);
    let layout = match way {
        Way::Flood | Way::Walkers => Layout::flat(seed, nodes, 4),
        _ => Layout::two_level(seed, hubs, nodes - hubs, 8, 2),
    };
    let mut overlay = Overlay::of(seed, &layout, |config| {
        config.pong_caching = true;
        config.slots = if way == Way::CoarseTables { 64 } else { 1 << 12 };
        config.dynamic = way == Way::Dynamic;
        config.hits_wanted = WANTED;
    });
    let mut rng = Rng::new(seed);
    for node in 0..nodes {
        // Everybody shares something, so that tables are not empty.
        for number in 0..4 {
            overlay.share(node, &format!("n{node}f{number} other words.txt"));
        }
        if rng.below(1_000_000) as f64 / 1e6 < share {
            overlay.share(node, "treasure.ogg");
        }
    }
    // Tables are told every ten seconds.
    overlay.run(Duration::from_secs(30));
    let (mut bytes, mut answers) = (0, 0);
    for _ in 0..SEARCHES {
        let origin = nodes - 1 - rng.below(u64::from(nodes - hubs)) as u32;
        let (spent, found) = overlay.ask(origin, "treasure", SPAN);
        bytes += spent.bytes;
        answers += found;
    }
    (bytes as f64 / f64::from(SEARCHES), answers as f64 / f64::from(SEARCHES))
}

/// The same with walkers, each of which goes on to a random neighbour.
fn walk(seed: u64, nodes: u32, share: f64) -> (f64, f64) {
    let mut near = vec![Vec::new(); nodes as usize];
    for (one, other) in random_pairs(seed, nodes, 4) {
        near[one as usize].push(other);
        near[other as usize].push(one);
    }
    let mut rng = Rng::new(seed);
    let has: Vec<bool> = (0..nodes).map(|_| rng.below(1_000_000) as f64 / 1e6 < share).collect();
    // A query is its head, two bytes and the word with a zero; a hit about a hundred bytes.
    let (query, hit) = (HEADER_LEN as u64 + 2 + 9, HEADER_LEN as u64 + 100);
    let (mut bytes, mut answers) = (0, 0);
    for _ in 0..SEARCHES {
        let origin = rng.below(nodes.into()) as u32;
        let mut walkers = vec![origin; WALKERS];
        let mut found = std::collections::BTreeSet::new();
        for _ in 0..STEPS_MAX {
            for walker in &mut walkers {
                *walker = *rng.pick(&near[*walker as usize]).unwrap_or(walker);
                bytes += query;
                if has[*walker as usize] && found.insert(*walker) {
                    bytes += hit;
                }
            }
            if found.len() >= WANTED as usize {
                break;
            }
        }
        answers += found.len();
    }
    (bytes as f64 / f64::from(SEARCHES), answers as f64 / f64::from(SEARCHES))
}
