//! A live node of the two-level network of `search::fasttrack`: its machine behind a UDP port, and
//! the files that it gives and takes by HTTP on the TCP port of the same number.
//!
//! This file is the facade. `wire` is how messages travel and who signs them; files are given and
//! taken by `http_swarm`.

#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fmt, io};

use search::fasttrack::{Command, Event, FILES_PER_LEAF, FastTrack, NAME_MAX, hash_word};
pub use search::fasttrack::{Config as Rules, File, FileHash, Hit, Id, Kind};
use search::gnutella::Guid;
use search::gnutella::servent::{SharedFile, is_dialable};
pub use search::gnutella::{Sha1, TigerRoot};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::datagram::{self, Answers, Counters, Events, Handle};
pub use crate::dht::{IdentityError, SigningKey};
use crate::dialer;
use crate::download::{Download, Hashes};
use crate::http_swarm::request::Request;
use crate::http_swarm::{self, Exchange, Given, Network, Pushed, Share, lock};
pub use crate::http_swarm::{FetchError, Fetched, From, Gave, Progress, Tree, Want};
use wire::FastTrackWire;
pub use wire::network_of;

/// Datagrams per second that are heard from one host.
const RATE_PER_HOST: u32 = 2_000;
/// How long a search by hash takes: directories answer at once, one link after the other.
const SEEKING: Duration = Duration::from_secs(2);
/// How long it is tried to connect to a leaf before it is asked to connect to us.
const DIRECT: Duration = Duration::from_secs(4);
/// How long more files are waited for before the directory is told of any.
const GATHER: Duration = Duration::from_millis(200);

/// How a live node behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens; others know it by this address.
    pub listen: SocketAddr,
    /// Whether addresses of this host and of private networks are used.
    pub local: bool,
    /// Whether nobody can connect to it: it connects to who wants a file of it.
    pub firewalled: bool,
    /// Uploads at once; others wait.
    pub upload_slots: usize,
    /// What [`Node::vouchers`] of an earlier run with the same key has given.
    pub vouchers: Vec<u8>,
    /// What the machine is told.
    pub rules: Rules<SocketAddr>,
}

impl Config {
    /// The usual settings, at an address: a mandate takes an hour and uploads to three networks;
    /// whoever is silent for eight seconds is dead, and a search outlives him.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        let rules = Rules {
            tick: (Duration::from_millis(1_500), Duration::from_millis(2_500)),
            silence: Duration::from_secs(8),
            search_for: Duration::from_secs(20),
            search_again: Duration::from_secs(4),
            ..Rules::new(network_of)
        };
        // Whoever is in a private network uses its addresses.
        let local = !is_dialable(listen, false);
        let vouchers = Vec::new();
        Self { listen, local, firewalled: false, upload_slots: 8, vouchers, rules }
    }
}

/// What a node is in its network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It has no supernode, and looks for one if it was told to join.
    #[default]
    Seeking,
    /// A leaf of a supernode.
    Leaf,
    /// A supernode.
    Supernode,
}

/// How a node stands.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// What it is.
    pub role: Role,
    /// Whose leaf it is; its own, if it is a supernode.
    pub supernode: Option<SocketAddr>,
    /// Supernodes it is linked to, if it is one; else whom it would ask next.
    pub others: Vec<SocketAddr>,
    /// Its leaves, if it is a supernode.
    pub leaves: Vec<SocketAddr>,
    /// Files in its directory, if it is a supernode.
    pub directory: usize,
    /// Files that it shares.
    pub shared: usize,
    /// Bytes of files that it has given.
    pub given: u64,
    /// Uploads to different networks that supernodes have vouched for.
    pub vouchers: usize,
    /// Whether it may be a supernode by the word of another.
    pub has_mandate: bool,
    /// What has gone through its socket.
    pub counters: Counters,
}

/// What tasks know that outlive the handles.
struct Inner {
    exchange: Exchange,
    /// What is shared, and what the directory is told of it.
    shared: Mutex<BTreeMap<Sha1, Arc<File>>>,
    changed: Notify,
}

/// A node, from outside. It ends with its last handle, without a word.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
    handle: Handle<FastTrackWire>,
    id: Id,
    local: bool,
    _stop: Arc<watch::Sender<()>>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(&self.address()).field(&self.id).finish()
    }
}

/// What a search finds, as it comes in; the search ends when this is dropped.
#[derive(Debug)]
pub struct Search {
    answers: Answers<FastTrackWire>,
    waiting: std::vec::IntoIter<Hit<SocketAddr>>,
    local: bool,
}

impl Search {
    /// The next file that somebody has; `None` when the search is over.
    pub async fn next(&mut self) -> Option<Hit<SocketAddr>> {
        loop {
            let local = self.local;
            let is = |at| is_dialable(at, local);
            if let Some(hit) = self.waiting.find(|hit| is(hit.source) && is(hit.via)) {
                return Some(hit);
            }
            match self.answers.next().await? {
                Event::Found { hits } => self.waiting = hits.into_iter(),
                _ => return None,
            }
        }
    }
}

/// Where a hit says that its file can be had.
#[must_use]
pub fn source(hit: &Hit<SocketAddr>) -> From {
    let pushed = || Pushed { servent: Guid::default(), index: 0, proxies: vec![hit.via] };
    // Supernodes are reached, or they were none.
    From { addr: hit.source, push: (hit.via != hit.source).then(pushed) }
}

/// What a hit offers.
#[must_use]
pub fn want(hit: &Hit<SocketAddr>) -> Want {
    let FileHash { sha1, tree } = hit.file.hash;
    Want { sha1, len: hit.file.size, tree: Some(tree), sources: vec![source(hit)] }
}

impl Node {
    /// Listens, and runs until the last handle is dropped. `key` is who it is to others.
    ///
    /// # Errors
    /// If the address cannot be listened on or is none in particular, or the system gives no
    /// randomness.
    ///
    /// # Panics
    /// Outside of a tokio `LocalSet`.
    pub fn start(config: Config, key: SigningKey) -> io::Result<Self> {
        let Config { listen, local, firewalled, upload_slots, vouchers, rules } = config;
        if listen.ip().is_unspecified() {
            let why = "such a node listens at the address that others know it by";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let (Some(listener), Some(socket)) = dialer::listen(listen, None, true, true)? else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let address = listener.local_addr()?;
        let secret = getrandom::u64().map_err(io::Error::other)?;
        let id = Id(key.public());
        let machine = FastTrack::new(address, key, Arc::new(rules), secret)
            .with_vouchers(wire::read_vouchers(&vouchers));
        let limits = datagram::Config { rate_per_host: Some(RATE_PER_HOST) };
        let (handle, events) = datagram::spawn(socket, FastTrackWire, vec![machine], limits)?;
        let exchange = Exchange::new(address, !firewalled, local, upload_slots).known_as(id.0);
        let inner = Arc::new(Inner { exchange, shared: Mutex::default(), changed: Notify::new() });
        let (stop, stopped) = watch::channel(());
        if !firewalled {
            let giver = inner.clone();
            let greet = move |stream: TcpStream, peer| {
                let giver = giver.clone();
                async move { http_swarm::serve(&giver, stream, peer, Vec::new()).await }
            };
            tokio::spawn(http_swarm::accept(listener, stopped.clone(), greet));
        }
        tokio::spawn(http_swarm::call_waiting(Arc::downgrade(&inner)));
        tokio::spawn(tell_directory(inner.clone(), handle.clone(), stopped));
        tokio::task::spawn_local(follow(events, inner.clone(), local));
        Ok(Self { inner, handle, id, local, _stop: Arc::new(stop) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.handle.address()
    }

    /// Who it is.
    #[must_use]
    pub const fn id(&self) -> Id {
        self.id
    }

    /// Becomes part of the network that these nodes are in, or begins one if there are none; whether
    /// it did at once. Else it goes on trying.
    pub async fn join(&self, known: &[SocketAddr]) -> bool {
        let known = known.to_vec();
        matches!(self.handle.call(Command::Join { known }).await, Ok(Event::Joined { .. }))
    }

    /// Is a supernode from the start, beside these.
    pub async fn serve(&self, known: &[SocketAddr]) {
        // A node that has ended serves nobody.
        let _ = self.handle.call(Command::Serve { known: known.to_vec() }).await;
    }

    /// Says goodbye; a supernode sends its leaves to another.
    pub async fn leave(&self) {
        // A node that has ended is out.
        let _ = self.handle.call(Command::Leave).await;
    }

    /// Shares a file under its own name, once it has been hashed.
    ///
    /// # Errors
    /// If it cannot be read, or its name cannot be told, or too many are shared.
    pub async fn publish(&self, path: &Path, kind: Kind) -> io::Result<FileHash> {
        let path = path.to_owned();
        let hashed = tokio::task::spawn_blocking(move || Share::hash(&path));
        self.share(hashed.await.map_err(io::Error::other)??, kind)
    }

    /// Shares a file whose hashes are known. Its tree is made when somebody asks for it.
    ///
    /// # Errors
    /// If its name cannot be told, or too many are shared.
    pub fn publish_known(
        &self,
        path: &Path,
        name: &str,
        len: u64,
        hash: FileHash,
        kind: Kind,
    ) -> io::Result<()> {
        let FileHash { sha1, tree } = hash;
        let file = SharedFile { name: name.to_owned(), len, sha1, tree: Some(tree) };
        self.share(Share::known(path.to_owned(), file), kind).map(drop)
    }

    fn share(&self, share: Share, kind: Kind) -> io::Result<FileHash> {
        let bad = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
        let SharedFile { name, len, sha1, tree } = &share.file;
        let (sha1, tree) = (*sha1, tree.ok_or_else(|| bad("a file without a tree of hashes"))?);
        if name.len() > NAME_MAX {
            return Err(bad("a name that is too long for a directory"));
        }
        let hash = FileHash { sha1, tree };
        let file = File { kind, ..File::new(hash, *len, name) };
        {
            let mut shared = lock(&self.inner.shared);
            if shared.len() >= FILES_PER_LEAF && !shared.contains_key(&sha1) {
                return Err(bad("a directory keeps no more files of one node"));
            }
            shared.insert(sha1, Arc::new(file));
        }
        lock(&self.inner.exchange.shares).insert(Arc::new(share));
        self.inner.changed.notify_one();
        Ok(hash)
    }

    /// Shares a file no longer.
    pub fn unpublish(&self, sha1: Sha1) {
        lock(&self.inner.shared).remove(&sha1);
        lock(&self.inner.exchange.shares).remove(sha1);
        self.inner.changed.notify_one();
    }

    /// What supernodes have vouched for, to be kept; `None` once it has ended.
    pub async fn vouchers(&self) -> Option<Vec<u8>> {
        let seen =
            self.handle.look(|nodes, _| Some(wire::write_vouchers(nodes.first()?.vouchers())));
        seen.await.ok().flatten()
    }

    /// Looks for a file by its hash.
    ///
    /// # Errors
    /// If the node has ended.
    pub async fn locate(&self, sha1: Sha1) -> Result<Search, datagram::Gone> {
        self.search(&hash_word(sha1)).await
    }

    /// Looks for files by words. It goes on for a while, also over the end of the supernode.
    ///
    /// # Errors
    /// If the node has ended.
    pub async fn search(&self, words: &str) -> Result<Search, datagram::Gone> {
        let answers = self.handle.ask(Command::Search { words: words.into() }).await?;
        Ok(Search { answers, waiting: Vec::new().into_iter(), local: self.local })
    }

    /// Fetches a file to `to` from all of its sources and from those that directories know, verified,
    /// and gives them receipts; `told` hears how far it is. What has come when this is dropped or
    /// fails is kept in a file beside it, for the next try.
    ///
    /// # Errors
    /// If no source has the rest of it, it is not what its hash says, or it cannot be written.
    pub async fn fetch(
        &self,
        want: Want,
        to: &Path,
        told: watch::Sender<Progress>,
    ) -> Result<Fetched, FetchError> {
        let tree = self.tree(&want).await;
        let download = Download::open(&want, tree.map(Hashes::Tiger), to, told).await?;
        let fetched = http_swarm::bring(&self.taker(), &want, &download).await?;
        download.finish().await?;
        self.thank(&want, &fetched);
        Ok(fetched)
    }

    /// The tree of hashes of what is wanted, if one of its sources gives it.
    pub async fn tree(&self, want: &Want) -> Option<Tree> {
        http_swarm::tree(&*self.taker(), want).await
    }

    /// Brings blocks of a download from the sources in `want` and those that directories know, until
    /// every block is there, and gives them receipts if each block was verified. Others may take part
    /// in the download.
    ///
    /// # Errors
    /// If no source has what is missing, or it cannot be written.
    pub async fn bring(&self, want: &Want, download: &Download) -> Result<Fetched, FetchError> {
        let fetched = http_swarm::bring(&self.taker(), want, download).await?;
        if fetched.by_hashes {
            self.thank(want, &fetched);
        }
        Ok(fetched)
    }

    fn taker(&self) -> Arc<Taker> {
        Arc::new(Taker(self.clone()))
    }

    /// Gives receipts to those who gave something.
    fn thank(&self, want: &Want, fetched: &Fetched) {
        let hash = want.tree.map(|tree| FileHash { sha1: want.sha1, tree });
        for gave in &fetched.from {
            let (Some(hash), Some(uploader)) = (hash, gave.identity.map(Id)) else { continue };
            let millis = u32::try_from(gave.took.as_millis()).unwrap_or(u32::MAX);
            let (from, bytes) = (gave.addr, gave.bytes);
            self.handle.tell(Command::Downloaded { from, uploader, hash, bytes, millis });
        }
    }

    /// How it stands; `None` once it has ended.
    pub async fn look(&self) -> Option<Picture> {
        let (shared, given) = (lock(&self.inner.shared).len(), self.inner.exchange.given());
        let seen = self.handle.look(move |nodes, counters| {
            let node = nodes.first()?;
            let links = node.links().chain(node.others().iter().copied());
            Some(Picture {
                role: match node.supernode() {
                    None => Role::Seeking,
                    Some(_) if node.is_supernode() => Role::Supernode,
                    Some(_) => Role::Leaf,
                },
                supernode: node.supernode(),
                others: links.collect(),
                leaves: node.leaves().collect(),
                directory: node.directory_len(),
                shared,
                given,
                vouchers: node.vouchers().len(),
                has_mandate: node.mandate().is_some(),
                counters: *counters,
            })
        });
        seen.await.ok().flatten()
    }
}

impl Network for Inner {
    type Seek = std::convert::Infallible;

    const SEEKING: Duration = Duration::ZERO;

    fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    async fn push(&self, _: SocketAddr, _: &Pushed) -> io::Result<Given> {
        // Whoever gives connects to nobody for it.
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn seek(&self, _: Sha1) -> Option<Self::Seek> {
        // Whoever gives looks for nobody.
        None
    }

    async fn next(seek: &mut Self::Seek, _: &Want) -> Option<From> {
        match *seek {}
    }

    async fn answer(&self, stream: &mut TcpStream, request: &Request) -> io::Result<()> {
        http_swarm::simple(stream, "404 Not Found", "", request.keep_alive).await
    }
}

/// A node as it takes files: it looks for more who have them.
struct Taker(Node);

impl Network for Taker {
    type Seek = Search;

    const SEEKING: Duration = SEEKING;

    fn exchange(&self) -> &Exchange {
        self.0.inner.exchange()
    }

    async fn push(&self, addr: SocketAddr, pushed: &Pushed) -> io::Result<Given> {
        let exchange = self.exchange();
        // Most can be connected to.
        if let Ok(Ok(stream)) = timeout(DIRECT, exchange.dialer.tcp(addr)).await {
            return Ok((stream, Vec::new()));
        }
        let supernode = pushed.proxies.first().filter(|_| exchange.node().is_some());
        let supernode = *supernode.ok_or(io::ErrorKind::HostUnreachable)?;
        let mut ticket = Guid::default();
        getrandom::fill(&mut ticket.0).map_err(io::Error::other)?;
        let command = Command::Push { supernode, leaf: addr, ticket };
        exchange.givs.wait(ticket, async { self.0.handle.tell(command) }).await
    }

    async fn seek(&self, sha1: Sha1) -> Option<Search> {
        let is_in = self.0.look().await.is_some_and(|now| now.supernode.is_some());
        if is_in { self.0.locate(sha1).await.ok() } else { None }
    }

    async fn next(seek: &mut Search, wanted: &Want) -> Option<From> {
        loop {
            let hit = seek.next().await?;
            if hit.file.hash.sha1 == wanted.sha1 && hit.file.size == wanted.len {
                return Some(source(&hit));
            }
        }
    }

    async fn answer(&self, stream: &mut TcpStream, request: &Request) -> io::Result<()> {
        self.0.inner.answer(stream, request).await
    }
}

/// Tells the machine what is shared, some time after that has changed.
async fn tell_directory(
    inner: Arc<Inner>,
    handle: Handle<FastTrackWire>,
    mut stop: watch::Receiver<()>,
) {
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            () = inner.changed.notified() => {}
        }
        tokio::time::sleep(GATHER).await;
        let files = lock(&inner.shared).values().cloned().collect();
        if handle.ask(Command::Share { files }).await.is_err() {
            return;
        }
    }
}

/// Notes down what becomes of a node, and calls who wants to be called.
async fn follow(mut events: Events<FastTrackWire>, inner: Arc<Inner>, local: bool) {
    while let Some((_, event)) = events.next().await {
        match event {
            Event::CallWanted { to, ticket } if is_dialable(to, local) => {
                http_swarm::give(&inner, to, 0, ticket);
            }
            Event::Joined { supernode } => tracing::info!(%supernode, "FastTrack: joined"),
            Event::Lost => tracing::info!("FastTrack: the supernode is gone"),
            Event::Elected => tracing::info!("FastTrack: this node is a supernode"),
            Event::Demoted => tracing::info!("FastTrack: this node is no supernode any more"),
            event => tracing::debug!(?event, "FastTrack"),
        }
    }
}
