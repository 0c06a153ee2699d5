//! Calls: a leaf that nobody can connect to is asked, by its supernode, to connect to whoever wants
//! a file of it. Connections themselves are the driver's.
//!
//! Nobody is made to call a third: a supernode asks for whoever has heard its cookie, giving the
//! address where that was heard, and the leaf calls only who says there that it wants to be called.

use alloc::vec::Vec;

use machine::{Contact, Cx, Instant};

use super::config::{CALLS_MAX, CALLS_PER_TICK};
use super::identity::Identity;
use super::{Event, FastTrack, Message, Role, Timer};
use crate::gnutella::Guid;

/// A call that this node wants from a leaf.
#[derive(Clone, Debug)]
struct Wanted<C> {
    supernode: C,
    leaf: C,
    /// Whether the leaf has asked back.
    is_heard: bool,
}

/// What is to become of a call.
#[derive(Clone, Debug)]
enum Call<C> {
    Wanted(Wanted<C>),
    /// Somebody wants it from this node, as its supernode says.
    Owed(C),
}

/// A call that has not been made.
#[derive(Clone, Debug)]
pub(super) struct Pending<C> {
    ticket: Guid,
    call: Call<C>,
    attempts: u8,
    /// When it is tried again or given up.
    due: Instant,
}

impl<C: Contact, S: Identity> FastTrack<C, S> {
    /// Asks `supernode` to have its leaf call this node.
    pub(super) fn push(&mut self, supernode: C, leaf: C, ticket: Guid, cx: &mut Cx<'_, Self>) {
        let wanted = Wanted { supernode, leaf, is_heard: false };
        self.begin_call(ticket, Call::Wanted(wanted), cx);
    }

    fn begin_call(&mut self, ticket: Guid, call: Call<C>, cx: &mut Cx<'_, Self>) {
        let is_known = self.calls.iter().any(|pending| pending.ticket == ticket);
        if !is_known && self.calls.len() < CALLS_MAX {
            self.calls.push(Pending { ticket, call, attempts: 0, due: cx.now() });
            self.on_call_timer(cx);
        }
    }

    /// Tries again what has had no answer, and gives up what has had none for long.
    pub(super) fn on_call_timer(&mut self, cx: &mut Cx<'_, Self>) {
        let (now, attempts) = (cx.now(), self.config.attempts);
        self.calls.retain(|pending| pending.due > now || pending.attempts < attempts);
        if self.calls.is_empty() {
            self.calls = Vec::new();
        }
        let mut due = Vec::new();
        for pending in self.calls.iter_mut().filter(|pending| pending.due <= now) {
            pending.attempts += 1;
            pending.due = now + self.config.timeout;
            due.push((pending.ticket, pending.call.clone()));
        }
        for (ticket, call) in due {
            cx.set_timer(self.config.timeout, Timer::Call);
            match call {
                Call::Wanted(Wanted { is_heard: true, .. }) => {}
                Call::Wanted(Wanted { supernode, leaf, .. }) if supernode == self.me => {
                    self.relay(self.me, leaf, ticket, cx);
                }
                Call::Wanted(Wanted { supernode, leaf, .. }) => {
                    cx.send(supernode, Message::Push { cookie: 0, leaf, ticket });
                }
                Call::Owed(to) => {
                    let nonce = self.nonce(to, ticket);
                    cx.send(to, Message::Confirm { ticket, nonce });
                }
            }
        }
    }

    /// What somebody who wants to be called must have heard here.
    fn nonce(&self, to: C, ticket: Guid) -> u64 {
        let ticket = u128::from_be_bytes(ticket.0);
        self.token(b"call", to, (ticket >> 64) as u64 ^ ticket as u64)
    }

    /// A supernode has said what to repeat.
    pub(super) fn push_by(&self, supernode: C, cookie: u64, cx: &mut Cx<'_, Self>) {
        for Pending { ticket, call, .. } in &self.calls {
            if let Call::Wanted(wanted) = call
                && wanted.supernode == supernode
                && !wanted.is_heard
            {
                let (leaf, ticket) = (wanted.leaf, *ticket);
                cx.send(supernode, Message::Push { cookie, leaf, ticket });
            }
        }
    }

    pub(super) fn on_push(
        &mut self,
        from: C,
        cookie: u64,
        leaf: C,
        ticket: Guid,
        cx: &mut Cx<'_, Self>,
    ) {
        if !self.is_supernode() {
            return;
        }
        let right = self.cookie(from);
        if cookie == right {
            self.relay(from, leaf, ticket, cx);
        } else {
            let id = self.identity.id();
            cx.send(from, Message::Cookie { cookie: right, id });
        }
    }

    /// Has a leaf asked to call `to`.
    fn relay(&mut self, to: C, leaf: C, ticket: Guid, cx: &mut Cx<'_, Self>) {
        let Role::Supernode(supernode) = &mut self.role else { return };
        let Some(record) = supernode.leaves.get_mut(&leaf) else { return };
        if record.called < CALLS_PER_TICK {
            record.called += 1;
            cx.send(leaf, Message::Call { session: record.session, to, ticket });
        }
    }

    pub(super) fn on_call(
        &mut self,
        from: C,
        session: u64,
        to: C,
        ticket: Guid,
        cx: &mut Cx<'_, Self>,
    ) {
        if self.hear_supernode(from, session, cx.now()) && to != self.me {
            self.begin_call(ticket, Call::Owed(to), cx);
        }
    }

    pub(super) fn on_confirm(&mut self, from: C, ticket: Guid, nonce: u64, cx: &mut Cx<'_, Self>) {
        let pending = self.calls.iter_mut().find(|pending| pending.ticket == ticket);
        if let Some(Pending { call: Call::Wanted(wanted), .. }) = pending {
            wanted.is_heard = true;
            cx.send(from, Message::Confirmed { ticket, nonce });
        }
    }

    pub(super) fn on_confirmed(
        &mut self,
        from: C,
        ticket: Guid,
        nonce: u64,
        cx: &mut Cx<'_, Self>,
    ) {
        let is_right = nonce == self.nonce(from, ticket);
        let is_it = |pending: &Pending<C>| {
            pending.ticket == ticket && matches!(pending.call, Call::Owed(to) if to == from)
        };
        if is_right && let Some(at) = self.calls.iter().position(is_it) {
            self.calls.swap_remove(at);
            cx.emit(Event::CallWanted { to: from, ticket });
        }
    }
}
