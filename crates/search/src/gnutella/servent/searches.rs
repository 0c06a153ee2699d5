//! Searches of our own user: asked of ultrapeers, asked again when an ultrapeer has gone, and ended.
//! What they find comes home in `querying`.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{SocketAddr, SocketAddrV4};
use core::time::Duration;

use machine::{ConnId, Instant, OpId};

use super::super::handshake::Role;
use super::super::{Descriptor, Frame, Guid, Header, Kind, MinSpeed, Query, Sha1, Urn};
use super::dynamic::Led;
use super::message::{Effect, Event, limits};
use super::peer::Peer;
use super::routes::Via;
use super::{Address, Ctx, Servent};

/// How long leaves that were orphaned together have to find ultrapeers before they are asked again.
const RENAMED_AFTER: Duration = Duration::from_secs(5);
/// How often one search gets a new name.
const RENAMED_MAX: u8 = 4;

/// A search of our own user, under one of its names.
pub(super) struct Search {
    pub(super) op: OpId,
    pub(super) found: u32,
    begun: Instant,
    message: Descriptor,
    /// Since when an ultrapeer that it was asked of is gone.
    lost: Option<Instant>,
    /// Names that it has had before; [`u8::MAX`] if this is one of them.
    renamed: u8,
}

impl Search {
    /// Whether this is its latest name.
    const fn is_current(&self) -> bool {
        self.renamed != u8::MAX
    }

    fn is_fresh(&self, now: Instant) -> bool {
        now - self.begun < limits::FRESH
    }
}

impl<C: Address> Servent<C> {
    pub(super) fn search(
        &mut self,
        op: OpId,
        words: &str,
        sha1: Option<Sha1>,
        cx: &mut Ctx<'_, C>,
    ) {
        let criteria = words.trim();
        let is_empty = criteria.is_empty() && sha1.is_none();
        if is_empty || criteria.contains('\0') || self.searches.len() >= limits::SEARCHES {
            return cx.answer(op, Event::SearchRefused);
        }
        let mut speed = MinSpeed::MARK.with(MinSpeed::GGEP_H);
        if self.config.firewalled {
            speed = speed.with(MinSpeed::FIREWALLED);
        }
        if self.role == Role::Leaf {
            speed = speed.with(MinSpeed::LEAF_GUIDED);
        }
        if self.udp_address().is_some() {
            speed = speed.with(MinSpeed::OUT_OF_BAND);
        }
        let guid = self.name_of_query(cx);
        let extra = sha1.map_or_else(String::new, |sha1| Urn::Sha1(sha1).to_text());
        // A hash alone is asked for with words that no file has.
        let criteria = if criteria.is_empty() { "\\" } else { criteria };
        let query = Query { speed, criteria: criteria.as_bytes(), extra: extra.as_bytes() };
        let ttl = self.config.ttl.min(self.config.ttl_max);
        let header = Header::new(guid, Kind::Query, ttl);
        let message = query.to_vec().and_then(|payload| Descriptor::new(header, payload));
        let Ok(message) = message else { return cx.answer(op, Event::SearchRefused) };
        self.questions.insert(guid, Via::Us);
        let begun = cx.now();
        let search =
            Search { op, found: 0, begun, message: message.clone(), lost: None, renamed: 0 };
        self.searches.insert(guid, search);
        if self.role == Role::Leaf {
            return self.ask_all(&message, cx);
        }
        self.tell_leaves(None, &message, &query, cx);
        if self.config.dynamic {
            let led = Led::new(&message, None, self.config.hits_wanted, cx.now());
            self.take_lead(guid, led, cx);
        } else {
            // Our own query has not been forwarded: its life is spent from here.
            self.flood_own(&message, cx);
        }
    }

    /// Sends a query of our own to all ultrapeers.
    fn flood_own(&mut self, message: &Descriptor, cx: &mut Ctx<'_, C>) {
        for (conn, _) in self.peers.iter().filter(|(_, peer)| peer.is_ultrapeer()) {
            self.counters.queries_sent += 1;
            cx.effect(Effect::Send(*conn, Frame::Message(message.clone())));
        }
    }

    /// Where hits may be sent by UDP.
    fn udp_address(&self) -> Option<SocketAddrV4> {
        match self.config.listen.filter(|_| self.config.out_of_band && !self.config.firewalled) {
            Some(SocketAddr::V4(addr)) => Some(addr),
            _ => None,
        }
    }

    /// A name for a query of ours, which says where hits may be sent by UDP.
    fn name_of_query(&self, cx: &mut Ctx<'_, C>) -> Guid {
        let mut guid = Self::new_guid(cx);
        if let Some(addr) = self.udp_address() {
            guid.0[..4].copy_from_slice(&addr.ip().octets());
            guid.0[13..15].copy_from_slice(&addr.port().to_le_bytes());
        }
        guid
    }

    /// Sends a query of a leaf to all of its ultrapeers.
    fn ask_all(&self, message: &Descriptor, cx: &mut Ctx<'_, C>) {
        for hub in self.ups(None) {
            cx.effect(Effect::Send(hub, Frame::Message(message.clone())));
        }
    }

    /// Asks a new ultrapeer what we are looking for.
    pub(super) fn ask_again(&self, conn: ConnId, cx: &mut Ctx<'_, C>) {
        if self.role != Role::Leaf {
            return;
        }
        let now = cx.now();
        let ours = self.searches.values();
        for search in ours.filter(|search| search.is_current() && search.is_fresh(now)) {
            cx.effect(Effect::Send(conn, Frame::Message(search.message.clone())));
        }
    }

    /// Ultrapeers have gone with our queries: who heard them through those answers nobody.
    pub(super) fn lose(&mut self, now: Instant) {
        self.searches.values_mut().for_each(|search| search.lost = search.lost.or(Some(now)));
    }

    /// Asks under a new name what was lost with an ultrapeer a while ago: the old name is known
    /// everywhere, and leads nowhere.
    pub(super) fn rename_lost(&mut self, cx: &mut Ctx<'_, C>) {
        let now = cx.now();
        let is_due = |search: &Search| {
            search.is_current()
                && search.is_fresh(now)
                && search.renamed < RENAMED_MAX
                && search.lost.is_some_and(|lost| now - lost >= RENAMED_AFTER)
        };
        if self.searches.is_empty() || self.count(Peer::is_ultrapeer) == 0 {
            return;
        }
        let due = self.searches.iter().filter(|(_, search)| is_due(search));
        let due: Vec<Guid> = due.map(|(guid, _)| *guid).collect();
        for old in due {
            if self.searches.len() >= limits::SEARCHES {
                return;
            }
            let guid = self.name_of_query(cx);
            // What was asked under the old name of others is still answered under it.
            let Some(search) = self.searches.get_mut(&old) else { continue };
            let header = Header { guid, ..search.message.header };
            let message = Descriptor { header, ..search.message.clone() };
            let renamed = search.renamed + 1;
            search.renamed = u8::MAX;
            let search = Search { message: message.clone(), lost: None, renamed, ..*search };
            self.questions.insert(guid, Via::Us);
            self.searches.insert(guid, search);
            if self.role == Role::Leaf {
                self.ask_all(&message, cx);
            } else if self.config.dynamic {
                let led = Led::new(&message, None, self.config.hits_wanted, now);
                self.take_lead(guid, led, cx);
            } else {
                self.flood_own(&message, cx);
            }
        }
    }

    pub(super) fn stop_search(&mut self, op: OpId, cx: &mut Ctx<'_, C>) {
        let ended: Vec<Guid> = self
            .searches
            .iter()
            .filter(|(_, search)| search.op == op)
            .map(|(guid, _)| *guid)
            .collect();
        for guid in ended {
            self.searches.remove(&guid);
            self.led.remove(&guid);
            self.tell_status(guid, u16::MAX, cx);
        }
    }
}
