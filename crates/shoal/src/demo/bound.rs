//! How long it must take to bring a file to everybody, by the fluid model of Kurose and Ross,
//! "Computer Networking", section 2.5. Pure arithmetic.

use std::time::Duration;

/// A file and those who pass it on. Rates in bytes per second.
#[derive(Clone, Copy, Debug)]
pub struct Distribution {
    /// F: bytes of the file.
    pub file: u64,
    /// N: peers that want it.
    pub peers: u32,
    /// u_s: upload rate of the source; `None` if nothing limits it, here and below.
    pub source_up: Option<u64>,
    /// u_i: upload rate of each peer.
    pub peer_up: Option<u64>,
    /// d_min: the least download rate.
    pub down_min: Option<u64>,
}

impl Distribution {
    /// The least time with peers that pass on what they have:
    /// max(F/u_s, F/d_min, N F/(u_s + sum u_i)).
    #[must_use]
    pub fn peer_to_peer(&self) -> Duration {
        let all_up = self
            .source_up
            .zip(self.peer_up)
            .map(|(source, peer)| source.saturating_add(peer.saturating_mul(self.peers.into())));
        let terms = [(self.file, self.source_up), (self.file, self.down_min)];
        longest(terms.into_iter().chain([(self.copies(), all_up)]))
    }

    /// The least time if every copy comes from the source: max(N F/u_s, F/d_min).
    #[must_use]
    pub fn client_server(&self) -> Duration {
        longest([(self.copies(), self.source_up), (self.file, self.down_min)])
    }

    /// N F: bytes that must arrive in all.
    fn copies(&self) -> u64 {
        self.file.saturating_mul(self.peers.into())
    }
}

/// The longest of some transfers of bytes at rates.
fn longest(transfers: impl IntoIterator<Item = (u64, Option<u64>)>) -> Duration {
    let seconds = transfers
        .into_iter()
        .map(|(bytes, rate)| rate.map_or(0.0, |rate| bytes as f64 / rate as f64));
    Duration::try_from_secs_f64(seconds.fold(0.0, f64::max)).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_term_of_the_bound_can_be_the_longest() {
        let base = Distribution {
            file: 1_000,
            peers: 4,
            source_up: Some(100),
            peer_up: Some(100),
            down_min: None,
        };
        let seconds = Duration::from_secs;
        // F/u_s = 10 s, N F/(u_s + sum u_i) = 8 s.
        assert_eq!(base.peer_to_peer(), seconds(10));
        assert_eq!(base.client_server(), seconds(40));
        // N F/(u_s + sum u_i) = 4000/200 = 20 s.
        assert_eq!(Distribution { peer_up: Some(25), ..base }.peer_to_peer(), seconds(20));
        // F/d_min = 50 s, for both.
        let slow = Distribution { down_min: Some(20), ..base };
        assert_eq!((slow.peer_to_peer(), slow.client_server()), (seconds(50), seconds(50)));
        // Peers that pass nothing on make it the client-server time.
        assert_eq!(Distribution { peer_up: Some(0), ..base }.peer_to_peer(), base.client_server());
        let cut = Distribution { source_up: Some(0), ..base };
        assert_eq!(cut.peer_to_peer(), Duration::MAX);
        let unlimited = Distribution { source_up: None, ..base };
        assert_eq!(unlimited.peer_to_peer(), Duration::ZERO);
    }

    #[test]
    fn the_example_of_the_lecture() {
        // F/u = 1 hour, u_s = 10 u, d_min >= u_s: for 30 peers 0.75 hours against 3.
        let u = 1_000;
        let example = Distribution {
            file: u * 3_600,
            peers: 30,
            source_up: Some(10 * u),
            peer_up: Some(u),
            down_min: Some(10 * u),
        };
        assert_eq!(example.peer_to_peer(), Duration::from_secs(2_700));
        assert_eq!(example.client_server(), Duration::from_secs(10_800));
    }
}
