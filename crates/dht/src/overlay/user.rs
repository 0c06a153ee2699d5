//! Putting and getting: what a user's request does once the holders of its key are found.

use alloc::boxed::Box;
use alloc::vec::Vec;

use machine::dht::{Cost, Key, Report, Value};
use machine::{Cx, OpId};

use super::lookup::{Lookup, Purpose};
use super::request::Kind;
use super::topology::{ContactOf, Topology};
use super::{Event, Overlay};
use crate::held::{Item, VALUE_MAX, Version};

/// A value is asked for, of one holder after another.
pub(super) struct Getting<T: Topology> {
    op: OpId,
    /// How the holders were found; it goes on if none of them has the value.
    lookup: Box<Lookup<T>>,
    /// Whom to ask next, the next one last.
    holders: Vec<ContactOf<T>>,
    asked: Vec<ContactOf<T>>,
    /// What was asked of holders.
    extra: Cost,
    /// Whether anybody has said that there is none.
    denied: bool,
    /// How often somebody has named holders.
    tries: u8,
}

impl<T: Topology> Getting<T> {
    pub(super) fn new(op: OpId, lookup: Box<Lookup<T>>, owners: &[ContactOf<T>]) -> Self {
        let mut holders = owners.to_vec();
        holders.reverse();
        let (asked, extra) = (Vec::new(), Cost::default());
        Self { op, lookup, holders, asked, extra, denied: false, tries: 1 }
    }

    pub(super) fn key(&self) -> Key {
        self.lookup.key
    }

    fn cost(&self) -> Cost {
        let way = self.lookup.cost();
        Cost {
            hops: way.hops,
            messages: way.messages.saturating_add(self.extra.messages),
            timeouts: way.timeouts.saturating_add(self.extra.timeouts),
        }
    }
}

/// A value is put at all of its holders: all are asked for the version that they have, then all
/// are given the next one.
pub(super) struct Putting<T: Topology> {
    id: u32,
    op: OpId,
    key: Key,
    value: Value,
    cost: Cost,
    /// The greatest version number that any of them has.
    number: u32,
    /// Who wants it, with their tokens.
    takers: Vec<(ContactOf<T>, u32)>,
    copies: u16,
    /// Whether this node is one of the holders.
    here: bool,
    /// Who did not answer.
    silent: Vec<ContactOf<T>>,
    /// Whether these are others than those whom the first lookup led to.
    spare: bool,
}

impl<T: Topology> Overlay<T> {
    /// The user wants `value` to be stored under `key`, where lookups of this stage end.
    pub(super) fn put(
        &mut self,
        op: OpId,
        key: Key,
        stage: u8,
        value: Value,
        cx: &mut Cx<'_, Self>,
    ) {
        if value.len() > VALUE_MAX {
            return self.tell(op, Report::Failed { cost: Cost::default() }, cx);
        }
        self.look_up_from(stage, Purpose::Put(op, value), key, cx);
    }

    pub(super) fn tell(&mut self, op: OpId, report: Report<ContactOf<T>>, cx: &mut Cx<'_, Self>) {
        if let Some(report) = self.sum_up(op, report, cx) {
            cx.answer(op, Event::Report(report));
        }
    }

    /// Holders of a value are found, or others than before.
    pub(super) fn get_from(&mut self, mut getting: Getting<T>, cx: &mut Cx<'_, Self>) {
        while let Some(holder) = getting.holders.pop() {
            if getting.asked.contains(&holder) {
                continue;
            }
            getting.asked.push(holder);
            if holder != self.me {
                getting.extra.messages = getting.extra.messages.saturating_add(1);
                return self.ask(holder, Kind::Get(Box::new(getting)), cx);
            }
            if let Some((held, _)) = self.held(&getting.lookup.key, cx.now()) {
                let value = held.value.clone();
                return self.tell(getting.op, Report::Found { value, cost: getting.cost() }, cx);
            }
            getting.denied = true;
        }
        if getting.tries < self.rules().get_tries && getting.lookup.has_candidates() {
            getting.tries += 1;
            return self.find_more(getting, cx);
        }
        let cost = getting.cost();
        let report = match getting.denied {
            true => Report::NotFound { cost },
            false => Report::Failed { cost },
        };
        self.tell(getting.op, report, cx);
    }

    /// Lets the lookup of a value go on, for others who may know holders.
    fn find_more(&mut self, getting: Getting<T>, cx: &mut Cx<'_, Self>) {
        let Getting { mut lookup, asked, extra, denied, tries, .. } = getting;
        lookup.resume = Some(Box::new(Resume { asked, extra, denied, tries }));
        self.go_on(lookup, cx);
    }

    /// Holders of a wanted value are named.
    pub(super) fn named(
        &mut self,
        op: OpId,
        mut lookup: Box<Lookup<T>>,
        owners: &[ContactOf<T>],
        cx: &mut Cx<'_, Self>,
    ) {
        let resume = lookup.resume.take();
        let mut getting = Getting::new(op, lookup, owners);
        if let Some(resume) = resume {
            (getting.asked, getting.extra) = (resume.asked, resume.extra);
            (getting.denied, getting.tries) = (resume.denied, resume.tries);
        }
        self.get_from(getting, cx);
    }

    /// A holder has the value, or has none.
    pub(super) fn got(
        &mut self,
        mut getting: Getting<T>,
        value: Option<Value>,
        cx: &mut Cx<'_, Self>,
    ) {
        match value {
            Some(value) => {
                self.tell(getting.op, Report::Found { value, cost: getting.cost() }, cx);
            }
            None => {
                getting.denied = true;
                self.get_from(getting, cx);
            }
        }
    }

    /// A holder is silent.
    pub(super) fn get_timed_out(&mut self, mut getting: Getting<T>, cx: &mut Cx<'_, Self>) {
        getting.extra.timeouts = getting.extra.timeouts.saturating_add(1);
        self.get_from(getting, cx);
    }

    /// The holders of `key`, which is put, are found.
    pub(super) fn put_at(
        &mut self,
        lookup: Lookup<T>,
        owners: &[ContactOf<T>],
        cx: &mut Cx<'_, Self>,
    ) {
        let (key, mut cost) = (lookup.key, lookup.cost());
        let Lookup { purpose: Purpose::Put(op, value), silent, spare, .. } = lookup else {
            return;
        };
        let id = cx.rng().next_u32();
        let mut holders: Vec<_> = owners.to_vec();
        holders.retain(|holder| !silent.contains(holder));
        holders.truncate(self.rules().replicas());
        let here = holders.contains(&self.me);
        let number = if here { self.number(&key, cx.now()) } else { 0 };
        for holder in holders {
            if holder != self.me {
                cost.messages = cost.messages.saturating_add(1);
                self.ask(holder, Kind::PutOffer { id, key }, cx);
            }
        }
        let takers = Vec::new();
        let putting =
            Putting { id, op, key, value, cost, number, takers, copies: 0, here, silent, spare };
        self.active.get_or_insert_default().puts.push(putting);
        self.put_on(id, cx);
    }

    fn putting(&mut self, id: u32) -> Option<&mut Putting<T>> {
        self.active.as_mut()?.puts.iter_mut().find(|putting| putting.id == id)
    }

    /// A holder says which version it has, and its token if it wants the value.
    pub(super) fn put_wanted(
        &mut self,
        id: u32,
        holder: ContactOf<T>,
        token: Option<u32>,
        number: u32,
        cx: &mut Cx<'_, Self>,
    ) {
        if let Some(putting) = self.putting(id) {
            putting.number = putting.number.max(number);
            putting.takers.extend(token.map(|token| (holder, token)));
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

    /// A holder is silent. The put goes on once all that fall silent together are known.
    pub(super) fn put_timed_out(&mut self, id: u32, holder: ContactOf<T>) {
        if let Some(putting) = self.putting(id) {
            putting.silent.push(holder);
            putting.cost.timeouts = putting.cost.timeouts.saturating_add(1);
        }
    }

    /// Goes on once nothing of this put is under way: gives, and then reports.
    pub(super) fn put_on(&mut self, id: u32, cx: &mut Cx<'_, Self>) {
        if self.any(|request| request.kind.is_put(id)) {
            return;
        }
        let lifetime = u32::try_from(self.rules().lifetime.as_secs()).unwrap_or(u32::MAX);
        let Some(putting) = self.putting(id) else { return };
        let takers = core::mem::take(&mut putting.takers);
        let here = core::mem::take(&mut putting.here);
        if takers.is_empty() && !here {
            let (op, copies, cost) = (putting.op, putting.copies, putting.cost);
            let further = T::SPARE.filter(|_| copies == 0 && !putting.spare);
            if let (Some(stage), false) = (further, putting.silent.is_empty()) {
                let (key, silent) = (putting.key, core::mem::take(&mut putting.silent));
                let purpose = Purpose::Put(op, putting.value.clone());
                self.forget_put(id);
                return self.look_for_spare(stage, purpose, key, (cost, silent), cx);
            }
            self.forget_put(id);
            let report = match copies {
                0 => Report::Failed { cost },
                _ => Report::Stored { copies, cost },
            };
            return self.tell(op, report, cx);
        }
        let item = Item {
            key: putting.key,
            version: Version::new(putting.number.saturating_add(1), &putting.value),
            seconds_left: lifetime,
            value: putting.value.clone(),
        };
        let sent = u16::try_from(takers.len()).unwrap_or(u16::MAX);
        putting.cost.messages = putting.cost.messages.saturating_add(sent);
        if here
            && self.keep(&item, cx)
            && let Some(putting) = self.putting(id)
        {
            putting.copies += 1;
        }
        for (holder, token) in takers {
            self.ask(holder, Kind::PutGive { id, token, item: Box::new(item.clone()) }, cx);
        }
        self.put_on(id, cx);
    }

    fn forget_put(&mut self, id: u32) {
        if let Some(active) = &mut self.active {
            active.puts.retain(|putting| putting.id != id);
        }
    }

    /// Tells the user of everything that is not over that it has failed.
    pub(super) fn fail_all(&mut self, cx: &mut Cx<'_, Self>) {
        let Some(active) = self.active.take() else { return };
        for several in &active.several {
            self.tell(several.op, Report::Failed { cost: Cost::default() }, cx);
        }
        // Those have been told once for all their names.
        let is_told = |op| active.several.iter().any(|several| several.op == op);
        for putting in active.puts.iter().filter(|putting| !is_told(putting.op)) {
            self.tell(putting.op, Report::Failed { cost: putting.cost }, cx);
        }
        if let Some(op) = active.joining {
            self.tell(op, Report::Failed { cost: Cost::default() }, cx);
        }
        for request in active.requests {
            match request.kind {
                Kind::Get(getting) if !is_told(getting.op) => {
                    self.tell(getting.op, Report::Failed { cost: getting.cost() }, cx);
                }
                Kind::Lookup(lookup) => {
                    let cost = lookup.cost();
                    if let Purpose::Locate(op) | Purpose::Get(op) | Purpose::Put(op, _) =
                        lookup.purpose
                        && !is_told(op)
                    {
                        self.tell(op, Report::Failed { cost }, cx);
                    }
                }
                _ => {}
            }
        }
    }
}

/// What is known of a value that is sought further.
pub(super) struct Resume<C> {
    asked: Vec<C>,
    extra: Cost,
    pub(super) denied: bool,
    tries: u8,
}
