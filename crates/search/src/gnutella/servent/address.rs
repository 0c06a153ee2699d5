//! How a servent knows others, and which addresses that strangers name are worth dialling.

use core::net::{IpAddr, SocketAddr};

use machine::Contact;

/// A contact that has an address as messages of Gnutella carry it.
pub trait Address: Contact {
    /// Its address.
    fn socket(&self) -> SocketAddr;
    /// The contact at an address, if contacts can be there.
    fn from_socket(addr: SocketAddr) -> Option<Self>;
}

impl Address for SocketAddr {
    fn socket(&self) -> SocketAddr {
        *self
    }

    fn from_socket(addr: SocketAddr) -> Option<Self> {
        Some(addr)
    }
}

/// Whether an address that a stranger named may be dialled and told to others. With `local` those
/// of this host and of private networks may too.
#[must_use]
pub fn is_dialable(addr: SocketAddr, local: bool) -> bool {
    let IpAddr::V4(ip) = addr.ip().to_canonical() else {
        let IpAddr::V6(ip) = addr.ip() else { return false };
        let is_local = ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local();
        return addr.port() != 0
            && !ip.is_unspecified()
            && !ip.is_multicast()
            && (local || !is_local);
    };
    let [first, second, third, _] = ip.octets();
    let is_local = ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || (first == 100 && second & 0xc0 == 64);
    // Networks that are documentation, benchmarks, "this network" or of no use yet.
    let is_nowhere = first == 0
        || first >= 224
        || ip.is_documentation()
        || (first == 198 && second & 0xfe == 18)
        || (first == 192 && second == 0 && third == 0);
    addr.port() != 0 && !is_nowhere && (local || !is_local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gn_08_addresses_that_lead_to_victims_are_not_dialled() {
        let never = [
            "0.0.0.0:6346",
            "0.1.2.3:6346",
            "224.0.0.1:6346",
            "255.255.255.255:6346",
            "240.0.0.1:6346",
            "8.8.8.8:0",
            "192.0.2.1:6346",
            "[::]:6346",
            "[ff02::1]:6346",
            "[::ffff:224.0.0.1]:6346",
        ];
        let local = [
            "127.0.0.1:6346",
            "10.1.2.3:6346",
            "172.16.0.1:6346",
            "192.168.1.1:6346",
            "169.254.1.1:6346",
            "100.64.0.1:6346",
            "[::1]:6346",
            "[fe80::1]:6346",
            "[fd00::1]:6346",
            "[::ffff:127.0.0.1]:6346",
        ];
        for text in never {
            let addr = text.parse().unwrap();
            assert!(!is_dialable(addr, true) && !is_dialable(addr, false), "{text}");
        }
        for text in local {
            let addr = text.parse().unwrap();
            assert!(is_dialable(addr, true) && !is_dialable(addr, false), "{text}");
        }
        assert!(is_dialable("8.8.8.8:6346".parse().unwrap(), false));
        assert!(is_dialable("[2600::1]:6346".parse().unwrap(), false));
    }
}
