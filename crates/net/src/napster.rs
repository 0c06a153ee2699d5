//! Napster over real sockets: the server, with its index and accounts on disk, and the client, with
//! the transfers between peers.

pub mod client;
pub mod server;

pub use search::napster::{FileHash, LinkSpeed, MediaType, Nick, Query, SharedFile, Text};
