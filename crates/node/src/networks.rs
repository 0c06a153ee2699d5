//! The networks of a node beside its transfers. One thread looks at the tables of Kademlia, which the
//! session drives; the other networks have theirs in modules of their own. What pictures are drawn
//! from is in `picture`.

mod answers;
mod by_hash;
mod fasttrack;
mod files;
mod gnutella;
mod kept;
mod napster;
pub(crate) mod overlays;
mod picture;
mod running;
mod shares;
mod torrents;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use net::dht::{BootstrapError, KademliaNode, resolve};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};

pub use picture::{
    Bucket, Edge, Finger, KnownNode, Linked, Network, Overlaid, Picture, Pictured, Place, Ring,
    Standing, Swarm, SwarmNode, Table, Verb, Zone,
};

pub(crate) use files::{FileNetwork, Joining};
pub(crate) use overlays::OverlayWish;
use overlays::Overlays;
pub(crate) use picture::{KademliaCounts, overlaid, ring};
pub(crate) use shares::Holdings;
pub(crate) use torrents::{FileTorrent, Offered, Torrents};

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
    /// What is asked for makes no sense there.
    #[error("{0}")]
    Invalid(&'static str),
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
}

/// The thread, from outside.
#[derive(Debug)]
pub(crate) struct Networks {
    requests: Mutex<Option<UnboundedSender<Request>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Whether the session takes part in Kademlia.
    pub(crate) kademlia: AtomicBool,
    /// Those in which files are shared.
    pub(crate) files: Vec<Arc<dyn FileNetwork>>,
    /// What hits in those may say of torrents.
    pub(crate) torrents: Arc<Torrents>,
    /// The other hash tables, Chord among them.
    pub(crate) overlays: Overlays,
    /// A swarm of others that is shown.
    pub(crate) shown: Mutex<Option<Pictured>>,
}

impl Networks {
    /// What is kept of them is in `folder`.
    pub(crate) fn start(kademlia: bool, folder: &Path) -> io::Result<Self> {
        let (requests, asked) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name("shoal-networks".into())
            .spawn(move || LocalSet::new().block_on(&runtime, serve(asked)))?;
        Ok(Self {
            requests: Mutex::new(Some(requests)),
            thread: Mutex::new(Some(thread)),
            kademlia: AtomicBool::new(kademlia),
            files: files::all(),
            torrents: Arc::default(),
            overlays: Overlays::new(folder),
            shown: Mutex::default(),
        })
    }

    /// Says goodbye and ends; within seconds.
    pub(crate) fn shutdown(&self) {
        self.files.iter().for_each(|network| network.leave());
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
}

/// The thread's work: until nobody can ask any more.
async fn serve(mut asked: UnboundedReceiver<Request>) {
    while let Some(request) = asked.recv().await {
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
            }
        });
    }
}

/// Our address on the way to `first`.
async fn towards(first: SocketAddr) -> Result<IpAddr, NetworkError> {
    let no_way = |source| NetworkError::NoWay { address: first, source };
    let any: IpAddr =
        if first.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Nothing is sent: connecting a UDP socket only looks up the route.
    let socket = UdpSocket::bind((any, 0)).await.map_err(no_way)?;
    socket.connect(first).await.map_err(no_way)?;
    Ok(socket.local_addr().map_err(no_way)?.ip())
}

/// A poisoned lock guards data that is whole between statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
