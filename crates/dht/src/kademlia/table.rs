//! The routing table (Kademlia, section 2.4; BEP 5): buckets by the length of the prefix that a
//! node shares with us, each in the order of the nodes' last answers. Only nodes that answered a
//! request of ours are in it; whoever merely asked waits beside it.

mod closest;
mod stamp;

use alloc::vec::Vec;
use core::cmp::Reverse;

use machine::Near;
use machine::dht::{Contact, Key};

use super::config::Config;
use stamp::{FAILURES_MAX, GRAIN_BITS, MEMORY, MOMENT_MAX, Stamp};

/// How many more nodes there is room for that wait, when there is none.
const SPARES_STEP: usize = 8;

/// Seconds since the driver began.
pub(super) type Seconds = u32;

/// Most buckets: the last one does not split. Enough for k = 8 in a network of a billion nodes, and
/// a bound on what nodes can do that choose their ids close to ours.
const BUCKETS_MAX: usize = 28;

/// Most nodes in a bucket, and most that wait for a place in it.
const BUCKET_MAX: usize = 255;

/// What became of a node that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered<C> {
    /// It was in its bucket already.
    Known,
    /// It is in its bucket now.
    Inserted,
    /// It waits, and this node should show that it is still there.
    Waits(Option<C>),
}

/// The nodes that a node knows. What messages need comes first: in memory, too, for the first lines
/// of a node are fetched before it hears a message.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Table<C> {
    /// Nodes of all buckets, those of the farthest bucket first. In each bucket those come first
    /// that left the last request unanswered, and of the others the one that answered last comes
    /// last.
    contacts: Vec<C>,
    /// Nodes that wait for a place in a bucket, in the order of the buckets; in each the latest
    /// last.
    spares: Vec<C>,
    /// The stamp of each of `contacts`. Not beside it: answers to others need no more than the
    /// contacts.
    stamps: Vec<Stamp>,
    own: Key,
    /// What stamps count from, in grains.
    epoch: u32,
    /// Where each bucket ends among the nodes. In the table itself: one place in memory less to
    /// wait for.
    ends: [u16; BUCKETS_MAX],
    /// How many nodes of each left the last request unanswered.
    failing: [u8; BUCKETS_MAX],
    /// How many nodes wait for a place in each.
    waiting: [u8; BUCKETS_MAX],
    /// Bucket i holds nodes that share i bits with us, the last one those that share more too.
    depth: u8,
    /// When each is to get a lookup, if none goes there before.
    due: [Seconds; BUCKETS_MAX],
}

impl<C: Contact> Table<C> {
    pub(super) fn new(own: Key) -> Self {
        Self {
            own,
            contacts: Vec::new(),
            stamps: Vec::new(),
            ends: [0; BUCKETS_MAX],
            failing: [0; BUCKETS_MAX],
            waiting: [0; BUCKETS_MAX],
            due: [Seconds::MAX; BUCKETS_MAX],
            depth: 1,
            epoch: 0,
            spares: Vec::new(),
        }
    }

    /// A table of nodes that have all just answered: up to `k` of each bucket, in their order.
    pub(super) fn wired(own: Key, contacts: Vec<C>, k: usize) -> Self {
        let stamp = Stamp::answered(0);
        Self::of(own, contacts.into_iter().map(|contact| (contact, stamp)).collect(), k)
    }

    /// The same nodes, as far as they find room in the buckets of another place.
    pub(super) fn seen_from(&self, own: Key, k: usize) -> Self {
        let pairs = self.contacts.iter().copied().zip(self.stamps.iter().copied());
        let mut entries: Vec<_> = pairs.collect();
        // Whoever answered last is kept before others, and whoever failed since after them.
        entries.sort_by_key(|(_, stamp)| (stamp.failures() > 0, Reverse(stamp.moment())));
        Self { epoch: self.epoch, ..Self::of(own, entries, k) }
    }

    /// A table of these entries: up to `k` of each bucket, in their order.
    fn of(own: Key, mut entries: Vec<(C, Stamp)>, k: usize) -> Self {
        let k = k.min(BUCKET_MAX);
        let shared = |entry: &(C, Stamp)| own.xor(&entry.0.key()).leading_zeros() as usize;
        entries.retain(|entry| entry.0.key() != own);
        entries.sort_by_cached_key(shared);
        let mut table = Self::new(own);
        // Room for those to come: to move the tables of a million nodes would tear holes.
        table.reserve(entries.len() + (k / 2).max(1));
        let mut rest = entries.as_mut_slice();
        loop {
            let index = table.depth() - 1;
            let is_last = rest.len() <= k || index + 1 == BUCKETS_MAX;
            let middle = match is_last {
                true => rest.len(),
                false => rest.partition_point(|entry| shared(entry) == index),
            };
            let (bucket, beyond) = rest.split_at_mut(middle);
            let room = bucket.len().min(k);
            let kept = &mut bucket[..room];
            kept.sort_by_key(|(_, stamp)| (stamp.failures() == 0, stamp.moment()));
            table.failing[index] = kept.iter().filter(|entry| entry.1.failures() > 0).count() as u8;
            table.contacts.extend(kept.iter().map(|entry| entry.0));
            table.stamps.extend(kept.iter().map(|entry| entry.1));
            table.ends[index] = table.contacts.len() as u16;
            if is_last {
                return table;
            }
            table.depth += 1;
            rest = beyond;
        }
    }

    /// How many buckets there are.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth.into()
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.contacts.len()
    }

    /// Whether no node is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.contacts.is_empty()
    }

    /// The nodes of a bucket, the one that answered last at the end.
    pub fn bucket(&self, index: usize) -> impl Iterator<Item = C> {
        self.contacts[self.range(index)].iter().copied()
    }

    /// The nodes of a bucket, each with how many requests it has left unanswered in a row.
    pub fn bucket_with_failures(&self, index: usize) -> impl Iterator<Item = (C, u8)> {
        let stamps = self.stamps[self.range(index)].iter();
        self.bucket(index).zip(stamps.map(|stamp| stamp.failures()))
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = C> {
        self.contacts.iter().copied()
    }

    /// Nodes that answered the last request.
    pub fn good(&self) -> impl Iterator<Item = C> {
        (0..self.depth()).flat_map(|index| &self.contacts[self.good_range(index)]).copied()
    }

    /// Nodes that wait for a place in a bucket.
    pub fn waiting(&self) -> impl Iterator<Item = C> {
        self.spares.iter().copied()
    }

    /// The bucket in which a key belongs.
    #[must_use]
    pub fn index(&self, key: &Key) -> usize {
        self.shared(key).min(self.depth() - 1)
    }

    /// How many bits a key shares with us.
    fn shared(&self, key: &Key) -> usize {
        match ((self.own.front() ^ key.front()) >> 64) as u64 {
            0 => self.own.xor(key).leading_zeros() as usize,
            // Nearly always, and where keys are computed half of one is enough.
            front => front.leading_zeros() as usize,
        }
    }

    /// Takes note that `contact` answered.
    pub(super) fn answered(&mut self, contact: C, now: Seconds, config: &Config<C>) -> Answered<C> {
        let shared = self.shared(&contact.key());
        if shared == 160 {
            return Answered::Waits(None);
        }
        let index = shared.min(self.depth() - 1);
        let range = self.range(index);
        if let Some(at) = self.contacts[range.clone()].iter().position(|node| *node == contact) {
            let stamp = Stamp::answered(self.moment(now));
            self.failing[index] -= u8::from(at < usize::from(self.failing[index]));
            let later = range.start + at..range.end;
            // Its id may have changed within the bucket.
            self.contacts[later.start] = contact;
            self.contacts[later.clone()].rotate_left(1);
            self.stamps[later.start] = stamp;
            self.stamps[later].rotate_left(1);
            return Answered::Known;
        }
        self.insert(contact, shared, now, config)
    }

    fn insert(
        &mut self,
        contact: C,
        shared: usize,
        now: Seconds,
        config: &Config<C>,
    ) -> Answered<C> {
        loop {
            let index = shared.min(self.depth() - 1);
            let range = self.range(index);
            if !self.has_room_in_subnet(index, &contact, config) {
                return Answered::Waits(None);
            }
            if range.len() < config.k.min(BUCKET_MAX) {
                // Elsewhere under an id that it has given up, which may leave more room.
                if !C::IS_KEY_FIXED && self.remove(&contact) {
                    continue;
                }
                self.stop_waiting(&contact, index);
                if self.contacts.len() == self.contacts.capacity() {
                    // By half a bucket: doubling would waste most of a million nodes' memory.
                    self.reserve((config.k / 2).max(1));
                }
                let stamp = Stamp::answered(self.moment(now));
                self.contacts.insert(range.end, contact);
                self.stamps.insert(range.end, stamp);
                self.ends[index..self.depth.into()].iter_mut().for_each(|end| *end += 1);
                return Answered::Inserted;
            }
            if self.splits(index) {
                self.split();
                continue;
            }
            // One that failed is replaced at once, and one that has no right to its id.
            let bucket = &self.contacts[range.clone()];
            let replaced = match self.failing[index] {
                0 => config
                    .verified
                    .filter(|verified| verified(&contact))
                    .and_then(|verified| bucket.iter().position(|contact| !verified(contact))),
                _ => Some(0),
            };
            if let Some(at) = replaced {
                self.remove_at(range.start + at, index);
                continue;
            }
            let oldest = bucket[0];
            self.wait(contact, index, true, config);
            let is_old = self.is_questionable(self.stamps[range.start], now, config);
            return Answered::Waits(is_old.then_some(oldest));
        }
    }

    /// Takes note that `contact` asked something; whether to ping it because there is room for
    /// it. Else it waits, if there is room for that: by asking nobody pushes others aside.
    pub(super) fn heard(&mut self, contact: C, config: &Config<C>) -> bool {
        let shared = self.shared(&contact.key());
        let index = shared.min(self.depth() - 1);
        let range = self.range(index);
        let is_full = range.len() >= config.k.min(BUCKET_MAX) && !self.splits(index);
        let waiting = usize::from(self.waiting[index]);
        if shared == 160 || is_full && waiting >= config.replacements {
            return false;
        }
        if self.contacts[range].contains(&contact) {
            return false;
        }
        if is_full {
            self.wait(contact, index, false, config);
        }
        !is_full && self.has_room_in_subnet(index, &contact, config)
    }

    /// Takes note that `contact` left a request unanswered: whom to ping now, so that a node that
    /// waits may take its place.
    ///
    /// Without such a node a contact stays, and is named to nobody, until it has failed many
    /// times: else an outage of our own would cost us all we know (Kademlia, section 4.1).
    pub(super) fn failed(&mut self, contact: &C, config: &Config<C>) -> Option<C> {
        let index = self.index(&contact.key());
        self.stop_waiting(contact, index);
        let range = self.range(index);
        if let Some(at) = self.contacts[range.clone()].iter().position(|node| node == contact) {
            let mut at = at;
            let failing = usize::from(self.failing[index]);
            if at >= failing {
                // To the end of those that failed.
                self.contacts[range.start + failing..=range.start + at].rotate_right(1);
                self.stamps[range.start + failing..=range.start + at].rotate_right(1);
                self.failing[index] += 1;
                at = failing;
            }
            let stamp = &mut self.stamps[range.start + at];
            *stamp = stamp.failed();
            let enough = match self.waiting[index] {
                0 => FAILURES_MAX,
                _ => config.failures_max.min(FAILURES_MAX),
            };
            if stamp.failures() >= enough {
                self.remove_at(range.start + at, index);
            }
        }
        let has_room =
            self.range(index).len() < config.k.min(BUCKET_MAX) || self.failing[index] > 0;
        if has_room { self.waits_for(index) } else { None }
    }

    /// Nodes that left the last request unanswered.
    pub(super) fn failing(&self) -> impl Iterator<Item = C> {
        let failing = |index| self.range(index).start..self.good_range(index).start;
        (0..self.depth()).flat_map(move |index| &self.contacts[failing(index)]).copied()
    }

    /// How many they are.
    pub(super) fn failing_count(&self) -> usize {
        self.failing.iter().map(|count| usize::from(*count)).sum()
    }

    /// Nodes that may lose their places, though no request to them has failed: in each bucket for
    /// which others wait the one that answered least recently, if that was long ago.
    pub(super) fn questionable(&self, now: Seconds, config: &Config<C>) -> impl Iterator<Item = C> {
        (0..self.depth()).filter_map(move |index| {
            let oldest = self.good_range(index).next().filter(|_| self.waiting[index] > 0)?;
            let is_old = self.is_questionable(self.stamps[oldest], now, config);
            is_old.then_some(self.contacts[oldest])
        })
    }

    fn is_questionable(&self, stamp: Stamp, now: Seconds, config: &Config<C>) -> bool {
        let age = (now >> GRAIN_BITS).saturating_sub(self.epoch + stamp.moment());
        let patience = config.questionable.as_secs() >> GRAIN_BITS;
        u64::from(age) >= patience.min(MEMORY.into())
    }

    /// What a stamp says of `now`. Moves the epoch, when that is too far back.
    fn moment(&mut self, now: Seconds) -> u32 {
        let moment = (now >> GRAIN_BITS).saturating_sub(self.epoch);
        if moment <= MOMENT_MAX {
            return moment;
        }
        let later = moment - MEMORY;
        self.epoch += later;
        self.stamps.iter_mut().for_each(|stamp| *stamp = stamp.later(later));
        MEMORY
    }

    /// The node that has waited shortest for a place in a bucket; it waits no more.
    fn waits_for(&mut self, index: usize) -> Option<C> {
        let last = self.spares_of(index).next_back()?;
        self.waiting[index] -= 1;
        Some(self.spares.remove(last))
    }

    fn stop_waiting(&mut self, contact: &C, index: usize) {
        let range = self.spares_of(index);
        if let Some(at) = self.spares[range.clone()].iter().position(|spare| spare == contact) {
            self.spares.remove(range.start + at);
            self.waiting[index] -= 1;
        }
    }

    /// Where those are that wait for a place in a bucket.
    fn spares_of(&self, index: usize) -> core::ops::Range<usize> {
        let waiting = |count: &u8| usize::from(*count);
        let start = self.waiting[..index].iter().map(waiting).sum();
        start..start + waiting(&self.waiting[index])
    }

    /// Whether a bucket makes room by splitting.
    fn splits(&self, index: usize) -> bool {
        index + 1 == self.depth() && index + 1 < BUCKETS_MAX
    }

    /// Drops a node, whatever it is called by now; whether it was there.
    pub(super) fn remove(&mut self, contact: &C) -> bool {
        let at = self.contacts.iter().position(|node| node == contact);
        if let Some(at) = at {
            let index = self.ends[..self.depth()].partition_point(|end| usize::from(*end) <= at);
            self.remove_at(at, index);
        }
        at.is_some()
    }

    /// A lookup for `key` has begun: its bucket needs none before `due`.
    pub(super) fn touch(&mut self, key: &Key, due: Seconds) {
        let index = self.index(key);
        self.due[index] = due;
    }

    /// Every bucket gets a lookup at the moment that `due` names for it.
    pub(super) fn schedule(&mut self, mut due: impl FnMut() -> Seconds) {
        self.due[..self.depth.into()].iter_mut().for_each(|moment| *moment = due());
    }

    /// Every bucket but the one around us is to get a lookup soon.
    pub(super) fn make_far_due(&mut self, now: Seconds) {
        let last = self.depth() - 1;
        self.due[..last].fill(now);
    }

    /// The farthest bucket that is due for a lookup.
    pub(super) fn due(&self, now: Seconds) -> Option<usize> {
        self.due[..self.depth()].iter().position(|due| *due <= now)
    }

    /// A key in a bucket, from 20 random bytes.
    pub(super) fn key_in(&self, index: usize, random: [u8; 20]) -> Key {
        let mut key = Key(random);
        for at in 0..index.min(160) {
            let mask = 0x80 >> (at % 8);
            key.0[at / 8] = key.0[at / 8] & !mask | self.own.0[at / 8] & mask;
        }
        if index + 1 < self.depth() {
            let mask = 0x80 >> (index % 8);
            key.0[index / 8] = key.0[index / 8] & !mask | !self.own.0[index / 8] & mask;
        }
        key
    }

    /// Names the memory that [`heard`](Self::heard) reads.
    pub(super) fn foresee_heard(&self, contact: &C, config: &Config<C>, near: &mut impl Near) {
        let index = self.index(&contact.key());
        let range = self.range(index);
        if range.len() < config.k || usize::from(self.waiting[index]) < config.replacements {
            near.bring(&self.contacts[range]);
            near.bring(&self.spares[self.spares_of(index)]);
        }
    }

    /// Names the memory that [`answered`](Self::answered) reads.
    pub(super) fn foresee_answered(&self, contact: &C, near: &mut impl Near) {
        let index = self.index(&contact.key());
        let range = self.range(index);
        near.bring(&self.contacts[range.clone()]);
        near.bring(&self.stamps[range]);
        near.bring(&self.spares[self.spares_of(index)]);
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        (self.contacts.capacity() + self.spares.capacity()) * size_of::<C>()
            + self.stamps.capacity() * size_of::<Stamp>()
    }

    fn range(&self, index: usize) -> core::ops::Range<usize> {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before].into());
        start..self.ends[index].into()
    }

    /// Where those nodes of a bucket are that answered the last request.
    fn good_range(&self, index: usize) -> core::ops::Range<usize> {
        let range = self.range(index);
        range.start + usize::from(self.failing[index])..range.end
    }

    fn remove_at(&mut self, at: usize, index: usize) {
        let is_failing = at < self.good_range(index).start;
        self.contacts.remove(at);
        self.stamps.remove(at);
        self.failing[index] -= u8::from(is_failing);
        self.ends[index..self.depth.into()].iter_mut().for_each(|end| *end -= 1);
    }

    fn reserve(&mut self, nodes: usize) {
        self.contacts.reserve_exact(nodes);
        self.stamps.reserve_exact(nodes);
    }

    fn has_room_in_subnet(&self, index: usize, contact: &C, config: &Config<C>) -> bool {
        let Some(subnet) = (config.subnet)(contact) else { return true };
        let same = |contact: &&C| (config.subnet)(contact) == Some(subnet);
        let bucket = &self.contacts[self.range(index)];
        bucket.iter().filter(same).take(config.subnet_in_bucket).count() < config.subnet_in_bucket
    }

    /// Splits the bucket around us in two; the order in each stays. Nobody waits for a place in a
    /// bucket that can be split.
    fn split(&mut self) {
        let index = self.depth() - 1;
        let range = self.range(index);
        let failing = usize::from(self.failing[index]);
        let own = self.own;
        let is_far = |contact: &C| own.xor(&contact.key()).leading_zeros() as usize == index;
        let bucket = self.contacts[range.clone()].iter().zip(&self.stamps[range.clone()]);
        let mut entries: Vec<_> = bucket.map(|(contact, stamp)| (*contact, *stamp)).collect();
        let far = entries[..failing].iter().filter(|(contact, _)| is_far(contact)).count();
        // At most a bucket's worth in each.
        (self.failing[index], self.failing[index + 1]) = (far as u8, (failing - far) as u8);
        entries.sort_by_key(|(contact, _)| !is_far(contact));
        let count = entries.partition_point(|(contact, _)| is_far(contact));
        for (at, (contact, stamp)) in range.clone().zip(entries) {
            (self.contacts[at], self.stamps[at]) = (contact, stamp);
        }
        (self.ends[index + 1], self.due[index + 1]) = (self.ends[index], self.due[index]);
        self.ends[index] = (range.start + count) as u16;
        self.depth += 1;
    }

    /// Lets `contact` wait for a place in a bucket; if as many wait as may, in place of the one
    /// that waits longest, should it be `preferred`.
    fn wait(&mut self, contact: C, index: usize, preferred: bool, config: &Config<C>) {
        let range = self.spares_of(index);
        let spares = &mut self.spares[range.clone()];
        if spares.contains(&contact) {
            return;
        }
        if spares.len() >= config.replacements.min(BUCKET_MAX) {
            if let (true, Some(oldest)) = (preferred, spares.first_mut()) {
                *oldest = contact;
                spares.rotate_left(1);
            }
            return;
        }
        if self.spares.len() == self.spares.capacity() {
            self.spares.reserve_exact(SPARES_STEP);
        }
        self.spares.insert(range.end, contact);
        self.waiting[index] += 1;
    }
}

#[cfg(test)]
mod tests;
