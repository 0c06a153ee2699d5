//! How queries are answered.

use alloc::vec::Vec;

use machine::Cx;
use machine::dht::{Contact, Key};

use super::bytes::Transaction;
use super::items::Offer;
use super::machine::{Kademlia, seconds};
use super::message::{Body, Found, Message, Put, Query, Refusal, Reply, Want};

impl<C: Contact> Kademlia<C> {
    pub(super) fn on_query(
        &mut self,
        from: C,
        transaction: Transaction,
        read_only: bool,
        query: Query,
        cx: &mut Cx<'_, Self>,
    ) {
        if self.config.read_only {
            return;
        }
        if let Some(limiter) = &mut self.limiter
            && !limiter.allows(&from.host(), &self.secret, cx.now())
        {
            return;
        }
        let body = match self.answer(&from, query, cx) {
            Ok(reply) => Body::Reply(reply),
            Err(refusal) => Body::Refusal(refusal),
        };
        cx.send(from, Message { transaction, body });
        if !read_only && self.is_kin(&from) && self.table.heard(from, &self.config) {
            self.probe(from, cx);
        }
    }

    fn answer(
        &mut self,
        from: &C,
        query: Query,
        cx: &mut Cx<'_, Self>,
    ) -> Result<Reply<C>, Refusal> {
        let now = cx.now();
        Ok(match query {
            Query::Ping => Reply::plain(),
            Query::FindNode { target, want } => {
                Reply { nodes: self.closest(&target, want, from), ..Reply::plain() }
            }
            Query::Get { target, seq, want } => {
                let stored = self.storage.as_ref().and_then(|storage| storage.items.get(&target));
                let found = match stored.map(|stored| &stored.item) {
                    None => Found::Nothing,
                    Some(item) => match (item.seq(), seq) {
                        (Some(current), Some(known)) if current <= known => Found::Seq(current),
                        _ => Found::Item(item.clone()),
                    },
                };
                let nodes = self.closest(&target, want, from);
                Reply { nodes, token: Some(self.token_for(from, now).into()), found }
            }
            Query::GetPeers { info_hash, want } => {
                let peers = self
                    .storage
                    .as_ref()
                    .and_then(|storage| storage.peers.peers(&info_hash, cx.rng()));
                let nodes = self.closest(&info_hash, want, from);
                let found = peers.map_or(Found::Nothing, Found::Peers);
                Reply { nodes, token: Some(self.token_for(from, now).into()), found }
            }
            Query::AnnouncePeer { info_hash, token, port } => {
                if !self.secret.accepts(&token, &from.host(), now) {
                    return Err(Refusal::Protocol);
                }
                let addr = (self.config.endpoint)(from, port).ok_or(Refusal::Protocol)?;
                if !self.storage().peers.announce(info_hash, addr, seconds(now)) {
                    return Err(Refusal::Server);
                }
                Reply::plain()
            }
            Query::Put(put) => {
                if !self.secret.accepts(&put.token, &from.host(), now) {
                    return Err(Refusal::Protocol);
                }
                self.store(*put, from, cx)?;
                Reply::plain()
            }
            Query::SampleInfohashes { target, want } => {
                let nodes = self.closest(&target, want, from);
                let found = Found::Samples(self.storage().peers.sample(seconds(now), cx.rng()));
                Reply { nodes, token: None, found }
            }
            Query::Unknown => return Err(Refusal::UnknownMethod),
        })
    }

    /// Keeps an item for `from`.
    pub(super) fn store(
        &mut self,
        put: Put,
        from: &C,
        cx: &mut Cx<'_, Self>,
    ) -> Result<(), Refusal> {
        let now = seconds(cx.now());
        let Put { target, item, cas, age, .. } = put;
        let published = now.saturating_sub(age);
        let expires = published.saturating_add(self.lifetime(&target));
        if expires <= now {
            return Ok(());
        }
        let offer = Offer { target, item, cas, host: from.host(), published, expires };
        let config = self.config.clone();
        self.storage().items.put(offer, now, &config)
    }

    /// How long an item is kept, in seconds: halved for each node beyond k that is closer to it
    /// (Kademlia, section 2.3, against over-caching).
    fn lifetime(&self, target: &Key) -> u32 {
        let full = u32::try_from(self.config.item_expiry.as_secs()).unwrap_or(u32::MAX);
        if !self.config.cache {
            return full;
        }
        let beyond =
            self.table.closer(target, self.config.k + 32).saturating_sub(self.config.k - 1);
        full.checked_shr(beyond as u32).unwrap_or(0)
    }

    /// Nodes for a reply.
    fn closest(&self, target: &Key, want: Want, from: &C) -> Vec<C> {
        let (kin, foreign) = match (want, self.is_v6()) {
            (Want::Same, _) | (Want::V4, false) | (Want::V6, true) => (true, false),
            (Want::V4, true) | (Want::V6, false) => (false, true),
            (Want::Both, _) => (true, true),
        };
        let mut nodes = Vec::new();
        if kin {
            nodes.reserve_exact(self.config.k);
            self.table.closest(target, self.config.k, Some(from), &mut nodes);
        }
        if foreign {
            nodes.extend_from_slice(&self.foreign);
        }
        nodes
    }
}
