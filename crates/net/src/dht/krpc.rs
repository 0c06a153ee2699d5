//! Kademlia in the mainline DHT: KRPC datagrams for the driver, and one node behind its handle.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ::dht::kademlia::krpc::{DATAGRAM_MAX, Packet};
use ::dht::kademlia::{
    AddressVote, Body, Command, Config, Event, Kademlia, Message, Peer, Transaction, is_valid,
    node_id,
};
use machine::Wire;
use machine::dht::{self, Key, Report};
use tokio::net::UdpSocket;
use tokio::sync::watch;

use crate::datagram::{self, Arrival, Events, Gone, Handle, Inlet, Protocol};
use crate::identity::is_signed;
use crate::utp::Endpoint;

/// Queries that are remembered, so that only their answers count as votes on our address.
const ASKED_MAX: usize = 256;

/// KRPC (BEP 5) as the messages of a [`Kademlia`] node.
#[derive(Debug)]
pub struct Krpc {
    /// The node as its machine knows it.
    me: Peer,
    vote: AddressVote,
    /// Whom it asked what, the latest last.
    asked: VecDeque<(SocketAddr, Transaction)>,
    /// Whether the machine does not know yet that it has another id.
    is_renamed: bool,
    seen: watch::Sender<Seen>,
}

/// What a node is to others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    id: Key,
    ip: Option<IpAddr>,
}

impl Krpc {
    fn new(me: Peer) -> (Self, watch::Receiver<Seen>) {
        let (seen, sees) = watch::channel(Seen { id: me.id, ip: None });
        let asked = VecDeque::with_capacity(ASKED_MAX);
        let vote = AddressVote::default();
        (Self { me, vote, asked, is_renamed: false, seen }, sees)
    }

    /// Counts what an answer says of our address. The id follows from that, once it is believed
    /// (BEP 42).
    fn count(&mut self, from: SocketAddr, transaction: &Transaction, observed: SocketAddr) {
        let is_answer =
            |(to, asked): &(SocketAddr, Transaction)| to == &from && asked == transaction;
        let Some(asked) = self.asked.iter().rposition(is_answer) else { return };
        self.asked.remove(asked);
        if observed.is_ipv4() != self.me.addr.is_ipv4() {
            return;
        }
        let Some(ip) = self.vote.count(from.ip(), observed.ip()) else { return };
        let mut random = [0; 20];
        if !is_valid(&self.me.id, ip) && getrandom::fill(&mut random).is_ok() {
            self.me.id = node_id(ip, random);
            self.is_renamed = true;
        }
        self.seen.send_replace(Seen { id: self.me.id, ip: Some(ip) });
    }
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
        if let (Body::Reply(_), Some(observed)) = (&packet.message.body, packet.observed) {
            self.count(from, &packet.message.transaction, observed);
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
        if let Body::Query { .. } = message.body {
            if self.asked.len() == ASKED_MAX {
                self.asked.pop_front();
            }
            self.asked.push_back((to.addr, message.transaction));
        }
        Packet::new(self.me.id, to.addr, message).encode(out);
        to.addr
    }

    fn consequence(&mut self) -> Option<Command<Peer>> {
        core::mem::take(&mut self.is_renamed).then_some(Command::Rename { me: self.me })
    }

    fn is_last(event: &Event<Peer>) -> bool {
        !matches!(event, Event::Peers(_) | Event::Samples { .. } | Event::Foreign(_))
    }
}

/// What is chosen about a live node.
#[derive(Clone, Debug, Default)]
pub struct KademliaConfig {
    /// Its id; `None` for one that follows from its address (BEP 42), or a random one. It gives way
    /// to another once it turns out that it has no right to it.
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
    ) -> io::Result<(Kademlia<Peer>, Krpc, watch::Receiver<Seen>)> {
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
        let me = Peer { id, addr: address };
        let machine = Kademlia::new(me, Arc::new(rules), secret.try_into().unwrap_or_default());
        let (krpc, seen) = Krpc::new(me);
        Ok((machine, krpc, seen))
    }
}

/// A node of the mainline DHT, from outside.
#[derive(Clone, Debug)]
pub struct KademliaNode {
    handle: Handle<Krpc>,
    seen: watch::Receiver<Seen>,
}

impl KademliaNode {
    /// A node on a socket of its own, driven from the current `LocalSet`; it knows nobody yet.
    ///
    /// # Errors
    /// If the socket does not say its own address, or the system gives no randomness.
    pub fn start(socket: UdpSocket, config: &KademliaConfig) -> io::Result<(Self, Events<Krpc>)> {
        let (machine, krpc, seen) = config.build(socket.local_addr()?)?;
        let (handle, events) = datagram::spawn(socket, krpc, vec![machine], Default::default())?;
        Ok((Self { handle, seen }, events))
    }

    /// A node on a socket that uTP is spoken on.
    pub(crate) fn start_on(
        endpoint: Rc<Endpoint>,
        config: &KademliaConfig,
    ) -> io::Result<(Self, Events<Krpc>)> {
        let (machine, krpc, seen) = config.build(endpoint.local_addr())?;
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
        Ok((Self { handle, seen }, events))
    }

    /// The handle of its driver.
    #[must_use]
    pub fn handle(&self) -> &Handle<Krpc> {
        &self.handle
    }

    /// Its id, which changes with the address that others see it at.
    #[must_use]
    pub fn id(&self) -> Key {
        self.seen.borrow().id
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.handle.address()
    }

    /// Where others say that it is, once enough of them agree.
    #[must_use]
    pub fn seen_at(&self) -> Option<IpAddr> {
        self.seen.borrow().ip
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

#[cfg(test)]
mod tests {
    use super::*;
    use ::dht::kademlia::{Query, Reply};

    const OURS: SocketAddr =
        SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(8, 8, 8, 8)), 6_881);

    fn host(n: u8) -> SocketAddr {
        ([n, 1, 1, 1], 6_881).into()
    }

    /// `from` answers under `transaction` that we are at [`OURS`].
    fn answer(
        krpc: &mut Krpc,
        from: SocketAddr,
        transaction: Transaction,
    ) -> Option<Command<Peer>> {
        let body = Body::Reply(Reply::plain());
        let mut bytes = Vec::new();
        Packet::new(Key::new(3, 3), OURS, Message { transaction, body }).encode(&mut bytes);
        krpc.decode(from, &bytes).expect("a reply");
        krpc.consequence()
    }

    fn ask(krpc: &mut Krpc, to: SocketAddr, transaction: Transaction) {
        let body = Body::Query { read_only: false, query: Query::Ping };
        krpc.encode(0, Peer::unnamed(to), Message { transaction, body }, &mut Vec::new());
    }

    #[test]
    fn the_id_follows_the_address_that_many_who_were_asked_agree_on() {
        let me = Peer { id: Key::new(1, 1), addr: ([0, 0, 0, 0], 6_881).into() };
        let (mut krpc, seen) = Krpc::new(me);
        let transaction = Transaction::new(b"1234").expect("short");
        let other = Transaction::new(b"1235").expect("short");
        for n in 1..=200 {
            assert_eq!(answer(&mut krpc, host(n), transaction), None, "nobody was asked");
        }
        let mut renamed = None;
        for n in 20..40 {
            ask(&mut krpc, host(n), transaction);
            assert_eq!(answer(&mut krpc, host(n), other), None, "that was not asked");
            renamed = renamed.or(answer(&mut krpc, host(n), transaction));
            assert_eq!(answer(&mut krpc, host(n), transaction), None, "once is enough");
        }
        let Some(Command::Rename { me: Peer { id, addr } }) = renamed else {
            panic!("{renamed:?}")
        };
        assert!(is_valid(&id, OURS.ip()) && addr == me.addr);
        assert_eq!((seen.borrow().id, seen.borrow().ip), (id, Some(OURS.ip())));
    }

    #[test]
    fn few_queries_are_remembered() {
        let (mut krpc, _) = Krpc::new(Peer::unnamed(OURS));
        let transaction = Transaction::new(b"1234").expect("short");
        for _ in 0..10 * ASKED_MAX {
            ask(&mut krpc, host(1), transaction);
        }
        assert_eq!(krpc.asked.len(), ASKED_MAX);
    }
}
