//! Two ends of uTP over a simulated path with latency, loss, reordering, duplication, a bottleneck
//! and its queue. Everything follows from a seed, which a failure prints.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bittorrent::utp::{Batch, CloseReason, Config, Handle, Mux, Packet};
use machine::{Instant, Rng};

const MIB: usize = 1 << 20;

/// One direction of the path.
#[derive(Clone, Debug)]
struct Path {
    delay: Duration,
    /// Each datagram is delayed by up to this much more, and so overtakes others.
    jitter: Duration,
    /// Chances out of 1,000.
    loss: u64,
    duplicate: u64,
    /// Bytes per second through the bottleneck.
    rate: Option<u64>,
    /// Bytes that wait before it at most.
    queue: u64,
    /// Larger datagrams are lost if they must not be fragmented.
    mtu: usize,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(20),
            jitter: Duration::ZERO,
            loss: 0,
            duplicate: 0,
            rate: None,
            queue: u64::MAX,
            mtu: usize::MAX,
        }
    }
}

struct Direction {
    path: Path,
    /// When the bottleneck has sent what waits before it.
    free_at: Instant,
    dropped: u64,
    passed: u64,
}

impl Direction {
    /// When `len` bytes that enter now come out, or `None` if the queue is full.
    fn enter(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(rate) = self.path.rate else { return Some(now + self.path.delay) };
        let backlog = (self.free_at - now).as_nanos() as u64 * rate / 1_000_000_000;
        if backlog + len as u64 > self.path.queue {
            self.dropped += 1;
            return None;
        }
        let sending = Duration::from_nanos(len as u64 * 1_000_000_000 / rate);
        self.free_at = self.free_at.max(now) + sending;
        self.passed += len as u64;
        Some(self.free_at + self.path.delay)
    }

    fn queueing(&self, now: Instant) -> Duration {
        self.free_at - now
    }
}

enum Arrival {
    Datagram {
        to: usize,
        bytes: Vec<u8>,
    },
    /// Of a flow that fills whatever queue there is: its data, or acknowledgement.
    Greedy {
        ack: bool,
    },
}

/// A flow that grows by a packet per round trip until the queue overflows, like TCP Reno.
#[derive(Default)]
struct Greedy {
    window: f64,
    in_flight: u64,
    delivered: u64,
    cut_at: Instant,
}

const GREEDY_PACKET: usize = 1_400;

struct Sim {
    now: Instant,
    rng: Rng,
    ends: [Mux; 2],
    directions: [Direction; 2],
    arrivals: BTreeMap<(Instant, u64), Arrival>,
    sequence: u64,
    batch: Batch,
    greedy: Option<Greedy>,
    /// Of data packets that left end 0: how many, and the largest.
    data_packets: u64,
    largest: usize,
}

fn address(end: usize) -> SocketAddr {
    (Ipv4Addr::new(192, 0, 2, end as u8 + 1), 6_881).into()
}

impl Sim {
    fn new(seed: u64, there: Path, back: Path) -> Self {
        Self::with_config(seed, there, back, Config::default())
    }

    fn with_config(seed: u64, there: Path, back: Path, config: Config) -> Self {
        let mut rng = Rng::new(seed);
        let ends = [0, 1].map(|_| Mux::new(config.clone(), Rng::new(rng.next_u64())));
        let directions = [there, back].map(|path| Direction {
            path,
            free_at: Instant::ZERO,
            dropped: 0,
            passed: 0,
        });
        // The clock's low 32 bits in microseconds wrap within the run.
        let now = Instant::from_nanos((u64::from(u32::MAX) - 500_000) * 1_000);
        Self {
            now,
            rng,
            ends,
            directions,
            arrivals: BTreeMap::new(),
            sequence: 0,
            batch: Batch::new(256 << 10),
            greedy: None,
            data_packets: 0,
            largest: 0,
        }
    }

    fn schedule(&mut self, at: Instant, arrival: Arrival) {
        self.sequence += 1;
        self.arrivals.insert((at, self.sequence), arrival);
    }

    /// Sends all that the ends and the greedy flow may send now.
    fn flush(&mut self) {
        for from in 0..2 {
            loop {
                let more = self.ends[from].transmit(self.now, &mut self.batch);
                let mut datagrams = Vec::new();
                for run in self.batch.runs() {
                    for bytes in self.batch.bytes(run).chunks(run.segment) {
                        datagrams.push((run.probe, bytes.to_vec()));
                    }
                }
                self.batch.clear();
                for (probe, bytes) in datagrams {
                    if from == 0 && !Packet::parse(&bytes).unwrap().payload.is_empty() {
                        self.data_packets += 1;
                        self.largest = self.largest.max(bytes.len());
                    }
                    self.send(from, bytes, probe);
                }
                if !more {
                    break;
                }
            }
        }
        while let Some(greedy) = &mut self.greedy
            && (greedy.in_flight as f64) < greedy.window
        {
            greedy.in_flight += 1;
            match self.directions[0].enter(self.now, GREEDY_PACKET) {
                Some(at) => self.schedule(at, Arrival::Greedy { ack: false }),
                None => {
                    greedy.in_flight -= 1;
                    if self.now - greedy.cut_at > Duration::from_millis(100) {
                        greedy.window = (greedy.window / 2.0).max(2.0);
                        greedy.cut_at = self.now;
                    } else {
                        break;
                    }
                }
            }
        }
    }

    fn send(&mut self, from: usize, bytes: Vec<u8>, probe: bool) {
        let path = self.directions[from].path.clone();
        if probe && bytes.len() > path.mtu {
            return;
        }
        let Some(at) = self.directions[from].enter(self.now, bytes.len()) else { return };
        if self.rng.below(1_000) < path.loss {
            return;
        }
        let copies = 1 + u64::from(self.rng.below(1_000) < path.duplicate);
        for _ in 0..copies {
            let late = Duration::from_nanos(self.rng.below(path.jitter.as_nanos() as u64 + 1));
            self.schedule(at + late, Arrival::Datagram { to: 1 - from, bytes: bytes.clone() });
        }
    }

    /// Lets the next thing happen; `false` if nothing ever will.
    fn step(&mut self) -> bool {
        self.flush();
        let arrival = self.arrivals.keys().next().map(|&(at, _)| at);
        let timers = self.ends.iter().filter_map(Mux::next_timeout);
        let Some(next) = timers.chain(arrival).min() else { return false };
        self.now = self.now.max(next);
        for end in &mut self.ends {
            end.on_timeout(self.now);
        }
        while let Some(entry) = self.arrivals.first_entry()
            && entry.key().0 <= self.now
        {
            match entry.remove() {
                Arrival::Datagram { to, bytes } => {
                    self.ends[to].on_datagram(self.now, address(1 - to), &bytes).unwrap();
                }
                Arrival::Greedy { ack: false } => {
                    if let Some(greedy) = &mut self.greedy {
                        greedy.delivered += GREEDY_PACKET as u64;
                    }
                    let at = self.now + self.directions[1].path.delay;
                    self.schedule(at, Arrival::Greedy { ack: true });
                }
                Arrival::Greedy { ack: true } => {
                    if let Some(greedy) = &mut self.greedy {
                        greedy.in_flight -= 1;
                        greedy.window += 1.0 / greedy.window;
                    }
                }
            }
        }
        true
    }

    /// Opens a connection from end 0 and returns both of its handles.
    fn open(&mut self) -> (Handle, Handle) {
        let dialed = self.ends[0].connect(self.now, address(1)).unwrap();
        loop {
            assert!(self.step(), "the handshake ran dry");
            if let Some(accepted) = self.ends[1].accept() {
                return (dialed, accepted);
            }
        }
    }
}

/// What one end of a connection sends: bytes that follow from a seed and their place.
struct Source {
    seed: u8,
    written: usize,
    total: usize,
}

fn byte(seed: u8, place: usize) -> u8 {
    (place.wrapping_mul(0x9e37_79b1) >> 13) as u8 ^ seed
}

impl Source {
    fn write(&mut self, mux: &mut Mux, handle: Handle) {
        while self.written < self.total {
            let end = self.total.min(self.written + 4_096);
            let chunk: Vec<u8> = (self.written..end).map(|place| byte(self.seed, place)).collect();
            let taken = mux.with(handle, |c| c.write(&chunk)).unwrap_or(0);
            self.written += taken;
            if taken < chunk.len() {
                return;
            }
        }
        mux.with(handle, |c| c.shutdown());
    }
}

/// Reads all that waits and checks it; returns how many bytes that were.
fn read(mux: &mut Mux, handle: Handle, seed: u8, place: usize) -> usize {
    let mut buffer = vec![0; 16 << 10];
    let mut count = 0;
    loop {
        let read = mux.with(handle, |c| c.read(&mut buffer)).unwrap_or(0);
        if read == 0 {
            return count;
        }
        for &got in &buffer[..read] {
            assert_eq!(got, byte(seed, place + count), "byte {} is wrong", place + count);
            count += 1;
        }
    }
}

/// Sends `sizes` bytes in both directions, closes, and returns how long it took.
fn transfer(sim: &mut Sim, sizes: [usize; 2]) -> Duration {
    let began = sim.now;
    let (dialed, accepted) = sim.open();
    let handles = [dialed, accepted];
    let mut sources = [0, 1].map(|end| Source { seed: end as u8, written: 0, total: sizes[end] });
    let mut received = [0; 2];
    let mut steps = 0u64;
    loop {
        for end in 0..2 {
            sources[end].write(&mut sim.ends[end], handles[end]);
            let seed = 1 - end as u8;
            received[end] += read(&mut sim.ends[end], handles[end], seed, received[end]);
        }
        let done = (0..2).all(|end| {
            sim.ends[end].connection(handles[end]).is_some_and(|c| c.at_end() && c.is_flushed())
        });
        if done {
            break;
        }
        for (end, (mux, &handle)) in sim.ends.iter().zip(&handles).enumerate() {
            let why = mux.close_reason(handle);
            assert!(matches!(why, None | Some(CloseReason::Finished)), "end {end}: {why:?}");
        }
        assert!(sim.step(), "nothing left to happen: {received:?} of {sizes:?}");
        steps += 1;
        assert!(steps < 3_000_000, "no progress: {received:?} of {sizes:?}");
    }
    assert_eq!(received, [sizes[1], sizes[0]]);
    let took = sim.now - began;
    for (mux, &handle) in sim.ends.iter_mut().zip(&handles) {
        mux.release(sim.now, handle);
    }
    while sim.ends.iter().any(|end| !end.is_empty()) {
        assert!(sim.step(), "closed connections stay");
        sim.flush();
    }
    took
}

/// Runs `test` for many seeds and names the one that fails.
fn for_seeds(count: u64, test: impl Fn(u64) + std::panic::RefUnwindSafe) {
    for seed in 0..count {
        if let Err(panic) = std::panic::catch_unwind(|| test(seed)) {
            eprintln!("seed {seed} failed");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn data_arrives_intact_over_bad_paths() {
    for_seeds(300, |seed| {
        let mut rng = Rng::new(seed);
        let mut path = || Path {
            delay: Duration::from_millis(rng.below(80)),
            jitter: Duration::from_millis(rng.below(2) * rng.below(30)),
            loss: rng.below(2) * rng.below(150),
            duplicate: rng.below(2) * rng.below(200),
            rate: (rng.below(2) == 0).then(|| 100_000 + rng.below(2_000_000)),
            queue: 8_000 + rng.below(200_000),
            mtu: 1_232 + rng.below(400) as usize,
        };
        let mut sim = Sim::new(seed, path(), path());
        let sizes = [Rng::new(!seed).below(300_000) as usize, (seed % 3) as usize * 20_000];
        transfer(&mut sim, sizes);
    });
}

#[test]
fn a_clean_path_is_filled() {
    for rate in [500_000, 5_000_000, 25_000_000] {
        let path = Path {
            delay: Duration::from_millis(10),
            rate: Some(rate),
            queue: rate / 4,
            ..Path::default()
        };
        let mut sim = Sim::new(1, path.clone(), path);
        let size = rate as usize * 10;
        let took = transfer(&mut sim, [size, 0]);
        let share = size as f64 / took.as_secs_f64() / rate as f64;
        assert!(share > 0.9, "{rate} B/s: {:.1}% in {took:?}", share * 100.0);
        assert_eq!(sim.directions[0].dropped, 0, "{rate} B/s: the queue overflowed");
    }
}

#[test]
fn queueing_delay_stays_near_the_target() {
    // A queue of two seconds, which TCP would fill.
    let path = Path { rate: Some(1_000_000), queue: 2_000_000, ..Path::default() };
    let mut sim = Sim::new(2, path.clone(), path);
    let (dialed, accepted) = sim.open();
    let mut source = Source { seed: 0, written: 0, total: usize::MAX };
    let mut received = 0;
    let mut samples = Vec::new();
    let began = sim.now;
    while sim.now - began < Duration::from_secs(60) {
        source.write(&mut sim.ends[0], dialed);
        received += read(&mut sim.ends[1], accepted, 0, received);
        sim.step();
        if sim.now - began > Duration::from_secs(10) {
            samples.push(sim.directions[0].queueing(sim.now).as_millis() as u64);
        }
    }
    samples.sort_unstable();
    let (median, most) = (samples[samples.len() / 2], samples[samples.len() - 1]);
    assert!((60..=120).contains(&median), "median {median} ms");
    assert!(most < 200, "at most {most} ms");
    assert!(received > 57_000_000, "{received} bytes of 60,000,000");
}

#[test]
fn a_greedy_flow_is_let_past() {
    let path = Path { rate: Some(1_000_000), queue: 400_000, ..Path::default() };
    let mut sim = Sim::new(3, path.clone(), path);
    let (dialed, accepted) = sim.open();
    let mut source = Source { seed: 0, written: 0, total: usize::MAX };
    let mut received = 0;
    let mut marks = Vec::new();
    let began = sim.now;
    // Alone for 20 s, beside the greedy flow for 60 s, alone again for 20 s.
    for (seconds, greedy) in [(20, false), (60, true), (20, false)] {
        sim.greedy = greedy.then(|| Greedy { window: 2.0, ..Greedy::default() });
        let until = sim.now + Duration::from_secs(seconds);
        let before = received;
        while sim.now < until {
            source.write(&mut sim.ends[0], dialed);
            received += read(&mut sim.ends[1], accepted, 0, received);
            sim.step();
        }
        let rate = (received - before) as u64 / seconds;
        marks.push((rate, sim.greedy.as_ref().map_or(0, |g| g.delivered / seconds)));
    }
    let took = sim.now - began;
    assert!(marks[0].0 > 900_000, "alone: {marks:?} in {took:?}");
    assert!(marks[1].1 > 3 * marks[1].0, "the greedy flow gets most: {marks:?}");
    assert!(marks[1].0 + marks[1].1 > 900_000, "together they fill it: {marks:?}");
    assert!(marks[2].0 > 700_000, "alone again: {marks:?}");
}

#[test]
fn probes_find_the_path_mtu_without_slowing_down() {
    let path = Path {
        rate: Some(2_000_000),
        queue: 1_000_000,
        mtu: 1_400,
        delay: Duration::from_millis(10),
        ..Path::default()
    };
    let mut sim = Sim::new(4, path.clone(), path);
    let size = 20_000_000;
    let took = transfer(&mut sim, [size, 0]);
    let share = size as f64 / took.as_secs_f64() / 2_000_000.0;
    assert!(share > 0.9, "{:.1}%", share * 100.0);
    // Nearly all packets were of the size that fits, 1,380 bytes of payload or a little less.
    let mean = size as u64 / sim.data_packets;
    assert!((1_350..=1_380).contains(&mean), "{mean} bytes per packet");
}

#[test]
fn a_reader_who_pauses_stops_the_writer_and_nothing_is_lost() {
    let config = Config { receive_buffer: 100_000, ..Config::default() };
    let mut sim = Sim::with_config(5, Path::default(), Path::default(), config);
    let (dialed, accepted) = sim.open();
    let mut source = Source { seed: 0, written: 0, total: MIB };
    let mut received = 0;
    let began = sim.now;
    // Nobody reads for a minute.
    while sim.now - began < Duration::from_secs(60) {
        source.write(&mut sim.ends[0], dialed);
        sim.step();
    }
    let waiting = sim.ends[1].connection(accepted).unwrap().readable();
    let waiting = waiting.0.len() + waiting.1.len();
    assert!((95_000..=170_000).contains(&waiting), "{waiting} bytes wait");
    while received < MIB {
        source.write(&mut sim.ends[0], dialed);
        received += read(&mut sim.ends[1], accepted, 0, received);
        assert!(sim.step());
        assert!(sim.now - began < Duration::from_secs(90), "{received} bytes");
    }
}

#[test]
fn silence_ends_a_connection_and_an_idle_one_lives() {
    let mut sim = Sim::new(6, Path::default(), Path::default());
    let (dialed, accepted) = sim.open();
    let began = sim.now;
    while sim.now - began < Duration::from_secs(600) {
        assert!(sim.step(), "idle connections keep themselves alive");
    }
    assert!(sim.ends[0].connection(dialed).unwrap().is_open());
    assert!(sim.ends[1].connection(accepted).unwrap().is_open());
    sim.directions[0].path.loss = 1_000;
    sim.ends[0].with(dialed, |c| c.write(b"into the void"));
    while sim.ends[0].close_reason(dialed).is_none() {
        assert!(sim.step());
    }
    assert_eq!(sim.ends[0].close_reason(dialed), Some(CloseReason::TimedOut));
    assert!(sim.now - began < Duration::from_secs(800));
}

#[test]
fn a_closed_connection_to_a_dead_end_is_soon_forgotten() {
    let mut sim = Sim::new(9, Path::default(), Path::default());
    let (dialed, _) = sim.open();
    sim.directions[0].path.loss = 1_000;
    sim.ends[0].with(dialed, |c| c.write(b"into the void"));
    let began = sim.now;
    sim.ends[0].release(began, dialed);
    while !sim.ends[0].is_empty() {
        assert!(sim.step());
        sim.flush();
    }
    assert!(sim.now - began < Duration::from_secs(10), "{:?}", sim.now - began);
}

#[test]
fn nobody_answers_a_connect() {
    let mut sim = Sim::new(7, Path { loss: 1_000, ..Path::default() }, Path::default());
    let began = sim.now;
    let dialed = sim.ends[0].connect(sim.now, address(1)).unwrap();
    while sim.ends[0].close_reason(dialed).is_none() {
        assert!(sim.step());
    }
    assert_eq!(sim.ends[0].close_reason(dialed), Some(CloseReason::TimedOut));
    assert_eq!((sim.now - began).as_secs(), 3 + 6 + 12);
}

#[test]
fn an_end_that_has_forgotten_resets_the_other() {
    let mut sim = Sim::new(8, Path::default(), Path::default());
    let (dialed, _) = sim.open();
    sim.ends[1] = Mux::new(Config::default(), Rng::new(99));
    sim.ends[0].with(dialed, |c| c.write(b"anyone there?"));
    while sim.ends[0].close_reason(dialed).is_none() {
        assert!(sim.step());
    }
    assert_eq!(sim.ends[0].close_reason(dialed), Some(CloseReason::Reset));
}
