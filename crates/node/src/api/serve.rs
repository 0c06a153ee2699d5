//! Connections to the HTTP interfaces: how many, how slow, and which one goes when there are too
//! many.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Request;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, watch};
use tower::Service;

use super::guard::Client;

/// Connections at once.
pub(super) const CONNECTIONS_MAX: usize = 256;
/// A request's head has so long to arrive, counted from when the connection is ready for it.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
const HEAD_LEN_MAX: usize = 32 * 1024;
/// How long connections may finish when the node ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// A bound socket.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Serves `router` until `stop` says true.
pub(super) async fn serve(listener: Listener, router: Router, mut stop: watch::Receiver<bool>) {
    let table = Arc::new(Table::default());
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = accept(&listener) => match accepted {
                Ok((stream, client)) => {
                    let Some(conn) = table.enter() else { continue };
                    let (router, stop) = (router.clone(), stop.clone());
                    tasks.spawn(run(stream, client, conn, router, stop));
                }
                Err(error) => {
                    // Out of descriptors or memory: waiting is all that helps.
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = tasks.join_next() => {}
        }
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    // Whoever is slower than that is cut off.
    let _ = tokio::time::timeout(FAREWELL, all).await;
}

/// Waits until all is to end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // That nobody can say so any more is as good.
    let _ = stop.wait_for(|stop| *stop).await;
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn accept(listener: &Listener) -> io::Result<(Box<dyn Stream>, Option<IpAddr>)> {
    match listener {
        Listener::Tcp(listener) => {
            let (stream, address) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream), Some(address.ip())))
        }
        Listener::Unix(listener) => Ok((Box::new(listener.accept().await?.0), None)),
    }
}

async fn run(
    stream: Box<dyn Stream>,
    client: Option<IpAddr>,
    conn: Arc<Entered>,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let state = conn.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Client(client));
        let busy = state.begin();
        let answer = router.clone().call(request);
        async move {
            let answer = answer.await?;
            busy.0.was_served.fetch_or(answer.status().is_success(), Ordering::Relaxed);
            Ok::<_, Infallible>(answer.map(|body| Guarded { body, _busy: busy }))
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX).max_buf_size(HEAD_LEN_MAX);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = conn.slot.dropped.notified() => return,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an API connection ended early");
    }
}

/// All connections, so that the one that has been idle longest can go when there are too many.
#[derive(Default)]
struct Table {
    slots: Mutex<BTreeMap<u64, Arc<Slot>>>,
    last: AtomicU64,
}

struct Slot {
    began: Instant,
    /// Milliseconds after `began` when it last did something.
    active: AtomicU64,
    /// Answers that are under way.
    busy: AtomicUsize,
    /// Whether it was ever given what it asked for.
    was_served: AtomicBool,
    dropped: Notify,
}

impl Slot {
    fn touch(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.active.store(since, Ordering::Relaxed);
    }

    fn active_at(&self) -> Instant {
        self.began + Duration::from_millis(self.active.load(Ordering::Relaxed))
    }
}

/// A connection in the table, until it is dropped.
struct Entered {
    number: u64,
    slot: Arc<Slot>,
    table: Arc<Table>,
}

impl Table {
    /// A place for another connection; if there is none, that of the one that has been idle
    /// longest among those that were never served, or among all; if all are busy, none.
    fn enter(self: &Arc<Self>) -> Option<Arc<Entered>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= CONNECTIONS_MAX {
            let idle = slots.iter().filter(|(_, slot)| slot.busy.load(Ordering::Relaxed) == 0);
            let served = |slot: &Slot| slot.was_served.load(Ordering::Relaxed);
            let (&number, _) = idle.min_by_key(|(_, slot)| (served(slot), slot.active_at()))?;
            if let Some(slot) = slots.remove(&number) {
                slot.dropped.notify_one();
            }
        }
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let slot = Arc::new(Slot {
            began: Instant::now(),
            active: AtomicU64::new(0),
            busy: AtomicUsize::new(0),
            was_served: AtomicBool::new(false),
            dropped: Notify::new(),
        });
        slots.insert(number, slot.clone());
        Some(Arc::new(Entered { number, slot, table: self.clone() }))
    }
}

impl Entered {
    fn begin(self: &Arc<Self>) -> Busy {
        self.slot.busy.fetch_add(1, Ordering::Relaxed);
        self.slot.touch();
        Busy(self.slot.clone())
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.table.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

/// An answer that is under way.
struct Busy(Arc<Slot>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.touch();
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body during which its connection counts as busy.
struct Guarded {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Runs `future` on a runtime of its own, on this thread.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_MAX)
        .build()?;
    let value = runtime.block_on(future);
    // Work that waits for a disk is not waited for.
    runtime.shutdown_timeout(FAREWELL);
    Ok(value)
}

/// Threads that wait for the session and the disk.
const BLOCKING_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ap_11_the_longest_idle_connection_goes_first_and_busy_ones_stay() {
        let table = Arc::new(Table::default());
        let mut all: Vec<_> = (0..CONNECTIONS_MAX).filter_map(|_| table.enter()).collect();
        assert_eq!(all.len(), CONNECTIONS_MAX);
        let busy = all[0].begin();
        all[1].slot.active.store(60_000, Ordering::Relaxed);
        all[2].slot.was_served.store(true, Ordering::Relaxed);
        let newest = table.enter().expect("a place");
        let slots = table.slots.lock().expect("whole");
        assert_eq!(slots.len(), CONNECTIONS_MAX);
        assert!(slots.contains_key(&all[0].number), "the busy one stays");
        assert!(slots.contains_key(&all[1].number), "the one that did something last stays");
        assert!(slots.contains_key(&all[2].number), "the one that was served before stays");
        assert!(!slots.contains_key(&all[3].number), "the oldest idle one goes");
        drop(slots);
        let busies: Vec<_> = all.iter().chain([&newest]).map(Entered::begin).collect();
        assert!(table.enter().is_none(), "nobody is idle");
        drop((busies, busy));
        assert!(table.enter().is_some());
        all.clear();
        drop(newest);
        assert!(table.slots.lock().expect("whole").is_empty());
    }
}
