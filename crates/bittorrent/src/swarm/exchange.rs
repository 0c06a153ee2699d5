//! Peers from peers: exchange (BEP 11) and holepunching through a common neighbour (BEP 55). Nodes
//! of the DHT from peers (BEP 5).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use machine::{ConnId, Instant, Side};

use super::message::{DialHint, Effect, Event, PeerSource, limits};
use super::{Ctx, PeerContact, Swarm};
use crate::extension::{Extended, Holepunch, HolepunchError, Pex, PexFlags};
use crate::peer_wire::Frame;

/// What one neighbour has been told, and when it last told us.
#[derive(Debug)]
pub(super) struct PexState<C> {
    told: BTreeMap<C, PexFlags>,
    next_send: Instant,
    next_accept: Instant,
}

impl<C> Default for PexState<C> {
    fn default() -> Self {
        Self { told: BTreeMap::new(), next_send: Instant::ZERO, next_accept: Instant::ZERO }
    }
}

impl<C: Copy + Ord> PexState<C> {
    /// The difference to what was told before, within BEP 11's bound; remembers it as told.
    fn difference(&mut self, current: &BTreeMap<C, PexFlags>) -> Pex<C> {
        let dropped: Vec<C> = self
            .told
            .keys()
            .filter(|contact| !current.contains_key(contact))
            .take(limits::PEX_PEERS_MAX)
            .copied()
            .collect();
        let added: Vec<(C, PexFlags)> = current
            .iter()
            .filter(|(contact, _)| !self.told.contains_key(contact))
            .take(limits::PEX_PEERS_MAX)
            .map(|(contact, flags)| (*contact, *flags))
            .collect();
        for contact in &dropped {
            self.told.remove(contact);
        }
        self.told.extend(added.iter().copied());
        Pex { added, dropped }
    }
}

impl<C: PeerContact> Swarm<C> {
    pub(super) fn exchanges_peers(&self) -> bool {
        self.config.pex && self.content.as_ref().is_none_or(|content| !content.info.private)
    }

    /// The port of our node in the DHT, unless the torrent is private (BEP 27).
    pub(super) fn dht_port(&self) -> Option<u16> {
        let private = self.content.as_ref().is_some_and(|content| content.info.private);
        self.config.dht_port.filter(|_| !private)
    }

    /// A peer says where its node of the DHT is. Its first word counts: each is a host that may
    /// be asked for it.
    pub(super) fn on_port(&mut self, conn: ConnId, port: u16, cx: &mut Ctx<'_, C>) {
        let takes_part = self.dht_port().is_some();
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if port > 0 && takes_part && !core::mem::replace(&mut peer.said_port, true) {
            cx.emit(Event::DhtNode(peer.contact.with_port(port)));
        }
    }

    /// Tells neighbours of each other; called at every tick.
    pub(super) fn send_pex(&mut self, cx: &mut Ctx<'_, C>) {
        let now = cx.now();
        let due = |peer: &super::Peer<C>| peer.extensions.pex && peer.pex.next_send <= now;
        if !self.exchanges_peers() || !self.peers.values().any(due) {
            return;
        }
        let mut current = BTreeMap::new();
        for peer in self.peers.values().filter(|peer| peer.is_ready()) {
            if let Some(listens) = peer.listens {
                let mut flags = PexFlags::default();
                if peer.is_seed() || peer.upload_only {
                    flags.0 |= PexFlags::SEED;
                }
                if peer.extensions.holepunch {
                    flags.0 |= PexFlags::HOLEPUNCH;
                }
                if peer.side == Side::Dialer {
                    flags.0 |= PexFlags::REACHABLE;
                }
                current.insert(listens, flags);
            }
        }
        for (&conn, peer) in self.peers.iter_mut().filter(|(_, peer)| due(peer)) {
            let own = peer.listens.and_then(|own| current.remove_entry(&own));
            let message = peer.pex.difference(&current);
            current.extend(own);
            if message.added.is_empty() && message.dropped.is_empty() {
                peer.pex.next_send = now + limits::PEX_AGAIN;
            } else {
                peer.pex.next_send = now + limits::PEX_INTERVAL;
                cx.effect(Effect::Send(conn, Frame::Extended(Extended::Pex(message))));
            }
        }
    }

    pub(super) fn on_pex(&mut self, conn: ConnId, message: Pex<C>, cx: &mut Ctx<'_, C>) {
        let now = cx.now();
        let exchanges = self.exchanges_peers();
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if !exchanges || now < peer.pex.next_accept {
            return self.offence(conn, cx);
        }
        // Half the interval: others' clocks and first messages are not ours.
        peer.pex.next_accept = now + limits::PEX_INTERVAL / 2;
        let (from_loopback, relay) = (peer.contact.is_loopback(), conn);
        for (contact, flags) in message.added.into_iter().take(limits::PEX_PEERS_MAX) {
            if contact.is_dialable(from_loopback) {
                self.known.add(contact, PeerSource::Pex, flags, now);
                self.relays.insert(contact, relay);
            }
        }
        while self.relays.len() > limits::KNOWN_MAX {
            self.relays.pop_first();
        }
        self.dial(cx);
    }

    /// After a failed dial: asks the neighbour that named the peer to bring us together.
    pub(super) fn try_holepunch(&mut self, contact: C, cx: &mut Ctx<'_, C>) {
        let Some(relay) = self.relays.remove(&contact) else { return };
        if self.peers.get(&relay).is_some_and(|peer| peer.extensions.holepunch) {
            let ask = Extended::Holepunch(Holepunch::Rendezvous(contact));
            cx.effect(Effect::Send(relay, Frame::Extended(ask)));
        }
    }

    pub(super) fn on_holepunch(
        &mut self,
        conn: ConnId,
        message: Holepunch<C>,
        cx: &mut Ctx<'_, C>,
    ) {
        if !self.exchanges_peers() {
            return self.offence(conn, cx);
        }
        match message {
            Holepunch::Rendezvous(target) => self.relay_holepunch(conn, target, cx),
            Holepunch::Connect(contact) => {
                let from_loopback =
                    self.peers.get(&conn).is_some_and(|peer| peer.contact.is_loopback());
                if contact.is_dialable(from_loopback)
                    && !self.known.is_banned(contact)
                    && self.dialing.len() < limits::DIALS_MAX
                    && self.dialing.insert(contact)
                {
                    let hint = DialHint { flags: PexFlags::default(), holepunch: true };
                    cx.effect(Effect::Dial(contact, hint));
                }
            }
            Holepunch::Error(..) => {}
        }
    }

    fn relay_holepunch(&mut self, conn: ConnId, target: C, cx: &mut Ctx<'_, C>) {
        let Some(asker) = self.peers.get(&conn) else { return };
        let asker_at = asker.listens.unwrap_or(asker.contact);
        let found = self.peers.iter().find(|(_, peer)| peer.listens == Some(target));
        let error = match found {
            _ if target == asker_at || target == asker.contact => HolepunchError::NoSelf,
            None => HolepunchError::NotConnected,
            Some((_, peer)) if !peer.extensions.holepunch => HolepunchError::NoSupport,
            Some((&target_conn, _)) => {
                let tell = |to, about| {
                    let connect = Extended::Holepunch(Holepunch::Connect(about));
                    Effect::Send(to, Frame::Extended(connect))
                };
                cx.effect(tell(conn, target));
                cx.effect(tell(target_conn, asker_at));
                return;
            }
        };
        let answer = Extended::Holepunch(Holepunch::Error(target, error));
        cx.effect(Effect::Send(conn, Frame::Extended(answer)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchange_tells_only_differences() {
        let mut state = PexState::<u16>::default();
        let mut current: BTreeMap<u16, PexFlags> =
            (0..60).map(|n| (n, PexFlags::default())).collect();
        assert_eq!(state.difference(&current).added.len(), limits::PEX_PEERS_MAX);
        assert_eq!(state.difference(&current).added.len(), 10);
        current.remove(&3);
        let third = state.difference(&current);
        assert_eq!((third.added.len(), third.dropped), (0, [3].to_vec()));
    }
}
