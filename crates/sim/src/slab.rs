//! Values that wait under a small number: messages in flight, commands to come.

use crate::memory::prefetch;

/// A pool of values; room is used again, the warmest first.
pub(crate) struct Slab<T> {
    values: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { values: Vec::new(), free: Vec::new() }
    }

    /// Keeps `value` until its number is handed to [`take`](Self::take).
    pub(crate) fn put(&mut self, value: T) -> u32 {
        if let Some(at) = self.free.pop() {
            if let Some(next) = self.free.last() {
                prefetch(&self.values[*next as usize]);
            }
            self.values[at as usize] = Some(value);
            return at;
        }
        let at = u32::try_from(self.values.len()).expect("fewer than 2^32 values wait at a time");
        self.values.push(Some(value));
        at
    }

    /// Gives back what was put there; `None` if it was taken before.
    pub(crate) fn take(&mut self, at: u32) -> Option<T> {
        let value = self.values.get_mut(at as usize)?.take()?;
        self.free.push(at);
        Some(value)
    }

    /// What is there, as a hint for the cache.
    pub(crate) fn peek(&self, at: u32) -> Option<&Option<T>> {
        self.values.get(at as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_used_again() {
        let mut slab = Slab::new();
        let (a, b) = (slab.put('a'), slab.put('b'));
        assert_eq!(slab.take(a), Some('a'));
        assert_eq!(slab.take(a), None);
        assert_eq!(slab.put('c'), a);
        assert_eq!((slab.take(b), slab.take(a)), (Some('b'), Some('c')));
    }
}
