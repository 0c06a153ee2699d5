//! URLs of trackers and web seeds, the rules that they are under, and ranges of what they answer.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use codec::http::ContentRange;
use libfuzzer_sys::fuzz_target;
use net::url_policy::{Purpose, Reach, check_address, check_url, reach};
use url::Url;

const PURPOSES: [Purpose; 3] = [Purpose::Tracker, Purpose::Content, Purpose::WebSeed];

fuzz_target!(|data: &[u8]| {
    let Some((octets, text)) = data.split_first_chunk::<16>() else { return };
    let Ok(text) = core::str::from_utf8(text) else { return };
    if let Some(range) = ContentRange::parse(text) {
        assert!(range.first <= range.last);
        assert!(range.total.is_none_or(|total| range.last < total));
    }
    let Ok(url) = Url::parse(text) else { return };
    let v4 = Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]);
    assert_eq!(reach(v4.into()), reach(v4.to_ipv6_mapped().into()));
    for purpose in PURPOSES {
        if check_url(&url, purpose).is_err() {
            continue;
        }
        assert!(matches!(url.scheme(), "http" | "https" | "udp"));
        for ip in [IpAddr::from(v4), IpAddr::from(Ipv6Addr::from(*octets))] {
            let reach = reach(ip);
            let directly = check_address(&url, ip, purpose, None);
            let redirected = check_address(&url, ip, purpose, Some(Reach::Public));
            assert!(redirected.is_err() || directly.is_ok());
            assert!(redirected.is_err() || reach == Reach::Public);
            if matches!(reach, Reach::LinkLocal | Reach::Nowhere) {
                assert!(directly.is_err());
            }
        }
    }
});
