//! Why old contacts are kept: who has been up for long stays up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dht::kademlia::{Command, Config, Kademlia};
use machine::dht::Command as DhtCommand;
use machine::{Instant, OpId};
use sim::{Change, Churn, Link, Node, Span};

use super::Net;
use crate::claim::{Claim, Provenance};
use crate::claims::mean;
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "kademlia.properties.uptime",
    title: "Old contacts stay",
    says: "The longer a node has been up, the likelier it stays up one more hour; buckets that keep \
           their oldest living contacts hold nodes that are likelier to stay than others.",
    source: "Maymounkov and Mazieres, IPTPS 2002, section 2.2, after a trace of Gnutella by Saroiu, \
             Gummadi and Gribble",
    provenance: Provenance::Memory,
    params: &[
        Param {
            name: "nodes",
            what: "nodes that come and go",
            kind: Kind::Integer(50, 1 << 16),
            paper: "1000",
            small: "100",
        },
        Param {
            name: "hours",
            what: "simulated time before tables are looked at",
            kind: Kind::Integer(1, 1_000),
            paper: "24",
            small: "3",
        },
        Param {
            name: "shape",
            what: "shape of the Weibull distribution of sessions",
            kind: Kind::Real(0.2, 2.0),
            paper: "0.5",
            small: "0.5",
        },
        Param {
            name: "median",
            what: "median session, minutes",
            kind: Kind::Real(1.0, 100_000.0),
            paper: "60",
            small: "60",
        },
    ],
    seconds: 60,
    measure,
};

const HOUR: Duration = Duration::from_secs(3_600);
/// Between two sessions in one place.
const AWAY: Duration = Duration::from_secs(600);
/// How far ahead of the world changes are drawn.
const SLICE: Duration = Duration::from_secs(10);
/// Upper ends of the classes of age that are compared, in hours.
const AGES: [f64; 6] = [0.5, 1.0, 2.0, 4.0, 8.0, f64::INFINITY];

/// The network, and who is up since when.
struct Living {
    net: Net,
    churn: Churn,
    config: Arc<Config<Node>>,
    since: BTreeMap<Node, Instant>,
}

impl Living {
    fn run_for(&mut self, span: Duration, tell: &dyn Fn(f64)) {
        let (began, end) = (self.net.world.now(), self.net.world.now() + span);
        while self.net.world.now() < end {
            let slice = (self.net.world.now() + SLICE).min(end);
            while let Some(change) = self.churn.next_before(slice) {
                self.change(change);
            }
            self.net.world.run_until(slice);
            self.net.world.drain_events().for_each(drop);
            tell((slice - began).as_secs_f64() / span.as_secs_f64());
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Down { at, node } => {
                self.since.remove(&node);
                self.net.world.crash_at(at, node);
            }
            Change::Up { at, node, known } => {
                self.since.insert(node, at);
                let join = DhtCommand::Join { known: known.into_iter().collect() };
                let machine = Kademlia::new(node, self.config.clone(), [0; 16]);
                let first = Some((OpId(0), Command::Dht(join)));
                self.net.world.start_at(at, node, machine, first);
            }
        }
    }
}

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, hours) = (run.params.int("nodes"), run.params.int("hours"));
    let shape = run.params.real("shape");
    let minutes = run.params.real("median") / std::f64::consts::LN_2.powf(1.0 / shape);
    let session = Span::Weibull { shape, scale: Duration::from_secs_f64(minutes * 60.0) };
    let (ages, in_tables, at_large) = run
        .map(
            &[nodes],
            |_| 1.0,
            |&nodes, tell| {
                let seed = run.seed_of(nodes);
                // Churn begins at once, so that ages are those of sessions after some time.
                let config = Config { republish: None, ..Config::paper() };
                let net = Net::standing(seed, nodes as usize, 0.0, Link::default(), config.clone());
                let churn = Churn::new(seed, &net.nodes, session, Span::Constant(AWAY));
                let since = net.nodes.iter().map(|&node| (node, Instant::ZERO)).collect();
                let mut living = Living { net, churn, config: Arc::new(config), since };
                let share = hours as f64 / (hours as f64 + 1.0);
                living.run_for(HOUR * hours as u32, &|done| tell(done * share));
                let before = living.since.clone();
                let now = living.net.world.now();
                let tables: Vec<Node> = living
                    .net
                    .world
                    .nodes()
                    .flat_map(|(_, node)| node.table().nodes().collect::<Vec<_>>())
                    .filter(|contact| before.contains_key(contact))
                    .collect();
                living.run_for(HOUR, &|done| tell(share + done * (1.0 - share)));
                let stays = |node: &Node| f64::from(u8::from(living.since.contains_key(node)));
                let mut ages = [const { Vec::new() }; AGES.len()];
                for (node, &since) in &before {
                    let age = (now - since).as_secs_f64() / HOUR.as_secs_f64();
                    let class = AGES.iter().position(|end| age < *end).unwrap_or(AGES.len() - 1);
                    ages[class].push(stays(node));
                }
                let in_tables = mean(&tables.iter().map(stays).collect::<Vec<_>>());
                let at_large = mean(&before.keys().map(stays).collect::<Vec<_>>());
                (ages, in_tables, at_large)
            },
        )
        .remove(0);
    let mut outcome = Outcome::default();
    let full: Vec<(usize, f64)> = ages
        .iter()
        .enumerate()
        .filter(|(_, stays)| !stays.is_empty())
        .map(|(class, stays)| (class, mean(stays)))
        .collect();
    if let (Some((_, young)), Some((_, old))) = (full.first(), full.last()) {
        let what = "one more hour: the oldest over the youngest";
        outcome.check(Check::at_least(what, old / young, 1.0));
    }
    let what = "one more hour: contacts in tables over all nodes";
    outcome.check(Check::at_least(what, in_tables / at_large, 1.0));
    let middle = |class: usize| match class {
        0 => 0.25,
        class if AGES[class].is_infinite() => 1.5 * AGES[class - 1],
        class => f64::midpoint(AGES[class - 1], AGES[class]),
    };
    let points: Vec<(f64, f64)> =
        full.iter().map(|&(class, stays)| (middle(class), stays * 100.0)).collect();
    let ends = [points.first().map_or(0.0, |p| p.0), points.last().map_or(1.0, |p| p.0)];
    let flat = |stays: f64| ends.map(|x| (x, stays * 100.0));
    outcome.plots.push(Plot {
        title: "Nodes that are up one hour later".to_owned(),
        x: Axis::linear("hours that they have been up"),
        y: Axis::linear("%"),
        series: vec![
            Series::new("by age", Role::Ours, points),
            Series::new("contacts in tables", Role::Other, flat(in_tables)),
            Series::new("all nodes", Role::Formula, flat(at_large)),
        ],
    });
    outcome.note(
        "The trace itself is not at hand. Sessions are drawn from a Weibull distribution with a long \
         tail, as such traces are described; that old nodes stay is then given, and what is shown is \
         that the tables' rules make use of it.",
    );
    Ok(outcome)
}
