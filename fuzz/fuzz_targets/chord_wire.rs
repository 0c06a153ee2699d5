//! Chord datagrams: none upsets the parser, and what it reads is written alike.
#![no_main]

use dht::chord::{DATAGRAM_MAX, Packet};
use libfuzzer_sys::fuzz_target;
use machine::Wire;

fuzz_target!(|data: &[u8]| {
    let Ok(packet) = Packet::decode(data) else { return };
    assert!(data.len() <= DATAGRAM_MAX);
    let mut written = Vec::new();
    packet.encode(&mut written);
    assert_eq!(written, data);
});
