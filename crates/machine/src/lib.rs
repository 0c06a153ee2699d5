//! The contract between protocol code and the drivers that run it.
//!
//! A **machine** is one protocol at one node, as a synchronous state machine: a driver hands it an
//! input and a [`Cx`], the machine reads time and randomness from the context and pushes outputs
//! into it. Here live the traits, the context, time, randomness and the names of payloads.
//! What does not live here: any protocol, any socket, any file.
#![no_std]

extern crate alloc;

mod contact;
mod context;
pub mod dht;
mod near;
mod rng;
mod stream;
mod time;
mod wire;

pub use contact::{ConnId, Contact, OpId};
pub use context::{Cx, Outbox, Output};
pub use near::{Near, ROUNDS};
pub use rng::Rng;
pub use stream::{Payload, Side, StreamMachine};
pub use time::Instant;
pub use wire::{Decoded, Framing, Wire};

/// One protocol at one node, driven from outside.
///
/// Inputs arrive one at a time; each runs to completion and leaves its outputs in the [`Outbox`].
/// Timers are never cancelled: a timer that is no longer wanted finds nothing to do.
pub trait Machine: Sized {
    /// What its user asks of it.
    type Command;
    /// What it tells its user.
    type Event;
    /// Which timer fired.
    type Timer: Copy;
    /// What it asks its driver to do to the outside world.
    type Effect;

    /// The driver has begun to run this machine.
    fn on_start(&mut self, cx: &mut Cx<'_, Self>) {
        let _ = cx;
    }
    /// Its user asks for something; events that answer carry the same `op`.
    fn on_command(&mut self, op: OpId, command: Self::Command, cx: &mut Cx<'_, Self>);
    /// A timer set earlier through [`Cx::set_timer`] has come due.
    fn on_timer(&mut self, timer: Self::Timer, cx: &mut Cx<'_, Self>);
}

/// A message on its way to another node: the effect of a [`DatagramMachine`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Send<C, M> {
    /// Who is to hear it.
    pub to: C,
    /// What it says.
    pub message: M,
}

/// A machine that speaks in self-contained messages. Any may be lost, doubled or late, and nobody
/// tells it so: it sets a timer and draws its own conclusion.
pub trait DatagramMachine:
    Machine<Effect = Send<<Self as DatagramMachine>::Contact, <Self as DatagramMachine>::Message>>
{
    /// How it knows another node.
    type Contact: Contact;
    /// What it says and hears.
    type Message;

    /// A message has arrived.
    fn on_message(&mut self, from: Self::Contact, message: Self::Message, cx: &mut Cx<'_, Self>);

    /// Names memory that [`on_message`](Self::on_message) is about to read: a hint, for drivers of
    /// more machines than a cache holds. It is asked for round by round, from 0 to
    /// [`ROUNDS`], so that what one round names may lead to what the next does.
    fn foresee(
        &self,
        from: Self::Contact,
        message: &Self::Message,
        round: u32,
        near: &mut impl Near,
    ) {
        let _ = (from, message, round, near);
    }

    /// The same for [`on_timer`](Machine::on_timer), in one round.
    fn foresee_timer(&self, timer: Self::Timer, near: &mut impl Near) {
        let _ = (timer, near);
    }
}
