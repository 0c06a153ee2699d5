//! Addresses of peers: their compact form on the wire (BEP 7, BEP 23), and which ones to dial.

use core::net::{IpAddr, SocketAddr};

/// Bytes of an IPv4 address with port.
pub const V4_LEN: usize = 6;
/// Bytes of an IPv6 address with port.
pub const V6_LEN: usize = 18;

/// Reads an IPv4 address and a port.
#[must_use]
pub fn compact_v4(bytes: &[u8; V4_LEN]) -> SocketAddr {
    let [a, b, c, d, port @ ..] = *bytes;
    SocketAddr::new([a, b, c, d].into(), u16::from_be_bytes(port))
}

/// Reads an IPv6 address and a port. An address that is IPv4 in disguise is unmasked.
#[must_use]
pub fn compact_v6(bytes: &[u8; V6_LEN]) -> SocketAddr {
    let mut ip = [0; 16];
    ip.copy_from_slice(&bytes[..16]);
    let port = u16::from_be_bytes([bytes[16], bytes[17]]);
    SocketAddr::new(IpAddr::from(ip).to_canonical(), port)
}

/// The compact form of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compact {
    /// Of an IPv4 address, in disguise or not.
    V4([u8; V4_LEN]),
    /// Of an IPv6 address.
    V6([u8; V6_LEN]),
}

impl From<SocketAddr> for Compact {
    fn from(addr: SocketAddr) -> Self {
        let port = addr.port().to_be_bytes();
        match addr.ip().to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                Self::V4([a, b, c, d, port[0], port[1]])
            }
            IpAddr::V6(ip) => {
                let mut bytes = [0; V6_LEN];
                bytes[..16].copy_from_slice(&ip.octets());
                bytes[16..].copy_from_slice(&port);
                Self::V6(bytes)
            }
        }
    }
}

/// Whether an address that somebody else has named may be dialled: it names one host and one port.
/// Loopback is one's own host, hence only for those who run their peers there.
///
/// Private addresses pass: local networks have peers too.
#[must_use]
pub fn is_dialable(addr: &SocketAddr, allow_loopback: bool) -> bool {
    let ip = addr.ip().to_canonical();
    let names_a_host = match ip {
        // 0.0.0.0/8 is this network, 240.0.0.0/4 is reserved and ends in the broadcast address.
        IpAddr::V4(v4) => !v4.is_multicast() && !matches!(v4.octets()[0], 0 | 240..),
        // Link-local addresses mean nothing without the link.
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast() && !v6.is_unicast_link_local(),
    };
    addr.port() != 0 && names_a_host && (allow_loopback || !ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_hosts_are_dialable() {
        let cases = [
            ("80.4.4.200:6881", true, true),
            ("192.168.1.2:6881", true, true),
            ("10.0.0.1:1", true, true),
            ("80.4.4.200:0", false, false),
            ("0.0.0.0:6881", false, false),
            ("0.1.2.3:6881", false, false),
            ("224.0.0.1:6881", false, false),
            ("240.0.0.1:6881", false, false),
            ("255.255.255.255:6881", false, false),
            ("127.0.0.1:6881", false, true),
            ("127.1.2.3:6881", false, true),
            ("[2001:db8::1]:6881", true, true),
            ("[::]:6881", false, false),
            ("[::1]:6881", false, true),
            ("[ff02::1]:6881", false, false),
            ("[fe80::1]:6881", false, false),
            ("[::ffff:127.0.0.1]:6881", false, true),
            ("[::ffff:224.0.0.1]:6881", false, false),
            ("[::ffff:80.4.4.200]:6881", true, true),
        ];
        for (addr, public, local) in cases {
            let parsed = addr.parse().unwrap();
            assert_eq!(is_dialable(&parsed, false), public, "{addr}");
            assert_eq!(is_dialable(&parsed, true), local, "{addr} with loopback");
        }
    }

    #[test]
    fn compact_form_round_trips_and_unmasks() {
        let v4: SocketAddr = "80.4.4.200:6881".parse().unwrap();
        let compact = [80, 4, 4, 200, 0x1a, 0xe1];
        assert_eq!(Compact::from(v4), Compact::V4(compact));
        assert_eq!(compact_v4(&compact), v4);
        let v6: SocketAddr = "[2001:db8::1]:6881".parse().unwrap();
        let Compact::V6(compact6) = v6.into() else { panic!("{v6} is IPv6") };
        assert_eq!(compact_v6(&compact6), v6);
        let mapped: SocketAddr = "[::ffff:80.4.4.200]:6881".parse().unwrap();
        assert_eq!(Compact::from(mapped), Compact::V4(compact));
        let mut bytes = [0; V6_LEN];
        bytes[10..].copy_from_slice(&[0xff, 0xff, 80, 4, 4, 200, 0x1a, 0xe1]);
        assert_eq!(compact_v6(&bytes), v4);
    }
}
