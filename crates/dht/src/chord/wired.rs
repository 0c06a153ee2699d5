//! Nodes whose tables are exact from the beginning, for experiments on rings that stand. Not here:
//! how tables become exact by themselves.

use alloc::sync::Arc;

use machine::dht::Contact;

use super::config::{Config, Routing};
use super::position::{BITS, Position, position};
use super::{Chord, Status};

impl<C: Contact> Chord<C> {
    /// The node at `index` of the ring that consists of `ring`, which is in the order of the
    /// [`Position`]s: a member with exact predecessor, successors and fingers.
    ///
    /// # Panics
    /// If `index` is not within `ring`.
    #[must_use]
    pub fn wired(ring: &[C], index: usize, config: Arc<Config>) -> Self {
        let me = ring[index];
        let here = position(me);
        let mut node = Self::new(me, config);
        node.status = Status::Member;
        let others = ring.len() - 1;
        if others == 0 {
            return node;
        }
        let nth = |distance: usize| ring[(index + distance) % ring.len()];
        node.predecessor = Some(nth(others));
        node.predecessor_heard = true;
        let rest: alloc::vec::Vec<_> =
            (2..=others.min(node.config.successors())).map(nth).collect();
        let limit = node.config.successors();
        node.successors.adopt(me, nth(1), &rest, limit);
        if node.config.routing == Routing::Successor {
            return node;
        }
        // Each finger's span is searched once; all before it are nearer.
        let mut exponent = 0;
        let mut from = 1;
        while exponent < BITS {
            from = first_at(ring, index, from, here, 1 << exponent);
            if from > others {
                break;
            }
            node.fingers.push(nth(from));
            exponent = here.to(position(nth(from))).ilog2() + 1;
        }
        node
    }
}

/// How many steps from `index` the first node stands that is at least `distance` from `here`,
/// `from` or more; the ring's length if there is none. Interpolates, as places are even.
fn first_at<C: Contact>(
    ring: &[C],
    index: usize,
    from: usize,
    here: Position,
    distance: u128,
) -> usize {
    let away = |step: usize| here.to(position(ring[(index + step) % ring.len()]));
    let (mut low, mut high) = (from, ring.len());
    let even = (distance >> 64) as f64 / (u64::MAX as f64) * ring.len() as f64;
    let mut probe = (even as usize).clamp(low, high.saturating_sub(1));
    let mut width = (even as usize).isqrt() / 2 + 1;
    // Close in from the guess in growing steps, then halve.
    while low < high {
        if away(probe) < distance {
            low = probe + 1;
            if probe + width >= high {
                break;
            }
            probe += width;
        } else {
            high = probe;
            if low + width >= probe {
                break;
            }
            probe -= width;
        }
        width *= 2;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if away(middle) < distance {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
