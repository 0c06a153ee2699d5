//! uTP over real sockets on loopback, both ends in one process.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use bittorrent::utp::Config;
use net::utp::{Endpoint, UtpStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::sync::Notify;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn on_local_set(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(PATIENCE, test).await.expect("it hangs");
    });
}

async fn endpoint(seed: u64) -> Endpoint {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    Endpoint::new(socket, Config::default(), seed).unwrap()
}

async fn pair(a: &Endpoint, b: &Endpoint) -> (UtpStream, UtpStream) {
    let greet = async {
        let mut dialed = a.connect(b.local_addr()).await.unwrap();
        dialed.write_all(b"!").await.unwrap();
        dialed
    };
    let (dialed, mut accepted) = tokio::join!(greet, b.accept());
    assert_eq!(accepted.read_u8().await.unwrap(), b'!');
    (dialed, accepted)
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n.wrapping_mul(0x9e37_79b1) >> 11) as u8).collect()
}

#[test]
fn megabytes_pass_both_ways_at_once() {
    on_local_set(async {
        let (a, b) = (endpoint(1).await, endpoint(2).await);
        let (dialed, accepted) = pair(&a, &b).await;
        assert_eq!(dialed.peer_addr(), b.local_addr());
        assert_eq!(accepted.peer_addr(), a.local_addr());
        let content = bytes(8 << 20);
        let run = |stream: UtpStream| async {
            let (mut input, mut output) = tokio::io::split(stream);
            let mut received = Vec::new();
            let write = async {
                output.write_all(&content).await.unwrap();
                output.shutdown().await.unwrap();
            };
            let (_, read) = tokio::join!(write, input.read_to_end(&mut received));
            read.unwrap();
            assert!(received == content);
        };
        tokio::join!(run(dialed), run(accepted));
        tokio::join!(a.wait_idle(), b.wait_idle());
        assert_eq!((a.stats().malformed, b.stats().malformed), (0, 0));
    });
}

#[test]
fn many_connections_share_two_sockets() {
    on_local_set(async {
        let (a, b) = (endpoint(1).await, endpoint(2).await);
        let content = bytes(100_000);
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..50 {
            let (mut dialed, mut accepted) = pair(&a, &b).await;
            let content = content[n..].to_vec();
            tasks.spawn_local(async move {
                let write = async {
                    dialed.write_all(&content).await.unwrap();
                    dialed.shutdown().await.unwrap();
                };
                let mut received = Vec::new();
                let (_, read) = tokio::join!(write, accepted.read_to_end(&mut received));
                read.unwrap();
                assert!(received == content, "connection {n}");
            });
        }
        while let Some(result) = tasks.join_next().await {
            result.unwrap();
        }
    });
}

#[test]
fn a_dropped_stream_delivers_what_was_written() {
    on_local_set(async {
        let (a, b) = (endpoint(1).await, endpoint(2).await);
        let (mut dialed, mut accepted) = pair(&a, &b).await;
        let content = bytes(60_000);
        dialed.write_all(&content).await.unwrap();
        drop((dialed, a));
        let mut received = Vec::new();
        accepted.read_to_end(&mut received).await.unwrap();
        assert!(received == content);
    });
}

#[test]
fn an_aborted_connection_fails_at_the_other_end() {
    on_local_set(async {
        let (a, b) = (endpoint(1).await, endpoint(2).await);
        let (dialed, mut accepted) = pair(&a, &b).await;
        dialed.abort();
        let error = accepted.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let error = dialed.try_write(b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    });
}

#[test]
fn calls_that_would_wait_say_so() {
    on_local_set(async {
        let (a, b) = (endpoint(1).await, endpoint(2).await);
        let (dialed, accepted) = pair(&a, &b).await;
        let mut out = [0; 10];
        assert_eq!(dialed.try_read(&mut out).unwrap_err().kind(), ErrorKind::WouldBlock);
        // The driver has no turn in between, so that room runs out.
        let chunk = [0; 64 << 10];
        let full = loop {
            if let Err(error) = dialed.try_write(&chunk) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        std::future::poll_fn(|cx| dialed.poll_write_ready(cx)).await;
        assert!(dialed.try_write(&chunk).unwrap() > 0);
        std::future::poll_fn(|cx| accepted.poll_read_ready(cx)).await;
        assert!(accepted.try_read(&mut out).unwrap() > 0);
    });
}

#[test]
fn other_datagrams_on_the_socket_reach_their_taker() {
    on_local_set(async {
        let (a, b) = (endpoint(1).await, endpoint(2).await);
        let heard = Rc::new((RefCell::new(Vec::new()), Notify::new()));
        let taker = Rc::clone(&heard);
        b.on_datagram(move |from, bytes| {
            taker.0.borrow_mut().push((from, bytes.to_vec()));
            taker.1.notify_one();
        });
        let query = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
        // At once: nothing has been sent or received on either socket.
        a.send_to(query, b.local_addr()).unwrap();
        heard.1.notified().await;
        assert_eq!(*heard.0.borrow(), [(a.local_addr(), query.to_vec())]);
    });
}
