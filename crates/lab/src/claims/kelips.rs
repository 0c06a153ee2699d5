//! Kelips: what a node remembers, and what becomes of it when half of the network fails.

pub(super) mod failure;
pub(super) mod memory;
