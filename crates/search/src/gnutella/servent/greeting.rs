//! How connections become neighbours: handshakes, and who is whose leaf.

use alloc::vec::Vec;

use machine::{ConnId, Side};

use super::super::handshake::{Agreement, Block, Profile, Role, Room, Start};
use super::super::{Frame, Kind, VendorMessage};
use super::message::{CloseReason, Effect, Event, Mode, limits};
use super::peer::{Peer, Stage};
use super::{Address, Ctx, Servent, vendors};

/// Ultrapeers that a refusal or an answer names.
const TRIED: usize = 10;

impl<C: Address> Servent<C> {
    /// What we say of ourselves now.
    fn profile(&self) -> Profile {
        let config = &self.config;
        let is_ultrapeer = self.role == Role::Ultrapeer;
        let room = if is_ultrapeer {
            Room {
                leaves: self.count(Peer::is_leaf) < config.leaves_max,
                ultrapeers: self.count(Peer::is_ultrapeer) < config.ultrapeers_max,
            }
        } else {
            Room { leaves: false, ultrapeers: self.count(Peer::is_ultrapeer) < config.hubs_wanted }
        };
        Profile {
            role: self.role,
            room,
            yielding: config.mode == Mode::Auto && self.count(Peer::is_leaf) == 0,
            user_agent: config.user_agent.clone(),
            guid: config.guid,
            listen: config.listen.filter(|_| !config.firewalled),
            deflate: config.deflate,
            degree: u16::try_from(config.ultrapeers_max).unwrap_or(u16::MAX),
            max_ttl: config.ttl.min(4),
        }
    }

    pub(super) fn opened(&mut self, conn: ConnId, contact: C, side: Side, cx: &mut Ctx<'_, C>) {
        self.dialing.remove(&contact);
        // That it opened was all there was to show.
        if side == Side::Dialer && self.reaching.remove(&contact) {
            return cx.effect(Effect::Close(conn, CloseReason::Refused));
        }
        let greeting = self.peers.values().filter(|peer| !peer.is_up()).count();
        if self.left || (side == Side::Listener && greeting >= limits::GREETING) {
            cx.effect(Effect::Close(conn, CloseReason::Refused));
            return;
        }
        let mut peer = Peer::new(contact, side, cx.now());
        if side == Side::Dialer {
            peer.listen = Some(contact.socket());
            if self.config.mode == Mode::Old {
                cx.effect(Effect::Send(conn, Frame::Connect04));
            } else {
                let block = self.profile().open(contact.socket().ip());
                if let Stage::Greeting(greeting) = &mut peer.stage {
                    greeting.ours.push(block.clone());
                }
                cx.effect(Effect::Send(conn, Frame::Block(block)));
            }
        }
        self.peers.insert(conn, peer);
        self.wake(cx);
    }

    /// A greeting of version 0.4, or the answer to ours.
    pub(super) fn heard_old(&mut self, conn: ConnId, frame: &Frame, cx: &mut Ctx<'_, C>) {
        let is_free = self.count(Peer::is_ultrapeer) < self.config.ultrapeers_max;
        let takes = self.role == Role::Ultrapeer && is_free;
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if !takes || peer.is_up() {
            return cx.effect(Effect::Close(conn, CloseReason::Refused));
        }
        if *frame == Frame::Connect04 {
            cx.effect(Effect::Send(conn, Frame::Ok04));
        }
        peer.is_old = true;
        let agreement = Agreement { ours: Role::Ultrapeer, theirs: Role::Ultrapeer, tables: false };
        self.up(conn, agreement, cx);
    }

    pub(super) fn heard_block(&mut self, conn: ConnId, block: Block, cx: &mut Ctx<'_, C>) {
        for addr in block.try_ultrapeers() {
            self.hosts.hear(addr, cx.rng());
        }
        let profile = self.profile();
        let others = self.ultrapeers_to_try(cx);
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let ip = peer.contact.socket().ip();
        let contact = peer.contact;
        let Stage::Greeting(greeting) = &mut peer.stage else {
            return cx.effect(Effect::Close(conn, CloseReason::Protocol));
        };
        learn(&mut peer.listen, &mut peer.guid, &block, contact);
        peer.degree = block.number("X-Degree").unwrap_or(peer.degree).clamp(1, 200);
        peer.max_ttl = block.number("X-Max-TTL").map_or(peer.max_ttl, |ttl| ttl.clamp(1, 7) as u8);
        let is_connect = block.start == Start::Connect;
        let is_answer = !is_connect && peer.side == Side::Dialer;
        let is_yes = block.is_yes();
        let reply = if is_connect {
            // One servent has one connection.
            let guid = peer.guid;
            greeting.theirs.push(block.clone());
            let twice = self.is_connected_to(guid, conn);
            if twice {
                Some(Block::status(503, "Already connected"))
            } else {
                Some(profile.answer(&block, ip, &others))
            }
        } else {
            greeting.theirs.push(block.clone());
            if is_answer { profile.confirm(&block) } else { None }
        };
        if is_answer {
            self.hosts.dialled(&contact, true);
        }
        let said_no = reply.as_ref().is_some_and(|reply| !reply.is_yes());
        if let Some(reply) = reply {
            if let Some(Peer { stage: Stage::Greeting(greeting), .. }) = self.peers.get_mut(&conn) {
                greeting.ours.push(reply.clone());
            }
            cx.effect(Effect::Send(conn, Frame::Block(reply)));
        }
        if said_no || (!is_connect && !is_yes) {
            if !is_yes && is_answer {
                self.refusals = self.refusals.saturating_add(1);
            }
            return cx.effect(Effect::Close(conn, CloseReason::Refused));
        }
        if is_connect {
            return;
        }
        let Some(Peer { stage: Stage::Greeting(greeting), .. }) = self.peers.get(&conn) else {
            return;
        };
        let ours: Vec<&Block> = greeting.ours.iter().collect();
        let theirs: Vec<&Block> = greeting.theirs.iter().collect();
        match Agreement::of(&ours, &theirs) {
            Some(agreement) => self.up(conn, agreement, cx),
            None => cx.effect(Effect::Close(conn, CloseReason::Refused)),
        }
    }

    /// There are messages from now on.
    fn up(&mut self, conn: ConnId, agreement: Agreement, cx: &mut Ctx<'_, C>) {
        if agreement.ours != self.role {
            // We were told that we are needed as a leaf only.
            self.become_role(agreement.ours, Some(conn), cx);
        }
        let now = cx.now();
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        peer.stage = Stage::Up(agreement);
        (peer.heard, peer.pinged) = (now, now);
        let (contact, is_old) = (peer.contact, peer.is_old);
        if let Some(addr) = peer.listen.filter(|_| agreement.theirs == Role::Ultrapeer) {
            self.hosts.hear(addr, cx.rng());
        }
        self.refusals = 0;
        cx.emit(Event::Connected { peer: contact, role: agreement.theirs });
        if !is_old && let Ok(payload) = VendorMessage::supported_to_vec(vendors::UNDERSTOOD) {
            self.say(conn, Kind::Vendor, 1, payload, cx);
        }
        self.ping(conn, cx);
        self.tell_table(conn, cx);
        self.ask_again(conn, cx);
    }

    fn is_connected_to(&self, guid: Option<super::Guid>, but: ConnId) -> bool {
        guid.is_some_and(|guid| {
            guid == self.config.guid
                || self
                    .peers
                    .iter()
                    .any(|(conn, peer)| *conn != but && peer.is_up() && peer.guid == Some(guid))
        })
    }

    /// Ultrapeers to name to somebody: neighbours, then others that have answered.
    fn ultrapeers_to_try(&self, cx: &mut Ctx<'_, C>) -> Vec<core::net::SocketAddr> {
        let hubs = self.peers.values().filter(|peer| peer.is_ultrapeer());
        let mut addrs: Vec<_> = hubs.filter_map(|peer| peer.listen).collect();
        cx.rng().shuffle(&mut addrs);
        for addr in self.hosts.some(TRIED, cx.rng()) {
            if !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
        addrs.truncate(TRIED);
        addrs
    }

    pub(super) fn become_role(&mut self, role: Role, keep: Option<ConnId>, cx: &mut Ctx<'_, C>) {
        if self.role == role {
            return;
        }
        self.role = role;
        self.role_since = cx.now();
        self.refusals = 0;
        self.was_reached = false;
        self.led.clear();
        self.lose(cx.now());
        for (conn, peer) in &self.peers {
            if Some(*conn) != keep && peer.is_up() {
                cx.effect(Effect::Close(*conn, CloseReason::RoleChanged));
            }
        }
        cx.emit(Event::Role(role));
    }
}

/// What a block says of its sender. The address is the one that it is seen at; only the port is
/// taken from its word, since anything else would lead others to a victim.
fn learn<C: Address>(
    listen: &mut Option<core::net::SocketAddr>,
    guid: &mut Option<super::Guid>,
    block: &Block,
    contact: C,
) {
    if let Some(said) = block.listen_addr().filter(|_| listen.is_none()) {
        *listen = Some(core::net::SocketAddr::new(contact.socket().ip(), said.port()));
    }
    if let Some(said) = block.get("GUID").and_then(codec::hex::decode::<16>) {
        *guid = Some(super::Guid(said));
    }
}
