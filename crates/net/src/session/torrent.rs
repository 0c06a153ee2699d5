//! One torrent's driver: owns the machine, carries its effects to connections and storage, and
//! brings their inputs back to it. Inputs never nest: outputs are handled when the input is done.

mod dht;
mod dialing;
mod disk_events;
mod goals;
mod reading;
mod stats;
mod trackers;
mod web_seeds;

use std::cell::{Cell, RefCell, RefMut};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use bittorrent::id::{Block, InfoHash, InfoHashes, PieceIndex};
use bittorrent::metainfo::{Info, Metainfo};
use bittorrent::peer_wire::{Frame, HashRange, PeerFraming};
use bittorrent::picker::{PieceOrder, Priority};
use bittorrent::swarm::{
    self, CloseReason, Command, Effect, Event, PeerSource, Swarm, SwarmConfig,
};
use codec::bitfield::Bitfield;
use machine::{
    ConnId, Cx, Instant, Machine, OpId, Outbox, Output, Payload, Rng, Side, StreamMachine,
};
use tokio::sync::{Notify, watch};

use super::config::{AddTorrent, SeedUntil};
use super::conn::{Conn, ConnHandle};
use super::greeting::Greeted;
use super::limiter::Limiter;
use super::picture::{PeerStats, TorrentState, TrackerStats};
use super::pieces::{Landing, Pieces};
use super::shared::Shared;
use super::throttle::Throttle;
use crate::disk::BufferPool;
use crate::store::{Journal, Store, Totals};
use disk_events::Checking;
use reading::Reading;

/// Bytes of cold blocks that disk threads read for one torrent at once.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

type Live = Swarm<SocketAddr>;

/// The limits that connections share.
pub(super) struct Limits {
    pub(super) up: Limiter,
    pub(super) down: Limiter,
}

/// What became of a request to read a block.
pub(super) enum BlockRead {
    /// Appended.
    Done,
    /// A disk thread reads it; the connection is woken then.
    Later,
    /// It cannot be read.
    Failed,
}

/// The machine and what belongs to its inputs.
struct Core {
    swarm: Live,
    rng: Rng,
    outbox: Outbox<Live>,
    spare: Outbox<Live>,
    timers: BinaryHeap<Reverse<(Instant, u64)>>,
    timer_count: u64,
}

/// A torrent in a session.
pub(super) struct Torrent {
    pub(super) tag: u64,
    pub(super) hashes: InfoHashes,
    pub(super) shared: Rc<Shared>,
    pub(super) options: AddTorrent,
    pub(super) throttle: Throttle,
    core: RefCell<Core>,
    draining: Cell<bool>,
    conns: RefCell<HashMap<ConnId, Rc<ConnHandle>>>,
    polled: Cell<Option<ConnId>>,
    pieces: RefCell<Pieces>,
    /// Real bytes of pieces that end in padding.
    info: RefCell<Option<Arc<Info>>>,
    piece_len: Cell<u32>,
    pub(super) metainfo: RefCell<Option<Arc<Metainfo>>>,
    store: RefCell<Option<Arc<Store>>>,
    journal: RefCell<Option<Arc<Journal>>>,
    /// What was exchanged in earlier runs.
    earlier: Cell<Totals>,
    flushed: Notify,
    /// Digests of blocks of pieces that are judged again.
    suspects: RefCell<HashMap<PieceIndex, Vec<[u8; 20]>>>,
    checking: RefCell<Option<Checking>>,
    /// Leaf hashes that peers asked for, by connection and piece.
    leaf_reads: RefCell<HashMap<(ConnId, PieceIndex), Vec<HashRange>>>,
    pool: BufferPool,
    read_pool: BufferPool,
    memory_waiters: RefCell<Vec<Waker>>,
    verifying: Cell<usize>,
    state: Cell<TorrentState>,
    /// Why it stopped, once it has failed.
    error: RefCell<Option<String>>,
    pub(super) state_changed: Notify,
    /// Whoever follows hears of every state, piece and piece layer.
    news: watch::Sender<()>,
    timers_changed: Notify,
    pub(super) stopped: Cell<bool>,
    stopping: Notify,
    /// As `stopping`, for all who wait.
    left: Notify,
    journalled: Cell<bool>,
    farewell_said: Cell<bool>,
    completed_at: Cell<Option<Instant>>,
    past: RefCell<VecDeque<PeerStats>>,
    trackers: RefCell<Vec<TrackerStats>>,
    announce_now: Notify,
    /// The user asked for an announcement that is not due.
    announce_again: Cell<bool>,
    reading: RefCell<Reading>,
    /// Bytes of pieces that are wanted, and of those that are also here.
    bytes: Cell<(u64, u64)>,
    /// Files to fetch, once somebody has chosen; `None` is all.
    selection: RefCell<Option<Vec<usize>>>,
    /// Pieces that others bring, which are not fetched.
    elsewhere: RefCell<Option<Bitfield>>,
    /// Something has been told to the journal.
    journal_told: Notify,
    /// When it stops seeding.
    goals: Cell<SeedUntil>,
    goals_changed: Notify,
    /// Files that are wanted more or less than most.
    priorities: RefCell<Vec<(usize, Priority)>>,
}

impl Torrent {
    /// A torrent that does nothing yet.
    pub(super) fn new(
        tag: u64,
        hashes: InfoHashes,
        options: AddTorrent,
        shared: Rc<Shared>,
        pool: BufferPool,
        seed: u64,
    ) -> Rc<Self> {
        let config = SwarmConfig {
            hashes,
            peer_id: shared.peer_id,
            client: crate::CLIENT.to_owned(),
            listen_port: shared.listen_port(),
            dht_port: shared.dht.port(),
            max_connections: options.limits.connections.unwrap_or(shared.max_connections()),
            upload_slots: shared.config.upload_slots,
            pex: shared.config.pex,
            piece_order: if options.sequential {
                PieceOrder::Sequential
            } else {
                PieceOrder::RarestFirst
            },
            super_seeding: options.super_seeding,
            partial_bytes_max: shared.config.piece_memory,
        };
        let selection = RefCell::new(options.selection.clone());
        let core = Core {
            swarm: Swarm::new(config),
            rng: Rng::new(seed),
            outbox: Outbox::new(),
            spare: Outbox::new(),
            timers: BinaryHeap::new(),
            timer_count: 0,
        };
        Rc::new(Self {
            tag,
            hashes,
            throttle: Throttle::new(options.limits, shared.clock),
            goals: Cell::new(options.seed_until),
            goals_changed: Notify::new(),
            priorities: RefCell::new(options.priorities.clone()),
            shared,
            options,
            core: RefCell::new(core),
            draining: Cell::new(false),
            conns: RefCell::default(),
            polled: Cell::new(None),
            pieces: RefCell::new(Pieces::new(pool.clone())),
            info: RefCell::new(None),
            piece_len: Cell::new(0),
            metainfo: RefCell::new(None),
            store: RefCell::new(None),
            journal: RefCell::new(None),
            earlier: Cell::default(),
            flushed: Notify::new(),
            suspects: RefCell::default(),
            checking: RefCell::new(None),
            leaf_reads: RefCell::default(),
            pool,
            read_pool: BufferPool::new(READ_BYTES_MAX),
            memory_waiters: RefCell::default(),
            verifying: Cell::new(0),
            state: Cell::default(),
            error: RefCell::default(),
            state_changed: Notify::new(),
            news: watch::Sender::default(),
            timers_changed: Notify::new(),
            stopped: Cell::new(false),
            stopping: Notify::new(),
            left: Notify::new(),
            journalled: Cell::new(false),
            farewell_said: Cell::new(false),
            completed_at: Cell::new(None),
            past: RefCell::default(),
            trackers: RefCell::default(),
            announce_now: Notify::new(),
            announce_again: Cell::new(false),
            reading: RefCell::default(),
            bytes: Cell::default(),
            selection,
            elsewhere: RefCell::default(),
            journal_told: Notify::new(),
        })
    }

    // Inputs and outputs of the machine.

    /// Gives the machine one input and carries out what it asks for.
    fn input(self: &Rc<Self>, input: impl FnOnce(&mut Live, &mut Cx<'_, Live>)) {
        {
            let core = &mut *self.core.borrow_mut();
            let budget = &self.shared.budget;
            core.swarm.set_piece_budget(budget.allowance(self.tag, self.piece_len.get()));
            let mut cx = Cx::new(self.shared.clock.now(), &mut core.rng, &mut core.outbox);
            input(&mut core.swarm, &mut cx);
            self.shared.changed(self.tag);
            budget.settle(self.tag, core.swarm.piece_memory());
        }
        // An effect that leads to another input ends up here again: the outer call drains that.
        if self.draining.replace(true) {
            return;
        }
        loop {
            let mut outputs = {
                let core = &mut *self.core.borrow_mut();
                if core.outbox.is_empty() {
                    break;
                }
                let spare = std::mem::take(&mut core.spare);
                std::mem::replace(&mut core.outbox, spare)
            };
            outputs.drain().for_each(|output| self.carry_out(output));
            self.core.borrow_mut().spare = outputs;
        }
        self.draining.set(false);
    }

    pub(super) fn command(self: &Rc<Self>, command: Command<SocketAddr>) {
        self.input(|swarm, cx| swarm.on_command(OpId::default(), command, cx));
    }

    fn carry_out(self: &Rc<Self>, output: Output<Live>) {
        match output {
            Output::Event(_, event) => self.on_event(event),
            Output::Timer(at, swarm::Timer::Tick) => {
                let core = &mut *self.core.borrow_mut();
                core.timer_count += 1;
                core.timers.push(Reverse((at, core.timer_count)));
                self.timers_changed.notify_one();
            }
            Output::Effect(effect) => self.on_effect(effect),
        }
    }

    fn on_effect(self: &Rc<Self>, effect: Effect<SocketAddr>) {
        match effect {
            Effect::Dial(contact, hint) => self.dial(contact, hint),
            Effect::Send(conn, frame) => self.with_conn(conn, |handle| handle.send(&frame)),
            Effect::SendBlock(conn, block) => self.with_conn(conn, |handle| {
                handle.queue.borrow_mut().blocks.push_back(block);
            }),
            Effect::DropBlock(conn, block) => self.drop_blocks(conn, |other| other == block),
            Effect::DropBlocks(conn, keep) => {
                self.drop_blocks(conn, |block| !keep.contains(&block.piece));
            }
            Effect::Close(conn, why) => self.with_conn(conn, |handle| handle.close(why)),
            Effect::Verify(piece) => self.verify(piece),
            Effect::Forget(piece) => self.pieces.borrow_mut().forget(piece),
            Effect::ReadLeaves(conn, range, piece) => self.read_leaves(conn, range, piece),
        }
    }

    fn with_conn(&self, conn: ConnId, act: impl FnOnce(&ConnHandle)) {
        let handle = self.conns.borrow().get(&conn).cloned();
        if let Some(handle) = handle {
            act(&handle);
            // The connection that is being polled looks at its queues by itself.
            if self.polled.get() != Some(conn) {
                handle.wake();
            }
        }
    }

    fn drop_blocks(self: &Rc<Self>, conn: ConnId, which: impl Fn(Block) -> bool) {
        let mut dropped = Vec::new();
        self.with_conn(conn, |handle| {
            handle.queue.borrow_mut().blocks.retain(|&block| {
                let goes = which(block);
                if goes {
                    dropped.push(block);
                }
                !goes
            });
        });
        for block in dropped {
            self.block_dropped(conn, block);
        }
    }

    fn on_event(self: &Rc<Self>, event: Event<SocketAddr>) {
        match event {
            Event::Metadata(info_bytes) => self.metadata_here(info_bytes),
            Event::Layers(file, layer) => self.layer_here(file, &layer),
            Event::Piece(piece) => {
                self.count_piece(piece);
                if let Some(journal) = &*self.journal.borrow() {
                    journal.record(&[piece]);
                    self.journal_told.notify_one();
                }
                self.piece_here(piece);
            }
            Event::Complete => self.complete(),
            Event::Corrupt(piece) => {
                tracing::warn!(piece = piece.0, "piece does not match its hash");
            }
            Event::Banned(contact) => tracing::warn!(%contact, "banned: sent false data"),
            Event::DhtNode(node) => {
                self.shared.dht.meet(node);
            }
        }
    }

    /// Fires timers as they come due; runs for as long as the torrent does.
    pub(super) async fn run_timers(self: Rc<Self>) {
        while !self.stopped.get() || !self.conns.borrow().is_empty() {
            let changed = self.timers_changed.notified();
            let next = self.core.borrow().timers.peek().map(|Reverse((at, _))| *at);
            let Some(at) = next else {
                changed.await;
                continue;
            };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(self.shared.clock.deadline(at)) => {
                    self.core.borrow_mut().timers.pop();
                    self.input(|swarm, cx| swarm.on_timer(swarm::Timer::Tick, cx));
                }
            }
        }
    }

    // What connections call.

    pub(super) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    pub(super) fn scratch_in(&self) -> RefMut<'_, Vec<u8>> {
        self.shared.scratch_in.borrow_mut()
    }

    pub(super) fn scratch_out(&self) -> RefMut<'_, Vec<u8>> {
        self.shared.scratch_out.borrow_mut()
    }

    pub(super) fn set_polled(&self, conn: Option<ConnId>) {
        self.polled.set(conn);
    }

    pub(super) fn pieces_mut<R>(&self, act: impl FnOnce(&mut Pieces) -> R) -> R {
        act(&mut self.pieces.borrow_mut())
    }

    pub(super) fn claim(&self, conn: ConnId, block: Block) -> Landing {
        let info = self.info.borrow();
        let Some(info) = info.as_ref() else { return Landing::Apart };
        let piece_len = info.piece_size(block.piece);
        self.pieces.borrow_mut().claim(conn, block, piece_len, info.request_size(block.piece))
    }

    pub(super) fn release(&self, conn: ConnId, block: Block) {
        self.pieces.borrow_mut().release(conn, block);
    }

    /// Whether a block's piece is no longer being filled.
    pub(super) fn rest_is_gone(&self, block: Block, filled: usize) -> bool {
        self.pieces.borrow_mut().rest_of(block, filled).is_none()
    }

    /// Whether reading must wait until pieces that are being verified free their memory.
    pub(super) fn waits_for_memory(&self, waker: &Waker) -> bool {
        let full = self.verifying.get() > 0 && {
            let info = self.info.borrow();
            info.as_ref().is_some_and(|info| self.pieces.borrow().is_full(info.piece_len))
        };
        if full {
            self.memory_waiters.borrow_mut().push(waker.clone());
        }
        full
    }

    pub(super) fn frame(self: &Rc<Self>, handle: &ConnHandle, frame: Frame<SocketAddr>) {
        let conn = handle.id;
        self.input(|swarm, cx| swarm.on_frame(conn, frame, cx));
    }

    /// Whether a block that begins to arrive is wanted.
    pub(super) fn payload_head(self: &Rc<Self>, handle: &ConnHandle, block: Block) -> bool {
        let mut wanted = false;
        self.input(|swarm, cx| wanted = swarm.on_payload_head(handle.id, block.into(), cx));
        if !wanted {
            let mut queue = handle.queue.borrow_mut();
            queue.expected.retain(|other| *other != block);
        }
        wanted
    }

    /// A block is here in full, in its piece or `apart`.
    pub(super) fn block_here(
        self: &Rc<Self>,
        handle: &ConnHandle,
        block: Block,
        apart: Option<&[u8]>,
    ) {
        {
            let expected = &mut handle.queue.borrow_mut().expected;
            match expected.front() {
                Some(front) if *front == block => _ = expected.pop_front(),
                _ => expected.retain(|other| *other != block),
            }
        }
        if apart.is_some() {
            // The piece may not be open yet.
            self.claim(handle.id, block);
        }
        self.pieces.borrow_mut().fill(block, apart);
        self.input(|swarm, cx| swarm.on_payload(handle.id, Payload::from(block), cx));
    }

    pub(super) fn block_sent(self: &Rc<Self>, conn: ConnId, block: Block) {
        self.input(|swarm, cx| swarm.on_sent(conn, block.into(), cx));
    }

    pub(super) fn block_dropped(self: &Rc<Self>, conn: ConnId, block: Block) {
        self.input(|swarm, cx| swarm.on_dropped(conn, block.into(), cx));
    }

    // Connections.

    /// Takes a greeted stream in as a connection and runs it; `dialled` is the hash for which we
    /// dialled, if we did.
    pub(super) fn open(
        self: &Rc<Self>,
        greeted: Greeted,
        framing: PeerFraming,
        contact: SocketAddr,
        dialled: Option<InfoHash>,
        handshake: Option<Frame<SocketAddr>>,
    ) {
        let Greeted { stream, ciphers, received } = greeted;
        let id = self.shared.next_conn();
        let transport = stream.transport();
        let handle = ConnHandle::new(id, contact, transport, ciphers.is_some(), dialled, framing);
        self.conns.borrow_mut().insert(id, handle.clone());
        self.goals_changed.notify_one();
        self.input(|swarm, cx| {
            let side = dialled.map_or(Side::Listener, |hash| {
                swarm.greet_by(hash);
                Side::Dialer
            });
            swarm.on_open(id, contact, side, cx);
        });
        if let Some(handshake) = handshake {
            self.frame(&handle, handshake);
        }
        let torrent = self.clone();
        tokio::task::spawn_local(async move {
            let conn = Conn::new(torrent.clone(), handle.clone(), stream, ciphers);
            let why = conn.run(&received).await;
            torrent.closed(&handle, why);
        });
    }

    fn closed(self: &Rc<Self>, handle: &Rc<ConnHandle>, why: CloseReason) {
        let id = handle.id;
        self.keep_past(id);
        self.conns.borrow_mut().remove(&id);
        tracing::debug!(peer = %handle.address, ?why, "connection closed");
        self.input(|swarm, cx| swarm.on_close(id, why, cx));
        self.shared.connection_closed();
        if why == CloseReason::Gone && !handle.greeted.get() {
            self.dial_otherwise(handle);
        }
        if self.stopped.get() {
            self.timers_changed.notify_one();
            self.shared.settled.notify_waiters();
        }
    }

    // The torrent's life.

    fn spawn_upkeep(self: &Rc<Self>) {
        tokio::task::spawn_local(self.clone().run_timers());
        tokio::task::spawn_local(self.clone().run_journal());
        let seed = self.core.borrow_mut().rng.next_u64();
        tokio::task::spawn_local(self.clone().run_trackers(seed));
        tokio::task::spawn_local(self.clone().run_dht());
        tokio::task::spawn_local(self.clone().run_goals());
        tokio::task::spawn_local(self.clone().run_throttle());
    }

    pub(super) fn add_peers(self: &Rc<Self>, peers: Vec<SocketAddr>) {
        if !peers.is_empty() {
            self.command(Command::AddPeers(peers, PeerSource::User));
        }
    }

    /// Looks up peers that a magnet link names by host.
    fn resolve_peers(self: &Rc<Self>, hosts: Vec<(String, u16)>) {
        for (host, port) in hosts {
            let torrent = self.clone();
            tokio::task::spawn_local(async move {
                match tokio::net::lookup_host((host.as_str(), port)).await {
                    Ok(found) => torrent.add_peers(found.collect()),
                    Err(error) => tracing::debug!(%host, %error, "no such peer"),
                }
            });
        }
    }

    fn complete(self: &Rc<Self>) {
        if self.completed_at.get().is_none() {
            self.completed_at.set(Some(self.shared.clock.now()));
        }
        self.set_state(TorrentState::Seeding);
        self.announce_now.notify_one();
    }

    /// Leaves the swarm: closes connections, says goodbye to trackers, completes the journal.
    pub(super) fn stop(self: &Rc<Self>) {
        if self.stopped.replace(true) {
            return;
        }
        if let Some(checking) = &*self.checking.borrow() {
            checking.cancel();
        }
        self.command(Command::Stop);
        self.reading.take();
        self.stopping.notify_one();
        self.left.notify_waiters();
        self.state_changed.notify_waiters();
        self.announce_now.notify_one();
        self.timers_changed.notify_one();
    }

    /// Whether a stopped torrent has nothing left to do.
    pub(super) fn is_settled(&self) -> bool {
        self.conns.borrow().is_empty() && self.journalled.get() && self.farewell_said.get()
    }

    /// Whether nobody touches its files any more.
    pub(super) fn is_at_rest(&self) -> bool {
        self.conns.borrow().is_empty() && self.journalled.get()
    }

    /// Whether its peers may come from elsewhere than its trackers (BEP 27).
    pub(super) fn is_public(&self) -> bool {
        self.info.borrow().as_ref().is_none_or(|info| !info.private)
    }
}
