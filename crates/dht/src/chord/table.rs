//! A short list of contacts that lies within its owner and goes to the heap only when it is long,
//! so that a simulated node is one run of memory. Not here: what the lists mean.

use alloc::vec::Vec;
use core::ops::Deref;

/// Up to `N` contacts in place, or more elsewhere.
#[derive(Clone, Debug)]
pub(super) enum Table<C, const N: usize> {
    /// The first `len` of `items`; the rest is filler.
    Inline { len: u8, items: [C; N] },
    /// More than fitted once.
    Heap(Vec<C>),
}

impl<C: Copy, const N: usize> Table<C, N> {
    /// An empty list; `filler` is what unused room holds.
    pub(super) const fn new(filler: C) -> Self {
        const { assert!(N < u8::MAX as usize) };
        Self::Inline { len: 0, items: [filler; N] }
    }

    /// Puts `contact` at `at`, which is at most the length, and moves the rest up.
    pub(super) fn insert(&mut self, at: usize, contact: C) {
        match self {
            Self::Inline { len, items } if usize::from(*len) < N => {
                items.copy_within(at..usize::from(*len), at + 1);
                items[at] = contact;
                *len += 1;
            }
            Self::Inline { items, .. } => {
                let mut list = Vec::with_capacity(N + 4);
                list.extend_from_slice(items);
                list.insert(at, contact);
                *self = Self::Heap(list);
            }
            Self::Heap(list) => list.insert(at, contact),
        }
    }

    /// Appends `contact`.
    pub(super) fn push(&mut self, contact: C) {
        self.insert(self.len(), contact);
    }

    /// Takes out the run from `start` to `end`, which lies within the list.
    pub(super) fn remove(&mut self, start: usize, end: usize) {
        match self {
            Self::Inline { len, items } => {
                items.copy_within(end..usize::from(*len), start);
                *len -= (end - start) as u8;
            }
            Self::Heap(list) => {
                list.drain(start..end);
            }
        }
    }

    /// Empties the list.
    pub(super) fn clear(&mut self) {
        self.remove(0, self.len());
    }

    /// Replaces the contact at `at`, if there is one.
    pub(super) fn replace(&mut self, at: usize, contact: C) {
        let items = match self {
            Self::Inline { len, items } => &mut items[..usize::from(*len)],
            Self::Heap(list) => list,
        };
        if let Some(item) = items.get_mut(at) {
            *item = contact;
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Inline { .. } => 0,
            Self::Heap(list) => list.capacity() * size_of::<C>(),
        }
    }
}

impl<C, const N: usize> Deref for Table<C, N> {
    type Target = [C];

    fn deref(&self) -> &[C] {
        match self {
            Self::Inline { len, items } => &items[..usize::from(*len)],
            Self::Heap(list) => list,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_as_a_vector(steps in prop::collection::vec((0u8..4, any::<u16>(), any::<u16>()), 0..80)) {
            let mut table = Table::<u16, 4>::new(0);
            let mut model = Vec::new();
            for (what, a, b) in steps {
                let at = usize::from(a) % (model.len() + 1);
                match what {
                    0 | 1 => { table.insert(at, b); model.insert(at, b); }
                    2 => {
                        let end = at + usize::from(b) % (model.len() - at + 1);
                        table.remove(at, end);
                        model.drain(at..end);
                    }
                    _ => {
                        table.replace(at, b);
                        if let Some(item) = model.get_mut(at) { *item = b; }
                    }
                }
                prop_assert_eq!(&*table, &*model);
            }
        }
    }
}
