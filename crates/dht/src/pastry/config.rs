//! What may be chosen about a Pastry node, with the choices of the paper.

use crate::overlay::Rules;

/// Most leaves that a node keeps.
pub const LEAVES_MAX: usize = 32;

/// A defect that tests plant to show that they would find it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Take nobody into the leaf set who stands before this node.
    OneSided,
    /// Pass lookups on to anybody.
    AnyHop,
    /// Never ask leaves for theirs.
    StaleLeaves,
}

/// How a node behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it shares with other overlays. Copies are on the leaf set.
    pub rules: Rules,
    /// Bits of a digit, `b`.
    pub bits: u8,
    /// Leaves, `|L|`: half of them before the node and half after it; 2 to [`LEAVES_MAX`].
    pub leaves: usize,
    /// Nodes of the neighbourhood set, `|M|`.
    pub neighbours: usize,
    /// The second stage of joining: from how many entries of each row a new node takes their row.
    /// With 0 there is none.
    pub second_stage: usize,
    /// And from how many of its neighbourhood set it takes their tables (section 2.5).
    pub second_neighbours: usize,
    /// Every how many ticks a node asks somebody of its table for a row; 0 for never. Entries that
    /// have failed are replaced by it, and by nearer ones.
    pub rows_every: u32,
    /// Every how many ticks a node walks to its own place by way of somebody it began with or has
    /// lost, so that parts that were cut off from each other grow together again; 0 for never.
    pub merge_every: u32,
    /// Whether hops are chosen at random among those that lead on, rather than the best.
    pub randomised: bool,
    /// For tests only.
    #[doc(hidden)]
    pub fault: Option<Fault>,
}

impl Default for Config {
    /// Digits of 4 bits, 16 leaves and 32 neighbours, as in the paper's experiments.
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            bits: 4,
            leaves: 16,
            neighbours: 32,
            second_stage: 4,
            second_neighbours: 8,
            rows_every: 4,
            merge_every: 8,
            randomised: false,
            fault: None,
        }
    }
}

impl Config {
    /// For small networks of people who wait.
    #[must_use]
    pub fn responsive() -> Self {
        Self { rules: Rules::responsive(), ..Self::default() }
    }

    /// Leaves on one side, within their limits.
    pub(super) fn half(&self) -> usize {
        (self.leaves / 2).clamp(1, LEAVES_MAX / 2)
    }

    /// Whether tests have planted `fault`.
    pub(super) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}
