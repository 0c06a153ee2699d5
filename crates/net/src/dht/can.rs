//! CAN live.

use std::sync::Arc;

use ::dht::can::{Can, Config};
use ::dht::chord::Peer;
use ::dht::overlay::DATAGRAM_MAX;
use machine::dht::Key;

use super::overlay::Overlay;

impl Overlay for Can<Peer> {
    const NAME: &'static str = "can";
    const SUMMARY: &'static str = "Zones of a torus";
    const DATAGRAM_MAX: usize = DATAGRAM_MAX;

    fn at(me: Peer) -> Self {
        Self::new(me, Arc::new(Config::responsive()))
    }

    fn known(&self) -> Vec<Peer> {
        self.topology().neighbours().collect()
    }

    fn held(&self) -> Vec<Key> {
        self.keys().collect()
    }
}
