//! How long entries of Kelips stay, and whom they are believed of.

use std::sync::Arc;
use std::time::Duration;

use dht::kelips::{Config, Entry, Expiry, Kelips, Said, Standing};
use dht::overlay::{Message, Rules};
use sim::{Link, Node, Settings, World};

const SECOND: Duration = Duration::from_secs(1);

fn config(groups: u32, expiry: Expiry) -> Arc<Config> {
    let rules = Rules { tick: Some((SECOND * 9 / 10, SECOND * 11 / 10)), ..Rules::default() };
    Arc::new(Config { rules, groups, expiry, entries: 4, ..Config::default() })
}

/// A network that stands, and how many of all that its nodes should know of their groups they still
/// know after some minutes in which nobody failed.
fn known(nodes: usize, expiry: Expiry) -> f64 {
    let groups = nodes.isqrt() as u32;
    let mut world = World::new(Settings { seed: 7, threads: 1, link: Link::constant(SECOND / 20) });
    let all = world.reserve(nodes);
    let standing = Standing::new(&all, config(groups, expiry));
    all.iter().for_each(|&node| world.start(node, standing.node(node)));
    let members = |world: &World<Kelips<Node>>| -> usize {
        world.nodes().map(|(_, node)| node.topology().members().count()).sum()
    };
    let before = members(&world);
    world.run_for(180 * SECOND);
    members(&world) as f64 / before as f64
}

#[test]
fn expiry_scales_where_a_fixed_time_forgets_the_living() {
    let fixed = Expiry::Fixed(8 * SECOND);
    let (small, large) = (known(36, fixed), known(1_600, fixed));
    assert!(small > 0.99, "a fixed time does for few: {small}");
    assert!(large < 0.97, "and forgets the living among many: {large}");
    let (small, large) = (known(36, Expiry::Scaled(3)), known(1_600, Expiry::Scaled(3)));
    assert!(small > 0.99 && large > 0.99, "scaled, all are known: {small} and {large}");
}

/// Somebody says that a member's heartbeat is far in the future.
#[test]
fn kr_13_heartbeats_from_the_future_are_not_believed() {
    let mut world: World<Kelips<Node>> =
        World::new(Settings { seed: 1, threads: 1, link: Link::constant(SECOND / 20) });
    let all = world.reserve(4);
    let standing = Standing::new(&all, config(1, Expiry::Scaled(3)));
    all.iter().for_each(|&node| world.start(node, standing.node(node)));
    // One lies about another, which then dies: it must be forgotten all the same.
    let dead = all[1];
    world.corrupt(all[0], move |_, message, _| {
        if let Message::Own { said: Said::Gossip { entries, .. }, .. } = message {
            let others = entries.iter().filter(|it| it.contact != dead).copied();
            let lie = Entry { contact: dead, beat: u32::MAX };
            *entries = others.chain([lie]).collect();
        }
        true
    });
    world.run_for(10 * SECOND);
    world.crash(dead);
    world.run_for(120 * SECOND);
    for &node in &all[2..] {
        let node = world.get(node).expect("it lives");
        assert!(node.topology().members().all(|member| member != dead), "{}", node.me());
    }
}
