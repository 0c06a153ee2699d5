//! What the claims about Pastry and Tapestry share: nodes on a plane, and ways through their tables.

use std::time::Duration;

use machine::dht::Key;
use machine::{Instant, Rng};
use sim::{Latency, Node};

/// A side of the plane, as time. Round trips across it stay well below the patience of a node.
pub(super) const SIDE: Duration = Duration::from_millis(100);

/// Nodes at random points of a square.
pub(super) const fn plane() -> Latency {
    Latency::Plane { least: Duration::ZERO, side: SIDE }
}

/// How far two nodes are apart, in nanoseconds one way.
pub(super) fn distance(plane: &Latency, one: Node, other: Node) -> f64 {
    plane.delay(one, other, &mut Rng::new(0)).as_nanos() as f64
}

/// The round trip between two nodes, in microseconds.
pub(super) fn round_trip(plane: &Latency, one: Node, other: Node) -> u32 {
    (distance(plane, one, other) / 500.0) as u32
}

/// The length of a way.
pub(super) fn length(plane: &Latency, way: &[Node]) -> f64 {
    way.windows(2).map(|step| distance(plane, step[0], step[1])).sum()
}

/// A key of no node.
pub(super) fn random_key(rng: &mut Rng) -> Key {
    Key::new(u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()), rng.next_u32())
}

/// The nearest of some nodes that are drawn from `there`, for a newcomer to join by.
pub(super) fn nearby(plane: &Latency, there: &[Node], to: Node, rng: &mut Rng) -> Option<Node> {
    const DRAWN: usize = 64;
    let drawn = (0..DRAWN.min(there.len())).filter_map(|_| rng.pick(there).copied());
    drawn.min_by(|&one, &other| distance(plane, to, one).total_cmp(&distance(plane, to, other)))
}

/// A moment so long after the beginning.
pub(super) fn after(span: Duration) -> Instant {
    Instant::ZERO + span
}
