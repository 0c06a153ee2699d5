//! What a search costs among supernodes, and in a flat network of as many peers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use machine::{Instant, OpId, Rng};
use search::fasttrack::{
    Bar, Command, Config, Event, FastTrack, File, FileHash, Identity, Nominal,
};
use search::gnutella::{Sha1, TigerRoot};
use sim::{Latency, Link, Node, Settings, World};

use super::{Layout, Overlay};
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;
use crate::watch;

pub(crate) static CLAIM: Claim = Claim {
    id: "search.supernodes",
    title: "Supernodes against a flat network",
    says: "Supernodes keep a directory of what the peers near them share, and only they are asked: a \
           search takes a fraction of the messages of a flat flood, and finds as much.",
    source: "Lectures: FastTrack, a hybrid between Napster and Gnutella; two-level hierarchy",
    provenance: Provenance::Text,
    params: &[Param {
        name: "nodes",
        what: "peers",
        kind: Kind::Integers(20, 300),
        paper: "60,100,150,200",
        small: "60,200",
    }],
    seconds: 15,
    measure,
};

const SEARCHES: u64 = 40;
/// Until supernodes are enough.
const SETTLED: Duration = Duration::from_secs(240);
const SPAN: Duration = Duration::from_secs(60);

/// Messages of a search and the share of searches that found.
type Row = (f64, f64);

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let nodes = run.params.ints("nodes");
    let rows: Vec<((Row, usize), Row)> = run.map(
        nodes,
        |nodes| *nodes as f64,
        |&nodes, _| {
            let seed = run.seed_of(nodes);
            (supernodes(seed, nodes as usize), flat(seed, nodes as u32))
        },
    );
    let mut outcome = Outcome::default();
    for (nodes, ((two_level, count), flat)) in nodes.iter().zip(&rows) {
        outcome.check(Check::at_least(
            format!("found, supernodes, {nodes} peers"),
            two_level.1,
            0.95,
        ));
        outcome.check(Check::at_least(format!("found, flat, {nodes} peers"), flat.1, 0.95));
        let what = format!("messages of a search, of those in a flat network, {nodes} peers");
        outcome.check(Check::at_most(what, two_level.0 / flat.0.max(1.0), 0.5));
        outcome.note(format!("{count} of {nodes} peers were supernodes."));
    }
    let points = |of: fn(&((Row, usize), Row)) -> f64| -> Vec<_> {
        nodes.iter().zip(&rows).map(|(nodes, row)| (*nodes as f64, of(row))).collect()
    };
    outcome.note("The network grows from one supernode, and has four minutes for it.");
    outcome.plots.push(Plot {
        title: "Messages of a search and its answers".to_owned(),
        x: Axis::log10("peers"),
        y: Axis::log10("messages"),
        series: vec![
            Series::new("supernodes", Role::Ours, points(|row| row.0.0.0)),
            Series::new("flat", Role::Other, points(|row| row.1.0)),
        ],
    });
    Ok(outcome)
}

fn hash(byte: u8) -> FileHash {
    FileHash { sha1: Sha1([byte; 20]), tree: TigerRoot([byte; 24]) }
}

fn supernodes(seed: u64, count: usize) -> (Row, usize) {
    let millis = Duration::from_millis;
    let config: Arc<Config<Node>> = Arc::new(Config {
        tick: (millis(900), millis(1_300)),
        silence: Duration::from_secs(5),
        timeout: millis(500),
        leaves_high: 15,
        leaves_max: 40,
        bar: Bar { uptime: Duration::from_secs(10), networks: 2, rate: 1_000, witnesses: 1 },
        vouch_after: Duration::from_secs(3),
        // A search is asked once.
        search_for: Duration::from_secs(10),
        search_again: Duration::from_secs(10),
        ..Config::new(u64::from)
    });
    let link = Link::new(Latency::Constant(millis(30)));
    let mut world: World<FastTrack<Node, Nominal>> =
        World::new(Settings { seed, threads: 1, link });
    let nodes = world.reserve(count);
    for &node in &nodes {
        let identity = Nominal(u64::from(node.raw()));
        world.start(node, FastTrack::new(node, identity, config.clone(), seed));
        let name = format!("only{} here.ogg", node.slot());
        let file = Arc::new(File::new(hash(node.slot() as u8), 1 << 20, &name));
        world.command(node, OpId(0), Command::Share { files: vec![file] });
        let known = if node == nodes[0] { vec![] } else { nodes[..3.min(count)].to_vec() };
        world.command(node, OpId(0), Command::Join { known });
    }
    // Every third one earns to be a supernode, by uploads to four others.
    for round in 0..4 {
        world.run_until(Instant::ZERO + Duration::from_secs(20 + 20 * round));
        for from in (1..count).step_by(3) {
            let to = nodes[(from + 1 + round as usize) % count];
            let uploader = Nominal(u64::from(nodes[from].raw())).id();
            let hash = hash(from as u8);
            let (bytes, millis) = (1 << 20, 1_000);
            let got = Command::Downloaded { from: nodes[from], uploader, hash, bytes, millis };
            world.command(to, OpId(0), got);
        }
    }
    world.run_until(Instant::ZERO + SETTLED);
    let settled = world.counts().sent;
    world.run_for(SPAN);
    let idle = world.counts().sent - settled;
    drop(world.drain_events());
    watch::look_on(&mut world, &nodes, watch::Stage::mesh);
    let before = world.counts().sent;
    let mut rng = Rng::new(seed);
    for op in 1..=SEARCHES {
        let holder = rng.below(count as u64) as usize;
        let seeker = (holder + 1 + rng.below(count as u64 - 1) as usize) % count;
        let words = format!("only{holder}");
        world.command(nodes[seeker], OpId(op), Command::Search { words: words.as_str().into() });
        world.run_for(SPAN / SEARCHES as u32);
    }
    let sent = (world.counts().sent - before).saturating_sub(idle);
    world.run_for(Duration::from_secs(5));
    let found: BTreeSet<OpId> = world
        .drain_events()
        .filter(|happening| matches!(happening.event, Event::Found { .. }))
        .filter_map(|happening| happening.op)
        .collect();
    let supernodes = world.nodes().filter(|(_, machine)| machine.is_supernode()).count();
    let searches = SEARCHES as f64;
    ((sent as f64 / searches, found.len() as f64 / searches), supernodes)
}

fn flat(seed: u64, count: u32) -> Row {
    let layout = Layout::flat(seed, count, 4);
    let mut overlay = Overlay::of(seed, &layout, |config| config.pong_caching = true);
    (0..count).for_each(|node| overlay.share(node, &format!("only{node} here.ogg")));
    overlay.run(Duration::from_secs(10));
    let mut rng = Rng::new(seed);
    let (mut messages, mut found) = (0, 0);
    for _ in 0..SEARCHES {
        let holder = rng.below(count.into()) as u32;
        let seeker = (holder + 1 + rng.below(u64::from(count) - 1) as u32) % count;
        let span = Duration::from_secs(5);
        let (spent, answers) = overlay.ask(seeker, &format!("only{holder}"), span);
        messages += spent.messages;
        found += u64::from(answers > 0);
    }
    (messages as f64 / SEARCHES as f64, found as f64 / SEARCHES as f64)
}
