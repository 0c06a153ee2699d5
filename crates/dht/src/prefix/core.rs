//! What nodes of prefix overlays remember, and tables that are full from the beginning.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use machine::dht::Contact;
use machine::{Instant, Rng};

use super::{Base, Table};

/// How many nodes a node remembers to find its way back to the others.
const DOORS_MAX: usize = 8;
/// How many silent nodes it does not believe others about.
const SUSPECTS_MAX: usize = 64;
/// For how long it does not.
const SUSPICION: Duration = Duration::from_secs(20);

/// A walk to the place of whoever walks.
pub(crate) struct Walk<C> {
    /// Whom to ask, the next one last, with the digits resolved there.
    pub(super) stack: Vec<(C, u8)>,
    pub(super) asked: Vec<C>,
    /// How often it has begun anew because nobody led on.
    pub(super) tries: u8,
    /// Digits resolved where it is.
    pub(super) level: u8,
    /// Whether it has ended, and those who were named are being asked whether they live.
    pub(super) settling: bool,
}

/// What all prefix overlays keep.
pub(crate) struct Core<C> {
    pub(crate) table: Table<C>,
    /// Nodes that the user named, or that were lost.
    pub(crate) doors: Vec<C>,
    /// Nodes that were silent, and until when others are not believed about them.
    suspects: Vec<(C, Instant)>,
    /// Whose answer was measured last.
    pub(super) measured: Option<(C, u32)>,
    pub(crate) walk: Option<Box<Walk<C>>>,
    /// Pings without an answer.
    pub(super) pinging: u16,
    /// Rounds of upkeep.
    pub(crate) ticks: u32,
}

impl<C: Contact> Core<C> {
    pub(crate) const fn new(base: Base) -> Self {
        Self {
            table: Table::new(base),
            doors: Vec::new(),
            suspects: Vec::new(),
            measured: None,
            walk: None,
            pinging: 0,
            ticks: 0,
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.table.heap_bytes()
            + self.doors.capacity() * size_of::<C>()
            + self.suspects.capacity() * size_of::<(C, Instant)>()
            + self.walk.as_ref().map_or(0, |walk| {
                size_of::<Walk<C>>()
                    + (walk.stack.capacity() + walk.asked.capacity()) * 2 * size_of::<C>()
            })
    }

    /// Notes that `who` is silent.
    pub(super) fn suspect(&mut self, who: C, now: Instant) {
        self.suspects.retain(|&(other, until)| other != who && until > now);
        if self.suspects.len() >= SUSPECTS_MAX {
            self.suspects.remove(0);
        }
        self.suspects.push((who, now + SUSPICION));
        self.remember(who);
    }

    /// Notes that `who` lives.
    pub(super) fn clear(&mut self, who: C) {
        if !self.suspects.is_empty() {
            self.suspects.retain(|&(other, _)| other != who);
        }
    }

    pub(crate) fn is_suspect(&self, who: C, now: Instant) -> bool {
        self.suspects.iter().any(|&(other, until)| other == who && until > now)
    }

    /// Remembers a way back; the oldest of the lost ones is forgotten for it.
    pub(super) fn remember(&mut self, who: C) {
        if !self.doors.contains(&who) {
            if self.doors.len() >= DOORS_MAX {
                self.doors.remove(DOORS_MAX / 2);
            }
            self.doors.push(who);
        }
    }
}

impl<C: Contact> Table<C> {
    /// The table of the node at `index` of `ring`, which is in the order of keys: each slot has the
    /// `limit` nearest of at most `samples` that belong there, as `rtt` says in microseconds.
    pub(crate) fn wired(
        ring: &[C],
        index: usize,
        base: Base,
        limit: usize,
        samples: usize,
        rtt: &impl Fn(C, C) -> u32,
    ) -> Self {
        let me = ring[index];
        let here = me.key();
        let mut table = Self::new(base);
        let mut rng = Rng::new((here.front() >> 64) as u64 ^ here.back() as u64);
        let (mut low, mut high) = (0, ring.len());
        let mut nearest: Vec<(u32, C)> = Vec::new();
        for level in 0..base.levels() {
            if high - low <= 1 {
                break;
            }
            let own = base.digit(&here, level);
            let mut from = low;
            let mut inner = (low, high);
            for digit in 0..base.width() {
                let rest = &ring[from..high];
                let count = rest.partition_point(|it| base.digit(&it.key(), level) <= digit);
                let to = from + count;
                if digit == own {
                    inner = (from, to);
                } else if count > 0 {
                    nearest.clear();
                    for sample in 0..samples.min(count) {
                        let at = match samples >= count {
                            true => sample,
                            false => rng.below(count as u64) as usize,
                        };
                        let contact = ring[from + at];
                        let twice = || nearest.iter().any(|&(_, other)| other == contact);
                        if samples >= count || !twice() {
                            nearest.push((rtt(me, contact), contact));
                        }
                    }
                    nearest.sort_unstable();
                    for &(rtt, contact) in nearest.iter().take(limit) {
                        table.push(level, digit, contact, rtt);
                    }
                }
                from = to;
            }
            (low, high) = inner;
        }
        table.shrink();
        table
    }
}
