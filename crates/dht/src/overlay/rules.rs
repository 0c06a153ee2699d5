//! What may be chosen about a node of any overlay. What one kind of overlay adds is in its own
//! configuration.

use core::time::Duration;

/// Most nodes that are named in one answer.
pub const LIST_MAX: usize = 8;

/// How a node behaves, whatever the overlay.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Nodes that hold each value, 1 to [`LIST_MAX`].
    pub replicas: usize,
    /// Least and greatest time between two rounds of upkeep, drawn uniformly each time; `None`
    /// for no upkeep at all.
    pub tick: Option<(Duration, Duration)>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How often a request is sent before its target is taken for dead; at least 1.
    pub attempts: u8,
    /// Most requests that one lookup sends.
    pub lookup_requests_max: u16,
    /// Most silent nodes that one lookup passes over.
    pub lookup_timeouts_max: u16,
    /// Of how many nodes that say who is responsible the holders are asked for a value before it is
    /// given up.
    pub get_tries: u8,
    /// Most requests that one node has outstanding; commands beyond fail at once.
    pub outstanding_max: usize,
    /// Most values that a node stores.
    pub values_max: usize,
    /// How long a value lives after it was put; putting it again renews it.
    pub lifetime: Duration,
    /// Most keys that a tick compares with the other nodes that should hold them.
    pub repair_keys: usize,
    /// How long a copy that nobody confirms stays before it is brought to whoever is responsible.
    pub orphan_after: Duration,
    /// How long a leaving node tries to hand over what it holds.
    pub leave_within: Duration,
    /// Whether copies are never repaired: a defect for tests.
    #[doc(hidden)]
    pub never_repairs: bool,
    /// Whether a value is put under the first of its names alone: a defect for tests.
    #[doc(hidden)]
    pub puts_under_one_name: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            replicas: 3,
            tick: Some((Duration::from_secs(4), Duration::from_secs(6))),
            timeout: Duration::from_millis(500),
            attempts: 3,
            lookup_requests_max: 2_048,
            lookup_timeouts_max: 32,
            get_tries: 2,
            outstanding_max: 256,
            values_max: 65_536,
            lifetime: Duration::from_secs(24 * 3_600),
            repair_keys: 16,
            orphan_after: Duration::from_secs(60),
            leave_within: Duration::from_secs(10),
            never_repairs: false,
            puts_under_one_name: false,
        }
    }
}

impl Rules {
    /// For small networks of people who wait: upkeep about once a second.
    #[must_use]
    pub fn responsive() -> Self {
        Self {
            tick: Some((Duration::from_millis(500), Duration::from_millis(1_500))),
            repair_keys: 64,
            orphan_after: Duration::from_secs(10),
            ..Self::default()
        }
    }

    /// For experiments on tables that stand: nothing is kept up, and nothing is repaired.
    #[must_use]
    pub fn standing() -> Self {
        Self { tick: None, ..Self::default() }
    }

    /// Copies of each value, within their limits.
    pub(crate) fn replicas(&self) -> usize {
        self.replicas.clamp(1, LIST_MAX)
    }
}
