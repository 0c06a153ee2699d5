//! Nodes whose tables are full from the beginning, for experiments on networks that stand.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;

use machine::dht::Contact;

use super::config::Config;
use super::leaves::Leaves;
use super::{Pastry, Tables};
use crate::prefix::{Base, Core, Table};

impl<C: Contact> Pastry<C> {
    /// The node at `index` of `ring`, which is in the order of keys: a member with an exact leaf set
    /// and in each slot the nearest of at most `samples` nodes that belong there, as `rtt` says in
    /// microseconds.
    ///
    /// # Panics
    /// If `index` is not within `ring`.
    #[must_use]
    pub fn standing(
        ring: &[C],
        index: usize,
        config: Arc<Config>,
        samples: usize,
        rtt: &impl Fn(C, C) -> u32,
    ) -> Self {
        let me = ring[index];
        let others = ring.len() - 1;
        let half = config.half().min(others);
        let after = (1..=half).map(|step| ring[(index + step) % ring.len()]).collect();
        let before =
            (1..=half).map(|step| ring[(index + ring.len() - step) % ring.len()]).collect();
        let table = Table::wired(ring, index, Base::new(config.bits), 1, samples, rtt);
        let mut near: Vec<_> = table.entries().iter().map(|it| (it.rtt, it.contact)).collect();
        near.sort_unstable();
        near.truncate(config.neighbours);
        near.shrink_to_fit();
        let mut core = Core::new(Base::new(config.bits));
        core.table = table;
        let leaves = Leaves::wired(after, before);
        let tables = Tables { core, leaves, near, next_leaf: 0, salt: Cell::new(0) };
        Self::wired(me, tables, config)
    }
}
