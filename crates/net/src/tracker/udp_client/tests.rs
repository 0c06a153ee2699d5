//! Against a tracker that follows a script.

use super::*;
use bittorrent::id::PeerId;
use bittorrent::tracker::Event;
use bittorrent::tracker::udp::{Request, announce_head, write_connect, write_error, write_scrape};

fn request() -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash([1; 20]),
        peer_id: PeerId([2; 20]),
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

struct Script {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Script {
    async fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = socket.local_addr().expect("its address");
        Self { socket, address }
    }

    async fn next(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 2048];
        let (len, from) = self.socket.recv_from(&mut buffer).await.expect("a datagram");
        buffer.truncate(len);
        (buffer, from)
    }

    async fn connect(&self, id: u64) -> SocketAddr {
        let (bytes, from) = self.next().await;
        let Ok(Request::Connect { transaction }) = Request::decode(&bytes) else {
            panic!("not a connect: {bytes:?}")
        };
        self.send(from, |out| write_connect(out, transaction, ConnectionId(id))).await;
        from
    }

    async fn announced(&self, expected: u64) -> (TransactionId, SocketAddr) {
        let (bytes, from) = self.next().await;
        let Ok(Request::Announce { connection, transaction, .. }) = Request::decode(&bytes) else {
            panic!("not an announce: {bytes:?}")
        };
        assert_eq!(connection, ConnectionId(expected));
        (transaction, from)
    }

    async fn send(&self, to: SocketAddr, write: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        write(&mut out);
        self.socket.send_to(&out, to).await.expect("sent");
    }

    async fn answer(&self, to: SocketAddr, transaction: TransactionId, leechers: u32) {
        let head = announce_head(transaction, 1800, leechers, 0);
        self.send(to, |out| out.extend_from_slice(&head)).await;
    }
}

fn client(first_wait: Duration) -> UdpClient {
    UdpClient { first_wait, ..UdpClient::new(Dialer::default()) }
}

#[tokio::test]
async fn ids_are_used_again_and_asked_for_again_after_a_refusal() {
    let (script, client) = (Script::new().await, client(FIRST_WAIT));
    let tracker = async {
        script.connect(7).await;
        for leechers in [1, 2] {
            let (transaction, from) = script.announced(7).await;
            script.answer(from, transaction, leechers).await;
        }
        let (transaction, from) = script.announced(7).await;
        script.send(from, |out| write_error(out, transaction, "connection id")).await;
        script.connect(8).await;
        let (transaction, from) = script.announced(8).await;
        script.send(from, |out| write_error(out, transaction, "not registered")).await;
    };
    let asker = async {
        for leechers in [1, 2] {
            let response = client.announce(script.address, &request(), b"/announce").await;
            assert_eq!(response.expect("an answer").leechers, Some(leechers));
        }
        let refused = client.announce(script.address, &request(), b"/announce").await;
        assert!(
            matches!(&refused, Err(TrackerError::Refused(why)) if why.reason == "not registered"),
            "{refused:?}"
        );
    };
    tokio::join!(tracker, asker);
}

#[tokio::test]
async fn tr_09_replies_that_do_not_fit_are_dropped() {
    let (script, client) = (Script::new().await, client(FIRST_WAIT));
    let tracker = async {
        script.connect(7).await;
        let (transaction, from) = script.announced(7).await;
        let wrong = TransactionId(transaction.0.wrapping_add(1));
        script.answer(from, wrong, 9).await;
        script.send(from, |out| write_connect(out, transaction, ConnectionId(9))).await;
        script.send(from, |out| write_scrape(out, transaction, [])).await;
        script.send(from, |out| out.extend([0; 7])).await;
        script.send(from, |out| out.extend([0xff; 40])).await;
        script.send(from, |_| {}).await;
        let stranger = Script::new().await;
        stranger.answer(from, transaction, 9).await;
        script.answer(from, transaction, 3).await;
    };
    let request = request();
    let asker = client.announce(script.address, &request, b"");
    let ((), response) = tokio::join!(tracker, asker);
    assert_eq!(response.expect("an answer").leechers, Some(3));
}

#[tokio::test]
async fn tr_09_connection_ids_are_not_used_beyond_a_minute() {
    let (script, client) = (Script::new().await, client(FIRST_WAIT));
    let tracker = async {
        script.connect(7).await;
        let (transaction, from) = script.announced(7).await;
        script.answer(from, transaction, 1).await;
        let first = from;
        let second = script.connect(8).await;
        assert_ne!(first, second);
        let (transaction, from) = script.announced(8).await;
        script.answer(from, transaction, 1).await;
    };
    let asker = async {
        client.announce(script.address, &request(), b"").await.expect("an answer");
        for connection in client.kept.lock().expect("unpoisoned").iter_mut() {
            let (id, since) = connection.id.expect("an id");
            let long_ago = since.checked_sub(ID_LIFETIME).expect("a time before");
            connection.id = Some((id, long_ago));
        }
        client.announce(script.address, &request(), b"").await.expect("an answer");
    };
    tokio::join!(tracker, asker);
}

#[tokio::test]
async fn lost_datagrams_are_sent_again_and_then_no_more() {
    let (script, client) = (Script::new().await, client(Duration::from_millis(100)));
    let tracker = async {
        script.next().await;
        script.connect(7).await;
        script.announced(7).await;
        let (transaction, from) = script.announced(7).await;
        script.answer(from, transaction, 1).await;
        for _ in 0..ATTEMPTS {
            script.announced(7).await;
        }
    };
    let asker = async {
        // One attempt is lost at each step, and there are three.
        client.announce(script.address, &request(), b"").await.expect("an answer");
        let silence = client.announce(script.address, &request(), b"").await;
        assert!(matches!(silence, Err(TrackerError::NoAnswer)), "{silence:?}");
    };
    tokio::join!(tracker, asker);
}

#[tokio::test]
async fn a_closed_port_is_an_error_at_once() {
    let address = Script::new().await.address;
    let error = client(FIRST_WAIT).announce(address, &request(), b"").await;
    assert!(matches!(error, Err(TrackerError::Io(_))), "{error:?}");
}

#[tokio::test]
async fn scrapes_are_bounded_and_in_order() {
    let (script, client) = (Script::new().await, client(FIRST_WAIT));
    let entries = [1, 2].map(|seeders| ScrapeEntry { seeders, ..ScrapeEntry::default() });
    let tracker = async {
        script.connect(7).await;
        let (bytes, from) = script.next().await;
        let Ok(Request::Scrape { transaction, hashes, .. }) = Request::decode(&bytes) else {
            panic!("not a scrape: {bytes:?}")
        };
        assert_eq!(hashes, [[1; 20], [2; 20]]);
        script.send(from, |out| write_scrape(out, transaction, entries)).await;
    };
    let hashes = [InfoHash([1; 20]), InfoHash([2; 20])];
    let ((), answer) = tokio::join!(tracker, client.scrape(script.address, &hashes));
    assert_eq!(answer.expect("an answer"), entries);
    for count in [0, 75] {
        let none = client.scrape(script.address, &vec![InfoHash([1; 20]); count]).await;
        assert!(matches!(none, Err(TrackerError::ScrapeLen(_))), "{none:?}");
    }
}
