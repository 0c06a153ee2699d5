//! Tapestry live.

use std::sync::Arc;

use ::dht::chord::Peer;
use ::dht::overlay::DATAGRAM_MAX;
use ::dht::tapestry::{Config, Tapestry};
use machine::dht::Key;

use super::overlay::Overlay;

impl Overlay for Tapestry<Peer> {
    const NAME: &'static str = "tapestry";
    const SUMMARY: &'static str = "Prefixes, and pointers to objects on the way to their roots";
    const DATAGRAM_MAX: usize = DATAGRAM_MAX;

    fn at(me: Peer) -> Self {
        Self::new(me, Arc::new(Config::responsive()))
    }

    fn known(&self) -> Vec<Peer> {
        self.topology().entries().iter().map(|entry| entry.contact).collect()
    }

    fn held(&self) -> Vec<Key> {
        self.keys().collect()
    }
}
