//! `[napster]`: whether and how the node is a client of a server of Napster.

use std::net::SocketAddrV4;

use serde::{Deserialize, Serialize};

/// `[napster]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NapsterSection {
    /// Log in.
    pub join: bool,
    /// The server, as `HOST:PORT`.
    pub server: String,
    /// The node's name there; made up if empty.
    pub nick: String,
    /// Where peers come; empty for a free port.
    pub listen: String,
    /// Peers cannot come.
    pub firewalled: bool,
}

impl NapsterSection {
    /// Where peers come; `None` for a free port.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddrV4> {
        self.listen.parse().ok()
    }
}
