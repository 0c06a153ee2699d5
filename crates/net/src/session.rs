//! A session: all torrents of one process, on one reactor thread. This file is the facade that
//! programs use, callable from any thread; how it works is in the files below it.

mod budget;
mod clock;
mod config;
mod conn;
mod dht;
mod greeting;
mod limiter;
mod lsd;
mod picture;
mod pieces;
mod reactor;
mod reader;
mod shared;
mod stream;
mod throttle;
mod torrent;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use bittorrent::metainfo::Metainfo;
use bittorrent::picker::Priority;

use crate::dht::KademliaNode;
use crate::port_map::{PortMapper, PortMapping, PortProtocol};
use crate::store::Store;
use codec::bitfield::Bitfield;
use tokio::sync::watch;

pub use config::{
    AddTorrent, DhtConfig, Earlier, Encryption, Precedence, SeedUntil, SessionConfig, Source,
    TorrentLimits,
};
pub use picture::{
    PeerStats, PieceMemory, Progress, TorrentState, TorrentStats, TrackerStats, Transport,
};
use reactor::{Begun, Control, ControlSender};
pub use reader::{FileReader, ReadError};

/// How long a session may take to say goodbye to its trackers and peers.
const FAREWELL: Duration = Duration::from_secs(4);

/// Why a session, or a torrent in it, could not begin.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// An address cannot be listened on.
    #[error("listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The runtime or its thread cannot be had.
    #[error("start the session: {0}")]
    Start(#[source] io::Error),
    /// The folder or files cannot be used.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// This torrent is in the session already.
    #[error("torrent {0} is in this session already")]
    Duplicate(bittorrent::id::InfoHash),
    /// A source without any infohash.
    #[error("the source names no infohash")]
    NoHash,
    /// The session has ended.
    #[error("the session has ended")]
    Ended,
}

/// A running session. Dropping it without [`Session::shutdown`] ends it without farewells.
#[derive(Debug)]
pub struct Session {
    control: ControlSender,
    listens: Vec<SocketAddr>,
    port_mapper: Option<PortMapper>,
    thread: Option<JoinHandle<()>>,
}

impl Session {
    /// Binds the sockets and starts the reactor thread.
    ///
    /// # Errors
    /// When an address cannot be bound or a thread cannot be started.
    pub fn start(config: SessionConfig) -> Result<Self, SessionError> {
        let (ready, begun) = sync_channel(1);
        let (control, commands) = tokio::sync::mpsc::unbounded_channel();
        let maps_ports = config.port_mapping && config.interface.is_none();
        let (tcp, udp) = (config.tcp, config.utp || config.dht.is_some());
        let thread = std::thread::Builder::new()
            .name("shoal-reactor".into())
            .spawn(move || reactor::run(config, commands, &ready))
            .map_err(SessionError::Start)?;
        let Begun { listens } = begun.recv().map_err(|_| SessionError::Ended)??;
        let doors = if maps_ports { doors(&listens, tcp, udp) } else { Vec::new() };
        let port_mapper = match doors.is_empty() {
            true => None,
            false => Some(PortMapper::start(&doors).map_err(SessionError::Start)?),
        };
        Ok(Self { control, listens, port_mapper, thread: Some(thread) })
    }

    /// How it stands with each port that the router at home was asked to let the outside reach.
    #[must_use]
    pub fn port_mappings(&self) -> Vec<PortMapping> {
        self.port_mapper.as_ref().map(PortMapper::mappings).unwrap_or_default()
    }

    /// Where it accepts connections.
    #[must_use]
    pub fn listen_addrs(&self) -> Vec<SocketAddr> {
        self.listens.clone()
    }

    /// Where its nodes of the DHT are, one for each IP version it listens on at most.
    #[must_use]
    pub fn dht_addrs(&self) -> Vec<SocketAddr> {
        self.dht_nodes().iter().map(KademliaNode::address).collect()
    }

    /// Its nodes of the DHT, to look at.
    #[must_use]
    pub fn dht_nodes(&self) -> Vec<KademliaNode> {
        let (answer, answered) = sync_channel(1);
        if self.control.send(Control::DhtNodes(answer)).is_err() {
            return Vec::new();
        }
        answered.recv().unwrap_or_default()
    }

    /// Takes part in the DHT, beginning with nodes that are named as `HOST:PORT`; if it does so
    /// already, looks for them too. Torrents that run look for peers there.
    ///
    /// # Errors
    /// When there is no socket to be had for it.
    pub fn join_dht(&self, bootstrap: Vec<String>) -> Result<(), SessionError> {
        let (answer, answered) = sync_channel(1);
        let join = Control::JoinDht(bootstrap, answer);
        self.control.send(join).map_err(|_| SessionError::Ended)?;
        answered.recv().map_err(|_| SessionError::Ended)?
    }

    /// Takes no part in the DHT any more. Returns when its nodes have said goodbye, within seconds.
    pub fn leave_dht(&self) {
        let (answer, answered) = sync_channel(1);
        if self.control.send(Control::LeaveDht(answer)).is_ok() {
            // An answer and a dead reactor lead to the same end.
            let _ = answered.recv();
        }
    }

    /// Takes part in a torrent.
    ///
    /// # Errors
    /// When it is in the session already, names no hash, or its folder cannot be used.
    pub fn add(&self, add: AddTorrent) -> Result<Torrent, SessionError> {
        let (answer, answered) = sync_channel(1);
        self.control.send(Control::Add(Box::new(add), answer)).map_err(|_| SessionError::Ended)?;
        let tag = answered.recv().map_err(|_| SessionError::Ended)??;
        Ok(Torrent { tag, control: self.control.clone() })
    }

    /// Leaves a torrent and forgets it; its files stay. Returns when nobody touches them any more.
    pub fn remove(&self, torrent: &Torrent) {
        torrent.remove();
    }

    /// Pictures of the torrents of which something is new since this was last called, peers and
    /// rates included: all there is to ask for often when there are thousands.
    #[must_use]
    pub fn changed(&self) -> Vec<(TorrentId, TorrentStats)> {
        let (answer, answered) = sync_channel(1);
        if self.control.send(Control::Changed(answer)).is_err() {
            return Vec::new();
        }
        let changed = answered.recv().unwrap_or_default();
        changed.into_iter().map(|(tag, stats)| (TorrentId(tag), stats)).collect()
    }

    /// Limits payload to so many bytes per second sent and received, over all torrents; `None`
    /// is no limit.
    pub fn set_limits(&self, upload: Option<u64>, download: Option<u64>) {
        let _ = self.control.send(Control::SetLimits(upload, download));
    }

    /// Keeps at most so many connections from now on, over all torrents. Those there are stay.
    pub fn set_max_connections(&self, max: usize) {
        let _ = self.control.send(Control::SetMaxConnections(max));
    }

    /// What unfinished pieces take of memory; `None` once the session has ended.
    #[must_use]
    pub fn piece_memory(&self) -> Option<PieceMemory> {
        let (answer, answered) = sync_channel(1);
        self.control.send(Control::Memory(answer)).ok()?;
        answered.recv().ok()
    }

    /// Says goodbye to trackers and peers, brings journals up to date and ends; within seconds.
    pub fn shutdown(mut self) {
        let (answer, answered) = sync_channel(1);
        if self.control.send(Control::Shutdown(answer)).is_ok() {
            // An answer, a time-out and a dead reactor all lead to the same end.
            let _ = answered.recv_timeout(2 * FAREWELL);
        }
        if let Some(port_mapper) = self.port_mapper.take() {
            port_mapper.shutdown();
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the reactor thread panicked");
        }
    }
}

/// The ports that a router would have to let through for these addresses, each once.
fn doors(listens: &[SocketAddr], tcp: bool, udp: bool) -> Vec<(PortProtocol, NonZeroU16)> {
    let mut doors = Vec::new();
    for listen in listens.iter().filter(|listen| listen.is_ipv4() && !listen.ip().is_loopback()) {
        let Some(port) = NonZeroU16::new(listen.port()) else { continue };
        for (protocol, used) in [(PortProtocol::Tcp, tcp), (PortProtocol::Udp, udp)] {
            if used && !doors.contains(&(protocol, port)) {
                doors.push((protocol, port));
            }
        }
    }
    doors
}

/// Tells the torrents of a session apart; never used twice in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TorrentId(u64);

/// A torrent in a session.
#[derive(Clone, Debug)]
pub struct Torrent {
    tag: u64,
    control: ControlSender,
}

impl Torrent {
    /// Which it is.
    #[must_use]
    pub fn id(&self) -> TorrentId {
        TorrentId(self.tag)
    }

    /// As [`Session::remove`], for who has no session at hand.
    pub fn remove(&self) {
        let (answer, answered) = sync_channel(1);
        if self.control.send(Control::Remove(self.tag, answer)).is_ok() {
            // An answer and a dead reactor lead to the same end.
            let _ = answered.recv();
        }
    }

    /// A picture of it now; `None` once the session has ended.
    #[must_use]
    pub fn stats(&self) -> Option<TorrentStats> {
        let (answer, answered) = sync_channel(1);
        self.control.send(Control::Stats(self.tag, answer)).ok()?;
        answered.recv().ok()?
    }

    /// Its metainfo, once it is known.
    #[must_use]
    pub fn metainfo(&self) -> Option<Arc<Metainfo>> {
        let (answer, answered) = sync_channel(1);
        self.control.send(Control::Metainfo(self.tag, answer)).ok()?;
        answered.recv().ok()?
    }

    /// The pieces that are verified; `None` while that is not known.
    #[must_use]
    pub fn have(&self) -> Option<Bitfield> {
        let (answer, answered) = sync_channel(1);
        self.control.send(Control::Have(self.tag, answer)).ok()?;
        answered.recv().ok()?
    }

    /// Hears whenever its state changes, a piece is verified or a piece layer becomes known; ends when it leaves the session.
    /// `None` if it has.
    pub(crate) fn follow(&self) -> Option<watch::Receiver<()>> {
        let (answer, answered) = sync_channel(1);
        self.control.send(Control::Follow(self.tag, answer)).ok()?;
        answered.recv().ok()?
    }

    /// Its files; `None` while it is not known which there are.
    pub(crate) fn store(&self) -> Option<Arc<Store>> {
        let (answer, answered) = sync_channel(1);
        self.control.send(Control::Store(self.tag, answer)).ok()?;
        answered.recv().ok()?
    }

    /// Does not fetch these pieces, which others bring. Replaces what was said before.
    pub(crate) fn leave(&self, pieces: Bitfield) {
        let _ = self.control.send(Control::Leave(self.tag, pieces));
    }

    /// A reader of file `index` of its info dictionary; `None` if there is no such file, or it is
    /// not known yet.
    #[must_use]
    pub fn reader(&self, index: usize) -> Option<FileReader> {
        FileReader::open(self, index)
    }

    /// Asks its trackers again now.
    pub fn reannounce(&self) {
        // That the session has ended shows elsewhere.
        let _ = self.control.send(Control::Announce(self.tag));
    }

    /// Tries these addresses too.
    pub fn add_peers(&self, peers: Vec<SocketAddr>) {
        let _ = self.control.send(Control::AddPeers(self.tag, peers));
    }

    /// Limits it anew from now on.
    pub fn set_limits(&self, limits: TorrentLimits) {
        let _ = self.control.send(Control::SetTorrentLimits(self.tag, limits));
    }

    /// Says how much files (indices in the info dictionary) are wanted, those that are not wanted
    /// as most. Which are wanted at all does not change.
    pub fn set_priorities(&self, files: Vec<(usize, Priority)>) {
        let _ = self.control.send(Control::Prioritize(self.tag, files));
    }

    /// Says when to stop seeding from now on.
    pub fn set_seed_until(&self, until: SeedUntil) {
        let _ = self.control.send(Control::SeedUntil(self.tag, until));
    }

    /// Says which files (indices in the info dictionary) to fetch of a torrent that was added to
    /// wait for this. Of no effect in any state but [`TorrentState::Selecting`].
    pub fn select(&self, files: Vec<usize>) {
        // A session that has ended fetches nothing anyway.
        let _ = self.control.send(Control::Select(self.tag, files));
    }

    /// Blocks until its state is another one than `from`, or `timeout` has passed; returns the
    /// state then, or `None` once the session has ended.
    #[must_use]
    pub fn wait_while(&self, from: TorrentState, timeout: Duration) -> Option<TorrentState> {
        let (answer, answered) = sync_channel(1);
        self.control.send(Control::Watch(self.tag, from, answer)).ok()?;
        match answered.recv_timeout(timeout) {
            Ok(state) => state,
            Err(RecvTimeoutError::Timeout) => Some(self.stats()?.state),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Blocks until its state changes or `timeout` has passed, and returns it.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> Option<TorrentState> {
        let now = self.stats()?.state;
        self.wait_while(now, timeout)
    }
}
