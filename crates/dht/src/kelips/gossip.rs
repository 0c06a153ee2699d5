//! A round of gossip: what is told, to whom, and what becomes of what others tell.

use alloc::boxed::Box;
use alloc::vec::Vec;

use machine::dht::{Contact, Key};
use machine::{Cx, Rng};

use super::config::{ENTRIES_MAX, Fault, TUPLES_MAX};
use super::view::{Entry, Home, Learnt, Tuple, group_of};
use super::{Ask, Kelips, Said};

/// In how many rounds news is told.
const NEWS_ROUNDS: u8 = 3;
/// Most news that waits.
const NEWS_MAX: usize = 64;
/// In one of so many rounds a contact is asked whom it knows of this node's group.
const PULL_ONE_IN: u64 = 8;
/// Most who are asked in a round because nothing is heard of them.
const DOUBTED_MAX: usize = 4;
/// One in so many candidates for a place that is taken is measured.
const MEASURE_ONE_IN: u64 = 8;

impl<C: Contact> Kelips<C> {
    /// A round of upkeep.
    pub(super) fn round(&mut self, cx: &mut Cx<'_, Self>) {
        let (me, now) = (self.me, cx.now());
        let config = alloc::sync::Arc::clone(&self.config);
        if !config.has(Fault::NoBeats) {
            self.topology.beat = self.topology.beat.saturating_add(1);
        }
        self.refresh_own_tuples(cx);
        self.topology.expire(me, &config, now);
        for _ in 0..config.to_members {
            if let Some(member) = self.topology.any_member(me, cx.rng()) {
                let said = self.gossip_for(self.topology.group, cx.rng());
                self.say(member, said, cx);
            }
        }
        for _ in 0..config.to_contacts {
            let contact =
                cx.rng().pick(&self.topology.contacts).map(|(group, it)| (*group, it.contact));
            if let Some((group, contact)) = contact {
                let said = self.gossip_for(group, cx.rng());
                self.say(contact, said, cx);
            }
        }
        // One contact is asked whether it lives, and how far off it is.
        let contact = cx.rng().pick(&self.topology.contacts).map(|(_, known)| known.contact);
        if let Some(contact) = contact
            && !self.waits_for(|to, _| to == contact)
        {
            // Gossip only goes out, and whoever has enough contacts passes nobody on: a member
            // whose acquaintances in its group have died must ask who else is there.
            let alone = !self.topology.members().any(|it| it != me);
            let ask = match alone || cx.rng().below(PULL_ONE_IN) == 0 {
                true => Ask::View { after: 0 },
                false => Ask::Ping,
            };
            self.ask_own(contact, ask, cx);
        }
        // So are some of whom nothing is heard, before they are forgotten: the dead are gone sooner,
        // and the living stay.
        let waits = |who| self.waits_for(|to, _| to == who);
        let doubtful = self.topology.doubtful(me, &config, now);
        let doubtful: Vec<C> = doubtful.filter(|&who| !waits(who)).take(DOUBTED_MAX).collect();
        for who in doubtful {
            self.ask_own(who, Ask::Ping, cx);
        }
        // So is one who fell silent: without it the two sides of a partition would stay apart.
        let lost = cx.rng().pick(&self.topology.lost).copied();
        if let Some(lost) = lost.filter(|_| cx.rng().below(2) == 0) {
            self.ask_own(lost, Ask::Ping, cx);
        }
        for news in &mut self.topology.fresh {
            news.1 -= 1;
        }
        self.topology.fresh.retain(|(_, rounds)| *rounds > 0);
        for news in &mut self.topology.fresh_tuples {
            news.2 -= 1;
        }
        self.topology.fresh_tuples.retain(|(.., rounds)| *rounds > 0);
    }

    /// Gives the next of its own values the present heartbeat.
    fn refresh_own_tuples(&mut self, cx: &mut Cx<'_, Self>) {
        if self.config.has(Fault::NoTuples) {
            return;
        }
        let (me, now) = (self.me, cx.now());
        let mine: Vec<(Key, u32)> = self
            .keys()
            .filter(|key| group_of(key, self.topology.groups) == self.topology.group)
            .map(|key| (key, self.number(&key, now)))
            .filter(|(_, number)| *number > 0)
            .collect();
        let beat = self.topology.beat;
        for (key, number) in mine {
            let tuple = Tuple { key, home: me, number, beat };
            self.topology.learn_tuple(tuple, &self.config, now);
        }
    }

    /// What is told to somebody in `group`: of this node, of news, and of others at random.
    fn gossip_for(&mut self, group: u32, rng: &mut Rng) -> Said<C> {
        let view = &self.topology;
        let count = self.config.entries.clamp(1, ENTRIES_MAX);
        let mut entries = Vec::with_capacity(count + 4);
        entries.push(Entry { contact: self.me, beat: view.beat });
        let inside = group == view.group;
        let mut add = |entry: Entry<C>| {
            if entries.len() < count + 4
                && !entries.iter().any(|it: &Entry<C>| it.contact == entry.contact)
            {
                entries.push(entry);
            }
        };
        let news = view.fresh.iter().map(|(entry, _)| *entry);
        news.rev().take(count / 3).for_each(&mut add);
        // To its own group, mostly of members; to another, of everybody.
        let members = if inside { count } else { count / 4 };
        for _ in 0..members {
            if let Some(known) = rng.pick(&view.members) {
                add(Entry { contact: known.contact, beat: known.beat });
            }
        }
        for _ in 0..4 {
            if let Some((_, known)) = rng.pick(&view.contacts) {
                add(Entry { contact: known.contact, beat: known.beat });
            }
        }
        if !inside {
            for (_, known) in view.contacts_in(group) {
                add(Entry { contact: known.contact, beat: known.beat });
            }
        }
        let tuples = if inside { self.some_tuples() } else { Vec::new() };
        Said::Gossip { entries: entries.into(), tuples: tuples.into() }
    }

    /// Tuples to be told: news, and others in turn.
    fn some_tuples(&mut self) -> Vec<Tuple<C>> {
        let view = &self.topology;
        if view.tuples.is_empty() || self.config.has(Fault::NoTuples) {
            return Vec::new();
        }
        let count = self.config.tuples.min(TUPLES_MAX);
        let mut chosen: Vec<Tuple<C>> = Vec::with_capacity(count);
        let tuple = |key: Key, home: &Home<C>| Tuple {
            key,
            home: home.contact,
            number: home.number,
            beat: home.beat,
        };
        for (key, home, _) in view.fresh_tuples.iter().rev().take(count / 2) {
            let homes = view.tuples.get(key);
            let home = homes.and_then(|homes| homes.iter().find(|it| it.contact == *home));
            chosen.extend(home.map(|home| tuple(*key, home)));
        }
        // The others in turn, so that none is told more seldom than another.
        let (from, told) = view.cursor;
        let around = view.tuples.range(from..).chain(view.tuples.range(..from));
        let all = around.flat_map(|(key, homes)| {
            homes.iter().enumerate().map(move |(at, home)| (key, at, home))
        });
        let mut cursor = (from, told);
        let total = view.tuples.values().map(Vec::len).sum::<usize>();
        for (key, at, home) in all.cycle().skip(told).take(total.min(count)) {
            if chosen.len() >= count {
                break;
            }
            cursor = (*key, at + 1);
            if !chosen.iter().any(|it| it.key == *key && it.home == home.contact) {
                chosen.push(tuple(*key, home));
            }
        }
        self.topology.cursor = cursor;
        chosen
    }

    /// `from` gossips.
    pub(super) fn on_gossip(
        &mut self,
        from: C,
        entries: &[Entry<C>],
        tuples: &[Tuple<C>],
        cx: &mut Cx<'_, Self>,
    ) {
        for &entry in entries {
            self.hear_of(entry, from == entry.contact, cx);
        }
        let now = cx.now();
        for &tuple in tuples {
            if tuple.home == self.me {
                continue;
            }
            if self.topology.learn_tuple(tuple, &self.config, now) == Learnt::New {
                self.tell_of_tuple(tuple.key, tuple.home);
            }
        }
    }

    /// Somebody speaks of `entry`.
    pub(super) fn hear_of(&mut self, entry: Entry<C>, first_hand: bool, cx: &mut Cx<'_, Self>) {
        let now = cx.now();
        if entry.contact == self.me {
            // From before this node began anew: its heartbeat goes on from there.
            let limit = self.topology.beat.saturating_add(u32::MAX / 2);
            if !first_hand && entry.beat > self.topology.beat && entry.beat < limit {
                self.topology.beat = entry.beat.saturating_add(1);
            }
            return;
        }
        match self.topology.learn(entry, first_hand, &self.config, now) {
            Learnt::New => {
                if self.topology.fresh.len() >= NEWS_MAX {
                    self.topology.fresh.remove(0);
                }
                self.topology.fresh.push((entry, NEWS_ROUNDS));
            }
            Learnt::Nothing
                if !self.topology.knows(entry.contact)
                    && group_of(&entry.contact.key(), self.topology.groups)
                        != self.topology.group
                    && cx.rng().below(MEASURE_ONE_IN) == 0
                    && self.is_member()
                    && !self.waits_for(|_, ask| matches!(ask, Ask::Measure)) =>
            {
                self.ask_own(entry.contact, Ask::Measure, cx);
            }
            _ => {}
        }
    }

    /// The next rounds tell of a tuple.
    pub(super) fn tell_of_tuple(&mut self, key: Key, home: C) {
        let news = &mut self.topology.fresh_tuples;
        if news.len() >= NEWS_MAX {
            news.remove(0);
        }
        news.push((key, home, NEWS_ROUNDS));
    }

    /// A page of what is known: members after `after`, or contacts once there are no more.
    pub(super) fn page(&self, group: u32, after: u16) -> (Box<[Entry<C>]>, Option<u16>) {
        let view = &self.topology;
        let entry = |contact: C, beat: u32| Entry { contact, beat };
        let own = [entry(self.me, view.beat)];
        let inside = group == view.group;
        let members = view.members.iter().filter(|_| inside).map(|it| entry(it.contact, it.beat));
        // Those of its own group first, for whoever is in another.
        let theirs = view.contacts_in(group).iter().filter(|_| !inside);
        let others = view.contacts.iter().filter(|(other, _)| inside || *other != group);
        let contacts = theirs.chain(others).map(|(_, it)| entry(it.contact, it.beat));
        let mut all = own.into_iter().chain(members).chain(contacts).skip(after.into());
        let page: Box<[_]> = all.by_ref().take(ENTRIES_MAX).collect();
        let next = after.checked_add(ENTRIES_MAX as u16).filter(|_| all.next().is_some());
        (page, next)
    }
}
