//! What a node does over several messages: a lookup, and what is done with those it finds.

use alloc::boxed::Box;
use alloc::vec::Vec;

use machine::dht::{self, Contact, Cost, Key, Report, Value};
use machine::{Cx, OpId};

use super::bytes::Token;
use super::config::Naming;
use super::item::{Item, Mutable, bencoded, immutable_key, plain};
use super::items::judge;
use super::lookup::{Lookup, Shape, Step};
use super::machine::{Command, Event, Kademlia, OPERATIONS_MAX, Purpose, Standing, seconds};
use super::message::{Found, Put, Query, Refusal, Reply, Want};

/// What an operation is for.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// To find ourselves, and so our neighbours.
    Join,
    /// To freshen a bucket.
    Refresh,
    /// To find nodes.
    Locate,
    /// To find a value; the salt of an item that can be replaced.
    Get { salt: Value, is_item: bool },
    /// To store an item where it belongs.
    Put { item: Item, cas: Option<i64>, age: u32 },
    /// To find peers of a torrent.
    GetPeers,
    /// To find them and become one.
    Announce { port: Option<u16> },
    /// To collect torrents.
    Sample,
}

impl Kind {
    /// Whether leave to store is wanted of those who are asked.
    fn stores(&self) -> bool {
        matches!(self, Self::Put { .. } | Self::Announce { .. })
    }

    fn query(&self, target: Key) -> Query {
        let want = Want::Same;
        match self {
            Self::Join | Self::Refresh | Self::Locate => Query::FindNode { target, want },
            Self::Get { .. } | Self::Put { .. } => Query::Get { target, seq: None, want },
            Self::GetPeers | Self::Announce { .. } => Query::GetPeers { info_hash: target, want },
            Self::Sample => Query::SampleInfohashes { target, want },
        }
    }
}

/// An operation under way.
#[derive(Clone, Debug)]
pub(super) struct Operation<C> {
    pub(super) serial: u32,
    /// The command it answers; none is answered by upkeep.
    pub(super) op: Option<OpId>,
    pub(super) kind: Kind,
    lookup: Lookup<C>,
    cost: Cost,
    /// Leave to store, by node.
    tokens: Vec<(C, Token)>,
    /// The item that was found, with the chain of referrals to it.
    best: Option<(Item, u16)>,
    /// Stores that have not been answered.
    storing: u16,
    copies: u16,
    refusal: Option<Refusal>,
}

impl<C> Operation<C> {
    pub(super) fn lookup(&self) -> &Lookup<C> {
        &self.lookup
    }
}

impl<C: Contact> Kademlia<C> {
    pub(super) fn command(&mut self, op: OpId, command: Command<C>, cx: &mut Cx<'_, Self>) {
        if matches!(self.standing, Standing::Left | Standing::Leaving(_)) {
            return self.fail(op, cx);
        }
        match command {
            Command::Dht(command) => self.dht_command(op, command, cx),
            Command::GetPeers { info_hash } => self.begin(Some(op), info_hash, Kind::GetPeers, cx),
            Command::Announce { info_hash, port } => {
                self.begin(Some(op), info_hash, Kind::Announce { port }, cx);
            }
            Command::GetItem { target, salt } => {
                self.begin(Some(op), target, Kind::Get { salt, is_item: true }, cx);
            }
            Command::PutItem { item, cas } => match judge(&item, &self.config) {
                Ok(()) => {
                    let target = item.target();
                    self.begin(Some(op), target, Kind::Put { item, cas, age: 0 }, cx);
                }
                Err(refusal) => {
                    cx.answer(op, Event::Refused { refusal, cost: Cost::default() });
                }
            },
            Command::Sample { target } => self.begin(Some(op), target, Kind::Sample, cx),
            Command::Ping { contact } => self.probe(contact, cx),
            Command::Rename { me } => self.rename(me, cx),
            Command::Foreign { nodes } => self.remember_foreign(nodes),
        }
    }

    fn dht_command(&mut self, op: OpId, command: dht::Command<C>, cx: &mut Cx<'_, Self>) {
        match command {
            dht::Command::Join { mut known } => {
                known.retain(|node| *node != self.me);
                if known.is_empty() {
                    self.standing = Standing::In;
                    return cx.answer(op, Event::Report(Report::Joined));
                }
                known.reverse();
                let mut join = self.operation(Some(op), self.me.key(), Kind::Join);
                join.lookup.ask_first(known);
                self.start(join, cx);
            }
            dht::Command::Leave => self.leave(op, cx),
            dht::Command::Put { key, value } => {
                let item = match self.config.naming {
                    Naming::Free => value,
                    Naming::Hashed => bencoded(&value),
                };
                let named = self.config.naming == Naming::Free || immutable_key(&item) == key;
                let item = Item::Immutable(item);
                if !named || judge(&item, &self.config).is_err() {
                    return self.fail(op, cx);
                }
                if self.config.republish.is_some() {
                    self.publish(key, item.clone(), cx);
                }
                self.begin(Some(op), key, Kind::Put { item, cas: None, age: 0 }, cx);
            }
            dht::Command::Get { key } => {
                let kind = Kind::Get { salt: Value::default(), is_item: false };
                self.begin(Some(op), key, kind, cx);
            }
            dht::Command::Lookup { key } => self.begin(Some(op), key, Kind::Locate, cx),
        }
    }

    fn fail(&mut self, op: OpId, cx: &mut Cx<'_, Self>) {
        cx.answer(op, Event::Report(Report::Failed { cost: Cost::default() }));
    }

    fn operation(&mut self, op: Option<OpId>, target: Key, kind: Kind) -> Box<Operation<C>> {
        self.serial = self.serial.wrapping_add(1);
        let shape = Shape::from(&*self.config);
        let mut known = Vec::with_capacity(2 * shape.k);
        self.table.closest(&target, shape.k, None, &mut known);
        if known.len() < shape.alpha {
            // Better than giving up: we may have been cut off for a while.
            known.extend(self.table.failing().take(shape.k));
        }
        Box::new(Operation {
            serial: self.serial,
            op,
            kind,
            lookup: Lookup::new(target, self.me, &known, shape),
            cost: Cost::default(),
            tokens: Vec::new(),
            best: None,
            storing: 0,
            copies: 0,
            refusal: None,
        })
    }

    /// Begins an operation around `target`.
    pub(super) fn begin(
        &mut self,
        op: Option<OpId>,
        target: Key,
        kind: Kind,
        cx: &mut Cx<'_, Self>,
    ) {
        if self.operations.len() >= OPERATIONS_MAX {
            if let Some(op) = op {
                self.fail(op, cx);
            }
            return;
        }
        let mut operation = self.operation(op, target, kind);
        if let Kind::Get { is_item, .. } = operation.kind
            && let Some(stored) = self.storage.as_ref().and_then(|all| all.items.get(&target))
        {
            let item = stored.item.clone();
            if !is_item || item.seq().is_none() {
                operation.best = Some((item, 0));
                return self.conclude(*operation, cx);
            }
            operation.best = Some((item, 0));
        }
        self.start(operation, cx);
    }

    fn start(&mut self, operation: Box<Operation<C>>, cx: &mut Cx<'_, Self>) {
        let period = u32::try_from(self.config.refresh.as_secs()).unwrap_or(u32::MAX);
        let due = seconds(cx.now()).saturating_add(period);
        self.table.touch(operation.lookup.target(), due);
        self.advance(operation, cx);
    }

    /// Sends what the operation's lookup wants sent, and goes on if it wants nothing more.
    fn advance(&mut self, mut operation: Box<Operation<C>>, cx: &mut Cx<'_, Self>) {
        let target = *operation.lookup.target();
        loop {
            match operation.lookup.next_step() {
                Step::Ask(contact) => {
                    operation.cost.messages = operation.cost.messages.saturating_add(1);
                    let query = operation.kind.query(target);
                    self.ask(contact, Purpose::Lookup(operation.serial), query, cx);
                }
                Step::Wait => return self.operations.push(operation),
                Step::Done => return self.finish_lookup(operation, cx),
            }
        }
    }

    fn take(&mut self, serial: u32) -> Option<Box<Operation<C>>> {
        let at = self.operations.iter().position(|operation| operation.serial == serial)?;
        Some(self.operations.swap_remove(at))
    }

    pub(super) fn on_lookup_reply(
        &mut self,
        serial: u32,
        asked: &C,
        from: C,
        mut reply: Reply<C>,
        cx: &mut Cx<'_, Self>,
    ) {
        if self.config.family.is_some() && reply.nodes.iter().any(|node| !self.is_kin(node)) {
            let (kin, foreign) = reply.nodes.iter().partition(|node| self.is_kin(node));
            reply.nodes = kin;
            cx.emit(Event::Foreign(foreign));
        }
        let Some(mut operation) = self.take(serial) else { return };
        operation.lookup.on_success(asked, &from, &reply.nodes);
        let wants_token = operation.kind.stores()
            || self.config.cache && matches!(operation.kind, Kind::Get { .. });
        let mut had_item = false;
        match reply.found {
            Found::Item(item) => {
                had_item = true;
                if self.on_item(&mut operation, &from, item) {
                    return self.finish_lookup(operation, cx);
                }
            }
            Found::Peers(peers) => {
                if let Some(op) = operation.op
                    && !peers.is_empty()
                {
                    cx.answer(op, Event::Peers(peers));
                }
            }
            Found::Samples(samples) => {
                if let Some(op) = operation.op {
                    cx.answer(op, Event::Samples { from, samples });
                }
            }
            Found::Nothing | Found::Seq(_) => {}
        }
        let keeps = operation.kind.stores() || !had_item;
        if wants_token
            && keeps
            && let Some(token) = reply.token
        {
            operation.tokens.push((from, *token));
        }
        self.advance(operation, cx);
    }

    /// Judges an item that came; whether the search is over.
    fn on_item(&self, operation: &mut Operation<C>, from: &C, item: Item) -> bool {
        let Kind::Get { salt, .. } = &operation.kind else { return false };
        let item = match item {
            Item::Mutable(item) if !salt.is_empty() => {
                // Salts are not told again: whoever asks knows it.
                let salt = salt.clone();
                Item::Mutable(Mutable { salt, ..(*item).clone() }.into())
            }
            item => item,
        };
        let is_named = match self.config.naming {
            Naming::Free => true,
            Naming::Hashed => item.target() == *operation.lookup.target(),
        };
        let is_newer = operation.best.as_ref().is_none_or(|(best, _)| best.seq() < item.seq());
        if !is_named || !is_newer || judge(&item, &self.config).is_err() {
            return false;
        }
        let is_last = item.seq().is_none();
        operation.best = Some((item, operation.lookup.hops_to(from)));
        is_last
    }

    pub(super) fn on_lookup_failure(
        &mut self,
        serial: u32,
        asked: &C,
        timed_out: bool,
        cx: &mut Cx<'_, Self>,
    ) {
        let Some(mut operation) = self.take(serial) else { return };
        let timeouts = u16::from(timed_out);
        operation.cost.timeouts = operation.cost.timeouts.saturating_add(timeouts);
        operation.lookup.on_failure(asked);
        self.advance(operation, cx);
    }

    pub(super) fn on_lookup_slow(&mut self, serial: u32, asked: &C, cx: &mut Cx<'_, Self>) {
        let Some(mut operation) = self.take(serial) else { return };
        operation.lookup.on_slow(asked);
        self.advance(operation, cx);
    }

    /// The nodes are found: stores with them what is to be stored, if anything.
    fn finish_lookup(&mut self, mut operation: Box<Operation<C>>, cx: &mut Cx<'_, Self>) {
        operation.cost.hops = match (&operation.kind, &operation.best) {
            (Kind::Get { .. }, Some((_, hops))) => *hops,
            _ => operation.lookup.hops(),
        };
        match operation.kind {
            Kind::Put { .. } | Kind::Announce { .. } => self.store_all(operation, cx),
            Kind::Get { .. } => {
                self.cache(&operation, cx);
                self.conclude(*operation, cx);
            }
            _ => self.conclude(*operation, cx),
        }
    }

    /// Stores with the closest nodes that gave leave, and with ourselves if we are one of them.
    fn store_all(&mut self, mut operation: Box<Operation<C>>, cx: &mut Cx<'_, Self>) {
        let target = *operation.lookup.target();
        let closest: Vec<C> = operation.lookup.closest().collect();
        if let Kind::Put { item, cas, age } = &operation.kind {
            let (item, cas, age) = (item.clone(), *cas, *age);
            let ours = self.me.key().xor(&target);
            let farthest = closest.last().map(|node| target.xor(&node.key()));
            let is_close = closest.len() < self.config.k || farthest.is_some_and(|far| ours < far);
            if is_close && !self.config.read_only {
                let put = Put { target, token: Token::default(), item, cas, age };
                match self.store(put, &self.me.clone(), cx) {
                    Ok(()) => operation.copies += 1,
                    Err(refusal) => operation.refusal = Some(refusal),
                }
            }
        }
        // Whoever keeps values up is one of the k; elsewhere others are, should we be out of reach.
        let kept = usize::from(self.config.republish.is_some() && operation.copies > 0);
        for node in closest.into_iter().take(self.config.k - kept) {
            let Some((_, token)) = operation.tokens.iter().find(|(by, _)| *by == node) else {
                continue;
            };
            let token = *token;
            let query = match &operation.kind {
                Kind::Put { item, cas, age } => {
                    let (item, cas, age) = (item.clone(), *cas, *age);
                    Query::Put(Box::new(Put { target, token, item, cas, age }))
                }
                Kind::Announce { port } => {
                    Query::AnnouncePeer { info_hash: target, token: token.into(), port: *port }
                }
                _ => break,
            };
            operation.storing += 1;
            operation.cost.messages = operation.cost.messages.saturating_add(1);
            self.ask(node, Purpose::Store(operation.serial), query, cx);
        }
        match operation.storing {
            0 => self.conclude(*operation, cx),
            _ => self.operations.push(operation),
        }
    }

    /// A copy was stored, or refused, or nothing was heard of it.
    pub(super) fn on_stored(
        &mut self,
        serial: u32,
        outcome: Result<(), Option<Refusal>>,
        cx: &mut Cx<'_, Self>,
    ) {
        let Some(mut operation) = self.take(serial) else { return };
        operation.storing = operation.storing.saturating_sub(1);
        match outcome {
            Ok(()) => operation.copies += 1,
            Err(Some(refusal)) => operation.refusal = Some(refusal),
            Err(None) => operation.cost.timeouts = operation.cost.timeouts.saturating_add(1),
        }
        match operation.storing {
            0 => self.conclude(*operation, cx),
            _ => self.operations.push(operation),
        }
    }

    /// Leaves a copy of what was found with the closest node that did not have it.
    fn cache(&mut self, operation: &Operation<C>, cx: &mut Cx<'_, Self>) {
        let Some((item, hops @ 1..)) = &operation.best else { return };
        if !self.config.cache || *hops == 0 {
            return;
        }
        let target = *operation.lookup.target();
        let lacking = operation.tokens.iter();
        let Some((node, token)) = lacking.min_by_key(|(node, _)| target.xor(&node.key())) else {
            return;
        };
        let put = Put { target, token: *token, item: item.clone(), cas: None, age: 0 };
        self.ask(*node, Purpose::Copy, Query::Put(Box::new(put)), cx);
    }

    /// The operation is over: tells whoever waits for it.
    fn conclude(&mut self, operation: Operation<C>, cx: &mut Cx<'_, Self>) {
        let Operation { op, kind, lookup, cost, best, copies, refusal, .. } = operation;
        let answered = lookup.closest().next().is_some();
        let event = match kind {
            Kind::Join if answered => {
                self.standing = Standing::In;
                // Its neighbours it knows by now; the rest of the network comes with refreshes.
                self.table.make_far_due(seconds(cx.now()));
                Event::Report(Report::Joined)
            }
            Kind::Get { is_item, .. } => match best {
                Some((item, _)) if is_item => Event::Item { item, cost },
                Some((item, _)) => {
                    let value = match self.config.naming {
                        Naming::Free => item.value().clone(),
                        Naming::Hashed => plain(item.value()),
                    };
                    Event::Report(Report::Found { value, cost })
                }
                None if answered => Event::Report(Report::NotFound { cost }),
                None => Event::Report(Report::Failed { cost }),
            },
            Kind::Put { .. } | Kind::Announce { .. } if copies > 0 => {
                Event::Report(Report::Stored { copies, cost })
            }
            Kind::Put { .. } | Kind::Announce { .. } => match refusal {
                Some(refusal) => Event::Refused { refusal, cost },
                None => Event::Report(Report::Failed { cost }),
            },
            Kind::Locate | Kind::GetPeers | Kind::Sample if answered => {
                Event::Report(Report::Located { nodes: lookup.closest().collect(), cost })
            }
            _ => Event::Report(Report::Failed { cost }),
        };
        match op {
            Some(op) => cx.answer(op, event),
            None => self.maintain(cx),
        }
        if self.operations.is_empty() {
            self.operations = Vec::new();
        }
    }
}
