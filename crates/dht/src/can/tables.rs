//! The tables of one node, and the way that they point for a place.

use alloc::vec::Vec;
use core::cmp::Reverse;

use machine::Instant;
use machine::dht::Contact;

use super::config::Config;
use super::message::{KIN_MAX, Kin, Rank};
use super::zone::{Claim, Point, Zone};
use crate::overlay::LIST_MAX;

/// Somebody beside this node, or in the same zone.
#[derive(Clone, Debug)]
pub(super) struct Neighbour<C> {
    pub(super) contact: C,
    /// In all realities.
    pub(super) claims: Vec<Claim>,
    pub(super) heard: Instant,
    /// Milliseconds to it and back; the greatest number if that is not known.
    pub(super) rtt: u16,
    pub(super) kin: Kin<C>,
}

impl<C> Neighbour<C> {
    /// The halvings of its largest zone in `reality`.
    pub(super) fn depth(&self, reality: u8) -> u8 {
        let there = self.claims.iter().filter(|claim| claim.zone.reality() == reality);
        there.map(|claim| claim.zone.depth()).min().unwrap_or(u8::MAX)
    }

    pub(super) fn has(&self, zone: Zone) -> bool {
        self.claims.iter().any(|claim| claim.zone == zone)
    }
}

/// A zone whose owner fell silent or left.
#[derive(Clone, Debug)]
pub(super) struct Vacancy<C> {
    pub(super) claim: Claim,
    /// When this node takes it over, if nobody else has.
    pub(super) due: Instant,
    pub(super) kin: Kin<C>,
}

/// The tables of one node.
#[derive(Clone, Debug)]
pub struct Zones<C> {
    pub(super) claims: Vec<Claim>,
    /// By contact: one for each zone beside it, and all who share its own.
    pub(super) neighbours: Vec<Neighbour<C>>,
    pub(super) vacancies: Vec<Vacancy<C>>,
    /// Who fell silent: they may be on the other side of a partition.
    pub(super) lost: Vec<C>,
    /// Whom its user named to join by: the way back when all others are gone.
    pub(super) doors: Vec<C>,
    /// Whom it let in last, and with what.
    pub(super) granted: Option<(C, Claim)>,
    /// In which reality and where nobody was found, and how often.
    pub(super) gap: Option<(u8, Point, u8)>,
    pub(super) ticks: u32,
}

/// The only one of `claims` in `reality`.
pub(super) fn only(claims: &[Claim], reality: u8) -> Option<Claim> {
    let mut there = claims.iter().filter(|claim| claim.zone.reality() == reality);
    there.next().filter(|_| there.next().is_none()).copied()
}

/// How far `point` is from the nearest of `claims` in `reality`, or in any; squared.
fn distance(claims: &[Claim], point: Point, reality: Option<u8>, dimensions: usize) -> u128 {
    let there = claims.iter().filter(|claim| fits(claim.zone, reality));
    there.map(|claim| claim.zone.distance(point, dimensions)).min().unwrap_or(u128::MAX)
}

fn fits(zone: Zone, reality: Option<u8>) -> bool {
    reality.is_none_or(|reality| zone.reality() == reality)
}

/// Whether somebody who has `theirs` is to be known to somebody who has `mine`.
pub(super) fn is_beside(mine: &[Claim], theirs: &[Claim], config: &Config) -> bool {
    theirs.iter().any(|theirs| mine.iter().any(|mine| config.joins(mine.zone, theirs.zone)))
}

impl<C: Contact> Zones<C> {
    /// Its zones, in all realities.
    pub fn zones(&self) -> impl Iterator<Item = Zone> + '_ {
        self.claims.iter().map(|claim| claim.zone)
    }

    /// Its zones in `reality`.
    pub(super) fn claims_in(&self, reality: u8) -> impl Iterator<Item = &Claim> {
        self.claims.iter().filter(move |claim| claim.zone.reality() == reality)
    }

    /// Whether it has nothing in `reality`.
    pub(super) fn lacks(&self, reality: u8) -> bool {
        self.claims_in(reality).next().is_none()
    }

    /// Who is beside it, or in the same zone.
    pub fn neighbours(&self) -> impl Iterator<Item = C> + '_ {
        self.neighbours.iter().map(|neighbour| neighbour.contact)
    }

    /// Who has `zone`, so far as it knows.
    pub fn holders(&self, zone: Zone) -> impl Iterator<Item = C> + '_ {
        self.neighbours.iter().filter(move |it| it.has(zone)).map(|it| it.contact)
    }

    /// The zones of who is beside it, so far as it knows.
    pub fn zones_beside(&self) -> impl Iterator<Item = (C, Zone)> + '_ {
        self.neighbours.iter().flat_map(|it| {
            let contact = it.contact;
            it.claims.iter().map(move |claim| (contact, claim.zone))
        })
    }

    /// Whether `point` is in one of its zones, in any reality.
    #[must_use]
    pub fn owns(&self, point: Point) -> bool {
        self.owns_in(point, None)
    }

    /// Whether `point` is in one of its zones of `reality`, or of any.
    pub(super) fn owns_in(&self, point: Point, reality: Option<u8>) -> bool {
        self.claims.iter().any(|claim| fits(claim.zone, reality) && claim.zone.contains(point))
    }

    /// How far `point` is from its nearest zone, in any reality; squared.
    #[must_use]
    pub fn distance(&self, point: Point, dimensions: usize) -> u128 {
        distance(&self.claims, point, None, dimensions)
    }

    pub(super) fn find(&self, contact: C) -> Result<usize, usize> {
        self.neighbours.binary_search_by(|neighbour| neighbour.contact.cmp(&contact))
    }

    /// Who takes over its zones, in their order: who shares them, then its neighbours, those with the
    /// smallest zones first.
    pub(super) fn kin(&self, config: &Config) -> Vec<(C, Rank)> {
        let mut kin = Vec::new();
        for neighbour in &self.neighbours {
            for reality in config.all_realities() {
                if config.shares_zones() && self.claims_in(reality).any(|it| neighbour.has(it.zone))
                {
                    kin.push((neighbour.contact, Rank::peer(reality)));
                } else if config.realities() == 1 || self.touches_in(reality, neighbour, config) {
                    let rank = Rank::neighbour(reality, neighbour.depth(reality));
                    kin.push((neighbour.contact, rank));
                }
            }
        }
        order(&mut kin);
        kin.truncate(KIN_MAX);
        kin
    }

    pub(super) fn touches_in(
        &self,
        reality: u8,
        neighbour: &Neighbour<C>,
        config: &Config,
    ) -> bool {
        let theirs = neighbour.claims.iter().filter(|claim| claim.zone.reality() == reality);
        theirs.into_iter().any(|it| is_beside(&self.claims, core::slice::from_ref(it), config))
    }

    /// Neighbours that are nearer to `point` of `reality`, or of any, the best first, and others for
    /// want of them.
    pub(super) fn nearer(&self, point: Point, reality: Option<u8>, config: &Config) -> Vec<C> {
        let dimensions = config.dimensions();
        let here = distance(&self.claims, point, reality, dimensions);
        let mut ways: Vec<(u128, &Neighbour<C>)> = self
            .neighbours
            .iter()
            .map(|neighbour| (distance(&neighbour.claims, point, reality, dimensions), neighbour))
            .collect();
        ways.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.contact.cmp(&b.1.contact)));
        let nearer = ways.iter().filter(|(distance, _)| *distance < here).count();
        if config.rtt_weighted {
            // What is gained for each millisecond; who is not measured is taken to be far.
            let gain = |&(distance, neighbour): &(u128, &Neighbour<C>)| {
                let gained = here.isqrt() - distance.isqrt();
                gained / u128::from(neighbour.rtt.max(1))
            };
            ways[..nearer].sort_by_key(|way| Reverse(gain(way)));
        }
        let count = if nearer < 2 { nearer + 2 } else { nearer.min(LIST_MAX) };
        ways.into_iter().take(count).map(|(_, neighbour)| neighbour.contact).collect()
    }

    /// Whom it would forward to for `point`; `None` if that is in one of its zones or nobody is
    /// nearer.
    #[must_use]
    pub fn next(&self, point: Point, config: &Config) -> Option<C> {
        self.next_in(point, None, config)
    }

    /// Whom it would forward to for `point` of `reality`, or of any.
    pub(super) fn next_in(&self, point: Point, reality: Option<u8>, config: &Config) -> Option<C> {
        let dimensions = config.dimensions();
        let here = distance(&self.claims, point, reality, dimensions);
        let next = *self.nearer(point, reality, config).first()?;
        let at = self.find(next).ok()?;
        let there = distance(&self.neighbours[at].claims, point, reality, dimensions);
        (there < here).then_some(next)
    }
}

/// By halvings, the most first, and then by place.
pub(super) fn order<C: Contact>(kin: &mut [(C, Rank)]) {
    kin.sort_by(|a, b| b.1.depth().cmp(&a.1.depth()).then_with(|| a.0.key().cmp(&b.0.key())));
}
