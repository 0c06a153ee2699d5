//! A node of Gnutella as a machine: a servent of version 0.4, a leaf or an ultrapeer.
//!
//! This file holds its state and routes each input to the part that answers it: `greeting` makes
//! connections neighbours, `pings` keeps them and finds others, `searches` asks for our user,
//! `querying` sends queries on and answers home, `dynamic` leads queries to one ultrapeer after the
//! other, `tables` keeps who has which words, `pushes` reaches those who cannot be reached, `vendors`
//! is the messages that vendors added, `upkeep` is what happens once a second. Transfers of files are
//! not here.

mod address;
mod answers;
mod dynamic;
mod greeting;
mod hosts;
mod library;
mod message;
mod peer;
mod pings;
mod pushes;
mod querying;
mod routes;
mod searches;
mod tables;
#[cfg(test)]
mod tests;
mod upkeep;
mod vendors;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use machine::{ConnId, Cx, Instant, Machine, OpId, Payload, Side, StreamMachine};

pub use address::{Address, is_dialable};
pub use hosts::HOSTS_MAX;
pub use library::{Library, NAME_MAX, SharedFile};
pub use message::{
    CloseReason, Command, Config, Counters, Effect, Event, Found, Mode, Timer, limits,
};

use super::handshake::Role;
use super::qrp::{QueryHashes, Table};
use super::{Descriptor, Frame, Guid, Header, Kind};
use answers::Answers;
use dynamic::Led;
use hosts::Hosts;
use peer::Peer;
use pushes::PushLimit;
use routes::Routes;
use searches::Search;

type Ctx<'a, C> = Cx<'a, Servent<C>>;

/// The machine of one servent.
pub struct Servent<C: Address> {
    config: Config,
    role: Role,
    role_since: Instant,
    peers: BTreeMap<ConnId, Peer<C>>,
    dialing: BTreeSet<C>,
    hosts: Hosts<C>,
    library: Library,
    /// The table of our own words, when it is up to date.
    words: Option<Table>,
    /// Where queries and pings came from.
    questions: Routes,
    /// Where servents answer from, for pushes.
    servents: Routes,
    searches: BTreeMap<Guid, Search>,
    led: BTreeMap<Guid, Led>,
    answers: Answers,
    /// Hits that wait to be asked for by UDP: since when, for whom, what.
    waiting: BTreeMap<Guid, (Instant, C, Vec<Vec<u8>>)>,
    push_limit: PushLimit<C::Host>,
    /// Dials that only show somebody that it can be reached.
    reaching: BTreeSet<C>,
    /// Leaves that we pass pushes on to.
    proxied: BTreeMap<Guid, ConnId>,
    /// Dials in a row that ended with a no.
    refusals: u32,
    /// Somebody who was not asked to has connected to us.
    was_reached: bool,
    ticking: bool,
    left: bool,
    hashes: QueryHashes,
    counters: Counters,
}

impl<C: Address> Servent<C> {
    /// A servent that knows nobody.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let role = match config.mode {
            Mode::Leaf | Mode::Auto => Role::Leaf,
            Mode::Ultrapeer | Mode::Old => Role::Ultrapeer,
        };
        Self {
            role,
            role_since: Instant::ZERO,
            peers: BTreeMap::new(),
            dialing: BTreeSet::new(),
            hosts: Hosts::new(config.local),
            library: Library::default(),
            words: None,
            questions: Routes::new(config.routes, config.key),
            servents: Routes::new(config.routes / 2, config.key.rotate_left(17)),
            searches: BTreeMap::new(),
            led: BTreeMap::new(),
            answers: Answers::default(),
            waiting: BTreeMap::new(),
            push_limit: PushLimit::default(),
            reaching: BTreeSet::new(),
            proxied: BTreeMap::new(),
            refusals: 0,
            was_reached: false,
            ticking: false,
            left: false,
            hashes: QueryHashes::default(),
            counters: Counters::default(),
            config,
        }
    }

    /// What it is now.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Its neighbours and what they are.
    pub fn neighbours(&self) -> impl Iterator<Item = (C, Role)> + '_ {
        self.peers.values().filter_map(|peer| Some((peer.contact, peer.agreement()?.theirs)))
    }

    /// What it shares.
    #[must_use]
    pub const fn library(&self) -> &Library {
        &self.library
    }

    /// What has gone through it.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// How many addresses it could dial.
    #[must_use]
    pub fn hosts_known(&self) -> usize {
        self.hosts.len()
    }

    /// The addresses it could dial, one a line, to be kept between runs.
    #[must_use]
    pub fn save_hosts(&self) -> String {
        self.hosts.save()
    }

    /// Bytes that its tables of names take, and the most they may take.
    #[must_use]
    pub fn route_bytes(&self) -> (usize, usize) {
        let now = self.questions.bytes() + self.servents.bytes();
        let slots = self.config.routes.next_power_of_two().max(64);
        (now, Routes::bytes_max(slots) + Routes::bytes_max((slots / 2).max(64)))
    }

    /// Whether this leaf asked us to pass pushes on to it.
    #[must_use]
    pub fn is_proxy_for(&self, servent: Guid) -> bool {
        self.proxied.contains_key(&servent)
    }

    fn count(&self, is: impl Fn(&Peer<C>) -> bool) -> usize {
        self.peers.values().filter(|peer| is(peer)).count()
    }

    /// A name for a message of ours.
    fn new_guid(cx: &mut Ctx<'_, C>) -> Guid {
        let mut bytes = [0; 16];
        cx.rng().fill(&mut bytes);
        Guid::modern(bytes)
    }

    /// Where we accept connections, as messages carry it.
    fn our_addr(&self) -> SocketAddrV4 {
        match self.config.listen {
            Some(SocketAddr::V4(addr)) => addr,
            _ => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
        }
    }

    /// Says something new to a neighbour.
    fn say(&self, conn: ConnId, kind: Kind, ttl: u8, payload: Vec<u8>, cx: &mut Ctx<'_, C>) {
        let header = Header::new(Self::new_guid(cx), kind, ttl);
        self.send(conn, header, payload, cx);
    }

    /// Sends a message to a neighbour; one that is too long is not sent.
    fn send(&self, conn: ConnId, header: Header, payload: Vec<u8>, cx: &mut Ctx<'_, C>) {
        if let Ok(message) = Descriptor::new(header, payload) {
            cx.effect(Effect::Send(conn, Frame::Message(message)));
        }
    }

    fn on_descriptor(&mut self, conn: ConnId, message: Descriptor, cx: &mut Ctx<'_, C>) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        peer.heard = cx.now();
        if !peer.is_up() {
            return cx.effect(Effect::Close(conn, CloseReason::Protocol));
        }
        let Some(header) = message.header.within(self.config.ttl_max) else {
            self.counters.dropped += 1;
            return;
        };
        let message = Descriptor { header, ..message };
        match header.kind {
            Kind::Ping => self.on_ping(conn, &message, cx),
            Kind::Pong => self.on_pong(conn, &message, cx),
            Kind::Query => self.on_query(conn, message, cx),
            Kind::QueryHit => self.on_hit(Some(conn), &message, cx),
            Kind::Push => self.on_push(conn, &message, cx),
            Kind::Qrp => self.on_table(conn, &message.payload, cx),
            Kind::Vendor | Kind::StandardVendor => self.on_vendor(conn, &message, cx),
            Kind::Bye => cx.effect(Effect::Close(conn, CloseReason::Gone)),
            // Nothing that a router passes on.
            Kind::Hsep | Kind::Other(_) => {}
        }
    }

    /// A message has come by UDP.
    pub fn on_datagram(&mut self, from: C, message: &Descriptor, cx: &mut Cx<'_, Self>) {
        match message.header.kind {
            Kind::Ping => self.on_udp_ping(from, message, cx),
            Kind::Pong => self.on_udp_pong(message, cx),
            Kind::QueryHit => self.on_hit(None, message, cx),
            Kind::Vendor => self.on_udp_vendor(from, message, cx),
            Kind::Push => self.on_udp_push(from, message, cx),
            _ => self.counters.dropped += 1,
        }
    }
}

impl<C: Address> Machine for Servent<C> {
    type Command = Command<C>;
    type Event = Event<C>;
    type Timer = Timer;
    type Effect = Effect<C>;

    fn on_command(&mut self, op: OpId, command: Command<C>, cx: &mut Cx<'_, Self>) {
        match command {
            Command::Join(known) => {
                self.left = false;
                known.into_iter().for_each(|contact| self.hosts.trust(contact));
                self.seek(cx);
                self.wake(cx);
            }
            Command::Leave => self.leave(cx),
            Command::Share(file) => {
                self.library.insert(file);
                self.words = None;
                self.wake(cx);
            }
            Command::Unshare(sha1) => {
                if let Some(index) = self.library.index_of(sha1) {
                    self.library.remove(index);
                    self.words = None;
                }
            }
            Command::NameTorrent(sha1, torrent) => self.library.set_torrent(sha1, torrent),
            Command::Search { words, sha1 } => self.search(op, &words, sha1, cx),
            Command::StopSearch => self.stop_search(op, cx),
            Command::Push { servent, index, proxies } => {
                let sent = self.push(servent, index, &proxies, cx);
                cx.answer(op, Event::Pushed(sent));
            }
            Command::RelayPush { servent, index, to } => {
                let sent = self.relay_push(servent, index, to, cx);
                cx.answer(op, Event::Pushed(sent));
            }
            Command::AskForHosts(contact) => self.ask_for_hosts(contact, cx),
        }
    }

    fn on_timer(&mut self, _: Timer, cx: &mut Cx<'_, Self>) {
        self.upkeep(cx);
    }
}

impl<C: Address> StreamMachine for Servent<C> {
    type Contact = C;
    type Frame = Frame;
    type CloseReason = CloseReason;

    fn on_open(&mut self, conn: ConnId, peer: C, side: Side, cx: &mut Cx<'_, Self>) {
        self.was_reached |= side == Side::Listener;
        self.opened(conn, peer, side, cx);
    }

    fn on_dial_failed(&mut self, peer: C, cx: &mut Cx<'_, Self>) {
        if self.reaching.remove(&peer) {
            return;
        }
        self.dialing.remove(&peer);
        self.hosts.dialled(&peer, false);
        self.seek(cx);
    }

    fn on_frame(&mut self, conn: ConnId, frame: Frame, cx: &mut Cx<'_, Self>) {
        match frame {
            Frame::Connect04 | Frame::Ok04 => self.heard_old(conn, &frame, cx),
            Frame::Block(block) => self.heard_block(conn, block, cx),
            Frame::Message(message) => self.on_descriptor(conn, message, cx),
        }
    }

    fn on_close(&mut self, conn: ConnId, _: CloseReason, cx: &mut Cx<'_, Self>) {
        let Some(peer) = self.peers.remove(&conn) else { return };
        self.proxied.retain(|_, through| *through != conn);
        self.led.retain(|_, led| led.from != Some(conn));
        if peer.is_up() {
            cx.emit(Event::Disconnected { peer: peer.contact });
        }
        if peer.is_ultrapeer() && self.role == Role::Leaf {
            self.lose(cx.now());
        }
        self.seek(cx);
    }

    // Files do not travel on these connections.
    fn on_payload_head(&mut self, _: ConnId, _: Payload, _: &mut Cx<'_, Self>) -> bool {
        false
    }

    fn on_payload(&mut self, _: ConnId, _: Payload, _: &mut Cx<'_, Self>) {}

    fn on_sent(&mut self, _: ConnId, _: Payload, _: &mut Cx<'_, Self>) {}

    fn on_dropped(&mut self, _: ConnId, _: Payload, _: &mut Cx<'_, Self>) {}

    fn on_verified(&mut self, _: u32, _: bool, _: &mut Cx<'_, Self>) {}
}
