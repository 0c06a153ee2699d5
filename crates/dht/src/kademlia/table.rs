//! The routing table (Kademlia, section 2.4; BEP 5): buckets by the length of the prefix that a
//! node shares with us, each in the order of the nodes' last answers. Only nodes that answered a
//! request of ours are in it; whoever merely asked waits beside it.

use alloc::vec::Vec;

use machine::Near;
use machine::dht::{Contact, Key};

use super::config::Config;

/// How many more nodes there is room for that wait, when there is none.
const SPARES_STEP: usize = 8;

/// Seconds since the driver began.
pub(super) type Seconds = u32;

/// Bits of a [`Stamp`] that are not the time.
const FAILURE_BITS: u32 = 3;
/// Unanswered requests in a row that a contact never survives.
const FAILURES_MAX: u8 = 7;

/// When a node answered last, and how many requests it has left unanswered since: one word, for
/// there are hundreds of them in each of a million nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp(u32);

impl Stamp {
    fn answered(now: Seconds) -> Self {
        Self(now << FAILURE_BITS)
    }

    fn at(self) -> Seconds {
        self.0 >> FAILURE_BITS
    }

    fn failures(self) -> u8 {
        (self.0 & ((1 << FAILURE_BITS) - 1)) as u8
    }

    fn failed(self) -> Self {
        Self(self.0 + u32::from(self.failures() < FAILURES_MAX))
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry<C> {
    contact: C,
    stamp: Stamp,
}

/// Most buckets: the last one does not split. Enough for k = 8 in a network of a billion nodes, and
/// a bound on what nodes can do that choose their ids close to ours.
const BUCKETS_MAX: usize = 28;

/// A node that waits, and how many bits it shares with us.
#[derive(Clone, Copy, Debug)]
struct Spare<C> {
    contact: C,
    shared: u8,
}

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

/// The nodes that a node knows.
#[derive(Clone, Debug)]
pub struct Table<C> {
    own: Key,
    /// Entries of all buckets, those of the farthest bucket first; in each the one that answered
    /// last comes last.
    entries: Vec<Entry<C>>,
    /// Bucket i holds nodes that share i bits with us, the last one those that share more too.
    depth: u8,
    /// Where each bucket ends among the entries. In the table itself: one place in memory less to
    /// wait for.
    ends: [u16; BUCKETS_MAX],
    /// How many nodes left the last request unanswered.
    failing: u16,
    /// How many nodes wait for a place in each.
    waiting: [u8; BUCKETS_MAX],
    /// When each is to get a lookup, if none goes there before.
    due: [Seconds; BUCKETS_MAX],
    /// Nodes that wait for a place, the latest last.
    spares: Vec<Spare<C>>,
}

impl<C: Contact> Table<C> {
    pub(super) fn new(own: Key) -> Self {
        Self {
            own,
            entries: Vec::new(),
            depth: 1,
            ends: [0; BUCKETS_MAX],
            failing: 0,
            waiting: [0; BUCKETS_MAX],
            due: [Seconds::MAX; BUCKETS_MAX],
            spares: Vec::new(),
        }
    }

    /// A table of nodes that have all just answered: up to `k` of each bucket, in their order.
    pub(super) fn wired(own: Key, contacts: Vec<C>, k: usize) -> Self {
        let stamp = Stamp::answered(0);
        Self::of(own, contacts.into_iter().map(|contact| Entry { contact, stamp }).collect(), k)
    }

    /// The same nodes, as far as they find room in the buckets of another place.
    pub(super) fn seen_from(&self, own: Key, k: usize) -> Self {
        let mut entries = self.entries.clone();
        // Whoever answered first comes first, but for those who failed since.
        entries.sort_by_key(|entry| (entry.stamp.failures() > 0, entry.stamp.at()));
        Self::of(own, entries, k)
    }

    /// A table of these entries: up to `k` of each bucket, in their order.
    fn of(own: Key, mut entries: Vec<Entry<C>>, k: usize) -> Self {
        let shared = |entry: &Entry<C>| own.xor(&entry.contact.key()).leading_zeros() as usize;
        entries.retain(|entry| entry.contact.key() != own);
        entries.sort_by_cached_key(shared);
        let mut table = Self::new(own);
        // Room for those to come: to move the tables of a million nodes would tear holes.
        table.entries.reserve_exact(entries.len() + (k / 2).max(1));
        let mut rest = entries.as_slice();
        loop {
            let index = table.depth() - 1;
            let is_last = rest.len() <= k || index + 1 == BUCKETS_MAX;
            let (bucket, beyond) = match is_last {
                true => (rest, &rest[..0]),
                false => rest.split_at(rest.partition_point(|entry| shared(entry) == index)),
            };
            let kept = &bucket[..bucket.len().min(k)];
            table.failing += kept.iter().filter(|entry| entry.stamp.failures() > 0).count() as u16;
            table.entries.extend_from_slice(kept);
            table.ends[index] = table.entries.len() as u16;
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
        self.entries.len()
    }

    /// Whether no node is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The nodes of a bucket, the one that answered last at the end.
    pub fn bucket(&self, index: usize) -> impl Iterator<Item = C> {
        self.entries[self.range(index)].iter().map(|entry| entry.contact)
    }

    /// The nodes of a bucket, each with how many requests it has left unanswered in a row.
    pub fn bucket_with_failures(&self, index: usize) -> impl Iterator<Item = (C, u8)> {
        let entries = self.entries[self.range(index)].iter();
        entries.map(|entry| (entry.contact, entry.stamp.failures()))
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = C> {
        self.entries.iter().map(|entry| entry.contact)
    }

    /// Nodes that answered the last request.
    pub fn good(&self) -> impl Iterator<Item = C> {
        self.entries.iter().filter(|entry| entry.stamp.failures() == 0).map(|entry| entry.contact)
    }

    /// Nodes that wait for a place in a bucket.
    pub fn waiting(&self) -> impl Iterator<Item = C> {
        self.spares.iter().map(|spare| spare.contact)
    }

    /// The bucket in which a key belongs.
    #[must_use]
    pub fn index(&self, key: &Key) -> usize {
        self.shared(key).min(self.depth() - 1)
    }

    /// How many bits a key shares with us.
    fn shared(&self, key: &Key) -> usize {
        self.own.xor(key).leading_zeros() as usize
    }

    /// Takes note that `contact` answered.
    pub(super) fn answered(&mut self, contact: C, now: Seconds, config: &Config<C>) -> Answered<C> {
        let shared = self.shared(&contact.key());
        if shared == 160 {
            return Answered::Waits(None);
        }
        let range = self.range(shared.min(self.depth() - 1));
        if let Some(at) = self.entries[range.clone()].iter().position(|e| e.contact == contact) {
            // Its id may have changed within the bucket.
            let entry = &mut self.entries[range.start + at];
            self.failing -= u16::from(entry.stamp.failures() > 0);
            *entry = Entry { contact, stamp: Stamp::answered(now) };
            self.entries[range.start + at..range.end].rotate_left(1);
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
        let entry = Entry { contact, stamp: Stamp::answered(now) };
        loop {
            let index = shared.min(self.depth() - 1);
            let range = self.range(index);
            if !self.has_room_in_subnet(index, &contact, config) {
                return Answered::Waits(None);
            }
            if range.len() < config.k {
                // Elsewhere under an id that it has given up, which may leave more room.
                if !C::IS_KEY_FIXED && self.remove(&contact) {
                    continue;
                }
                self.stop_waiting(&contact, index);
                self.reserve(config.k);
                self.entries.insert(range.end, entry);
                self.ends[index..self.depth.into()].iter_mut().for_each(|end| *end += 1);
                return Answered::Inserted;
            }
            if self.splits(index) {
                self.split();
                continue;
            }
            let bucket = &self.entries[range.clone()];
            // One that failed is replaced at once, and one that has no right to its id.
            let replaced = bucket.iter().position(|e| e.stamp.failures() > 0).or_else(|| {
                let verified = config.verified.filter(|verified| verified(&contact))?;
                bucket.iter().position(|entry| !verified(&entry.contact))
            });
            if let Some(at) = replaced {
                self.remove_at(range.start + at, index);
                continue;
            }
            let oldest = bucket[0];
            self.wait(contact, shared, true, config);
            let stale = u64::from(now.saturating_sub(oldest.stamp.at()));
            let stale = stale >= config.questionable.as_secs();
            return Answered::Waits(stale.then_some(oldest.contact));
        }
    }

    /// Takes note that `contact` asked something; whether to ping it because there is room for
    /// it. Else it waits, if there is room for that: by asking nobody pushes others aside.
    pub(super) fn heard(&mut self, contact: C, config: &Config<C>) -> bool {
        let shared = self.shared(&contact.key());
        let index = shared.min(self.depth() - 1);
        let range = self.range(index);
        let is_full = range.len() >= config.k && !self.splits(index);
        let waiting = usize::from(self.waiting[index]);
        if shared == 160 || is_full && waiting >= config.replacements {
            return false;
        }
        if self.entries[range].iter().any(|entry| entry.contact == contact) {
            return false;
        }
        if is_full {
            self.wait(contact, shared, false, config);
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
        if let Some(at) = self.entries[range.clone()].iter().position(|e| e.contact == *contact) {
            let stamp = &mut self.entries[range.start + at].stamp;
            self.failing += u16::from(stamp.failures() == 0);
            *stamp = stamp.failed();
            let enough = match self.waiting[index] {
                0 => FAILURES_MAX,
                _ => config.failures_max.min(FAILURES_MAX),
            };
            if stamp.failures() >= enough {
                self.remove_at(range.start + at, index);
            }
        }
        let range = self.range(index);
        let mut bucket = self.entries[range.clone()].iter();
        let has_room = range.len() < config.k || bucket.any(|entry| entry.stamp.failures() > 0);
        if has_room { self.waits_for(index) } else { None }
    }

    /// Nodes that left the last request unanswered.
    pub(super) fn failing(&self) -> impl Iterator<Item = C> {
        let failing = self.entries.iter().filter(|entry| entry.stamp.failures() > 0);
        failing.map(|entry| entry.contact).take(self.failing.into())
    }

    /// How many they are.
    pub(super) fn failing_count(&self) -> usize {
        self.failing.into()
    }

    /// A node that may lose its place, though no request to it has failed: one that has not
    /// answered since `before`, in a bucket for which others wait.
    pub(super) fn questionable(&self, before: Seconds) -> impl Iterator<Item = C> {
        (0..self.depth()).filter_map(move |index| {
            let oldest = self.entries[self.range(index)].first()?;
            let is_old = self.waiting[index] > 0 && oldest.stamp.at() < before;
            is_old.then_some(oldest.contact)
        })
    }

    /// The node that has waited shortest for a place in a bucket; it waits no more.
    fn waits_for(&mut self, index: usize) -> Option<C> {
        if self.waiting[index] == 0 {
            return None;
        }
        let last = self.depth() - 1;
        let in_bucket = |spare: &Spare<C>| usize::from(spare.shared).min(last) == index;
        let spare = self.spares.iter().rposition(in_bucket)?;
        self.waiting[index] -= 1;
        Some(self.spares.remove(spare).contact)
    }

    fn stop_waiting(&mut self, contact: &C, index: usize) {
        if self.waiting[index] > 0
            && let Some(at) = self.spares.iter().position(|spare| spare.contact == *contact)
        {
            let shared = usize::from(self.spares.remove(at).shared);
            let index = shared.min(self.depth() - 1);
            self.waiting[index] -= 1;
        }
    }

    /// Whether a bucket makes room by splitting.
    fn splits(&self, index: usize) -> bool {
        index + 1 == self.depth() && index + 1 < BUCKETS_MAX
    }

    /// Drops a node, whatever it is called by now; whether it was there.
    pub(super) fn remove(&mut self, contact: &C) -> bool {
        let at = self.entries.iter().position(|entry| entry.contact == *contact);
        if let Some(at) = at {
            let index = self.ends[..self.depth()].partition_point(|end| usize::from(*end) <= at);
            self.remove_at(at, index);
        }
        at.is_some()
    }

    /// Appends to `out` the `count` nodes closest to `target` that answered the last request, in
    /// no order, `except` left out.
    pub(super) fn closest(&self, target: &Key, count: usize, except: Option<&C>, out: &mut Vec<C>) {
        let distance = self.own.xor(target);
        let end = out.len() + count;
        let last = self.depth() - 1;
        let bit = |index: usize| distance.0[index / 8] >> (7 - index % 8) & 1 == 1;
        // Nodes of a bucket differ from us first in the bucket's bit. Where the target does too,
        // they are closer to it than all nodes of buckets beyond, and else farther.
        let first = (distance.leading_zeros() as usize).min(last);
        let towards = (first..last).filter(|&index| bit(index));
        let away = (0..last).rev().filter(|&index| !bit(index));
        for index in towards.chain([last]).chain(away) {
            let bucket = &self.entries[self.range(index)];
            let good = bucket.iter().filter(|entry| {
                entry.stamp.failures() == 0 && except.is_none_or(|except| *except != entry.contact)
            });
            let good = good.map(|entry| entry.contact);
            let room = end - out.len();
            if bucket.len() <= room {
                out.extend(good);
            } else {
                extend_by_closest(target, good, room, out);
            }
            if out.len() == end {
                return;
            }
        }
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

    /// How many known nodes are closer to `key` than we are, counted up to `limit`.
    pub(super) fn closer(&self, key: &Key, limit: usize) -> usize {
        let ours = self.own.xor(key);
        self.good().filter(|node| key.xor(&node.key()) < ours).take(limit).count()
    }

    /// Names the memory that [`closest`](Self::closest) reads first.
    pub(super) fn foresee_closest(&self, target: &Key, near: &mut impl Near) {
        near.bring(&self.entries[self.range(self.index(target))]);
    }

    /// Names the memory that [`heard`](Self::heard) reads.
    pub(super) fn foresee_heard(&self, contact: &C, config: &Config<C>, near: &mut impl Near) {
        let index = self.index(&contact.key());
        let range = self.range(index);
        if range.len() < config.k || usize::from(self.waiting[index]) < config.replacements {
            near.bring(&self.entries[range]);
            near.bring(&self.spares);
        }
    }

    /// Names the memory that [`answered`](Self::answered) reads.
    pub(super) fn foresee_answered(&self, contact: &C, near: &mut impl Near) {
        near.bring(&self.entries[self.range(self.index(&contact.key()))]);
        near.bring(&self.spares);
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<C>>()
            + self.spares.capacity() * size_of::<Spare<C>>()
    }

    fn range(&self, index: usize) -> core::ops::Range<usize> {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before].into());
        start..self.ends[index].into()
    }

    fn remove_at(&mut self, at: usize, index: usize) {
        let entry = self.entries.remove(at);
        self.failing -= u16::from(entry.stamp.failures() > 0);
        self.ends[index..self.depth.into()].iter_mut().for_each(|end| *end -= 1);
    }

    fn has_room_in_subnet(&self, index: usize, contact: &C, config: &Config<C>) -> bool {
        let Some(subnet) = (config.subnet)(contact) else { return true };
        let same = |entry: &&Entry<C>| (config.subnet)(&entry.contact) == Some(subnet);
        let bucket = &self.entries[self.range(index)];
        bucket.iter().filter(same).take(config.subnet_in_bucket).count() < config.subnet_in_bucket
    }

    /// Splits the bucket around us in two; the order of answers stays.
    fn split(&mut self) {
        let index = self.depth() - 1;
        let range = self.range(index);
        let own = self.own;
        let entries = &mut self.entries[range.clone()];
        let far =
            |entry: &Entry<C>| own.xor(&entry.contact.key()).leading_zeros() as usize == index;
        entries.sort_by_key(|entry| !far(entry));
        let count = entries.iter().filter(|entry| far(entry)).count();
        (self.ends[index + 1], self.due[index + 1]) = (self.ends[index], self.due[index]);
        // At most k entries in each bucket.
        self.ends[index] = (range.start + count) as u16;
        self.depth += 1;
    }

    /// Lets `contact` wait for a place in its bucket; if as many wait as may, in place of the one
    /// that waits longest, should it be `preferred`.
    fn wait(&mut self, contact: C, shared: usize, preferred: bool, config: &Config<C>) {
        let last = self.depth() - 1;
        let index = shared.min(last);
        let mut oldest = None;
        for (at, spare) in self.spares.iter().enumerate() {
            if spare.contact == contact {
                return;
            }
            if usize::from(spare.shared).min(last) == index {
                oldest = oldest.or(Some(at));
            }
        }
        if usize::from(self.waiting[index]) >= config.replacements.min(255) {
            match oldest {
                Some(oldest) if preferred => drop(self.spares.remove(oldest)),
                _ => return,
            }
        } else {
            self.waiting[index] += 1;
        }
        if self.spares.len() == self.spares.capacity() {
            self.spares.reserve_exact(SPARES_STEP);
        }
        // At most 160 bits.
        self.spares.push(Spare { contact, shared: shared as u8 });
    }

    /// Grows by half a bucket: doubling would waste most of a million nodes' memory.
    fn reserve(&mut self, k: usize) {
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact((k / 2).max(1));
        }
    }
}

/// Appends to `out` those of `nodes` that are closest to `target`, up to `room` of them.
fn extend_by_closest<C: Contact>(
    target: &Key,
    nodes: impl Iterator<Item = C>,
    room: usize,
    out: &mut Vec<C>,
) {
    let distance = |node: C| ((target.xor(&node.key()).front() >> 64) as u64, node);
    let mut nodes: Vec<(u64, C)> = nodes.map(distance).collect();
    if nodes.len() > room {
        nodes.select_nth_unstable_by_key(room, |(distance, _)| *distance);
        nodes.truncate(room);
    }
    out.extend(nodes.iter().map(|(_, node)| *node));
}

#[cfg(test)]
mod tests;
