//! Queries of others out and answers home: a query is sent on once, never back, and to leaves only if
//! their words say that they may have it; a hit goes the way that its query came. Our own are in
//! `searches`.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use machine::{ConnId, Wire};

use super::super::extension::SEPARATOR;
use super::super::ggep::Builder;
use super::super::handshake::Role;
use super::super::{
    Descriptor, Extensions, Frame, Guid, Header, HitBuilder, HitFlags, InfoHash, Kind, MinSpeed,
    Query, QueryHit, Record, Trailer, Urn,
};
use super::dynamic::Led;
use super::library::SharedFile;
use super::message::{Effect, Event, Found, limits};
use super::pings::{packed_addr, unpacked};
use super::routes::Via;
use super::{Address, Ctx, Servent};

/// Speed that hits tell, in kbit/s; nobody measures it.
const SPEED: u32 = 1_000;
/// Push proxies that hits name.
const PROXIES_MAX: usize = 4;
/// Alternate locations that are taken from a hit.
const ALTERNATES_MAX: usize = 16;

impl<C: Address> Servent<C> {
    pub(super) fn on_query(&mut self, conn: ConnId, message: Descriptor, cx: &mut Ctx<'_, C>) {
        self.counters.queries += 1;
        let Some(peer) = self.peers.get(&conn) else { return };
        let from_leaf = peer.is_leaf();
        let header = message.header;
        let Ok(query) = Query::parse(&message.payload) else {
            self.counters.dropped += 1;
            return;
        };
        // A leaf carries nobody's queries but its own.
        if from_leaf && header.hops > 0 {
            self.counters.dropped += 1;
            return;
        }
        if !self.questions.insert(header.guid, Via::Peer(conn)) {
            let home = self.questions.get(header.guid);
            let leads_home =
                |via| matches!(via, Via::Peer(home) if !self.peers.contains_key(&home));
            if !home.is_some_and(leads_home) {
                self.counters.duplicates += 1;
                return;
            }
            // Whoever asked first is gone, and the answers with it.
            self.questions.set(header.guid, Via::Peer(conn));
        }
        self.answer(conn, header, &query, cx);
        if self.role == Role::Leaf {
            return;
        }
        if self.config.query_caching.is_some() && self.answer_from_cache(conn, header, &query, cx) {
            return;
        }
        if from_leaf && self.config.dynamic && header.ttl > 1 {
            self.tell_leaves(Some(conn), &message, &query, cx);
            let led = Led::new(&message, Some(conn), self.config.hits_wanted, cx.now());
            self.take_lead(header.guid, led, cx);
        } else {
            self.tell_leaves(Some(conn), &message, &query, cx);
            self.flood(Some(conn), &message, cx);
        }
    }

    /// Sends a query to the leaves that may answer it, whatever is left of its life.
    pub(super) fn tell_leaves(
        &mut self,
        but: Option<ConnId>,
        message: &Descriptor,
        query: &Query<'_>,
        cx: &mut Ctx<'_, C>,
    ) {
        let header = message.header;
        let (ttl, hops) = (header.ttl.saturating_sub(1).max(1), header.hops.saturating_add(1));
        let onward = Descriptor { header: Header { ttl, hops, ..header }, ..message.clone() };
        self.hashes.set(query);
        for (conn, peer) in &self.peers {
            let wants = peer.hops_flow.is_none_or(|most| hops <= most);
            if Some(*conn) == but || !wants || !peer.is_leaf() {
                continue;
            }
            if peer.table.table().is_some_and(|table| table.may_answer(&self.hashes)) {
                self.counters.queries_sent += 1;
                cx.effect(Effect::Send(*conn, Frame::Message(onward.clone())));
            }
        }
    }

    /// Sends a query to all ultrapeers; on its last hop only to those whose words say that they or
    /// their leaves may answer it. Expects its hashes to be set.
    pub(super) fn flood(&mut self, but: Option<ConnId>, message: &Descriptor, cx: &mut Ctx<'_, C>) {
        let Some(header) = message.header.forwarded() else { return };
        let onward = Descriptor { header, ..message.clone() };
        for (conn, peer) in &self.peers {
            if Some(*conn) == but || !peer.is_ultrapeer() {
                continue;
            }
            let last = header.ttl == 1;
            let is_there = |table: &super::Table| table.may_answer(&self.hashes);
            if last && !peer.table.table().is_none_or(is_there) {
                continue;
            }
            self.counters.queries_sent += 1;
            cx.effect(Effect::Send(*conn, Frame::Message(onward.clone())));
        }
    }

    /// Answers what we share ourselves.
    fn answer(&mut self, conn: ConnId, header: Header, query: &Query<'_>, cx: &mut Ctx<'_, C>) {
        // Neither could reach the other.
        if query.speed.has(MinSpeed::FIREWALLED) && self.config.firewalled {
            return;
        }
        let most = query.speed.max_hits().map_or(limits::RESULTS, usize::from);
        let found = self.library.find(query, most.min(limits::RESULTS));
        if found.is_empty() {
            return;
        }
        if query.speed.has(MinSpeed::OUT_OF_BAND)
            && self.config.out_of_band
            && !self.config.firewalled
            && header.hops > 0
            && self.offer_by_udp(header.guid, &found, cx)
        {
            return;
        }
        let ttl = header.hops.saturating_add(2).min(self.config.ttl_max);
        for hit in self.hits(&found, limits::HIT_BYTES) {
            self.send(conn, Header::new(header.guid, Kind::QueryHit, ttl), hit, cx);
        }
    }

    /// Answers as others were answered before; whether that is enough.
    fn answer_from_cache(
        &mut self,
        conn: ConnId,
        header: Header,
        query: &Query<'_>,
        cx: &mut Ctx<'_, C>,
    ) -> bool {
        let question = query.criteria.to_ascii_lowercase();
        if query.extensions().urns().next().is_some() {
            return false;
        }
        let kept: Vec<_> = self.answers.get(&question).to_vec();
        if kept.is_empty() {
            self.answers.asked(header.guid, &question, cx.now());
            return false;
        }
        self.counters.cached += 1;
        let ttl = header.hops.saturating_add(2).min(self.config.ttl_max);
        for payload in kept {
            let header = Header::new(header.guid, Kind::QueryHit, ttl);
            cx.effect(Effect::Send(conn, Frame::Message(Descriptor { header, payload })));
        }
        true
    }

    /// The payloads of hits for these files, each of about `bytes` at most.
    pub(super) fn hits(&self, found: &[u32], bytes: usize) -> Vec<Vec<u8>> {
        let (mut hits, mut builder) = (Vec::new(), self.empty_hit());
        let mut count = 0;
        for index in found {
            let Some(file) = self.library.get(*index) else { continue };
            let extra = extra(file, self.library.torrent(*index));
            let record = Record {
                index: *index,
                size: u32::try_from(file.len).unwrap_or(u32::MAX),
                name: file.name.as_bytes(),
                extra: &extra,
            };
            // A name that cannot be said is not told.
            if builder.add(&record).is_err() {
                continue;
            }
            count += 1;
            if count == limits::RECORDS_PER_HIT || builder.len() > bytes {
                count = 0;
                hits.push(self.finish_hit(core::mem::replace(&mut builder, self.empty_hit())));
            }
        }
        if !builder.is_empty() {
            hits.push(self.finish_hit(builder));
        }
        hits
    }

    /// Everything that it shares, as browsing is answered: messages of hits, one after the other.
    #[must_use]
    pub fn listing(&self) -> Vec<u8> {
        let all: Vec<u32> = self.library.iter().map(|(index, _)| index).collect();
        let mut bytes = Vec::new();
        for hit in self.hits(&all, limits::HIT_BYTES) {
            let header = Header::new(Guid::default(), Kind::QueryHit, 1);
            if let Ok(message) = Descriptor::new(header, hit) {
                message.encode(&mut bytes);
            }
        }
        bytes
    }

    fn empty_hit(&self) -> HitBuilder {
        HitBuilder::new(self.our_addr(), SPEED)
    }

    fn finish_hit(&self, builder: HitBuilder) -> Vec<u8> {
        let flags = HitFlags {
            push: Some(self.config.firewalled),
            busy: Some(false),
            ggep: true,
            ..HitFlags::default()
        };
        let mut block = Builder::new();
        let mut added = block.add(b"BH", &[]);
        let mut proxies = Vec::new();
        if self.config.firewalled {
            for addr in self.peers.values().filter_map(|peer| peer.proxy).take(PROXIES_MAX) {
                if let SocketAddr::V4(addr) = addr {
                    proxies.extend(packed_addr(addr));
                }
            }
        }
        if !proxies.is_empty() {
            added = added.and(block.add(b"PUSH", &proxies));
        }
        let private = if added.is_ok() { block.finish() } else { Vec::new() };
        let open = flags.to_bytes();
        let trailer = Trailer { vendor: self.config.vendor, open: &open, private: &private };
        builder.finish(Some(&trailer), self.config.guid)
    }

    pub(super) fn on_hit(
        &mut self,
        conn: Option<ConnId>,
        message: &Descriptor,
        cx: &mut Ctx<'_, C>,
    ) {
        let header = message.header;
        let Ok(hit) = QueryHit::parse(&message.payload) else {
            self.counters.dropped += 1;
            return;
        };
        let peer = conn.and_then(|conn| self.peers.get(&conn));
        if header.hops > 0 && peer.is_some_and(super::Peer::is_leaf) {
            self.counters.dropped += 1;
            return;
        }
        let home = self.questions.get(header.guid);
        if let Some(led) = self.led.get_mut(&header.guid).filter(|_| home.is_some()) {
            led.hits = led.hits.saturating_add(u32::from(hit.count));
        }
        match home {
            Some(Via::Us) => {
                if let Some(conn) = conn {
                    self.servents.set(hit.servent, Via::Peer(conn));
                }
                self.found(header.guid, &hit, cx);
            }
            Some(Via::Peer(home))
                if conn.is_some() && Some(home) != conn && self.peers.contains_key(&home) =>
            {
                if let Some(conn) = conn {
                    self.servents.set(hit.servent, Via::Peer(conn));
                }
                self.answers.heard(header.guid, &message.payload);
                let Some(header) = header.forwarded() else {
                    self.counters.dropped += 1;
                    return;
                };
                self.counters.hits_routed += 1;
                let payload = message.payload.clone();
                cx.effect(Effect::Send(home, Frame::Message(Descriptor { header, payload })));
            }
            _ => self.counters.unroutable += 1,
        }
    }

    /// Tells the user who asked.
    fn found(&mut self, guid: Guid, hit: &QueryHit<'_>, cx: &mut Ctx<'_, C>) {
        let Some(search) = self.searches.get_mut(&guid) else { return };
        search.found = search.found.saturating_add(u32::from(hit.count));
        let op = search.op;
        let flags = hit.trailer.and_then(|trailer| trailer.flags()).unwrap_or_default();
        let extensions = hit.trailer.and_then(|trailer| trailer.extensions());
        let proxies = extensions.map_or_else(Vec::new, |items| addresses(items, b"PUSH"));
        for record in hit.records {
            let urns = || record.urns();
            cx.answer(
                op,
                Event::Found(Found {
                    addr: SocketAddr::V4(hit.addr),
                    servent: hit.servent,
                    vendor: hit.trailer.map(|trailer| trailer.vendor),
                    speed: hit.speed,
                    push: flags.push == Some(true),
                    busy: flags.busy == Some(true),
                    proxies: proxies.clone(),
                    index: record.index,
                    name: String::from_utf8_lossy(record.name).into_owned(),
                    len: record.len(),
                    sha1: urns().find_map(|urn| urn.sha1()),
                    tree: urns().find_map(|urn| urn.tiger()),
                    infohash: urns().find_map(|urn| urn.infohash()),
                    alternates: addresses(record.extensions(), b"ALT"),
                }),
            );
        }
    }
}

/// What is said of a file beside its name and length.
fn extra(file: &SharedFile, torrent: Option<InfoHash>) -> Vec<u8> {
    let mut extra = Urn::Sha1(file.sha1).to_text().into_bytes();
    // Behind the hash: some look at the first URN alone.
    if let Some(torrent) = torrent {
        extra.push(SEPARATOR);
        extra.extend(Urn::Torrent(torrent).to_text().into_bytes());
    }
    let mut block = Builder::without_zeros();
    let bitprint = file.tree.map(|tree| Urn::Bitprint(file.sha1, tree));
    let mut added = Ok(());
    if let Some(value) = bitprint.and_then(|urn| urn.to_ggep()) {
        added = added.and(block.add(b"H", &value));
    }
    if u32::try_from(file.len).is_err() {
        let bytes = file.len.to_le_bytes();
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
        added = added.and(block.add(b"LF", &bytes[..used]));
    }
    let block = block.finish();
    if added.is_ok() && !block.is_empty() {
        extra.push(SEPARATOR);
        extra.extend(block);
    }
    extra
}

/// Addresses that a value packs.
fn addresses(extensions: Extensions<'_>, id: &[u8]) -> Vec<SocketAddr> {
    let value = extensions.item(id).and_then(|item| item.value().ok().map(|v| v.into_owned()));
    value.map_or_else(Vec::new, |value| unpacked(&value).take(ALTERNATES_MAX).collect())
}

/// Where a query that may be answered by UDP wants its answers: its name says so.
pub(super) fn address_in(guid: Guid) -> SocketAddr {
    let Guid([a, b, c, d, .., low, high, _]) = guid;
    SocketAddr::new(IpAddr::from([a, b, c, d]), u16::from_le_bytes([low, high]))
}
