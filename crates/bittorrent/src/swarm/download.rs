//! Fetching: what peers have, what we ask of them, and what becomes of it.

use alloc::vec::Vec;

use codec::bitfield::Bitfield;
use machine::ConnId;

use super::message::{CloseReason, Effect, Event, limits};
use super::peer::{Has, Peer, Request};
use super::{Ctx, PeerContact, Swarm};
use crate::id::{Block, PieceIndex};
use crate::peer_wire::Frame;
use crate::picker::{PeerView, PieceSet, Received};
use crate::request_queue::speed;

impl<C: PeerContact> Swarm<C> {
    /// A peer has said all that it has: once, as its first message about pieces, or by a bitfield
    /// later on.
    pub(super) fn on_pieces(&mut self, conn: ConnId, said: Has, cx: &mut Ctx<'_, C>) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if core::mem::replace(&mut peer.said_pieces, true) {
            return match said {
                Has::Early { bits, .. } if !bits.is_empty() => self.on_more_pieces(conn, bits, cx),
                _ => self.close(conn, CloseReason::Protocol, cx),
            };
        }
        // When the content became known it was counted as one that has nothing.
        if let (Some(content), Has::Known(none)) = (&mut self.content, &peer.has) {
            content.picker.peer_left(&none.to_wire());
        }
        peer.has = said;
        if self.content.is_some() {
            self.settle_pieces(conn, cx);
        }
    }

    /// A late bitfield is news of several pieces in one message. One without news is unwanted.
    fn on_more_pieces(&mut self, conn: ConnId, bits: Vec<u8>, cx: &mut Ctx<'_, C>) {
        if self.content.is_some() {
            self.settle_pieces(conn, cx);
        }
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let known = match &mut peer.has {
            Has::Early { bits: earlier, .. } => return *earlier = bits,
            Has::Known(known) => known,
        };
        let Ok(said) = Bitfield::from_wire(&bits, known.len()) else {
            return self.close(conn, CloseReason::Protocol, cx);
        };
        let news: Vec<u32> = said.difference(known).collect();
        if news.is_empty() {
            return self.offence(conn, cx);
        }
        for piece in news {
            self.on_have_settled(conn, PieceIndex(piece), cx);
        }
    }

    /// Turns what a peer said before the piece count was known into a bitfield, and counts it.
    pub(super) fn settle_pieces(&mut self, conn: ConnId, cx: &mut Ctx<'_, C>) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&conn)) else {
            return;
        };
        let count = content.have.len();
        let bits = match &mut peer.has {
            Has::Known(_) => return,
            Has::Early { all: true, .. } => Bitfield::full(count),
            Has::Early { bits, haves, .. } => {
                let whole = if bits.is_empty() {
                    Ok(Bitfield::new(count))
                } else {
                    Bitfield::from_wire(bits, count)
                };
                let Ok(mut whole) = whole else {
                    return self.close(conn, CloseReason::Protocol, cx);
                };
                haves.iter().for_each(|piece| _ = whole.set(piece.0));
                whole
            }
        };
        if bits.all() {
            content.picker.seed_joined();
        } else {
            content.picker.peer_joined(&bits.to_wire());
        }
        peer.useful = content.count_useful(&bits);
        peer.has = Has::Known(bits);
        self.update_interest(conn, cx);
        self.close_if_useless(conn, cx);
    }

    /// A peer has one piece more.
    pub(super) fn on_have(&mut self, conn: ConnId, piece: PieceIndex, cx: &mut Ctx<'_, C>) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        peer.said_pieces = true;
        if self.content.is_none() {
            if let Has::Early { haves, .. } = &mut peer.has {
                // More than this before the metadata is here are learnt again from requests.
                if haves.len() < limits::KNOWN_MAX {
                    haves.push(piece);
                }
            }
            return;
        }
        self.settle_pieces(conn, cx);
        self.on_have_settled(conn, piece, cx);
    }

    fn on_have_settled(&mut self, conn: ConnId, piece: PieceIndex, cx: &mut Ctx<'_, C>) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&conn)) else {
            return;
        };
        let Has::Known(bits) = &mut peer.has else { return };
        if piece.0 >= bits.len() {
            return self.close(conn, CloseReason::Protocol, cx);
        }
        if bits.get(piece.0) {
            return;
        }
        bits.set(piece.0);
        if bits.all() {
            // From here on it counts as a seed, not piece by piece.
            let mut before = bits.clone();
            before.clear(piece.0);
            content.picker.peer_left(&before.to_wire());
            content.picker.seed_joined();
        } else {
            content.picker.peer_has(piece);
        }
        if content.picker.wanted_missing(piece) {
            peer.useful += 1;
        }
        self.update_interest(conn, cx);
        if let Some(reveal) = &mut self.super_seeding {
            for passed_on in reveal.peer_has(conn, piece) {
                self.reveal_more(passed_on, cx);
            }
        }
        self.close_if_useless(conn, cx);
    }

    /// A peer has one piece less (BEP 54).
    pub(super) fn on_dont_have(&mut self, conn: ConnId, piece: PieceIndex, cx: &mut Ctx<'_, C>) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&conn)) else {
            return;
        };
        let Has::Known(bits) = &mut peer.has else { return };
        if piece.0 >= bits.len() || !bits.get(piece.0) {
            return;
        }
        if bits.all() {
            content.picker.seed_left();
            bits.clear(piece.0);
            content.picker.peer_joined(&bits.to_wire());
        } else {
            bits.clear(piece.0);
            content.picker.peer_lost(piece);
        }
        if content.picker.wanted_missing(piece) {
            peer.useful = peer.useful.saturating_sub(1);
        }
        self.update_interest(conn, cx);
    }

    /// Says whether we are interested, if that has changed, and asks for blocks.
    pub(super) fn update_interest(&mut self, conn: ConnId, cx: &mut Ctx<'_, C>) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let interesting = peer.useful > 0;
        if interesting != peer.interesting {
            peer.interesting = interesting;
            peer.last_useful = cx.now();
            let frame = if interesting { Frame::Interested } else { Frame::NotInterested };
            cx.effect(Effect::Send(conn, frame));
        }
        if interesting {
            self.request_more(conn, cx);
        }
    }

    pub(super) fn on_choke(&mut self, conn: ConnId, choked: bool, cx: &mut Ctx<'_, C>) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&conn)) else {
            if let Some(peer) = self.peers.get_mut(&conn) {
                peer.chokes_us = choked;
            }
            return;
        };
        let was = core::mem::replace(&mut peer.chokes_us, choked);
        if !choked {
            if was {
                peer.queue.on_idle_end(cx.now());
                peer.last_block = cx.now();
            }
            return self.request_more(conn, cx);
        }
        if !peer.fast {
            // Without the fast extension a choke drops every open request (BEP 6 changes that).
            for request in peer.requests.drain(..) {
                content.picker.unrequest(request.block, conn);
            }
            self.others_may_request(conn, cx);
        }
    }

    pub(super) fn on_reject(&mut self, conn: ConnId, block: Block, cx: &mut Ctx<'_, C>) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&conn)) else {
            return;
        };
        let Some(at) = peer.requests.iter().position(|request| request.block == block) else {
            return self.offence(conn, cx);
        };
        let cancelled = peer.requests.remove(at).is_some_and(|request| request.given_up);
        // What was given up may have been asked for anew since.
        if !cancelled || !peer.requests.iter().any(|request| request.block == block) {
            content.picker.unrequest(block, conn);
        }
        if peer.chokes_us {
            peer.allowed_fast.retain(|&piece| piece != block.piece);
            return;
        }
        if cancelled {
            // What a cancel is answered by, if not by the block (BEP 6).
            return self.request_more(conn, cx);
        }
        // It is not choking and yet refuses: it does not have what it announced.
        if peer.offend() {
            return self.close(conn, CloseReason::Protocol, cx);
        }
        self.on_dont_have(conn, block.piece, cx);
        self.request_more(conn, cx);
    }

    /// Whether a block that a peer begins to send is one we still want.
    pub(super) fn wants_block(&mut self, conn: ConnId, block: Block, cx: &mut Ctx<'_, C>) -> bool {
        let (Some(content), Some(peer)) = (&self.content, self.peers.get_mut(&conn)) else {
            return false;
        };
        let Some(at) = peer.requests.iter().position(|request| request.block == block) else {
            // A cancelled request may cross the block on its way; anything more is an offence.
            self.wasted += u64::from(block.len);
            self.offence(conn, cx);
            return false;
        };
        if content.picker.awaits(block, conn) {
            return true;
        }
        peer.requests.remove(at);
        self.wasted += u64::from(block.len);
        self.request_more(conn, cx);
        false
    }

    /// A wanted block is here in full.
    pub(super) fn on_block(&mut self, conn: ConnId, block: Block, cx: &mut Ctx<'_, C>) {
        let now = cx.now();
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&conn)) else {
            return;
        };
        let at = peer.requests.iter().position(|request| request.block == block);
        let request = at.and_then(|at| peer.requests.remove(at));
        peer.downloaded += u64::from(block.len);
        peer.down.add(now, u64::from(block.len));
        peer.last_block = now;
        peer.last_useful = now;
        peer.snubbed = false;
        // A choke may have taken the request back while the block was on its way.
        peer.queue.on_block(now, block.len, request.map(|request| now - request.at));
        self.downloaded += u64::from(block.len);
        match content.picker.received(block, conn) {
            Received::Accepted { piece_complete, others } => {
                for &other in others.iter() {
                    self.cancel(other, block, cx);
                }
                if piece_complete {
                    cx.effect(Effect::Verify(block.piece));
                }
            }
            Received::AlreadyHave | Received::Unexpected => self.wasted += u64::from(block.len),
        }
        // What was given up and asked for anew is not needed twice.
        if request.is_some_and(|request| request.given_up) {
            self.cancel(conn, block, cx);
        }
        self.request_more(conn, cx);
    }

    /// Takes a request back because another peer was faster.
    fn cancel(&mut self, conn: ConnId, block: Block, cx: &mut Ctx<'_, C>) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        // The newest of them: what is older was given up.
        let Some(at) = peer.requests.iter().rposition(|request| request.block == block) else {
            return;
        };
        // With the fast extension the peer still answers, by the block or a reject (BEP 6).
        if peer.fast {
            peer.requests[at].given_up = true;
        } else {
            peer.requests.remove(at);
        }
        cx.effect(Effect::Send(conn, Frame::Cancel(block)));
    }

    /// Fills a peer's request queue.
    pub(super) fn request_more(&mut self, conn: ConnId, cx: &mut Ctx<'_, C>) {
        let now = cx.now();
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&conn)) else {
            return;
        };
        if self.stopped || !peer.interesting || (peer.chokes_us && peer.allowed_fast.is_empty()) {
            return;
        }
        let open = peer.requests.len();
        let depth = peer.queue.target_depth(now, open).min(peer.reqq);
        if open == 0 {
            peer.queue.on_idle_end(now);
        }
        // Refill in runs, so that requests of one run travel in one segment.
        if open >= depth || (open > 8 && open > depth - depth / 8) {
            return;
        }
        let Has::Known(bits) = &peer.has else { return };
        let view = PeerView {
            conn,
            has: PieceSet::Field(bits),
            choked_allows: peer.chokes_us.then_some(&peer.allowed_fast[..]),
            suggested: &peer.suggested,
            speed: speed(peer.down.per_second(now), content.info.piece_len),
        };
        let mut blocks = core::mem::take(&mut self.picked);
        let picked = content.picker.pick(&view, depth - open, &mut blocks);
        for block in blocks.drain(..) {
            peer.requests.push_back(Request { block, at: now, given_up: false });
            cx.effect(Effect::Send(conn, Frame::Request(block)));
        }
        self.picked = blocks;
        if let Some(piece) = picked.dropped {
            self.forget(piece, cx);
        }
    }

    /// A stalled piece was given up for another: nothing of it is awaited any more.
    fn forget(&mut self, piece: PieceIndex, cx: &mut Ctx<'_, C>) {
        for peer in self.peers.values_mut() {
            peer.requests
                .iter_mut()
                .filter(|request| request.block.piece == piece)
                .for_each(|request| request.given_up = true);
        }
        self.forget_departed();
        cx.effect(Effect::Forget(piece));
    }

    /// The driver may have memory for more pieces.
    pub(super) fn take_room(&mut self, cx: &mut Ctx<'_, C>) {
        if let Some(content) = &mut self.content {
            content.picker.forget_lack();
            self.others_may_request(ConnId(u32::MAX), cx);
        }
    }

    /// The driver's memory is short: another torrent needs what lies idle here.
    pub(super) fn give_room(&mut self, cx: &mut Ctx<'_, C>) {
        let stalled = self.content.as_mut().and_then(|content| content.picker.give_up_stalled());
        if let Some(piece) = stalled {
            self.forget(piece, cx);
        }
    }

    /// What has come of `piece` is of no use any more.
    pub(super) fn give_up(&mut self, piece: PieceIndex, cx: &mut Ctx<'_, C>) {
        if let Some(content) = &mut self.content {
            content.picker.give_up(piece);
            self.forget(piece, cx);
        }
    }

    /// Blocks have come free: others may take them over.
    pub(super) fn others_may_request(&mut self, except: ConnId, cx: &mut Ctx<'_, C>) {
        let mut open = core::mem::take(&mut self.scratch_conns);
        let serving = self
            .peers
            .iter()
            .filter(|(conn, peer)| **conn != except && peer.interesting && !peer.chokes_us);
        open.extend(serving.map(|(conn, _)| *conn));
        cx.rng().shuffle(&mut open);
        for conn in open.drain(..) {
            self.request_more(conn, cx);
        }
        self.scratch_conns = open;
    }

    /// A piece is verified and stored, or is false.
    pub(super) fn on_piece_verified(&mut self, piece: PieceIndex, ok: bool, cx: &mut Ctx<'_, C>) {
        let Some(content) = self.content.as_ref().filter(|content| !content.have.get(piece.0))
        else {
            return;
        };
        // A piece that came by another way may be asked for still.
        let open: Vec<(Block, ConnId)> = content.picker.requests(piece).collect();
        for (block, conn) in open {
            self.cancel(conn, block, cx);
        }
        let Some(content) = &mut self.content else { return };
        let was_useful = content.picker.wanted_missing(piece);
        content.picker.on_verified(piece, ok);
        self.forget_departed();
        let Some(content) = &mut self.content else { return };
        if !ok {
            let bytes = u64::from(content.info.data_size(piece));
            self.wasted += bytes;
            self.corrupt += bytes;
            cx.emit(Event::Corrupt(piece));
            return self.others_may_request(ConnId(u32::MAX), cx);
        }
        content.have.set(piece.0);
        cx.emit(Event::Piece(piece));
        let mut changed = core::mem::take(&mut self.scratch_conns);
        for (&conn, peer) in &mut self.peers {
            if !peer.is_ready() {
                continue;
            }
            if was_useful && peer.has(piece) {
                peer.useful = peer.useful.saturating_sub(1);
                if peer.useful == 0 {
                    changed.push(conn);
                }
            }
            // A seed has no use for the news; others count our progress by it.
            if !peer.is_seed() && self.super_seeding.is_none() {
                cx.effect(Effect::Send(conn, Frame::Have(piece)));
            }
        }
        for conn in changed.drain(..) {
            self.update_interest(conn, cx);
        }
        self.scratch_conns = changed;
        // Its memory is free again: requests that waited for it can go out.
        self.others_may_request(ConnId(u32::MAX), cx);
        if was_useful && self.is_complete() {
            self.completed(cx);
        }
    }

    /// All that is wanted is here.
    pub(super) fn completed(&mut self, cx: &mut Ctx<'_, C>) {
        cx.emit(Event::Complete);
        self.tell_upload_only(cx);
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in conns {
            self.close_if_useless(conn, cx);
        }
    }

    /// Gives a leaving or silent peer's open requests back to the picker.
    pub(super) fn release_requests(&mut self, peer: &mut Peer<C>, conn: ConnId) {
        let Some(content) = &mut self.content else { return };
        for request in peer.requests.drain(..) {
            content.picker.unrequest(request.block, conn);
        }
    }
}
