//! What may be chosen about a CAN node, with the options of the paper.

use core::time::Duration;

use super::zone::{DIMENSIONS_MAX, REALITIES_MAX, Zone};
use crate::overlay::{LIST_MAX, Rules};

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
    /// Never get into a reality again after all there was lost.
    FirstRealityOnly,
    /// Store values in the first reality alone.
    OneHolder,
    /// Let joiners in without end, and never split a zone.
    Crowds,
    /// Never hear of those who share its zone from others of them.
    ForgetsPeers,
}

/// How a node behaves. All nodes of a network have the same `dimensions`, `realities` and `zone_peers`.
#[derive(Clone, Debug)]
pub struct Config {
    /// What all overlays share.
    pub rules: Rules,
    /// Dimensions `d` of the torus, 1 to [`DIMENSIONS_MAX`].
    pub dimensions: usize,
    /// Tori `r` in each of which a node has a zone and every key a holder, 1 to [`REALITIES_MAX`]
    /// (section 3.2). A lookup goes by whichever brings it nearest.
    pub realities: usize,
    /// Nodes that share a zone before it is split, 1 to [`LIST_MAX`] (MAXPEERS in section 3.4). Of
    /// those in a zone beside its own a node knows the nearest.
    pub zone_peers: usize,
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
            realities: 1,
            zone_peers: 1,
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

    pub(super) fn realities(&self) -> usize {
        self.realities.clamp(1, REALITIES_MAX)
    }

    /// All realities, by their numbers.
    pub(super) fn all_realities(&self) -> core::ops::Range<u8> {
        0..self.realities() as u8
    }

    pub(super) fn zone_peers(&self) -> usize {
        self.zone_peers.clamp(1, LIST_MAX)
    }

    /// Whether several nodes may have the same zone.
    pub(super) fn shares_zones(&self) -> bool {
        self.zone_peers() > 1
    }

    /// Whether whoever has one of these zones is to know whoever has the other.
    pub(super) fn joins(&self, one: Zone, other: Zone) -> bool {
        self.shares_zones() && one == other || one.touches(other, self.dimensions()).is_some()
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}
