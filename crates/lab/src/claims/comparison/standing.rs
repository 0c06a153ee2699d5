//! What each system costs while nothing fails: memory, hops, messages, time and detours.

use std::time::Duration;

use machine::dht::{Command, Cost, Dht, Report};
use machine::{OpId, Rng};
use sim::Simulated;

use super::build::Plan;
use super::{Experiment, Network, SYSTEMS, System, random_key, round_trip};
use crate::claim::{Claim, Provenance};
use crate::claims::{mean, percentile};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Summary, Tolerance, number};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "lecture.comparison.standing",
    title: "Seven hash tables side by side: memory against the cost of a lookup",
    says: "Chord, Kademlia, Pastry and Tapestry pay O(log N) memory for O(log N) hops; CAN O(d) \
           for O(d N^(1/d)); Viceroy seven links for O(log N); Kelips O(sqrt N) for one.",
    source: "the lectures' closing comparison of structured overlays",
    provenance: Provenance::Memory,
    params: &[
        Param {
            name: "nodes",
            what: "nodes N; 10^6 takes some minutes",
            kind: Kind::Integers(16, 1 << 20),
            paper: "1000,10000,100000",
            small: "256,1024",
        },
        Param {
            name: "lookups",
            what: "lookups of random keys",
            kind: Kind::Integer(10, 1_000_000),
            paper: "2000",
            small: "200",
        },
    ],
    seconds: 120,
    measure,
};

/// Between two lookups.
const GAP: Duration = Duration::from_millis(2);
/// Nobody waits longer: a lookup crosses a CAN of a million nodes 500 times.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a system took at one size.
#[derive(Clone, Debug, Default)]
struct Row {
    contacts: f64,
    hops: f64,
    messages: f64,
    /// Median, in milliseconds.
    latency: f64,
    /// Time of all lookups by that of asking the owners at once.
    stretch: f64,
    failed: f64,
}

struct LookUp {
    lookups: u64,
    seed: u64,
}

impl Experiment for LookUp {
    type Outcome = Row;

    fn run<M: Dht + Simulated + 'static>(self, mut network: Network<M>) -> Row {
        let mut rng = Rng::new(self.seed);
        let sample = 2_000.min(network.nodes.len());
        let contacts: Vec<f64> = (0..sample)
            .filter_map(|_| network.world.get(*rng.pick(&network.nodes)?))
            .map(|machine| (network.contacts)(machine) as f64)
            .collect();
        let began = network.world.now();
        let mut askers = Vec::new();
        for number in 0..self.lookups {
            let Some(&node) = rng.pick(&network.nodes) else { break };
            askers.push(node);
            let lookup = M::command(Command::Lookup { key: random_key(&mut rng) });
            network.world.command_at(began + GAP * number as u32, node, OpId(number), lookup);
        }
        let last = began + GAP * self.lookups as u32;
        let (mut costs, mut took, mut direct) = (Vec::new(), Vec::new(), 0.0);
        let mut ended = 0;
        while ended < self.lookups && network.world.now() < last + PATIENCE {
            network.world.run_for(Duration::from_secs(1));
            for happening in network.world.drain_events() {
                let Some(OpId(number)) = happening.op else { continue };
                match M::report(happening.event) {
                    Some(Report::Located { nodes, cost }) => {
                        let seconds = happening.at - (began + GAP * number as u32);
                        took.push(seconds.as_secs_f64());
                        let asker = askers[number as usize];
                        let owner = nodes.first().copied().unwrap_or(asker);
                        if owner != asker {
                            direct += round_trip(asker, owner);
                        }
                        costs.push(cost);
                    }
                    Some(Report::Failed { .. }) => {}
                    _ => continue,
                }
                ended += 1;
            }
        }
        let of = |what: fn(&Cost) -> u16| {
            mean(&costs.iter().map(|it| what(it).into()).collect::<Vec<f64>>())
        };
        Row {
            contacts: mean(&contacts),
            hops: of(|cost| cost.hops),
            messages: of(|cost| cost.messages),
            stretch: took.iter().sum::<f64>() / direct.max(f64::MIN_POSITIVE),
            failed: (self.lookups - costs.len() as u64) as f64,
            latency: percentile(&mut took, 0.5) * 1_000.0,
        }
    }
}

/// By how much the lectures let hops, and contacts, grow between two sizes, and how far off a
/// measured one may be. Chord's constants are known, and so are CAN's; of others only the order is.
fn growth(system: System, from: f64, to: f64) -> (f64, f64, f64) {
    let (logs, root) = (to.log2() / from.log2(), (to / from).sqrt());
    match system {
        System::Can => (root, 1.0, 0.25),
        System::Kelips => (1.0, root, 0.25),
        System::Viceroy => (logs, 1.0, 0.35),
        // Twenty in each bucket that has so many to choose from.
        System::Kademlia => (logs, ((to / 20.0).log2() + 1.0) / ((from / 20.0).log2() + 1.0), 0.35),
        _ => (logs, logs, 0.35),
    }
}

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (sizes, lookups) = (run.params.ints("nodes"), run.params.int("lookups"));
    let cases: Vec<(System, u64)> = SYSTEMS
        .iter()
        .flat_map(|&system| sizes.iter().map(move |&nodes| (system, nodes)))
        .collect();
    let rows = run.map(
        &cases,
        |(_, nodes)| *nodes as f64,
        |&(system, nodes), _| {
            let seed = run.seed_of(nodes);
            let plan = Plan { seed, nodes: nodes as usize, loss: 0.0, round: None };
            plan.run(system, LookUp { lookups, seed })
        },
    );
    let of = |system: System| {
        cases
            .iter()
            .zip(&rows)
            .filter(move |((it, _), _)| *it == system)
            .map(|((_, n), row)| (*n as f64, row))
    };
    let mut outcome = Outcome::default();
    for system in SYSTEMS {
        let name = system.name();
        let failed: f64 = of(system).map(|(_, row)| row.failed).sum();
        outcome.check(Check::at_most(format!("{name}: lookups that led nowhere"), failed, 0.0));
        if let (Some((from, first)), Some((to, last))) = (of(system).next(), of(system).next_back())
            && from < to
        {
            let (hops, contacts, share) = growth(system, from, to);
            let tolerance = Tolerance::Relative(share);
            let what = format!("{name}: growth of hops, N = {from} to {to}");
            outcome.check(Check::new(what, last.hops / first.hops, hops, tolerance));
            let what = format!("{name}: growth of contacts, N = {from} to {to}");
            outcome.check(Check::new(what, last.contacts / first.contacts, contacts, tolerance));
        }
    }
    let last = sizes.iter().copied().max().unwrap_or_default();
    for &nodes in sizes.iter().filter(|&&nodes| nodes == last) {
        let rows = cases.iter().zip(&rows).filter(|((_, at), _)| *at == nodes);
        outcome.summaries.push(Summary {
            title: format!("{nodes} nodes, nothing fails"),
            columns: [
                "contacts",
                "hops",
                "messages",
                "median ms",
                "stretch",
                "contacts, hops in O",
            ]
            .map(str::to_owned)
            .to_vec(),
            rows: rows
                .map(|((system, _), row)| {
                    let figures = [row.contacts, row.hops, row.messages, row.latency, row.stretch];
                    let order = match system {
                        System::Can => "d, d N^(1/d)",
                        System::Kelips => "sqrt N, 1",
                        System::Viceroy => "1, log N",
                        _ => "log N, log N",
                    };
                    let cells = figures.map(number).into_iter().chain([order.to_owned()]);
                    (system.name().to_owned(), cells.collect())
                })
                .collect(),
        });
    }
    let mut plot = |title: &str, label: &str, value: fn(&Row) -> f64| {
        let series = SYSTEMS.iter().enumerate().map(|(at, &system)| {
            let role = if at == 0 { Role::Ours } else { Role::Other };
            Series::new(system.name(), role, of(system).map(|(nodes, row)| (nodes, value(row))))
        });
        outcome.plots.push(Plot {
            title: title.to_owned(),
            x: Axis::log10("nodes"),
            y: Axis::log10(label),
            series: series.collect(),
        });
    };
    plot("Memory: nodes that a node knows", "contacts", |row| row.contacts);
    plot("Hops of a lookup", "hops", |row| row.hops);
    plot("Requests of a lookup", "requests", |row| row.messages);
    plot("Time of a lookup, median", "ms", |row| row.latency);
    plot("Stretch: time by that of asking the owner at once", "times", |row| row.stretch);
    outcome.note(
        "All lookups are iterative, from random nodes to random keys, over points of a square 100 ms \
         wide, one way; each hop is a round trip from whoever asks. Kademlia asks three at a time and \
         ends when the twenty nearest have answered: more requests, of which the hops are the longest \
         chain. Tables are full; Pastry's, Tapestry's are the nearest of eight per slot.",
    );
    Ok(outcome)
}
