//! What can be chosen about a node, shared by all nodes of a simulation; and how it judges others.

use core::net::SocketAddr;
use core::time::Duration;

use super::item::Mutable;
use super::node_id;
use super::peer::Peer;

/// How a value's key relates to the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// Any key goes with any value: for simulations, where nothing is hashed.
    Free,
    /// Keys are hashes of bencoded values or of public keys (BEP 44).
    Hashed,
}

/// A family of addresses. Each has a network of its own (BEP 32), and a node's machine is in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The rules of a node.
///
/// The functions are how it judges contacts and items; they keep a simulator free of addresses
/// and of cryptography.
#[derive(Clone, Debug)]
pub struct Config<C> {
    /// Nodes in a bucket, and nodes that keep a value: k.
    pub k: usize,
    /// Requests of one lookup that are under way at once: α.
    pub alpha: usize,
    /// Paths of a lookup that share no node (S/Kademlia, section 4.4); 1 for a plain lookup.
    pub paths: usize,
    /// Nodes that wait for a place in a full bucket.
    pub replacements: usize,
    /// Unanswered requests in a row after which a node is dropped from its bucket, if another
    /// waits for its place; seven, if none does.
    pub failures_max: u8,
    /// How long a request waits for its reply.
    pub timeout: Duration,
    /// How long before another request of the lookup may go out in its stead.
    pub slow: Duration,
    /// How long after its last answer a node is asked whether it is still there, before anybody
    /// takes its place.
    pub questionable: Duration,
    /// How long a bucket goes without a lookup before it gets one.
    pub refresh: Duration,
    /// Time between two rounds of upkeep.
    pub upkeep: Duration,
    /// How often a holder of an item stores it with the nodes that are closest by then; never, if
    /// that is left to its publishers.
    pub republish: Option<Duration>,
    /// How long an item or a peer of a torrent is kept.
    pub item_expiry: Duration,
    /// How long a peer of a torrent is kept.
    pub peer_expiry: Duration,
    /// Items that are kept for others; those farthest from us give way.
    pub items_max: usize,
    /// Items that are kept of one host.
    pub items_per_host: usize,
    /// Whether a value that was found is stored at the closest node that lacked it.
    pub cache: bool,
    /// Whether items are copied to new nodes that are closer to them.
    pub hand_over: bool,
    /// Whether queries are asked but none answered (BEP 43).
    pub read_only: bool,
    /// How keys relate to values.
    pub naming: Naming,
    /// Queries of one host that are answered in a second; all, if there is no limit.
    pub host_rate: Option<u32>,
    /// Nodes of one subnet in a bucket.
    pub subnet_in_bucket: usize,
    /// Nodes of one subnet that a lookup considers at once.
    pub subnet_in_lookup: usize,
    /// The family of a contact's address, if there is more than one.
    pub family: Option<fn(&C) -> Family>,
    /// The subnet of a contact, if limits concern it.
    pub subnet: fn(&C) -> Option<u64>,
    /// Whether a contact has the right to its id (BEP 42); others give way to those that have.
    /// All have, if nothing is asked.
    pub verified: Option<fn(&C) -> bool>,
    /// Where a peer of a torrent is that announced itself from a contact, with the port it named.
    pub endpoint: fn(&C, Option<u16>) -> Option<SocketAddr>,
    /// Whether the signature of an item is right.
    pub signed: fn(&Mutable) -> bool,
}

impl<C> Config<C> {
    /// The parameters of Kademlia's paper: k = 20, α = 3, an hour between refreshes and
    /// republications, a day until expiry. Nothing is judged.
    #[must_use]
    pub fn paper() -> Self {
        const HOUR: Duration = Duration::from_secs(3_600);
        Self {
            k: 20,
            alpha: 3,
            paths: 1,
            replacements: 2,
            failures_max: 5,
            timeout: Duration::from_secs(2),
            slow: Duration::from_secs(1),
            questionable: HOUR,
            refresh: HOUR,
            upkeep: Duration::from_secs(300),
            republish: Some(HOUR),
            item_expiry: 24 * HOUR,
            peer_expiry: HOUR,
            items_max: 100_000,
            items_per_host: 100_000,
            cache: true,
            hand_over: true,
            read_only: false,
            naming: Naming::Free,
            host_rate: None,
            subnet_in_bucket: usize::MAX,
            subnet_in_lookup: usize::MAX,
            family: None,
            subnet: |_| None,
            verified: None,
            endpoint: |_, _| None,
            signed: |_| true,
        }
    }
}

impl Config<Peer> {
    /// The mainline DHT: k = 8, buckets and items as BEP 5, 42 and 44 have them. `signed` checks
    /// the signatures of items: cryptography is the driver's.
    #[must_use]
    pub fn mainline(signed: fn(&Mutable) -> bool) -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        Self {
            k: 8,
            alpha: 4,
            replacements: 8,
            failures_max: 2,
            timeout: Duration::from_secs(5),
            slow: Duration::from_secs(1),
            questionable: 15 * MINUTE,
            refresh: 15 * MINUTE,
            upkeep: MINUTE,
            republish: None,
            item_expiry: 120 * MINUTE,
            peer_expiry: 30 * MINUTE,
            items_max: 700,
            items_per_host: 100,
            cache: false,
            hand_over: false,
            naming: Naming::Hashed,
            host_rate: Some(50),
            subnet_in_bucket: 2,
            subnet_in_lookup: 2,
            family: Some(|peer| if peer.addr.is_ipv4() { Family::V4 } else { Family::V6 }),
            subnet: Peer::subnet,
            verified: Some(|peer| node_id::is_valid(&peer.id, peer.addr.ip())),
            endpoint: |peer, port| {
                let port = port.unwrap_or(peer.addr.port());
                (port != 0).then(|| SocketAddr::new(peer.addr.ip(), port))
            },
            signed,
            ..Self::paper()
        }
    }
}
