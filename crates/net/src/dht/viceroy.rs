//! Viceroy live.

use std::sync::Arc;

use ::dht::chord::Peer;
use ::dht::overlay::DATAGRAM_MAX;
use ::dht::viceroy::{Config, Link, Viceroy};
use machine::dht::Key;

use super::overlay::{Overlay, Sketch, SketchLink};

impl Overlay for Viceroy<Peer> {
    const NAME: &'static str = "viceroy";
    const TITLE: &'static str = "Viceroy";
    const SUMMARY: &'static str = "A butterfly of seven links a node";
    const DATAGRAM_MAX: usize = DATAGRAM_MAX;

    fn at(me: Peer) -> Self {
        Self::new(me, Arc::new(Config::responsive()))
    }

    fn sketch(&self) -> Sketch {
        let tables = self.topology();
        let rank = u32::from(tables.level());
        let mut sketch = Sketch { rank, ..Sketch::default() };
        let links = [
            ("predecessor", 0, tables.predecessor()),
            ("successor", 0, tables.successor()),
            ("up", rank.saturating_sub(1), tables.link(Link::Up)),
            ("down_left", rank + 1, tables.link(Link::DownLeft)),
            ("down_right", rank + 1, tables.link(Link::DownRight)),
            ("previous", rank, tables.previous()),
            ("next", rank, tables.link(Link::Next)),
        ];
        let known = links.into_iter().filter_map(|(what, rank, peer)| {
            Some(SketchLink { what, rank, peer: peer.filter(|&peer| peer != self.me())? })
        });
        sketch.links.extend(known);
        let others = tables.successors().skip(1).filter(|&peer| peer != self.me());
        sketch.links.extend(others.map(|peer| SketchLink { what: "stand_in", rank: 0, peer }));
        sketch
    }

    fn held(&self) -> Vec<Key> {
        self.keys().collect()
    }
}
