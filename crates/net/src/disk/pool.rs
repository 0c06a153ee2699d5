//! Memory for pieces on their way from the network to the disk: bounded, and reused without being
//! cleared.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Buffers up to twice as long as what is asked for are reused; longer ones would waste memory.
const MOST_SLACK: usize = 2;

/// A bounded pool of [`PieceBuf`]s. Clones share it.
#[derive(Clone)]
pub struct BufferPool(Arc<Shared>);

struct Shared {
    limit: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Bytes of all buffers, taken and free.
    allocated: usize,
    /// Bytes of the taken ones.
    taken: usize,
    /// The most that `taken` ever was.
    peak: usize,
    free: Vec<Box<[u8]>>,
}

impl BufferPool {
    /// A pool that allocates no more than `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Shared { limit: AtomicUsize::new(limit), state: Mutex::default() }))
    }

    /// A buffer of `len` bytes with anything in them; `None` if the pool has no room for it now.
    #[must_use]
    pub fn try_take(&self, len: usize) -> Option<PieceBuf> {
        let limit = self.limit();
        let mut state = self.0.state();
        let fits = |have: usize| have >= len && have / MOST_SLACK <= len;
        let memory = match state.free.iter().rposition(|buffer| fits(buffer.len())) {
            Some(index) => state.free.swap_remove(index),
            None => {
                if state.taken.checked_add(len)? > limit {
                    return None;
                }
                while state.allocated + len > limit {
                    let unfit = state.free.pop()?;
                    state.allocated -= unfit.len();
                }
                state.allocated += len;
                // Zeroed by the system, page by page when they are touched.
                vec![0; len].into_boxed_slice()
            }
        };
        state.take(memory.len());
        Some(PieceBuf { memory, len, pool: Some(self.0.clone()) })
    }

    /// A buffer of `len` bytes, beyond the limit if need be: for what is bounded elsewhere. What is
    /// beyond it goes back to the system.
    #[must_use]
    pub fn take(&self, len: usize) -> PieceBuf {
        if let Some(buffer) = self.try_take(len) {
            return buffer;
        }
        let mut state = self.0.state();
        state.allocated += len;
        state.take(len);
        PieceBuf { memory: vec![0; len].into_boxed_slice(), len, pool: Some(self.0.clone()) }
    }

    /// Bytes that may be allocated in all.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.limit.load(Ordering::Relaxed)
    }

    /// Lets the pool allocate at least `limit` bytes from now on.
    pub fn raise_limit(&self, limit: usize) {
        self.0.limit.fetch_max(limit, Ordering::Relaxed);
    }

    /// Bytes that are taken now.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.0.state().taken
    }

    /// The most bytes that were ever taken at once.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.0.state().peak
    }

    /// Gives the memory of all free buffers back to the system.
    pub fn trim(&self) {
        let mut state = self.0.state();
        state.free = Vec::new();
        state.allocated = state.taken;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, len: usize) {
        self.taken += len;
        self.peak = self.peak.max(self.taken);
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state();
        f.debug_struct("BufferPool")
            .field("limit", &self.limit())
            .field("allocated", &state.allocated)
            .field("taken", &state.taken)
            .finish()
    }
}

/// Memory for a piece; it goes back to its pool when it is dropped.
pub struct PieceBuf {
    memory: Box<[u8]>,
    len: usize,
    pool: Option<Arc<Shared>>,
}

/// Memory of no pool.
impl From<Vec<u8>> for PieceBuf {
    fn from(bytes: Vec<u8>) -> Self {
        Self { len: bytes.len(), memory: bytes.into_boxed_slice(), pool: None }
    }
}

impl Deref for PieceBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[..self.len]
    }
}

impl DerefMut for PieceBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[..self.len]
    }
}

impl fmt::Debug for PieceBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PieceBuf({} bytes)", self.len)
    }
}

impl Drop for PieceBuf {
    fn drop(&mut self) {
        let Some(pool) = &self.pool else { return };
        let memory = std::mem::take(&mut self.memory);
        let mut state = pool.state();
        state.taken -= memory.len();
        if state.allocated > pool.limit.load(Ordering::Relaxed) {
            state.allocated -= memory.len();
        } else {
            state.free.push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_no_more_than_its_limit() {
        let pool = BufferPool::new(1000);
        let first = pool.try_take(600).expect("room");
        assert!(pool.try_take(401).is_none());
        let second = pool.try_take(400).expect("room");
        assert_eq!(pool.taken(), 1000);
        drop(first);
        assert_eq!(pool.taken(), 400);
        assert!(pool.try_take(601).is_none());
        assert!(pool.try_take(usize::MAX).is_none());
        let third = pool.try_take(500).expect("the first one again");
        assert_eq!((third.len(), pool.taken()), (500, 1000));
        drop((second, third));
        assert_eq!(pool.taken(), 0);
        let (large, beyond) = (pool.take(900), pool.take(900));
        assert_eq!((large.len(), pool.taken(), pool.peak()), (900, 1800, 1800));
        drop(large);
        assert!(pool.try_take(900).is_none(), "there is one still, and no other was kept");
        drop(beyond);
        assert!(pool.try_take(900).is_some());
    }

    #[test]
    fn reuses_memory_as_it_was_and_frees_what_does_not_fit() {
        let pool = BufferPool::new(1000);
        let mut buffer = pool.try_take(800).expect("room");
        buffer.fill(7);
        drop(buffer);
        assert_eq!(&*pool.try_take(800).expect("room"), [7; 800]);
        // Far too long for this one, so it makes room.
        let small = pool.try_take(300).expect("room");
        assert_eq!((&*small, pool.taken()), (&[0; 300][..], 300));
        drop(small);
        pool.trim();
        assert_eq!(&*pool.try_take(300).expect("room"), [0; 300]);
    }
}
