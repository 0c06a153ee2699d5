//! Kelips live.

use std::sync::Arc;

use ::dht::chord::Peer;
use ::dht::kelips::{Config, Kelips};
use ::dht::overlay::DATAGRAM_MAX;
use machine::dht::Key;

use super::overlay::{Overlay, Sketch, SketchLink};

impl Overlay for Kelips<Peer> {
    const NAME: &'static str = "kelips";
    const TITLE: &'static str = "Kelips";
    const SUMMARY: &'static str = "Affinity groups that know all of their own, kept by gossip";
    const DATAGRAM_MAX: usize = DATAGRAM_MAX;

    fn at(me: Peer) -> Self {
        Self::new(me, Arc::new(Config::responsive()))
    }

    fn sketch(&self) -> Sketch {
        let view = self.topology();
        let rank = view.group();
        let members = view.members().filter(|&peer| peer != self.me());
        let members = members.map(|peer| SketchLink { what: "member", rank, peer });
        let contact = |(rank, peer)| SketchLink { what: "contact", rank, peer };
        let links = members.chain(view.contacts().map(contact)).collect();
        Sketch { rank, ranks: self.config().groups, links, ..Sketch::default() }
    }

    fn held(&self) -> Vec<Key> {
        self.keys().collect()
    }
}
