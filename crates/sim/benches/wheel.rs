//! How fast worlds run: static Chord, exact fingers, recursive lookups and nothing that fails, on a
//! bare timing wheel and as machines in a [`World`]. The bare wheel touches the same memory: what a
//! node knows is read, and a counter beside it is written, as any machine writes when it is handed
//! something. It does nothing else: no incarnations, no order among the messages of a moment but
//! by destination, one generator for all draws, no outbox, no counts.
//!
//! `cargo bench -p shoal-sim --bench wheel [-- NODES...]`; each row is a process of its own, since
//! it reports its peak of memory. Messages count the one that begins a lookup, as SimGrid's
//! reference does; rates are per second of CPU time, which a busy machine disturbs less.

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant as Clock};

use machine::{Cx, DatagramMachine, Machine, OpId, Rng, Send};
use sim::{Latency, Link, Node, Settings, World};

/// Fingers of a row: more than log2 of a million, plus four.
const FINGERS: usize = 24;
const LEAST: u64 = 10_000_000;
const MOST: u64 = 200_000_000;
/// Mean seconds of a hop, for how many lookups keep how many messages in flight.
const MEAN: f64 = 0.105;

/// What a node knows: its successor, then the nodes that follow half the ring, a quarter, ...
#[derive(Clone)]
struct Row {
    fingers: [Node; FINGERS],
}

/// Where a key goes from here.
enum Step {
    /// The key is the node's own or its successor's, that many hops away.
    Done(u32),
    Next(Node),
}

impl Row {
    #[inline(always)]
    fn route(&self, me: u64, key: u64) -> Step {
        let distance = key.wrapping_sub(me);
        let successor = self.fingers[0];
        if distance == 0 {
            return Step::Done(0);
        }
        if distance <= successor.place().wrapping_sub(me) {
            return Step::Done(1);
        }
        let first = 1 + distance.leading_zeros() as usize;
        let closest = self.fingers.get(first..).unwrap_or_default().iter().find(|finger| {
            let ahead = finger.place().wrapping_sub(me);
            ahead != 0 && ahead < distance
        });
        Step::Next(closest.copied().unwrap_or(successor))
    }
}

/// Exact rows for `nodes`, in their order.
fn rows(nodes: &[Node]) -> Vec<Row> {
    let mut ring: Vec<_> = nodes.iter().map(|node| (node.place(), *node)).collect();
    ring.sort_unstable();
    let log = nodes.len().ilog2() as usize + 4;
    let count = ring.len();
    let mut rows = vec![Row { fingers: [ring[0].1; FINGERS] }; count];
    // Around the ring once, and each finger goes around before its node.
    let mut ahead = [0usize; FINGERS];
    for (at, (place, node)) in ring.iter().enumerate() {
        let row = &mut rows[node.slot() as usize];
        for (index, next) in ahead.iter_mut().enumerate().take(1 + log) {
            let distance = if index == 0 { 1 } else { 1 << (64 - index) };
            *next = (*next).max(at + 1);
            while *next < at + count && ring[*next % count].0.wrapping_sub(*place) < distance {
                *next += 1;
            }
            row.fingers[index] = ring[*next % count].1;
        }
    }
    rows
}

/// What was measured.
#[derive(Default)]
struct Outcome {
    lookups: u64,
    hops: u64,
    messages: u64,
    cpu: f64,
    wall: f64,
}

/// User and system time of this process so far, in seconds.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    fields.take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kibibytes.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0) * 1_024
}

/// Slices of virtual time between which lookups are begun.
const SLICE: Duration = Duration::from_millis(50);

/// How many lookups begin in a slice, and how many slices there are.
fn load(nodes: usize) -> (u64, u64) {
    let (flying, hops) = if nodes <= 10_000 {
        (5_000.0, 7.5)
    } else if nodes <= 100_000 {
        (20_000.0, 9.17)
    } else {
        (100_000.0, 10.83)
    };
    let per_slice = flying / (hops * MEAN) * SLICE.as_secs_f64();
    (per_slice as u64, (1_000_000.0 / per_slice) as u64)
}

// --- The bare wheel ---

#[derive(Clone, Copy)]
struct Entry {
    time: u64,
    key: u64,
    to: Node,
    hops: u32,
}

/// Buckets of 131 microseconds, sorted when their time has come; nothing waits longer than a turn.
const GRAIN: u32 = 17;
const BUCKETS: usize = 4_096;

fn bare(count: usize) -> Outcome {
    let nodes: Vec<_> = (0..count as u32).map(|slot| Node::new(slot, 0)).collect();
    let mut rows: Vec<_> = rows(&nodes).into_iter().map(|row| (row, 0u64)).collect();
    let (per_slice, slices) = load(count);
    let mut buckets: Vec<Vec<Entry>> = vec![Vec::new(); BUCKETS];
    let (mut rng, mut outcome) = (Rng::new(7), Outcome::default());
    let (cpu, wall) = (cpu_seconds(), Clock::now());
    let slice = SLICE.as_nanos() as u64;
    let (mut begun, mut waiting) = (0, 0u64);
    for bucket in 0.. {
        while begun < slices && begun * slice <= bucket << GRAIN {
            for _ in 0..per_slice {
                let time = begun * slice + slice + rng.below(slice);
                let to = nodes[rng.below(count as u64) as usize];
                let entry = Entry { time, key: rng.next_u64(), to, hops: 0 };
                buckets[(time >> GRAIN) as usize % BUCKETS].push(entry);
                waiting += 1;
            }
            begun += 1;
        }
        if waiting == 0 && begun == slices {
            break;
        }
        let mut entries = std::mem::take(&mut buckets[bucket as usize % BUCKETS]);
        entries.sort_unstable_by_key(|entry| (entry.time, entry.to));
        for (at, Entry { time, key, to, hops }) in entries.iter().copied().enumerate() {
            if let Some(next) = entries.get(at + 8) {
                prefetch(&rows[next.to.slot() as usize]);
            }
            outcome.messages += 1;
            waiting -= 1;
            let (row, inputs) = &mut rows[to.slot() as usize];
            *inputs += 1;
            match row.route(to.place(), key) {
                Step::Done(last) => {
                    outcome.lookups += 1;
                    outcome.hops += u64::from(hops + last);
                }
                Step::Next(to) => {
                    let time = time + LEAST + rng.below(MOST - LEAST);
                    let entry = Entry { time, key, to, hops: hops + 1 };
                    buckets[(time >> GRAIN) as usize % BUCKETS].push(entry);
                    waiting += 1;
                }
            }
        }
        entries.clear();
        buckets[bucket as usize % BUCKETS] = entries;
    }
    Outcome { cpu: cpu_seconds() - cpu, wall: wall.elapsed().as_secs_f64(), ..outcome }
}

#[allow(unsafe_code)]
fn prefetch(row: &(Row, u64)) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let first = core::ptr::from_ref(row).cast::<i8>();
        // SAFETY: a prefetch reads nothing: it is a hint, for which any address will do.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(first);
            _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(64));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}

// --- The same as machines ---

struct Static {
    me: Node,
    row: Row,
}

#[derive(Clone)]
struct Lookup {
    key: u64,
    hops: u32,
}

impl Machine for Static {
    type Command = u64;
    type Event = u32;
    type Timer = ();
    type Effect = Send<Node, Lookup>;

    fn on_command(&mut self, _: OpId, key: u64, cx: &mut Cx<'_, Self>) {
        self.forward(Lookup { key, hops: 0 }, cx);
    }

    fn on_timer(&mut self, (): (), _: &mut Cx<'_, Self>) {}
}

impl DatagramMachine for Static {
    type Contact = Node;
    type Message = Lookup;

    fn on_message(&mut self, _: Node, lookup: Lookup, cx: &mut Cx<'_, Self>) {
        self.forward(lookup, cx);
    }
}

impl Static {
    #[inline]
    fn forward(&mut self, Lookup { key, hops }: Lookup, cx: &mut Cx<'_, Self>) {
        match self.row.route(self.me.place(), key) {
            Step::Done(last) => cx.emit(hops + last),
            Step::Next(to) => cx.send(to, Lookup { key, hops: hops + 1 }),
        }
    }
}

fn world(count: usize, threads: usize) -> Outcome {
    let latency =
        Latency::Uniform { least: Duration::from_nanos(LEAST), most: Duration::from_nanos(MOST) };
    let mut world = World::new(Settings { seed: 7, threads, link: Link::new(latency) });
    let nodes = world.reserve(count);
    for (node, row) in nodes.iter().zip(rows(&nodes)) {
        world.start(*node, Static { me: *node, row });
    }
    let totals = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
    let sink = Arc::clone(&totals);
    world.on_event(move |event| {
        sink.0.store(sink.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let hops = sink.1.load(Ordering::Relaxed) + u64::from(event.event);
        sink.1.store(hops, Ordering::Relaxed);
    });
    let (per_slice, slices) = load(count);
    let mut rng = Rng::new(7);
    let (cpu, wall) = (cpu_seconds(), Clock::now());
    for slice in 0..slices {
        for _ in 0..per_slice {
            let after = Duration::from_nanos(rng.below(SLICE.as_nanos() as u64));
            let node = nodes[rng.below(count as u64) as usize];
            world.command_at(world.now() + after, node, OpId(slice), rng.next_u64());
        }
        world.run_for(SLICE);
    }
    while world.pending() > 0 {
        world.run_for(Duration::from_secs(1));
    }
    let counts = world.counts();
    Outcome {
        lookups: totals.0.load(Ordering::Relaxed),
        hops: totals.1.load(Ordering::Relaxed),
        messages: counts.delivered + counts.commands,
        cpu: cpu_seconds() - cpu,
        wall: wall.elapsed().as_secs_f64(),
    }
}

/// One row of the table, as a process of its own.
fn row(kind: &str, count: usize) {
    let outcome = match kind {
        "wheel" => bare(count),
        "world" => world(count, 1),
        _ => world(count, 2),
    };
    let Outcome { lookups, hops, messages, cpu, wall } = outcome;
    println!(
        "{kind:8} {count:8} {messages:10} {:7.3} {:6.2} {:6.2} {:9.0} {:9.0} {:7.0}",
        hops as f64 / lookups as f64,
        cpu,
        wall,
        messages as f64 / cpu,
        messages as f64 / wall,
        peak_bytes() as f64 / count as f64,
    );
}

fn main() {
    let arguments: Vec<_> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [kind, count] = arguments.as_slice()
        && let Ok(count) = count.parse()
        && kind.starts_with('w')
    {
        return row(kind, count);
    }
    let counts: VecDeque<_> = arguments.iter().filter_map(|count| count.parse().ok()).collect();
    let counts = if counts.is_empty() { [10_000, 100_000, 1_000_000].into() } else { counts };
    println!(
        "         {:>8} {:>10} {:>7} {:>6} {:>6} {:>9} {:>9} {:>7}",
        "nodes", "messages", "hops", "CPU s", "wall s", "/CPU s", "/wall s", "B/node"
    );
    for count in counts {
        for kind in ["wheel", "world", "world2"] {
            let program = env::current_exe().expect("this program's path");
            let status = Command::new(program).args([kind, &usize::to_string(&count)]).status();
            assert!(status.is_ok_and(|status| status.success()), "{kind} {count}");
        }
    }
}
