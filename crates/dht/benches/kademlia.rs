//! A simulated hour of a large Kademlia with churn and refreshes, and how fast a node answers.
//!
//! `cargo bench -p shoal-dht --bench kademlia -- [sim|answer] [--nodes N] [--seconds S]
//! [--session S] [--threads T] [--seed S]`; each prints one line of JSON.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use dht::kademlia::krpc::Packet;
use dht::kademlia::{Body, Command, Config, Kademlia, Message, Peer, Query, Transaction, Want};
use machine::dht::{Command as Dht, Contact, Key};
use machine::{Cx, DatagramMachine, Instant, OpId, Outbox, Output, Rng, Wire};
use sim::{Latency, Link, Node, Settings, World};

#[path = "support/allocator.rs"]
mod allocator;

type Machine = Kademlia<Node>;

struct Flags {
    nodes: usize,
    seconds: u64,
    session: u64,
    threads: usize,
    seed: u64,
}

fn main() {
    allocator::tune();
    let mut flags = Flags { nodes: 100_000, seconds: 600, session: 10_800, threads: 1, seed: 1 };
    let mut what = vec!["sim", "answer"];
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|text| text.parse().ok()).expect("a number");
        match arg {
            "sim" => what = vec!["sim"],
            "answer" => what = vec!["answer"],
            "--nodes" => flags.nodes = number() as usize,
            "--seconds" => flags.seconds = number(),
            "--session" => flags.session = number(),
            "--threads" => flags.threads = number() as usize,
            "--seed" => flags.seed = number(),
            "--bench" => {}
            _ => panic!("unknown argument {arg}"),
        }
    }
    for what in what {
        match what {
            "sim" => simulate(&flags),
            _ => answer(),
        }
    }
}

/// Seconds of CPU time that this process has used, and its peak memory in bytes.
fn usage() -> (f64, u64) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = peak.and_then(|p| p.trim().trim_end_matches(" kB").parse::<u64>().ok());
    ((ticks(11) + ticks(12)) / 100.0, kilobytes.unwrap_or(0) * 1_024)
}

/// For every node some contacts for each of its buckets.
fn contacts(place: usize, sorted: &[Node], k: usize, rng: &mut Rng) -> Vec<Node> {
    let own = sorted[place].key();
    let mut contacts = Vec::with_capacity(24 * k);
    let (mut low, mut high) = (0, sorted.len());
    for bit in 0..160 {
        // The half of the range that differs from us in this bit, and the half that does not.
        let range = &sorted[low..high];
        let is_set = |key: &Key| key.0[bit / 8] >> (7 - bit % 8) & 1 == 1;
        let middle = low + range.partition_point(|node| !is_set(&node.key()));
        let (ours, theirs) = match is_set(&own) {
            true => ((middle, high), (low, middle)),
            false => ((low, middle), (middle, high)),
        };
        let there = theirs.1 - theirs.0;
        if there <= k {
            contacts.extend_from_slice(&sorted[theirs.0..theirs.1]);
        } else {
            let start = rng.below(there as u64) as usize;
            let stride = there / k;
            contacts.extend((0..k).map(|n| sorted[theirs.0 + (start + n * stride) % there]));
        }
        (low, high) = ours;
        if high - low <= 1 {
            break;
        }
    }
    contacts
}

fn exponential(rng: &mut Rng, mean: f64) -> Duration {
    let unit = (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    Duration::from_secs_f64(-mean * (1.0 - unit).ln())
}

fn simulate(flags: &Flags) {
    let Flags { nodes, seconds, session, threads, seed } = *flags;
    let config = Arc::new(Config::<Node>::paper());
    let link = Link::new(Latency::Uniform {
        least: Duration::from_millis(20),
        most: Duration::from_millis(180),
    });
    let mut world = World::<Machine>::new(Settings { seed, threads, link });
    let clock = Clock::now();
    let all = world.reserve(nodes);
    let mut sorted = all;
    sorted.sort_by_cached_key(Contact::key);
    let mut rng = Rng::new(seed);
    for place in 0..nodes {
        let known = contacts(place, &sorted, config.k, &mut rng);
        let machine = Kademlia::wired(sorted[place], config.clone(), [1; 16], known);
        world.start(sorted[place], machine);
    }
    let end = Instant::ZERO + Duration::from_secs(seconds);
    let mut joins = 0_u64;
    // When each node leaves, silently, for a newcomer who knows some that began.
    let mut churn: Vec<(Node, Instant)> = Vec::new();
    if session > 0 {
        let leaves = |rng: &mut Rng| Instant::ZERO + exponential(rng, session as f64);
        churn.extend(sorted.iter().map(|node| (*node, leaves(&mut rng))));
    }
    world.on_event(|_| {});
    let wiring = clock.elapsed().as_secs_f64();
    let (cpu, wired) = usage();
    let clock = Clock::now();
    while world.now() < end {
        let (before, cpu, at) = (world.counts().sent, usage().0, clock.elapsed());
        let until = end.min(world.now() + Duration::from_secs(60));
        for (node, at) in &mut churn {
            while *at < until {
                world.crash_at(*at, *node);
                *node = node.next();
                let known = (0..4).filter_map(|_| rng.pick(&sorted).copied()).collect();
                let machine = Kademlia::new(*node, config.clone(), [1; 16]);
                let join = Command::Dht(Dht::Join { known });
                world.start_at(*at, *node, machine, Some((OpId(joins), join)));
                joins += 1;
                *at = *at + exponential(&mut rng, session as f64);
            }
        }
        world.run_until(until);
        let (sent, cpu) = (world.counts().sent - before, usage().0 - cpu);
        eprintln!(
            "{:4} s: {sent} messages, wall {:.1} s, CPU {cpu:.1} s, {:.0} messages/CPU s, {} MB",
            world.now().as_nanos() / 1_000_000_000,
            (clock.elapsed() - at).as_secs_f64(),
            sent as f64 / cpu.max(0.01),
            usage().1 / 1_000_000,
        );
    }
    let wall = clock.elapsed().as_secs_f64();
    let (cpu_after, peak) = usage();
    let (cpu, counts) = (cpu_after - cpu, world.counts());
    let (mut known, mut heap, mut running) = (0, 0, 0_usize);
    for (_, node) in world.nodes() {
        known += node.table().len();
        heap += node.heap_bytes();
        running += 1;
    }
    println!(
        "{{\"bench\":\"kademlia.sim\",\"nodes\":{nodes},\"seconds\":{seconds},\"session_s\":{session},\
         \"threads\":{threads},\"joins\":{joins},\"sent\":{},\"delivered\":{},\"timers\":{},\
         \"wiring_s\":{wiring:.1},\"wall_s\":{wall:.1},\"cpu_s\":{cpu:.1},\
         \"messages_per_cpu_s\":{:.0},\"bytes_per_node\":{},\"wired_bytes_per_node\":{},\
         \"machine_bytes\":{},\"heap_bytes\":{},\"contacts\":{:.1},\"hash\":\"{:016x}\"}}",
        counts.sent,
        counts.delivered,
        counts.timers,
        counts.sent as f64 / cpu.max(0.01),
        peak / nodes as u64,
        wired / nodes as u64,
        size_of::<Machine>(),
        heap / running.max(1),
        known as f64 / running.max(1) as f64,
        world.trace_hash(),
    );
}

/// Decoding a query, answering it, and encoding the reply, as a live driver does it.
fn answer() {
    let config = Config { host_rate: None, ..Config::mainline(|_| true) };
    let mut rng = Rng::new(1);
    let peer = |rng: &mut Rng| {
        let mut id = [0; 20];
        rng.fill(&mut id);
        let ip = core::net::Ipv4Addr::from_bits(rng.next_u32() | 1 << 24);
        Peer { id: Key(id), addr: (ip, 6_881).into() }
    };
    let me = peer(&mut rng);
    let known = (0..2_000).map(|_| peer(&mut rng)).collect();
    let mut node = Kademlia::wired(me, Arc::new(config), [1; 16], known);
    let mut outbox = Outbox::new();
    let mut out = Vec::new();
    for name in ["ping", "find_node", "get_peers"] {
        let queries: Vec<(Peer, Vec<u8>)> = (0..1_000)
            .map(|n| {
                let from = peer(&mut rng);
                let target = peer(&mut rng).id;
                let query = match name {
                    "ping" => Query::Ping,
                    "find_node" => Query::FindNode { target, want: Want::Same },
                    _ => Query::GetPeers { info_hash: target, want: Want::Same },
                };
                let transaction = Transaction::new(&[n as u8; 4]).expect("four bytes");
                let body = Body::Query { read_only: true, query };
                let mut bytes = Vec::new();
                Packet::new(from.id, me.addr, Message { transaction, body }).encode(&mut bytes);
                (from, bytes)
            })
            .collect();
        let rounds = 1_000;
        let (mut replies, mut bytes) = (0_u64, 0_u64);
        let (cpu, _) = usage();
        for round in 0..rounds {
            let now = Instant::ZERO + Duration::from_millis(round);
            for (from, datagram) in &queries {
                let packet = Packet::decode(datagram).expect("a query");
                let from = packet.from(from.addr);
                node.on_message(from, packet.message, &mut Cx::new(now, &mut rng, &mut outbox));
                for output in outbox.drain() {
                    if let Output::Effect(send) = output {
                        out.clear();
                        Packet::new(me.id, send.to.addr, send.message).encode(&mut out);
                        replies += 1;
                        bytes += out.len() as u64;
                    }
                }
            }
        }
        let cpu = usage().0 - cpu;
        println!(
            "{{\"bench\":\"kademlia.answer\",\"query\":\"{name}\",\"replies_per_cpu_s\":{:.0},\
             \"ns_per_reply\":{:.0},\"bytes_per_reply\":{}}}",
            replies as f64 / cpu.max(0.01),
            cpu * 1e9 / replies.max(1) as f64,
            bytes / replies.max(1),
        );
    }
}
