//! What nodes do with values over time: copies near those who ask, copies for new neighbours,
//! storing again, forgetting.

use std::sync::Arc;
use std::time::Duration;

use dht::kademlia::{Command, Config, Event, Kademlia};
use machine::OpId;
use machine::dht::{Command as Dht, Contact, Key, Report, Value};
use sim::{Link, Node, Settings, World};

type Machine = Kademlia<Node>;

const HOUR: Duration = Duration::from_secs(3_600);
const K: usize = 4;

/// A network in which everybody knows some nodes of each bucket.
fn network(count: usize, config: Config<Node>) -> (World<Machine>, Vec<Node>, Arc<Config<Node>>) {
    let link = Link::constant(Duration::from_millis(30));
    let mut world = World::new(Settings { seed: 3, threads: 1, link });
    let nodes = world.reserve(count);
    let config = Arc::new(config);
    for &node in &nodes {
        world.start(node, Kademlia::wired(node, config.clone(), [1; 16], nodes.clone()));
    }
    (world, nodes, config)
}

fn config() -> Config<Node> {
    Config { k: K, ..Config::paper() }
}

fn holders(world: &World<Machine>, key: &Key) -> Vec<(Node, u32)> {
    let holds = |(node, machine): (Node, &Machine)| {
        let expires = machine.stored().find(|(stored, ..)| stored == key)?.2;
        Some((node, expires))
    };
    let mut holders: Vec<_> = world.nodes().filter_map(holds).collect();
    holders.sort_by_key(|(node, _)| key.xor(&node.key()));
    holders
}

fn ask(world: &mut World<Machine>, node: Node, command: Dht<Node>) -> Report<Node> {
    world.command(node, OpId(1), Command::Dht(command));
    world.run_for(Duration::from_secs(30));
    let report = world.drain_events().find_map(|happening| match happening.event {
        Event::Report(report) if happening.node == node => Some(report),
        _ => None,
    });
    report.expect("a report")
}

fn put(world: &mut World<Machine>, node: Node, key: Key) {
    let value: Value = (*b"value").into();
    let report = ask(world, node, Dht::Put { key, value });
    assert!(matches!(report, Report::Stored { copies: 4.., .. }), "{report:?}");
}

/// Nodes in the order of their distance from a key.
fn by_distance(nodes: &[Node], key: &Key) -> Vec<Node> {
    let mut nodes = nodes.to_vec();
    nodes.sort_by_key(|node| key.xor(&node.key()));
    nodes
}

#[test]
fn values_are_kept_by_the_closest_and_found_in_few_hops() {
    let (mut world, nodes, _) = network(300, config());
    let key = Key::new(7 << 90, 0);
    let order = by_distance(&nodes, &key);
    put(&mut world, order[200], key);
    let held: Vec<Node> = holders(&world, &key).iter().map(|(node, _)| *node).collect();
    assert_eq!(held, order[..K]);
    let Report::Found { cost, .. } = ask(&mut world, order[299], Dht::Get { key }) else {
        panic!("not found")
    };
    assert!((1..=8).contains(&cost.hops) && cost.messages < 20, "{cost:?}");
}

#[test]
fn a_copy_is_left_where_the_value_was_missing_and_goes_sooner() {
    let (mut world, nodes, _) = network(300, config());
    let key = Key::new(7 << 90, 0);
    let order = by_distance(&nodes, &key);
    put(&mut world, order[200], key);
    assert!(matches!(ask(&mut world, order[299], Dht::Get { key }), Report::Found { .. }));
    let held = holders(&world, &key);
    assert_eq!(held.len(), K + 1);
    let (kept, cached) = (held[0].1, held[K].1);
    assert!(cached < kept - 4 * 3_600, "{cached} is hardly sooner than {kept}");

    let (mut world, ..) = network(300, Config { cache: false, ..config() });
    put(&mut world, order[200], key);
    ask(&mut world, order[299], Dht::Get { key });
    assert_eq!(holders(&world, &key).len(), K);
}

#[test]
fn new_neighbours_are_given_what_they_should_keep() {
    for hand_over in [true, false] {
        let config = Config { hand_over, republish: None, ..config() };
        let (mut world, nodes, config) = network(60, config);
        let key = Key::new(9 << 100, 0);
        let order = by_distance(&nodes, &key);
        put(&mut world, order[30], key);
        // Somebody far away comes back as the closest of all.
        let closest = key.xor(&order[0].key());
        let mut newcomer = order[59];
        while key.xor(&newcomer.key()) > closest {
            newcomer = newcomer.next();
        }
        world.crash(order[59]);
        world.start(newcomer, Kademlia::new(newcomer, config, [1; 16]));
        ask(&mut world, newcomer, Dht::Join { known: vec![order[40]] });
        world.run_for(Duration::from_secs(60));
        let first = holders(&world, &key)[0].0;
        assert_eq!(first, if hand_over { newcomer } else { order[0] });
    }
}

#[test]
fn values_are_forgotten_a_day_after_their_publisher_is() {
    let (mut world, nodes, _) = network(40, config());
    let key = Key::new(7 << 90, 0);
    let order = by_distance(&nodes, &key);
    put(&mut world, order[20], key);
    world.run_for(30 * HOUR);
    assert_eq!(holders(&world, &key).len(), K, "its publisher stores it again");
    world.crash(order[20]);
    world.run_for(12 * HOUR);
    assert_eq!(holders(&world, &key).len(), K, "others store it again while it lasts");
    world.run_for(13 * HOUR);
    assert_eq!(holders(&world, &key), []);
}

#[test]
fn copies_that_are_lost_are_made_again_within_the_hour() {
    let (mut world, nodes, _) = network(40, config());
    let key = Key::new(7 << 90, 0);
    let order = by_distance(&nodes, &key);
    put(&mut world, order[20], key);
    order[..K - 1].iter().for_each(|node| drop(world.crash(*node)));
    world.run_for(HOUR + HOUR / 2);
    let held: Vec<Node> = holders(&world, &key).iter().map(|(node, _)| *node).collect();
    assert_eq!(held, order[K - 1..2 * K - 1]);
}

#[test]
fn whoever_leaves_hands_over_what_it_keeps() {
    for hand_over in [true, false] {
        let config = Config { hand_over, republish: None, ..config() };
        let (mut world, nodes, _) = network(60, config);
        let key = Key::new(9 << 100, 0);
        let order = by_distance(&nodes, &key);
        put(&mut world, order[50], key);
        for node in &order[..2 * K] {
            assert_eq!(ask(&mut world, *node, Dht::Leave), Report::Left);
            world.crash(*node);
            // Until refreshes have found out: who is far from a key by what it knows keeps it for
            // a short time only.
            world.run_for(HOUR);
        }
        let held: Vec<Node> = holders(&world, &key).iter().map(|(node, _)| *node).collect();
        let expected = if hand_over { &order[2 * K..3 * K] } else { &[][..] };
        assert_eq!(held, expected);
    }
}

#[test]
fn a_node_leaves_though_nobody_takes_what_it_keeps() {
    let (mut world, nodes, _) = network(30, config());
    let key = Key::new(9 << 100, 0);
    let order = by_distance(&nodes, &key);
    put(&mut world, order[20], key);
    order[1..].iter().for_each(|node| drop(world.crash(*node)));
    assert_eq!(ask(&mut world, order[0], Dht::Leave), Report::Left);
}

#[test]
fn whoever_left_says_no_more() {
    let (mut world, nodes, _) = network(20, config());
    assert_eq!(ask(&mut world, nodes[3], Dht::Leave), Report::Left);
    let failed = ask(&mut world, nodes[3], Dht::Get { key: Key::new(1, 1) });
    assert!(matches!(failed, Report::Failed { .. }));
    let Report::Located { nodes: found, .. } =
        ask(&mut world, nodes[5], Dht::Lookup { key: nodes[3].key() })
    else {
        panic!("nobody found")
    };
    assert!(!found.contains(&nodes[3]) && found.len() == K);
}
