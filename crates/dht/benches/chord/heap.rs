//! What a run takes from the heap and gives back, input by input: the allocator of this benchmark
//! writes it down while a run is watched, and it is done again, in the same sizes and the same order,
//! when the schedule of the run is replayed.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The allocator of the system; what it does is written down while it is watched.
struct Watched;

#[global_allocator]
static ALLOCATOR: Watched = Watched;

static WATCHED: AtomicBool = AtomicBool::new(false);
static LOG: OnceLock<Box<[AtomicU64]>> = OnceLock::new();
static WRITTEN: AtomicUsize = AtomicUsize::new(0);

/// Larger ones are tables of the simulator, which grow seldom.
const SIZE_MAX: usize = (1 << 15) - 1;

// SAFETY: all is done by the allocator of the system; only a number is written down besides.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller has promised.
        let place = unsafe { System.alloc(layout) };
        note(place, layout.size(), true);
        place
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        note(place, layout.size(), false);
        // SAFETY: as the caller has promised.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(place, layout.size(), false);
        // SAFETY: as the caller has promised.
        let place = unsafe { System.realloc(place, layout, size) };
        note(place, size, true);
        place
    }
}

#[inline]
fn note(place: *mut u8, size: usize, taken: bool) {
    if WATCHED.load(Relaxed) && size <= SIZE_MAX {
        let at = WRITTEN.fetch_add(1, Relaxed);
        if let Some(word) = LOG.get().and_then(|log| log.get(at)) {
            word.store(
                (place.addr() as u64) << 16 | (size as u64) << 1 | u64::from(taken),
                Relaxed,
            );
        }
    }
}

/// Makes room to write down so many uses of the heap.
pub(super) fn prepare(uses: usize) {
    LOG.get_or_init(|| (0..uses).map(|_| AtomicU64::new(0)).collect());
}

/// Begins or ends to watch; returns how many uses have been written down.
pub(super) fn watch(on: bool) -> usize {
    WATCHED.store(on, Relaxed);
    WRITTEN.load(Relaxed)
}

/// What is done with an object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Take,
    Give,
    /// A node has it since an earlier input, and will give it back in a later one.
    Hold,
}

/// One use of the heap.
#[derive(Clone, Copy)]
pub(super) struct Use {
    object: u32,
    size: u16,
    what: What,
}

/// All uses of a run.
#[derive(Default)]
pub(super) struct Uses {
    pub(super) list: Vec<Use>,
    /// How many each input has.
    pub(super) counts: Vec<u16>,
    /// Sizes of the objects that were there before; they are the first.
    before: Vec<u16>,
    /// The most objects at a time.
    objects: u32,
}

impl Uses {
    /// Reads what was written down. `marks` says how much that was when each input came, `slots` whose
    /// input it was, and `holds` whether it is one that concerns what its node has under way.
    pub(super) fn read(marks: &[usize], slots: &[u32], holds: &[bool]) -> Self {
        let log = LOG.get().map_or(&[][..], |log| log);
        assert!(WRITTEN.load(Relaxed) <= log.len(), "the log of the heap was too short");
        let log: Vec<u64> =
            log[..WRITTEN.load(Relaxed)].iter().map(|at| at.load(Relaxed)).collect();
        let part = |input: usize| {
            let end = marks.get(input + 1).copied().unwrap_or(log.len());
            marks[input]..end
        };
        // Who gives back what was taken.
        let mut open = HashMap::new();
        let mut stays = vec![false; log.len()];
        let mut before = Vec::new();
        for input in 0..marks.len() {
            for at in part(input) {
                let word = log[at];
                if word & 1 == 1 {
                    open.insert(word >> 16, (at, slots[input]));
                } else if let Some((taken, slot)) = open.remove(&(word >> 16)) {
                    stays[taken] = slot == slots[input] && taken < marks[input];
                } else {
                    before.push(size(word));
                }
            }
        }
        let mut uses = Self { before, ..Self::default() };
        let mut next_before = 0;
        uses.objects = uses.before.len() as u32;
        let mut free: Vec<u32> = Vec::new();
        let mut open: HashMap<u64, (u32, bool)> = HashMap::new();
        let mut held: HashMap<u32, Vec<(u32, u16)>> = HashMap::new();
        for input in 0..marks.len() {
            let first = uses.list.len();
            let mine = held.entry(slots[input]).or_default();
            if holds[input] {
                let hold = |(object, size): &(u32, u16)| Use {
                    object: *object,
                    size: *size,
                    what: What::Hold,
                };
                uses.list.extend(mine.iter().map(hold));
            }
            for at in part(input) {
                let (word, size) = (log[at], size(log[at]));
                if word & 1 == 1 {
                    let object = free.pop().unwrap_or_else(|| {
                        uses.objects += 1;
                        uses.objects - 1
                    });
                    open.insert(word >> 16, (object, stays[at]));
                    if stays[at] {
                        mine.push((object, size));
                    }
                    uses.list.push(Use { object, size, what: What::Take });
                    continue;
                }
                let object = match open.remove(&(word >> 16)) {
                    Some((object, _)) => object,
                    None => {
                        next_before += 1;
                        next_before - 1
                    }
                };
                mine.retain(|(other, _)| *other != object);
                free.push(object);
                uses.list.push(Use { object, size, what: What::Give });
            }
            uses.counts.push((uses.list.len() - first) as u16);
            if mine.is_empty() {
                held.remove(&slots[input]);
            }
        }
        uses
    }
}

fn size(word: u64) -> u16 {
    (word as u16) >> 1
}

/// The objects that are there.
pub(super) struct Heap {
    objects: Vec<*mut u8>,
    /// Of all that was read, so that it is read.
    sum: u64,
}

const LINE: usize = 64;

fn layout(size: u16) -> Layout {
    Layout::from_size_align(usize::from(size), align_of::<u64>()).expect("a small object")
}

impl Heap {
    pub(super) fn new(uses: &Uses) -> Self {
        let mut heap = Self { objects: vec![core::ptr::null_mut(); uses.objects as usize], sum: 0 };
        for (object, size) in (0..).zip(&uses.before) {
            heap.act(Use { object, size: *size, what: What::Take });
        }
        heap
    }

    #[inline]
    pub(super) fn act(&mut self, Use { object, size, what }: Use) {
        let place = &mut self.objects[object as usize];
        // SAFETY: a place is taken with this size before it is held or given back, as it was in the
        // run that was watched, and nothing is read beyond its size that was not filled.
        unsafe {
            if what == What::Take {
                *place = std::alloc::alloc(layout(size));
                place.write_bytes(object as u8, usize::from(size));
                return;
            }
            for at in (0..usize::from(size)).step_by(LINE) {
                self.sum = self.sum.wrapping_add(u64::from(place.add(at).read()));
            }
            match what {
                What::Give => std::alloc::dealloc(*place, layout(size)),
                _ => place.write(self.sum as u8),
            }
        }
    }

    /// Brings near where an object is.
    #[inline]
    pub(super) fn look_up(&self, Use { object, .. }: Use) {
        prefetch(self.objects.as_ptr().wrapping_add(object as usize).cast());
    }

    /// Brings an object near.
    #[inline]
    pub(super) fn bring_near(&self, Use { object, size, what }: Use) {
        if what != What::Take {
            let place = self.objects[object as usize];
            (0..usize::from(size)).step_by(LINE).for_each(|at| prefetch(place.wrapping_add(at)));
        }
    }
}

/// Asks for the line at an address.
#[inline]
pub(super) fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing: it is a hint, for which any address will do.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
