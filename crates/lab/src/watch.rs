//! Looking on while a claim is measured: samples of who sends to whom, for pictures. Whoever looks
//! only reads, so that what is measured is the same with and without. How pictures are drawn does
//! not live here.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bittorrent::swarm::Swarm;
use machine::dht::Contact as _;
use serde::Serialize;
use sim::observer::{Input, Made};
use sim::{Node, Observer, Simulated, World};

/// Messages of one frame.
pub const HOPS_MAX: usize = 160;
/// Nodes that are shown.
pub const PLACES_MAX: usize = 240;
/// Members of a swarm that are shown.
pub const MEMBERS_MAX: usize = 60;
/// Walks that are followed side by side.
const WALKS: usize = 6;
/// Inputs after which a frame ends, whatever it has seen.
const INPUTS_MAX: u32 = 200_000;
/// Inputs after which anything that happens is followed, if nobody asks for anything.
const QUIET: u32 = 2_000;
/// Least time between two frames of one run: at its beginning, so that a short one is seen, and at
/// most.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// The clock is read after so many inputs.
const LOOK: u32 = 128;

/// A moment of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Frame {
    /// Seconds of virtual time since it began.
    pub at: f64,
    /// What is seen.
    pub scene: Scene,
}

/// What is seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Scene {
    /// Nodes whose identifiers stand on a ring.
    Ring(Walks),
    /// Nodes whose identifiers are the leaves of a tree.
    Tree(Walks),
    /// A swarm.
    Swarm(Exchange),
}

/// Messages that follow from each other. Places are shares of the space of identifiers, from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Walks {
    /// Nodes in all.
    pub nodes: usize,
    /// Where some of them stand.
    pub places: Vec<f32>,
    /// Messages in their order.
    pub hops: Vec<Hop>,
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Hop {
    /// Which walk it belongs to, from 0.
    pub walk: u8,
    /// Where it comes from.
    pub from: f32,
    /// Where it goes.
    pub to: f32,
    /// It does not arrive.
    pub lost: bool,
}

/// Who sends to whom in a swarm.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Exchange {
    /// Members in all.
    pub nodes: usize,
    /// Which share each of the first has.
    pub progress: Vec<f32>,
    /// What flows between those.
    pub flows: Vec<Flow>,
}

/// What one member sends another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// Who sends.
    pub from: u32,
    /// Who receives.
    pub to: u32,
    /// Bytes per second.
    pub rate: u64,
}

/// Who is shown frames.
pub type Viewer = dyn Fn(Frame) + Send + Sync;

/// A viewer, and how often it is shown something.
pub(crate) struct Eye {
    viewer: Arc<Viewer>,
    /// When it is shown something again, and how long it waited for the last.
    next: Mutex<(Instant, Duration)>,
    /// One world at a time is looked at.
    taken: AtomicBool,
}

thread_local! {
    /// Whoever looks at what this thread measures. Claims do not know of it.
    static EYE: RefCell<Option<Arc<Eye>>> = const { RefCell::new(None) };
}

impl Eye {
    pub(crate) fn new(viewer: Arc<Viewer>) -> Arc<Self> {
        let next = Mutex::new((Instant::now(), INTERVAL.0));
        Arc::new(Self { viewer, next, taken: AtomicBool::new(false) })
    }

    /// Lets `eye` look at what this thread does in `work`.
    pub(crate) fn during<T>(eye: Option<&Arc<Self>>, work: impl FnOnce() -> T) -> T {
        struct Restore(Option<Arc<Eye>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                EYE.with_borrow_mut(|current| *current = self.0.take());
            }
        }
        let _restore = Restore(EYE.replace(eye.cloned()));
        work()
    }

    fn is_due(&self) -> bool {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).0 <= Instant::now()
    }

    fn show(&self, frame: Frame) {
        {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            *next = (Instant::now() + next.1, (next.1 * 3 / 2).min(INTERVAL.1));
        }
        (self.viewer)(frame);
    }
}

/// The right to be looked at, until it is dropped.
struct Turn(Arc<Eye>);

impl Turn {
    fn take() -> Option<Self> {
        let eye = EYE.with_borrow(Clone::clone)?;
        (!eye.taken.swap(true, Ordering::Relaxed)).then_some(Self(eye))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Relaxed);
    }
}

/// Shows `world`, in which `nodes` live, to whoever looks on.
pub(crate) fn look_on<M: Simulated>(
    world: &mut World<M>,
    nodes: &[Node],
    scene: fn(Walks) -> Scene,
) {
    let Some(turn) = Turn::take() else { return };
    let step = nodes.len().div_ceil(PLACES_MAX).max(1);
    let places = nodes.iter().step_by(step).map(|&node| place(node)).collect();
    let still = Walks { nodes: nodes.len(), places, hops: Vec::new() };
    let follower = Follower {
        turn,
        scene,
        still: still.clone(),
        seen: still,
        state: State::Waits(0),
        walks: 0,
        awaited: Vec::new(),
        follows: None,
    };
    world.observe(follower);
}

/// Where a node stands.
fn place(node: Node) -> f32 {
    ((node.key().front() >> 104) as u32 as f32) / (1_u32 << 24) as f32
}

/// What a follower is at.
enum State {
    /// For the next frame to be due; inputs since the clock was read.
    Waits(u32),
    /// Inputs of this frame.
    Follows(u32),
}

/// Follows what some commands lead to, message by message.
struct Follower {
    turn: Turn,
    scene: fn(Walks) -> Scene,
    /// A frame without messages.
    still: Walks,
    seen: Walks,
    state: State,
    walks: usize,
    /// Messages of a walk that have not arrived: walk, sender, receiver.
    awaited: Vec<(u8, Node, Node)>,
    /// The walk to which what is made of the present input belongs.
    follows: Option<u8>,
}

impl Follower {
    fn begin_walk(&mut self) -> Option<u8> {
        let walk = self.walks;
        self.walks += 1;
        u8::try_from(walk).ok()
    }

    fn is_over(&self, inputs: u32) -> bool {
        let walked = self.walks == WALKS && self.awaited.is_empty();
        walked || self.seen.hops.len() >= HOPS_MAX || inputs >= INPUTS_MAX
    }

    fn show(&mut self, at: machine::Instant) {
        let seen = std::mem::replace(&mut self.seen, self.still.clone());
        (self.walks, self.follows, self.state) = (0, None, State::Waits(0));
        self.awaited.clear();
        let at = (at - machine::Instant::ZERO).as_secs_f64();
        // Whoever asks for what is its own asks nobody.
        if !seen.hops.is_empty() {
            self.turn.0.show(Frame { at, scene: (self.scene)(seen) });
        }
    }
}

impl<M: Simulated> Observer<M> for Follower {
    fn input(&mut self, at: machine::Instant, node: Node, input: Input<'_, M>) {
        self.follows = None;
        let inputs = match &mut self.state {
            State::Waits(inputs) => {
                *inputs += 1;
                // At the first input as well: a short run is seen once.
                if *inputs % LOOK == 1 && self.turn.0.is_due() {
                    self.state = State::Follows(0);
                }
                return;
            }
            State::Follows(inputs) => {
                *inputs += 1;
                *inputs
            }
        };
        if self.is_over(inputs) {
            self.show(at);
            return;
        }
        self.follows = match input {
            Input::Command { .. } if self.walks < WALKS => self.begin_walk(),
            Input::Message { from, .. } => {
                let is =
                    |(_, sender, receiver): &(u8, Node, Node)| (*sender, *receiver) == (from, node);
                match self.awaited.iter().position(is) {
                    Some(at) => Some(self.awaited.swap_remove(at).0),
                    None if inputs > QUIET && self.walks < WALKS => self.begin_walk(),
                    None => None,
                }
            }
            _ => None,
        };
    }

    fn made(&mut self, _: machine::Instant, node: Node, made: Made<'_, M>) {
        let (Some(walk), Made::Message { to, arrives, .. }) = (self.follows, made) else { return };
        if self.seen.hops.len() < HOPS_MAX {
            let lost = arrives.is_none();
            self.seen.hops.push(Hop { walk, from: place(node), to: place(to), lost });
            if !lost {
                self.awaited.push((walk, node, to));
            }
        }
    }
}

/// Shows a swarm to whoever looks on.
pub(crate) struct SwarmWatch {
    turn: Option<Turn>,
    steps: u32,
}

impl SwarmWatch {
    pub(crate) fn new() -> Self {
        Self { turn: Turn::take(), steps: 0 }
    }

    /// Looks at the members once in a while: `count` of them, each by its number.
    pub(crate) fn look<'a, C: bittorrent::swarm::PeerContact<Host = u32> + 'a>(
        &mut self,
        now: machine::Instant,
        count: u32,
        member: impl Fn(u32) -> &'a Swarm<C>,
    ) {
        let Some(Turn(eye)) = &self.turn else { return };
        self.steps += 1;
        if self.steps % LOOK != 1 || !eye.is_due() {
            return;
        }
        let shown = count.min(MEMBERS_MAX as u32);
        let share = |number| {
            let have = member(number).have()?;
            (!have.is_empty()).then(|| have.count_ones() as f32 / have.len() as f32)
        };
        let progress = (0..shown).map(|number| share(number).unwrap_or(0.0)).collect();
        let mut flows = Vec::new();
        for from in 0..shown {
            for (_, peer) in member(from).peers() {
                let (to, rate) = (peer.contact.host(), peer.upload_rate(now));
                if to < shown && rate > 0 {
                    flows.push(Flow { from, to, rate });
                }
            }
        }
        // The largest, if there are more than can be told apart.
        flows.sort_unstable_by_key(|flow| (std::cmp::Reverse(flow.rate), flow.from, flow.to));
        flows.truncate(HOPS_MAX);
        let exchange = Exchange { nodes: count as usize, progress, flows };
        let at = (now - machine::Instant::ZERO).as_secs_f64();
        eye.show(Frame { at, scene: Scene::Swarm(exchange) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Settings, Size, all, run, run_watched};

    /// What a claim comes to, and what was seen of it.
    fn watched(id: &str) -> Vec<Frame> {
        let claim = all().iter().find(|claim| claim.id == id).expect("a claim");
        let settings = Settings { size: Size::Small, ..Settings::default() };
        let seen = Arc::new(Mutex::new(Vec::new()));
        let viewer = {
            let seen = seen.clone();
            Arc::new(move |frame| seen.lock().expect("unpoisoned").push(frame))
        };
        let alone = run(claim, &settings, &|_, _| ()).expect("runs");
        let looked_at = run_watched(claim, &settings, &|_, _| (), viewer).expect("runs");
        assert_eq!(alone.outcome, looked_at.outcome, "{id} is not what it is unwatched");
        let mut seen = seen.lock().expect("unpoisoned");
        std::mem::take(&mut *seen)
    }

    #[test]
    fn lookups_are_followed_message_by_message() {
        for id in ["chord.path_length.mean", "kademlia.properties.steps"] {
            let frames = watched(id);
            // A frame shows what was said since the last one, which may be a part of each lookup.
            let mut answers = 0;
            for frame in &frames {
                let (Scene::Ring(walks) | Scene::Tree(walks)) = &frame.scene else {
                    panic!("{id}: {frame:?}");
                };
                assert!(walks.places.len() <= PLACES_MAX && walks.hops.len() <= HOPS_MAX);
                let first = walks.hops.first().expect("a message");
                let answered = |hop: &&Hop| (hop.from, hop.walk) == (first.to, first.walk);
                answers += walks.hops.iter().filter(answered).count();
            }
            assert!(answers > 0, "{id}: {} frames", frames.len());
        }
    }

    #[test]
    fn a_swarm_is_seen_as_who_sends_to_whom() {
        let frames = watched("distribution.free_riders");
        let flows = |frame: &Frame| match &frame.scene {
            Scene::Swarm(exchange) => {
                assert!(exchange.progress.len() <= MEMBERS_MAX && exchange.flows.len() <= HOPS_MAX);
                exchange.flows.len()
            }
            other => panic!("{other:?}"),
        };
        assert!(frames.iter().map(flows).sum::<usize>() > 0, "{}", frames.len());
    }
}
