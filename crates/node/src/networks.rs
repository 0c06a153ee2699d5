//! The networks of a node beside its transfers. One thread drives the node of Chord, and looks at
//! the tables of Kademlia, which the session drives; what pictures are drawn from is in `picture`.

mod chord;
pub(crate) mod gnutella;
pub(crate) mod napster;
pub(crate) mod overlays;
mod picture;
mod shares;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use net::dht::{BootstrapError, KademliaNode, resolve};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};

pub use picture::{
    Bucket, Edge, Finger, KnownNode, Linked, Network, Overlaid, Picture, Pictured, Place, Ring,
    Standing, Swarm, SwarmNode, Table, Verb, Zone,
};

use chord::Chord;
pub(crate) use chord::{ChordStatus, ChordWish};
pub(crate) use gnutella::{Gnutella, GnutellaWish};
pub(crate) use napster::{Napster, NapsterWish};
use overlays::Overlays;
pub(crate) use picture::KademliaCounts;

/// Nodes that one may begin with, in one request.
pub(crate) const PEERS_MAX: usize = 64;

/// Why a network is not joined.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A node to begin with is of no use.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// It is joined already.
    #[error("this node is part of it already: leave it first")]
    Joined,
    /// The address cannot be listened on.
    #[error("listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Its protocol knows addresses of IPv4 alone.
    #[error("{0} is no address of IPv4, and this network knows no others")]
    NotIpv4(String),
    /// There is no way to the first node.
    #[error("there is no way to {address}: {source}")]
    NoWay {
        /// The node.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives no thread to drive it.
    #[error("a thread for it: {0}")]
    Start(io::Error),
    /// The thread has ended.
    #[error("the node has ended")]
    Ended,
}

/// What the facade asks of the thread.
enum Request {
    /// What is in the tables of these nodes, and what they have counted.
    Tables(Vec<KademliaNode>, SyncSender<Vec<(Table, KademliaCounts)>>),
    /// Whether these names lead anywhere.
    Resolve(Vec<String>, SyncSender<Result<(), BootstrapError>>),
    JoinChord(ChordWish, SyncSender<Result<(), NetworkError>>),
    LeaveChord(SyncSender<()>),
    Ring(SyncSender<Option<(Ring, usize)>>),
}

/// The thread, from outside.
#[derive(Debug)]
pub(crate) struct Networks {
    requests: Mutex<Option<UnboundedSender<Request>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    chord: Arc<Mutex<ChordStatus>>,
    /// Whether the session takes part in Kademlia.
    pub(crate) kademlia: AtomicBool,
    pub(crate) gnutella: Gnutella,
    pub(crate) napster: Napster,
    /// The other hash tables.
    pub(crate) overlays: Overlays,
    /// A swarm of others that is shown.
    pub(crate) shown: Mutex<Option<Pictured>>,
}

impl Networks {
    pub(crate) fn start(kademlia: bool) -> io::Result<Self> {
        let chord = Arc::new(Mutex::new(ChordStatus::default()));
        let (requests, asked) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let status = chord.clone();
        let thread = std::thread::Builder::new()
            .name("shoal-networks".into())
            .spawn(move || LocalSet::new().block_on(&runtime, serve(asked, status)))?;
        Ok(Self {
            requests: Mutex::new(Some(requests)),
            thread: Mutex::new(Some(thread)),
            chord,
            kademlia: AtomicBool::new(kademlia),
            gnutella: Gnutella::default(),
            napster: Napster::default(),
            overlays: Overlays::default(),
            shown: Mutex::default(),
        })
    }

    /// Says goodbye and ends; within seconds.
    pub(crate) fn shutdown(&self) {
        self.gnutella.leave();
        self.napster.leave();
        self.overlays.shutdown();
        lock(&self.requests).take();
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of networks panicked");
        }
    }

    fn ask<T>(&self, request: impl FnOnce(SyncSender<T>) -> Request) -> Result<T, NetworkError> {
        let (answer, answered) = sync_channel(1);
        let requests = lock(&self.requests).clone().ok_or(NetworkError::Ended)?;
        requests.send(request(answer)).map_err(|_| NetworkError::Ended)?;
        drop(requests);
        answered.recv().map_err(|_| NetworkError::Ended)
    }

    /// Whether the session takes part in Kademlia.
    pub(crate) fn has_kademlia(&self) -> bool {
        self.kademlia.load(Ordering::Relaxed)
    }

    pub(crate) fn tables(&self, nodes: Vec<KademliaNode>) -> Vec<(Table, KademliaCounts)> {
        self.ask(|answer| Request::Tables(nodes, answer)).unwrap_or_default()
    }

    /// Refuses names that lead nowhere.
    pub(crate) fn resolve(&self, names: Vec<String>) -> Result<(), NetworkError> {
        Ok(self.ask(|answer| Request::Resolve(names, answer))??)
    }

    /// Begins to become part of a ring; [`Self::chord`] says how that goes on.
    pub(crate) fn join_chord(&self, wish: ChordWish) -> Result<(), NetworkError> {
        self.ask(|answer| Request::JoinChord(wish, answer))?
    }

    pub(crate) fn leave_chord(&self) -> Result<(), NetworkError> {
        self.ask(Request::LeaveChord)
    }

    /// How it stands with Chord.
    pub(crate) fn chord(&self) -> ChordStatus {
        lock(&self.chord).clone()
    }

    /// What a picture of the ring is drawn from, and how many values are held.
    pub(crate) fn ring(&self) -> Option<(Ring, usize)> {
        self.ask(Request::Ring).ok().flatten()
    }
}

/// The thread's work: until nobody can ask any more.
async fn serve(mut asked: UnboundedReceiver<Request>, status: Arc<Mutex<ChordStatus>>) {
    let chord = Chord::new(status);
    while let Some(request) = asked.recv().await {
        let chord = chord.clone();
        spawn_local(async move {
            // Whoever asked may have gone away, everywhere here.
            match request {
                Request::Tables(nodes, answer) => {
                    let mut tables = Vec::new();
                    for node in nodes {
                        tables.extend(picture::table(&node).await);
                    }
                    let _ = answer.send(tables);
                }
                Request::Resolve(names, answer) => {
                    let mut resolved = Ok(());
                    for name in names {
                        resolved = resolved.and(resolve(&name).await.map(drop));
                    }
                    let _ = answer.send(resolved);
                }
                Request::JoinChord(wish, answer) => {
                    let _ = answer.send(chord.join(wish).await);
                }
                Request::LeaveChord(answer) => {
                    chord.leave().await;
                    let _ = answer.send(());
                }
                Request::Ring(answer) => {
                    let _ = answer.send(chord.ring().await);
                }
            }
        });
    }
    chord.leave().await;
}

/// A poisoned lock guards data that is whole between statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
