//! BitTorrent: the formats, the policies and the machines, with no socket, file or clock.
//!
//! Formats are in [`metainfo`], [`magnet`], [`peer_wire`], [`extension`], [`mse`] and [`tracker`];
//! policies that are pure functions of a narrow view in [`picker`], [`choker`] and [`rate`]; the
//! machines in [`swarm`] (one torrent among its peers), [`utp`] (one transport connection) and
//! [`tracker::announcer`] (which tracker to ask, and when).
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod choker;
pub mod extension;
pub mod id;
pub mod lsd;
pub mod magnet;
pub mod merkle;
pub mod metainfo;
pub mod mse;
pub mod peer_address;
pub mod peer_priority;
pub mod peer_wire;
pub mod picker;
pub mod rate;
pub mod request_queue;
pub mod smart_ban;
pub mod super_seeding;
pub mod swarm;
pub mod tracker;
mod url;
pub mod utp;
pub mod web_seed;
