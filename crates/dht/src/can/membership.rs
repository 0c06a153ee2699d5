//! Joining and leaving: a joiner gets half of a zone, or one that its owner has too many; whoever
//! leaves gives its zones to the neighbour whom they suit best.

use alloc::boxed::Box;
use alloc::vec::Vec;

use machine::Cx;
use machine::dht::Contact;

use super::config::Fault;
use super::{
    Ask, CLAIMS_MAX, Can, Claim, KIN_MAX, Neighbour, Point, Rank, Said, Search, Zone, only,
};

/// How often a joiner is sent on.
const REFERRALS_MAX: u8 = 32;

impl<C: Contact> Can<C> {
    /// Joins by way of `known`, at a random place.
    pub(super) fn begin_join(&mut self, known: Vec<C>, cx: &mut Cx<'_, Self>) {
        self.topology.vacancies.clear();
        self.topology.neighbours.clear();
        self.topology.granted = None;
        if self.is_asked_to_join() {
            self.topology.doors.clone_from(&known);
        }
        if known.is_empty() && self.topology.lost.is_empty() && self.topology.doors.is_empty() {
            let whole = |reality| Claim { zone: Zone::WHOLE.of(reality), epoch: 1 };
            self.topology.claims = self.config.all_realities().map(whole).collect();
            return self.joined(cx);
        }
        known.iter().for_each(|&door| self.remember(door));
        let mut doors = known;
        if doors.is_empty() {
            doors = [&*self.topology.lost, &*self.topology.doors].concat();
            cx.rng().shuffle(&mut doors);
        }
        self.seek_zone(0, &doors, cx);
    }

    /// Looks for a random place in `reality`, to get a zone there.
    pub(super) fn seek_zone(&mut self, reality: u8, doors: &[C], cx: &mut Cx<'_, Self>) {
        let point = Point(cx.rng().next_u64());
        self.search_through(doors, self.stage(reality), Search::Join(reality), point.key(), cx);
    }

    /// Seeks a zone wherever it has none, if it is not about to get one.
    pub(super) fn seek_other_realities(&mut self, cx: &mut Cx<'_, Self>) {
        for reality in self.config.all_realities() {
            let trying = self.searches(|search| *search == Search::Join(reality))
                || self.waits_for(
                    |_, ask| matches!(ask, Ask::Join { reality: other, .. } if *other == reality),
                );
            let lacks = self.topology.lacks(reality);
            if lacks && !trying && !(reality > 0 && self.config.has(Fault::FirstRealityOnly)) {
                let mut doors: Vec<C> = self.topology.neighbours().collect();
                cx.rng().shuffle(&mut doors);
                self.seek_zone(reality, &doors, cx);
            }
        }
    }

    /// Nobody lets this node in.
    pub(super) fn no_way_in(&mut self, cx: &mut Cx<'_, Self>) {
        if self.is_asked_to_join() {
            self.topology.lost.clear();
            self.join_failed(cx);
        }
        // Who was a member tries again with the next tick.
    }

    /// `from` wants to be let in at this place of a reality.
    pub(super) fn on_join(
        &mut self,
        from: C,
        tag: u32,
        (reality, point): (u8, Point),
        last: bool,
        cx: &mut Cx<'_, Self>,
    ) {
        let shares = self.config.shares_zones();
        if let Some((joiner, claim)) = self.topology.granted
            && joiner == from
            && claim.zone.reality() == reality
            && !self
                .topology
                .claims
                .iter()
                .any(|mine| mine.zone.overlaps(claim.zone) && !(shares && mine.zone == claim.zone))
        {
            return self.welcome(from, tag, claim, cx);
        }
        let mine = &self.topology.claims;
        let there = || (0..mine.len()).filter(|&at| mine[at].zone.reality() == reality);
        let here = there().find(|&at| mine[at].zone.contains(point));
        let largest = there().min_by_key(|&at| mine[at].zone.depth());
        let Some(at) = here.or(largest.filter(|_| last)) else {
            if let Some(to) = self.topology.next_in(point, Some(reality), &self.config) {
                self.reply(from, tag, Said::Refer { to, last: false }, cx);
            }
            return;
        };
        let depth = mine[at].zone.depth();
        if self.config.uniform_partition && !last {
            let roomy = self.topology.neighbours.iter().filter(|it| it.contact != from);
            let largest = roomy.min_by_key(|other| (other.depth(reality), other.contact));
            if let Some(largest) = largest
                && largest.depth(reality) < depth
            {
                let to = largest.contact;
                return self.reply(from, tag, Said::Refer { to, last: true }, cx);
            }
        }
        let given = if there().count() > 1 {
            let smallest = there().max_by_key(|&at| mine[at].zone.depth()).unwrap_or(0);
            let Claim { zone, epoch } = self.topology.claims.swap_remove(smallest);
            Claim { zone, epoch: epoch.saturating_add(1) }
        } else if shares {
            match self.share_or_split(at, Some(from), cx) {
                Some(given) => given,
                None => return,
            }
        } else {
            let Claim { zone, epoch } = mine[at];
            let Some((low, high)) = zone.halves() else { return };
            let epoch = epoch.saturating_add(1);
            let (kept, given) = if low.contains(point) { (high, low) } else { (low, high) };
            self.topology.claims[at] = Claim { zone: kept, epoch };
            Claim { zone: given, epoch }
        };
        // Whoever is beside what is given is heard before the table forgets them.
        self.topology.granted = Some((from, given));
        self.welcome(from, tag, given, cx);
        self.note_zone(from, given, cx);
        self.changed(None, cx);
    }

    fn welcome(&self, to: C, tag: u32, claim: Claim, cx: &mut Cx<'_, Self>) {
        let beside = |theirs: &&Claim| self.config.joins(claim.zone, theirs.zone);
        let neighbours = self.topology.neighbours.iter().filter(|it| it.contact != to);
        let mut neighbours: Vec<(C, Claim)> = neighbours
            .filter_map(|it| Some((it.contact, *it.claims.iter().find(beside)?)))
            .collect();
        // Those who share the zone must not be left out.
        neighbours.sort_by_key(|(_, theirs)| theirs.zone != claim.zone);
        if let Some(mine) = self.topology.claims.iter().find(beside) {
            neighbours.insert(0, (self.me, *mine));
        }
        neighbours.truncate(KIN_MAX);
        self.reply(to, tag, Said::Welcome { claim, neighbours: neighbours.into() }, cx);
    }

    /// Another may let this node in.
    pub(super) fn referred(
        &mut self,
        (reality, point): (u8, Point),
        hops: u8,
        to: C,
        last: bool,
        cx: &mut Cx<'_, Self>,
    ) {
        if !self.wants_in(reality) {
            return;
        }
        if hops >= REFERRALS_MAX || to == self.me {
            return self.no_way_in(cx);
        }
        self.ask_own(to, Ask::Join { reality, point, last, hops: hops + 1 }, cx);
    }

    /// This node has a zone.
    pub(super) fn welcomed(
        &mut self,
        from: C,
        claim: Claim,
        neighbours: &[(C, Claim)],
        cx: &mut Cx<'_, Self>,
    ) {
        if !self.is_member() {
            self.topology.claims.clear();
            self.topology.neighbours.clear();
        }
        self.topology.claims.push(claim);
        for &(contact, theirs) in neighbours {
            let is_peer = self.config.shares_zones() && claim.zone == theirs.zone;
            if contact == self.me || claim.zone.overlaps(theirs.zone) && !is_peer {
                continue;
            }
            if self.topology.find(contact).is_err() {
                self.note_zone(contact, theirs, cx);
            }
        }
        self.remember(from);
        if !self.is_member() {
            self.joined(cx);
        }
        self.changed(Some(from), cx);
        self.seek_other_realities(cx);
    }

    /// `contact` has this zone, and may have others.
    pub(super) fn note_zone(&mut self, contact: C, claim: Claim, cx: &mut Cx<'_, Self>) {
        match self.topology.find(contact) {
            Ok(at) => {
                let neighbour = &mut self.topology.neighbours[at];
                // What it has in other realities is as it was.
                neighbour.claims.retain(|it| it.zone.reality() != claim.zone.reality());
                neighbour.claims.push(claim);
                neighbour.heard = cx.now();
            }
            Err(at) => {
                let (claims, heard) = (Vec::from([claim]), cx.now());
                let kin = Box::default();
                let neighbour = Neighbour { contact, claims, heard, rtt: u16::MAX, kin };
                self.topology.neighbours.insert(at, neighbour);
            }
        }
    }

    /// To whom its zones of `reality` go when it leaves: a neighbour whose only zone is the other
    /// half of its own, or else the one with the smallest.
    pub(super) fn heir(&self, reality: u8) -> Option<C> {
        let sibling = only(&self.topology.claims, reality).and_then(|claim| claim.zone.sibling());
        let merges =
            self.topology.neighbours.iter().find(|it| {
                only(&it.claims, reality).is_some_and(|claim| Some(claim.zone) == sibling)
            });
        let kin = || self.topology.kin(&self.config).into_iter();
        match merges {
            Some(neighbour) => Some(neighbour.contact),
            None => kin().find(|(_, rank)| rank.reality() == reality).map(|(contact, _)| contact),
        }
    }

    /// Gives all away; what others share with it is theirs already.
    pub(super) fn hand_over_all(&mut self, cx: &mut Cx<'_, Self>) {
        for reality in self.config.all_realities() {
            let mut claims: Vec<Claim> = self.topology.claims_in(reality).copied().collect();
            claims.retain(|claim| !self.is_shared(claim.zone));
            if let Some(heir) = self.heir(reality)
                && !claims.is_empty()
            {
                let kin = self.topology.kin(&self.config).into();
                self.say(heir, Said::Handover { claims: claims.into(), kin }, cx);
            }
        }
        self.topology.claims.clear();
        let beside: Vec<C> = self.topology.neighbours().collect();
        self.update(beside, cx);
    }

    /// Zones are given to this node.
    pub(super) fn on_handover(
        &mut self,
        claims: &[Claim],
        kin: &[(C, Rank)],
        cx: &mut Cx<'_, Self>,
    ) {
        let mut any = false;
        for claim in claims.iter().take(CLAIMS_MAX) {
            let mine = self.topology.claims.iter().any(|it| it.zone.overlaps(claim.zone));
            if !mine && self.topology.claims.len() < CLAIMS_MAX {
                // The giver's own claim, which is still known, does not count.
                let epoch = claim.epoch.saturating_add(1);
                self.topology.claims.push(Claim { zone: claim.zone, epoch });
                any = true;
            }
        }
        if any {
            self.greet(kin, cx);
            self.changed(None, cx);
        }
    }
}
