//! A tracker: HTTP and UDP on the same ports, one table. UDP has threads of its own, each around
//! one batch of datagrams at a time; HTTP runs on the caller's reactor.
//!
//! A client is where its packets come from. What it says of its address (`ip`, `ipv4`, and the
//! field of UDP) counts only if it is on a loopback or private address itself, as behind the same
//! router; headers that proxies add never count.

mod allow_list;
mod http;
mod state;
mod udp;

use std::future::Future;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bittorrent::tracker::{MAX_INTERVAL, MIN_INTERVAL};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use self::allow_list::AllowListError;
pub use self::state::ServerStats;
use self::state::State;

/// How often a share of the table is searched for peers whose time is over.
const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 1_024;
/// Bytes of datagrams that the system keeps until they are read.
const RECEIVE_BUFFER: usize = 8 << 20;

/// How a tracker is run.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where, HTTP and UDP alike; with port 0 the system chooses one that both can have.
    pub listen: Vec<SocketAddr>,
    /// Whether to speak HTTP.
    pub http: bool,
    /// Whether to speak UDP.
    pub udp: bool,
    /// Threads for each UDP address.
    pub udp_threads: usize,
    /// How often clients are to announce; a client that does not for twice as long is forgotten.
    pub interval: Duration,
    /// How often clients may announce of their own accord.
    pub min_interval: Duration,
    /// Most peers in one answer, and their number if a client does not say; at most 200.
    pub max_peers_returned: usize,
    /// A file with the infohashes to serve, in hexadecimal, one a line; `None` serves all.
    pub allow_list: Option<PathBuf>,
    /// Most torrents.
    pub max_torrents: usize,
    /// Most peers of one torrent.
    pub max_peers_per_torrent: usize,
    /// Most peers in all.
    pub max_peers: usize,
    /// Most HTTP connections at once.
    pub max_connections: usize,
    /// HTTP requests per second of one host (an IPv4 address, or an IPv6 /64), with bursts of ten
    /// times as many; `None` is no limit.
    pub http_rate: Option<u32>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            http: true,
            udp: true,
            udp_threads: 1,
            interval: Duration::from_secs(30 * 60),
            min_interval: Duration::from_secs(5 * 60),
            max_peers_returned: 50,
            allow_list: None,
            max_torrents: 1_000_000,
            max_peers_per_torrent: 1_000_000,
            max_peers: 20_000_000,
            max_connections: 1_000,
            http_rate: Some(50),
        }
    }
}

/// Why a tracker does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address cannot be had.
    #[error("listening on {address}: {error}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The allow-list cannot be read.
    #[error(transparent)]
    AllowList(#[from] AllowListError),
    /// The system gives no randomness or no thread.
    #[error("starting the tracker: {0}")]
    Start(io::Error),
}

/// A tracker whose addresses are bound.
pub struct Server {
    config: ServerConfig,
    state: Arc<State>,
    http: Vec<TcpListener>,
    udp: Vec<UdpSocket>,
    addresses: Vec<SocketAddr>,
}

/// A view of a running tracker.
#[derive(Clone)]
pub struct ServerHandle(Arc<State>);

impl ServerHandle {
    /// What it has done, and what it knows.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        self.0.stats()
    }

    /// Reads the allow-list again. If that fails, the old one stays.
    ///
    /// # Errors
    /// If the file cannot be read, or holds something else than infohashes.
    pub fn reload_allow_list(&self) -> Result<(), AllowListError> {
        self.0.reload_allow_list()
    }
}

impl Server {
    /// Binds all addresses.
    ///
    /// # Errors
    /// If one of them cannot be had, or the allow-list cannot be read.
    pub async fn bind(mut config: ServerConfig) -> Result<Self, ServerError> {
        config.interval = config.interval.clamp(MIN_INTERVAL, MAX_INTERVAL);
        config.min_interval = config.min_interval.clamp(MIN_INTERVAL, config.interval);
        let state = Arc::new(State::new(&config)?);
        let mut server =
            Self { state, http: Vec::new(), udp: Vec::new(), addresses: Vec::new(), config };
        for address in server.config.listen.clone() {
            server.bind_one(address).map_err(|error| ServerError::Bind { address, error })?;
        }
        Ok(server)
    }

    /// Where it listens, in the order of the configuration, with the ports that it got.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// A view of it while it runs.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(Arc::clone(&self.state))
    }

    /// Serves until `shutdown` completes, and returns what it has done.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<ServerStats, ServerError> {
        let (stop, stopped) = watch::channel(false);
        let mut threads = Vec::new();
        for socket in self.udp {
            let state = Arc::clone(&self.state);
            let stopped = stopped.clone();
            let thread = std::thread::Builder::new()
                .name("udp-tracker".into())
                .spawn(move || udp::serve(&socket, &state, || *stopped.borrow()));
            threads.push(thread.map_err(ServerError::Start)?);
        }
        let http = http::Http::new(&self.config, Arc::clone(&self.state), stopped);
        for listener in self.http {
            tokio::spawn(http.clone().serve(listener));
        }
        let sweep = async {
            let mut ticks = tokio::time::interval(SWEEP_EVERY);
            loop {
                ticks.tick().await;
                self.state.sweep(SWEEP_EVERY);
            }
        };
        tokio::select! {
            () = shutdown => {}
            () = sweep => {}
        }
        // They look up between batches, a quarter of a second apart at most.
        let _ = stop.send(true);
        let ended = tokio::task::spawn_blocking(move || {
            threads.into_iter().for_each(|thread| {
                if thread.join().is_err() {
                    tracing::error!("a thread of the UDP tracker has panicked");
                }
            });
        });
        let _ = ended.await;
        Ok(self.state.stats())
    }

    fn bind_one(&mut self, address: SocketAddr) -> io::Result<()> {
        const TRIES: usize = 20;
        let mut last = None;
        // A port that is free for TCP may be taken for UDP.
        for _ in 0..if address.port() == 0 { TRIES } else { 1 } {
            let tcp = tcp_socket(address)?;
            let bound = tcp.local_addr()?.as_socket().unwrap_or(address);
            if self.config.udp {
                let threads = self.config.udp_threads.clamp(1, 64);
                let sockets: io::Result<Vec<_>> =
                    (0..threads).map(|_| udp_socket(bound, threads > 1)).collect();
                match sockets {
                    Ok(sockets) => self.udp.extend(sockets),
                    Err(error) => {
                        last = Some(error);
                        continue;
                    }
                }
            }
            if self.config.http {
                tcp.listen(BACKLOG as i32)?;
                self.http.push(TcpListener::from_std(tcp.into())?);
            }
            self.addresses.push(bound);
            return Ok(());
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
    }
}

fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn udp_socket(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(shared)?;
    // The system grants less if it is configured so; that is no reason to fail.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let _ = socket.set_send_buffer_size(RECEIVE_BUFFER);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests;
