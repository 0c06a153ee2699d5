//! Datagrams that wait to be sent, laid out so that a driver can hand runs of them to the system in
//! one call each (UDP segmentation offload, `sendmmsg`).

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Most datagrams in one run: what Linux takes in one segmented send.
const MAX_RUN_DATAGRAMS: usize = 64;
/// Most bytes in one run: the largest UDP payload over IPv4.
const MAX_RUN_BYTES: usize = 65_507;
/// Most runs in one batch, which bounds what a batch costs however small its datagrams are.
const MAX_RUNS: usize = 1_024;

/// Adjacent datagrams to one address, all of one size except that the last may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where to.
    pub to: SocketAddr,
    /// Bytes of each datagram but the last.
    pub segment: usize,
    /// Whether it must not be fragmented on the way: it asks what the path carries.
    pub probe: bool,
    start: usize,
    len: usize,
}

impl Run {
    /// How many datagrams.
    #[must_use]
    pub const fn datagrams(&self) -> usize {
        self.len.div_ceil(self.segment)
    }
}

/// A bounded buffer of datagrams, used again and again.
#[derive(Debug)]
pub struct Batch {
    bytes: Box<[u8]>,
    len: usize,
    runs: Vec<Run>,
}

impl Batch {
    /// An empty batch with room for `capacity` bytes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity].into_boxed_slice(), len: 0, runs: Vec::new() }
    }

    /// Room for one more datagram of `len` bytes (at least one), or `None` if the batch is full.
    pub(super) fn push(&mut self, to: SocketAddr, len: usize, probe: bool) -> Option<&mut [u8]> {
        let start = self.len;
        let end = start.checked_add(len)?;
        if len == 0 || end > self.bytes.len() {
            return None;
        }
        let full = self.runs.len() == MAX_RUNS;
        match self.runs.last_mut() {
            Some(run)
                if run.to == to
                    && !run.probe
                    && !probe
                    && len <= run.segment
                    && run.len % run.segment == 0
                    && run.len + len <= MAX_RUN_BYTES
                    && run.len / run.segment < MAX_RUN_DATAGRAMS =>
            {
                run.len += len;
            }
            _ if full => return None,
            _ => self.runs.push(Run { to, segment: len, probe, start, len }),
        }
        self.len = end;
        self.bytes.get_mut(start..end)
    }

    /// All runs, oldest first.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The bytes of a run of this batch.
    #[must_use]
    pub fn bytes(&self, run: &Run) -> &[u8] {
        self.bytes.get(run.start..run.start + run.len).unwrap_or_default()
    }

    /// Every datagram with its address, oldest first.
    pub fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        self.runs.iter().flat_map(|run| {
            self.bytes(run).chunks(run.segment).map(move |datagram| (run.to, datagram))
        })
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Forgets all datagrams and keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
        self.runs.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn to(port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }

    #[test]
    fn equal_datagrams_to_one_address_share_a_run() {
        let mut batch = Batch::new(10_000);
        for (port, len, probe) in [
            (1, 100, false),
            (1, 100, false),
            (1, 40, false),  // shorter: ends the run
            (1, 40, false),  // so this opens the next
            (1, 100, false), // longer: opens another
            (2, 100, false), // another address
            (2, 100, true),  // a probe stays alone
            (2, 100, false),
        ] {
            batch.push(to(port), len, probe).unwrap().fill(len as u8);
        }
        let shape: Vec<_> = batch.runs().iter().map(|r| (r.to.port(), r.datagrams())).collect();
        assert_eq!(shape, [(1, 3), (1, 1), (1, 1), (2, 1), (2, 1), (2, 1)]);
        assert_eq!(batch.datagrams().count(), 8);
        assert!(batch.datagrams().all(|(_, d)| d.iter().all(|&b| usize::from(b) == d.len())));
        batch.clear();
        assert!(batch.is_empty());
    }

    #[test]
    fn limits_hold() {
        let mut batch = Batch::new(200_000);
        while batch.push(to(1), 1_400, false).is_some() {}
        assert_eq!(batch.datagrams().count(), 200_000 / 1_400);
        assert!(batch.runs().iter().all(|run| batch.bytes(run).len() <= MAX_RUN_BYTES));
        batch.clear();
        while batch.push(to(1), 20, false).is_some() {}
        assert!(batch.runs().iter().all(|run| run.datagrams() <= MAX_RUN_DATAGRAMS));
        assert!(Batch::new(10).push(to(1), 11, false).is_none());
        assert!(Batch::new(10).push(to(1), 0, false).is_none());
        let mut batch = Batch::new(100_000);
        let pushed = (0..).take_while(|&n| batch.push(to(n), 1, false).is_some()).count();
        assert_eq!(pushed, MAX_RUNS);
    }
}
