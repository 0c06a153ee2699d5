//! A two-level network of many nodes: how much memory it takes, how many messages a second of CPU
//! time handles, and what a search costs.
//!
//! `cargo bench -p shoal-search --bench fasttrack [-- NODES LEAVES_PER_SUPERNODE QUERIES]`. Everybody
//! joins, publishes and searches as the machine does it; 70 % share nothing, the others ten files
//! each. Supernodes are begun as such and know eight others, so that nobody has to be elected.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use machine::{Instant, OpId, Rng};
use search::fasttrack::{Command, Config, Event, FastTrack, File, FileHash, Nominal};
use search::gnutella::{Sha1, TigerRoot};
use sim::{Link, Node, Settings, World};

/// Of which each supernode dials half.
const LINKS: usize = 8;
const FILES: usize = 100_000;
const FILES_EACH: u64 = 10;
const JOIN_WITHIN: Duration = Duration::from_secs(60);

fn main() {
    // Cargo adds an argument of its own.
    let args: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let number = |at: usize, otherwise: usize| {
        args.get(at).map_or(otherwise, |arg| arg.parse().expect("a number"))
    };
    run(number(0, 20_000), number(1, 100), number(2, 100));
}

fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("procfs");
    let fields: Vec<_> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
    line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("a number") * 1_024
}

fn config() -> Config<Node> {
    Config {
        tick: (Duration::from_secs(50), Duration::from_secs(70)),
        silence: Duration::from_secs(240),
        leaves_high: usize::MAX,
        leaves_max: 400,
        leaves_low: 0,
        reserve: 0,
        ttl: 12,
        ..Config::new(u64::from)
    }
}

fn run(count: usize, leaves_each: usize, queries: usize) {
    let before = status("VmRSS:");
    let config = Arc::new(config());
    let link = Link::constant(Duration::from_millis(50));
    let mut world = World::new(Settings { seed: 1, threads: 1, link });
    let nodes = world.reserve(count);
    let supernodes = (count / (leaves_each + 1)).max(1);
    let mut rng = Rng::new(1);
    let files: Vec<_> = (0..FILES)
        .map(|number| {
            let (mut sha1, tree) = (Sha1([0; 20]), TigerRoot([0; 24]));
            sha1.0[..8].copy_from_slice(
                &(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes(),
            );
            let name =
                format!("artist{} album{} title{number}.ogg", number % 5_000, number % 20_000);
            Arc::new(File::new(FileHash { sha1, tree }, 5_000_000, &name))
        })
        .collect();
    // Each knows those who know it: it takes them for what they are.
    let mut known = vec![Vec::new(); supernodes];
    for at in 0..supernodes {
        for _ in 0..LINKS / 2 {
            let other = rng.below(supernodes as u64) as usize;
            if other != at && known[at].len() < 2 * LINKS && known[other].len() < 2 * LINKS {
                known[at].push(nodes[other]);
                known[other].push(nodes[at]);
            }
        }
    }
    let machine = |node: Node| {
        FastTrack::new(node, Nominal(node.raw().into()), config.clone(), node.raw().into())
    };
    for (at, known) in known.into_iter().enumerate() {
        world.start(nodes[at], machine(nodes[at]));
        world.command(nodes[at], OpId(0), Command::Serve { known });
    }
    let mut holders = BTreeMap::<usize, usize>::new();
    for &node in &nodes[supernodes..] {
        let mut machine = machine(node);
        if rng.below(10) < 3 {
            // Some files are in many libraries.
            let library = (0..FILES_EACH).map(|_| {
                let share = (rng.below(1 << 24) as f64 / (1 << 24) as f64).powi(3);
                let at = ((FILES as f64 * share) as usize).min(FILES - 1);
                *holders.entry(at).or_default() += 1;
                files[at].clone()
            });
            machine = machine.with_files(library.collect());
        }
        let home = nodes[rng.below(supernodes as u64) as usize];
        let at = Instant::ZERO + Duration::from_nanos(rng.below(JOIN_WITHIN.as_nanos() as u64));
        world.start_at(at, node, machine, Some((OpId(0), Command::Join { known: vec![home] })));
    }
    let cpu = cpu_seconds();
    world.run_until(Instant::ZERO + JOIN_WITHIN + Duration::from_secs(70));
    let joined = world.nodes().filter(|(_, node)| node.supernode().is_some()).count();
    let (settled, settled_cpu) = (world.counts(), cpu_seconds() - cpu);
    world.drain_events().for_each(drop);
    world.run_for(Duration::from_secs(60));
    let (idle, idle_cpu) = (world.counts(), cpu_seconds() - cpu);
    let mut asked = BTreeMap::new();
    for query in 0..queries {
        let node = nodes[supernodes + rng.below((count - supernodes) as u64) as usize];
        let number = rng.below(FILES as u64) as usize;
        let words = format!("title{number}");
        let at = world.now() + Duration::from_millis(10 * query as u64);
        let op = OpId(1 + query as u64);
        asked.insert(op, number);
        world.command_at(at, node, op, Command::Search { words: words.as_str().into() });
    }
    world.run_for(Duration::from_secs(7));
    let mut hits = BTreeMap::<OpId, usize>::new();
    for happening in world.drain_events() {
        if let (Some(op), Event::Found { hits: new }) = (happening.op, happening.event) {
            *hits.entry(op).or_default() += new.len();
        }
    }
    let (asked_for, all_cpu) = (world.counts(), cpu_seconds() - cpu);
    let there = |op: &OpId| asked.get(op).and_then(|at| holders.get(at)).copied().unwrap_or(0);
    let findable = asked.keys().filter(|op| there(op) > 0).count();
    let delivered = |counts: sim::Counts| counts.delivered as f64;
    let state: usize = world.nodes().map(|(_, node)| node.memory()).sum();
    println!(
        "{{\"nodes\":{count},\"supernodes\":{supernodes},\"joined\":{joined},\
         \"files_published\":{},\"peak_gb\":{:.3},\"peak_bytes_per_node\":{:.0},\
         \"state_bytes_per_node\":{:.0},\"joining_messages_per_node\":{:.1},\
         \"messages_per_cpu_s\":{:.0},\"idle_messages_per_cpu_s\":{:.0},\"queries\":{queries},\
         \"messages_per_query\":{:.0},\"query_messages_per_cpu_s\":{:.0},\
         \"findable\":{findable},\"found\":{},\"cpu_s\":{all_cpu:.1}}}",
        world.nodes().map(|(_, node)| node.directory_len()).sum::<usize>(),
        status("VmHWM:") as f64 / 1e9,
        status("VmHWM:").saturating_sub(before) as f64 / count as f64,
        state as f64 / count as f64,
        delivered(settled) / count as f64,
        delivered(settled) / settled_cpu,
        (delivered(idle) - delivered(settled)) / (idle_cpu - settled_cpu).max(0.01),
        (delivered(asked_for) - delivered(idle)) / queries as f64,
        (delivered(asked_for) - delivered(idle)) / (all_cpu - idle_cpu).max(0.01),
        hits.len(),
    );
}
