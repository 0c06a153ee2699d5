//! Pointers to objects: who holds which key, as its holders publish it (section IV-B), and the way
//! that a publication takes.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use machine::dht::{Contact, Key};
use machine::{Cx, Instant};

use super::Tapestry;
use super::config::Fault;
use super::message::{PointerAsk, Pointing};
use super::topology::{spare, surrogate};
use crate::overlay::LIST_MAX;
use crate::prefix::{Ask, Said};

/// Most keys that a node has pointers of.
pub const POINTERS_MAX: usize = 65_536;
/// Most holders of one key that it knows.
pub const HOLDERS_MAX: usize = LIST_MAX;
/// How many keys may change their way at once when a node is taken in.
const MOVED_MAX: usize = 256;

/// Who holds a key.
#[derive(Clone, Copy, Debug)]
struct Pointer<C> {
    holder: C,
    expires: Instant,
    /// Digits resolved here on the way from the holder.
    level: u8,
}

/// What a node knows of objects.
#[derive(Clone, Debug)]
pub(super) struct Pointers<C> {
    by_key: BTreeMap<Key, Vec<Pointer<C>>>,
    /// The last moment that was seen: what tables answer, they answer without a clock.
    now: Instant,
}

impl<C: Contact> Pointers<C> {
    pub(super) const fn new() -> Self {
        Self { by_key: BTreeMap::new(), now: Instant::ZERO }
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let each = |of: &Vec<Pointer<C>>| of.capacity() * size_of::<Pointer<C>>();
        self.by_key.values().map(|of| each(of) + size_of::<(Key, Vec<Pointer<C>>)>()).sum()
    }

    /// Notes the time.
    pub(super) const fn look(&mut self, now: Instant) {
        self.now = now;
    }

    /// Who holds `key`, in an order that all agree on.
    pub(super) fn holders(&self, key: &Key) -> Vec<C> {
        let of = self.by_key.get(key).map(Vec::as_slice).unwrap_or_default();
        of.iter().filter(|it| it.expires > self.now).map(|it| it.holder).collect()
    }

    fn store(&mut self, key: Key, pointer: Pointer<C>) {
        if self.by_key.len() >= POINTERS_MAX && !self.by_key.contains_key(&key) {
            self.purge();
            if self.by_key.len() >= POINTERS_MAX {
                return;
            }
        }
        let now = self.now;
        let of = self.by_key.entry(key).or_default();
        of.retain(|it| it.expires > now && it.holder != pointer.holder);
        if of.len() < HOLDERS_MAX {
            let at = of.partition_point(|it| it.holder < pointer.holder);
            of.insert(at, pointer);
        }
    }

    /// Drops what has expired.
    pub(super) fn purge(&mut self) {
        let now = self.now;
        self.retain(|it| it.expires > now);
    }

    /// Forgets what `holder` held.
    pub(super) fn forget(&mut self, holder: C) {
        self.retain(|it| it.holder != holder);
    }

    fn retain(&mut self, keeps: impl Fn(&Pointer<C>) -> bool) {
        self.by_key.retain(|_, of| {
            of.retain(&keeps);
            !of.is_empty()
        });
    }
}

/// How long a pointer lives: as long as three rounds of publishing take.
fn life<C: Contact>(node: &Tapestry<C>) -> u16 {
    let config = node.config();
    let rounds = node.keys().count().div_ceil(config.publish_keys.max(1)) as u64;
    let (_, pace) = config.rules.tick.unwrap_or_default();
    let seconds = (3 * rounds * pace.as_millis() as u64 / 1_000).max(config.pointer_life.as_secs());
    u16::try_from(seconds).unwrap_or(u16::MAX)
}

/// Publishes the next values that are held here.
pub(super) fn publish_some<C: Contact>(node: &mut Tapestry<C>, cx: &mut Cx<'_, Tapestry<C>>) {
    let (count, cursor) = (node.config().publish_keys.max(1), node.topology().cursor);
    let is_next = |key: &Key| cursor.is_none_or(|last| *key > last);
    let keys: Vec<Key> = node.keys().filter(is_next).take(count).collect();
    node.topology.cursor = keys.last().filter(|_| keys.len() == count).copied();
    for key in keys {
        publish(node, key, cx);
    }
}

/// Publishes that `key` is held here.
pub(super) fn publish<C: Contact>(node: &mut Tapestry<C>, key: Key, cx: &mut Cx<'_, Tapestry<C>>) {
    let (me, seconds) = (node.me(), life(node));
    pass_on(node, key, me, 0, seconds, cx);
}

/// Remembers that `holder` has `key`, and tells the next one on the way to its root.
pub(super) fn pass_on<C: Contact>(
    node: &mut Tapestry<C>,
    key: Key,
    holder: C,
    here: u8,
    seconds: u16,
    cx: &mut Cx<'_, Tapestry<C>>,
) {
    let expires = cx.now() + Duration::from_secs(seconds.into());
    node.topology.pointers.look(cx.now());
    node.topology.pointers.store(key, Pointer { holder, expires, level: here });
    if let Some((level, ways)) = surrogate(node, &key, here, None)
        && let Some(&next) = ways.first()
    {
        let ask = PointerAsk::Publish { key, holder, here, level, seconds };
        return node.ask_own(next, Ask::Own(ask), cx);
    }
    let holders = node.topology().pointers.holders(&key);
    let spare = spare(node, &holders);
    if holder == node.me() {
        return published(node, key, &holders, &spare, cx.now());
    }
    let said = Pointing::Published { key, holders: holders.into(), spare: spare.into() };
    node.say(holder, Said::Own(said), cx);
}

/// The root has said who holds `key`: the first of them sees to it that there are enough. The root
/// speaks to few of those whom it names and may be the last to hear that one is dead; whoever finds
/// one silent passes it over.
pub(super) fn published<C: Contact>(
    node: &mut Tapestry<C>,
    key: Key,
    holders: &[C],
    spare: &[C],
    now: Instant,
) {
    let (me, replicas) = (node.me(), node.rules().replicas());
    let core = &node.topology().core;
    let trusts_all = node.config().has(Fault::BelievesRoots);
    let trusts = |who: &&C| **who == me || trusts_all || !core.is_suspect(**who, now);
    if holders.iter().find(trusts) != Some(&me) || node.number(&key, now) == 0 {
        node.topology.charge.remove(&key);
        return;
    }
    let all = holders.iter().chain(spare).filter(trusts).copied();
    let others = all.take(replicas).filter(|&other| other != me).collect();
    node.topology.charge.insert(key, others);
}

/// `who` has been taken in: keys whose way leads over it now are published to it.
pub(super) fn redirect<C: Contact>(node: &mut Tapestry<C>, who: C, cx: &mut Cx<'_, Tapestry<C>>) {
    let now = cx.now();
    let by_key = node.topology().pointers.by_key.iter();
    let all = by_key.flat_map(|(key, of)| of.iter().map(|it| (*key, *it)));
    let moved: Vec<(Key, Pointer<C>, u8)> = all
        .filter(|(_, it)| it.expires > now && it.holder != who)
        .filter_map(|(key, it)| {
            let (level, ways) = surrogate(node, &key, it.level, None)?;
            (ways.first() == Some(&who)).then_some((key, it, level))
        })
        .take(MOVED_MAX)
        .collect();
    for (key, Pointer { holder, expires, level: here }, level) in moved {
        let seconds = u16::try_from((expires - now).as_secs()).unwrap_or(u16::MAX);
        let ask = PointerAsk::Publish { key, holder, here, level, seconds };
        node.ask_own(who, Ask::Own(ask), cx);
    }
}
