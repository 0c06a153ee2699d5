//! What all torrents of a session share: limits, clock, identity, transports, disk threads.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use bittorrent::id::{InfoHash, PeerId};
use bittorrent::mse::SkeyHash;
use machine::ConnId;
use tokio::sync::{Notify, Semaphore};

use super::budget::Budget;
use super::clock::Clock;
use super::config::SessionConfig;
use super::dht::Dht;
use super::torrent::{Limits, Torrent};
use crate::dialer::Dialer;
use crate::disk::{Disk, DiskJob};
use crate::utp::Endpoint;

/// Bytes of buffers beyond those of unfinished pieces that are kept to be used again.
pub(super) const BUFFER_SLACK: usize = 6 * 1024 * 1024;
/// Bytes read from a socket at once where they are not laid out over pieces.
const SCRATCH_LEN: usize = 128 * 1024;
/// Announcements to trackers at once, of torrents that seed and of torrents that fetch.
const ANNOUNCING_MAX: usize = 50;
/// Searches of the DHT at once, of torrents that seed and of torrents that fetch.
const SEARCHING_MAX: usize = 8;
/// TCP connections being opened at once.
const DIALING_MAX: usize = 100;

/// Turns of torrents at something that not all should do at once. A thousand that seed must not
/// keep the one waiting that fetches.
pub(super) struct Turns {
    pub(super) seeding: Semaphore,
    pub(super) fetching: Semaphore,
}

impl Turns {
    fn new(count: usize) -> Self {
        Self { seeding: Semaphore::new(count), fetching: Semaphore::new(count) }
    }
}

/// The session's common ground, on the reactor thread.
pub(super) struct Shared {
    pub(super) config: SessionConfig,
    pub(super) clock: Clock,
    pub(super) peer_id: PeerId,
    pub(super) listens: Vec<SocketAddr>,
    pub(super) limits: Limits,
    pub(super) scratch_in: RefCell<Vec<u8>>,
    pub(super) scratch_out: RefCell<Vec<u8>>,
    pub(super) dialer: Dialer,
    pub(super) utp: Vec<Rc<Endpoint>>,
    pub(super) dht: Dht,
    pub(super) disk: Disk,
    pub(super) budget: Budget,
    pub(super) trackers: crate::tracker::TrackerClient,
    pub(super) http: crate::http_client::Client,
    pub(super) announcing: Turns,
    pub(super) searching: Turns,
    torrents: RefCell<HashMap<u64, Rc<Torrent>>>,
    by_hash: RefCell<HashMap<InfoHash, Rc<Torrent>>>,
    by_skey: RefCell<HashMap<SkeyHash, InfoHash>>,
    /// Torrents of which something is new since somebody asked.
    changed: RefCell<HashSet<u64>>,
    /// A stopped torrent has finished another of its farewells.
    pub(super) settled: Notify,
    /// Jobs that found the disk's queue full.
    pub(super) waiting_jobs: RefCell<VecDeque<DiskJob>>,
    conn_count: Cell<u32>,
    open_conns: Cell<usize>,
    /// Most of them.
    max_connections: Cell<usize>,
    dialing: Cell<usize>,
    dial_queue: RefCell<VecDeque<tokio::sync::oneshot::Sender<()>>>,
}

impl Shared {
    #[expect(clippy::too_many_arguments, reason = "made once, of parts that are made before it")]
    pub(super) fn new(
        config: SessionConfig,
        clock: Clock,
        peer_id: PeerId,
        listens: Vec<SocketAddr>,
        dialer: Dialer,
        utp: Vec<Rc<Endpoint>>,
        dht: Dht,
        disk: Disk,
        http: crate::http_client::Client,
    ) -> Rc<Self> {
        let limits = Limits {
            up: super::limiter::Limiter::new(config.upload_limit, clock),
            down: super::limiter::Limiter::new(config.download_limit, clock),
        };
        let budget = Budget::new(config.piece_memory);
        let trackers = crate::tracker::TrackerClient::with_http(dialer.clone(), http.clone());
        Rc::new(Self {
            max_connections: Cell::new(config.max_connections),
            config,
            clock,
            peer_id,
            listens,
            limits,
            scratch_in: RefCell::new(vec![0; SCRATCH_LEN]),
            scratch_out: RefCell::default(),
            dialer,
            utp,
            dht,
            disk,
            budget,
            trackers,
            http,
            announcing: Turns::new(ANNOUNCING_MAX),
            searching: Turns::new(SEARCHING_MAX),
            torrents: RefCell::default(),
            by_hash: RefCell::default(),
            by_skey: RefCell::default(),
            changed: RefCell::default(),
            settled: Notify::new(),
            waiting_jobs: RefCell::default(),
            conn_count: Cell::new(0),
            open_conns: Cell::new(0),
            dialing: Cell::new(0),
            dial_queue: RefCell::default(),
        })
    }

    /// The port that peers should dial.
    pub(super) fn listen_port(&self) -> Option<u16> {
        self.listens.first().map(SocketAddr::port)
    }

    /// A fresh connection name, counted as open until [`Self::connection_closed`].
    pub(super) fn next_conn(&self) -> ConnId {
        self.conn_count.set(self.conn_count.get().wrapping_add(1));
        self.open_conns.set(self.open_conns.get() + 1);
        ConnId(self.conn_count.get())
    }

    pub(super) fn connection_closed(&self) {
        self.open_conns.set(self.open_conns.get().saturating_sub(1));
    }

    /// Whether there is room for another connection.
    pub(super) fn has_room(&self) -> bool {
        self.open_conns.get() < self.max_connections.get()
    }

    /// As many connections as there may be at once, over all torrents.
    pub(super) fn max_connections(&self) -> usize {
        self.max_connections.get()
    }

    /// Keeps at most so many connections from now on; those there are stay.
    pub(super) fn set_max_connections(&self, max: usize) {
        self.max_connections.set(max);
    }

    /// Waits for one of the places for outgoing connections; [`Self::dialled`] gives it back.
    pub(super) async fn dial_turn(&self) {
        if self.dialing.get() < DIALING_MAX {
            self.dialing.set(self.dialing.get() + 1);
            return;
        }
        let (turn, comes) = tokio::sync::oneshot::channel();
        self.dial_queue.borrow_mut().push_back(turn);
        // The sender is only dropped with the session; then nothing is dialled any more.
        let _ = comes.await;
    }

    pub(super) fn dialled(&self) {
        while let Some(next) = self.dial_queue.borrow_mut().pop_front() {
            if next.send(()).is_ok() {
                return;
            }
        }
        self.dialing.set(self.dialing.get() - 1);
    }

    pub(super) fn add(&self, torrent: &Rc<Torrent>) {
        self.torrents.borrow_mut().insert(torrent.tag, torrent.clone());
        for hash in torrent.hashes.handshake_hashes() {
            self.by_hash.borrow_mut().insert(hash, torrent.clone());
            self.by_skey.borrow_mut().insert(SkeyHash::of(hash), hash);
        }
    }

    pub(super) fn remove(&self, torrent: &Rc<Torrent>) {
        self.torrents.borrow_mut().remove(&torrent.tag);
        self.budget.forget(torrent.tag);
        self.changed.borrow_mut().remove(&torrent.tag);
        let mut by_hash = self.by_hash.borrow_mut();
        for hash in torrent.hashes.handshake_hashes() {
            // It may name another torrent by now.
            if by_hash.get(&hash).is_some_and(|other| Rc::ptr_eq(other, torrent)) {
                by_hash.remove(&hash);
                self.by_skey.borrow_mut().remove(&SkeyHash::of(hash));
            }
        }
    }

    pub(super) fn torrent(&self, tag: u64) -> Option<Rc<Torrent>> {
        self.torrents.borrow().get(&tag).cloned()
    }

    /// Something is new of this torrent.
    pub(super) fn changed(&self, tag: u64) {
        self.changed.borrow_mut().insert(tag);
    }

    /// The torrents of which something is new since this was last asked.
    pub(super) fn take_changed(&self) -> Vec<Rc<Torrent>> {
        let changed = self.changed.take();
        changed.into_iter().filter_map(|tag| self.torrent(tag)).collect()
    }

    pub(super) fn torrents(&self) -> Vec<Rc<Torrent>> {
        self.torrents.borrow().values().cloned().collect()
    }

    pub(super) fn by_hash(&self, hash: InfoHash) -> Option<Rc<Torrent>> {
        self.by_hash.borrow().get(&hash).filter(|torrent| !torrent.stopped.get()).cloned()
    }

    /// The torrent that an obfuscated greeting means.
    pub(super) fn by_skey(&self, wanted: SkeyHash) -> Option<InfoHash> {
        self.by_skey.borrow().get(&wanted).copied()
    }
}
