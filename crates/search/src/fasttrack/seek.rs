//! Looking for a supernode: one after another is asked, first those that the last one named, then
//! those that the user did; and what becomes of a node that finds nobody.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use machine::{Contact, Cx, OpId};

use super::config::TRIED_MAX;
use super::identity::{Id, Identity, Signature};
use super::leaf::Leaf;
use super::{Command, Event, FastTrack, Message, Role, Timer};

/// A node without a supernode.
#[derive(Clone, Debug)]
pub(super) struct Seeking<C> {
    /// Who is to be asked.
    queue: VecDeque<C>,
    /// Who has been, in this round.
    tried: Vec<C>,
    asked: Option<C>,
    /// What it said to repeat, and who it is.
    cookie: Option<(u64, Id)>,
    attempts: u8,
    /// Of the last question.
    number: u32,
    /// How often everybody has been asked.
    rounds: u8,
    /// Whom the last supernode named.
    named: Box<[C]>,
    former: Option<Former<C>>,
}

/// The supernode that a node was a leaf of. It is asked last, and is to hear when the node has gone
/// to another.
#[derive(Clone, Debug)]
pub(super) struct Former<C> {
    pub(super) supernode: C,
    pub(super) session: u64,
    /// Whether it fell silent, and did not send the node away.
    pub(super) is_silent: bool,
}

/// What a leaf-to-be signs.
pub(super) fn join_text(cookie: u64, supernode: &Id) -> Vec<u8> {
    let mut text = b"shoal fasttrack join\0".to_vec();
    text.extend(cookie.to_be_bytes());
    text.extend(supernode.0);
    text
}

impl<C: Contact, S: Identity> FastTrack<C, S> {
    pub(super) fn join(&mut self, op: OpId, known: Vec<C>, cx: &mut Cx<'_, Self>) {
        if !matches!(self.role, Role::Out) {
            if let Some(supernode) = self.supernode() {
                cx.answer(op, Event::Joined { supernode });
            } else if let Some(before) = self.joining.replace(op) {
                cx.answer(before, Event::Unreachable);
            }
            return;
        }
        self.begin(op, known, cx);
        if self.known.is_empty() {
            self.become_supernode(&[], cx);
        } else {
            self.seek(Vec::new(), Box::default(), None, cx);
        }
    }

    /// Is a supernode from now on.
    pub(super) fn serve(&mut self, op: OpId, known: Vec<C>, cx: &mut Cx<'_, Self>) {
        self.serves = true;
        match &self.role {
            Role::Supernode(_) => return cx.answer(op, Event::Joined { supernode: self.me }),
            Role::Leaf(leaf) => cx.send(leaf.supernode, Message::Bye { session: leaf.session }),
            Role::Out | Role::Seeking(_) => {}
        }
        self.begin(op, known, cx);
        self.become_supernode(&[], cx);
    }

    /// Takes note of whom the user names.
    fn begin(&mut self, op: OpId, mut known: Vec<C>, cx: &mut Cx<'_, Self>) {
        known.retain(|node| *node != self.me);
        known.truncate(TRIED_MAX);
        self.known = known.into();
        if let Some(before) = self.joining.replace(op) {
            cx.answer(before, Event::Unreachable);
        }
        if matches!(self.role, Role::Out) {
            self.set_tick(cx);
        }
    }

    /// Looks for a supernode, with `first` before all others.
    pub(super) fn seek(
        &mut self,
        first: Vec<C>,
        named: Box<[C]>,
        former: Option<Former<C>>,
        cx: &mut Cx<'_, Self>,
    ) {
        let (queue, tried) = (first.into(), Vec::new());
        let number = cx.rng().next_u32();
        self.role = Role::Seeking(Box::new(Seeking {
            queue,
            tried,
            asked: None,
            cookie: None,
            attempts: 0,
            number,
            rounds: 0,
            named,
            former,
        }));
        self.fill();
        self.ask_next(cx);
    }

    /// Queues everybody who is known.
    fn fill(&mut self) {
        let Role::Seeking(seeking) = &mut self.role else { return };
        seeking.queue.extend(seeking.named.iter().chain(&self.known));
        seeking.queue.extend(seeking.former.as_ref().map(|former| former.supernode));
    }

    fn ask_next(&mut self, cx: &mut Cx<'_, Self>) {
        let Role::Seeking(seeking) = &mut self.role else { return };
        seeking.number = seeking.number.wrapping_add(1);
        seeking.cookie = None;
        seeking.attempts = 0;
        while let Some(next) = seeking.queue.pop_front() {
            if next == self.me || seeking.tried.contains(&next) || seeking.tried.len() >= TRIED_MAX
            {
                continue;
            }
            seeking.tried.push(next);
            seeking.asked = Some(next);
            cx.send(next, Message::Hello);
            cx.set_timer(self.config.timeout, Timer::Asked(seeking.number));
            return;
        }
        self.found_nobody(cx);
    }

    fn found_nobody(&mut self, cx: &mut Cx<'_, Self>) {
        let Role::Seeking(seeking) = &mut self.role else { return };
        // Who holds a mandate holds it for this moment; who began the network begins it again.
        if self.mandate.is_some() || self.known.is_empty() {
            let named = seeking.named.clone();
            self.become_supernode(&named, cx);
            return;
        }
        seeking.rounds = seeking.rounds.saturating_add(1);
        seeking.asked = None;
        seeking.tried.clear();
        if seeking.rounds == 2
            && let Some(op) = self.joining.take()
        {
            cx.answer(op, Event::Unreachable);
        }
        let pause = self.config.tick.1;
        let after =
            pause + core::time::Duration::from_nanos(cx.rng().below(pause.as_nanos() as u64));
        cx.set_timer(after, Timer::Asked(seeking.number));
        self.fill();
    }

    pub(super) fn on_unanswered(&mut self, number: u32, cx: &mut Cx<'_, Self>) {
        let Role::Seeking(seeking) = &mut self.role else { return };
        if seeking.number != number {
            return;
        }
        let Some(asked) = seeking.asked else { return self.ask_next(cx) };
        seeking.attempts += 1;
        if seeking.attempts >= self.config.attempts {
            return self.ask_next(cx);
        }
        // Cookies do not grow old, but their supernode may have come back as another.
        seeking.cookie = None;
        seeking.number = seeking.number.wrapping_add(1);
        cx.send(asked, Message::Hello);
        cx.set_timer(self.config.timeout, Timer::Asked(seeking.number));
    }

    pub(super) fn on_hello(&mut self, from: C, cx: &mut Cx<'_, Self>) {
        if matches!(self.role, Role::Seeking(_)) && self.mandate.is_some() {
            // Another that has lost its supernode: this is what mandates in reserve are for.
            if let Role::Seeking(seeking) = &self.role
                && seeking.former.as_ref().is_none_or(|former| former.is_silent)
            {
                let named = seeking.named.clone();
                self.become_supernode(&named, cx);
            }
        }
        match &self.role {
            Role::Supernode(supernode) => {
                let full = supernode.leaves.len() >= self.config.leaves_max;
                if full
                    && !supernode.links.contains_key(&from)
                    && !supernode.has_room_for_links(&self.config)
                {
                    let others = supernode.others(None, cx.rng());
                    cx.send(from, Message::Elsewhere { others });
                } else {
                    let (cookie, id) = (self.cookie(from), self.identity.id());
                    cx.send(from, Message::Cookie { cookie, id });
                }
            }
            Role::Leaf(leaf) => {
                let others = core::iter::once(leaf.supernode).chain(leaf.others.iter().copied());
                let others = others.filter(|other| *other != from).take(super::OTHERS_MAX);
                cx.send(from, Message::Elsewhere { others: others.collect() });
            }
            Role::Out | Role::Seeking(_) => {}
        }
    }

    pub(super) fn on_elsewhere(&mut self, from: C, others: &[C], cx: &mut Cx<'_, Self>) {
        match &mut self.role {
            Role::Seeking(seeking) if seeking.asked == Some(from) => {
                others.iter().rev().for_each(|other| seeking.queue.push_front(*other));
                seeking.queue.truncate(2 * TRIED_MAX);
                self.ask_next(cx);
            }
            Role::Supernode(supernode) => supernode.is_none(from),
            _ => {}
        }
    }

    pub(super) fn on_cookie(&mut self, from: C, cookie: u64, id: Id, cx: &mut Cx<'_, Self>) {
        self.push_by(from, cookie, cx);
        match &mut self.role {
            Role::Seeking(seeking) if seeking.asked == Some(from) => {
                seeking.cookie = Some((cookie, id));
                seeking.number = seeking.number.wrapping_add(1);
                let signature = self.identity.sign(&join_text(cookie, &id));
                let id = self.identity.id();
                cx.send(from, Message::Join { id, cookie, signature });
                cx.set_timer(self.config.timeout, Timer::Asked(seeking.number));
            }
            Role::Supernode(_) => self.answer_cookie(from, cookie, id, cx),
            _ => {}
        }
    }

    pub(super) fn on_join(
        &mut self,
        from: C,
        id: Id,
        cookie: u64,
        signature: &Signature,
        cx: &mut Cx<'_, Self>,
    ) {
        let session = self.token(b"leaf", from, cx.now().as_nanos());
        let here = self.identity.id();
        if cookie != self.cookie(from) || !S::verify(&id, &join_text(cookie, &here), signature) {
            return;
        }
        let Role::Supernode(supernode) = &mut self.role else { return };
        let others = supernode.others(Some(from), cx.rng());
        let message = match supernode.admit(from, id, session, &self.config, cx.now()) {
            Some(session) => Message::Welcome { session, others },
            None => Message::Elsewhere { others },
        };
        cx.send(from, message);
    }

    pub(super) fn on_welcome(
        &mut self,
        from: C,
        session: u64,
        others: Box<[C]>,
        cx: &mut Cx<'_, Self>,
    ) {
        let Role::Seeking(seeking) = &self.role else { return };
        if seeking.asked != Some(from) || seeking.cookie.is_none() {
            return;
        }
        if let Some(Former { supernode, session, .. }) = seeking.former
            && supernode != from
        {
            cx.send(supernode, Message::Bye { session });
        }
        self.role = Role::Leaf(Leaf::new(from, session, others, cx.now()));
        self.joined(from, cx);
        self.settle(cx);
    }

    /// Tells the user that the node is part of the network.
    pub(super) fn joined(&mut self, supernode: C, cx: &mut Cx<'_, Self>) {
        match self.joining.take() {
            Some(op) => cx.answer(op, Event::Joined { supernode }),
            None => cx.emit(Event::Joined { supernode }),
        }
    }
}

impl<C> Command<C> {
    /// To begin a network of one's own.
    #[must_use]
    pub const fn found() -> Self {
        Self::Join { known: Vec::new() }
    }
}
