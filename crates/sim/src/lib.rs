//! The deterministic driver: machines, clock, links and faults of a virtual network, all from one
//! seed. What does not live here: any protocol, any socket, any wall clock.
//!
//! A [`World`] runs [`DatagramMachine`]s whose contact is a [`Node`]. Nodes are named first
//! ([`World::reserve`]) and started then ([`World::start`]), so tables can be filled in before the
//! clock starts; or they come one by one ([`World::spawn`]) and join. Nothing but the seed decides
//! what happens: not the number of threads, not addresses in memory.
//!
//! ```
//! use core::time::Duration;
//! use machine::{Cx, DatagramMachine, Machine, OpId, Send};
//! use sim::{Link, Node, Settings, World};
//!
//! /// Says hello to whom its user names, and tells its user who answered.
//! struct Greeter;
//!
//! impl Machine for Greeter {
//!     type Command = Node;
//!     type Event = Node;
//!     type Timer = ();
//!     type Effect = Send<Node, bool>;
//!
//!     fn on_command(&mut self, _: OpId, to: Node, cx: &mut Cx<'_, Self>) {
//!         cx.send(to, true);
//!     }
//!     fn on_timer(&mut self, (): (), _: &mut Cx<'_, Self>) {}
//! }
//!
//! impl DatagramMachine for Greeter {
//!     type Contact = Node;
//!     type Message = bool;
//!
//!     fn on_message(&mut self, from: Node, hello: bool, cx: &mut Cx<'_, Self>) {
//!         if hello { cx.send(from, false) } else { cx.emit(from) }
//!     }
//! }
//!
//! let link = Link::constant(Duration::from_millis(50));
//! let mut world = World::new(Settings { seed: 7, threads: 1, link });
//! let nodes = world.reserve(2);
//! nodes.iter().for_each(|node| world.start(*node, Greeter));
//! world.command(nodes[0], OpId(1), nodes[1]);
//! world.run_for(Duration::from_millis(99));
//! assert_eq!(world.drain_events().count(), 0);
//! world.run_for(Duration::from_millis(1));
//! assert_eq!(world.drain_events().next().map(|event| event.event), Some(nodes[1]));
//! ```
//!
//! Machines that hold connections have a driver of their own, [`stream`].

mod access;
mod barrier;
mod campaign;
mod check;
mod churn;
mod counts;
mod faults;
mod latency;
mod link;
mod memory;
mod node;
pub mod observer;
mod parallel;

mod random;
mod schedule;
mod shard;
mod slab;
pub mod stream;
mod terms;
#[cfg(test)]
mod testing;
pub mod trace;
mod wheel;
mod world;

pub use access::Access;
pub use campaign::{SEED_VARIABLE, campaign, replay_command};
pub use check::{Every, Violation};
pub use churn::{Change, Churn, Span};
pub use counts::Counts;
pub use faults::Cut;
pub use latency::{Latency, Matrix, NotSquare, TransitStub};
pub use link::{Link, Rate};
pub use node::Node;
pub use observer::Observer;
pub use schedule::{Fault, Schedule, Severity};
pub use world::{Settings, World};

use machine::{DatagramMachine, Instant, Machine, OpId};

/// A machine that a [`World`] can run: any [`DatagramMachine`] over [`Node`]s whose parts may move
/// to another thread.
pub trait Simulated:
    DatagramMachine<Contact = Node, Message: Clone + Send>
    + Machine<Command: Send, Event: Send, Timer: Send>
    + Send
{
}

impl<M> Simulated for M where
    M: DatagramMachine<Contact = Node, Message: Clone + Send>
        + Machine<Command: Send, Event: Send, Timer: Send>
        + Send
{
}

/// What a machine told its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Happening<E> {
    /// When.
    pub at: Instant,
    /// The machine's node.
    pub node: Node,
    /// The command that it answers, if any.
    pub op: Option<OpId>,
    /// What it told.
    pub event: E,
}
