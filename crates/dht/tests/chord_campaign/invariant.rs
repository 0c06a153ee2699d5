//! What Zave showed to be true of a correct ring at all times ("How to Make Chord Correct"), seen
//! from outside by someone who knows who lives.

use std::collections::BTreeMap;

use dht::chord::{Chord, Position};
use machine::dht::Contact;
use sim::Node;

/// What matters of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    pub successors: Vec<Node>,
    pub predecessor: Option<Node>,
}

impl Tables {
    /// Of a node that is a member.
    pub fn of(node: &Chord<Node>) -> Option<Self> {
        node.is_member().then(|| Self {
            successors: node.successors().to_vec(),
            predecessor: node.predecessor(),
        })
    }
}

/// The living members.
pub type Members = BTreeMap<Node, Tables>;

/// What is violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// A member's list has no living member.
    NoLiveSuccessor(Node),
    /// A list is not in the order of the ring.
    DisorderedList(Node),
    /// Two entries of a list, or a member and its first, have a node of the base between them.
    BaseSkipped(Node),
    /// Nobody is on a ring.
    NoRing,
    /// These two are on different rings.
    TwoRings(Node, Node),
    /// The ring goes around more than once.
    DisorderedRing,
    /// A predecessor was replaced by one farther off, though it lives.
    PredecessorFellBack(Node),
}

pub fn position(node: Node) -> Position {
    Position::from(node.key())
}

/// What can be demanded at any moment, whoever is wrongly taken for dead: every list is in the order
/// of the ring and without its owner, for that is each node's own doing.
pub fn check_lists(members: &Members) -> Vec<Violation> {
    let disordered = |(&node, tables): (&Node, &Tables)| {
        let distances = tables.successors.iter().map(|&next| position(node).to(position(next)));
        let mut last = 0;
        let in_order = distances.into_iter().all(|distance| {
            let farther = distance > last;
            last = distance;
            farther
        });
        (!in_order).then_some(Violation::DisorderedList(node))
    };
    members.iter().filter_map(disordered).collect()
}

/// Checks everything that can be seen at one moment.
pub fn check(members: &Members, base: &[Node]) -> Vec<Violation> {
    let mut violations = check_lists(members);
    for (&node, tables) in members {
        let list = std::iter::once(&node).chain(&tables.successors);
        let skips = list.clone().zip(list.skip(1)).any(|(&one, &next)| {
            base.iter().any(|&of| position(of).is_between(position(one), position(next)))
        });
        if skips {
            violations.push(Violation::BaseSkipped(node));
        }
    }
    violations.extend(check_ring(members));
    violations
}

/// Whether there is one ring, in order, that every member leads to.
fn check_ring(members: &Members) -> Vec<Violation> {
    // The first living successor of each member: the ring is where these lead.
    let mut best = BTreeMap::new();
    let mut violations = Vec::new();
    for (&node, tables) in members {
        match tables.successors.iter().find(|next| members.contains_key(next)) {
            Some(&next) => drop(best.insert(node, next)),
            None => violations.push(Violation::NoLiveSuccessor(node)),
        }
    }
    if members.is_empty() {
        violations.push(Violation::NoRing);
    }
    let mut rings: Vec<Node> = Vec::new();
    for &node in members.keys() {
        // As many steps as there are members end on a ring, or at one who has nobody.
        let mut steps = std::iter::successors(Some(node), |here| best.get(here).copied());
        let Some(start) = steps.nth(members.len()) else { continue };
        let around =
            std::iter::successors(best.get(&start).copied(), |here| best.get(here).copied());
        let ring: Vec<_> =
            std::iter::once(start).chain(around.take_while(|&here| here != start)).collect();
        // Its least node names it.
        let least = ring.iter().copied().min().unwrap_or(start);
        if rings.contains(&least) {
            continue;
        }
        rings.push(least);
        // In order, it passes the end of the numbers once.
        let falls = |(one, next): (&Node, &Node)| {
            usize::from(position(*next).number() <= position(*one).number())
        };
        let ends: usize = ring.iter().zip(ring.iter().cycle().skip(1)).map(falls).sum();
        if ends != 1 {
            violations.push(Violation::DisorderedRing);
        }
    }
    if let [one, two, ..] = rings[..] {
        violations.push(Violation::TwoRings(one, two));
    }
    violations
}

/// Checks that `node` did not give up a living predecessor for one farther off.
pub fn check_predecessor(
    members: &Members,
    node: Node,
    was: Option<Node>,
    is: Option<Node>,
) -> Option<Violation> {
    match (was, is) {
        (Some(was), Some(is))
            if members.contains_key(&was)
                && was != is
                && !position(is).is_between(position(was), position(node)) =>
        {
            Some(Violation::PredecessorFellBack(node))
        }
        _ => None,
    }
}

/// Members by the order of the ring, each with the successors at these indices.
fn members(lists: &[&[usize]]) -> (Vec<Node>, Members) {
    let mut ring: Vec<_> = (0..lists.len() as u32).map(|slot| Node::new(slot, 0)).collect();
    ring.sort_by_key(Contact::key);
    let tables = lists.iter().map(|list| Tables {
        successors: list.iter().map(|&at| ring[at]).collect(),
        predecessor: None,
    });
    let members = ring.iter().copied().zip(tables).collect();
    (ring, members)
}

#[test]
fn each_violation_is_told_from_a_correct_ring() {
    let (ring, correct) = members(&[&[1, 2], &[2, 3], &[3, 4], &[4, 0], &[0, 1]]);
    assert_eq!(check(&correct, &ring), []);
    // One that has joined and that its predecessor does not know yet, and one that is dead.
    let (ring, mut appendage) = members(&[&[1, 3], &[3, 4], &[3, 4], &[4, 0], &[0, 1]]);
    assert_eq!(check(&appendage, &[ring[0], ring[3]]), []);
    let mut skipping = [ring[0], ring[1]].map(Violation::BaseSkipped);
    skipping.sort();
    assert_eq!(check(&appendage, &[ring[2]]), skipping);
    appendage.remove(&ring[3]);
    assert_eq!(check(&appendage, &[ring[0]]), [], "all have another one");
    appendage.remove(&ring[4]);
    let mut lost = [ring[1], ring[2]].map(Violation::NoLiveSuccessor);
    lost.sort();
    assert_eq!(check(&appendage, &[]), lost);
    let (ring, disorder) = members(&[&[2, 1], &[2], &[0]]);
    assert_eq!(check(&disorder, &[]), [Violation::DisorderedList(ring[0])]);
    assert_eq!(check_lists(&disorder), [Violation::DisorderedList(ring[0])]);
    let (ring, apart) = members(&[&[2], &[3], &[0], &[1]]);
    let mut least = [ring[0].min(ring[2]), ring[1].min(ring[3])];
    least.sort();
    assert_eq!(check(&apart, &[]), [Violation::TwoRings(least[0], least[1])]);
    let (_, twice) = members(&[&[2], &[3], &[4], &[0], &[1]]);
    assert_eq!(check(&twice, &[]), [Violation::DisorderedRing]);
    assert_eq!(check(&Members::new(), &[]), [Violation::NoRing]);
}
