//! Local service discovery: any datagram is heard or ignored, and what is heard can be said again.
#![no_main]

use bittorrent::lsd::{GROUP_V6, HASHES_MAX, MESSAGE_MAX, Search};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(search) = Search::decode(data) else { return };
    assert!(data.len() <= MESSAGE_MAX);
    assert!(search.port != 0);
    assert!((1..=HASHES_MAX).contains(&search.info_hashes.len()));
    // A word of whatever length still fits beside what we say ourselves.
    let own = Search { cookie: None, ..search };
    assert_eq!(Search::decode(&own.encode(GROUP_V6)), Some(own));
});
