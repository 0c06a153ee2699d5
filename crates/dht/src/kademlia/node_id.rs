//! Ids that follow from addresses (BEP 42), and the vote on which address is ours.

use alloc::vec::Vec;
use core::net::IpAddr;

use machine::dht::Key;

/// The id for a node at `ip`, from 20 random bytes: the first 21 bits and the last byte tie it to
/// the address, the rest stays random.
#[must_use]
pub fn node_id(ip: IpAddr, random: [u8; 20]) -> Key {
    let mut id = random;
    let prefix = prefix(ip, random[19]);
    id[0] = (prefix >> 24) as u8;
    id[1] = (prefix >> 16) as u8;
    id[2] = (prefix >> 8) as u8 & 0xf8 | random[2] & 0x07;
    Key(id)
}

/// Whether `id` may belong to a node at `ip`. Any may at a private, link-local or loopback address.
#[must_use]
pub fn is_valid(id: &Key, ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    is_exempt(ip) || (id.front() >> 96) as u32 >> 11 == prefix(ip, id.0[19]) >> 11
}

/// Whether rules that tie nodes to addresses leave `ip` out.
#[must_use]
pub fn is_exempt(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unique_local(),
    }
}

/// CRC-32C of the masked address with the lowest three bits of `random` on top.
fn prefix(ip: IpAddr, random: u8) -> u32 {
    let top = u64::from(random & 7);
    match ip.to_canonical() {
        IpAddr::V4(ip) => crc32c(&(ip.to_bits() & 0x030f_3fff | (top as u32) << 29).to_be_bytes()),
        IpAddr::V6(ip) => {
            let front = (ip.to_bits() >> 64) as u64;
            crc32c(&(front & 0x0103_070f_1f3f_7fff | top << 61).to_be_bytes())
        }
    }
}

/// CRC-32C (Castagnoli), bit by bit: inputs have four or eight bytes.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc: u32, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    })
}

/// Where other nodes say we are: an address is believed once enough of them agree on it, who are
/// too far apart to be in one hand.
#[derive(Clone, Debug, Default)]
pub struct AddressVote {
    /// One vote of each [`region`], the latest last.
    votes: Vec<(u16, IpAddr)>,
    believed: Option<IpAddr>,
}

impl AddressVote {
    /// Votes that are remembered.
    const VOTES: usize = 32;
    /// Votes that make an address believed; a majority of those remembered is needed too.
    const QUORUM: usize = 8;

    /// Counts what `voter` says. The address, if from now on it is another than was believed.
    pub fn count(&mut self, voter: IpAddr, ours: IpAddr) -> Option<IpAddr> {
        let voter = region(voter);
        self.votes.retain(|(by, _)| *by != voter);
        if self.votes.len() == Self::VOTES {
            self.votes.remove(0);
        }
        self.votes.push((voter, ours));
        if self.believed == Some(ours) {
            return None;
        }
        let agree = self.votes.iter().filter(|(_, vote)| *vote == ours).count();
        if agree < Self::QUORUM || agree * 2 <= self.votes.len() {
            return None;
        }
        self.believed = Some(ours);
        self.believed
    }

    /// The address that is believed.
    #[must_use]
    pub fn believed(&self) -> Option<IpAddr> {
        self.believed
    }
}

/// The part of the network that has one vote: a /8 of IPv4, a /16 of IPv6.
fn region(ip: IpAddr) -> u16 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.octets()[0].into(),
        IpAddr::V6(ip) => ip.segments()[0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    #[test]
    fn published_vectors() {
        for (ip, random, front) in [
            ([124, 31, 75, 21], 1, 0x5f_bfbf),
            ([21, 75, 31, 124], 86, 0x5a_3ce9),
            ([65, 23, 51, 170], 22, 0xa5_d432),
            ([84, 124, 73, 14], 65, 0x1b_0321),
            ([43, 213, 53, 83], 90, 0xe5_6f6c),
        ] {
            let ip = Ipv4Addr::from(ip).into();
            let id = node_id(ip, [random; 20]);
            assert_eq!((id.front() >> 107) as u32, front >> 3, "{ip}");
            assert!(is_valid(&id, ip));
            assert!(!is_valid(&Key(id.0.map(|byte| !byte)), ip));
        }
    }

    #[test]
    fn ipv6_ids_follow_from_the_first_half_alone() {
        let id = node_id("2001:db8:1:2::3".parse().unwrap(), [7; 20]);
        assert!(is_valid(&id, "2001:db8:1:2:ffff::".parse().unwrap()));
        assert!(!is_valid(&id, "2001:db8:1:3::3".parse().unwrap()));
    }

    #[test]
    fn private_addresses_are_exempt() {
        for ip in ["10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.0.1", "127.0.0.9", "::1"] {
            assert!(is_valid(&Key::default(), ip.parse().unwrap()), "{ip}");
        }
        assert!(!is_valid(&Key::default(), "8.8.8.8".parse().unwrap()));
    }

    #[test]
    fn an_address_needs_hosts_of_many_networks() {
        let ours = IpAddr::from([8, 8, 8, 8]);
        let mut vote = AddressVote::default();
        for _ in 0..100 {
            assert_eq!(vote.count([1, 1, 1, 1].into(), ours), None);
        }
        for host in 2..=255 {
            assert_eq!(vote.count([1, 1, 1, host].into(), ours), None, "all of one /8");
        }
        for net in 2..8 {
            assert_eq!(vote.count([net, 1, 1, 1].into(), ours), None);
        }
        assert_eq!(vote.count([8, 1, 1, 1].into(), ours), Some(ours));
        assert_eq!(vote.count([9, 1, 1, 1].into(), ours), None);
        assert_eq!(vote.believed(), Some(ours));
    }
}
