//! One torrent among its peers: the machine that joins formats and policies.
//!
//! This file holds the machine's state and routes each input to the part that answers it:
//! `handshake` opens connections, `download` fetches, `upload` gives, `metadata` and
//! `hashes` bring what is needed to verify, `exchange` finds peers through peers, `upkeep`
//! is what happens once a second, `blame` finds who spoiled a piece. Addresses are in `known`, one peer's state is in `peer`.

mod blame;
mod download;
mod exchange;
mod handshake;
mod hashes;
mod known;
mod message;
mod metadata;
mod peer;
#[cfg(test)]
mod tests;
mod upkeep;
mod upload;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use codec::bitfield::Bitfield;
use machine::{ConnId, Contact, Cx, Instant, Machine, OpId, Payload, Side, StreamMachine};

pub use message::{
    CloseReason, Command, Content, DialHint, Effect, Event, PeerSource, SwarmConfig, Timer, limits,
};

use crate::choker::{self, Choker};
use crate::extension::Extended;
use crate::id::{Block, InfoHash, PieceIndex};
use crate::metainfo::Info;
use crate::peer_priority::peer_priority;
use crate::peer_wire::Frame;
use crate::picker::{Picker, PieceMemory, Priority};
use crate::smart_ban::SmartBan;
use crate::super_seeding::SuperSeeding;
use hashes::LayerFetch;
use known::Known;
use metadata::Fetch;
pub use peer::Peer;

type Ctx<'a, C> = Cx<'a, Swarm<C>>;

/// What a swarm must know of a contact beyond its identity.
pub trait PeerContact: Contact {
    /// The same host at another port.
    #[must_use]
    fn with_port(&self, port: u16) -> Self;
    /// Its IP address, if contacts have one.
    fn ip(&self) -> Option<IpAddr>;
    /// A contact from an address that a peer told us, if contacts are addresses at all.
    fn from_ip(ip: IpAddr, port: u16) -> Option<Self>;
    /// Canonical priority of a connection between two contacts (BEP 40).
    fn priority(&self, other: &Self) -> u32;
    /// Whether an address from a stranger may be dialled at all.
    fn is_dialable(&self, allow_loopback: bool) -> bool;
    /// Whether it is on this very host.
    fn is_loopback(&self) -> bool;
}

impl PeerContact for SocketAddr {
    fn with_port(&self, port: u16) -> Self {
        Self::new(SocketAddr::ip(self), port)
    }

    fn ip(&self) -> Option<IpAddr> {
        Some(SocketAddr::ip(self))
    }

    fn from_ip(ip: IpAddr, port: u16) -> Option<Self> {
        Some(Self::new(ip, port))
    }

    fn priority(&self, other: &Self) -> u32 {
        peer_priority(*self, *other)
    }

    fn is_dialable(&self, allow_loopback: bool) -> bool {
        crate::peer_address::is_dialable(self, allow_loopback)
    }

    fn is_loopback(&self) -> bool {
        SocketAddr::ip(self).to_canonical().is_loopback()
    }
}

/// The picker's word for wanted or not, given how much pieces are wanted.
fn priority(levels: &[Priority], piece: u32, wanted: bool) -> Priority {
    if wanted { levels.get(piece as usize).copied().unwrap_or_default() } else { Priority::SKIP }
}

/// The content, once it is known.
struct Loaded {
    info: Arc<Info>,
    info_bytes: Arc<[u8]>,
    piece_layers: Vec<Vec<[u8; 32]>>,
    have: Bitfield,
    wanted: Bitfield,
    picker: Picker,
    /// Files whose piece layer must come from peers before their pieces can be verified.
    layers: LayerFetch,
}

impl Loaded {
    /// Tells the picker how much each piece is wanted.
    fn tell_picker(&mut self, levels: &[Priority]) {
        for piece in 0..self.info.piece_count() {
            let index = PieceIndex(piece);
            let wanted = self.wanted.get(piece) && self.layers.can_verify(index);
            self.picker.set_priority(index, priority(levels, piece, wanted));
        }
    }

    /// Pieces of `bits` that are wanted and missing.
    fn count_useful(&self, bits: &Bitfield) -> u32 {
        bits.difference(&self.have)
            .filter(|&piece| self.picker.wanted_missing(PieceIndex(piece)))
            .count() as u32
    }
}

/// The machine of one torrent.
pub struct Swarm<C: PeerContact> {
    config: SwarmConfig,
    peers: BTreeMap<ConnId, Peer<C>>,
    known: Known<C>,
    dialing: BTreeSet<C>,
    /// What the next connection that we dialled greets by, if not the preferred hash.
    greet_by: Option<InfoHash>,
    /// Which neighbour named an address, for holepunching.
    relays: BTreeMap<C, ConnId>,
    content: Option<Loaded>,
    /// Bytes that unfinished pieces may take, also of content that is not known yet.
    piece_budget: u64,
    /// How much pieces are wanted; those past the end as most.
    levels: Vec<Priority>,
    metadata: Option<Fetch>,
    choker: Choker,
    super_seeding: Option<SuperSeeding>,
    smart_ban: SmartBan<C>,
    /// Peers that are gone, with blocks of theirs in pieces that are not verified yet.
    departed: BTreeMap<ConnId, C>,
    our_contact: Option<C>,
    next_choke: Instant,
    ticking: bool,
    stopped: bool,
    downloaded: u64,
    uploaded: u64,
    wasted: u64,
    corrupt: u64,
    picked: Vec<Block>,
    scratch_conns: Vec<ConnId>,
}

impl<C: PeerContact> Swarm<C> {
    /// A swarm that knows its name and nobody yet.
    #[must_use]
    pub fn new(config: SwarmConfig) -> Self {
        let choker = Choker::new(choker::Config::with_slots(config.upload_slots));
        Self {
            piece_budget: config.partial_bytes_max,
            config,
            peers: BTreeMap::new(),
            known: Known::new(),
            dialing: BTreeSet::new(),
            relays: BTreeMap::new(),
            content: None,
            levels: Vec::new(),
            metadata: None,
            choker,
            greet_by: None,
            super_seeding: None,
            smart_ban: SmartBan::new(),
            departed: BTreeMap::new(),
            our_contact: None,
            next_choke: Instant::ZERO,
            ticking: false,
            stopped: false,
            downloaded: 0,
            uploaded: 0,
            wasted: 0,
            corrupt: 0,
            picked: Vec::new(),
            scratch_conns: Vec::new(),
        }
    }

    /// Closes a connection from our side; the driver answers with `on_close`.
    fn close(&mut self, conn: ConnId, why: CloseReason, cx: &mut Ctx<'_, C>) {
        cx.effect(Effect::Close(conn, why));
    }

    /// Counts something unwanted or false; closes the peer that does it too often.
    fn offence(&mut self, conn: ConnId, cx: &mut Ctx<'_, C>) {
        if self.peers.get_mut(&conn).is_some_and(Peer::offend) {
            self.close(conn, CloseReason::Protocol, cx);
        }
    }

    fn begin(&mut self, content: Content, cx: &mut Ctx<'_, C>) {
        let mut picker = Picker::new(crate::picker::Layout::of(&content.info), cx.rng());
        picker.set_piece_order(self.config.piece_order);
        picker.set_partial_budget(self.piece_budget);
        let layers = LayerFetch::new(&content);
        for piece in 0..content.info.piece_count() {
            let piece = PieceIndex(piece);
            let wanted = layers.can_verify(piece) && content.wanted.get(piece.0);
            picker.set_priority(piece, priority(&self.levels, piece.0, wanted));
            if content.have.get(piece.0) {
                picker.set_have(piece);
            }
        }
        let Content { info, info_bytes, piece_layers, have, wanted } = content;
        let complete = picker.is_complete() && layers.is_done();
        self.content =
            Some(Loaded { info, info_bytes, piece_layers, have, wanted, picker, layers });
        self.metadata = None;
        if self.config.super_seeding && complete {
            self.super_seeding = Some(SuperSeeding::new(self.have().map_or(0, Bitfield::len)));
        }
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in conns {
            self.say_pieces(conn, cx);
            // Again, now that there is metadata to offer (BEP 9, BEP 10).
            if self.peers.get(&conn).is_some_and(|peer| peer.is_ready() && peer.extended) {
                self.say_extension_handshake(conn, cx);
            }
            self.settle_pieces(conn, cx);
            self.ask_layers(conn, cx);
        }
        if complete {
            self.completed(cx);
        }
        self.dial(cx);
    }

    fn want(&mut self, wanted: Bitfield, cx: &mut Ctx<'_, C>) {
        let Some(content) = &mut self.content else { return };
        if wanted.len() != content.wanted.len() {
            return;
        }
        content.wanted = wanted;
        self.refresh_wanted(cx);
    }

    /// Replaces the pieces that are urgent, and asks for them at once where there is room.
    fn hurry(&mut self, pieces: &[(PieceIndex, u32)], cx: &mut Ctx<'_, C>) {
        let Some(content) = &mut self.content else { return };
        content.picker.clear_deadlines();
        for &(piece, order) in pieces {
            if !content.have.get(piece.0) {
                content.picker.set_deadline(piece, Some(order));
            }
        }
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in conns {
            self.request_more(conn, cx);
        }
    }

    /// Pieces are wanted in another order; which are wanted stays.
    fn prioritize(&mut self, levels: Vec<Priority>) {
        self.levels = levels;
        if let Some(content) = &mut self.content {
            content.tell_picker(&self.levels);
        }
    }

    /// Tells the picker what is wanted and verifiable now, and counts anew who is useful.
    fn refresh_wanted(&mut self, cx: &mut Ctx<'_, C>) {
        let Some(content) = &mut self.content else { return };
        content.tell_picker(&self.levels);
        for peer in self.peers.values_mut() {
            if let peer::Has::Known(bits) = &peer.has {
                peer.useful = content.count_useful(bits);
            }
        }
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in conns {
            self.update_interest(conn, cx);
        }
        if self.content.as_ref().is_some_and(|c| c.picker.is_complete() && c.layers.is_done()) {
            self.completed(cx);
        }
    }

    fn stop(&mut self, cx: &mut Ctx<'_, C>) {
        self.stopped = true;
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in conns {
            self.close(conn, CloseReason::Stopped, cx);
        }
        let Some(content) = &self.content else { return };
        let begun = content.picker.in_flight().filter(|piece| piece.received < piece.blocks);
        let begun: Vec<_> = begun.map(|progress| progress.piece).collect();
        for piece in begun {
            self.give_up(piece, cx);
        }
    }
}

impl<C: PeerContact> Machine for Swarm<C> {
    type Command = Command<C>;
    type Event = Event<C>;
    type Timer = Timer;
    type Effect = Effect<C>;

    fn on_command(&mut self, _op: OpId, command: Command<C>, cx: &mut Ctx<'_, C>) {
        match command {
            Command::Begin(content) if self.content.is_none() => self.begin(*content, cx),
            Command::Begin(_) => {}
            Command::AddPeers(contacts, source) => {
                let now = cx.now();
                for contact in contacts {
                    self.known.add(contact, source, Default::default(), now);
                }
                self.dial(cx);
            }
            Command::Want(wanted) => self.want(wanted, cx),
            Command::Prioritize(levels) => self.prioritize(levels),
            Command::Urgent(pieces) => self.hurry(&pieces, cx),
            Command::Layers(file, layer) => self.layer_known(file, layer, cx),
            Command::Lost(piece) => self.on_lost(piece, cx),
            Command::Leaves(conn, range, leaves) => self.on_leaves(conn, range, leaves, cx),
            Command::OurAddress(contact) => self.our_contact = Some(contact),
            Command::MaxConnections(max) => self.set_max_connections(max, cx),
            Command::TakeRoom => self.take_room(cx),
            Command::GiveRoom => self.give_room(cx),
            Command::Stop => self.stop(cx),
        }
        self.keep_ticking(cx);
    }

    fn on_timer(&mut self, Timer::Tick: Timer, cx: &mut Ctx<'_, C>) {
        self.ticking = false;
        self.upkeep(cx);
        self.keep_ticking(cx);
    }
}

impl<C: PeerContact> StreamMachine for Swarm<C> {
    type Contact = C;
    type Frame = Frame<C>;
    type CloseReason = CloseReason;

    fn on_open(&mut self, conn: ConnId, peer: C, side: Side, cx: &mut Ctx<'_, C>) {
        self.opened(conn, peer, side, cx);
        self.keep_ticking(cx);
    }

    fn on_dial_failed(&mut self, peer: C, cx: &mut Ctx<'_, C>) {
        self.dialing.remove(&peer);
        self.known.failed(peer, cx.now());
        self.try_holepunch(peer, cx);
        self.dial(cx);
        self.keep_ticking(cx);
    }

    fn on_frame(&mut self, conn: ConnId, frame: Frame<C>, cx: &mut Ctx<'_, C>) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        peer.last_heard = cx.now();
        if !peer.is_ready() && !matches!(frame, Frame::Handshake(_)) {
            return self.close(conn, CloseReason::Protocol, cx);
        }
        match frame {
            Frame::Handshake(handshake) => self.on_handshake(conn, handshake, cx),
            Frame::KeepAlive => {}
            Frame::Port(port) => self.on_port(conn, port, cx),
            Frame::Choke => self.on_choke(conn, true, cx),
            Frame::Unchoke => self.on_choke(conn, false, cx),
            Frame::Interested => self.on_interested(conn, true, cx),
            Frame::NotInterested => self.on_interested(conn, false, cx),
            Frame::Have(piece) => self.on_have(conn, piece, cx),
            Frame::Bitfield(bits) => {
                let said = peer::Has::Early { all: false, bits, haves: Vec::new() };
                self.on_pieces(conn, said, cx);
            }
            Frame::HaveAll | Frame::HaveNone if !peer.fast => {
                self.close(conn, CloseReason::Protocol, cx);
            }
            Frame::HaveAll | Frame::HaveNone => {
                let all = matches!(frame, Frame::HaveAll);
                let said = peer::Has::Early { all, bits: Vec::new(), haves: Vec::new() };
                self.on_pieces(conn, said, cx);
            }
            Frame::Request(block) => self.on_request(conn, block, cx),
            Frame::Cancel(block) => self.on_cancel(conn, block, cx),
            Frame::Reject(block) => self.on_reject(conn, block, cx),
            Frame::Suggest(piece) => Peer::<C>::hint(&mut peer.suggested, piece),
            Frame::AllowedFast(piece) => {
                Peer::<C>::hint(&mut peer.allowed_fast, piece);
                self.request_more(conn, cx);
            }
            Frame::HashRequest(range) => self.on_hash_request(conn, range, cx),
            Frame::Hashes(range, hashes) => self.on_hashes(conn, range, &hashes, cx),
            Frame::HashReject(range) => self.on_hash_reject(conn, range, cx),
            Frame::Unknown(_) => self.offence(conn, cx),
            Frame::Extended(message) => self.on_extended(conn, message, cx),
        }
    }

    fn on_payload_head(&mut self, conn: ConnId, payload: Payload, cx: &mut Ctx<'_, C>) -> bool {
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.last_heard = cx.now();
        }
        self.wants_block(conn, payload.into(), cx)
    }

    fn on_payload(&mut self, conn: ConnId, payload: Payload, cx: &mut Ctx<'_, C>) {
        self.on_block(conn, payload.into(), cx);
    }

    fn on_sent(&mut self, conn: ConnId, payload: Payload, cx: &mut Ctx<'_, C>) {
        self.on_block_sent(conn, payload.into(), cx);
    }

    fn on_dropped(&mut self, conn: ConnId, payload: Payload, cx: &mut Ctx<'_, C>) {
        self.on_block_dropped(conn, payload.into(), cx);
    }

    fn on_verified(&mut self, object: u32, ok: bool, cx: &mut Ctx<'_, C>) {
        self.on_piece_verified(PieceIndex(object), ok, cx);
    }

    fn on_close(&mut self, conn: ConnId, why: CloseReason, cx: &mut Ctx<'_, C>) {
        self.closed(conn, why, cx);
        self.dial(cx);
        self.keep_ticking(cx);
    }
}

impl<C: PeerContact> Swarm<C> {
    fn on_extended(&mut self, conn: ConnId, message: Extended<C>, cx: &mut Ctx<'_, C>) {
        match message {
            Extended::Handshake(said) => self.on_extension_handshake(conn, &said, cx),
            Extended::Metadata(message) => self.on_metadata(conn, message, cx),
            Extended::Pex(message) => self.on_pex(conn, message, cx),
            Extended::Holepunch(message) => self.on_holepunch(conn, message, cx),
            Extended::DontHave(piece) => self.on_dont_have(conn, piece, cx),
            Extended::UploadOnly(only) => {
                if let Some(peer) = self.peers.get_mut(&conn) {
                    peer.upload_only = only;
                }
                self.close_if_useless(conn, cx);
            }
            Extended::Unknown(_) => self.offence(conn, cx),
        }
    }
}

/// Totals of the swarm, for people and for trackers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Payload bytes received.
    pub downloaded: u64,
    /// Payload bytes sent.
    pub uploaded: u64,
    /// Payload bytes received in vain.
    pub wasted: u64,
    /// Of those, bytes of pieces that did not match their hashes.
    pub corrupt: u64,
    /// Addresses known and not connected.
    pub known: usize,
}

impl<C: PeerContact> Swarm<C> {
    /// Every peer that is through its handshake.
    pub fn peers(&self) -> impl Iterator<Item = (ConnId, &Peer<C>)> {
        let ready = self.peers.iter().filter(|(_, peer)| peer.is_ready());
        ready.map(|(&conn, peer)| (conn, peer))
    }

    /// The peer behind a connection, once it is through its handshake.
    #[must_use]
    pub fn peer(&self, conn: ConnId) -> Option<&Peer<C>> {
        self.peers.get(&conn).filter(|peer| peer.is_ready())
    }

    /// The next connection that opens was dialled for `hash`, one of this torrent's: whoever knows a
    /// hybrid torrent by one hash only refuses the other.
    pub fn greet_by(&mut self, hash: InfoHash) {
        self.greet_by = Some(hash);
    }

    /// Totals since the machine began.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            downloaded: self.downloaded,
            uploaded: self.uploaded,
            wasted: self.wasted,
            corrupt: self.corrupt,
            known: self.known.idle_count(),
        }
    }

    /// What unfinished pieces take of the driver's memory.
    #[must_use]
    pub fn piece_memory(&self) -> PieceMemory {
        let memory = self.content.as_ref().map(|content| content.picker.memory());
        let memory = memory.unwrap_or_default();
        PieceMemory { lacks: memory.lacks && !self.stopped, ..memory }
    }

    /// Sets how many bytes unfinished pieces may take from now on.
    pub fn set_piece_budget(&mut self, bytes: u64) {
        self.piece_budget = bytes;
        if let Some(content) = &mut self.content {
            content.picker.set_partial_budget(bytes);
        }
    }

    /// Pieces that are verified and stored, once the content is known.
    #[must_use]
    pub fn have(&self) -> Option<&Bitfield> {
        self.content.as_ref().map(|content| &content.have)
    }

    /// Pieces that are wanted, once the content is known.
    #[must_use]
    pub fn wanted(&self) -> Option<&Bitfield> {
        self.content.as_ref().map(|content| &content.wanted)
    }

    /// Whether nothing that is wanted is missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.content.as_ref().is_some_and(|c| c.picker.is_complete() && c.layers.is_done())
    }
}
