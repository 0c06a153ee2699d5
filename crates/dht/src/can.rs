//! CAN (Ratnasamy, Francis, Handley, Karp, Shenker, SIGCOMM 2001): a torus that nodes divide among
//! them in zones, each knowing who is beside it.
//!
//! Here live the tables of one node and the routing by them; how zones change hands is in `claims`,
//! joining in `membership`, what is done now and then in `upkeep`.

mod claims;
mod config;
mod membership;
mod upkeep;
mod wire;
mod wired;
mod zone;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use machine::dht::{Contact, Cost, Key};
use machine::{Cx, Instant, Rng};

use crate::overlay::{Event, LIST_MAX, Overlay, Route, Rules, Topology};

pub use config::{Config, Fault, HASHES_MAX};
pub use wired::Standing;
pub use zone::{Claim, DEPTH_MAX, DIMENSIONS_MAX, Point, Zone};

/// One node of a CAN.
pub type Can<C> = Overlay<Zones<C>>;
/// What CAN nodes say to each other.
pub type Message<C> = crate::overlay::Message<C, Said<C>>;

/// Neighbours, each with the halvings of its largest zone.
pub type Kin<C> = Box<[(C, u8)]>;

/// Most zones of one node.
pub const CLAIMS_MAX: usize = 24;
/// Most neighbours that one message names.
pub const KIN_MAX: usize = 24;
/// Most neighbours of one node.
const NEIGHBOURS_MAX: usize = 512;

/// What CAN nodes say beyond what those of all overlays do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said<C> {
    /// These zones are mine; what is yours?
    Hello {
        /// Of the sender.
        claims: Box<[Claim]>,
    },
    /// I live, and these zones are mine, with these beside them.
    Update {
        /// Of the sender; none if it leaves.
        claims: Box<[Claim]>,
        /// Its neighbours, each with the halvings of its largest zone.
        kin: Kin<C>,
    },
    /// These zones are mine: an answer.
    Claims {
        /// Of the sender.
        claims: Box<[Claim]>,
        /// As in an update.
        kin: Kin<C>,
    },
    /// That node claims what you claim: ask it.
    Conflict {
        /// Who.
        with: C,
    },
    /// Let me in.
    Join {
        /// Where the joiner hit the torus.
        point: Point,
        /// Whether it was sent on once: it is to be let in.
        last: bool,
    },
    /// Ask this one.
    Refer {
        /// Who has more room, or is nearer.
        to: C,
        /// Whether that one must let it in.
        last: bool,
    },
    /// This zone is yours.
    Welcome {
        /// What is given.
        claim: Claim,
        /// Who may be beside it.
        neighbours: Box<[(C, Claim)]>,
    },
    /// Take these zones: I leave, or they merge with yours.
    Handover {
        /// The zones.
        claims: Box<[Claim]>,
        /// Who may be beside them.
        kin: Kin<C>,
    },
    /// I have one zone too many: let two of you merge, and one take it.
    Adopt {
        /// The zone.
        claim: Claim,
        /// How often this was passed on.
        hops: u8,
    },
}

impl<C> Said<C> {
    /// The same among other contacts.
    #[must_use]
    pub fn map<D>(self, to: impl Fn(C) -> D) -> Said<D> {
        let kin =
            |kin: Box<[(C, u8)]>| kin.into_iter().map(|(it, depth)| (to(it), depth)).collect();
        match self {
            Self::Hello { claims } => Said::Hello { claims },
            Self::Update { claims, kin: list } => Said::Update { claims, kin: kin(list) },
            Self::Claims { claims, kin: list } => Said::Claims { claims, kin: kin(list) },
            Self::Conflict { with } => Said::Conflict { with: to(with) },
            Self::Join { point, last } => Said::Join { point, last },
            Self::Refer { to: other, last } => Said::Refer { to: to(other), last },
            Self::Welcome { claim, neighbours } => {
                let neighbours =
                    neighbours.into_iter().map(|(it, claim)| (to(it), claim)).collect();
                Said::Welcome { claim, neighbours }
            }
            Self::Handover { claims, kin: list } => Said::Handover { claims, kin: kin(list) },
            Self::Adopt { claim, hops } => Said::Adopt { claim, hops },
        }
    }
}

/// Why a node has asked another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// What it claims.
    Hello,
    /// To be let in.
    Join {
        /// Where the joiner hit the torus.
        point: Point,
        /// Whether it was sent on to the largest zone there.
        last: bool,
        /// How often it was sent on.
        hops: u8,
    },
}

/// Why a node looks up a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// To join there.
    Join,
    /// Nobody is known to have it.
    Gap,
}

/// Somebody beside this node.
#[derive(Clone, Debug)]
struct Neighbour<C> {
    contact: C,
    claims: Vec<Claim>,
    heard: Instant,
    /// Milliseconds to it and back; the greatest number if that is not known.
    rtt: u16,
    kin: Kin<C>,
}

impl<C> Neighbour<C> {
    /// The halvings of its largest zone.
    fn depth(&self) -> u8 {
        self.claims.iter().map(|claim| claim.zone.depth()).min().unwrap_or(u8::MAX)
    }

    fn distance(&self, point: Point, dimensions: usize) -> u128 {
        let distances = self.claims.iter().map(|claim| claim.zone.distance(point, dimensions));
        distances.min().unwrap_or(u128::MAX)
    }
}

/// A zone whose owner fell silent or left.
#[derive(Clone, Debug)]
struct Vacancy<C> {
    claim: Claim,
    /// When this node takes it over, if nobody else has.
    due: Instant,
    kin: Kin<C>,
}

/// The tables of one node.
#[derive(Clone, Debug)]
pub struct Zones<C> {
    claims: Vec<Claim>,
    /// By contact.
    neighbours: Vec<Neighbour<C>>,
    vacancies: Vec<Vacancy<C>>,
    /// Who fell silent: they may be on the other side of a partition.
    lost: Vec<C>,
    /// Whom its user named to join by: the way back when all others are gone.
    doors: Vec<C>,
    /// Whom it let in last, and with what.
    granted: Option<(C, Claim)>,
    /// Where nobody was found, and how often.
    gap: Option<(Point, u8)>,
    ticks: u32,
}

impl<C: Contact> Zones<C> {
    /// Its zones.
    pub fn zones(&self) -> impl Iterator<Item = Zone> + '_ {
        self.claims.iter().map(|claim| claim.zone)
    }

    /// Who is beside it.
    pub fn neighbours(&self) -> impl Iterator<Item = C> + '_ {
        self.neighbours.iter().map(|neighbour| neighbour.contact)
    }

    /// The zones of who is beside it, so far as it knows.
    pub fn zones_beside(&self) -> impl Iterator<Item = (C, Zone)> + '_ {
        let of = |it: &Neighbour<C>| (it.contact, it.claims.iter().map(|it| it.zone).collect());
        let all = self.neighbours.iter().map(of);
        all.flat_map(|(contact, zones): (C, Vec<Zone>)| {
            zones.into_iter().map(move |zone| (contact, zone))
        })
    }

    /// Whether `point` is in one of its zones.
    #[must_use]
    pub fn owns(&self, point: Point) -> bool {
        self.claims.iter().any(|claim| claim.zone.contains(point))
    }

    /// How far `point` is from its nearest zone; squared.
    #[must_use]
    pub fn distance(&self, point: Point, dimensions: usize) -> u128 {
        let distances = self.claims.iter().map(|claim| claim.zone.distance(point, dimensions));
        distances.min().unwrap_or(u128::MAX)
    }

    fn find(&self, contact: C) -> Result<usize, usize> {
        self.neighbours.binary_search_by(|neighbour| neighbour.contact.cmp(&contact))
    }

    fn touches(&self, claims: &[Claim], dimensions: usize) -> bool {
        claims.iter().any(|theirs| {
            self.claims.iter().any(|mine| mine.zone.touches(theirs.zone, dimensions).is_some())
        })
    }

    /// Its neighbours in the order in which they take over its zones, each with the halvings of its
    /// largest zone: those with the smallest zones first.
    fn kin(&self) -> Vec<(C, u8)> {
        let mut kin: Vec<_> = self
            .neighbours
            .iter()
            .map(|neighbour| (neighbour.contact, neighbour.depth()))
            .collect();
        order(&mut kin);
        kin.truncate(KIN_MAX);
        kin
    }

    /// Neighbours that are nearer to `point`, the best first, and others for want of them.
    fn nearer(&self, point: Point, config: &Config) -> Vec<C> {
        let dimensions = config.dimensions();
        let here = self.distance(point, dimensions);
        let mut ways: Vec<(u128, &Neighbour<C>)> = self
            .neighbours
            .iter()
            .map(|neighbour| (neighbour.distance(point, dimensions), neighbour))
            .collect();
        ways.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.contact.cmp(&b.1.contact)));
        let nearer = ways.iter().filter(|(distance, _)| *distance < here).count();
        if config.rtt_weighted {
            // What is gained for each millisecond; who is not measured is taken to be far.
            let gain = |&(distance, neighbour): &(u128, &Neighbour<C>)| {
                let gained = here.isqrt() - distance.isqrt();
                gained / u128::from(neighbour.rtt.max(1))
            };
            ways[..nearer].sort_by_key(|way| Reverse(gain(way)));
        }
        let count = if nearer < 2 { nearer + 2 } else { nearer.min(LIST_MAX) };
        ways.into_iter().take(count).map(|(_, neighbour)| neighbour.contact).collect()
    }

    /// Whom it would forward to for `point`; `None` if that is in one of its zones or nobody is
    /// nearer.
    #[must_use]
    pub fn next(&self, point: Point, config: &Config) -> Option<C> {
        let here = self.distance(point, config.dimensions());
        let next = *self.nearer(point, config).first()?;
        let at = self.find(next).ok()?;
        (self.neighbours[at].distance(point, config.dimensions()) < here).then_some(next)
    }
}

/// By halvings, the most first, and then by place.
fn order<C: Contact>(kin: &mut [(C, u8)]) {
    kin.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.key().cmp(&b.0.key())));
}

impl<C: Contact> Can<C> {
    /// The neighbours that hold copies of what this node owns: the first to take over.
    fn replicas(&self) -> Vec<C> {
        let count = self.rules().replicas() - 1;
        self.topology.kin().into_iter().take(count).map(|(contact, _)| contact).collect()
    }
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
            it.claims.capacity() * size_of::<Claim>() + it.kin.len() * size_of::<(C, u8)>()
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

    fn away(node: &Can<C>, name: &Key) -> u128 {
        node.topology.distance(Point::from(*name), node.config.dimensions())
    }

    fn route(node: &Can<C>, key: &Key, _: u8) -> Route<C> {
        let point = Point::from(*key);
        if node.topology.owns(point) {
            let mut owners = node.replicas();
            owners.insert(0, node.me);
            return Route::Owners(owners);
        }
        Route::Next { stage: 0, nodes: node.topology.nearer(point, &node.config) }
    }

    fn copies(node: &Can<C>, key: &Key) -> Option<Vec<C>> {
        node.topology.owns(Point::from(*key)).then(|| node.replicas())
    }

    fn heirs(node: &Can<C>, _: &Key) -> Vec<C> {
        let mut heirs = node.replicas();
        if let Some(heir) = node.heir() {
            heirs.retain(|&other| other != heir);
            heirs.insert(0, heir);
        }
        heirs
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
            Ask::Hello => Said::Hello { claims: node.topology.claims.as_slice().into() },
            Ask::Join { point, last, .. } => Said::Join { point, last },
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
            Said::Join { point, last } => node.on_join(from, tag, point, last, cx),
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
            (Ask::Join { point, hops, .. }, Said::Refer { to, last }) => {
                node.referred(point, hops, to, last, cx);
            }
            (Ask::Join { .. }, Said::Welcome { claim, neighbours }) if !node.is_member() => {
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
            (Search::Join, Some(&owner)) if !node.is_member() && owner != node.me => {
                node.ask_own(owner, Ask::Join { point, last: false, hops: 0 }, cx);
            }
            (Search::Join, _) if !node.is_member() => node.no_way_in(cx),
            (Search::Join, _) => {}
            (Search::Gap, owner) => node.gap_searched(point, owner.copied(), cx),
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
