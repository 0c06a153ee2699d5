//! Hints to the cache about what is needed soon: the only unsafe line of the simulator.
#![allow(unsafe_code)]

/// Bytes that one fetch brings.
const LINE: usize = 64;
/// The most lines that a value's prefetch asks for; beyond it the hardware sees the stream.
const LINES_MAX: usize = 6;

/// Brings `value` near, without waiting for it.
#[inline(always)]
pub(crate) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let first = core::ptr::from_ref(value).cast::<i8>();
        let lines = size_of::<T>().div_ceil(LINE).min(LINES_MAX);
        for line in 0..lines {
            // SAFETY: a prefetch reads nothing: it is a hint, for which any address will do.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(line * LINE)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (value, LINE, LINES_MAX);
}
