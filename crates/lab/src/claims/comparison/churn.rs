//! What each system keeps while nodes come and go: values that are found, at what price.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use machine::dht::{Command, Dht, Key, Report};
use machine::{Instant, OpId, Rng};
use sim::{Change, Node, Simulated, Span};

use super::build::Plan;
use super::bytes::Scales;
use super::{Experiment, Network, SYSTEMS, System, random_key, round_trip};
use crate::claim::{Claim, Provenance};
use crate::claims::percentile;
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Summary, number};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "lecture.comparison.churn",
    title: "Seven hash tables under the same churn and the same loss",
    says: "Whoever remembers more finds more while nodes come and go, and pays for it by upkeep; with \
           sessions of an hour all find nearly everything.",
    source: "the lectures' closing comparison of structured overlays",
    provenance: Provenance::Memory,
    params: &[
        Param {
            name: "nodes",
            what: "nodes N",
            kind: Kind::Integer(16, 1 << 20),
            paper: "250",
            small: "32",
        },
        Param {
            name: "medians",
            what: "medians of sessions, minutes",
            kind: Kind::Integers(1, 10_000),
            paper: "1,5,15,60",
            small: "5,60",
        },
        Param {
            name: "minutes",
            what: "minutes that are counted",
            kind: Kind::Integer(1, 10_000),
            paper: "15",
            small: "2",
        },
        Param {
            name: "warm_up",
            what: "minutes before, that are not",
            kind: Kind::Integer(1, 10_000),
            paper: "5",
            small: "3",
        },
        Param {
            name: "round",
            what: "seconds between two rounds of upkeep",
            kind: Kind::Integer(1, 3_600),
            paper: "10",
            small: "10",
        },
        Param {
            name: "loss",
            what: "share of the messages that are lost",
            kind: Kind::Real(0.0, 0.9),
            paper: "0.01",
            small: "0.01",
        },
    ],
    seconds: 90,
    measure,
};

const SECOND: Duration = Duration::from_secs(1);
/// How long a command may take.
const PATIENCE: u64 = 30;
/// A value is asked for no sooner than so many seconds after it was put.
const AGE: u64 = 60;
/// Of Weibull sessions: with half of them short and some very long, as was measured of peers.
const SHAPE: f64 = 0.5;
const PUTS: u64 = 1 << 40;
const JOINS: u64 = 1 << 41;

/// How long nodes stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sessions {
    Exponential,
    Weibull,
}

impl Sessions {
    /// Those with this median.
    fn span(self, median: Duration) -> Span {
        let two = std::f64::consts::LN_2;
        match self {
            Self::Exponential => Span::Exponential { mean: median.div_f64(two) },
            Self::Weibull => {
                Span::Weibull { shape: SHAPE, scale: median.div_f64(two.powf(1.0 / SHAPE)) }
            }
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Exponential => "exponential",
            Self::Weibull => "Weibull",
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Row {
    /// Share of the values that were asked for and found.
    found: f64,
    /// Share of the values that were stored.
    stored: f64,
    /// Messages that a node sent in a second, upkeep and all.
    messages: f64,
    /// Bytes of those, with the heads of UDP and IPv4.
    bytes: f64,
    hops: f64,
    /// Median, in milliseconds.
    latency: f64,
    /// Time of all gets by that of asking at once whoever had the value.
    stretch: f64,
    timeouts: f64,
}

struct Live {
    seed: u64,
    sessions: Span,
    /// Seconds before anything is counted.
    warm_up: u64,
    seconds: u64,
}

/// What became of commands that count.
#[derive(Default)]
struct Tally {
    gets: u64,
    puts: u64,
    stored: u64,
    found: u64,
    hops: u64,
    timeouts: u64,
    took: Vec<f64>,
    /// Seconds of the gets that somebody else answered, and of the round trips to them.
    remote: f64,
    direct: f64,
}

struct Town<M: Simulated> {
    network: Network<M>,
    scales: Rc<RefCell<Scales<M>>>,
    /// Members, in no order.
    up: Vec<Node>,
    keys: Vec<(u64, Key)>,
    asked: BTreeMap<u64, (Instant, Node)>,
    tally: Tally,
    /// What was asked before does not count.
    warm: Instant,
    rng: Rng,
}

impl<M: Dht + Simulated> Town<M> {
    /// Lets nodes come and go until `end`.
    fn change(&mut self, churn: &mut sim::Churn, end: Instant) {
        while let Some(change) = churn.next_before(end) {
            match change {
                Change::Down { at, node } => {
                    self.network.world.crash_at(at, node);
                    self.up.retain(|&other| other != node);
                    // Nobody waits for these any more.
                    self.asked.retain(|_, (_, asker)| *asker != node);
                }
                Change::Up { at, node, .. } => {
                    let known: Vec<Node> =
                        (0..3).filter_map(|_| self.rng.pick(&self.up).copied()).collect();
                    let first = (OpId(JOINS), M::command(Command::Join { known }));
                    let machine = (self.network.newcomer)(node);
                    self.network.world.start_at(at, node, machine, Some(first));
                }
            }
        }
    }

    /// A value is put, and one that was put before is asked for.
    fn ask(&mut self, second: u64) {
        let now = self.network.world.now();
        let key = random_key(&mut self.rng);
        if let Some(&node) = self.rng.pick(&self.up) {
            let value = key.0.as_slice().into();
            let put = M::command(Command::Put { key, value });
            self.network.world.command(node, OpId(PUTS | second), put);
            self.asked.insert(PUTS | second, (now, node));
            self.keys.push((second, key));
        }
        let old = self.keys.partition_point(|(at, _)| at + AGE <= second);
        let wanted = self.rng.pick(&self.keys[..old]).copied();
        if let (Some((_, key)), Some(&node)) = (wanted, self.rng.pick(&self.up)) {
            self.network.world.command(node, OpId(second), M::command(Command::Get { key }));
            self.asked.insert(second, (now, node));
        }
    }

    /// What nodes told; whoever did not get in tries again.
    fn heed(&mut self) {
        let happenings: Vec<_> = self.network.world.drain_events().collect();
        for happening in happenings {
            let (Some(OpId(op)), Some(report)) = (happening.op, M::report(happening.event)) else {
                continue;
            };
            if op == JOINS {
                match report {
                    Report::Joined => self.up.push(happening.node),
                    _ => {
                        let known: Vec<Node> =
                            (0..3).filter_map(|_| self.rng.pick(&self.up).copied()).collect();
                        let again = M::command(Command::Join { known });
                        let at = happening.at + 5 * SECOND;
                        self.network.world.command_at(
                            at.max(self.network.world.now()),
                            happening.node,
                            OpId(JOINS),
                            again,
                        );
                    }
                }
                continue;
            }
            let holder = self.scales.borrow_mut().answered(OpId(op));
            let Some((asked, _)) = self.asked.remove(&op) else { continue };
            if asked < self.warm {
                continue;
            }
            let is_put = op & PUTS != 0;
            if is_put {
                self.tally.puts += 1
            } else {
                self.tally.gets += 1
            }
            match report {
                Report::Stored { .. } => self.tally.stored += 1,
                Report::Found { cost, .. } => {
                    self.tally.found += 1;
                    self.tally.hops += u64::from(cost.hops);
                    self.tally.timeouts += u64::from(cost.timeouts);
                    let took = (happening.at - asked).as_secs_f64();
                    self.tally.took.push(took);
                    if let Some(holder) = holder.filter(|&holder| holder != happening.node) {
                        self.tally.remote += took;
                        self.tally.direct += round_trip(happening.node, holder);
                    }
                }
                _ => {}
            }
        }
    }
}

impl Experiment for Live {
    type Outcome = Row;

    fn run<M: Dht + Simulated + 'static>(self, network: Network<M>) -> Row {
        let (up, nodes) = (network.nodes.clone(), network.nodes.len() as f64);
        let mut churn = sim::Churn::new(self.seed, &up, self.sessions, Span::Constant(SECOND));
        let rng = Rng::new(self.seed);
        let (keys, asked, tally) = (Vec::new(), BTreeMap::new(), Tally::default());
        let warm = Instant::ZERO + self.warm_up as u32 * SECOND;
        let scales = Scales::new(network.length);
        let mut town = Town { network, scales, up, keys, asked, tally, warm, rng };
        let end = self.warm_up + self.seconds;
        town.network.world.observe_too(town.scales.clone());
        let (mut sent, mut bytes) = (0, 0);
        for second in 0..end + PATIENCE {
            if second == self.warm_up {
                sent = town.network.world.counts().sent;
                town.scales.borrow_mut().take();
            }
            let next = town.network.world.now() + SECOND;
            town.change(&mut churn, next);
            if second < end {
                town.ask(second);
            } else if second == end {
                sent = town.network.world.counts().sent - sent;
                bytes = town.scales.borrow_mut().take();
            }
            town.network.world.run_until(next);
            town.heed();
        }
        // Whoever still waits, waits in vain.
        for (op, (at, _)) in &town.asked {
            match (*at >= warm, op & PUTS != 0) {
                (true, true) => town.tally.puts += 1,
                (true, false) => town.tally.gets += 1,
                _ => {}
            }
        }
        let mut tally = town.tally;
        let share = |part: u64, all: u64| part as f64 / all.max(1) as f64;
        Row {
            found: share(tally.found, tally.gets),
            stored: share(tally.stored, tally.puts),
            messages: sent as f64 / self.seconds as f64 / nodes,
            bytes: bytes as f64 / self.seconds as f64 / nodes,
            hops: share(tally.hops, tally.found),
            timeouts: share(tally.timeouts, tally.found),
            stretch: tally.remote / tally.direct.max(f64::MIN_POSITIVE),
            latency: percentile(&mut tally.took, 0.5) * 1_000.0,
        }
    }
}

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, medians) = (run.params.int("nodes") as usize, run.params.ints("medians"));
    let (loss, seconds) = (run.params.real("loss"), 60 * run.params.int("minutes"));
    let warm_up = 60 * run.params.int("warm_up");
    let round = Some(Duration::from_secs(run.params.int("round")));
    let mut cases = Vec::new();
    for sessions in [Sessions::Exponential, Sessions::Weibull] {
        for system in SYSTEMS {
            cases.extend(medians.iter().map(|&median| (sessions, system, median)));
        }
    }
    let rows = run.map(
        &cases,
        |_| 1.0,
        |&(sessions, system, median), _| {
            // All systems see the same nodes come and go.
            let seed = run.seed_of(median * 2 + u64::from(sessions == Sessions::Weibull));
            let span = sessions.span(Duration::from_secs(60 * median));
            let plan = Plan { seed, nodes, loss, round };
            plan.run(system, Live { seed, sessions: span, warm_up, seconds })
        },
    );
    let of = |sessions: Sessions, system: System| {
        cases
            .iter()
            .zip(&rows)
            .filter(move |((kind, it, _), _)| (*kind, *it) == (sessions, system))
            .map(|((.., median), row)| (*median as f64, row))
    };
    let mut outcome = Outcome::default();
    for system in SYSTEMS {
        for (median, row) in of(Sessions::Exponential, system).filter(|(median, _)| *median >= 60.0)
        {
            let what = format!("{}: values found, sessions of {median} min", system.name());
            outcome.check(Check::at_least(what, row.found, 0.97));
        }
    }
    for sessions in [Sessions::Exponential, Sessions::Weibull] {
        let columns = [
            "median, min",
            "found, %",
            "stored, %",
            "messages/s per node",
            "bytes/s per node",
            "hops",
            "timeouts",
            "median ms",
            "stretch",
        ];
        let mut lines = Vec::new();
        for system in SYSTEMS {
            for (median, row) in of(sessions, system) {
                let figures = [
                    median,
                    (row.found * 1_000.0).round() / 10.0,
                    (row.stored * 1_000.0).round() / 10.0,
                    row.messages,
                    row.bytes,
                    row.hops,
                    row.timeouts,
                    row.latency,
                    row.stretch,
                ];
                lines.push((system.name().to_owned(), figures.map(number).to_vec()));
            }
        }
        outcome.summaries.push(Summary {
            title: format!(
                "{nodes} nodes, {} sessions, {} % loss",
                sessions.name(),
                number(loss * 100.0)
            ),
            columns: columns.map(str::to_owned).to_vec(),
            rows: lines,
        });
        let mut plot = |title: &str, label: &str, value: fn(&Row) -> f64| {
            let series = SYSTEMS.iter().enumerate().map(|(at, &system)| {
                let role = if at == 0 { Role::Ours } else { Role::Other };
                let points = of(sessions, system).map(|(median, row)| (median, value(row)));
                Series::new(system.name(), role, points)
            });
            outcome.plots.push(Plot {
                title: format!("{title}, {} sessions", sessions.name()),
                x: Axis::log10("median session, minutes"),
                y: Axis::linear(label),
                series: series.collect(),
            });
        };
        plot("Values found", "share", |row| row.found);
        plot("Messages of a node", "messages/s", |row| row.messages);
        plot("Bytes of a node", "bytes/s", |row| row.bytes);
        plot("Stretch: time by that of asking the holder at once", "times", |row| row.stretch);
    }
    outcome.note(
        "A value a second is put by a random member, and one that was put at least a minute before is \
         asked for; nobody puts anything again. Whoever goes falls silent, and somebody new comes a \
         second later. All hold three copies and keep up their tables in rounds of the same length; \
         what a round does is each system's own. Bytes are those of the datagrams that live nodes \
         send, with their heads of UDP and IPv4.",
    );
    Ok(outcome)
}
