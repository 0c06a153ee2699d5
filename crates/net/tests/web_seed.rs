//! Sessions that fetch from web seeds, over real loopback sockets and real files.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bittorrent::metainfo::Metainfo;
use net::create::{CreateOptions, Kind, create};
use net::session::{
    AddTorrent, Session, SessionConfig, Source, Torrent, TorrentState, TorrentStats, Transport,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// How a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Honest,
    /// Sends whole files whatever is asked for.
    NoRanges,
    Missing,
    /// Flips a bit in all that it sends.
    Lying,
    /// Sends elsewhere.
    Redirects,
    /// Is busy for a second at first.
    Busy,
    /// Breaks off in the middle of the first body.
    Breaks,
    /// Speaks BEP 17, and is busy at first.
    Script,
}

/// What a server saw: targets and ranges.
type Seen = Arc<Mutex<Vec<String>>>;

/// An HTTP server on a thread, for as long as the test runs.
struct Server {
    address: SocketAddr,
    seen: Seen,
}

impl Server {
    /// Serves files by path; a redirecting one leads to `other`.
    fn start(files: HashMap<String, Vec<u8>>, manner: Manner, other: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("its address");
        let seen = Seen::default();
        let (files, watched) = (Arc::new(files), seen.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (files, seen) = (files.clone(), watched.clone());
                std::thread::spawn(move || serve(&stream, &files, manner, other, &seen));
            }
        });
        Self { address, seen }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn requests(&self) -> Vec<String> {
        self.seen.lock().expect("not poisoned").clone()
    }
}

/// Answers the requests of one connection.
fn serve(
    stream: &TcpStream,
    files: &HashMap<String, Vec<u8>>,
    manner: Manner,
    other: Option<SocketAddr>,
    seen: &Seen,
) {
    stream.set_nodelay(true).expect("an option of TCP");
    let mut lines = BufReader::new(stream);
    loop {
        let (mut target, mut range) = (String::new(), None);
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("get ") {
                target = rest.split(' ').next().unwrap_or_default().to_owned();
            } else if let Some(rest) = line.strip_prefix("range: bytes=") {
                let (first, last) = rest.split_once('-').expect("one range");
                let parse = |text: &str| text.parse::<usize>().expect("a number");
                range = Some((parse(first), parse(last)));
            }
        }
        let first_request = {
            let mut seen = seen.lock().expect("not poisoned");
            seen.push(format!("{target} {range:?}"));
            seen.len() == 1
        };
        let bytes = files.get(&target);
        let response = match (manner, bytes) {
            (Manner::Redirects, _) => {
                let to = other.expect("somewhere to go");
                format!("302 Found\r\nLocation: http://{to}{target}\r\nContent-Length: 0\r\n\r\n")
                    .into_bytes()
            }
            (Manner::Busy, _) if first_request => {
                b"503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n".to_vec()
            }
            (Manner::Script, _) if first_request => {
                b"503 Busy\r\nContent-Length: 1\r\n\r\n1".to_vec()
            }
            (Manner::Script, _) => script(&target, files),
            (Manner::Missing, _) | (_, None) => {
                b"404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec()
            }
            (_, Some(bytes)) => {
                let mut response = part(bytes, range.filter(|_| manner != Manner::NoRanges));
                if manner == Manner::Lying {
                    *response.last_mut().expect("a body") ^= 1;
                }
                response
            }
        };
        let whole = [b"HTTP/1.1 ", &response[..]].concat();
        let breaks = manner == Manner::Breaks && first_request;
        let sent = if breaks { &whole[..whole.len() - 20_000] } else { &whole[..] };
        if (&*stream).write_all(sent).is_err() || breaks {
            return;
        }
    }
}

/// A response with a file, or a range of it.
fn part(bytes: &[u8], range: Option<(usize, usize)>) -> Vec<u8> {
    let (head, body) = match range {
        Some((first, last)) => {
            let content = format!("Content-Range: bytes {first}-{last}/{}\r\n", bytes.len());
            (format!("206 Partial Content\r\n{content}"), &bytes[first..=last])
        }
        None => ("200 OK\r\n".to_owned(), bytes),
    };
    let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// What a BEP 17 script answers; pieces of [`PIECE_LEN`] of the only file.
fn script(target: &str, files: &HashMap<String, Vec<u8>>) -> Vec<u8> {
    let value = |key: &str| {
        target
            .split(['?', '&'])
            .find_map(|parameter| parameter.strip_prefix(key)?.strip_prefix('='))
    };
    let bytes = files.values().next().expect("a file");
    assert!(value("info_hash").is_some());
    let piece: usize = value("piece").and_then(|piece| piece.parse().ok()).expect("a piece");
    let start = piece * PIECE_LEN as usize;
    let piece = &bytes[start..bytes.len().min(start + PIECE_LEN as usize)];
    let (first, last) = match value("ranges").and_then(|ranges| ranges.split_once('-')) {
        Some((first, last)) => (first.parse().expect("first"), last.parse().expect("last")),
        None => (0, piece.len() - 1),
    };
    part(&piece[first..=last], None)
}

const PIECE_LEN: u32 = 65_536;

fn payload(len: usize, seed: u64) -> Vec<u8> {
    let mut rng = machine::Rng::new(seed);
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    bytes
}

/// A torrent and the files that a server has, by their path on it.
struct Made {
    metainfo: Metainfo,
    files: HashMap<String, Vec<u8>>,
    /// The same, by their path on disk.
    on_disk: Vec<(String, Vec<u8>)>,
}

fn many(kind: Kind) -> Made {
    let source = tempfile::tempdir().expect("temp dir");
    let root = source.path().join("a set");
    std::fs::create_dir_all(root.join("sub")).expect("mkdir");
    let (mut files, mut on_disk) = (HashMap::new(), Vec::new());
    for (index, len) in [1_000_000, 0, 5, 70_000, 3_333_333].into_iter().enumerate() {
        let name = if index == 3 { "sub/100%.bin".into() } else { format!("file{index}.bin") };
        let bytes = payload(len, index as u64);
        std::fs::write(root.join(&name), &bytes).expect("write");
        files.insert(format!("/pub/a%20set/{}", name.replace('%', "%25")), bytes.clone());
        on_disk.push((format!("a set/{name}"), bytes));
    }
    Made { metainfo: torrent_of(&root, kind), files, on_disk }
}

fn single(kind: Kind, len: usize) -> Made {
    let source = tempfile::tempdir().expect("temp dir");
    let path = source.path().join("one.bin");
    let bytes = payload(len, 7);
    std::fs::write(&path, &bytes).expect("write");
    let files = HashMap::from([("/pub/one.bin".to_owned(), bytes.clone())]);
    let on_disk = vec![("one.bin".to_owned(), bytes)];
    Made { metainfo: torrent_of(&path, kind), files, on_disk }
}

fn torrent_of(path: &std::path::Path, kind: Kind) -> Metainfo {
    let options = CreateOptions { kind, piece_len: Some(PIECE_LEN), ..CreateOptions::default() };
    create(path, &options, &|_, _| {}).expect("create")
}

fn config(listen: [u8; 4]) -> SessionConfig {
    let listen = vec![SocketAddr::from((listen, 0))];
    SessionConfig { listen, lsd: false, utp: false, ..SessionConfig::default() }
}

/// Waits until a picture of the torrent satisfies `until`.
fn await_stats(torrent: &Torrent, until: impl Fn(&TorrentStats) -> bool) -> TorrentStats {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stats = torrent.stats().expect("session runs");
        if until(&stats) {
            return stats;
        }
        if let Some(why) = &stats.progress.error {
            panic!("failed: {why}");
        }
        assert!(Instant::now() < deadline, "stuck: {stats:#?}");
        let _ = torrent.wait_while(stats.state, Duration::from_millis(50));
    }
}

/// Fetches a torrent from web seeds alone, checks the files, and returns the last picture.
fn fetch(made: &Made, web_seeds: Vec<String>) -> TorrentStats {
    fetch_with(made, web_seeds, config([127, 0, 0, 1]))
}

fn fetch_with(made: &Made, web_seeds: Vec<String>, config: SessionConfig) -> TorrentStats {
    let target = tempfile::tempdir().expect("temp dir");
    let session = Session::start(config).expect("start");
    let source = Source::Metainfo(Box::new(made.metainfo.clone()));
    let add = AddTorrent { web_seeds, ..AddTorrent::new(source, target.path().to_owned()) };
    let torrent = session.add(add).expect("add");
    let stats = await_stats(&torrent, |stats| stats.state == TorrentState::Seeding);
    for (name, bytes) in &made.on_disk {
        let read = std::fs::read(target.path().join(name)).expect(name);
        assert!(read == *bytes, "{name} differs");
    }
    session.shutdown();
    stats
}

fn is_complete_from_one_seed(stats: &TorrentStats) {
    assert_eq!(stats.progress.bytes_have, stats.progress.bytes_wanted);
    let all: Vec<_> = stats.peers.iter().chain(&stats.peers_past).collect();
    assert!(!all.is_empty(), "the web seed is shown");
    for peer in &all {
        assert_eq!(peer.transport, Transport::Http);
        assert_eq!(peer.client, "HTTP 127.0.0.1");
        assert!(peer.listens.is_none(), "nobody else hears of it");
    }
    let downloaded: u64 = all.iter().map(|peer| peer.downloaded).sum();
    assert!(downloaded >= stats.progress.bytes_wanted);
    assert_eq!(stats.progress.wasted, 0);
}

#[test]
fn many_files_of_every_kind() {
    for kind in [Kind::V1, Kind::Hybrid, Kind::V2] {
        let made = many(kind);
        let server = Server::start(made.files.clone(), Manner::Honest, None);
        is_complete_from_one_seed(&fetch(&made, vec![server.url("/pub")]));
        let requests = server.requests();
        let blocks: usize = made.on_disk.iter().map(|(_, bytes)| bytes.len() / 16_384).sum();
        assert!(requests.len() < blocks, "{} requests", requests.len());
        assert!(
            !requests.iter().any(|request| request.contains("pad")),
            "padding is not asked for"
        );
    }
}

#[test]
fn one_file_below_the_url_or_at_it() {
    let made = single(Kind::Hybrid, 1_000_000);
    let server = Server::start(made.files.clone(), Manner::Honest, None);
    for path in ["/pub/", "/pub/one.bin"] {
        is_complete_from_one_seed(&fetch(&made, vec![server.url(path)]));
    }
}

#[test]
fn seeds_that_the_torrent_names() {
    let mut made = single(Kind::V1, 300_000);
    let server = Server::start(made.files.clone(), Manner::Honest, None);
    made.metainfo.web_seeds = vec!["ftp://127.0.0.1/".into(), server.url("/pub/")];
    is_complete_from_one_seed(&fetch(&made, Vec::new()));
}

#[test]
fn scripts_are_asked_for_pieces() {
    let mut made = single(Kind::V1, 1_000_000);
    let server = Server::start(made.files.clone(), Manner::Script, None);
    made.metainfo.http_seeds = vec![server.url("/seed.php")];
    is_complete_from_one_seed(&fetch(&made, Vec::new()));
}

#[test]
fn small_files_from_a_server_without_ranges() {
    let made = single(Kind::V1, 500_000);
    let server = Server::start(made.files.clone(), Manner::NoRanges, None);
    is_complete_from_one_seed(&fetch(&made, vec![server.url("/pub/")]));
}

#[test]
fn a_redirect_is_followed() {
    let made = many(Kind::V1);
    let far = Server::start(made.files.clone(), Manner::Honest, None);
    let near = Server::start(HashMap::new(), Manner::Redirects, Some(far.address));
    is_complete_from_one_seed(&fetch(&made, vec![near.url("/pub/")]));
}

#[test]
fn a_busy_server_is_asked_again() {
    for manner in [Manner::Busy, Manner::Breaks] {
        let made = single(Kind::V1, 300_000);
        let server = Server::start(made.files.clone(), manner, None);
        let stats = fetch(&made, vec![server.url("/pub/")]);
        assert_eq!(stats.progress.bytes_have, stats.progress.bytes_wanted, "{manner:?}");
    }
}

#[test]
fn a_server_without_the_file_is_given_up() {
    let made = many(Kind::V1);
    let missing = Server::start(HashMap::new(), Manner::Missing, None);
    let honest = Server::start(made.files.clone(), Manner::Honest, None);
    let stats = fetch(&made, vec![missing.url("/pub/"), honest.url("/pub/")]);
    assert_eq!(stats.progress.bytes_have, stats.progress.bytes_wanted);
    // Two reads may be under way when the first is refused.
    assert!((1..=2).contains(&missing.requests().len()), "{:?}", missing.requests());
}

#[test]
fn a_liar_is_found_and_the_rest_comes_from_others() {
    let made = single(Kind::V1, 4_000_000);
    let liar = Server::start(made.files.clone(), Manner::Lying, None);
    let honest = Server::start(made.files.clone(), Manner::Honest, None);
    let stats = fetch(&made, vec![liar.url("/pub/"), honest.url("/pub/")]);
    assert_eq!(stats.progress.bytes_have, stats.progress.bytes_wanted);
    let lied = liar.requests().len();
    assert!(lied < honest.requests().len(), "{lied} requests to the liar");
}

#[test]
fn the_download_limit_holds() {
    let made = single(Kind::V1, 1_500_000);
    let server = Server::start(made.files.clone(), Manner::Honest, None);
    let config = SessionConfig { download_limit: Some(1_000_000), ..config([127, 0, 0, 1]) };
    let began = Instant::now();
    is_complete_from_one_seed(&fetch_with(&made, vec![server.url("/pub/")], config));
    assert!(began.elapsed() > Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn a_stranger_cannot_send_us_to_this_host() {
    let mut made = single(Kind::V1, 300_000);
    let inner = Server::start(made.files.clone(), Manner::Honest, None);
    let of_user = Server::start(made.files.clone(), Manner::Honest, None);
    made.metainfo.web_seeds = vec![inner.url("/pub/")];
    made.metainfo.http_seeds = vec![inner.url("/seed.php")];
    // Not confined to loopback, though in this test nobody outside is spoken to.
    let stats = fetch_with(&made, vec![of_user.url("/pub/")], config([0, 0, 0, 0]));
    is_complete_from_one_seed(&stats);
    assert_eq!(inner.requests(), Vec::<String>::new());
}
