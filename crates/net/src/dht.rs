//! Distributed hash tables live: the machines of the `dht` crate behind UDP sockets, and what they
//! need of the world around them: names to begin with, signatures, and files that outlive a run.

mod bootstrap;
mod can;
mod chord;
mod kelips;
mod krpc;
mod overlay;
mod pastry;
mod state;
mod tapestry;
mod viceroy;

use machine::dht::{Command, Dht, Report};

use crate::datagram::{Contact, Gone, Handle, Protocol};

pub use crate::identity::{IdentityError, SigningKey, is_signed};
pub use bootstrap::{BootstrapError, MAINLINE, resolve};
pub use chord::{ChordNode, ChordWire};
pub use krpc::{KademliaConfig, KademliaNode, Krpc};
pub use overlay::{
    CHORD, OVERLAYS, Overlay, OverlayKind, OverlayNode, OverlayState, Sketch, SketchLink,
    SketchZone,
};
pub use state::{Saved, StateError, StateFile};

/// Gives a command that every hash table understands to the first machine behind `handle`.
///
/// # Errors
/// If it has ended, or ends before it answers.
pub async fn ask<P>(
    handle: &Handle<P>,
    command: Command<Contact<P>>,
) -> Result<Report<Contact<P>>, Gone>
where
    P: Protocol<Machine: Dht>,
{
    let event = handle.call(P::Machine::command(command)).await?;
    P::Machine::report(event).ok_or(Gone)
}
