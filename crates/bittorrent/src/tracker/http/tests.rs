//! Both sides against each other, against literal bytes, and against bad input.

use std::string::ToString;
use std::vec;

use proptest::prelude::{any, prop_assert_eq, proptest};

use super::server::{self, Reply, Request, RequestError};
use super::*;
use crate::id::PeerId;
use crate::tracker::udp::Family;

fn request() -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash(*b"\x00\x01aaaaaaaaaaaaaaa& \xff"),
        peer_id: PeerId(*b"-SH0001-bbbbbbbbbbbb"),
        port: 6881,
        uploaded: 1,
        downloaded: 2,
        left: 3,
        event: Event::Started,
        key: 0x0102_0304,
        num_want: Some(80),
        tracker_id: None,
        ipv4: None,
        ipv6: Some("2001:db8::1".parse().unwrap()),
    }
}

#[test]
fn an_announce_is_a_url() {
    let url = announce_url("http://t.example/announce?passkey=1#x", &request());
    assert_eq!(
        url,
        "http://t.example/announce?passkey=1&info_hash=%00%01aaaaaaaaaaaaaaa%26%20%FF\
         &peer_id=-SH0001-bbbbbbbbbbbb&port=6881&uploaded=1&downloaded=2&left=3&key=01020304\
         &compact=1&no_peer_id=1&supportcrypto=1&event=started&numwant=80\
         &ipv6=2001%3Adb8%3A%3A1"
    );
}

#[test]
fn scrape_urls_follow_the_convention() {
    let hash = [InfoHash(*b"aaaaaaaaaaaaaaaaaaaa")];
    let table = [
        ("http://e.com/announce", Some("http://e.com/scrape?info_hash=")),
        ("http://e.com/x/announce", Some("http://e.com/x/scrape?info_hash=")),
        ("http://e.com/announce.php", Some("http://e.com/scrape.php?info_hash=")),
        ("http://e.com/a", None),
        ("http://e.com/announce?x2%0644", Some("http://e.com/scrape?x2%0644&info_hash=")),
        ("http://e.com/announce?x=2/4", Some("http://e.com/scrape?x=2/4&info_hash=")),
        ("http://e.com/x%064announce", None),
    ];
    for (tracker, expected) in table {
        let expected = expected.map(|url| url.to_string() + "aaaaaaaaaaaaaaaaaaaa");
        assert_eq!(scrape_url(tracker, &hash), expected, "{tracker}");
    }
}

#[test]
fn a_compact_response_is_read() {
    let bytes = b"d8:completei5e10:downloadedi9e11:external ip4:\xcb\x00\x71\x0710:incompletei4e\
        8:intervali1800e12:min intervali900e5:peers12:\x0a\0\0\x01\x1a\xe1\x0a\0\0\x02\0\0\
        6:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1\
        10:tracker id3:abc15:warning message4:slowe";
    let response = AnnounceResponse {
        interval: Duration::from_secs(1800),
        min_interval: Some(Duration::from_secs(900)),
        seeders: Some(5),
        leechers: Some(4),
        completed: Some(9),
        peers: vec!["10.0.0.1:6881".parse().unwrap(), "[2001:db8::1]:6881".parse().unwrap()],
        tracker_id: Some(b"abc".to_vec()),
        external_ip: Some("203.0.113.7".parse().unwrap()),
        warning: Some("slow".into()),
    };
    assert_eq!(parse_announce(bytes), Ok(response));
}

#[test]
fn a_list_of_peers_is_read_and_the_unusable_left_out() {
    let bytes = b"d8:intervali900e5:peersl\
        d2:ip8:10.0.0.17:peer id20:aaaaaaaaaaaaaaaaaaaa4:porti6881ee\
        d2:ip11:2001:db8::14:porti1ee\
        d2:ip9:e.example4:porti1ee\
        d2:ip8:10.0.0.14:porti0ee\
        d2:ip8:10.0.0.14:porti70000ee\
        i3e3:abcee";
    let peers = parse_announce(bytes).unwrap().peers;
    let expected: Vec<SocketAddr> =
        vec!["10.0.0.1:6881".parse().unwrap(), "[2001:db8::1]:1".parse().unwrap()];
    assert_eq!(peers, expected);
}

#[test]
fn refusals_are_read_with_the_time_to_come_back() {
    let table: &[(&[u8], Option<Retry>)] = &[
        (b"d14:failure reason2:noe", None),
        (b"d14:failure reason2:no8:retry ini5ee", Some(Retry::After(Duration::from_secs(300)))),
        (b"d14:failure reason2:no8:retry in5:nevere", Some(Retry::Never)),
        (b"d14:failure reason2:no8:retry ini-5ee", None),
        (b"d14:failure reason2:no8:retry in4:soone", None),
    ];
    for (bytes, retry) in table {
        let refusal = Refusal { reason: "no".into(), retry: *retry };
        assert_eq!(parse_announce(bytes), Err(ResponseError::Refused(refusal.clone())));
        assert_eq!(parse_scrape(bytes), Err(ResponseError::Refused(refusal)));
    }
}

#[test]
fn what_is_no_response_is_an_error() {
    assert!(matches!(parse_announce(b"<html>"), Err(ResponseError::Bencode(_))));
    assert_eq!(parse_announce(b"le"), Err(ResponseError::NoDict));
    assert_eq!(parse_scrape(b"de"), Err(ResponseError::Missing("files")));
}

#[test]
fn tr_03_intervals_are_clamped() {
    let hour = 3_600;
    let table = [
        ("0", "0", 60, 60),
        ("-5", "-5", 60, 60),
        ("1099511627776", "60", 24 * hour, 60),
        ("1800", "3600", 1_800, 1_800),
    ];
    for (interval, min_interval, interval_kept, min_kept) in table {
        let text = std::format!("d8:intervali{interval}e12:min intervali{min_interval}ee");
        let read = parse_announce(text.as_bytes()).unwrap();
        assert_eq!(read.interval, Duration::from_secs(interval_kept), "{text}");
        assert_eq!(read.min_interval, Some(Duration::from_secs(min_kept)), "{text}");
    }
    assert_eq!(parse_announce(b"de").unwrap().interval, DEFAULT_INTERVAL);
}

#[test]
fn tr_11_bad_announces_are_refused() {
    let good = "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=1&left=0";
    let parse = |query: &str| Request::parse(std::format!("/announce?{query}").as_bytes());
    assert!(parse(good).is_ok());
    let table = [
        (good.replace("port=1", "port=0"), RequestError::Invalid("port")),
        (good.replace("port=1", "port=65536"), RequestError::Invalid("port")),
        (good.replace("left=0", "left=-1"), RequestError::Invalid("left")),
        (good.replace("left=0", "left=18446744073709551616"), RequestError::Invalid("left")),
        (good.replace("=aaa", "=aa"), RequestError::Invalid("info_hash")),
        (good.replace("bbb&", "bb&"), RequestError::Invalid("peer_id")),
        (good.to_string() + "&numwant=2147483648", RequestError::Invalid("numwant")),
        (good.to_string() + "&event=rebooted", RequestError::Invalid("event")),
        (good.replace("&left=0", ""), RequestError::Missing("left")),
        (String::new(), RequestError::Missing("info_hash")),
    ];
    for (query, error) in table {
        assert_eq!(parse(&query), Err(error), "{query}");
    }
    let long = std::format!("/announce?{good}&x={}", "y".repeat(5_000));
    assert_eq!(Request::parse(long.as_bytes()), Err(RequestError::TooLong));
    assert_eq!(Request::parse(b"/announce/"), Err(RequestError::NotFound));
    assert_eq!(Request::parse(b"/scrape"), Err(RequestError::Missing("info_hash")));
}

#[test]
fn a_tracker_reads_what_a_client_writes() {
    let url = announce_url("http://t/announce", &request());
    let target = url.strip_prefix("http://t").unwrap();
    let Ok(Request::Announce(read)) = Request::parse(target.as_bytes()) else {
        panic!("no announce")
    };
    assert_eq!(read.request, request());
    assert!(read.compact);
}

#[test]
fn a_client_reads_what_a_tracker_writes() {
    let reply = Reply {
        interval_secs: 1_800,
        min_interval_secs: 300,
        seeders: 1,
        leechers: 2,
        external_ip: "203.0.113.7".parse().unwrap(),
    };
    let v4 = [10, 0, 0, 1, 0x1a, 0xe1];
    for compact in [true, false] {
        let bytes = server::encode_announce(&reply, &v4, Family::V4, compact);
        let read = parse_announce(&bytes).unwrap();
        assert_eq!(read.peers, ["10.0.0.1:6881".parse().unwrap()]);
        assert_eq!((read.seeders, read.leechers), (Some(1), Some(2)));
        assert_eq!(read.min_interval, Some(Duration::from_secs(300)));
        assert_eq!(read.external_ip, Some(reply.external_ip));
        let mut v6 = [0; 18];
        v6[0] = 0xfd;
        v6[17] = 9;
        let bytes = server::encode_announce(&reply, &v6, Family::V6, compact);
        assert_eq!(parse_announce(&bytes).unwrap().peers, ["[fd00::]:9".parse().unwrap()]);
    }
    let hashes = [InfoHash([2; 20]), InfoHash([1; 20]), InfoHash([2; 20])];
    let entry = ScrapeEntry { seeders: 1, completed: 2, leechers: 3, downloaders: Some(1) };
    let read = parse_scrape(&server::encode_scrape(&hashes, |_| entry)).unwrap();
    assert_eq!(read, [(hashes[0], entry), (hashes[1], entry)].into());
    let refused = parse_announce(&server::encode_failure("no"));
    assert_eq!(refused, Err(Refusal { reason: "no".into(), retry: None }.into()));
}

proptest! {
    #[test]
    fn scrapes_read_back(hashes in proptest::collection::vec(any::<[u8; 20]>(), 1..74)) {
        let hashes: Vec<InfoHash> = hashes.into_iter().map(InfoHash).collect();
        let url = scrape_url("http://t/announce", &hashes).unwrap();
        let target = url.strip_prefix("http://t").unwrap();
        // Hashes of mostly encoded bytes come to 72 bytes each.
        if target.len() <= server::MAX_TARGET {
            prop_assert_eq!(Request::parse(target.as_bytes()), Ok(Request::Scrape(hashes)));
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
        let _ = parse_announce(&bytes);
        let _ = parse_scrape(&bytes);
        let _ = Request::parse(&bytes);
        let mut target = b"/announce?".to_vec();
        target.extend_from_slice(&bytes);
        let _ = Request::parse(&target);
    }
}
