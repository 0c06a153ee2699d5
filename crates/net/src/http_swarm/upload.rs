//! Giving: files are named by hash or number only.

use std::fmt::Write as _;
use std::fs::File;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use codec::hex::Hex;
use codec::http::ContentRange;
use codec::percent::Encoded;
use search::gnutella::Urn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::calls::VERB;
use super::queue::{Asker, Place, Ticket, Turn};
use super::request::{IDENTITY, Queueing, Request, Target, Wanted};
use super::shares::{Share, lock};
use super::{Exchange, Network, giv, thex};

/// How long a connection may be idle, and how long a write may take.
const IDLE: Duration = Duration::from_secs(60);
/// How long somebody may keep a slot between two requests.
const SLOT_IDLE: Duration = Duration::from_secs(5);
/// Bytes after which somebody gives his slot to others, if there are any.
const TURN: u64 = 64 << 20;
/// Between looks at who is to be called.
const CALLS_EVERY: Duration = Duration::from_secs(2);
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
    // Kept from one request to the next.
    let mut slot = None;
    loop {
        let (request, used) = loop {
            if read.starts_with(VERB) {
                return network.exchange().calls.take(stream, read).await;
            }
            if read.starts_with(giv::VERB) {
                return network.exchange().givs.take(stream, read).await;
            }
            match Request::parse(&read) {
                Ok(Some(whole)) => break whole,
                Ok(None) => {}
                Err(_) => return simple(&mut stream, "400 Bad Request", "", false).await,
            }
            let reading = stream.read(&mut buffer);
            let within = if slot.is_some() { SLOT_IDLE } else { IDLE };
            let Ok(count) = timeout(within, reading).await else {
                if slot.take().is_some() {
                    continue;
                }
                return Err(io::ErrorKind::TimedOut.into());
            };
            let count = count?;
            if count == 0 {
                return Ok(());
            }
            read.extend_from_slice(&buffer[..count]);
        };
        read.drain(..used);
        answer(network, &mut stream, peer, &request, &mut slot).await?;
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
    slot: &mut Option<Slot<N>>,
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
    if slot.as_ref().is_some_and(|slot| slot.sent >= TURN && lock(&exchange.queue).has_waiting()) {
        *slot = None;
    }
    let slot = match slot {
        Some(slot) => slot,
        None => {
            let node = request.node.filter(|_| request.queueing == Queueing::Parq);
            // Nobody is sent to another host.
            let node = node.map(|node| SocketAddr::new(peer.ip(), node.port()));
            let (host, sha1, ticket) = (peer.ip(), share.file.sha1, request.ticket);
            let asker = Asker { host, sha1, ticket, node };
            let fresh = Ticket::random().ok_or(io::ErrorKind::Other)?;
            let turn = lock(&exchange.queue).ask(asker, fresh, Instant::now());
            match turn {
                Turn::Now => slot.insert(Slot { network: network.clone(), sent: 0 }),
                Turn::Full => return simple(stream, "503 Busy Queue Full", &fields, keep).await,
                Turn::Wait(place) => {
                    let stays = keep && place.retry < IDLE;
                    tell_place(&mut fields, place, request.queueing, exchange.slots);
                    simple(stream, "503 Queued", &fields, stays).await?;
                    return if stays { Ok(()) } else { stream.shutdown().await };
                }
            }
        }
    };
    if let Some(node) = request.node.map(|node| SocketAddr::new(peer.ip(), node.port())) {
        exchange.learn(&share, node);
    }
    slot.sent += there.end - there.start;
    let whole = matches!(request.wanted, Wanted::Whole);
    body(exchange, stream, &share, &mut fields, there, whole).await
}

/// Says in which place somebody waits, as far as he understands it.
fn tell_place(fields: &mut String, place: Place, queueing: Queueing, slots: usize) {
    let Place { ticket, position, length, retry, lifetime } = place;
    let (retry, lifetime) = (retry.as_secs(), lifetime.as_secs());
    let _ = write!(fields, "Retry-After: {retry}\r\n");
    let _ = match queueing {
        Queueing::Passive => Ok(()),
        Queueing::Active => write!(
            fields,
            "X-Queue: position={position}, length={length}, limit={slots}, pollMin={retry}, \
             pollMax={lifetime}\r\n"
        ),
        Queueing::Parq => write!(
            fields,
            "X-Features: queue/1.0\r\nX-Queued: position={position}; length={length}; \
             lifetime={lifetime}; ID={ticket}\r\n"
        ),
    };
}

/// An upload slot of one connection. It is given back when this is dropped, and whoever is next called.
struct Slot<N: Network> {
    network: Arc<N>,
    /// Bytes that went over it.
    sent: u64,
}

impl<N: Network> Drop for Slot<N> {
    fn drop(&mut self) {
        lock(&self.network.exchange().queue).give_back();
        // When all ends, nobody has to be called.
        if tokio::runtime::Handle::try_current().is_ok() {
            call_due(&self.network);
        }
    }
}

/// Calls those who wait, when it is time to, for as long as there is the network.
pub(crate) async fn call_waiting<N: Network>(network: Weak<N>) {
    let mut ticks = tokio::time::interval(CALLS_EVERY);
    loop {
        ticks.tick().await;
        match network.upgrade() {
            Some(network) => call_due(&network),
            None => return,
        }
    }
}

fn call_due<N: Network>(network: &Arc<N>) {
    let Exchange { queue, shares, .. } = network.exchange();
    let is_shared = |sha1| lock(shares).get(sha1).is_some();
    loop {
        let next = lock(queue).next_call(Instant::now(), is_shared);
        let Some((ticket, to)) = next else { return };
        tokio::spawn(call(network.clone(), ticket, to));
    }
}

/// Tells somebody who waits that he may ask again, and serves him on that connection.
fn call<N: Network>(
    network: Arc<N>,
    ticket: Ticket,
    to: SocketAddr,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let exchange = network.exchange();
        let called = async {
            let mut stream = exchange.dialer.tcp(to).await?;
            let line = format!("QUEUE {ticket} {}\r\n", exchange.address);
            send(&mut stream, line.as_bytes()).await?;
            serve(&network, stream, to, Vec::new()).await
        };
        if let Err(error) = called.await {
            tracing::debug!(%to, %error, "calling somebody who waits");
        }
    })
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
    exchange: &Exchange,
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
        let len = run.end - run.start;
        at = run.end;
        let file = file.clone();
        let bytes = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; len as usize];
            file.read_exact_at(&mut bytes, run.start)?;
            Ok::<_, io::Error>(bytes)
        });
        send(stream, &bytes.await.map_err(io::Error::other)??).await?;
        exchange.given.fetch_add(len, Ordering::Relaxed);
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
