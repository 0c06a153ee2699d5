//! Contacts by the prefix that they share with a node and the digit after it, in each slot the
//! nearest first.

use alloc::vec::Vec;

use machine::dht::Contact;

use super::Base;

/// The round trip of a contact that has not been measured, in microseconds.
pub const UNMEASURED: u32 = u32::MAX;

/// A contact in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<C> {
    /// Who.
    pub contact: C,
    /// How long an answer took, in microseconds; [`UNMEASURED`] if none has come yet.
    pub rtt: u32,
    slot: u16,
}

/// The table of one node. Only filled slots take room.
#[derive(Clone, Debug)]
pub struct Table<C> {
    /// By slot, and in a slot by round trip.
    entries: Vec<Entry<C>>,
    base: Base,
}

impl<C: Contact> Table<C> {
    /// An empty table for digits of `base`.
    #[must_use]
    pub const fn new(base: Base) -> Self {
        Self { entries: Vec::new(), base }
    }

    /// Where `contact` belongs in the table of `me`; `None` for itself.
    #[must_use]
    pub fn place(&self, me: C, contact: C) -> Option<(usize, usize)> {
        let (mine, other) = (me.key(), contact.key());
        let level = self.base.shared(&mine, &other);
        (level < self.base.levels()).then(|| (level, self.base.digit(&other, level)))
    }

    const fn slot_of(&self, level: usize, digit: usize) -> u16 {
        // Short most 128 levels of 2 digits, or 16 of 256.
        (level * self.base.width() + digit) as u16
    }

    /// Takes `contact` in, or what was measured of it, unless its slot has `limit` nearer ones.
    /// Whether it is there now and was not before.
    pub fn offer(&mut self, me: C, contact: C, rtt: u32, limit: usize) -> bool {
        let Some((level, digit)) = self.place(me, contact) else { return false };
        let slot = self.slot_of(level, digit);
        let begin = self.entries.partition_point(|it| it.slot < slot);
        let same = self.entries[begin..].iter().take_while(|it| it.slot == slot);
        let at = same.clone().position(|it| it.contact == contact);
        let mut end = begin + same.count();
        let known = at.map(|at| self.entries.remove(begin + at));
        end -= usize::from(known.is_some());
        let rtt = match &known {
            Some(known) if rtt == UNMEASURED => known.rtt,
            _ => rtt,
        };
        let at = begin + self.entries[begin..end].partition_point(|it| it.rtt <= rtt);
        if at - begin >= limit.max(1) {
            return false;
        }
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(1 + self.entries.len() / 8);
        }
        self.entries.insert(at, Entry { contact, rtt, slot });
        if end - begin + 1 > limit.max(1) {
            self.entries.remove(end);
        }
        known.is_none()
    }

    /// Appends an entry that comes after all others, in a table that is made at once.
    pub(crate) fn push(&mut self, level: usize, digit: usize, contact: C, rtt: u32) {
        let slot = self.slot_of(level, digit);
        self.entries.push(Entry { contact, rtt, slot });
    }

    /// Gives back room that is not needed.
    pub(crate) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
    }

    /// Takes `contact` out; whether it was there.
    pub fn remove(&mut self, contact: C) -> bool {
        let before = self.entries.len();
        self.entries.retain(|it| it.contact != contact);
        self.entries.len() < before
    }

    /// Whether it is there, in the table of `me`.
    #[must_use]
    pub fn contains(&self, me: C, contact: C) -> bool {
        self.place(me, contact).is_some_and(|(level, digit)| {
            self.slot(level, digit).iter().any(|it| it.contact == contact)
        })
    }

    /// Those who share `level` digits and have `digit` next, the nearest first.
    #[must_use]
    pub fn slot(&self, level: usize, digit: usize) -> &[Entry<C>] {
        let slot = self.slot_of(level, digit);
        let begin = self.entries.partition_point(|it| it.slot < slot);
        let rest = &self.entries[begin..];
        &rest[..rest.iter().take_while(|it| it.slot == slot).count()]
    }

    /// Those who share exactly `level` digits.
    #[must_use]
    pub fn level(&self, level: usize) -> &[Entry<C>] {
        self.from_level(level, level + 1)
    }

    /// Those who share at least `from` and fewer than `to` digits.
    #[must_use]
    pub fn from_level(&self, from: usize, to: usize) -> &[Entry<C>] {
        let begin = self.entries.partition_point(|it| it.slot < self.slot_of(from, 0));
        let end = self.entries.partition_point(|it| it.slot < self.slot_of(to, 0));
        self.entries.get(begin..end).unwrap_or_default()
    }

    /// Which level an entry is on.
    #[must_use]
    pub const fn level_of(&self, entry: &Entry<C>) -> usize {
        entry.slot as usize / self.base.width()
    }

    /// Which digit follows the shared ones at an entry.
    #[must_use]
    pub const fn digit_of(&self, entry: &Entry<C>) -> usize {
        entry.slot as usize % self.base.width()
    }

    /// The digits that its keys have.
    #[must_use]
    pub const fn base(&self) -> Base {
        self.base
    }

    /// Everybody in it, those with the shortest shared prefix first.
    #[must_use]
    pub fn entries(&self) -> &[Entry<C>] {
        &self.entries
    }

    /// Bytes on the heap.
    #[must_use]
    pub const fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<C>>()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::testing::Short;

    fn contacts(entries: &[Entry<Short>]) -> Vec<u16> {
        entries.iter().map(|entry| entry.contact.0).collect()
    }

    #[test]
    fn slots_keep_the_nearest() {
        let me = Short(0x1234);
        let mut table = Table::new(Base::new(4));
        assert!(!table.offer(me, me, 1, 2), "nobody is in its own table");
        assert!(table.offer(me, Short(0x1299), 50, 2));
        assert!(table.offer(me, Short(0x1298), UNMEASURED, 2));
        assert!(table.offer(me, Short(0x2000), 7, 2));
        assert_eq!(contacts(table.slot(2, 9)), [0x1299, 0x1298]);
        assert!(!table.offer(me, Short(0x1299), 60, 2), "known already");
        assert!(table.offer(me, Short(0x1297), 55, 2), "the one that nobody measured goes");
        assert!(!table.offer(me, Short(0x1296), 99, 2), "too far");
        assert_eq!(contacts(table.slot(2, 9)), [0x1297, 0x1299]);
        assert_eq!(contacts(table.level(0)), [0x2000]);
        assert_eq!(contacts(table.from_level(1, 32)), [0x1297, 0x1299]);
        assert_eq!(table.level_of(&table.entries()[1]), 2);
        assert_eq!(table.digit_of(&table.entries()[1]), 9);
        assert!(table.contains(me, Short(0x2000)) && !table.contains(me, Short(0x2001)));
        assert!(table.remove(Short(0x2000)) && !table.remove(Short(0x2000)));
        assert_eq!(contacts(table.entries()), vec![0x1297, 0x1299]);
    }
}
