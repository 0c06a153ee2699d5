//! What may be chosen about a Viceroy node.

use core::time::Duration;

use crate::overlay::Rules;

/// Longest successor list.
pub const SUCCESSORS_MAX: usize = 8;

/// A defect that tests plant to show that they would find it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Never learn what the successor's neighbours are after joining.
    NoStabilise,
    /// Take links of any level.
    AnyLevel,
    /// Keep links that are to be replaced beside the new ones.
    KeepLinks,
    /// Never look for those who were lost.
    NoMerge,
}

/// How a node behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// What all overlays share.
    pub rules: Rules,
    /// Length of the successor list, 1 to [`SUCCESSORS_MAX`]: the first is a link, the others only
    /// stand in for it when it fails.
    pub successors: usize,
    /// How long a predecessor may be silent.
    pub expiry: Duration,
    /// For tests only.
    #[doc(hidden)]
    pub fault: Option<Fault>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rules: Rules { lookup_requests_max: 512, ..Rules::default() },
            successors: 6,
            expiry: Duration::from_secs(20),
            fault: None,
        }
    }
}

impl Config {
    /// For small networks of people who wait: upkeep about once a second.
    #[must_use]
    pub fn responsive() -> Self {
        Self { rules: Rules::responsive(), expiry: Duration::from_secs(5), ..Self::default() }
    }

    pub(super) fn successors(&self) -> usize {
        self.successors.clamp(1, SUCCESSORS_MAX)
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}
