//! Dynamic querying (Fisk, 2003): an ultrapeer leads a query, its own or a leaf's, to one neighbour
//! after the other, with a life that follows from how rare the answers are, and stops when there
//! are enough.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use machine::{ConnId, Instant};

use super::super::{Descriptor, Frame, Guid, Header, MinSpeed, Query};
use super::message::{Effect, Event, limits};
use super::{Address, Ctx, Servent};

/// Neighbours that are probed at first, all at once.
const PROBED: usize = 3;
/// Neighbours below which nobody is probed: all are asked, one by one.
const PROBING_FROM: usize = 6;
/// How long a query is led on.
const LIFE: Duration = Duration::from_secs(200);
/// Hosts after which a query has been led far enough.
const HORIZON_MAX: u64 = 110_000;

/// A query that is led on.
pub(super) struct Led {
    message: Descriptor,
    /// Which leaf asks; `None` is our own user.
    pub(super) from: Option<ConnId>,
    /// Hits so far, as many as have come by or as the leaf says.
    pub(super) hits: u32,
    wanted: u32,
    asked: BTreeSet<ConnId>,
    /// Hosts that it may have reached.
    horizon: u64,
    next: Instant,
    until: Instant,
    /// Everybody has been asked, and the user was told.
    told: bool,
}

impl Led {
    pub(super) fn new(
        message: &Descriptor,
        from: Option<ConnId>,
        wanted: u32,
        now: Instant,
    ) -> Self {
        Self {
            message: message.clone(),
            from,
            hits: 0,
            wanted,
            asked: BTreeSet::new(),
            horizon: 0,
            next: now,
            until: now + LIFE,
            told: false,
        }
    }
}

/// A neighbour that could be asked next.
struct Candidate {
    conn: ConnId,
    degree: u32,
    max_ttl: u8,
    /// Its words say that it or its leaves may answer.
    may_answer: bool,
}

impl<C: Address> Servent<C> {
    /// Leads a query from now on, if there is room for it.
    pub(super) fn take_lead(&mut self, guid: Guid, led: Led, cx: &mut Ctx<'_, C>) {
        if let Some(leaf) = led.from {
            let same = self.led.iter().filter(|(_, other)| other.from == Some(leaf));
            let (count, oldest) = same.fold((0, None), |(count, oldest), (guid, other)| {
                let older = oldest.filter(|(_, until)| *until <= other.until);
                (count + 1, older.or(Some((*guid, other.until))))
            });
            // A leaf may have forgotten what it asked long ago; what it asks now matters.
            if let Some((oldest, _)) = oldest.filter(|_| count >= limits::LED_PER_LEAF) {
                self.led.remove(&oldest);
            }
        }
        if self.led.len() >= limits::LED {
            self.counters.dropped += 1;
            return;
        }
        self.led.insert(guid, led);
        self.step(guid, cx);
    }

    /// Leads on whatever is due.
    pub(super) fn lead(&mut self, cx: &mut Ctx<'_, C>) {
        let now = cx.now();
        let due: Vec<Guid> =
            self.led.iter().filter(|(_, led)| led.next <= now).map(|(guid, _)| *guid).collect();
        due.into_iter().for_each(|guid| self.step(guid, cx));
    }

    fn step(&mut self, guid: Guid, cx: &mut Ctx<'_, C>) {
        let Some(mut led) = self.led.remove(&guid) else { return };
        let now = cx.now();
        let is_over = led.hits >= led.wanted || now >= led.until || led.horizon >= HORIZON_MAX;
        if !is_over {
            let candidates = self.candidates(&led);
            if candidates.is_empty() && !led.told {
                led.told = true;
                self.tell_led(&led, cx);
            }
            self.ask_next(&mut led, &candidates, cx);
            led.next = now + self.config.dynamic_pause;
            let guided = Query::parse(&led.message.payload)
                .is_ok_and(|query| query.speed.has(MinSpeed::LEAF_GUIDED));
            if let Some(leaf) = led.from.filter(|_| guided) {
                self.ask_status(leaf, guid, cx);
            }
            // Those who connect later may be asked as long as its life lasts.
            self.led.insert(guid, led);
        } else if !led.told {
            self.tell_led(&led, cx);
        }
    }

    fn tell_led(&self, led: &Led, cx: &mut Ctx<'_, C>) {
        if led.from.is_none()
            && let Some(search) = self.searches.get(&led.message.header.guid)
        {
            cx.answer(search.op, Event::SearchLed);
        }
    }

    fn candidates(&mut self, led: &Led) -> Vec<Candidate> {
        let Ok(query) = Query::parse(&led.message.payload) else { return Vec::new() };
        self.hashes.set(&query);
        let peers = self.peers.iter().filter(|(conn, peer)| {
            peer.is_ultrapeer() && Some(**conn) != led.from && !led.asked.contains(conn)
        });
        let candidate = |(conn, peer): (&ConnId, &super::Peer<C>)| Candidate {
            conn: *conn,
            degree: peer.degree,
            max_ttl: peer.max_ttl,
            may_answer: peer.table.table().is_some_and(|table| table.may_answer(&self.hashes)),
        };
        peers.map(candidate).collect()
    }

    fn ask_next(&mut self, led: &mut Led, candidates: &[Candidate], cx: &mut Ctx<'_, C>) {
        if led.asked.is_empty() && candidates.len() >= PROBING_FROM {
            let probed: Vec<_> = candidates.iter().filter(|c| c.may_answer).take(PROBED).collect();
            for candidate in &probed {
                self.ask(led, candidate, 1, cx);
            }
            if !probed.is_empty() {
                return;
            }
        }
        let Some(candidate) = cx.rng().pick(candidates) else { return };
        let most = candidate.max_ttl.min(led.message.header.ttl).max(1);
        let ttl = match u64::from(led.hits) {
            0 => most,
            hits => {
                let missing = u64::from(led.wanted.saturating_sub(led.hits));
                let needed = led.horizon.max(1) * missing / hits / candidates.len() as u64;
                (1..most).find(|ttl| reach(candidate.degree, *ttl) >= needed).unwrap_or(most)
            }
        };
        self.ask(led, candidate, ttl, cx);
    }

    fn ask(&mut self, led: &mut Led, candidate: &Candidate, ttl: u8, cx: &mut Ctx<'_, C>) {
        led.asked.insert(candidate.conn);
        led.horizon = led.horizon.saturating_add(reach(candidate.degree, ttl));
        let hops = u8::from(led.from.is_some());
        let header = Header { ttl, hops, ..led.message.header };
        let message = Descriptor { header, ..led.message.clone() };
        self.counters.queries_sent += 1;
        cx.effect(Effect::Send(candidate.conn, Frame::Message(message)));
    }

    /// A leaf says how many hits it has got, or that it wants no more.
    pub(super) fn heard_status(&mut self, leaf: ConnId, guid: Guid, hits: u16) {
        let Some(led) = self.led.get_mut(&guid).filter(|led| led.from == Some(leaf)) else {
            return;
        };
        if hits == u16::MAX {
            self.led.remove(&guid);
            return;
        }
        // Of what comes by some is filtered away by the leaf.
        led.hits = u32::from(hits);
    }
}

/// Ultrapeers that a query with this life reaches through a neighbour, if nobody hears it twice.
fn reach(degree: u32, ttl: u8) -> u64 {
    let onward = u64::from(degree.saturating_sub(1).max(1));
    (0..u32::from(ttl)).map(|hop| onward.saturating_pow(hop)).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_reach_as_many_as_degree_and_life_allow() {
        let table = [(32, 1, 1), (32, 2, 32), (32, 3, 993), (6, 3, 31), (1, 4, 4), (0, 2, 2)];
        for (degree, ttl, hosts) in table {
            assert_eq!(reach(degree, ttl), hosts, "degree {degree}, life {ttl}");
        }
        assert_eq!(reach(u32::MAX, 200), u64::MAX);
    }
}
