//! `[fasttrack]`: whether and how the node is part of a two-level network of supernodes.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// `[fasttrack]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FastTrackSection {
    /// Be part of it.
    pub join: bool,
    /// Where the node is; empty for a free port.
    pub listen: String,
    /// Nodes to begin with, as `HOST:PORT`.
    pub bootstrap: Vec<String>,
    /// What the node is.
    pub role: FastTrackRole,
    /// Others cannot connect to the node.
    pub firewalled: bool,
}

/// What a node of a two-level network is, as a setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FastTrackRole {
    /// A leaf that becomes a supernode once others appoint it.
    #[default]
    Auto,
    /// A supernode from the start; other supernodes link to it if they name it as well.
    Supernode,
}

impl FastTrackSection {
    /// Where the node is; `None` for a free port.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }
}
