//! How often a host is answered: a bucket of tokens for each, in a table of fixed size. A query
//! with a forged sender thus cannot make us flood whom it names.

use alloc::boxed::Box;
use core::hash::Hash;

use machine::Instant;

use super::token::Secret;

/// Sets of slots; a host belongs to one set.
const SETS: usize = 1_024;
/// Hosts of one set that are told apart.
const WAYS: usize = 4;
/// Seconds' worth of answers that a host may save up.
const BURST: u64 = 4;

/// Milliseconds since the driver began, shifted by the answers that were given lately: the moment
/// at which the host's bucket is full again.
#[derive(Clone, Copy, Default)]
struct Slot {
    tag: u32,
    full_at: u64,
}

/// Counts answers by host.
#[derive(Clone)]
pub(super) struct Limiter {
    slots: Box<[[Slot; WAYS]]>,
    /// Nanoseconds that one answer costs.
    cost: u64,
}

impl Limiter {
    /// A limiter of `rate` answers a second for each host.
    pub(super) fn new(rate: u32) -> Self {
        let slots = alloc::vec![[Slot::default(); WAYS]; SETS].into();
        Self { slots, cost: 1_000_000_000 / u64::from(rate.max(1)) }
    }

    /// Whether `host` may be answered now; if so, that is counted.
    pub(super) fn allows(&mut self, host: &impl Hash, secret: &Secret, now: Instant) -> bool {
        let hash = secret.hash(host);
        let tag = (hash >> 32) as u32;
        let now = now.as_nanos();
        let set = &mut self.slots[hash as usize % SETS];
        let at = set.iter().position(|slot| slot.tag == tag).unwrap_or_else(|| {
            // The host that was quiet for longest is forgotten.
            (0..WAYS).min_by_key(|&at| set[at].full_at).unwrap_or(0)
        });
        let slot = &mut set[at];
        // A host that takes another's place inherits its debt: else many hosts of one set would
        // each begin afresh.
        slot.tag = tag;
        let full_at = slot.full_at.max(now) + self.cost;
        if full_at - now > BURST * 1_000_000_000 {
            return false;
        }
        slot.full_at = full_at;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn kr_09_a_host_is_answered_at_its_rate_and_others_all_the_same() {
        let (secret, mut limiter) = (Secret::new([1; 16]), Limiter::new(50));
        let mut answers = 0;
        for millisecond in 0..10_000 {
            let now = Instant::ZERO + Duration::from_millis(millisecond);
            answers += u32::from(limiter.allows(&"loud", &secret, now));
            if millisecond % 100 == 0 {
                assert!(limiter.allows(&"quiet", &secret, now));
            }
        }
        assert!((690..=710).contains(&answers), "{answers} of 50 x (10 + 4)");
    }

    #[test]
    fn kr_09_a_flood_of_hosts_takes_no_memory() {
        let (secret, mut limiter) = (Secret::new([1; 16]), Limiter::new(1));
        for host in 0..100_000_u32 {
            limiter.allows(&host, &secret, Instant::ZERO);
        }
        assert_eq!(limiter.slots.len() * WAYS, 4_096);
    }
}
