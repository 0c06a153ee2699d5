//! What happens once a second: dials, time-outs, choking, keep-alives, peer exchange.

use alloc::vec::Vec;

use machine::ConnId;

use super::message::{CloseReason, DialHint, Effect, Timer, limits};
use super::{Ctx, PeerContact, Swarm};
use crate::choker::RECHOKE_INTERVAL;
use crate::peer_wire::Frame;

impl<C: PeerContact> Swarm<C> {
    /// Asks for the next tick while there is anything to keep up.
    pub(super) fn keep_ticking(&mut self, cx: &mut Ctx<'_, C>) {
        let busy = !self.peers.is_empty() || (self.wants_peers() && self.known.has_idle());
        if busy && !self.ticking {
            self.ticking = true;
            cx.set_timer(limits::TICK, Timer::Tick);
        }
    }

    pub(super) fn upkeep(&mut self, cx: &mut Ctx<'_, C>) {
        let now = cx.now();
        if now >= self.next_choke {
            self.next_choke = now + RECHOKE_INTERVAL;
            self.choke_round(cx);
        } else {
            self.fill_free_slots(cx);
        }
        self.check_peers(cx);
        self.send_pex(cx);
        self.dial(cx);
    }

    fn check_peers(&mut self, cx: &mut Ctx<'_, C>) {
        let now = cx.now();
        let mut close: Vec<(ConnId, CloseReason)> = Vec::new();
        let mut late: Vec<ConnId> = Vec::new();
        let mut greet: Vec<ConnId> = Vec::new();
        let full = self.peers.len() >= self.config.max_connections;
        for (&conn, peer) in &mut self.peers {
            let useless = !peer.interested && !peer.interesting;
            let unready = !peer.is_ready() && now - peer.opened > limits::HANDSHAKE_MAX;
            if unready || now - peer.last_heard > limits::SILENCE_MAX {
                close.push((conn, CloseReason::Idle));
            } else if useless
                && (full || peer.is_mute())
                && now - peer.last_useful > limits::USELESS_MAX
            {
                close.push((conn, CloseReason::Useless));
            } else if now - peer.last_said > limits::KEEP_ALIVE {
                peer.last_said = now;
                cx.effect(Effect::Send(conn, Frame::KeepAlive));
            }
            peer.snubbed = peer.queue.is_snubbed(now, peer.requests.len());
            let oldest = peer.requests.iter().find(|request| !request.given_up);
            let late_at = |asked| peer.queue.late_at().max(asked + peer.queue.timeout());
            if oldest.is_some_and(|oldest| now >= late_at(oldest.at)) {
                late.push(conn);
            }
            greet.push(conn);
        }
        self.metadata_upkeep(cx);
        for conn in late {
            self.give_up_waiting(conn, cx);
        }
        for conn in greet {
            if self.content.is_none() {
                self.ask_metadata(conn, cx);
            } else {
                self.ask_layers(conn, cx);
                self.request_more(conn, cx);
            }
        }
        for (conn, why) in close {
            self.close(conn, why, cx);
        }
    }

    /// A peer keeps us waiting: others may have its blocks, which stay welcome from it.
    fn give_up_waiting(&mut self, conn: ConnId, cx: &mut Ctx<'_, C>) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&conn)) else {
            return;
        };
        for request in peer.requests.iter_mut().filter(|request| !request.given_up) {
            request.given_up = true;
            content.picker.timed_out(request.block, conn);
        }
        self.others_may_request(conn, cx);
    }

    fn wants_peers(&self) -> bool {
        !self.stopped
    }

    /// Dials the best known addresses, within bounds.
    pub(super) fn dial(&mut self, cx: &mut Ctx<'_, C>) {
        if !self.wants_peers() {
            return;
        }
        // Half of the room is kept for peers that dial us.
        let room = (self.config.max_connections / 2).max(1);
        while self.peers.len() + self.dialing.len() < room && self.dialing.len() < limits::DIALS_MAX
        {
            let our = self.our_contact;
            let rank = |contact: &C| our.map_or(0, |our| contact.priority(&our));
            let Some((contact, flags)) = self.known.next(cx.now(), rank) else { break };
            if self.peers.values().any(|peer| peer.is_at(contact)) {
                continue;
            }
            self.dialing.insert(contact);
            cx.effect(Effect::Dial(contact, DialHint { flags, holepunch: false }));
        }
    }
}
