//! Kelips: what a node remembers, and what becomes of it when half of the network fails.

pub(super) mod failure;
pub(super) mod memory;

use dht::kelips::Kelips;
use sim::{Node, World};

use crate::watch::{Spot, Stage, place};

/// Where a node stands, of so many groups: in its own, by its identifier.
fn spot(node: &Kelips<Node>, groups: u32) -> Spot {
    // A group is a part of the space of identifiers.
    let within = (place(node.me()) * groups as f32).fract();
    [(node.topology().group() as f32 + 0.5) / groups as f32, within]
}

/// Its groups, side by side.
pub(super) fn stage(world: &World<Kelips<Node>>, groups: u32) -> Stage<Node> {
    Stage::groups(groups, world.nodes().map(|(node, machine)| (node, spot(machine, groups))))
}
