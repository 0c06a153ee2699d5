//! How live nodes know each other. In a simulator another contact takes its place.

use core::cmp::Ordering;
use core::hash::{Hash, Hasher};
use core::net::{IpAddr, SocketAddr, SocketAddrV6};

use machine::dht::Key;
use sha1::{Digest, Sha1};

/// A virtual node behind a UDP address. Its place is SHA-1 of address and index, so that nobody
/// chooses it: whoever has few addresses has few places.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    addr: SocketAddr,
    vnode: u8,
    key: Key,
}

impl Peer {
    /// The virtual node `vnode` at `addr`. IPv4 addresses written as IPv6 ones are the same;
    /// scopes and flow labels do not count.
    #[must_use]
    pub fn new(addr: SocketAddr, vnode: u8) -> Self {
        let addr: SocketAddr = match (addr.ip().to_canonical(), addr.port()) {
            (IpAddr::V4(ip), port) => (ip, port).into(),
            (IpAddr::V6(ip), port) => SocketAddrV6::new(ip, port, 0, 0).into(),
        };
        let mut sha1 = Sha1::new();
        match addr.ip() {
            IpAddr::V4(ip) => sha1.update(ip.octets()),
            IpAddr::V6(ip) => sha1.update(ip.octets()),
        }
        sha1.update(addr.port().to_be_bytes());
        sha1.update([vnode]);
        Self { addr, vnode, key: Key(sha1.finalize().into()) }
    }

    /// Where it is reached.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Which of the nodes there it is.
    #[must_use]
    pub const fn vnode(&self) -> u8 {
        self.vnode
    }
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        (self.addr, self.vnode) == (other.addr, other.vnode)
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
        (self.addr, self.vnode).cmp(&(other.addr, other.vnode))
    }
}

impl Hash for Peer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.addr, self.vnode).hash(state);
    }
}

impl machine::Contact for Peer {
    type Host = IpAddr;

    fn host(&self) -> IpAddr {
        self.addr.ip()
    }
}

impl machine::dht::Contact for Peer {
    fn key(&self) -> Key {
        self.key
    }
}

#[cfg(test)]
mod tests {
    use machine::dht::Contact;

    use super::*;

    #[test]
    fn place_follows_from_address_and_index_alone() {
        let peer = |addr: &str, vnode| Peer::new(addr.parse().expect("an address"), vnode);
        // `printf '\x7f\0\0\1\x1a\xe1\0' | sha1sum`
        let hex = std::format!("{}", peer("127.0.0.1:6881", 0).key());
        assert_eq!(hex, "7016b46aef8e7cd5366072d41a7b8fc48f433367");
        assert_eq!(peer("[::ffff:127.0.0.1]:6881", 0), peer("127.0.0.1:6881", 0));
        assert_eq!(peer("[fe80::1%3]:1", 2), peer("[fe80::1]:1", 2));
        assert_ne!(peer("127.0.0.1:6881", 1).key(), peer("127.0.0.1:6881", 0).key());
        assert_ne!(peer("127.0.0.1:6882", 0).key(), peer("127.0.0.1:6881", 0).key());
    }
}
