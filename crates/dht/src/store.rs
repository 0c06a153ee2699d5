//! Values by key, each until its time is over: bounded soft state. Not here: who may store what,
//! and where copies go.

use alloc::collections::BTreeMap;
use core::ops::Bound;

use machine::Instant;
use machine::dht::Key;

/// A store is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store holds {0} values, as many as it may")]
pub struct Full(pub usize);

/// A value and when it expires.
#[derive(Clone, Debug)]
struct Entry<V> {
    value: V,
    expires: Instant,
}

/// Values in the order of their keys. Expired ones are not seen, and make room when it is needed
/// or when they are come across by [`Store::purge`].
#[derive(Clone, Debug)]
pub struct Store<V> {
    entries: BTreeMap<Key, Entry<V>>,
    limit: usize,
}

impl<V> Store<V> {
    /// An empty store for `limit` values.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { entries: BTreeMap::new(), limit }
    }

    /// How many values there are, expired ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Stores `value` under `key`, in place of what was there.
    ///
    /// # Errors
    /// If the key is new and the limit is reached by values that have not expired.
    pub fn insert(
        &mut self,
        key: Key,
        value: V,
        expires: Instant,
        now: Instant,
    ) -> Result<(), Full> {
        if self.entries.len() >= self.limit && !self.entries.contains_key(&key) {
            self.purge(now);
            if self.entries.len() >= self.limit {
                return Err(Full(self.limit));
            }
        }
        self.entries.insert(key, Entry { value, expires });
        Ok(())
    }

    /// The value under `key`, and when it expires.
    #[must_use]
    pub fn get(&self, key: &Key, now: Instant) -> Option<(&V, Instant)> {
        let entry = self.entries.get(key).filter(|entry| entry.expires > now)?;
        Some((&entry.value, entry.expires))
    }

    /// The value under `key`, to be changed.
    pub fn get_mut(&mut self, key: &Key, now: Instant) -> Option<&mut V> {
        let entry = self.entries.get_mut(key).filter(|entry| entry.expires > now)?;
        Some(&mut entry.value)
    }

    /// Takes out the value under `key`.
    pub fn remove(&mut self, key: &Key) -> Option<V> {
        Some(self.entries.remove(key)?.value)
    }

    /// Drops what has expired.
    pub fn purge(&mut self, now: Instant) {
        self.entries.retain(|_, entry| entry.expires > now);
    }

    /// Values with their keys in order, from the first key after `after`, or from the first of all.
    pub fn iter_after(
        &self,
        after: Option<Key>,
        now: Instant,
    ) -> impl Iterator<Item = (Key, &V, Instant)> {
        self.iter_within(after.map_or(Bound::Unbounded, Bound::Excluded), now)
    }

    /// Values with their keys in order, from `first` on.
    pub fn iter_from(&self, first: &Key, now: Instant) -> impl Iterator<Item = (Key, &V, Instant)> {
        self.iter_within(Bound::Included(*first), now)
    }

    fn iter_within(
        &self,
        start: Bound<Key>,
        now: Instant,
    ) -> impl Iterator<Item = (Key, &V, Instant)> {
        self.entries
            .range((start, Bound::Unbounded))
            .filter(move |(_, entry)| entry.expires > now)
            .map(|(&key, entry)| (key, &entry.value, entry.expires))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn values_end_with_their_time_and_make_room() {
        let mut store = Store::new(2);
        let key = |n| Key::new(n, 0);
        assert_eq!(store.insert(key(1), 'a', at(5), at(0)), Ok(()));
        assert_eq!(store.insert(key(2), 'b', at(9), at(0)), Ok(()));
        assert_eq!(store.insert(key(3), 'c', at(9), at(4)), Err(Full(2)));
        assert_eq!(store.insert(key(2), 'd', at(8), at(4)), Ok(()), "a known key needs no room");
        assert_eq!(store.get(&key(1), at(4)), Some((&'a', at(5))));
        assert_eq!(store.get(&key(1), at(5)), None);
        assert_eq!(store.insert(key(3), 'c', at(9), at(5)), Ok(()));
        let rest: Vec<_> = store.iter_after(None, at(5)).collect();
        assert_eq!(rest, [(key(2), &'d', at(8)), (key(3), &'c', at(9))]);
        assert_eq!(store.iter_after(Some(key(2)), at(8)).count(), 1);
        assert_eq!(store.iter_from(&key(2), at(5)).count(), 2);
        assert_eq!(store.remove(&key(3)), Some('c'));
        store.purge(at(8));
        assert!(store.is_empty() && store.get_mut(&key(2), at(0)).is_none());
    }
}
