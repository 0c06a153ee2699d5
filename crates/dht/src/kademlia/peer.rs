//! Nodes as a live driver knows them: an id that is claimed, and an address that is not.

use core::cmp::Ordering;
use core::hash::{Hash, Hasher};
use core::net::{IpAddr, SocketAddr};

use machine::dht::{self, Key};

use super::node_id::is_exempt;

/// A node of the mainline DHT.
///
/// Equal are nodes at one address, whatever they call themselves: an id is a claim that anybody
/// can make and that a node may change, and one address is to have one place in a table.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// What it calls itself; anything, as long as it has not said so.
    pub id: Key,
    /// Where it is.
    pub addr: SocketAddr,
}

impl Peer {
    /// A node of which only the address is known, as those that one begins with.
    #[must_use]
    pub fn unnamed(addr: SocketAddr) -> Self {
        Self { id: Key::default(), addr }
    }

    /// What nodes in one administrator's hands are likely to share: the /24 of IPv4, the /64 of
    /// IPv6. `None` for private and loopback addresses, which limits do not concern.
    #[must_use]
    pub fn subnet(&self) -> Option<u64> {
        let ip = self.addr.ip().to_canonical();
        (!is_exempt(ip)).then(|| match ip {
            IpAddr::V4(ip) => u64::from(ip.to_bits() >> 8),
            IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
        })
    }
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        self.addr == other.addr
    }
}

impl Eq for Peer {}

impl PartialOrd for Peer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Peer {
    fn cmp(&self, other: &Self) -> Ordering {
        self.addr.cmp(&other.addr)
    }
}

impl Hash for Peer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.addr.hash(state);
    }
}

impl machine::Contact for Peer {
    type Host = IpAddr;

    fn host(&self) -> IpAddr {
        self.addr.ip()
    }
}

impl dht::Contact for Peer {
    fn key(&self) -> Key {
        self.id
    }
}
