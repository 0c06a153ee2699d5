//! Who spoiled a piece, and what becomes of them. Whoever contributed to a piece that is not
//! verified yet is remembered when it leaves: otherwise those who stay would be taken for the only
//! ones.

use alloc::vec::Vec;

use machine::ConnId;

use super::message::{CloseReason, Event};
use super::{Ctx, PeerContact, Swarm};
use crate::id::{BLOCK_LEN, PieceIndex};
use crate::smart_ban::Digest;

impl<C: PeerContact> Swarm<C> {
    /// For drivers that keep digests of received blocks: a failed piece's blocks and senders, and
    /// later the true ones, so that who lied is found and honest peers are not blamed.
    ///
    /// To be called before `on_verified`, with the digests of all blocks in order: always when the
    /// piece failed, and when it did not if [`Swarm::suspects`] says so.
    pub fn judge(&mut self, piece: PieceIndex, ok: bool, digests: &[Digest], cx: &mut Ctx<'_, C>) {
        let Some(content) = &self.content else { return };
        let liars = if ok {
            let blocks = (0..).step_by(BLOCK_LEN as usize).zip(digests.iter().copied());
            self.smart_ban.on_verified(piece, blocks)
        } else {
            let sent = content.picker.contributors(piece).filter_map(|(block, conn)| {
                let peer = self.peers.get(&conn).map(|peer| peer.contact);
                let sender = peer.or_else(|| self.departed.get(&conn).copied())?;
                let digest = digests.get((block.begin / BLOCK_LEN) as usize)?;
                Some((block.begin, sender, *digest))
            });
            self.smart_ban.on_failed(piece, sent)
        };
        for liar in liars {
            self.ban(liar, cx);
        }
    }

    /// Whether a piece failed before, so that the digests of its true blocks tell who lied.
    #[must_use]
    pub fn suspects(&self, piece: PieceIndex) -> bool {
        self.smart_ban.has_failed(piece)
    }

    /// A peer leaves: it can still be blamed for what it sent.
    pub(super) fn remember_departed(&mut self, conn: ConnId, contact: C) {
        if self.content.as_ref().is_some_and(|content| content.picker.has_contributed(conn)) {
            self.departed.insert(conn, contact);
        }
    }

    /// Forgets those who left and have nothing in unverified pieces any more.
    pub(super) fn forget_departed(&mut self) {
        if let Some(content) = &self.content {
            self.departed.retain(|conn, _| content.picker.has_contributed(*conn));
        }
    }

    /// The hosts whose blocks made a piece false are found: refuse them.
    fn ban(&mut self, contact: C, cx: &mut Ctx<'_, C>) {
        self.known.ban(contact);
        cx.emit(Event::Banned(contact));
        let same: Vec<ConnId> = self
            .peers
            .iter()
            .filter(|(_, peer)| self.known.is_banned(peer.contact))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in same {
            self.close(conn, CloseReason::Banned, cx);
        }
    }
}
