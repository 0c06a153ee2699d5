//! What packets from the other end do to a connection.

use machine::Instant;

use super::super::packet::{Header, Kind, Packet};
use super::super::receive_buffer::{Arrival, ReceiveBuffer};
use super::super::send_buffer::{Losses, MAX_PACKETS};
use super::{CLOSE_WAIT, CloseReason, Connection, Fin, KEEPALIVE, PathMtu, State, TIME_WAIT};

/// Duplicate acknowledgements that make the oldest packet lost.
const DUPLICATE_ACKS: u8 = 3;
/// Most change of the other end's base delay that passes for drift of its clock, microseconds.
const MAX_DRIFT: u32 = 10_000;

impl Connection {
    /// A packet with this connection's number has arrived from its other end.
    pub fn on_packet(&mut self, now: Instant, packet: &Packet<'_>) {
        let header = &packet.header;
        match self.state {
            State::Closed(_) => {
                // The other end still has something to deliver and need not try further.
                self.reset_due |= matches!(header.kind, Kind::Data | Kind::Fin);
                return;
            }
            State::SynSent { syn, sent, .. } => {
                if header.ack_nr != syn {
                    return;
                }
                match header.kind {
                    Kind::State => {
                        if let Some(sent) = sent {
                            self.rtt.sample(now - sent);
                        }
                        self.on_connected(now, packet);
                    }
                    Kind::Reset => return self.end(CloseReason::Reset),
                    _ => return,
                }
            }
            State::Open => {}
        }
        // An acknowledgement of what was never sent is forged or broken (RFC 5961, 5.2).
        let newest = self.send.next_seq().prev();
        let behind = newest.since(header.ack_nr);
        if header.kind == Kind::Reset {
            // A stranger to the connection answers with the number of the packet it could not
            // place, and pure acknowledgements carry the next number.
            let known = self.send.next_seq().since(header.ack_nr);
            if usize::from(known) <= 2 * MAX_PACKETS {
                // Its end came first, and it has forgotten us without hearing of ours.
                let done = self.receive.ended() && self.send.len() == 0;
                self.end(if done { CloseReason::Finished } else { CloseReason::Reset });
            }
            return;
        }
        if usize::from(behind) > 2 * MAX_PACKETS || header.kind == Kind::Syn {
            return;
        }
        self.measure_delay(now, header);
        let same_window = self.peer_window == header.window as usize;
        self.peer_window = header.window as usize;
        self.on_ack(now, packet, same_window);
        if matches!(header.kind, Kind::Data | Kind::Fin) {
            self.on_data(header, packet.payload);
        }
        self.note_finish(now);
    }

    fn on_connected(&mut self, now: Instant, packet: &Packet<'_>) {
        // The acknowledgement of a SYN carries the number of the first packet that will follow.
        let ack_nr = packet.header.seq_nr.prev();
        self.receive = ReceiveBuffer::new(ack_nr, self.advertised);
        if packet.max_datagram.is_some() {
            self.mtu = PathMtu::new(&self.peer, self.interface_mtu, packet.max_datagram);
        }
        self.state = State::Open;
        self.retransmit_at = None;
        self.rtt.recover();
        self.keepalive_at = now + KEEPALIVE;
        // It proves our address, and lets the other end speak first.
        self.ack_due = true;
        self.events.connected = true;
        self.events.writable = true;
    }

    fn measure_delay(&mut self, now: Instant, header: &Header) {
        if header.timestamp == 0 {
            return;
        }
        self.reply_micros = now.as_micros_wrapping().wrapping_sub(header.timestamp);
        let before = self.their_delay.base();
        self.their_delay.sample(now, self.reply_micros);
        if let (Some(before), Some(after)) = (before, self.their_delay.base()) {
            let drop = before.wrapping_sub(after);
            // Their clock runs ahead of ours, so that the delay of ours seems to grow.
            if drop > 0 && drop < MAX_DRIFT && self.our_delay.base().is_some() {
                self.our_delay.raise(drop);
            }
        }
    }

    fn on_ack(&mut self, now: Instant, packet: &Packet<'_>, same_window: bool) {
        let header = &packet.header;
        // 2³¹ - 1 is what µTorrent sends before it has measured.
        let difference = header.timestamp_difference;
        let mut delay = (difference != 0 && difference != i32::MAX as u32)
            .then(|| self.our_delay.sample(now, difference));
        let in_flight = self.send.in_flight();
        let duplicate = header.kind == Kind::State
            && header.ack_nr == self.send.first_seq().prev()
            && packet.sack.is_empty()
            && same_window;
        let acked = self.send.on_ack(now, header.ack_nr, packet.sack);
        // A full reader may acknowledge nothing for as long as it likes, if only it answers.
        if acked.packets > 0 || self.peer_window == 0 || self.send.packets() == 0 {
            self.timeouts = 0;
        }
        if acked.packets > 0 {
            if let Some(rtt) = acked.rtt {
                self.rtt.sample(rtt);
                // Nothing queues longer than the whole round trip took.
                let most = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
                delay = delay.map(|delay| delay.min(most));
            }
            if let Some(size) = acked.probe {
                self.mtu.on_arrived(size);
                self.probe = None;
            }
            self.ledbat.on_ack(acked.bytes, in_flight, delay, self.mss());
        }
        if acked.advanced {
            self.duplicate_acks = 0;
            self.rtt.recover();
            self.retransmit_at = (self.send.packets() > 0).then(|| now + self.rtt.timeout());
        } else if duplicate && self.send.packets() > 0 {
            self.duplicate_acks = self.duplicate_acks.saturating_add(1);
            if self.duplicate_acks == DUPLICATE_ACKS {
                let losses = self.send.lose_first();
                self.on_losses(losses);
            }
        }
        if acked.packets > 0 {
            let losses = self.send.find_losses();
            self.on_losses(losses);
            self.note_room();
        }
    }

    fn on_losses(&mut self, losses: Losses) {
        if let Some(size) = losses.probe {
            self.mtu.on_lost(size);
            self.probe = None;
        }
        if losses.latest.is_some_and(|order| order >= self.recovery) {
            self.ledbat.on_loss(self.mss());
            self.recovery = self.send.next_order();
        }
    }

    fn note_room(&mut self) {
        if self.write_blocked && self.send.len() <= self.send_capacity() * 3 / 4 {
            self.write_blocked = false;
            self.events.writable = true;
        }
    }

    fn on_data(&mut self, header: &Header, payload: &[u8]) {
        self.ack_due = true;
        let arrival = self.receive.insert(header.seq_nr, payload, header.kind == Kind::Fin);
        if matches!(arrival, Arrival::InOrder | Arrival::Ahead) {
            self.advertised = self.advertised.saturating_sub(payload.len());
        }
        self.events.readable |= arrival == Arrival::InOrder;
    }

    /// Starts the last waits once this end, and once both, have delivered everything.
    pub(super) fn note_finish(&mut self, now: Instant) {
        let sent = matches!(self.fin, Fin::Sent(_)) && self.is_flushed();
        match (sent, self.receive.ended()) {
            // What is repeated shows that our acknowledgement was lost: the wait starts again.
            (true, true) if self.ack_due || !self.finished => {
                self.finished = true;
                self.linger_at = Some(now + TIME_WAIT);
            }
            (true, false) if self.closing => {
                let at = now + CLOSE_WAIT;
                self.linger_at = Some(self.linger_at.map_or(at, |before| before.min(at)));
            }
            _ => {}
        }
        self.events.writable |= sent;
    }
}
