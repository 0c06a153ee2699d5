//! HTTP trackers: responses as a client reads them, targets of requests as a tracker does.
#![no_main]

use bittorrent::tracker::http::server::{Reply, Request, encode_announce};
use bittorrent::tracker::http::{announce_url, parse_announce, parse_scrape};
use bittorrent::tracker::udp::Family;
use bittorrent::tracker::{MAX_INTERVAL, MAX_PEERS, MIN_INTERVAL};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(response) = parse_announce(data) {
        assert!((MIN_INTERVAL..=MAX_INTERVAL).contains(&response.interval));
        assert!(response.min_interval.is_none_or(|min| min <= response.interval));
        assert!(response.peers.len() <= MAX_PEERS);
        assert!(response.peers.iter().all(|peer| peer.port() != 0));
    }
    let _ = parse_scrape(data);
    if let Ok(Request::Announce(read)) = Request::parse(data) {
        let url = announce_url("/announce", &read.request);
        let again = Request::parse(url.as_bytes());
        let Ok(Request::Announce(again)) = again else { panic!("{url} is not read: {again:?}") };
        assert_eq!(again.request, read.request);
        let reply = Reply {
            interval_secs: 1_800,
            min_interval_secs: 300,
            seeders: 1,
            leechers: 1,
            external_ip: [127, 0, 0, 1].into(),
        };
        for family in [Family::V4, Family::V6] {
            let bytes = encode_announce(&reply, data, family, read.compact);
            assert!(parse_announce(&bytes).is_ok());
        }
    }
});
