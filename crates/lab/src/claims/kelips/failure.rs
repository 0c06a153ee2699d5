//! Half of a network fails at once while values are sought.

use std::sync::Arc;
use std::time::Duration;

use dht::kelips::{Config, Kelips, Standing};
use dht::overlay::{Event, Rules};
use machine::dht::{Command, Key, Report};
use machine::{OpId, Rng};
use sim::{Latency, Link, Node, Settings, World};

use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;
use crate::watch;

pub(crate) static CLAIM: Claim = Claim {
    id: "kelips.failure",
    title: "Half of the nodes fail, and values with a living home are found",
    says: "When 500 of 1,000 nodes fail at once, lookups fail only if the home node has failed, and \
           views are stable again within 80 s.",
    source: "Gupta et al., IPTPS 2003, section 4, figures 5 and 6",
    provenance: Provenance::Text,
    params: &[
        Param {
            name: "nodes",
            what: "nodes N",
            kind: Kind::Integer(50, 10_000),
            paper: "1000",
            small: "200",
        },
        Param {
            name: "groups",
            what: "affinity groups",
            kind: Kind::Integer(2, 1_000),
            paper: "30",
            small: "14",
        },
        Param {
            name: "lookups",
            what: "lookups after the failure, two a second",
            kind: Kind::Integer(10, 10_000),
            paper: "400",
            small: "60",
        },
    ],
    seconds: 30,
    measure,
};

const SECOND: Duration = Duration::from_secs(1);
const VALUES: usize = 200;

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (nodes, lookups) = (run.params.int("nodes"), run.params.int("lookups"));
    let seed = run.seed_of(nodes);
    let mut rng = Rng::new(seed);
    let base = Config::default();
    // Gossip alone: one home of each value, as in the paper, and no repair of copies.
    let rules = Rules { replicas: 1, ..base.rules.clone() };
    let groups = run.params.int("groups") as u32;
    let config = Arc::new(Config { rules, groups, ..base });
    let latency = Latency::Uniform { least: SECOND / 100, most: SECOND / 10 };
    let mut world: World<Kelips<Node>> =
        World::new(Settings { seed, threads: 1, link: Link::new(latency) });
    let all = world.reserve(nodes as usize);
    let standing = Standing::new(&all, config);
    all.iter().for_each(|&node| world.start(node, standing.node(node)));
    drop(standing);
    watch::look_on(&mut world, &all, |world, _| super::stage(world, groups));
    world.run_for(20 * SECOND);
    let keys: Vec<Key> =
        (0..VALUES).map(|_| Key::new(u128::from(rng.next_u64()) << 64, rng.next_u32())).collect();
    for (op, &key) in keys.iter().enumerate() {
        let node = all[rng.below(nodes) as usize];
        let value = key.0.as_slice().into();
        world.command(node, OpId(op as u64), Command::Put { key, value });
    }
    world.run_for(60 * SECOND);
    world.drain_events().for_each(drop);
    let mut order = all.clone();
    rng.shuffle(&mut order);
    let (dead, alive) = order.split_at(all.len() / 2);
    dead.iter().for_each(|&node| drop(world.crash(node)));
    let failed_at = world.now();
    let (mut stable, mut asked) = (None, 0);
    let (mut lost, mut without_home, mut hops, mut found) = (0u64, 0u64, 0u64, 0u64);
    let mut stale = Vec::new();
    for second in 1.. {
        for _ in 0..2 {
            if asked < lookups {
                let node = alive[rng.below(alive.len() as u64) as usize];
                let key = keys[asked as usize % keys.len()];
                world.command(node, OpId(1_000 + asked), Command::Get { key });
                asked += 1;
            }
        }
        world.run_for(SECOND);
        let ended: Vec<_> = world.drain_events().collect();
        for event in ended {
            let (Some(op), Event::Report(report)) = (event.op, event.event) else { continue };
            let Some(number) = op.0.checked_sub(1_000) else { continue };
            let key = &keys[number as usize % keys.len()];
            match report {
                Report::Found { cost, .. } => {
                    found += 1;
                    hops += u64::from(cost.hops);
                }
                _ if world.nodes().any(|(_, node)| node.value(key).is_some()) => lost += 1,
                _ => without_home += 1,
            }
        }
        let dead_known = world
            .nodes()
            .flat_map(|(_, node)| node.topology().members())
            .filter(|&member| world.get(member).is_none())
            .count();
        stale.push((f64::from(second), dead_known as f64 / alive.len() as f64));
        if dead_known == 0 && stable.is_none() {
            stable = Some((world.now() - failed_at).as_secs_f64());
        }
        if asked >= lookups && (stable.is_some() || second > 600) {
            break;
        }
    }
    let mut outcome = Outcome::default();
    let what = "lookups that failed though a home lived";
    outcome.check(Check::new(what, lost as f64, 0.0, Tolerance::Absolute(0.0)));
    let stable = stable.unwrap_or(f64::INFINITY);
    let what = "seconds until no view had a dead member";
    outcome.check(Check::new(what, stable, 80.0, Tolerance::Relative(0.30)));
    outcome.check(Check::at_most(
        "hops of a lookup that succeeded, mean",
        hops as f64 / found.max(1) as f64,
        2.0,
    ));
    outcome.plots.push(Plot {
        title: "Dead members in a view".to_owned(),
        x: Axis::linear("seconds after the failure"),
        y: Axis::linear("members"),
        series: vec![Series::new("ours", Role::Ours, stale)],
    });
    outcome.note(format!(
        "Of {asked} lookups {found} found their value and {without_home} had no living home."
    ));
    Ok(outcome)
}
