//! Chord live: its datagrams for the driver, and the virtual nodes of one address behind their
//! handle.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::dht::chord::{BITS, Chord, Config, DATAGRAM_MAX, Event, Message, Packet, Peer};
use machine::Wire;
use machine::dht::{Command, Key, Report};
use tokio::net::UdpSocket;

use super::overlay::{Overlay, RATE_PER_HOST, Sketch, SketchLink};
use crate::datagram::{self, Arrival, Gone, Handle, Protocol};

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

impl Overlay for Chord<Peer> {
    const NAME: &'static str = "chord";
    const TITLE: &'static str = "Chord";
    const SUMMARY: &'static str = "A ring with fingers that halve the distance";
    const DATAGRAM_MAX: usize = DATAGRAM_MAX;

    fn at(me: Peer) -> Self {
        Self::new(me, Arc::new(Config::responsive()))
    }

    /// Of a finger the rank is its index; a node is named once, by its nearest finger.
    fn sketch(&self) -> Sketch {
        let me = self.me();
        let mut sketch = Sketch::default();
        sketch.line("predecessor", self.predecessor().filter(|&peer| peer != me));
        sketch.line("successor", self.successors().iter().copied().filter(|&peer| peer != me));
        let before = sketch.links.len();
        for rank in 0..BITS {
            let Some(peer) = self.finger(rank).filter(|&peer| peer != me) else { continue };
            if sketch.links[before..].iter().all(|link| link.peer != peer) {
                sketch.links.push(SketchLink { what: "finger", rank, peer });
            }
        }
        sketch
    }

    fn held(&self) -> Vec<Key> {
        self.keys().collect()
    }
}
