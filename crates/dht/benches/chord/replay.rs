//! The dynamic ring beside a bare timing wheel. A first run is watched: which inputs come when, and
//! what each of them leads to. Then the same run is timed as a [`World`](sim::World), and its
//! schedule is timed on a wheel that knows no protocol.
//!
//! The same memory touches are these. There is an arena with an element as large as a node's slot
//! of the world for each node. An input reads every line of its node's element, as the world brings
//! all of them near, and writes the first. A message is written in its full size into a pool when it
//! is sent, and read and freed when it arrives. What machines have on the heap is taken there, filled,
//! read and given back by the same inputs in the same sizes (`heap`). An entry is as large as one of
//! the world. Not done again: the memory of events. In return the wheel reads, in order, what it is
//! to do next: 16 bytes for each entry that it is given, and 8 for each use of the heap.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant as Clock;

use super::heap::{self, Heap, Use, Uses};
use dht::chord::{Chord, Message};
use machine::Instant;
use sim::observer::{Input, Made};
use sim::{Node, Observer};

use super::{Ring, Run, cpu_seconds};

type Machine = Chord<Node>;

/// Words in a line of the cache.
const LINE: usize = 8;
/// Bytes of a slot of the world besides the machine.
const SLOT: usize = 16;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A message that asks or tells something.
    Request,
    /// A message that answers.
    Answer,
    /// A timer, a command, or the beginning of a node.
    Own,
    /// What finds nobody there, or nobody who waits for it.
    Lost,
}

/// Something that is to happen.
#[derive(Clone, Copy)]
struct Entry {
    time: u64,
    slot: u32,
    kind: Kind,
}

/// How often at most an input uses the heap, on average.
const USES_MAX: usize = 6;

/// What happened in a run.
#[derive(Default)]
struct Record {
    /// When and to whom.
    inputs: Vec<(u64, u32)>,
    /// How many entries each led to.
    counts: Vec<u8>,
    made: Vec<Entry>,
    /// Inputs that nothing in the record led to.
    given: Vec<Entry>,
    kinds: Vec<Kind>,
    /// How much was known of the heap when each came.
    marks: Vec<usize>,
}

fn kind(message: &Message<Node>) -> Kind {
    if message.is_answer() { Kind::Answer } else { Kind::Request }
}

impl Observer<Machine> for Record {
    fn input(&mut self, at: Instant, node: Node, input: Input<'_, Machine>) {
        self.marks.push(heap::watch(false));
        self.inputs.push((at.as_nanos(), node.slot()));
        self.counts.push(0);
        self.kinds.push(match input {
            Input::Message { message, .. } => kind(message),
            _ => Kind::Own,
        });
        heap::watch(true);
    }

    fn made(&mut self, _: Instant, node: Node, made: Made<'_, Machine>) {
        heap::watch(false);
        self.note(node, made);
        heap::watch(true);
    }
}

impl Record {
    fn note(&mut self, node: Node, made: Made<'_, Machine>) {
        let entry = match made {
            Made::Message { to, message, arrives: Some(at) } => {
                Entry { time: at.as_nanos(), slot: to.slot(), kind: kind(message) }
            }
            Made::Timer { at, .. } => {
                Entry { time: at.as_nanos(), slot: node.slot(), kind: Kind::Own }
            }
            _ => return,
        };
        // What was made before the record began, by nodes that start, belongs to nobody.
        if let Some(count) = self.counts.last_mut() {
            *count += 1;
            self.made.push(entry);
        }
    }

    /// Finds out which entries found nobody, and which inputs nothing led to.
    fn settle(&mut self, end: u64) {
        let mut order: Vec<u32> = (0..self.made.len() as u32).collect();
        order.retain(|at| self.made[*at as usize].time <= end);
        order.sort_unstable_by_key(|at| {
            let Entry { time, slot, .. } = self.made[*at as usize];
            (time, slot)
        });
        let mut made = order.into_iter().peekable();
        for (input, kind) in self.inputs.iter().zip(&self.kinds) {
            let mut is_given = true;
            while let Some(at) = made.peek().copied() {
                let entry = &mut self.made[at as usize];
                match (entry.time, entry.slot).cmp(input) {
                    core::cmp::Ordering::Less => entry.kind = Kind::Lost,
                    core::cmp::Ordering::Equal => is_given = false,
                    core::cmp::Ordering::Greater => break,
                }
                made.next();
                if !is_given {
                    break;
                }
            }
            if is_given {
                self.given.push(Entry { time: input.0, slot: input.1, kind: *kind });
            }
        }
        made.for_each(|at| self.made[at as usize].kind = Kind::Lost);
    }
}

/// What waits in the wheel.
#[derive(Clone, Copy)]
struct Waiting {
    time: u64,
    slot: u32,
    /// Of the message in the pool; of nothing, for what is no message.
    message: u32,
    kind: Kind,
    /// For who sent it and which of what it sent, which order what is at one time.
    _rest: [u32; 2],
}

const _: () = assert!(size_of::<Waiting>() == 32, "as large as an entry of the world");

/// Buckets of a millisecond in a round of 512, and rounds.
const GRAIN: u32 = 20;
const ROUND: u32 = GRAIN + 9;
const ROUNDS: usize = 256;

struct Wheel {
    near: Vec<Vec<Waiting>>,
    far: Vec<Vec<Waiting>>,
    round: u64,
}

impl Wheel {
    fn push(&mut self, entry: Waiting) {
        let round = entry.time >> ROUND;
        if round == self.round {
            let buckets = self.near.len();
            self.near[(entry.time >> GRAIN) as usize % buckets].push(entry);
        } else {
            let rounds = self.far.len();
            self.far[round as usize % rounds].push(entry);
        }
    }
}

/// Memory as large as the world's.
struct Memory {
    /// Words of an element.
    stride: usize,
    nodes: Vec<u64>,
    messages: Vec<[u64; MESSAGE]>,
    free: Vec<u32>,
    /// Of all that was read, so that it is read.
    sum: u64,
}

const MESSAGE: usize = size_of::<Message<Node>>().div_ceil(8);
const NO_MESSAGE: u32 = u32::MAX;

impl Memory {
    fn send(&mut self, entry: Entry) -> Waiting {
        let mut message = NO_MESSAGE;
        if entry.kind != Kind::Own {
            let content = [entry.time ^ self.sum; MESSAGE];
            message = match self.free.pop() {
                Some(at) => {
                    self.messages[at as usize] = content;
                    at
                }
                None => {
                    self.messages.push(content);
                    self.messages.len() as u32 - 1
                }
            };
        }
        Waiting { time: entry.time, slot: entry.slot, message, kind: entry.kind, _rest: [0; 2] }
    }

    fn touch(&mut self, entry: Waiting) {
        let Waiting { slot, message, .. } = entry;
        if let Some(content) = self.messages.get(message as usize) {
            self.sum = content.iter().fold(self.sum, |sum, word| sum.wrapping_add(*word));
            self.free.push(message);
        }
        let first = slot as usize * self.stride;
        let element = &mut self.nodes[first..first + self.stride];
        for line in element.chunks(LINE) {
            self.sum = self.sum.wrapping_add(line[0]);
        }
        element[0] += 1;
    }

    fn prefetch(&self, entry: &Waiting) {
        let first = self.nodes.as_ptr().wrapping_add(entry.slot as usize * self.stride);
        for at in (0..self.stride).step_by(LINE) {
            heap::prefetch(first.wrapping_add(at).cast());
        }
        let message = self.messages.as_ptr().wrapping_add(entry.message as usize);
        heap::prefetch(message.cast());
    }
}

/// How far ahead memory is asked for.
const AHEAD: usize = 12;

/// Where one is in the uses of the heap.
struct Place<'a> {
    counts: core::slice::Iter<'a, u16>,
    uses: core::slice::Iter<'a, Use>,
}

impl<'a> Place<'a> {
    fn new(uses: &'a Uses) -> Self {
        Self { counts: uses.counts.iter(), uses: uses.list.iter() }
    }

    /// What the next input does.
    fn next(&mut self) -> &'a [Use] {
        let count = self.counts.next().map_or(0, |count| usize::from(*count));
        let (next, rest) = self.uses.as_slice().split_at(count);
        self.uses = rest.iter();
        next
    }
}

/// Replays a record up to `end`; seconds of CPU time, and how many entries came out.
fn replay(record: &Record, uses: &Uses, slots: usize, end: u64) -> (f64, u64) {
    let stride = (SLOT + size_of::<Machine>()).div_ceil(8);
    let mut memory = Memory {
        stride,
        nodes: vec![1; slots * stride],
        messages: Vec::new(),
        free: Vec::new(),
        sum: 0,
    };
    let begin = record.inputs.first().map_or(0, |input| input.0);
    let mut wheel = Wheel {
        near: vec![Vec::new(); 1 << (ROUND - GRAIN)],
        far: vec![Vec::new(); ROUNDS],
        round: begin >> ROUND,
    };
    for entry in &record.given {
        let entry = memory.send(*entry);
        wheel.push(entry);
    }
    let (mut inputs, mut made) = (record.counts.iter(), record.made.iter());
    let mut heap = Heap::new(uses);
    let (mut now, mut near, mut far) = (Place::new(uses), Place::new(uses), Place::new(uses));
    let mut taken = 0;
    let cpu = cpu_seconds();
    'all: loop {
        for at in 0..wheel.near.len() {
            let mut bucket = core::mem::take(&mut wheel.near[at]);
            bucket.sort_unstable_by_key(|entry| (entry.time, entry.slot));
            let is_input = |entry: &&Waiting| entry.kind != Kind::Lost;
            for _ in bucket.iter().take(2 * AHEAD).filter(is_input) {
                far.next().iter().for_each(|one| heap.look_up(*one));
            }
            for entry in bucket.iter().take(AHEAD) {
                memory.prefetch(entry);
                if is_input(&entry) {
                    near.next().iter().for_each(|one| heap.bring_near(*one));
                }
            }
            for (at, entry) in bucket.iter().enumerate() {
                if entry.time > end {
                    break 'all;
                }
                if bucket.get(at + 2 * AHEAD).filter(is_input).is_some() {
                    far.next().iter().for_each(|one| heap.look_up(*one));
                }
                if let Some(next) = bucket.get(at + AHEAD) {
                    memory.prefetch(next);
                    if is_input(&next) {
                        near.next().iter().for_each(|one| heap.bring_near(*one));
                    }
                }
                memory.touch(*entry);
                taken += 1;
                if entry.kind == Kind::Lost {
                    continue;
                }
                now.next().iter().for_each(|one| heap.act(*one));
                for _ in 0..inputs.next().copied().unwrap_or(0) {
                    if let Some(entry) = made.next() {
                        let entry = memory.send(*entry);
                        wheel.push(entry);
                    }
                }
            }
            bucket.clear();
            wheel.near[at] = bucket;
        }
        wheel.round += 1;
        if wheel.round << ROUND > end {
            break;
        }
        let round = wheel.round as usize % wheel.far.len();
        let mut bucket = core::mem::take(&mut wheel.far[round]);
        bucket.drain(..).for_each(|entry| wheel.push(entry));
        wheel.far[round] = bucket;
    }
    std::hint::black_box((memory.sum, heap));
    (cpu_seconds() - cpu, taken)
}

/// Times a ring and its schedule on a bare wheel, and prints both and how they compare.
pub(super) fn print(run: Run) {
    let run = Run { threads: 1, ..run };
    let record = Rc::new(RefCell::new(Record::default()));
    let mut ring = Ring::new(run);
    ring.warm_up();
    ring.world.observe(record.clone());
    heap::prepare(run.nodes * run.seconds as usize * USES_MAX);
    (0..run.seconds).for_each(|_| ring.pass_second());
    heap::watch(false);
    let end = ring.world.now().as_nanos();
    let hash = ring.world.trace_hash();
    drop(ring);

    let mut ring = Ring::new(run);
    ring.warm_up();
    let (counts, cpu, began) = (ring.world.counts(), cpu_seconds(), Clock::now());
    (0..run.seconds).for_each(|_| ring.pass_second());
    let (cpu, wall) = (cpu_seconds() - cpu, began.elapsed());
    assert_eq!(ring.world.trace_hash(), hash, "the run that was recorded");
    let messages = ring.world.counts().delivered - counts.delivered;
    let timers = ring.world.counts().timers - counts.timers;
    drop(ring);

    let mut record = record.borrow_mut();
    record.settle(end);
    let whose: Vec<u32> = record.inputs.iter().map(|input| input.1).collect();
    let holds: Vec<bool> =
        record.kinds.iter().map(|kind| matches!(kind, Kind::Answer | Kind::Own)).collect();
    let uses = Uses::read(&record.marks, &whose, &holds);
    let slots = run.nodes + run.comers() * run.seconds as usize;
    let (bare, taken) = replay(&record, &uses, slots, end);
    println!(
        "{{\"nodes\":{},\"simulated_s\":{},\"messages\":{messages},\"timers\":{timers},\
         \"inputs\":{},\"lost\":{},\"heap_uses\":{},\"world_cpu_s\":{cpu:.2},\"world_wall_s\":{:.2},\
         \"bare_cpu_s\":{bare:.2},\"world_messages_per_cpu_s\":{:.0},\
         \"bare_messages_per_cpu_s\":{:.0},\"ratio\":{:.3}}}",
        run.nodes,
        run.seconds,
        record.inputs.len(),
        taken - record.inputs.len() as u64,
        uses.list.len(),
        wall.as_secs_f64(),
        messages as f64 / cpu,
        messages as f64 / bare,
        bare / cpu,
    );
}
