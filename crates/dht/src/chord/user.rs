//! Putting and getting: what a user's request does once the owners of its key are found.

use alloc::boxed::Box;
use alloc::vec::Vec;

use machine::dht::{Contact, Cost, Key, Report, Value};
use machine::{Cx, OpId};

use super::lookup::Purpose;
use super::message::Wanted;
use super::repair::spread;
use super::task::Kind;
use super::{Chord, Event};
use crate::held::{Item, VALUE_MAX, Version};

/// A value is asked for, of one holder after another.
pub(super) struct Getting<C> {
    op: OpId,
    pub(super) key: Key,
    /// Whom to ask next, the next one last.
    holders: Vec<C>,
    cost: Cost,
    /// Whether anybody has said that there is none.
    denied: bool,
}

/// A value is put at all of its holders: all are asked for the version that they have, then all
/// are given the next one.
pub(super) struct Putting<C> {
    id: u32,
    op: OpId,
    key: Key,
    value: Value,
    cost: Cost,
    /// The greatest version number that any of them has.
    number: u32,
    /// Who wants it, with their tokens.
    takers: Vec<(C, u32)>,
    copies: u16,
    /// Whether this node is one of the holders.
    here: bool,
}

/// A value that is given by a user.
pub(super) struct PutGiving {
    pub(super) id: u32,
    pub(super) token: u32,
    pub(super) item: Item,
}

fn sent(cost: &mut Cost) {
    cost.messages = cost.messages.saturating_add(1);
}

fn silent(cost: &mut Cost) {
    cost.timeouts = cost.timeouts.saturating_add(1);
}

impl<C: Contact> Chord<C> {
    /// The user wants the value under `key`.
    pub(super) fn get(&mut self, op: OpId, key: Key, cx: &mut Cx<'_, Self>) {
        self.look_up(Purpose::Get(op), key, cx);
    }

    /// The user wants `value` to be stored under `key`.
    pub(super) fn put(&mut self, op: OpId, key: Key, value: Value, cx: &mut Cx<'_, Self>) {
        if value.len() > VALUE_MAX {
            return self.tell(op, Report::Failed { cost: Cost::default() }, cx);
        }
        self.look_up(Purpose::Put(Box::new((op, value))), key, cx);
    }

    pub(super) fn tell(&mut self, op: OpId, report: Report<C>, cx: &mut Cx<'_, Self>) {
        cx.answer(op, Event::Report(report));
    }

    /// The owners of `key`, which is wanted, are found.
    pub(super) fn get_from(
        &mut self,
        op: OpId,
        key: Key,
        owners: &[C],
        cost: Cost,
        cx: &mut Cx<'_, Self>,
    ) {
        // One more than there are copies: the owner may have joined a moment ago.
        let mut holders = spread(owners, self.config.replicas() + 1, self.config.distinct_hosts);
        holders.reverse();
        self.get_next(Getting { op, key, holders, cost, denied: false }, cx);
    }

    fn get_next(&mut self, mut getting: Getting<C>, cx: &mut Cx<'_, Self>) {
        let Some(holder) = getting.holders.pop() else {
            let cost = getting.cost;
            let report = match getting.denied {
                true => Report::NotFound { cost },
                false => Report::Failed { cost },
            };
            return self.tell(getting.op, report, cx);
        };
        if holder != self.me {
            sent(&mut getting.cost);
            self.ask(holder, Kind::Get(Box::new(getting)), cx);
        } else if let Some((held, _)) = self.held(&getting.key, cx.now()) {
            let value = held.value.clone();
            self.tell(getting.op, Report::Found { value, cost: getting.cost }, cx);
        } else {
            getting.denied = true;
            self.get_next(getting, cx);
        }
    }

    /// A holder has the value, or has none.
    pub(super) fn got(
        &mut self,
        mut getting: Getting<C>,
        value: Option<Value>,
        cx: &mut Cx<'_, Self>,
    ) {
        match value {
            Some(value) => {
                self.tell(getting.op, Report::Found { value, cost: getting.cost }, cx);
            }
            None => {
                getting.denied = true;
                self.get_next(getting, cx);
            }
        }
    }

    /// A holder is silent.
    pub(super) fn get_timed_out(&mut self, mut getting: Getting<C>, cx: &mut Cx<'_, Self>) {
        silent(&mut getting.cost);
        self.get_next(getting, cx);
    }

    /// The owners of `key`, which is put, are found.
    pub(super) fn put_at(
        &mut self,
        op: OpId,
        key: Key,
        value: Value,
        owners: &[C],
        mut cost: Cost,
        cx: &mut Cx<'_, Self>,
    ) {
        let id = cx.rng().next_u32();
        let holders = spread(owners, self.config.replicas(), self.config.distinct_hosts);
        let here = holders.contains(&self.me);
        let number = if here { self.number(&key, cx.now()) } else { 0 };
        for holder in holders {
            if holder == self.me {
                continue;
            }
            sent(&mut cost);
            self.ask(holder, Kind::PutOffer { id, key: Box::new(key) }, cx);
        }
        let takers = Vec::new();
        let putting = Putting { id, op, key, value, cost, number, takers, copies: 0, here };
        self.active.get_or_insert_default().puts.push(putting);
        self.put_on(id, cx);
    }

    fn putting(&mut self, id: u32) -> Option<&mut Putting<C>> {
        self.active.as_mut()?.puts.iter_mut().find(|putting| putting.id == id)
    }

    /// A holder wants the value.
    pub(super) fn put_wanted(
        &mut self,
        id: u32,
        holder: C,
        wanted: &Wanted,
        cx: &mut Cx<'_, Self>,
    ) {
        if let Some(putting) = self.putting(id) {
            putting.number = putting.number.max(wanted.number);
            if wanted.bits & 1 == 1 {
                putting.takers.push((holder, wanted.token));
            }
        }
        self.put_on(id, cx);
    }

    /// A holder has the value.
    pub(super) fn put_kept(&mut self, id: u32, cx: &mut Cx<'_, Self>) {
        if let Some(putting) = self.putting(id) {
            putting.copies += 1;
        }
        self.put_on(id, cx);
    }

    /// A holder is silent.
    pub(super) fn put_timed_out(&mut self, id: u32, cx: &mut Cx<'_, Self>) {
        if let Some(putting) = self.putting(id) {
            silent(&mut putting.cost);
        }
        self.put_on(id, cx);
    }

    /// Goes on once nothing of this put is under way: gives, and then reports.
    fn put_on(&mut self, id: u32, cx: &mut Cx<'_, Self>) {
        if self.waits_for(|kind| kind.is_put(id)) {
            return;
        }
        let lifetime = self.config.lifetime.as_secs();
        let Some(putting) = self.putting(id) else { return };
        let takers = core::mem::take(&mut putting.takers);
        let here = core::mem::take(&mut putting.here);
        if takers.is_empty() && !here {
            let (op, copies, cost) = (putting.op, putting.copies, putting.cost);
            if let Some(active) = &mut self.active {
                active.puts.retain(|putting| putting.id != id);
            }
            let report = match copies {
                0 => Report::Failed { cost },
                _ => Report::Stored { copies, cost },
            };
            return self.tell(op, report, cx);
        }
        let item = Item {
            key: putting.key,
            version: Version::new(putting.number.saturating_add(1), &putting.value),
            seconds_left: u32::try_from(lifetime).unwrap_or(u32::MAX),
            value: putting.value.clone(),
        };
        takers.iter().for_each(|_| sent(&mut putting.cost));
        if here && self.keep(&item, cx.now()) {
            self.put_kept_here(id);
        }
        for (holder, token) in takers {
            let giving = PutGiving { id, token, item: item.clone() };
            self.ask(holder, Kind::PutGive(Box::new(giving)), cx);
        }
        self.put_on(id, cx);
    }

    fn put_kept_here(&mut self, id: u32) {
        if let Some(putting) = self.putting(id) {
            putting.copies += 1;
        }
    }

    /// Tells the user of everything that is not over that it has failed.
    pub(super) fn fail_puts(&mut self, cx: &mut Cx<'_, Self>) {
        let puts = self.active.as_mut().map(|active| core::mem::take(&mut active.puts));
        for putting in puts.into_iter().flatten() {
            self.tell(putting.op, Report::Failed { cost: putting.cost }, cx);
        }
    }

    /// The same for one task.
    pub(super) fn fail_task(&mut self, kind: Kind<C>, cx: &mut Cx<'_, Self>) {
        match kind {
            Kind::Get(getting) => {
                self.tell(getting.op, Report::Failed { cost: getting.cost }, cx);
            }
            Kind::Lookup(lookup) | Kind::Origin(lookup) => {
                let cost = lookup.cost();
                if let Some(op) = lookup.purpose.op() {
                    self.tell(op, Report::Failed { cost }, cx);
                }
            }
            _ => {}
        }
    }
}
