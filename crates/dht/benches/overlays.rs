//! How fast the simulator runs Pastry, Tapestry, CAN, Kelips and Viceroy, and how large their nodes
//! are. `cargo bench -p shoal-dht --bench overlays -- [overlay] [nodes] [threads] [simulated
//! seconds]` prints one line of JSON; with no arguments, one for each at a size that takes seconds.
//!
//! A network under upkeep (tables, walks to one's own place, timeouts), with a lookup per node and
//! minute and one node in 2,000 crashing, and another joining, every minute, as in `--bench chord`.
//! Kelips only stands: what the members of a group know lies in memory once, and upkeep would give
//! each node a copy of its own, of the square root of all nodes and more.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant as Clock;

use dht::overlay::{Event, Overlay, Rules, Topology};
use dht::{can, kelips, pastry, tapestry, viceroy};
use machine::dht::{Command, Contact, Key, Report};
use machine::{OpId, Rng};
use sim::{Latency, Link, Node, Settings, World};

#[path = "support/usage.rs"]
mod usage;

use usage::{cpu_seconds, status};

const MILLI: Duration = Duration::from_millis(1);
/// How long a neighbour may be silent, if it speaks every half a minute.
const EXPIRY: Duration = Duration::from_secs(120);

/// How large a run is.
#[derive(Clone, Copy)]
struct Size {
    nodes: usize,
    threads: usize,
    seconds: u64,
}

fn main() {
    // Cargo adds an argument of its own.
    let args: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let number =
        |at: usize, otherwise| args.get(at).map_or(otherwise, |arg| arg.parse().expect("a number"));
    let (nodes, threads, seconds) =
        (number(1, 20_000) as usize, number(2, 1) as usize, number(3, 60));
    let size = Size { nodes, threads, seconds };
    // The pace of Chord's bench.
    let tick = Some((Duration::from_secs(15), Duration::from_secs(45)));
    let rules = Rules { tick, ..Rules::default() };
    let wanted = |name: &str| args.first().is_none_or(|which| which == name);
    if wanted("pastry") {
        let config = Arc::new(pastry::Config { rules: rules.clone(), ..Default::default() });
        run("pastry", size, &config, |world, ring| {
            for (index, &node) in ring.iter().enumerate() {
                let config = config.clone();
                world.start(node, pastry::Pastry::standing(ring, index, config, 1, &|_, _| 1));
            }
        });
    }
    if wanted("tapestry") {
        let config = Arc::new(tapestry::Config { rules: rules.clone(), ..Default::default() });
        run("tapestry", size, &config, |world, ring| {
            for (index, &node) in ring.iter().enumerate() {
                let config = config.clone();
                world.start(node, tapestry::Tapestry::standing(ring, index, config, 1, &|_, _| 1));
            }
        });
    }
    if wanted("can") {
        let takeover_step = EXPIRY / 2;
        let rules = rules.clone();
        let config =
            Arc::new(can::Config { rules, expiry: EXPIRY, takeover_step, ..Default::default() });
        run("can", size, &config, |world, ring| {
            let standing = can::Standing::new(ring, &mut Rng::new(3), config.clone());
            for (zone, node) in standing.zones() {
                world.start(node, standing.node(zone, node, |_, _| 1));
            }
        });
    }
    if wanted("kelips") {
        let groups = nodes.isqrt().max(1) as u32;
        let config = kelips::Config { rules: Rules::standing(), groups, ..Default::default() };
        let config = Arc::new(config);
        run("kelips", size, &config, |world, ring| {
            let standing = kelips::Standing::new(ring, config.clone());
            ring.iter().for_each(|&node| world.start(node, standing.node(node)));
        });
    }
    if wanted("viceroy") {
        let base = viceroy::Config::default();
        let rules = Rules { lookup_requests_max: base.rules.lookup_requests_max, ..rules };
        let config = Arc::new(viceroy::Config { rules, expiry: EXPIRY, ..base });
        run("viceroy", size, &config, |world, ring| {
            let standing = viceroy::Standing::new(ring, config.clone());
            for (index, node) in standing.nodes().enumerate() {
                world.start(node, standing.node(index));
            }
        });
    }
}

fn run<T>(
    name: &str,
    size: Size,
    config: &Arc<T::Config>,
    wire: impl FnOnce(&mut World<Overlay<T>>, &[Node]),
) where
    T: Topology<Contact = Node, Said: Clone + Send, Config: Send + Sync, Ask: Send, Search: Send>
        + Send,
{
    let Size { nodes, threads, seconds } = size;
    // Nobody comes or goes where nothing is kept up.
    let comers = if name == "kelips" { 0 } else { nodes.div_ceil(120_000) };
    let before = status("VmRSS:");
    let latency = Latency::Uniform { least: MILLI * 10, most: MILLI * 200 };
    let mut world = World::new(Settings { seed: 1, threads, link: Link::new(latency) });
    let began = Clock::now();
    // Room for all who will ever come: it does not grow under a million machines.
    let mut spare = world.reserve(nodes + comers * seconds as usize);
    let mut ring = spare.split_off(comers * seconds as usize);
    ring.sort_by_cached_key(Contact::key);
    wire(&mut world, &ring);
    let wired = began.elapsed();
    let (mut located, mut failed, mut hops, mut op) = (0u64, 0u64, 0u64, 0);
    let mut rng = Rng::new(2);
    // The first rounds of upkeep reach their pace.
    world.run_for(Duration::from_secs(45));
    world.drain_events().for_each(drop);
    let (counts, cpu, began) = (world.counts(), cpu_seconds(), Clock::now());
    for _ in 0..seconds {
        let pick = |rng: &mut Rng| ring[rng.below(nodes as u64) as usize];
        let soon = |rng: &mut Rng| Duration::from_nanos(rng.below(1_000_000_000));
        for _ in 0..nodes / 60 {
            let key = Key::new(u128::from(rng.next_u64()) << 64, 0);
            let at = world.now() + soon(&mut rng);
            world.command_at(at, pick(&mut rng), OpId(op), Command::Lookup { key });
            op += 1;
        }
        for new in spare.drain(spare.len() - comers..) {
            world.crash_at(world.now() + soon(&mut rng), pick(&mut rng));
            let join = Command::Join { known: vec![pick(&mut rng)] };
            let machine = Overlay::new(new, config.clone());
            let at = world.now() + soon(&mut rng);
            world.start_at(at, new, machine, Some((OpId(u64::MAX), join)));
        }
        world.run_for(Duration::from_secs(1));
        for happening in world.drain_events() {
            match happening.event {
                Event::Report(Report::Located { cost, .. }) => {
                    located += 1;
                    hops += u64::from(cost.hops);
                }
                Event::Report(Report::Failed { .. }) => failed += 1,
                _ => {}
            }
        }
    }
    let delivered = world.counts().delivered - counts.delivered;
    let timers = world.counts().timers - counts.timers;
    let cpu = cpu_seconds() - cpu;
    let peak = status("VmHWM:") - before;
    let state: usize = world.nodes().map(|(_, node)| node.memory()).sum();
    println!(
        "{{\"network\":\"{name}\",\"nodes\":{nodes},\"threads\":{threads},\
         \"simulated_s\":{seconds},\"messages\":{delivered},\"timers\":{timers},\
         \"messages_per_cpu_s\":{:.0},\"messages_per_s\":{:.0},\"cpu_s\":{cpu:.2},\
         \"peak_bytes\":{peak:.0},\"peak_bytes_per_node\":{:.0},\"state_bytes_per_node\":{:.0},\
         \"machine_bytes\":{},\"wiring_s\":{:.2},\"lookups\":{},\"failed\":{failed},\
         \"mean_hops\":{:.3},\"hash\":\"{:016x}\"}}",
        delivered as f64 / cpu,
        delivered as f64 / began.elapsed().as_secs_f64(),
        peak / nodes as f64,
        state as f64 / nodes as f64,
        size_of::<Overlay<T>>(),
        wired.as_secs_f64(),
        located + failed,
        hops as f64 / located.max(1) as f64,
        world.trace_hash(),
    );
}
