//! HTTP/1.1 GET as trackers and web seeds need it: over sockets of the [`Dialer`], with connections
//! kept for the next request, every hop of a redirect under the rules of [`url_policy`], certificates
//! checked against the roots that browsers trust, and bodies read as they come.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bittorrent::tracker::udp::Family;
use codec::http::ContentRange;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderName};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::dialer::Dialer;
use crate::url_policy::{self, MAX_REDIRECTS, Purpose, Reach, Refused};

/// How long a name may take to resolve, a TLS handshake to complete, a response to begin, and a
/// body to go on.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection waits for the next request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Most connections that wait.
const MAX_IDLE: usize = 32;
/// Most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;
/// Most bytes of a response's head.
const MAX_HEAD: usize = 64 * 1024;
const USER_AGENT: &str = concat!("Shoal/", env!("CARGO_PKG_VERSION"));

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The URL, or one it leads to, is not asked.
    #[error("{url}: {refused}")]
    Refused {
        /// Which.
        url: String,
        /// Why.
        refused: Refused,
    },
    /// The URL, or one it leads to, is none.
    #[error("not a URL of HTTP: {0}")]
    Url(String),
    /// The name has no address (of the family asked for).
    #[error("{host} has no usable address: {why}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver says.
        why: String,
    },
    /// No connection.
    #[error("connecting to {host}: {error}")]
    Connect {
        /// To where.
        host: String,
        /// Why not; TLS errors are here, too.
        error: io::Error,
    },
    /// The server does not speak HTTP as it should, or stopped in the middle.
    #[error("HTTP: {0}")]
    Protocol(#[from] hyper::Error),
    /// Nothing came for too long.
    #[error("the server has stalled")]
    Stalled,
    /// A body longer than was agreed to.
    #[error("the response is longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
}

/// What to ask for.
#[derive(Clone, Copy, Debug)]
pub struct Get {
    /// What for: rules differ.
    pub purpose: Purpose,
    /// The first byte and the number of bytes; all of it if `None`.
    pub range: Option<(u64, u64)>,
    /// Over which address family; any if `None`.
    pub family: Option<Family>,
}

/// A client that keeps connections. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    dialer: Dialer,
    tls: TlsConnector,
    idle: Arc<Mutex<Vec<Idle>>>,
}

/// A connection's name: requests with the same may share it.
#[derive(Clone, PartialEq, Eq)]
struct Origin {
    https: bool,
    host: Host,
    port: u16,
    family: Option<Family>,
}

/// A connection that waits for the next request.
struct Idle {
    connection: Connection,
    since: Instant,
}

struct Connection {
    origin: Origin,
    ip: IpAddr,
    sender: SendRequest<Empty<Bytes>>,
}

/// A response, its body still to be read.
pub struct Response {
    /// The status, after redirects.
    pub status: StatusCode,
    /// Where it came from, after redirects.
    pub url: Url,
    /// `Content-Range`: the first byte of the body and the length of the whole, if it is known.
    pub range: Option<(u64, Option<u64>)>,
    /// `Retry-After` in seconds.
    pub retry_after: Option<Duration>,
    /// `Content-Type`.
    pub content_type: Option<String>,
    body: Incoming,
    connection: Option<Connection>,
    idle: Arc<Mutex<Vec<Idle>>>,
}

impl Client {
    /// A client that trusts the roots of Mozilla's programme.
    #[must_use]
    pub fn new(dialer: Dialer) -> Self {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Self::with_roots(dialer, roots)
    }

    /// A client that trusts other roots.
    ///
    /// # Panics
    /// Never: the protocol versions are those that the cryptography supports.
    #[must_use]
    pub fn with_roots(dialer: Dialer, roots: rustls::RootCertStore) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { dialer, tls: Arc::new(config).into(), idle: Arc::default() }
    }

    /// Asks, and follows redirects.
    ///
    /// # Errors
    /// If the URL is against the rules, nobody answers, or the answer is not HTTP. A status of
    /// failure is no error.
    pub async fn get(&self, url: &Url, get: Get) -> Result<Response, HttpError> {
        let mut url = url.clone();
        let mut from = None;
        for _ in 0..=MAX_REDIRECTS {
            let (response, reach) = self.get_one(&url, get, from).await?;
            let redirect = matches!(response.status.as_u16(), 301 | 302 | 303 | 307 | 308);
            let location = response.location.filter(|_| redirect);
            let Some(location) = location else { return Ok(response.response) };
            url = url
                .join(&location)
                .map_err(|error| HttpError::Url(format!("{location}: {error}")))?;
            from = Some(reach);
        }
        Err(HttpError::Refused { url: url.into(), refused: Refused::TooManyRedirects })
    }

    async fn get_one(
        &self,
        url: &Url,
        get: Get,
        from: Option<Reach>,
    ) -> Result<(Hop, Reach), HttpError> {
        let refuse = |refused| HttpError::Refused { url: url.to_string(), refused };
        url_policy::check_url(url, get.purpose).map_err(refuse)?;
        let origin = Origin::of(url, get.family)
            .ok_or_else(|| HttpError::Url(format!("{url} is not of HTTP")))?;
        let request = build(url, get)?;
        let kept = self.take_idle(&origin).filter(|connection| {
            url_policy::check_address(url, connection.ip, get.purpose, from).is_ok()
        });
        // A kept connection may be closed by the server just now: then a new one is tried.
        if let Some(mut connection) = kept
            && let Ok(response) = send(&mut connection, request.clone()).await
        {
            return Ok(self.hop(url, connection, response));
        }
        let mut connection = self.connect(url, origin, get.purpose, from).await?;
        let response = send(&mut connection, request).await?;
        Ok(self.hop(url, connection, response))
    }

    fn hop(
        &self,
        url: &Url,
        connection: Connection,
        response: hyper::Response<Incoming>,
    ) -> (Hop, Reach) {
        let reach = url_policy::reach(connection.ip);
        let text = |name: HeaderName| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let location = text(header::LOCATION);
        let response = Response {
            status: response.status(),
            url: url.clone(),
            range: text(header::CONTENT_RANGE)
                .and_then(|value| ContentRange::parse(&value))
                .map(|range| (range.first, range.total)),
            retry_after: text(header::RETRY_AFTER)
                .and_then(|secs| secs.trim().parse().ok())
                .map(Duration::from_secs),
            content_type: text(header::CONTENT_TYPE),
            body: response.into_body(),
            connection: Some(connection),
            idle: Arc::clone(&self.idle),
        };
        (Hop { status: response.status, location, response }, reach)
    }

    fn take_idle(&self, origin: &Origin) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| {
            idle.since.elapsed() < IDLE_TIMEOUT && !idle.connection.sender.is_closed()
        });
        let at = idle.iter().rposition(|idle| {
            idle.connection.origin == *origin && idle.connection.sender.is_ready()
        })?;
        Some(idle.swap_remove(at).connection)
    }

    /// Tries the addresses of the URL's host that are allowed, until one accepts.
    async fn connect(
        &self,
        url: &Url,
        origin: Origin,
        purpose: Purpose,
        from: Option<Reach>,
    ) -> Result<Connection, HttpError> {
        let addresses = resolve(&origin.host, origin.port, origin.family).await?;
        let host = origin.host.to_string();
        let mut last = None;
        for address in addresses {
            if let Err(refused) = url_policy::check_address(url, address.ip(), purpose, from) {
                last = Some(HttpError::Refused { url: url.to_string(), refused });
                continue;
            }
            match self.connect_to(&origin, address).await {
                Ok(sender) => return Ok(Connection { origin, ip: address.ip(), sender }),
                Err(ConnectError::Http(error)) => last = Some(error.into()),
                Err(ConnectError::Io(error)) => {
                    last = Some(HttpError::Connect { host: host.clone(), error });
                }
            }
        }
        Err(last.unwrap_or(HttpError::Resolve { host, why: "no address".into() }))
    }

    async fn connect_to(
        &self,
        origin: &Origin,
        address: SocketAddr,
    ) -> Result<SendRequest<Empty<Bytes>>, ConnectError> {
        let stream = self.dialer.tcp(address).await?;
        if !origin.https {
            return handshake(stream).await;
        }
        let name = match &origin.host {
            Host::Domain(name) => ServerName::try_from(name.clone())
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?,
            Host::Ipv4(ip) => ServerName::IpAddress(IpAddr::from(*ip).into()),
            Host::Ipv6(ip) => ServerName::IpAddress(IpAddr::from(*ip).into()),
        };
        let stream = timeout(STALL_TIMEOUT, self.tls.connect(name, stream))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake"))??;
        handshake(stream).await
    }
}

/// A response, and where it sends us.
struct Hop {
    status: StatusCode,
    location: Option<String>,
    response: Response,
}

enum ConnectError {
    Io(io::Error),
    Http(hyper::Error),
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Origin {
    fn of(url: &Url, family: Option<Family>) -> Option<Self> {
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let (host, port) = (url.host()?.to_owned(), url.port_or_known_default()?);
        Some(Self { https, host, port, family })
    }
}

impl Response {
    /// The next bytes of the body; `None` at its end.
    ///
    /// # Errors
    /// If the server stops in the middle, or for too long.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            let frame = timeout(STALL_TIMEOUT, self.body.frame()).await;
            match frame.map_err(|_| HttpError::Stalled)? {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    Err(_trailers) => {}
                },
                Some(Err(error)) => return Err(error.into()),
                None => {
                    self.keep();
                    return Ok(None);
                }
            }
        }
    }

    /// The whole body, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// If it is longer, or as [`Self::chunk`].
    pub async fn bytes(mut self, limit: usize) -> Result<Vec<u8>, HttpError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if chunk.len() > limit - bytes.len() {
                return Err(HttpError::TooLong { limit });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// The length of the body in bytes, if the server said it.
    #[must_use]
    pub fn body_len(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// The connection is free for the next request.
    fn keep(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if connection.sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= MAX_IDLE {
            idle.remove(0);
        }
        idle.push(Idle { connection, since: Instant::now() });
    }
}

async fn handshake<S>(stream: S) -> Result<SendRequest<Empty<Bytes>>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(ConnectError::Http)?;
    // It ends when the sender and the body are gone; what goes wrong is told to them.
    tokio::spawn(connection);
    Ok(sender)
}

async fn send(
    connection: &mut Connection,
    request: Request<Empty<Bytes>>,
) -> Result<hyper::Response<Incoming>, HttpError> {
    let response = async {
        connection.sender.ready().await?;
        connection.sender.send_request(request).await
    };
    Ok(timeout(STALL_TIMEOUT, response).await.map_err(|_| HttpError::Stalled)??)
}

fn build(url: &Url, get: Get) -> Result<Request<Empty<Bytes>>, HttpError> {
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let mut request = Request::get(target)
        .header(header::HOST, host)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT_ENCODING, "identity");
    if let Some((first, len)) = get.range {
        let last = first.saturating_add(len.saturating_sub(1));
        request = request.header(header::RANGE, format!("bytes={first}-{last}"));
    }
    request.body(Empty::new()).map_err(|error| HttpError::Url(format!("{url}: {error}")))
}

/// Addresses of a host, IPv4 and IPv6 in the resolver's order.
///
/// # Errors
/// If there is none of the family.
pub(crate) async fn resolve(
    host: &Host,
    port: u16,
    family: Option<Family>,
) -> Result<Vec<SocketAddr>, HttpError> {
    let failed = |why: String| HttpError::Resolve { host: host.to_string(), why };
    let all: Vec<SocketAddr> = match host {
        Host::Ipv4(ip) => vec![SocketAddr::from((*ip, port))],
        Host::Ipv6(ip) => vec![SocketAddr::from((*ip, port))],
        Host::Domain(name) => {
            timeout(STALL_TIMEOUT, tokio::net::lookup_host((name.as_str(), port)))
                .await
                .map_err(|_| failed("the resolver does not answer".into()))?
                .map_err(|error| failed(error.to_string()))?
                .collect()
        }
    };
    let wanted = |address: &SocketAddr| match family {
        None => true,
        Some(Family::V4) => address.is_ipv4(),
        Some(Family::V6) => address.is_ipv6(),
    };
    let addresses: Vec<_> = all.into_iter().filter(wanted).take(MAX_ADDRESSES).collect();
    if addresses.is_empty() {
        return Err(failed("none of this family".into()));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests;
