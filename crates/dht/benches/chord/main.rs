//! How fast the simulator runs Chord, and how large a node is. `cargo bench -p shoal-dht --bench
//! chord -- [dynamic|static|wheel] [nodes] [threads] [simulated seconds]` prints one line of JSON;
//! with no arguments, all at a size that takes seconds.
//!
//! `dynamic` is a ring under upkeep (stabilising, successor lists of 8, a finger each tick, checks
//! of predecessors, timeouts), with a lookup per node and minute and one node in 2,000 crashing,
//! and another joining, every minute. `static` is what the simulators in the comparison do: exact
//! tables, recursive lookups, nothing fails. `wheel` is the dynamic ring on one thread, and beside
//! it a bare timing wheel that does the same memory touches, those of the heap too (`replay`, `heap`).

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant as Clock;

use dht::chord::{Chord, Config, Event, Routing, Style};
use machine::dht::{Command, Contact, Key, Report};
use machine::{Instant, OpId, Rng};
use sim::{Latency, Link, Node, Settings, World};

#[path = "../support/allocator.rs"]
mod allocator;
mod heap;
mod replay;
#[path = "../support/usage.rs"]
mod usage;

use usage::{cpu_seconds, status};

/// What a run is.
#[derive(Clone, Copy)]
struct Run {
    dynamic: bool,
    nodes: usize,
    threads: usize,
    seconds: u64,
}

fn main() {
    allocator::tune();
    // Cargo adds an argument of its own.
    let args: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let number =
        |at: usize, otherwise| args.get(at).map_or(otherwise, |arg| arg.parse().expect("a number"));
    let of = |dynamic| Run {
        dynamic,
        nodes: number(1, 20_000) as usize,
        threads: number(2, 1) as usize,
        seconds: number(3, 60),
    };
    match args.first().map(String::as_str) {
        Some("dynamic") => of(true).print(),
        Some("static") => of(false).print(),
        Some("wheel") => replay::print(of(true)),
        _ => {
            [true, false].into_iter().for_each(|dynamic| of(dynamic).print());
            replay::print(of(true));
        }
    }
}

/// A ring under way.
struct Ring {
    run: Run,
    world: World<Chord<Node>>,
    config: Arc<Config>,
    /// Who was there from the beginning, in the order of the ring.
    first: Vec<Node>,
    /// Who will come.
    spare: Vec<Node>,
    rng: Rng,
    lookups: u64,
    tally: Tally,
}

impl Ring {
    /// A wired ring; one under upkeep has reached its pace.
    fn new(run: Run) -> Self {
        let Run { dynamic, nodes, threads, seconds } = run;
        let config = Arc::new(match dynamic {
            true => Config { fingers_on_join: false, ..Config::default() },
            false => Config {
                tick: None,
                reach_owner: false,
                routing: Routing::Fingers,
                style: Style::Recursive { acknowledged: false },
                ..Config::default()
            },
        });
        let latency = Latency::Uniform { least: MILLI * 10, most: MILLI * 200 };
        let settings = Settings { seed: 1, threads, link: Link::new(latency) };
        let mut world = World::new(settings);
        // Room for all who will ever come: it does not grow under a million machines.
        let mut spare = world.reserve(nodes + run.comers() * seconds as usize);
        let mut first = spare.split_off(run.comers() * seconds as usize);
        first.sort_by_cached_key(Contact::key);
        for index in 0..nodes {
            world.start(first[index], Chord::wired(&first, index, config.clone()));
        }
        let (rng, tally) = (Rng::new(2), Tally::default());
        Self { run, world, config, first, spare, rng, lookups: 0, tally }
    }

    /// Lets the first rounds of upkeep reach their pace.
    fn warm_up(&mut self) {
        if self.run.dynamic {
            self.world.run_for(Duration::from_secs(45));
            self.world.drain_events().for_each(drop);
        }
    }

    /// Lets a second pass, with its lookups and its coming and going.
    fn pass_second(&mut self) {
        let Self { run, world, config, first, spare, rng, lookups, tally } = self;
        let Run { dynamic, nodes, .. } = *run;
        // Dynamic: one a minute each. Static: as many as make a like number of messages.
        for _ in 0..if dynamic { nodes / 60 } else { nodes / 12 } {
            let from = first[rng.below(nodes as u64) as usize];
            let key = Key::new(u128::from(rng.next_u64()) << 64, 0);
            let at = world.now() + Duration::from_nanos(rng.below(1_000_000_000));
            world.command_at(at, from, OpId(*lookups), Command::Lookup { key });
            *lookups += 1;
        }
        if dynamic {
            run.churn(world, first, spare, config, rng);
        }
        world.run_for(Duration::from_secs(1));
        world.drain_events().for_each(|event| tally.count(event.event));
    }
}

impl Run {
    fn print(self) {
        let Self { dynamic, nodes, threads, seconds } = self;
        let before = status("VmRSS:");
        let began = Clock::now();
        let mut ring = Ring::new(self);
        let wired = began.elapsed();
        ring.warm_up();
        let (counts, cpu, began) = (ring.world.counts(), cpu_seconds(), Clock::now());
        (0..seconds).for_each(|_| ring.pass_second());
        let Ring { world, tally, .. } = ring;
        let delivered = world.counts().delivered - counts.delivered;
        let timers = world.counts().timers - counts.timers;
        let cpu = cpu_seconds() - cpu;
        let bytes = (status("VmHWM:") - before) / nodes as f64;
        let state: usize = world.nodes().map(|(_, node)| node.memory()).sum();
        println!(
            "{{\"dynamic\":{dynamic},\"nodes\":{nodes},\"threads\":{threads},\
             \"simulated_s\":{seconds},\"messages\":{delivered},\"timers\":{timers},\
             \"messages_per_cpu_s\":{:.0},\"messages_per_s\":{:.0},\"cpu_s\":{cpu:.2},\
             \"peak_bytes_per_node\":{bytes:.0},\"state_bytes_per_node\":{:.0},\
             \"machine_bytes\":{},\"wiring_s\":{:.2},\"lookups\":{},\"failed\":{},\
             \"mean_hops\":{:.3},\"suspected\":{},\"hash\":\"{:016x}\"}}",
            delivered as f64 / cpu,
            delivered as f64 / began.elapsed().as_secs_f64(),
            state as f64 / nodes as f64,
            size_of::<Chord<Node>>(),
            wired.as_secs_f64(),
            tally.located + tally.failed,
            tally.failed,
            tally.hops as f64 / tally.located.max(1) as f64,
            tally.suspected,
            world.trace_hash(),
        );
    }

    /// How many nodes come, and go, each second: of 2,000 one a minute.
    const fn comers(self) -> usize {
        self.nodes.div_ceil(120_000)
    }

    /// What a second of coming and going does.
    fn churn(
        self,
        world: &mut World<Chord<Node>>,
        ring: &[Node],
        spare: &mut Vec<Node>,
        config: &Arc<Config>,
        rng: &mut Rng,
    ) {
        for new in spare.drain(spare.len() - self.comers()..) {
            let pick = |rng: &mut Rng| ring[rng.below(self.nodes as u64) as usize];
            let at =
                |rng: &mut Rng, now: Instant| now + Duration::from_nanos(rng.below(1_000_000_000));
            world.crash_at(at(rng, world.now()), pick(rng));
            let join = Command::Join { known: vec![pick(rng)] };
            let machine = Chord::new(new, config.clone());
            world.start_at(at(rng, world.now()), new, machine, Some((OpId(u64::MAX), join)));
        }
    }
}

const MILLI: Duration = Duration::from_millis(1);

/// What nodes told.
#[derive(Default)]
struct Tally {
    located: u64,
    hops: u64,
    failed: u64,
    suspected: u64,
}

impl Tally {
    fn count(&mut self, event: Event<Node>) {
        match event {
            Event::Report(Report::Located { cost, .. }) => {
                self.located += 1;
                self.hops += u64::from(cost.hops);
            }
            Event::Report(Report::Failed { .. }) => self.failed += 1,
            Event::Suspected(_) => self.suspected += 1,
            Event::Report(_) => {}
        }
    }
}
