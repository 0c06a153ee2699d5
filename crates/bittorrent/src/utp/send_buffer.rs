//! What has been written and not yet acknowledged: bytes, and the packets that they were cut into.
//! Knows which packets are in flight, have arrived or are lost; not when to send.

use alloc::collections::VecDeque;
use core::time::Duration;

use machine::Instant;

use super::packet::Sack;
use super::seq::SeqNr;

/// Most packets without acknowledgement; libutp holds no more.
pub(super) const MAX_PACKETS: usize = 1_000;
/// A packet is lost once one that was sent this much later has arrived (three duplicate
/// acknowledgements, BEP 29).
const REORDER_PACKETS: u64 = 3;
/// Memory that an idle connection may keep.
const IDLE_BYTES: usize = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InFlight,
    /// Acknowledged selectively.
    Arrived,
    Lost,
}

/// A packet that takes up a sequence number. Its extent never changes, since uTP counts packets.
#[derive(Clone, Copy, Debug)]
struct Segment {
    /// Where its bytes begin, counted from the start of the stream.
    start: u64,
    len: u32,
    state: State,
    /// Bytes of the datagram, if this was a probe of the path's MTU.
    probe: Option<u32>,
    retransmitted: bool,
    /// Place among all transmissions, which unlike `seq_nr` also orders retransmissions.
    order: u64,
    sent: Instant,
}

/// What an acknowledgement brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Acked {
    /// Bytes that have newly arrived.
    pub bytes: usize,
    /// Packets that have newly arrived.
    pub packets: usize,
    /// Whether the cumulative acknowledgement moved.
    pub advanced: bool,
    /// Round trip of the latest packet that was sent once only.
    pub rtt: Option<Duration>,
    /// Largest probe that arrived.
    pub probe: Option<usize>,
}

/// What was found to be lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    /// Highest [`order`](SendBuffer::next_order) of the lost packets that were no probes.
    pub latest: Option<u64>,
    /// Smallest probe that was lost.
    pub probe: Option<usize>,
}

/// A packet to be sent again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resend<'a> {
    pub seq_nr: SeqNr,
    pub payload: (&'a [u8], &'a [u8]),
}

/// The sending half of a connection's memory.
#[derive(Debug)]
pub(super) struct SendBuffer {
    bytes: VecDeque<u8>,
    /// Position in the stream of the first byte of `bytes`.
    start: u64,
    /// Position of the first byte that no segment covers.
    unsent: u64,
    segments: VecDeque<Segment>,
    /// Number of the first segment, or of the next one if there is none.
    first: SeqNr,
    in_flight: usize,
    lost: usize,
    retransmitted: usize,
    next_order: u64,
    highest_arrived: Option<u64>,
}

impl SendBuffer {
    pub(super) fn new(first: SeqNr) -> Self {
        Self {
            bytes: VecDeque::new(),
            start: 0,
            unsent: 0,
            segments: VecDeque::new(),
            first,
            in_flight: 0,
            lost: 0,
            retransmitted: 0,
            next_order: 0,
            highest_arrived: None,
        }
    }

    /// Takes as many bytes as fit below `capacity`, and says how many.
    pub(super) fn write(&mut self, data: &[u8], capacity: usize) -> usize {
        let taken = data.len().min(capacity.saturating_sub(self.bytes.len()));
        self.bytes.extend(&data[..taken]);
        taken
    }

    /// Bytes held, sent or not.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that no packet has carried yet.
    pub(super) fn unsent(&self) -> usize {
        (self.start + self.bytes.len() as u64 - self.unsent) as usize
    }

    /// Bytes in packets that are on their way, as far as is known.
    pub(super) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Packets without cumulative acknowledgement.
    pub(super) fn packets(&self) -> usize {
        self.segments.len()
    }

    /// Number of the next new packet.
    pub(super) fn next_seq(&self) -> SeqNr {
        self.first.plus(self.segments.len() as u16)
    }

    /// Number of the oldest packet without acknowledgement.
    pub(super) const fn first_seq(&self) -> SeqNr {
        self.first
    }

    /// The place among all transmissions that the next one takes.
    pub(super) const fn next_order(&self) -> u64 {
        self.next_order
    }

    /// Cuts the next packet, of `len` unsent bytes (0 for a FIN), and returns its payload. The
    /// datagram's size is given if it is a probe.
    pub(super) fn push(
        &mut self,
        now: Instant,
        len: usize,
        probe: Option<usize>,
    ) -> (&[u8], &[u8]) {
        let len = len.min(self.unsent());
        let segment = Segment {
            start: self.unsent,
            len: len as u32,
            state: State::InFlight,
            probe: probe.map(|size| size as u32),
            retransmitted: false,
            order: self.next_order,
            sent: now,
        };
        self.next_order += 1;
        self.segments.push_back(segment);
        self.unsent += len as u64;
        self.in_flight += len;
        self.payload(&segment)
    }

    fn payload(&self, segment: &Segment) -> (&[u8], &[u8]) {
        let from = (segment.start - self.start) as usize;
        let to = from + segment.len as usize;
        let (front, back) = self.bytes.as_slices();
        let split = front.len();
        if to <= split {
            (&front[from..to], &[])
        } else if from >= split {
            (&back[from - split..to - split], &[])
        } else {
            (&front[from..], &back[..to - split])
        }
    }

    /// Bytes of the first lost packet, if one waits to be sent again.
    pub(super) fn first_lost(&self) -> Option<usize> {
        if self.lost == 0 {
            return None;
        }
        self.segments.iter().find(|s| s.state == State::Lost).map(|s| s.len as usize)
    }

    /// Puts the first lost packet back in flight and returns it.
    pub(super) fn resend(&mut self, now: Instant) -> Option<Resend<'_>> {
        let index = self.segments.iter().position(|s| s.state == State::Lost)?;
        let order = self.next_order;
        let segment = &mut self.segments[index];
        segment.state = State::InFlight;
        segment.order = order;
        segment.sent = now;
        segment.probe = None;
        if !segment.retransmitted {
            segment.retransmitted = true;
            self.retransmitted += 1;
        }
        let segment = *segment;
        self.next_order += 1;
        self.lost -= 1;
        self.in_flight += segment.len as usize;
        Some(Resend { seq_nr: self.first.plus(index as u16), payload: self.payload(&segment) })
    }

    /// All packets up to `ack` have arrived, and those of `sack` beyond it. The caller has checked
    /// that `ack` is not ahead of what was sent.
    pub(super) fn on_ack(&mut self, now: Instant, ack: SeqNr, sack: Sack<'_>) -> Acked {
        let mut acked = Acked::default();
        let count = usize::from(ack.next().since(self.first));
        if count <= self.segments.len() && count > 0 {
            for index in 0..count {
                self.arrive(now, index, &mut acked);
            }
            let end = self.segments[count - 1];
            self.retransmitted -=
                self.segments.iter().take(count).filter(|s| s.retransmitted).count();
            self.segments.drain(..count);
            self.first = ack.next();
            let end = end.start + u64::from(end.len);
            self.bytes.drain(..(end - self.start) as usize);
            self.start = end;
            acked.advanced = true;
            if self.bytes.is_empty() && self.bytes.capacity() > IDLE_BYTES {
                self.bytes.shrink_to(IDLE_BYTES);
            }
        }
        for distance in sack.distances() {
            let index = usize::from(ack.plus(distance).since(self.first));
            if index < self.segments.len() {
                self.arrive(now, index, &mut acked);
            }
        }
        acked
    }

    fn arrive(&mut self, now: Instant, index: usize, acked: &mut Acked) {
        let segment = &mut self.segments[index];
        match segment.state {
            State::Arrived => return,
            State::InFlight => self.in_flight -= segment.len as usize,
            State::Lost => self.lost -= 1,
        }
        segment.state = State::Arrived;
        acked.bytes += segment.len as usize;
        acked.packets += 1;
        self.highest_arrived = self.highest_arrived.max(Some(segment.order));
        if !segment.retransmitted {
            acked.rtt = Some(now - segment.sent);
        }
        if let Some(size) = segment.probe.take() {
            acked.probe = acked.probe.max(Some(size as usize));
        }
    }

    /// Finds packets that later ones have overtaken.
    pub(super) fn find_losses(&mut self) -> Losses {
        let mut losses = Losses::default();
        let Some(highest) = self.highest_arrived else { return losses };
        let overtaken = |s: &Segment| {
            s.state == State::InFlight && s.order.saturating_add(REORDER_PACKETS) <= highest
        };
        // Without retransmissions, orders ascend, and the first segment decides.
        if self.retransmitted == 0 && self.segments.front().is_none_or(|s| s.order > highest) {
            return losses;
        }
        for segment in self.segments.iter_mut().filter(|s| overtaken(s)) {
            self.in_flight -= segment.len as usize;
            self.lost += 1;
            Self::lose(segment, &mut losses);
        }
        losses
    }

    /// Declares the oldest packet lost, if it is in flight and was not sent again before.
    pub(super) fn lose_first(&mut self) -> Losses {
        let mut losses = Losses::default();
        if let Some(segment) = self.segments.front_mut()
            && segment.state == State::InFlight
            && !segment.retransmitted
        {
            self.in_flight -= segment.len as usize;
            self.lost += 1;
            Self::lose(segment, &mut losses);
        }
        losses
    }

    /// Declares everything in flight lost: the retransmission timeout has passed.
    pub(super) fn lose_all(&mut self) -> Losses {
        let mut losses = Losses::default();
        for segment in self.segments.iter_mut().filter(|s| s.state == State::InFlight) {
            self.lost += 1;
            Self::lose(segment, &mut losses);
        }
        self.in_flight = 0;
        losses
    }

    fn lose(segment: &mut Segment, losses: &mut Losses) {
        segment.state = State::Lost;
        match segment.probe.take() {
            Some(size) => {
                let size = size as usize;
                losses.probe = Some(losses.probe.map_or(size, |other| other.min(size)));
            }
            None => losses.latest = losses.latest.max(Some(segment.order)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const NOW: Instant = Instant::from_nanos(5_000_000);

    fn with_packets(count: usize) -> SendBuffer {
        let mut buffer = SendBuffer::new(SeqNr(0xfffe));
        let data: Vec<u8> = (0..count * 10).map(|n| n as u8).collect();
        assert_eq!(buffer.write(&data, 1 << 20), data.len());
        for _ in 0..count {
            buffer.push(Instant::ZERO, 10, None);
        }
        buffer
    }

    #[test]
    fn write_stops_at_the_capacity() {
        let mut buffer = SendBuffer::new(SeqNr(1));
        assert_eq!(buffer.write(&[0; 100], 64), 64);
        assert_eq!(buffer.write(&[0; 100], 64), 0);
        assert_eq!((buffer.len(), buffer.unsent(), buffer.in_flight()), (64, 64, 0));
    }

    #[test]
    fn cumulative_acknowledgement_frees_bytes() {
        let mut buffer = with_packets(4);
        assert_eq!(buffer.in_flight(), 40);
        let acked = buffer.on_ack(NOW, SeqNr(0xffff), Sack::default());
        assert_eq!((acked.bytes, acked.packets, acked.advanced), (20, 2, true));
        assert_eq!(acked.rtt, Some(Duration::from_millis(5)));
        assert_eq!((buffer.len(), buffer.first_seq(), buffer.next_seq()), (20, SeqNr(0), SeqNr(2)));
        // An old acknowledgement changes nothing.
        assert_eq!(buffer.on_ack(NOW, SeqNr(0xfffe), Sack::default()), Acked::default());
    }

    #[test]
    fn packets_overtaken_by_three_are_sent_again() {
        let mut buffer = with_packets(6);
        // 0xfffe, 0xffff, 0, 1, 2, 3: the first two are missing.
        let acked = buffer.on_ack(NOW, SeqNr(0xfffd), Sack(&[0b0000_0010]));
        assert_eq!((acked.bytes, acked.advanced), (10, false));
        assert_eq!(buffer.find_losses(), Losses::default(), "two steps are reordering");
        buffer.on_ack(NOW, SeqNr(0xfffd), Sack(&[0b0000_0110]));
        assert_eq!(buffer.find_losses(), Losses { latest: Some(0), probe: None });
        buffer.on_ack(NOW, SeqNr(0xfffd), Sack(&[0b0000_1110]));
        assert_eq!(buffer.find_losses(), Losses { latest: Some(1), probe: None });
        assert_eq!((buffer.in_flight(), buffer.first_lost()), (10, Some(10)));
        let resend = buffer.resend(NOW).unwrap();
        assert_eq!((resend.seq_nr, resend.payload.0[0]), (SeqNr(0xfffe), 0));
        let resend = buffer.resend(NOW).unwrap();
        assert_eq!((resend.seq_nr, resend.payload.0[0]), (SeqNr(0xffff), 10));
        assert!(buffer.resend(NOW).is_none());
        // Not again, until packets sent after the retransmission arrive.
        assert_eq!(buffer.find_losses(), Losses::default());
        buffer.write(&[7; 30], 1 << 20);
        for _ in 0..3 {
            buffer.push(NOW, 10, None);
        }
        buffer.on_ack(NOW, SeqNr(0xfffe), Sack(&[0b0111_1111]));
        assert_eq!(buffer.find_losses().latest, Some(7), "the retransmission was lost as well");
        let rest = buffer.on_ack(NOW, SeqNr(6), Sack::default());
        assert_eq!(rest.rtt, None, "only retransmissions are new here");
        assert_eq!((buffer.len(), buffer.packets(), buffer.in_flight()), (0, 0, 0));
    }

    #[test]
    fn a_lost_probe_is_no_congestion() {
        let mut buffer = SendBuffer::new(SeqNr(1));
        buffer.write(&[0; 500], 500);
        buffer.push(NOW, 400, Some(420));
        for _ in 0..4 {
            buffer.push(NOW, 10, None);
        }
        buffer.on_ack(NOW, SeqNr(0), Sack(&[0b0000_0111]));
        assert_eq!(buffer.find_losses(), Losses { latest: None, probe: Some(420) });
    }

    #[test]
    fn timeout_loses_all_that_is_in_flight() {
        let mut buffer = with_packets(5);
        buffer.on_ack(NOW, SeqNr(0xfffd), Sack(&[0b1]));
        assert_eq!(buffer.lose_all().latest, Some(4));
        assert_eq!(buffer.in_flight(), 0);
        let again: Vec<u16> =
            core::iter::from_fn(|| buffer.resend(NOW).map(|r| r.seq_nr.0)).collect();
        assert_eq!(again, [0xfffe, 0, 1, 2], "what has arrived is not sent again");
    }

    #[test]
    fn payload_spans_the_ends_of_the_ring() {
        let mut buffer = SendBuffer::new(SeqNr(0));
        let mut next = 0u8;
        let mut expected = 0u8;
        for round in 0..2_000u16 {
            let data: Vec<u8> = (0..7)
                .map(|_| {
                    next = next.wrapping_add(1);
                    next
                })
                .collect();
            assert_eq!(buffer.write(&data, 64), 7);
            let (a, b) = buffer.push(NOW, 7, None);
            for &byte in a.iter().chain(b) {
                expected = expected.wrapping_add(1);
                assert_eq!(byte, expected);
            }
            buffer.on_ack(NOW, SeqNr(round), Sack::default());
        }
    }
}
