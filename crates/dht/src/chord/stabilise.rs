//! Upkeep: stabilising, notifying, checking the predecessor, looking up fingers, and finding back
//! to those who were lost. The operations are those that Zave proved correct ("How to Make Chord
//! Correct"): each changes the successor list only by what one living node says at one moment.

use alloc::vec::Vec;
use core::time::Duration;

use machine::Cx;
use machine::dht::Contact;

use super::config::{Fault, FingerUpkeep, REMEMBERED_MAX, Routing};
use super::lookup::Purpose;
use super::message::{Message, Neighbours};
use super::position::{BITS, position};
use super::task::{Kind, Task};
use super::{Chord, Event, Timer};

/// How many new nodes one round of stabilising steps back over before it leaves the rest to the
/// next round.
const STEPS_MAX: u8 = 8;
/// How often a lost node is tried before it is given up.
const TRIES_MAX: u8 = 24;

/// Whom a node may find its way back through.
pub(super) struct Remembered<C> {
    /// Whom the user named when it joined.
    pub(super) known: Vec<C>,
    /// Who was taken for dead, with how often it has been tried since.
    lost: Vec<(C, u8)>,
    /// Ticks until one of them is asked.
    wait: u8,
}

impl<C> Default for Remembered<C> {
    fn default() -> Self {
        Self { known: Vec::new(), lost: Vec::new(), wait: 0 }
    }
}

impl<C> Remembered<C> {
    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.known.capacity() * size_of::<C>() + self.lost.capacity() * size_of::<(C, u8)>()
    }
}

impl<C: Contact> Chord<C> {
    /// The time to the next tick; `None` if there are none.
    pub(super) fn next_tick(&self, cx: &mut Cx<'_, Self>) -> Option<Duration> {
        let (least, greatest) = self.config.tick?;
        let spread = greatest.saturating_sub(least).as_nanos() as u64;
        Some(least + Duration::from_nanos(cx.rng().below(spread.saturating_add(1))))
    }

    /// Begins to tick, if it does not already.
    pub(super) fn start_ticking(&mut self, after: Option<Duration>, cx: &mut Cx<'_, Self>) {
        if let (false, Some(after)) = (self.ticking, after) {
            self.ticking = true;
            cx.set_timer(after, Timer::Tick);
        }
    }

    /// One round of upkeep.
    pub(super) fn tick(&mut self, cx: &mut Cx<'_, Self>) {
        self.ticking = false;
        if !self.is_member() && !self.is_joining() {
            return;
        }
        let after = self.next_tick(cx);
        self.start_ticking(after, cx);
        if !self.is_member() {
            return;
        }
        self.stabilise(cx);
        self.check_predecessor(cx);
        match self.config.finger_upkeep {
            FingerUpkeep::One => self.refresh_finger(cx),
            FingerUpkeep::All => self.refresh_all_fingers(cx),
            FingerUpkeep::Never => {}
        }
        self.look_for_the_lost(cx);
        self.repair(cx);
    }

    /// Asks the successor for its neighbours. One such question at a time: an answer then fits
    /// the list that it changes.
    pub(super) fn stabilise(&mut self, cx: &mut Cx<'_, Self>) {
        if self.waits_for(|kind| matches!(kind, Kind::Stabilise { .. })) {
            return;
        }
        // Alone, one follows oneself, and one's predecessor comes next.
        if let Some(next) = self.successors.head().or(self.predecessor) {
            self.ask(next, Kind::Stabilise { steps: 0 }, cx);
        }
    }

    /// A successor, or who may become it, has named its neighbours.
    pub(super) fn stabilised(
        &mut self,
        next: C,
        steps: u8,
        said: &Neighbours<C>,
        cx: &mut Cx<'_, Self>,
    ) {
        let (me, limit) = (self.me, self.config.successors());
        let here = position(me);
        let before_head = match self.successors.head() {
            Some(head) => next == head || position(next).is_between(here, position(head)),
            None => true,
        };
        if !before_head {
            return;
        }
        let stale = self.config.has(Fault::StaleSuccessors) && self.successors.head() == Some(next);
        if self.config.has(Fault::DropHead) && said.successors.len() > 1 {
            self.successors.adopt(me, said.successors[0], &said.successors[1..], limit);
        } else if !stale {
            self.successors.adopt(me, next, &said.successors, limit);
        }
        if self.config.has(Fault::HeadLast) {
            self.successors.rotate();
        }
        let nearer =
            said.predecessor.filter(|&before| position(before).is_between(here, position(next)));
        match nearer {
            Some(nearer) if steps < STEPS_MAX => {
                self.ask(nearer, Kind::Stabilise { steps: steps + 1 }, cx);
            }
            _ => self.notify(cx),
        }
    }

    /// Who was asked for its neighbours is silent.
    pub(super) fn stabilise_timed_out(&mut self, silent: C, cx: &mut Cx<'_, Self>) {
        if self.successors.head() == Some(silent) && !self.config.has(Fault::KeepDeadHead) {
            self.successors.remove(silent);
            if self.config.has(Fault::ForgetSuccessors) {
                return self.successors.clear();
            }
            if self.successors.head().is_none() && self.predecessor == Some(silent) {
                self.predecessor = None;
            }
            if self.successors.head().is_some() {
                self.stabilise(cx);
            } else {
                self.torn_off(cx);
            }
        } else {
            self.notify(cx);
        }
    }

    fn notify(&mut self, cx: &mut Cx<'_, Self>) {
        if let Some(head) = self.successors.head() {
            cx.send(head, Message::Notify);
        }
    }

    /// `from` thinks that it is this node's predecessor (Zave's rectify): it is if it stands
    /// between the present one and here, or if the present one is dead.
    pub(super) fn on_notify(&mut self, from: C, cx: &mut Cx<'_, Self>) {
        if self.predecessor == Some(from) || position(from) == position(self.me) {
            return;
        }
        match self.predecessor {
            Some(before) if !self.precedes_more_closely(from) => {
                self.ask_predecessor(before, Some(from), cx);
            }
            _ => self.greet(from, cx),
        }
    }

    /// Whether `contact` stands between the predecessor and here.
    fn precedes_more_closely(&self, contact: C) -> bool {
        self.config.has(Fault::NotifyAnybody)
            || self.predecessor.is_none_or(|before| {
                position(contact).is_between(position(before), position(self.me))
            })
    }

    /// Asks who would become the predecessor for a sign of life: what follows may be much, and
    /// must not go to an address that somebody made up.
    fn greet(&mut self, contact: C, cx: &mut Cx<'_, Self>) {
        let waits = self.active.as_ref().is_some_and(|active| {
            active.tasks.iter().any(|task| task.to == contact && matches!(task.kind, Kind::Greet))
        });
        if !waits && self.has_room_for_others() {
            self.ask(contact, Kind::Greet, cx);
        }
    }

    /// `contact`, who would become the predecessor, lives.
    pub(super) fn greeted(&mut self, contact: C, cx: &mut Cx<'_, Self>) {
        if self.is_member()
            && self.predecessor != Some(contact)
            && self.precedes_more_closely(contact)
        {
            self.predecessor = Some(contact);
            self.predecessor_heard = true;
            self.hand_over(cx);
        }
    }

    /// Pings the predecessor if nothing was heard of it since the last tick.
    fn check_predecessor(&mut self, cx: &mut Cx<'_, Self>) {
        let heard = core::mem::take(&mut self.predecessor_heard);
        if let (false, Some(before)) = (heard, self.predecessor) {
            self.ask_predecessor(before, None, cx);
        }
    }

    fn ask_predecessor(&mut self, before: C, candidate: Option<C>, cx: &mut Cx<'_, Self>) {
        if !self.waits_for(|kind| matches!(kind, Kind::CheckPredecessor { .. })) {
            self.ask(before, Kind::CheckPredecessor { candidate }, cx);
        }
    }

    /// The predecessor is silent; if it still is the predecessor, `candidate` takes its place.
    pub(super) fn predecessor_timed_out(
        &mut self,
        silent: C,
        candidate: Option<C>,
        cx: &mut Cx<'_, Self>,
    ) {
        if self.predecessor != Some(silent) {
            return;
        }
        self.predecessor = None;
        if let Some(candidate) = candidate {
            self.greet(candidate, cx);
        }
    }

    /// The lowest finger that is not the successor; `None` if the successor is all of them.
    fn first_finger(&self) -> Option<u32> {
        let head = self.successors.head()?;
        let distance = position(self.me).to(position(head));
        Some(distance.checked_ilog2()? + 1).filter(|&index| index < BITS)
    }

    /// Looks up the next distinct finger.
    pub(super) fn refresh_finger(&mut self, cx: &mut Cx<'_, Self>) {
        if self.config.routing == Routing::Successor || self.waits_for(Kind::is_finger_lookup) {
            return;
        }
        let Some(first) = self.first_finger() else { return self.take_successor_for_finger() };
        let mut index = u32::from(self.next_finger);
        if index < first || index >= BITS {
            index = first;
            self.take_successor_for_finger();
        }
        let key = position(self.me).plus(1 << index).key();
        self.look_up(Purpose::Finger(index as u8), key, cx);
    }

    /// All fingers up to the successor are the successor; whoever was one before it is not looked
    /// up any more, and would stay for good.
    fn take_successor_for_finger(&mut self) {
        if let Some(head) = self.successors.head() {
            self.fingers.set(position(self.me), 0, head);
        }
    }

    /// Looks up all distinct fingers, one after another.
    pub(super) fn refresh_all_fingers(&mut self, cx: &mut Cx<'_, Self>) {
        if self.config.routing == Routing::Successor {
            return;
        }
        if self.first_finger().is_none() {
            return self.take_successor_for_finger();
        }
        let active = self.active.get_or_insert_default();
        if !core::mem::replace(&mut active.refreshing, true) {
            self.next_finger = 0;
            self.refresh_finger(cx);
        }
    }

    /// Finger `index` is `found`, or could not be found.
    pub(super) fn finger_found(&mut self, index: u8, found: Option<C>, cx: &mut Cx<'_, Self>) {
        let here = position(self.me);
        let index = u32::from(index);
        let mut next = index + 1;
        if let Some(found) = found {
            self.fingers.set(here, index, found);
            // The spans up to the one it stands in are empty; with nobody before this node, all.
            let distance = here.to(position(found));
            next = if distance < 1 << index { BITS } else { distance.ilog2() + 1 };
        }
        self.next_finger = next.min(BITS) as u8;
        let refreshing = self.active.as_ref().is_some_and(|active| active.refreshing);
        if refreshing && next < BITS {
            self.refresh_finger(cx);
        }
        if !self.waits_for(Kind::is_finger_lookup)
            && let Some(active) = &mut self.active
        {
            active.refreshing = false;
        }
    }

    /// Remembers `contact` as one to find the way back through.
    pub(super) fn remember_lost(&mut self, contact: C) {
        if self.config.merge_every == 0 || self.config.has(Fault::NoMerge) {
            return;
        }
        let lost = &mut self.remembered.get_or_insert_default().lost;
        if lost.iter().any(|&(other, _)| other == contact) {
            return;
        }
        if lost.len() >= REMEMBERED_MAX {
            lost.remove(0);
        }
        lost.push((contact, 0));
    }

    /// From time to time asks one that was lost, or that the user named, who follows this node
    /// there. If that is somebody between this node and its successor, two rings become one.
    fn look_for_the_lost(&mut self, cx: &mut Cx<'_, Self>) {
        let alone = self.successors.head().is_none();
        let Some(remembered) = &mut self.remembered else { return };
        if remembered.wait > 0 && !alone {
            remembered.wait -= 1;
            return;
        }
        remembered.wait = self.config.merge_every.saturating_sub(1);
        if self.config.merge_every == 0 || self.config.has(Fault::NoMerge) {
            return;
        }
        remembered.lost.retain(|&(_, tries)| tries < TRIES_MAX);
        let count = remembered.lost.len() + remembered.known.len();
        let at = cx.rng().below(count as u64) as usize;
        let contact = match remembered.lost.get_mut(at) {
            Some((contact, tries)) => {
                *tries += 1;
                *contact
            }
            None => match remembered.known.get(at - remembered.lost.len()) {
                Some(&contact) => contact,
                None => {
                    self.remembered = None;
                    return;
                }
            },
        };
        if contact != self.me {
            let key = position(self.me).plus(1).key();
            self.look_up_at(contact, Purpose::Merge, key, cx);
        }
    }

    /// In a ring that may be another, `follower` stands first after this node.
    pub(super) fn follower_elsewhere(&mut self, follower: Option<C>, cx: &mut Cx<'_, Self>) {
        let Some(follower) = follower.filter(|&follower| follower != self.me) else { return };
        if !self.on_suggest(follower, cx) && self.successors.head() != Some(follower) {
            // It does not belong here, but if it is in another ring it belongs somewhere.
            self.look_up_iteratively(Purpose::Compare(follower), follower.key(), cx);
        }
    }

    /// Where `elsewhere` stands, this ring has `owner`, as `before` says. If they differ there are
    /// two rings, and both sides of the seam are told.
    pub(super) fn compared(
        &mut self,
        elsewhere: C,
        owner: Option<C>,
        before: Option<C>,
        cx: &mut Cx<'_, Self>,
    ) {
        let (Some(owner), Some(before)) = (owner, before) else { return };
        if owner == elsewhere {
            return;
        }
        for (to, contact) in [(before, elsewhere), (elsewhere, owner)] {
            if to == self.me {
                self.on_suggest(contact, cx);
            } else {
                cx.send(to, Message::Suggest { contact });
            }
        }
    }

    /// If `contact` stands between this node and its successor, asks it to become the successor;
    /// whether it stands there.
    pub(super) fn on_suggest(&mut self, contact: C, cx: &mut Cx<'_, Self>) -> bool {
        let nearer = contact != self.me
            && self
                .successors
                .head()
                .is_none_or(|head| position(contact).is_between(position(self.me), position(head)));
        if nearer && !self.waits_for(|kind| matches!(kind, Kind::Stabilise { .. })) {
            self.ask(contact, Kind::Stabilise { steps: 0 }, cx);
        }
        nearer
    }

    /// A neighbour leaves and says who was beside it.
    pub(super) fn on_goodbye(&mut self, from: C, said: &Neighbours<C>, cx: &mut Cx<'_, Self>) {
        let (me, limit) = (self.me, self.config.successors());
        if self.successors.head() == Some(from) {
            // What it would have answered had it been asked just now, and then its death.
            self.successors.adopt(me, from, &said.successors, limit + 1);
        }
        self.successors.remove(from);
        self.fingers.remove(position(me), from);
        if self.predecessor == Some(from) {
            self.predecessor = None;
            if let Some(before) = said.predecessor.filter(|&before| before != me) {
                self.greet(before, cx);
            }
        }
    }

    /// An answer to a question of upkeep has come.
    pub(super) fn on_neighbours(
        &mut self,
        task: Task<C>,
        said: &Neighbours<C>,
        cx: &mut Cx<'_, Self>,
    ) {
        match task.kind {
            Kind::Stabilise { steps } => self.stabilised(task.to, steps, said, cx),
            Kind::Adopt => self.adopted(task.to, said, cx),
            _ => {}
        }
    }

    /// `contact` does not answer: it is forgotten as a finger, and its user is told.
    pub(super) fn suspect(&mut self, contact: C, cx: &mut Cx<'_, Self>) {
        if self.config.forget_dead_fingers {
            self.fingers.remove(position(self.me), contact);
        }
        self.remember_lost(contact);
        cx.emit(Event::Suspected(contact));
    }

    /// What this node says when it is asked whom it has beside it.
    pub(super) fn neighbours(&self) -> Neighbours<C> {
        let successors = self.successors.as_slice().into();
        Neighbours { predecessor: self.predecessor, successors }
    }
}
