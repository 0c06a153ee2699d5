//! Chord live: its datagrams for the driver, and the virtual nodes of one address behind their
//! handle.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::dht::chord::{Chord, Config, DATAGRAM_MAX, Event, Message, Packet, Peer};
use machine::Wire;
use machine::dht::{Command, Report};
use tokio::net::UdpSocket;

use crate::datagram::{self, Arrival, Gone, Handle, Protocol};

/// Datagrams per second that are heard from one host: a node says about thirty to each of its
/// neighbours when rings change, and a user's commands come on top.
const RATE_PER_HOST: u32 = 2_000;

/// Chord's own format as the messages of its virtual nodes.
#[derive(Clone, Copy, Debug)]
pub struct ChordWire;

impl Protocol for ChordWire {
    type Machine = Chord<Peer>;
    const DATAGRAM_MAX: usize = DATAGRAM_MAX;

    fn decode(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Option<Arrival<Peer, Message<Peer>>> {
        let Packet { to, from: vnode, message } = Packet::decode(datagram).ok()?;
        Some(Arrival { node: to.into(), from: Peer::new(from, vnode), message })
    }

    fn encode(
        &mut self,
        node: usize,
        to: Peer,
        message: Message<Peer>,
        out: &mut Vec<u8>,
    ) -> SocketAddr {
        // There are at most 256 of them.
        Packet { to: to.vnode(), from: node as u8, message }.encode(out);
        to.addr()
    }

    fn is_last(event: &Event<Peer>) -> bool {
        matches!(event, Event::Report(_))
    }
}

/// Virtual nodes of one ring at one address, from outside.
#[derive(Clone, Debug)]
pub struct ChordNode {
    handle: Handle<ChordWire>,
    vnodes: u8,
}

impl ChordNode {
    /// Virtual nodes on a socket of their own, driven from the current `LocalSet`. Their places
    /// follow from its address, which must thus be the one that others know.
    ///
    /// # Errors
    /// If the socket does not say its own address or has none in particular, or the system gives
    /// no randomness.
    pub fn start(socket: UdpSocket, vnodes: u8, config: Arc<Config>) -> io::Result<Self> {
        let address = socket.local_addr()?;
        if address.ip().is_unspecified() {
            let why = "a Chord node listens at the address that others know it by";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let vnodes = vnodes.max(1);
        let machines =
            (0..vnodes).map(|vnode| Chord::new(Peer::new(address, vnode), config.clone()));
        let rules = datagram::Config { rate_per_host: Some(RATE_PER_HOST) };
        let (handle, _) = datagram::spawn(socket, ChordWire, machines.collect(), rules)?;
        Ok(Self { handle, vnodes })
    }

    /// The handle of their driver.
    #[must_use]
    pub fn handle(&self) -> &Handle<ChordWire> {
        &self.handle
    }

    /// Where they listen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.handle.address()
    }

    /// Become part of the ring that one of `known` is in, or begin one if there are none; whether
    /// all did.
    ///
    /// # Errors
    /// If they have ended.
    pub async fn join(&self, known: &[SocketAddr]) -> Result<bool, Gone> {
        let known: Vec<_> = known.iter().map(|&address| Peer::new(address, 0)).collect();
        let first = Peer::new(self.address(), 0);
        let mut all = true;
        for vnode in 0..self.vnodes {
            // Once the first is in, it is a way for the others.
            let ours = (vnode > 0).then_some(first);
            let known = known.iter().copied().chain(ours).collect();
            let joined = self.handle.call_at(vnode.into(), Command::Join { known }).await?;
            all &= matches!(joined, Event::Report(Report::Joined));
        }
        Ok(all)
    }

    /// Hands over what is held for others, waiting no longer than `patience` for each virtual
    /// node, and ends.
    pub async fn leave(&self, patience: Duration) {
        for vnode in 0..self.vnodes {
            let leave = self.handle.call_at(vnode.into(), Command::Leave);
            // Whether it came to an end or not: this is the end.
            let _ = tokio::time::timeout(patience, leave).await;
        }
        self.handle.stop().await;
    }
}
