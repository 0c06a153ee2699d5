//! Hash tables of which one machine runs behind each socket and whose places follow from their
//! addresses. Each is registered once, in [`OVERLAYS`] if its messages are datagrams of their own,
//! as [`CHORD`] otherwise; what is its own to say of it, it says by [`Overlay`].

use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use ::dht::can::Can;
use ::dht::chord::{Chord, Peer};
use ::dht::kelips::Kelips;
use ::dht::pastry::Pastry;
use ::dht::tapestry::Tapestry;
use ::dht::viceroy::Viceroy;
use machine::dht::{Command, Dht, Key, Report};
use machine::{DatagramMachine, Wire};
use tokio::net::UdpSocket;

use super::ask;
use super::chord::ChordWire;
use crate::datagram::{self, Arrival, Event, Gone, Handle, Protocol};

/// Every such hash table: a new one is another line here.
pub static OVERLAYS: &[OverlayKind] = &[
    OverlayKind::of::<Pastry<Peer>>(),
    OverlayKind::of::<Tapestry<Peer>>(),
    OverlayKind::of::<Kelips<Peer>>(),
    OverlayKind::of::<Can<Peer>>(),
    OverlayKind::of::<Viceroy<Peer>>(),
];

/// Chord with one virtual node.
pub static CHORD: OverlayKind = OverlayKind {
    name: Chord::<Peer>::NAME,
    title: Chord::<Peer>::TITLE,
    summary: Chord::<Peer>::SUMMARY,
    start: |socket| OverlayNode::start(socket, ChordWire),
};

/// Datagrams per second that are heard from one host: a node says about thirty to each of its
/// neighbours when others come and go, and a user's commands come on top.
pub(super) const RATE_PER_HOST: u32 = 2_000;

/// A machine that runs live by nothing more than this.
pub trait Overlay: Dht + DatagramMachine<Contact = Peer> + 'static {
    /// What users call it, in lower case.
    const NAME: &'static str;
    /// Its name for people.
    const TITLE: &'static str;
    /// What it is, in a few words.
    const SUMMARY: &'static str;
    /// Longest datagram that is read, in bytes.
    const DATAGRAM_MAX: usize;

    /// A node for small networks of people who wait.
    fn at(me: Peer) -> Self;
    /// Whom it knows, and what they are to it.
    fn sketch(&self) -> Sketch;
    /// The nodes that it knows, each once.
    fn known(&self) -> Vec<Peer> {
        let mut known: Vec<Peer> = self.sketch().links.iter().map(|link| link.peer).collect();
        known.sort_unstable();
        known.dedup();
        known
    }
    /// The keys of the values that it holds.
    fn held(&self) -> Vec<Key>;
}

/// What a picture of a node's tables is drawn from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sketch {
    /// The node's own group or level, where it has one.
    pub rank: u32,
    /// How many groups there are, or how many bits a digit has.
    pub ranks: u32,
    /// Whom it knows, once for each thing that somebody is to it.
    pub links: Vec<SketchLink>,
    /// Its zones, and those beside them.
    pub zones: Vec<SketchZone>,
}

/// Somebody whom a node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SketchLink {
    /// What it is to the node, in one word.
    pub what: &'static str,
    /// Its row, group or level, or how many come before it.
    pub rank: u32,
    /// Who.
    pub peer: Peer,
}

/// A box of the first two dimensions of a torus whose sides are 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SketchZone {
    /// Whose it is; `None` for the node's own.
    pub owner: Option<SocketAddr>,
    /// Where it begins.
    pub corner: [f64; 2],
    /// How far it reaches.
    pub size: [f64; 2],
}

impl Sketch {
    /// `peers` are this to the node, from `rank` on, each one farther.
    pub(super) fn line(&mut self, what: &'static str, peers: impl IntoIterator<Item = Peer>) {
        self.links.extend((0..).zip(peers).map(|(rank, peer)| SketchLink { what, rank, peer }));
    }
}

/// A kind of hash table, to be started by its name.
pub struct OverlayKind {
    /// What users call it.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// What it is, in a few words.
    pub summary: &'static str,
    start: fn(UdpSocket) -> io::Result<OverlayNode>,
}

impl fmt::Debug for OverlayKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for OverlayKind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for OverlayKind {}

impl OverlayKind {
    /// The kind that `M` is a machine of.
    #[must_use]
    pub const fn of<M: Overlay<Message: Wire>>() -> Self {
        let start = |socket| OverlayNode::start(socket, OverlayWire::<M>(PhantomData));
        Self { name: M::NAME, title: M::TITLE, summary: M::SUMMARY, start }
    }

    /// A node of it on a socket of its own, driven from the current `LocalSet`.
    ///
    /// # Errors
    /// If the socket does not say its own address or has none in particular, or the system gives
    /// no randomness.
    pub fn start(&self, socket: UdpSocket) -> io::Result<OverlayNode> {
        (self.start)(socket)
    }
}

/// The messages of an [`Overlay`] as datagrams.
#[derive(Clone, Copy, Debug)]
struct OverlayWire<M>(PhantomData<fn() -> M>);

impl<M: Overlay<Message: Wire>> Protocol for OverlayWire<M> {
    type Machine = M;
    const DATAGRAM_MAX: usize = M::DATAGRAM_MAX;

    fn decode(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<Arrival<Peer, M::Message>> {
        let message = M::Message::decode(datagram).ok()?;
        Some(Arrival { node: 0, from: Peer::new(from, 0), message })
    }

    fn encode(&mut self, _: usize, to: Peer, message: M::Message, out: &mut Vec<u8>) -> SocketAddr {
        message.encode(out);
        to.addr()
    }

    fn is_last(_: &Event<Self>) -> bool {
        true
    }
}

/// What a node knows and has seen.
#[derive(Clone, Debug, Default)]
pub struct OverlayState {
    /// The nodes that it knows.
    pub known: Vec<SocketAddr>,
    /// How many values it holds.
    pub values: usize,
    /// Their keys.
    pub held: Vec<Key>,
    /// Datagrams received.
    pub received: u64,
    /// Of those, malformed.
    pub malformed: u64,
    /// Datagrams sent.
    pub sent: u64,
}

type Soon<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A handle of whichever machine.
trait AnyHandle {
    fn address(&self) -> SocketAddr;
    fn ask(&self, command: Command<Peer>) -> Soon<'_, Result<Report<Peer>, Gone>>;
    fn state(&self) -> Soon<'_, Result<OverlayState, Gone>>;
    fn sketch(&self) -> Soon<'_, Result<Sketch, Gone>>;
    fn stop(&self) -> Soon<'_, ()>;
}

impl<P: Protocol<Machine: Overlay>> AnyHandle for Handle<P> {
    fn address(&self) -> SocketAddr {
        self.address()
    }

    fn ask(&self, command: Command<Peer>) -> Soon<'_, Result<Report<Peer>, Gone>> {
        Box::pin(ask(self, command))
    }

    fn state(&self) -> Soon<'_, Result<OverlayState, Gone>> {
        Box::pin(self.look(|nodes, socket| {
            let known = nodes.iter().flat_map(Overlay::known).map(|peer| peer.addr()).collect();
            let held: Vec<Key> = nodes.iter().flat_map(Overlay::held).collect();
            OverlayState {
                known,
                values: held.len(),
                held,
                received: socket.received,
                malformed: socket.malformed,
                sent: socket.sent,
            }
        }))
    }

    fn sketch(&self) -> Soon<'_, Result<Sketch, Gone>> {
        Box::pin(self.look(|nodes, _| nodes.first().map(Overlay::sketch).unwrap_or_default()))
    }

    fn stop(&self) -> Soon<'_, ()> {
        Box::pin(self.stop())
    }
}

/// A node of [`CHORD`] or any of [`OVERLAYS`], from outside. A clone is the same.
#[derive(Clone)]
pub struct OverlayNode {
    handle: Rc<dyn AnyHandle>,
    name: &'static str,
}

impl fmt::Debug for OverlayNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.handle.address())
    }
}

impl OverlayNode {
    fn start<P: Protocol<Machine: Overlay>>(socket: UdpSocket, wire: P) -> io::Result<Self> {
        let address = socket.local_addr()?;
        if address.ip().is_unspecified() {
            let why = "such a node listens at the address that others know it by";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let machine = P::Machine::at(Peer::new(address, 0));
        let rules = datagram::Config { rate_per_host: Some(RATE_PER_HOST) };
        let (handle, _) = datagram::spawn(socket, wire, vec![machine], rules)?;
        Ok(Self { handle: Rc::new(handle), name: P::Machine::NAME })
    }

    /// Its contact, with its place.
    #[must_use]
    pub fn me(&self) -> Peer {
        Peer::new(self.handle.address(), 0)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.handle.address()
    }

    /// Gives it a command and waits for what becomes of it.
    ///
    /// # Errors
    /// If it has ended, or ends before it answers.
    pub async fn ask(&self, command: Command<Peer>) -> Result<Report<Peer>, Gone> {
        self.handle.ask(command).await
    }

    /// Becomes part of the network that one of `known` is in, or begins one if there are none;
    /// whether it did.
    ///
    /// # Errors
    /// If it has ended.
    pub async fn join(&self, known: &[SocketAddr]) -> Result<bool, Gone> {
        let known = known.iter().map(|&address| Peer::new(address, 0)).collect();
        Ok(self.ask(Command::Join { known }).await? == Report::Joined)
    }

    /// What it knows and has seen.
    ///
    /// # Errors
    /// If it has ended.
    pub async fn state(&self) -> Result<OverlayState, Gone> {
        self.handle.state().await
    }

    /// Whom it knows, and what they are to it.
    ///
    /// # Errors
    /// If it has ended.
    pub async fn sketch(&self) -> Result<Sketch, Gone> {
        self.handle.sketch().await
    }

    /// Ends without a word.
    pub async fn stop(&self) {
        self.handle.stop().await;
    }

    /// Hands over what is held for others, waiting no longer than `patience`, and ends.
    pub async fn leave(&self, patience: Duration) {
        // Whether it came to an end or not: this is the end.
        let _ = tokio::time::timeout(patience, self.ask(Command::Leave)).await;
        self.stop().await;
    }
}
