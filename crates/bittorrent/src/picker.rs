//! Which blocks to ask of which peer: pieces that are begun first, then rarest first, at random
//! where there is no other reason, and near the end the same block of several peers.
//!
//! The picker knows pieces, blocks and connections. When to ask, how much at once
//! ([`crate::request_queue`]) and what became of bytes is not here.

mod layout;
mod order;
mod partial;
mod pick;
mod view;

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use machine::{ConnId, Rng};

use crate::id::{Block, PieceIndex};
use order::Order;
use partial::{Partial, Partials};

pub use layout::Layout;
pub use partial::{Conns, MAX_REQUESTS_PER_BLOCK};
pub use view::{PeerView, PieceSet, Priority, Speed};

/// What became of a block that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Nobody asked this connection for it: discard it and count it as waste.
    Unexpected,
    /// It was asked for, but is here already: discard it.
    AlreadyHave,
    /// Keep it.
    Accepted {
        /// Whether the piece now waits to be verified.
        piece_complete: bool,
        /// Other connections it was asked of: send them `cancel`.
        others: Conns,
    },
}

/// What a pick did besides adding blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Picked {
    /// How many blocks were added.
    pub blocks: usize,
    /// A stalled piece given up to make room for another: its bytes may be forgotten, and late
    /// requests for its blocks are.
    pub dropped: Option<PieceIndex>,
}

/// What the pieces that are begun take of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PieceMemory {
    /// Bytes of the pieces that are begun, received or not.
    pub bytes: u64,
    /// Pieces that were ever begun.
    pub begun: u64,
    /// Whether a peer could be asked for a piece that the budget had no room for.
    pub lacks: bool,
}

/// How far a piece that is begun has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The piece.
    pub piece: PieceIndex,
    /// Its blocks.
    pub blocks: u32,
    /// Blocks received.
    pub received: u32,
    /// Blocks asked of somebody and not received.
    pub requested: u32,
}

/// In which order pieces are begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PieceOrder {
    /// The first few at random, then those that the fewest peers have (Cohen 2003).
    #[default]
    RarestFirst,
    /// At random, whoever has them: what rarest first is measured against.
    Random,
    /// From the first to the last, whatever their priority.
    Sequential,
}

/// Which pieces and blocks are had, wanted, asked for and received in one torrent.
pub struct Picker {
    layout: Layout,
    order: Order,
    partials: Partials,
    /// Connected peers, seeds not counted.
    peers: u32,
    partial_budget: u64,
    /// Pieces ever begun.
    begun: u64,
    /// No room was found for another piece since one was begun.
    lacks: bool,
    piece_order: PieceOrder,
    deadlines: BTreeSet<(u32, PieceIndex)>,
    deadline_of: BTreeMap<PieceIndex, u32>,
    /// Places of partial pieces by merit, kept to spare allocations.
    ranked: Vec<(u64, u32)>,
}

impl Picker {
    /// A picker that has nothing and wants everything.
    #[must_use]
    pub fn new(layout: Layout, rng: &mut Rng) -> Self {
        Self {
            order: Order::new(layout.piece_count(), Rng::new(rng.next_u64())),
            layout,
            partials: Partials::default(),
            peers: 0,
            partial_budget: u64::MAX,
            begun: 0,
            lacks: false,
            piece_order: PieceOrder::RarestFirst,
            deadlines: BTreeSet::new(),
            deadline_of: BTreeMap::new(),
            ranked: Vec::new(),
        }
    }

    /// The sizes of pieces.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Sets how many bytes the pieces that are begun may have together. Unlimited at first. Below
    /// what they have already nothing is lost, and nothing new is begun.
    pub const fn set_partial_budget(&mut self, bytes: u64) {
        self.partial_budget = bytes;
    }

    /// Sets how much `piece` is wanted.
    pub fn set_priority(&mut self, piece: PieceIndex, priority: Priority) {
        self.order.set_priority(piece, priority);
        if let Some(place) = self.order.partial(piece) {
            self.refresh(place);
        }
    }

    /// How much `piece` is wanted.
    #[must_use]
    pub fn priority(&self, piece: PieceIndex) -> Priority {
        self.order.priority(piece)
    }

    /// Sets in which order pieces are begun.
    pub const fn set_piece_order(&mut self, order: PieceOrder) {
        self.piece_order = order;
    }

    /// Makes `piece` urgent: urgent pieces go before all others, those of lower `order` first.
    /// `None` takes that back.
    pub fn set_deadline(&mut self, piece: PieceIndex, order: Option<u32>) {
        if let Some(old) = self.deadline_of.remove(&piece) {
            self.deadlines.remove(&(old, piece));
        }
        if let Some(order) = order.filter(|_| piece.0 < self.order.piece_count()) {
            self.deadline_of.insert(piece, order);
            self.deadlines.insert((order, piece));
        }
    }

    /// Gives up what has come of `piece`, unless it waits to be verified.
    pub fn give_up(&mut self, piece: PieceIndex) {
        let place = self.order.partial(piece);
        if let Some(place) = place.filter(|&place| !self.partials.at(place).is_complete()) {
            self.close(place);
        }
    }

    /// No piece is urgent any more.
    pub fn clear_deadlines(&mut self) {
        self.deadlines.clear();
        self.deadline_of.clear();
    }

    /// `piece` is here and verified, wherever it came from. Requests for its blocks are forgotten.
    pub fn set_have(&mut self, piece: PieceIndex) {
        if let Some(place) = self.order.partial(piece) {
            self.close(place);
        }
        self.order.set_have(piece, true);
        self.set_deadline(piece, None);
    }

    /// `piece` was had and is gone.
    pub fn lost(&mut self, piece: PieceIndex) {
        self.order.set_have(piece, false);
    }

    /// A peer that has these pieces, most significant bit first, has joined.
    pub fn peer_joined(&mut self, pieces: &[u8]) {
        self.peers = self.peers.saturating_add(1);
        self.order.change_set(pieces, true);
    }

    /// A peer that had these pieces has left.
    pub fn peer_left(&mut self, pieces: &[u8]) {
        self.peers = self.peers.saturating_sub(1);
        self.order.change_set(pieces, false);
    }

    /// A peer that has every piece has joined.
    pub fn seed_joined(&mut self) {
        self.order.change_seeds(true);
    }

    /// A peer that had every piece has left.
    pub fn seed_left(&mut self) {
        self.order.change_seeds(false);
    }

    /// A peer that is counted by [`peer_joined`](Self::peer_joined) now has `piece` too. When it
    /// has all, count it anew: out with [`peer_left`](Self::peer_left), in as a seed.
    pub fn peer_has(&mut self, piece: PieceIndex) {
        self.order.change_piece(piece, true);
    }

    /// Undoes [`peer_has`](Self::peer_has).
    pub fn peer_lost(&mut self, piece: PieceIndex) {
        self.order.change_piece(piece, false);
    }

    /// How many peers are connected, seeds included.
    #[cfg(test)]
    pub(crate) fn peer_count(&self) -> u32 {
        self.peers + self.order.seeds()
    }

    /// How many connected peers have `piece`.
    #[must_use]
    pub fn availability(&self, piece: PieceIndex) -> u32 {
        self.order.availability(piece)
    }

    /// Whether we have `piece`.
    #[must_use]
    pub fn has(&self, piece: PieceIndex) -> bool {
        self.order.has(piece)
    }

    /// How many pieces we have.
    #[must_use]
    pub const fn have_count(&self) -> u32 {
        self.order.have_count()
    }

    /// Whether `piece` is wanted and missing.
    #[must_use]
    pub fn wanted_missing(&self, piece: PieceIndex) -> bool {
        self.order.is_wanted_missing(piece)
    }

    /// How many wanted pieces are missing.
    #[must_use]
    pub const fn missing_wanted(&self) -> u32 {
        self.order.missing_count()
    }

    /// Whether no wanted piece is missing.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.order.missing_count() == 0
    }

    /// Whether a peer has a piece that is wanted and missing.
    #[must_use]
    pub fn is_interesting(&self, pieces: PieceSet<'_>) -> bool {
        self.order.is_interesting(pieces)
    }

    /// Whether every missing block is asked of somebody, so that blocks may be asked of several.
    #[must_use]
    pub fn endgame(&self) -> bool {
        self.order.missing_count() > 0
            && self.order.listed() == 0
            && self.partials.open().is_empty()
    }

    /// The pieces that are begun, those that wait to be verified included.
    pub fn in_flight(&self) -> impl Iterator<Item = Progress> + '_ {
        self.partials.iter().map(|(_, partial)| {
            let blocks = partial.slots.len() as u32;
            let received = partial.received;
            let requested = blocks - received - partial.free;
            Progress { piece: partial.piece, blocks, received, requested }
        })
    }

    /// What the pieces that are begun take.
    #[must_use]
    pub const fn memory(&self) -> PieceMemory {
        PieceMemory { bytes: self.partials.bytes(), begun: self.begun, lacks: self.lacks }
    }

    /// There may be room now: whether any is still lacking the next picks will tell.
    pub const fn forget_lack(&mut self) {
        self.lacks = false;
    }

    /// Gives up a piece that nobody works on, the one of which the least has come: its bytes may be
    /// forgotten, and late requests for its blocks are.
    pub fn give_up_stalled(&mut self) -> Option<PieceIndex> {
        let place = self.stalled(|_| true)?;
        let piece = self.partials.at(place).piece;
        self.close(place);
        Some(piece)
    }

    /// The piece that nobody works on of which the least has come, of those that are worth it.
    fn stalled(&self, worth: impl Fn(&Partial) -> bool) -> Option<u32> {
        let stalled = self
            .partials
            .iter()
            .filter(|(_, partial)| partial.active == 0 && !partial.is_complete() && worth(partial));
        stalled.min_by_key(|(_, partial)| partial.received).map(|(place, _)| place)
    }

    /// Takes back the request of `block` to `conn`: it choked us, refused, or left.
    pub fn unrequest(&mut self, block: Block, conn: ConnId) {
        let Some((place, index)) = self.find(block) else { return };
        if self.partials.at_mut(place).unask(index, conn) {
            self.refresh(place);
        }
    }

    /// The request of `block` to `conn` has taken too long: others may be asked, though the block
    /// is still welcome from `conn` until [`unrequest`](Self::unrequest).
    pub fn timed_out(&mut self, block: Block, conn: ConnId) {
        let Some((place, index)) = self.find(block) else { return };
        self.partials.at_mut(place).mark_late(index, conn);
        self.refresh(place);
    }

    /// A block has arrived from `conn`.
    pub fn received(&mut self, block: Block, conn: ConnId) -> Received {
        if self.order.has(block.piece) && self.layout.block_index(block).is_some() {
            return Received::AlreadyHave;
        }
        let Some((place, index)) = self.find(block) else { return Received::Unexpected };
        let partial = self.partials.at_mut(place);
        let slot = &partial.slots[index as usize];
        if slot.is_received() {
            return Received::AlreadyHave;
        }
        if !slot.is_asked_of(conn) {
            return Received::Unexpected;
        }
        let others = partial.receive(index, conn);
        let piece_complete = partial.is_complete();
        self.refresh(place);
        Received::Accepted { piece_complete, others }
    }

    /// Whether `block`, asked of `conn` before, is still of use.
    #[must_use]
    pub fn awaits(&self, block: Block, conn: ConnId) -> bool {
        self.find(block).is_some_and(|(place, index)| {
            let slot = &self.partials.at(place).slots[index as usize];
            !slot.is_received() && slot.is_asked_of(conn)
        })
    }

    /// Who sent each block of `piece` that is received and not yet verified.
    pub fn contributors(&self, piece: PieceIndex) -> impl Iterator<Item = (Block, ConnId)> + '_ {
        let partial = self.order.partial(piece).map(|place| self.partials.at(place));
        partial.into_iter().flat_map(move |partial| {
            (0..).zip(&partial.slots).filter_map(move |(index, slot)| {
                slot.contributor().map(|conn| (self.layout.block(piece, index), conn))
            })
        })
    }

    /// Whether a block from `conn` waits to be verified.
    #[must_use]
    pub fn has_contributed(&self, conn: ConnId) -> bool {
        let mut partials = self.partials.iter();
        partials.any(|(_, at)| at.slots.iter().any(|slot| slot.contributor() == Some(conn)))
    }

    /// Requests of `piece` that are open: the blocks, and whom they are asked of.
    pub fn requests(&self, piece: PieceIndex) -> impl Iterator<Item = (Block, ConnId)> + '_ {
        let partial = self.order.partial(piece).map(|place| self.partials.at(place));
        partial.into_iter().filter(|partial| partial.has_requests()).flat_map(move |partial| {
            (0..).zip(&partial.slots).flat_map(move |(index, slot)| {
                let block = self.layout.block(piece, index);
                slot.requests().iter().map(move |&conn| (block, conn))
            })
        })
    }

    /// `piece` was verified, or not: then all its blocks are free again. Ask
    /// [`contributors`](Self::contributors) before, to find who sent them.
    pub fn on_verified(&mut self, piece: PieceIndex, ok: bool) {
        if ok {
            self.set_have(piece);
        } else if let Some(place) = self.order.partial(piece) {
            self.partials.at_mut(place).reset();
            self.refresh(place);
        }
    }

    /// The partial piece that `block` belongs to, and its number in it.
    fn find(&self, block: Block) -> Option<(u32, u32)> {
        let index = self.layout.block_index(block)?;
        Some((self.order.partial(block.piece)?, index))
    }

    /// Brings the lists up to date after a change to the partial piece at `place`.
    fn refresh(&mut self, place: u32) {
        let piece = self.partials.at(place).piece;
        if self.partials.refresh(place, self.order.is_wanted_missing(piece)) {
            self.close(place);
        }
    }

    /// Makes the partial piece at `place` one that is not begun.
    fn close(&mut self, place: u32) {
        let piece = self.partials.at(place).piece;
        self.partials.close(place);
        self.order.set_partial(piece, None);
    }
}
