//! UDP trackers: requests as a tracker reads them, responses as a client does.
#![no_main]

use bittorrent::id::InfoHash;
use bittorrent::tracker::udp::{
    Family, MAX_SCRAPE, Request, Response, decode_response, encode_announce, encode_scrape,
    url_data,
};
use bittorrent::tracker::{MAX_INTERVAL, MAX_PEERS, MAX_TEXT, MIN_INTERVAL};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match Request::decode(data) {
        Ok(Request::Announce { connection, transaction, announce, options }) => {
            let url = url_data(options);
            let bytes = encode_announce(connection, transaction, &announce, &url);
            let Ok(Request::Announce { announce: again, options, .. }) = Request::decode(&bytes)
            else {
                panic!("not read back")
            };
            assert_eq!(again, announce);
            assert!(url_data(options) == url || matches!(&url[..], b"/"));
        }
        Ok(Request::Scrape { connection, transaction, hashes }) => {
            let hashes: Vec<_> = hashes.iter().copied().map(InfoHash).collect();
            assert!(encode_scrape(connection, transaction, &hashes).is_ok());
        }
        Ok(Request::Connect { .. }) | Err(_) => {}
    }
    for family in [Family::V4, Family::V6] {
        match decode_response(data, family) {
            Ok((_, Response::Announce(response))) => {
                assert!((MIN_INTERVAL..=MAX_INTERVAL).contains(&response.interval));
                assert!(response.peers.len() <= MAX_PEERS);
            }
            Ok((_, Response::Scrape(entries))) => assert!(entries.len() <= MAX_SCRAPE),
            Ok((_, Response::Error(refusal))) => assert!(refusal.reason.len() <= MAX_TEXT * 3),
            Ok((_, Response::Connect(_))) | Err(_) => {}
        }
    }
});
