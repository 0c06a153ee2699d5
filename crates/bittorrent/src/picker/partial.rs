//! Pieces that are begun: which of their blocks are asked of whom, received from whom, or free.
//! Which of them to go on with is decided elsewhere.

use alloc::vec::Vec;
use core::ops::Deref;

use machine::ConnId;

use crate::id::PieceIndex;

/// Connections that one block may be asked of at once.
pub const MAX_REQUESTS_PER_BLOCK: usize = 3;

const NOWHERE: u32 = u32::MAX;

/// A few connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conns {
    conns: [ConnId; MAX_REQUESTS_PER_BLOCK],
    len: u8,
}

impl Conns {
    const NONE: Self = Self { conns: [ConnId(0); MAX_REQUESTS_PER_BLOCK], len: 0 };
}

impl Deref for Conns {
    type Target = [ConnId];

    fn deref(&self) -> &[ConnId] {
        &self.conns[..usize::from(self.len)]
    }
}

/// One block of a partial piece.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    /// Whom it is asked of; once received, whom it came from.
    asked: Conns,
    /// Which of `asked` have let their time pass, as bits.
    stale: u8,
    received: bool,
}

impl Slot {
    const FREE: Self = Self { asked: Conns::NONE, stale: 0, received: false };

    /// Requests that may still be answered in time.
    pub fn active(&self) -> u32 {
        u32::from(self.asked.len) - self.stale.count_ones()
    }

    pub fn is_free(&self) -> bool {
        !self.received && self.active() == 0
    }

    pub const fn is_received(&self) -> bool {
        self.received
    }

    pub fn is_asked_of(&self, conn: ConnId) -> bool {
        self.asked.contains(&conn)
    }

    /// Whom it came from, once received.
    pub fn contributor(&self) -> Option<ConnId> {
        if self.received { self.asked.first().copied() } else { None }
    }

    /// Whom it is asked of, until it is received.
    pub fn requests(&self) -> &[ConnId] {
        if self.received { &[] } else { &self.asked }
    }

    /// Whether one more connection may be asked: there is room, or a late one to forget.
    pub fn has_room(&self) -> bool {
        !self.received && (usize::from(self.asked.len) < MAX_REQUESTS_PER_BLOCK || self.stale != 0)
    }

    fn ask(&mut self, conn: ConnId) {
        if usize::from(self.asked.len) == MAX_REQUESTS_PER_BLOCK {
            self.forget(self.stale.trailing_zeros() as usize);
        }
        self.asked.conns[usize::from(self.asked.len)] = conn;
        self.asked.len += 1;
    }

    fn forget(&mut self, at: usize) {
        let len = usize::from(self.asked.len);
        if at < len {
            self.asked.conns.copy_within(at + 1..len, at);
            self.asked.len -= 1;
            let below = (1 << at) - 1;
            self.stale = self.stale & below | self.stale >> 1 & !below;
        }
    }
}

/// A piece that is begun.
pub(super) struct Partial {
    pub piece: PieceIndex,
    pub slots: Vec<Slot>,
    /// Blocks neither received nor asked of anybody who may still answer in time.
    pub free: u32,
    pub received: u32,
    /// Requests over all blocks, late ones included.
    asks: u32,
    /// Requests over all blocks that are not late.
    pub active: u32,
    /// No block before this one is free.
    hint: u32,
    /// The one connection that all requests so far went to.
    sole: Option<ConnId>,
    /// Where in the list of open pieces it is.
    open_at: u32,
    pub bytes: u32,
}

impl Partial {
    pub fn is_complete(&self) -> bool {
        self.received as usize == self.slots.len()
    }

    /// Blocks not received.
    pub fn missing(&self) -> u32 {
        self.slots.len() as u32 - self.received
    }

    /// Whether nobody but `conn` works on it.
    pub fn is_left_to(&self, conn: ConnId) -> bool {
        self.sole == Some(conn) || self.active == 0
    }

    /// Whether any block is asked of somebody and not received.
    pub const fn has_requests(&self) -> bool {
        self.asks > 0
    }

    /// Whether neither bytes nor requests would be lost with it.
    fn is_idle(&self) -> bool {
        self.received == 0 && self.asks == 0
    }

    /// Marks up to `want` free blocks as asked of `conn` and hands their indices to `each`.
    pub fn take(&mut self, conn: ConnId, want: usize, mut each: impl FnMut(u32)) {
        let mut left = want;
        let mut passed_free = false;
        for index in self.hint..self.slots.len() as u32 {
            if left == 0 || self.free == 0 {
                break;
            }
            let slot = &self.slots[index as usize];
            if slot.is_free() && !slot.is_asked_of(conn) {
                self.ask(index, conn);
                each(index);
                left -= 1;
            } else {
                passed_free |= slot.is_free();
            }
            if !passed_free {
                self.hint = index + 1;
            }
        }
    }

    /// Marks a block as asked of `conn`, be it free or asked of others.
    pub fn ask(&mut self, index: u32, conn: ConnId) {
        let slot = &mut self.slots[index as usize];
        let before = u32::from(slot.asked.len);
        self.free -= u32::from(slot.is_free());
        slot.ask(conn);
        self.active += 1;
        self.asks += u32::from(slot.asked.len) - before;
        if self.asks == 1 && self.received == 0 {
            self.sole = Some(conn);
        } else if self.sole != Some(conn) {
            self.sole = None;
        }
    }

    /// Takes a request back; whether there was one.
    pub fn unask(&mut self, index: u32, conn: ConnId) -> bool {
        let Some(slot) = self.slots.get_mut(index as usize).filter(|slot| !slot.received) else {
            return false;
        };
        let Some(at) = slot.asked.iter().position(|&asked| asked == conn) else { return false };
        let (was_free, was_active) = (slot.is_free(), slot.active());
        slot.forget(at);
        self.asks -= 1;
        self.active -= was_active - slot.active();
        if slot.is_free() && !was_free {
            self.free += 1;
        }
        self.hint = self.hint.min(index);
        true
    }

    /// Marks a request as late: others may be asked, though an answer is still welcome.
    pub fn mark_late(&mut self, index: u32, conn: ConnId) {
        let Some(slot) = self.slots.get_mut(index as usize).filter(|slot| !slot.received) else {
            return;
        };
        let Some(at) = slot.asked.iter().position(|&asked| asked == conn) else { return };
        let was_active = slot.active();
        slot.stale |= 1 << at;
        self.active -= was_active - slot.active();
        if slot.is_free() && was_active > 0 {
            self.free += 1;
        }
        self.hint = self.hint.min(index);
    }

    /// Marks a block as received from `conn`; the others it was asked of.
    pub fn receive(&mut self, index: u32, conn: ConnId) -> Conns {
        let slot = &mut self.slots[index as usize];
        self.free -= u32::from(slot.is_free());
        self.active -= slot.active();
        self.asks -= u32::from(slot.asked.len);
        self.received += 1;
        let mut others = Conns::NONE;
        for &asked in slot.asked.iter().filter(|&&asked| asked != conn) {
            others.conns[usize::from(others.len)] = asked;
            others.len += 1;
        }
        *slot = Slot { received: true, ..Slot::FREE };
        slot.ask(conn);
        others
    }

    /// Frees every block.
    pub fn reset(&mut self) {
        self.slots.fill(Slot::FREE);
        self.free = self.slots.len() as u32;
        (self.received, self.asks, self.active, self.hint) = (0, 0, 0, 0);
        self.sole = None;
    }
}

/// All pieces that are begun. Places of closed ones are used again, with their memory.
#[derive(Default)]
pub(super) struct Partials {
    places: Vec<Partial>,
    vacant: Vec<u32>,
    /// Places of wanted pieces that have free blocks.
    open: Vec<u32>,
    bytes: u64,
}

impl Partials {
    pub fn len(&self) -> usize {
        self.places.len() - self.vacant.len()
    }

    /// Bytes of all pieces begun, received or not.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn open(&self) -> &[u32] {
        &self.open
    }

    pub fn at(&self, place: u32) -> &Partial {
        &self.places[place as usize]
    }

    pub fn at_mut(&mut self, place: u32) -> &mut Partial {
        &mut self.places[place as usize]
    }

    /// Every piece begun, with its place.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Partial)> {
        (0..).zip(&self.places).filter(|(_, partial)| !partial.slots.is_empty())
    }

    pub fn begin(&mut self, piece: PieceIndex, blocks: u32, bytes: u32) -> u32 {
        self.bytes += u64::from(bytes);
        let mut slots = Vec::new();
        let place = self.vacant.pop().unwrap_or(self.places.len() as u32);
        if let Some(vacant) = self.places.get_mut(place as usize) {
            core::mem::swap(&mut vacant.slots, &mut slots);
        }
        slots.resize(blocks as usize, Slot::FREE);
        let partial = Partial {
            piece,
            slots,
            free: blocks,
            received: 0,
            asks: 0,
            active: 0,
            hint: 0,
            sole: None,
            open_at: NOWHERE,
            bytes,
        };
        if let Some(vacant) = self.places.get_mut(place as usize) {
            *vacant = partial;
        } else {
            self.places.push(partial);
        }
        place
    }

    pub fn close(&mut self, place: u32) {
        self.set_open(place, false);
        let partial = &mut self.places[place as usize];
        self.bytes -= u64::from(partial.bytes);
        partial.slots.clear();
        self.vacant.push(place);
    }

    /// Brings the list of open pieces up to date; whether the piece is idle and should be closed.
    pub fn refresh(&mut self, place: u32, wanted: bool) -> bool {
        let partial = self.at(place);
        let (open, idle) = (wanted && partial.free > 0, partial.is_idle());
        self.set_open(place, open);
        idle
    }

    fn set_open(&mut self, place: u32, open: bool) {
        let at = self.at(place).open_at;
        if open && at == NOWHERE {
            self.at_mut(place).open_at = self.open.len() as u32;
            self.open.push(place);
        } else if !open && at != NOWHERE {
            self.at_mut(place).open_at = NOWHERE;
            self.open.swap_remove(at as usize);
            if let Some(&moved) = self.open.get(at as usize) {
                self.at_mut(moved).open_at = at;
            }
        }
    }
}
