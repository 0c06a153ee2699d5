//! Joining and leaving: a joiner gets half of a zone, or one that its owner has too many; whoever
//! leaves gives its zones to the neighbour whom they suit best.

use alloc::boxed::Box;
use alloc::vec::Vec;

use machine::Cx;
use machine::dht::Contact;

use super::{Ask, CLAIMS_MAX, Can, Claim, KIN_MAX, Neighbour, Point, Said, Search, Zone};

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
            self.topology.claims = Vec::from([Claim { zone: Zone::WHOLE, epoch: 1 }]);
            return self.joined(cx);
        }
        known.iter().for_each(|&door| self.remember(door));
        let mut doors = known;
        if doors.is_empty() {
            doors = [&*self.topology.lost, &*self.topology.doors].concat();
            cx.rng().shuffle(&mut doors);
        }
        let point = Point(cx.rng().next_u64());
        self.search_through(&doors, Search::Join, point.key(), cx);
    }

    /// Nobody lets this node in.
    pub(super) fn no_way_in(&mut self, cx: &mut Cx<'_, Self>) {
        if self.is_asked_to_join() {
            self.topology.lost.clear();
            self.join_failed(cx);
        }
        // Who was a member tries again with the next tick.
    }

    /// `from` wants to be let in at `point`.
    pub(super) fn on_join(
        &mut self,
        from: C,
        tag: u32,
        point: Point,
        last: bool,
        cx: &mut Cx<'_, Self>,
    ) {
        if let Some((joiner, claim)) = self.topology.granted
            && joiner == from
            && !self.topology.claims.iter().any(|mine| mine.zone.overlaps(claim.zone))
        {
            return self.welcome(from, tag, claim, cx);
        }
        let here = self.topology.claims.iter().position(|claim| claim.zone.contains(point));
        let largest =
            (0..self.topology.claims.len()).min_by_key(|&at| self.topology.claims[at].zone.depth());
        let Some(at) = here.or(largest.filter(|_| last)) else {
            if let Some(to) = self.topology.next(point, &self.config) {
                self.reply(from, tag, Said::Refer { to, last: false }, cx);
            }
            return;
        };
        let depth = self.topology.claims[at].zone.depth();
        if self.config.uniform_partition && !last {
            let roomy = self.topology.neighbours.iter().filter(|it| it.contact != from);
            let largest = roomy.min_by_key(|neighbour| (neighbour.depth(), neighbour.contact));
            if let Some(largest) = largest
                && largest.depth() < depth
            {
                let to = largest.contact;
                return self.reply(from, tag, Said::Refer { to, last: true }, cx);
            }
        }
        let given = if self.topology.claims.len() > 1 {
            let smallest = (0..self.topology.claims.len())
                .max_by_key(|&at| self.topology.claims[at].zone.depth())
                .unwrap_or(0);
            let Claim { zone, epoch } = self.topology.claims.swap_remove(smallest);
            Claim { zone, epoch: epoch.saturating_add(1) }
        } else {
            let Claim { zone, epoch } = self.topology.claims[at];
            let Some((low, high)) = zone.halves() else { return };
            let epoch = epoch.saturating_add(1);
            let (kept, given) = if low.contains(point) { (high, low) } else { (low, high) };
            self.topology.claims[at] = Claim { zone: kept, epoch };
            Claim { zone: given, epoch }
        };
        // Whoever is beside what is given is heard before the table forgets them.
        self.topology.granted = Some((from, given));
        self.welcome(from, tag, given, cx);
        let heard = cx.now();
        let claims = Vec::from([given]);
        let joiner = Neighbour { contact: from, claims, heard, rtt: u16::MAX, kin: Box::default() };
        match self.topology.find(from) {
            Ok(at) => self.topology.neighbours[at] = joiner,
            Err(at) => self.topology.neighbours.insert(at, joiner),
        }
        self.changed(None, cx);
    }

    fn welcome(&self, to: C, tag: u32, claim: Claim, cx: &mut Cx<'_, Self>) {
        let beside =
            |theirs: &&Claim| claim.zone.touches(theirs.zone, self.config.dimensions()).is_some();
        let neighbours = self.topology.neighbours.iter().filter(|it| it.contact != to);
        let mut neighbours: Vec<(C, Claim)> = neighbours
            .filter_map(|it| Some((it.contact, *it.claims.iter().find(beside)?)))
            .collect();
        if let Some(mine) = self.topology.claims.iter().find(beside) {
            neighbours.insert(0, (self.me, *mine));
        }
        neighbours.truncate(KIN_MAX);
        self.reply(to, tag, Said::Welcome { claim, neighbours: neighbours.into() }, cx);
    }

    /// Another may let this node in.
    pub(super) fn referred(
        &mut self,
        point: Point,
        hops: u8,
        to: C,
        last: bool,
        cx: &mut Cx<'_, Self>,
    ) {
        if self.is_member() {
            return;
        }
        if hops >= REFERRALS_MAX || to == self.me {
            return self.no_way_in(cx);
        }
        self.ask_own(to, Ask::Join { point, last, hops: hops + 1 }, cx);
    }

    /// This node has a zone.
    pub(super) fn welcomed(
        &mut self,
        from: C,
        claim: Claim,
        neighbours: &[(C, Claim)],
        cx: &mut Cx<'_, Self>,
    ) {
        self.topology.claims = Vec::from([claim]);
        self.topology.neighbours.clear();
        for &(contact, theirs) in neighbours {
            if contact == self.me || claim.zone.overlaps(theirs.zone) {
                continue;
            }
            if let Err(at) = self.topology.find(contact) {
                let (claims, heard) = (Vec::from([theirs]), cx.now());
                let kin = Box::default();
                let neighbour = Neighbour { contact, claims, heard, rtt: u16::MAX, kin };
                self.topology.neighbours.insert(at, neighbour);
            }
        }
        self.remember(from);
        self.joined(cx);
        self.changed(Some(from), cx);
    }

    /// To whom its zones go when it leaves: a neighbour whose only zone is the other half of its
    /// own, or else the one with the smallest.
    pub(super) fn heir(&self) -> Option<C> {
        let sibling = match self.topology.claims.as_slice() {
            [claim] => claim.zone.sibling(),
            _ => None,
        };
        let merges = self
            .topology
            .neighbours
            .iter()
            .find(|it| matches!(it.claims.as_slice(), [claim] if Some(claim.zone) == sibling));
        match merges {
            Some(neighbour) => Some(neighbour.contact),
            None => self.topology.kin().first().map(|(contact, _)| *contact),
        }
    }

    /// Gives all away.
    pub(super) fn hand_over_all(&mut self, cx: &mut Cx<'_, Self>) {
        if let Some(heir) = self.heir() {
            let claims = self.topology.claims.as_slice().into();
            let kin = self.topology.kin().into();
            self.say(heir, Said::Handover { claims, kin }, cx);
        }
        self.topology.claims.clear();
        let beside: Vec<C> = self.topology.neighbours().collect();
        self.update(beside, cx);
    }

    /// Zones are given to this node.
    pub(super) fn on_handover(&mut self, claims: &[Claim], kin: &[(C, u8)], cx: &mut Cx<'_, Self>) {
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
