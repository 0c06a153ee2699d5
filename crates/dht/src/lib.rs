//! Distributed hash tables: each a machine that runs live over UDP and in the simulator, from one
//! source. What does not live here: sockets, clocks, files, and the vocabulary that they share
//! ([`machine::dht`]).
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod can;
pub mod chord;
mod held;
pub mod kademlia;
pub mod kelips;
pub mod overlay;
pub mod pastry;
pub mod prefix;
mod promises;
pub mod store;
pub mod tapestry;
#[cfg(test)]
mod testing;
pub mod viceroy;
