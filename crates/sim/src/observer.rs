//! Watching a world from outside: every input of every machine, and what came of it.

use std::cell::RefCell;
use std::rc::Rc;

use machine::{Instant, OpId};

use crate::{Node, Simulated};

/// What a machine is handed.
pub enum Input<'a, M: Simulated> {
    /// It begins to run.
    Start,
    /// A timer has come due.
    Timer(M::Timer),
    /// A message has arrived.
    Message {
        /// Who sent it.
        from: Node,
        /// What it says.
        message: &'a M::Message,
    },
    /// Its user asks for something.
    Command {
        /// The name of the request.
        op: OpId,
        /// What is asked.
        command: &'a M::Command,
    },
    /// It is taken away.
    Crash,
}

/// What a machine makes of an input.
pub enum Made<'a, M: Simulated> {
    /// A message.
    Message {
        /// Who is to hear it.
        to: Node,
        /// What it says, once a liar has had it.
        message: &'a M::Message,
        /// When it arrives, before it waits for the receiver's line; `None` if it is lost.
        arrives: Option<Instant>,
    },
    /// A timer.
    Timer {
        /// When it comes due.
        at: Instant,
        /// Which it is.
        timer: M::Timer,
    },
    /// Word to its user.
    Event {
        /// The command that it answers, if any.
        op: Option<OpId>,
        /// What it told.
        event: &'a M::Event,
    },
}

impl<M: Simulated> Clone for Input<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Simulated> Copy for Input<'_, M> {}

impl<M: Simulated> Clone for Made<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Simulated> Copy for Made<'_, M> {}

/// Sees everything that happens in a world, in order. While there is one, one thread does all.
pub trait Observer<M: Simulated> {
    /// `node` is about to be handed something.
    fn input(&mut self, at: Instant, node: Node, input: Input<'_, M>);
    /// `node` has made something of the last input.
    fn made(&mut self, at: Instant, node: Node, made: Made<'_, M>);
}

/// Shared with whoever wants to look at it when the world has run.
impl<M: Simulated, O: Observer<M>> Observer<M> for Rc<RefCell<O>> {
    fn input(&mut self, at: Instant, node: Node, input: Input<'_, M>) {
        self.borrow_mut().input(at, node, input);
    }

    fn made(&mut self, at: Instant, node: Node, made: Made<'_, M>) {
        self.borrow_mut().made(at, node, made);
    }
}

/// Two who watch; the first sees each thing first.
pub(crate) struct Both<M>(pub(crate) Box<dyn Observer<M>>, pub(crate) Box<dyn Observer<M>>);

impl<M: Simulated> Observer<M> for Both<M> {
    fn input(&mut self, at: Instant, node: Node, input: Input<'_, M>) {
        self.0.input(at, node, input);
        self.1.input(at, node, input);
    }

    fn made(&mut self, at: Instant, node: Node, made: Made<'_, M>) {
        self.0.made(at, node, made);
        self.1.made(at, node, made);
    }
}

/// Who watches, if anybody does.
pub(crate) type Watch<M> = Option<Box<dyn Observer<M>>>;
