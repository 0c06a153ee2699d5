//! What CAN nodes say to each other, and why they ask; how it looks in a datagram is in `wire`.

use alloc::boxed::Box;

use machine::Instant;

use super::zone::{Claim, DEPTH_MAX, Point};

/// Most zones of one node.
pub const CLAIMS_MAX: usize = 24;
/// Most neighbours that one message names.
pub const KIN_MAX: usize = 24;

/// Who shares zones with a node, and who is beside them, each in one reality: those who take over
/// what it has, in their order.
pub type Kin<C> = Box<[(C, Rank)]>;

/// What somebody is to the node that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    reality: u8,
    depth: u8,
}

impl Rank {
    /// In place of halvings, for who shares the zone itself.
    const PEER: u8 = 63;

    /// A neighbour in this reality, whose largest zone there has so many halvings.
    #[must_use]
    pub const fn neighbour(reality: u8, depth: u8) -> Self {
        Self { reality, depth: if depth > DEPTH_MAX { DEPTH_MAX } else { depth } }
    }

    /// Who has the same zone of this reality.
    #[must_use]
    pub const fn peer(reality: u8) -> Self {
        Self { reality, depth: Self::PEER }
    }

    /// Of which reality this is said.
    #[must_use]
    pub const fn reality(self) -> u8 {
        self.reality
    }

    /// Whether it is somebody who has the same zone.
    #[must_use]
    pub const fn is_peer(self) -> bool {
        self.depth == Self::PEER
    }

    /// The halvings of its largest zone; the most for who has the same zone, and goes first.
    #[must_use]
    pub const fn depth(self) -> u8 {
        self.depth
    }
}

/// What CAN nodes say beyond what those of all overlays do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said<C> {
    /// These zones are mine; what is yours?
    Hello {
        /// Of the sender.
        claims: Box<[Claim]>,
    },
    /// I live, and these zones are mine, with these beside them.
    Update {
        /// Of the sender; none if it leaves.
        claims: Box<[Claim]>,
        /// Who shares its zones, and its neighbours.
        kin: Kin<C>,
    },
    /// These zones are mine: an answer.
    Claims {
        /// Of the sender.
        claims: Box<[Claim]>,
        /// As in an update.
        kin: Kin<C>,
    },
    /// That node claims what you claim, or shares it: ask it.
    Conflict {
        /// Who.
        with: C,
    },
    /// Let me in.
    Join {
        /// Of which reality it wants a zone.
        reality: u8,
        /// Where the joiner hit the torus.
        point: Point,
        /// Whether it was sent on once: it is to be let in.
        last: bool,
    },
    /// Ask this one.
    Refer {
        /// Who has more room, or is nearer.
        to: C,
        /// Whether that one must let it in.
        last: bool,
    },
    /// This zone is yours.
    Welcome {
        /// What is given.
        claim: Claim,
        /// Who may be beside it.
        neighbours: Box<[(C, Claim)]>,
    },
    /// Take these zones: I leave, or they merge with yours.
    Handover {
        /// The zones.
        claims: Box<[Claim]>,
        /// Who may be beside them.
        kin: Kin<C>,
    },
    /// The zone that we share is split: this half is yours.
    Split {
        /// The half.
        claim: Claim,
    },
    /// I have one zone too many: let two of you merge, and one take it.
    Adopt {
        /// The zone.
        claim: Claim,
        /// How often this was passed on.
        hops: u8,
    },
}

impl<C> Said<C> {
    /// The same among other contacts.
    #[must_use]
    pub fn map<D>(self, to: impl Fn(C) -> D) -> Said<D> {
        let kin = |kin: Kin<C>| kin.into_iter().map(|(it, rank)| (to(it), rank)).collect();
        match self {
            Self::Hello { claims } => Said::Hello { claims },
            Self::Update { claims, kin: list } => Said::Update { claims, kin: kin(list) },
            Self::Claims { claims, kin: list } => Said::Claims { claims, kin: kin(list) },
            Self::Conflict { with } => Said::Conflict { with: to(with) },
            Self::Join { reality, point, last } => Said::Join { reality, point, last },
            Self::Refer { to: other, last } => Said::Refer { to: to(other), last },
            Self::Welcome { claim, neighbours } => {
                let neighbours =
                    neighbours.into_iter().map(|(it, claim)| (to(it), claim)).collect();
                Said::Welcome { claim, neighbours }
            }
            Self::Handover { claims, kin: list } => Said::Handover { claims, kin: kin(list) },
            Self::Split { claim } => Said::Split { claim },
            Self::Adopt { claim, hops } => Said::Adopt { claim, hops },
        }
    }
}

/// Why a node has asked another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// What it claims.
    Hello,
    /// The same, to see how long it takes to answer.
    Measure {
        /// When.
        since: Instant,
    },
    /// To be let in.
    Join {
        /// Of which reality it wants a zone.
        reality: u8,
        /// Where the joiner hit the torus.
        point: Point,
        /// Whether it was sent on to the largest zone there.
        last: bool,
        /// How often it was sent on.
        hops: u8,
    },
}

/// Why a node looks up a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// To join there, in this reality.
    Join(u8),
    /// Nobody is known to have it, in this reality.
    Gap(u8),
}
