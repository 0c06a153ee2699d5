//! What hits offer, as it is fetched.

use search::gnutella::servent::Found;

use crate::http_swarm::{From, KNOWN_MAX, PROXIES_MAX, Pushed, Want};

impl From {
    /// Where a hit says that its file can be had.
    #[must_use]
    pub fn of(found: &Found) -> Self {
        let proxies = found.proxies.iter().take(PROXIES_MAX).copied().collect();
        let push = Pushed { servent: found.servent, index: found.index, proxies };
        Self { addr: found.addr, push: found.push.then_some(push) }
    }
}

impl Want {
    /// What a hit offers; `None` if it does not say its hash.
    #[must_use]
    pub fn of(found: &Found) -> Option<Self> {
        let mut want =
            Self { sha1: found.sha1?, len: found.len, tree: found.tree, sources: Vec::new() };
        want.add(found);
        Some(want)
    }

    /// Adds the source of another hit; whether it is of the same file.
    pub fn add(&mut self, found: &Found) -> bool {
        if found.sha1 != Some(self.sha1) || found.len != self.len {
            return false;
        }
        self.tree = self.tree.or(found.tree);
        let from = From::of(found);
        if !self.sources.contains(&from) && self.sources.len() < KNOWN_MAX {
            self.sources.push(from);
        }
        true
    }
}
