//! AVX2: eight lanes.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::{Blocks, LaneState, Lanes, MAX_LANES, PREFETCH_BYTES};
use crate::algorithm::Algorithm;

/// Proof of AVX2: eight lanes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The proof, if the processor has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    /// Compresses the next `blocks` blocks of eight inputs.
    pub(crate) fn compress<A: Algorithm>(
        self,
        state: &mut LaneState,
        inputs: &[Blocks<'_>; MAX_LANES],
        blocks: usize,
    ) {
        #[target_feature(enable = "avx2")]
        fn enabled<A: Algorithm>(
            lanes: Avx2,
            state: &mut LaneState,
            inputs: &[Blocks<'_>; MAX_LANES],
            blocks: usize,
        ) {
            A::compress_lanes(lanes, state, inputs, blocks);
        }
        // SAFETY: `self` exists only where `detect` found the feature.
        unsafe { enabled::<A>(self, state, inputs, blocks) }
    }

    /// Turns eight rows of eight big-endian words into eight columns.
    #[inline(always)]
    fn transpose(self, rows: [__m256i; 8]) -> [__m256i; 8] {
        let mut columns = [self.splat(0); 8];
        // SAFETY: `self` proves the feature.
        unsafe {
            let swap = _mm256_broadcastsi128_si256(_mm_set_epi64x(
                0x0c0d_0e0f_0809_0a0b,
                0x0405_0607_0001_0203,
            ));
            // Within each half: `quads[g][j]` has word j of rows 4g to 4g + 3.
            let mut quads = [[self.splat(0); 4]; 2];
            for (g, quad) in quads.iter_mut().enumerate() {
                let row = [rows[4 * g], rows[4 * g + 1], rows[4 * g + 2], rows[4 * g + 3]];
                let low =
                    [_mm256_unpacklo_epi32(row[0], row[1]), _mm256_unpacklo_epi32(row[2], row[3])];
                let high =
                    [_mm256_unpackhi_epi32(row[0], row[1]), _mm256_unpackhi_epi32(row[2], row[3])];
                *quad = [
                    _mm256_shuffle_epi8(_mm256_unpacklo_epi64(low[0], low[1]), swap),
                    _mm256_shuffle_epi8(_mm256_unpackhi_epi64(low[0], low[1]), swap),
                    _mm256_shuffle_epi8(_mm256_unpacklo_epi64(high[0], high[1]), swap),
                    _mm256_shuffle_epi8(_mm256_unpackhi_epi64(high[0], high[1]), swap),
                ];
            }
            for j in 0..4 {
                columns[j] = _mm256_permute2x128_si256::<0x20>(quads[0][j], quads[1][j]);
                columns[4 + j] = _mm256_permute2x128_si256::<0x31>(quads[0][j], quads[1][j]);
            }
        }
        columns
    }
}

impl Lanes for Avx2 {
    type Vector = __m256i;
    const COUNT: usize = 8;

    #[inline(always)]
    fn splat(self, word: u32) -> __m256i {
        // SAFETY: `self` proves the feature.
        unsafe { _mm256_set1_epi32(word.cast_signed()) }
    }

    #[inline(always)]
    fn load(self, row: &[u32; MAX_LANES]) -> __m256i {
        // SAFETY: `self` proves the feature; `row` is 64 readable bytes, of which 32 are read.
        unsafe { _mm256_loadu_si256(row.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, vector: __m256i, row: &mut [u32; MAX_LANES]) {
        // SAFETY: `self` proves the feature; `row` is 64 writable bytes, of which 32 are written.
        unsafe { _mm256_storeu_si256(row.as_mut_ptr().cast(), vector) }
    }

    #[inline(always)]
    fn message(self, inputs: &[Blocks<'_>; MAX_LANES], block: usize) -> [__m256i; 16] {
        let mut halves = [[self.splat(0); 8]; 2];
        for lane in 0..Self::COUNT {
            let bytes = &inputs[lane][block];
            // SAFETY: `self` proves the feature; `bytes` is 64 readable bytes, of which each load
            // takes one half; a prefetch may name any address.
            unsafe {
                halves[0][lane] = _mm256_loadu_si256(bytes.as_ptr().cast());
                halves[1][lane] = _mm256_loadu_si256(bytes[32..].as_ptr().cast());
                _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().wrapping_add(PREFETCH_BYTES).cast());
            }
        }
        let mut words = [self.splat(0); 16];
        words[..8].copy_from_slice(&self.transpose(halves[0]));
        words[8..].copy_from_slice(&self.transpose(halves[1]));
        words
    }

    #[inline(always)]
    fn add(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves the feature.
        unsafe { _mm256_add_epi32(a, b) }
    }

    #[inline(always)]
    fn xor(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves the feature.
        unsafe { _mm256_xor_si256(a, b) }
    }

    #[inline(always)]
    fn xor3(self, a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        // SAFETY: `self` proves the feature.
        unsafe { _mm256_xor_si256(_mm256_xor_si256(a, b), c) }
    }

    #[inline(always)]
    fn choose(self, mask: __m256i, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves the feature.
        unsafe { _mm256_xor_si256(b, _mm256_and_si256(mask, _mm256_xor_si256(a, b))) }
    }

    #[inline(always)]
    fn majority(self, a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        // SAFETY: `self` proves the feature.
        unsafe {
            let differ = _mm256_xor_si256(a, b);
            _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(differ, c))
        }
    }

    #[inline(always)]
    fn rotate_left(self, a: __m256i, bits: u32) -> __m256i {
        // SAFETY: `self` proves the feature.
        unsafe {
            let left = _mm256_sllv_epi32(a, self.splat(bits));
            _mm256_or_si256(left, _mm256_srlv_epi32(a, self.splat(32 - bits)))
        }
    }

    #[inline(always)]
    fn shift_right(self, a: __m256i, bits: u32) -> __m256i {
        // SAFETY: `self` proves the feature.
        unsafe { _mm256_srlv_epi32(a, self.splat(bits)) }
    }
}
