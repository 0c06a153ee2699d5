//! How zones change hands: of two claims that overlap one wins, and whoever hears of a winner gives
//! way to it. So whatever was lost, late or wrongly taken for dead, every place has one owner in
//! the end.

use alloc::boxed::Box;
use alloc::vec::Vec;

use machine::Cx;
use machine::dht::Contact;

use super::config::Fault;
use super::tables::is_beside;
use super::{
    Ask, CLAIMS_MAX, Can, Claim, KIN_MAX, Kin, NEIGHBOURS_MAX, Neighbour, Rank, Said, Vacancy,
    order,
};

/// Most who are told of conflicts because of one message.
const TOLD_MAX: usize = 4;
/// Most zones that wait for a new owner.
const VACANCIES_MAX: usize = 256;
/// Most who are remembered for having fallen silent.
const LOST_MAX: usize = 16;

impl<C: Contact> Can<C> {
    /// What an update and an answer say.
    fn said(&self) -> (Box<[Claim]>, Kin<C>) {
        (self.topology.claims.as_slice().into(), self.topology.kin(&self.config).into())
    }

    pub(super) fn claims_said(&self) -> Said<C> {
        let (claims, kin) = self.said();
        Said::Claims { claims, kin }
    }

    /// Tells `to` what is this node's.
    pub(super) fn update(&self, to: impl IntoIterator<Item = C>, cx: &mut Cx<'_, Self>) {
        let (claims, kin) = self.said();
        for to in to {
            if to != self.me {
                self.say(to, Said::Update { claims: claims.clone(), kin: kin.clone() }, cx);
            }
        }
    }

    /// `from` says what it claims; whether it should hear what this node does.
    pub(super) fn hear_claims(
        &mut self,
        from: C,
        claims: &[Claim],
        kin: Option<Kin<C>>,
        cx: &mut Cx<'_, Self>,
    ) -> bool {
        if !self.knows_realities(claims) {
            return false;
        }
        let (me, them) = (self.me.key(), from.key());
        let (mut lost, mut disputed) = (false, false);
        let (keeps, shares) = (self.config.has(Fault::KeepLost), self.config.shares_zones());
        let mut mine = core::mem::take(&mut self.topology.claims);
        let before = if shares { mine.clone() } else { Vec::new() };
        for theirs in claims {
            let mut rest = Vec::with_capacity(mine.len());
            for claim in mine {
                if !claim.zone.overlaps(theirs.zone) {
                    rest.push(claim);
                } else if shares && claim.zone == theirs.zone {
                    rest.push(Claim { epoch: claim.epoch.max(theirs.epoch), ..claim });
                } else if theirs.wins(&them, &claim, &me) && !keeps {
                    claim.without(theirs.zone, &mut rest);
                    lost = true;
                } else {
                    rest.push(claim);
                    disputed = true;
                }
            }
            mine = rest;
        }
        if shares {
            grow(&mut mine, &before, claims);
        }
        mine.truncate(CLAIMS_MAX);
        self.topology.claims = mine;
        self.settle_others(from, claims, cx);
        self.fill_vacancies(claims);
        if let Some(kin) = kin.as_deref().filter(|_| shares) {
            self.hear_of_peers(from, claims, kin, cx);
        }
        let is_new = self.note(from, claims, kin, cx);
        if lost {
            self.changed(Some(from), cx);
        }
        // Whoever is beside this node, and not the one that it knows there, hears from it only so.
        let one_sided = shares && self.topology.find(from).is_err();
        disputed || is_new || one_sided || !is_beside(&self.topology.claims, claims, &self.config)
    }

    /// Others claim what `from` does: whoever loses is sent to the winner.
    fn settle_others(&mut self, from: C, claims: &[Claim], cx: &mut Cx<'_, Self>) {
        let (them, shares) = (from.key(), self.config.shares_zones());
        let mut told = Vec::new();
        for neighbour in &mut self.topology.neighbours {
            if neighbour.contact == from {
                continue;
            }
            for theirs in claims {
                let other = neighbour.contact.key();
                let conflicts = |claim: &Claim| {
                    claim.zone.overlaps(theirs.zone) && !(shares && claim.zone == theirs.zone)
                };
                if !neighbour.claims.iter().any(conflicts) {
                    continue;
                }
                let mut rest = Vec::new();
                for claim in neighbour.claims.drain(..) {
                    let conflict = conflicts(&claim);
                    if conflict && theirs.wins(&them, &claim, &other) {
                        claim.without(theirs.zone, &mut rest);
                        told.push((neighbour.contact, from));
                    } else {
                        if conflict {
                            told.push((from, neighbour.contact));
                        }
                        rest.push(claim);
                    }
                }
                neighbour.claims = rest;
            }
        }
        told.dedup();
        for (to, with) in told.into_iter().take(TOLD_MAX) {
            self.say(to, Said::Conflict { with }, cx);
        }
        self.prune(Some(from));
    }

    /// Lets go who is not beside it any more, but for `but`; some of them are remembered.
    fn prune(&mut self, but: Option<C>) {
        let topology = &mut self.topology;
        let (claims, mut gone) = (&topology.claims, Vec::new());
        topology.neighbours.retain(|it| {
            let stays = Some(it.contact) == but || is_beside(claims, &it.claims, &self.config);
            if !stays {
                gone.push(it.contact);
            }
            stays
        });
        for who in gone {
            self.remember(who);
        }
    }

    /// Zones that have an owner again are not vacant.
    pub(super) fn fill_vacancies(&mut self, claims: &[Claim]) {
        let vacancies = &mut self.topology.vacancies;
        if vacancies.is_empty() {
            return;
        }
        for theirs in claims {
            let mut rest = Vec::with_capacity(vacancies.len());
            for vacancy in vacancies.drain(..) {
                let mut parts = Vec::new();
                vacancy.claim.without(theirs.zone, &mut parts);
                if vacancy.claim.zone.overlaps(theirs.zone) {
                    let Vacancy { due, kin, .. } = vacancy;
                    let part = |claim| Vacancy { claim, due, kin: kin.clone() };
                    rest.extend(parts.into_iter().map(part));
                } else {
                    rest.push(vacancy);
                }
            }
            *vacancies = rest;
        }
        vacancies.truncate(VACANCIES_MAX);
    }

    /// Notes what `from` has, if that is beside this node; whether it was not known.
    fn note(
        &mut self,
        from: C,
        claims: &[Claim],
        kin: Option<Kin<C>>,
        cx: &mut Cx<'_, Self>,
    ) -> bool {
        let place = self.topology.find(from);
        if claims.is_empty() {
            // It leaves, or has lost all.
            if let Ok(at) = place {
                let gone = self.topology.neighbours.remove(at);
                let patience = self.config.expiry / 2;
                self.vacate(gone, patience, cx);
            }
            return false;
        }
        if !is_beside(&self.topology.claims, claims, &self.config) {
            if let Ok(at) = place {
                self.topology.neighbours.remove(at);
            }
            return false;
        }
        match place {
            Ok(at) => {
                let neighbour = &mut self.topology.neighbours[at];
                neighbour.claims = claims.to_vec();
                neighbour.heard = cx.now();
                if let Some(kin) = kin {
                    neighbour.kin = kin;
                }
                false
            }
            Err(_) if self.is_spare(None, claims) => false,
            Err(at) if self.topology.neighbours.len() < NEIGHBOURS_MAX => {
                let (claims, heard) = (claims.to_vec(), cx.now());
                let kin = kin.unwrap_or_default();
                let neighbour = Neighbour { contact: from, claims, heard, rtt: u16::MAX, kin };
                self.topology.neighbours.insert(at, neighbour);
                self.topology.lost.retain(|&lost| lost != from);
                true
            }
            Err(_) => false,
        }
    }

    /// What `gone` had is vacant; its neighbours take it over in their order, after `patience`.
    fn vacate(
        &mut self,
        gone: Neighbour<C>,
        patience: core::time::Duration,
        cx: &mut Cx<'_, Self>,
    ) {
        let mut kin = gone.kin.to_vec();
        kin.retain(|(contact, rank)| *contact != gone.contact && !rank.is_peer());
        order(&mut kin);
        for claim in &gone.claims {
            let reality = claim.zone.reality();
            let several = self.config.realities() > 1;
            if several && !self.topology.touches_in(reality, &gone, &self.config) {
                // Those beside it there see to that.
                continue;
            }
            let mut there = kin.iter().filter(|(_, rank)| rank.reality() == reality);
            let place = there.position(|(contact, _)| *contact == self.me);
            let rank = place.unwrap_or(KIN_MAX / 8);
            let due = cx.now() + patience + self.config.takeover_step * rank as u32;
            if self.topology.vacancies.len() < VACANCIES_MAX {
                let kin = gone.kin.clone();
                self.topology.vacancies.push(Vacancy { claim: *claim, due, kin });
            }
        }
        // Who is known to have it already does not wait.
        let others: Vec<Claim> = self.known_claims().collect();
        self.fill_vacancies(&others);
    }

    /// All claims that are known: its own, and those beside it.
    pub(super) fn known_claims(&self) -> impl Iterator<Item = Claim> + '_ {
        let beside = self.topology.neighbours.iter().flat_map(|neighbour| &neighbour.claims);
        self.topology.claims.iter().chain(beside).copied()
    }

    /// `who` is silent.
    pub(super) fn lose(&mut self, who: C, cx: &mut Cx<'_, Self>) {
        let Ok(at) = self.topology.find(who) else { return };
        let gone = self.topology.neighbours.remove(at);
        self.remember(who);
        let mut patience = core::time::Duration::ZERO;
        if self.config.shares_zones() {
            // Others who share the zone may live.
            let peers: Vec<_> = gone.kin.iter().copied().filter(|(_, it)| it.is_peer()).collect();
            self.greet(&peers, cx);
            patience = self.config.expiry / 2;
        }
        if !self.config.has(Fault::NoTakeover) {
            self.vacate(gone, patience, cx);
        }
    }

    /// Asks `who` again now and then.
    pub(super) fn remember(&mut self, who: C) {
        let lost = &mut self.topology.lost;
        if !lost.contains(&who) {
            if lost.len() >= LOST_MAX {
                lost.remove(0);
            }
            lost.push(who);
        }
    }

    /// Its own zones have changed: halves are merged, and all who are or were beside it are told.
    pub(super) fn changed(&mut self, winner: Option<C>, cx: &mut Cx<'_, Self>) {
        self.merge();
        self.thin_out();
        let mut told: Vec<C> = self.topology.neighbours().collect();
        told.extend(winner.filter(|winner| !told.contains(winner)));
        self.prune(None);
        self.hurry();
        self.update(told.iter().copied(), cx);
        if self.topology.claims.is_empty() && self.is_member() {
            // All is lost to others: it begins anew, by their leave.
            told.truncate(LOST_MAX);
            for other in &told {
                self.remember(*other);
            }
            self.rejoin(told, cx);
        }
    }

    /// Merges halves of its own.
    fn merge(&mut self) {
        if self.config.has(Fault::NoMerge) {
            return;
        }
        let claims = &mut self.topology.claims;
        loop {
            let pair = claims.iter().enumerate().find_map(|(at, claim)| {
                let sibling = claim.zone.sibling()?;
                let other = claims.iter().position(|other| other.zone == sibling)?;
                Some((at, other, claim.zone.parent()?))
            });
            let Some((at, other, zone)) = pair else { return };
            let epoch = claims[at].epoch.max(claims[other].epoch).saturating_add(1);
            claims[at] = Claim { zone, epoch };
            claims.swap_remove(other);
        }
    }

    /// Claims what of `claim` nobody is known to have; whether that is anything.
    pub(super) fn take(&mut self, claim: Claim) -> bool {
        let mut parts = Vec::from([claim]);
        for known in self.known_claims() {
            let mut rest = Vec::new();
            for part in parts {
                part.without(known.zone, &mut rest);
            }
            parts = rest;
        }
        let room = CLAIMS_MAX.saturating_sub(self.topology.claims.len());
        parts.truncate(room);
        let any = !parts.is_empty();
        for part in parts {
            let epoch = part.epoch.saturating_add(1);
            self.topology.claims.push(Claim { epoch, ..part });
        }
        any
    }

    /// Says hello to those who may be beside it now.
    pub(super) fn greet(&mut self, kin: &[(C, Rank)], cx: &mut Cx<'_, Self>) {
        for &(contact, _) in kin.iter().take(KIN_MAX) {
            let known = contact == self.me || self.topology.find(contact).is_ok();
            if !known && !self.waits_for(|to, ask| to == contact && *ask == Ask::Hello) {
                self.ask_own(contact, Ask::Hello, cx);
            }
        }
    }
}

/// Whoever loses all that it had in a reality to a zone that covers some of it shares that zone.
fn grow(mine: &mut Vec<Claim>, before: &[Claim], theirs: &[Claim]) {
    for lost in before {
        let reality = lost.zone.reality();
        let has_more = mine.iter().any(|claim| claim.zone.reality() == reality);
        let covers = |claim: &&Claim| claim.zone.covers(lost.zone);
        if let (false, Some(wider)) = (has_more, theirs.iter().find(covers)) {
            mine.push(*wider);
        }
    }
}
