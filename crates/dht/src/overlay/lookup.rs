//! Finding who is responsible for a key: whoever looks up asks one node after another, the best that
//! was named last first, and goes back to the others when that leads nowhere.

use alloc::boxed::Box;
use alloc::vec::Vec;

use machine::dht::{Contact, Cost, Key, Report, Value};
use machine::{Cx, OpId};

use super::Overlay;
use super::message::Message;
use super::request::Kind;
use super::rules::LIST_MAX;
use super::topology::{ContactOf, Route, Topology};
use super::user::Resume;

/// Most nodes that a lookup remembers to turn to.
const CANDIDATES_MAX: usize = 4_096;

/// What a lookup is for.
pub(super) enum Purpose<T: Topology> {
    /// To tell the user.
    Locate(OpId),
    /// To get the value for the user.
    Get(OpId),
    /// To put a value for the user.
    Put(OpId, Value),
    /// To bring a value that is held here to where it belongs.
    Orphan,
    /// To bring a value that belongs here to another of its places.
    Elsewhere,
    /// The overlay's own.
    Own(T::Search),
}

/// Somebody who may be asked.
struct Candidate<C> {
    contact: C,
    stage: u8,
    /// Nodes on the way to it, itself included.
    depth: u16,
}

/// A lookup that this node does.
pub(super) struct Lookup<T: Topology> {
    pub(super) purpose: Purpose<T>,
    pub(super) key: Key,
    /// Whom to ask, the next one last.
    candidates: Vec<Candidate<ContactOf<T>>>,
    /// Who was asked, in which stage, and how deep.
    asked: Vec<Candidate<ContactOf<T>>>,
    /// Who did not answer, or had not answered before.
    pub(super) silent: Vec<ContactOf<T>>,
    /// Whether it looks for others than those whom one before it led to.
    pub(super) spare: bool,
    /// Of the one that is asked.
    depth: u16,
    requests: u16,
    timeouts: u16,
    /// What was heard from holders of a wanted value, if others are sought.
    pub(super) resume: Option<Box<Resume<ContactOf<T>>>>,
}

impl<T: Topology> Lookup<T> {
    pub(super) const fn new(purpose: Purpose<T>, key: Key) -> Self {
        Self {
            purpose,
            key,
            candidates: Vec::new(),
            asked: Vec::new(),
            silent: Vec::new(),
            spare: false,
            depth: 0,
            requests: 0,
            timeouts: 0,
            resume: None,
        }
    }

    /// How far it has come with the one that is asked.
    pub(super) fn stage(&self) -> u8 {
        self.asked.last().map_or(0, |asked| asked.stage)
    }

    pub(super) const fn has_candidates(&self) -> bool {
        !self.candidates.is_empty()
    }

    pub(super) fn is_search(&self, fits: impl Fn(&T::Search) -> bool) -> bool {
        matches!(&self.purpose, Purpose::Own(search) if fits(search))
    }

    /// What it has taken so far.
    pub(super) const fn cost(&self) -> Cost {
        Cost { hops: self.depth, messages: self.requests, timeouts: self.timeouts }
    }

    /// Whether nothing new can be heard of `contact` in this stage.
    fn is_over(&self, contact: ContactOf<T>, stage: u8) -> bool {
        self.silent.contains(&contact)
            || self.asked.iter().any(|asked| asked.contact == contact && asked.stage == stage)
    }

    /// Adds `nodes`, of which the first is the best.
    fn push(&mut self, me: ContactOf<T>, nodes: &[ContactOf<T>], stage: u8, depth: u16) {
        for &contact in nodes.iter().take(LIST_MAX).rev() {
            if contact != me
                && !self.is_over(contact, stage)
                && self.candidates.len() < CANDIDATES_MAX
            {
                self.candidates.push(Candidate { contact, stage, depth });
            }
        }
    }
}

impl<T: Topology> Overlay<T> {
    /// Begins to look for whoever is responsible for `key`.
    pub(super) fn look_up(&mut self, purpose: Purpose<T>, key: Key, cx: &mut Cx<'_, Self>) {
        let first = if matches!(purpose, Purpose::Get(_)) { T::SEEK } else { 0 };
        self.look_up_from(first, purpose, key, cx);
    }

    /// Begins to look for whoever is responsible for `key`, in this stage.
    pub(super) fn look_up_from(
        &mut self,
        stage: u8,
        purpose: Purpose<T>,
        key: Key,
        cx: &mut Cx<'_, Self>,
    ) {
        self.begin(stage, Box::new(Lookup::new(purpose, key)), cx);
    }

    fn begin(&mut self, stage: u8, mut lookup: Box<Lookup<T>>, cx: &mut Cx<'_, Self>) {
        match T::route(self, &lookup.key, stage) {
            Route::Owners(owners) => self.arrived(lookup, &owners, cx),
            Route::Next { stage, nodes } => {
                lookup.push(self.me, &nodes, stage, 1);
                self.go_on(lookup, cx);
            }
        }
    }

    /// Looks `key` up for the overlay's own ends, from this stage on.
    pub(crate) fn search(&mut self, stage: u8, search: T::Search, key: Key, cx: &mut Cx<'_, Self>) {
        self.look_up_from(stage, Purpose::Own(search), key, cx);
    }

    /// Looks `key` up by way of `doors`, without tables of its own, from this stage on.
    pub(crate) fn search_through(
        &mut self,
        doors: &[ContactOf<T>],
        stage: u8,
        search: T::Search,
        key: Key,
        cx: &mut Cx<'_, Self>,
    ) {
        let mut lookup = Box::new(Lookup::new(Purpose::Own(search), key));
        lookup.push(self.me, doors, stage, 1);
        self.go_on(lookup, cx);
    }

    /// Asks the next candidate.
    pub(super) fn go_on(&mut self, mut lookup: Box<Lookup<T>>, cx: &mut Cx<'_, Self>) {
        let rules = self.rules();
        let spent = lookup.requests >= rules.lookup_requests_max
            || lookup.timeouts > rules.lookup_timeouts_max;
        while let Some(next) = lookup.candidates.pop() {
            if lookup.is_over(next.contact, next.stage) {
                continue;
            }
            if spent {
                break;
            }
            // Whoever is asked in several stages is one node on the way.
            let before = lookup.asked.iter().find(|asked| asked.contact == next.contact);
            lookup.depth = before.map_or(next.depth, |before| before.depth);
            lookup.asked.push(Candidate { depth: lookup.depth, ..next });
            lookup.requests += 1;
            return self.ask(next.contact, Kind::Lookup(lookup), cx);
        }
        self.lookup_failed(*lookup, cx);
    }

    /// Looks for others who may hold what is put, when all whom `before` led to were `silent`.
    pub(super) fn look_for_spare(
        &mut self,
        stage: u8,
        purpose: Purpose<T>,
        key: Key,
        (before, silent): (Cost, Vec<ContactOf<T>>),
        cx: &mut Cx<'_, Self>,
    ) {
        let mut lookup = Box::new(Lookup::new(purpose, key));
        (lookup.silent, lookup.spare) = (silent, true);
        (lookup.requests, lookup.timeouts) = (before.messages, before.timeouts);
        self.begin(stage, lookup, cx);
    }

    /// Somebody asks where `key` leads.
    pub(super) fn on_find(
        &mut self,
        from: ContactOf<T>,
        tag: u32,
        key: Key,
        stage: u8,
        cx: &mut Cx<'_, Self>,
    ) {
        if from.key() == key {
            T::looks_for_itself(self, from);
        }
        let answer = match T::route(self, &key, stage) {
            Route::Owners(mut owners) => {
                owners.truncate(LIST_MAX);
                Message::Owners { tag, owners: owners.into() }
            }
            Route::Next { stage, mut nodes } => {
                nodes.retain(|&node| node != from);
                nodes.truncate(LIST_MAX);
                Message::Nearer { tag, stage, nodes: nodes.into() }
            }
        };
        cx.send(from, answer);
    }

    /// Whoever was asked names nodes that are nearer.
    pub(super) fn on_nearer(
        &mut self,
        mut lookup: Box<Lookup<T>>,
        stage: u8,
        nodes: &[ContactOf<T>],
        cx: &mut Cx<'_, Self>,
    ) {
        let depth = lookup.depth.saturating_add(1);
        lookup.push(self.me, nodes, stage, depth);
        self.go_on(lookup, cx);
    }

    /// Whoever was asked did not answer in time.
    pub(super) fn lookup_timed_out(&mut self, mut lookup: Box<Lookup<T>>, cx: &mut Cx<'_, Self>) {
        lookup.timeouts = lookup.timeouts.saturating_add(1);
        lookup.silent.extend(lookup.asked.last().map(|asked| asked.contact));
        self.go_on(lookup, cx);
    }

    /// The lookup has led to those who are responsible.
    pub(super) fn arrived(
        &mut self,
        lookup: Box<Lookup<T>>,
        owners: &[ContactOf<T>],
        cx: &mut Cx<'_, Self>,
    ) {
        let cost = lookup.cost();
        if owners.is_empty() {
            return self.go_on(lookup, cx);
        }
        match lookup.purpose {
            Purpose::Locate(op) => {
                self.tell(op, Report::Located { nodes: owners.to_vec(), cost }, cx)
            }
            Purpose::Get(op) => self.named(op, lookup, owners, cx),
            Purpose::Put(..) => self.put_at(*lookup, owners, cx),
            Purpose::Orphan => self.orphan_placed(lookup.key, owners, cx),
            Purpose::Elsewhere => self.place_found(lookup.key, owners, cx),
            Purpose::Own(search) => T::on_found(self, search, lookup.key, owners, cost, cx),
        }
    }

    /// The lookup has led nowhere.
    pub(super) fn lookup_failed(&mut self, lookup: Lookup<T>, cx: &mut Cx<'_, Self>) {
        let cost = lookup.cost();
        match lookup.purpose {
            Purpose::Get(op) if lookup.resume.is_some_and(|resume| resume.denied) => {
                self.tell(op, Report::NotFound { cost }, cx);
            }
            Purpose::Locate(op) | Purpose::Get(op) | Purpose::Put(op, _) => {
                self.tell(op, Report::Failed { cost }, cx);
            }
            Purpose::Orphan | Purpose::Elsewhere => {}
            Purpose::Own(search) => T::on_found(self, search, lookup.key, &[], cost, cx),
        }
    }
}
