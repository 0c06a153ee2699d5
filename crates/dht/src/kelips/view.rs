//! What a node knows: the members of its group, contacts in the others, and where values are. Each
//! entry has a heartbeat that only its owner advances, and goes when that stops.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use machine::dht::{Contact, Key};
use machine::{Instant, Rng};

use super::config::{Config, Expiry, Fault, HOMES_MAX};

/// The affinity group of `key`, of `groups`: its front as a fraction of all.
pub(super) fn group_of(key: &Key, groups: u32) -> u32 {
    let front = (key.front() >> 64) as u64;
    ((u128::from(front) * u128::from(groups.max(1))) >> 64) as u32
}

/// Moments in tenths of a second, which are enough for entries.
pub(super) type Tenths = u32;

pub(super) fn tenths(now: Instant) -> Tenths {
    (now.as_nanos() / 100_000_000) as u32
}

pub(super) fn in_tenths(span: Duration) -> Tenths {
    u32::try_from(span.as_millis() / 100).unwrap_or(u32::MAX)
}

/// A node with its heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<C> {
    /// Who.
    pub contact: C,
    /// How often it has gossiped.
    pub beat: u32,
}

/// A value's name with one of the nodes that hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple<C> {
    /// Its name.
    pub key: Key,
    /// Who holds it.
    pub home: C,
    /// The number of the version that it holds.
    pub number: u32,
    /// The heartbeat of the home when it last said so.
    pub beat: u32,
}

/// A member of this node's group, or a contact in another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<C> {
    pub(super) contact: C,
    pub(super) beat: u32,
    pub(super) heard: Tenths,
    /// Milliseconds to it and back; the greatest number if that is not known.
    pub(super) rtt: u16,
}

/// Not measured yet.
pub(super) const FAR: u16 = u16::MAX;

/// A node that holds a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home<C> {
    pub(super) contact: C,
    pub(super) number: u32,
    pub(super) beat: u32,
    pub(super) heard: Tenths,
}

/// A node that is dead, or taken for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone<C> {
    contact: C,
    /// The last heartbeat that is known, and when it was heard of.
    beat: u32,
    heard: Tenths,
    since: Tenths,
}

impl<C> Gone<C> {
    /// What its heartbeat would be by now if it lived, of which `share` is counted: what others
    /// have heard before it died goes around for a while, but does not advance.
    const fn due(&self, at: Tenths, round: Tenths, share: u32) -> u32 {
        self.beat.saturating_add(at.saturating_sub(self.heard) / (round * share))
    }
}

/// Most who are remembered to be gone.
const GONE_MAX: usize = 1_024;
/// How many of those who fell silent are asked now and then whether they are back.
const LOST_MAX: usize = 16;
/// How much faster than one a round a heartbeat may seem to advance.
const HASTE: u32 = 4;
/// How far it may be in front besides.
const SLACK: u32 = 64;

/// Tables of one node. Lists that stand may be shared between nodes: whoever changes one gets a copy
/// of its own first.
#[derive(Clone, Debug)]
pub struct Groups<C> {
    pub(super) group: u32,
    pub(super) groups: u32,
    /// Its own heartbeat.
    pub(super) beat: u32,
    /// Of its group, by contact; it may be among them itself.
    pub(super) members: Arc<Vec<Known<C>>>,
    /// In other groups, by group and contact.
    pub(super) contacts: Arc<Vec<(u32, Known<C>)>>,
    /// Where values of its group are.
    pub(super) tuples: BTreeMap<Key, Vec<Home<C>>>,
    /// Who is gone.
    pub(super) gone: Vec<Gone<C>>,
    /// What the next rounds of gossip must tell, and in how many of them.
    pub(super) fresh: Vec<(Entry<C>, u8)>,
    pub(super) fresh_tuples: Vec<(Key, C, u8)>,
    /// Where the next message takes its tuples from: a key, and how many of its homes were told.
    pub(super) cursor: (Key, usize),
    /// Whom to ask to be let in, the next one last.
    pub(super) doors: Vec<C>,
    /// Who fell silent without a goodbye: they may be on the other side of a partition.
    pub(super) lost: Vec<C>,
}

/// What became of an entry that somebody spoke of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Learnt {
    /// It was not known.
    New,
    /// Its heartbeat had not been heard of.
    Refreshed,
    /// It says nothing new, or cannot be believed.
    Nothing,
}

impl<C: Contact> Groups<C> {
    pub(super) fn empty(me: C, groups: u32) -> Self {
        Self {
            group: group_of(&me.key(), groups),
            groups,
            beat: 0,
            members: Arc::default(),
            contacts: Arc::default(),
            tuples: BTreeMap::new(),
            gone: Vec::new(),
            fresh: Vec::new(),
            fresh_tuples: Vec::new(),
            cursor: (Key::default(), 0),
            doors: Vec::new(),
            lost: Vec::new(),
        }
    }

    /// Its affinity group.
    #[must_use]
    pub const fn group(&self) -> u32 {
        self.group
    }

    /// The members of its group that it knows; it may be among them itself.
    pub fn members(&self) -> impl Iterator<Item = C> + '_ {
        self.members.iter().map(|known| known.contact)
    }

    /// Its contacts, each with its group.
    pub fn contacts(&self) -> impl Iterator<Item = (u32, C)> + '_ {
        self.contacts.iter().map(|(group, known)| (*group, known.contact))
    }

    /// Keys whose homes it knows.
    #[must_use]
    pub fn tuples(&self) -> usize {
        self.tuples.len()
    }

    /// The homes of `key` that it knows.
    pub fn homes(&self, key: &Key) -> impl Iterator<Item = C> + '_ {
        self.tuples.get(key).into_iter().flatten().map(|home| home.contact)
    }

    /// How long ago the entry that was refreshed last but longest was, and how long it may be.
    #[must_use]
    pub fn oldest(&self, config: &Config, now: Instant) -> Option<(Duration, Duration)> {
        let heard = self.members.iter().map(|known| known.heard).min()?;
        let age = Duration::from_millis(u64::from(tenths(now).saturating_sub(heard)) * 100);
        Some((age, self.patience(config)))
    }

    /// How long members and contacts stay.
    pub(super) fn patience(&self, config: &Config) -> Duration {
        config.patience(self.members.len(), config.entries)
    }

    /// How long tuples stay.
    pub(super) fn tuple_patience(&self, config: &Config) -> Duration {
        let homes = self.tuples.values().map(Vec::len).sum();
        config.patience(homes, config.tuples)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let own = |count: usize| if count == 1 { 1 } else { 0 };
        let homes: usize = self
            .tuples
            .values()
            .map(|homes| homes.capacity() * size_of::<Home<C>>() + size_of::<(Key, Vec<Home<C>>)>())
            .sum();
        // A list that several nodes share is nobody's.
        own(Arc::strong_count(&self.members)) * self.members.capacity() * size_of::<Known<C>>()
            + own(Arc::strong_count(&self.contacts))
                * self.contacts.capacity()
                * size_of::<(u32, Known<C>)>()
            + homes
            + self.gone.capacity() * size_of::<Gone<C>>()
            + self.fresh.capacity() * size_of::<(Entry<C>, u8)>()
            + self.fresh_tuples.capacity() * size_of::<(Key, C, u8)>()
    }

    fn find_member(&self, contact: C) -> Result<usize, usize> {
        self.members.binary_search_by(|known| known.contact.cmp(&contact))
    }

    fn find_contact(&self, group: u32, contact: C) -> Result<usize, usize> {
        self.contacts
            .binary_search_by(|(other, known)| (*other, known.contact).cmp(&(group, contact)))
    }

    /// The contacts in `group`.
    pub(super) fn contacts_in(&self, group: u32) -> &[(u32, Known<C>)] {
        let start = self.contacts.partition_point(|(other, _)| *other < group);
        let end = self.contacts.partition_point(|(other, _)| *other <= group);
        &self.contacts[start..end]
    }

    fn known_mut(&mut self, contact: C) -> Option<&mut Known<C>> {
        let group = group_of(&contact.key(), self.groups);
        if group == self.group {
            let at = self.find_member(contact).ok()?;
            Some(&mut Arc::make_mut(&mut self.members)[at])
        } else {
            let at = self.find_contact(group, contact).ok()?;
            Some(&mut Arc::make_mut(&mut self.contacts)[at].1)
        }
    }

    fn known(&self, contact: C) -> Option<&Known<C>> {
        let group = group_of(&contact.key(), self.groups);
        if group == self.group {
            self.members.get(self.find_member(contact).ok()?)
        } else {
            self.contacts.get(self.find_contact(group, contact).ok()?).map(|(_, known)| known)
        }
    }

    /// Whether `contact` is known.
    #[must_use]
    pub fn knows(&self, contact: C) -> bool {
        self.known(contact).is_some()
    }

    /// Somebody speaks of `entry`; `first_hand` if it is that node itself.
    pub(super) fn learn(
        &mut self,
        entry: Entry<C>,
        first_hand: bool,
        config: &Config,
        now: Instant,
    ) -> Learnt {
        let at = tenths(now);
        let round = in_tenths(config.round()).max(1);
        let patience = in_tenths(self.patience(config));
        if let Some(known) = self.known(entry.contact) {
            let passed = at.saturating_sub(known.heard) / round;
            let most = known.beat.saturating_add((passed + 1) * HASTE).saturating_add(SLACK);
            let is_new = first_hand
                || entry.beat > known.beat && entry.beat <= most
                || config.has(Fault::AnyBeat);
            if !is_new {
                return Learnt::Nothing;
            }
            // It lived so many rounds longer than was known. The last heartbeats of the dead go
            // around for long, and are no sign of life when they come. Whoever beats slowly is
            // given two thirds of the time in any case.
            let beats = entry.beat.saturating_sub(known.beat);
            let lived = known.heard.saturating_add(beats.saturating_mul(round));
            let heard = if first_hand { at } else { lived.max(at.saturating_sub(patience / 3)) };
            if let Some(known) = self.known_mut(entry.contact) {
                (known.beat, known.heard) = (entry.beat, heard.min(at));
            }
            return Learnt::Refreshed;
        }
        if let Some(place) = self.gone.iter().position(|gone| gone.contact == entry.contact) {
            let due = self.gone[place].due(at, round, 2);
            if !first_hand && entry.beat <= due && !config.has(Fault::AnyBeat) {
                return Learnt::Nothing;
            }
            self.gone.swap_remove(place);
        }
        let known = Known { contact: entry.contact, beat: entry.beat, heard: at, rtt: FAR };
        let group = group_of(&entry.contact.key(), self.groups);
        if group == self.group {
            let Err(place) = self.find_member(entry.contact) else { return Learnt::Nothing };
            if self.members.len() >= config.members_max {
                return Learnt::Nothing;
            }
            Arc::make_mut(&mut self.members).insert(place, known);
            return Learnt::New;
        }
        let there = self.contacts_in(group);
        if there.len() >= config.contacts {
            // One that was not heard of for long makes room.
            let is_stale = |known: &Known<C>| at.saturating_sub(known.heard) > patience / 2;
            let stale = there.iter().find(|(_, known)| is_stale(known));
            let Some(&(_, stale)) = stale else { return Learnt::Nothing };
            self.drop_contact(group, stale.contact);
        }
        let Err(place) = self.find_contact(group, entry.contact) else { return Learnt::Nothing };
        Arc::make_mut(&mut self.contacts).insert(place, (group, known));
        Learnt::New
    }

    /// `contact` answered after so long: if it is a contact it is noted, and if it is nearer than
    /// the farthest contact in its group, it takes its place.
    pub(super) fn measured(&mut self, contact: C, rtt: Duration, config: &Config, now: Instant) {
        let rtt = u16::try_from(rtt.as_millis()).unwrap_or(FAR).min(FAR - 1);
        let group = group_of(&contact.key(), self.groups);
        if let Some(known) = self.known(contact) {
            let old = known.rtt;
            let new =
                if old == FAR { rtt } else { (u32::from(old) * 3 + u32::from(rtt)) as u16 / 4 };
            if let Some(known) = self.known_mut(contact) {
                (known.rtt, known.heard) = (if old == FAR { rtt } else { new }, tenths(now));
            }
            return;
        }
        if group == self.group || self.contacts_in(group).len() < config.contacts {
            return;
        }
        let worst = self.contacts_in(group).iter().max_by_key(|(_, known)| known.rtt).copied();
        if let Some((_, worst)) = worst
            && worst.rtt > rtt
        {
            self.drop_contact(group, worst.contact);
            if let Err(place) = self.find_contact(group, contact) {
                let known = Known { contact, beat: 0, heard: tenths(now), rtt };
                Arc::make_mut(&mut self.contacts).insert(place, (group, known));
            }
        }
    }

    /// The heartbeat that whoever begins anew as `who` must be ahead of.
    pub(super) fn beat_of(&self, who: C, config: &Config, now: Instant) -> u32 {
        let round = in_tenths(config.round()).max(1);
        let gone = self.gone.iter().filter(|gone| gone.contact == who);
        let gone = gone.map(|gone| gone.due(tenths(now), round, 1)).max();
        let known = self.members.iter().filter(|known| known.contact == who);
        known.map(|known| known.beat).chain(gone).max().unwrap_or(0)
    }

    /// `who` lives.
    pub(super) fn touch(&mut self, who: C, now: Instant) {
        let at = tenths(now);
        if self.known(who).is_some_and(|known| known.heard != at)
            && let Some(known) = self.known_mut(who)
        {
            known.heard = at;
        }
    }

    fn drop_contact(&mut self, group: u32, contact: C) {
        if let Ok(place) = self.find_contact(group, contact) {
            Arc::make_mut(&mut self.contacts).remove(place);
        }
    }

    /// `who` is dead, or taken for it: only a later heartbeat brings it back.
    pub(super) fn bury(&mut self, who: C, now: Instant) {
        let Some(&Known { beat, heard, .. }) = self.known(who) else { return };
        let group = group_of(&who.key(), self.groups);
        if group == self.group {
            if let Ok(place) = self.find_member(who) {
                Arc::make_mut(&mut self.members).remove(place);
            }
            for homes in self.tuples.values_mut() {
                homes.retain(|home| home.contact != who);
            }
            self.tuples.retain(|_, homes| !homes.is_empty());
        } else {
            self.drop_contact(group, who);
        }
        self.fresh.retain(|(entry, _)| entry.contact != who);
        self.fresh_tuples.retain(|(_, home, _)| *home != who);
        if self.gone.len() >= GONE_MAX {
            self.gone.remove(0);
        }
        self.gone.push(Gone { contact: who, beat, heard, since: tenths(now) });
    }

    /// `who` is silent, and may be dead or out of reach.
    pub(super) fn lose(&mut self, who: C, now: Instant) {
        if self.knows(who) && !self.lost.contains(&who) {
            if self.lost.len() >= LOST_MAX {
                self.lost.remove(0);
            }
            self.lost.push(who);
        }
        self.bury(who, now);
    }

    /// Some of whom nobody has given a sign of life for half of the time that they stay. Nobody is
    /// asked where that time is fixed.
    pub(super) fn doubtful(&self, me: C, config: &Config, now: Instant) -> impl Iterator<Item = C> {
        let asks_nobody = config.has(Fault::NoBeats) || config.has(Fault::NeverExpire);
        let limit = match config.expiry {
            Expiry::Scaled(_) if !asks_nobody => in_tenths(self.patience(config)) / 2,
            _ => Tenths::MAX,
        };
        let at = tenths(now);
        let all = self.members.iter().chain(self.contacts.iter().map(|(_, known)| known));
        all.filter(move |it| it.contact != me && at.saturating_sub(it.heard) > limit)
            .map(|it| it.contact)
    }

    /// Lets go what nobody has refreshed for too long.
    pub(super) fn expire(&mut self, me: C, config: &Config, now: Instant) {
        if config.has(Fault::NeverExpire) {
            return;
        }
        let at = tenths(now);
        let patience = in_tenths(self.patience(config));
        let stale: Vec<C> = self
            .members
            .iter()
            .chain(self.contacts.iter().map(|(_, known)| known))
            .filter(|known| at.saturating_sub(known.heard) > patience && known.contact != me)
            .map(|known| known.contact)
            .collect();
        for who in stale {
            self.lose(who, now);
        }
        self.gone.retain(|it| at.saturating_sub(it.since) <= patience.saturating_mul(4));
        let patience = in_tenths(self.tuple_patience(config));
        let old = |home: &Home<C>| at.saturating_sub(home.heard) > patience;
        if self.tuples.values().any(|homes| homes.iter().any(old)) {
            for homes in self.tuples.values_mut() {
                homes.retain(|home| !old(home));
            }
            self.tuples.retain(|_, homes| !homes.is_empty());
        }
    }

    /// Somebody says where a value is.
    pub(super) fn learn_tuple(&mut self, tuple: Tuple<C>, config: &Config, now: Instant) -> Learnt {
        if group_of(&tuple.key, self.groups) != self.group
            || group_of(&tuple.home.key(), self.groups) != self.group
        {
            return Learnt::Nothing;
        }
        if self.gone.iter().any(|gone| gone.contact == tuple.home && tuple.beat <= gone.beat) {
            return Learnt::Nothing;
        }
        if self.tuples.len() >= config.keys_max && !self.tuples.contains_key(&tuple.key) {
            return Learnt::Nothing;
        }
        // A home is never ahead of the heartbeat that is known of it by more than its haste.
        if let Some(known) = self.known(tuple.home)
            && tuple.beat > known.beat.saturating_add(SLACK)
        {
            return Learnt::Nothing;
        }
        let heard = tenths(now);
        let homes = self.tuples.entry(tuple.key).or_default();
        if let Some(home) = homes.iter_mut().find(|home| home.contact == tuple.home) {
            if tuple.beat <= home.beat {
                return Learnt::Nothing;
            }
            *home = Home { contact: tuple.home, number: tuple.number, beat: tuple.beat, heard };
            return Learnt::Refreshed;
        }
        if homes.len() >= HOMES_MAX {
            return Learnt::Nothing;
        }
        homes.reserve_exact(1);
        let Tuple { home: contact, number, beat, .. } = tuple;
        homes.push(Home { contact, number, beat, heard });
        Learnt::New
    }

    /// The members whose places are nearest to `key`, `me` among them.
    pub(super) fn nearest(&self, me: C, key: &Key, count: usize) -> Vec<C> {
        // Few of many: each place is computed once.
        let mut near: Vec<(Key, C)> = Vec::with_capacity(count + 1);
        for node in self.members().filter(|&other| other != me).chain([me]) {
            let away = node.key().xor(key);
            if near.len() < count || near.last().is_some_and(|(farthest, _)| away < *farthest) {
                let at = near.partition_point(|(other, _)| *other < away);
                near.insert(at, (away, node));
                near.truncate(count);
            }
        }
        near.into_iter().map(|(_, node)| node).collect()
    }

    /// Another member, at random.
    pub(super) fn any_member(&self, me: C, rng: &mut Rng) -> Option<C> {
        (0..4)
            .find_map(|_| rng.pick(&self.members).map(|known| known.contact).filter(|&it| it != me))
    }
}
