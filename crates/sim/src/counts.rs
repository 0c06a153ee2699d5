//! What has happened in a world, in numbers.

use core::iter::Sum;

/// How often what has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that machines sent.
    pub sent: u64,
    /// Messages handed to machines.
    pub delivered: u64,
    /// Messages that a link lost.
    pub lost: u64,
    /// Messages that a link delivered twice.
    pub duplicated: u64,
    /// Messages to nodes that were not there when they arrived.
    pub undeliverable: u64,
    /// Timers that fired.
    pub timers: u64,
    /// Commands handed to machines.
    pub commands: u64,
    /// Machines that were started.
    pub starts: u64,
    /// Machines that were taken away.
    pub crashes: u64,
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| Self {
            sent: sum.sent + part.sent,
            delivered: sum.delivered + part.delivered,
            lost: sum.lost + part.lost,
            duplicated: sum.duplicated + part.duplicated,
            undeliverable: sum.undeliverable + part.undeliverable,
            timers: sum.timers + part.timers,
            commands: sum.commands + part.commands,
            starts: sum.starts + part.starts,
            crashes: sum.crashes + part.crashes,
        })
    }
}
