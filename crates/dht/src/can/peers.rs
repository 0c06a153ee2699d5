//! Zones that several nodes share (section 3.4): who is let in without a split, how those who share a
//! zone divide when it is full, and which of those who share the one beside it a node knows.

use alloc::boxed::Box;
use alloc::vec::Vec;

use machine::Cx;
use machine::dht::Contact;

use super::config::Fault;
use super::tables::is_beside;
use super::{Ask, Can, Claim, Kin, NEIGHBOURS_MAX, Neighbour, Rank, Said, Zone, only};

impl<C: Contact> Can<C> {
    /// Whether somebody else is known to have `zone`.
    pub(super) fn is_shared(&self, zone: Zone) -> bool {
        self.config.shares_zones() && self.topology.holders(zone).next().is_some()
    }

    /// Those who have `zone` with this node, and this node, by their places.
    fn sharers(&self, zone: Zone) -> Vec<C> {
        let mut all: Vec<C> = self.topology.holders(zone).collect();
        all.push(self.me);
        all.sort_by_key(Contact::key);
        all
    }

    /// Makes room for `joiner` in its zone at `at`: what it is given, which is the zone itself, or a
    /// half of it if it is full.
    pub(super) fn share_or_split(
        &mut self,
        at: usize,
        joiner: Option<C>,
        cx: &mut Cx<'_, Self>,
    ) -> Option<Claim> {
        let claim = *self.topology.claims.get(at)?;
        let mut all = self.sharers(claim.zone);
        let joins = joiner.filter(|joiner| !all.contains(joiner));
        if all.len() < self.config.zone_peers() && joins.is_some() || self.config.has(Fault::Crowds)
        {
            return Some(claim);
        }
        all.extend(joins);
        all.sort_by_key(Contact::key);
        let (low, high) = claim.zone.halves()?;
        let epoch = claim.epoch.saturating_add(1);
        // Whoever knows all of them divides them alike.
        let half =
            |place: usize| Claim { zone: if place.is_multiple_of(2) { low } else { high }, epoch };
        let mut given = None;
        for (place, &node) in all.iter().enumerate() {
            let half = half(place);
            if node == self.me {
                self.topology.claims[at] = half;
            } else if Some(node) == joiner {
                given = Some(half);
            } else {
                self.say(node, Said::Split { claim: half }, cx);
                self.note_zone(node, half, cx);
            }
        }
        given
    }

    /// `from`, who shares a zone with this node, has split it.
    pub(super) fn on_split(&mut self, from: C, claim: Claim, cx: &mut Cx<'_, Self>) {
        let shared = |mine: &Claim| {
            mine.zone.covers(claim.zone) && mine.zone != claim.zone && mine.epoch < claim.epoch
        };
        let Some(at) = self.topology.claims.iter().position(shared) else { return };
        let is_peer = self.topology.find(from).is_ok();
        if self.config.shares_zones() && is_peer {
            self.topology.claims[at] = claim;
            self.changed(Some(from), cx);
        }
    }

    /// A round of upkeep of what is shared.
    pub(super) fn keep_peers(&mut self, cx: &mut Cx<'_, Self>) {
        self.drop_shared(cx);
        self.thin_out();
        for reality in self.config.all_realities() {
            let Some(claim) = only(&self.topology.claims, reality) else { continue };
            let all = self.sharers(claim.zone);
            // Two who let somebody in at a time let in too many.
            if all.len() > self.config.zone_peers()
                && all.first() == Some(&self.me)
                && let Some(at) = self.topology.claims.iter().position(|it| *it == claim)
            {
                self.share_or_split(at, None, cx);
                self.changed(None, cx);
            }
        }
        self.measure(cx);
    }

    /// Gives up one zone too many that others have as well.
    fn drop_shared(&mut self, cx: &mut Cx<'_, Self>) {
        let me = self.me.key();
        let is_others =
            |claim: &Claim| {
                let reality = claim.zone.reality();
                only(&self.topology.claims, reality).is_none()
                    && self.topology.neighbours.iter().filter(|it| it.has(claim.zone)).any(
                        |other| only(&other.claims, reality).is_some() || other.contact.key() < me,
                    )
            };
        if let Some(at) = self.topology.claims.iter().position(is_others) {
            self.topology.claims.remove(at);
            self.changed(None, cx);
        }
    }

    /// Asks one of those who share a zone with a neighbour, to know whoever is nearest.
    fn measure(&mut self, cx: &mut Cx<'_, Self>) {
        let Some(neighbour) = cx.rng().pick(&self.topology.neighbours) else { return };
        let (contact, since) = (neighbour.contact, cx.now());
        if neighbour.rtt == u16::MAX {
            return self.ask_own(contact, Ask::Hello, cx);
        }
        let peers: Vec<C> = neighbour
            .kin
            .iter()
            .filter(|(other, rank)| rank.is_peer() && self.topology.find(*other).is_err())
            .map(|&(other, _)| other)
            .filter(|&other| other != self.me)
            .collect();
        if let Some(&other) = cx.rng().pick(&peers) {
            self.ask_own(other, Ask::Measure { since }, cx);
        }
    }

    /// `from` took so long to answer: it is known from now on if it is nearer than whoever is known
    /// of its zone.
    pub(super) fn measured(
        &mut self,
        from: C,
        claims: Box<[Claim]>,
        kin: Kin<C>,
        rtt: u16,
        cx: &mut Cx<'_, Self>,
    ) {
        let Err(at) = self.topology.find(from) else { return };
        if self.topology.neighbours.len() >= NEIGHBOURS_MAX
            || !is_beside(&self.topology.claims, &claims, &self.config)
        {
            return;
        }
        let (claims, heard) = (claims.into_vec(), cx.now());
        let neighbour = Neighbour { contact: from, claims, heard, rtt, kin };
        self.topology.neighbours.insert(at, neighbour);
        self.thin_out();
    }

    /// Whether all zones beside this node's that are among `claims` are known to be those of others
    /// than `who`, too. Who shares a zone with it is never spare.
    pub(super) fn is_spare(&self, who: Option<C>, claims: &[Claim]) -> bool {
        let topology = &self.topology;
        self.config.shares_zones()
            && claims.iter().all(|theirs| {
                let is_mine = topology.claims.iter().any(|mine| mine.zone == theirs.zone);
                let is_beside = is_beside(&topology.claims, &[*theirs], &self.config);
                let others = || topology.holders(theirs.zone).filter(|it| Some(*it) != who);
                !is_mine && (!is_beside || others().next().is_some())
            })
    }

    /// Of several who share a zone beside this node's only the nearest stays.
    pub(super) fn thin_out(&mut self) {
        if !self.config.shares_zones() {
            return;
        }
        let mut far: Vec<(u16, C)> =
            self.topology.neighbours.iter().map(|it| (it.rtt, it.contact)).collect();
        far.sort_by(|a, b| b.cmp(a));
        for (_, who) in far {
            if let Ok(at) = self.topology.find(who)
                && self.is_spare(Some(who), &self.topology.neighbours[at].claims)
                && is_beside(
                    &self.topology.claims,
                    &self.topology.neighbours[at].claims,
                    &self.config,
                )
            {
                self.topology.neighbours.remove(at);
            }
        }
    }

    /// `from` names those who share its zones: if those are this node's too, it should know them, and
    /// if it does not name whoever this node knows to have them, it is sent there.
    pub(super) fn hear_of_peers(
        &mut self,
        from: C,
        claims: &[Claim],
        kin: &[(C, Rank)],
        cx: &mut Cx<'_, Self>,
    ) {
        if self.config.has(Fault::ForgetsPeers) {
            return;
        }
        let unknown =
            claims.iter().flat_map(|claim| self.topology.holders(claim.zone)).find(|it| {
                *it != from && !kin.iter().any(|(other, rank)| rank.is_peer() && other == it)
            });
        if let Some(with) = unknown {
            self.say(from, Said::Conflict { with }, cx);
        }
        let Ok(at) = self.topology.find(from) else { return };
        let neighbour = &self.topology.neighbours[at];
        let shared = |reality: u8| {
            let mut mine = self.topology.claims_in(reality);
            mine.any(|claim| neighbour.has(claim.zone))
        };
        let peers = kin.iter().filter(|(_, rank)| rank.is_peer() && shared(rank.reality()));
        let peers: Vec<(C, Rank)> = peers.copied().collect();
        self.greet(&peers, cx);
    }
}
