//! Tapestry datagrams: none upsets the parser, and what it reads is written alike.
#![no_main]

use dht::chord::Peer;
use dht::overlay::DATAGRAM_MAX;
use dht::tapestry::Message;
use libfuzzer_sys::fuzz_target;
use machine::Wire;

fuzz_target!(|data: &[u8]| {
    let Ok(message) = Message::<Peer>::decode(data) else { return };
    assert!(data.len() <= DATAGRAM_MAX);
    let mut written = Vec::new();
    message.encode(&mut written);
    assert_eq!(written, data);
});
