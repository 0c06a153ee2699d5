//! Lookups that travel from node to node, the owner answering whoever began. Whom to pass them to
//! is chosen in `lookup`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use machine::Cx;
use machine::dht::{Contact, Key};

use super::Chord;
use super::config::Style;
use super::lookup::{Lookup, Step};
use super::message::Message;
use super::position::Position;
use super::task::{Active, Kind};

/// How many timeouts the origin waits for the owner's answer.
pub(super) const ORIGIN_PATIENCE: u32 = 16;

/// A lookup that another node was asked to take on.
#[derive(Clone)]
pub(super) struct Passing<C> {
    pub(super) tag: u32,
    pub(super) origin: C,
    pub(super) key: Key,
    /// Hops before this one.
    pub(super) hops: u16,
    pub(super) timeouts: u8,
    pub(super) list: bool,
    pub(super) last: bool,
    /// Who did not take it on.
    pub(super) failed: Vec<C>,
}

impl<C: Contact> Passing<C> {
    pub(super) fn message(&self) -> Message<C> {
        Message::Route {
            tag: self.tag,
            origin: self.origin,
            key: self.key,
            hops: self.hops.saturating_add(1),
            timeouts: self.timeouts,
            last: self.last,
            list: self.list,
        }
    }
}

impl<C: Contact> Chord<C> {
    /// Begins a lookup and waits for the owner's word.
    pub(super) fn originate(&mut self, mut lookup: Box<Lookup<C>>, cx: &mut Cx<'_, Self>) {
        if !self.is_member() {
            return self.lookup_failed(*lookup, cx);
        }
        match self.route(Position::from(lookup.key), None, &[]) {
            Step::Lost => self.lookup_failed(*lookup, cx),
            Step::Mine => {
                let owners = self.me_and_successors();
                self.arrived(lookup, owners, self.me, cx);
            }
            Step::Owner(_) | Step::Next(_) => {
                lookup.requests = lookup.requests.saturating_add(1);
                let (key, list) = (lookup.key, lookup.wants_list());
                let tag = self.ask(self.me, Kind::Origin(lookup), cx);
                let passing = Passing {
                    tag,
                    origin: self.me,
                    key,
                    hops: 0,
                    timeouts: 0,
                    list,
                    last: false,
                    failed: Vec::new(),
                };
                self.pass_on(passing, cx);
            }
        }
    }

    /// Passes a lookup to the next node.
    pub(super) fn pass_on(&mut self, mut passing: Passing<C>, cx: &mut Cx<'_, Self>) {
        let step = self.route(Position::from(passing.key), None, &passing.failed);
        let to = match step {
            Step::Mine => return self.answer_origin(&passing, passing.hops, cx),
            Step::Lost => return,
            Step::Owner(at) => self.successors.as_slice()[at],
            Step::Next(next) => next,
        };
        passing.last = matches!(step, Step::Owner(_));
        let has_room = match passing.origin == self.me {
            true => self.has_room(),
            false => self.has_room_for_others(),
        };
        if passing.hops >= self.config.lookup_requests_max || !has_room {
            return;
        }
        match self.config.style {
            Style::Recursive { acknowledged: true } => {
                self.ask(to, Kind::Forward(Box::new(passing)), cx);
            }
            _ => cx.send(to, passing.message()),
        }
    }

    /// A lookup has come to this node, which takes it on.
    pub(super) fn on_route(&mut self, from: C, passing: Passing<C>, cx: &mut Cx<'_, Self>) {
        if let Style::Recursive { acknowledged: true } = self.config.style {
            cx.send(from, Message::Ack { tag: passing.tag });
        }
        if passing.last {
            self.answer_origin(&passing, passing.hops, cx);
        } else {
            self.pass_on(passing, cx);
        }
    }

    fn answer_origin(&mut self, passing: &Passing<C>, hops: u16, cx: &mut Cx<'_, Self>) {
        let successors = passing.list.then(|| self.successors.as_slice().into());
        if passing.origin == self.me {
            return self.on_arrived(self.me, passing.tag, hops, passing.timeouts, successors, cx);
        }
        let (tag, timeouts) = (passing.tag, passing.timeouts);
        cx.send(passing.origin, Message::Arrived { tag, hops, timeouts, successors });
    }

    /// The owner of what this node looked for speaks up.
    pub(super) fn on_arrived(
        &mut self,
        owner: C,
        tag: u32,
        hops: u16,
        timeouts: u8,
        successors: Option<Box<[C]>>,
        cx: &mut Cx<'_, Self>,
    ) {
        let take = |active: &mut Box<Active<C>>| {
            active.take(self.me, tag, |kind| matches!(kind, Kind::Origin(_)))
        };
        let Some(task) = self.active.as_mut().and_then(take) else { return };
        let Kind::Origin(mut lookup) = task.kind else { return };
        lookup.depth = hops;
        lookup.requests = hops.saturating_add(timeouts.into());
        lookup.timeouts = lookup.timeouts.saturating_add(timeouts.into());
        let owners = core::iter::once(owner).chain(successors.unwrap_or_default()).collect();
        self.arrived(lookup, owners, owner, cx);
    }

    /// `silent` has not acknowledged a lookup: somebody else gets it.
    pub(super) fn forward_timed_out(
        &mut self,
        silent: C,
        mut passing: Passing<C>,
        cx: &mut Cx<'_, Self>,
    ) {
        passing.timeouts = passing.timeouts.saturating_add(1);
        passing.failed.push(silent);
        if u16::from(passing.timeouts) <= self.config.lookup_timeouts_max {
            self.pass_on(passing, cx);
        }
    }
}
