//! A ring that nodes join and leave all the time while lookups go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dht::chord::{Chord, Config, Event};
use machine::dht::{Command, Contact, Key, Report};
use machine::{Instant, OpId, Rng};
use sim::{Happening, Link, Node};

use crate::param::{Kind, Param};

use super::{Answer, Ring, answer, random_key};

/// Nobody waits longer for a lookup.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether dead fingers are forgotten at once, as the machine does live. The papers describe no such
/// thing: a finger stays until it is looked up anew.
pub(super) const FORGET: Param = Param {
    name: "forget",
    what: "whether dead fingers are forgotten at once, 0 or 1",
    kind: Kind::Integer(0, 1),
    paper: "0",
    small: "0",
};

/// How nodes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    /// They tell their neighbours.
    Leave,
    /// They fall silent.
    Crash,
}

/// What goes on in the ring.
#[derive(Clone, Debug)]
pub(super) struct Churn {
    pub(super) nodes: usize,
    /// Joins per second, and as many departures.
    pub(super) rate: f64,
    pub(super) departure: Departure,
    /// Before anything is counted.
    pub(super) warm_up: Duration,
    /// Lookups to count, one a second on average.
    pub(super) lookups: u64,
}

/// How a lookup ended.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) answer: Answer,
    pub(super) verdict: Verdict,
}

/// What an answer was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It named who was responsible.
    Right,
    /// It named a living node that is not responsible: mostly who was until somebody joined.
    Stale,
    /// It named a node that was gone, or nobody.
    Failed,
}

struct Asked {
    key: Key,
    at: Instant,
    from: Node,
    owner: Option<Node>,
}

struct Observer {
    ring: Ring,
    members: BTreeMap<u128, Node>,
    /// The same, in no order.
    list: Vec<Node>,
    asked: BTreeMap<u64, Asked>,
    ended: Vec<Ended>,
}

impl Churn {
    /// Lets the ring live, and returns how its lookups ended; those of nodes that went away
    /// themselves are left out.
    pub(super) fn run(
        &self,
        seed: u64,
        link: Link,
        config: Config,
        tell: &dyn Fn(f64),
    ) -> Vec<Ended> {
        let ring = Ring::standing(seed, self.nodes, link, config.clone());
        let config = Arc::new(config);
        let mut rng = Rng::new(seed);
        let mut view = Observer {
            members: ring.nodes.iter().map(|&node| (place(node), node)).collect(),
            list: ring.nodes.clone(),
            ring,
            asked: BTreeMap::new(),
            ended: Vec::new(),
        };
        let start = Instant::ZERO + self.warm_up;
        let mut next = [self.rate, self.rate, 1.0].map(|rate| Instant::ZERO + wait(rate, &mut rng));
        next[2] = next[2] + self.warm_up;
        let mut asked = 0;
        while asked < self.lookups {
            let which = (0..next.len()).min_by_key(|&which| next[which]).unwrap_or_default();
            let at = next[which];
            view.live_until(at);
            match which {
                0 => view.join(config.clone(), &mut rng),
                1 => view.depart(self.departure, &mut rng),
                _ => {
                    view.look_up(asked, &mut rng);
                    asked += 1;
                    if asked.is_multiple_of(100) {
                        tell(asked as f64 / self.lookups as f64);
                    }
                }
            }
            next[which] = at + wait(if which == 2 { 1.0 } else { self.rate }, &mut rng);
        }
        debug_assert!(view.ring.world.now() >= start);
        view.live_until(view.ring.world.now() + PATIENCE);
        view.give_up();
        view.ended
    }
}

fn place(node: Node) -> u128 {
    node.key().front()
}

/// Exponentially distributed, for so many a second.
fn wait(rate: f64, rng: &mut Rng) -> Duration {
    let unit = ((rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
    Duration::from_secs_f64(-unit.ln() / rate)
}

impl Observer {
    fn owner(&self, key: &Key) -> Option<Node> {
        let at_or_after = self.members.range(key.front()..).next();
        at_or_after.or_else(|| self.members.first_key_value()).map(|(_, node)| *node)
    }

    fn live_until(&mut self, at: Instant) {
        self.ring.world.run_until(at);
        let happenings: Vec<_> = self.ring.world.drain_events().collect();
        for happening in happenings {
            self.heed(happening);
        }
    }

    fn heed(&mut self, happening: Happening<Event<Node>>) {
        let Happening { at, node, op, event } = happening;
        match event {
            Event::Report(Report::Joined) => {
                self.members.insert(place(node), node);
                self.list.push(node);
            }
            Event::Report(Report::Left) => {
                self.ring.world.crash(node);
            }
            Event::Report(report) => {
                let Some(asked) = op.and_then(|op| self.asked.remove(&op.0)) else { return };
                let Some(answer) = answer(report, asked.key, false, at - asked.at) else { return };
                let verdict = match answer.owner() {
                    // Whoever became responsible while the lookup was under way is as right.
                    Some(owner)
                        if Some(owner) == asked.owner || Some(owner) == self.owner(&asked.key) =>
                    {
                        Verdict::Right
                    }
                    Some(owner) if self.members.contains_key(&place(owner)) => Verdict::Stale,
                    _ => Verdict::Failed,
                };
                self.ended.push(Ended { answer, verdict });
            }
            Event::Suspected(_) => {}
        }
    }

    fn join(&mut self, config: Arc<Config>, rng: &mut Rng) {
        let Some(&known) = rng.pick(&self.list) else { return };
        let node = self.ring.world.spawn(|node| Chord::new(node, config));
        self.ring.world.command(node, OpId(u64::MAX), Command::Join { known: vec![known] });
    }

    fn depart(&mut self, departure: Departure, rng: &mut Rng) {
        if self.list.len() < 2 {
            return;
        }
        let node = self.list.swap_remove(rng.below(self.list.len() as u64) as usize);
        self.members.remove(&place(node));
        self.asked.retain(|_, asked| asked.from != node);
        match departure {
            Departure::Leave => self.ring.world.command(node, OpId(u64::MAX), Command::Leave),
            Departure::Crash => drop(self.ring.world.crash(node)),
        }
    }

    fn look_up(&mut self, number: u64, rng: &mut Rng) {
        let Some(&from) = rng.pick(&self.list) else { return };
        let key = random_key(rng);
        let (at, owner) = (self.ring.world.now(), self.owner(&key));
        self.asked.insert(number, Asked { key, at, from, owner });
        self.ring.world.command(from, OpId(number), Command::Lookup { key });
    }

    /// Whatever has no answer by now has failed.
    fn give_up(&mut self) {
        let failed = Report::Failed { cost: Default::default() };
        for asked in self.asked.values() {
            if let Some(answer) = answer(failed.clone(), asked.key, false, PATIENCE) {
                self.ended.push(Ended { answer, verdict: Verdict::Failed });
            }
        }
    }
}
