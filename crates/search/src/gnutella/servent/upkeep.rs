//! What happens once a second: neighbours are sought, asked and given up, tables told, queries led
//! on, and roles changed.

use alloc::vec::Vec;

use machine::ConnId;

use super::super::handshake::Role;
use super::super::{Bye, Kind};
use super::message::{CloseReason, Effect, Mode, Timer, limits};
use super::peer::Peer;
use super::{Address, Ctx, Servent};

/// Dials at once.
const DIALS_MAX: usize = 8;
/// Refusals in a row after which a servent that could be an ultrapeer is needed as one.
const REFUSALS: u32 = 6;

impl<C: Address> Servent<C> {
    /// Sees to it that upkeep happens.
    pub(super) fn wake(&mut self, cx: &mut Ctx<'_, C>) {
        if !self.ticking {
            self.ticking = true;
            cx.set_timer(self.config.tick, Timer);
        }
    }

    pub(super) fn upkeep(&mut self, cx: &mut Ctx<'_, C>) {
        self.ticking = false;
        let now = cx.now();
        let mut late: Vec<(ConnId, bool)> = Vec::new();
        let mut due = Vec::new();
        for (conn, peer) in &self.peers {
            if !peer.is_up() && now - peer.since > limits::HANDSHAKE {
                late.push((*conn, false));
            } else if peer.is_up() && now - peer.heard > limits::SILENCE {
                late.push((*conn, true));
            } else if Self::is_ping_due(peer, now) {
                due.push(*conn);
            }
        }
        for (conn, was_up) in late {
            if was_up {
                self.bye(conn, 405, b"Silent for too long", cx);
            }
            cx.effect(Effect::Close(conn, CloseReason::Timeout));
        }
        due.into_iter().for_each(|conn| self.ping(conn, cx));
        self.tell_tables(now, cx);
        self.lead(cx);
        self.rename_lost(cx);
        self.waiting.retain(|_, (since, ..)| now - *since < limits::WAITING);
        self.answers.age(now, self.config.query_caching);
        self.consider_role(cx);
        self.seek(cx);
        if !self.left || !self.peers.is_empty() {
            self.wake(cx);
        }
    }

    /// Dials until there are enough neighbours.
    pub(super) fn seek(&mut self, cx: &mut Ctx<'_, C>) {
        if self.left {
            return;
        }
        let (has, wanted) = match self.role {
            Role::Leaf => (self.peers.len(), self.config.hubs_wanted),
            Role::Ultrapeer => {
                let hubs = self.count(|peer| peer.is_ultrapeer() || !peer.is_up());
                (hubs, self.config.ultrapeers_wanted)
            }
        };
        let now = cx.now();
        let mut missing = wanted.saturating_sub(has + self.dialing.len());
        while missing > 0 && self.dialing.len() < DIALS_MAX {
            missing -= 1;
            let (peers, dialing) = (&self.peers, &self.dialing);
            let ours = self.config.listen;
            let is_busy = |contact: &C| {
                let addr = contact.socket();
                dialing.contains(contact)
                    || Some(addr) == ours
                    || peers
                        .values()
                        .any(|peer| peer.contact == *contact || peer.listen == Some(addr))
            };
            let Some(contact) = self.hosts.take(now, cx.rng(), is_busy) else { break };
            self.dialing.insert(contact);
            cx.effect(Effect::Dial(contact));
        }
    }

    /// Whether to become an ultrapeer, or a leaf again.
    fn consider_role(&mut self, cx: &mut Ctx<'_, C>) {
        if self.config.mode != Mode::Auto {
            return;
        }
        let age = cx.now() - self.role_since;
        let can_serve = !self.config.firewalled && self.config.listen.is_some();
        match self.role {
            Role::Leaf => {
                // Nobody has room for a leaf, or nobody at all is known.
                let is_alone = self.count(Peer::is_up) == 0;
                let is_needed = is_alone && (self.refusals >= REFUSALS || self.was_reached);
                if can_serve && is_needed && age >= self.config.promote_after {
                    self.become_role(Role::Ultrapeer, None, cx);
                }
            }
            Role::Ultrapeer => {
                let idle = self.count(Peer::is_leaf) == 0 && age >= self.config.demote_after;
                if idle || !can_serve {
                    self.become_role(Role::Leaf, None, cx);
                }
            }
        }
    }

    /// Says why a connection is about to close.
    pub(super) fn bye(&self, conn: ConnId, code: u16, text: &[u8], cx: &mut Ctx<'_, C>) {
        if let Ok(payload) = (Bye { code, text }).to_vec() {
            self.say(conn, Kind::Bye, 1, payload, cx);
        }
    }

    pub(super) fn leave(&mut self, cx: &mut Ctx<'_, C>) {
        self.left = true;
        self.searches.clear();
        self.led.clear();
        for (conn, peer) in &self.peers {
            if peer.is_up() {
                self.bye(*conn, 200, b"Leaving the network", cx);
            }
            cx.effect(Effect::Close(*conn, CloseReason::Leaving));
        }
    }
}
