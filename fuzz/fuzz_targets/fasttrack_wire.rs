//! Datagrams of the two-level network: none upsets the parser, and what it reads is written alike.
#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use machine::Wire;
use search::fasttrack::{DATAGRAM_MAX, Message};

fuzz_target!(|data: &[u8]| {
    let Ok(message) = Message::<SocketAddr>::decode(data) else { return };
    assert!(data.len() <= DATAGRAM_MAX);
    let mut written = Vec::new();
    message.encode(&mut written);
    assert_eq!(written, data);
});
