//! The reactor thread: sockets that listen, the facade's commands, disk results, farewells.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use bittorrent::id::{PeerId, PieceIndex};
use bittorrent::metainfo::Metainfo;
use bittorrent::peer_wire::Frame;
use bittorrent::picker::Priority;
use bittorrent::utp::Config as UtpConfig;
use codec::bitfield::Bitfield;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};
use tokio::task::{LocalSet, spawn_local};

use super::clock::Clock;
use super::config::{AddTorrent, SeedUntil, SessionConfig, Source, TorrentLimits};
use super::dht::Dht;
use super::picture::{PieceMemory, TorrentState, TorrentStats};
use super::shared::{BUFFER_SLACK, Shared};
use super::stream::Stream;
use super::torrent::Torrent;
use super::{FAREWELL, SessionError, budget, greeting, lsd};
use crate::dht::KademliaNode;
use crate::dialer::Dialer;
use crate::disk::{BufferPool, Disk, DiskConfig, DiskEvent};
use crate::store::Store;
use crate::utp::Endpoint;

/// Incoming connections that have not greeted yet, at most.
const GREETINGS_MAX: usize = 200;

pub(super) type ControlSender = UnboundedSender<Control>;

/// What the facade asks of the reactor.
#[derive(Debug)]
pub(super) enum Control {
    Add(Box<AddTorrent>, SyncSender<Result<u64, SessionError>>),
    Stats(u64, SyncSender<Option<TorrentStats>>),
    /// Pictures of the torrents of which something is new.
    Changed(SyncSender<Vec<(u64, TorrentStats)>>),
    Metainfo(u64, SyncSender<Option<Arc<Metainfo>>>),
    Select(u64, Vec<usize>),
    /// Answer when the torrent's state is no longer this.
    Watch(u64, TorrentState, SyncSender<Option<TorrentState>>),
    /// Leave a torrent and forget it; answered when its files are at rest.
    Remove(u64, SyncSender<()>),
    /// Ask the trackers again.
    Announce(u64),
    /// More addresses to try.
    AddPeers(u64, Vec<SocketAddr>),
    /// Bytes per second sent and received, over all torrents.
    SetLimits(Option<u64>, Option<u64>),
    /// Limits of one torrent.
    SetMaxConnections(usize),
    SetTorrentLimits(u64, TorrentLimits),
    /// Files of one torrent that are wanted more or less than most.
    Prioritize(u64, Vec<(usize, Priority)>),
    /// When one torrent stops seeding.
    SeedUntil(u64, SeedUntil),
    /// Pieces that are verified.
    Have(u64, SyncSender<Option<Bitfield>>),
    /// Hear of every state and every piece from now on.
    Follow(u64, SyncSender<Option<watch::Receiver<()>>>),
    /// Others bring these pieces.
    Leave(u64, Bitfield),
    /// The files, to read from.
    Store(u64, SyncSender<Option<Arc<Store>>>),
    /// Somebody reads these pieces now, in this order; nothing to read ends it.
    Read(u64, ReaderId, Range<u32>),
    /// Answer when a piece is verified; drop the sender when it will not be.
    Await(u64, PieceIndex, oneshot::Sender<()>),
    /// The nodes of the DHT.
    DhtNodes(SyncSender<Vec<KademliaNode>>),
    /// Become part of the DHT that these nodes are in.
    JoinDht(Vec<String>, SyncSender<Result<(), SessionError>>),
    /// Leave the DHT; answered when the nodes are gone.
    LeaveDht(SyncSender<()>),
    /// What unfinished pieces take.
    Memory(SyncSender<PieceMemory>),
    Shutdown(SyncSender<()>),
}

/// What the reactor says once it runs.
pub(super) struct Begun {
    pub(super) listens: Vec<SocketAddr>,
}

type Beginning = SyncSender<Result<Begun, SessionError>>;

/// Tells readers of one torrent apart.
pub(super) type ReaderId = u64;

/// The thread's main function.
pub(super) fn run(config: SessionConfig, commands: UnboundedReceiver<Control>, begun: &Beginning) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return answer(begun, Err(SessionError::Start(error))),
    };
    LocalSet::new().block_on(&runtime, async move {
        match Reactor::start(config) {
            Ok((reactor, disk_events)) => {
                answer(begun, Ok(Begun { listens: reactor.shared.listens.clone() }));
                reactor.serve(commands, disk_events).await;
            }
            Err(error) => answer(begun, Err(error)),
        }
    });
}

/// Answers a caller that may have gone away meanwhile.
fn answer<T>(to: &SyncSender<T>, value: T) {
    let _ = to.send(value);
}

struct Reactor {
    shared: Rc<Shared>,
    pool: BufferPool,
    next_tag: u64,
}

impl Reactor {
    fn start(config: SessionConfig) -> Result<(Self, UnboundedReceiver<DiskEvent>), SessionError> {
        let clock = Clock::start();
        let dialer = Dialer::for_listeners(&config.listen, config.interface.clone());
        let mut listens: Vec<SocketAddr> = Vec::new();
        let mut listeners = Vec::new();
        let mut utp = Vec::new();
        // Of the DHT alone.
        let mut udp_only = Vec::new();
        let wants_udp = config.utp || config.dht.is_some();
        for &address in &config.listen {
            let at = |source| SessionError::Listen { address, source };
            let interface = config.interface.as_deref();
            let listen = |port| {
                let address = SocketAddr::new(address.ip(), port);
                crate::dialer::listen(address, interface, config.tcp, wants_udp)
            };
            // A port that the system chose is best the same in both families: trackers are told one.
            let chosen = listens.first().filter(|_| address.port() == 0).map(SocketAddr::port);
            let same = chosen.and_then(|port| listen(port).ok());
            let (tcp, udp) = same.map_or_else(|| listen(address.port()), Ok).map_err(at)?;
            let mut bound = address;
            if let Some(listener) = tcp {
                bound = listener.local_addr().map_err(at)?;
                listeners.push(listener);
            }
            if let Some(socket) = udp {
                bound = socket.local_addr().map_err(at)?;
                if !config.utp {
                    udp_only.push(socket);
                    listens.push(bound);
                    continue;
                }
                let seed = random_u64()?;
                let endpoint = Endpoint::new(socket, UtpConfig::default(), seed).map_err(at)?;
                utp.push(Rc::new(endpoint));
            }
            listens.push(bound);
        }
        let buffer_bytes = usize::try_from(config.piece_memory).unwrap_or(usize::MAX);
        let buffer_bytes = buffer_bytes.saturating_add(BUFFER_SLACK);
        let (disk, disk_events) = Disk::start(DiskConfig { buffer_bytes, ..DiskConfig::default() })
            .map_err(SessionError::Start)?;
        let http = crate::http_client::Client::new(dialer.clone());
        let dht = Dht::start(&config, &utp, udp_only, &listens)?;
        let shared = Shared::new(config, clock, peer_id()?, listens, dialer, utp, dht, disk, http);
        for listener in listeners {
            spawn_local(accept_tcp(shared.clone(), listener));
        }
        for endpoint in shared.utp.clone() {
            spawn_local(accept_utp(shared.clone(), endpoint));
        }
        let (up, down) = (shared.clone(), shared.clone());
        spawn_local(async move { up.limits.up.run().await });
        spawn_local(async move { down.limits.down.run().await });
        if shared.config.lsd {
            spawn_local(lsd::run(shared.clone()));
        }
        spawn_local(budget::run(shared.clone()));
        let pool = shared.disk.pool().clone();
        let reactor = Self { shared, pool, next_tag: 1 };
        Ok((reactor, disk_events))
    }

    async fn serve(
        mut self,
        mut commands: UnboundedReceiver<Control>,
        mut disk_events: UnboundedReceiver<DiskEvent>,
    ) {
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Control::Shutdown(done)) => {
                        self.farewell(&mut disk_events).await;
                        return answer(&done, ());
                    }
                    Some(command) => self.handle(command),
                    None => return,
                },
                Some(event) = disk_events.recv() => self.on_disk(event),
            }
        }
    }

    fn on_disk(&self, event: DiskEvent) {
        if let Some(torrent) = self.shared.torrent(event.tag() >> 32) {
            torrent.on_disk(event);
        }
        let mut waiting = self.shared.waiting_jobs.borrow_mut();
        while let Some(job) = waiting.pop_front() {
            if let Err(job) = self.shared.disk.submit(job) {
                waiting.push_front(job);
                break;
            }
        }
    }

    fn handle(&mut self, command: Control) {
        match command {
            Control::Add(add, to) => answer(&to, self.add(*add)),
            Control::Stats(tag, to) => {
                answer(&to, self.shared.torrent(tag).map(|torrent| torrent.stats()));
            }
            Control::Changed(to) => {
                let changed = self.shared.take_changed();
                answer(&to, changed.iter().map(|torrent| (torrent.tag, torrent.stats())).collect());
            }
            Control::Metainfo(tag, to) => {
                let torrent = self.shared.torrent(tag);
                answer(&to, torrent.and_then(|torrent| torrent.metainfo.borrow().clone()));
            }
            Control::Select(tag, files) => {
                if let Some(torrent) = self.shared.torrent(tag) {
                    torrent.select(files);
                }
            }
            Control::Watch(tag, from, to) => {
                let torrent = self.shared.torrent(tag);
                spawn_local(async move {
                    let Some(torrent) = torrent else { return answer(&to, None) };
                    loop {
                        let changed = torrent.state_changed.notified();
                        let state = torrent.state();
                        if state != from {
                            return answer(&to, Some(state));
                        }
                        changed.await;
                    }
                });
            }
            Control::Remove(tag, to) => {
                let Some(torrent) = self.shared.torrent(tag) else { return answer(&to, ()) };
                torrent.stop();
                let shared = self.shared.clone();
                spawn_local(async move {
                    let at_rest = async {
                        while !torrent.is_at_rest() {
                            shared.settled.notified().await;
                        }
                    };
                    if tokio::time::timeout(FAREWELL, at_rest).await.is_err() {
                        tracing::warn!("a torrent was removed before its peers and files let go");
                    }
                    shared.remove(&torrent);
                    answer(&to, ());
                });
            }
            Control::SetLimits(up, down) => {
                self.shared.limits.up.set_limit(up);
                self.shared.limits.down.set_limit(down);
            }
            Control::SetMaxConnections(max) => self.shared.set_max_connections(max),
            Control::SetTorrentLimits(tag, limits) => {
                self.with(tag, |torrent| torrent.set_limits(limits));
            }
            Control::Prioritize(tag, files) => {
                self.with(tag, |torrent| torrent.set_priorities(files));
            }
            Control::SeedUntil(tag, until) => {
                self.with(tag, |torrent| torrent.set_seed_until(until));
            }
            Control::Announce(tag) => self.with(tag, |torrent| torrent.announce_again()),
            Control::AddPeers(tag, peers) => self.with(tag, |torrent| torrent.add_peers(peers)),
            Control::Have(tag, to) => {
                answer(&to, self.shared.torrent(tag).and_then(|torrent| torrent.have()));
            }
            Control::Follow(tag, to) => {
                answer(&to, self.shared.torrent(tag).map(|torrent| torrent.follow()));
            }
            Control::Leave(tag, pieces) => self.with(tag, |torrent| torrent.leave(pieces)),
            Control::Store(tag, to) => {
                answer(&to, self.shared.torrent(tag).and_then(|torrent| torrent.store()));
            }
            Control::Read(tag, reader, pieces) => {
                self.with(tag, |torrent| torrent.read_ahead(reader, pieces));
            }
            Control::Await(tag, piece, to) => {
                self.with(tag, |torrent| torrent.await_piece(piece, to))
            }
            Control::DhtNodes(to) => {
                let nodes = self.shared.dht.nodes();
                answer(&to, nodes.iter().map(|node| node.kademlia.clone()).collect());
            }
            Control::JoinDht(known, to) => answer(&to, self.join_dht(known)),
            Control::LeaveDht(to) => {
                let leave = self.shared.dht.leave(FAREWELL);
                spawn_local(async move {
                    leave.await;
                    answer(&to, ());
                });
            }
            Control::Memory(to) => {
                let (begun, begun_peak) = self.shared.budget.usage();
                let taken_peak = self.pool.peak() as u64;
                answer(&to, PieceMemory { begun, begun_peak, taken_peak });
            }
            Control::Shutdown(_) => {}
        }
    }

    fn join_dht(&self, known: Vec<String>) -> Result<(), SessionError> {
        if self.shared.dht.join(known)? {
            for torrent in self.shared.torrents() {
                spawn_local(torrent.run_dht());
            }
        }
        Ok(())
    }

    fn with(&self, tag: u64, act: impl FnOnce(&Rc<Torrent>)) {
        if let Some(torrent) = self.shared.torrent(tag) {
            act(&torrent);
        }
    }

    fn add(&mut self, add: AddTorrent) -> Result<u64, SessionError> {
        let hashes = match &add.source {
            Source::Metainfo(metainfo) => metainfo.info.hashes,
            Source::Magnet(magnet) => magnet.hashes,
        };
        let primary = hashes.primary().ok_or(SessionError::NoHash)?;
        if hashes.handshake_hashes().any(|hash| self.shared.by_hash(hash).is_some()) {
            return Err(SessionError::Duplicate(primary));
        }
        let tag = self.next_tag;
        self.next_tag += 1;
        let torrent =
            Torrent::new(tag, hashes, add, self.shared.clone(), self.pool.clone(), random_u64()?);
        torrent.begin()?;
        self.shared.add(&torrent);
        Ok(tag)
    }

    /// Stops every torrent and waits, within [`FAREWELL`], until all is said and written.
    async fn farewell(&mut self, disk_events: &mut UnboundedReceiver<DiskEvent>) {
        self.shared.dht.close().await;
        let mut torrents = self.shared.torrents();
        torrents.iter().for_each(Torrent::stop);
        let settled = async {
            loop {
                while torrents.pop_if(|torrent| torrent.is_settled()).is_some() {}
                if torrents.is_empty() {
                    return;
                }
                tokio::select! {
                    Some(event) = disk_events.recv() => self.on_disk(event),
                    () = self.shared.settled.notified() => {}
                }
            }
        };
        if tokio::time::timeout(FAREWELL, settled).await.is_err() {
            tracing::warn!("some trackers or peers did not hear our farewell in time");
        }
    }
}

async fn accept_tcp(shared: Rc<Shared>, listener: TcpListener) {
    let places = Arc::new(tokio::sync::Semaphore::new(GREETINGS_MAX));
    loop {
        // A full house stops accepting: the system's backlog is the queue.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, address)) => {
                let shared = shared.clone();
                spawn_local(async move {
                    if stream.set_nodelay(true).is_ok() {
                        greet(&shared, Stream::Tcp(stream), address).await;
                    }
                    drop(place);
                });
            }
            Err(error) => {
                // Out of descriptors or memory: waiting is all that helps.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn accept_utp(shared: Rc<Shared>, endpoint: Rc<Endpoint>) {
    let places = Arc::new(tokio::sync::Semaphore::new(GREETINGS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = endpoint.accept().await;
        let shared = shared.clone();
        spawn_local(async move {
            let address = stream.peer_addr();
            greet(&shared, Stream::Utp(stream), address).await;
            drop(place);
        });
    }
}

/// Hears a stranger out and hands it to the torrent that it names.
async fn greet(shared: &Rc<Shared>, stream: Stream, address: SocketAddr) {
    let find = |hash| shared.by_skey(hash);
    match greeting::accept(stream, shared.config.encryption, find).await {
        Ok(accepted) => {
            let Some(torrent) = shared.by_hash(accepted.handshake.info_hash) else {
                return tracing::debug!(peer = %address, "asked for a torrent that is not here");
            };
            if shared.has_room() {
                let handshake = Some(Frame::Handshake(accepted.handshake));
                let (greeted, framing) = (accepted.greeted, accepted.framing);
                torrent.open(greeted, framing, address, None, handshake);
            }
        }
        Err(error) => tracing::debug!(peer = %address, %error, "greeting failed"),
    }
}

fn random_u64() -> Result<u64, SessionError> {
    getrandom::u64().map_err(|error| SessionError::Start(io::Error::other(error.to_string())))
}

/// Azureus-style (BEP 20), the rest random.
fn peer_id() -> Result<PeerId, SessionError> {
    let mut id = *b"-SO0100-............";
    getrandom::fill(&mut id[8..])
        .map_err(|error| SessionError::Start(io::Error::other(error.to_string())))?;
    Ok(PeerId(id))
}
