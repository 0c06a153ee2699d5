//! What a picture shows and how much of it: where nodes stand, and how many walks are followed side
//! by side.

use std::collections::{BTreeMap, BTreeSet};

use machine::dht::Contact as _;
use sim::{Node, Simulated, World};

use super::{Bands, Hop, PLACES_MAX, Scene, Spot, Walks};

/// Messages of one frame.
pub(super) const HOPS_MAX: usize = 160;
/// Walks that are followed side by side.
const WALKS: usize = 6;
/// Messages of one flood.
pub(super) const FLOOD_MAX: usize = 800;

/// How messages between `N`s become a picture.
pub(crate) struct Stage<N> {
    pub(super) walks: usize,
    pub(super) hops: usize,
    pub(super) paint: Box<dyn Fn(Vec<Hop<N>>) -> Scene>,
}

impl Stage<Node> {
    /// Identifiers on a ring.
    pub(crate) fn ring<M: Simulated>(_: &World<M>, nodes: &[Node]) -> Self {
        Self::by_key(nodes, Scene::Ring)
    }

    /// Identifiers as leaves of a tree.
    pub(crate) fn tree<M: Simulated>(_: &World<M>, nodes: &[Node]) -> Self {
        Self::by_key(nodes, Scene::Tree)
    }

    /// One flood, from its origin outwards.
    pub(crate) fn mesh<M: Simulated>(_: &World<M>, nodes: &[Node]) -> Self {
        let nodes = nodes.len();
        let paint = Box::new(move |hops: Vec<_>| mesh(nodes, &hops));
        Self { walks: 1, hops: FLOOD_MAX, paint }
    }

    /// Zones of a torus.
    pub(crate) fn torus(nodes: impl IntoIterator<Item = (Node, Spot)>) -> Self {
        Self::by_spot(nodes, Scene::Torus)
    }

    /// Groups, side by side.
    pub(crate) fn groups(bands: u32, nodes: impl IntoIterator<Item = (Node, Spot)>) -> Self {
        Self::by_spot(nodes, move |walks| Scene::Groups(Bands { bands, walks }))
    }

    /// Levels of a ring, one above the other.
    pub(crate) fn butterfly(bands: u32, nodes: impl IntoIterator<Item = (Node, Spot)>) -> Self {
        Self::by_spot(nodes, move |walks| Scene::Butterfly(Bands { bands, walks }))
    }

    fn by_key(nodes: &[Node], scene: fn(Walks<f32>) -> Scene) -> Self {
        let places = sample(nodes.iter().map(|&node| place(node)));
        let (nodes, place) = (nodes.len(), |node| Some(place(node)));
        Self::still(nodes, places, place, scene)
    }

    fn by_spot(
        nodes: impl IntoIterator<Item = (Node, Spot)>,
        scene: impl Fn(Walks<Spot>) -> Scene + 'static,
    ) -> Self {
        let spots: BTreeMap<Node, Spot> = nodes.into_iter().collect();
        let places = sample(spots.values().copied());
        Self::still(spots.len(), places, move |node| spots.get(&node).copied(), scene)
    }
}

impl Stage<Spot> {
    /// A grid whose ends are joined, of `nodes` places.
    pub(crate) fn grid(nodes: usize) -> Self {
        Self::still(nodes, Vec::new(), Some, Scene::Torus)
    }
}

impl<N: Copy + 'static> Stage<N> {
    /// Nodes that stand where they stood at the beginning.
    fn still<P: Clone + 'static>(
        nodes: usize,
        places: Vec<P>,
        place: impl Fn(N) -> Option<P> + 'static,
        scene: impl Fn(Walks<P>) -> Scene + 'static,
    ) -> Self {
        let paint = move |hops: Vec<Hop<N>>| {
            let hops = hops.into_iter().filter_map(|hop| hop.place(&place)).collect();
            scene(Walks { nodes, places: places.clone(), hops })
        };
        Self { walks: WALKS, hops: HOPS_MAX, paint: Box::new(paint) }
    }
}

/// As many of `all` as are shown, evenly.
fn sample<P>(all: impl ExactSizeIterator<Item = P>) -> Vec<P> {
    let step = all.len().div_ceil(PLACES_MAX).max(1);
    all.step_by(step).collect()
}

/// Where an identifier stands, of all.
pub(crate) fn place(node: Node) -> f32 {
    ((node.key().front() >> 104) as u32 as f32) / (1_u32 << 24) as f32
}

/// One question and its answers among `nodes`: each node on a circle around the origin, by when it
/// first heard, in the sector of whom it heard it from.
pub(super) fn mesh<N: Copy + Ord>(nodes: usize, hops: &[Hop<N>]) -> Scene {
    let mut children: BTreeMap<N, Vec<N>> = BTreeMap::new();
    let origin = hops.first().map(|hop| hop.from);
    let mut reached: BTreeSet<N> = origin.into_iter().collect();
    for hop in hops.iter().filter(|hop| !hop.lost) {
        // What comes from somebody unheard of has no place in the picture.
        if reached.contains(&hop.from) && reached.insert(hop.to) {
            children.entry(hop.from).or_default().push(hop.to);
        }
    }
    // Circle by circle: each node's sector is shared out among its children by whom they reached.
    let mut order: Vec<(N, usize)> = origin.map(|origin| (origin, 0)).into_iter().collect();
    let mut at = 0;
    while let Some(&(node, depth)) = order.get(at) {
        order.extend(children.get(&node).into_iter().flatten().map(|&child| (child, depth + 1)));
        at += 1;
    }
    let mut weights: BTreeMap<N, f32> = BTreeMap::new();
    for (node, _) in order.iter().rev() {
        let below = children.get(node).into_iter().flatten();
        let sum: f32 = below.filter_map(|child| weights.get(child)).sum();
        weights.insert(*node, sum.max(1.0));
    }
    let deepest = order.last().map_or(1, |(_, depth)| *depth).max(1) as f32;
    let mut sectors: BTreeMap<N, (f32, f32)> =
        origin.map(|node| (node, (0.0, 1.0))).into_iter().collect();
    let mut spots: BTreeMap<N, Spot> = BTreeMap::new();
    for (node, depth) in &order {
        let Some(&(mut from, width)) = sectors.get(node) else { continue };
        let angle = (from + width / 2.0) * core::f32::consts::TAU;
        let radius = *depth as f32 / deepest / 2.0;
        spots.insert(*node, [0.5 + radius * angle.sin(), 0.5 - radius * angle.cos()]);
        let whole = weights.get(node).copied().unwrap_or(1.0);
        for child in children.get(node).into_iter().flatten() {
            let share = width * weights.get(child).copied().unwrap_or(1.0) / whole;
            sectors.insert(*child, (from, share));
            from += share;
        }
    }
    let hops = hops.iter().filter_map(|hop| hop.place(|node| spots.get(&node).copied())).collect();
    Scene::Mesh(Walks { nodes, places: spots.into_values().collect(), hops })
}
