//! What a node stores, and how copies come to where they belong: to those who should hold a value,
//! by whoever is to see to that, and to whoever is responsible, from holders whom nobody confirms.
//! Always by offer, want and give: a value is taken only from whom it was asked of ([`Promises`]).

use alloc::boxed::Box;
use alloc::vec::Vec;

use machine::dht::{Contact, Key, Report, Value};
use machine::{Cx, Instant, OpId};

use super::lookup::Purpose;
use super::message::Message;
use super::request::Kind;
use super::topology::{ContactOf, Topology};
use super::{Event, Overlay, Status};
use crate::held::{Compared, Held, Item, Kept, OFFER_MAX, Version, wanted};
use crate::promises::Promises;
use crate::store::Store;

/// Of how many keys in each round another place is looked at.
const ELSEWHERE: usize = 4;

/// All that a node stores; it exists only while there is something.
pub(super) struct Keys<C> {
    store: Store<Held>,
    promises: Promises<C>,
    /// The last key that was compared with other nodes.
    cursor: Option<Key>,
    /// Whether what is not this node's is brought away at once.
    hurried: bool,
}

impl<C: Contact> Keys<C> {
    fn new(limit: usize) -> Box<Self> {
        let (store, promises) = (Store::new(limit), Promises::new());
        Box::new(Self { store, promises, cursor: None, hurried: false })
    }

    /// Bytes on the heap, values not included.
    pub(super) fn heap_bytes(&self) -> usize {
        self.store.len() * (size_of::<Key>() + size_of::<Held>() + size_of::<Instant>())
            + self.promises.heap_bytes()
    }
}

/// Values that were offered.
pub(super) struct Offering {
    pub(super) keys: Vec<(Key, Version)>,
    /// Whether they are dropped once the receiver has them.
    drop: bool,
}

/// What is to be offered to whom.
type Offers<T> = Vec<(ContactOf<T>, Vec<(Key, Version)>)>;

/// A value that was given.
pub(super) struct Giving {
    /// What the receiver has to be repeated.
    pub(super) token: u32,
    pub(super) item: Item,
    drop: bool,
}

impl<T: Topology> Overlay<T> {
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
    pub(crate) fn number(&self, key: &Key, now: Instant) -> u32 {
        self.keys.as_ref().map_or(0, |keys| keys.store.number(key, now))
    }

    /// What is held under `key`, to be sent.
    pub(super) fn item(&self, key: &Key, now: Instant) -> Option<Item> {
        self.keys.as_ref()?.store.item(key, now)
    }

    /// Stores a value unless a newer one is there; whether it, or a newer one, is here now.
    pub(super) fn keep(&mut self, item: &Item, cx: &mut Cx<'_, Self>) -> bool {
        let (limit, lifetime) = (self.rules().values_max, self.rules().lifetime);
        let keys = self.keys.get_or_insert_with(|| Keys::new(limit));
        let kept = keys.store.keep(item, lifetime, cx.now());
        if kept == Kept::Taken {
            T::kept(self, &item.key, cx);
        }
        kept != Kept::Refused
    }

    /// `from` asks for the value under `key`.
    pub(super) fn on_get(&mut self, from: ContactOf<T>, tag: u32, key: Key, cx: &mut Cx<'_, Self>) {
        let answer = match self.item(&key, cx.now()) {
            Some(item) => Message::Value { tag, item: Box::new(item) },
            None => Message::Absent { tag },
        };
        cx.send(from, answer);
    }

    /// `from` offers values: what is new is wanted. What is older than what is here is offered
    /// back.
    pub(super) fn on_offer(
        &mut self,
        from: ContactOf<T>,
        tag: u32,
        put: bool,
        offered: &[(Key, Version)],
        cx: &mut Cx<'_, Self>,
    ) {
        let now = cx.now();
        let store = self.keys.as_mut().map(|keys| &mut keys.store);
        let Compared { bits, number, newer } = Compared::new(store, put, offered, now);
        let (wanted, limit) = (wanted(offered, bits), self.rules().values_max);
        let mut token = 0;
        if !wanted.is_empty() {
            let keys = self.keys.get_or_insert_with(|| Keys::new(limit));
            token = keys.promises.promise(from, wanted, now, cx.rng());
        }
        cx.send(from, Message::Want { tag, bits, token, number });
        if !newer.is_empty() && self.has_room_for_others() {
            self.offer(from, newer, false, cx);
        }
    }

    /// `from` gives a value; it is taken if it was wanted of `from`.
    pub(super) fn on_give(
        &mut self,
        from: ContactOf<T>,
        (tag, token): (u32, u32),
        item: &Item,
        cx: &mut Cx<'_, Self>,
    ) {
        let now = cx.now();
        let promised =
            self.keys.as_ref().is_some_and(|keys| keys.promises.holds(from, token, &item.key, now));
        if promised && self.keep(item, cx) {
            cx.send(from, Message::Kept { tag });
            if let Some(leaving) = self.active.as_mut().and_then(|active| active.leaving.as_mut()) {
                // Its key may be among those that were handed over already.
                *leaving = None;
            }
        }
    }

    /// Offers `keys` to `to`.
    fn offer(
        &mut self,
        to: ContactOf<T>,
        mut keys: Vec<(Key, Version)>,
        drop: bool,
        cx: &mut Cx<'_, Self>,
    ) {
        keys.truncate(OFFER_MAX);
        if !keys.is_empty() && self.has_room() {
            self.ask(to, Kind::Offer(Box::new(Offering { keys, drop })), cx);
        }
    }

    /// `from` wants some of what was offered.
    pub(super) fn on_want(
        &mut self,
        from: ContactOf<T>,
        offering: &Offering,
        (bits, token): (u32, u32),
        cx: &mut Cx<'_, Self>,
    ) {
        let now = cx.now();
        for (index, (key, version)) in offering.keys.iter().enumerate().take(OFFER_MAX) {
            if bits >> index & 1 == 1 {
                if let Some(item) = self.item(key, now) {
                    let giving = Giving { token, item, drop: offering.drop };
                    self.ask(from, Kind::Give(Box::new(giving)), cx);
                }
            } else {
                self.is_there(key, *version, offering.drop, now);
            }
        }
        self.move_on(cx);
    }

    /// Another node has what was given to it.
    pub(super) fn on_kept(&mut self, giving: &Giving, cx: &mut Cx<'_, Self>) {
        self.is_there(&giving.item.key, giving.item.version, giving.drop, cx.now());
        self.move_on(cx);
    }

    /// Another node holds this version of `key`.
    fn is_there(&mut self, key: &Key, version: Version, drop: bool, now: Instant) {
        let Some(keys) = &mut self.keys else { return };
        let Some(held) = keys.store.get_mut(key, now) else { return };
        held.confirmed = now;
        if drop && held.version <= version {
            keys.store.remove(key);
        }
    }

    pub(super) fn moving_timed_out(&mut self, cx: &mut Cx<'_, Self>) {
        self.move_on(cx);
    }

    /// Somebody else is responsible for some of what is here, from now on.
    pub(crate) fn hurry(&mut self) {
        if let Some(keys) = &mut self.keys {
            (keys.hurried, keys.cursor) = (true, None);
        }
    }

    /// Compares the next keys with those who should hold them, and brings one that nobody confirms
    /// to where it belongs.
    pub(super) fn repair(&mut self, cx: &mut Cx<'_, Self>) {
        let now = cx.now();
        let rules = self.rules();
        let (patience, never) = (rules.orphan_after, rules.never_repairs);
        let count = rules.repair_keys.clamp(1, OFFER_MAX);
        let Some(keys) = &mut self.keys else { return };
        let batch: Vec<_> = keys
            .store
            .iter_after(keys.cursor, now)
            .take(count)
            .map(|(key, held, _)| {
                let lost = keys.hurried || now - held.confirmed >= patience;
                (key, held.version, lost)
            })
            .collect();
        keys.cursor = batch.last().filter(|_| batch.len() == count).map(|&(key, ..)| key);
        if keys.cursor.is_none() {
            keys.store.purge(now);
            keys.promises.purge(now);
            keys.hurried = false;
            if keys.store.is_empty() && keys.promises.is_empty() {
                self.keys = None;
                return;
            }
        }
        if never {
            return;
        }
        let places = T::places(&self.config);
        let mut elsewhere = Vec::new();
        let mut offers = Offers::<T>::new();
        for (key, version, lost) in batch {
            match T::copies(self, &key) {
                Some(others) => {
                    if places.len() > 1 {
                        elsewhere.push(key);
                    }
                    for other in others {
                        match offers.iter_mut().find(|(to, _)| *to == other) {
                            Some((_, keys)) => keys.push((key, version)),
                            None => offers.push((other, Vec::from([(key, version)]))),
                        }
                    }
                }
                None if lost && self.has_room_for_others() => {
                    self.look_up(Purpose::Orphan, key, cx);
                }
                None => {}
            }
        }
        for (to, keys) in offers {
            if self.has_room_for_others() {
                self.offer(to, keys, false, cx);
            }
        }
        // Those who hold values in other places may have lost them: some of them are looked up.
        if elsewhere.len() > ELSEWHERE {
            cx.rng().shuffle(&mut elsewhere);
        }
        for key in elsewhere.into_iter().take(ELSEWHERE) {
            if self.has_room_for_others() {
                let place = places.start + cx.rng().below(places.len() as u64) as u8;
                self.look_up_from(place, Purpose::Elsewhere, key, cx);
            }
        }
    }

    /// Whoever holds `key` in another place is found: it is offered to them.
    pub(super) fn place_found(&mut self, key: Key, owners: &[ContactOf<T>], cx: &mut Cx<'_, Self>) {
        let Some((held, _)) = self.held(&key, cx.now()) else { return };
        let version = held.version;
        if let Some(&owner) = owners.first().filter(|&&owner| owner != self.me) {
            self.offer(owner, Vec::from([(key, version)]), false, cx);
        }
    }

    /// Whoever is responsible for a key that nobody confirmed is found: it is offered to them, and
    /// dropped if this node is none of those who should hold it.
    pub(super) fn orphan_placed(
        &mut self,
        key: Key,
        owners: &[ContactOf<T>],
        cx: &mut Cx<'_, Self>,
    ) {
        let Some((held, _)) = self.held(&key, cx.now()) else { return };
        let version = held.version;
        let holders = &owners[..owners.len().min(self.rules().replicas())];
        let drop = !holders.contains(&self.me);
        if let Some(&owner) = holders.iter().find(|&&owner| owner != self.me) {
            self.offer(owner, Vec::from([(key, version)]), drop, cx);
        }
    }

    /// The user wants to leave.
    pub(super) fn leave_now(&mut self, op: OpId, cx: &mut Cx<'_, Self>) {
        if self.status != Status::Member {
            self.fail_all(cx);
            self.forget_everything();
            return cx.answer(op, Event::Report(Report::Left));
        }
        if self.any(|request| matches!(request.kind, Kind::Leaving(_))) {
            return cx.answer(op, Event::Report(Report::Left));
        }
        self.ask(self.me, Kind::Leaving(op), cx);
        self.active.get_or_insert_default().leaving = Some(None);
        self.move_on(cx);
    }

    /// Hands over the next keys once the last ones are where they belong, if this node is leaving.
    fn move_on(&mut self, cx: &mut Cx<'_, Self>) {
        let Some(after) = self.active.as_ref().and_then(|active| active.leaving) else { return };
        if self.any(|request| request.kind.moves_keys()) {
            return;
        }
        let now = cx.now();
        let batch: Vec<_> = self
            .keys
            .iter()
            .flat_map(|keys| {
                keys.store
                    .iter_after(after, now)
                    .take(OFFER_MAX)
                    .map(|(key, held, _)| (key, held.version))
            })
            .collect();
        let Some(&(last, _)) = batch.last() else { return self.depart(None, cx) };
        if let Some(active) = &mut self.active {
            active.leaving = Some(Some(last));
        }
        let mut offers = Offers::<T>::new();
        for (key, version) in batch {
            for heir in T::heirs(self, &key) {
                match offers.iter_mut().find(|(to, _)| *to == heir) {
                    Some((_, keys)) => keys.push((key, version)),
                    None => offers.push((heir, Vec::from([(key, version)]))),
                }
            }
        }
        for (to, keys) in offers {
            self.ask(to, Kind::Offer(Box::new(Offering { keys, drop: false })), cx);
        }
        self.move_on(cx);
    }

    /// Everything is handed over that could be; `op` is what its user waits for, if that is not
    /// among the requests any more.
    pub(super) fn depart(&mut self, op: Option<OpId>, cx: &mut Cx<'_, Self>) {
        let mut leaving = op;
        if let Some(active) = &mut self.active {
            let at = active.requests.iter().position(|it| matches!(it.kind, Kind::Leaving(_)));
            if let Some(at) = at
                && let Kind::Leaving(op) = active.requests.swap_remove(at).kind
            {
                leaving = Some(op);
            }
        }
        if self.status == Status::Member {
            T::leave(self, cx);
        }
        self.fail_all(cx);
        self.forget_everything();
        if let Some(op) = leaving {
            cx.answer(op, Event::Report(Report::Left));
        }
    }
}
