//! What a connection sends, and in which order: acknowledgements of gaps, lost packets, new ones.

use core::net::SocketAddr;

use machine::Instant;

use super::super::batch::Batch;
use super::super::mtu;
use super::super::packet::{self, HEADER_LEN, HELLO_LEN, Header, Kind};
use super::super::send_buffer::MAX_PACKETS;
use super::super::seq::SeqNr;
use super::{Connection, Fin, KEEPALIVE, State};

impl Connection {
    /// Writes what may be sent now. Returns `true` if there is more and `batch` is full.
    pub fn transmit(&mut self, now: Instant, batch: &mut Batch) -> bool {
        match self.state {
            State::SynSent { syn, due: true, .. } => return self.transmit_syn(now, syn, batch),
            State::SynSent { .. } => return false,
            State::Closed(_) if self.reset_due => return self.transmit_reset(now, batch),
            State::Closed(_) => return false,
            State::Open => {}
        }
        // Data packets carry no selective acknowledgement, so that they are all of one size.
        if self.ack_due && self.receive.has_gap() && !self.transmit_ack(now, batch) {
            return true;
        }
        if !self.transmit_lost(now, batch) || !self.transmit_new(now, batch) {
            return true;
        }
        if self.fin == Fin::Wanted && self.send.unsent() == 0 {
            let seq_nr = self.send.next_seq();
            if !self.write_packet(now, Kind::Fin, seq_nr, 0, None, batch) {
                return true;
            }
            self.fin = Fin::Sent(seq_nr);
        }
        self.ack_due && !self.transmit_ack(now, batch)
    }

    fn transmit_syn(&mut self, now: Instant, syn: SeqNr, batch: &mut Batch) -> bool {
        let header = Header {
            connection_id: self.receive_id,
            ack_nr: SeqNr(0),
            ..self.header(now, Kind::Syn, syn)
        };
        if !write_greeting(&header, mtu::is_large(self.interface_mtu), self.peer, batch) {
            return true;
        }
        let sent = (self.timeouts == 0).then_some(now);
        self.state = State::SynSent { syn, due: false, sent };
        self.retransmit_at = Some(now + self.rtt.timeout());
        false
    }

    fn transmit_reset(&mut self, now: Instant, batch: &mut Batch) -> bool {
        let header = self.header(now, Kind::Reset, self.send.next_seq());
        self.reset_due = !write_greeting(&header, false, self.peer, batch);
        self.reset_due
    }

    /// The functions below return whether the batch had room.
    fn transmit_ack(&mut self, now: Instant, batch: &mut Batch) -> bool {
        let seq_nr = match self.fin {
            // libtorrent ignores whatever is numbered after the end of the stream.
            Fin::Sent(fin) => fin,
            _ => self.send.next_seq(),
        };
        let header = self.header(now, Kind::State, seq_nr);
        if self.receive.has_gap() {
            let len = packet::sack_packet_len(self.receive.sack_bits());
            let Some(out) = batch.push(self.peer, len, false) else { return false };
            header.write_sack(self.receive.sack(), out);
        } else if !write_greeting(&header, false, self.peer, batch) {
            return false;
        }
        self.note_sent(now);
        true
    }

    fn transmit_lost(&mut self, now: Instant, batch: &mut Batch) -> bool {
        while let Some(len) = self.send.first_lost() {
            let in_flight = self.send.in_flight();
            if in_flight > 0 && in_flight + len > self.ledbat.window() {
                break;
            }
            let Some(out) = batch.push(self.peer, HEADER_LEN + len, false) else { return false };
            let mut header = self.header(now, Kind::Data, SeqNr(0));
            let Some(resend) = self.send.resend(now) else { break };
            header.seq_nr = resend.seq_nr;
            if self.fin == Fin::Sent(resend.seq_nr) {
                header.kind = Kind::Fin;
            }
            write_payload(&header, resend.payload, out);
            self.note_sent(now);
        }
        true
    }

    fn transmit_new(&mut self, now: Instant, batch: &mut Batch) -> bool {
        loop {
            let (unsent, in_flight) = (self.send.unsent(), self.send.in_flight());
            if unsent == 0 || self.send.packets() >= MAX_PACKETS || self.send.first_lost().is_some()
            {
                return true;
            }
            let window = self.ledbat.window();
            let room = window.min(self.peer_window).saturating_sub(in_flight);
            let mss = self.mss();
            let mut len = unsent.min(mss);
            let probe = match self.mtu.probe(window) {
                Some(size) if self.probe.is_none() => {
                    (size - HEADER_LEN <= unsent.min(room)).then_some(size)
                }
                _ => None,
            };
            if let Some(size) = probe {
                len = size - HEADER_LEN;
            } else if len > room {
                // Wait for the window, unless nothing is in flight whose arrival would open it.
                if in_flight > 0 || (self.peer_window == 0 && !self.window_probe_due) {
                    if self.peer_window == 0 && self.retransmit_at.is_none() {
                        self.retransmit_at = Some(now + self.rtt.timeout());
                    }
                    return true;
                }
                len = if self.peer_window == 0 { len } else { len.min(self.peer_window) };
            }
            if len < mss && len == unsent && self.holds_small() {
                return true;
            }
            let seq_nr = self.send.next_seq();
            if !self.write_packet(now, Kind::Data, seq_nr, len, probe, batch) {
                return false;
            }
            self.window_probe_due = false;
            if probe.is_some() {
                self.probe = Some(seq_nr);
            }
            if len < mss {
                self.small = Some(seq_nr);
            }
        }
    }

    /// Nagle's rule as Minshall has it: one packet that is not full in flight at a time.
    fn holds_small(&self) -> bool {
        self.fin == Fin::No
            && self.small.is_some_and(|small| {
                usize::from(small.since(self.send.first_seq())) < self.send.packets()
            })
    }

    fn write_packet(
        &mut self,
        now: Instant,
        kind: Kind,
        seq_nr: SeqNr,
        len: usize,
        probe: Option<usize>,
        batch: &mut Batch,
    ) -> bool {
        let Some(out) = batch.push(self.peer, HEADER_LEN + len, probe.is_some()) else {
            return false;
        };
        let header = self.header(now, kind, seq_nr);
        write_payload(&header, self.send.push(now, len, probe), out);
        if self.retransmit_at.is_none() {
            self.retransmit_at = Some(now + self.rtt.timeout());
        }
        self.note_sent(now);
        true
    }

    /// A packet that carries our acknowledgement and window has been written.
    fn note_sent(&mut self, now: Instant) {
        self.ack_due = false;
        self.advertised = self.receive.window();
        self.keepalive_at = now + KEEPALIVE;
    }

    fn header(&self, now: Instant, kind: Kind, seq_nr: SeqNr) -> Header {
        Header {
            kind,
            connection_id: self.send_id,
            timestamp: now.as_micros_wrapping(),
            timestamp_difference: self.reply_micros,
            window: u32::try_from(self.receive.window()).unwrap_or(u32::MAX),
            seq_nr,
            ack_nr: self.receive.ack_nr(),
        }
    }
}

/// Writes a packet without payload, with the size of datagrams we take if `hello`.
pub(in super::super) fn write_greeting(
    header: &Header,
    hello: bool,
    to: SocketAddr,
    batch: &mut Batch,
) -> bool {
    let len = if hello { HELLO_LEN } else { HEADER_LEN };
    let Some(out) = batch.push(to, len, false) else { return false };
    if let Ok(out) = <&mut [u8; HELLO_LEN]>::try_from(&mut *out) {
        header.write_hello(mtu::MAX_DATAGRAM, out);
    } else if let Ok(out) = out.try_into() {
        header.write(out);
    }
    true
}

fn write_payload(header: &Header, (front, back): (&[u8], &[u8]), out: &mut [u8]) {
    if let Some((head, body)) = out.split_first_chunk_mut::<HEADER_LEN>() {
        header.write(head);
        let (first, second) = body.split_at_mut(front.len());
        first.copy_from_slice(front);
        second.copy_from_slice(back);
    }
}
