//! Offers whose values a node waits for. Whoever offers is told a token and must repeat it with each
//! value, so that nobody stores anything under another's address. Not here: what is wanted of an
//! offer, and the store.

use alloc::vec::Vec;
use core::time::Duration;

use machine::dht::{Contact, Key};
use machine::{Instant, Rng};

/// Most offers whose values a node waits for.
const PROMISES_MAX: usize = 256;
/// Most of them that one host makes.
const PROMISES_PER_HOST: usize = 32;
/// How long it waits for them.
const PROMISE_LIFE: Duration = Duration::from_secs(30);

/// An offer of which something was wanted.
#[derive(Clone, Debug)]
struct Promise<C> {
    token: u32,
    from: C,
    keys: Vec<Key>,
    until: Instant,
}

/// All that one node has promised to take, and not long ago.
#[derive(Clone, Debug)]
pub(crate) struct Promises<C>(Vec<Promise<C>>);

impl<C: Contact> Promises<C> {
    /// None.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Promises `from` to take `keys`; the token that it has to repeat. The oldest promise is
    /// forgotten where there are too many: those of one host only for each other.
    pub(crate) fn promise(&mut self, from: C, keys: Vec<Key>, now: Instant, rng: &mut Rng) -> u32 {
        self.purge(now);
        let same = |promise: &Promise<C>| promise.from.host() == from.host();
        if self.0.iter().filter(|promise| same(promise)).count() >= PROMISES_PER_HOST
            && let Some(oldest) = self.0.iter().position(same)
        {
            self.0.remove(oldest);
        } else if self.0.len() >= PROMISES_MAX {
            self.0.remove(0);
        }
        let token = rng.next_u32();
        self.0.push(Promise { token, from, keys, until: now + PROMISE_LIFE });
        token
    }

    /// Whether `from` was promised with `token` that its value of `key` is taken.
    pub(crate) fn holds(&self, from: C, token: u32, key: &Key, now: Instant) -> bool {
        self.0.iter().any(|promise| {
            promise.token == token
                && promise.from == from
                && promise.until > now
                && promise.keys.contains(key)
        })
    }

    /// Forgets those whose time is over.
    pub(crate) fn purge(&mut self, now: Instant) {
        self.0.retain(|promise| promise.until > now);
    }

    /// Whether nobody was promised anything.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes on the heap, keys not included.
    pub(crate) const fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Promise<C>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    struct At(u32);

    impl machine::Contact for At {
        type Host = u32;
        fn host(&self) -> u32 {
            self.0 / 100
        }
    }

    impl Contact for At {
        fn key(&self) -> Key {
            Key::new(self.0.into(), 0)
        }
    }

    #[test]
    fn tokens_hold_for_whom_and_what_they_were_given_and_not_for_long() {
        let (mut promises, mut rng) = (Promises::new(), Rng::new(1));
        let [one, other] = [1, 2].map(|key| Key::new(key, 0));
        let now = Instant::ZERO + Duration::from_secs(9);
        assert!(!promises.holds(At(1), 0, &one, now));
        let token = promises.promise(At(1), Vec::from([one]), now, &mut rng);
        assert!(promises.holds(At(1), token, &one, now));
        assert!(!promises.holds(At(1), token, &other, now), "not offered");
        assert!(!promises.holds(At(2), token, &one, now), "somebody else of the same host");
        assert!(!promises.holds(At(1), token ^ 1, &one, now), "guessed");
        assert!(!promises.holds(At(1), token, &one, now + PROMISE_LIFE), "late");
        promises.purge(now + PROMISE_LIFE);
        assert!(promises.is_empty());
    }

    #[test]
    fn whoever_offers_much_pushes_only_its_own_offers_aside() {
        let (mut promises, mut rng) = (Promises::new(), Rng::new(1));
        let (key, now) = (Key::new(1, 0), Instant::ZERO);
        let quiet = promises.promise(At(1), Vec::from([key]), now, &mut rng);
        let first = promises.promise(At(100), Vec::from([key]), now, &mut rng);
        for _ in 0..10 * PROMISES_MAX {
            promises.promise(At(100), Vec::from([key]), now, &mut rng);
        }
        assert!(promises.holds(At(1), quiet, &key, now));
        assert!(!promises.holds(At(100), first, &key, now));
        for host in 2..1_000 {
            promises.promise(At(host * 100), Vec::from([key]), now, &mut rng);
        }
        assert_eq!(promises.0.len(), PROMISES_MAX);
    }
}
