//! A whole tracker on loopback, asked by our own client and by hand.

use super::udp::{Tally, answer_one};
use super::*;
use crate::dialer::Dialer;
use crate::tracker::{TrackerClient, TrackerError};
use bittorrent::id::{InfoHash, PeerId};
use bittorrent::tracker::udp::{
    ConnectionId, Family, Response, TransactionId, decode_response, encode_announce,
    encode_connect, encode_scrape,
};
use bittorrent::tracker::{AnnounceRequest, Event};
use machine::{Instant, Rng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

const HASH: InfoHash = InfoHash(*b"aaaaaaaaaaaaaaaaaaaa");

fn request(port: u16, left: u64) -> AnnounceRequest {
    AnnounceRequest {
        info_hash: HASH,
        peer_id: PeerId([2; 20]),
        port,
        uploaded: 0,
        downloaded: 0,
        left,
        event: Event::Started,
        key: 1,
        num_want: None,
        tracker_id: None,
        ipv4: None,
        ipv6: None,
    }
}

fn config(listen: &[&str]) -> ServerConfig {
    let listen = listen.iter().map(|address| address.parse().expect("an address")).collect();
    ServerConfig { listen, ..ServerConfig::default() }
}

/// Runs a tracker as long as `ask` takes; what it has done in the end.
async fn with_server(
    config: ServerConfig,
    ask: impl AsyncFnOnce(Vec<SocketAddr>, ServerHandle),
) -> ServerStats {
    let server = Server::bind(config).await.expect("bound");
    let (addresses, handle) = (server.addresses().to_vec(), server.handle());
    let (stop, stopped) = oneshot::channel();
    let running = server.run(async move {
        let _: Result<(), _> = stopped.await;
    });
    let asking = async {
        ask(addresses, handle).await;
        stop.send(()).expect("it runs until it is told to stop");
    };
    tokio::join!(running, asking).0.expect("it ran")
}

async fn get(address: SocketAddr, target: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("written");
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.expect("read");
    String::from_utf8_lossy(&response).into_owned()
}

#[tokio::test]
async fn peers_find_each_other_over_both_protocols_and_families() {
    let stats = with_server(config(&["127.0.0.1:0", "[::1]:0"]), async |addresses, handle| {
        let client = TrackerClient::new(Dialer::default());
        for address in &addresses {
            let urls = [format!("http://{address}/announce"), format!("udp://{address}")];
            let seed = client.announce(&urls[0], &request(1, 0)).await.expect("an answer");
            assert_eq!(seed.peers, []);
            assert_eq!(seed.external_ip, Some(address.ip()));
            assert_eq!(seed.interval, Duration::from_secs(1800));
            for (n, url) in urls.iter().enumerate() {
                let leecher = request(2 + n as u16, 1);
                let answer = client.announce(url, &leecher).await.expect("an answer");
                let mut ports: Vec<_> = answer.peers.iter().map(SocketAddr::port).collect();
                ports.sort_unstable();
                assert_eq!(ports, (1..2 + n as u16).collect::<Vec<_>>(), "{url}");
                assert!(answer.peers.iter().all(|peer| peer.ip() == address.ip()));
            }
            for url in &urls {
                let url =
                    if url.starts_with("udp") { format!("{url}/announce") } else { url.clone() };
                let scraped = client.scrape(&url, &[HASH]).await.expect("an answer");
                assert!(scraped[&HASH].seeders >= 1 && scraped[&HASH].leechers >= 2, "{url}");
            }
        }
        assert_eq!((handle.stats().torrents, handle.stats().peers), (1, 6));
        let gone = AnnounceRequest { event: Event::Stopped, ..request(1, 0) };
        for address in addresses {
            client.announce(&format!("udp://{address}"), &gone).await.expect("an answer");
        }
    })
    .await;
    assert_eq!((stats.peers, stats.udp_announces, stats.http_announces), (4, 4, 4));
    assert_eq!((stats.udp_scrapes, stats.http_scrapes), (2, 2));
    assert_eq!((stats.udp_dropped, stats.http_refused), (0, 0));
}

#[tokio::test]
async fn answers_over_http_are_lists_on_request() {
    with_server(config(&["127.0.0.1:0"]), async |addresses, _| {
        let target = |port| {
            format!(
                "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb\
                 &port={port}&left=0&compact=0&ip=203.0.113.{port}"
            )
        };
        get(addresses[0], &target(1).replace("left=0", "left=1")).await;
        let response = get(addresses[0], &target(2)).await;
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        assert!(response.contains("5:peersld2:ip11:203.0.113.14:porti1eee"), "{response}");
        let stats = get(addresses[0], "/stats").await;
        assert!(stats.contains("\npeers 2\n"), "{stats}");
    })
    .await;
}

#[tokio::test]
async fn tr_11_bad_announces_and_floods_are_refused() {
    let limited = ServerConfig { http_rate: Some(2), ..config(&["127.0.0.1:0"]) };
    let stats = with_server(limited, async |addresses, _| {
        let good = "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb\
                    &port=1&left=0";
        for (target, why) in [
            (good.replace("port=1", "port=0"), "port is invalid"),
            (good.replace("left=0", "left=-1"), "left is invalid"),
            (good.to_owned() + "&numwant=2147483648", "numwant is invalid"),
            (good.replace("=aaa", "=aa"), "info_hash is invalid"),
        ] {
            let response = get(addresses[0], &target).await;
            assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
            let failure = format!("\r\n\r\nd14:failure reason{}:{why}e", why.len());
            assert!(response.ends_with(&failure), "{response}");
        }
        let mut limited = 0;
        for _ in 0..100 {
            let response = get(addresses[0], good).await;
            if response.starts_with("HTTP/1.1 429 ") {
                assert!(response.ends_with("d14:failure reason17:too many requestse"));
                limited += 1;
            }
        }
        assert!(limited > 50, "{limited}");
    })
    .await;
    assert_eq!(stats.http_refused, 4);
    assert_eq!(stats.http_limited + stats.http_announces, 100);
}

#[tokio::test]
async fn requests_that_are_not_for_a_tracker_are_refused() {
    with_server(config(&["127.0.0.1:0"]), async |addresses, _| {
        assert!(get(addresses[0], "/").await.starts_with("HTTP/1.1 404 "));
        assert!(get(addresses[0], "/scrape").await.starts_with("HTTP/1.1 400 "));
        let mut stream = TcpStream::connect(addresses[0]).await.expect("connected");
        let post = b"POST /announce HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(post).await.expect("written");
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.expect("read");
        assert_eq!(&status, b"HTTP/1.1 405");
    })
    .await;
}

#[tokio::test]
async fn only_what_is_listed_is_served_and_the_list_can_change() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("list");
    std::fs::write(&path, "# none\n\n").expect("written");
    let listed = ServerConfig { allow_list: Some(path.clone()), ..config(&["127.0.0.1:0"]) };
    with_server(listed, async |addresses, handle| {
        let client = TrackerClient::new(Dialer::default());
        let urls = [format!("http://{}/announce", addresses[0]), format!("udp://{}", addresses[0])];
        for url in &urls {
            let refused = client.announce(url, &request(1, 1)).await;
            assert!(matches!(refused, Err(TrackerError::Refused(_))), "{refused:?}");
        }
        std::fs::write(&path, format!("{HASH} # one\n")).expect("written");
        handle.reload_allow_list().expect("read");
        for url in &urls {
            client.announce(url, &request(1, 1)).await.expect("an answer");
        }
        std::fs::write(&path, "nonsense\n").expect("written");
        assert!(matches!(handle.reload_allow_list(), Err(AllowListError::Line { line: 1, .. })));
        client.announce(&urls[0], &request(1, 1)).await.expect("the old list stays");
    })
    .await;
}

/// What one datagram comes to, and whether it is answered.
fn answer(state: &State, now: Instant, from: &str, datagram: &[u8]) -> (Option<Vec<u8>>, Tally) {
    let (mut out, mut tally) = (Vec::new(), Tally::default());
    let from: SocketAddr = from.parse().expect("an address");
    answer_one(state, now, datagram, from, &mut Rng::new(1), &mut out, &mut tally);
    ((!out.is_empty()).then_some(out), tally)
}

const T: TransactionId = TransactionId(7);

fn connect(state: &State, now: Instant, from: &str) -> ConnectionId {
    let bytes = answer(state, now, from, &encode_connect(T)).0.expect("an answer");
    assert_eq!(bytes.len(), encode_connect(T).len(), "nothing is amplified");
    match decode_response(&bytes, Family::V4) {
        Ok((T, Response::Connect(id))) => id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn tr_12_nobody_is_answered_who_has_not_shown_where_it_is() {
    let state = State::new(&ServerConfig::default()).expect("a state");
    let now = Instant::ZERO + Duration::from_secs(3_600);
    let id = connect(&state, now, "10.0.0.1:1");
    let announce = |id| encode_announce(id, T, &request(1, 1), b"");
    let scrape = |id| encode_scrape(id, T, &[HASH]).expect("one torrent");
    let dropped = Tally { dropped: 1, ..Tally::default() };
    for bytes in [
        announce(ConnectionId(0)),
        announce(ConnectionId(id.0 ^ 1 << 40)),
        announce(ConnectionId(id.0.wrapping_sub(1))),
        scrape(ConnectionId(1)),
        announce(id)[..97].to_vec(),
        Vec::new(),
    ] {
        assert_eq!(answer(&state, now, "10.0.0.1:1", &bytes), (None, dropped));
    }
    assert_eq!(answer(&state, now, "10.0.0.2:1", &announce(id)), (None, dropped), "spoofed");
    assert_eq!(answer(&state, now, "10.0.0.1:9", &announce(id)).1.announces, 1, "any port");
    assert_eq!(answer(&state, now, "10.0.0.1:1", &scrape(id)).1.scrapes, 1);
}

#[test]
fn tr_12_connection_ids_last_two_minutes_and_not_much_longer() {
    let state = State::new(&ServerConfig::default()).expect("a state");
    let announce = |id| encode_announce(id, T, &request(1, 1), b"");
    for start in [0, 59, 60, 15_300, 15_419] {
        let begin = Instant::ZERO + Duration::from_secs(start);
        let id = connect(&state, begin, "10.0.0.1:1");
        for (secs, good) in [(0, true), (120, true), (181, false), (256 * 60, false)] {
            let now = begin + Duration::from_secs(secs);
            let answered = answer(&state, now, "10.0.0.1:1", &announce(id)).0.is_some();
            assert_eq!(answered, good, "{start} + {secs}");
        }
    }
}

#[test]
fn tr_11_udp_announces_are_bounded() {
    let state = State::new(&ServerConfig::default()).expect("a state");
    let now = Instant::ZERO;
    let from = "[2001:db8::1]:1";
    let id = connect(&state, now, from);
    for port in 1..400 {
        let bytes = encode_announce(id, T, &request(port, 1), b"");
        answer(&state, now, from, &bytes);
    }
    for (port, want, peers) in [(1, Some(i32::MAX as u32), 50), (1, None, 50), (1, Some(3), 3)] {
        let announce = AnnounceRequest { num_want: want, ..request(port, 1) };
        let bytes = answer(&state, now, from, &encode_announce(id, T, &announce, b"")).0;
        assert_eq!(bytes.expect("an answer").len(), 20 + 18 * peers, "{want:?}");
    }
    let (refusal, tally) = answer(&state, now, from, &encode_announce(id, T, &request(0, 1), b""));
    assert_eq!(tally, Tally { refused: 1, ..Tally::default() });
    let refusal = decode_response(&refusal.expect("an answer"), Family::V6);
    assert!(matches!(refusal, Ok((T, Response::Error(_)))), "{refusal:?}");
}

#[test]
fn addresses_that_clients_claim_count_only_from_local_ones() {
    let state = State::new(&ServerConfig::default()).expect("a state");
    let told = |from: &str, claimed: Option<[u8; 4]>, port| {
        let id = connect(&state, Instant::ZERO, from);
        let announce = AnnounceRequest { ipv4: claimed.map(Into::into), ..request(port, 1) };
        let bytes = encode_announce(id, T, &announce, b"");
        let bytes = answer(&state, Instant::ZERO, from, &bytes).0.expect("an answer");
        match decode_response(&bytes, Family::V4) {
            Ok((_, Response::Announce(response))) => response.peers,
            other => panic!("{other:?}"),
        }
    };
    told("192.168.0.2:1", Some([203, 0, 113, 1]), 1);
    told("198.51.100.1:1", Some([203, 0, 113, 2]), 2);
    told("192.168.0.3:1", Some([127, 0, 0, 1]), 3);
    let mut peers = told("192.168.0.4:1", None, 4);
    peers.sort_unstable();
    let expected = ["192.168.0.3:3", "198.51.100.1:2", "203.0.113.1:1"];
    assert_eq!(peers, expected.map(|peer| peer.parse().expect("an address")));
}
