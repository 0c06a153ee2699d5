//! Nodes whose tables are complete from the beginning, for experiments on networks that stand. What
//! is the same for all members of a group lies in memory once.

use alloc::sync::Arc;
use alloc::vec::Vec;

use machine::dht::{Contact, Key};

use super::Kelips;
use super::config::Config;
use super::view::{FAR, Groups, Home, Known, group_of};
use crate::overlay::Topology;

/// A network that stands: all members and contacts of each group.
#[derive(Debug)]
pub struct Standing<C> {
    config: Arc<Config>,
    groups: Vec<Groups<C>>,
}

impl<C: Contact> Standing<C> {
    /// The network of `nodes`. The members of one group have the same contacts, from a place on
    /// that differs between groups.
    #[must_use]
    pub fn new(nodes: &[C], config: Arc<Config>) -> Self {
        let count = config.groups.max(1);
        let mut members: Vec<Vec<Known<C>>> = (0..count).map(|_| Vec::new()).collect();
        for &contact in nodes {
            let known = Known { contact, beat: 1, heard: 0, rtt: FAR };
            members[group_of(&contact.key(), count) as usize].push(known);
        }
        for group in &mut members {
            group.sort_unstable_by_key(|known| known.contact);
        }
        let groups = (0..count as usize).map(|own| {
            let mut contacts = Vec::with_capacity((count as usize - 1) * config.contacts);
            for (group, there) in members.iter().enumerate().filter(|(group, _)| *group != own) {
                let chosen = config.contacts.min(there.len());
                let start = (own * config.contacts) % there.len().max(1);
                let mut some: Vec<_> =
                    there.iter().cycle().skip(start).take(chosen).copied().collect();
                some.sort_unstable_by_key(|known| known.contact);
                contacts.extend(some.into_iter().map(|known| (group as u32, known)));
            }
            let mut view = members[own]
                .first()
                .map_or_else(|| None, |first| Some(Groups::empty(first.contact, count)))?;
            view.beat = 1;
            view.members = Arc::new(members[own].clone());
            view.contacts = Arc::new(contacts);
            Some(view)
        });
        let groups = groups.flatten().collect();
        Self { config, groups }
    }

    /// One of its nodes.
    #[must_use]
    pub fn node(&self, me: C) -> Kelips<C> {
        let group = group_of(&me.key(), self.config.groups);
        let view = self.groups.iter().find(|view| view.group == group);
        let view = view.cloned().unwrap_or_else(|| Groups::new(me, &self.config));
        Kelips::wired(me, view, Arc::clone(&self.config))
    }
}

impl<C: Contact> Kelips<C> {
    /// Tells a node that stands where values are, as gossip would: for experiments on memory.
    pub fn wire_tuples(&mut self, tuples: impl IntoIterator<Item = (Key, C)>) {
        for (key, contact) in tuples {
            let home = Home { contact, number: 1, beat: 1, heard: 0 };
            let homes = self.topology.tuples.entry(key).or_default();
            homes.reserve_exact(1);
            homes.push(home);
        }
    }
}
