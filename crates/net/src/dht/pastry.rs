//! Pastry live.

use std::sync::Arc;

use ::dht::chord::Peer;
use ::dht::overlay::DATAGRAM_MAX;
use ::dht::pastry::{Config, Pastry};
use machine::dht::Key;

use super::overlay::Overlay;

impl Overlay for Pastry<Peer> {
    const NAME: &'static str = "pastry";
    const SUMMARY: &'static str = "Prefixes and leaf sets";
    const DATAGRAM_MAX: usize = DATAGRAM_MAX;

    fn at(me: Peer) -> Self {
        Self::new(me, Arc::new(Config::responsive()))
    }

    fn known(&self) -> Vec<Peer> {
        self.topology().known()
    }

    fn held(&self) -> Vec<Key> {
        self.keys().collect()
    }
}
