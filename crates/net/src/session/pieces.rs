//! Unfinished pieces in memory: where the blocks of a piece land until it is verified.
//!
//! A block that is being received belongs to one connection, which may read from its socket
//! straight into the piece. Another connection that receives the same block (endgame) gathers it
//! apart. Nothing here knows sockets or files.

use std::collections::HashMap;
use std::io::IoSliceMut;

use bittorrent::id::{BLOCK_LEN, Block, PieceIndex};
use machine::ConnId;

use crate::disk::{BufferPool, PieceBuf};

/// Who fills a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Free,
    Claimed(ConnId),
    Filled,
}

/// A piece that is being filled.
struct Partial {
    buf: PieceBuf,
    slots: Vec<Slot>,
}

/// Where a connection should put a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Landing {
    /// Straight into the piece.
    InPlace,
    /// Apart, because another connection is filling the same block.
    Apart,
}

/// All unfinished pieces of a torrent.
pub(super) struct Pieces {
    partials: HashMap<PieceIndex, Partial>,
    pool: BufferPool,
}

/// A block whose range begins at a multiple of the block length, as every request of ours does.
fn slot_of(block: Block) -> usize {
    (block.begin / BLOCK_LEN) as usize
}

fn range_of(block: Block) -> core::ops::Range<usize> {
    block.begin as usize..(block.begin + block.len) as usize
}

impl Pieces {
    pub(super) fn new(pool: BufferPool) -> Self {
        Self { partials: HashMap::new(), pool }
    }

    /// Whether the next piece would find no memory.
    pub(super) fn is_full(&self, piece_len: u32) -> bool {
        self.pool.taken() + piece_len as usize > self.pool.limit()
    }

    /// Makes room for a block of a piece of `piece_len` bytes, of which `asked_len` come from peers
    /// and the rest is padding.
    pub(super) fn claim(
        &mut self,
        conn: ConnId,
        block: Block,
        piece_len: u32,
        asked_len: u32,
    ) -> Landing {
        if !self.partials.contains_key(&block.piece) {
            // How many pieces are open is the picker's to bound; reading waits while too many are
            // being verified. What comes all the same must have room.
            let mut buf = self.pool.take(piece_len as usize);
            // The rest is never sent to us; it is zeros, whatever the buffer held before.
            buf[asked_len as usize..].fill(0);
            let slots = vec![Slot::Free; piece_len.div_ceil(BLOCK_LEN) as usize];
            self.partials.insert(block.piece, Partial { buf, slots });
        }
        let partial = self.partials.get_mut(&block.piece);
        match partial.and_then(|partial| partial.slots.get_mut(slot_of(block))) {
            Some(slot @ Slot::Free) => {
                *slot = Slot::Claimed(conn);
                Landing::InPlace
            }
            Some(Slot::Claimed(by)) if *by == conn => Landing::InPlace,
            _ => Landing::Apart,
        }
    }

    /// Lets go of what a connection claimed and will not fill.
    pub(super) fn release(&mut self, conn: ConnId, block: Block) {
        if let Some(partial) = self.partials.get_mut(&block.piece)
            && let Some(slot) = partial.slots.get_mut(slot_of(block))
            && *slot == Slot::Claimed(conn)
        {
            *slot = Slot::Free;
        }
    }

    /// The rest of a claimed block from `filled` on.
    pub(super) fn rest_of(&mut self, block: Block, filled: usize) -> Option<&mut [u8]> {
        let partial = self.partials.get_mut(&block.piece)?;
        partial.buf.get_mut(range_of(block))?.get_mut(filled..)
    }

    /// Marks a block as here; `apart` are its bytes if they were gathered apart. Whether it was
    /// still missing.
    pub(super) fn fill(&mut self, block: Block, apart: Option<&[u8]>) -> bool {
        let Some(partial) = self.partials.get_mut(&block.piece) else { return false };
        let Some(slot) = partial.slots.get_mut(slot_of(block)) else { return false };
        if *slot == Slot::Filled {
            return false;
        }
        if let Some(bytes) = apart {
            let Some(room) = partial.buf.get_mut(range_of(block)) else { return false };
            room.copy_from_slice(bytes);
        }
        *slot = Slot::Filled;
        true
    }

    /// Takes a whole piece out, to be verified.
    pub(super) fn take(&mut self, piece: PieceIndex) -> Option<PieceBuf> {
        self.partials.remove(&piece).map(|partial| partial.buf)
    }

    /// Forgets an unfinished piece.
    pub(super) fn forget(&mut self, piece: PieceIndex) {
        self.partials.remove(&piece);
    }

    /// Hands `read` the buffers of `first` (from `filled` on) and of the blocks that should follow
    /// it, each behind a 13-byte head of its own, all of them claimed in place before.
    ///
    /// Blocks of one piece must follow each other in ascending order; those of different pieces
    /// must not interleave.
    pub(super) fn scatter<R>(
        &mut self,
        first: Option<(Block, usize)>,
        next: &[Block],
        heads: &mut [[u8; 13]],
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> R,
    ) -> R {
        let mut order: Vec<PieceIndex> = Vec::with_capacity(4);
        for piece in first.iter().map(|(block, _)| block.piece).chain(next.iter().map(|b| b.piece))
        {
            if order.last() != Some(&piece) {
                order.push(piece);
            }
        }
        // Taken out for the call, so that several pieces can be borrowed at once.
        let mut taken: Vec<(PieceIndex, Partial)> =
            order.iter().filter_map(|piece| self.partials.remove_entry(piece)).collect();
        let result = {
            let mut slices: Vec<IoSliceMut<'_>> = Vec::with_capacity(2 * next.len() + 1);
            let mut heads = heads.iter_mut();
            let mut first = first;
            let mut next = next.iter().copied().peekable();
            for (piece, partial) in &mut taken {
                let mut rest: &mut [u8] = &mut partial.buf;
                let mut at = 0;
                if let Some((block, filled)) = first.take_if(|(block, _)| block.piece == *piece) {
                    let range = range_of(block);
                    let (_, tail) = rest.split_at_mut(range.start + filled);
                    let (room, tail) = tail.split_at_mut(range.len() - filled);
                    slices.push(IoSliceMut::new(room));
                    (rest, at) = (tail, range.end);
                }
                while let Some(block) = next.next_if(|block| block.piece == *piece) {
                    let range = range_of(block);
                    let (_, tail) = rest.split_at_mut(range.start - at);
                    let (room, tail) = tail.split_at_mut(range.len());
                    if let Some(head) = heads.next() {
                        slices.push(IoSliceMut::new(head));
                    }
                    slices.push(IoSliceMut::new(room));
                    (rest, at) = (tail, range.end);
                }
            }
            read(&mut slices)
        };
        self.partials.extend(taken);
        result
    }
}
