//! Viceroy (Malkhi, Naor, Ratajczak, PODC 2002): a ring of nodes that are also the levels of a
//! butterfly, so that each has seven links whatever the size of the network: two on the ring, two on
//! its level's ring, two down and one up.
//!
//! Here live the tables of one node and the routing by them; how they are kept is in `upkeep`.

mod config;
mod ring;
mod upkeep;
mod wire;
mod wired;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use machine::dht::{Contact, Cost, Key};
use machine::{Cx, Instant};

use crate::overlay::{Event, LIST_MAX, Overlay, Route, Rules, Topology};

pub use config::{Config, Fault, SUCCESSORS_MAX};
pub use wired::Standing;

use ring::{ahead, is_between, place};

/// One node of a Viceroy network.
pub type Viceroy<C> = Overlay<Butterfly<C>>;
/// What Viceroy nodes say to each other.
pub type Message<C> = crate::overlay::Message<C, Said<C>>;

/// Links of one node at most.
pub const DEGREE: usize = 7;

/// The stages of a lookup: up to the first level, down the butterfly, along the rings, and at
/// whoever is responsible by its predecessor's word.
const UP: u8 = 0;
const DOWN: u8 = 1;
const ALONG: u8 = 2;
const LAST: u8 = 3;

/// A node with its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levelled<C> {
    /// Who.
    pub contact: C,
    /// Its level, 1 or more.
    pub level: u8,
}

/// What Viceroy nodes say beyond what those of all overlays do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said<C> {
    /// Who is beside you?
    WhoIsBeside,
    /// These are.
    Beside {
        /// The sender's own level.
        level: u8,
        /// Whom it takes for its predecessor.
        predecessor: Option<C>,
        /// Who follows it, the nearest first.
        successors: Box<[Levelled<C>]>,
    },
    /// I think that I am your predecessor.
    Notify,
    /// You are the next of my level.
    Level {
        /// Of both.
        level: u8,
    },
    /// This one may belong between you and your successor.
    Suggest {
        /// A member.
        contact: C,
        /// How often it was passed on.
        hops: u8,
    },
    /// I leave; these were beside me.
    Goodbye {
        /// Its predecessor.
        predecessor: Option<C>,
        /// Its successors.
        successors: Box<[Levelled<C>]>,
    },
}

impl<C> Said<C> {
    /// The same among other contacts.
    #[must_use]
    pub fn map<D>(self, to: impl Fn(C) -> D) -> Said<D> {
        let list = |list: Box<[Levelled<C>]>| -> Box<[Levelled<D>]> {
            let one = |it: Levelled<C>| Levelled { contact: to(it.contact), level: it.level };
            list.into_iter().map(one).collect()
        };
        match self {
            Self::WhoIsBeside => Said::WhoIsBeside,
            Self::Beside { level, predecessor, successors } => {
                let successors = list(successors);
                Said::Beside { level, predecessor: predecessor.map(&to), successors }
            }
            Self::Notify => Said::Notify,
            Self::Level { level } => Said::Level { level },
            Self::Suggest { contact, hops } => Said::Suggest { contact: to(contact), hops },
            Self::Goodbye { predecessor, successors } => {
                let successors = list(successors);
                Said::Goodbye { predecessor: predecessor.map(&to), successors }
            }
        }
    }
}

/// Which link of the butterfly is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The next node of the level above.
    Up,
    /// The next node of the level below.
    DownLeft,
    /// The next node of the level below from 2^-level away on.
    DownRight,
    /// The next node of the same level.
    Next,
}

/// Why a node has asked another who is beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask<C> {
    /// It is the successor, or may become it.
    Stabilise,
    /// To join in front of it.
    Join {
        /// How often somebody stood between.
        steps: u8,
    },
    /// To find a node of some level from there on.
    Scan {
        /// What for.
        link: Link,
        /// The first that was asked; who comes around to it has found nobody.
        first: C,
        /// How many were asked.
        steps: u8,
    },
}

/// Why a node looks up a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// To join there.
    Join,
    /// To hear who follows this node in a ring that it may have been torn from.
    Merge,
    /// To find the far link down.
    DownRight,
}

/// The tables of one node.
#[derive(Clone, Debug)]
pub struct Butterfly<C> {
    level: u8,
    predecessor: Option<C>,
    heard: Instant,
    /// The nearest first; all but the first only stand in for it.
    successors: Vec<Levelled<C>>,
    up: Option<C>,
    down_left: Option<C>,
    down_right: Option<C>,
    next: Option<C>,
    previous: Option<C>,
    /// Links that a planted defect keeps.
    stale: Vec<C>,
    /// Who fell silent.
    lost: Vec<C>,
    /// Whom its user named to join by: the way back when all others are gone.
    doors: Vec<C>,
    ticks: u32,
}

impl<C: Contact> Butterfly<C> {
    /// Its level, 1 or more.
    #[must_use]
    pub const fn level(&self) -> u8 {
        self.level
    }

    /// Whom it takes for its predecessor.
    #[must_use]
    pub const fn predecessor(&self) -> Option<C> {
        self.predecessor
    }

    /// Its successor.
    #[must_use]
    pub fn successor(&self) -> Option<C> {
        self.successors.first().map(|it| it.contact)
    }

    /// The nodes that follow it, the nearest first; all but the first only stand in for it.
    pub fn successors(&self) -> impl Iterator<Item = C> + '_ {
        self.successors.iter().map(|it| it.contact)
    }

    /// The node before it on its level.
    #[must_use]
    pub const fn previous(&self) -> Option<C> {
        self.previous
    }

    /// The link that is meant.
    #[must_use]
    pub const fn link(&self, link: Link) -> Option<C> {
        match link {
            Link::Up => self.up,
            Link::DownLeft => self.down_left,
            Link::DownRight => self.down_right,
            Link::Next => self.next,
        }
    }

    /// All links, each node once: at most [`DEGREE`].
    #[must_use]
    pub fn links(&self) -> Vec<C> {
        let ring = [self.predecessor, self.successor(), self.previous, self.next];
        let butterfly = [self.up, self.down_left, self.down_right];
        let all = ring.into_iter().chain(butterfly).flatten();
        let mut links: Vec<C> = all.chain(self.stale.iter().copied()).collect();
        links.sort_unstable();
        links.dedup();
        links
    }
}

impl<C: Contact> Viceroy<C> {
    /// Itself and the successors that hold copies with it.
    fn holders(&self) -> Vec<C> {
        let replicas = self.rules().replicas();
        let successors = self.topology.successors.iter().map(|it| it.contact);
        core::iter::once(self.me).chain(successors).take(replicas).collect()
    }

    /// Whether `key` is this node's, so far as it knows.
    fn owns(&self, key: &Key) -> bool {
        let me = place(&self.me.key());
        match self.topology.predecessor {
            Some(before) => {
                let reach = ahead(before, self.me);
                me.wrapping_sub(place(key)) < reach
            }
            None => self.topology.successors.is_empty(),
        }
    }

    /// The links that come nearest to `distance` ahead without passing it, the nearest first.
    fn along(&self, distance: u64) -> Vec<C> {
        let mut ways: Vec<C> = self.topology.links();
        // What stands in for the successor.
        ways.extend(self.topology.successors.iter().skip(1).map(|it| it.contact));
        ways.retain(|&it| it != self.me && ahead(self.me, it) < distance);
        ways.sort_by_key(|&it| core::cmp::Reverse(ahead(self.me, it)));
        ways.dedup();
        ways.truncate(LIST_MAX);
        ways
    }
}

impl<C: Contact> Topology for Butterfly<C> {
    type Contact = C;
    type Config = Config;
    type Said = Said<C>;
    type Ask = Ask<C>;
    type Search = Search;

    fn rules(config: &Config) -> &Rules {
        &config.rules
    }

    fn new(_: C, _: &Config) -> Self {
        Self {
            level: 1,
            predecessor: None,
            heard: Instant::ZERO,
            successors: Vec::new(),
            up: None,
            down_left: None,
            down_right: None,
            next: None,
            previous: None,
            stale: Vec::new(),
            lost: Vec::new(),
            doors: Vec::new(),
            ticks: 0,
        }
    }

    fn heap_bytes(&self) -> usize {
        self.successors.capacity() * size_of::<Levelled<C>>()
            + (self.stale.capacity() + self.lost.capacity() + self.doors.capacity())
                * size_of::<C>()
    }

    fn route(node: &Viceroy<C>, key: &Key, stage: u8) -> Route<C> {
        let table = &node.topology;
        if node.owns(key) {
            return Route::Owners(node.holders());
        }
        let distance = place(key).wrapping_sub(place(&node.me.key()));
        if stage >= LAST {
            // The predecessor's word counts, unless somebody stands between who answers.
            let before = table
                .predecessor
                .filter(|&it| ahead(it, node.me) > place(&node.me.key()).wrapping_sub(place(key)));
            return match (before, table.predecessor) {
                (None, Some(before)) => Route::Next { stage: LAST, nodes: Vec::from([before]) },
                _ => Route::Owners(node.holders()),
            };
        }
        let successors = || table.successors.iter().map(|it| it.contact);
        if successors().next().is_some_and(|next| ahead(node.me, next) >= distance) {
            return Route::Next { stage: LAST, nodes: successors().collect() };
        }
        if stage == UP && table.level > 1 {
            let nodes: Vec<C> = table.up.into_iter().chain(successors().take(2)).collect();
            if table.up.is_some() {
                return Route::Next { stage: UP, nodes };
            }
        }
        if stage <= DOWN {
            let far = distance >> (64 - u32::from(table.level.clamp(1, 63))) > 0;
            let down = if far { table.down_right } else { table.down_left };
            if let Some(down) = down.filter(|&down| ahead(node.me, down) <= distance) {
                let mut nodes = Vec::from([down]);
                nodes.extend(node.along(distance).into_iter().take(3));
                return Route::Next { stage: DOWN, nodes };
            }
        }
        Route::Next { stage: ALONG, nodes: node.along(distance) }
    }

    fn copies(node: &Viceroy<C>, key: &Key) -> Option<Vec<C>> {
        node.owns(key).then(|| node.holders().split_off(1))
    }

    fn heirs(node: &Viceroy<C>, _: &Key) -> Vec<C> {
        let successors = node.topology.successors.iter().map(|it| it.contact);
        successors.take(node.rules().replicas()).collect()
    }

    fn join(node: &mut Viceroy<C>, known: Vec<C>, cx: &mut Cx<'_, Viceroy<C>>) {
        node.begin_join(known, cx);
    }

    fn tick(node: &mut Viceroy<C>, cx: &mut Cx<'_, Viceroy<C>>) {
        node.keep_up(cx);
    }

    fn leave(node: &mut Viceroy<C>, cx: &mut Cx<'_, Viceroy<C>>) {
        let predecessor = node.topology.predecessor;
        let successors: Box<[_]> = node.topology.successors.as_slice().into();
        for to in node.topology.links() {
            node.say(to, Said::Goodbye { predecessor, successors: successors.clone() }, cx);
        }
    }

    fn request(_: &Viceroy<C>, _: &Ask<C>) -> Said<C> {
        Said::WhoIsBeside
    }

    fn on_said(
        node: &mut Viceroy<C>,
        from: C,
        tag: u32,
        said: Said<C>,
        cx: &mut Cx<'_, Viceroy<C>>,
    ) {
        if !node.is_member() {
            return;
        }
        match said {
            Said::WhoIsBeside => {
                let table = &node.topology;
                let (level, predecessor) = (table.level, table.predecessor);
                let successors = table.successors.as_slice().into();
                node.reply(from, tag, Said::Beside { level, predecessor, successors }, cx);
            }
            Said::Notify => node.on_notify(from, cx),
            Said::Level { level } => {
                let table = &mut node.topology;
                if level == table.level
                    && table.previous.is_none_or(|it| it == from || is_between(from, it, node.me))
                {
                    table.previous = Some(from);
                }
            }
            Said::Suggest { contact, hops } => node.on_suggest(contact, hops, cx),
            Said::Goodbye { predecessor, successors } => {
                node.forget(from);
                node.topology.lost.retain(|&lost| lost != from);
                node.on_goodbye(from, predecessor, &successors, cx);
            }
            Said::Beside { .. } => {}
        }
    }

    fn on_answer(
        node: &mut Viceroy<C>,
        from: C,
        ask: Ask<C>,
        said: Said<C>,
        cx: &mut Cx<'_, Viceroy<C>>,
    ) {
        let Said::Beside { level, predecessor, successors } = said else { return };
        let from = Levelled { contact: from, level };
        match ask {
            Ask::Stabilise => node.stabilised(from, predecessor, &successors, cx),
            Ask::Join { steps } => node.placed(from, predecessor, &successors, steps, cx),
            Ask::Scan { link, first, steps } => {
                node.scanned(link, first, steps, from, &successors, cx);
            }
        }
    }

    fn on_silence(node: &mut Viceroy<C>, _: C, ask: Ask<C>, cx: &mut Cx<'_, Viceroy<C>>) {
        match ask {
            Ask::Join { .. } if !node.is_member() => node.no_way_in(cx),
            Ask::Stabilise if node.is_member() => node.stabilise(cx),
            _ => {}
        }
    }

    fn on_found(
        node: &mut Viceroy<C>,
        search: Search,
        _: Key,
        owners: &[C],
        _: Cost,
        cx: &mut Cx<'_, Viceroy<C>>,
    ) {
        let owner = owners.iter().copied().find(|&owner| owner != node.me);
        match (search, owner) {
            (Search::Join, Some(owner)) if !node.is_member() => {
                node.ask_own(owner, Ask::Join { steps: 0 }, cx);
            }
            (Search::Join, None) if !node.is_member() => node.no_way_in(cx),
            (Search::Join, _) => {}
            (Search::Merge, Some(owner)) if node.is_member() => node.met(owner, cx),
            (Search::DownRight, Some(owner)) if node.is_member() => {
                let ask = Ask::Scan { link: Link::DownRight, first: owner, steps: 0 };
                node.ask_own(owner, ask, cx);
            }
            _ => {}
        }
    }

    fn looks_for_itself(node: &mut Viceroy<C>, who: C) {
        node.forget(who);
    }

    fn heard(node: &mut Viceroy<C>, who: C, _: Option<Duration>, cx: &mut Cx<'_, Viceroy<C>>) {
        if node.topology.predecessor == Some(who) {
            node.topology.heard = cx.now();
        }
    }

    fn suspected(node: &mut Viceroy<C>, who: C, cx: &mut Cx<'_, Viceroy<C>>) {
        if node.topology.links().contains(&who) {
            cx.emit(Event::Suspected(who));
        }
        node.forget(who);
        node.remember(who);
    }
}
