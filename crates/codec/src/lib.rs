//! Formats that several networks speak. Every reader here takes bytes from strangers: it never
//! panics, never recurses on their word, and allocates no more than they sent.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod base32;
pub mod bencode;
pub mod bitfield;
pub mod datagram;
pub mod hex;
pub mod http;
pub mod percent;
pub mod zlib;
