//! Schedules of faults, drawn from a seed: who crashes when, which links fail how, until all is
//! well again.

use core::ops::Range;
use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use machine::{Instant, Rng};

use crate::random::{mix, nanos, rng, scale, unit};
use crate::{Cut, Link, Node, Rate, Simulated, World};

/// One thing that goes wrong for some time.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// A node crashes. At the end of the time it restarts under its own name if `returns`, and
    /// else stays away.
    Crash {
        /// Who.
        node: Node,
        /// Whether it comes back.
        returns: bool,
    },
    /// Nodes hear only those on the same side.
    Partition {
        /// Who is on one side; all others are on the other.
        side: Vec<Node>,
        /// Whether only messages from this side are lost.
        one_way: bool,
    },
    /// Links lose, double and hold up messages more often.
    Links {
        /// How many are lost.
        loss: Rate,
        /// How many arrive twice.
        duplication: Rate,
        /// How many are overtaken.
        reordering: Rate,
        /// At most how late those are.
        held_up: Duration,
    },
    /// A node takes this long for each message.
    Slow {
        /// Who.
        node: Node,
        /// How long.
        processing: Duration,
    },
}

/// How bad a schedule may be.
#[derive(Clone, Debug)]
pub struct Severity {
    /// When faults begin and by when all are over.
    pub during: Range<Instant>,
    /// How many faults there are at most; at least one.
    pub faults: usize,
    /// How long one lasts at most.
    pub longest: Duration,
    /// The largest share of the nodes that is down at a time.
    pub down: f64,
    /// How many of those that crash stay away.
    pub away: f64,
    /// The most messages that links lose.
    pub loss: f64,
    /// Whether there are partitions.
    pub partitions: bool,
}

/// Faults and when each begins and ends, by when they begin.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule(Vec<(Range<Instant>, Fault)>);

impl Schedule {
    /// Draws a schedule for `nodes`. Who stays away counts as down until the end.
    #[must_use]
    pub fn draw(seed: u64, nodes: &[Node], severity: &Severity) -> Self {
        let mut rng = rng(mix(seed ^ SCHEDULE), 0, 0);
        let Range { start, end } = severity.during;
        let span = nanos(end.since(start));
        let down_max = (nodes.len() as f64 * severity.down) as usize;
        let mut faults: Vec<(Range<Instant>, Fault)> = Vec::new();
        for _ in 0..=rng.below(severity.faults.max(1) as u64 - 1) {
            let from = start + Duration::from_nanos(rng.below(span));
            let until = (from + scale(severity.longest, unit(&mut rng))).min(end);
            let Some(node) = rng.pick(nodes).copied() else { break };
            let fault = match rng.below(8) {
                0..4 => {
                    let returns = !Rate::new(severity.away).draw(&mut rng);
                    let during = from..if returns { until } else { end };
                    let down = faults.iter().filter(|(other, fault)| {
                        matches!(fault, Fault::Crash { .. })
                            && other.start <= during.end
                            && during.start <= other.end
                    });
                    let again = |(_, fault): &(_, Fault)| matches!(fault, Fault::Crash { node: other, .. } if *other == node);
                    // Two crashes of one node could overlap, and its restart be forgotten.
                    if faults.iter().any(again) || down.count() >= down_max {
                        continue;
                    }
                    faults.push((during, Fault::Crash { node, returns }));
                    continue;
                }
                4..6 => {
                    if !severity.partitions {
                        continue;
                    }
                    let share = unit(&mut rng) / 2.0;
                    let side = side(nodes, share, &mut rng);
                    Fault::Partition { side, one_way: rng.below(2) == 0 }
                }
                6 => {
                    let mut rate = || Rate::new(unit(&mut rng) * severity.loss);
                    let (loss, duplication, reordering) = (rate(), rate(), rate());
                    let held_up = Duration::from_millis(1 + rng.below(2_000));
                    Fault::Links { loss, duplication, reordering, held_up }
                }
                _ => Fault::Slow { node, processing: Duration::from_millis(1 + rng.below(200)) },
            };
            faults.push((from..until, fault));
        }
        faults.sort_by_key(|(during, _)| (during.start, during.end));
        Self(faults)
    }

    /// What goes wrong, and from when until when.
    #[must_use]
    pub fn faults(&self) -> &[(Range<Instant>, Fault)] {
        &self.0
    }

    /// Plans everything in `world`. `restart` is asked to start a node again that was down, by
    /// [`World::start`] and a command, say. Where faults of one kind overlap, the one that began
    /// last counts, and when it ends the one before; when all is over, links are as they are now.
    pub fn apply<M: Simulated>(
        &self,
        world: &mut World<M>,
        restart: impl FnMut(&mut World<M>, Node) + 'static,
    ) {
        let restart = Rc::new(RefCell::new(restart));
        let usual = world.link().clone();
        let (mut links, mut slow) = (Layers::default(), BTreeMap::<Node, Layers<Duration>>::new());
        for (during, fault) in self.0.iter().cloned() {
            let Range { start, end } = during.clone();
            match fault {
                Fault::Crash { node, returns } => {
                    world.plan(start, move |world| drop(world.crash(node)));
                    if returns {
                        let restart = Rc::clone(&restart);
                        world.plan(end, move |world| (*restart.borrow_mut())(world, node));
                    }
                }
                Fault::Partition { mut side, one_way } => {
                    side.sort_unstable();
                    let within = move |node: Node| side.binary_search(&node).is_ok();
                    let cut = if one_way {
                        Cut::one_way(during, move |from, to| within(from) && !within(to))
                    } else {
                        Cut::between(during, within)
                    };
                    world.plan(start, move |world| world.cut(cut));
                }
                Fault::Links { loss, duplication, reordering, held_up } => {
                    let latency = usual.latency.clone();
                    let link = Link { latency, loss, duplication, reordering, held_up };
                    links.0.push((during, link));
                }
                Fault::Slow { node, processing } => {
                    slow.entry(node).or_default().0.push((during, processing));
                }
            }
        }
        links.plan(world, move |world, link| {
            world.set_link(link.cloned().unwrap_or_else(|| usual.clone()));
        });
        for (node, layers) in slow {
            layers.plan(world, move |world, processing| {
                world.slow(node, processing.copied().unwrap_or_default());
            });
        }
    }
}

/// What lies over each other, by when it begins.
struct Layers<T>(Vec<(Range<Instant>, T)>);

impl<T> Default for Layers<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: 'static> Layers<T> {
    /// The uppermost one at a moment.
    fn top(&self, now: Instant) -> Option<&T> {
        let there = self.0.iter().rev().find(|(during, _)| during.contains(&now));
        there.map(|(_, layer)| layer)
    }

    /// Plans to `set` the uppermost one, or nothing, whenever one begins or ends.
    fn plan<M: Simulated>(
        self,
        world: &mut World<M>,
        set: impl Fn(&mut World<M>, Option<&T>) + 'static,
    ) {
        let edges: Vec<_> =
            self.0.iter().flat_map(|(during, _)| [during.start, during.end]).collect();
        let layers = Rc::new((self, set));
        for edge in edges {
            let layers = Rc::clone(&layers);
            world.plan(edge, move |world| {
                let (layers, set) = &*layers;
                set(world, layers.top(world.now()));
            });
        }
    }
}

/// About this share of the nodes, one at least.
fn side(nodes: &[Node], share: f64, rng: &mut Rng) -> Vec<Node> {
    let mut nodes = nodes.to_vec();
    rng.shuffle(&mut nodes);
    nodes.truncate(((nodes.len() as f64 * share) as usize).max(1));
    nodes
}

const SCHEDULE: u64 = 0x9b05_688c_2b3e_6c1f;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Gossip, gossips};

    fn severity() -> Severity {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        Severity {
            during: at(5)..at(60),
            faults: 20,
            longest: Duration::from_secs(20),
            down: 0.3,
            away: 0.2,
            loss: 0.5,
            partitions: true,
        }
    }

    #[test]
    fn schedules_follow_from_their_seeds_and_keep_to_their_severity() {
        let nodes: Vec<_> = (0..20).map(|slot| Node::new(slot, 0)).collect();
        let severity = severity();
        let (mut kinds, mut empty) = ([0; 4], 0);
        for seed in 0..300 {
            let schedule = Schedule::draw(seed, &nodes, &severity);
            assert_eq!(schedule, Schedule::draw(seed, &nodes, &severity));
            empty += usize::from(schedule.faults().is_empty());
            assert!(schedule.faults().len() <= severity.faults);
            for (during, fault) in schedule.faults() {
                assert!(during.start >= severity.during.start && during.end <= severity.during.end);
                let down = schedule.faults().iter().filter(|(other, fault)| {
                    matches!(fault, Fault::Crash { .. }) && other.contains(&during.start)
                });
                assert!(down.count() <= 6);
                kinds[match fault {
                    Fault::Crash { .. } => 0,
                    Fault::Partition { .. } => 1,
                    Fault::Links { .. } => 2,
                    Fault::Slow { .. } => 3,
                }] += 1;
            }
        }
        assert!(kinds.iter().all(|count| *count > 100), "{kinds:?}");
        assert!(empty < 30, "{empty}");
    }

    #[test]
    fn what_began_last_counts_and_then_what_goes_on() {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let fault = |loss| Fault::Links {
            loss: Rate::new(loss),
            duplication: Rate::NEVER,
            reordering: Rate::NEVER,
            held_up: Duration::ZERO,
        };
        // One within another, and one that goes on beyond another's end.
        let faults = [(1, 9, 0.1), (2, 4, 0.2), (5, 7, 0.3), (6, 12, 0.4)];
        let faults = faults.map(|(start, end, loss)| (at(start)..at(end), fault(loss)));
        let mut world = gossips(1, 1, Link::default(), 2);
        Schedule(faults.to_vec()).apply(&mut world, |_, _| ());
        let expected = [0.0, 0.1, 0.2, 0.2, 0.1, 0.3, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.0];
        for (second, loss) in (0..).zip(expected) {
            world.run_until(at(second));
            assert_eq!(world.link().loss, Rate::new(loss), "after {second} s");
        }
    }

    #[test]
    fn all_is_well_when_a_schedule_is_over() {
        for seed in 0..20 {
            let run = |threads| {
                let mut world = gossips(seed, threads, Link::default(), 20);
                let nodes: Vec<_> = world.nodes().map(|(node, _)| node).collect();
                let schedule = Schedule::draw(seed, &nodes, &severity());
                let peers = nodes.clone();
                schedule.apply(&mut world, move |world, node| {
                    world.start(node, Gossip { peers: peers.clone(), heard: Vec::new() });
                });
                world.run_until(severity().during.end);
                let away = schedule
                    .faults()
                    .iter()
                    .filter(|(_, fault)| matches!(fault, Fault::Crash { returns: false, .. }));
                assert_eq!(world.nodes().count(), nodes.len() - away.count());
                let lost = world.counts().lost;
                world.run_for(Duration::from_secs(20));
                assert_eq!(world.counts().lost, lost);
                (world.trace_hash(), world.counts())
            };
            let one = run(1);
            if seed < 2 {
                assert_eq!(one, run(2));
            }
        }
    }
}
