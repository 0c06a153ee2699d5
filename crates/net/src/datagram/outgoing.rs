//! Datagrams that wait to be sent: one run of bytes for all of them, used again.

use std::net::SocketAddr;

/// Most datagrams that wait at once. What a machine says beyond that is lost, as on a full link.
const DATAGRAMS_MAX: usize = 8_192;

/// Datagrams in the order in which they are sent: as they were said, as far as one address sees it.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    datagrams: Vec<Datagram>,
    /// How many of them are done with.
    sent: usize,
}

/// Where a datagram lies, and where it goes.
#[derive(Debug)]
struct Datagram {
    begin: usize,
    end: usize,
    to: SocketAddr,
}

impl Outgoing {
    /// Adds what `write` appends; whether there was room for it.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>) -> SocketAddr) -> bool {
        if self.len() >= DATAGRAMS_MAX {
            return false;
        }
        let begin = self.bytes.len();
        let to = write(&mut self.bytes);
        self.datagrams.push(Datagram { begin, end: self.bytes.len(), to });
        true
    }

    /// Those that wait, the next first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let waiting = self.datagrams[self.sent..].iter();
        waiting.map(|&Datagram { begin, end, to }| (to, &self.bytes[begin..end]))
    }

    /// Among the next `count`, brings those to one address together, in their order.
    pub(crate) fn gather(&mut self, count: usize) {
        let end = self.datagrams.len().min(self.sent + count);
        self.datagrams[self.sent..end].sort_by_key(|datagram| datagram.to);
    }

    /// The next `count` are done with.
    pub(crate) fn pop(&mut self, count: usize) {
        self.sent += count;
        if self.sent >= self.datagrams.len() {
            self.sent = 0;
            self.datagrams.clear();
            self.bytes.clear();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.datagrams.len() - self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn datagrams_leave_in_order_and_their_room_is_bounded() {
        let mut outgoing = Outgoing::default();
        for port in 0..DATAGRAMS_MAX as u16 {
            assert!(outgoing.push(|out| {
                out.extend_from_slice(&port.to_be_bytes());
                to(port)
            }));
        }
        assert!(!outgoing.push(|_| to(1)), "full");
        outgoing.pop(2);
        assert!(outgoing.push(|_| to(9)), "room again");
        let rest: Vec<_> = outgoing.iter().collect();
        assert_eq!(rest.first(), Some(&(to(2), &2u16.to_be_bytes()[..])));
        assert_eq!(rest.last(), Some(&(to(9), &[][..])));
        outgoing.pop(rest.len());
        assert!(outgoing.is_empty() && outgoing.iter().next().is_none());
    }

    #[test]
    fn what_goes_to_one_address_comes_together_in_its_order() {
        let mut outgoing = Outgoing::default();
        for (word, port) in [(0, 4), (1, 3), (2, 4), (3, 3), (4, 2)] {
            outgoing.push(|out| {
                out.push(word);
                to(port)
            });
        }
        outgoing.pop(1);
        outgoing.gather(3);
        let order: Vec<_> = outgoing.iter().map(|(_, datagram)| datagram[0]).collect();
        assert_eq!(
            order,
            [1, 3, 2, 4],
            "what is done with and what comes later stays where it was"
        );
    }
}
