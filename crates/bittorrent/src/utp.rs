//! uTP (BEP 29): ordered streams over datagrams that yield to other traffic. This is the whole
//! protocol with no socket and no clock: a [`Mux`] takes in the datagrams of one socket, keeps the
//! [`Connection`]s, and writes what is to be sent into a [`Batch`]. A driver does the rest.

use core::net::SocketAddr;

mod batch;
mod connection;
mod delay;
mod half_open;
mod ledbat;
mod mtu;
mod mux;
pub mod packet;
mod receive_buffer;
mod rtt;
mod send_buffer;
mod seq;
mod timers;

pub use batch::{Batch, Run};
pub use connection::{CloseReason, Connection, Events};
pub use ledbat::{Ledbat, TARGET};
pub use mux::{ConnectError, Handle, Mux};
pub use packet::{Packet, ParseError, looks_like_utp};
pub use rtt::Rtt;
pub use seq::SeqNr;

/// Limits of a [`Mux`] and its connections.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes that one connection holds for its reader; what it advertises as its window.
    pub receive_buffer: usize,
    /// Most bytes that one connection holds until they are acknowledged. It takes that many only
    /// while the path is fast enough to need them.
    pub send_buffer: usize,
    /// Most connections, whoever opened them.
    pub max_connections: usize,
    /// Most connections that wait for the other end to prove its address.
    pub max_half_open: usize,
    /// Most of those from one IP address.
    pub max_half_open_per_ip: usize,
    /// Most connections that wait to be accepted.
    pub max_backlog: usize,
    /// Bytes of the largest IP packet that the first hop towards an address carries. What the whole
    /// path carries is found out by probes.
    pub interface_mtu: fn(SocketAddr) -> usize,
}

/// What networks carry: Ethernet's frames, or the loopback interface's.
fn usual_mtu(peer: SocketAddr) -> usize {
    if peer.ip().is_loopback() { 65_535 } else { 1_500 }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            receive_buffer: 1 << 20,
            send_buffer: 4 << 20,
            max_connections: 4_096,
            max_half_open: 1_024,
            max_half_open_per_ip: 64,
            max_backlog: 128,
            interface_mtu: usual_mtu,
        }
    }
}
