//! The iterative lookup (Kademlia, section 2.3) as an iterator: it says whom to ask next and is
//! told how that went. Several disjoint paths are S/Kademlia's (Baumgart and Mies 2007, section
//! 4.4). What is asked, and what waits for the answer, is the caller's.

use alloc::vec::Vec;

use machine::Near;
use machine::dht::{Contact, Key};

use super::config::Config;

/// Most disjoint paths.
pub const PATHS_MAX: usize = 8;

/// Nodes that are compared at once with those that are known.
const AT_ONCE: usize = 4;
/// Nodes that are taken among the candidates at once.
const MERGED: usize = 20;
/// So few are taken one by one.
const FEW: usize = 2;

/// The shape of a lookup.
#[derive(Clone, Copy, Debug)]
pub struct Shape<C> {
    /// Nodes to find: k.
    pub k: usize,
    /// Requests under way at once on all paths together: α.
    pub alpha: usize,
    /// Disjoint paths.
    pub paths: usize,
    /// Nodes of one subnet to consider at once.
    pub subnet_max: usize,
    /// The subnet of a contact, if the limit concerns it.
    pub subnet: fn(&C) -> Option<u64>,
}

impl<C> From<&Config<C>> for Shape<C> {
    fn from(config: &Config<C>) -> Self {
        let Config { k, alpha, paths, subnet_in_lookup, subnet, .. } = *config;
        Self { k, alpha, paths, subnet_max: subnet_in_lookup, subnet }
    }
}

impl<C> Shape<C> {
    /// Nodes that are remembered at once.
    fn candidates(&self) -> usize {
        self.k.saturating_mul(2).saturating_mul(self.paths)
    }
}

/// What a lookup needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<C> {
    /// Ask this node.
    Ask(C),
    /// Wait for an answer.
    Wait,
    /// Nothing: [`Lookup::closest`] is the result.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    /// Asked a while ago, or just now.
    Waiting {
        slow: bool,
    },
    Answered,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    state: State,
    path: u8,
    /// Nodes on the chain of referrals that led to it, itself included.
    hops: u8,
}

/// A lookup under way.
#[derive(Clone, Debug)]
pub struct Lookup<C> {
    target: Key,
    own: C,
    /// The distance of `own`.
    own_distance: u64,
    shape: Shape<C>,
    /// In the order of distance, by its front: enough to order all but twins.
    contacts: Vec<C>,
    /// What there is to know of each. Not beside it: most nodes that are named are known, and
    /// contacts that lie together are compared many at a time. Distances are not kept: to compute
    /// a few takes less than to fetch all, where thousands of lookups are under way.
    candidates: Vec<Candidate>,
    /// Those that did not answer, not to be considered again.
    dead: Vec<C>,
    /// Nodes to begin with whose ids may not be known, not asked yet.
    strangers: Vec<C>,
    /// Requests that one path may have under way.
    share: u8,
    /// Requests under way, slow ones not counted, on each path.
    under_way: [u8; PATHS_MAX],
}

impl<C: Contact> Lookup<C> {
    /// A lookup by the node `own`, which begins with `known` nodes.
    pub fn new(target: Key, own: C, known: &[C], shape: Shape<C>) -> Self {
        let paths = shape.paths.clamp(1, PATHS_MAX);
        let shape = Shape { paths, ..shape };
        let room = shape.candidates().saturating_add(MERGED);
        let mut lookup = Self {
            target,
            own,
            own_distance: distance(&target, &own),
            shape,
            contacts: Vec::with_capacity(room),
            candidates: Vec::with_capacity(room),
            dead: Vec::new(),
            strangers: Vec::new(),
            share: shape.alpha.div_ceil(paths).clamp(1, 255) as u8,
            under_way: [0; PATHS_MAX],
        };
        let turn = if paths == 1 { MERGED } else { 1 };
        for (at, some) in known.chunks(turn).enumerate() {
            lookup.consider(some, (at % paths) as u8, 1);
        }
        lookup
    }

    /// Asks these nodes before all others, whatever their ids; the last one first.
    pub fn ask_first(&mut self, strangers: Vec<C>) {
        self.strangers = strangers;
    }

    /// What is looked up.
    #[must_use]
    pub fn target(&self) -> &Key {
        &self.target
    }

    /// What to do next.
    pub fn next_step(&mut self) -> Step<C> {
        while self.under_way[0] < self.share
            && let Some(contact) = self.strangers.pop()
        {
            // Somebody may have named it meanwhile.
            if self.knows(&contact) || self.dead.contains(&contact) {
                continue;
            }
            self.under_way[0] += 1;
            self.insert(contact, State::Waiting { slow: false }, 0, 1);
            return Step::Ask(contact);
        }
        if self.shape.paths == 1 { self.next_of_one_path() } else { self.next_of_many_paths() }
    }

    fn next_of_one_path(&mut self) -> Step<C> {
        let may_ask = self.under_way[0] < self.share;
        let mut waits = false;
        for (at, candidate) in self.candidates.iter_mut().take(self.shape.k).enumerate() {
            match candidate.state {
                State::Answered => {}
                State::New if may_ask => {
                    candidate.state = State::Waiting { slow: false };
                    self.under_way[0] += 1;
                    return Step::Ask(self.contacts[at]);
                }
                _ if may_ask => waits = true,
                _ => return Step::Wait,
            }
        }
        if waits { Step::Wait } else { Step::Done }
    }

    fn next_of_many_paths(&mut self) -> Step<C> {
        let mut waits = false;
        let mut seen = [0; PATHS_MAX];
        let mut full = 0;
        for (at, candidate) in self.candidates.iter_mut().enumerate() {
            let path = usize::from(candidate.path);
            if seen[path] == self.shape.k {
                continue;
            }
            seen[path] += 1;
            match candidate.state {
                State::Answered => {}
                State::Waiting { .. } => waits = true,
                State::New if self.under_way[path] >= self.share => waits = true,
                State::New => {
                    candidate.state = State::Waiting { slow: false };
                    self.under_way[path] += 1;
                    return Step::Ask(self.contacts[at]);
                }
            }
            full += usize::from(seen[path] == self.shape.k);
            if full == self.shape.paths {
                break;
            }
        }
        if waits { Step::Wait } else { Step::Done }
    }

    /// `asked` answered as `contact`, which may carry another id, and named `nodes`.
    pub fn on_success(&mut self, asked: &C, contact: &C, nodes: &[C]) {
        let Some(at) = self.find(asked) else { return };
        let Candidate { path, hops, .. } = self.candidates[at];
        self.settle(at);
        if C::IS_KEY_FIXED || contact.key() == asked.key() {
            self.candidates[at].state = State::Answered;
            self.contacts[at] = *contact;
        } else {
            // It is not where we took it to be: its place is elsewhere.
            self.remove(at);
            self.insert(*contact, State::Answered, path, hops);
        }
        self.consider(nodes, path, hops.saturating_add(1));
    }

    /// `asked` did not answer.
    pub fn on_failure(&mut self, asked: &C) {
        if let Some(at) = self.find(asked) {
            self.settle(at);
            self.remove(at);
        }
        self.dead.push(*asked);
    }

    /// `asked` takes long to answer: another may be asked meanwhile.
    pub fn on_slow(&mut self, asked: &C) {
        if let Some(at) = self.find(asked) {
            self.settle(at);
            if let State::Waiting { slow } = &mut self.candidates[at].state {
                *slow = true;
            }
        }
    }

    /// Nodes that answered, the closest first, up to k of them.
    pub fn closest(&self) -> impl Iterator<Item = C> {
        self.answered().map(|(contact, _)| *contact)
    }

    /// The longest chain of referrals to one of the nodes that were found.
    #[must_use]
    pub fn hops(&self) -> u16 {
        self.answered().map(|(_, candidate)| candidate.hops.into()).max().unwrap_or(0)
    }

    fn answered(&self) -> impl Iterator<Item = (&C, &Candidate)> {
        let all = self.contacts.iter().zip(&self.candidates);
        all.filter(|(_, candidate)| candidate.state == State::Answered).take(self.shape.k)
    }

    /// The chain of referrals that led to `contact`; 0 if nothing did.
    #[must_use]
    pub fn hops_to(&self, contact: &C) -> u16 {
        self.find(contact).map_or(0, |at| self.candidates[at].hops.into())
    }

    /// Names the memory that the next answer will have read.
    pub(super) fn foresee(&self, near: &mut impl Near) {
        near.bring(&self.contacts);
        near.bring(&self.candidates);
    }

    fn distance(&self, contact: &C) -> u64 {
        distance(&self.target, contact)
    }

    fn knows(&self, contact: &C) -> bool {
        self.contacts.contains(contact)
    }

    /// Which of these nodes are candidates: all of them compared with all candidates at once, which
    /// is the faster the smaller contacts are.
    fn knows_of(&self, nodes: &[C]) -> [u32; AT_ONCE] {
        let mut some = [self.own; AT_ONCE];
        some.iter_mut().zip(nodes).for_each(|(place, node)| *place = *node);
        let mut known = [0; AT_ONCE];
        for candidate in &self.contacts {
            for (known, node) in known.iter_mut().zip(&some) {
                // All bits, as the processor's instruction has it.
                *known |= 0_u32.wrapping_sub(u32::from(node == candidate));
            }
        }
        known
    }

    fn find(&self, contact: &C) -> Option<usize> {
        self.contacts.iter().position(|c| c == contact)
    }

    /// How many candidates are closer than this.
    fn closer(&self, distance: u64) -> usize {
        self.contacts.partition_point(|contact| self.distance(contact) < distance)
    }

    /// Whether the farthest candidate is closer than this, or as close.
    fn is_beyond(&self, distance: u64) -> bool {
        self.contacts.last().is_some_and(|last| self.distance(last) <= distance)
    }

    fn insert(&mut self, contact: C, state: State, path: u8, hops: u8) {
        let at = self.closer(self.distance(&contact));
        self.contacts.insert(at, contact);
        self.candidates.insert(at, Candidate { state, path, hops });
    }

    fn remove(&mut self, at: usize) {
        self.contacts.remove(at);
        self.candidates.remove(at);
    }

    /// The request to a candidate is not under way any more.
    fn settle(&mut self, at: usize) {
        let candidate = &self.candidates[at];
        if candidate.state == (State::Waiting { slow: false }) {
            let under_way = &mut self.under_way[usize::from(candidate.path)];
            *under_way = under_way.saturating_sub(1);
        }
    }

    /// Takes those of `nodes` among the candidates that are none of them yet and close enough.
    fn consider(&mut self, nodes: &[C], path: u8, hops: u8) {
        for nodes in nodes.chunks(MERGED) {
            let mut fresh = [(0, self.own); MERGED];
            let mut count = 0;
            for some in nodes.chunks(AT_ONCE) {
                for (node, known) in some.iter().zip(self.knows_of(some)) {
                    let distance = self.distance(node);
                    if known == 0 && self.wants(node, distance, &fresh[..count]) {
                        fresh[count] = (distance, *node);
                        count += 1;
                    }
                }
            }
            self.merge(&mut fresh[..count], path, hops);
        }
    }

    /// Whether a node that is no candidate should be one, beside those in `fresh`.
    fn wants(&self, node: &C, distance: u64, fresh: &[(u64, C)]) -> bool {
        let is_full = self.candidates.len() >= self.shape.candidates();
        if is_full && self.is_beyond(distance)
            || *node == self.own
            || self.dead.contains(node)
            // Whoever lies may name a node twice.
            || fresh.iter().any(|(_, other)| other == node)
            || distance == self.own_distance && node.key() == self.own.key()
        {
            return false;
        }
        let Some(subnet) = (self.shape.subnet)(node) else { return true };
        let all = self.contacts.iter().chain(fresh.iter().map(|(_, contact)| contact));
        let same = all.filter(|contact| (self.shape.subnet)(contact) == Some(subnet));
        same.take(self.shape.subnet_max).count() < self.shape.subnet_max
    }

    /// Puts these where their distances belong, in one go from the far end, and drops as many from
    /// there as are too many, unless they were asked.
    fn merge(&mut self, fresh: &mut [(u64, C)], path: u8, hops: u8) {
        let new = Candidate { state: State::New, path, hops };
        let before = self.contacts.len();
        if fresh.len() <= FEW {
            fresh.iter().for_each(|(_, node)| self.insert(*node, State::New, path, hops));
        } else {
            fresh.sort_unstable_by_key(|(distance, _)| *distance);
            self.contacts.extend(fresh.iter().map(|(_, node)| node));
            self.candidates.resize(before + fresh.len(), new);
            let (mut from, mut to) = (before, before + fresh.len());
            for (distance, node) in fresh.iter().rev() {
                while let Some(at) = from.checked_sub(1)
                    && self.distance(&self.contacts[at]) >= *distance
                {
                    (from, to) = (at, to - 1);
                    self.contacts[to] = self.contacts[at];
                    self.candidates[to] = self.candidates[at];
                }
                to -= 1;
                self.contacts[to] = *node;
                self.candidates[to] = new;
            }
        }
        let too_many = self.contacts.len().saturating_sub(self.shape.candidates());
        for _ in 0..too_many.min(fresh.len()) {
            if self.candidates.last().is_some_and(|last| last.state == State::New) {
                self.contacts.pop();
                self.candidates.pop();
            }
        }
    }
}

/// The front of the distance between `target` and a contact.
fn distance<C: Contact>(target: &Key, contact: &C) -> u64 {
    (target.xor(&contact.key()).front() >> 64) as u64
}

#[cfg(test)]
mod tests;
