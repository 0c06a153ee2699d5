//! The session's nodes of the DHT, one for each IP version, on the ports of uTP. Torrents ask them
//! for peers; what peers say of their own nodes comes here.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ::dht::kademlia::{Command, Event, Peer};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::spawn_local;

use super::SessionError;
use super::config::SessionConfig;
use crate::datagram::Events;
use crate::dht::{KademliaConfig, KademliaNode, Krpc, resolve};
use crate::utp::Endpoint;

/// The first pause before a node that knows nobody begins anew; each further one is twice as long.
const REJOIN_FIRST: Duration = Duration::from_secs(5);
/// The longest, and how often a node looks whether it still knows anybody.
const REJOIN_MAX: Duration = Duration::from_secs(15 * 60);
/// Nodes of one IP version that the other one's node is told of (BEP 32).
const FOREIGN_MAX: usize = 8;

/// The session's part in the DHT.
pub(super) struct Dht {
    nodes: Vec<Rc<Node>>,
}

/// A node for one IP version.
pub(super) struct Node {
    pub(super) kademlia: KademliaNode,
    /// Nodes to begin with, as the user named them.
    bootstrap: Vec<String>,
    begun: Cell<bool>,
    begins: Notify,
}

impl Dht {
    /// Starts the nodes that the configuration asks for.
    pub(super) fn start(
        config: &SessionConfig,
        utp: &[Rc<Endpoint>],
        sockets: Vec<UdpSocket>,
    ) -> Result<Option<Self>, SessionError> {
        let Some(dht) = &config.dht else { return Ok(None) };
        let failed = SessionError::Start;
        let rules = KademliaConfig::default();
        let mut started = Vec::new();
        for endpoint in utp {
            if is_new_family(&started, endpoint.local_addr()) {
                started.push(KademliaNode::start_on(endpoint.clone(), &rules).map_err(failed)?);
            }
        }
        for socket in sockets {
            if is_new_family(&started, socket.local_addr().map_err(failed)?) {
                started.push(KademliaNode::start(socket, &rules).map_err(failed)?);
            }
        }
        let (mut nodes, mut events) = (Vec::new(), Vec::new());
        for (kademlia, told) in started {
            nodes.push(Rc::new(Node {
                kademlia,
                bootstrap: dht.bootstrap.clone(),
                begun: Cell::new(false),
                begins: Notify::new(),
            }));
            events.push(told);
        }
        for (number, told) in events.into_iter().enumerate() {
            let other = nodes.get(1 - number.min(1)).cloned();
            spawn_local(introduce(told, other));
        }
        for node in &nodes {
            spawn_local(node.clone().keep_joined());
        }
        Ok((!nodes.is_empty()).then_some(Self { nodes }))
    }

    /// Where the nodes are.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address()).collect()
    }

    /// The port that peers are told.
    pub(super) fn port(&self) -> Option<u16> {
        self.nodes.first().map(|node| node.address().port())
    }

    pub(super) fn nodes(&self) -> &[Rc<Node>] {
        &self.nodes
    }

    /// A peer says that it has a node there.
    pub(super) fn meet(&self, address: SocketAddr) {
        let kin = |node: &&Rc<Node>| node.address().is_ipv4() == address.is_ipv4();
        if let Some(node) = self.nodes.iter().find(kin) {
            node.kademlia.handle().tell(Command::Ping { contact: Peer::unnamed(address) });
        }
    }
}

impl Node {
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

    /// Becomes part of the network of the nodes that the user named, for as long as nobody is
    /// known; alone it waits for others to come.
    async fn keep_joined(self: Rc<Self>) {
        let mut pause = REJOIN_FIRST;
        loop {
            if self.kademlia.nodes().await.is_ok_and(|nodes| nodes.is_empty()) {
                let mut known = Vec::new();
                for name in &self.bootstrap {
                    match resolve(name).await {
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
                self.begun.set(true);
                self.begins.notify_waiters();
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(REJOIN_MAX);
        }
    }
}

/// Whether none of the nodes speaks the IP version of `address`.
fn is_new_family(started: &[(KademliaNode, Events<Krpc>)], address: SocketAddr) -> bool {
    started.iter().all(|(node, _)| node.address().is_ipv4() != address.is_ipv4())
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
