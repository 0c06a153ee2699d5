//! Keeping copies where they belong: to the new predecessor when one comes, to the successor when
//! this node leaves, to the replicas now and then, and to the owner from whoever holds a value that
//! nobody confirms. Always by offer, want and give. What is stored here is in `keys`.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use machine::dht::{Contact, Key};
use machine::{Cx, Instant, OpId};

use super::config::Fault;
use super::lookup::Purpose;
use super::message::{Message, Wanted};
use super::position::{Position, position};
use super::task::Kind;
use super::{Chord, Event};
use crate::held::{Item, OFFER_MAX, Version};

/// Why values are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// To compare what replicas hold.
    Repair,
    /// The receiver is the new predecessor.
    HandOver,
    /// This node leaves.
    Leave,
    /// The receiver owns them, and this node may have no business with them; it drops them then
    /// if so.
    Orphan { drop: bool },
}

/// Values that were offered.
pub(super) struct Offering {
    pub(super) why: Why,
    pub(super) keys: Vec<(Key, Version)>,
}

/// A value that was given.
pub(super) struct Giving {
    pub(super) why: Why,
    pub(super) token: u32,
    pub(super) item: Item,
}

/// The first `count` of `list` that are on different hosts, then those on the same ones.
pub(super) fn spread<C: Contact>(list: &[C], count: usize, distinct: bool) -> Vec<C> {
    let mut chosen: Vec<C> = Vec::with_capacity(count);
    for &contact in list {
        let fresh = chosen.iter().all(|other| other.host() != contact.host());
        if chosen.len() < count && (fresh || !distinct) {
            chosen.push(contact);
        }
    }
    for &contact in list {
        if chosen.len() < count && !chosen.contains(&contact) {
            chosen.push(contact);
        }
    }
    chosen
}

impl<C: Contact> Chord<C> {
    /// Whether `key` is this node's own.
    pub(super) fn owns(&self, key: Key) -> bool {
        let here = position(self.me);
        self.predecessor.is_none_or(|before| here.owns(position(before), Position::from(key)))
    }

    /// The other nodes that should hold what this node owns.
    fn replicas(&self) -> Vec<C> {
        let count = self.config.replicas();
        let list = self.me_and_successors();
        let mut chosen = spread(&list, count, self.config.distinct_hosts);
        chosen.retain(|&contact| contact != self.me);
        chosen
    }

    /// Offers `keys` to `to`.
    pub(super) fn offer(
        &mut self,
        to: C,
        mut keys: Vec<(Key, Version)>,
        why: Why,
        cx: &mut Cx<'_, Self>,
    ) {
        keys.truncate(OFFER_MAX);
        if !keys.is_empty() && self.has_room() {
            self.ask(to, Kind::Offer(Box::new(Offering { why, keys })), cx);
        }
    }

    /// Compares the next keys with the replicas.
    pub(super) fn repair(&mut self, cx: &mut Cx<'_, Self>) {
        let now = cx.now();
        self.tidy_keys(now);
        let Some(keys) = &self.keys else { return };
        let count = self.config.repair_keys.min(OFFER_MAX);
        let patience = self.orphan_patience();
        let orphaned = |confirmed: Instant| now - confirmed >= patience;
        let batch: Vec<_> = keys
            .store
            .iter_after(keys.cursor, now)
            .take(count)
            .map(|(key, held, _)| (key, held.version, orphaned(held.confirmed)))
            .collect();
        let last = batch.last().filter(|_| batch.len() == count).map(|&(key, ..)| key);
        if let Some(keys) = &mut self.keys {
            keys.cursor = last;
            if last.is_none() {
                keys.store.purge(now);
            }
        }
        if self.config.has(Fault::NoRepair) {
            return;
        }
        let orphan = batch.iter().find(|&&(key, _, orphaned)| orphaned && !self.owns(key));
        let orphan = orphan.map(|&(key, ..)| key);
        let own: Vec<_> = batch
            .into_iter()
            .filter(|&(key, ..)| self.owns(key))
            .map(|(key, version, _)| (key, version))
            .collect();
        if !own.is_empty() {
            for replica in self.replicas() {
                self.offer(replica, own.clone(), Why::Repair, cx);
            }
        }
        if let Some(key) = orphan
            && !self.waits_for(|kind| kind.is_lookup_for(|to| matches!(to, Purpose::Orphan)))
        {
            self.look_up(Purpose::Orphan, key, cx);
        }
    }

    /// How long a value may go without anybody's confirming it. An owner has about as many values
    /// to compare as this node, so it takes as long for a round, and one may be missed.
    fn orphan_patience(&self) -> Duration {
        let values = self.keys.as_ref().map_or(0, |keys| keys.store.len());
        let batch = self.config.repair_keys.clamp(1, OFFER_MAX);
        let ticks = u32::try_from(2 * values.div_ceil(batch)).unwrap_or(u32::MAX);
        let (_, pace) = self.config.tick.unwrap_or_default();
        pace.saturating_mul(ticks).max(self.config.orphan_after)
    }

    /// The owners of a value that nobody confirmed have been found. What follows up to the owner
    /// has the same ones.
    pub(super) fn orphan_placed(&mut self, key: Key, owners: &[C], cx: &mut Cx<'_, Self>) {
        let (now, patience) = (cx.now(), self.orphan_patience());
        let Some(&owner) = owners.first() else { return };
        let count = self.config.replicas();
        let belongs = spread(owners, count, self.config.distinct_hosts).contains(&self.me);
        let Some(keys) = &mut self.keys else { return };
        let first = Position::from(key);
        let reach = first.to(position(owner));
        let orphans: Vec<_> = keys
            .store
            .iter_from(&key, now)
            .take_while(|&(key, ..)| first.to(Position::from(key)) <= reach)
            .filter(|(_, held, _)| now - held.confirmed >= patience)
            .take(OFFER_MAX)
            .map(|(key, held, _)| (key, held.version))
            .collect();
        if belongs || owner == self.me {
            for (key, _) in &orphans {
                if let Some(held) = keys.store.get_mut(key, now) {
                    held.confirmed = now;
                }
            }
        }
        if owner != self.me {
            self.offer(owner, orphans, Why::Orphan { drop: !belongs }, cx);
        }
    }

    /// There is a new predecessor: what is its own now is offered to it.
    pub(super) fn hand_over(&mut self, cx: &mut Cx<'_, Self>) {
        if self.config.has(Fault::NoHandover) {
            return;
        }
        if let Some(keys) = &mut self.keys {
            keys.handing_over = Some(None);
            self.continue_hand_over(cx);
        }
    }

    /// Offers the next keys to the new predecessor, if none are under way.
    fn continue_hand_over(&mut self, cx: &mut Cx<'_, Self>) {
        if self.waits_for(|kind| kind.moves_keys(Why::HandOver)) {
            return;
        }
        let (Some(before), Some(keys)) = (self.predecessor, &self.keys) else { return };
        let Some(cursor) = keys.handing_over else { return };
        let here = position(self.me);
        let batch: Vec<_> = keys
            .store
            .iter_after(cursor, cx.now())
            .filter(|&(key, ..)| !here.owns(position(before), Position::from(key)))
            .take(OFFER_MAX)
            .map(|(key, held, _)| (key, held.version))
            .collect();
        if let Some(keys) = &mut self.keys {
            keys.handing_over = batch.last().map(|&(key, _)| Some(key));
        }
        self.offer(before, batch, Why::HandOver, cx);
    }

    /// The user wants to leave: everything goes to the successor first.
    pub(super) fn leave(&mut self, op: OpId, cx: &mut Cx<'_, Self>) {
        if self.is_member() && self.keys.is_some() && self.successors.head().is_some() {
            let active = self.active.get_or_insert_default();
            if active.leaving.is_none() {
                active.leaving = Some(None);
                self.ask(self.me, Kind::Leaving(op), cx);
                return self.continue_leaving(cx);
            }
        }
        self.depart(Some(op), cx);
    }

    /// Offers the next keys to the successor, if none are under way; says goodbye after the last.
    fn continue_leaving(&mut self, cx: &mut Cx<'_, Self>) {
        if self.waits_for(|kind| kind.moves_keys(Why::Leave)) {
            return;
        }
        let Some(cursor) = self.active.as_ref().and_then(|active| active.leaving) else { return };
        let now = cx.now();
        let batch: Vec<_> = self
            .keys
            .iter()
            .flat_map(|keys| keys.store.iter_after(cursor, now))
            .take(OFFER_MAX)
            .map(|(key, held, _)| (key, held.version))
            .collect();
        match (self.successors.head(), batch.last(), &mut self.active) {
            (Some(head), Some(&(last, _)), Some(active)) if !self.config.has(Fault::NoHandover) => {
                active.leaving = Some(Some(last));
                self.offer(head, batch, Why::Leave, cx);
            }
            _ => self.depart(None, cx),
        }
    }

    /// An offer is answered.
    pub(super) fn on_want(
        &mut self,
        to: C,
        offering: &Offering,
        wanted: &Wanted,
        cx: &mut Cx<'_, Self>,
    ) {
        let now = cx.now();
        for (index, &(key, _)) in offering.keys.iter().enumerate() {
            if wanted.bits >> index & 1 == 0 {
                self.moved(key, offering.why);
            } else if let Some(item) = self.item(&key, now) {
                let giving = Giving { why: offering.why, token: wanted.token, item: *item };
                self.ask(to, Kind::Give(Box::new(giving)), cx);
            }
        }
        self.continue_moving(offering.why, cx);
    }

    /// A value that was given is stored.
    pub(super) fn on_kept(&mut self, giving: &Giving, cx: &mut Cx<'_, Self>) {
        self.moved(giving.item.key, giving.why);
        self.continue_moving(giving.why, cx);
    }

    /// The receiver has `key` now.
    fn moved(&mut self, key: Key, why: Why) {
        let useless = match why {
            Why::HandOver => self.config.replicas() == 1,
            Why::Orphan { drop } => drop,
            Why::Repair | Why::Leave => false,
        };
        if useless && let Some(keys) = &mut self.keys {
            keys.store.remove(&key);
        }
    }

    /// What was offered or given for this reason has found nobody.
    pub(super) fn moving_timed_out(&mut self, why: Why, cx: &mut Cx<'_, Self>) {
        if let (Why::Leave, Some(active)) = (why, &mut self.active) {
            // Whoever follows by then gets everything, as long as there is time.
            active.leaving = Some(None);
        }
        self.continue_moving(why, cx);
    }

    /// Goes on with the next keys, whatever became of the last ones.
    pub(super) fn continue_moving(&mut self, why: Why, cx: &mut Cx<'_, Self>) {
        match why {
            Why::HandOver => self.continue_hand_over(cx),
            Why::Leave => self.continue_leaving(cx),
            Why::Repair | Why::Orphan { .. } => {}
        }
    }

    /// Tells the neighbours, and is gone. `op` asks for it besides whoever did before.
    pub(super) fn depart(&mut self, op: Option<OpId>, cx: &mut Cx<'_, Self>) {
        if self.is_member() {
            let neighbours = self.neighbours();
            let mut beside: Vec<_> =
                self.predecessor.into_iter().chain(self.successors.head()).collect();
            beside.dedup();
            for contact in beside {
                cx.send(contact, Message::Goodbye { neighbours: neighbours.clone() });
            }
        }
        let left = Event::Report(machine::dht::Report::Left);
        for op in self.forget_everything(cx).into_iter().chain(op) {
            cx.answer(op, left.clone());
        }
    }
}
