//! Viceroy live.

use std::sync::Arc;

use ::dht::chord::Peer;
use ::dht::overlay::DATAGRAM_MAX;
use ::dht::viceroy::{Config, Viceroy};
use machine::dht::Key;

use super::overlay::Overlay;

impl Overlay for Viceroy<Peer> {
    const NAME: &'static str = "viceroy";
    const SUMMARY: &'static str = "A butterfly of seven links a node";
    const DATAGRAM_MAX: usize = DATAGRAM_MAX;

    fn at(me: Peer) -> Self {
        Self::new(me, Arc::new(Config::responsive()))
    }

    fn known(&self) -> Vec<Peer> {
        self.topology().links().into_iter().filter(|&node| node != self.me()).collect()
    }

    fn held(&self) -> Vec<Key> {
        self.keys().collect()
    }
}
