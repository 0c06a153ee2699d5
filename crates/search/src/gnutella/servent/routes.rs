//! Where answers go: which neighbour a message with some name came from. A table of fixed size, in
//! which whatever has not been used for longest gives way.

use alloc::vec::Vec;
use core::mem::size_of;

use machine::ConnId;

use super::super::Guid;

/// Where a message came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// From our own user.
    Us,
    /// From a neighbour, which may be gone by now.
    Peer(ConnId),
}

/// Names that a set holds; one of them gives way to a new one.
const WAYS: usize = 8;
/// Slots that a table begins with.
const SLOTS_MIN: usize = 64;
/// The number of no connection, for messages of our own.
const US: u32 = u32::MAX;

#[derive(Clone, Copy, Default)]
struct Slot {
    guid: Guid,
    conn: u32,
    /// A count of inputs to the table; 0 is a slot that is free.
    used: u32,
}

/// Names and where they came from.
pub(super) struct Routes {
    slots: Vec<Slot>,
    filled: usize,
    slots_max: usize,
    /// Strangers choose names; which set one falls into they cannot know.
    key: u64,
    clock: u32,
}

impl Routes {
    /// A table of `slots_max` names at most, a power of two.
    pub(super) fn new(slots_max: usize, key: u64) -> Self {
        let slots_max = slots_max.next_power_of_two().max(SLOTS_MIN);
        Self { slots: Vec::new(), filled: 0, slots_max, key: key | 1, clock: 0 }
    }

    /// Most bytes that a table of `slots_max` names takes.
    pub(super) const fn bytes_max(slots_max: usize) -> usize {
        slots_max * size_of::<Slot>()
    }

    /// Bytes it takes now.
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    /// Remembers a name; `false` if it is known already, and then nothing changes.
    pub(super) fn insert(&mut self, guid: Guid, via: Via) -> bool {
        self.put(guid, via, false)
    }

    /// Remembers where a name was heard of last.
    pub(super) fn set(&mut self, guid: Guid, via: Via) {
        self.put(guid, via, true);
    }

    /// Where a name came from.
    pub(super) fn get(&mut self, guid: Guid) -> Option<Via> {
        if self.slots.is_empty() {
            return None;
        }
        let now = self.tick();
        let set = self.set_of(guid);
        let slot = self.slots[set..set + WAYS]
            .iter_mut()
            .find(|slot| slot.used > 0 && slot.guid == guid)?;
        slot.used = now;
        Some(if slot.conn == US { Via::Us } else { Via::Peer(ConnId(slot.conn)) })
    }

    fn put(&mut self, guid: Guid, via: Via, again: bool) -> bool {
        if self.filled * 2 >= self.slots.len() && self.slots.len() < self.slots_max {
            self.grow();
        }
        let now = self.tick();
        let conn = match via {
            Via::Us => US,
            Via::Peer(ConnId(conn)) => conn,
        };
        let set = self.set_of(guid);
        let slots = &mut self.slots[set..set + WAYS];
        if let Some(slot) = slots.iter_mut().find(|slot| slot.used > 0 && slot.guid == guid) {
            if again {
                *slot = Slot { guid, conn, used: now };
            }
            return false;
        }
        if let Some(oldest) = slots.iter_mut().min_by_key(|slot| slot.used) {
            self.filled += usize::from(oldest.used == 0);
            *oldest = Slot { guid, conn, used: now };
        }
        true
    }

    fn grow(&mut self) {
        let len = (self.slots.len() * 2).clamp(SLOTS_MIN, self.slots_max);
        let mut slots = Vec::new();
        slots.reserve_exact(len);
        slots.resize(len, Slot::default());
        let old = core::mem::replace(&mut self.slots, slots);
        self.filled = 0;
        for slot in old.into_iter().filter(|slot| slot.used > 0) {
            let set = self.set_of(slot.guid);
            let ways = &mut self.slots[set..set + WAYS];
            if let Some(oldest) = ways.iter_mut().min_by_key(|slot| slot.used) {
                self.filled += usize::from(oldest.used == 0);
                *oldest = slot;
            }
        }
    }

    fn tick(&mut self) -> u32 {
        if self.clock == u32::MAX {
            // Everything counts as equally old from here.
            self.slots.iter_mut().for_each(|slot| slot.used = slot.used.min(1));
            self.clock = 1;
        }
        self.clock += 1;
        self.clock
    }

    fn set_of(&self, guid: Guid) -> usize {
        let (front, back) = guid.0.split_at(8);
        let word = |half: &[u8]| half.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let mut hash = (word(front) ^ self.key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash = (hash ^ hash >> 32 ^ word(back)).wrapping_mul(self.key);
        hash = (hash ^ hash >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (hash >> 32) as usize & (self.slots.len() - 1) & !(WAYS - 1)
    }
}

#[cfg(test)]
mod tests {
    use machine::Rng;

    use super::*;

    fn guid(rng: &mut Rng) -> Guid {
        let mut bytes = [0; 16];
        rng.fill(&mut bytes);
        Guid(bytes)
    }

    #[test]
    fn gn_04_a_flood_of_names_takes_no_more_memory_than_was_set_aside() {
        let mut routes = Routes::new(32_768, 7);
        let mut rng = Rng::new(1);
        for _ in 0..500_000 {
            assert!(routes.insert(guid(&mut rng), Via::Peer(ConnId(1))));
        }
        assert_eq!(Routes::bytes_max(32_768), 786_432);
        assert_eq!(routes.bytes(), 786_432);
    }

    #[test]
    fn what_is_used_stays_and_the_rest_ages() {
        let mut routes = Routes::new(1_024, 7);
        let mut rng = Rng::new(2);
        let ours = guid(&mut rng);
        assert!(routes.insert(ours, Via::Us));
        assert!(!routes.insert(ours, Via::Peer(ConnId(3))));
        let old = guid(&mut rng);
        routes.insert(old, Via::Peer(ConnId(3)));
        for _ in 0..20_000 {
            routes.insert(guid(&mut rng), Via::Peer(ConnId(4)));
            assert_eq!(routes.get(ours), Some(Via::Us));
        }
        assert_eq!(routes.get(old), None);
        routes.set(ours, Via::Peer(ConnId(9)));
        assert_eq!(routes.get(ours), Some(Via::Peer(ConnId(9))));
        assert_eq!(Routes::new(64, 1).get(ours), None);
    }

    #[test]
    fn recent_names_are_known() {
        let mut routes = Routes::new(4_096, 99);
        let mut rng = Rng::new(3);
        let names: Vec<_> = (0..1_000).map(|_| guid(&mut rng)).collect();
        names.iter().for_each(|name| assert!(routes.insert(*name, Via::Peer(ConnId(5)))));
        let known = names.iter().filter(|name| routes.get(**name).is_some()).count();
        assert!(known >= 985, "{known} of 1,000");
    }
}
