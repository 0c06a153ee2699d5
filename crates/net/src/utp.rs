//! uTP over a UDP socket, for programs on one thread of tokio: an [`Endpoint`] drives the protocol
//! machine of [`bittorrent::utp`], and a [`UtpStream`] is one connection. The socket is shared with
//! whoever else speaks datagrams on the same port.

mod endpoint;
mod stream;
mod udp;

pub use endpoint::{Endpoint, EndpointStats};
pub use stream::UtpStream;
