//! Networks in which people find things by words: Gnutella. What does not live here: sockets,
//! clocks, files, and what a library of shared files is.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod gnutella;
