//! What may be chosen about a CAN node, with the options of the paper.

use core::time::Duration;

use super::zone::DIMENSIONS_MAX;
use crate::overlay::Rules;

/// Most hash functions of a key.
pub const HASHES_MAX: usize = 8;

/// A defect that tests plant to show that they would find it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Never take over the zones of the dead, nor what nobody is found at.
    NoTakeover,
    /// Go on claiming what somebody else has won.
    KeepLost,
    /// Never look for who is behind a face where nobody is known.
    NoGapSearch,
    /// Never merge zones, nor bring them to where they merge.
    NoMerge,
}

/// How a node behaves. All nodes of a network have the same `dimensions`.
#[derive(Clone, Debug)]
pub struct Config {
    /// What all overlays share.
    pub rules: Rules,
    /// Dimensions `d` of the torus, 1 to [`DIMENSIONS_MAX`].
    pub dimensions: usize,
    /// Whether a joiner is sent on to the largest zone beside the one that it hit.
    pub uniform_partition: bool,
    /// Whether lookups go where they gain most for the time that a step takes, rather than where
    /// they gain most.
    pub rtt_weighted: bool,
    /// Hash functions of a key, 1 to [`HASHES_MAX`]: each gives it another point at which its value
    /// lies, and a get goes to the nearest (section 3.5).
    pub hashes: usize,
    /// How long a neighbour may be silent.
    pub expiry: Duration,
    /// How long a neighbour waits for each one that goes before it in taking over a zone.
    pub takeover_step: Duration,
    /// For tests only.
    #[doc(hidden)]
    pub fault: Option<Fault>,
}

impl Default for Config {
    /// Two dimensions, as in the paper's examples.
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            dimensions: 2,
            uniform_partition: true,
            rtt_weighted: false,
            hashes: 1,
            expiry: Duration::from_secs(20),
            takeover_step: Duration::from_secs(6),
            fault: None,
        }
    }
}

impl Config {
    /// For small networks of people who wait: upkeep about once a second.
    #[must_use]
    pub fn responsive() -> Self {
        Self {
            rules: Rules::responsive(),
            expiry: Duration::from_secs(5),
            takeover_step: Duration::from_millis(1_500),
            ..Self::default()
        }
    }

    pub(super) fn dimensions(&self) -> usize {
        self.dimensions.clamp(1, DIMENSIONS_MAX)
    }

    pub(super) fn hashes(&self) -> usize {
        self.hashes.clamp(1, HASHES_MAX)
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}
