//! Doors in the router at home: asks it to let connections to our ports in, by PCP (RFC 6887),
//! NAT-PMP (RFC 6886) or UPnP-IGD, renews what it grants, and takes it back at the end. The formats
//! are the crates' `crab_nat` and `igd_next`; what is asked for, when and again, is said here. Where
//! the router is: `gateway`.

mod gateway;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crab_nat::{InternetProtocol, PortMappingType, TimeoutConfig};
use igd_next::{AddPortError, PortMappingProtocol, SearchOptions};
use tokio::sync::oneshot;

use gateway::{Gateway, NoGateway};

type Igd = igd_next::aio::Gateway<igd_next::aio::tokio::Tokio>;

/// For how long a door is asked for (RFC 6886, section 3.3); renewed at half of what is granted.
const LIFETIME: Duration = Duration::from_secs(7_200);
/// A router that promises less is asked again no sooner than this.
const RENEWAL_MIN: Duration = Duration::from_secs(60);
/// After the first failure, doubled with each one up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_secs(30);
const RETRY_MAX: Duration = Duration::from_secs(1_800);
/// How long to wait for answers to a search for UPnP routers.
const SEARCH: Duration = Duration::from_secs(3);
/// How long taking all doors back may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// A router that speaks PCP or NAT-PMP is next door: four tries within two seconds.
const PATIENCE: TimeoutConfig = TimeoutConfig {
    initial_timeout: Duration::from_millis(150),
    max_retries: 3,
    max_retry_timeout: Some(Duration::from_millis(1_200)),
};

/// What goes through a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PortProtocol {
    /// Connections.
    Tcp,
    /// Datagrams: uTP and the DHT.
    Udp,
}

/// By what a router was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapMethod {
    /// RFC 6887.
    Pcp,
    /// RFC 6886.
    NatPmp,
    /// The router's UPnP device "InternetGatewayDevice".
    Upnp,
}

impl fmt::Display for PortProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl fmt::Display for MapMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcp => "pcp",
            Self::NatPmp => "nat-pmp",
            Self::Upnp => "upnp",
        })
    }
}

/// How it stands with one door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapState {
    /// The router has been asked.
    Asking,
    /// It is open.
    Mapped {
        /// Where the outside finds us. An unspecified IP address is one that the router does not say.
        external: SocketAddr,
        /// By what.
        method: MapMethod,
    },
    /// It is not open, for this reason; it is tried again.
    Failed(String),
}

/// One port that the outside is to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortMapping {
    /// What goes through.
    pub protocol: PortProtocol,
    /// The port on this machine, and the one asked for outside.
    pub port: u16,
    /// How it stands.
    pub state: MapState,
}

/// Keeps doors open until it is shut down. Dropped without [`PortMapper::shutdown`], it takes them
/// back without anybody waiting for it.
#[derive(Debug)]
pub struct PortMapper {
    doors: Arc<Mutex<Vec<PortMapping>>>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl PortMapper {
    /// Begins to ask for these ports, on a thread of its own; returns at once.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be had.
    pub fn start(ports: &[(PortProtocol, NonZeroU16)]) -> io::Result<Self> {
        let doors = ports.iter().map(|(protocol, port)| PortMapping {
            protocol: *protocol,
            port: port.get(),
            state: MapState::Asking,
        });
        let doors = Arc::new(Mutex::new(doors.collect::<Vec<_>>()));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let keeper = Keeper { doors: doors.clone(), granted: Vec::new() };
        let thread = std::thread::Builder::new()
            .name("shoal-port-map".into())
            .spawn(move || runtime.block_on(keeper.run(stopped)))?;
        Ok(Self { doors, stop, thread })
    }

    /// How it stands with each port, in the order they were given.
    #[must_use]
    pub fn mappings(&self) -> Vec<PortMapping> {
        lock(&self.doors).clone()
    }

    /// Takes all doors back; within seconds, whether the router answers or not.
    pub fn shutdown(self) {
        // A thread that has ended already hears nothing.
        let _ = self.stop.send(());
        if self.thread.join().is_err() {
            tracing::error!("the port mapping thread panicked");
        }
    }
}

/// What a router granted.
enum Grant {
    /// By PCP or NAT-PMP.
    Pmp(Box<crab_nat::PortMapping>),
    Upnp {
        router: Arc<Igd>,
        protocol: PortMappingProtocol,
        port: u16,
    },
}

struct Keeper {
    doors: Arc<Mutex<Vec<PortMapping>>>,
    /// One for each door, in their order; empty until a round succeeded.
    granted: Vec<Grant>,
}

impl Keeper {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut retry = RETRY_MIN;
        loop {
            let wait = tokio::select! {
                biased;
                _ = &mut stopped => break,
                round = self.round() => match round {
                    Ok(renew) => {
                        retry = RETRY_MIN;
                        renew
                    }
                    Err(error) => {
                        tracing::debug!(%error, "no port mapping");
                        self.fail(&error);
                        let wait = retry;
                        retry = (retry * 2).min(RETRY_MAX);
                        wait
                    }
                },
            };
            tokio::select! {
                _ = &mut stopped => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        if tokio::time::timeout(FAREWELL, self.take_back()).await.is_err() {
            tracing::debug!("the router was too slow to take all port mappings back");
        }
    }

    /// Asks for all doors once, anew or again; says when to renew them.
    async fn round(&mut self) -> Result<Duration, MapError> {
        let gateway = Gateway::find()?;
        let asked: Vec<_> =
            lock(&self.doors).iter().map(|door| (door.protocol, door.port)).collect();
        let by_pmp = self.ask_pmp(gateway, &asked).await;
        let (granted, externals, method, lifetime) = match by_pmp {
            Ok(all) => all,
            Err(pmp) => match ask_upnp(gateway, &asked).await {
                Ok(all) => all,
                Err(upnp) => return Err(MapError::Refused { pmp: Box::new(pmp), upnp }),
            },
        };
        self.granted = granted;
        for (door, external) in lock(&self.doors).iter_mut().zip(externals) {
            let state = MapState::Mapped { external, method };
            if door.state != state {
                tracing::info!(port = door.port, protocol = %door.protocol, %external, %method,
                    "the router lets the outside in");
            }
            door.state = state;
        }
        Ok((lifetime / 2).max(RENEWAL_MIN))
    }

    /// By PCP or NAT-PMP. What was granted earlier is renewed.
    async fn ask_pmp(
        &mut self,
        gateway: Gateway,
        asked: &[(PortProtocol, u16)],
    ) -> Result<Granted, crab_nat::MappingFailure> {
        // What is dropped on the way runs out by itself.
        let mut earlier = std::mem::take(&mut self.granted).into_iter();
        let (mut granted, mut externals) = (Vec::new(), Vec::new());
        let (mut method, mut lifetime) = (MapMethod::NatPmp, LIFETIME);
        for (protocol, port) in asked {
            let mapping = match earlier.next() {
                Some(Grant::Pmp(mut mapping)) => {
                    mapping.renew().await?;
                    mapping
                }
                _ => Box::new(new_pmp(gateway, *protocol, *port).await?),
            };
            lifetime = lifetime.min(Duration::from_secs(mapping.lifetime().into()));
            let ip = match mapping.mapping_type() {
                PortMappingType::Pcp { external_ip, .. } => {
                    method = MapMethod::Pcp;
                    external_ip
                }
                PortMappingType::NatPmp => {
                    let asked =
                        crab_nat::natpmp::external_address(gateway.router.into(), Some(PATIENCE));
                    // The door is open even if its address stays unknown.
                    asked.await.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4)
                }
            };
            externals.push(SocketAddr::new(ip.to_canonical(), mapping.external_port().get()));
            granted.push(Grant::Pmp(mapping));
        }
        Ok((granted, externals, method, lifetime))
    }

    fn fail(&self, error: &MapError) {
        for door in lock(&self.doors).iter_mut() {
            door.state = MapState::Failed(error.to_string());
        }
    }

    async fn take_back(self) {
        for grant in self.granted {
            let done = match grant {
                Grant::Pmp(mapping) => {
                    mapping.try_drop().await.map_err(|(error, _)| error.to_string())
                }
                Grant::Upnp { router, protocol, port } => {
                    router.remove_port(protocol, port).await.map_err(|error| error.to_string())
                }
            };
            if let Err(error) = done {
                tracing::debug!(%error, "the router does not take a port mapping back");
            }
        }
    }
}

/// What was granted, where the outside finds each, by what, and for how long.
type Granted = (Vec<Grant>, Vec<SocketAddr>, MapMethod, Duration);

async fn new_pmp(
    gateway: Gateway,
    protocol: PortProtocol,
    port: u16,
) -> Result<crab_nat::PortMapping, crab_nat::MappingFailure> {
    let port = NonZeroU16::new(port).expect("ports are given as such");
    let options = crab_nat::PortMappingOptions {
        external_port: Some(port),
        lifetime_seconds: Some(LIFETIME.as_secs() as u32),
        timeout_config: Some(PATIENCE),
    };
    let protocol = match protocol {
        PortProtocol::Tcp => InternetProtocol::Tcp,
        PortProtocol::Udp => InternetProtocol::Udp,
    };
    crab_nat::PortMapping::new(gateway.router.into(), gateway.local.into(), protocol, port, options)
        .await
}

async fn ask_upnp(gateway: Gateway, asked: &[(PortProtocol, u16)]) -> Result<Granted, UpnpError> {
    let mut options = SearchOptions::default();
    options.bind_addr = (gateway.local, 0).into();
    options.timeout = Some(SEARCH);
    options.single_search_timeout = Some(SEARCH);
    let router = Arc::new(igd_next::aio::tokio::search_gateway(options).await?);
    let external = router.get_external_ip().await.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let (mut granted, mut externals) = (Vec::new(), Vec::new());
    for (protocol, port) in asked {
        let kind = match protocol {
            PortProtocol::Tcp => PortMappingProtocol::TCP,
            PortProtocol::Udp => PortMappingProtocol::UDP,
        };
        let local = SocketAddr::from((gateway.local, *port));
        let seconds = LIFETIME.as_secs() as u32;
        match router.add_port(kind, *port, local, seconds, crate::CLIENT).await {
            Ok(()) => {}
            // Asked for again at each renewal all the same, in case the router restarts.
            Err(AddPortError::OnlyPermanentLeasesSupported) => {
                router.add_port(kind, *port, local, 0, crate::CLIENT).await?;
            }
            Err(error) => return Err(error.into()),
        }
        externals.push(SocketAddr::new(external, *port));
        granted.push(Grant::Upnp { router: router.clone(), protocol: kind, port: *port });
    }
    Ok((granted, externals, MapMethod::Upnp, LIFETIME))
}

/// Why no door could be opened.
#[derive(Debug, thiserror::Error)]
enum MapError {
    #[error(transparent)]
    NoGateway(#[from] NoGateway),
    #[error("the router grants nothing: {pmp}; by UPnP: {upnp}")]
    Refused { pmp: Box<crab_nat::MappingFailure>, upnp: UpnpError },
}

#[derive(Debug, thiserror::Error)]
enum UpnpError {
    #[error("{0}")]
    Search(#[from] igd_next::SearchError),
    #[error("{0}")]
    Add(#[from] AddPortError),
}

/// A poisoned lock guards values that are whole between statements.
fn lock(doors: &Mutex<Vec<PortMapping>>) -> std::sync::MutexGuard<'_, Vec<PortMapping>> {
    doors.lock().unwrap_or_else(PoisonError::into_inner)
}
