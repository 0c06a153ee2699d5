//! Hints about memory to the processor and the system: all that is unsafe in the simulator.
#![allow(unsafe_code)]

/// Bytes that one fetch brings.
const LINE: usize = 64;
/// The most lines that a value's prefetch asks for; beyond it the hardware sees the stream.
const LINES_MAX: usize = 6;
/// The most lines that are asked for of what a machine foresees.
const FORESEEN_MAX: usize = 12;

/// Brings `value` near, without waiting for it: into the second cache, for the first is too small for
/// all that is asked for before it is used.
#[inline(always)]
pub(crate) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        let first = core::ptr::from_ref(value).cast::<i8>();
        // A value that does not begin with a line may reach into one more than its size says.
        let lines = const { (size_of::<T>() + LINE / 2) / LINE + 1 };
        for line in 0..lines.min(LINES_MAX) {
            // SAFETY: a prefetch reads nothing: it is a hint, for which any address will do.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(first.wrapping_add(line * LINE)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (value, LINE, LINES_MAX);
}

/// The processor's caches, the second one as above.
pub(crate) struct Caches;

impl machine::Near for Caches {
    #[inline(always)]
    fn bring<T>(&mut self, values: &[T]) {
        #[cfg(target_arch = "x86_64")]
        {
            use core::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
            let first = values.as_ptr().cast::<i8>();
            let skip = first.addr() % LINE;
            let lines = (skip + size_of_val(values)).div_ceil(LINE);
            for line in 0..lines.min(FORESEEN_MAX) {
                // SAFETY: as above.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(first.wrapping_add(line * LINE)) };
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (values, FORESEEN_MAX);
    }
}

/// Below this size large pages are not worth a system call.
const LARGE: usize = 16 << 20;

/// Asks for large pages under the room of `values`: random access to hundreds of megabytes waits
/// more for page tables than for memory.
pub(crate) fn prefer_large_pages<T>(values: &mut Vec<T>) {
    #[cfg(target_os = "linux")]
    {
        let bytes = values.capacity() * size_of::<T>();
        if bytes < LARGE {
            return;
        }
        let page = 1 << 12;
        let first = values.as_mut_ptr().cast::<u8>();
        let skip = first.addr().next_multiple_of(page) - first.addr();
        let length = (bytes - skip) / page * page;
        // SAFETY: the range lies within the allocation, and the advice changes no contents.
        // A system without large pages is as good, only slower.
        let _ = unsafe {
            rustix::mm::madvise(
                first.wrapping_add(skip).cast(),
                length,
                rustix::mm::Advice::LinuxHugepage,
            )
        };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (values, LARGE);
}
