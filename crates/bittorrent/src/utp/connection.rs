//! One connection: what arrives for it, what it sends and when it gives up. Which datagrams belong
//! to it is for [`Mux`](super::Mux) to find out; how fast it may send, for [`Ledbat`]. Here are its
//! parts, what its user does with it, and its timeouts.

mod input;
mod output;

use core::net::SocketAddr;
use core::time::Duration;

use machine::Instant;

use super::Config;
use super::delay::DelayHistory;
use super::half_open::HalfOpen;
use super::ledbat::Ledbat;
use super::mtu::PathMtu;
use super::packet::HEADER_LEN;
use super::receive_buffer::ReceiveBuffer;
use super::rtt::Rtt;
use super::send_buffer::SendBuffer;
use super::seq::SeqNr;

pub(super) use output::write_greeting;

/// Retransmissions of a SYN before the connection fails, after 3, 6 and 12 seconds.
const SYN_RETRIES: u32 = 2;
/// Timeouts in a row, each twice as long as the one before, until the other end is given up.
const MAX_TIMEOUTS: u32 = 7;
/// The same once nobody here waits for the outcome.
const MAX_TIMEOUTS_CLOSED: u32 = 3;
/// Silence after which a packet is sent to keep address translators from forgetting us.
const KEEPALIVE: Duration = Duration::from_secs(29);
/// How long a closed connection may take to deliver what was written.
const MAX_LINGER: Duration = Duration::from_secs(120);
/// How long a closed connection that has delivered all waits for the other end to close.
const CLOSE_WAIT: Duration = Duration::from_secs(5);
/// How long a finished connection stays to acknowledge a repeated FIN.
const TIME_WAIT: Duration = Duration::from_secs(2);
/// Least room for bytes that are written.
const MIN_SEND_BUFFER: usize = 64 << 10;

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
        Self::new(now, config, peer, ids, state, (syn.next(), SeqNr(0)), None)
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
        let numbers = (half.seq_nr, half.syn);
        Self::new(now, config, peer, ids, State::Open, numbers, half.max_datagram)
    }

    /// `seq_nr` is that of our next packet, `ack_nr` that of its last one.
    fn new(
        now: Instant,
        config: &Config,
        peer: SocketAddr,
        (receive_id, send_id): (u16, u16),
        state: State,
        (seq_nr, ack_nr): (SeqNr, SeqNr),
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
        let limit = match self.state {
            State::SynSent { .. } => SYN_RETRIES,
            _ if self.closing => MAX_TIMEOUTS_CLOSED,
            _ => MAX_TIMEOUTS,
        };
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
}
