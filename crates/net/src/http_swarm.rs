//! Files that hosts give each other by HTTP/1.1, named by their SHA-1 (RFC 2169, HUGE): whole or as
//! much of them as has come, in ranges, from many at once, verified by Tiger trees. `accept`, `upload`
//! and `queue` give, `fetch`, `swarm`, `source` and `calls` take what `want` names, `giv` is for those
//! who cannot be connected to, `shares` is what there is to give, `tiger_tree` and `thex` verify. What
//! has come of a file is `crate::download`'s.
//!
//! How hosts find each other is a [`Network`]'s to know, and whatever else it answers by HTTP.

mod accept;
mod calls;
mod fetch;
mod giv;
mod queue;
pub mod request;
mod shares;
mod source;
mod swarm;
mod thex;
mod tiger_tree;
mod upload;
mod want;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use search::gnutella::Sha1;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::dialer::Dialer;
use calls::Calls;
use giv::Givs;
use queue::Queue;
use request::Request;

pub(crate) use accept::accept;
pub(crate) use fetch::{bring, run as fetch, tree};
pub(crate) use giv::give;
pub(crate) use shares::{Share, Shares, lock};
pub(crate) use source::Source;
pub use tiger_tree::TigerTree as Tree;
pub(crate) use tiger_tree::slice_of;
pub(crate) use upload::{call_waiting, send, serve, simple};
pub use want::{FetchError, Fetched, From, Gave, NoSource, Progress, Pushed, Want};
pub(crate) use want::{KNOWN_MAX, PROXIES_MAX};

/// A connection that has been opened, and what has been read of it.
pub(crate) type Given = (TcpStream, Vec<u8>);

/// What a host gives and takes.
pub(crate) struct Exchange {
    /// Where it accepts connections.
    address: SocketAddr,
    /// Whether others can connect there.
    is_open: bool,
    /// Whether addresses of this host and of private networks are used.
    local: bool,
    /// Who it is, in networks whose hosts have keys.
    identity: Option<[u8; 32]>,
    slots: usize,
    pub(crate) dialer: Dialer,
    pub(crate) shares: Mutex<Shares>,
    /// Bytes of files that it has given.
    given: AtomicU64,
    queue: Mutex<Queue>,
    /// Who waits to be called by somebody whose queue we are in.
    calls: Calls,
    /// Who waits for whom to connect, having asked for that.
    pub(crate) givs: Givs,
    /// Whose turn it is to make a tree of hashes.
    trees: Semaphore,
}

impl Exchange {
    /// A host at `address` with so many upload slots.
    pub(crate) fn new(address: SocketAddr, is_open: bool, local: bool, slots: usize) -> Self {
        Self {
            address,
            is_open,
            local,
            identity: None,
            slots,
            dialer: Dialer::for_listeners(&[address], None),
            shares: Mutex::default(),
            given: AtomicU64::new(0),
            queue: Mutex::new(Queue::new(slots)),
            calls: Calls::default(),
            givs: Givs::default(),
            trees: Semaphore::new(1),
        }
    }

    /// The same, known by a key.
    pub(crate) fn known_as(self, identity: [u8; 32]) -> Self {
        Self { identity: Some(identity), ..self }
    }

    /// Bytes of files that it has given so far.
    pub(crate) fn given(&self) -> u64 {
        self.given.load(Ordering::Relaxed)
    }

    /// The same, with the places in the queue that [`Exchange::waiting`] told; none if it did not.
    pub(crate) fn with_waiting(self, text: &str) -> Self {
        let queue = Queue::new(self.slots).restored(text, Instant::now());
        match queue {
            Ok(queue) => Self { queue: Mutex::new(queue), ..self },
            Err(error) => {
                tracing::warn!(%error, "nobody keeps his place in the queue of uploads");
                self
            }
        }
    }

    /// Who waits for an upload, to be kept over a restart.
    pub(crate) fn waiting(&self) -> String {
        lock(&self.queue).to_text(Instant::now())
    }

    /// Where we accept connections, if we do.
    pub(crate) fn node(&self) -> Option<SocketAddr> {
        Some(self.address).filter(|_| self.is_open)
    }

    /// Somebody else has a file that we share, as a stranger says.
    fn learn(&self, share: &Share, addr: SocketAddr) {
        let usable = search::gnutella::servent::is_dialable(addr, self.local);
        if usable && addr != self.address {
            share.learn(addr);
        }
    }
}

/// A network whose hosts give each other files.
pub(crate) trait Network: Send + Sync + 'static {
    /// A search for hosts that have a file.
    type Seek: Send;

    /// How long it takes at most until such a search has found whoever can be found: who has no
    /// source left then waits for no other.
    const SEEKING: Duration;

    /// What this host gives and takes.
    fn exchange(&self) -> &Exchange;

    /// A connection to the host at `addr` that must be asked to open it.
    fn push(
        &self,
        addr: SocketAddr,
        pushed: &Pushed,
    ) -> impl Future<Output = io::Result<Given>> + Send;

    /// Begins to look for more who have a file; `None` if there is no way to.
    fn seek(&self, sha1: Sha1) -> impl Future<Output = Option<Self::Seek>> + Send;

    /// The next that has the wanted file; `None` if there are no more.
    fn next(seek: &mut Self::Seek, want: &Want) -> impl Future<Output = Option<From>> + Send;

    /// Answers a request that is not for a file.
    fn answer(
        &self,
        stream: &mut TcpStream,
        request: &Request,
    ) -> impl Future<Output = io::Result<()>> + Send;
}
