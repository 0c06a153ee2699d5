//! Local service discovery: any datagram is heard or ignored, and what is heard can be said again.
#![no_main]

use bittorrent::lsd::{GROUP_V6, HASHES_MAX, MESSAGE_MAX, Search};
use libfuzzer_sys::fuzz_target;

fn hear(datagram: &[u8]) {
    let Some(search) = Search::decode(datagram) else { return };
    assert!(datagram.len() <= MESSAGE_MAX);
    assert!(search.port != 0);
    assert!((1..=HASHES_MAX).contains(&search.info_hashes.len()));
    // A word of whatever length still fits beside what we say ourselves.
    let own = Search { cookie: None, ..search };
    assert_eq!(Search::decode(&own.encode(GROUP_V6)), Some(own));
}

fuzz_target!(|data: &[u8]| {
    hear(data);
    // Few inputs begin as they should by themselves, or contain forty digits.
    let hash = format!("Infohash: {:040x}\r\n", data.len());
    hear(&[b"BT-SEARCH * HTTP/1.1\r\n", data].concat());
    hear(&[b"BT-SEARCH * HTTP/1.1\r\nPort: 1\r\n", data, hash.as_bytes()].concat());
    hear(&[b"BT-SEARCH * HTTP/1.1\r\nPort: 1\r\n", hash.as_bytes(), data].concat());
});
