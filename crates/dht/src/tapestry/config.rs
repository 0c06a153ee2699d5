//! What may be chosen about a Tapestry node, with the choices of the paper.

use core::time::Duration;

use crate::overlay::Rules;

/// A defect that tests plant to show that they would find it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Where nobody has a digit, take the one before it rather than the next, at every other node.
    EitherWay,
    /// Resolve a digit without counting it.
    NoProgress,
    /// Publish only once.
    NoRepublish,
    /// Never hear of those who fill holes: neither by rows nor by walks.
    StaleTable,
    /// Bring copies to whomever the root names, dead or not.
    BelievesRoots,
}

/// How a node behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it shares with other overlays.
    pub rules: Rules,
    /// Bits of a digit.
    pub bits: u8,
    /// Contacts in a slot beside the primary.
    pub backups: usize,
    /// Values that are published at each tick.
    pub publish_keys: usize,
    /// How long a pointer lives at least that is not published again.
    pub pointer_life: Duration,
    /// Every how many ticks a node asks somebody of its table for a row; 0 for never.
    pub rows_every: u32,
    /// Nodes of such a row that are measured although their slots are full.
    pub rivals: usize,
    /// Every how many ticks a node walks to its own place by way of somebody it began with or has
    /// lost; 0 for never.
    pub merge_every: u32,
    /// For tests only.
    #[doc(hidden)]
    pub fault: Option<Fault>,
}

impl Default for Config {
    /// Digits of 4 bits and two backups, as in the paper.
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            bits: 4,
            backups: 2,
            publish_keys: 16,
            pointer_life: Duration::from_secs(60),
            rows_every: 1,
            rivals: 4,
            merge_every: 8,
            fault: None,
        }
    }
}

impl Config {
    /// For small networks of people who wait.
    #[must_use]
    pub fn responsive() -> Self {
        let rules = Rules::responsive();
        Self { rules, pointer_life: Duration::from_secs(10), publish_keys: 64, ..Self::default() }
    }

    /// Whether tests have planted `fault`.
    pub(super) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}
