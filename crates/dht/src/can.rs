//! CAN (Ratnasamy, Francis, Handley, Karp, Shenker, SIGCOMM 2001): a torus that nodes divide among
//! them in zones, each knowing who is beside it.
//!
//! Here lives what makes an overlay of it. The tables of one node and the routing by them are in
//! `tables`, how zones change hands in `claims`, joining in `membership`, what is done now and then
//! in `upkeep`, and zones that several nodes share in `peers`.

mod claims;
mod config;
mod membership;
mod message;
mod peers;
mod tables;
mod upkeep;
mod wire;
mod wired;
mod zone;

use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use machine::dht::{Contact, Cost, Key};
use machine::{Cx, Rng};

use crate::overlay::{Event, Overlay, Route, Rules, Topology};

pub use config::{Config, Fault, HASHES_MAX};
pub use message::{Ask, CLAIMS_MAX, KIN_MAX, Kin, Rank, Said, Search};
pub use tables::Zones;
pub use wired::Standing;
pub use zone::{Claim, DEPTH_MAX, DIMENSIONS_MAX, Point, REALITIES_MAX, Zone};

use tables::{Neighbour, Vacancy, only, order};

/// One node of a CAN.
pub type Can<C> = Overlay<Zones<C>>;
/// What CAN nodes say to each other.
pub type Message<C> = crate::overlay::Message<C, Said<C>>;

/// Most neighbours of one node.
const NEIGHBOURS_MAX: usize = 512;

impl<C: Contact> Can<C> {
    /// Those who hold copies of what this node owns in `reality`: all who share its zone there, and
    /// the first to take over.
    fn replicas(&self, reality: u8) -> Vec<C> {
        let count = self.rules().replicas() - 1;
        let kin = self.topology.kin(&self.config);
        let there = kin.into_iter().filter(|(_, rank)| rank.reality() == reality);
        let holders = there.enumerate().filter(|(at, (_, rank))| *at < count || rank.is_peer());
        holders.map(|(_, (contact, _))| contact).collect()
    }

    /// Those who hold copies of what is at `point`, in all realities in which it is this node's.
    fn all_replicas(&self, point: Point, reality: Option<u8>) -> Vec<C> {
        let mut all = Vec::new();
        for own in self.config.all_realities().filter(|own| reality.is_none_or(|it| it == *own)) {
            if self.topology.owns_in(point, Some(own)) {
                all.extend(self.replicas(own));
            }
        }
        distinct(all)
    }

    /// The stage of a lookup that is to end in `reality`.
    fn stage(&self, reality: u8) -> u8 {
        if self.config.realities() > 1 { reality + 1 } else { 0 }
    }

    /// Whether it wants a zone in `reality`.
    fn wants_in(&self, reality: u8) -> bool {
        !self.is_member() || self.topology.lacks(reality)
    }

    /// Whether all zones are of realities that there are.
    fn knows_realities(&self, claims: &[Claim]) -> bool {
        claims.iter().all(|claim| self.config.all_realities().contains(&claim.zone.reality()))
    }
}

/// Each of them once, in their order.
fn distinct<C: Contact>(all: Vec<C>) -> Vec<C> {
    let mut once = Vec::with_capacity(all.len());
    for one in all {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    once
}

/// The reality that a lookup of this stage is to end in; `None` if any will do.
const fn reality_of(stage: u8) -> Option<u8> {
    stage.checked_sub(1)
}

impl<C: Contact> Topology for Zones<C> {
    type Contact = C;
    type Config = Config;
    type Said = Said<C>;
    type Ask = Ask;
    type Search = Search;

    fn rules(config: &Config) -> &Rules {
        &config.rules
    }

    fn new(_: C, _: &Config) -> Self {
        Self {
            claims: Vec::new(),
            neighbours: Vec::new(),
            vacancies: Vec::new(),
            lost: Vec::new(),
            doors: Vec::new(),
            granted: None,
            gap: None,
            ticks: 0,
        }
    }

    fn heap_bytes(&self) -> usize {
        let neighbour = |it: &Neighbour<C>| {
            it.claims.capacity() * size_of::<Claim>() + it.kin.len() * size_of::<(C, Rank)>()
        };
        self.claims.capacity() * size_of::<Claim>()
            + self.neighbours.capacity() * size_of::<Neighbour<C>>()
            + self.neighbours.iter().map(neighbour).sum::<usize>()
            + self.vacancies.capacity() * size_of::<Vacancy<C>>()
            + (self.lost.capacity() + self.doors.capacity()) * size_of::<C>()
    }

    fn names(config: &Config, key: &Key) -> Vec<Key> {
        let hash = |at: u64| match at {
            0 => *key,
            _ => {
                let seed = Point::from(*key).0 ^ key.front() as u64 ^ u64::from(key.back()) << 32;
                let place = Rng::new(seed.wrapping_add(at)).next_u64();
                // What is not the point stays, and tells keys apart.
                Key::new(u128::from(place) << 64 | u128::from(key.front() as u64), key.back())
            }
        };
        (0..config.hashes() as u64).map(hash).collect()
    }

    fn places(config: &Config) -> Range<u8> {
        match config.realities() {
            1 => 0..1,
            _ if config.has(Fault::OneHolder) => 1..2,
            realities => 1..realities as u8 + 1,
        }
    }

    fn away(node: &Can<C>, name: &Key) -> u128 {
        node.topology.distance(Point::from(*name), node.config.dimensions())
    }

    fn route(node: &Can<C>, key: &Key, stage: u8) -> Route<C> {
        let (point, reality) = (Point::from(*key), reality_of(stage));
        if node.topology.owns_in(point, reality) {
            let mut owners = node.all_replicas(point, reality);
            owners.insert(0, node.me);
            return Route::Owners(owners);
        }
        Route::Next { stage, nodes: node.topology.nearer(point, reality, &node.config) }
    }

    fn copies(node: &Can<C>, key: &Key) -> Option<Vec<C>> {
        let point = Point::from(*key);
        node.topology.owns(point).then(|| node.all_replicas(point, None))
    }

    fn heirs(node: &Can<C>, key: &Key) -> Vec<C> {
        let point = Point::from(*key);
        let mut heirs = Vec::new();
        for reality in node.config.all_realities() {
            if node.config.realities() == 1 || node.topology.owns_in(point, Some(reality)) {
                heirs.extend(node.heir(reality));
                heirs.extend(node.replicas(reality));
            }
        }
        if heirs.is_empty() {
            heirs = node.replicas(0);
        }
        distinct(heirs)
    }

    fn join(node: &mut Can<C>, known: Vec<C>, cx: &mut Cx<'_, Can<C>>) {
        node.begin_join(known, cx);
    }

    fn tick(node: &mut Can<C>, cx: &mut Cx<'_, Can<C>>) {
        node.keep_up(cx);
    }

    fn leave(node: &mut Can<C>, cx: &mut Cx<'_, Can<C>>) {
        node.hand_over_all(cx);
    }

    fn request(node: &Can<C>, ask: &Ask) -> Said<C> {
        match *ask {
            Ask::Hello | Ask::Measure { .. } => {
                Said::Hello { claims: node.topology.claims.as_slice().into() }
            }
            Ask::Join { reality, point, last, .. } => Said::Join { reality, point, last },
        }
    }

    fn on_said(node: &mut Can<C>, from: C, tag: u32, said: Said<C>, cx: &mut Cx<'_, Can<C>>) {
        match said {
            _ if !node.is_member() => {}
            Said::Conflict { with }
                if with != node.me
                    && !node.waits_for(|to, ask| to == with && *ask == Ask::Hello) =>
            {
                node.ask_own(with, Ask::Hello, cx);
            }
            Said::Hello { claims } => {
                node.hear_claims(from, &claims, None, cx);
                let answer = node.claims_said();
                node.reply(from, tag, answer, cx);
            }
            Said::Update { claims, kin } => {
                let answer = node.hear_claims(from, &claims, Some(kin), cx);
                if answer && node.is_member() {
                    let answer = node.claims_said();
                    node.say(from, answer, cx);
                }
            }
            Said::Claims { claims, kin } => {
                node.hear_claims(from, &claims, Some(kin), cx);
            }
            Said::Join { reality, point, last } => {
                node.on_join(from, tag, (reality, point), last, cx);
            }
            Said::Split { claim } => node.on_split(from, claim, cx),
            Said::Handover { claims, kin } => node.on_handover(&claims, &kin, cx),
            Said::Adopt { claim, hops } => node.on_adopt(claim, hops, cx),
            _ => {}
        }
    }

    fn on_answer(node: &mut Can<C>, from: C, ask: Ask, said: Said<C>, cx: &mut Cx<'_, Can<C>>) {
        match (ask, said) {
            (Ask::Hello, Said::Claims { claims, kin }) if node.is_member() => {
                node.hear_claims(from, &claims, Some(kin), cx);
            }
            (Ask::Measure { since }, Said::Claims { claims, kin }) if node.is_member() => {
                node.hear_claims(from, &claims, Some(kin.clone()), cx);
                let rtt = u16::try_from((cx.now() - since).as_millis()).unwrap_or(u16::MAX - 1);
                node.measured(from, claims, kin, rtt, cx);
            }
            (Ask::Join { reality, point, hops, .. }, Said::Refer { to, last }) => {
                node.referred((reality, point), hops, to, last, cx);
            }
            (Ask::Join { reality, .. }, Said::Welcome { claim, neighbours })
                if node.wants_in(reality) && claim.zone.reality() == reality =>
            {
                node.welcomed(from, claim, &neighbours, cx);
            }
            _ => {}
        }
    }

    fn on_silence(node: &mut Can<C>, _: C, ask: Ask, cx: &mut Cx<'_, Can<C>>) {
        if let (Ask::Join { .. }, false) = (ask, node.is_member()) {
            node.no_way_in(cx);
        }
    }

    fn on_found(
        node: &mut Can<C>,
        search: Search,
        key: Key,
        owners: &[C],
        _: Cost,
        cx: &mut Cx<'_, Can<C>>,
    ) {
        let point = Point::from(key);
        match (search, owners.first()) {
            (Search::Join(reality), Some(&owner)) if node.wants_in(reality) && owner != node.me => {
                node.ask_own(owner, Ask::Join { reality, point, last: false, hops: 0 }, cx);
            }
            (Search::Join(_), _) if !node.is_member() => node.no_way_in(cx),
            (Search::Join(_), _) => {}
            (Search::Gap(reality), owner) => {
                node.gap_searched((reality, point), owner.copied(), cx);
            }
        }
    }

    fn heard(node: &mut Can<C>, who: C, rtt: Option<Duration>, cx: &mut Cx<'_, Can<C>>) {
        if let Ok(at) = node.topology.find(who) {
            let neighbour = &mut node.topology.neighbours[at];
            neighbour.heard = cx.now();
            if let Some(rtt) = rtt {
                let rtt = u16::try_from(rtt.as_millis()).unwrap_or(u16::MAX - 1);
                neighbour.rtt = match neighbour.rtt {
                    u16::MAX => rtt,
                    old => ((u32::from(old) * 3 + u32::from(rtt)) / 4) as u16,
                };
            }
        }
    }

    fn suspected(node: &mut Can<C>, who: C, cx: &mut Cx<'_, Can<C>>) {
        if node.topology.find(who).is_ok() {
            cx.emit(Event::Suspected(who));
        }
        node.lose(who, cx);
    }
}
