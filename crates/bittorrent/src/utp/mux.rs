//! All connections over one socket: which datagram belongs to which, who may open one, and whose
//! turn it is to send.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use machine::{Instant, Rng};

use super::batch::Batch;
use super::connection::{Connection, Events, write_greeting};
use super::half_open::{HalfOpens, Key};
use super::packet::{HELLO_LEN, Header, Kind, Packet, ParseError};
use super::seq::SeqNr;
use super::timers::Timers;
use super::{CloseReason, Config};

/// Answers to packets that belong to no connection, at most this many between transmissions.
const MAX_REPLIES: usize = 256;
/// Resets sent per second at most: strangers do not decide how much we send.
const MAX_RESETS_PER_SECOND: u32 = 100;
/// Tries to find a connection number that is free.
const ID_TRIES: usize = 64;

/// Names a connection of a [`Mux`]; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle {
    index: u32,
    generation: u32,
}

impl Handle {
    /// A small number that no other live connection of the same [`Mux`] has.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

/// Why a connection cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// [`Config::max_connections`] are open.
    #[error("too many uTP connections are open")]
    TooMany,
    /// All numbers that were tried are taken by connections to the same address.
    #[error("no uTP connection number is free for this address")]
    NoFreeId,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    connection: Option<Connection>,
    /// Waits in `dirty`.
    dirty: bool,
    /// Waits in `changed`.
    changed: bool,
    events: Events,
    /// Its user has let go of it.
    released: bool,
}

#[derive(Debug)]
struct Reply {
    to: SocketAddr,
    header: Header,
    hello: bool,
}

/// The connections of one socket.
#[derive(Debug)]
pub struct Mux {
    config: Config,
    rng: Rng,
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_key: BTreeMap<Key, u32>,
    /// The connection of the last datagram: the next is often for the same.
    last: Option<(Key, u32)>,
    half_open: HalfOpens,
    backlog: VecDeque<Handle>,
    timers: Timers,
    dirty: VecDeque<u32>,
    changed: VecDeque<u32>,
    replies: VecDeque<Reply>,
    resets_since: Instant,
    resets: u32,
}

impl Mux {
    /// A socket without connections. Connection numbers follow from `rng`, which the driver seeds
    /// from the system's randomness: they keep strangers out.
    #[must_use]
    pub fn new(config: Config, rng: Rng) -> Self {
        Self {
            config,
            rng,
            slots: Vec::new(),
            free: Vec::new(),
            by_key: BTreeMap::new(),
            last: None,
            half_open: HalfOpens::default(),
            backlog: VecDeque::new(),
            timers: Timers::default(),
            dirty: VecDeque::new(),
            changed: VecDeque::new(),
            replies: VecDeque::new(),
            resets_since: Instant::ZERO,
            resets: 0,
        }
    }

    /// How many connections there are, those included that only deliver their last bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there are no connections.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// If there are too many.
    pub fn connect(&mut self, now: Instant, to: SocketAddr) -> Result<Handle, ConnectError> {
        if self.by_key.len() >= self.config.max_connections {
            return Err(ConnectError::TooMany);
        }
        for _ in 0..ID_TRIES {
            let id = self.rng.next_u32() as u16;
            // The neighbours are what the other end may use for us, and what a reset may carry.
            let near = [id.wrapping_sub(1), id, id.wrapping_add(1)];
            if near.iter().any(|&id| self.by_key.contains_key(&(to, id))) {
                continue;
            }
            let syn = SeqNr(self.rng.next_u32() as u16);
            let connection = Connection::connect(now, &self.config, to, id, syn);
            return Ok(self.insert(connection));
        }
        Err(ConnectError::NoFreeId)
    }

    /// Whether [`accept`](Self::accept) has a connection.
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Takes the oldest connection that another end has opened.
    pub fn accept(&mut self) -> Option<Handle> {
        self.backlog.pop_front()
    }

    /// The connection, until it is over and released.
    #[must_use]
    pub fn connection(&self, handle: Handle) -> Option<&Connection> {
        let slot = self.slots.get(handle.index())?;
        if slot.generation == handle.generation { slot.connection.as_ref() } else { None }
    }

    /// Lets `act` read, write, shut down or abort the connection.
    pub fn with<R>(&mut self, handle: Handle, act: impl FnOnce(&mut Connection) -> R) -> Option<R> {
        let slot = self.slots.get_mut(handle.index())?;
        let connection =
            slot.connection.as_mut().filter(|_| slot.generation == handle.generation)?;
        let result = act(connection);
        // Reading is frequent and rarely leads to a packet.
        if connection.wants_to_send() || connection.close_reason().is_some() {
            self.touch(handle.index);
        }
        Some(result)
    }

    /// Its user lets go of the connection: what was written is delivered, then it is forgotten.
    pub fn release(&mut self, now: Instant, handle: Handle) {
        let found = self.with(handle, |connection| connection.close(now)).is_some();
        if found && let Some(slot) = self.slots.get_mut(handle.index()) {
            slot.released = true;
            self.touch(handle.index);
        }
    }

    /// Whether [`transmit`](Self::transmit) may have something to write.
    #[must_use]
    pub fn wants_to_send(&self) -> bool {
        !self.dirty.is_empty() || !self.replies.is_empty()
    }

    /// A connection about which something has changed since it was last returned here.
    pub fn next_change(&mut self) -> Option<(Handle, Events)> {
        while let Some(index) = self.changed.pop_front() {
            let slot = self.slots.get_mut(index as usize)?;
            slot.changed = false;
            let events = core::mem::take(&mut slot.events);
            if slot.connection.is_some() && events.any() {
                return Some((Handle { index, generation: slot.generation }, events));
            }
        }
        None
    }

    /// Takes in a datagram from the socket.
    ///
    /// # Errors
    /// If it is no uTP packet; nothing has happened then.
    pub fn on_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), ParseError> {
        let packet = Packet::parse(datagram)?;
        let header = &packet.header;
        if header.kind == Kind::Syn {
            self.on_syn(now, from, &packet, datagram.len());
            return Ok(());
        }
        let key = (from, header.connection_id);
        if let Some(index) = self.find(key) {
            self.deliver(now, index, &packet);
        } else if header.kind == Kind::Reset {
            self.on_stray_reset(now, from, &packet);
        } else if self.half_open.contains(&key) {
            self.on_confirmation(now, key, &packet);
        } else {
            self.reply_reset(now, from, header);
        }
        Ok(())
    }

    fn find(&mut self, key: Key) -> Option<u32> {
        match self.last {
            Some((last, index)) if last == key => Some(index),
            _ => {
                let index = *self.by_key.get(&key)?;
                self.last = Some((key, index));
                Some(index)
            }
        }
    }

    fn deliver(&mut self, now: Instant, index: u32, packet: &Packet<'_>) {
        if let Some(slot) = self.slots.get_mut(index as usize)
            && let Some(connection) = &mut slot.connection
        {
            connection.on_packet(now, packet);
            self.touch(index);
        }
    }

    /// `len` is the length of the datagram.
    fn on_syn(&mut self, now: Instant, from: SocketAddr, packet: &Packet<'_>, len: usize) {
        let header = &packet.header;
        let key = (from, header.connection_id.wrapping_add(1));
        // A SYN that repeats an open connection's is late, and any other is forged.
        if self.by_key.contains_key(&key)
            || self.by_key.len() >= self.config.max_connections
            || self.replies.len() >= MAX_REPLIES
        {
            return;
        }
        let seq_nr = SeqNr(self.rng.next_u32() as u16);
        let (syn, max) = (header.seq_nr, packet.max_datagram);
        let Some(half) = self.half_open.open(now, &self.config, key, syn, max, seq_nr) else {
            return;
        };
        let header = Header {
            kind: Kind::State,
            connection_id: header.connection_id,
            timestamp: now.as_micros_wrapping(),
            timestamp_difference: now.as_micros_wrapping().wrapping_sub(header.timestamp),
            window: u32::try_from(self.config.receive_buffer).unwrap_or(u32::MAX),
            seq_nr: half.seq_nr,
            ack_nr: half.syn,
        };
        // The answer is never longer than the question.
        let hello = packet.max_datagram.is_some() && len >= HELLO_LEN;
        self.replies.push_back(Reply { to: from, header, hello });
    }

    fn on_confirmation(&mut self, now: Instant, key: Key, packet: &Packet<'_>) {
        let Some(half) = self.half_open.confirm(now, key, packet.header.ack_nr) else { return };
        if self.backlog.len() >= self.config.max_backlog
            || self.by_key.len() >= self.config.max_connections
        {
            return self.reply_reset(now, key.0, &packet.header);
        }
        let connection = Connection::accepted(now, &self.config, key.0, key.1, &half);
        let handle = self.insert(connection);
        self.backlog.push_back(handle);
        self.deliver(now, handle.index, packet);
    }

    /// A reset from an end that has forgotten the connection carries the number it was sent.
    fn on_stray_reset(&mut self, now: Instant, from: SocketAddr, packet: &Packet<'_>) {
        let id = packet.header.connection_id;
        for receive_id in [id.wrapping_sub(1), id.wrapping_add(1)] {
            if let Some(&index) = self.by_key.get(&(from, receive_id))
                && let Some(slot) = self.slots.get(index as usize)
                && slot.connection.as_ref().is_some_and(|connection| connection.send_id() == id)
            {
                return self.deliver(now, index, packet);
            }
        }
    }

    fn reply_reset(&mut self, now: Instant, to: SocketAddr, about: &Header) {
        if now - self.resets_since >= Duration::from_secs(1) {
            (self.resets_since, self.resets) = (now, 0);
        }
        if self.resets >= MAX_RESETS_PER_SECOND || self.replies.len() >= MAX_REPLIES {
            return;
        }
        self.resets += 1;
        let header = Header {
            kind: Kind::Reset,
            connection_id: about.connection_id,
            timestamp: now.as_micros_wrapping(),
            timestamp_difference: 0,
            window: 0,
            seq_nr: SeqNr(self.rng.next_u32() as u16),
            ack_nr: about.seq_nr,
        };
        self.replies.push_back(Reply { to, header, hello: false });
    }

    /// When [`on_timeout`](Self::on_timeout) wants to be called.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Time has passed.
    pub fn on_timeout(&mut self, now: Instant) {
        while let Some(index) = self.timers.pop(now) {
            if let Some(slot) = self.slots.get_mut(index as usize)
                && let Some(connection) = &mut slot.connection
            {
                connection.on_timeout(now);
                self.touch(index);
            }
        }
    }

    /// Writes what may be sent now. Returns `true` if there is more and `batch` is full; once the
    /// driver has sent and cleared it, it calls again.
    pub fn transmit(&mut self, now: Instant, batch: &mut Batch) -> bool {
        while let Some(reply) = self.replies.front() {
            if !write_greeting(&reply.header, reply.hello, reply.to, batch) {
                return true;
            }
            self.replies.pop_front();
        }
        while let Some(index) = self.dirty.pop_front() {
            let Some(slot) = self.slots.get_mut(index as usize) else { continue };
            let Some(connection) = &mut slot.connection else {
                slot.dirty = false;
                continue;
            };
            if connection.transmit(now, batch) {
                // The others come first when there is room again.
                self.dirty.push_back(index);
                return true;
            }
            slot.dirty = false;
            self.timers.set(index, connection.next_timeout());
            if slot.released && connection.close_reason().is_some() {
                self.remove(index);
            }
        }
        false
    }

    fn insert(&mut self, connection: Connection) -> Handle {
        let key = (connection.peer(), connection.receive_id());
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.connection = Some(connection);
        slot.released = false;
        slot.events = Events::default();
        let handle = Handle { index, generation: slot.generation };
        self.by_key.insert(key, index);
        self.touch(index);
        handle
    }

    fn remove(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        if let Some(connection) = slot.connection.take() {
            self.by_key.remove(&(connection.peer(), connection.receive_id()));
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(index);
            self.last = None;
        }
    }

    /// Something has happened to a connection: it may have packets to send, or news.
    fn touch(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        let Some(connection) = &mut slot.connection else { return };
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push_back(index);
        }
        let events = connection.take_events();
        if events.any() {
            slot.events.connected |= events.connected;
            slot.events.readable |= events.readable;
            slot.events.writable |= events.writable;
            slot.events.closed |= events.closed;
            if !slot.changed {
                slot.changed = true;
                self.changed.push_back(index);
            }
        }
    }

    /// Why a connection is over, if it is; a connection that is gone was closed.
    #[must_use]
    pub fn close_reason(&self, handle: Handle) -> Option<CloseReason> {
        match self.connection(handle) {
            Some(connection) => connection.close_reason(),
            None => Some(CloseReason::Finished),
        }
    }
}
