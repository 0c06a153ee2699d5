//! A network that loses a fifth of its nodes, grows by half and churns while it is used.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dht::overlay::{Event, Rules};
use dht::tapestry::{Config, Tapestry};
use machine::dht::{Command, Contact, Key, Report};
use machine::{Instant, OpId, Rng};
use sim::Node;

use super::super::prefix::{after, plane, random_key};
use super::Network;
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "tapestry.dynamics",
    title: "Tapestry stays in use through mass failures, mass joins and churn",
    says: "Messages to nodes and to objects succeed but for a dip of less than a minute when 20 % of \
           830 nodes fail, when half as many join, and hardly less than always under churn.",
    source: "Zhao et al., JSAC 22(1), 2004, section VI-C, figures 18 to 22",
    provenance: Provenance::Text,
    params: &[
        Param {
            name: "nodes",
            what: "nodes at the beginning",
            kind: Kind::Integer(20, 100_000),
            paper: "830",
            small: "100",
        },
        Param {
            name: "failed",
            what: "share of the nodes that fail at once",
            kind: Kind::Real(0.0, 0.9),
            paper: "0.2",
            small: "0.2",
        },
        Param {
            name: "joined",
            what: "nodes that join at once, as a share of those at the beginning",
            kind: Kind::Real(0.0, 1.0),
            paper: "0.5",
            small: "0.5",
        },
        Param {
            name: "objects",
            what: "objects",
            kind: Kind::Integer(1, 100_000),
            paper: "400",
            small: "50",
        },
        Param {
            name: "requests",
            what: "requests a second",
            kind: Kind::Integer(2, 10_000),
            paper: "40",
            small: "10",
        },
    ],
    seconds: 120,
    measure,
};

/// When what happens, in seconds.
const FAILURE: u64 = 120;
const JOINS: u64 = 300;
const CHURN_1: u64 = 480;
const CHURN_2: u64 = 780;
const END: u64 = 1_080;
/// Requests within this time of an event do not count.
const DIP: u64 = 60;
/// How long a request may take.
const PATIENCE: u64 = 20;
/// Seconds of which one success rate is taken.
const WINDOW: u64 = 20;

/// What was asked, when, and whether it came to what it should.
struct Asked {
    at: u64,
    from: Node,
    of_node: bool,
    wanted: Option<Node>,
    ok: bool,
}

struct Drama {
    network: Network,
    alive: Vec<Node>,
    rng: Rng,
    asked: BTreeMap<u64, Asked>,
    keys: Vec<Key>,
    joins: u64,
    joined: u64,
    /// Who has begun to join, and counts.
    joining: BTreeSet<Node>,
}

impl Drama {
    fn fail(&mut self, count: usize, now: u64) {
        for _ in 0..count.min(self.alive.len().saturating_sub(2)) {
            let at = self.rng.below(self.alive.len() as u64) as usize;
            let gone = self.alive.swap_remove(at);
            self.network.world.crash(gone);
            // Nobody waits for these any more, or could be found.
            self.asked.retain(|_, it| {
                let open = !it.ok && it.at + PATIENCE > now;
                !open || it.from != gone && it.wanted != Some(gone)
            });
        }
    }

    fn join(&mut self, at: Instant) {
        let known: Vec<Node> = (0..2).filter_map(|_| self.rng.pick(&self.alive).copied()).collect();
        let node = self.network.world.reserve(1)[0];
        let machine = Tapestry::new(node, self.network.config.clone());
        // Whoever begins at the very end has no time for it.
        if at + Duration::from_secs(PATIENCE) < after(Duration::from_secs(END)) {
            self.joins += 1;
            self.joining.insert(node);
        }
        let first = (OpId(1 << 40 | u64::from(node.raw())), Command::Join { known });
        self.network.world.start_at(at, node, machine, Some(first));
    }

    /// A second, with requests.
    fn second(&mut self, now: u64, requests: u64, objects: bool) {
        for number in 0..requests {
            let op = now << 20 | number;
            let Some(&from) = self.rng.pick(&self.alive) else { continue };
            let of_node = number % 2 == 0 || !objects;
            let (command, wanted) = if of_node {
                let to = self.alive[self.rng.below(self.alive.len() as u64) as usize];
                (Command::Lookup { key: to.key() }, Some(to))
            } else {
                let key = self.keys[self.rng.below(self.keys.len() as u64) as usize];
                (Command::Get { key }, None)
            };
            let at = after(Duration::from_millis(now * 1_000 + number * 1_000 / requests));
            self.network.world.command_at(at, from, OpId(op), command);
            self.asked.insert(op, Asked { at: now, from, of_node, wanted, ok: false });
        }
        self.network.world.run_until(after(Duration::from_secs(now + 1)));
        for happening in self.network.world.drain_events() {
            let (Some(OpId(op)), Event::Report(report)) = (happening.op, happening.event) else {
                continue;
            };
            match (self.asked.get_mut(&op), report) {
                (Some(asked), Report::Located { nodes, .. }) if now <= asked.at + PATIENCE => {
                    asked.ok = nodes.first() == asked.wanted.as_ref();
                }
                (Some(asked), Report::Found { .. }) => asked.ok = now <= asked.at + PATIENCE,
                (None, Report::Joined) => {
                    self.joined += u64::from(self.joining.remove(&happening.node));
                    self.alive.push(happening.node);
                }
                _ => {}
            }
        }
    }
}

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, requests) = (run.params.int("nodes"), run.params.int("requests"));
    let (failed, joined) = (run.params.real("failed"), run.params.real("joined"));
    let objects = run.params.int("objects");
    let got = run.map(
        &[nodes],
        |_| 1.0,
        |&nodes, tell| {
            let seed = run.seed_of(nodes);
            let rules = Rules { attempts: 2, ..Rules::default() };
            let network = Network::standing(
                seed,
                nodes as usize,
                8,
                plane(),
                Config { rules, ..Config::default() },
            );
            let mut rng = Rng::new(seed);
            let keys: Vec<Key> = (0..objects).map(|_| random_key(&mut rng)).collect();
            let alive = network.nodes.clone();
            let asked = BTreeMap::new();
            let joining = BTreeSet::new();
            let mut drama =
                Drama { network, alive, rng, asked, keys, joins: 0, joined: 0, joining };
            for (number, key) in drama.keys.clone().into_iter().enumerate() {
                let from = drama.alive[number % drama.alive.len()];
                let put = Command::Put { key, value: number.to_be_bytes().as_slice().into() };
                drama.network.world.command(from, OpId(1 << 41 | number as u64), put);
            }
            for now in 0..END {
                match now {
                    FAILURE => drama.fail((nodes as f64 * failed).round() as usize, now),
                    JOINS => {
                        for _ in 0..(nodes as f64 * joined).round() as u64 {
                            drama.join(after(Duration::from_secs(now)));
                        }
                    }
                    _ => {}
                }
                // Of 830 nodes one comes every 20 s, or every 10 s, and each lives 4 min, or 2 min.
                let every = match now {
                    CHURN_1..CHURN_2 => 20,
                    CHURN_2.. => 10,
                    _ => u64::MAX,
                };
                if now % every == every - 1 {
                    drama.join(after(Duration::from_secs(now)));
                    drama.fail(1, now);
                }
                drama.second(now, requests, now >= 30);
                tell(now as f64 / END as f64);
            }
            (drama.asked, drama.joined as f64 / drama.joins.max(1) as f64)
        },
    );
    let (asked, in_all) = &got[0];
    let rate = |of_node: bool, within: &dyn Fn(u64) -> bool| {
        let (mut ok, mut all) = (0u64, 0u64);
        for asked in asked.values() {
            if asked.of_node == of_node && within(asked.at) && asked.at + PATIENCE < END {
                all += 1;
                ok += u64::from(asked.ok);
            }
        }
        if all == 0 { f64::NAN } else { ok as f64 / all as f64 }
    };
    let calm = |at: u64| {
        let near = |event: u64| (event..event + DIP).contains(&at);
        at >= 30 && !near(FAILURE) && !near(JOINS)
    };
    let mut outcome = Outcome::default();
    outcome.check(Check::at_least("messages to nodes that arrive, share", rate(true, &calm), 0.99));
    let found = rate(false, &calm);
    outcome.check(Check::at_least("objects that are found, share", found, 0.99));
    outcome.check(Check::at_least("joins that end, share", *in_all, 0.98));
    let windows = || (30 / WINDOW + 1..(END - PATIENCE) / WINDOW).map(|at| at * WINDOW);
    let series = |of_node: bool| {
        windows().map(move |from| {
            (from as f64, rate(of_node, &|at| (from..from + WINDOW).contains(&at)))
        })
    };
    outcome.plots.push(Plot {
        title: "Requests that succeed".to_owned(),
        x: Axis::linear("seconds"),
        y: Axis::linear("share"),
        series: vec![
            Series::new("to nodes", Role::Ours, series(true)),
            Series::new("to objects", Role::Other, series(false)),
            Series::new("gate", Role::Published, [(0.0, 0.99), (END as f64, 0.99)]),
        ],
    });
    outcome.note(format!(
        "At {FAILURE} s nodes fail, at {JOINS} s others join all at once, from {CHURN_1} s on one \
         comes and one goes every 20 s, from {CHURN_2} s on every 10 s. The gate is ours: 99 % of \
         the requests that are made more than {DIP} s after an event. Three copies of each object \
         are made; the paper's objects had one."
    ));
    Ok(outcome)
}
