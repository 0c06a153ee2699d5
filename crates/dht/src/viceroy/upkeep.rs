//! How the links are kept: the ring by asking the successor who is beside it, the level by the
//! density around, the butterfly by looking for the next node of the right level; and how nodes come
//! and go.

use alloc::vec::Vec;

use machine::Cx;
use machine::dht::{Contact, Key};

use super::config::Fault;
use super::ring::{self, ahead, is_between, place};
use super::{Ask, Levelled, Link, Said, Search, Viceroy};

/// How many who are passed by a joiner, or a suggestion.
const STEPS_MAX: u8 = 64;
/// How many nodes are asked for one of a level: each names its successors, too.
const SCAN_MAX: u8 = 48;
/// Most who are remembered for having fallen silent.
const LOST_MAX: usize = 16;

impl<C: Contact> Viceroy<C> {
    /// Joins by way of `known`.
    pub(super) fn begin_join(&mut self, known: Vec<C>, cx: &mut Cx<'_, Self>) {
        if self.is_asked_to_join() {
            self.topology.doors.clone_from(&known);
        }
        if known.is_empty() && self.topology.lost.is_empty() && self.topology.doors.is_empty() {
            return self.joined(cx);
        }
        known.iter().for_each(|&door| self.remember(door));
        let mut doors = known;
        if doors.is_empty() {
            doors = [&*self.topology.lost, &*self.topology.doors].concat();
            cx.rng().shuffle(&mut doors);
        }
        self.search_through(&doors, 0, Search::Join, self.me.key(), cx);
    }

    /// Nobody lets this node in.
    pub(super) fn no_way_in(&mut self, cx: &mut Cx<'_, Self>) {
        if self.is_asked_to_join() {
            self.topology.lost.clear();
            self.join_failed(cx);
        }
        // Who was a member tries again with the next tick.
    }

    /// `next` may be its successor.
    pub(super) fn placed(
        &mut self,
        next: Levelled<C>,
        predecessor: Option<C>,
        successors: &[Levelled<C>],
        steps: u8,
        cx: &mut Cx<'_, Self>,
    ) {
        if self.is_member() {
            return;
        }
        let nearer = predecessor.filter(|&before| is_between(before, self.me, next.contact));
        if let Some(nearer) = nearer.filter(|_| steps < STEPS_MAX) {
            return self.ask_own(nearer, Ask::Join { steps: steps + 1 }, cx);
        }
        self.topology.predecessor = predecessor.filter(|&before| before != self.me);
        self.topology.heard = cx.now();
        self.adopt(next, successors);
        self.joined(cx);
        self.say(next.contact, Said::Notify, cx);
        self.stabilise(cx);
    }

    /// `next` is the successor, and these follow it.
    fn adopt(&mut self, next: Levelled<C>, successors: &[Levelled<C>]) {
        let limit = self.config.successors();
        let mut list = Vec::with_capacity(limit);
        list.push(next);
        let mut last = next.contact;
        for &it in successors {
            // As far as around the ring.
            if it.contact == self.me
                || list.len() >= limit
                || !is_between(it.contact, last, self.me)
            {
                break;
            }
            list.push(it);
            last = it.contact;
        }
        self.topology.successors = list;
    }

    /// Asks the successor who is beside it.
    pub(super) fn stabilise(&mut self, cx: &mut Cx<'_, Self>) {
        if self.waits_for(|_, ask| matches!(ask, Ask::Stabilise)) {
            return;
        }
        if let Some(next) = self.topology.successor() {
            return self.ask_own(next, Ask::Stabilise, cx);
        }
        // All successors are dead: whoever else is known may be the next around the ring.
        let known = self.topology.links();
        let next = known.into_iter().min_by_key(|&it| ahead(self.me, it));
        if let Some(next) = next {
            self.ask_own(next, Ask::Stabilise, cx);
        }
    }

    /// The successor, or somebody who may be, has named its neighbours.
    pub(super) fn stabilised(
        &mut self,
        from: Levelled<C>,
        predecessor: Option<C>,
        successors: &[Levelled<C>],
        cx: &mut Cx<'_, Self>,
    ) {
        let head = self.topology.successor();
        if head.is_some_and(|head| head != from.contact && !is_between(from.contact, self.me, head))
        {
            return;
        }
        let is_known = head == Some(from.contact);
        if let Some(head) = head.filter(|_| !is_known) {
            // Whoever follows the newcomer must hear of those whom it hides.
            self.say(from.contact, Said::Suggest { contact: head, hops: 0 }, cx);
        }
        if !(is_known && self.config.has(Fault::NoStabilise)) {
            self.adopt(from, successors);
        }
        self.say(from.contact, Said::Notify, cx);
        let between = predecessor.filter(|&it| is_between(it, self.me, from.contact));
        if let Some(between) = between.filter(|_| !self.config.has(Fault::NoStabilise)) {
            self.ask_own(between, Ask::Stabilise, cx);
        }
    }

    /// `from` thinks that it is the predecessor.
    pub(super) fn on_notify(&mut self, from: C, cx: &mut Cx<'_, Self>) {
        let nearer = self.topology.predecessor.is_none_or(|it| is_between(from, it, self.me));
        if nearer && from != self.me {
            self.topology.predecessor = Some(from);
            self.topology.heard = cx.now();
            self.hurry();
        }
        if self.topology.successors.is_empty() && from != self.me {
            self.ask_own(from, Ask::Stabilise, cx);
        }
    }

    /// `contact` may belong behind this node, or farther on.
    pub(super) fn on_suggest(&mut self, contact: C, hops: u8, cx: &mut Cx<'_, Self>) {
        let Some(head) = self.topology.successor() else {
            if contact != self.me {
                self.ask_own(contact, Ask::Stabilise, cx);
            }
            return;
        };
        if is_between(contact, self.me, head) {
            self.ask_own(contact, Ask::Stabilise, cx);
        } else if contact != head && contact != self.me && hops < STEPS_MAX {
            self.say(head, Said::Suggest { contact, hops: hops + 1 }, cx);
        }
    }

    /// In another ring `owner` follows this node.
    pub(super) fn met(&mut self, owner: C, cx: &mut Cx<'_, Self>) {
        let head = self.topology.successor();
        if head.is_none_or(|head| is_between(owner, self.me, head)) {
            self.ask_own(owner, Ask::Stabilise, cx);
        }
    }

    /// `from` leaves.
    pub(super) fn on_goodbye(
        &mut self,
        from: C,
        predecessor: Option<C>,
        successors: &[Levelled<C>],
        cx: &mut Cx<'_, Self>,
    ) {
        if self.topology.predecessor.is_none()
            && let Some(before) = predecessor.filter(|&it| it != self.me && it != from)
        {
            (self.topology.predecessor, self.topology.heard) = (Some(before), cx.now());
        }
        if self.topology.successors.is_empty()
            && let Some((first, rest)) = successors.split_first()
            && first.contact != self.me
        {
            self.adopt(*first, rest);
        }
        self.stabilise(cx);
    }

    /// `who` is gone: no link leads to it.
    pub(super) fn forget(&mut self, who: C) {
        let table = &mut self.topology;
        table.successors.retain(|it| it.contact != who);
        table.stale.retain(|&it| it != who);
        for link in [
            &mut table.predecessor,
            &mut table.up,
            &mut table.down_left,
            &mut table.down_right,
            &mut table.next,
            &mut table.previous,
        ] {
            *link = link.filter(|&it| it != who);
        }
    }

    /// Asks after `who` now and then.
    pub(super) fn remember(&mut self, who: C) {
        let lost = &mut self.topology.lost;
        if !lost.contains(&who) && who != self.me {
            if lost.len() >= LOST_MAX {
                lost.remove(0);
            }
            lost.push(who);
        }
    }

    /// A round of upkeep.
    pub(super) fn keep_up(&mut self, cx: &mut Cx<'_, Self>) {
        self.topology.ticks = self.topology.ticks.wrapping_add(1);
        if !self.is_member() {
            let trying = self.waits_for(|_, ask| matches!(ask, Ask::Join { .. }))
                || self.searches(|search| *search == Search::Join);
            if !trying && !self.is_asked_to_join() {
                self.begin_join(Vec::new(), cx);
            }
            return;
        }
        let now = cx.now();
        if let Some(before) = self.topology.predecessor
            && now - self.topology.heard > self.config.expiry
        {
            self.topology.predecessor = None;
            self.remember(before);
        }
        self.stabilise(cx);
        self.choose_level();
        self.look_for_link(cx);
        let far = [&*self.topology.lost, &*self.topology.doors].concat();
        let lost = cx.rng().pick(&far).copied();
        if let Some(lost) = lost.filter(|_| self.topology.ticks.is_multiple_of(3))
            && !self.config.has(Fault::NoMerge)
            && !self.searches(|search| *search == Search::Merge)
        {
            // Just behind this node: its own place is its own in any ring that still lists it.
            let behind = place(&self.me.key()).wrapping_add(1);
            self.search_through(
                &[lost],
                0,
                Search::Merge,
                Key::new(u128::from(behind) << 64, 0),
                cx,
            );
        }
    }

    /// Takes the level that follows from how dense the ring is here.
    pub(super) fn choose_level(&mut self) {
        let table = &mut self.topology;
        let farthest = table.successors.last().map_or(0, |it| ahead(self.me, it.contact));
        let levels = ring::levels(table.successors.len(), farthest);
        let level = ring::level(&self.me.key(), levels);
        if level != table.level {
            table.level = level;
            (table.up, table.down_left, table.down_right) = (None, None, None);
            (table.next, table.previous) = (None, None);
        }
    }

    /// Looks for the next of its links anew.
    fn look_for_link(&mut self, cx: &mut Cx<'_, Self>) {
        let links = [Link::Up, Link::DownLeft, Link::DownRight, Link::Next];
        let link = links[self.topology.ticks as usize % links.len()];
        if self.waits_for(|_, ask| matches!(ask, Ask::Scan { link: other, .. } if *other == link)) {
            return;
        }
        if link == Link::DownRight {
            let far = 1u64 << (64 - u32::from(self.topology.level.clamp(1, 63)));
            let there = place(&self.me.key()).wrapping_add(far);
            if !self.searches(|search| *search == Search::DownRight) {
                let key = Key::new(u128::from(there) << 64, 0);
                self.search(0, Search::DownRight, key, cx);
            }
            return;
        }
        // The successors are known with their levels; others are asked for theirs.
        let own = self.topology.successors.clone();
        let Some((first, rest)) = own.split_first() else {
            return self.set_link(link, None, cx);
        };
        self.scanned(link, self.me, 0, *first, rest, cx);
    }

    /// `from` has named who follows it: one of them may be of the level that is sought.
    pub(super) fn scanned(
        &mut self,
        link: Link,
        first: C,
        steps: u8,
        from: Levelled<C>,
        successors: &[Levelled<C>],
        cx: &mut Cx<'_, Self>,
    ) {
        let level = match link {
            Link::Up => self.topology.level.saturating_sub(1),
            Link::DownLeft | Link::DownRight => self.topology.level + 1,
            Link::Next => self.topology.level,
        };
        if level == 0 {
            return self.set_link(link, None, cx);
        }
        let any = self.config.has(Fault::AnyLevel);
        let mut last = from.contact;
        for it in core::iter::once(&from).chain(successors) {
            let is_first = it.contact == from.contact;
            let around = it.contact == first && steps > 0
                || !is_first && is_between(first, last, it.contact)
                || it.contact == self.me && link != Link::DownRight;
            if around {
                return self.set_link(link, None, cx);
            }
            if it.contact == self.me {
                last = it.contact;
                continue;
            }
            if it.level == level || any {
                return self.set_link(link, Some(it.contact), cx);
            }
            last = it.contact;
        }
        let is_new = last != from.contact && last != first;
        if steps >= SCAN_MAX || !is_new {
            return self.set_link(link, None, cx);
        }
        if last == self.me {
            let (level, own) = (self.topology.level, self.topology.successors.clone());
            let me = Levelled { contact: last, level };
            return self.scanned(link, first, steps + 1, me, &own, cx);
        }
        self.ask_own(last, Ask::Scan { link, first, steps: steps + 1 }, cx);
    }

    fn set_link(&mut self, link: Link, to: Option<C>, cx: &mut Cx<'_, Self>) {
        let keeps = self.config.has(Fault::KeepLinks);
        let table = &mut self.topology;
        let place = match link {
            Link::Up => &mut table.up,
            Link::DownLeft => &mut table.down_left,
            Link::DownRight => &mut table.down_right,
            Link::Next => &mut table.next,
        };
        let before = core::mem::replace(place, to);
        if keeps && before != to {
            table.stale.extend(before);
        }
        if let (Link::Next, Some(to)) = (link, to) {
            let level = table.level;
            self.say(to, Said::Level { level }, cx);
        }
    }
}
