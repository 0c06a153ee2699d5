//! How large a datagram the path to a peer carries: a search by probes, each a data packet that
//! must not be fragmented. A lost probe says something of its size and nothing of congestion.

use core::net::SocketAddr;

/// What every path carries: IPv6's least MTU of 1,280 less its headers.
const FLOOR: usize = 1_232;
/// The MTU of Ethernet, and of most paths at most.
const ETHERNET: usize = 1_500;
/// An interface that carries this much is no network, but this machine.
const LOCAL: usize = 16 << 10;
const UDP_HEADER: usize = 8;
/// Largest datagram we take, and send where a path carries it.
pub(super) const MAX_DATAGRAM: u16 = 65_507;
/// The search ends when floor and ceiling are this near.
const CLOSE_ENOUGH: usize = 16;
/// Losses of a probe of one size before the size is to blame.
const TRIES: u8 = 2;

/// Whether an interface carries more than most programs take, so that it is worth asking the other
/// end.
pub(super) const fn is_large(interface_mtu: usize) -> bool {
    interface_mtu > ETHERNET
}

const fn ip_header(peer: &SocketAddr) -> usize {
    match peer {
        SocketAddr::V4(_) => 20,
        SocketAddr::V6(_) => 40,
    }
}

/// The state of the search.
#[derive(Clone, Debug)]
pub(super) struct PathMtu {
    floor: usize,
    ceiling: usize,
    lost: u8,
}

impl PathMtu {
    /// A search on the way to `peer` over an interface of some MTU. The other end takes datagrams of
    /// `peer_max` bytes if it said so.
    pub(super) fn new(peer: &SocketAddr, interface_mtu: usize, peer_max: Option<u16>) -> Self {
        let headers = ip_header(peer) + UDP_HEADER;
        let ethernet = ETHERNET - headers;
        let carries = interface_mtu.saturating_sub(headers).min(usize::from(MAX_DATAGRAM));
        let takes = peer_max.map_or(ethernet, |max| usize::from(max).max(ethernet));
        let floor = if interface_mtu >= LOCAL { ethernet } else { FLOOR };
        Self { floor, ceiling: carries.min(takes).max(floor), lost: 0 }
    }

    /// Size of datagrams that is known to pass.
    pub(super) const fn size(&self) -> usize {
        self.floor
    }

    /// Size of the next probe, if the search goes on and a congestion window of `window` bytes
    /// has room for other packets around the probe, which show whether all or only it was lost.
    pub(super) fn probe(&self, window: usize) -> Option<usize> {
        let size = match self.lost {
            // Most paths carry what the local interface does.
            0 => self.ceiling,
            _ => self.ceiling.min((self.floor + self.ceiling).div_ceil(2)),
        };
        let size = size.min(window / 4);
        (self.ceiling - self.floor >= CLOSE_ENOUGH && size > self.floor).then_some(size)
    }

    /// A probe of `size` bytes has arrived.
    pub(super) fn on_arrived(&mut self, size: usize) {
        self.floor = self.floor.max(size.min(self.ceiling));
    }

    /// A probe of `size` bytes was lost.
    pub(super) fn on_lost(&mut self, size: usize) {
        self.lost = self.lost.saturating_add(1);
        if self.lost.is_multiple_of(TRIES) {
            self.ceiling = self.ceiling.min(size.saturating_sub(1)).max(self.floor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn search(mut mtu: PathMtu, carries: usize) -> (usize, usize) {
        let mut probes = 0;
        while let Some(size) = mtu.probe(1 << 20) {
            probes += 1;
            if size <= carries { mtu.on_arrived(size) } else { mtu.on_lost(size) }
        }
        (mtu.size(), probes)
    }

    #[test]
    fn finds_what_the_path_carries() {
        let remote = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 1));
        for carries in [1_232, 1_300, 1_392, 1_464, 1_472, 9_000] {
            let (size, probes) = search(PathMtu::new(&remote, 1_500, Some(9_000)), carries);
            let best = carries.min(1_472);
            assert!((best - CLOSE_ENOUGH..=best).contains(&size), "{carries}: {size}");
            assert!(probes <= 12, "{carries}: {probes} probes");
        }
        let tunnel = PathMtu::new(&remote, 1_420, None);
        assert_eq!(search(tunnel, 9_000), (1_392, 1));
    }

    #[test]
    fn large_datagrams_need_the_word_of_the_peer_and_a_wide_window() {
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let local = |max| PathMtu::new(&peer, 65_535, max);
        assert_eq!(search(local(None), 65_507), (1_472, 0));
        assert_eq!(search(local(Some(65_507)), 65_507), (65_507, 1));
        assert_eq!(search(local(Some(100)), 65_507), (1_472, 0));
        assert_eq!(search(PathMtu::new(&peer, 9_000, Some(65_507)), 65_507), (8_972, 1));
        assert_eq!(local(Some(65_507)).probe(6_000), Some(1_500));
        assert_eq!(local(Some(65_507)).probe(5_000), None);
    }
}
