//! Messages that vendors added: what is understood, push proxies, leaf guidance, being connected
//! to, and hits by UDP.

use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use machine::ConnId;

use super::super::{Capability, Descriptor, Guid, Header, Kind, Vendor, VendorMessage};
use super::address::is_dialable;
use super::message::{Effect, Mode, limits};
use super::peer::Speaks;
use super::querying::address_in;
use super::{Address, Ctx, Servent};

const fn kind(vendor: &[u8; 4], selector: u16, version: u16) -> Capability {
    Capability { vendor: Vendor(*vendor), selector, version }
}

/// Most hops of queries that are wanted.
const HOPS_FLOW: Capability = kind(b"BEAR", 4, 1);
/// Connect to this port of mine.
const CONNECT_BACK: Capability = kind(b"BEAR", 7, 1);
/// How many hits have you got?
const STATUS_REQUEST: Capability = kind(b"BEAR", 11, 1);
/// So many.
const STATUS: Capability = kind(b"BEAR", 12, 1);
/// Send me so many of the hits that you have.
const HITS_WANTED: Capability = kind(b"LIME", 11, 2);
/// I have so many hits for you, and am [`UNASKED`] or not.
const HITS_READY: Capability = kind(b"LIME", 12, 2);
/// Pass pushes on to me.
const PROXY_REQUEST: Capability = kind(b"LIME", 21, 1);
/// I shall, here.
const PROXY: Capability = kind(b"LIME", 22, 2);

/// Datagrams reach me although I have not asked for them.
const UNASKED: u8 = 1;

/// What we understand.
pub(super) const UNDERSTOOD: &[Capability] =
    &[HOPS_FLOW, CONNECT_BACK, STATUS_REQUEST, STATUS, PROXY_REQUEST, PROXY];

impl<C: Address> Servent<C> {
    pub(super) fn on_vendor(&mut self, conn: ConnId, message: &Descriptor, cx: &mut Ctx<'_, C>) {
        let Ok(vendor) = VendorMessage::parse(&message.payload) else {
            self.counters.dropped += 1;
            return;
        };
        let guid = message.header.guid;
        if let Ok(Some(kinds)) = vendor.supported() {
            let kinds: Vec<Capability> = kinds.collect();
            return self.met(conn, &kinds, cx);
        }
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let is = |kind: Capability| {
            vendor.of.vendor == kind.vendor && vendor.of.selector == kind.selector
        };
        match vendor.data {
            [most, ..] if is(HOPS_FLOW) => peer.hops_flow = Some(*most),
            [low, high, ..] if is(CONNECT_BACK) => {
                let port = u16::from_le_bytes([*low, *high]);
                self.connect_back(conn, port, cx);
            }
            _ if is(STATUS_REQUEST) => {
                if let Some(search) = self.searches.get(&guid) {
                    let found = u16::try_from(search.found).unwrap_or(u16::MAX - 1);
                    self.send_status(conn, guid, found, cx);
                }
            }
            [low, high, ..] if is(STATUS) => {
                self.heard_status(conn, guid, u16::from_le_bytes([*low, *high]));
            }
            _ if is(PROXY_REQUEST) => self.become_proxy(conn, guid, cx),
            [_, _, _, _, low, high, ..] if is(PROXY) && peer.asked_proxy => {
                // Its own address: others would be led to a victim.
                let port = u16::from_le_bytes([*low, *high]);
                peer.proxy = Some(SocketAddr::new(peer.contact.socket().ip(), port));
            }
            _ => {}
        }
    }

    /// A neighbour has said what it understands.
    fn met(&mut self, conn: ConnId, kinds: &[Capability], cx: &mut Ctx<'_, C>) {
        let config = &self.config;
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        kinds.iter().for_each(|kind| peer.understands(kind.vendor, kind.selector));
        let (vendor, port) = (peer, config.listen.map_or(0, |addr| addr.port()));
        if config.firewalled && vendor.speaks(Speaks::PushProxy) && !vendor.asked_proxy {
            vendor.asked_proxy = true;
            self.say_vendor(conn, PROXY_REQUEST, config.guid, &[], cx);
            return;
        }
        let doubts = config.mode == Mode::Auto && !config.firewalled && !self.was_reached;
        if doubts && port != 0 && vendor.speaks(Speaks::ConnectBack) {
            let guid = Self::new_guid(cx);
            self.say_vendor(conn, CONNECT_BACK, guid, &port.to_le_bytes(), cx);
        }
    }

    /// Shows a neighbour that it can be reached, or not. Only its own host is dialled.
    fn connect_back(&mut self, conn: ConnId, port: u16, cx: &mut Ctx<'_, C>) {
        let Some(peer) = self.peers.get(&conn) else { return };
        let addr = SocketAddr::new(peer.contact.socket().ip(), port);
        let contact = C::from_socket(addr).filter(|_| is_dialable(addr, self.config.local));
        if let Some(contact) = contact.filter(|contact| !self.dialing.contains(contact))
            && self.reaching.len() < limits::PROXIED
            && self.reaching.insert(contact)
        {
            cx.effect(Effect::Dial(contact));
        }
    }

    fn become_proxy(&mut self, conn: ConnId, leaf: Guid, cx: &mut Ctx<'_, C>) {
        let is_leaf = self.peers.get(&conn).is_some_and(|peer| peer.is_leaf());
        let taken = self.proxied.get(&leaf).is_some_and(|through| *through != conn);
        if !is_leaf || taken || self.proxied.len() >= limits::PROXIED {
            return;
        }
        self.proxied.insert(leaf, conn);
        let addr: SocketAddrV4 = self.our_addr();
        let [a, b, c, d] = Ipv4Addr::octets(addr.ip());
        let [low, high] = addr.port().to_le_bytes();
        self.say_vendor(conn, PROXY, leaf, &[a, b, c, d, low, high], cx);
    }

    /// Asks a leaf how many hits it has got.
    pub(super) fn ask_status(&self, leaf: ConnId, guid: Guid, cx: &mut Ctx<'_, C>) {
        if self.peers.get(&leaf).is_some_and(|peer| peer.speaks(Speaks::QueryStatus)) {
            self.say_vendor(leaf, STATUS_REQUEST, guid, &[], cx);
        }
    }

    /// Tells all ultrapeers how many hits a search of ours has got; `u16::MAX` ends it.
    pub(super) fn tell_status(&self, guid: Guid, found: u16, cx: &mut Ctx<'_, C>) {
        for (conn, peer) in &self.peers {
            if peer.is_ultrapeer() && self.role == super::Role::Leaf {
                self.send_status(*conn, guid, found, cx);
            }
        }
    }

    fn send_status(&self, conn: ConnId, guid: Guid, found: u16, cx: &mut Ctx<'_, C>) {
        self.say_vendor(conn, STATUS, guid, &found.to_le_bytes(), cx);
    }

    fn say_vendor(
        &self,
        conn: ConnId,
        of: Capability,
        guid: Guid,
        data: &[u8],
        cx: &mut Ctx<'_, C>,
    ) {
        let payload = VendorMessage { of, data }.to_vec();
        self.send(conn, Header::new(guid, Kind::Vendor, 1), payload, cx);
    }

    /// Offers hits to whoever asked, at the address in the query's name. The offer is smaller than
    /// the query, so that a forged address is worth nothing; whether it could be made.
    pub(super) fn offer_by_udp(&mut self, guid: Guid, found: &[u32], cx: &mut Ctx<'_, C>) -> bool {
        let addr = address_in(guid);
        let contact = C::from_socket(addr).filter(|_| is_dialable(addr, self.config.local));
        let Some(contact) = contact.filter(|_| self.waiting.len() < limits::WAITING_HITS) else {
            return false;
        };
        let hits = self.hits(found, limits::DATAGRAM_HIT_BYTES);
        self.waiting.insert(guid, (cx.now(), contact, hits));
        let count = u8::try_from(found.len()).unwrap_or(u8::MAX);
        self.datagram(contact, HITS_READY, guid, &[count, UNASKED], cx);
        true
    }

    fn datagram(&self, to: C, of: Capability, guid: Guid, data: &[u8], cx: &mut Ctx<'_, C>) {
        let payload = VendorMessage { of, data }.to_vec();
        if let Ok(message) = Descriptor::new(Header::new(guid, Kind::Vendor, 1), payload) {
            cx.effect(Effect::Datagram(to, message));
        }
    }

    pub(super) fn on_udp_vendor(&mut self, from: C, message: &Descriptor, cx: &mut Ctx<'_, C>) {
        let Ok(vendor) = VendorMessage::parse(&message.payload) else {
            self.counters.dropped += 1;
            return;
        };
        let guid = message.header.guid;
        match vendor.data {
            [count, ..] if vendor.of == HITS_READY && self.searches.contains_key(&guid) => {
                self.datagram(from, HITS_WANTED, guid, &[*count], cx);
            }
            [wanted, ..] if vendor.of == HITS_WANTED => {
                let meant = self.waiting.get(&guid).is_some_and(|(_, to, _)| *to == from);
                let Some((_, _, hits)) = meant.then(|| self.waiting.remove(&guid)).flatten() else {
                    self.counters.unroutable += 1;
                    return;
                };
                let mut left = if *wanted == u8::MAX { usize::MAX } else { usize::from(*wanted) };
                for hit in hits {
                    if left == 0 {
                        return;
                    }
                    // A hit begins with the number of its files.
                    left = left.saturating_sub(hit.first().copied().map_or(0, usize::from));
                    let header = Header::new(guid, Kind::QueryHit, 1);
                    if let Ok(message) = Descriptor::new(header, hit) {
                        cx.effect(Effect::Datagram(from, message));
                    }
                }
            }
            _ => self.counters.dropped += 1,
        }
    }
}
