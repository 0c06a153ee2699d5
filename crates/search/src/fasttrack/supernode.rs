//! A supernode: its leaves and their directory, its links to other supernodes, and how it comes to
//! be one and ceases to.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use machine::{Contact, Cx, Instant, Rng};

use super::config::{APPOINTEES_MAX, Config, FILES_PER_BATCH, Fault, KNOWN_MAX, OTHERS_MAX};
use super::directory::Directory;
use super::election::{Nomination, Probe};
use super::file::File;
use super::flood::Queries;
use super::identity::{Id, Identity, Signature};
use super::reputation::{Mandate, Voucher};
use super::{Event, FastTrack, Message, Role, is_silent};

/// Supernodes that are being asked for a link at once.
const DIALS_MAX: usize = 4;
/// Supernodes that were lost and are looked for.
const LOST_MAX: usize = 8;
/// Unanswered questions after which a supernode that one only heard of is not asked again.
const MISSES_MAX: u8 = 3;

/// What a supernode knows of a leaf.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) id: Id,
    pub(super) session: u64,
    /// Since when it has been here without a break.
    pub(super) since: Instant,
    pub(super) heard: Instant,
    /// Over what it has published.
    digest: u64,
    /// What it is publishing, and the batch that comes next.
    round: u32,
    next_batch: u16,
    files: u32,
    /// Searches and receipts since the last round of upkeep.
    pub(super) asked: u16,
    /// Calls that were asked of it since then.
    pub(super) called: u16,
    pub(super) vouchers: Box<[Voucher]>,
    pub(super) mandate: Option<Box<Mandate>>,
    /// Until when it is not considered for anything.
    pub(super) passed_over: Instant,
}

/// What a supernode knows of a neighbour.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) id: Id,
    pub(super) session: u64,
    since: Instant,
    heard: Instant,
    pub(super) leaves: u16,
    /// Queries since the last round of upkeep.
    pub(super) asked: u16,
    appointer: Option<Id>,
}

/// A supernode that one has heard of.
#[derive(Clone, Debug)]
struct Known<C> {
    contact: C,
    id: Id,
    misses: u8,
}

#[derive(Clone, Debug)]
pub(super) struct Supernode<C> {
    pub(super) leaves: BTreeMap<C, Record>,
    pub(super) links: BTreeMap<C, Link>,
    pub(super) directory: Directory<C>,
    pub(super) queries: Queries<C>,
    known: Vec<Known<C>>,
    lost: Vec<C>,
    dials: Vec<(C, Instant)>,
    pub(super) nomination: Option<Nomination<C>>,
    pub(super) probes: Vec<Probe<C>>,
    /// Who was appointed at once, and will take leaves over.
    pub(super) appointed: Vec<Id>,
    /// Since when there have been too few leaves.
    lonely: Option<Instant>,
}

impl<C: Contact> Supernode<C> {
    pub(super) fn new() -> Self {
        Self {
            leaves: BTreeMap::new(),
            links: BTreeMap::new(),
            directory: Directory::new(),
            queries: Queries::new(),
            known: Vec::new(),
            lost: Vec::new(),
            dials: Vec::new(),
            nomination: None,
            probes: Vec::new(),
            appointed: Vec::new(),
            lonely: None,
        }
    }

    pub(super) fn memory(&self) -> usize {
        self.leaves.len() * size_of::<(C, Record)>()
            + self.links.len() * size_of::<(C, Link)>()
            + self.directory.memory()
            + self.queries.memory()
            + self.known.capacity() * size_of::<Known<C>>()
    }

    /// Whom a leaf can ask when this supernode is gone: those with a mandate in reserve, and
    /// neighbours.
    pub(super) fn others(&self, but: Option<C>, rng: &mut Rng) -> Box<[C]> {
        let reserve = self.leaves.iter().filter(|(_, leaf)| leaf.mandate.is_some());
        let mut others: Vec<_> =
            reserve.map(|(contact, _)| *contact).take(OTHERS_MAX / 2).collect();
        let mut links: Vec<_> = self.links.keys().copied().collect();
        rng.shuffle(&mut links);
        others.extend(links);
        others.retain(|other| Some(*other) != but);
        others.truncate(OTHERS_MAX);
        others.into()
    }

    /// Some supernodes, for another.
    fn gossip(&self, but: C, rng: &mut Rng) -> Box<[(C, Id)]> {
        let mut others: Vec<_> =
            self.links.iter().map(|(contact, link)| (*contact, link.id)).collect();
        others.retain(|(contact, _)| *contact != but);
        rng.shuffle(&mut others);
        others.truncate(OTHERS_MAX / 2);
        others.into()
    }

    pub(super) fn learn(&mut self, me: C, others: &[(C, Id)], rng: &mut Rng) {
        for (contact, id) in others.iter().take(OTHERS_MAX) {
            if *contact == me || self.known.iter().any(|known| known.contact == *contact) {
                continue;
            }
            let new = Known { contact: *contact, id: *id, misses: 0 };
            if self.known.len() < KNOWN_MAX {
                self.known.push(new);
            } else {
                let at = rng.below(KNOWN_MAX as u64) as usize;
                self.known[at] = new;
            }
        }
    }

    /// Whether a supernode of this name has been heard of.
    pub(super) fn knows(&self, id: &Id) -> bool {
        self.links.values().any(|link| link.id == *id)
            || self.known.iter().any(|known| known.id == *id)
    }

    pub(super) fn has_room_for_links(&self, config: &Config<C>) -> bool {
        self.links.len() < config.degree_max
    }

    /// Takes a leaf in; its session, unless there is no room.
    pub(super) fn admit(
        &mut self,
        from: C,
        id: Id,
        session: u64,
        config: &Config<C>,
        now: Instant,
    ) -> Option<u64> {
        if let Some(leaf) = self.leaves.get(&from)
            && leaf.id == id
            && !is_silent(config, now, leaf.since)
        {
            // The welcome was lost.
            return Some(leaf.session);
        }
        self.drop_leaf(from);
        if self.leaves.len() >= config.leaves_max && !config.has(Fault::NoBounds) {
            return None;
        }
        let record = Record {
            id,
            session,
            since: now,
            heard: now,
            digest: 0,
            round: 0,
            next_batch: 0,
            files: 0,
            asked: 0,
            called: 0,
            vouchers: Box::default(),
            mandate: None,
            passed_over: now,
        };
        self.leaves.insert(from, record);
        Some(session)
    }

    fn drop_leaf(&mut self, leaf: C) {
        if self.leaves.remove(&leaf).is_some_and(|record| record.files > 0) {
            self.directory.remove(leaf);
        }
    }

    /// The leaf that speaks, if it is one.
    pub(super) fn leaf(&mut self, from: C, session: u64, now: Instant) -> Option<&mut Record> {
        let leaf = self.leaves.get_mut(&from).filter(|leaf| leaf.session == session)?;
        leaf.heard = now;
        Some(leaf)
    }

    /// The neighbour that speaks, if it is one.
    pub(super) fn link(&mut self, from: C, session: u64, now: Instant) -> Option<&mut Link> {
        let link = self.links.get_mut(&from).filter(|link| link.session == session)?;
        link.heard = now;
        Some(link)
    }

    /// `from` has said that it is no supernode.
    pub(super) fn is_none(&mut self, from: C) {
        let dialed = self.dials.len();
        self.dials.retain(|(to, _)| *to != from);
        if self.dials.len() < dialed {
            self.lost.retain(|lost| *lost != from);
            self.known.retain(|known| known.contact != from);
        }
    }

    fn lose_link(&mut self, from: C) {
        self.links.remove(&from);
        self.lost.retain(|lost| *lost != from);
        if self.lost.len() >= LOST_MAX {
            self.lost.remove(0);
        }
        self.lost.push(from);
    }

    /// The neighbour with the most leaves.
    fn greatest(&self) -> Option<(u16, C)> {
        self.links.iter().map(|(contact, link)| (link.leaves, *contact)).max()
    }

    /// Sends leaves on and takes leave of neighbours.
    pub(super) fn say_goodbye<S: Identity>(&self, me: C, cx: &mut Cx<'_, FastTrack<C, S>>) {
        if let Some((_, to)) = self.greatest() {
            for (leaf, Record { session, .. }) in
                self.leaves.iter().filter(|(leaf, _)| **leaf != me)
            {
                cx.send(*leaf, Message::Redirect { session: *session, to });
            }
        } else {
            for (leaf, Record { session, .. }) in &self.leaves {
                cx.send(*leaf, Message::Bye { session: *session });
            }
        }
        for (to, Link { session, .. }) in &self.links {
            cx.send(*to, Message::Bye { session: *session });
        }
    }
}

impl<C: Contact, S: Identity> FastTrack<C, S> {
    pub(super) fn become_supernode(&mut self, named: &[C], cx: &mut Cx<'_, Self>) {
        let mut supernode = Box::new(Supernode::new());
        let first = named.iter().chain(&self.known).copied().filter(|node| *node != self.me);
        supernode.lost = first.take(LOST_MAX).collect();
        self.role = Role::Supernode(supernode);
        self.share_here();
        self.dial_some(cx);
        cx.emit(Event::Elected);
        self.joined(self.me, cx);
        self.ask_again(cx);
    }

    /// Puts the supernode's own files into its directory.
    pub(super) fn share_here(&mut self) {
        let Role::Supernode(supernode) = &mut self.role else { return };
        supernode.directory.remove(self.me);
        let room = self.config.files_max.saturating_sub(supernode.directory.len());
        for file in self.user.library.iter().take(room) {
            supernode.directory.add(self.me, file.clone());
        }
    }

    fn step_down(&mut self, to: C, cx: &mut Cx<'_, Self>) {
        let Role::Supernode(supernode) = core::mem::replace(&mut self.role, Role::Out) else {
            return;
        };
        supernode.say_goodbye(self.me, cx);
        cx.emit(Event::Demoted);
        let links: Vec<_> = supernode.links.keys().copied().take(OTHERS_MAX).collect();
        self.seek(alloc::vec![to], links.into(), None, cx);
    }

    pub(super) fn supernode_tick(&mut self, cx: &mut Cx<'_, Self>) {
        let Role::Supernode(supernode) = &mut self.role else { return };
        let (config, now) = (&*self.config, cx.now());
        let gone = |heard| is_silent(config, now, heard);
        let silent: Vec<_> = supernode
            .leaves
            .iter()
            .filter(|(_, leaf)| gone(leaf.heard))
            .map(|(contact, _)| *contact)
            .collect();
        for leaf in silent {
            if config.has(Fault::KeepGone) {
                supernode.leaves.remove(&leaf);
            } else {
                supernode.drop_leaf(leaf);
            }
        }
        let silent: Vec<_> = supernode
            .links
            .iter()
            .filter(|(_, link)| gone(link.heard))
            .map(|(contact, _)| *contact)
            .collect();
        silent.into_iter().for_each(|link| supernode.lose_link(link));
        supernode.leaves.values_mut().for_each(|leaf| (leaf.asked, leaf.called) = (0, 0));
        let leaves = u16::try_from(supernode.leaves.len()).unwrap_or(u16::MAX);
        let to: Vec<_> =
            supernode.links.iter().map(|(contact, link)| (*contact, link.session)).collect();
        for (to, session) in to {
            let others = supernode.gossip(to, cx.rng());
            cx.send(to, Message::Beat { session, leaves, others });
        }
        supernode.links.values_mut().for_each(|link| link.asked = 0);
        // Others take the leaves, but never each of two those of the other.
        let greater = supernode.greatest().filter(|greatest| *greatest > (leaves, self.me));
        match greater {
            Some((_, to)) if usize::from(leaves) < config.leaves_low && !self.serves => {
                let since = *supernode.lonely.get_or_insert(now);
                if now.since(since) > config.lonely {
                    return self.step_down(to, cx);
                }
            }
            _ => supernode.lonely = None,
        }
        self.dial_some(cx);
        self.elect(cx);
    }

    // --- Links ---

    /// Asks supernodes for links: lost ones, and others while there are too few.
    fn dial_some(&mut self, cx: &mut Cx<'_, Self>) {
        let Role::Supernode(supernode) = &mut self.role else { return };
        let (now, config) = (cx.now(), &*self.config);
        let patience = config.timeout * u32::from(config.attempts);
        for (to, _) in supernode.dials.extract_if(.., |(_, since)| now.since(*since) > patience) {
            if let Some(known) = supernode.known.iter_mut().find(|known| known.contact == to) {
                known.misses = known.misses.saturating_add(1);
            }
        }
        let mut next = Vec::new();
        if !supernode.lost.is_empty() && !config.has(Fault::NoMerge) {
            // In turn, for as long as there is nobody more lately lost.
            supernode.lost.rotate_left(1);
            next.extend(supernode.lost.last());
        }
        if supernode.links.len() < config.degree {
            let known: Vec<_> = supernode
                .known
                .iter()
                .filter(|known| known.misses < MISSES_MAX)
                .map(|known| known.contact)
                .collect();
            next.extend((0..2).filter_map(|_| cx.rng().pick(&known).copied()));
            if supernode.links.is_empty() && !config.has(Fault::NoMerge) {
                next.extend(cx.rng().pick(&self.known).copied());
            }
        }
        for to in next {
            let dialed = supernode.dials.iter().any(|(other, _)| *other == to);
            if to == self.me
                || dialed
                || supernode.links.contains_key(&to)
                || supernode.dials.len() >= DIALS_MAX
            {
                continue;
            }
            supernode.dials.push((to, now));
            cx.send(to, Message::Hello);
        }
    }

    pub(super) fn answer_cookie(&self, from: C, cookie: u64, to: Id, cx: &mut Cx<'_, Self>) {
        let Role::Supernode(supernode) = &self.role else { return };
        if supernode.dials.iter().any(|(dialed, _)| *dialed == from) {
            let signature = self.identity.sign(&link_text(cookie, &to));
            let (id, mandate) = (self.identity.id(), self.mandate.clone());
            cx.send(from, Message::Link { id, cookie, signature, mandate });
        }
    }

    pub(super) fn on_link(
        &mut self,
        from: C,
        id: Id,
        cookie: u64,
        signature: &Signature,
        mandate: Option<&Mandate>,
        cx: &mut Cx<'_, Self>,
    ) {
        let here = self.identity.id();
        if cookie != self.cookie(from)
            || id == here
            || !S::verify(&id, &link_text(cookie, &here), signature)
        {
            return;
        }
        let session = self.token(b"link", from, cx.now().as_nanos());
        let network = self.network(from);
        let Role::Supernode(supernode) = &mut self.role else { return };
        let mandate = mandate.filter(|mandate| mandate.nominee == id);
        let trusted = supernode.knows(&id)
            || self.known.contains(&from)
            || mandate.is_some_and(|mandate| {
                let appointer = &mandate.appointer;
                let theirs =
                    supernode.links.values().filter(|link| link.appointer == Some(*appointer));
                theirs.count() < APPOINTEES_MAX
                    && (*appointer == here || supernode.knows(appointer))
                    && (self.config.has(Fault::BelieveClaims)
                        || mandate.is_right::<S>(network, &self.config.bar))
            });
        let others = supernode.gossip(from, cx.rng());
        let full =
            !supernode.links.contains_key(&from) && !supernode.has_room_for_links(&self.config);
        if !trusted || full {
            let others = others.iter().map(|(contact, _)| *contact).collect();
            cx.send(from, Message::Elsewhere { others });
            return;
        }
        // It was a leaf before.
        supernode.drop_leaf(from);
        let appointer = mandate.map(|mandate| mandate.appointer);
        self.insert_link(from, id, session, appointer, cx);
        cx.send(from, Message::Linked { session, id: here, others });
        self.hand_over_leaves(from, id, cx);
    }

    pub(super) fn on_linked(
        &mut self,
        from: C,
        session: u64,
        id: Id,
        others: &[(C, Id)],
        cx: &mut Cx<'_, Self>,
    ) {
        let Role::Supernode(supernode) = &mut self.role else { return };
        let dials = supernode.dials.len();
        supernode.dials.retain(|(dialed, _)| *dialed != from);
        if supernode.dials.len() == dials {
            return;
        }
        supernode.learn(self.me, others, cx.rng());
        // Both may have asked each other at once: both keep the greater name.
        let both = supernode
            .links
            .get(&from)
            .filter(|link| !is_silent(&self.config, cx.now(), link.since))
            .map(|link| link.session);
        self.insert_link(from, id, both.map_or(session, |other| session.max(other)), None, cx);
    }

    fn insert_link(
        &mut self,
        from: C,
        id: Id,
        session: u64,
        appointer: Option<Id>,
        cx: &mut Cx<'_, Self>,
    ) {
        let Role::Supernode(supernode) = &mut self.role else { return };
        supernode.learn(self.me, &[(from, id)], cx.rng());
        if let Some(known) = supernode.known.iter_mut().find(|known| known.contact == from) {
            (known.id, known.misses) = (id, 0);
        }
        supernode.lost.retain(|lost| *lost != from);
        let now = cx.now();
        let link = Link { id, session, since: now, heard: now, leaves: 0, asked: 0, appointer };
        supernode.links.insert(from, link);
    }

    pub(super) fn on_beat(
        &mut self,
        from: C,
        session: u64,
        leaves: u16,
        others: &[(C, Id)],
        cx: &mut Cx<'_, Self>,
    ) {
        let Role::Supernode(supernode) = &mut self.role else { return };
        if let Some(link) = supernode.link(from, session, cx.now()) {
            link.leaves = leaves;
            supernode.learn(self.me, others, cx.rng());
        }
    }

    pub(super) fn on_bye(&mut self, from: C, session: u64, cx: &mut Cx<'_, Self>) {
        match &mut self.role {
            Role::Leaf(leaf) if leaf.supernode == from && leaf.session == session => {
                let named = core::mem::take(&mut leaf.others);
                cx.emit(Event::Lost);
                self.seek(Vec::new(), named, None, cx);
            }
            Role::Supernode(supernode) => {
                if supernode.leaf(from, session, cx.now()).is_some() {
                    supernode.drop_leaf(from);
                } else if supernode.link(from, session, cx.now()).is_some() {
                    supernode.links.remove(&from);
                }
            }
            _ => {}
        }
    }

    // --- Leaves ---

    pub(super) fn on_alive(
        &mut self,
        from: C,
        session: u64,
        digest: u64,
        mandated: bool,
        cx: &mut Cx<'_, Self>,
    ) {
        let Role::Supernode(supernode) = &mut self.role else { return };
        let others = supernode.others(Some(from), cx.rng());
        let Some(leaf) = supernode.leaf(from, session, cx.now()) else { return };
        let in_sync = leaf.digest == digest;
        cx.send(from, Message::Well { session, in_sync, others });
        if !mandated && let Some(mandate) = leaf.mandate.clone() {
            cx.send(from, Message::Appoint { session, now: false, mandate });
        }
    }

    pub(super) fn on_publish(
        &mut self,
        from: C,
        session: u64,
        round: u32,
        batch: u16,
        files: &[Arc<File>],
        cx: &mut Cx<'_, Self>,
    ) {
        let Role::Supernode(supernode) = &mut self.role else { return };
        let now = cx.now();
        let Supernode { leaves, directory, .. } = &mut **supernode;
        let Some(leaf) = leaves.get_mut(&from).filter(|leaf| leaf.session == session) else {
            return;
        };
        leaf.heard = now;
        let again = leaf.next_batch > 0 && leaf.round == round;
        if batch == 0 && !again {
            directory.remove(from);
            (leaf.round, leaf.next_batch, leaf.files, leaf.digest) = (round, 0, 0, 0);
        }
        if leaf.round != round || batch > leaf.next_batch {
            return;
        }
        if batch == leaf.next_batch {
            leaf.next_batch = leaf.next_batch.saturating_add(1);
            // What there is no room for counts as published, or it would be published for ever.
            leaf.digest = leaf.digest.wrapping_add(super::user::digest(files));
            for file in files.iter().take(FILES_PER_BATCH) {
                let room = directory.len() < self.config.files_max
                    && (leaf.files as usize) < self.config.files_per_leaf;
                if room || self.config.has(Fault::NoBounds) {
                    directory.add(from, file.clone());
                    leaf.files += 1;
                }
            }
        }
        cx.send(from, Message::Kept { session, round, batch });
    }
}

/// What a supernode signs to link to another.
fn link_text(cookie: u64, to: &Id) -> Vec<u8> {
    let mut text = b"shoal fasttrack link\0".to_vec();
    text.extend(cookie.to_be_bytes());
    text.extend(to.0);
    text
}
