//! When a node answered last and how often it has failed since, in half a word. What follows from
//! that is the table's.

/// Bits of a [`Stamp`] that are not the time.
const FAILURE_BITS: u32 = 3;
/// Unanswered requests in a row that a contact never survives.
pub(super) const FAILURES_MAX: u8 = 7;
/// Seconds that stamps do not tell apart, as a power of two.
pub(super) const GRAIN_BITS: u32 = 3;
/// The last moment of a stamp, in grains since the table's epoch: 18 hours.
pub(super) const MOMENT_MAX: u32 = (1 << (16 - FAILURE_BITS)) - 1;
/// How far back a table remembers at least, in grains: whoever answered before then answered then.
pub(super) const MEMORY: u32 = MOMENT_MAX / 2;

/// When a node answered last, in grains since the table's epoch, and how many requests it has left
/// unanswered since: half a word, for there are hundreds of them in each of a million nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u16);

impl Stamp {
    /// At `moment`, which is clamped to what a stamp can say.
    pub(super) fn answered(moment: u32) -> Self {
        Self((moment.min(MOMENT_MAX) << FAILURE_BITS) as u16)
    }

    pub(super) fn moment(self) -> u32 {
        u32::from(self.0 >> FAILURE_BITS)
    }

    pub(super) fn failures(self) -> u8 {
        (self.0 & ((1 << FAILURE_BITS) - 1)) as u8
    }

    pub(super) fn failed(self) -> Self {
        Self(self.0 + u16::from(self.failures() < FAILURES_MAX))
    }

    /// The same, seen from an epoch that is `grains` later.
    pub(super) fn later(self, grains: u32) -> Self {
        let failures = u16::from(self.failures());
        Self(Self::answered(self.moment().saturating_sub(grains)).0 | failures)
    }
}
