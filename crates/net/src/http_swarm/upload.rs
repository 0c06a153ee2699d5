//! Giving: files are named by hash or number only.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use codec::hex::Hex;
use codec::http::ContentRange;
use codec::percent::Encoded;
use search::gnutella::Urn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::queue::Turn;
use super::request::{IDENTITY, Request, Target, Wanted};
use super::shares::{Share, lock};
use super::{Exchange, Network, thex};

/// How long a connection may be idle, and how long a write may take.
const IDLE: Duration = Duration::from_secs(60);
/// Bytes of a file that are read at once.
const READ: u64 = 256 * 1024;
/// Alternate locations that are told.
const ALTERNATES_TOLD: usize = 10;
/// Runs of a part that are told.
const RUNS_TOLD: usize = 32;

/// Answers requests on a connection until it ends; `read` has come already.
pub(crate) async fn serve<N: Network>(
    network: &Arc<N>,
    mut stream: TcpStream,
    peer: SocketAddr,
    mut read: Vec<u8>,
) -> io::Result<()> {
    let mut buffer = vec![0; 4 * 1024];
    loop {
        let (request, used) = loop {
            match Request::parse(&read) {
                Ok(Some(whole)) => break whole,
                Ok(None) => {}
                Err(_) => return simple(&mut stream, "400 Bad Request", "", false).await,
            }
            let count = timeout(IDLE, stream.read(&mut buffer)).await??;
            if count == 0 {
                return Ok(());
            }
            read.extend_from_slice(&buffer[..count]);
        };
        read.drain(..used);
        answer(network, &mut stream, peer, &request).await?;
        if !request.keep_alive {
            return stream.shutdown().await;
        }
    }
}

async fn answer<N: Network>(
    network: &Arc<N>,
    stream: &mut TcpStream,
    peer: SocketAddr,
    request: &Request,
) -> io::Result<()> {
    let (keep, exchange) = (request.keep_alive, network.exchange());
    let share = match &request.target {
        None => None,
        Some(Target::Hash(sha1) | Target::Tree(sha1)) => lock(&exchange.shares).get(*sha1),
        Some(Target::Index(index)) => lock(&exchange.shares).at(*index),
        Some(Target::Browse | Target::PushProxy(..)) => {
            return network.answer(stream, request).await;
        }
    };
    let Some(share) = share else { return simple(stream, "404 Not Found", "", keep).await };
    if matches!(request.target, Some(Target::Tree(_))) {
        return tree(exchange, stream, request, share).await;
    }
    for addr in &request.alternates {
        exchange.learn(&share, *addr);
    }
    let len = share.file.len;
    let range = match request.wanted {
        Wanted::Bad => return simple(stream, "400 Bad Request", "", keep).await,
        Wanted::Whole => Some(0..len),
        Wanted::Run(range) => range.resolve(len),
    };
    let mut fields = describe(exchange, &share);
    let Some(range) = range else {
        let _ = write!(fields, "Content-Range: bytes */{len}\r\n");
        return simple(stream, "416 Requested Range Not Satisfiable", &fields, keep).await;
    };
    let there = if len == 0 { Some(0..0) } else { share.has(&range) };
    let Some(there) = there else {
        return simple(stream, "503 Range Not Available", &fields, keep).await;
    };
    if request.head_only {
        let _ = write!(fields, "Content-Length: {}\r\n\r\n", there.end - there.start);
        return send(stream, format!("HTTP/1.1 200 OK\r\n{fields}").as_bytes()).await;
    }
    let turn = lock(&exchange.queue).ask(peer.ip(), Instant::now());
    match turn {
        Turn::Now => {}
        Turn::Full => return simple(stream, "503 Busy Queue Full", &fields, keep).await,
        Turn::Wait { position, length, poll: (least, most) } => {
            let (least, most) = (least.as_secs(), most.as_secs());
            let _ = write!(fields, "Retry-After: {least}\r\n");
            if request.queues {
                let _ = write!(
                    fields,
                    "X-Queue: position={position}, length={length}, limit={}, pollMin={least}, \
                     pollMax={most}\r\n",
                    exchange.slots
                );
            }
            return simple(stream, "503 Queued", &fields, keep).await;
        }
    }
    // Given back however this ends, also if the task is dropped.
    let slot = Slot(exchange);
    if let Some(node) = request.node.map(|node| SocketAddr::new(peer.ip(), node.port())) {
        exchange.learn(&share, node);
    }
    let sent =
        body(stream, &share, &mut fields, there, matches!(request.wanted, Wanted::Whole)).await;
    drop(slot);
    sent
}

/// An upload slot.
struct Slot<'a>(&'a Exchange);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        lock(&self.0.queue).give_back();
    }
}

/// What is said of a file beside its bytes.
fn describe(exchange: &Exchange, share: &Share) -> String {
    let file = &share.file;
    let mut fields = String::new();
    let urn = Urn::Sha1(file.sha1).to_text();
    // Writing to a string cannot fail, here and below.
    let _ = write!(fields, "X-Gnutella-Content-URN: {urn}\r\n");
    if let Some(root) = file.tree.filter(|_| share.has_tree()) {
        let root = codec::base32::encode(&root.0);
        let _ = write!(fields, "X-Thex-URI: /uri-res/N2X?{urn};{root}\r\n");
    }
    let _ = write!(
        fields,
        "Content-Type: application/octet-stream\r\n\
         Content-Disposition: attachment; filename*=UTF-8''{}\r\n",
        Encoded(file.name.as_bytes())
    );
    if let Some(identity) = exchange.identity {
        let _ = write!(fields, "{IDENTITY}: {}\r\n", Hex(&identity));
    }
    let alternates = share.alternates();
    if !alternates.is_empty() {
        let told: Vec<String> =
            alternates.iter().rev().take(ALTERNATES_TOLD).map(ToString::to_string).collect();
        let _ = write!(fields, "X-Alt: {}\r\n", told.join(","));
    }
    if !share.is_whole() {
        let there = lock(&share.there);
        let runs = there.iter().take(RUNS_TOLD);
        let runs: Vec<String> = runs.map(|run| format!("{}-{}", run.start, run.end - 1)).collect();
        let _ = write!(fields, "X-Available-Ranges: bytes {}\r\n", runs.join(", "));
    }
    fields
}

async fn body(
    stream: &mut TcpStream,
    share: &Arc<Share>,
    fields: &mut String,
    range: Range<u64>,
    whole: bool,
) -> io::Result<()> {
    let total = share.file.len;
    let is_all = whole && range == (0..total);
    if !is_all {
        let content = ContentRange { first: range.start, last: range.end - 1, total: Some(total) };
        let _ = write!(fields, "Content-Range: {content}\r\n");
    }
    let _ = write!(fields, "Content-Length: {}\r\n\r\n", range.end - range.start);
    let status = if is_all { "200 OK" } else { "206 Partial Content" };
    let path = share.path.clone();
    let file = tokio::task::spawn_blocking(move || File::open(path)).await;
    let file = file.map_err(io::Error::other)??;
    let head = format!("HTTP/1.1 {status}\r\nServer: {}\r\n{fields}", crate::CLIENT);
    send(stream, head.as_bytes()).await?;
    let file = Arc::new(file);
    let mut at = range.start;
    while at < range.end {
        let run = at..range.end.min(at + READ);
        at = run.end;
        let file = file.clone();
        let bytes = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; (run.end - run.start) as usize];
            file.read_exact_at(&mut bytes, run.start)?;
            Ok::<_, io::Error>(bytes)
        });
        send(stream, &bytes.await.map_err(io::Error::other)??).await?;
    }
    Ok(())
}

async fn tree(
    exchange: &Exchange,
    stream: &mut TcpStream,
    request: &Request,
    share: Arc<Share>,
) -> io::Result<()> {
    // Trees are made one after the other: each reads a whole file.
    let turn = exchange.trees.acquire().await.map_err(io::Error::other)?;
    let made = tokio::task::spawn_blocking(move || {
        let tree = share.has_tree().then(|| share.make_tree()).and_then(Result::ok);
        tree.map(|tree| thex::write(tree, share.file.len))
    });
    let made = made.await.map_err(io::Error::other)?;
    drop(turn);
    let Some(bytes) = made else {
        return simple(stream, "404 Not Found", "", request.keep_alive).await;
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/dime\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    );
    send(stream, head.as_bytes()).await?;
    if request.head_only { Ok(()) } else { send(stream, &bytes).await }
}

/// An answer without a body.
pub(crate) async fn simple(
    stream: &mut TcpStream,
    status: &str,
    fields: &str,
    keep_alive: bool,
) -> io::Result<()> {
    let connection = if keep_alive { "Keep-Alive" } else { "close" };
    let head = format!(
        "HTTP/1.1 {status}\r\nServer: {}\r\n{fields}Connection: {connection}\r\n\
         Content-Length: 0\r\n\r\n",
        crate::CLIENT
    );
    send(stream, head.as_bytes()).await
}

pub(crate) async fn send(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    timeout(IDLE, stream.write_all(bytes)).await?
}
