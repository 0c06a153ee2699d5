//! A stranger that sends its handshake a byte at a time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use net::session::{AddTorrent, Session, SessionConfig, Source};

/// What a stranger may take, in all.
const GREETING: Duration = Duration::from_secs(10);

#[test]
fn pw_02_a_handshake_of_a_byte_a_second_is_closed_after_ten_seconds_in_all() {
    let dir = tempfile::tempdir().expect("a folder");
    let session = Session::start(SessionConfig {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        lsd: false,
        ..SessionConfig::default()
    })
    .expect("a session");
    let link = "magnet:?xt=urn:btih:0102030405060708090a0b0c0d0e0f1011121314";
    let magnet = bittorrent::magnet::Magnet::parse(link).expect("a magnet link");
    session
        .add(AddTorrent::new(Source::Magnet(Box::new(magnet)), dir.path().to_owned()))
        .expect("a torrent");

    let mut stream = TcpStream::connect(session.listen_addrs()[0]).expect("it listens");
    // The end of the stream is awaited a second at a time, and a byte is sent in between.
    stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a time-out");
    let began = Instant::now();
    let handshake = [&b"\x13BitTorrent protocol"[..], &[0; 48]].concat();
    for byte in handshake {
        let sent = stream.write_all(&[byte]);
        let read = stream.read(&mut [0]);
        if sent.is_err() || matches!(read, Ok(0)) {
            break;
        }
        let waits = read.as_ref().is_err_and(|error| {
            matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
        });
        if !waits {
            break;
        }
    }
    let took = began.elapsed();
    assert!(took >= GREETING - Duration::from_secs(1), "closed after {took:?}");
    assert!(took < GREETING + Duration::from_secs(5), "closed after {took:?}");
    session.shutdown();
}
