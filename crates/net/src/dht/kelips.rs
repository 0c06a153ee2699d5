//! Kelips live.

use std::sync::Arc;

use ::dht::chord::Peer;
use ::dht::kelips::{Config, Kelips};
use ::dht::overlay::DATAGRAM_MAX;
use machine::dht::Key;

use super::overlay::Overlay;

impl Overlay for Kelips<Peer> {
    const NAME: &'static str = "kelips";
    const SUMMARY: &'static str = "Affinity groups that know all of their own, kept by gossip";
    const DATAGRAM_MAX: usize = DATAGRAM_MAX;

    fn at(me: Peer) -> Self {
        Self::new(me, Arc::new(Config::responsive()))
    }

    fn known(&self) -> Vec<Peer> {
        let view = self.topology();
        let contacts = view.contacts().map(|(_, contact)| contact);
        view.members().chain(contacts).filter(|&node| node != self.me()).collect()
    }

    fn held(&self) -> Vec<Key> {
        self.keys().collect()
    }
}
