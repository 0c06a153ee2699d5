//! Networks in which people find things by words: Gnutella, Napster, and a two-level one
//! in the manner of FastTrack. What does not live here: sockets,
//! clocks, files, and what a library of shared files is.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod fasttrack;
pub mod gnutella;
pub mod napster;
