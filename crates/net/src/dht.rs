//! Distributed hash tables live: the machines of the `dht` crate behind UDP sockets, and what they
//! need of the world around them: names to begin with, signatures, and files that outlive a run.

mod bootstrap;
mod identity;
mod krpc;
mod state;

pub use bootstrap::{BootstrapError, MAINLINE, resolve};
pub use identity::{IdentityError, SigningKey, is_signed};
pub use krpc::{KademliaConfig, KademliaNode, Krpc};
pub use state::{Saved, StateError, StateFile};
