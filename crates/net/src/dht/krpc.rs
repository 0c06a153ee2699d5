//! Kademlia in the mainline DHT: KRPC datagrams for the driver, and one node behind its handle.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ::dht::kademlia::krpc::{DATAGRAM_MAX, Packet};
use ::dht::kademlia::{AddressVote, Command, Config, Event, Kademlia, Message, Peer, node_id};
use machine::Wire;
use machine::dht::{self, Key, Report};
use tokio::net::UdpSocket;
use tokio::sync::watch;

use super::identity::is_signed;
use crate::datagram::{self, Arrival, Events, Gone, Handle, Inlet, Protocol};
use crate::utp::Endpoint;

/// KRPC (BEP 5) as the messages of a [`Kademlia`] node.
#[derive(Debug)]
pub struct Krpc {
    id: Key,
    vote: AddressVote,
    seen_at: watch::Sender<Option<IpAddr>>,
}

impl Protocol for Krpc {
    type Machine = Kademlia<Peer>;
    const DATAGRAM_MAX: usize = DATAGRAM_MAX;

    fn decode(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Option<Arrival<Peer, Message<Peer>>> {
        let packet = Packet::decode(datagram).ok()?;
        if let Some(observed) = packet.observed
            && let Some(ip) = self.vote.count(from.ip(), observed.ip())
        {
            self.seen_at.send_replace(Some(ip));
        }
        Some(Arrival { node: 0, from: packet.from(from), message: packet.message })
    }

    fn encode(
        &mut self,
        _node: usize,
        to: Peer,
        message: Message<Peer>,
        out: &mut Vec<u8>,
    ) -> SocketAddr {
        Packet::new(self.id, to.addr, message).encode(out);
        to.addr
    }

    fn is_last(event: &Event<Peer>) -> bool {
        !matches!(event, Event::Peers(_) | Event::Samples { .. } | Event::Foreign(_))
    }
}

/// What is chosen about a live node.
#[derive(Clone, Debug, Default)]
pub struct KademliaConfig {
    /// Its id; `None` for one that follows from its address (BEP 42), or a random one.
    pub id: Option<Key>,
    /// Whether it asks and does not answer (BEP 43).
    pub read_only: bool,
    /// Queries of one host that are answered in a second; `None` for the usual number, 0 for all.
    pub queries_per_host: Option<u32>,
    /// How long a request waits for its reply; `None` for the usual time.
    pub timeout: Option<Duration>,
}

impl KademliaConfig {
    /// The machine for a socket at `address`, and what its messages are written with.
    pub(crate) fn build(
        &self,
        address: SocketAddr,
    ) -> io::Result<(Kademlia<Peer>, Krpc, watch::Receiver<Option<IpAddr>>)> {
        let mut random = [0; 36];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let (id, secret) = random.split_at(20);
        let id = id.try_into().unwrap_or_default();
        let id = self.id.unwrap_or_else(|| node_id(address.ip(), id));
        let mut rules = Config::mainline(is_signed);
        rules.read_only = self.read_only;
        match self.queries_per_host {
            Some(0) => rules.host_rate = None,
            Some(rate) => rules.host_rate = Some(rate),
            None => {}
        }
        if let Some(timeout) = self.timeout {
            rules.slow = rules.slow.min(timeout / 2);
            rules.timeout = timeout;
        }
        let (seen_at, seen) = watch::channel(None);
        let me = Peer { id, addr: address };
        let machine = Kademlia::new(me, Arc::new(rules), secret.try_into().unwrap_or_default());
        Ok((machine, Krpc { id, vote: AddressVote::default(), seen_at }, seen))
    }
}

/// A node of the mainline DHT, from outside.
#[derive(Clone, Debug)]
pub struct KademliaNode {
    handle: Handle<Krpc>,
    id: Key,
    seen_at: watch::Receiver<Option<IpAddr>>,
}

impl KademliaNode {
    /// A node on a socket of its own, driven from the current `LocalSet`; it knows nobody yet.
    ///
    /// # Errors
    /// If the socket does not say its own address, or the system gives no randomness.
    pub fn start(socket: UdpSocket, config: &KademliaConfig) -> io::Result<(Self, Events<Krpc>)> {
        let (machine, krpc, seen_at) = config.build(socket.local_addr()?)?;
        let id = machine.me().id;
        let (handle, events) = datagram::spawn(socket, krpc, vec![machine], Default::default())?;
        Ok((Self { handle, id, seen_at }, events))
    }

    /// A node on a socket that uTP is spoken on.
    pub(crate) fn start_on(
        endpoint: Rc<Endpoint>,
        config: &KademliaConfig,
    ) -> io::Result<(Self, Events<Krpc>)> {
        let (machine, krpc, seen_at) = config.build(endpoint.local_addr())?;
        let id = machine.me().id;
        let inlet = Inlet::default();
        let leave = inlet.clone();
        endpoint.on_datagram(move |from, datagram| {
            // Bencoded dictionaries: no other protocol here begins so.
            if datagram.first() == Some(&b'd') {
                leave.push(from, datagram);
            }
        });
        let (handle, events) =
            datagram::spawn_on(endpoint, inlet, krpc, vec![machine], Default::default())?;
        Ok((Self { handle, id, seen_at }, events))
    }

    /// The handle of its driver.
    #[must_use]
    pub fn handle(&self) -> &Handle<Krpc> {
        &self.handle
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> Key {
        self.id
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.handle.address()
    }

    /// Where others say that it is, once enough of them agree.
    #[must_use]
    pub fn seen_at(&self) -> Option<IpAddr> {
        *self.seen_at.borrow()
    }

    /// Becomes part of the network that one of `known` is in; whether any answered.
    ///
    /// # Errors
    /// If the node has ended.
    pub async fn join(&self, known: &[SocketAddr]) -> Result<bool, Gone> {
        let ours = self.address().is_ipv4();
        let kin = known.iter().filter(|address| address.is_ipv4() == ours);
        let known = kin.copied().map(Peer::unnamed).collect();
        let joined = self.handle.call(Command::Dht(dht::Command::Join { known })).await?;
        Ok(matches!(joined, Event::Report(Report::Joined)))
    }

    /// Says goodbye, waiting no longer than `patience`, and ends the node.
    pub async fn leave(&self, patience: Duration) {
        let leave = self.handle.call(Command::Dht(dht::Command::Leave));
        // Whether it came to an end or not: this is the end.
        let _ = tokio::time::timeout(patience, leave).await;
        self.handle.stop().await;
    }

    /// Peers of a torrent that have announced themselves to this node.
    pub async fn listed(&self, info_hash: Key) -> Vec<SocketAddr> {
        let listed = self.handle.look(move |machines, _| {
            machines.iter().flat_map(|node| node.listed(&info_hash)).collect()
        });
        listed.await.unwrap_or_default()
    }

    /// Nodes that it would begin with after a restart.
    ///
    /// # Errors
    /// If the node has ended.
    pub async fn nodes(&self) -> Result<Vec<SocketAddr>, Gone> {
        self.handle
            .look(|machines, _| {
                machines.iter().flat_map(|node| node.nodes()).map(|peer| peer.addr).collect()
            })
            .await
    }
}
