//! Tapestry live.

use std::sync::Arc;

use ::dht::chord::Peer;
use ::dht::overlay::DATAGRAM_MAX;
use ::dht::prefix::Base;
use ::dht::tapestry::{Config, Tapestry};
use machine::dht::{Contact, Key};

use super::overlay::{Overlay, Sketch, SketchLink};

impl Overlay for Tapestry<Peer> {
    const NAME: &'static str = "tapestry";
    const TITLE: &'static str = "Tapestry";
    const SUMMARY: &'static str = "Prefixes, and pointers to objects on the way to their roots";
    const DATAGRAM_MAX: usize = DATAGRAM_MAX;

    fn at(me: Peer) -> Self {
        Self::new(me, Arc::new(Config::responsive()))
    }

    fn sketch(&self) -> Sketch {
        let base = Base::new(self.config().bits);
        let mut sketch = Sketch { ranks: self.config().bits.into(), ..Sketch::default() };
        let mut slot = None;
        for entry in self.topology().entries() {
            let key = entry.contact.key();
            let level = base.shared(&self.me().key(), &key);
            let here = Some((level, base.digit(&key, level)));
            let what = if slot == here { "backup" } else { "row" };
            slot = here;
            let (rank, peer) = (level as u32, entry.contact);
            sketch.links.push(SketchLink { what, rank, peer });
        }
        sketch
    }

    fn held(&self) -> Vec<Key> {
        self.keys().collect()
    }
}
