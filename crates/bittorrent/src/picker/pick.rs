//! The choice itself: from which piece a peer is asked for blocks, stage by stage.

use alloc::vec::Vec;

use super::view::{PeerView, Speed};
use super::{Picked, Picker, PieceOrder};
use crate::id::{Block, PieceIndex};

/// Pieces begun at random before rarest first: something to trade soon matters more (Cohen 2003).
const RANDOM_FIRST: u32 = 4;

/// Pieces begun beyond one and a half per peer.
const PARTIAL_SLACK: usize = 8;

/// Blocks weighed against each other in one pick near the end.
const ENDGAME_CANDIDATES: usize = 4096;

/// Missing blocks that a rank has room for.
const MAX_MISSING: u32 = 0x0fff_ffff;

/// Where picked blocks go.
struct Basket<'a> {
    out: &'a mut Vec<Block>,
    left: usize,
    dropped: Option<PieceIndex>,
    /// A piece could have been begun if there were room.
    lacks: bool,
}

impl Picker {
    /// Adds up to `want` blocks to `out` that `peer` shall be asked for, and marks them as asked
    /// of it.
    ///
    /// In order: urgent pieces; pieces that are begun; pieces it suggests; then, to begin, the
    /// first four at random and the others rarest first, or as [`PieceOrder`] says. Once every
    /// block is asked of somebody, blocks that others were asked for.
    pub fn pick(&mut self, peer: &PeerView<'_>, want: usize, out: &mut Vec<Block>) -> Picked {
        let before = out.len();
        let mut basket = Basket { out, left: want, dropped: None, lacks: false };
        self.pick_urgent(peer, &mut basket);
        let rarest = self.rarest_rank(peer);
        self.pick_begun(peer, rarest, peer.speed == Speed::Fast, &mut basket);
        self.begin_pieces(peer, &mut basket);
        self.pick_begun(peer, u64::MAX, false, &mut basket);
        self.begin_despite_limits(peer, before, &mut basket);
        self.lacks |= basket.lacks && basket.left > 0;
        self.pick_again(peer, &mut basket);
        Picked { blocks: basket.out.len() - before, dropped: basket.dropped }
    }

    /// Urgent pieces, most urgent first.
    fn pick_urgent(&mut self, peer: &PeerView<'_>, basket: &mut Basket<'_>) {
        if self.deadlines.is_empty() || basket.left == 0 {
            return;
        }
        // Taken out for the while, as beginning a piece does not change it.
        let deadlines = core::mem::take(&mut self.deadlines);
        for &(_, piece) in &deadlines {
            if basket.left == 0 {
                break;
            }
            if !peer.serves(piece) || !self.order.is_wanted_missing(piece) {
                continue;
            }
            match self.order.partial(piece) {
                Some(place) => self.take(place, peer, basket),
                None if self.fits(piece) => self.begin(piece, peer, basket),
                None => basket.lacks = true,
            }
        }
        self.deadlines = deadlines;
    }

    /// The rank that a begun piece must reach to go before a new one: what only few have is asked of
    /// them even if pieces that others have too are begun. Otherwise a seed would spend itself on
    /// what leechers could have from each other, and they would have nothing fresh to trade.
    fn rarest_rank(&mut self, peer: &PeerView<'_>) -> u64 {
        let settled =
            self.order.have_count() >= RANDOM_FIRST && self.piece_order == PieceOrder::RarestFirst;
        if !settled || self.order.listed() == 0 || self.partials.len() >= self.most_begun() {
            return u64::MAX;
        }
        self.next_piece(peer).map_or(u64::MAX, |piece| self.rank(piece, MAX_MISSING))
    }

    /// Orders pieces by priority, then rarest first, then by blocks missing.
    fn rank(&self, piece: PieceIndex, missing: u32) -> u64 {
        let priority = u64::from(7 - self.order.priority(piece).level());
        let availability = u64::from(self.order.availability(piece));
        priority << 60 | availability << 28 | u64::from(missing.min(MAX_MISSING))
    }

    /// Pieces that are begun, down to `least` in rank. Among equals those nearest to completion
    /// go first, but for slow peers those farthest from it, lest they hold up what is almost whole.
    fn pick_begun(&mut self, peer: &PeerView<'_>, least: u64, own: bool, basket: &mut Basket<'_>) {
        if basket.left == 0 || self.partials.open().is_empty() {
            return;
        }
        let mut ranked = core::mem::take(&mut self.ranked);
        ranked.clear();
        for &place in self.partials.open() {
            let partial = self.partials.at(place);
            if peer.serves(partial.piece) && (!own || partial.is_left_to(peer.conn)) {
                let missing = partial.missing();
                let slow = peer.speed == Speed::Slow;
                let missing = if slow { MAX_MISSING - missing.min(MAX_MISSING) } else { missing };
                let rank = self.rank(partial.piece, missing);
                if rank <= least {
                    ranked.push((rank, place));
                }
            }
        }
        ranked.sort_unstable();
        for &(_, place) in &ranked {
            if basket.left == 0 {
                break;
            }
            self.take(place, peer, basket);
        }
        self.ranked = ranked;
    }

    /// New pieces, as long as not too many are begun.
    fn begin_pieces(&mut self, peer: &PeerView<'_>, basket: &mut Basket<'_>) {
        let most = self.most_begun();
        while basket.left > 0 && self.order.listed() > 0 && self.partials.len() < most {
            match self.next_piece(peer) {
                Some(piece) if self.fits(piece) => self.begin(piece, peer, basket),
                Some(_) => return basket.lacks = true,
                None => return,
            }
        }
    }

    /// For a peer that found nothing to do: one new piece even if many are begun, and if memory is
    /// spent, in place of a piece that nobody works on.
    fn begin_despite_limits(
        &mut self,
        peer: &PeerView<'_>,
        before: usize,
        basket: &mut Basket<'_>,
    ) {
        if basket.left == 0 || basket.out.len() > before || self.order.listed() == 0 {
            return;
        }
        let Some(piece) = self.next_piece(peer) else { return };
        if !self.fits(piece) {
            let bytes = self.partials.bytes() + u64::from(self.layout.piece_size(piece));
            let most = self.partial_budget;
            let Some(place) = self.stalled(|partial| bytes - u64::from(partial.bytes) <= most)
            else {
                return basket.lacks = true;
            };
            basket.dropped = Some(self.partials.at(place).piece);
            self.close(place);
        }
        self.begin(piece, peer, basket);
    }

    /// Blocks already asked of others: those asked of the fewest, in pieces nearest to completion.
    fn pick_again(&mut self, peer: &PeerView<'_>, basket: &mut Basket<'_>) {
        if basket.left == 0 || !self.endgame() {
            return;
        }
        let mut ranked = core::mem::take(&mut self.ranked);
        ranked.clear();
        for (place, partial) in self.partials.iter() {
            if partial.is_complete()
                || !peer.serves(partial.piece)
                || !self.order.is_wanted_missing(partial.piece)
            {
                continue;
            }
            let missing = u64::from(partial.missing());
            for (index, slot) in (0u32..).zip(&partial.slots) {
                if slot.has_room() && !slot.is_asked_of(peer.conn) {
                    let rank = u64::from(slot.active()) << 56 | missing << 28 | u64::from(index);
                    ranked.push((rank, place));
                }
            }
            if ranked.len() >= ENDGAME_CANDIDATES {
                break;
            }
        }
        ranked.sort_unstable();
        for &(rank, place) in ranked.iter().take(basket.left) {
            let index = (rank & 0x0fff_ffff) as u32;
            let partial = self.partials.at_mut(place);
            partial.ask(index, peer.conn);
            basket.out.push(self.layout.block(partial.piece, index));
            basket.left -= 1;
        }
        self.ranked = ranked;
    }

    /// The piece to begin next with `peer`.
    fn next_piece(&mut self, peer: &PeerView<'_>) -> Option<PieceIndex> {
        let listed = |piece: &&PieceIndex| self.order.is_listed(**piece) && peer.serves(**piece);
        let named = peer.suggested.iter().find(listed);
        let named = named.or_else(|| peer.choked_allows?.iter().find(listed));
        if named.is_some() || peer.choked_allows.is_some() {
            return named.copied();
        }
        if self.piece_order == PieceOrder::Sequential {
            return self.order.lowest(peer.has);
        }
        let random = self.piece_order == PieceOrder::Random;
        if (random || self.order.have_count() < RANDOM_FIRST)
            && let Some(piece) = self.order.random(peer.has)
        {
            return Some(piece);
        }
        self.order.rarest(peer.has)
    }

    /// How many pieces may be begun.
    const fn most_begun(&self) -> usize {
        let peers = self.peers as usize + self.order.seeds() as usize;
        peers + peers / 2 + PARTIAL_SLACK
    }

    /// Whether memory allows to begin `piece`.
    fn fits(&self, piece: PieceIndex) -> bool {
        let bytes = self.partials.bytes() + u64::from(self.layout.piece_size(piece));
        bytes <= self.partial_budget
    }

    fn begin(&mut self, piece: PieceIndex, peer: &PeerView<'_>, basket: &mut Basket<'_>) {
        let blocks = self.layout.block_count(piece);
        let place = self.partials.begin(piece, blocks, self.layout.piece_size(piece));
        self.order.set_partial(piece, Some(place));
        (self.begun, self.lacks) = (self.begun + 1, false);
        self.take(place, peer, basket);
    }

    fn take(&mut self, place: u32, peer: &PeerView<'_>, basket: &mut Basket<'_>) {
        let partial = self.partials.at_mut(place);
        let (piece, before) = (partial.piece, basket.out.len());
        partial.take(peer.conn, basket.left, |index| {
            basket.out.push(self.layout.block(piece, index));
        });
        basket.left -= basket.out.len() - before;
        self.refresh(place);
    }
}
