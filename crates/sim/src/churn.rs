//! Nodes that come and go: for how long they stay and stay away, drawn from a distribution or
//! taken from a trace.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::{BinaryHeap, VecDeque};

use machine::{Instant, Rng};

use crate::Node;
use crate::random::{exponential, mix, nanos, rng, weibull};

/// How long something lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Span {
    /// Always as long.
    Constant(Duration),
    /// Exponentially distributed: how long it has lasted says nothing of how long it will.
    Exponential {
        /// The mean.
        mean: Duration,
    },
    /// Weibull distributed; with a shape below 1, as measured of peers, who has stayed long stays
    /// longer.
    Weibull {
        /// The shape.
        shape: f64,
        /// The scale: 63 % are shorter.
        scale: Duration,
    },
}

impl Span {
    /// Draws one.
    pub fn draw(&self, rng: &mut Rng) -> Duration {
        match *self {
            Self::Constant(span) => span,
            Self::Exponential { mean } => exponential(mean, rng),
            Self::Weibull { shape, scale } => weibull(shape, scale, rng),
        }
    }
}

/// A node that comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// `node` goes, without a word unless somebody lets it say one.
    Down {
        /// When.
        at: Instant,
        /// Who.
        node: Node,
    },
    /// `node` comes, as somebody new in its slot.
    Up {
        /// When.
        at: Instant,
        /// Who.
        node: Node,
        /// Somebody who is there then, to join by; `None` if nobody is.
        known: Option<Node>,
    },
}

/// Says who comes and goes, in order of time. What that means is the caller's to do, a little
/// ahead of the world, so that time need not stand still for each change:
///
/// ```
/// # use core::time::Duration;
/// # use sim::{Change, Churn, Settings, Simulated, Span, World};
/// # fn run<M: Simulated>(mut world: World<M>, new: impl Fn() -> M) {
/// let hour = Duration::from_secs(3_600);
/// let nodes: Vec<_> = world.nodes().map(|(node, _)| node).collect();
/// let stay = Span::Exponential { mean: hour };
/// let mut churn = Churn::new(world.seed(), &nodes, stay, Span::Constant(hour / 60));
/// for _ in 0..3_600 {
///     let slice = world.now() + Duration::from_secs(1);
///     while let Some(change) = churn.next_before(slice) {
///         match change {
///             Change::Down { at, node } => world.crash_at(at, node),
///             // Beside `None`, a first command: to join by `known`.
///             Change::Up { at, node, known: _ } => world.start_at(at, node, new(), None),
///         }
///     }
///     world.run_until(slice);
/// }
/// # }
/// ```
pub struct Churn {
    seed: u64,
    spans: Option<(Span, Span)>,
    /// What comes next for each node, by its number.
    next: BinaryHeap<Reverse<(u64, u32)>>,
    trace: VecDeque<(u64, u32, bool)>,
    nodes: Vec<Node>,
    /// Who is up, in no order, and where in it each node is.
    up: Vec<u32>,
    places: Vec<u32>,
    drawn: u32,
}

const DOWN: u32 = u32::MAX;

impl Churn {
    /// Lets `nodes`, which are all up from the beginning, stay for `session` and stay away for
    /// `pause`, again and again.
    #[must_use]
    pub fn new(seed: u64, nodes: &[Node], session: Span, pause: Span) -> Self {
        let mut churn = Self::still(seed, nodes);
        churn.spans = Some((session, pause));
        churn.next = (0..)
            .zip(nodes)
            .map(|(number, _)| {
                let stay = session.draw(&mut churn.draw());
                Reverse((nanos(stay), number))
            })
            .collect();
        churn
    }

    /// Follows a trace: when which of `nodes`, by its place among them, comes (`true`) or goes. All
    /// are up from the beginning. What changes nothing is passed over.
    #[must_use]
    pub fn trace(seed: u64, nodes: &[Node], changes: &[(Instant, usize, bool)]) -> Self {
        let mut churn = Self::still(seed, nodes);
        let known = changes.iter().filter(|(_, node, _)| *node < nodes.len());
        churn.trace = known.map(|(at, node, up)| (at.as_nanos(), *node as u32, *up)).collect();
        churn.trace.make_contiguous().sort_by_key(|(at, ..)| *at);
        churn
    }

    fn still(seed: u64, nodes: &[Node]) -> Self {
        Self {
            seed: mix(seed ^ CHURN),
            spans: None,
            next: BinaryHeap::new(),
            trace: VecDeque::new(),
            nodes: nodes.to_vec(),
            up: (0..nodes.len() as u32).collect(),
            places: (0..nodes.len() as u32).collect(),
            drawn: 0,
        }
    }

    fn draw(&mut self) -> Rng {
        self.drawn = self.drawn.wrapping_add(1);
        rng(self.seed, 0, self.drawn)
    }

    /// How many are up after the last change.
    #[must_use]
    pub fn up(&self) -> usize {
        self.up.len()
    }

    /// The next change, if it comes before `end`.
    pub fn next_before(&mut self, end: Instant) -> Option<Change> {
        loop {
            let (at, number, wanted) = match self.spans {
                Some((session, pause)) => {
                    let Reverse((at, number)) = *self.next.peek()?;
                    if at >= end.as_nanos() {
                        return None;
                    }
                    let up = self.places[number as usize] == DOWN;
                    let span = if up { session } else { pause };
                    let after = nanos(span.draw(&mut self.draw())).max(1);
                    self.next.pop();
                    self.next.push(Reverse((at.saturating_add(after), number)));
                    (at, number, up)
                }
                None => {
                    let next = *self.trace.front()?;
                    if next.0 >= end.as_nanos() {
                        return None;
                    }
                    self.trace.pop_front();
                    next
                }
            };
            let at = Instant::from_nanos(at);
            let place = self.places[number as usize];
            if wanted && place == DOWN {
                let known = self.draw().pick(&self.up).map(|known| self.nodes[*known as usize]);
                let node = self.nodes[number as usize].next();
                self.nodes[number as usize] = node;
                self.places[number as usize] = self.up.len() as u32;
                self.up.push(number);
                return Some(Change::Up { at, node, known });
            }
            if !wanted && place != DOWN {
                self.up.swap_remove(place as usize);
                if let Some(moved) = self.up.get(place as usize) {
                    self.places[*moved as usize] = place;
                }
                self.places[number as usize] = DOWN;
                return Some(Change::Down { at, node: self.nodes[number as usize] });
            }
        }
    }
}

const CHURN: u64 = 0x510e_527f_ade6_82d1;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn nodes(count: u32) -> Vec<Node> {
        (0..count).map(|slot| Node::new(slot, 7)).collect()
    }

    #[test]
    fn nodes_go_come_back_anew_and_know_somebody_who_is_there() {
        let hour = Duration::from_secs(3_600);
        let half = Span::Weibull { shape: 0.5, scale: hour / 4 };
        for session in [Span::Exponential { mean: hour / 2 }, half, Span::Constant(hour / 2)] {
            let nodes = nodes(1_000);
            let mut up: BTreeSet<_> = nodes.iter().copied().collect();
            let mut churn = Churn::new(1, &nodes, session, Span::Exponential { mean: hour / 2 });
            let (mut last, mut changes) = (Instant::ZERO, 0);
            let end = Instant::ZERO + 20 * hour;
            while let Some(change) = churn.next_before(end) {
                let (Change::Down { at, .. } | Change::Up { at, .. }) = change;
                assert!(at >= last && at < end);
                last = at;
                changes += 1;
                match change {
                    Change::Down { node, .. } => assert!(up.remove(&node)),
                    Change::Up { node, known, .. } => {
                        assert!(known.is_none_or(|known| up.contains(&known)));
                        assert!(up.insert(node));
                    }
                }
                assert_eq!(up.len(), churn.up());
            }
            // Half of the time up, and a change each half hour.
            assert!((430..570).contains(&up.len()), "{session:?}: {}", up.len());
            assert!((36_000..44_000).contains(&changes), "{session:?}: {changes}");
        }
    }

    #[test]
    fn traces_are_followed_in_order() {
        let nodes = nodes(2);
        let at = Instant::from_nanos;
        let changes = [(at(9), 0, true), (at(5), 0, false), (at(7), 0, false), (at(8), 9, true)];
        let mut churn = Churn::trace(1, &nodes, &changes);
        let (node, known) = (nodes[0].next(), Some(nodes[1]));
        assert_eq!(churn.next_before(at(5)), None);
        assert_eq!(churn.next_before(at(99)), Some(Change::Down { at: at(5), node: nodes[0] }));
        assert_eq!(churn.next_before(at(99)), Some(Change::Up { at: at(9), node, known }));
        assert_eq!(churn.next_before(at(99)), None);
    }
}
