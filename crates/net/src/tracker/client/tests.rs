//! HTTP trackers against scripted answers, and URLs of both kinds.

use super::*;
use bittorrent::id::PeerId;
use bittorrent::tracker::Event;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn request() -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash([1; 20]),
        peer_id: PeerId(*b"-SH0001-bbbbbbbbbbbb"),
        port: 6881,
        uploaded: 0,
        downloaded: 0,
        left: 1,
        event: Event::Started,
        key: 1,
        num_want: None,
        tracker_id: None,
        ipv4: None,
        ipv6: None,
    }
}

/// Asks a tracker that answers with `status` and `body`; what it was asked, and what came of it.
async fn exchange<T>(
    path: &str,
    status: &str,
    body: &str,
    ask: impl AsyncFnOnce(TrackerClient, String) -> T,
) -> (String, T) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let url = format!("http://{}{path}", listener.local_addr().expect("its address"));
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a byte"));
        }
        let len = body.len();
        let response = format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\n\r\n{body}");
        stream.write_all(response.as_bytes()).await.expect("written");
        String::from_utf8(head).expect("text")
    };
    tokio::join!(server, ask(TrackerClient::new(Dialer::default()), url))
}

async fn announce(status: &str, body: &str) -> Result<AnnounceResponse, TrackerError> {
    let ask = async |client: TrackerClient, url: String| client.announce(&url, &request()).await;
    let (head, answer) = exchange("/announce?key=x", status, body, ask).await;
    assert!(head.starts_with("GET /announce?key=x&info_hash=%01%01"), "{head}");
    answer
}

#[tokio::test]
async fn announces_over_http() {
    let body = "d8:completei2e8:intervali900e5:peersld2:ip8:10.0.0.14:porti1eeee";
    let response = announce("200 OK", body).await.expect("an answer");
    assert_eq!(response.interval, Duration::from_secs(900));
    assert_eq!(response.peers, ["10.0.0.1:1".parse().expect("an address")]);
}

#[tokio::test]
async fn refusals_count_whatever_the_status() {
    let body = "d14:failure reason7:not now8:retry ini5ee";
    for status in ["200 OK", "400 Bad Request", "503 Busy"] {
        let error = announce(status, body).await.expect_err("a refusal");
        assert_eq!(error.retry(), Some(Retry::After(Duration::from_secs(300))));
        assert_eq!(error.to_string(), "the tracker refused: not now");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_an_error() {
    let error = announce("404 Not Found", "<html>").await;
    assert!(matches!(error, Err(TrackerError::Status(404))), "{error:?}");
    let error = announce("404 Not Found", "de").await;
    assert!(matches!(error, Err(TrackerError::Status(404))), "{error:?}");
    let error = announce("200 OK", "<html>").await;
    assert!(matches!(error, Err(TrackerError::Response(_))), "{error:?}");
    let error = announce("200 OK", &"x".repeat(MAX_RESPONSE + 1)).await;
    assert!(matches!(error, Err(TrackerError::Http(HttpError::TooLong { .. }))), "{error:?}");
}

#[tokio::test]
async fn scrapes_over_http() {
    let hash = InfoHash(*b"aaaaaaaaaaaaaaaaaaaa");
    let body = "d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1e10:downloadedi2e10:incompletei3eeee";
    let ask = async |client: TrackerClient, url: String| client.scrape(&url, &[hash]).await;
    let (head, answer) = exchange("/announce", "200 OK", body, ask).await;
    assert!(head.starts_with("GET /scrape?info_hash=aaaaaaaaaaaaaaaaaaaa "), "{head}");
    let entry = ScrapeEntry { seeders: 1, completed: 2, leechers: 3, downloaders: None };
    assert_eq!(answer.expect("an answer"), [(hash, entry)].into());
}

#[tokio::test]
async fn tr_06_trackers_that_are_none_are_not_asked() {
    let client = TrackerClient::new(Dialer::default());
    for url in [
        "http://127.0.0.1:1/flushall",
        "http://169.254.169.254/announce",
        "udp://169.254.169.254:80/announce",
        "udp://0x7f.1:80/flushall",
        "udp://127.0.0.1:80/flushall",
        "file:///announce",
        "wss://tracker.example/announce",
        "udp:///announce",
        "udp:",
        "ü",
        "",
    ] {
        let error = client.announce(url, &request()).await.expect_err(url);
        let against_the_rules = matches!(
            error,
            TrackerError::Url { .. }
                | TrackerError::Address(_)
                | TrackerError::Http(HttpError::Refused { .. })
        );
        assert!(against_the_rules, "{url}: {error:?}");
    }
}

#[test]
fn hosts_of_udp_trackers_are_read_as_those_of_http() {
    for (url, host, port) in [
        ("udp://Tracker.Example:6969/announce", "tracker.example", 6969),
        ("UDP://tracker.example", "tracker.example", 80),
        ("udp://127.1:80", "127.0.0.1", 80),
        ("udp://[::1]:1/", "[::1]", 1),
        ("udp://bücher.example:1", "xn--bcher-kva.example", 1),
    ] {
        let tracker = Tracker::read(url).expect(url);
        let (read, read_port) = tracker.udp.expect("UDP");
        assert_eq!((read.to_string().as_str(), read_port), (host, port));
    }
}

#[tokio::test(start_paused = true)]
async fn the_slower_family_is_not_waited_for_long() {
    let answer = async |after: u64, result: Result<u64, ()>| {
        tokio::time::sleep(Duration::from_secs(after)).await;
        result
    };
    assert_eq!(both(answer(1, Ok(4)), answer(3, Ok(6))).await, (Some(Ok(4)), Some(Ok(6))));
    assert_eq!(both(answer(1, Ok(4)), answer(9, Ok(6))).await, (Some(Ok(4)), None));
    assert_eq!(both(answer(9, Ok(4)), answer(1, Ok(6))).await, (None, Some(Ok(6))));
    assert_eq!(both(answer(1, Err(())), answer(9, Ok(6))).await, (Some(Err(())), Some(Ok(6))));
}
