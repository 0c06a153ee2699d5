//! Canonical peer priority (BEP 40): an order of connections on which both ends agree, and that
//! an attacker with few networks cannot fill.

use core::net::{IpAddr, SocketAddr};

/// The priority of a connection between `a` and `b`, the same whichever comes first; the higher,
/// the better.
///
/// The addresses should be those under which the ends see each other.
#[must_use]
pub fn peer_priority(a: SocketAddr, b: SocketAddr) -> u32 {
    match (a.ip().to_canonical(), b.ip().to_canonical()) {
        (x, y) if x == y => of_sorted(a.port().to_be_bytes(), b.port().to_be_bytes()),
        (IpAddr::V4(x), IpAddr::V4(y)) => of_masked(x.octets(), y.octets(), 2),
        // Addresses of two families have no common rule: compare them as IPv6.
        (x, y) => of_masked(octets6(x), octets6(y), 6),
    }
}

fn octets6(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// Masks away half of the bits behind the network: the first `network` bytes count in full, and
/// one more for each further byte that the addresses have in common.
fn of_masked<const N: usize>(mut a: [u8; N], mut b: [u8; N], network: usize) -> u32 {
    let common = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let whole = if common < network { network } else { common + 1 };
    for address in [&mut a, &mut b] {
        for byte in address.iter_mut().skip(whole) {
            *byte &= 0x55;
        }
    }
    of_sorted(a, b)
}

fn of_sorted<const N: usize>(a: [u8; N], b: [u8; N]) -> u32 {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    crc32c(low.iter().chain(&high))
}

/// CRC-32C (Castagnoli), bit by bit: inputs are 4 to 32 bytes, once per candidate.
fn crc32c<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !bytes.fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn checksum_is_crc_32c() {
        assert_eq!(crc32c(b"123456789".iter()), 0xe306_9283);
    }

    #[test]
    fn priorities_are_those_of_bep_40() {
        let client = addr("123.213.32.10:1");
        assert_eq!(peer_priority(client, addr("98.76.54.32:2")), 0xec2d_7224);
        assert_eq!(peer_priority(addr("98.76.54.32:2"), client), 0xec2d_7224);
        assert_eq!(peer_priority(client, addr("123.213.32.234:2")), 0x9956_8189);
    }

    #[test]
    fn masks_widen_with_what_is_common() {
        // What is hashed, by the rules of BEP 40.
        let cases: [(&str, &str, &[u8]); 6] = [
            ("230.12.123.3:1234", "230.12.123.3:300", &[0x01, 0x2c, 0x04, 0xd2]),
            ("230.12.123.1:1", "230.12.123.3:2", &[230, 12, 123, 1, 230, 12, 123, 3]),
            ("230.12.23.1:1", "230.12.123.3:2", &[230, 12, 23, 1, 230, 12, 123, 1]),
            ("230.120.23.1:1", "230.12.123.3:2", &[230, 12, 0x51, 1, 230, 120, 0x15, 1]),
            (
                "[ffff:ffff:ffff:ffff::]:1",
                "[ffff:ffff:ffff:fff::]:1",
                &[
                    255, 255, 255, 255, 255, 255, 15, 0x55, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255,
                    255, 255, 255, 255, 0x55, 0, 0, 0, 0, 0, 0, 0, 0,
                ],
            ),
            (
                "[ffff:ffff:ffff:ffff::]:1",
                "[ffff:fff:ffff:ffff::]:1",
                &[
                    255, 255, 15, 255, 255, 255, 0x55, 0x55, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255,
                    255, 255, 255, 0x55, 0x55, 0, 0, 0, 0, 0, 0, 0, 0,
                ],
            ),
        ];
        for (a, b, hashed) in cases {
            let expected = crc32c(hashed.iter());
            assert_eq!(peer_priority(addr(a), addr(b)), expected, "{a} {b}");
            assert_eq!(peer_priority(addr(b), addr(a)), expected, "{b} {a}");
        }
    }

    #[test]
    fn disguised_and_mixed_addresses_have_one_priority() {
        let (a, b) = (addr("123.213.32.10:1"), addr("98.76.54.32:2"));
        assert_eq!(peer_priority(addr("[::ffff:123.213.32.10]:1"), b), peer_priority(a, b));
        let v6 = addr("[2001:db8::1]:3");
        assert_eq!(peer_priority(a, v6), peer_priority(v6, a));
    }
}
