//! Trackers over real sockets: a client of both kinds, and a server of both kinds. Formats, the
//! table and the order in which trackers are asked are in [`bittorrent::tracker`].

mod client;
mod server;
mod udp_client;

pub use client::{TrackerClient, TrackerError};
pub use server::{AllowListError, Server, ServerConfig, ServerError, ServerHandle, ServerStats};
