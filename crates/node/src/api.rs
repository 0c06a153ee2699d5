//! The HTTP interfaces: `/api/v1`, the page, streams, metrics. Safe by default: on the loopback
//! address or a Unix socket, with a login, for one site alone. What requests do, they do through
//! [`Node`].
#![expect(unused_qualifications, reason = "macros that describe routes write whole paths")]

mod auth;
mod endpoint;
mod error;
mod events;
mod extract;
mod guard;
mod lab;
mod library;
mod listen;
mod login;
mod networks;
mod rpc;
mod search;
mod serve;
mod settings;
mod sse;
mod status;
mod stream;
mod transfers;
mod web;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

pub use auth::set_password;
pub use endpoint::{Endpoint, reachable};
pub use listen::Listen;

use crate::node::{Node, NodeError};
use auth::Auth;
use error::ApiError;
use serve::Listener;

/// Streams of events at once.
const EVENT_STREAMS_MAX: usize = 64;
/// Searches at once.
const SEARCHES_MAX: usize = 16;

/// Why the interfaces cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ApiStartError {
    /// Others could reach them, and nothing keeps them out.
    #[error(
        "{0} can be reached by others, and no password is set: set one with `shoal config \
         password`, or listen on a loopback address"
    )]
    NoPassword(Listen),
    /// The place cannot be listened on.
    #[error("listen on {listen}: {source}")]
    Listen {
        /// The place.
        listen: Listen,
        /// What the system said.
        source: io::Error,
    },
    /// Secrets cannot be read or made.
    #[error("{}: {source}", folder.display())]
    Secrets {
        /// Their folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No thread, or no runtime.
    #[error("start the API: {0}")]
    Start(#[source] io::Error),
}

/// What all handlers share.
struct Shared {
    node: Arc<Node>,
    auth: Auth,
    names: guard::Names,
    event_streams: Arc<Semaphore>,
    searches: Arc<Semaphore>,
}

type Ctx = State<Arc<Shared>>;

impl Shared {
    fn open(node: Arc<Node>) -> Result<Arc<Self>, ApiStartError> {
        let config = node.began_with();
        let folder = config.node.state_dir.clone();
        let auth = Auth::open(&folder);
        let auth = auth.map_err(|source| ApiStartError::Secrets { folder, source })?;
        let names = config.api.hosts.iter().map(|name| name.to_ascii_lowercase()).collect();
        Ok(Arc::new(Self {
            auth,
            names: guard::Names(names),
            event_streams: Arc::new(Semaphore::new(EVENT_STREAMS_MAX)),
            searches: Arc::new(Semaphore::new(SEARCHES_MAX)),
            node,
        }))
    }

    /// Calls the node on a thread that may wait.
    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce(&Arc<Node>) -> Result<T, NodeError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let node = self.node.clone();
        match tokio::task::spawn_blocking(move || call(&node)).await {
            Ok(answer) => Ok(answer?),
            Err(error) => Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        }
    }
}

/// The HTTP interfaces of a node as a service, for programs that bring requests by other ways than
/// [`Api`]. Every request needs a login here too.
///
/// # Errors
/// When secrets cannot be read or made.
pub fn service(node: Arc<Node>) -> Result<Router, ApiStartError> {
    Ok(router(Shared::open(node)?))
}

/// The HTTP interfaces of a node, served on a thread of their own until they are dropped.
pub struct Api {
    shared: Arc<Shared>,
    listen: Listen,
    address: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    /// Tells this machine's programs where it is.
    _notice: endpoint::Notice,
}

impl Api {
    /// Listens, and begins to serve.
    ///
    /// # Errors
    /// When the place is public and no password is set, or it cannot be listened on.
    pub fn start(node: Arc<Node>, listen: Listen) -> Result<Self, ApiStartError> {
        let shared = Shared::open(node)?;
        if listen.is_public() && !shared.auth.has_password() {
            return Err(ApiStartError::NoPassword(listen));
        }
        let (stop, stopped) = watch::channel(false);
        let (bound, binding) = sync_channel(1);
        let (router, place) = (router(shared.clone()), listen.clone());
        let thread = std::thread::Builder::new().name("shoal-api".into()).spawn(move || {
            let served = serve::block_on(async {
                let listener = match bind(&place).await {
                    Ok((listener, address)) => {
                        // Whoever started this waits for the answer.
                        let _ = bound.send(Ok(address));
                        listener
                    }
                    Err(source) => {
                        let _ = bound.send(Err(source));
                        return;
                    }
                };
                serve::serve(listener, router, stopped).await;
            });
            if let Err(error) = served {
                tracing::error!(%error, "the API cannot run");
            }
        });
        let thread = thread.map_err(ApiStartError::Start)?;
        let ended = || io::Error::other("its thread has ended");
        let address = binding.recv().map_err(|_| ApiStartError::Start(ended()))?;
        let address =
            address.map_err(|source| ApiStartError::Listen { listen: listen.clone(), source })?;
        let folder = &shared.node.began_with().node.state_dir;
        let notice = endpoint::Notice::post(folder, &listen, address);
        let notice =
            notice.map_err(|source| ApiStartError::Secrets { folder: folder.clone(), source })?;
        Ok(Self { shared, listen, address, stop, thread: Some(thread), _notice: notice })
    }

    /// Where it is reached over TCP.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Where it is reached, for people.
    #[must_use]
    pub fn place(&self) -> String {
        self.address.map_or_else(|| self.listen.to_string(), |address| format!("http://{address}/"))
    }

    /// A link to the page that logs one browser in, once, within minutes.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn login_link(&self) -> io::Result<String> {
        let place =
            self.address.map_or_else(|| self.place(), |at| format!("http://{}/", from_here(at)));
        Ok(format!("{place}#code={}", self.shared.auth.code()?))
    }

    /// As [`Self::login_link`], to the view `view` of the page, such as `networks/demo`.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn login_link_to(&self, view: &str) -> io::Result<String> {
        Ok(format!("{}&view={view}", self.login_link()?))
    }

    /// The description of `/api/v1` (OpenAPI), made from the code.
    #[must_use]
    pub fn description() -> String {
        let (_, description) = routes().split_for_parts();
        description.to_pretty_json().unwrap_or_default()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the API's thread panicked");
        }
        if let Listen::Unix(path) = &self.listen {
            // Gone already, or somebody else's by now.
            let _ = std::fs::remove_file(path);
        }
    }
}

async fn bind(listen: &Listen) -> io::Result<(Listener, Option<SocketAddr>)> {
    match listen {
        Listen::Tcp(address) => {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok((Listener::Tcp(listener), Some(address)))
        }
        Listen::Unix(path) => {
            let stale = tokio::net::UnixStream::connect(path).await;
            if stale.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
                std::fs::remove_file(path)?;
            }
            // Its owner alone may connect, from the moment it exists.
            let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
            let bound = UnixListener::bind(path);
            rustix::process::umask(mask);
            Ok((Listener::Unix(bound?), None))
        }
    }
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Shoal",
    description = "A node: its transfers, networks and lab. Log in with a cookie \
                   (POST /api/v1/login) or with `Authorization: Bearer TOKEN`, the token being in \
                   the file api-token of the state folder."
))]
struct Description;

fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .merge(login::routes())
        .merge(status::routes())
        .merge(transfers::routes())
        .merge(library::routes())
        .merge(search::routes())
        .merge(networks::routes())
        .merge(lab::routes())
        .merge(settings::routes())
        .merge(events::routes())
}

fn router(shared: Arc<Shared>) -> Router {
    let (router, description) = routes().split_for_parts();
    let description = description.to_json().unwrap_or_default();
    let json = [(axum::http::header::CONTENT_TYPE, "application/json")];
    router
        .route(
            "/api/v1/openapi.json",
            axum::routing::get(move || async move { (json, description) }),
        )
        .route("/stream/{id}/{file}", axum::routing::get(stream::stream))
        .route("/transmission/rpc", axum::routing::post(rpc::call))
        // As transmission-remote asks for it.
        .route("/transmission/rpc/", axum::routing::post(rpc::call))
        .fallback(web::page)
        .layer(axum::middleware::from_fn_with_state(shared.clone(), guard::guard))
        .with_state(shared)
}

/// Where a browser on this machine reaches what listens at `address`, which may be all of them.
fn from_here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_an_address_that_browsers_open() {
        for (listens, reached) in [
            ("0.0.0.0:8700", "127.0.0.1:8700"),
            ("[::]:8700", "[::1]:8700"),
            ("192.0.2.7:8700", "192.0.2.7:8700"),
            ("[2001:db8::7]:1", "[2001:db8::7]:1"),
        ] {
            let listens: SocketAddr = listens.parse().expect("an address");
            assert_eq!(from_here(listens).to_string(), reached);
        }
    }
}
