//! Small networks in which one thing happens, at a given time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use machine::OpId;
use search::fasttrack::{Command, Config, Event, FastTrack, File, FileHash, Message, Nominal};
use search::gnutella::{Guid, Sha1, TigerRoot};
use sim::{Cut, Latency, Link, Node, Settings, World};

use crate::wire::travel;

const SECOND: Duration = Duration::from_secs(1);

struct Story {
    world: World<FastTrack<Node, Nominal>>,
    config: Arc<Config<Node>>,
    ops: u64,
}

impl Story {
    fn new(seed: u64) -> Self {
        let least = Duration::from_millis(5);
        let link = Link::new(Latency::Exponential { least, mean: 4 * least });
        let mut world = World::new(Settings { seed, threads: 1, link });
        world.round_trip_by(travel);
        let quick = Config::responsive(u64::from);
        let config = Arc::new(Config { search_for: 60 * SECOND, ..quick });
        Self { world, config, ops: 0 }
    }

    fn start(&mut self, node: Node) {
        let secret = u64::from(node.raw());
        self.world.start(node, FastTrack::new(node, Nominal(secret), self.config.clone(), secret));
    }

    fn tell(&mut self, node: Node, command: Command<Node>) -> OpId {
        self.ops += 1;
        self.world.command(node, OpId(self.ops), command);
        OpId(self.ops)
    }

    fn supernode(&self, node: Node) -> Option<Node> {
        self.world.get(node).and_then(FastTrack::supernode)
    }

    /// Who has what a search was to find.
    fn found(&mut self, search: OpId) -> BTreeSet<Node> {
        let told = self.world.drain_events().filter(|told| told.op == Some(search));
        let hits = told.map(|told| match told.event {
            Event::Found { hits } => hits,
            _ => Vec::new(),
        });
        hits.flatten().map(|hit| hit.source).collect()
    }
}

fn file(name: &str) -> Arc<File> {
    let hash = FileHash { sha1: Sha1([7; 20]), tree: TigerRoot([7; 24]) };
    Arc::new(File::new(hash, 1 << 20, name))
}

/// The one that it joined by is gone, and the last supernode was out of reach for a while.
#[test]
fn a_leaf_that_was_cut_off_comes_back_and_its_search_goes_on() {
    for seed in 0..20 {
        let mut story = Story::new(seed);
        let nodes = story.world.reserve(4);
        let [first, heir, asker, sharer] = nodes[..] else { panic!("four nodes") };
        nodes.iter().for_each(|node| story.start(*node));
        story.tell(first, Command::Serve { known: vec![heir] });
        story.tell(heir, Command::Serve { known: vec![first] });
        story.world.run_for(5 * SECOND);
        for leaf in [asker, sharer] {
            story.tell(leaf, Command::Join { known: vec![first] });
        }
        let search = story.tell(asker, Command::Search { words: "heron".into() });
        story.world.run_for(5 * SECOND);
        assert_eq!(story.supernode(asker), Some(first), "seed {seed}");
        story.world.crash(first);
        story.world.run_for(10 * SECOND);
        for leaf in [asker, sharer] {
            assert_eq!(story.supernode(leaf), Some(heir), "seed {seed}");
        }
        let began = story.world.now();
        let during = began..began + 8 * SECOND;
        story.world.cut(Cut::between(during, move |node| node == heir));
        story.world.run_for(8 * SECOND);
        assert_eq!(story.supernode(asker), None, "seed {seed}: it has noticed");
        story.tell(sharer, Command::Share { files: vec![file("grey heron.ogg")] });
        story.world.run_for(10 * SECOND);
        assert_eq!(story.supernode(asker), Some(heir), "seed {seed}");
        assert_eq!(story.found(search), BTreeSet::from([sharer]), "seed {seed}");
    }
}

/// Two supernodes with a leaf each.
fn two_levels(story: &mut Story) -> [Node; 4] {
    let nodes = story.world.reserve(4);
    let [one, other, leaf, asker] = nodes[..] else { panic!("four nodes") };
    nodes.iter().for_each(|node| story.start(*node));
    story.tell(one, Command::Serve { known: vec![other] });
    story.tell(other, Command::Serve { known: vec![one] });
    story.tell(leaf, Command::Join { known: vec![one] });
    story.tell(asker, Command::Join { known: vec![other] });
    story.world.run_for(5 * SECOND);
    [one, other, leaf, asker]
}

/// Who was to be called by whom.
fn calls(story: &mut Story) -> Vec<(Node, Node, Guid)> {
    let told = story.world.drain_events().filter_map(|told| match told.event {
        Event::CallWanted { to, ticket } => Some((told.node, to, ticket)),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_leaf_calls_whoever_asks_its_supernode_for_it_once() {
    let mut called = 0;
    for seed in 0..50 {
        let mut story = Story::new(seed);
        let [one, other, leaf, asker] = two_levels(&mut story);
        // One message in twenty is lost from now on.
        story.world.set_link(Link::constant(Duration::from_millis(10)).with_loss(0.05));
        // A leaf of another, a supernode of another, its own supernode.
        for (ticket, from) in [(1, asker), (2, other), (3, one)] {
            let ticket = Guid([ticket; 16]);
            story.tell(from, Command::Push { supernode: one, leaf, ticket });
            story.world.run_for(3 * SECOND);
            let calls = calls(&mut story);
            assert!(calls.iter().all(|call| *call == (leaf, from, ticket)), "seed {seed}");
            assert!(calls.len() <= 1, "seed {seed}");
            called += calls.len();
        }
    }
    assert!(called > 145, "{called} of 150");
}

#[test]
fn nobody_is_made_to_call_who_has_not_asked() {
    let mut story = Story::new(7);
    let [one, other, leaf, asker] = two_levels(&mut story);
    let ticket = |number: u8| Guid([number; 16]);
    // A supernode of somebody else has no such leaf.
    story.tell(asker, Command::Push { supernode: other, leaf, ticket: ticket(1) });
    // Whoever does not hear the cookie cannot repeat it.
    story.world.corrupt(one, |_, message, _| !matches!(message, Message::Cookie { .. }));
    story.tell(asker, Command::Push { supernode: one, leaf, ticket: ticket(2) });
    story.world.run_for(5 * SECOND);
    assert_eq!(calls(&mut story), []);
    // A supernode that names somebody else.
    story.world.corrupt(one, move |_, message, _| {
        if let Message::Call { to, .. } = message {
            *to = other;
        }
        true
    });
    story.tell(asker, Command::Push { supernode: one, leaf, ticket: ticket(3) });
    story.world.run_for(5 * SECOND);
    assert_eq!(calls(&mut story), []);
    // As it should be, but too often: a supernode carries 16 on in each of its rounds.
    story.world.corrupt(one, |_, _, _| true);
    for number in 10..50 {
        story.tell(one, Command::Push { supernode: one, leaf, ticket: ticket(number) });
    }
    story.world.run_for(Duration::from_millis(200));
    let count = calls(&mut story).len();
    assert!((1..=16).contains(&count), "{count}");
}
