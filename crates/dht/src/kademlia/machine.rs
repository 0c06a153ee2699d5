//! The machine: routes messages, timers and commands to the parts of a node, and keeps account of
//! requests under way. Answering is `respond`'s, lookups and what follows them `operation`'s.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use machine::dht::{self, Contact, Cost, Key, Report};
use machine::{Cx, DatagramMachine, Instant, Machine, Near, OpId};

use super::bytes::{Token, Transaction};
use super::config::{Config, Family};
use super::item::Item;
use super::items::ItemStore;
use super::limiter::Limiter;
use super::message::{Body, Message, Query, Refusal, Reply, Samples};
use super::operation::Operation;
use super::peers::PeerStore;
use super::table::{Answered, Seconds, Table};
use super::token::Secret;
use super::upkeep::Handover;

/// Operations under way at once; more fail at once.
pub const OPERATIONS_MAX: usize = 1_024;
/// Requests under way at once that only keep the table in order.
const PROBES_MAX: usize = 16;
/// Nodes of the other family that are remembered for those who ask for them.
const FOREIGN_MAX: usize = 8;

/// What a user asks of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Command<C> {
    /// What any hash table can do.
    Dht(dht::Command<C>),
    /// Find peers of a torrent: [`Event::Peers`], at last [`Report::Located`].
    GetPeers {
        /// The torrent.
        info_hash: Key,
    },
    /// Find peers of a torrent and list ourselves: [`Event::Peers`], at last [`Report::Stored`].
    /// Never for private torrents (BEP 27): that is the caller's to know.
    Announce {
        /// The torrent.
        info_hash: Key,
        /// Our port; the one that our datagrams come from, if there is none.
        port: Option<u16>,
    },
    /// Find the latest version of an item under a public key: [`Event::Item`].
    GetItem {
        /// The key: [`super::mutable_key`] or [`super::immutable_key`].
        target: Key,
        /// The salt that went into it.
        salt: dht::Value,
    },
    /// Store an item: [`Report::Stored`] or [`Event::Refused`].
    PutItem {
        /// The item, signed by whoever has the key.
        item: Item,
        /// Store only over this version.
        cas: Option<i64>,
    },
    /// Collect torrents from the nodes around a key (BEP 51): [`Event::Samples`], at last
    /// [`Report::Located`].
    Sample {
        /// The key.
        target: Key,
    },
    /// Get to know a node that somebody mentioned, if it answers.
    Ping {
        /// The node.
        contact: C,
    },
    /// Be known by another key from now on (BEP 42).
    Rename {
        /// The node itself, under that key.
        me: C,
    },
    /// Nodes of the other family of addresses, for those who ask for them (BEP 32).
    Foreign {
        /// The nodes; the first few are kept.
        nodes: Vec<C>,
    },
}

/// What a node tells its user.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<C> {
    /// How a command ended.
    Report(Report<C>),
    /// Some peers of a torrent; there may be more.
    Peers(Vec<SocketAddr>),
    /// An item was found.
    Item {
        /// The item.
        item: Item,
        /// What it took.
        cost: Cost,
    },
    /// An item was stored by nobody.
    Refused {
        /// Why, by the last one who said so.
        refusal: Refusal,
        /// What it took.
        cost: Cost,
    },
    /// What one node holds peers of; there may be more.
    Samples {
        /// Who holds them.
        from: C,
        /// What it told.
        samples: Samples,
    },
    /// Nodes of the other family of addresses were mentioned.
    Foreign(Vec<C>),
}

/// What a node waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The next request that may have gone unanswered.
    Requests,
    /// A round of upkeep.
    Upkeep,
}

/// Whether a node is part of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Out,
    In,
    /// Hands over what it keeps; this command waits for that.
    Leaving(OpId),
    Left,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A step of an operation's lookup.
    Lookup(u32),
    /// A copy that an operation stores.
    Store(u32),
    /// To see whether a node is there.
    Probe,
    /// A copy nobody waits for.
    Copy,
    /// To see whether a new neighbour lacks an item.
    Handover(u32),
}

/// A request that has not been answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<C> {
    pub(super) transaction: u32,
    pub(super) to: C,
    pub(super) purpose: Purpose,
    /// When something has to happen: the operation goes on without it, or it has failed.
    due: Instant,
    slow: bool,
}

/// What others left at a node and what it published.
#[derive(Clone)]
pub(super) struct Storage<C: Contact> {
    pub(super) items: ItemStore<C::Host>,
    pub(super) peers: PeerStore,
    /// Items that our user stored, with when they were stored last.
    pub(super) published: Vec<(Key, Item, Seconds)>,
}

/// A Kademlia node. What every message needs comes first, in memory too: there may be a million.
#[derive(Clone)]
#[repr(C)]
pub struct Kademlia<C: Contact> {
    pub(super) standing: Standing,
    pub(super) me: C,
    pub(super) serial: u32,
    pub(super) config: Arc<Config<C>>,
    pub(super) requests: Vec<Request<C>>,
    pub(super) operations: Vec<Box<Operation<C>>>,
    pub(super) limiter: Option<Box<Limiter>>,
    /// When the timer for requests is set to fire.
    armed: Option<Instant>,
    pub(super) table: Table<C>,
    pub(super) storage: Option<Box<Storage<C>>>,
    pub(super) secret: Secret,
    pub(super) foreign: Vec<C>,
    /// Items for new neighbours.
    pub(super) handovers: Vec<Handover<C>>,
}

/// Seconds since the driver began.
pub(super) fn seconds(now: Instant) -> Seconds {
    (now.as_nanos() / 1_000_000_000) as Seconds
}

impl<C: Contact> Kademlia<C> {
    /// A node that knows nobody. `secret` is what its tokens are made of; live, from the system's
    /// randomness.
    #[must_use]
    pub fn new(me: C, config: Arc<Config<C>>, secret: [u8; 16]) -> Self {
        let limiter = config.host_rate.map(|rate| Box::new(Limiter::new(rate)));
        Self {
            table: Table::new(me.key()),
            config,
            me,
            standing: Standing::Out,
            requests: Vec::new(),
            operations: Vec::new(),
            serial: 0,
            armed: None,
            secret: Secret::new(secret),
            storage: None,
            limiter,
            foreign: Vec::new(),
            handovers: Vec::new(),
        }
    }

    /// A node that is part of the network and has heard from `contacts`, for experiments that do
    /// not begin with joining: as many of them as its buckets hold.
    #[must_use]
    pub fn wired(me: C, config: Arc<Config<C>>, secret: [u8; 16], contacts: Vec<C>) -> Self {
        let mut node = Self::new(me, config, secret);
        node.table = Table::wired(me.key(), contacts, node.config.k);
        node.standing = Standing::In;
        node
    }

    /// The node itself.
    #[must_use]
    pub fn me(&self) -> C {
        self.me
    }

    /// Its rules.
    #[must_use]
    pub fn config(&self) -> &Config<C> {
        &self.config
    }

    /// Whether it is part of the network.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        self.standing == Standing::In
    }

    /// Whom it knows.
    #[must_use]
    pub fn table(&self) -> &Table<C> {
        &self.table
    }

    /// Nodes to begin with after a restart, those that answered last included.
    pub fn nodes(&self) -> impl Iterator<Item = C> {
        self.table.good()
    }

    /// Keys of the items that it keeps for others, closest first, with the second at which each
    /// is forgotten.
    pub fn stored(&self) -> impl Iterator<Item = (Key, &Item, u32)> {
        let items = self.storage.iter().flat_map(|storage| storage.items.iter());
        items.map(|(key, stored)| (key, &stored.item, stored.expires))
    }

    /// Torrents that it lists peers of, and peers of all of them.
    #[must_use]
    pub fn torrents(&self) -> (usize, usize) {
        self.storage.as_ref().map_or((0, 0), |storage| storage.peers.count())
    }

    /// Peers of a torrent that announced themselves here.
    pub fn listed(&self, info_hash: &Key) -> impl Iterator<Item = SocketAddr> {
        self.storage.iter().flat_map(|storage| storage.peers.listed(info_hash))
    }

    /// Requests that have not been answered.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests.len()
    }

    /// Operations under way, those of upkeep included.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.operations.len()
    }

    /// Bytes on the heap for what every node has; the table, and what is under way.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.table.heap_bytes()
            + self.requests.capacity() * size_of::<Request<C>>()
            + self.operations.capacity() * size_of::<Box<Operation<C>>>()
            + self.operations.len() * size_of::<Operation<C>>()
    }

    pub(super) fn storage(&mut self) -> &mut Storage<C> {
        let own = self.me.key();
        self.storage.get_or_insert_with(|| {
            let items = ItemStore::new(own);
            Box::new(Storage { items, peers: PeerStore::default(), published: Vec::new() })
        })
    }

    /// Whether a contact is in our network.
    pub(super) fn is_kin(&self, contact: &C) -> bool {
        self.config.family.is_none_or(|family| family(contact) == family(&self.me))
    }

    pub(super) fn is_v6(&self) -> bool {
        self.config.family.is_some_and(|family| family(&self.me) == Family::V6)
    }

    /// Sends a request and keeps account of it.
    pub(super) fn ask(&mut self, to: C, purpose: Purpose, query: Query, cx: &mut Cx<'_, Self>) {
        let mut number = cx.rng().next_u32();
        while self.requests.iter().any(|request| request.transaction == number) {
            number = number.wrapping_add(1);
        }
        let patience = match purpose {
            Purpose::Lookup(_) => self.config.slow.min(self.config.timeout),
            _ => self.config.timeout,
        };
        let due = cx.now() + patience;
        self.requests.push(Request { transaction: number, to, purpose, due, slow: false });
        if self.armed.is_none_or(|armed| due < armed) {
            self.armed = Some(due);
            cx.set_timer(patience, Timer::Requests);
        }
        let body = Body::Query { read_only: self.config.read_only, query };
        cx.send(to, Message { transaction: Transaction::ours(number), body });
    }

    /// Sees whether a node is there, unless that is being seen already.
    pub(super) fn probe(&mut self, contact: C, cx: &mut Cx<'_, Self>) {
        let mut probes = 0;
        for request in &self.requests {
            if request.to == contact {
                return;
            }
            probes += usize::from(request.purpose == Purpose::Probe);
        }
        if probes < PROBES_MAX && contact != self.me {
            self.ask(contact, Purpose::Probe, Query::Ping, cx);
        }
    }

    /// The request that a message answers, taken off the account: its transaction and its sender
    /// have to be right.
    fn settle(&mut self, from: &C, transaction: &Transaction) -> Option<Request<C>> {
        let number = transaction.number()?;
        let answered = |request: &Request<C>| request.transaction == number && request.to == *from;
        let at = self.requests.iter().position(answered)?;
        let request = self.requests.swap_remove(at);
        if self.requests.is_empty() {
            // Most nodes of a simulation have nothing to ask most of the time.
            self.requests = Vec::new();
        }
        Some(request)
    }

    fn on_reply(&mut self, from: C, request: Request<C>, reply: Reply<C>, cx: &mut Cx<'_, Self>) {
        let now = seconds(cx.now());
        if !C::IS_KEY_FIXED && from.key() != request.to.key() {
            // Who was there before is gone, and so is what we thought to know of it.
            self.table.remove(&request.to);
        }
        match self.table.answered(from, now, &self.config) {
            Answered::Known | Answered::Waits(None) => {}
            Answered::Inserted => self.on_new_node(from, cx),
            Answered::Waits(Some(oldest)) => self.probe(oldest, cx),
        }
        match request.purpose {
            Purpose::Lookup(serial) => self.on_lookup_reply(serial, &request.to, from, reply, cx),
            Purpose::Store(serial) => self.on_stored(serial, Ok(()), cx),
            Purpose::Handover(serial) => self.on_handover(serial, Some(reply), cx),
            Purpose::Probe | Purpose::Copy => {}
        }
    }

    fn on_refusal(&mut self, request: Request<C>, refusal: Refusal, cx: &mut Cx<'_, Self>) {
        match request.purpose {
            Purpose::Lookup(serial) => self.on_lookup_failure(serial, &request.to, false, cx),
            Purpose::Store(serial) => self.on_stored(serial, Err(Some(refusal)), cx),
            Purpose::Handover(serial) => self.on_handover(serial, None, cx),
            Purpose::Probe | Purpose::Copy => {}
        }
    }

    /// Goes through the requests that may have gone unanswered.
    fn on_requests_due(&mut self, cx: &mut Cx<'_, Self>) {
        let now = cx.now();
        if self.armed.is_some_and(|armed| armed > now) {
            return;
        }
        self.armed = None;
        while let Some(at) = self.requests.iter().position(|request| request.due <= now) {
            let patience = self.config.timeout.saturating_sub(self.config.slow);
            let request = &mut self.requests[at];
            if let (Purpose::Lookup(serial), false) = (request.purpose, request.slow)
                && !patience.is_zero()
            {
                request.slow = true;
                request.due = now + patience;
                let to = request.to;
                self.on_lookup_slow(serial, &to, cx);
                continue;
            }
            let request = self.requests.swap_remove(at);
            if let Some(spare) = self.table.failed(&request.to, &self.config) {
                self.probe(spare, cx);
            }
            match request.purpose {
                Purpose::Lookup(serial) => self.on_lookup_failure(serial, &request.to, true, cx),
                Purpose::Store(serial) => self.on_stored(serial, Err(None), cx),
                Purpose::Handover(serial) => self.on_handover(serial, None, cx),
                Purpose::Probe | Purpose::Copy => {}
            }
        }
        if self.requests.is_empty() {
            self.requests = Vec::new();
        }
        if let Some(due) = self.requests.iter().map(|request| request.due).min()
            && self.armed.is_none_or(|armed| due < armed)
        {
            self.armed = Some(due);
            cx.set_timer(due - now, Timer::Requests);
        }
    }

    /// A token for a host.
    pub(super) fn token_for(&self, contact: &C, now: Instant) -> Token {
        self.secret.token(&contact.host(), now)
    }
}

impl<C: Contact> Machine for Kademlia<C> {
    type Command = Command<C>;
    type Event = Event<C>;
    type Timer = Timer;
    type Effect = machine::Send<C, Message<C>>;

    fn on_start(&mut self, cx: &mut Cx<'_, Self>) {
        let period = self.config.upkeep;
        let nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        let first = core::time::Duration::from_nanos(cx.rng().below(nanos));
        cx.set_timer(first, Timer::Upkeep);
        self.schedule_refreshes(cx);
    }

    fn on_command(&mut self, op: OpId, command: Command<C>, cx: &mut Cx<'_, Self>) {
        self.command(op, command, cx);
    }

    fn on_timer(&mut self, timer: Timer, cx: &mut Cx<'_, Self>) {
        match timer {
            Timer::Requests => {
                self.on_requests_due(cx);
                self.part(cx);
            }
            Timer::Upkeep if self.standing == Standing::Left => {}
            Timer::Upkeep => {
                self.maintain(cx);
                cx.set_timer(self.config.upkeep, Timer::Upkeep);
            }
        }
    }
}

impl<C: Contact> DatagramMachine for Kademlia<C> {
    type Contact = C;
    type Message = Message<C>;

    fn on_message(&mut self, from: C, message: Message<C>, cx: &mut Cx<'_, Self>) {
        if self.standing == Standing::Left || from == self.me {
            return;
        }
        match message.body {
            Body::Query { .. } if matches!(self.standing, Standing::Leaving(_)) => {}
            Body::Query { read_only, query } => {
                self.on_query(from, message.transaction, read_only, query, cx);
            }
            Body::Reply(reply) => {
                if let Some(request) = self.settle(&from, &message.transaction) {
                    self.on_reply(from, request, reply, cx);
                    self.part(cx);
                }
            }
            Body::Refusal(refusal) => {
                if let Some(request) = self.settle(&from, &message.transaction) {
                    self.on_refusal(request, refusal, cx);
                    self.part(cx);
                }
            }
        }
    }

    #[inline]
    fn foresee(&self, from: C, message: &Message<C>, round: u32, near: &mut impl Near) {
        match (&message.body, round) {
            (Body::Query { query, .. }, 0) => {
                if let Some(target) = query.target() {
                    self.table.foresee_closest(target, self.config.k, near);
                }
                self.table.foresee_heard(&from, &self.config, near);
            }
            (Body::Reply(reply), 0) => {
                near.bring(&reply.nodes);
                near.bring(&self.requests);
                near.bring(&self.operations);
                self.table.foresee_answered(&from, near);
            }
            (Body::Reply(_), 1) => {
                if let Some(operation) = self.operations.first() {
                    near.bring(core::slice::from_ref(&**operation));
                }
            }
            (Body::Reply(_), 2) => {
                if let Some(operation) = self.operations.first() {
                    operation.lookup().foresee(near);
                }
            }
            _ => {}
        }
    }

    #[inline]
    fn foresee_timer(&self, timer: Timer, near: &mut impl Near) {
        if timer == Timer::Requests {
            near.bring(&self.requests);
            near.bring(&self.operations);
        }
    }
}

impl<C: Contact> dht::Dht for Kademlia<C> {
    fn command(command: dht::Command<C>) -> Command<C> {
        Command::Dht(command)
    }

    fn report(event: Event<C>) -> Option<Report<C>> {
        match event {
            Event::Report(report) => Some(report),
            _ => None,
        }
    }
}

impl<C: Contact> Kademlia<C> {
    /// Remembers nodes of the other family.
    pub(super) fn remember_foreign(&mut self, nodes: Vec<C>) {
        self.foreign = nodes;
        self.foreign.truncate(FOREIGN_MAX);
    }
}
