//! Pastry live.

use std::sync::Arc;

use ::dht::chord::Peer;
use ::dht::overlay::DATAGRAM_MAX;
use ::dht::pastry::{Config, Pastry};
use ::dht::prefix::Base;
use machine::dht::{Contact, Key};

use super::overlay::{Overlay, Sketch, SketchLink};

impl Overlay for Pastry<Peer> {
    const NAME: &'static str = "pastry";
    const TITLE: &'static str = "Pastry";
    const SUMMARY: &'static str = "Prefixes and leaf sets";
    const DATAGRAM_MAX: usize = DATAGRAM_MAX;

    fn at(me: Peer) -> Self {
        Self::new(me, Arc::new(Config::responsive()))
    }

    fn sketch(&self) -> Sketch {
        let tables = self.topology();
        let base = Base::new(self.config().bits);
        let mut sketch = Sketch { ranks: self.config().bits.into(), ..Sketch::default() };
        sketch.line("before", tables.leaves().before().iter().copied());
        sketch.line("after", tables.leaves().after().iter().copied());
        sketch.links.extend(tables.entries().iter().map(|entry| SketchLink {
            what: "row",
            rank: base.shared(&self.me().key(), &entry.contact.key()) as u32,
            peer: entry.contact,
        }));
        sketch.line("near", tables.neighbourhood());
        sketch
    }

    fn held(&self) -> Vec<Key> {
        self.keys().collect()
    }
}
