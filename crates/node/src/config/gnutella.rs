//! `[gnutella]`: whether and how the node is a servent of Gnutella.

use std::net::SocketAddr;

use net::gnutella::Mode;
use serde::{Deserialize, Serialize};

/// `[gnutella]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GnutellaSection {
    /// Be part of it.
    pub join: bool,
    /// Where the servent is; empty for a free port.
    pub listen: String,
    /// Servents or host caches to begin with, as `HOST:PORT`.
    pub bootstrap: Vec<String>,
    /// What the servent is.
    pub role: RoleSetting,
    /// Others cannot connect to it.
    pub firewalled: bool,
}

/// What a servent is, as a setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleSetting {
    /// A leaf that becomes an ultrapeer where one is needed.
    #[default]
    Auto,
    /// A leaf for good.
    Leaf,
    /// An ultrapeer for good.
    Ultrapeer,
    /// A servent of version 0.4.
    Old,
}

impl From<RoleSetting> for Mode {
    fn from(setting: RoleSetting) -> Self {
        match setting {
            RoleSetting::Auto => Self::Auto,
            RoleSetting::Leaf => Self::Leaf,
            RoleSetting::Ultrapeer => Self::Ultrapeer,
            RoleSetting::Old => Self::Old,
        }
    }
}

impl GnutellaSection {
    /// Where the servent is; `None` for a free port.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }
}
