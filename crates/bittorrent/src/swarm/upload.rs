//! Giving: who may request, what is queued for whom, and what is shown to them.

use alloc::vec::Vec;

use machine::{ConnId, Instant};

use super::message::{CloseReason, Effect, limits};
use super::{Ctx, PeerContact, Swarm};
use crate::choker;
use crate::extension::Extended;
use crate::id::{Block, PieceIndex};
use crate::peer_wire::Frame;

impl<C: PeerContact> Swarm<C> {
    pub(super) fn on_interested(&mut self, conn: ConnId, interested: bool, cx: &mut Ctx<'_, C>) {
        let now = cx.now();
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if core::mem::replace(&mut peer.interested, interested) == interested {
            return;
        }
        peer.last_useful = now;
        if interested {
            // A free slot need not wait for the next round.
            self.fill_free_slots(cx);
        } else if !peer.choked_by_us {
            self.set_choked(conn, true, cx);
            self.fill_free_slots(cx);
        }
    }

    pub(super) fn on_request(&mut self, conn: ConnId, block: Block, cx: &mut Ctx<'_, C>) {
        let (Some(content), Some(peer)) = (&self.content, self.peers.get_mut(&conn)) else {
            return self.offence(conn, cx);
        };
        let in_bounds = block.piece.0 < content.info.piece_count()
            && block.len > 0
            && block
                .begin
                .checked_add(block.len)
                .is_some_and(|end| end <= content.info.piece_size(block.piece));
        let have = in_bounds && content.have.get(block.piece.0);
        let allowed = !peer.choked_by_us || peer.granted_fast.contains(&block.piece);
        if have && allowed && peer.queued < limits::REQUESTS_IN_MAX {
            peer.queued += 1;
            peer.last_useful = cx.now();
            return cx.effect(Effect::SendBlock(conn, block));
        }
        // Requests cross a choke on the wire: choked ones are refused without blame.
        let blame = !in_bounds || !have || peer.queued >= limits::REQUESTS_IN_MAX;
        if peer.fast {
            cx.effect(Effect::Send(conn, Frame::Reject(block)));
        } else if !in_bounds {
            return self.close(conn, CloseReason::Protocol, cx);
        }
        if blame {
            self.offence(conn, cx);
        }
    }

    pub(super) fn on_cancel(&mut self, conn: ConnId, block: Block, cx: &mut Ctx<'_, C>) {
        cx.effect(Effect::DropBlock(conn, block));
    }

    /// A block has left.
    pub(super) fn on_block_sent(&mut self, conn: ConnId, block: Block, cx: &mut Ctx<'_, C>) {
        self.uploaded += u64::from(block.len);
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        peer.queued = peer.queued.saturating_sub(1);
        peer.uploaded += u64::from(block.len);
        peer.up.add(cx.now(), u64::from(block.len));
        peer.last_useful = cx.now();
    }

    /// A queued block was dropped: the fast extension owes the peer a reject (BEP 6).
    pub(super) fn on_block_dropped(&mut self, conn: ConnId, block: Block, cx: &mut Ctx<'_, C>) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        peer.queued = peer.queued.saturating_sub(1);
        if peer.fast {
            cx.effect(Effect::Send(conn, Frame::Reject(block)));
        }
    }

    pub(super) fn set_choked(&mut self, conn: ConnId, choked: bool, cx: &mut Ctx<'_, C>) {
        let now = cx.now();
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if peer.choked_by_us == choked {
            return;
        }
        peer.choked_by_us = choked;
        if choked {
            cx.effect(Effect::Send(conn, Frame::Choke));
            cx.effect(Effect::DropBlocks(conn, peer.granted_fast.clone()));
        } else {
            peer.unchoked_at = Some(now);
            cx.effect(Effect::Send(conn, Frame::Unchoke));
        }
    }

    /// The choker's view of every peer that is through its handshake.
    fn views(&self, now: Instant) -> Vec<choker::PeerView> {
        let ready = self.peers.iter().filter(|(_, peer)| peer.is_ready());
        ready
            .map(|(&conn, peer)| choker::PeerView {
                conn,
                interested: peer.interested,
                unchoked: !peer.choked_by_us,
                unchokes_us: !peer.chokes_us,
                connected_at: peer.opened,
                unchoked_at: peer.unchoked_at,
                received_rate: peer.down.per_second(now),
                sent_rate: peer.up.per_second(now),
                received: peer.downloaded,
                sent: peer.uploaded,
                snubbed: peer.snubbed,
            })
            .collect()
    }

    /// One round of the choker; called every [`choker::RECHOKE_INTERVAL`].
    pub(super) fn choke_round(&mut self, cx: &mut Ctx<'_, C>) {
        let (now, seeding) = (cx.now(), self.is_complete());
        if self.content.is_some() {
            let changes = self.choker.rechoke(now, seeding, &self.views(now), cx.rng());
            self.apply(changes, cx);
        }
    }

    /// Gives free slots away without waiting for the next round.
    pub(super) fn fill_free_slots(&mut self, cx: &mut Ctx<'_, C>) {
        let (now, seeding) = (cx.now(), self.is_complete());
        if self.content.is_some() {
            let changes = self.choker.fill(now, seeding, &self.views(now), cx.rng());
            self.apply(changes, cx);
        }
    }

    fn apply(&mut self, changes: choker::Changes, cx: &mut Ctx<'_, C>) {
        for conn in changes.choke {
            self.set_choked(conn, true, cx);
        }
        for conn in changes.unchoke {
            self.set_choked(conn, false, cx);
        }
    }

    /// Tells every peer whether we only upload from here on (BEP 21).
    pub(super) fn tell_upload_only(&mut self, cx: &mut Ctx<'_, C>) {
        for (&conn, peer) in &self.peers {
            if peer.extensions.upload_only {
                let told = Extended::UploadOnly(true);
                cx.effect(Effect::Send(conn, Frame::Extended(told)));
            }
        }
    }

    /// Shows pieces to peers that have passed on what they were shown before (BEP 16).
    pub(super) fn reveal_more(&mut self, conn: ConnId, cx: &mut Ctx<'_, C>) {
        let (Some(reveal), Some(peer)) = (&mut self.super_seeding, self.peers.get(&conn)) else {
            return;
        };
        while let Some(piece) = reveal.reveal(conn, |piece| peer.has(piece), cx.rng()) {
            cx.effect(Effect::Send(conn, Frame::Have(piece)));
        }
    }

    /// A stored piece is gone: tell peers (BEP 54) and fetch it again.
    pub(super) fn on_lost(&mut self, piece: PieceIndex, cx: &mut Ctx<'_, C>) {
        let Some(content) = &mut self.content else { return };
        if piece.0 >= content.have.len() || !content.have.get(piece.0) {
            return;
        }
        content.have.clear(piece.0);
        content.picker.lost(piece);
        let wanted = content.picker.wanted_missing(piece);
        let mut changed = Vec::new();
        for (&conn, peer) in &mut self.peers {
            if peer.extensions.dont_have {
                cx.effect(Effect::Send(conn, Frame::Extended(Extended::DontHave(piece))));
            }
            if wanted && peer.has(piece) {
                peer.useful += 1;
                changed.push(conn);
            }
        }
        for conn in changed {
            self.update_interest(conn, cx);
        }
    }
}
