//! What a machine sees of its driver: the time, randomness, and an outbox.

use alloc::vec::Vec;
use core::time::Duration;

use crate::{DatagramMachine, Instant, Machine, OpId, Rng, Send};

/// One thing a machine wants done.
pub enum Output<M: Machine> {
    /// Tell the user; `op` names the command that this answers, if any.
    Event(Option<OpId>, M::Event),
    /// Act on the outside world.
    Effect(M::Effect),
    /// Call [`Machine::on_timer`] at this moment.
    Timer(Instant, M::Timer),
}

/// Outputs in the order they were made. The driver owns it, drains it after every input, and uses
/// it again, so that idle machines hold no memory for it.
pub struct Outbox<M: Machine>(Vec<Output<M>>);

impl<M: Machine> Default for Outbox<M> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<M: Machine> Outbox<M> {
    /// An empty outbox.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes out everything, oldest first, and keeps the room for the next input.
    pub fn drain(&mut self) -> impl Iterator<Item = Output<M>> + '_ {
        self.0.drain(..)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a machine is handed together with each input.
pub struct Cx<'a, M: Machine> {
    now: Instant,
    rng: &'a mut Rng,
    outbox: &'a mut Outbox<M>,
}

impl<'a, M: Machine> Cx<'a, M> {
    /// For drivers: the context of one input.
    pub fn new(now: Instant, rng: &'a mut Rng, outbox: &'a mut Outbox<M>) -> Self {
        Self { now, rng, outbox }
    }

    /// The moment of this input.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Randomness for protocol decisions.
    pub fn rng(&mut self) -> &mut Rng {
        self.rng
    }

    /// Tells the user something that no command asked for.
    pub fn emit(&mut self, event: M::Event) {
        self.outbox.0.push(Output::Event(None, event));
    }

    /// Answers the command `op`.
    pub fn answer(&mut self, op: OpId, event: M::Event) {
        self.outbox.0.push(Output::Event(Some(op), event));
    }

    /// Asks the driver to act.
    pub fn effect(&mut self, effect: M::Effect) {
        self.outbox.0.push(Output::Effect(effect));
    }

    /// Sends `message` to `to`; whether it arrives, nobody says.
    pub fn send(&mut self, to: M::Contact, message: M::Message)
    where
        M: DatagramMachine,
    {
        self.effect(Send { to, message });
    }

    /// Asks for [`Machine::on_timer`] once `after` has passed.
    pub fn set_timer(&mut self, after: Duration, timer: M::Timer) {
        self.outbox.0.push(Output::Timer(self.now + after, timer));
    }
}
