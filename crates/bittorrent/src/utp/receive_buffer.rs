//! What has arrived: bytes in order that wait to be read, and packets that came too early.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::seq::SeqNr;

/// How far ahead of the next expected packet one may be.
pub(super) const MAX_AHEAD: usize = 1_024;
/// Memory that an idle connection may keep.
const IDLE_BYTES: usize = 16 << 10;
/// Emptied packet buffers that are kept to be used again.
const MAX_SPARE: usize = 16;
/// What may arrive beyond the window: a packet that asks whether there is room again.
const SLACK: usize = 64 << 10;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It, and perhaps earlier arrivals behind it, can be read.
    InOrder,
    /// It waits for packets before it.
    Ahead,
    /// It was here before.
    Duplicate,
    /// There is no room for it, or it lies beyond the end of the stream.
    Dropped,
}

/// The receiving half of a connection's memory.
#[derive(Debug)]
pub(super) struct ReceiveBuffer {
    ready: VecDeque<u8>,
    /// The last packet in order.
    ack_nr: SeqNr,
    /// Packets after `ack_nr`, the first of which is missing.
    ahead: VecDeque<Option<Vec<u8>>>,
    ahead_bytes: usize,
    /// Number of the packet that ends the stream.
    fin: Option<SeqNr>,
    capacity: usize,
    spare: Vec<Vec<u8>>,
    /// Nobody reads: bytes are dropped as they come.
    discard: bool,
}

impl ReceiveBuffer {
    pub(super) const fn new(ack_nr: SeqNr, capacity: usize) -> Self {
        Self {
            ready: VecDeque::new(),
            ack_nr,
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            fin: None,
            capacity,
            spare: Vec::new(),
            discard: false,
        }
    }

    /// The last packet that arrived in order.
    pub(super) const fn ack_nr(&self) -> SeqNr {
        self.ack_nr
    }

    /// Bytes there is room for.
    pub(super) fn window(&self) -> usize {
        self.capacity.saturating_sub(self.ready.len() + self.ahead_bytes)
    }

    /// Whether the other end has finished and all that it sent has been taken.
    pub(super) fn at_end(&self) -> bool {
        self.ended() && self.ready.is_empty()
    }

    /// Whether all packets up to the last have arrived.
    pub(super) fn ended(&self) -> bool {
        self.fin == Some(self.ack_nr)
    }

    /// Whether packets are missing before one that has arrived.
    pub(super) fn has_gap(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// How many bits a selective acknowledgement takes.
    pub(super) fn sack_bits(&self) -> usize {
        self.ahead.len().saturating_sub(1)
    }

    /// Whether packet `ack_nr + 2`, `+ 3`, … has arrived.
    pub(super) fn sack(&self) -> impl Iterator<Item = bool> + '_ {
        self.ahead.iter().skip(1).map(Option::is_some)
    }

    /// Takes in the payload of packet `seq`; `fin` if that packet ends the stream.
    pub(super) fn insert(&mut self, seq: SeqNr, payload: &[u8], fin: bool) -> Arrival {
        let steps = seq.since(self.ack_nr);
        if steps == 0 || steps >= 0x8000 {
            return Arrival::Duplicate;
        }
        let index = usize::from(steps) - 1;
        if index >= MAX_AHEAD || self.fin.is_some_and(|end| seq.is_after(end)) {
            return Arrival::Dropped;
        }
        let held = self.ready.len() + self.ahead_bytes;
        if !self.discard && held + payload.len() > self.capacity + SLACK {
            return Arrival::Dropped;
        }
        if fin {
            let last = self.ahead.len();
            // A stream has one end, and nothing behind it.
            if self.fin.is_some_and(|end| end != seq) || last > index + 1 {
                return Arrival::Dropped;
            }
            self.fin = Some(seq);
        }
        if index == 0 {
            self.deliver(payload);
            if let Some(slot) = self.ahead.pop_front() {
                debug_assert!(slot.is_none(), "the first packet ahead is missing");
                while let Some(slot) = self.ahead.front_mut()
                    && let Some(early) = slot.take()
                {
                    self.ahead.pop_front();
                    self.ahead_bytes -= early.len();
                    self.deliver(&early);
                    if self.spare.len() < MAX_SPARE {
                        self.spare.push(early);
                    }
                }
            }
            return Arrival::InOrder;
        }
        while self.ahead.len() <= index {
            self.ahead.push_back(None);
        }
        if self.ahead[index].is_some() {
            return Arrival::Duplicate;
        }
        let mut early = self.spare.pop().unwrap_or_default();
        early.clear();
        if !self.discard {
            early.extend_from_slice(payload);
        }
        self.ahead_bytes += early.len();
        self.ahead[index] = Some(early);
        Arrival::Ahead
    }

    fn deliver(&mut self, payload: &[u8]) {
        if !self.discard {
            self.ready.extend(payload);
        }
        self.ack_nr = self.ack_nr.next();
    }

    /// Bytes that can be read, in order, in two parts.
    pub(super) fn readable(&self) -> (&[u8], &[u8]) {
        self.ready.as_slices()
    }

    /// Forgets the first `count` readable bytes.
    pub(super) fn consume(&mut self, count: usize) {
        self.ready.drain(..count.min(self.ready.len()));
    }

    /// Gives back memory that a burst needed.
    pub(super) fn shrink(&mut self) {
        self.spare = Vec::new();
        if self.ready.is_empty() {
            self.ready.shrink_to(IDLE_BYTES);
        }
    }

    /// Nobody will read any more.
    pub(super) fn discard(&mut self) {
        self.discard = true;
        self.ready = VecDeque::new();
        for early in self.ahead.iter_mut().flatten() {
            *early = Vec::new();
        }
        self.ahead_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    #[test]
    fn early_packets_wait_for_the_missing_one() {
        let mut buffer = ReceiveBuffer::new(SeqNr(0xfffe), 100);
        assert_eq!(buffer.insert(SeqNr(0), b"bb", false), Arrival::Ahead);
        assert_eq!(buffer.insert(SeqNr(0), b"bb", false), Arrival::Duplicate);
        assert_eq!(buffer.insert(SeqNr(2), b"dd", false), Arrival::Ahead);
        assert_eq!(buffer.sack().collect::<Vec<_>>(), [true, false, true]);
        assert_eq!((buffer.window(), buffer.has_gap()), (96, true));
        assert_eq!(buffer.insert(SeqNr(0xffff), b"aa", false), Arrival::InOrder);
        assert_eq!((buffer.readable().0, buffer.ack_nr()), (&b"aabb"[..], SeqNr(0)));
        assert_eq!(buffer.sack().collect::<Vec<_>>(), [true]);
        assert_eq!(buffer.insert(SeqNr(1), b"cc", false), Arrival::InOrder);
        assert_eq!((buffer.readable().0, buffer.has_gap()), (&b"aabbccdd"[..], false));
        assert_eq!(buffer.insert(SeqNr(0xffff), b"aa", false), Arrival::Duplicate);
        buffer.consume(8);
        assert_eq!(buffer.window(), 100);
    }

    #[test]
    fn ut_09_packets_far_ahead_are_dropped() {
        let mut buffer = ReceiveBuffer::new(SeqNr(100), 1 << 20);
        for (ahead, arrival) in [
            (30_000, Arrival::Dropped),
            (32_767, Arrival::Dropped),
            (40_000, Arrival::Duplicate),
            (MAX_AHEAD as u16 + 1, Arrival::Dropped),
            (MAX_AHEAD as u16, Arrival::Ahead),
        ] {
            assert_eq!(buffer.insert(SeqNr(100).plus(ahead), b"x", false), arrival, "{ahead}");
        }
        assert_eq!(buffer.ahead.len(), MAX_AHEAD);
    }

    #[test]
    fn bytes_beyond_the_window_are_dropped() {
        let mut buffer = ReceiveBuffer::new(SeqNr(0), 10);
        let mut seq = SeqNr(1);
        while buffer.insert(seq, &[0; 1_000], false) == Arrival::InOrder {
            seq = seq.next();
        }
        assert!(buffer.readable().0.len() + buffer.readable().1.len() <= 10 + SLACK);
        assert_eq!(buffer.window(), 0);
        assert_eq!(buffer.insert(seq.next(), &[0; 70_000], false), Arrival::Dropped);
    }

    #[test]
    fn the_stream_ends_once() {
        let mut buffer = ReceiveBuffer::new(SeqNr(0), 100);
        assert_eq!(buffer.insert(SeqNr(3), b"", true), Arrival::Ahead);
        assert_eq!(buffer.insert(SeqNr(4), b"x", false), Arrival::Dropped);
        assert_eq!(buffer.insert(SeqNr(2), b"", true), Arrival::Dropped);
        buffer.insert(SeqNr(1), b"a", false);
        assert!(!buffer.ended());
        buffer.insert(SeqNr(2), b"b", false);
        assert!(buffer.ended() && !buffer.at_end());
        buffer.consume(2);
        assert!(buffer.at_end());
        let mut buffer = ReceiveBuffer::new(SeqNr(0), 100);
        buffer.insert(SeqNr(5), b"x", false);
        assert_eq!(buffer.insert(SeqNr(3), b"", true), Arrival::Dropped, "data lies behind");
    }

    proptest! {
        #[test]
        fn any_order_gives_the_same_stream(seed in any::<u64>(), count in 1usize..200) {
            let mut order: Vec<usize> = (0..count).chain(0..count / 2).collect();
            machine::Rng::new(seed).shuffle(&mut order);
            let packet = |n: usize| vec![n as u8; n % 7];
            let mut buffer = ReceiveBuffer::new(SeqNr(0xfff0), 1 << 20);
            for n in order {
                buffer.insert(SeqNr(0xfff1).plus(n as u16), &packet(n), n + 1 == count);
            }
            let (a, b) = buffer.readable();
            let expected: Vec<u8> = (0..count).flat_map(packet).collect();
            prop_assert_eq!([a, b].concat(), expected);
            prop_assert!(buffer.ended() && buffer.ahead_bytes == 0);
        }
    }
}
