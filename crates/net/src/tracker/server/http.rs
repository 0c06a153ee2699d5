//! The HTTP side: connections, their limits, and answers in bencode.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bittorrent::tracker::http::server::{
    Announce, Reply, Request, RequestError, encode_announce, encode_failure, encode_scrape,
};
use bittorrent::tracker::udp::Family;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use machine::Rng;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::ServerConfig;
use super::state::{Origin, State};
use crate::rate_limit::RateLimit;

/// How long a client may take to send the head of a request, and wait between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may last in all.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// Most bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;

#[derive(Clone)]
pub(super) struct Http {
    state: Arc<State>,
    rate: Option<Arc<Mutex<RateLimit>>>,
    slots: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
}

impl Http {
    pub(super) fn new(
        config: &ServerConfig,
        state: Arc<State>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        Self {
            state,
            rate: config.http_rate.map(|rate| Arc::new(Mutex::new(RateLimit::new(rate)))),
            slots: Arc::new(Semaphore::new(config.max_connections.min(Semaphore::MAX_PERMITS))),
            stopped,
        }
    }

    /// Accepts until the tracker stops.
    pub(super) async fn serve(self, listener: TcpListener) {
        let mut stopped = self.stopped.clone();
        let stop = async move {
            // An error means that whoever could stop us is gone.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        tokio::select! {
            () = stop => {}
            () = self.accept(listener) => {}
        }
    }

    async fn accept(self, listener: TcpListener) {
        loop {
            // Connections beyond the limit wait in the system's queue.
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, from)) => {
                    let http = self.clone();
                    tokio::spawn(async move {
                        http.connection(stream, from).await;
                        drop(slot);
                    });
                }
                Err(error) => self.pause(&error).await,
            }
        }
    }

    /// Out of descriptors, say: trying again at once would only burn time.
    async fn pause(&self, error: &io::Error) {
        tracing::warn!(%error, "accepting connections");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    async fn connection(mut self, stream: TcpStream, from: SocketAddr) {
        let http = self.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let response = http.answer(&request, from.ip());
            async move { Ok::<_, Infallible>(response) }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        // What goes wrong on one connection is the client's affair.
        tokio::select! {
            _ = timeout(CONNECTION_TIMEOUT, served) => {}
            _ = self.stopped.wait_for(|stopped| *stopped) => {}
        }
    }

    fn answer(&self, request: &hyper::Request<Incoming>, ip: IpAddr) -> Response<Full<Bytes>> {
        let counters = &self.state.counters;
        if let Some(rate) = &self.rate {
            let mut rate = rate.lock().unwrap_or_else(PoisonError::into_inner);
            if !rate.admit(ip, std::time::Instant::now()) {
                counters.http_limited.fetch_add(1, Ordering::Relaxed);
                let reason = encode_failure("too many requests");
                return respond(StatusCode::TOO_MANY_REQUESTS, reason);
            }
        }
        let refuse = |status, reason: &str| {
            counters.http_refused.fetch_add(1, Ordering::Relaxed);
            respond(status, encode_failure(reason))
        };
        if request.method() != Method::GET {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered");
        }
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        match Request::parse(target.as_bytes()) {
            Ok(Request::Announce(announce)) => match self.announce(&announce, ip) {
                Ok(body) => {
                    counters.http_announces.fetch_add(1, Ordering::Relaxed);
                    respond(StatusCode::OK, body)
                }
                // Clients show the reason only of answers that succeed.
                Err(reason) => refuse(StatusCode::OK, &reason),
            },
            Ok(Request::Scrape(hashes)) => {
                counters.http_scrapes.fetch_add(1, Ordering::Relaxed);
                let body = encode_scrape(&hashes, |hash| self.state.scrape(hash));
                respond(StatusCode::OK, body)
            }
            Ok(Request::Stats) => {
                let body = self.state.stats().to_string();
                let mut response = respond(StatusCode::OK, body.into_bytes());
                let text = hyper::header::HeaderValue::from_static("text/plain; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, text);
                response
            }
            Err(RequestError::NotFound) => {
                refuse(StatusCode::NOT_FOUND, &RequestError::NotFound.to_string())
            }
            Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
        }
    }

    fn announce(&self, announce: &Announce, ip: IpAddr) -> Result<Vec<u8>, String> {
        let state = &self.state;
        let claimed = announce.ip.or_else(|| match ip {
            IpAddr::V4(_) => announce.request.ipv4.map(IpAddr::from),
            IpAddr::V6(_) => announce.request.ipv6.map(IpAddr::from),
        });
        let seed = getrandom::u64().map_err(|error| error.to_string())?;
        let mut peers = Vec::new();
        let counts = state
            .announce(
                state.now(),
                Origin { source: ip, claimed },
                &announce.request,
                usize::MAX,
                &mut Rng::new(seed),
                &mut peers,
            )
            .map_err(|refused| refused.to_string())?;
        let reply = Reply {
            interval_secs: state.interval_secs,
            min_interval_secs: state.min_interval_secs,
            seeders: counts.seeders,
            leechers: counts.leechers,
            external_ip: ip,
        };
        let family = if ip.is_ipv4() { Family::V4 } else { Family::V6 };
        Ok(encode_announce(&reply, &peers, family, announce.compact))
    }
}

fn respond(status: StatusCode, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let value = hyper::header::HeaderValue::from_static;
    response.headers_mut().insert(CONTENT_TYPE, value("text/plain"));
    response.headers_mut().insert(CACHE_CONTROL, value("no-store"));
    response
}
