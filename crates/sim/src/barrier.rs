//! Where threads wait for each other between windows. A window takes a millisecond or two, and to
//! be woken by the system a tenth of that: whoever waits looks for a while first.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

/// How often whoever waits looks before it sleeps: for some 100 microseconds.
const LOOKS: usize = 4_096;

/// A meeting of a fixed number of threads, again and again.
pub(crate) struct Barrier {
    threads: usize,
    looks: usize,
    arrived: AtomicUsize,
    /// How many meetings there have been; wraps.
    met: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Barrier {
    /// For so many threads.
    pub(crate) fn new(threads: usize) -> Self {
        // To look helps nobody while those who are waited for have no processor.
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads,
            looks: if threads <= processors { LOOKS } else { 0 },
            arrived: AtomicUsize::new(0),
            met: AtomicUsize::new(0),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        }
    }

    /// Waits until all threads are here; what they did before, all see after.
    pub(crate) fn wait(&self) {
        let met = self.met.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.threads {
            // Before the others go on, and arrive anew.
            self.arrived.store(0, Ordering::Relaxed);
            let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.met.store(met.wrapping_add(1), Ordering::Release);
            drop(guard);
            self.wake.notify_all();
            return;
        }
        for _ in 0..self.looks {
            if self.met.load(Ordering::Acquire) != met {
                return;
            }
            spin_loop();
        }
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while self.met.load(Ordering::Acquire) == met {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn nobody_goes_on_before_all_are_there() {
        for threads in [1, 2, 3, 9] {
            let (barrier, count) = (Barrier::new(threads), AtomicU32::new(0));
            thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        for round in 1..500 {
                            count.fetch_add(1, Ordering::Relaxed);
                            barrier.wait();
                            assert_eq!(count.load(Ordering::Relaxed), round * threads as u32);
                            barrier.wait();
                        }
                    });
                }
            });
        }
    }
}
