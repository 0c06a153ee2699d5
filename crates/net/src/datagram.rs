//! Machines that speak in datagrams, over UDP: one task of a `LocalSet` owns the machines of one
//! socket, hands them datagrams, timers and commands one at a time, and sends what they say.
//!
//! What a message looks like on the wire, and whom it is from, is a [`Protocol`]'s to know. What
//! the machines talk about is theirs.

pub(crate) mod batch;
mod driver;
mod handle;
mod link;
mod outgoing;
mod shared;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use machine::{DatagramMachine, Machine, OpId};

pub(crate) use driver::spawn_on;
pub use driver::{Config, Counters, spawn};
pub use handle::{Answers, Events, Gone, Handle};
pub(crate) use shared::Inlet;

/// What a machine of protocol `P` is told to do.
pub type Command<P> = <<P as Protocol>::Machine as Machine>::Command;
/// What a machine of protocol `P` tells.
pub type Event<P> = <<P as Protocol>::Machine as Machine>::Event;
/// How a machine of protocol `P` knows another node.
pub type Contact<P> = <<P as Protocol>::Machine as DatagramMachine>::Contact;
/// What a machine of protocol `P` says.
pub type Message<P> = <<P as Protocol>::Machine as DatagramMachine>::Message;

/// A message that has arrived.
#[derive(Debug)]
pub struct Arrival<C, M> {
    /// Which of the machines behind the socket it is for, by their order.
    pub node: usize,
    /// Who says it.
    pub from: C,
    /// What it says.
    pub message: M,
}

/// How a machine's messages travel in datagrams.
pub trait Protocol: 'static {
    /// The machine.
    type Machine: DatagramMachine;
    /// Longest datagram that is read, in bytes; longer ones are malformed.
    const DATAGRAM_MAX: usize;

    /// Reads a datagram; `None` if it is malformed.
    fn decode(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Option<Arrival<Contact<Self>, Message<Self>>>;

    /// Appends to `out` what the machine `node` says to `to`, and returns where that is.
    fn encode(
        &mut self,
        node: usize,
        to: Contact<Self>,
        message: Message<Self>,
        out: &mut Vec<u8>,
    ) -> SocketAddr;

    /// What the first machine is to do because of what has been read, if anything.
    fn consequence(&mut self) -> Option<Command<Self>> {
        None
    }

    /// What calls off a command whose answers nobody waits for any more; `None` if it is better
    /// left to end by itself.
    fn cancel(op: OpId) -> Option<Command<Self>> {
        let _ = op;
        None
    }

    /// Whether no other event answers the same command after this one.
    fn is_last(event: &Event<Self>) -> bool {
        let _ = event;
        true
    }
}
