//! What is wrong with a network: cuts between nodes, slow nodes, nodes that lie.

use core::fmt;
use core::ops::Range;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use machine::{DatagramMachine, Instant, Rng};

use crate::Node;

/// For some time, messages between some nodes are lost.
#[derive(Clone)]
pub struct Cut {
    during: Range<Instant>,
    severs: Arc<dyn Fn(Node, Node) -> bool + Send + Sync>,
}

impl Cut {
    /// Loses messages sent `during` this time for which `severs` is true of sender and receiver.
    pub fn one_way(
        during: Range<Instant>,
        severs: impl Fn(Node, Node) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { during, severs: Arc::new(severs) }
    }

    /// A partition: nodes hear only those of the same side.
    pub fn between<S: PartialEq>(
        during: Range<Instant>,
        side: impl Fn(Node) -> S + Send + Sync + 'static,
    ) -> Self {
        Self::one_way(during, move |from, to| side(from) != side(to))
    }

    pub(crate) fn severs(&self, now: Instant, from: Node, to: Node) -> bool {
        self.during.contains(&now) && (self.severs)(from, to)
    }

    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.during.end <= now
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cut").field("during", &self.during).finish_non_exhaustive()
    }
}

/// Rewrites what a node sends, to this receiver; `false` keeps it from being sent at all.
pub(crate) type Lie<M> =
    Box<dyn Fn(Node, &mut <M as DatagramMachine>::Message, &mut Rng) -> bool + Send + Sync>;

/// All that is wrong.
pub(crate) struct Faults<M: DatagramMachine> {
    pub(crate) cuts: Vec<Cut>,
    pub(crate) liars: HashMap<Node, Lie<M>>,
    pub(crate) slow: HashMap<Node, Duration>,
}

impl<M: DatagramMachine> Default for Faults<M> {
    fn default() -> Self {
        Self { cuts: Vec::new(), liars: HashMap::new(), slow: HashMap::new() }
    }
}
