//! One connection: what arrives for it, what it sends and when it gives up. Which datagrams belong
//! to it is for [`Mux`](super::Mux) to find out; how fast it may send, for [`Ledbat`].

use core::net::SocketAddr;
use core::time::Duration;

use machine::Instant;

use super::Config;
use super::batch::Batch;
use super::delay::DelayHistory;
use super::half_open::HalfOpen;
use super::ledbat::Ledbat;
use super::mtu::{self, PathMtu};
use super::packet::{self, HEADER_LEN, HELLO_LEN, Header, Kind, Packet};
use super::receive_buffer::{Arrival, ReceiveBuffer};
use super::rtt::Rtt;
use super::send_buffer::{Losses, MAX_PACKETS, SendBuffer};
use super::seq::SeqNr;

/// Retransmissions of a SYN before the connection fails, after 3, 6 and 12 seconds.
const SYN_RETRIES: u32 = 2;
/// Timeouts in a row, each twice as long as the one before, until the other end is given up.
const MAX_TIMEOUTS: u32 = 7;
/// Silence after which a packet is sent to keep address translators from forgetting us.
const KEEPALIVE: Duration = Duration::from_secs(29);
/// How long a closed connection may take to deliver what was written.
const MAX_LINGER: Duration = Duration::from_secs(120);
/// How long a closed connection that has delivered all waits for the other end to close.
const CLOSE_WAIT: Duration = Duration::from_secs(5);
/// How long a finished connection stays to acknowledge a repeated FIN.
const TIME_WAIT: Duration = Duration::from_secs(2);
/// Duplicate acknowledgements that make the oldest packet lost.
const DUPLICATE_ACKS: u8 = 3;
/// Least room for bytes that are written.
const MIN_SEND_BUFFER: usize = 64 << 10;
/// Most change of the other end's base delay that passes for drift of its clock, microseconds.
const MAX_DRIFT: u32 = 10_000;

/// Why a connection is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// Both ends have closed it and everything has arrived.
    #[error("the connection was closed")]
    Finished,
    /// The other end does not know it, or has closed it by force.
    #[error("the peer reset the connection")]
    Reset,
    /// The other end does not answer.
    #[error("the peer does not answer")]
    TimedOut,
    /// This end has closed it by force.
    #[error("the connection was aborted")]
    Aborted,
}

/// What has changed for the user of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// The other end has answered for the first time.
    pub connected: bool,
    /// There are bytes to read, or the stream has ended.
    pub readable: bool,
    /// There is room to write, after there was not enough.
    pub writable: bool,
    /// It is over; [`Connection::close_reason`] says why.
    pub closed: bool,
}

impl Events {
    /// Whether anything has changed.
    #[must_use]
    pub const fn any(&self) -> bool {
        self.connected || self.readable || self.writable || self.closed
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// `sent` is when the SYN went out, if only once.
    SynSent {
        syn: SeqNr,
        due: bool,
        sent: Option<Instant>,
    },
    Open,
    Closed(CloseReason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fin {
    No,
    Wanted,
    Sent(SeqNr),
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    peer: SocketAddr,
    receive_id: u16,
    send_id: u16,
    state: State,
    fin: Fin,
    send: SendBuffer,
    receive: ReceiveBuffer,
    max_send: usize,
    ledbat: Ledbat,
    rtt: Rtt,
    mtu: PathMtu,
    interface_mtu: usize,
    /// Number of the probe in flight.
    probe: Option<SeqNr>,
    /// Number of the last packet that was not full (Nagle).
    small: Option<SeqNr>,
    /// Delay of our packets, as the other end measures it.
    our_delay: DelayHistory,
    /// Delay of its packets, as we do.
    their_delay: DelayHistory,
    /// What the other end is told of the delay of its last packet.
    reply_micros: u32,
    peer_window: usize,
    /// Losses of transmissions before this one are part of a loss that has been answered.
    recovery: u64,
    duplicate_acks: u8,
    timeouts: u32,
    /// Our window as the other end knows it.
    advertised: usize,
    ack_due: bool,
    reset_due: bool,
    /// The other end's window is full and it is time to ask.
    window_probe_due: bool,
    write_blocked: bool,
    retransmit_at: Option<Instant>,
    keepalive_at: Instant,
    linger_at: Option<Instant>,
    closing: bool,
    /// Both ends have delivered everything.
    finished: bool,
    events: Events,
}

impl Connection {
    /// Opens a connection: the SYN waits to be sent.
    pub(super) fn connect(
        now: Instant,
        config: &Config,
        peer: SocketAddr,
        receive_id: u16,
        syn: SeqNr,
    ) -> Self {
        let state = State::SynSent { syn, due: true, sent: None };
        let ids = (receive_id, receive_id.wrapping_add(1));
        Self::new(now, config, peer, ids, state, syn.next(), SeqNr(0), None)
    }

    /// Takes a connection whose other end has just answered our acknowledgement of its SYN.
    pub(super) fn accepted(
        now: Instant,
        config: &Config,
        peer: SocketAddr,
        receive_id: u16,
        half: &HalfOpen,
    ) -> Self {
        let ids = (receive_id, receive_id.wrapping_sub(1));
        Self::new(now, config, peer, ids, State::Open, half.seq_nr, half.syn, half.max_datagram)
    }

    #[allow(clippy::too_many_arguments, reason = "private, and each is one fact of the handshake")]
    fn new(
        now: Instant,
        config: &Config,
        peer: SocketAddr,
        (receive_id, send_id): (u16, u16),
        state: State,
        seq_nr: SeqNr,
        ack_nr: SeqNr,
        peer_max: Option<u16>,
    ) -> Self {
        let interface_mtu = (config.interface_mtu)(peer);
        let mtu = PathMtu::new(&peer, interface_mtu, peer_max);
        Self {
            peer,
            receive_id,
            send_id,
            state,
            fin: Fin::No,
            send: SendBuffer::new(seq_nr),
            receive: ReceiveBuffer::new(ack_nr, config.receive_buffer),
            max_send: config.send_buffer,
            ledbat: Ledbat::new(mtu.size() - HEADER_LEN),
            rtt: Rtt::default(),
            mtu,
            interface_mtu,
            probe: None,
            small: None,
            our_delay: DelayHistory::default(),
            their_delay: DelayHistory::default(),
            reply_micros: 0,
            peer_window: 0,
            recovery: 0,
            duplicate_acks: 0,
            timeouts: 0,
            advertised: config.receive_buffer,
            ack_due: false,
            reset_due: false,
            window_probe_due: false,
            write_blocked: false,
            retransmit_at: None,
            keepalive_at: now + KEEPALIVE,
            linger_at: None,
            closing: false,
            finished: false,
            events: Events::default(),
        }
    }

    /// The other end.
    #[must_use]
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The number that packets to this end carry.
    #[must_use]
    pub const fn receive_id(&self) -> u16 {
        self.receive_id
    }

    /// The number that packets from this end carry.
    #[must_use]
    pub const fn send_id(&self) -> u16 {
        self.send_id
    }

    /// Whether the other end has answered and the connection is not over.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Why it is over, if it is.
    #[must_use]
    pub const fn close_reason(&self) -> Option<CloseReason> {
        match self.state {
            State::Closed(why) => Some(why),
            _ => None,
        }
    }

    /// Bytes that may be in flight, as congestion control sees it.
    #[must_use]
    pub const fn congestion_window(&self) -> usize {
        self.ledbat.window()
    }

    /// The smoothed round-trip time, once measured.
    #[must_use]
    pub const fn round_trip(&self) -> Option<Duration> {
        self.rtt.smoothed()
    }

    /// Bytes of a full datagram.
    #[must_use]
    pub const fn datagram_size(&self) -> usize {
        self.mtu.size()
    }

    /// Whether everything written has been acknowledged by the other end; after
    /// [`shutdown`](Self::shutdown), the end of the stream as well.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.send.len() == 0 && self.send.packets() == 0 && self.fin != Fin::Wanted
    }

    /// Whether this end writes no more.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.fin != Fin::No
    }

    /// Takes bytes to send, and returns how many it took; less than all means that it is full, and
    /// [`Events::writable`] will tell when it no longer is.
    pub fn write(&mut self, data: &[u8]) -> usize {
        if self.fin != Fin::No || self.close_reason().is_some() {
            return 0;
        }
        let taken = self.send.write(data, self.send_capacity());
        self.write_blocked |= taken < data.len();
        taken
    }

    /// Whether [`write`](Self::write) would take anything; if not, [`Events::writable`] follows.
    pub fn poll_writable(&mut self) -> bool {
        let writable = self.send.len() < self.send_capacity();
        self.write_blocked |= !writable;
        writable
    }

    /// No more is written than twice what the path holds.
    fn send_capacity(&self) -> usize {
        (self.ledbat.window() * 2).clamp(MIN_SEND_BUFFER, self.max_send.max(MIN_SEND_BUFFER))
    }

    /// Moves bytes that have arrived into `out`, and returns how many. Zero means that none wait;
    /// [`at_end`](Self::at_end) tells whether more may come.
    pub fn read(&mut self, out: &mut [u8]) -> usize {
        let (front, back) = self.receive.readable();
        let first = front.len().min(out.len());
        out[..first].copy_from_slice(&front[..first]);
        let second = back.len().min(out.len() - first);
        out[first..first + second].copy_from_slice(&back[..second]);
        self.consume(first + second);
        first + second
    }

    /// Bytes that have arrived, in two parts; [`consume`](Self::consume) takes them away.
    #[must_use]
    pub fn readable(&self) -> (&[u8], &[u8]) {
        self.receive.readable()
    }

    /// Takes away the first `count` readable bytes.
    pub fn consume(&mut self, count: usize) {
        self.receive.consume(count);
        let window = self.receive.window();
        // The other end learns of room when it is worth a packet.
        if window >= self.advertised + (window + self.advertised) / 4 && self.is_open() {
            self.ack_due = true;
        }
    }

    /// Whether the other end has closed and all bytes before that have been read.
    #[must_use]
    pub fn at_end(&self) -> bool {
        self.receive.at_end()
    }

    /// Writes no more: the other end sees the end of the stream after all that was written.
    pub fn shutdown(&mut self) {
        if self.fin == Fin::No {
            self.fin = Fin::Wanted;
        }
    }

    /// Neither reads nor writes any more. What was written is still delivered.
    pub fn close(&mut self, now: Instant) {
        match self.state {
            State::SynSent { .. } => self.end(CloseReason::Aborted),
            State::Open => {
                self.shutdown();
                self.receive.discard();
                self.closing = true;
                // Once finished, a shorter wait has begun.
                self.linger_at.get_or_insert(now + MAX_LINGER);
                self.note_finish(now);
            }
            State::Closed(_) => {}
        }
    }

    /// Ends it at once and tells the other end.
    pub fn abort(&mut self) {
        if self.close_reason().is_none() {
            self.reset_due = self.is_open();
            self.end(CloseReason::Aborted);
        }
    }

    /// What has changed since this was last asked.
    pub fn take_events(&mut self) -> Events {
        core::mem::take(&mut self.events)
    }

    /// When [`on_timeout`](Self::on_timeout) wants to be called.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.close_reason().is_some() {
            return None;
        }
        let soon = [self.retransmit_at, self.linger_at].into_iter().flatten().min();
        Some(soon.map_or(self.keepalive_at, |soon| soon.min(self.keepalive_at)))
    }

    /// Whether [`transmit`](Self::transmit) may have something to write.
    pub(super) fn wants_to_send(&self) -> bool {
        self.ack_due
            || self.reset_due
            || self.fin == Fin::Wanted
            || self.send.unsent() > 0
            || self.send.first_lost().is_some()
            || matches!(self.state, State::SynSent { due: true, .. })
    }

    fn end(&mut self, why: CloseReason) {
        self.state = State::Closed(why);
        self.events.closed = true;
        self.events.readable = true;
        self.events.writable = true;
    }

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
    fn note_finish(&mut self, now: Instant) {
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

    /// A moment that [`next_timeout`](Self::next_timeout) named may have come.
    pub fn on_timeout(&mut self, now: Instant) {
        if self.close_reason().is_some() {
            return;
        }
        if self.linger_at.is_some_and(|at| at <= now) {
            let done = self.receive.ended() && self.is_flushed();
            self.reset_due = !done;
            return self.end(if done { CloseReason::Finished } else { CloseReason::Aborted });
        }
        if self.retransmit_at.is_some_and(|at| at <= now) {
            self.on_retransmit_timeout(now);
        }
        if self.keepalive_at <= now {
            self.ack_due |= self.is_open();
            self.keepalive_at = now + KEEPALIVE;
            self.receive.shrink();
        }
    }

    fn on_retransmit_timeout(&mut self, now: Instant) {
        let limit = if self.is_open() { MAX_TIMEOUTS } else { SYN_RETRIES };
        if self.timeouts >= limit {
            return self.end(CloseReason::TimedOut);
        }
        self.timeouts += 1;
        if let State::SynSent { due, .. } = &mut self.state {
            *due = true;
            self.rtt.back_off();
        } else if self.send.packets() > 0 {
            let losses = self.send.lose_all();
            if let Some(size) = losses.probe {
                self.mtu.on_lost(size);
                self.probe = None;
            }
            // With nothing but a probe in flight, its size is to blame.
            if losses.latest.is_some() || losses.probe.is_none() {
                self.ledbat.on_timeout(self.mss());
                self.recovery = self.send.next_order();
                self.rtt.back_off();
            }
        } else {
            self.window_probe_due = true;
            self.rtt.back_off();
        }
        self.retransmit_at = Some(now + self.rtt.timeout());
    }

    const fn mss(&self) -> usize {
        self.mtu.size() - HEADER_LEN
    }

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
pub(super) fn write_greeting(
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
