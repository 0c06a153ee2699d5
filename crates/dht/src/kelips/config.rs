//! What may be chosen about a Kelips node, with the choices of the paper.

use core::time::Duration;

use crate::overlay::Rules;

/// How long an entry that is not refreshed stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// So many times as long as a heartbeat needs to reach everybody, which grows with the number
    /// of entries that gossip of constant size has to carry around.
    Scaled(u32),
    /// Always as long. This fails without a word when the network grows: entries of those who live
    /// run out before the next heartbeat comes around.
    Fixed(Duration),
}

/// A defect that tests plant to show that they would find it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Entries stay for ever.
    NeverExpire,
    /// Take an entry's heartbeat as new whatever it says.
    AnyBeat,
    /// Never say which values are here.
    NoTuples,
    /// Send no heartbeats.
    NoBeats,
}

/// How a node behaves. All nodes of a network have the same `groups`.
#[derive(Clone, Debug)]
pub struct Config {
    /// What all overlays share; a round of gossip goes with each tick.
    pub rules: Rules,
    /// Affinity groups `k`, about the square root of the number of nodes.
    pub groups: u32,
    /// Contacts `c` in each foreign group.
    pub contacts: usize,
    /// Members of its own group that a round of gossip goes to.
    pub to_members: usize,
    /// Contacts that it goes to.
    pub to_contacts: usize,
    /// Members that one message of gossip speaks of, at most [`ENTRIES_MAX`].
    pub entries: usize,
    /// Tuples that it carries, at most [`TUPLES_MAX`].
    pub tuples: usize,
    /// How long entries stay.
    pub expiry: Expiry,
    /// Most members of its own group that a node knows.
    pub members_max: usize,
    /// Most keys whose homes it knows.
    pub keys_max: usize,
    /// For tests only.
    #[doc(hidden)]
    pub fault: Option<Fault>,
}

/// Most nodes that one message speaks of.
pub const ENTRIES_MAX: usize = 40;
/// Most tuples that one message carries.
pub const TUPLES_MAX: usize = 8;
/// Most homes of a key that are known.
pub(super) const HOMES_MAX: usize = 8;

impl Default for Config {
    /// Gossip as in the paper's experiments: every two seconds to three members and three contacts.
    fn default() -> Self {
        let rules = Rules {
            tick: Some((Duration::from_millis(1_800), Duration::from_millis(2_200))),
            get_tries: 4,
            ..Rules::default()
        };
        Self {
            rules,
            groups: 30,
            contacts: 2,
            to_members: 3,
            to_contacts: 3,
            entries: 12,
            tuples: 6,
            expiry: Expiry::Scaled(3),
            members_max: 65_536,
            keys_max: 1 << 20,
            fault: None,
        }
    }
}

impl Config {
    /// For small networks of people who wait: four groups, and gossip about once a second.
    #[must_use]
    pub fn responsive() -> Self {
        let rules = Rules { get_tries: 4, ..Rules::responsive() };
        Self { rules, groups: 4, contacts: 4, ..Self::default() }
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// How many of `known` entries one round brings here.
    pub(super) fn round(&self) -> Duration {
        match self.rules.tick {
            Some((least, greatest)) => (least + greatest) / 2,
            None => Duration::from_secs(2),
        }
    }

    /// How long one of `known` entries stays, of which each message carries `carried`.
    ///
    /// What one knows reaches `g` others in about 2 ln `g` rounds if every message carries it, and
    /// in as many times more as it is carried less often.
    pub(super) fn patience(&self, known: usize, carried: usize) -> Duration {
        let factor = match self.expiry {
            Expiry::Fixed(patience) => return patience,
            Expiry::Scaled(factor) => factor,
        };
        let known = known.max(2);
        let per_round = (self.to_members.max(1) * carried.max(1)) as u64;
        // 2 ln g, in quarters: 2 ln 2 is 1.39 for each doubling.
        let doublings = u64::from(known.ilog2()) + 1;
        let quarters = doublings * 6 + 8;
        let rounds = (quarters * per_round.max(known as u64)).div_ceil(4 * per_round);
        let rounds = rounds * u64::from(factor);
        self.round().saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
    }
}
