//! Joining and leaving. A joiner is no member, answers nothing and is named by nobody until it has
//! its successor's list (Zave).

use alloc::boxed::Box;
use alloc::vec::Vec;

use machine::dht::{Contact, Cost, Report};
use machine::{Cx, OpId};

use super::config::{Fault, REMEMBERED_MAX};
use super::lookup::Purpose;
use super::message::{Message, Neighbours};
use super::position::position;
use super::task::Kind;
use super::{Chord, Event, Status};

/// Most members that a join steps back over to find its place; others come by stabilising.
const STEPS_MAX: u8 = 16;

/// How a node is about to become a member.
pub(super) struct Join<C> {
    /// Who asked for it; nobody if the node had lost all of its successors.
    op: Option<OpId>,
    /// Members to ask for the place, the next one last.
    doors: Vec<C>,
    /// Possible successors, the nearest last.
    candidates: Vec<C>,
    steps: u8,
}

impl<C: Contact> Chord<C> {
    /// The user wants to join through `known`.
    pub(super) fn join(&mut self, op: OpId, known: Vec<C>, cx: &mut Cx<'_, Self>) {
        if self.status != Status::Outside {
            let report = match self.status {
                Status::Member => Report::Joined,
                _ => Report::Failed { cost: Cost::default() },
            };
            return cx.answer(op, Event::Report(report));
        }
        let mut doors = known;
        doors.retain(|&door| door != self.me);
        doors.truncate(REMEMBERED_MAX);
        if doors.is_empty() {
            return self.become_member(Some(op), cx);
        }
        if self.config.merge_every > 0 {
            self.remembered.get_or_insert_default().known = doors.clone();
        }
        doors.reverse();
        self.begin_join(Some(op), doors, cx);
    }

    /// All successors are dead: whoever else is known may know the way back. Until then this node
    /// is no member, as one without a living successor would break the ring.
    pub(super) fn torn_off(&mut self, cx: &mut Cx<'_, Self>) {
        let known = self.remembered.iter().flat_map(|remembered| &remembered.known);
        let mut doors: Vec<_> = known
            .chain(&self.predecessor)
            .chain(self.fingers.as_slice().iter().rev())
            .copied()
            .collect();
        doors.retain(|&door| door != self.me);
        self.fingers.clear();
        if !doors.is_empty() {
            self.begin_join(None, doors, cx);
        }
    }

    fn begin_join(&mut self, op: Option<OpId>, doors: Vec<C>, cx: &mut Cx<'_, Self>) {
        self.status = Status::Joining;
        let active = self.active.get_or_insert_default();
        active.joining = Some(Box::new(Join { op, doors, candidates: Vec::new(), steps: 0 }));
        self.next_door(cx);
    }

    /// Asks the next member for this node's place.
    fn next_door(&mut self, cx: &mut Cx<'_, Self>) {
        let Some(join) = self.active.as_mut().and_then(|active| active.joining.as_mut()) else {
            return;
        };
        if let Some(door) = join.doors.pop() {
            if self.config.has(Fault::JoinUnasked) {
                self.successors.adopt(self.me, door, &[], 1);
                let op = join.op;
                return self.become_member(op, cx);
            }
            return self.look_up_at(door, Purpose::Join, self.me.key(), cx);
        }
        let op = join.op;
        match op {
            Some(op) => {
                self.status = Status::Outside;
                if let Some(active) = &mut self.active {
                    active.joining = None;
                }
                cx.answer(op, Event::Report(Report::Failed { cost: Cost::default() }));
            }
            // Everybody is gone: what is left of the ring is this node.
            None => self.become_member(None, cx),
        }
    }

    /// A member has named who stands first after this node.
    pub(super) fn place_found(&mut self, owners: &[C], cx: &mut Cx<'_, Self>) {
        let me = self.me;
        let Some(join) = self.active.as_mut().and_then(|active| active.joining.as_mut()) else {
            return;
        };
        // A ring that still lists this node, from before it went, lists others after it.
        join.candidates = owners.iter().rev().copied().filter(|&owner| owner != me).collect();
        self.next_candidate(cx);
    }

    /// Asks the nearest possible successor for its list.
    fn next_candidate(&mut self, cx: &mut Cx<'_, Self>) {
        let join = self.active.as_mut().and_then(|active| active.joining.as_mut());
        let Some(join) = join else { return };
        match join.candidates.pop() {
            Some(candidate) => {
                self.ask(candidate, Kind::Adopt, cx);
            }
            None => self.next_door(cx),
        }
    }

    /// A possible successor is dead.
    pub(super) fn adopt_timed_out(&mut self, cx: &mut Cx<'_, Self>) {
        self.next_candidate(cx);
    }

    /// A possible successor has named its neighbours: unless somebody stands between, it is the
    /// one.
    pub(super) fn adopted(&mut self, next: C, said: &Neighbours<C>, cx: &mut Cx<'_, Self>) {
        let Some(join) = self.active.as_mut().and_then(|active| active.joining.as_mut()) else {
            return;
        };
        let here = position(self.me);
        let nearer = said.predecessor.filter(|&before| {
            before != self.me && position(before).is_between(here, position(next))
        });
        if let Some(nearer) = nearer.filter(|_| join.steps < STEPS_MAX) {
            join.steps += 1;
            join.candidates.push(next);
            self.ask(nearer, Kind::Adopt, cx);
            return;
        }
        let op = join.op;
        let limit = self.config.successors();
        self.successors.adopt(self.me, next, &said.successors, limit);
        self.predecessor = said.predecessor.filter(|&before| {
            before != self.me && position(before).is_between(position(next), here)
        });
        self.become_member(op, cx);
        cx.send(next, Message::Notify);
    }

    fn become_member(&mut self, op: Option<OpId>, cx: &mut Cx<'_, Self>) {
        self.status = Status::Member;
        self.predecessor_heard = false;
        if let Some(active) = &mut self.active {
            active.joining = None;
        }
        if let Some(op) = op {
            cx.answer(op, Event::Report(Report::Joined));
        }
        let after = self.next_tick(cx);
        self.start_ticking(after, cx);
        if self.config.fingers_on_join {
            self.refresh_all_fingers(cx);
        }
    }

    /// Is as new. What the user still waited for has failed; returned is who waits for the end.
    pub(super) fn forget_everything(&mut self, cx: &mut Cx<'_, Self>) -> Option<OpId> {
        self.status = Status::Outside;
        self.predecessor = None;
        self.successors.clear();
        self.fingers.clear();
        self.remembered = None;
        self.keys = None;
        self.next_finger = 0;
        self.fail_puts(cx);
        let active = self.active.take()?;
        if let Some(op) = active.joining.and_then(|join| join.op) {
            self.tell(op, Report::Failed { cost: Cost::default() }, cx);
        }
        let mut leaving = None;
        for task in active.tasks.into_iter() {
            match task.kind {
                Kind::Leaving(op) => leaving = Some(op),
                kind => self.fail_task(kind, cx),
            }
        }
        leaving
    }
}
