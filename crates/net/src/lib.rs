//! The live driver: real sockets, real files, real time around the machines of the protocol crates.

pub mod create;
pub mod datagram;
pub mod dht;
pub mod dialer;
pub mod disk;
pub mod download;
pub mod fasttrack;
pub mod gnutella;
pub mod http_client;
mod http_swarm;
mod identity;
pub mod merkle;
pub mod napster;
pub mod port_map;
mod rate_limit;
pub mod session;
pub mod store;
pub mod tracker;
pub mod url_policy;
pub mod utp;

/// Name and version of this program, as peers and trackers are told.
pub const CLIENT: &str = concat!("Shoal ", env!("CARGO_PKG_VERSION"));
