//! Pushes: how a servent that cannot be reached is asked to connect to somebody. They go the way
//! that its hits came, or through ultrapeers that it named as its proxies.

use alloc::collections::BTreeMap;
use core::net::SocketAddr;

use machine::{ConnId, Instant};

use super::super::{Descriptor, Frame, Guid, Header, Kind, Push};
use super::address::is_dialable;
use super::message::{Effect, Event, limits};
use super::routes::Via;
use super::{Address, Ctx, Servent};

/// Proxies that one push is sent through.
const PROXIES_MAX: usize = 4;

/// How often pushes led to each host of late.
pub(super) struct PushLimit<H> {
    hosts: BTreeMap<H, u8>,
    since: Instant,
}

impl<H> Default for PushLimit<H> {
    fn default() -> Self {
        Self { hosts: BTreeMap::new(), since: Instant::ZERO }
    }
}

impl<H: Ord> PushLimit<H> {
    /// Counts a push that leads to a host; whether it is one too many.
    fn is_exceeded(&mut self, host: H, now: Instant) -> bool {
        if now - self.since >= limits::PUSH_WINDOW {
            self.hosts.clear();
            self.since = now;
        }
        if self.hosts.len() >= limits::PUSH_HOSTS && !self.hosts.contains_key(&host) {
            return true;
        }
        let count = self.hosts.entry(host).or_insert(0);
        *count = count.saturating_add(1);
        *count > limits::PUSHES_PER_HOST
    }
}

impl<C: Address> Servent<C> {
    pub(super) fn on_push(&mut self, conn: ConnId, message: &Descriptor, cx: &mut Ctx<'_, C>) {
        let Ok(push) = Push::parse(&message.payload) else {
            self.counters.dropped += 1;
            return;
        };
        let to = SocketAddr::V4(push.addr);
        if !self.may_lead_to(to, cx.now()) {
            self.counters.dropped += 1;
            return;
        }
        if push.servent == self.config.guid {
            return cx.emit(Event::PushWanted { to, index: push.index });
        }
        let route = self.servents.get(push.servent);
        let proxied = self.proxied.get(&push.servent).copied().map(Via::Peer);
        match proxied.or(route) {
            Some(Via::Peer(home)) if home != conn && self.peers.contains_key(&home) => {
                let Some(header) = message.header.forwarded() else {
                    self.counters.dropped += 1;
                    return;
                };
                self.counters.pushes += 1;
                let payload = message.payload.clone();
                cx.effect(Effect::Send(home, Frame::Message(Descriptor { header, payload })));
            }
            _ => self.counters.unroutable += 1,
        }
    }

    /// A push by UDP counts if it leads back to whoever sent it, or comes from a neighbour.
    pub(super) fn on_udp_push(&mut self, from: C, message: &Descriptor, cx: &mut Ctx<'_, C>) {
        let Ok(push) = Push::parse(&message.payload) else {
            self.counters.dropped += 1;
            return;
        };
        let to = SocketAddr::V4(push.addr);
        let is_own = from.socket().ip() == to.ip();
        let is_neighbour = self.peers.values().any(|peer| peer.contact.host() == from.host());
        if !(is_own || is_neighbour) || !self.may_lead_to(to, cx.now()) {
            self.counters.dropped += 1;
            return;
        }
        if push.servent == self.config.guid {
            return cx.emit(Event::PushWanted { to, index: push.index });
        }
        if !self.relay_push(push.servent, push.index, to, cx) {
            self.counters.unroutable += 1;
        }
    }

    /// Whether a push may make us, or others, connect to an address.
    fn may_lead_to(&mut self, to: SocketAddr, now: Instant) -> bool {
        let contact = C::from_socket(to).filter(|_| is_dialable(to, self.config.local));
        contact.is_some_and(|contact| !self.push_limit.is_exceeded(contact.host(), now))
    }

    /// Asks a servent to connect to us; whether there is a way to it.
    pub(super) fn push(
        &mut self,
        servent: Guid,
        index: u32,
        proxies: &[C],
        cx: &mut Ctx<'_, C>,
    ) -> bool {
        let push = Push { servent, index, addr: self.our_addr(), extra: &[] };
        let payload = push.to_vec();
        let header = Header::new(Self::new_guid(cx), Kind::Push, self.config.ttl_max);
        let Ok(message) = Descriptor::new(header, payload) else { return false };
        let route = self.servents.get(servent);
        let proxied = self.proxied.get(&servent).copied().map(Via::Peer);
        let mut sent = false;
        if let Some(Via::Peer(home)) = proxied.or(route)
            && self.peers.contains_key(&home)
        {
            cx.effect(Effect::Send(home, Frame::Message(message.clone())));
            sent = true;
        }
        for proxy in proxies.iter().take(PROXIES_MAX) {
            if is_dialable(proxy.socket(), self.config.local) {
                cx.effect(Effect::Datagram(*proxy, message.clone()));
                sent = true;
            }
        }
        sent
    }

    /// Passes a push on to a leaf of ours.
    pub(super) fn relay_push(
        &mut self,
        servent: Guid,
        index: u32,
        to: SocketAddr,
        cx: &mut Ctx<'_, C>,
    ) -> bool {
        let Some(leaf) = self.proxied.get(&servent).copied() else { return false };
        let SocketAddr::V4(addr) = to else { return false };
        let payload = Push { servent, index, addr, extra: &[] }.to_vec();
        self.counters.pushes += 1;
        self.say(leaf, Kind::Push, 1, payload, cx);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gn_10_pushes_are_limited_by_where_they_lead() {
        let mut limit: PushLimit<u32> = PushLimit::default();
        let now = Instant::ZERO;
        for n in 1..20 {
            assert_eq!(limit.is_exceeded(7, now), n > limits::PUSHES_PER_HOST);
        }
        for host in 100..1_000 {
            limit.is_exceeded(host, now);
        }
        assert!(limit.hosts.len() <= limits::PUSH_HOSTS && limit.is_exceeded(5_000, now));
        assert!(!limit.is_exceeded(7, now + limits::PUSH_WINDOW));
    }
}
