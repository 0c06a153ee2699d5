//! How a machine names other nodes, its connections and the requests of its user.

use core::fmt::Debug;
use core::hash::Hash;
use core::net::{IpAddr, SocketAddr};

/// All that a machine stores of another node.
///
/// Live it is a socket address, IPv4 or IPv6; in a simulator it may be one small number. Machines
/// are generic over it.
pub trait Contact: Copy + Eq + Ord + Hash + Debug {
    /// What contacts on one host have in common; live, the IP address.
    type Host: Copy + Eq + Ord + Hash + Debug;

    /// The host this contact is on.
    fn host(&self) -> Self::Host;
}

impl Contact for SocketAddr {
    type Host = IpAddr;

    fn host(&self) -> IpAddr {
        self.ip()
    }
}

/// A connection, named by the driver; a name is not used again while the machine may remember it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u32);

/// A request of the machine's user, repeated by every event that answers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);
