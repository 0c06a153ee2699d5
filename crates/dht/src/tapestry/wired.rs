//! Nodes whose tables are full from the beginning, for experiments on networks that stand.

use alloc::sync::Arc;

use machine::dht::Contact;

use super::config::Config;
use super::{Tables, Tapestry};
use crate::overlay::Topology;
use crate::prefix::{Base, Table};

impl<C: Contact> Tapestry<C> {
    /// The node at `index` of `ring`, which is in the order of keys: a member that has in each slot
    /// the nearest of at most `samples` nodes that belong there, as `rtt` says in microseconds.
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
        let mut tables = Tables::new(me, &config);
        let (base, limit) = (Base::new(config.bits), config.backups + 1);
        tables.core.table = Table::wired(ring, index, base, limit, samples.max(limit), rtt);
        Self::wired(me, tables, config)
    }
}
