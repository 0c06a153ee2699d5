//! What is done now and then: neighbours are told that this node lives, zones of the dead are taken
//! over, faces behind which nobody is known are looked at, and zones too many are brought to where
//! they merge.

use alloc::vec::Vec;

use machine::Cx;
use machine::dht::Contact;

use super::config::Fault;
use super::{Ask, Can, Claim, Point, Said, Search, Zone, only};

/// How often a place is sought that nobody is found at, before it is taken.
const GAP_TRIES: u8 = 2;
/// Places that are tried on a face to find one that nobody is known to have.
const PROBES: u32 = 32;
/// How often a zone too many is passed on.
const ADOPT_HOPS: u8 = 64;

impl<C: Contact> Can<C> {
    /// A round of upkeep.
    pub(super) fn keep_up(&mut self, cx: &mut Cx<'_, Self>) {
        self.topology.ticks = self.topology.ticks.wrapping_add(1);
        if !self.is_member() {
            // Whoever lost all tries again, unless it is about to be let in.
            let trying = self.waits_for(|_, ask| matches!(ask, Ask::Join { .. }))
                || self.searches(|search| matches!(search, Search::Join(_)));
            if !trying && !self.is_asked_to_join() {
                self.begin_join(Vec::new(), cx);
            }
            return;
        }
        let (now, expiry) = (cx.now(), self.config.expiry);
        let silent: Vec<C> = self
            .topology
            .neighbours
            .iter()
            .filter(|neighbour| now - neighbour.heard > expiry)
            .map(|neighbour| neighbour.contact)
            .collect();
        for who in silent {
            self.lose(who, cx);
        }
        self.take_over(cx);
        self.seek_other_realities(cx);
        if self.config.shares_zones() {
            self.keep_peers(cx);
        }
        let beside: Vec<C> = self.topology.neighbours().collect();
        self.update(beside, cx);
        if self.topology.ticks.is_multiple_of(2) && !self.config.has(Fault::NoGapSearch) {
            self.look_for_gaps(cx);
        }
        if self.topology.ticks.is_multiple_of(3) && !self.config.has(Fault::NoMerge) {
            self.reassign(cx);
        }
        let far = [&*self.topology.lost, &*self.topology.doors].concat();
        let lost = cx.rng().pick(&far).copied();
        if let Some(lost) = lost.filter(|_| cx.rng().below(4) == 0)
            && lost != self.me
            && !self.waits_for(|to, _| to == lost)
        {
            self.ask_own(lost, Ask::Hello, cx);
        }
    }

    /// Takes over what is due.
    fn take_over(&mut self, cx: &mut Cx<'_, Self>) {
        let now = cx.now();
        let (due, rest): (Vec<_>, Vec<_>) =
            core::mem::take(&mut self.topology.vacancies).into_iter().partition(|it| it.due <= now);
        self.topology.vacancies = rest;
        let mut any = false;
        for vacancy in due {
            if self.take(vacancy.claim) {
                any = true;
                self.greet(&vacancy.kin, cx);
            }
        }
        if any {
            self.changed(None, cx);
        }
    }

    /// Looks whether somebody is known behind every face of its zones, and if not, who is there.
    fn look_for_gaps(&mut self, cx: &mut Cx<'_, Self>) {
        if self.searches(|search| matches!(search, Search::Gap(_))) {
            return;
        }
        let Some(place) = self.find_gap(cx) else {
            self.topology.gap = None;
            return;
        };
        // The same place again, if it is still one: twice nobody is nobody.
        let (reality, point) = match self.topology.gap {
            Some((reality, before, _)) if !self.is_known(reality, before) => (reality, before),
            _ => place,
        };
        if self.topology.gap.is_none_or(|(it, before, _)| (it, before) != (reality, point)) {
            self.topology.gap = Some((reality, point, 0));
        }
        self.search(self.stage(reality), Search::Gap(reality), point.key(), cx);
    }

    fn is_known(&self, reality: u8, point: Point) -> bool {
        let fits = |zone: Zone| zone.reality() == reality && zone.contains(point);
        self.known_claims().any(|claim| fits(claim.zone))
            || self.topology.vacancies.iter().any(|it| fits(it.claim.zone))
    }

    /// A place beside it that nobody is known to have, and its reality.
    fn find_gap(&self, cx: &mut Cx<'_, Self>) -> Option<(u8, Point)> {
        let dimensions = self.config.dimensions();
        let mut known: Vec<Claim> = self.known_claims().collect();
        if self.config.shares_zones() {
            // Two who share a zone cover it once.
            known.sort_by_key(|claim| claim.zone);
            known.dedup_by_key(|claim| claim.zone);
        }
        for mine in &self.topology.claims {
            for dimension in 0..dimensions {
                let halvings = mine.zone.side(dimension, dimensions).1;
                if halvings == 0 {
                    continue;
                }
                for above in [true, false] {
                    let covered: u64 = known
                        .iter()
                        .filter(|other| {
                            let touching = mine.zone.touches(other.zone, dimensions);
                            // The other half of the torus is beside it on both sides.
                            touching.is_some_and(|(along, up)| {
                                along == dimension && (up == above || halvings == 1)
                            })
                        })
                        .map(|other| mine.zone.share(other.zone, dimension, dimensions))
                        .sum();
                    if covered >= 1 << 40 {
                        continue;
                    }
                    for _ in 0..PROBES {
                        let within = Point(cx.rng().next_u64());
                        let point = mine.zone.beside(dimension, above, within, dimensions);
                        let reality = mine.zone.reality();
                        if !self.is_known(reality, point) {
                            return Some((reality, point));
                        }
                    }
                }
            }
        }
        None
    }

    /// `owner` says that this place of a reality is its own, or nobody was found.
    pub(super) fn gap_searched(
        &mut self,
        (reality, point): (u8, Point),
        owner: Option<C>,
        cx: &mut Cx<'_, Self>,
    ) {
        if !self.is_member() || self.is_known(reality, point) {
            self.topology.gap = None;
            return;
        }
        if let Some(owner) = owner {
            self.topology.gap = None;
            if owner != self.me {
                self.ask_own(owner, Ask::Hello, cx);
            }
            return;
        }
        let tries = match self.topology.gap {
            Some((it, before, tries)) if (it, before) == (reality, point) => tries + 1,
            _ => 1,
        };
        self.topology.gap = Some((reality, point, tries));
        if tries < GAP_TRIES {
            return;
        }
        self.topology.gap = None;
        if self.config.has(Fault::NoTakeover) {
            return;
        }
        // No more than a zone of its own size at a time, and nothing that is known.
        let least = self.topology.claims_in(reality).map(|it| it.zone.depth()).max().unwrap_or(0);
        let claim = (least..=super::DEPTH_MAX)
            .map(|depth| Zone::around(point, depth).of(reality))
            .find(|zone| !self.known_claims().any(|claim| claim.zone.overlaps(*zone)));
        if let Some(zone) = claim
            && self.take(Claim { zone, epoch: 0 })
        {
            self.changed(None, cx);
        }
    }

    /// Brings one zone too many to where it merges: to a neighbour that has its other half and no
    /// more, or else to two neighbours in the other half that merge, of whom one takes it.
    fn reassign(&mut self, cx: &mut Cx<'_, Self>) {
        let mut mine: Vec<Claim> = self.topology.claims.clone();
        // In most realities there is but one.
        mine.retain(|claim| only(&self.topology.claims, claim.zone.reality()).is_none());
        mine.sort_by_key(|claim| core::cmp::Reverse(claim.zone.depth()));
        for claim in mine {
            let Some(sibling) = claim.zone.sibling() else { return };
            if let Some(to) = self.sole_owner(sibling).or_else(|| self.lesser_owner(sibling)) {
                let kin = self.topology.kin(&self.config).into();
                return self.say(to, Said::Handover { claims: [claim].into(), kin }, cx);
            }
            if let Some(to) = self.deepest_in(sibling) {
                return self.say(to, Said::Adopt { claim, hops: 0 }, cx);
            }
        }
    }

    /// The neighbour that has `zone` and no more.
    fn sole_owner(&self, zone: Zone) -> Option<C> {
        let owner = self.topology.neighbours.iter().find(|neighbour| {
            only(&neighbour.claims, zone.reality()).is_some_and(|claim| claim.zone == zone)
        });
        owner.map(|neighbour| neighbour.contact)
    }

    /// The neighbour that has `zone` among others, if this node is the one of both to give way.
    fn lesser_owner(&self, zone: Zone) -> Option<C> {
        let has = |claim: &Claim| claim.zone == zone;
        let owner = self.topology.neighbours.iter().find(|it| it.claims.iter().any(has))?;
        (self.me.key() < owner.contact.key()).then_some(owner.contact)
    }

    /// The neighbour with the smallest zone within `zone`, and no other.
    fn deepest_in(&self, zone: Zone) -> Option<C> {
        let within = self.topology.neighbours.iter().filter(|neighbour| {
            only(&neighbour.claims, zone.reality()).is_some_and(|claim| zone.covers(claim.zone))
        });
        let deepest = within.max_by_key(|it| (it.depth(zone.reality()), it.contact));
        deepest.map(|neighbour| neighbour.contact)
    }

    /// Somebody has one zone too many.
    pub(super) fn on_adopt(&mut self, claim: Claim, hops: u8, cx: &mut Cx<'_, Self>) {
        let Some(mine) = only(&self.topology.claims, claim.zone.reality()) else { return };
        let Some(sibling) = mine.zone.sibling() else { return };
        if mine.zone.overlaps(claim.zone) || hops >= ADOPT_HOPS {
            return;
        }
        if let Some(to) = self.sole_owner(sibling) {
            let kin = self.topology.kin(&self.config).into();
            self.say(to, Said::Handover { claims: [mine].into(), kin }, cx);
            self.on_handover(&[claim], &[], cx);
        } else if let Some(to) = self.deepest_in(sibling) {
            self.say(to, Said::Adopt { claim, hops: hops + 1 }, cx);
        }
    }
}
