//! Chord (Stoica et al., SIGCOMM 2001 and ToN 2003): a ring of successors with fingers across it,
//! kept by the operations that Zave corrected ("How to Make Chord Correct", TSE 2017).
//!
//! Here live the machine and the routing of inputs to its parts. Not here: what other tables do
//! ([`kademlia`](crate::kademlia)), and sockets.

mod config;
mod fingers;
mod keys;
mod lookup;
mod membership;
mod message;
mod peer;
mod position;
mod recursive;
mod repair;
mod stabilise;
mod successors;
mod table;
mod task;
#[cfg(test)]
mod tests;
mod user;
mod wire;
mod wired;

use alloc::boxed::Box;
use alloc::sync::Arc;

use machine::dht::{Command, Contact, Cost, Dht, Report};
use machine::{Cx, DatagramMachine, Instant, Machine, Near, OpId, Send};

pub use config::{Config, Fault, FingerUpkeep, REMEMBERED_MAX, Routing, SUCCESSORS_MAX, Style};
pub use message::{Message, Neighbours, Wanted};
pub use peer::Peer;
pub use position::{BITS, Position};
pub use wire::{DATAGRAM_MAX, Packet};

pub use crate::held::{Item, OFFER_MAX, VALUE_MAX, Version};
pub use codec::datagram::Malformed;

use fingers::FingerTable;
use keys::Keys;
use lookup::Purpose;
use position::position;
use recursive::Passing;
use stabilise::Remembered;
use successors::SuccessorList;
use task::{Active, Kind, Task};

/// What a Chord node tells its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<C> {
    /// How a command ended.
    ///
    /// The hops of a lookup include the last one, to the owner: with
    /// [`Config::reach_owner`] it is made, otherwise it is the one that would follow. The papers
    /// count one less. There are no hops to keys of one's own.
    Report(Report<C>),
    /// This node did not answer and is taken for dead.
    Suspected(C),
}

/// Which timer of a Chord node fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// It is time for upkeep.
    Tick,
    /// The first of the outstanding requests may have waited long enough.
    Deadline,
}

/// How far a node has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Outside,
    Joining,
    Member,
}

/// One node of a Chord ring.
///
/// It is made to be small: lists lie within it up to usual lengths, and what is under way, is
/// remembered or is stored takes room only while there is some.
pub struct Chord<C: Contact> {
    me: C,
    predecessor: Option<C>,
    status: Status,
    /// Whether anything was heard of the predecessor since the last tick.
    predecessor_heard: bool,
    /// Whether a tick is to come.
    ticking: bool,
    /// The next finger to look up.
    next_finger: u8,
    successors: SuccessorList<C>,
    fingers: FingerTable<C>,
    config: Arc<Config>,
    active: Option<Box<Active<C>>>,
    remembered: Option<Box<Remembered<C>>>,
    keys: Option<Box<Keys<C>>>,
}

impl<C: Contact> Chord<C> {
    /// A node that is in no ring yet.
    #[must_use]
    pub fn new(me: C, config: Arc<Config>) -> Self {
        Self {
            me,
            predecessor: None,
            status: Status::Outside,
            predecessor_heard: false,
            ticking: false,
            next_finger: 0,
            successors: SuccessorList::new(me),
            fingers: FingerTable::new(me),
            config,
            active: None,
            remembered: None,
            keys: None,
        }
    }

    /// Its own contact.
    #[must_use]
    pub const fn me(&self) -> C {
        self.me
    }

    /// Whom it takes for its predecessor.
    #[must_use]
    pub const fn predecessor(&self) -> Option<C> {
        self.predecessor
    }

    /// Its successor list, nearest first; empty if it knows nobody else.
    #[must_use]
    pub fn successors(&self) -> &[C] {
        self.successors.as_slice()
    }

    /// The distinct nodes of its finger table, nearest first.
    #[must_use]
    pub fn fingers(&self) -> &[C] {
        self.fingers.as_slice()
    }

    /// The first node known at a distance of 2^`index` or more, `index` below [`BITS`].
    #[must_use]
    pub fn finger(&self, index: u32) -> Option<C> {
        self.fingers.finger(position(self.me), index)
    }

    /// Whether it is part of a ring.
    #[must_use]
    pub const fn is_member(&self) -> bool {
        matches!(self.status, Status::Member)
    }

    /// Bytes that it occupies, heap included but for the bytes of values.
    #[must_use]
    pub fn memory(&self) -> usize {
        let active = self
            .active
            .as_ref()
            .map_or(0, |active| size_of::<Active<C>>() + active.tasks.heap_bytes());
        let remembered = self
            .remembered
            .as_ref()
            .map_or(0, |remembered| size_of::<Remembered<C>>() + remembered.heap_bytes());
        size_of::<Self>()
            + self.successors.heap_bytes()
            + self.fingers.heap_bytes()
            + active
            + remembered
            + self.keys.as_ref().map_or(0, |keys| size_of::<Keys<C>>() + keys.heap_bytes())
    }

    /// Asks for what is under way.
    fn foresee_active(&self, near: &mut impl Near) {
        if let Some(active) = &self.active {
            near.bring(core::slice::from_ref(&**active));
        }
    }

    /// Asks for the lookups under way, once what is under way is near.
    fn foresee_lookups(&self, near: &mut impl Near) {
        let tasks = self.active.iter().flat_map(|active| active.tasks.iter());
        for lookup in tasks.filter_map(|task| task.kind.lookup()) {
            near.bring(core::slice::from_ref(lookup));
        }
    }

    const fn is_joining(&self) -> bool {
        matches!(self.status, Status::Joining)
    }

    /// Whether a request of this kind is outstanding.
    fn waits_for(&self, fits: impl Fn(&Kind<C>) -> bool) -> bool {
        self.active.as_ref().is_some_and(|active| active.any(fits))
    }

    /// Sends a request and waits for its answer; returns its tag.
    fn ask(&mut self, to: C, kind: Kind<C>, cx: &mut Cx<'_, Self>) -> u32 {
        let tag = match &kind {
            Kind::Forward(passing) => passing.tag,
            _ => cx.rng().next_u32(),
        };
        let deadline = cx.now() + kind.patience(&self.config);
        let task = Task { tag, to, deadline, attempt: 1, kind };
        if let Some(message) = task.request() {
            cx.send(to, message);
        }
        let active = self.active.get_or_insert_default();
        active.tasks.push(task);
        active.arm(deadline, cx);
        tag
    }

    /// Takes out the request that `from` answers with `tag`, if one fits.
    fn answered(&mut self, from: C, tag: u32, fits: impl Fn(&Kind<C>) -> bool) -> Option<Task<C>> {
        self.active.as_mut()?.take(from, tag, fits)
    }

    /// Sends again what has waited long enough, or gives it up.
    fn deadline(&mut self, cx: &mut Cx<'_, Self>) {
        let now = cx.now();
        let Some(active) = &mut self.active else { return };
        if now < active.armed {
            return;
        }
        active.armed = Instant::ZERO;
        let mut late = alloc::vec::Vec::new();
        let mut at = 0;
        while let Some(task) = active.tasks.get_mut(at) {
            if task.deadline > now {
                at += 1;
            } else if let (true, Some(message)) =
                (task.attempt < self.config.attempts, task.request())
            {
                task.attempt += 1;
                task.deadline = now + task.kind.patience(&self.config);
                cx.send(task.to, message);
                at += 1;
            } else {
                late.extend(active.tasks.swap_remove(at));
            }
        }
        for task in late {
            self.timed_out(task, cx);
        }
        if let Some(active) = &mut self.active
            && let Some(next) = active.tasks.iter().map(|task| task.deadline).min()
        {
            active.arm(next, cx);
        }
    }

    /// A request has been given up.
    fn timed_out(&mut self, task: Task<C>, cx: &mut Cx<'_, Self>) {
        let silent = task.to;
        if silent != self.me {
            self.suspect(silent, cx);
        }
        match task.kind {
            Kind::Stabilise { .. } => self.stabilise_timed_out(silent, cx),
            Kind::CheckPredecessor { candidate } => {
                self.predecessor_timed_out(silent, candidate, cx);
            }
            Kind::Greet => {}
            Kind::Adopt => self.adopt_timed_out(cx),
            Kind::Lookup(lookup) => self.lookup_timed_out(silent, lookup, cx),
            Kind::Forward(passing) => self.forward_timed_out(silent, *passing, cx),
            Kind::Origin(lookup) => self.lookup_failed(*lookup, cx),
            Kind::Get(getting) => self.get_timed_out(*getting, cx),
            Kind::PutOffer { id, .. } => self.put_timed_out(id, cx),
            Kind::PutGive(giving) => self.put_timed_out(giving.id, cx),
            Kind::Offer(offering) => self.moving_timed_out(offering.why, cx),
            Kind::Give(giving) => self.moving_timed_out(giving.why, cx),
            Kind::Leaving(op) => self.depart(Some(op), cx),
        }
    }

    /// Frees what is no longer needed.
    fn tidy(&mut self) {
        if self.active.as_ref().is_some_and(|active| active.is_idle()) {
            self.active = None;
        }
    }

    /// What a member is asked.
    fn on_request(&mut self, from: C, message: Message<C>, cx: &mut Cx<'_, Self>) {
        match message {
            Message::Find { tag, key, avoid, list } => {
                self.on_find(from, tag, key, avoid, list, cx);
            }
            Message::Route { tag, origin, key, hops, timeouts, last, list } => {
                let failed = alloc::vec::Vec::new();
                let passing = Passing { tag, origin, key, hops, timeouts, list, last, failed };
                self.on_route(from, passing, cx);
            }
            Message::GetNeighbours { tag } => {
                cx.send(from, Message::Neighbours { tag, neighbours: self.neighbours() });
            }
            Message::Notify => self.on_notify(from, cx),
            Message::Suggest { contact } => {
                self.on_suggest(contact, cx);
            }
            Message::Ping { tag } => cx.send(from, Message::Pong { tag }),
            Message::Goodbye { neighbours } => self.on_goodbye(from, &neighbours, cx),
            Message::Get { tag, key } => self.on_get(from, tag, key, cx),
            Message::Offer { tag, put, keys } => self.on_offer(from, tag, put, &keys, cx),
            Message::Give { tag, token, item } => self.on_give(from, tag, token, &item, cx),
            _ => {}
        }
    }

    /// What a request is answered. Answers that nobody waits for find nothing to do.
    fn on_answer(&mut self, from: C, message: Message<C>, cx: &mut Cx<'_, Self>) {
        let is_lookup = |kind: &Kind<C>| matches!(kind, Kind::Lookup(l) if l.owners.is_none());
        match message {
            Message::Refer { tag, to } => {
                if let Some(task) = self.answered(from, tag, is_lookup) {
                    self.on_refer(task, to, cx);
                }
            }
            Message::Owner { tag, owner } => {
                if let Some(task) = self.answered(from, tag, is_lookup)
                    && let Kind::Lookup(lookup) = task.kind
                {
                    self.arrived(lookup, Box::new([owner]), from, cx);
                }
            }
            Message::Owners { tag, owners } => {
                if let Some(task) = self.answered(from, tag, is_lookup)
                    && let Kind::Lookup(lookup) = task.kind
                {
                    self.arrived(lookup, owners, from, cx);
                }
            }
            Message::Ack { tag } => {
                self.answered(from, tag, |kind| matches!(kind, Kind::Forward(_)));
            }
            Message::Arrived { tag, hops, timeouts, successors } => {
                self.on_arrived(from, tag, hops, timeouts, successors, cx);
            }
            Message::Neighbours { tag, neighbours } => {
                let task = self.answered(from, tag, |kind| {
                    matches!(kind, Kind::Stabilise { .. } | Kind::Adopt)
                });
                if let Some(task) = task {
                    self.on_neighbours(task, &neighbours, cx);
                }
            }
            Message::Pong { tag } => self.on_pong(from, tag, cx),
            Message::Value { tag, item } => self.on_value(from, tag, Some(&item), cx),
            Message::Absent { tag } => self.on_value(from, tag, None, cx),
            Message::Want { tag, wanted } => {
                let task = self.answered(from, tag, |kind| {
                    matches!(kind, Kind::PutOffer { .. } | Kind::Offer(_))
                });
                match task.map(|task| task.kind) {
                    Some(Kind::PutOffer { id, .. }) => self.put_wanted(id, from, &wanted, cx),
                    Some(Kind::Offer(offering)) => self.on_want(from, &offering, &wanted, cx),
                    _ => {}
                }
            }
            Message::Kept { tag } => {
                let task = self
                    .answered(from, tag, |kind| matches!(kind, Kind::PutGive(_) | Kind::Give(_)));
                match task.map(|task| task.kind) {
                    Some(Kind::PutGive(giving)) => self.put_kept(giving.id, cx),
                    Some(Kind::Give(giving)) => self.on_kept(&giving, cx),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn on_value(&mut self, from: C, tag: u32, item: Option<&Item>, cx: &mut Cx<'_, Self>) {
        let fits = |kind: &Kind<C>| match kind {
            Kind::Get(getting) => item.is_none_or(|item| item.key == getting.key),
            _ => false,
        };
        if let Some(task) = self.answered(from, tag, fits)
            && let Kind::Get(getting) = task.kind
        {
            self.got(*getting, item.map(|item| item.value.clone()), cx);
        }
    }

    fn on_pong(&mut self, from: C, tag: u32, cx: &mut Cx<'_, Self>) {
        let task = self.answered(from, tag, |kind| match kind {
            Kind::CheckPredecessor { .. } | Kind::Greet => true,
            Kind::Lookup(lookup) => lookup.owners.is_some(),
            _ => false,
        });
        match task.map(|task| task.kind) {
            Some(Kind::Lookup(mut lookup)) => {
                let owners = lookup.owners.take().unwrap_or_default();
                self.owner_reached(*lookup, &owners, from, cx);
            }
            Some(Kind::Greet) => self.greeted(from, cx),
            _ => {}
        }
    }

    /// How many requests are outstanding.
    fn outstanding(&self) -> usize {
        self.active.as_ref().map_or(0, |active| active.tasks.len())
    }

    /// Whether another request of the user can be taken on.
    fn has_room(&self) -> bool {
        self.outstanding() < self.config.outstanding_max
    }

    /// Whether another request can be made because somebody else wants it. Half of the room is the
    /// user's.
    fn has_room_for_others(&self) -> bool {
        self.outstanding() < self.config.outstanding_max.div_ceil(2)
    }
}

impl<C: Contact> Machine for Chord<C> {
    type Command = Command<C>;
    type Event = Event<C>;
    type Timer = Timer;
    type Effect = Send<C, Message<C>>;

    fn on_start(&mut self, cx: &mut Cx<'_, Self>) {
        if self.is_member()
            && let Some((_, greatest)) = self.config.tick
        {
            // Nodes that start together do not tick together.
            let after = cx.rng().below(greatest.as_nanos() as u64);
            self.start_ticking(Some(core::time::Duration::from_nanos(after)), cx);
        }
    }

    fn on_command(&mut self, op: OpId, command: Command<C>, cx: &mut Cx<'_, Self>) {
        match command {
            Command::Join { known } => self.join(op, known, cx),
            Command::Leave => self.leave(op, cx),
            Command::Lookup { key } if self.is_member() && self.has_room() => {
                self.look_up(Purpose::Locate(op), key, cx);
            }
            Command::Get { key } if self.is_member() && self.has_room() => self.get(op, key, cx),
            Command::Put { key, value } if self.is_member() && self.has_room() => {
                self.put(op, key, value, cx);
            }
            Command::Lookup { .. } | Command::Put { .. } | Command::Get { .. } => {
                self.tell(op, Report::Failed { cost: Cost::default() }, cx);
            }
        }
        self.tidy();
    }

    fn on_timer(&mut self, timer: Timer, cx: &mut Cx<'_, Self>) {
        match timer {
            Timer::Tick => self.tick(cx),
            Timer::Deadline => self.deadline(cx),
        }
        self.tidy();
    }
}

impl<C: Contact> DatagramMachine for Chord<C> {
    type Contact = C;
    type Message = Message<C>;

    fn on_message(&mut self, from: C, message: Message<C>, cx: &mut Cx<'_, Self>) {
        if self.predecessor == Some(from) {
            self.predecessor_heard = true;
        }
        if message.is_answer() {
            self.on_answer(from, message, cx);
            self.tidy();
        } else if self.is_member() {
            // Else nobody knows of a joiner yet, and whoever left is gone.
            self.on_request(from, message, cx);
        }
    }

    fn foresee(&self, _: C, message: &Message<C>, round: u32, near: &mut impl Near) {
        match message {
            Message::Neighbours { neighbours, .. } if round == 1 => {
                near.bring(&neighbours.successors);
            }
            _ if round == 0 => self.foresee_active(near),
            Message::Refer { .. } | Message::Owner { .. } if round == 1 => {
                self.foresee_lookups(near);
            }
            Message::Owners { owners, .. } if round == 1 => {
                near.bring(owners);
                self.foresee_lookups(near);
            }
            _ => {}
        }
    }

    fn foresee_timer(&self, _: Timer, near: &mut impl Near) {
        self.foresee_active(near);
    }
}

impl<C: Contact> Dht for Chord<C> {
    fn command(command: Command<C>) -> Command<C> {
        command
    }

    fn report(event: Event<C>) -> Option<Report<C>> {
        match event {
            Event::Report(report) => Some(report),
            Event::Suspected(_) => None,
        }
    }
}
