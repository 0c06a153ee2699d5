//! Our client against trackers of other hands: opentracker, and bittorrent-tracker of WebTorrent.
//! They must be installed; `BITTORRENT_TRACKER` may name the latter's program.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bittorrent::id::{InfoHash, PeerId};
use bittorrent::tracker::{AnnounceRequest, AnnounceResponse, Event};
use net::dialer::Dialer;
use net::tracker::{TrackerClient, TrackerError};

/// Of ASCII, for WebTorrent's tracker writes other bytes as UTF-8 into the keys of its scrapes.
const HASH: InfoHash = InfoHash([0x5a; 20]);
/// How long a tracker may take to begin.
const START: Duration = Duration::from_secs(20);

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(command: &mut Command) -> Running {
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Running(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
}

/// A port that is free for both kinds of sockets.
fn free_port() -> u16 {
    for _ in 0..50 {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = tcp.local_addr().expect("its address");
        if UdpSocket::bind(address).is_ok() {
            return address.port();
        }
    }
    panic!("no port is free for both TCP and UDP");
}

fn request(port: u16, left: u64, event: Event) -> AnnounceRequest {
    AnnounceRequest {
        info_hash: HASH,
        peer_id: PeerId(std::array::from_fn(|_| port as u8)),
        port,
        uploaded: 0,
        downloaded: 0,
        left,
        event,
        key: port.into(),
        num_want: Some(10),
        tracker_id: None,
        ipv4: None,
        ipv6: None,
    }
}

/// Announces until the tracker is there to answer: one that has a list of torrents refuses all of them
/// until it has read that.
async fn first(client: &TrackerClient, url: &str) -> AnnounceResponse {
    let begun = Instant::now();
    loop {
        match client.announce(url, &request(1001, 0, Event::Started)).await {
            Ok(response) => return response,
            Err(TrackerError::Io(_) | TrackerError::Http(_) | TrackerError::Refused(_))
                if begun.elapsed() < START =>
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{url}: {error}"),
        }
    }
}

fn ports(response: &AnnounceResponse) -> Vec<u16> {
    let mut ports: Vec<_> = response.peers.iter().map(SocketAddr::port).collect();
    ports.sort_unstable();
    ports
}

/// A seed comes, a leecher comes and finds it, numbers are asked for, the seed leaves.
async fn story(port: u16) {
    let client = TrackerClient::new(Dialer::default());
    for (n, scheme) in ["http", "udp"].into_iter().enumerate() {
        let url = format!("{scheme}://127.0.0.1:{port}/announce");
        first(&client, &url).await;
        let leecher = 2_001 + n as u16;
        let response =
            client.announce(&url, &request(leecher, 5, Event::Started)).await.expect(&url);
        assert!(ports(&response).contains(&1001), "{url}: {response:?}");
        assert!(response.interval >= Duration::from_secs(60));
        let scraped = client.scrape(&url, &[HASH]).await.expect(&url);
        assert_eq!(scraped[&HASH].seeders, 1, "{url}");
        assert_eq!(scraped[&HASH].leechers, 1 + n as u32, "{url}");
        client.announce(&url, &request(1001, 0, Event::Stopped)).await.expect(&url);
        let response =
            client.announce(&url, &request(leecher, 5, Event::Periodic)).await.expect(&url);
        assert!(!ports(&response).contains(&1001), "{url}: {response:?}");
    }
}

#[tokio::test]
#[ignore = "interop tier: run by .ci/run"]
async fn interop_opentracker() {
    let dir = tempfile::tempdir().expect("a folder");
    // Debian's build serves what is on its list only, and looks for that below its folder.
    std::fs::write(dir.path().join("list"), format!("{HASH}\n")).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), mode).expect("readable for whom it becomes");
    let port = free_port().to_string();
    let _tracker = run(Command::new("opentracker")
        .args(["-i", "127.0.0.1", "-p", &port, "-P", &port, "-w", "list", "-d"])
        .arg(dir.path()));
    story(port.parse().expect("a port")).await;
}

#[tokio::test]
#[ignore = "interop tier: run by .ci/run"]
async fn interop_webtorrents_tracker() {
    let program = std::env::var_os("BITTORRENT_TRACKER").unwrap_or("bittorrent-tracker".into());
    let port = free_port().to_string();
    // It also speaks WebRTC, whose native part is not installed.
    let without = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/interop/no_webrtc.mjs");
    let _tracker = run(Command::new(program)
        .env("NODE_OPTIONS", format!("--import {without}"))
        .args(["--http", "--http-hostname", "127.0.0.1"])
        .args(["--udp", "--udp-hostname", "127.0.0.1"])
        .args(["--port", &port]));
    story(port.parse().expect("a port")).await;
}
