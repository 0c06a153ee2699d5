//! Looking on while a claim is measured: samples of who sends to whom, for pictures. Whoever looks
//! only reads, so that what is measured is the same with and without. How pictures are drawn does
//! not live here.

mod flood;
mod follow;
mod stage;
mod swarm;
mod ways;

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

pub(crate) use flood::Flood;
pub(crate) use follow::look_on;
pub(crate) use stage::{Stage, place};
pub(crate) use swarm::SwarmWatch;
pub(crate) use ways::Ways;

/// Nodes that are shown, beside those that say something.
pub const PLACES_MAX: usize = 240;
/// Pace of frames for somebody's eyes: quick at first, so that a short run is seen.
pub(crate) const FOR_EYES: Pace =
    Pace { first: Duration::from_millis(20), most: Duration::from_millis(500) };
/// The clock is read after so many inputs.
const LOOK: u32 = 128;

/// A moment of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Frame {
    /// Seconds of virtual time since it began; `None` where no time passes.
    pub at: Option<f64>,
    /// What is seen.
    pub scene: Scene,
}

/// What is seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Scene {
    /// Nodes whose identifiers stand on a ring.
    Ring(Walks<f32>),
    /// Nodes whose identifiers are the leaves of a tree.
    Tree(Walks<f32>),
    /// Nodes with zones of a torus: its first two dimensions.
    Torus(Walks<Spot>),
    /// Nodes in groups, side by side.
    Groups(Bands),
    /// Nodes on a ring, laid out flat, and on levels, one above the other.
    Butterfly(Bands),
    /// Neighbours who pass on what they hear: whoever began in the middle, the others the farther
    /// out the later they heard of it. Walk 0 is the question, walk 1 are answers.
    Mesh(Walks<Spot>),
    /// A swarm.
    Swarm(Exchange),
}

/// A place in a square: across and down, from 0 to 1.
pub type Spot = [f32; 2];

/// Messages that follow from each other. Places are shares of the space of identifiers, from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Walks<P> {
    /// Nodes in all.
    pub nodes: usize,
    /// Where some of them stand.
    pub places: Vec<P>,
    /// Messages in their order.
    pub hops: Vec<Hop<P>>,
}

/// Walks among nodes that stand in bands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bands {
    /// How many bands there are.
    pub bands: u32,
    /// What is said.
    #[serde(flatten)]
    pub walks: Walks<Spot>,
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Hop<P> {
    /// Which walk it belongs to, from 0.
    pub walk: u8,
    /// How many messages of its walk went before it, one because of the other.
    pub step: u16,
    /// Where it comes from.
    pub from: P,
    /// Where it goes.
    pub to: P,
    /// It does not arrive.
    pub lost: bool,
}

impl<P: Copy> Hop<P> {
    /// The same between places of another kind; `None` if one of them is not known.
    fn place<Q>(self, place: impl Fn(P) -> Option<Q>) -> Option<Hop<Q>> {
        let Self { walk, step, lost, .. } = self;
        Some(Hop { walk, step, from: place(self.from)?, to: place(self.to)?, lost })
    }
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

/// Least time between two frames of one run.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// At its beginning; it grows by half with each frame.
    first: Duration,
    /// In the end.
    most: Duration,
}

/// A viewer, and how often it is shown something.
pub(crate) struct Eye {
    viewer: Arc<Viewer>,
    most: Duration,
    /// When it is shown something again, and how long it waited for the last.
    next: Mutex<(Instant, Duration)>,
    /// What one thread does is looked at, until nobody there has the right to it any more.
    taken: AtomicBool,
}

thread_local! {
    /// Whoever looks at what this thread measures. Claims do not know of it.
    static EYE: RefCell<Option<Arc<Eye>>> = const { RefCell::new(None) };
    /// The right to be looked at that this thread has.
    static HELD: RefCell<Weak<Held>> = const { RefCell::new(Weak::new()) };
}

impl Eye {
    pub(crate) fn new(viewer: Arc<Viewer>, Pace { first, most }: Pace) -> Arc<Self> {
        let next = Mutex::new((Instant::now(), first));
        Arc::new(Self { viewer, most, next, taken: AtomicBool::new(false) })
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
}

/// The right of a thread to be looked at.
struct Held(Arc<Eye>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Relaxed);
    }
}

/// A share in the right to be looked at, until it is dropped.
#[derive(Clone)]
struct Turn(Rc<Held>);

impl Turn {
    fn take() -> Option<Self> {
        let eye = EYE.with_borrow(Clone::clone)?;
        if let Some(held) = HELD.with_borrow(Weak::upgrade) {
            return Arc::ptr_eq(&held.0, &eye).then_some(Self(held));
        }
        if eye.taken.swap(true, Ordering::Relaxed) {
            return None;
        }
        let held = Rc::new(Held(eye));
        HELD.set(Rc::downgrade(&held));
        Some(Self(held))
    }

    fn is_due(&self) -> bool {
        self.0.0.next.lock().unwrap_or_else(PoisonError::into_inner).0 <= Instant::now()
    }

    fn show(&self, frame: Frame) {
        let eye = &self.0.0;
        {
            let mut next = eye.next.lock().unwrap_or_else(PoisonError::into_inner);
            *next = (Instant::now() + next.1, (next.1 * 3 / 2).min(eye.most));
        }
        (eye.viewer)(frame);
    }
}

/// Seconds since the beginning.
fn seconds(at: machine::Instant) -> f64 {
    (at - machine::Instant::ZERO).as_secs_f64()
}

#[cfg(test)]
mod tests;
