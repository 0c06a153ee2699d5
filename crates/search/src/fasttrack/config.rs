//! What may be chosen about a node, and the limits of what a node keeps. Nodes of one experiment
//! share one [`Config`].

use core::time::Duration;

use machine::Contact;

use super::reputation::{Bar, TESTIMONIES_MAX, VOUCHERS_MAX};

/// Most files that a node shares.
pub const FILES_PER_LEAF: usize = 4_096;
/// Most files in one datagram.
pub const FILES_PER_BATCH: usize = 6;
/// Most hits in one datagram.
pub const HITS_PER_ANSWER: usize = 5;
/// Most hits of one supernode's own directory for one query.
pub const HITS_PER_QUERY: usize = 4 * HITS_PER_ANSWER;
/// Most hits of one query that a supernode passes on.
pub(super) const HITS_PASSED_MAX: u16 = 256;
/// Most hits that one search of a user tells of.
pub(super) const HITS_PER_SEARCH: usize = 512;
/// Most searches that run at once at a node.
pub const SEARCHES_MAX: usize = 16;
/// Most calls that a node wants or owes at once.
pub(super) const CALLS_MAX: usize = 16;
/// Most calls that are asked of one leaf between two rounds of upkeep.
pub(super) const CALLS_PER_TICK: u16 = 16;
/// Most nodes that one message names.
pub const OTHERS_MAX: usize = 8;
/// Most supernodes that a supernode knows of.
pub(super) const KNOWN_MAX: usize = 200;
/// Most nodes that a leaf tries one after another before it begins anew.
pub(super) const TRIED_MAX: usize = 24;
/// Queries that are remembered: twice as many at most.
pub(super) const QUERIES_MAX: usize = 4_096;
/// Most neighbours of a supernode that one other has appointed.
pub(super) const APPOINTEES_MAX: usize = 16;
/// Nodes that a witness is trying to reach at once.
pub(super) const PROBES_MAX: usize = 8;

/// A defect that tests plant to show that they would find it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Believe vouchers without looking at signatures.
    BelieveClaims,
    /// Count uploads to one network as often as there are downloaders.
    CountAccomplices,
    /// Stay with a supernode that has fallen silent.
    NoFailover,
    /// Publish nothing at a new supernode.
    NoRepublish,
    /// Do not ask a new supernode what the last one was asked.
    ForgetSearches,
    /// Keep what leaves shared that have fallen silent.
    KeepGone,
    /// Take in more leaves, and more of each, than there is room for.
    NoBounds,
    /// Pass on queries that have been here.
    NoDedup,
    /// Never look for supernodes that were lost.
    NoMerge,
}

/// How a node behaves.
#[derive(Clone, Debug)]
pub struct Config<C: Contact> {
    /// Which network a host is in: what vouchers must differ in.
    pub network: fn(C::Host) -> u64,
    /// Least and greatest time between two rounds of upkeep.
    pub tick: (Duration, Duration),
    /// After how long without a word somebody is taken for dead.
    pub silence: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How many times something is asked of a node before it is taken for dead; at least 1.
    pub attempts: u8,
    /// How many supernodes a supernode links to.
    pub degree: usize,
    /// How many it bears.
    pub degree_max: usize,
    /// How many links a query crosses.
    pub ttl: u8,
    /// Leaves at which a supernode appoints another.
    pub leaves_high: usize,
    /// Leaves that it takes in at most.
    pub leaves_max: usize,
    /// Below so many leaves, for [`lonely`](Self::lonely), a supernode steps down if a neighbour can
    /// take them.
    pub leaves_low: usize,
    /// For how long.
    pub lonely: Duration,
    /// Files in a directory at most.
    pub files_max: usize,
    /// Files of one leaf in a directory at most.
    pub files_per_leaf: usize,
    /// Leaves that hold a mandate in reserve.
    pub reserve: usize,
    /// What a leaf must have for a mandate.
    pub bar: Bar,
    /// How long a leaf must have been there before its receipts are countersigned.
    pub vouch_after: Duration,
    /// How long a search runs.
    pub search_for: Duration,
    /// After how long it is asked again, for what got lost.
    pub search_again: Duration,
    /// Searches of one leaf that are carried out between two rounds of upkeep.
    pub searches_per_tick: u16,
    /// Queries of one neighbour that are carried out between two rounds of upkeep.
    pub queries_per_tick: u16,
    /// For tests only.
    #[doc(hidden)]
    pub fault: Option<Fault>,
}

impl<C: Contact> Config<C> {
    /// The usual choices: upkeep every 10 s, a hundred leaves to a supernode, an hour of uptime and
    /// three networks for a mandate.
    #[must_use]
    pub fn new(network: fn(C::Host) -> u64) -> Self {
        Self {
            network,
            tick: (Duration::from_secs(8), Duration::from_secs(12)),
            silence: Duration::from_secs(40),
            timeout: Duration::from_secs(1),
            attempts: 3,
            degree: 8,
            degree_max: 32,
            ttl: 7,
            leaves_high: 100,
            leaves_max: 200,
            leaves_low: 10,
            lonely: Duration::from_secs(300),
            files_max: 65_536,
            files_per_leaf: FILES_PER_LEAF,
            reserve: 2,
            bar: Bar {
                uptime: Duration::from_secs(3_600),
                networks: VOUCHERS_MAX,
                rate: 16_000,
                witnesses: TESTIMONIES_MAX,
            },
            vouch_after: Duration::from_secs(600),
            search_for: Duration::from_secs(30),
            search_again: Duration::from_secs(8),
            searches_per_tick: 16,
            queries_per_tick: 4_096,
            fault: None,
        }
    }

    /// For small networks of people who wait: upkeep about once a second, and a low bar.
    #[must_use]
    pub fn responsive(network: fn(C::Host) -> u64) -> Self {
        Self {
            tick: (Duration::from_millis(400), Duration::from_millis(600)),
            silence: Duration::from_secs(3),
            timeout: Duration::from_millis(400),
            leaves_high: 10,
            leaves_max: 40,
            leaves_low: 1,
            lonely: Duration::from_secs(10),
            bar: Bar { uptime: Duration::from_secs(3), networks: 2, rate: 1_000, witnesses: 1 },
            vouch_after: Duration::from_secs(1),
            search_for: Duration::from_secs(10),
            search_again: Duration::from_secs(2),
            searches_per_tick: 64,
            ..Self::new(network)
        }
    }

    /// Whether tests have planted `fault`.
    pub(super) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}
