//! Items that others left with us (STORE; BEP 44), and those that we published.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use machine::dht::{Contact, Key};

use super::config::{Config, Naming};
use super::item::{Item, SALT_MAX, VALUE_MAX};
use super::message::Refusal;
use super::table::Seconds;

/// An item that is kept.
#[derive(Clone, Debug)]
pub(super) struct Stored<H> {
    pub(super) item: Item,
    /// Who left it.
    host: H,
    /// When its publisher stored it, as far as we know.
    pub(super) published: Seconds,
    /// When somebody stored it here last.
    pub(super) stored: Seconds,
    /// When it is forgotten.
    pub(super) expires: Seconds,
}

/// What is to be stored, by whom and for how long.
pub(super) struct Offer<H> {
    pub(super) target: Key,
    pub(super) item: Item,
    pub(super) cas: Option<i64>,
    pub(super) host: H,
    pub(super) published: Seconds,
    pub(super) expires: Seconds,
}

/// Items by their distance from us.
#[derive(Clone, Debug)]
pub(super) struct ItemStore<H> {
    own: Key,
    items: BTreeMap<Key, Stored<H>>,
    /// Items left by each host.
    hosts: BTreeMap<H, usize>,
}

impl<H: Copy + Ord> ItemStore<H> {
    pub(super) fn new(own: Key) -> Self {
        Self { own, items: BTreeMap::new(), hosts: BTreeMap::new() }
    }

    pub(super) fn get(&self, target: &Key) -> Option<&Stored<H>> {
        self.items.get(&self.own.xor(target))
    }

    /// All items with their keys, those closest to us first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Stored<H>)> {
        self.items.iter().map(|(distance, stored)| (self.own.xor(distance), stored))
    }

    /// Sorts the items by their distance from another place.
    pub(super) fn see_from(&mut self, own: Key) {
        let items = core::mem::take(&mut self.items);
        let before = core::mem::replace(&mut self.own, own);
        let seen = |(distance, stored)| (own.xor(&before.xor(&distance)), stored);
        self.items = items.into_iter().map(seen).collect();
    }

    /// Marks an item as stored now, so that nobody else stores it again soon.
    pub(super) fn mark(&mut self, target: &Key, now: Seconds) {
        if let Some(stored) = self.items.get_mut(&self.own.xor(target)) {
            stored.stored = now;
        }
    }

    pub(super) fn put<C: Contact<Host = H>>(
        &mut self,
        offer: Offer<H>,
        now: Seconds,
        config: &Config<C>,
    ) -> Result<(), Refusal> {
        let Offer { target, item, cas, host, published, expires } = offer;
        judge(&item, config)?;
        let distance = self.own.xor(&target);
        let old = self.items.get_mut(&distance);
        if let Some(old) = old {
            if let (Some(current), Some(seq)) = (old.item.seq(), item.seq()) {
                if cas.is_some_and(|cas| cas != current) {
                    return Err(Refusal::Cas);
                }
                if seq < current || seq == current && old.item.value() != item.value() {
                    return Err(Refusal::Seq);
                }
            }
            old.item = item;
            old.published = old.published.max(published);
            old.expires = old.expires.max(expires);
            old.stored = now;
            return Ok(());
        }
        if self.hosts.get(&host).is_some_and(|count| *count >= config.items_per_host) {
            return Err(Refusal::Server);
        }
        if self.items.len() >= config.items_max {
            let farthest = self.items.last_key_value().map(|(distance, _)| *distance);
            match farthest {
                Some(farthest) if farthest > distance => self.forget(&farthest),
                _ => return Err(Refusal::Server),
            }
        }
        *self.hosts.entry(host).or_default() += 1;
        self.items.insert(distance, Stored { item, host, published, stored: now, expires });
        Ok(())
    }

    pub(super) fn expire(&mut self, now: Seconds) {
        let gone = self.items.iter().filter(|(_, stored)| stored.expires <= now);
        let gone: Vec<Key> = gone.map(|(distance, _)| *distance).collect();
        gone.iter().for_each(|distance| self.forget(distance));
    }

    fn forget(&mut self, distance: &Key) {
        if let Some(stored) = self.items.remove(distance)
            && let Some(count) = self.hosts.get_mut(&stored.host)
        {
            *count -= 1;
            if *count == 0 {
                self.hosts.remove(&stored.host);
            }
        }
    }
}

/// Whether an item may be stored at all, by anyone.
pub(super) fn judge<C>(item: &Item, config: &Config<C>) -> Result<(), Refusal> {
    if config.naming == Naming::Free {
        return Ok(());
    }
    if item.value().len() > VALUE_MAX {
        return Err(Refusal::TooBig);
    }
    let Item::Mutable(item) = item else { return Ok(()) };
    if item.salt.len() > SALT_MAX {
        Err(Refusal::Salt)
    } else if item.seq < 0 {
        Err(Refusal::Protocol)
    } else if !(config.signed)(item) {
        Err(Refusal::Signature)
    } else {
        Ok(())
    }
}
