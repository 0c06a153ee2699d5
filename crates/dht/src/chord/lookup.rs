//! Finding who is responsible for a key: the choice of the next node, and lookups that this node
//! does for itself by asking one node after another. Passing lookups on is in `recursive`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use machine::dht::{Contact, Cost, Key, Report, Value};
use machine::{Cx, OpId};

use super::Chord;
use super::config::{Fault, Routing, SUCCESSORS_MAX, Style};
use super::message::Message;
use super::position::{Position, position};
use super::task::{Kind, Task};

/// What a lookup is for.
pub(super) enum Purpose<C> {
    /// To tell the user.
    Locate(OpId),
    /// To get the value for the user.
    Get(OpId),
    /// To put a value for the user.
    Put(Box<(OpId, Value)>),
    /// To bring a value that is held here to where it belongs.
    Orphan,
    /// To become this finger.
    Finger(u8),
    /// To find this node's place in a ring that it is not in.
    Join,
    /// To hear who follows this node in a ring that it may have been torn from.
    Merge,
    /// To hear who stands here, in this ring, where this one stands there.
    Compare(C),
}

impl<C> Purpose<C> {
    /// The command that it serves, if any.
    pub(super) fn op(&self) -> Option<OpId> {
        match self {
            Self::Locate(op) | Self::Get(op) => Some(*op),
            Self::Put(put) => Some(put.0),
            _ => None,
        }
    }
}

/// A lookup that this node does.
pub(super) struct Lookup<C> {
    pub(super) purpose: Purpose<C>,
    pub(super) key: Key,
    /// Nodes on the way to the one that is asked, which is included.
    pub(super) depth: u16,
    pub(super) requests: u16,
    pub(super) timeouts: u16,
    /// Who referred to the one that is asked; nobody if this node did, or if that one failed.
    pub(super) via: Option<C>,
    /// Whom the one that is asked should not name.
    pub(super) avoid: Option<C>,
    /// Who has been found responsible, while the first of them is asked whether it lives.
    pub(super) owners: Option<Box<[C]>>,
    /// Who gave no answer, or none that helps.
    pub(super) failed: Vec<C>,
}

impl<C: Contact> Lookup<C> {
    pub(super) const fn new(purpose: Purpose<C>, key: Key) -> Self {
        Self {
            purpose,
            key,
            depth: 0,
            requests: 0,
            timeouts: 0,
            via: None,
            avoid: None,
            owners: None,
            failed: Vec::new(),
        }
    }

    /// Whether all owners are wanted, not only the first.
    pub(super) const fn wants_list(&self) -> bool {
        !matches!(self.purpose, Purpose::Finger(_) | Purpose::Merge | Purpose::Compare(_))
    }

    /// What to ask with `tag`.
    pub(super) fn request(&self, tag: u32) -> Message<C> {
        if self.owners.is_some() {
            return Message::Ping { tag };
        }
        Message::Find { tag, key: self.key, avoid: self.avoid, list: self.wants_list() }
    }

    /// What it has taken so far.
    pub(super) const fn cost(&self) -> Cost {
        Cost { hops: self.depth, messages: self.requests, timeouts: self.timeouts }
    }
}

/// Where a key leads from one node.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<C> {
    /// This node is responsible.
    Mine,
    /// The successor with this index is.
    Owner(usize),
    /// This one is nearer.
    Next(C),
    /// Nobody else is known.
    Lost,
}

impl<C: Contact> Chord<C> {
    /// Where `key` leads, leaving out who is at or beyond `avoid` and who has `failed`. With all
    /// predecessors of the key left out, the first successor at or after it is the owner.
    pub(super) fn route(&self, key: Position, avoid: Option<C>, failed: &[C]) -> Step<C> {
        let here = position(self.me);
        let distance = here.to(key);
        let mine = self.predecessor.is_some_and(|before| here.owns(position(before), key));
        let Some(head) = self.successors.head() else { return Step::Mine };
        if distance == 0 || mine {
            return Step::Mine;
        }
        if distance > here.to(position(head)) {
            let mut limit = distance;
            if let Some(avoid) = avoid {
                limit = limit.min(here.to(position(avoid)));
            }
            if self.config.has(Fault::Overshoot) {
                limit = limit.saturating_mul(2);
            }
            if let Some(next) = self.closest_preceding(here, limit, failed) {
                return Step::Next(next);
            }
        }
        let owner = self.successors.as_slice().iter().position(|&contact| {
            here.to(position(contact)) >= distance
                && Some(contact) != avoid
                && !failed.contains(&contact)
        });
        owner.map_or(Step::Lost, Step::Owner)
    }

    /// The node nearest below `limit` among those that the configuration routes by.
    fn closest_preceding(&self, here: Position, limit: u128, failed: &[C]) -> Option<C> {
        let finger = match self.config.routing {
            Routing::Successor => None,
            _ => self.fingers.closest_preceding(here, limit, failed),
        };
        let successor = match self.config.routing {
            Routing::FingersAndSuccessors => self.successors.closest_preceding(here, limit, failed),
            // The list only stands in for what is lost.
            Routing::Fingers | Routing::Successor if finger.is_none() => self
                .successors
                .as_slice()
                .iter()
                .copied()
                .find(|contact| !failed.contains(contact))
                .filter(|&contact| here.to(position(contact)) < limit),
            _ => None,
        };
        match (finger, successor) {
            (Some(a), Some(b)) if here.to(position(a)) < here.to(position(b)) => Some(b),
            (None, only) => only,
            (only, _) => only,
        }
    }

    /// This node and its successors, as the owners of a key of its own.
    pub(super) fn me_and_successors(&self) -> Box<[C]> {
        core::iter::once(&self.me).chain(self.successors.as_slice()).copied().collect()
    }

    /// Begins to look for the owner of `key`.
    pub(super) fn look_up(&mut self, purpose: Purpose<C>, key: Key, cx: &mut Cx<'_, Self>) {
        let lookup = Box::new(Lookup::new(purpose, key));
        match self.config.style {
            Style::Iterative => self.first_step(lookup, cx),
            Style::Recursive { .. } => self.originate(lookup, cx),
        }
    }

    /// Begins to look for the owner of `key`, asking each node in turn whatever the style.
    pub(super) fn look_up_iteratively(
        &mut self,
        purpose: Purpose<C>,
        key: Key,
        cx: &mut Cx<'_, Self>,
    ) {
        self.first_step(Box::new(Lookup::new(purpose, key)), cx);
    }

    /// Asks `first`, whoever that is, for the owner of `key`.
    pub(super) fn look_up_at(
        &mut self,
        first: C,
        purpose: Purpose<C>,
        key: Key,
        cx: &mut Cx<'_, Self>,
    ) {
        let mut lookup = Box::new(Lookup::new(purpose, key));
        lookup.depth = 1;
        self.ask_next(first, lookup, cx);
    }

    /// Chooses from this node's own table whom to ask.
    fn first_step(&mut self, mut lookup: Box<Lookup<C>>, cx: &mut Cx<'_, Self>) {
        if !self.is_member() {
            return self.lookup_failed(*lookup, cx);
        }
        (lookup.depth, lookup.via, lookup.avoid) = (0, None, None);
        match self.route(Position::from(lookup.key), None, &lookup.failed) {
            Step::Mine => {
                let owners = self.me_and_successors();
                self.arrived(lookup, owners, self.me, cx);
            }
            Step::Owner(at) => {
                let owners = self.successors.as_slice()[at..].into();
                self.arrived(lookup, owners, self.me, cx);
            }
            Step::Next(next) => {
                lookup.depth = 1;
                self.ask_next(next, lookup, cx);
            }
            Step::Lost => self.lookup_failed(*lookup, cx),
        }
    }

    fn ask_next(&mut self, to: C, mut lookup: Box<Lookup<C>>, cx: &mut Cx<'_, Self>) {
        if lookup.requests >= self.config.lookup_requests_max {
            return self.lookup_failed(*lookup, cx);
        }
        lookup.requests += 1;
        self.ask(to, Kind::Lookup(lookup), cx);
    }

    /// Somebody asks where `key` leads.
    pub(super) fn on_find(
        &mut self,
        from: C,
        tag: u32,
        key: Key,
        avoid: Option<C>,
        list: bool,
        cx: &mut Cx<'_, Self>,
    ) {
        let answer = match self.route(Position::from(key), avoid, &[]) {
            Step::Mine if list => Message::Owners { tag, owners: self.me_and_successors() },
            Step::Mine => Message::Owner { tag, owner: self.me },
            Step::Owner(at) if list => {
                Message::Owners { tag, owners: self.successors.as_slice()[at..].into() }
            }
            Step::Owner(at) => Message::Owner { tag, owner: self.successors.as_slice()[at] },
            Step::Next(to) => Message::Refer { tag, to },
            Step::Lost => Message::Refer { tag, to: self.me },
        };
        cx.send(from, answer);
    }

    /// `task.to` says that `to` is nearer.
    pub(super) fn on_refer(&mut self, task: Task<C>, to: C, cx: &mut Cx<'_, Self>) {
        let Kind::Lookup(mut lookup) = task.kind else { return };
        let asked = task.to;
        let nearer =
            position(to).is_between(position(asked), Position::from(lookup.key)) && to != self.me;
        let below = lookup.avoid.is_none_or(|avoid| {
            position(asked).to(position(to)) < position(asked).to(position(avoid))
        });
        if !nearer || !below {
            lookup.failed.push(asked);
            return self.step_back(asked, lookup, cx);
        }
        if lookup.failed.contains(&to) {
            lookup.avoid = Some(to);
            return self.ask_next(asked, lookup, cx);
        }
        lookup.depth += 1;
        (lookup.via, lookup.avoid) = (Some(asked), None);
        self.ask_next(to, lookup, cx);
    }

    /// `asked` is of no use: asks whoever referred to it for another, or begins anew.
    fn step_back(&mut self, asked: C, mut lookup: Box<Lookup<C>>, cx: &mut Cx<'_, Self>) {
        match lookup.via.take() {
            Some(via) => {
                lookup.avoid = Some(asked);
                lookup.depth -= 1;
                self.ask_next(via, lookup, cx);
            }
            None => self.first_step(lookup, cx),
        }
    }

    /// `silent` did not answer in time.
    pub(super) fn lookup_timed_out(
        &mut self,
        silent: C,
        mut lookup: Box<Lookup<C>>,
        cx: &mut Cx<'_, Self>,
    ) {
        lookup.timeouts = lookup.timeouts.saturating_add(1);
        lookup.failed.push(silent);
        if lookup.timeouts > self.config.lookup_timeouts_max {
            return self.lookup_failed(*lookup, cx);
        }
        match lookup.owners.take() {
            Some(owners) => self.reach_owner(lookup, owners, cx),
            None => self.step_back(silent, lookup, cx),
        }
    }

    /// `source` names the `owners`.
    pub(super) fn arrived(
        &mut self,
        mut lookup: Box<Lookup<C>>,
        owners: Box<[C]>,
        source: C,
        cx: &mut Cx<'_, Self>,
    ) {
        let Some(&owner) = owners.first() else { return self.lookup_failed(*lookup, cx) };
        let is_new = owner != self.me && owner != source;
        lookup.depth = lookup.depth.saturating_add(is_new.into());
        let for_user = matches!(lookup.purpose, Purpose::Locate(_));
        if for_user && is_new && self.config.reach_owner {
            return self.reach_owner(lookup, owners, cx);
        }
        lookup.via = Some(source);
        self.lookup_done(*lookup, &owners[..owners.len().min(SUCCESSORS_MAX)], cx);
    }

    /// Asks the first owner that has not failed whether it lives.
    fn reach_owner(&mut self, mut lookup: Box<Lookup<C>>, owners: Box<[C]>, cx: &mut Cx<'_, Self>) {
        let owner = owners.iter().find(|owner| !lookup.failed.contains(owner)).copied();
        match owner {
            None => self.lookup_failed(*lookup, cx),
            Some(owner) if owner == self.me => self.owner_reached(*lookup, &owners, owner, cx),
            Some(owner) => {
                lookup.owners = Some(owners);
                self.ask_next(owner, lookup, cx);
            }
        }
    }

    /// The owner lives.
    pub(super) fn owner_reached(
        &mut self,
        lookup: Lookup<C>,
        owners: &[C],
        owner: C,
        cx: &mut Cx<'_, Self>,
    ) {
        let at = owners.iter().position(|&other| other == owner).unwrap_or(0);
        let end = owners.len().min(at + SUCCESSORS_MAX);
        self.lookup_done(lookup, &owners[at..end], cx);
    }

    /// The lookup has succeeded.
    fn lookup_done(&mut self, lookup: Lookup<C>, owners: &[C], cx: &mut Cx<'_, Self>) {
        let cost = lookup.cost();
        match lookup.purpose {
            Purpose::Locate(op) => {
                self.tell(op, Report::Located { nodes: owners.to_vec(), cost }, cx);
            }
            Purpose::Get(op) => self.get_from(op, lookup.key, owners, cost, cx),
            Purpose::Put(put) => {
                let (op, value) = *put;
                self.put_at(op, lookup.key, value, owners, cost, cx);
            }
            Purpose::Orphan => self.orphan_placed(lookup.key, owners, cx),
            Purpose::Finger(index) => self.finger_found(index, owners.first().copied(), cx),
            Purpose::Join => self.place_found(owners, cx),
            Purpose::Merge => self.follower_elsewhere(owners.first().copied(), cx),
            Purpose::Compare(elsewhere) => {
                self.compared(elsewhere, owners.first().copied(), lookup.via, cx);
            }
        }
    }

    /// The lookup has led nowhere.
    pub(super) fn lookup_failed(&mut self, lookup: Lookup<C>, cx: &mut Cx<'_, Self>) {
        let cost = lookup.cost();
        match lookup.purpose {
            Purpose::Locate(op) | Purpose::Get(op) => {
                self.tell(op, Report::Failed { cost }, cx);
            }
            Purpose::Put(put) => self.tell(put.0, Report::Failed { cost }, cx),
            Purpose::Finger(index) => self.finger_found(index, None, cx),
            Purpose::Join => self.place_found(&[], cx),
            Purpose::Merge | Purpose::Compare(_) | Purpose::Orphan => {}
        }
    }
}
