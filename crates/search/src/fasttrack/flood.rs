//! Queries: flooded among supernodes, each of which passes one on once; answers go back the way
//! that the query came.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use machine::{Contact, Cx};

use super::config::{Fault, HITS_PASSED_MAX, HITS_PER_ANSWER, HITS_PER_QUERY, QUERIES_MAX};
use super::file::{Hit, Terms};
use super::identity::Identity;
use super::{FastTrack, Message, Role};

/// Where a query came from.
#[derive(Clone, Copy, Debug)]
enum Origin<C> {
    /// A search of this node's user, by its number.
    User(u32),
    /// A search of a leaf, by the leaf's number.
    Leaf(C, u32),
    /// Another supernode.
    Link(C),
}

#[derive(Clone, Copy, Debug)]
struct Passed<C> {
    origin: Origin<C>,
    /// Hits that may still go back.
    left: u16,
}

/// The queries that have been here, in two generations: when the younger is full, the older is
/// forgotten.
#[derive(Clone, Debug)]
pub(super) struct Queries<C> {
    young: BTreeMap<u64, Passed<C>>,
    old: BTreeMap<u64, Passed<C>>,
}

impl<C: Copy> Queries<C> {
    pub(super) const fn new() -> Self {
        Self { young: BTreeMap::new(), old: BTreeMap::new() }
    }

    pub(super) fn memory(&self) -> usize {
        (self.young.len() + self.old.len()) * size_of::<(u64, Passed<C>)>()
    }

    fn get_mut(&mut self, guid: u64) -> Option<&mut Passed<C>> {
        match self.young.get_mut(&guid) {
            Some(passed) => Some(passed),
            None => self.old.get_mut(&guid),
        }
    }

    fn insert(&mut self, guid: u64, origin: Origin<C>) {
        if self.young.len() >= QUERIES_MAX {
            self.old = core::mem::take(&mut self.young);
        }
        self.young.insert(guid, Passed { origin, left: HITS_PASSED_MAX });
    }
}

impl<C: Contact, S: Identity> FastTrack<C, S> {
    pub(super) fn flood_own(&mut self, number: u32, words: &Arc<str>, cx: &mut Cx<'_, Self>) {
        self.begin_query(Origin::User(number), words, cx);
    }

    pub(super) fn on_search(
        &mut self,
        from: C,
        session: u64,
        search: u32,
        words: &Arc<str>,
        cx: &mut Cx<'_, Self>,
    ) {
        let Role::Supernode(supernode) = &mut self.role else { return };
        let Some(leaf) = supernode.leaf(from, session, cx.now()) else { return };
        if leaf.asked >= self.config.searches_per_tick {
            return;
        }
        leaf.asked += 1;
        self.begin_query(Origin::Leaf(from, search), words, cx);
    }

    fn begin_query(&mut self, origin: Origin<C>, words: &Arc<str>, cx: &mut Cx<'_, Self>) {
        let terms = Terms::of(words);
        let Role::Supernode(supernode) = &mut self.role else { return };
        if terms.is_empty() {
            return;
        }
        let guid = cx.rng().next_u64();
        supernode.queries.insert(guid, origin);
        let hits = supernode.directory.search(&terms, self.me, HITS_PER_QUERY);
        for (to, link) in &supernode.links {
            let (session, ttl, words) = (link.session, self.config.ttl, words.clone());
            cx.send(*to, Message::Query { session, guid, ttl, words });
        }
        self.give_back(guid, &hits, cx);
    }

    pub(super) fn on_query(
        &mut self,
        from: C,
        session: u64,
        guid: u64,
        ttl: u8,
        words: &Arc<str>,
        cx: &mut Cx<'_, Self>,
    ) {
        let Role::Supernode(supernode) = &mut self.role else { return };
        let Some(link) = supernode.link(from, session, cx.now()) else { return };
        if link.asked >= self.config.queries_per_tick {
            return;
        }
        link.asked += 1;
        if supernode.queries.get_mut(guid).is_some() && !self.config.has(Fault::NoDedup) {
            return;
        }
        supernode.queries.insert(guid, Origin::Link(from));
        let hits = supernode.directory.search(&Terms::of(words), self.me, HITS_PER_QUERY);
        let ttl = ttl.min(self.config.ttl).saturating_sub(1);
        if ttl > 0 {
            for (to, link) in supernode.links.iter().filter(|(to, _)| **to != from) {
                let (session, words) = (link.session, words.clone());
                cx.send(*to, Message::Query { session, guid, ttl, words });
            }
        }
        self.give_back(guid, &hits, cx);
    }

    pub(super) fn on_answer(
        &mut self,
        from: C,
        session: u64,
        guid: u64,
        hits: &Arc<[Hit<C>]>,
        cx: &mut Cx<'_, Self>,
    ) {
        let Role::Supernode(supernode) = &mut self.role else { return };
        if supernode.link(from, session, cx.now()).is_some() {
            self.give_back_shared(guid, hits, cx);
        }
    }

    fn give_back(&mut self, guid: u64, hits: &[Hit<C>], cx: &mut Cx<'_, Self>) {
        for hits in hits.chunks(HITS_PER_ANSWER) {
            self.give_back_shared(guid, &Arc::from(hits), cx);
        }
    }

    /// Sends hits back to where the query came from.
    fn give_back_shared(&mut self, guid: u64, hits: &Arc<[Hit<C>]>, cx: &mut Cx<'_, Self>) {
        let Role::Supernode(supernode) = &mut self.role else { return };
        let Some(passed) = supernode.queries.get_mut(guid) else { return };
        let count = hits.len() as u16;
        if passed.left < count {
            return;
        }
        passed.left -= count;
        let hits = hits.clone();
        match passed.origin {
            Origin::User(number) => self.tell(number, &hits, cx),
            Origin::Leaf(to, search) => {
                if let Some(leaf) = supernode.leaves.get(&to) {
                    cx.send(to, Message::Found { session: leaf.session, search, hits });
                }
            }
            Origin::Link(to) => {
                if let Some(link) = supernode.links.get(&to) {
                    cx.send(to, Message::Answer { session: link.session, guid, hits });
                }
            }
        }
    }
}
