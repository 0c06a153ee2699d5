//! Magnet links: bounded, and the same again when written and read.
#![no_main]

use bittorrent::magnet::{MAX_URLS, Magnet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| {
    // Half of the inputs get an infohash, without which no other parameter is looked at twice.
    let prefix = "magnet:?xt=urn:btih:5dfecb281a911cb1f9f6420163f8bb7902176d11&";
    let link = if data.starts_with("magnet:") { data.into() } else { format!("{prefix}{data}") };
    let Ok(magnet) = Magnet::parse(&link) else { return };
    assert!(magnet.trackers.len() <= MAX_URLS && magnet.web_seeds.len() <= MAX_URLS);
    assert!(magnet.trackers.iter().chain(&magnet.web_seeds).all(|url| url.is_ascii()));
    let name = magnet.disk_name();
    assert!(!name.contains(['/', '\\', '\0']) && !matches!(name.as_str(), "" | "." | ".."));
    assert_eq!(Magnet::parse(&magnet.to_string()), Ok(magnet));
});
