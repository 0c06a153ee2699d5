//! CAN live.

use std::net::SocketAddr;
use std::sync::Arc;

use ::dht::can::{Can, Config, Zone};
use ::dht::chord::Peer;
use ::dht::overlay::DATAGRAM_MAX;
use machine::dht::Key;

use super::overlay::{Overlay, Sketch, SketchZone};

impl Overlay for Can<Peer> {
    const NAME: &'static str = "can";
    const TITLE: &'static str = "CAN";
    const SUMMARY: &'static str = "Zones of a torus";
    const DATAGRAM_MAX: usize = DATAGRAM_MAX;

    fn at(me: Peer) -> Self {
        Self::new(me, Arc::new(Config::responsive()))
    }

    fn sketch(&self) -> Sketch {
        let tables = self.topology();
        let dimensions = self.config().dimensions;
        let mut sketch = Sketch { ranks: dimensions as u32, ..Sketch::default() };
        sketch.line("neighbour", tables.neighbours());
        let side = |zone: Zone, dimension: usize| match dimension < dimensions {
            true => {
                let (low, halvings) = zone.side(dimension, dimensions);
                (low as f64 / 2f64.powi(64), 0.5f64.powi(halvings as i32))
            }
            false => (0.0, 1.0),
        };
        let of = |owner: Option<SocketAddr>, zone: Zone| {
            let ((left, width), (top, height)) = (side(zone, 0), side(zone, 1));
            SketchZone { owner, corner: [left, top], size: [width, height] }
        };
        sketch.zones.extend(tables.zones().map(|zone| of(None, zone)));
        let beside = tables.zones_beside();
        sketch.zones.extend(beside.map(|(peer, zone)| of(Some(peer.addr()), zone)));
        sketch
    }

    fn held(&self) -> Vec<Key> {
        self.keys().collect()
    }
}
