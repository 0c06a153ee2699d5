//! Who got how much from whom, as every node saw it.

use std::net::SocketAddr;

use net::session::{PeerStats, TorrentStats};

use crate::units::size;

/// A node of the demo by what is known of it from outside.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// Its last report.
    pub last: TorrentStats,
}

/// Payload bytes by receiver and giver.
#[derive(Debug, PartialEq, Eq)]
pub struct Matrix {
    /// One row per receiver, one column per giver, in the order of the members.
    pub bytes: Vec<Vec<u64>>,
    /// What came from addresses that belong to no member.
    pub unknown: u64,
}

impl Matrix {
    /// Sums up what each member says it has received.
    #[must_use]
    pub fn new(members: &[Member]) -> Self {
        let mut unknown = 0;
        let mut bytes = vec![vec![0; members.len()]; members.len()];
        for (row, receiver) in bytes.iter_mut().zip(members) {
            for peer in receiver.last.peers.iter().chain(&receiver.last.peers_past) {
                match giver(members, peer) {
                    Some(index) => row[index] += peer.downloaded,
                    None => unknown += peer.downloaded,
                }
            }
        }
        Self { bytes, unknown }
    }

    /// Bytes that `giver` gave to everybody.
    #[must_use]
    pub fn given(&self, giver: usize) -> u64 {
        self.bytes.iter().map(|row| row[giver]).sum()
    }

    /// The share of all bytes that came from anybody but the source, member 0.
    #[must_use]
    pub fn passed_on(&self) -> f64 {
        let all: u64 = self.bytes.iter().flatten().sum();
        if all == 0 { 0.0 } else { (all - self.given(0)) as f64 / all as f64 }
    }

    /// A table: receivers below each other, givers side by side; rows that are empty are left out.
    #[must_use]
    pub fn table(&self, members: &[Member]) -> String {
        let width = 11;
        let mut out = format!("{:<12}", "got \\ from");
        for member in members {
            out.push_str(&format!("{:>width$}", member.name));
        }
        out.push_str(&format!("{:>width$}\n", "total"));
        let cell = |bytes: u64| if bytes == 0 { "·".to_owned() } else { size(bytes) };
        let mut row = |name: &str, cells: &mut dyn Iterator<Item = u64>| {
            out.push_str(&format!("{name:<12}"));
            let mut total = 0;
            for bytes in cells {
                total += bytes;
                out.push_str(&format!("{:>width$}", cell(bytes)));
            }
            out.push_str(&format!("{:>width$}\n", size(total)));
        };
        for (member, bytes) in members.iter().zip(&self.bytes) {
            if bytes.iter().any(|&bytes| bytes > 0) {
                row(&member.name, &mut bytes.iter().copied());
            }
        }
        row("given", &mut (0..members.len()).map(|giver| self.given(giver)));
        out
    }
}

/// Which member a peer is: by where it listens, else by where it connects from.
pub fn giver(members: &[Member], peer: &PeerStats) -> Option<usize> {
    let address = peer.listens.unwrap_or(peer.address);
    members.iter().position(|member| member.addresses.contains(&address))
}

#[cfg(test)]
mod tests {
    use net::session::Transport;

    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn peer(from: u16, listens: Option<u16>, downloaded: u64) -> PeerStats {
        PeerStats {
            address: address(from),
            listens: listens.map(address),
            client: String::new(),
            transport: Transport::Tcp,
            encrypted: false,
            downloaded,
            uploaded: 0,
            download_rate: 0,
            upload_rate: 0,
            progress: 0.0,
            choked_by_us: false,
            chokes_us: false,
            interested: false,
            interesting: false,
        }
    }

    fn member(name: &str, port: u16, peers: Vec<PeerStats>, peers_past: Vec<PeerStats>) -> Member {
        let last = TorrentStats { peers, peers_past, ..TorrentStats::default() };
        Member { name: name.to_owned(), addresses: vec![address(port)], last }
    }

    #[test]
    fn bytes_are_credited_to_where_the_giver_listens() {
        let members = [
            member("seed", 1, vec![], vec![]),
            member("peer 1", 2, vec![peer(50_000, Some(1), 3 << 20)], vec![peer(3, None, 1 << 20)]),
            member("peer 2", 3, vec![peer(1, None, 4 << 20), peer(9, None, 7)], vec![]),
        ];
        let matrix = Matrix::new(&members);
        assert_eq!(
            matrix,
            Matrix {
                bytes: vec![vec![0, 0, 0], vec![3 << 20, 0, 1 << 20], vec![4 << 20, 0, 0]],
                unknown: 7,
            }
        );
        assert_eq!(matrix.given(0), 7 << 20);
        assert_eq!(matrix.passed_on(), 0.125);
        assert_eq!(
            matrix.table(&members),
            "got \\ from         seed     peer 1     peer 2      total\n\
             peer 1          3.0 MiB          ·    1.0 MiB    4.0 MiB\n\
             peer 2          4.0 MiB          ·          ·    4.0 MiB\n\
             given           7.0 MiB          ·    1.0 MiB    8.0 MiB\n"
        );
    }
}
