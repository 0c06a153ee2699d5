//! The iterative lookup (Kademlia, section 2.3) as an iterator: it says whom to ask next and is
//! told how that went. Several disjoint paths are S/Kademlia's (Baumgart and Mies 2007, section
//! 4.4). What is asked, and what waits for the answer, is the caller's.

use alloc::vec::Vec;

use machine::Near;
use machine::dht::{Contact, Key};

use super::config::Config;

/// Most disjoint paths.
pub const PATHS_MAX: usize = 8;

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
struct Candidate<C> {
    /// The front of its distance: enough to order all but twins.
    distance: u64,
    contact: C,
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
    /// In the order of distance.
    candidates: Vec<Candidate<C>>,
    /// Those that did not answer, not to be considered again.
    dead: Vec<C>,
    /// Nodes to begin with whose ids may not be known, not asked yet.
    strangers: Vec<C>,
    /// Requests under way, slow ones not counted, on each path.
    under_way: [u8; PATHS_MAX],
}

impl<C: Contact> Lookup<C> {
    /// A lookup by the node `own`, which begins with `known` nodes.
    pub fn new(target: Key, own: C, known: &[C], shape: Shape<C>) -> Self {
        let paths = shape.paths.clamp(1, PATHS_MAX);
        let shape = Shape { paths, ..shape };
        let candidates = Vec::with_capacity(2 * shape.k);
        let mut lookup = Self {
            target,
            own,
            own_distance: distance(&target, &own),
            shape,
            candidates,
            dead: Vec::new(),
            strangers: Vec::new(),
            under_way: [0; PATHS_MAX],
        };
        for (at, contact) in known.iter().enumerate() {
            lookup.consider(*contact, (at % paths) as u8, 1);
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
        while self.under_way[0] < self.share()
            && let Some(contact) = self.strangers.pop()
        {
            // Somebody may have named it meanwhile.
            if self.candidates.iter().any(|c| c.contact == contact) || self.dead.contains(&contact)
            {
                continue;
            }
            self.under_way[0] += 1;
            let distance = self.distance(&contact);
            let at = self.candidates.partition_point(|c| c.distance < distance);
            let state = State::Waiting { slow: false };
            self.candidates.insert(at, Candidate { distance, contact, state, path: 0, hops: 1 });
            return Step::Ask(contact);
        }
        let share = self.share();
        let mut waits = false;
        let mut seen = [0; PATHS_MAX];
        let mut full = 0;
        for candidate in &mut self.candidates {
            let path = usize::from(candidate.path);
            if seen[path] == self.shape.k {
                continue;
            }
            seen[path] += 1;
            match candidate.state {
                State::Answered => {}
                State::Waiting { .. } => waits = true,
                State::New if self.under_way[path] >= share => waits = true,
                State::New => {
                    candidate.state = State::Waiting { slow: false };
                    self.under_way[path] += 1;
                    return Step::Ask(candidate.contact);
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
            self.candidates[at].contact = *contact;
        } else {
            // It is not where we took it to be: its place is elsewhere.
            self.candidates.remove(at);
            let distance = self.distance(contact);
            let at = self.candidates.partition_point(|c| c.distance < distance);
            let state = State::Answered;
            let contact = *contact;
            self.candidates.insert(at, Candidate { distance, contact, state, path, hops });
        }
        for node in nodes {
            self.consider(*node, path, hops.saturating_add(1));
        }
    }

    /// `asked` did not answer.
    pub fn on_failure(&mut self, asked: &C) {
        if let Some(at) = self.find(asked) {
            self.settle(at);
            self.candidates.remove(at);
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
        let answered = self.candidates.iter().filter(|c| c.state == State::Answered);
        answered.map(|candidate| candidate.contact).take(self.shape.k)
    }

    /// The longest chain of referrals to one of the nodes that were found.
    #[must_use]
    pub fn hops(&self) -> u16 {
        let answered = self.candidates.iter().filter(|c| c.state == State::Answered);
        answered.take(self.shape.k).map(|c| c.hops.into()).max().unwrap_or(0)
    }

    /// The chain of referrals that led to `contact`; 0 if nothing did.
    #[must_use]
    pub fn hops_to(&self, contact: &C) -> u16 {
        self.find(contact).map_or(0, |at| self.candidates[at].hops.into())
    }

    /// Names the memory that the next answer will have read.
    pub(super) fn foresee(&self, near: &mut impl Near) {
        near.bring(&self.candidates);
    }

    /// Requests that one path may have under way.
    fn share(&self) -> u8 {
        self.shape.alpha.div_ceil(self.shape.paths).clamp(1, 255) as u8
    }

    fn distance(&self, contact: &C) -> u64 {
        distance(&self.target, contact)
    }

    fn find(&self, contact: &C) -> Option<usize> {
        // Nearly always where its distance says; not if it changed its id.
        let distance = self.distance(contact);
        let at = self.candidates.partition_point(|c| c.distance < distance);
        match self.candidates.get(at) {
            Some(candidate) if candidate.contact == *contact => Some(at),
            _ => self.candidates.iter().position(|c| c.contact == *contact),
        }
    }

    /// The request to a candidate is not under way any more.
    fn settle(&mut self, at: usize) {
        let candidate = &self.candidates[at];
        if candidate.state == (State::Waiting { slow: false }) {
            let under_way = &mut self.under_way[usize::from(candidate.path)];
            *under_way = under_way.saturating_sub(1);
        }
    }

    fn consider(&mut self, contact: C, path: u8, hops: u8) {
        let distance = self.distance(&contact);
        let keep = 2 * self.shape.k * self.shape.paths;
        let is_full = self.candidates.len() >= keep;
        if is_full && self.candidates.last().is_some_and(|last| last.distance <= distance) {
            return;
        }
        let at = self.candidates.partition_point(|c| c.distance < distance);
        let known = |c: &Candidate<C>| c.contact == contact;
        // Most are known already, and stand where their distance says.
        if self.candidates.get(at).is_some_and(known)
            || contact == self.own
            || !C::IS_KEY_FIXED && self.candidates.iter().any(known)
            || self.dead.contains(&contact)
            || distance == self.own_distance && contact.key() == self.own.key()
        {
            return;
        }
        if C::IS_KEY_FIXED {
            let twins = self.candidates[at..].iter().take_while(|c| c.distance == distance);
            if twins.into_iter().any(known) {
                return;
            }
        }
        if let Some(subnet) = (self.shape.subnet)(&contact) {
            let same = |c: &&Candidate<C>| (self.shape.subnet)(&c.contact) == Some(subnet);
            if self.candidates.iter().filter(same).count() >= self.shape.subnet_max {
                return;
            }
        }
        let state = State::New;
        self.candidates.insert(at, Candidate { distance, contact, state, path, hops });
        if is_full && self.candidates.last().is_some_and(|last| last.state == State::New) {
            self.candidates.pop();
        }
    }
}

/// The front of the distance between `target` and a contact.
fn distance<C: Contact>(target: &Key, contact: &C) -> u64 {
    (target.xor(&contact.key()).front() >> 64) as u64
}

#[cfg(test)]
mod tests;
