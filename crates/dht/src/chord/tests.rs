//! Rings of a few nodes over a perfect network, each rule by itself. Campaigns with faults are in
//! the integration tests.

mod keys;
mod net;
mod ring;
mod wire;
