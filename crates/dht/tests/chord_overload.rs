//! Rings whose machines are so busy for a while that everybody takes everybody for dead: when that
//! is over, one ring has three copies of every value where they belong, those included that were
//! put while owners were known wrongly.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dht::chord::{Chord, Config, Event};
use machine::dht::{Command, Contact, Key, Report};
use machine::{OpId, Rng};
use sim::{Latency, Link, Node, Settings, World};

const NODES: usize = 50;
const VALUES: usize = 60;
const SECOND: Duration = Duration::from_secs(1);
/// How long the ring has to be whole again: who was lost is looked for now and then only.
const QUIET: Duration = Duration::from_secs(180);

/// One-way delays around `mean`.
fn delays(mean: Duration) -> Link {
    Link::new(Latency::Exponential { least: Duration::from_millis(1), mean })
}

/// What is not as it should be.
fn flaw<'a>(
    world: &World<Chord<Node>>,
    keys: impl IntoIterator<Item = &'a Key>,
    copies: usize,
) -> Option<String> {
    let mut ring: Vec<_> = world.nodes().map(|(node, _)| node).collect();
    ring.sort_by_key(Contact::key);
    let pairs = ring.iter().zip(ring.iter().cycle().skip(1));
    for (&node, &next) in pairs {
        let (one, two) = (world.get(node)?, world.get(next)?);
        if one.successors().first() != Some(&next) || two.predecessor() != Some(node) {
            return Some(format!("{node} before {next}"));
        }
    }
    for key in keys {
        let first = ring.partition_point(|node| node.key() < *key);
        let holders = (0..copies).map(|step| ring[(first + step) % ring.len()]);
        let lacking: Vec<_> = holders
            .filter(|&node| world.get(node).is_none_or(|node| node.value(key).is_none()))
            .collect();
        if !lacking.is_empty() {
            let holds = |node: &Chord<Node>| node.value(key).is_some();
            let having = world.nodes().filter_map(|(node, machine)| holds(machine).then_some(node));
            let having: Vec<_> = having.collect();
            return Some(format!("{key} is not at {lacking:?} but at {having:?}"));
        }
    }
    None
}

/// A ring that grows and shrinks, and what is put into it.
struct Run {
    world: World<Chord<Node>>,
    config: Arc<Config>,
    rng: Rng,
    nodes: Vec<Node>,
    keys: BTreeMap<OpId, Key>,
    ops: u64,
}

impl Run {
    fn op(&mut self) -> OpId {
        self.ops += 1;
        OpId(self.ops)
    }

    /// A node joins, by way of nodes that are there.
    fn grow(&mut self) {
        let mut known = self.nodes.clone();
        self.rng.shuffle(&mut known);
        known.truncate(4);
        let node = self.world.spawn(|node| Chord::new(node, Arc::clone(&self.config)));
        let op = self.op();
        self.world.command(node, op, Command::Join { known });
        self.world.run_for(SECOND / 10);
        self.nodes.push(node);
    }

    fn put(&mut self, count: usize) {
        for _ in 0..count {
            let key = Key::new(u128::from(self.rng.next_u64()) << 64, 0);
            let node = *self.rng.pick(&self.nodes).expect("a node");
            let op = self.op();
            self.world.command(node, op, Command::Put { key, value: [1].into() });
            self.keys.insert(op, key);
        }
    }

    /// What could not be put is not to be found.
    fn forget_failed(&mut self) {
        for event in self.world.drain_events() {
            if let (Some(op), Event::Report(Report::Failed { .. })) = (event.op, event.event) {
                self.keys.remove(&op);
            }
        }
    }

    fn settle(&mut self) -> Result<(), String> {
        let until = self.world.now() + QUIET;
        while let Some(flaw) = flaw(&self.world, self.keys.values(), 3) {
            if self.world.now() >= until {
                return Err(flaw);
            }
            self.world.run_for(SECOND / 10);
        }
        Ok(())
    }
}

fn run(seed: u64) -> Result<(), String> {
    let usual = delays(Duration::from_millis(5));
    let mut run = Run {
        world: World::new(Settings { seed, threads: 1, link: usual.clone() }),
        config: Arc::new(Config::responsive()),
        rng: Rng::new(seed),
        nodes: Vec::new(),
        keys: BTreeMap::new(),
        ops: 0,
    };
    for _ in 0..NODES {
        run.grow();
    }
    run.settle()?;
    run.put(VALUES);
    run.settle().map_err(|flaw| format!("in peace: {flaw}"))?;
    for _ in 0..3 {
        let mean = Duration::from_millis(200 + run.rng.below(4_000));
        let busy = Duration::from_millis(run.rng.below(40_000));
        run.world.set_link(delays(mean));
        run.world.run_for(busy / 2);
        for _ in 0..2 {
            let at = run.rng.below(run.nodes.len() as u64) as usize;
            run.world.crash(run.nodes.swap_remove(at));
        }
        run.world.run_for(busy / 2);
        run.world.set_link(usual.clone());
        for _ in 0..2 {
            run.grow();
        }
        // Some of these go where the owners were.
        run.put(10);
        run.world.run_for(SECOND * 5);
        run.forget_failed();
        run.settle().map_err(|flaw| format!("{mean:?} for {busy:?}: {flaw}"))?;
    }
    Ok(())
}

#[test]
fn rings_recover_from_taking_everybody_for_dead() {
    sim::campaign(0..24, run);
}
