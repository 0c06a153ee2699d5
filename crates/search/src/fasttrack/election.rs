//! Elections: what leaves show of their uploads is looked at, the fittest is tried by others, and
//! gets a mandate; and who has a mandate is called when there are too many leaves.

use alloc::boxed::Box;
use alloc::vec::Vec;

use machine::{Contact, Cx, Instant};

use super::config::{APPOINTEES_MAX, Fault, PROBES_MAX};
use super::identity::{Id, Identity};
use super::reputation::{
    Mandate, Receipt, Standing, Testimony, VOUCHERS_MAX, Voucher, distinct, rate, reach_text,
};
use super::supernode::Supernode;
use super::{FastTrack, Message, Role, is_silent};

/// Somebody whom others are asked to reach.
#[derive(Clone, Debug)]
pub(super) struct Nomination<C> {
    nominee: C,
    id: Id,
    witnesses: Vec<C>,
    testimonies: Vec<Testimony>,
    since: Instant,
}

/// Somebody whom this node tries to reach for another.
#[derive(Clone, Debug)]
pub(super) struct Probe<C> {
    nonce: u64,
    nominee: C,
    id: Id,
    /// Who wants to know, and where.
    appointer: Id,
    asked_by: C,
    session: u64,
    since: Instant,
}

impl<C: Contact, S: Identity> FastTrack<C, S> {
    // --- Vouchers ---

    pub(super) fn on_receipt(
        &mut self,
        from: C,
        session: u64,
        uploader: C,
        receipt: Receipt,
        cx: &mut Cx<'_, Self>,
    ) {
        let (now, network) = (cx.now(), self.network(from));
        let Role::Supernode(supernode) = &mut self.role else { return };
        let Some(leaf) = supernode.leaf(from, session, now) else { return };
        let known = now.since(leaf.since) >= self.config.vouch_after;
        if !known || receipt.downloader != leaf.id || leaf.asked >= self.config.searches_per_tick {
            return;
        }
        leaf.asked += 1;
        if receipt.is_right::<S>() {
            let voucher = Box::new(Voucher::sign(&self.identity, receipt, network));
            if uploader == self.me {
                self.on_voucher(*voucher);
            } else {
                cx.send(uploader, Message::Voucher(voucher));
            }
        }
    }

    pub(super) fn on_stand(
        &mut self,
        from: C,
        session: u64,
        vouchers: Box<[Voucher]>,
        cx: &mut Cx<'_, Self>,
    ) {
        let here = self.identity.id();
        let Role::Supernode(supernode) = &mut self.role else { return };
        let Some(leaf) = supernode.leaf(from, session, cx.now()) else { return };
        if leaf.asked >= self.config.searches_per_tick {
            return;
        }
        leaf.asked += 1;
        let id = leaf.id;
        let believed = |voucher: &Voucher| {
            self.config.has(Fault::BelieveClaims)
                || voucher.receipt.uploader == id
                    && (voucher.supernode == here || supernode.knows(&voucher.supernode))
                    && voucher.is_right::<S>()
        };
        let vouchers: Vec<_> = vouchers.into_iter().take(VOUCHERS_MAX).filter(believed).collect();
        if let Some(leaf) = supernode.leaves.get_mut(&from) {
            leaf.vouchers = vouchers.into();
        }
    }

    // --- Elections ---

    /// Calls or nominates somebody, if there is a need.
    pub(super) fn elect(&mut self, cx: &mut Cx<'_, Self>) {
        let (now, config) = (cx.now(), &*self.config);
        let Role::Supernode(supernode) = &mut self.role else { return };
        supernode.probes.retain(|probe| !is_silent(config, now, probe.since));
        if let Some(nomination) = &supernode.nomination
            && is_silent(config, now, nomination.since)
        {
            // It was not reached, or the witnesses are gone.
            if let Some(leaf) = supernode.leaves.get_mut(&nomination.nominee) {
                leaf.passed_over = now + config.lonely;
            }
            supernode.nomination = None;
        }
        if supernode.leaves.len() > config.leaves_high {
            let reserve = supernode.leaves.iter_mut();
            let next = reserve
                .filter(|(_, leaf)| leaf.mandate.is_some() && leaf.passed_over <= now)
                .min_by_key(|(_, leaf)| leaf.since);
            if let Some((contact, leaf)) = next
                && let Some(mandate) = leaf.mandate.clone()
            {
                leaf.passed_over = now + config.silence;
                supernode.appointed.retain(|id| *id != leaf.id);
                if supernode.appointed.len() >= APPOINTEES_MAX {
                    supernode.appointed.remove(0);
                }
                supernode.appointed.push(leaf.id);
                let session = leaf.session;
                cx.send(*contact, Message::Appoint { session, now: true, mandate });
            }
        }
        let reserve = supernode.leaves.values().filter(|leaf| leaf.mandate.is_some()).count();
        if reserve < config.reserve && supernode.nomination.is_none() {
            self.nominate(cx);
        }
    }

    fn nominate(&mut self, cx: &mut Cx<'_, Self>) {
        let (now, config) = (cx.now(), &*self.config);
        let Role::Supernode(supernode) = &mut self.role else { return };
        let fit = supernode.leaves.iter().filter_map(|(contact, leaf)| {
            let network = (config.network)(contact.host());
            let networks = match config.has(Fault::CountAccomplices) {
                true => leaf.vouchers.len(),
                false => distinct(leaf.id, network, &leaf.vouchers),
            };
            let uptime = now.since(leaf.since);
            let standing = Standing { uptime, networks, rate: rate(&leaf.vouchers) };
            let considered = leaf.mandate.is_none() && leaf.passed_over <= now;
            (considered && standing.is_fit(&config.bar)).then(|| (standing.score(), *contact))
        });
        let Some((_, nominee)) = fit.max() else { return };
        let Some(id) = supernode.leaves.get(&nominee).map(|leaf| leaf.id) else { return };
        let witnesses = witnesses(supernode, nominee, config.bar.witnesses, cx);
        if witnesses.len() < config.bar.witnesses {
            return;
        }
        let appointer = self.identity.id();
        for (witness, session) in &witnesses {
            cx.send(*witness, Message::Nominate { session: *session, nominee, id, appointer });
        }
        let witnesses = witnesses.into_iter().map(|(witness, _)| witness).collect();
        let testimonies = Vec::new();
        supernode.nomination = Some(Nomination { nominee, id, witnesses, testimonies, since: now });
    }

    pub(super) fn on_nominate(
        &mut self,
        from: C,
        session: u64,
        nominee: C,
        id: Id,
        appointer: Id,
        cx: &mut Cx<'_, Self>,
    ) {
        let now = cx.now();
        let nonce = self.token(b"probe", nominee, now.as_nanos());
        let probe = Probe { nonce, nominee, id, appointer, asked_by: from, session, since: now };
        if self.hear_supernode(from, session, now) {
            self.probe = Some(Box::new(probe));
        } else {
            let Role::Supernode(supernode) = &mut self.role else { return };
            if supernode.link(from, session, now).is_none() || supernode.probes.len() >= PROBES_MAX
            {
                return;
            }
            supernode.probes.push(probe);
        }
        cx.send(nominee, Message::Probe { nonce });
    }

    pub(super) fn on_probed(&mut self, from: C, nonce: u64, cx: &mut Cx<'_, Self>) {
        let is_it = |probe: &Probe<C>| probe.nonce == nonce && probe.nominee == from;
        let probe = match &mut self.role {
            Role::Leaf(_) => self.probe.take_if(|probe| is_it(probe)).map(|probe| *probe),
            Role::Supernode(supernode) => {
                let at = supernode.probes.iter().position(is_it);
                at.map(|at| supernode.probes.swap_remove(at))
            }
            _ => None,
        };
        let Some(Probe { id, appointer, asked_by, session, .. }) = probe else { return };
        let signature = self.identity.sign(&reach_text(&id, &appointer));
        let testimony = Testimony { witness: self.identity.id(), signature };
        cx.send(asked_by, Message::Testify { session, id, testimony });
    }

    pub(super) fn on_testify(
        &mut self,
        from: C,
        session: u64,
        id: Id,
        testimony: Testimony,
        cx: &mut Cx<'_, Self>,
    ) {
        let (now, here) = (cx.now(), self.identity.id());
        let Role::Supernode(supernode) = &mut self.role else { return };
        let leaf = supernode.leaf(from, session, now).map(|leaf| leaf.id);
        let witness = leaf.or_else(|| supernode.link(from, session, now).map(|link| link.id));
        let Supernode { nomination: running, leaves, .. } = &mut **supernode;
        let Some(nomination) = running else { return };
        if nomination.id != id
            || witness != Some(testimony.witness)
            || !nomination.witnesses.contains(&from)
            || !S::verify(&testimony.witness, &reach_text(&id, &here), &testimony.signature)
            || nomination.testimonies.iter().any(|other| other.witness == testimony.witness)
        {
            return;
        }
        nomination.testimonies.push(testimony);
        if nomination.testimonies.len() < self.config.bar.witnesses {
            return;
        }
        let Some(Nomination { nominee, testimonies, .. }) = running.take() else { return };
        let Some(leaf) = leaves.get_mut(&nominee).filter(|leaf| leaf.id == id) else { return };
        let vouchers = leaf.vouchers.clone();
        let mandate = Mandate::sign(&self.identity, id, vouchers, testimonies.into());
        let mandate = Box::new(mandate);
        leaf.mandate = Some(mandate.clone());
        let session = leaf.session;
        cx.send(nominee, Message::Appoint { session, now: false, mandate });
    }

    /// Sends leaves to a supernode that was appointed for them.
    pub(super) fn hand_over_leaves(&mut self, to: C, id: Id, cx: &mut Cx<'_, Self>) {
        let Role::Supernode(supernode) = &mut self.role else { return };
        let called = supernode.appointed.len();
        supernode.appointed.retain(|appointed| *appointed != id);
        if supernode.appointed.len() == called {
            return;
        }
        // Those with a mandate stay in reserve.
        let mut leaves: Vec<_> = supernode
            .leaves
            .iter()
            .filter(|(_, leaf)| leaf.mandate.is_none())
            .map(|(contact, leaf)| (*contact, leaf.session))
            .collect();
        cx.rng().shuffle(&mut leaves);
        leaves.truncate(supernode.leaves.len() / 2);
        for (leaf, session) in leaves {
            cx.send(leaf, Message::Redirect { session, to });
        }
    }
}

/// Who is to reach `nominee`: other supernodes, and leaves of other networks if there are too few.
fn witnesses<C: Contact, S: Identity>(
    supernode: &Supernode<C>,
    nominee: C,
    count: usize,
    cx: &mut Cx<'_, FastTrack<C, S>>,
) -> Vec<(C, u64)> {
    let mut witnesses: Vec<_> =
        supernode.links.iter().map(|(contact, link)| (*contact, link.session)).collect();
    cx.rng().shuffle(&mut witnesses);
    witnesses.truncate(count);
    if witnesses.len() < count {
        let leaves = supernode.leaves.iter().filter(|(leaf, _)| leaf.host() != nominee.host());
        let mut leaves: Vec<_> = leaves.map(|(leaf, record)| (*leaf, record.session)).collect();
        cx.rng().shuffle(&mut leaves);
        leaves.truncate(count - witnesses.len());
        witnesses.extend(leaves);
    }
    witnesses
}
