//! What may be chosen about a Chord node, with the choices of the papers. Nodes of one experiment
//! share one [`Config`].

use core::time::Duration;

/// Longest successor list that is kept or read from others.
pub const SUCCESSORS_MAX: usize = 32;
/// How many nodes that a user named, and how many lost ones, a node remembers to find its way back.
pub const REMEMBERED_MAX: usize = 8;

/// Which of the nodes that it knows a node forwards a lookup to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// The closest predecessor of the key among fingers and successors (ToN 2003).
    FingersAndSuccessors,
    /// The closest predecessor of the key among the fingers (SIGCOMM 2001); the successor list
    /// serves only after failures.
    Fingers,
    /// Always the successor: the linear walk that fingers spare. No fingers are kept.
    Successor,
}

/// Who asks the next node of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Whoever looks up asks each node in turn.
    Iterative,
    /// Each node passes the lookup on, and the owner answers whoever began it.
    Recursive {
        /// Whether each node waits for the next one to acknowledge, and passes the lookup to
        /// another one if it does not. Without, a lookup that meets a dead node is lost.
        acknowledged: bool,
    },
}

/// How many fingers are looked up at each tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FingerUpkeep {
    /// The next distinct one (ToN 2003, section V-E).
    One,
    /// All distinct ones, one after another (SIGCOMM 2001, section 6.5).
    All,
    /// None, ever.
    Never,
}

/// A defect that tests plant to show that they would find it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Become a member without asking the successor for its list.
    JoinUnasked,
    /// Take whoever notifies for the predecessor.
    NotifyAnybody,
    /// Never learn a successor's list after joining.
    StaleSuccessors,
    /// Never pass over a dead successor.
    KeepDeadHead,
    /// Forget all successors when the first is dead, and stay a member.
    ForgetSuccessors,
    /// Take a successor's list without the successor.
    DropHead,
    /// Put the successor behind all others in the list.
    HeadLast,
    /// Refer to fingers past the target.
    Overshoot,
    /// Let keys stay where they are when nodes come and go.
    NoHandover,
    /// Never repair replicas.
    NoRepair,
    /// Never look for those who were lost.
    NoMerge,
}

/// How a node behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Length `r` of the successor list, 1 to [`SUCCESSORS_MAX`]. While at least `r` + 1 nodes stay
    /// for good, the ring cannot be torn by any others (Zave).
    pub successors: usize,
    /// Nodes that hold each value, the owner included; at most `successors`.
    pub replicas: usize,
    /// Whether copies go to different hosts where the successor list allows it, so that virtual
    /// nodes of one host do not back up each other.
    pub distinct_hosts: bool,
    /// Where lookups are forwarded.
    pub routing: Routing,
    /// Who forwards them.
    pub style: Style,
    /// Whether a lookup of the user ends only when the owner itself has answered, so that its last
    /// hop is made and counted, and dead owners are passed over.
    pub reach_owner: bool,
    /// Least and greatest time between two rounds of upkeep, drawn uniformly each time; `None`
    /// for no upkeep at all.
    pub tick: Option<(Duration, Duration)>,
    /// How many fingers a tick looks up.
    pub finger_upkeep: FingerUpkeep,
    /// Whether a node that has joined looks up all of its fingers at once, which costs
    /// O(log² N) messages, or leaves them to upkeep.
    pub fingers_on_join: bool,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How often a request is sent before its target is taken for dead; at least 1.
    pub attempts: u8,
    /// Whether a finger that does not answer is forgotten at once, or stays until it is looked up.
    pub forget_dead_fingers: bool,
    /// Most requests that one lookup sends.
    pub lookup_requests_max: u16,
    /// Most silent nodes that one lookup passes over.
    pub lookup_timeouts_max: u16,
    /// Most requests that one node has outstanding; commands beyond fail at once.
    pub outstanding_max: usize,
    /// Every how many ticks a node asks one it lost, or began with, who follows it there, so that
    /// rings which a partition tore apart grow together again; 0 for never.
    pub merge_every: u8,
    /// Most values that a node stores.
    pub values_max: usize,
    /// How long a value lives after it was put; putting it again renews it.
    pub lifetime: Duration,
    /// Most keys that a tick compares with the other nodes that should hold them.
    pub repair_keys: usize,
    /// How long a replica that its owner does not confirm stays at least before it is offered to
    /// the owner, wherever that is now. With many values it stays as long as two rounds of repair
    /// take.
    pub orphan_after: Duration,
    /// How long a leaving node tries to hand over what it holds.
    pub leave_within: Duration,
    /// For tests only.
    #[doc(hidden)]
    pub fault: Option<Fault>,
}

impl Default for Config {
    /// The upkeep of ToN 2003, section V-E, with eight successors and three copies.
    fn default() -> Self {
        Self {
            successors: 8,
            replicas: 3,
            distinct_hosts: true,
            routing: Routing::FingersAndSuccessors,
            style: Style::Iterative,
            reach_owner: true,
            tick: Some((Duration::from_secs(15), Duration::from_secs(45))),
            finger_upkeep: FingerUpkeep::One,
            fingers_on_join: true,
            timeout: Duration::from_millis(500),
            attempts: 3,
            forget_dead_fingers: true,
            lookup_requests_max: 512,
            lookup_timeouts_max: 32,
            outstanding_max: 256,
            merge_every: 4,
            values_max: 65_536,
            lifetime: Duration::from_secs(24 * 3_600),
            repair_keys: 16,
            orphan_after: Duration::from_secs(300),
            leave_within: Duration::from_secs(10),
            fault: None,
        }
    }
}

impl Config {
    /// For small rings of people who wait: upkeep about once a second.
    #[must_use]
    pub fn responsive() -> Self {
        Self {
            tick: Some((Duration::from_millis(500), Duration::from_millis(1_500))),
            repair_keys: 64,
            orphan_after: Duration::from_secs(10),
            ..Self::default()
        }
    }

    /// Entries of the successor list, within its limits.
    pub(super) fn successors(&self) -> usize {
        self.successors.clamp(1, SUCCESSORS_MAX)
    }

    /// Copies of each value, within their limits.
    pub(super) fn replicas(&self) -> usize {
        self.replicas.clamp(1, self.successors())
    }

    /// Whether tests have planted `fault`.
    pub(super) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}
