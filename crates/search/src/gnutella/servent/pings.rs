//! Pings and pongs: how neighbours are kept and others are found. With caching, pings go to
//! neighbours only and are answered from what earlier pongs told (Pong Caching 0.1); without, they
//! are passed on and pongs find their way home, as in version 0.4.

use alloc::vec::Vec;
use core::net::{SocketAddr, SocketAddrV4};

use machine::{ConnId, Instant};

use super::super::ggep::Builder;
use super::super::handshake::Role;
use super::super::{Descriptor, Extensions, Header, Kind, Pong};
use super::address::is_dialable;
use super::message::{Effect, limits};
use super::peer::{Known, Peer};
use super::routes::Via;
use super::{Address, Ctx, Servent};

/// Pongs that one ping is answered with.
const PONGS_MAX: usize = 10;
/// Addresses in one answer to somebody who asks for hosts by UDP.
const PACKED_MAX: usize = 20;

impl<C: Address> Servent<C> {
    /// Asks a neighbour who is there.
    pub(super) fn ping(&mut self, conn: ConnId, cx: &mut Ctx<'_, C>) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        peer.pinged = cx.now();
        let ttl = if self.config.pong_caching { 2 } else { self.config.ttl_max };
        let guid = Self::new_guid(cx);
        self.questions.insert(guid, Via::Us);
        self.counters.pings_sent += 1;
        self.send(conn, Header::new(guid, Kind::Ping, ttl), Vec::new(), cx);
    }

    pub(super) fn on_ping(&mut self, conn: ConnId, message: &Descriptor, cx: &mut Ctx<'_, C>) {
        self.counters.pings += 1;
        let header = message.header;
        if !self.config.pong_caching {
            return self.flood_ping(conn, message, cx);
        }
        let now = cx.now();
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let too_soon = peer.ponged.is_some_and(|last| now - last < limits::PONGS);
        if too_soon {
            return;
        }
        peer.ponged = Some(now);
        // With a life of one it asks whether we live, with two whom we know.
        let asks_for_us = header.hops == 0 && header.ttl <= 1;
        if asks_for_us || self.has_room() {
            self.pong(conn, header, None, cx);
        }
        if !asks_for_us {
            for known in self.cached_pongs(conn, cx) {
                self.pong(conn, header, Some(known), cx);
            }
        }
    }

    fn has_room(&self) -> bool {
        self.role == Role::Ultrapeer
            && (self.count(Peer::is_leaf) < self.config.leaves_max
                || self.count(Peer::is_ultrapeer) < self.config.ultrapeers_max)
    }

    /// Pongs of all neighbours but one, of different distances where there are some.
    fn cached_pongs(&self, but: ConnId, cx: &mut Ctx<'_, C>) -> Vec<Known> {
        let others = self.peers.iter().filter(|(conn, peer)| **conn != but && peer.is_ultrapeer());
        let mut all: Vec<Known> = others.flat_map(|(_, peer)| peer.pongs.iter().copied()).collect();
        cx.rng().shuffle(&mut all);
        let mut chosen: Vec<Known> = Vec::new();
        while chosen.len() < PONGS_MAX {
            let count = |hops: u8| chosen.iter().filter(|known| known.hops == hops).count();
            let least = all.iter().enumerate().min_by_key(|(_, known)| count(known.hops));
            let Some((at, _)) = least else { break };
            let known = all.swap_remove(at);
            if chosen.iter().all(|other| other.addr != known.addr) {
                chosen.push(known);
            }
        }
        chosen
    }

    /// Answers a ping: with ourselves, or with somebody we know of.
    fn pong(&mut self, conn: ConnId, ping: Header, known: Option<Known>, cx: &mut Ctx<'_, C>) {
        let (payload, hops) = match known {
            None => (self.our_pong(&[]), 0),
            Some(Known { addr: SocketAddr::V4(addr), files, kib, hops }) => {
                (Pong { addr, files, kib, extra: &[] }.to_vec(), hops.saturating_add(1))
            }
            Some(_) => return,
        };
        let hops = hops.min(self.config.ttl_max);
        let ttl = (ping.hops.max(1)).min(self.config.ttl_max - hops).max(1);
        self.counters.pings_sent += 1;
        let header = Header { guid: ping.guid, kind: Kind::Pong, ttl, hops };
        self.send(conn, header, payload, cx);
    }

    /// What we say of ourselves, with `packed` addresses of others.
    fn our_pong(&self, packed: &[u8]) -> Vec<u8> {
        let mut block = Builder::new();
        let vendor = self.config.vendor.0;
        let mut added = block.add(b"VC", &[&vendor[..], &[0x01]].concat());
        if self.role == Role::Ultrapeer {
            let room = |max: usize, has: usize| max.saturating_sub(has).min(255) as u8;
            let leaves = room(self.config.leaves_max, self.count(Peer::is_leaf));
            let ultrapeers = room(self.config.ultrapeers_max, self.count(Peer::is_ultrapeer));
            added = added.and(block.add(b"UP", &[2, leaves, ultrapeers]));
        }
        if !packed.is_empty() {
            added = added.and(block.add(b"IPP", packed));
        }
        let extra = if added.is_ok() { block.finish() } else { Vec::new() };
        let files = u32::try_from(self.library.len()).unwrap_or(u32::MAX);
        let kib = u32::try_from(self.library.bytes() / 1_024).unwrap_or(u32::MAX);
        Pong { addr: self.our_addr(), files, kib, extra: &extra }.to_vec()
    }

    pub(super) fn on_pong(&mut self, conn: ConnId, message: &Descriptor, cx: &mut Ctx<'_, C>) {
        self.counters.pings += 1;
        let Ok(pong) = Pong::parse(&message.payload) else {
            self.counters.dropped += 1;
            return;
        };
        let local = self.config.local;
        let Header { guid, hops, .. } = message.header;
        if let Some(item) = pong.extensions().item(b"IPP")
            && let Ok(packed) = item.value()
        {
            self.hear_packed(&packed, cx);
        }
        let addr = SocketAddr::V4(pong.addr);
        let is_ultrapeer = pong.extensions().item(b"UP").is_some() || hops > 0;
        if is_dialable(addr, local) && is_ultrapeer {
            self.hosts.hear(addr, cx.rng());
            let known = Known { addr, files: pong.files, kib: pong.kib, hops };
            if let Some(peer) = self.peers.get_mut(&conn) {
                peer.keep(known);
            }
        }
        if self.config.pong_caching {
            return;
        }
        match self.questions.get(guid) {
            Some(Via::Peer(home)) if home != conn && self.peers.contains_key(&home) => {
                let Some(header) = message.header.forwarded() else { return };
                self.counters.pings_sent += 1;
                self.send(home, header, message.payload.to_vec(), cx);
            }
            Some(_) => {}
            None => self.counters.unroutable += 1,
        }
    }

    /// As in version 0.4: passes it on to all, and answers.
    fn flood_ping(&mut self, conn: ConnId, message: &Descriptor, cx: &mut Ctx<'_, C>) {
        let header = message.header;
        if !self.questions.insert(header.guid, Via::Peer(conn)) {
            self.counters.duplicates += 1;
            return;
        }
        let payload = self.our_pong(&[]);
        self.counters.pings_sent += 1;
        let ttl = header.hops.saturating_add(1).min(self.config.ttl_max);
        self.send(conn, Header::new(header.guid, Kind::Pong, ttl), payload, cx);
        let Some(header) = header.forwarded() else { return };
        let others: Vec<ConnId> = self.ups(Some(conn)).collect();
        for other in others {
            self.counters.pings_sent += 1;
            self.send(other, header, message.payload.to_vec(), cx);
        }
    }

    /// Neighbours with whom there are messages, but for one.
    pub(super) fn ups(&self, but: Option<ConnId>) -> impl Iterator<Item = ConnId> + '_ {
        let peers =
            self.peers.iter().filter(move |(conn, peer)| Some(**conn) != but && peer.is_up());
        peers.map(|(conn, _)| *conn)
    }

    /// Asks an address for others (UDP host caches).
    pub(super) fn ask_for_hosts(&mut self, contact: C, cx: &mut Ctx<'_, C>) {
        let mut block = Builder::new();
        let wants = u8::from(self.role == Role::Ultrapeer);
        if block.add(b"SCP", &[wants]).is_err() {
            return;
        }
        let guid = Self::new_guid(cx);
        self.questions.insert(guid, Via::Us);
        let header = Header::new(guid, Kind::Ping, 1);
        if let Ok(message) = Descriptor::new(header, block.finish()) {
            cx.effect(Effect::Datagram(contact, message));
        }
    }

    pub(super) fn on_udp_ping(&mut self, from: C, message: &Descriptor, cx: &mut Ctx<'_, C>) {
        self.counters.pings += 1;
        // Whoever did not ask for addresses is told none, so that little comes of a forged address.
        let asks = Extensions::new(&message.payload).item(b"SCP").is_some();
        let mut packed = Vec::new();
        if asks {
            let hubs = self.peers.values().filter(|peer| peer.is_ultrapeer());
            let mut addrs: Vec<SocketAddr> = hubs.filter_map(|peer| peer.listen).collect();
            addrs.extend(self.hosts.some(PACKED_MAX, cx.rng()));
            addrs.dedup();
            for addr in addrs.into_iter().take(PACKED_MAX) {
                if let SocketAddr::V4(addr) = addr {
                    packed.extend(packed_addr(addr));
                }
            }
        }
        let payload = self.our_pong(&packed);
        let header = Header { hops: 0, ..Header::new(message.header.guid, Kind::Pong, 1) };
        self.counters.pings_sent += 1;
        if let Ok(message) = Descriptor::new(header, payload) {
            cx.effect(Effect::Datagram(from, message));
        }
    }

    /// Only pongs that we asked for count.
    pub(super) fn on_udp_pong(&mut self, message: &Descriptor, cx: &mut Ctx<'_, C>) {
        self.counters.pings += 1;
        if self.questions.get(message.header.guid) != Some(Via::Us) {
            self.counters.unroutable += 1;
            return;
        }
        let Ok(pong) = Pong::parse(&message.payload) else {
            self.counters.dropped += 1;
            return;
        };
        if pong.extensions().item(b"UP").is_some() {
            self.hosts.hear(SocketAddr::V4(pong.addr), cx.rng());
        }
        if let Some(item) = pong.extensions().item(b"IPP")
            && let Ok(packed) = item.value()
        {
            self.hear_packed(&packed, cx);
        }
        self.seek(cx);
    }

    fn hear_packed(&mut self, packed: &[u8], cx: &mut Ctx<'_, C>) {
        for addr in unpacked(packed).take(PACKED_MAX) {
            self.hosts.hear(addr, cx.rng());
        }
    }

    /// Whether a neighbour has been silent for so long that it should be asked.
    pub(super) fn is_ping_due(peer: &Peer<C>, now: Instant) -> bool {
        peer.is_up() && now - peer.pinged >= limits::PING
    }
}

/// An address as GGEP packs it: six bytes, the port little-endian.
pub(super) fn packed_addr(addr: SocketAddrV4) -> [u8; 6] {
    let [a, b, c, d] = addr.ip().octets();
    let [low, high] = addr.port().to_le_bytes();
    [a, b, c, d, low, high]
}

/// Addresses that GGEP packs; what is left over at the end does not count.
pub(super) fn unpacked(packed: &[u8]) -> impl Iterator<Item = SocketAddr> + '_ {
    packed.chunks_exact(6).filter_map(|chunk| {
        let [a, b, c, d, low, high] = *chunk.first_chunk()?;
        Some(SocketAddr::from(([a, b, c, d], u16::from_le_bytes([low, high]))))
    })
}
