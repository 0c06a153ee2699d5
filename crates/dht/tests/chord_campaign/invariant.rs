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

/// The first living successor of each member: the ring is where these lead.
fn best_successors(members: &Members) -> Result<BTreeMap<Node, Node>, Violation> {
    let best = |(&node, tables): (&Node, &Tables)| {
        let best = tables.successors.iter().find(|next| members.contains_key(next));
        best.map(|&best| (node, best)).ok_or(Violation::NoLiveSuccessor(node))
    };
    members.iter().map(best).collect()
}

/// Checks everything that can be seen at one moment.
pub fn check(members: &Members, base: &[Node]) -> Result<(), Violation> {
    for (&node, tables) in members {
        let here = position(node);
        let mut last = 0;
        for &next in &tables.successors {
            let distance = here.to(position(next));
            if distance <= last {
                return Err(Violation::DisorderedList(node));
            }
            last = distance;
        }
        let list = std::iter::once(&node).chain(&tables.successors);
        for (&one, &next) in list.clone().zip(list.skip(1)) {
            let skipped = |&of: &Node| position(of).is_between(position(one), position(next));
            if base.iter().any(skipped) {
                return Err(Violation::BaseSkipped(node));
            }
        }
    }
    let best = best_successors(members)?;
    // From every member the way leads to a ring: it must be the same one for all.
    let mut ring: Option<Node> = None;
    for &node in members.keys() {
        let mut here = node;
        for _ in 0..members.len() {
            here = best[&here];
        }
        // As many steps as there are members end on a ring; its least node names it.
        let (start, mut least) = (here, here);
        loop {
            here = best[&here];
            least = least.min(here);
            if here == start {
                break;
            }
        }
        match ring {
            Some(other) if other != least => return Err(Violation::TwoRings(other, least)),
            _ => ring = Some(least),
        }
    }
    let Some(start) = ring else { return Err(Violation::NoRing) };
    // In order, it passes the end of the numbers once.
    let mut here = start;
    let mut ends = 0;
    loop {
        let next = best[&here];
        ends += usize::from(position(next).number() <= position(here).number());
        here = next;
        if here == start {
            break;
        }
    }
    if ends == 1 { Ok(()) } else { Err(Violation::DisorderedRing) }
}

/// Checks that `node` did not give up a living predecessor for one farther off.
pub fn check_predecessor(
    members: &Members,
    node: Node,
    was: Option<Node>,
    is: Option<Node>,
) -> Result<(), Violation> {
    match (was, is) {
        (Some(was), Some(is))
            if members.contains_key(&was)
                && was != is
                && !position(is).is_between(position(was), position(node)) =>
        {
            Err(Violation::PredecessorFellBack(node))
        }
        _ => Ok(()),
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
    assert_eq!(check(&correct, &ring), Ok(()));
    // One that has joined and that its predecessor does not know yet, and one that is dead.
    let (ring, mut appendage) = members(&[&[1, 3], &[3, 4], &[3, 4], &[4, 0], &[0, 1]]);
    assert_eq!(check(&appendage, &[ring[0], ring[3]]), Ok(()));
    assert_eq!(check(&appendage, &[ring[2]]), Err(Violation::BaseSkipped(ring[1])));
    appendage.remove(&ring[3]);
    assert_eq!(check(&appendage, &[ring[0]]), Ok(()), "all have another one");
    appendage.remove(&ring[4]);
    let lost = ring[1].min(ring[2]);
    assert_eq!(check(&appendage, &[]), Err(Violation::NoLiveSuccessor(lost)));
    let (ring, disorder) = members(&[&[2, 1], &[2], &[0]]);
    assert_eq!(check(&disorder, &[]), Err(Violation::DisorderedList(ring[0])));
    let (ring, apart) = members(&[&[2], &[3], &[0], &[1]]);
    let mut least = [ring[0].min(ring[2]), ring[1].min(ring[3])];
    least.sort();
    assert_eq!(check(&apart, &[]), Err(Violation::TwoRings(least[0], least[1])));
    let (_, twice) = members(&[&[2], &[3], &[4], &[0], &[1]]);
    assert_eq!(check(&twice, &[]), Err(Violation::DisorderedRing));
    assert_eq!(check(&Members::new(), &[]), Err(Violation::NoRing));
}
