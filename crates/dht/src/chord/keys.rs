//! What a node stores, and what it does with offers of more. A value is taken only from whom it was
//! asked of ([`Promises`]). Whom copies are offered to is in `repair`.

use alloc::boxed::Box;

use machine::dht::{Contact, Key, Value};
use machine::{Cx, Instant};

use super::Chord;
use super::message::{Message, Wanted};
use crate::held::{Compared, Held, Item, Kept, Version, wanted};
use crate::promises::Promises;
use crate::store::Store;

/// All that a node stores; it exists only while there is something.
pub(super) struct Keys<C> {
    pub(super) store: Store<Held>,
    promises: Promises<C>,
    /// The last key that was compared with other nodes.
    pub(super) cursor: Option<Key>,
    /// The last key that was offered to the new predecessor, while that goes on.
    pub(super) handing_over: Option<Option<Key>>,
}

impl<C: Contact> Keys<C> {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            store: Store::new(limit),
            promises: Promises::new(),
            cursor: None,
            handing_over: None,
        }
    }

    /// Whether nothing is lost with it.
    pub(super) fn is_empty(&self) -> bool {
        self.store.is_empty() && self.promises.is_empty()
    }

    /// Bytes on the heap, values not included.
    pub(super) fn heap_bytes(&self) -> usize {
        self.store.len() * (size_of::<Key>() + size_of::<Held>() + size_of::<Instant>())
            + self.promises.heap_bytes()
    }
}

impl<C: Contact> Chord<C> {
    /// Keys of the values that it stores, in order; expired ones may be among them.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.keys
            .iter()
            .flat_map(|keys| keys.store.iter_after(None, Instant::ZERO).map(|(key, ..)| key))
    }

    /// The value that it stores under `key`.
    #[must_use]
    pub fn value(&self, key: &Key) -> Option<&Value> {
        let (held, _) = self.keys.as_ref()?.store.get(key, Instant::ZERO)?;
        Some(&held.value)
    }

    pub(super) fn held(&self, key: &Key, now: Instant) -> Option<(&Held, Instant)> {
        self.keys.as_ref()?.store.get(key, now)
    }

    /// The number of the version that is held; 0 for none.
    pub(super) fn number(&self, key: &Key, now: Instant) -> u32 {
        self.keys.as_ref().map_or(0, |keys| keys.store.number(key, now))
    }

    /// What is held under `key`, to be sent.
    pub(super) fn item(&self, key: &Key, now: Instant) -> Option<Box<Item>> {
        self.keys.as_ref()?.store.item(key, now).map(Box::new)
    }

    /// Stores a value unless a newer one is there; whether it, or a newer one, is here now.
    pub(super) fn keep(&mut self, item: &Item, now: Instant) -> bool {
        let (limit, lifetime) = (self.config.values_max, self.config.lifetime);
        let keys = self.keys.get_or_insert_with(|| Box::new(Keys::new(limit)));
        keys.store.keep(item, lifetime, now) != Kept::Refused
    }

    /// `from` asks for the value under `key`.
    pub(super) fn on_get(&mut self, from: C, tag: u32, key: Key, cx: &mut Cx<'_, Self>) {
        let answer = match self.item(&key, cx.now()) {
            Some(item) => Message::Value { tag, item },
            None => Message::Absent { tag },
        };
        cx.send(from, answer);
    }

    /// `from` offers values: what is new is wanted. What is older than what is here is offered
    /// back.
    pub(super) fn on_offer(
        &mut self,
        from: C,
        tag: u32,
        put: bool,
        offered: &[(Key, Version)],
        cx: &mut Cx<'_, Self>,
    ) {
        let now = cx.now();
        let store = self.keys.as_mut().map(|keys| &mut keys.store);
        let Compared { bits, number, newer } = Compared::new(store, put, offered, now);
        let wanted = wanted(offered, bits);
        let mut token = 0;
        if !wanted.is_empty() {
            let limit = self.config.values_max;
            let keys = self.keys.get_or_insert_with(|| Box::new(Keys::new(limit)));
            token = keys.promises.promise(from, wanted, now, cx.rng());
        }
        cx.send(from, Message::Want { tag, wanted: Box::new(Wanted { bits, token, number }) });
        if !newer.is_empty() && self.has_room_for_others() {
            self.offer(from, newer, super::repair::Why::Repair, cx);
        }
    }

    /// `from` gives a value; it is taken if it was wanted of `from`.
    pub(super) fn on_give(
        &mut self,
        from: C,
        tag: u32,
        token: u32,
        item: &Item,
        cx: &mut Cx<'_, Self>,
    ) {
        let now = cx.now();
        let promised =
            self.keys.as_ref().is_some_and(|keys| keys.promises.holds(from, token, &item.key, now));
        if promised && self.keep(item, now) {
            cx.send(from, Message::Kept { tag });
            if let Some(leaving) = self.active.as_mut().and_then(|active| active.leaving.as_mut()) {
                // Its key may be among those that were handed over already.
                *leaving = None;
            }
            let before = self.predecessor;
            if self.config.replicas() == 1 && !self.owns(item.key) && before != Some(from) {
                // Whoever put it did not know of the new predecessor yet.
                self.hand_over(cx);
            }
        }
    }

    /// Frees the store if it holds nothing.
    pub(super) fn tidy_keys(&mut self, now: Instant) {
        if let Some(keys) = &mut self.keys {
            keys.promises.purge(now);
            if keys.is_empty() {
                self.keys = None;
            }
        }
    }
}
