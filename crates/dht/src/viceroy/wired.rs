//! Nodes whose tables are exact from the beginning, for experiments on networks that stand.

use alloc::sync::Arc;
use alloc::vec::Vec;

use machine::dht::Contact;

use super::ring::{self, ahead, place};
use super::{Butterfly, Config, Levelled, Viceroy};
use crate::overlay::Topology;

/// A network that stands: its ring, and the ring of each level.
#[derive(Debug)]
pub struct Standing<C> {
    config: Arc<Config>,
    ring: Vec<Levelled<C>>,
    /// Indices into the ring, by level.
    levels: Vec<Vec<u32>>,
}

impl<C: Contact> Standing<C> {
    /// The network of `nodes`, each with the level that it would choose itself.
    #[must_use]
    pub fn new(nodes: &[C], config: Arc<Config>) -> Self {
        let mut nodes = nodes.to_vec();
        nodes.sort_by_cached_key(|node| place(&node.key()));
        let count = config.successors().min(nodes.len().saturating_sub(1));
        let levelled = |(at, &contact): (usize, &C)| {
            let farthest = nodes[(at + count) % nodes.len()];
            let levels = ring::levels(count, ahead(contact, farthest));
            Levelled { contact, level: ring::level(&contact.key(), levels) }
        };
        let ring: Vec<_> = nodes.iter().enumerate().map(levelled).collect();
        let mut levels: Vec<Vec<u32>> = (0..=64).map(|_| Vec::new()).collect();
        for (at, it) in ring.iter().enumerate() {
            levels[usize::from(it.level)].push(at as u32);
        }
        Self { config, ring, levels }
    }

    /// All nodes, in the order of the ring.
    pub fn nodes(&self) -> impl Iterator<Item = C> + '_ {
        self.ring.iter().map(|it| it.contact)
    }

    /// The first of `level` at or after `at` but `but`.
    fn first_of(&self, level: u8, at: u64, but: C) -> Option<C> {
        let level = self.levels.get(usize::from(level))?;
        let contact = |index: &u32| self.ring[*index as usize].contact;
        let from = level.partition_point(|index| place(&contact(index).key()) < at);
        let around = level[from..].iter().chain(&level[..from]);
        around.map(contact).find(|&it| it != but)
    }

    /// The node at `index` of the ring, with exact tables.
    ///
    /// # Panics
    /// If there are not so many.
    #[must_use]
    pub fn node(&self, index: usize) -> Viceroy<C> {
        let Levelled { contact: me, level } = self.ring[index];
        let mut tables = Butterfly::new(me, &self.config);
        let others = self.ring.len() - 1;
        let nth = |step: usize| self.ring[(index + step) % self.ring.len()];
        tables.level = level;
        let count = self.config.successors().min(others);
        tables.successors = (1..=count).map(nth).collect();
        tables.predecessor = (others > 0).then(|| nth(others).contact);
        let here = place(&me.key());
        let far = 1u64 << (64 - u32::from(level.clamp(1, 63)));
        tables.up = self.first_of(level - 1, here, me);
        tables.down_left = self.first_of(level + 1, here, me);
        tables.down_right = self.first_of(level + 1, here.wrapping_add(far), me);
        tables.next = self.first_of(level, here, me);
        let own = &self.levels[usize::from(level)];
        let at = own.partition_point(|&other| (other as usize) < index);
        let before = own[..at].iter().rev().chain(own[at..].iter().rev());
        tables.previous =
            before.map(|&it| self.ring[it as usize].contact).find(|&other| other != me);
        Viceroy::wired(me, tables, Arc::clone(&self.config))
    }
}
