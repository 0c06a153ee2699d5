//! What is done now and then: neighbours are told that this node lives, zones of the dead are taken
//! over, faces behind which nobody is known are looked at, and zones too many are brought to where
//! they merge.

use alloc::vec::Vec;

use machine::Cx;
use machine::dht::Contact;

use super::config::Fault;
use super::{Ask, Can, Claim, Point, Said, Search, Zone};

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
                || self.searches(|search| *search == Search::Join);
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
        if self.searches(|search| *search == Search::Gap) {
            return;
        }
        let Some(point) = self.find_gap(cx) else {
            self.topology.gap = None;
            return;
        };
        // The same place again, if it is still one: twice nobody is nobody.
        let point = match self.topology.gap {
            Some((before, _)) if !self.is_known(before) => before,
            _ => point,
        };
        if self.topology.gap.is_none_or(|(before, _)| before != point) {
            self.topology.gap = Some((point, 0));
        }
        self.search(Search::Gap, point.key(), cx);
    }

    fn is_known(&self, point: Point) -> bool {
        self.known_claims().any(|claim| claim.zone.contains(point))
            || self.topology.vacancies.iter().any(|it| it.claim.zone.contains(point))
    }

    /// A place beside it that nobody is known to have.
    fn find_gap(&self, cx: &mut Cx<'_, Self>) -> Option<Point> {
        let dimensions = self.config.dimensions();
        let known: Vec<Claim> = self.known_claims().collect();
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
                        if !self.is_known(point) {
                            return Some(point);
                        }
                    }
                }
            }
        }
        None
    }

    /// `owner` says that `point` is its own, or nobody was found.
    pub(super) fn gap_searched(&mut self, point: Point, owner: Option<C>, cx: &mut Cx<'_, Self>) {
        if !self.is_member() || self.is_known(point) {
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
            Some((before, tries)) if before == point => tries + 1,
            _ => 1,
        };
        self.topology.gap = Some((point, tries));
        if tries < GAP_TRIES {
            return;
        }
        self.topology.gap = None;
        if self.config.has(Fault::NoTakeover) {
            return;
        }
        // No more than a zone of its own size at a time, and nothing that is known.
        let least = self.topology.zones().map(Zone::depth).max().unwrap_or(0);
        let claim = (least..=super::DEPTH_MAX)
            .map(|depth| Zone::around(point, depth))
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
        if self.topology.claims.len() < 2 {
            return;
        }
        let mut mine: Vec<Claim> = self.topology.claims.clone();
        mine.sort_by_key(|claim| core::cmp::Reverse(claim.zone.depth()));
        for claim in mine {
            let Some(sibling) = claim.zone.sibling() else { return };
            if let Some(to) = self.sole_owner(sibling).or_else(|| self.lesser_owner(sibling)) {
                let kin = self.topology.kin().into();
                return self.say(to, Said::Handover { claims: [claim].into(), kin }, cx);
            }
            if let Some(to) = self.deepest_in(sibling) {
                return self.say(to, Said::Adopt { claim, hops: 0 }, cx);
            }
        }
    }

    /// The neighbour that has `zone` and no more.
    fn sole_owner(&self, zone: Zone) -> Option<C> {
        let owner =
            self.topology.neighbours.iter().find(
                |neighbour| matches!(neighbour.claims.as_slice(), [claim] if claim.zone == zone),
            );
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
        let within = self.topology.neighbours.iter().filter(
            |neighbour| matches!(neighbour.claims.as_slice(), [claim] if zone.covers(claim.zone)),
        );
        within.max_by_key(|neighbour| (neighbour.depth(), neighbour.contact)).map(|it| it.contact)
    }

    /// Somebody has one zone too many.
    pub(super) fn on_adopt(&mut self, claim: Claim, hops: u8, cx: &mut Cx<'_, Self>) {
        let [mine] = self.topology.claims[..] else { return };
        let Some(sibling) = mine.zone.sibling() else { return };
        if mine.zone.overlaps(claim.zone) || hops >= ADOPT_HOPS {
            return;
        }
        if let Some(to) = self.sole_owner(sibling) {
            let kin = self.topology.kin().into();
            self.say(to, Said::Handover { claims: [mine].into(), kin }, cx);
            self.on_handover(&[claim], &[], cx);
        } else if let Some(to) = self.deepest_in(sibling) {
            self.say(to, Said::Adopt { claim, hops: hops + 1 }, cx);
        }
    }
}
