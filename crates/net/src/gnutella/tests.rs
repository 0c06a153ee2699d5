//! Servents on this host, with real sockets and files.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use search::gnutella::servent::Mode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const WITHIN: Duration = Duration::from_secs(60);

fn config(mode: Mode) -> Config {
    let mut config = Config::new(SocketAddr::from(([127, 0, 0, 1], 0)), mode);
    config.tuning.tick = Duration::from_millis(200);
    config.tuning.dynamic_pause = Duration::from_millis(200);
    config.tuning.slots = 1 << 12;
    config
}

fn start(config: Config, known: &[SocketAddr]) -> Node {
    let node = Node::start(config).expect("a node");
    let (joining, known) = (node.clone(), known.to_vec());
    tokio::spawn(async move { joining.join(&known).await });
    node
}

async fn has_neighbours(node: &Node, count: usize) {
    let wait = async {
        loop {
            let picture = node.look().await.expect("it runs");
            if picture.neighbours.len() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(WITHIN, wait).await.expect("neighbours in time");
}

async fn share(node: &Node, dir: &Path, name: &str, len: usize) -> SharedFile {
    let bytes: Vec<u8> = (0..len as u32).map(|n| ((n * 31) >> 3) as u8 ^ (n >> 11) as u8).collect();
    let path = dir.join(name);
    std::fs::write(&path, bytes).expect("a file");
    node.publish(&path).await.expect("shared")
}

/// Searches again and again: tables of words take a while to travel.
async fn find(node: &Node, words: &str, is: impl Fn(&Found) -> bool) -> Found {
    let until = tokio::time::Instant::now() + WITHIN;
    while tokio::time::Instant::now() < until {
        let mut search = node.search(words, None).await;
        if let Some(found) = first(&mut search, Duration::from_secs(3), &is).await {
            return found;
        }
    }
    panic!("nobody has {words}")
}

#[tokio::test]
async fn a_leaf_finds_what_another_shares_and_fetches_it_verified() {
    let dir = tempfile::tempdir().expect("a folder");
    let hub = start(config(Mode::Ultrapeer), &[]);
    let known = [hub.address()];
    let (giver, taker) = (start(config(Mode::Leaf), &known), start(config(Mode::Leaf), &known));
    let file = share(&giver, dir.path(), "golden reef atlas.bin", 2_500_000).await;
    has_neighbours(&giver, 1).await;
    has_neighbours(&taker, 1).await;
    let found = find(&taker, "golden reef", |found| found.sha1 == Some(file.sha1)).await;
    assert_eq!((found.len, found.addr), (file.len, giver.address()));
    let to = dir.path().join("taken.bin");
    let want = Want::of(&found).expect("a hash");
    let fetched = taker.fetch(want, &to, watch::Sender::default()).await.expect("fetched");
    assert!(fetched.by_hashes);
    let gave = |gave: &Gave| (gave.addr, gave.bytes);
    assert_eq!(fetched.from.iter().map(gave).collect::<Vec<_>>(), [(giver.address(), 2_500_000)]);
    assert_eq!(Share::hash(&to).expect("a file").file.sha1, file.sha1);
    let browsed = taker.browse(giver.address()).await.expect("browsed");
    assert_eq!(browsed, [(file.name, file.len, Some(file.sha1))]);
}

#[tokio::test]
async fn a_servent_that_cannot_be_reached_gives_by_push() {
    let dir = tempfile::tempdir().expect("a folder");
    let hub = start(config(Mode::Ultrapeer), &[]);
    let known = [hub.address()];
    let hidden = start(Config { firewalled: true, ..config(Mode::Leaf) }, &known);
    let taker = start(config(Mode::Leaf), &known);
    let file = share(&hidden, dir.path(), "hidden pearl.bin", 300_000).await;
    has_neighbours(&taker, 1).await;
    let found = find(&taker, "hidden pearl", |found| found.sha1 == Some(file.sha1)).await;
    assert!(found.push);
    let to = dir.path().join("taken.bin");
    let fetched = taker
        .fetch(Want::of(&found).expect("a hash"), &to, watch::Sender::default())
        .await
        .expect("fetched");
    assert_eq!(fetched.from.len(), 1);
    assert_eq!(Share::hash(&to).expect("a file").file.sha1, file.sha1);
}

#[tokio::test]
async fn bad_blocks_are_thrown_away_and_taken_from_others() {
    let dir = tempfile::tempdir().expect("a folder");
    let (good, bad) = (start(config(Mode::Leaf), &[]), start(config(Mode::Leaf), &[]));
    let taker = start(config(Mode::Leaf), &[]);
    let file = share(&good, dir.path(), "reef.bin", 3_000_000).await;
    let other = dir.path().join("other");
    std::fs::create_dir(&other).expect("a folder");
    share(&bad, &other, "reef.bin", 3_000_000).await;
    // It goes on telling the old hashes.
    std::fs::write(other.join("reef.bin"), vec![7; 3_000_000]).expect("a file");
    let source = |node: &Node| From { addr: node.address(), push: None };
    let want = Want {
        sha1: file.sha1,
        len: file.len,
        tree: file.tree,
        sources: vec![source(&bad), source(&good)],
    };
    let fetched = taker
        .fetch(want, &dir.path().join("taken.bin"), watch::Sender::default())
        .await
        .expect("fetched");
    assert!(fetched.by_hashes && fetched.from.iter().all(|gave| gave.addr == good.address()));
}

#[tokio::test]
async fn a_search_crosses_two_ultrapeers_that_a_host_cache_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = start(config(Mode::Ultrapeer), &[]);
    let second = start(config(Mode::Ultrapeer), &[first.address()]);
    has_neighbours(&first, 1).await;
    let giver = start(config(Mode::Leaf), &[first.address()]);
    let taker = start(config(Mode::Leaf), &[second.address()]);
    // One of version 0.4, whose queries and hits are flooded.
    let old = start(config(Mode::Old), &[second.address()]);
    let new = share(&giver, dir.path(), "coral garden.bin", 1_000).await;
    let aged = share(&old, dir.path(), "sunken harbour.bin", 2_000).await;
    for node in [&giver, &taker, &old] {
        has_neighbours(node, 1).await;
    }
    let found = find(&taker, "coral garden", |found| found.sha1 == Some(new.sha1)).await;
    assert_eq!(found.addr, giver.address());
    let found = find(&taker, "sunken harbour", |found| found.sha1 == Some(aged.sha1)).await;
    assert_eq!(found.addr, old.address());
    let found = find(&old, "coral garden", |found| found.sha1 == Some(new.sha1)).await;
    assert_eq!((found.len, found.tree), (new.len, new.tree));
    // By UDP alone: whoever is asked names ultrapeers, and they are dialled.
    let asking = start(config(Mode::Leaf), &[]);
    asking.ask_for_hosts(first.address()).await;
    asking.join(&[]).await;
    has_neighbours(&asking, 1).await;
    let kept = asking.look().await.expect("it runs").hosts;
    assert!(kept.lines().any(|line| line.parse() == Ok(first.address())), "{kept}");
}

#[tokio::test]
async fn a_file_comes_from_several_and_what_came_before_is_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let (one, two) = (start(config(Mode::Leaf), &[]), start(config(Mode::Leaf), &[]));
    let taker = start(config(Mode::Leaf), &[]);
    let file = share(&one, dir.path(), "reef.bin", 6_000_000).await;
    two.publish_known(&dir.path().join("reef.bin"), file.clone()).await.expect("shared");
    let source = |node: &Node| From { addr: node.address(), push: None };
    let want = Want {
        sha1: file.sha1,
        len: file.len,
        tree: file.tree,
        sources: vec![source(&one), source(&two)],
    };
    let to = dir.path().join("taken.bin");
    // A try that is given up once some of it is there.
    let told = watch::Sender::default();
    let mut progress = told.subscribe();
    let early = async {
        let some = progress.wait_for(|progress: &Progress| progress.have > 1_000_000).await;
        some.expect("it goes on").have
    };
    tokio::select! {
        biased;
        have = early => assert!(have < file.len),
        whole = taker.fetch(want.clone(), &to, told) => panic!("too early: {whole:?}"),
    }
    assert!(!to.exists());
    let fetched = taker.fetch(want, &to, watch::Sender::default()).await.expect("fetched");
    assert!(fetched.by_hashes && fetched.kept_blocks > 0 && fetched.from.len() == 2, "{fetched:?}");
    assert_eq!(Share::hash(&to).expect("a file").file.sha1, file.sha1);
}

/// A head, as far as its empty line; what follows is an answer's body.
async fn head(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !read.ends_with(b"\r\n\r\n") {
            read.push(stream.read_u8().await.expect("more"));
        }
    };
    timeout(WITHIN, reading).await.expect("in time");
    String::from_utf8(read).expect("text")
}

/// What is said after a name in a head.
fn said<'a>(head: &'a str, name: &str) -> &'a str {
    let (_, rest) = head.split_once(name).unwrap_or_else(|| panic!("{name} in {head}"));
    rest.split(['\r', ';']).next().unwrap_or_default()
}

#[tokio::test]
async fn whose_turn_it_is_is_called_and_served() {
    let dir = tempfile::tempdir().expect("a folder");
    let giver = start(Config { upload_slots: 1, ..config(Mode::Leaf) }, &[]);
    let file = share(&giver, dir.path(), "reef.bin", 1_000).await;
    let here = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let node = here.local_addr().expect("an address");
    let get = format!("GET /uri-res/N2R?{} HTTP/1.1\r\n", Urn::Sha1(file.sha1).to_text());
    let mut first = TcpStream::connect(giver.address()).await.expect("a connection");
    let one = format!("{get}Range: bytes=0-0\r\n\r\n");
    for _ in 0..2 {
        // Its slot is its own from one request to the next.
        first.write_all(one.as_bytes()).await.expect("sent");
        assert!(head(&mut first).await.starts_with("HTTP/1.1 206 "));
        first.read_u8().await.expect("the byte");
    }
    let mut second = TcpStream::connect(giver.address()).await.expect("a connection");
    let ask = format!("{get}X-Queue: 1.0\r\nX-Node: {node}\r\n\r\n");
    second.write_all(ask.as_bytes()).await.expect("sent");
    let told = head(&mut second).await;
    assert!(told.starts_with("HTTP/1.1 503 Queued\r\n"), "{told}");
    assert!(told.contains("X-Queued: position=1; length=1; lifetime=300; ID="), "{told}");
    assert_eq!((said(&told, "Retry-After: "), said(&told, "queue/")), ("30", "1.0"));
    let ticket = said(&told, "; ID=").to_owned();
    drop((first, second));
    let (mut called, _) = timeout(WITHIN, here.accept()).await.expect("in time").expect("called");
    let mut line = vec![0; format!("QUEUE {ticket} {}\r\n", giver.address()).len()];
    called.read_exact(&mut line).await.expect("a line");
    assert_eq!(line, format!("QUEUE {ticket} {}\r\n", giver.address()).as_bytes());
    let again = format!("{get}X-Queue: 1.0\r\nX-Queued: position=1; ID={ticket}\r\n\r\n");
    called.write_all(again.as_bytes()).await.expect("sent");
    assert!(head(&mut called).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn places_outlive_a_restart_and_are_called() {
    let dir = tempfile::tempdir().expect("a folder");
    let here = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let node = here.local_addr().expect("an address");
    let full = start(Config { upload_slots: 0, ..config(Mode::Leaf) }, &[]);
    let file = share(&full, dir.path(), "reef.bin", 1_000).await;
    let get = format!("GET /uri-res/N2R?{} HTTP/1.1\r\n", Urn::Sha1(file.sha1).to_text());
    let mut stream = TcpStream::connect(full.address()).await.expect("a connection");
    let ask = format!("{get}X-Queue: 1.0\r\nX-Node: {node}\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.expect("sent");
    let ticket = said(&head(&mut stream).await, "; ID=").to_owned();
    let waiting = full.look().await.expect("it runs").waiting;
    drop((full, stream));
    let later = start(Config { waiting, ..config(Mode::Leaf) }, &[]);
    // Nobody is called for a file that is not there yet.
    share(&later, dir.path(), "reef.bin", 1_000).await;
    let (mut called, _) = timeout(WITHIN, here.accept()).await.expect("in time").expect("called");
    let call = format!("QUEUE {ticket} {}\r\n", later.address());
    let mut line = vec![0; call.len()];
    called.read_exact(&mut line).await.expect("a line");
    assert_eq!(line, call.as_bytes());
    let again = format!("{get}X-Queue: 1.0\r\nX-Queued: position=1; ID={ticket}\r\n\r\n");
    called.write_all(again.as_bytes()).await.expect("sent");
    assert!(head(&mut called).await.starts_with("HTTP/1.1 200 "));
    // What is no queue keeps nobody, and nothing from starting.
    let broken = start(Config { waiting: "junk".into(), ..config(Mode::Leaf) }, &[]);
    assert_eq!(broken.look().await.expect("it runs").waiting.lines().count(), 1);
}

#[tokio::test]
async fn a_fetch_that_is_queued_goes_on_when_it_is_called() {
    let dir = tempfile::tempdir().expect("a folder");
    let taker = start(config(Mode::Leaf), &[]);
    let path = dir.path().join("one.bin");
    std::fs::write(&path, b"all of it").expect("written");
    let file = Share::hash(&path).expect("hashed").file;
    let giver = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let source = From { addr: giver.local_addr().expect("an address"), push: None };
    let want = Want { sha1: file.sha1, len: file.len, tree: None, sources: vec![source] };
    let at = taker.address();
    let serve = async {
        let (mut asked, _) = giver.accept().await.expect("asked");
        let request = head(&mut asked).await;
        assert_eq!((said(&request, "X-Queue: "), request.contains("X-Queued")), ("1.0", false));
        let busy = "HTTP/1.1 503 Queued\r\nX-Queued: position=3; ID=abc\r\n\
                    Retry-After: 600\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        asked.write_all(busy.as_bytes()).await.expect("sent");
        drop(asked);
        // A ticket that nobody has is of no use, and one is waited for once its place is known.
        for line in ["QUEUE abd 127.0.0.1:1\r\n", "QUEUE abc 127.0.0.1:1\r\n"].iter().cycle() {
            let mut calling = TcpStream::connect(at).await.expect("a connection");
            calling.write_all(line.as_bytes()).await.expect("sent");
            if calling.peek(&mut [0]).await.is_ok_and(|count| count > 0) {
                let request = head(&mut calling).await;
                assert_eq!(said(&request, "X-Queued: position=3; ID="), "abc");
                let given = "HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-8/9\r\n\
                             Content-Length: 9\r\n\r\nall of it";
                calling.write_all(given.as_bytes()).await.expect("sent");
                return calling;
            }
        }
        unreachable!("it goes on for ever")
    };
    let to = dir.path().join("taken.bin");
    let fetch = taker.fetch(want, &to, watch::Sender::default());
    let (fetched, _given) =
        timeout(WITHIN, async { tokio::join!(fetch, serve) }).await.expect("soon");
    assert_eq!(fetched.expect("fetched").from[0].bytes, 9);
    assert_eq!(std::fs::read(&to).expect("there"), b"all of it");
}

/// What a node takes from a host that answers it with raw bytes and closes, when it is browsed.
async fn browse_of(taker: &Node, answer: Vec<u8>) -> io::Result<Vec<(String, u64, Option<Sha1>)>> {
    let giver = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = giver.local_addr().expect("an address");
    let serve = async {
        let (mut asked, _) = giver.accept().await.expect("asked");
        let request = head(&mut asked).await;
        assert!(request.contains("Accept-Encoding: deflate, gzip\r\n"), "{request}");
        // Whoever has heard enough closes.
        let _ = asked.write_all(&answer).await;
    };
    let both = async { tokio::join!(taker.browse(addr), serve).0 };
    timeout(WITHIN, both).await.expect("an end")
}

/// What a node says when it is browsed.
async fn browsed(node: &Node, fields: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(node.address()).await.expect("a connection");
    let request = format!("GET / HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let (said, mut body) = (head(&mut stream).await, Vec::new());
    timeout(WITHIN, stream.read_to_end(&mut body)).await.expect("an end").expect("a body");
    (said, body)
}

#[tokio::test]
async fn browsing_takes_answers_in_every_framing_and_packing() {
    let dir = tempfile::tempdir().expect("a folder");
    let (giver, taker) = (start(config(Mode::Leaf), &[]), start(config(Mode::Leaf), &[]));
    for n in 0..100 {
        share(&giver, dir.path(), &format!("reef of corals number {n}.bin"), 100 + n).await;
    }
    let all = taker.browse(giver.address()).await.expect("browsed");
    assert_eq!(all.len(), 100);
    let (said, plain) = browsed(&giver, "").await;
    assert!(!said.contains("Content-Encoding"), "{said}");
    let (said, deflated) = browsed(&giver, "Accept-Encoding: gzip, deflate\r\n").await;
    assert!(said.contains("Content-Encoding: deflate\r\n"), "{said}");
    assert_eq!(
        said.split_once("Content-Length: ").map(|(_, rest)| rest.trim()),
        Some(deflated.len().to_string().as_str())
    );
    assert!(deflated.len() < plain.len());
    assert_eq!(codec::zlib::inflate(&deflated, plain.len()).as_ref(), Some(&plain));

    let chunked = |bytes: &[u8]| {
        let mut body = Vec::new();
        for chunk in bytes.chunks(1_000) {
            body.extend(format!("{:x};odd=1\r\n", chunk.len()).bytes());
            body.extend([chunk, b"\r\n"].concat());
        }
        [&body[..], b"0\r\nOdd: 1\r\n\r\n"].concat()
    };
    let answer = |fields: &str, body: &[u8]| {
        [format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes(), body].concat()
    };
    let (in_chunks, packed) = ("Transfer-Encoding: chunked\r\n", "Content-Encoding: deflate\r\n");
    let both = format!("{in_chunks}{packed}");
    let table = [
        ("until the end", answer("", &plain)),
        ("in chunks", answer(in_chunks, &chunked(&plain))),
        ("deflated until the end", answer(packed, &deflated)),
        ("deflated in chunks", answer(&both, &chunked(&deflated))),
    ];
    for (what, bytes) in table {
        assert_eq!(browse_of(&taker, bytes).await.expect(what), all, "{what}");
    }
    let bomb = codec::zlib::deflate(&vec![0; BROWSE_MAX + 1]);
    let endless = [&b"1\r\na\r\n"[..], &b"0".repeat(5_000)].concat();
    let mut broken = deflated.clone();
    *broken.last_mut().expect("a sum") ^= 1;
    let table = [
        ("a bomb", answer(packed, &bomb)),
        ("a bomb in chunks", answer(&both, &chunked(&bomb))),
        ("more than may be", answer("Content-Length: 5000000\r\n", b"")),
        ("more chunks than may be", answer(in_chunks, b"500000\r\n")),
        ("more until the end than may be", answer("", &vec![0; BROWSE_MAX + 1])),
        ("an endless length of a chunk", answer(in_chunks, &endless)),
        ("a chunk that is longer than it says", answer(in_chunks, b"1\r\nab\r\n")),
        ("chunks that are cut off", answer(in_chunks, &chunked(&plain)[..500])),
        ("a wrong sum", answer(packed, &broken)),
        ("deflate that is cut off", answer(packed, &deflated[..100])),
        ("two lengths", answer(&format!("{in_chunks}Content-Length: 9\r\n"), b"0\r\n\r\n")),
        ("packed as nobody knows", answer("Content-Encoding: br\r\n", &plain)),
    ];
    for (what, bytes) in table {
        let kind = browse_of(&taker, bytes).await.expect_err(what).kind();
        let known = [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof];
        assert!(known.contains(&kind), "{what}: {kind}");
    }
}

/// What a node answers to raw bytes.
async fn answer(node: &Node, request: &str) -> String {
    let mut stream = TcpStream::connect(node.address()).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut read = Vec::new();
    let _ = timeout(WITHIN, stream.read_to_end(&mut read)).await.expect("an end");
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn gn_19_and_gn_20_requests_for_what_is_not_shared_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = start(config(Mode::Leaf), &[]);
    let file = share(&node, dir.path(), "reef.bin", 1_000).await;
    let urn = Urn::Sha1(file.sha1).to_text();
    let table = [
        ("/get/1/../../etc/passwd".to_owned(), "", "404"),
        ("/etc/passwd".to_owned(), "", "404"),
        ("/get/9/reef.bin".to_owned(), "", "404"),
        ("/get/1/reef.bin".to_owned(), "", "200"),
        (format!("/uri-res/N2R?{urn}"), "Range: bytes=10-19\r\n", "206"),
        (format!("/uri-res/N2R?{urn}"), "Range: bytes=9-1\r\n", "400"),
        (format!("/uri-res/N2R?{urn}"), "Range: bytes=0-1,4-5\r\n", "400"),
        (format!("/uri-res/N2R?{urn}"), "Range: bytes=1000-\r\n", "416"),
        (format!("/uri-res/N2R?{urn}"), "Range: bytes=-0\r\n", "416"),
    ];
    for (path, fields, code) in table {
        let request = format!("GET {path} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
        let answer = answer(&node, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{path} {fields}: {answer}");
    }
}

#[tokio::test]
async fn everything_stays_findable_among_thirty_while_ultrapeers_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut hubs: Vec<Node> = Vec::new();
    for _ in 0..6 {
        let known: Vec<_> = hubs.iter().map(Node::address).collect();
        hubs.push(start(config(Mode::Ultrapeer), &known));
    }
    let known: Vec<_> = hubs.iter().map(Node::address).collect();
    let mut leaves = Vec::new();
    for n in 0..24 {
        let leaf = start(config(Mode::Leaf), &known);
        share(&leaf, dir.path(), &format!("treasure of{n:02}.bin"), 1_000 + n).await;
        leaves.push(leaf);
    }
    for leaf in &leaves {
        has_neighbours(leaf, 2).await;
    }
    hubs.drain(..2);
    for n in [0usize, 7, 16, 23] {
        let name = format!("treasure of{n:02}.bin");
        let seeker = &leaves[(n + 5) % leaves.len()];
        find(seeker, &name, |found| found.name == name).await;
    }
}

#[tokio::test]
async fn searches_that_nobody_hears_any_more_make_room_for_others() {
    let node = start(config(Mode::Leaf), &[]);
    for number in 0..300 {
        drop(node.search(&format!("word{number}"), None).await);
    }
    let is_taken = async {
        loop {
            // One that is refused ends at once, one that is taken goes on.
            let mut search = node.search("another", None).await;
            if timeout(Duration::from_millis(100), search.next()).await.is_err() {
                return;
            }
        }
    };
    timeout(WITHIN, is_taken).await.expect("room");
}
