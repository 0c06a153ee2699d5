//! The session's nodes of the DHT, one for each IP version, on the ports of uTP; they come and go
//! while the session runs. Torrents ask them for peers; what peers say of their own nodes comes here.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use ::dht::kademlia::{Command, Event, Peer};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::spawn_local;

use super::SessionError;
use super::config::SessionConfig;
use crate::datagram::Events;
use crate::dht::{KademliaConfig, KademliaNode, Krpc, Saved, StateFile, resolve};
use crate::url_policy::{Reach, reach};
use crate::utp::Endpoint;

/// The first pause before a node that knows nobody begins anew; each further one is twice as long.
const REJOIN_FIRST: Duration = Duration::from_secs(5);
/// The longest, and how often a node looks whether it still knows anybody, and notes whom.
const REJOIN_MAX: Duration = Duration::from_secs(15 * 60);
/// Nodes of one IP version that the other one's node is told of (BEP 32).
const FOREIGN_MAX: usize = 8;
/// Names of nodes to begin with that are remembered.
const BOOTSTRAP_MAX: usize = 64;
/// Nodes of the last run that a node begins with, at most.
const AGAIN_MAX: usize = 64;

/// The session's part in the DHT.
pub(super) struct Dht {
    places: Vec<Place>,
    interface: Option<String>,
    /// The folder in which nodes keep what they know from one run to the next.
    state: Option<PathBuf>,
    nodes: RefCell<Vec<Rc<Node>>>,
}

/// Where a node is when there is one.
struct Place {
    address: SocketAddr,
    /// What speaks uTP there.
    endpoint: Option<Rc<Endpoint>>,
}

/// A node for one IP version.
pub(super) struct Node {
    pub(super) kademlia: KademliaNode,
    /// Nodes to begin with, as the user named them.
    bootstrap: RefCell<Vec<String>>,
    /// Whom it knew when it ran last.
    last: RefCell<Vec<SocketAddr>>,
    file: RefCell<Option<StateFile>>,
    begun: Cell<bool>,
    begins: Notify,
    /// The user wants it to begin anew.
    again: Notify,
}

impl Dht {
    /// The session's part, with the nodes that the configuration asks for. `sockets` are those of
    /// `listens` at which no uTP is spoken.
    pub(super) fn start(
        config: &SessionConfig,
        utp: &[Rc<Endpoint>],
        sockets: Vec<UdpSocket>,
        listens: &[SocketAddr],
    ) -> Result<Self, SessionError> {
        let shared = utp.iter().map(|endpoint| Place {
            address: endpoint.local_addr(),
            endpoint: Some(endpoint.clone()),
        });
        let own = listens.iter().map(|&address| Place { address, endpoint: None });
        let mut places: Vec<Place> = Vec::new();
        for place in shared.chain(own) {
            if places.iter().all(|other| other.address.is_ipv4() != place.address.is_ipv4()) {
                places.push(place);
            }
        }
        let dht = Self {
            places,
            interface: config.interface.clone(),
            state: config.dht.as_ref().and_then(|dht| dht.state.clone()),
            nodes: RefCell::default(),
        };
        if let Some(config) = &config.dht {
            dht.begin(&config.bootstrap, sockets)?;
        }
        Ok(dht)
    }

    fn begin(&self, bootstrap: &[String], mut sockets: Vec<UdpSocket>) -> Result<(), SessionError> {
        let mut started = Vec::new();
        for place in &self.places {
            let (file, saved) = open(self.state.as_deref(), place.address);
            let rules = KademliaConfig { id: saved.id, ..KademliaConfig::default() };
            let node = match &place.endpoint {
                Some(endpoint) => KademliaNode::start_on(endpoint.clone(), &rules),
                None => {
                    let is_here = |socket: &UdpSocket| {
                        socket.local_addr().is_ok_and(|address| address == place.address)
                    };
                    let socket = match sockets.iter().position(is_here) {
                        Some(at) => sockets.swap_remove(at),
                        None => self.bind(place.address)?,
                    };
                    KademliaNode::start(socket, &rules)
                }
            };
            let (kademlia, told) = node.map_err(SessionError::Start)?;
            started.push((Node::new(kademlia, bootstrap, file, saved), told));
        }
        let (nodes, events): (Vec<_>, Vec<_>) = started.into_iter().unzip();
        for (number, told) in events.into_iter().enumerate() {
            let other = nodes.get(1 - number.min(1)).cloned();
            spawn_local(introduce(told, other));
        }
        for node in &nodes {
            spawn_local(node.clone().keep_joined());
        }
        self.nodes.replace(nodes);
        Ok(())
    }

    fn bind(&self, address: SocketAddr) -> Result<UdpSocket, SessionError> {
        let failed = |source| SessionError::Listen { address, source };
        let bound = crate::dialer::listen(address, self.interface.as_deref(), false, true);
        let none = || failed(std::io::ErrorKind::Unsupported.into());
        bound.map_err(failed)?.1.ok_or_else(none)
    }

    /// Becomes part of the network of `known`; says whether there are new nodes.
    pub(super) fn join(&self, known: Vec<String>) -> Result<bool, SessionError> {
        let nodes = self.nodes();
        if nodes.is_empty() {
            self.begin(&known, Vec::new())?;
            return Ok(true);
        }
        for node in nodes {
            let mut bootstrap = node.bootstrap.borrow_mut();
            // The latest come first: there is room for so many.
            bootstrap.retain(|name| !known.contains(name));
            bootstrap.splice(0..0, known.iter().cloned());
            bootstrap.truncate(BOOTSTRAP_MAX);
            node.again.notify_one();
        }
        Ok(false)
    }

    /// Notes whom the nodes know, for the next run, which may begin before all that is left of this
    /// one is gone.
    pub(super) async fn close(&self) {
        for node in self.nodes() {
            node.save().await;
            node.file.take();
        }
    }

    /// Says goodbye and ends all nodes.
    pub(super) fn leave(&self, patience: Duration) -> impl Future<Output = ()> + 'static {
        let nodes = self.nodes.take();
        async move {
            for node in nodes {
                node.save().await;
                node.kademlia.leave(patience).await;
                node.begin();
                // The next node here may have it.
                node.file.take();
            }
        }
    }

    /// The port that peers are told.
    pub(super) fn port(&self) -> Option<u16> {
        self.nodes.borrow().first().map(|node| node.address().port())
    }

    pub(super) fn nodes(&self) -> Vec<Rc<Node>> {
        self.nodes.borrow().clone()
    }

    /// A peer says that it has a node there.
    pub(super) fn meet(&self, address: SocketAddr) {
        let kin = |node: &&Rc<Node>| node.address().is_ipv4() == address.is_ipv4();
        if let Some(node) = self.nodes.borrow().iter().find(kin) {
            node.kademlia.handle().tell(Command::Ping { contact: Peer::unnamed(address) });
        }
    }
}

impl Node {
    fn new(
        kademlia: KademliaNode,
        bootstrap: &[String],
        file: Option<StateFile>,
        saved: Saved,
    ) -> Rc<Self> {
        let mut last = saved.nodes;
        // Nodes of the public network are met again only by who begins with nodes of it.
        last.retain(|node| !bootstrap.is_empty() || reach(node.ip()) != Reach::Public);
        Rc::new(Self {
            kademlia,
            bootstrap: RefCell::new(bootstrap.to_vec()),
            last: RefCell::new(last),
            file: RefCell::new(file),
            begun: Cell::new(false),
            begins: Notify::new(),
            again: Notify::new(),
        })
    }

    async fn save(&self) {
        if self.file.borrow().is_none() {
            return;
        }
        let Ok(nodes) = self.kademlia.nodes().await else { return };
        let saved = Saved { id: Some(self.kademlia.id()), nodes };
        if let Some(file) = self.file.borrow().as_ref()
            && !saved.nodes.is_empty()
            && let Err(error) = file.save(&saved)
        {
            tracing::warn!(%error, "the nodes of the DHT cannot be kept");
        }
    }

    /// Becomes part of the network of the nodes that it knew when it ran last; whether one of them
    /// answered.
    async fn join_last(&self) -> bool {
        let last = self.last.take();
        let every = last.len().div_ceil(AGAIN_MAX).max(1);
        let some: Vec<_> = last.into_iter().step_by(every).collect();
        !some.is_empty() && self.kademlia.join(&some).await == Ok(true)
    }

    fn address(&self) -> SocketAddr {
        self.kademlia.address()
    }

    /// Waits until it has tried to become part of a network, whether or not anybody answered.
    pub(super) async fn has_begun(&self) {
        let begins = self.begins.notified();
        if !self.begun.get() {
            begins.await;
        }
    }

    fn begin(&self) {
        self.begun.set(true);
        self.begins.notify_waiters();
    }

    /// Becomes part of the network of the nodes that the user named, for as long as nobody is
    /// known, and when it is told to; alone it waits for others to come.
    async fn keep_joined(self: Rc<Self>) {
        let mut pause = REJOIN_FIRST;
        let mut told = true;
        loop {
            let Ok(nodes) = self.kademlia.nodes().await else { return };
            if self.join_last().await {
                self.begin();
                pause = REJOIN_MAX;
            } else if told || nodes.is_empty() {
                let mut known = Vec::new();
                let names = self.bootstrap.borrow().clone();
                for name in names {
                    match resolve(&name).await {
                        Ok(addresses) => known.extend(addresses),
                        Err(error) => tracing::warn!(%error, "a node to begin with is of no use"),
                    }
                }
                match self.kademlia.join(&known).await {
                    Ok(true) if !known.is_empty() => pause = REJOIN_MAX,
                    Ok(true) => {}
                    Ok(false) => {
                        tracing::debug!(?pause, "no node of the DHT answers");
                        // Others may begin with this one.
                        let _ = self.kademlia.join(&[]).await;
                    }
                    Err(_) => return,
                }
                self.begin();
            }
            self.save().await;
            told = tokio::time::timeout(pause, self.again.notified()).await.is_ok();
            pause = if told { REJOIN_FIRST } else { (2 * pause).min(REJOIN_MAX) };
        }
    }
}

/// What is kept of the node at `address`, if that is wanted and no other process has it.
fn open(folder: Option<&Path>, address: SocketAddr) -> (Option<StateFile>, Saved) {
    let name = if address.is_ipv4() { "dht4" } else { "dht6" };
    let state = folder.and_then(|folder| {
        StateFile::open(&folder.join(name)).unwrap_or_else(|error| {
            tracing::warn!(%error, "nothing is known of the last run's nodes of the DHT");
            None
        })
    });
    state.map_or_else(Default::default, |(file, saved)| (Some(file), saved))
}

/// Makes nodes of one IP version, which others mention to the node of the other version, known to
/// the one that speaks with them.
async fn introduce(mut told: Events<Krpc>, other: Option<Rc<Node>>) {
    while let Some((_, event)) = told.next().await {
        if let (Event::Foreign(nodes), Some(other)) = (event, &other) {
            for contact in nodes.into_iter().take(FOREIGN_MAX) {
                other.kademlia.handle().tell(Command::Ping { contact });
            }
        }
    }
}
