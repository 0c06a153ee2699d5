//! Connections coming and going: handshakes, what is said first, duplicates, and the end.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use machine::{ConnId, Side};

use super::message::{CloseReason, Effect, PeerSource, limits};
use super::peer::Peer;
use super::{Ctx, PeerContact, Swarm};
use crate::choker::RECHOKE_INTERVAL;
use crate::extension::{Extended, ExtensionHandshake, Extensions};
use crate::id::InfoHash;
use crate::peer_wire::{Frame, Handshake, Reserved, allowed_fast_set, client_name};

/// A peer that ended in peace may be dialled again after this.
const REDIAL_PAUSE: Duration = Duration::from_secs(60);
/// Connections to the same peer that are both younger than this were made at the same time.
const SIMULTANEOUS: Duration = Duration::from_secs(10);

impl<C: PeerContact> Swarm<C> {
    pub(super) fn opened(&mut self, conn: ConnId, contact: C, side: Side, cx: &mut Ctx<'_, C>) {
        self.dialing.remove(&contact);
        let greet_by = self.greet_by.take().or(self.config.hashes.primary());
        let mut peer = Peer::new(contact, side, cx.now());
        // The first message is a handshake, whoever dialled.
        let refused = if self.stopped {
            Some(CloseReason::Stopped)
        } else if self.known.is_banned(contact) {
            Some(CloseReason::Banned)
        } else if self.peers.len() >= self.config.max_connections && !self.drop_worst(cx) {
            Some(CloseReason::Full)
        } else {
            None
        };
        peer.last_said = cx.now();
        self.peers.insert(conn, peer);
        if let Some(why) = refused {
            return self.close(conn, why, cx);
        }
        if side == Side::Dialer {
            self.known.connected(contact);
            if let Some(hash) = greet_by {
                self.say_handshake(conn, hash, cx);
            }
        }
    }

    fn say_handshake(&mut self, conn: ConnId, info_hash: InfoHash, cx: &mut Ctx<'_, C>) {
        let reserved = Reserved::default().with_extensions().with_fast();
        let reserved = if self.dht_port().is_some() { reserved.with_dht() } else { reserved };
        let reserved = if self.config.hashes.v2.is_some() { reserved.with_v2() } else { reserved };
        let handshake = Handshake { reserved, info_hash, peer_id: self.config.peer_id };
        cx.effect(Effect::Send(conn, Frame::Handshake(handshake)));
    }

    pub(super) fn on_handshake(&mut self, conn: ConnId, said: Handshake, cx: &mut Ctx<'_, C>) {
        let now = cx.now();
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if peer.is_ready() {
            return self.close(conn, CloseReason::Protocol, cx);
        }
        let contact = peer.contact;
        if !self.config.hashes.handshake_hashes().any(|hash| hash == said.info_hash) {
            self.known.failed(contact, now);
            return self.close(conn, CloseReason::WrongTorrent, cx);
        }
        if said.peer_id == self.config.peer_id {
            self.known.forget(contact);
            return self.close(conn, CloseReason::Myself, cx);
        }
        if let Some(loser) = self.duplicate(conn, &said, cx) {
            self.close(loser, CloseReason::Duplicate, cx);
            if loser == conn {
                return;
            }
        }
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        peer.id = Some(said.peer_id);
        peer.fast = said.reserved.fast();
        peer.extended = said.reserved.extensions();
        // Who dials by the v2 hash speaks v2, whatever its reserved bits say: libtorrent does.
        let by_v2 = self.config.hashes.v2.is_some_and(|v2| v2.truncated() == said.info_hash);
        peer.v2 = said.reserved.v2() || by_v2;
        peer.client = client_name(said.peer_id).to_string();
        let (side, extended) = (peer.side, peer.extended);
        if side == Side::Listener {
            // By the hash they know it by: it may be the only one.
            self.say_handshake(conn, said.info_hash, cx);
        }
        self.say_pieces(conn, cx);
        if extended {
            self.say_extension_handshake(conn, cx);
        }
        if let Some(port) = self.dht_port().filter(|_| said.reserved.dht()) {
            cx.effect(Effect::Send(conn, Frame::Port(port)));
        }
    }

    /// Which of two connections with one peer has to go, if there is another.
    fn duplicate(&self, conn: ConnId, said: &Handshake, cx: &Ctx<'_, C>) -> Option<ConnId> {
        let (&other, older) = self.peers.iter().find(|(_, peer)| peer.id == Some(said.peer_id))?;
        let newer = self.peers.get(&conn)?;
        // Both dialled at the same time: both ends keep the one that the smaller id dialled.
        let simultaneous = older.side != newer.side && cx.now() - older.opened < SIMULTANEOUS;
        let we_dial = self.config.peer_id < said.peer_id;
        let keep_newer = simultaneous && (newer.side == Side::Dialer) == we_dial;
        Some(if keep_newer { other } else { conn })
    }

    /// Says which pieces we have, once that is known; otherwise nothing or `HaveNone`.
    pub(super) fn say_pieces(&mut self, conn: ConnId, cx: &mut Ctx<'_, C>) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let Some(content) = self.content.as_ref().filter(|_| peer.is_ready()) else { return };
        let hidden = self.super_seeding.is_some();
        let frame = if peer.fast && content.have.all() && !hidden {
            Some(Frame::HaveAll)
        } else if peer.fast && (content.have.none() || hidden) {
            Some(Frame::HaveNone)
        } else if content.have.none() || hidden {
            None
        } else {
            Some(Frame::Bitfield(content.have.to_wire()))
        };
        if let Some(frame) = frame {
            cx.effect(Effect::Send(conn, frame));
        }
        if peer.fast && !content.have.none() && !hidden {
            let ip = peer.contact.ip();
            if let (Some(ip), Some(hash)) = (ip, self.config.hashes.primary()) {
                let count = content.info.piece_count();
                peer.granted_fast = allowed_fast_set(ip, hash, count, limits::ALLOWED_FAST);
                for &piece in &peer.granted_fast {
                    cx.effect(Effect::Send(conn, Frame::AllowedFast(piece)));
                }
            }
        }
        if let Some(reveal) = &mut self.super_seeding {
            reveal.peer_joined(conn);
            self.reveal_more(conn, cx);
        }
    }

    pub(super) fn say_extension_handshake(&mut self, conn: ConnId, cx: &mut Ctx<'_, C>) {
        let Some(peer) = self.peers.get(&conn) else { return };
        let extensions = Extensions {
            metadata: true,
            pex: self.exchanges_peers(),
            holepunch: self.exchanges_peers(),
            dont_have: true,
            upload_only: true,
        };
        let said = ExtensionHandshake {
            extensions,
            client: Some(self.config.client.clone()),
            listen_port: self.config.listen_port,
            request_queue: Some(limits::REQUESTS_IN_MAX as u32),
            metadata_len: self.content.as_ref().map(|content| content.info_bytes.len() as u32),
            upload_only: self.is_complete() && self.super_seeding.is_none(),
            your_ip: peer.contact.ip(),
        };
        cx.effect(Effect::Send(conn, Frame::Extended(Extended::Handshake(said))));
    }

    pub(super) fn on_extension_handshake(
        &mut self,
        conn: ConnId,
        said: &ExtensionHandshake,
        cx: &mut Ctx<'_, C>,
    ) {
        let now = cx.now();
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        peer.said_abilities = true;
        peer.extensions = said.extensions;
        peer.upload_only = said.upload_only;
        if let Some(client) = &said.client {
            peer.client.clone_from(client);
        }
        if let Some(reqq) = said.request_queue {
            peer.reqq = (reqq as usize).max(1);
        }
        // The first port it names counts: each is an address that is kept for it.
        if let (Some(port), None) = (said.listen_port.filter(|&port| port > 0), peer.listens) {
            let listens = peer.contact.with_port(port);
            peer.listens = Some(listens);
            self.known.add(listens, PeerSource::Incoming, Default::default(), now);
            self.known.connected(listens);
        }
        if let (Some(ip), None, Some(port)) =
            (said.your_ip, &self.our_contact, self.config.listen_port)
        {
            self.our_contact = C::from_ip(ip, port);
        }
        if let Some(len) = said.metadata_len {
            self.metadata_offered(conn, len, cx);
        }
        self.ask_layers(conn, cx);
        self.close_if_useless(conn, cx);
    }

    /// Closes a connection between two peers that both only upload (BEP 21).
    pub(super) fn close_if_useless(&mut self, conn: ConnId, cx: &mut Ctx<'_, C>) {
        let complete = self.is_complete();
        let Some(peer) = self.peers.get(&conn) else { return };
        if complete && peer.is_ready() && (peer.is_seed() || peer.upload_only) {
            self.close(conn, CloseReason::Useless, cx);
        }
    }

    /// Makes room by closing a peer of no use; whether that was possible.
    fn drop_worst(&mut self, cx: &mut Ctx<'_, C>) -> bool {
        let now = cx.now();
        let worst = self
            .peers
            .iter()
            .filter(|(_, peer)| {
                !peer.interesting && !peer.interested && now - peer.opened > RECHOKE_INTERVAL
            })
            .min_by_key(|(_, peer)| peer.last_useful)
            .map(|(conn, _)| *conn);
        worst.is_some_and(|conn| {
            self.close(conn, CloseReason::Full, cx);
            true
        })
    }

    /// Keeps at most `max` peers from now on; those beyond it go, of least use first.
    pub(super) fn set_max_connections(&mut self, max: usize, cx: &mut Ctx<'_, C>) {
        self.config.max_connections = max;
        let excess = self.peers.len().saturating_sub(max);
        if excess == 0 {
            return;
        }
        let mut by_use: Vec<_> = self
            .peers
            .iter()
            .map(|(conn, peer)| (peer.interesting || peer.interested, peer.last_useful, *conn))
            .collect();
        by_use.sort_unstable();
        for (_, _, conn) in by_use.into_iter().take(excess) {
            self.close(conn, CloseReason::Full, cx);
        }
    }

    pub(super) fn closed(&mut self, conn: ConnId, why: CloseReason, cx: &mut Ctx<'_, C>) {
        let now = cx.now();
        let Some(mut peer) = self.peers.remove(&conn) else { return };
        self.release_requests(&mut peer, conn);
        self.remember_departed(conn, peer.contact);
        if let (Some(content), super::peer::Has::Known(bits)) = (&mut self.content, &peer.has) {
            if bits.all() {
                content.picker.seed_left();
            } else {
                content.picker.peer_left(&bits.to_wire());
            }
        }
        if let Some(reveal) = &mut self.super_seeding {
            reveal.peer_left(conn, |piece| peer.has(piece));
        }
        self.metadata_peer_gone(conn, cx);
        self.layers_peer_gone(conn);
        let contacts: Vec<C> = peer.listens.into_iter().chain([peer.contact]).collect();
        for contact in contacts {
            match why {
                CloseReason::Myself => self.known.forget(contact),
                // Its other connection goes on.
                CloseReason::Duplicate if self.peers.values().any(|peer| peer.is_at(contact)) => {}
                CloseReason::Gone | CloseReason::Idle if !peer.is_ready() => {
                    self.known.failed(contact, now)
                }
                CloseReason::Protocol
                | CloseReason::WrongTorrent
                | CloseReason::Banned
                | CloseReason::Duplicate => self.known.failed(contact, now),
                _ => self.known.ended(contact, REDIAL_PAUSE, now),
            }
        }
        if !self.stopped {
            self.others_may_request(conn, cx);
            if !peer.choked_by_us {
                self.fill_free_slots(cx);
            }
        }
    }
}
