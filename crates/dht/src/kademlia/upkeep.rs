//! What a node does unasked: refreshes buckets, stores items again, forgets what is old, hands
//! items to new neighbours, and leaves.

use alloc::boxed::Box;
use alloc::vec::Vec;

use machine::dht::{Contact, Key, Report};
use machine::{Cx, OpId};

use super::item::Item;
use super::machine::{Event, Kademlia, Purpose, Standing, seconds};
use super::message::{Found, Put, Query, Reply, Want};
use super::operation::Kind;
use super::table::Seconds;

/// Items that wait to be handed over.
const HANDOVERS_MAX: usize = 1_024;
/// Items that are being handed over.
const HANDOVERS_AT_ONCE: usize = 8;

/// Nodes that left a request unanswered and are asked again in one round of upkeep.
const FAILING_AT_ONCE: usize = 4;

/// An item that a new neighbour is to have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handover<C> {
    serial: u32,
    target: Key,
    to: C,
    /// Whether it has been asked if it lacks the item.
    is_asked: bool,
}

impl<C: Contact> Kademlia<C> {
    /// A round of upkeep: at most one operation of it is under way.
    pub(super) fn maintain(&mut self, cx: &mut Cx<'_, Self>) {
        let now = seconds(cx.now());
        let peer_expiry = self.config.peer_expiry.as_secs() as Seconds;
        if let Some(storage) = &mut self.storage {
            storage.items.expire(now);
            storage.peers.expire(now.saturating_sub(peer_expiry));
        }
        if self.standing != Standing::In {
            return;
        }
        let questionable: Vec<C> = self.table.questionable(now, &self.config).collect();
        questionable.into_iter().for_each(|node| self.probe(node, cx));
        self.probe_failing(cx);
        if self.operations.iter().any(|o| o.op.is_none()) {
            return;
        }
        if let Some((target, item, age)) = self.item_due(now) {
            return self.begin(None, target, Kind::Put { item, cas: None, age }, cx);
        }
        if !self.table.is_empty()
            && let Some(index) = self.table.due(now)
        {
            let mut random = [0; 20];
            cx.rng().fill(&mut random);
            let target = self.table.key_in(index, random);
            self.begin(None, target, Kind::Refresh, cx);
        }
    }

    /// Sees whether some of those who left a request unanswered are back.
    fn probe_failing(&mut self, cx: &mut Cx<'_, Self>) {
        let failing = self.table.failing_count();
        if failing > 0 {
            let first = cx.rng().below(failing as u64) as usize;
            let some: Vec<C> = self.table.failing().skip(first).take(FAILING_AT_ONCE).collect();
            some.into_iter().for_each(|node| self.probe(node, cx));
        }
    }

    /// Spreads the first refreshes of a node that is in the network already.
    pub(super) fn schedule_refreshes(&mut self, cx: &mut Cx<'_, Self>) {
        if self.standing == Standing::In {
            let period = self.config.refresh.as_secs();
            self.table.schedule(|| cx.rng().below(period.max(1)) as Seconds);
        }
    }

    /// Keeps an item that our user stored, to store it again before it expires.
    pub(super) fn publish(&mut self, target: Key, item: Item, cx: &mut Cx<'_, Self>) {
        let now = seconds(cx.now());
        let items_max = self.config.items_max;
        let published = &mut self.storage().published;
        published.retain(|(key, ..)| *key != target);
        if published.len() < items_max {
            published.push((target, item, now));
        }
    }

    /// An item to store again: one of ours before it expires, or one that nobody stored here for
    /// a while (Kademlia, section 2.5).
    fn item_due(&mut self, now: Seconds) -> Option<(Key, Item, u32)> {
        let republish = self.config.republish?.as_secs() as Seconds;
        let expiry = self.config.item_expiry.as_secs() as Seconds;
        let upkeep = self.config.upkeep.as_secs() as Seconds;
        let storage = self.storage.as_mut()?;
        let again = expiry.saturating_sub(upkeep.saturating_mul(4)).max(expiry / 2);
        let ours = storage.published.iter_mut().find(|(.., at)| now.saturating_sub(*at) >= again);
        if let Some((target, item, at)) = ours {
            *at = now;
            return Some((*target, item.clone(), 0));
        }
        let (target, item, age) = storage.items.iter().find_map(|(target, stored)| {
            let due = now.saturating_sub(stored.stored) >= republish;
            due.then(|| (target, stored.item.clone(), now.saturating_sub(stored.published)))
        })?;
        storage.items.mark(&target, now);
        Some((target, item, age))
    }

    /// A node has come into the table: items that it should have are copied to it, by the node
    /// that was closest to them so far (Kademlia, section 2.5).
    pub(super) fn on_new_node(&mut self, to: C, cx: &mut Cx<'_, Self>) {
        let hands_over = self.config.hand_over && self.standing == Standing::In;
        let Some(storage) = self.storage.as_ref().filter(|_| hands_over) else { return };
        let known: Vec<Key> =
            self.table.good().filter(|node| *node != to).map(|n| n.key()).collect();
        for (target, _) in storage.items.iter() {
            let ours = target.xor(&self.me.key());
            let theirs = target.xor(&to.key());
            let are_closest = known.iter().all(|key| target.xor(key) > ours);
            let closer = known.iter().filter(|key| target.xor(key) < theirs).count();
            if are_closest && closer < self.config.k && self.handovers.len() < HANDOVERS_MAX {
                self.handovers.push(handover(&mut self.serial, target, to));
            }
        }
        self.offer_items(cx);
    }

    /// Asks for leave to store what is to be handed over, a few items at once.
    fn offer_items(&mut self, cx: &mut Cx<'_, Self>) {
        let mut asked = self.handovers.iter().filter(|handover| handover.is_asked).count();
        while asked < HANDOVERS_AT_ONCE
            && let Some(handover) = self.handovers.iter_mut().find(|handover| !handover.is_asked)
        {
            handover.is_asked = true;
            asked += 1;
            let Handover { serial, target, to, .. } = *handover;
            let query = Query::Get { target, seq: None, want: Want::Same };
            self.ask(to, Purpose::Handover(serial), query, cx);
        }
    }

    /// A new neighbour has told whether it lacks an item, or nothing.
    pub(super) fn on_handover(
        &mut self,
        serial: u32,
        reply: Option<Reply<C>>,
        cx: &mut Cx<'_, Self>,
    ) {
        let handover = self.handovers.iter().position(|handover| handover.serial == serial);
        let Some(handover) = handover.map(|at| self.handovers.swap_remove(at)) else { return };
        let Handover { target, to, .. } = handover;
        let stored = self.storage.as_ref().and_then(|storage| storage.items.get(&target));
        if let (Some(Reply { token: Some(token), found, .. }), Some(stored)) = (reply, stored) {
            let lacks = match found {
                Found::Item(item) => item.seq() < stored.item.seq(),
                _ => true,
            };
            if lacks {
                let age = seconds(cx.now()).saturating_sub(stored.published);
                let put = Put { target, token: *token, item: stored.item.clone(), cas: None, age };
                self.ask(to, Purpose::Copy, Query::Put(Box::new(put)), cx);
            }
        }
        self.offer_items(cx);
    }

    /// Stops answering, and hands what it keeps to the nodes that are closest without it.
    pub(super) fn leave(&mut self, op: OpId, cx: &mut Cx<'_, Self>) {
        let hands_over = self.config.hand_over && self.standing == Standing::In;
        let items = self.storage.iter().filter(|_| hands_over).flat_map(|all| all.items.iter());
        let mut closest = Vec::new();
        for (target, _) in items {
            closest.clear();
            self.table.closest(&target, self.config.k, None, &mut closest);
            for &to in closest.iter().take(HANDOVERS_MAX.saturating_sub(self.handovers.len())) {
                self.handovers.push(handover(&mut self.serial, target, to));
            }
        }
        self.standing = Standing::Leaving(op);
        self.offer_items(cx);
        self.part(cx);
    }

    /// Is gone once everything has been handed over.
    pub(super) fn part(&mut self, cx: &mut Cx<'_, Self>) {
        let Standing::Leaving(op) = self.standing else { return };
        let copies = self.requests.iter().any(|request| request.purpose == Purpose::Copy);
        if self.handovers.is_empty() && !copies {
            self.standing = Standing::Left;
            cx.answer(op, Event::Report(Report::Left));
        }
    }

    /// Takes another key: what is sorted by the distance from us is sorted anew, and neighbours
    /// are looked for.
    pub(super) fn rename(&mut self, me: C, cx: &mut Cx<'_, Self>) {
        let (old, new) = (self.me.key(), me.key());
        self.me = me;
        if old == new {
            return;
        }
        self.table = self.table.seen_from(new, self.config.k);
        if let Some(storage) = &mut self.storage {
            storage.items.see_from(new);
        }
        if self.standing == Standing::In {
            self.table.make_far_due(seconds(cx.now()));
            self.begin(None, new, Kind::Refresh, cx);
        }
    }
}

fn handover<C>(serial: &mut u32, target: Key, to: C) -> Handover<C> {
    *serial = serial.wrapping_add(1);
    Handover { serial: *serial, target, to, is_asked: false }
}
