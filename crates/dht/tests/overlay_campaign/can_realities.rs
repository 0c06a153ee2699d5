//! A key is found while its holder in any reality lives, though those in the others have just died.

use std::sync::Arc;
use std::time::Duration;

use dht::can::{Can, Config, Fault, Point};
use dht::overlay::{Event, Rules};
use machine::dht::{Command, Key, Report};
use machine::{OpId, Rng};
use sim::{Latency, Link, Node, Settings, World};

const SECOND: Duration = Duration::from_secs(1);
const REALITIES: usize = 3;
const NODES: usize = 16;
const JOIN: OpId = OpId(0);

struct Run {
    world: World<Can<Node>>,
    nodes: Vec<Node>,
    ops: u64,
}

impl Run {
    /// Nodes that have joined, in three realities, and keep one copy in each.
    fn new(seed: u64, fault: Option<Fault>) -> Self {
        let rules = Rules { replicas: 1, ..Rules::responsive() };
        let config =
            Arc::new(Config { rules, realities: REALITIES, fault, ..Config::responsive() });
        let link = Link::new(Latency::Constant(SECOND / 50));
        let mut world = World::new(Settings { seed, threads: 1, link });
        let nodes = world.reserve(NODES);
        for (at, &node) in nodes.iter().enumerate() {
            world.start(node, Can::new(node, Arc::clone(&config)));
            let known = nodes[..at].first().copied().into_iter().collect();
            world.command(node, JOIN, Command::Join { known });
            world.run_for(SECOND);
        }
        world.run_for(30 * SECOND);
        Self { world, nodes, ops: 1 }
    }

    /// What `command` at `node` comes to, within a minute.
    fn ask(&mut self, node: Node, command: Command<Node>) -> Option<Report<Node>> {
        let op = OpId(self.ops);
        self.ops += 1;
        self.world.command(node, op, command);
        (0..300).find_map(|_| {
            self.world.run_for(SECOND / 5);
            let mut events = self.world.drain_events();
            events.find_map(|it| match it.event {
                Event::Report(report) if it.op == Some(op) => Some(report),
                _ => None,
            })
        })
    }

    /// Whose the key is in `reality`.
    fn owner(&self, key: Key, reality: u8) -> Option<Node> {
        let owns = |node: &Can<Node>| {
            let mut there = node.topology().zones().filter(|zone| zone.reality() == reality);
            there.any(|zone| zone.contains(Point::from(key)))
        };
        self.world.nodes().find(|(_, node)| owns(node)).map(|(node, _)| node)
    }
}

/// How many of some keys are found when those who have them in all realities but the last die at once.
fn found(seed: u64, fault: Option<Fault>) -> (usize, usize) {
    let mut run = Run::new(seed, fault);
    let mut rng = Rng::new(seed);
    let (mut found, mut asked) = (0, 0);
    while asked < 3 {
        let key = Key::new(u128::from(rng.next_u64()) << 64, 0);
        let owners: Vec<Node> =
            (0..REALITIES as u8).filter_map(|reality| run.owner(key, reality)).collect();
        let [.., last] = owners[..] else { panic!("nobody has {key}: {owners:?}") };
        if owners[..REALITIES - 1].contains(&last) {
            continue;
        }
        let value = key.0.as_slice().into();
        let put = run.ask(last, Command::Put { key, value });
        assert!(matches!(put, Some(Report::Stored { .. })), "{put:?}");
        for &owner in owners.iter().filter(|&&owner| owner != last) {
            run.world.crash(owner);
            run.nodes.retain(|&other| other != owner);
        }
        let others: Vec<Node> = run.nodes.iter().copied().filter(|&it| it != last).collect();
        let asker = *rng.pick(&others).expect("some live");
        let got = run.ask(asker, Command::Get { key });
        asked += 1;
        found += usize::from(matches!(got, Some(Report::Found { .. })));
        run.world.run_for(40 * SECOND);
        run.world.drain_events().for_each(drop);
    }
    (found, asked)
}

#[test]
fn keys_are_found_while_a_holder_in_any_reality_lives() {
    for seed in 0..8 {
        let (found, asked) = found(seed, None);
        assert_eq!(found, asked, "seed {seed}");
    }
}

#[test]
fn keys_that_have_one_holder_are_lost_with_it() {
    let lost = (0..8).any(|seed| {
        let (found, asked) = found(seed, Some(Fault::OneHolder));
        found < asked
    });
    assert!(lost);
}
