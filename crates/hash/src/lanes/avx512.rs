//! AVX-512: sixteen lanes, or eight for fewer inputs. Rotation and any function of three bits are
//! one instruction each.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::avx2::Avx2;
use super::{Blocks, LaneState, Lanes, MAX_LANES, PREFETCH_BYTES};
use crate::algorithm::Algorithm;

/// Truth tables of `vpternlog`.
const XOR3: i32 = 0x96;
const CHOOSE: i32 = 0xca;
const MAJORITY: i32 = 0xe8;

/// Proof of AVX-512 F and BW: sixteen lanes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// The proof, if the processor has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw"))
            .then_some(Self(()))
    }

    /// Compresses the next `blocks` blocks of sixteen inputs.
    pub(crate) fn compress<A: Algorithm>(
        self,
        state: &mut LaneState,
        inputs: &[Blocks<'_>; MAX_LANES],
        blocks: usize,
    ) {
        #[target_feature(enable = "avx512f,avx512bw")]
        fn enabled<A: Algorithm>(
            lanes: Avx512,
            state: &mut LaneState,
            inputs: &[Blocks<'_>; MAX_LANES],
            blocks: usize,
        ) {
            A::compress_lanes(lanes, state, inputs, blocks);
        }
        // SAFETY: `self` exists only where `detect` found the features.
        unsafe { enabled::<A>(self, state, inputs, blocks) }
    }
}

impl Lanes for Avx512 {
    type Vector = __m512i;
    const COUNT: usize = 16;

    #[inline(always)]
    fn splat(self, word: u32) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_set1_epi32(word.cast_signed()) }
    }

    #[inline(always)]
    fn load(self, row: &[u32; MAX_LANES]) -> __m512i {
        // SAFETY: `self` proves the features; `row` is 64 readable bytes.
        unsafe { _mm512_loadu_si512(row.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, vector: __m512i, row: &mut [u32; MAX_LANES]) {
        // SAFETY: `self` proves the features; `row` is 64 writable bytes.
        unsafe { _mm512_storeu_si512(row.as_mut_ptr().cast(), vector) }
    }

    #[inline(always)]
    fn message(self, inputs: &[Blocks<'_>; MAX_LANES], block: usize) -> [__m512i; 16] {
        let mut rows = [self.splat(0); 16];
        for (row, input) in rows.iter_mut().zip(inputs) {
            let bytes = &input[block];
            // SAFETY: `self` proves the features; `bytes` is 64 readable bytes; a prefetch may name
            // any address.
            unsafe {
                *row = _mm512_loadu_si512(bytes.as_ptr().cast());
                _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().wrapping_add(PREFETCH_BYTES).cast());
            }
        }
        self.transpose(rows)
    }

    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    fn xor(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_xor_si512(a, b) }
    }

    #[inline(always)]
    fn xor3(self, a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_ternarylogic_epi32::<XOR3>(a, b, c) }
    }

    #[inline(always)]
    fn choose(self, mask: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_ternarylogic_epi32::<CHOOSE>(mask, a, b) }
    }

    #[inline(always)]
    fn majority(self, a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_ternarylogic_epi32::<MAJORITY>(a, b, c) }
    }

    #[inline(always)]
    fn rotate_left(self, a: __m512i, bits: u32) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_rolv_epi32(a, self.splat(bits)) }
    }

    #[inline(always)]
    fn shift_right(self, a: __m512i, bits: u32) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_srlv_epi32(a, self.splat(bits)) }
    }
}

impl Avx512 {
    /// Turns sixteen rows of sixteen big-endian words into sixteen columns.
    #[inline(always)]
    fn transpose(self, rows: [__m512i; 16]) -> [__m512i; 16] {
        let mut columns = [self.splat(0); 16];
        // SAFETY: `self` proves the features.
        unsafe {
            let swap = _mm512_broadcast_i32x4(_mm_set_epi64x(
                0x0c0d_0e0f_0809_0a0b,
                0x0405_0607_0001_0203,
            ));
            // Within each 128-bit quarter: `quads[g][j]` has word j of rows 4g to 4g + 3.
            let mut quads = [[self.splat(0); 4]; 4];
            for (g, quad) in quads.iter_mut().enumerate() {
                let row = [rows[4 * g], rows[4 * g + 1], rows[4 * g + 2], rows[4 * g + 3]];
                let low =
                    [_mm512_unpacklo_epi32(row[0], row[1]), _mm512_unpacklo_epi32(row[2], row[3])];
                let high =
                    [_mm512_unpackhi_epi32(row[0], row[1]), _mm512_unpackhi_epi32(row[2], row[3])];
                *quad = [
                    _mm512_shuffle_epi8(_mm512_unpacklo_epi64(low[0], low[1]), swap),
                    _mm512_shuffle_epi8(_mm512_unpackhi_epi64(low[0], low[1]), swap),
                    _mm512_shuffle_epi8(_mm512_unpacklo_epi64(high[0], high[1]), swap),
                    _mm512_shuffle_epi8(_mm512_unpackhi_epi64(high[0], high[1]), swap),
                ];
            }
            // Quarter q of column 4q + j comes from each of the four quads.
            for j in 0..4 {
                let first = [
                    _mm512_shuffle_i32x4::<0x44>(quads[0][j], quads[1][j]),
                    _mm512_shuffle_i32x4::<0x44>(quads[2][j], quads[3][j]),
                ];
                let second = [
                    _mm512_shuffle_i32x4::<0xee>(quads[0][j], quads[1][j]),
                    _mm512_shuffle_i32x4::<0xee>(quads[2][j], quads[3][j]),
                ];
                columns[j] = _mm512_shuffle_i32x4::<0x88>(first[0], first[1]);
                columns[4 + j] = _mm512_shuffle_i32x4::<0xdd>(first[0], first[1]);
                columns[8 + j] = _mm512_shuffle_i32x4::<0x88>(second[0], second[1]);
                columns[12 + j] = _mm512_shuffle_i32x4::<0xdd>(second[0], second[1]);
            }
        }
        columns
    }
}

/// Proof of AVX-512 F and VL: eight lanes of half the width.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512Half(Avx2);

impl Avx512Half {
    /// The proof, if the processor has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        let half = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
        Avx2::detect().filter(|_| half).map(Self)
    }

    /// Compresses the next `blocks` blocks of eight inputs.
    pub(crate) fn compress<A: Algorithm>(
        self,
        state: &mut LaneState,
        inputs: &[Blocks<'_>; MAX_LANES],
        blocks: usize,
    ) {
        #[target_feature(enable = "avx2,avx512f,avx512vl")]
        fn enabled<A: Algorithm>(
            lanes: Avx512Half,
            state: &mut LaneState,
            inputs: &[Blocks<'_>; MAX_LANES],
            blocks: usize,
        ) {
            A::compress_lanes(lanes, state, inputs, blocks);
        }
        // SAFETY: `self` exists only where `detect` found the features.
        unsafe { enabled::<A>(self, state, inputs, blocks) }
    }
}

impl Lanes for Avx512Half {
    type Vector = __m256i;
    const COUNT: usize = 8;

    #[inline(always)]
    fn splat(self, word: u32) -> __m256i {
        self.0.splat(word)
    }

    #[inline(always)]
    fn load(self, row: &[u32; MAX_LANES]) -> __m256i {
        self.0.load(row)
    }

    #[inline(always)]
    fn store(self, vector: __m256i, row: &mut [u32; MAX_LANES]) {
        self.0.store(vector, row);
    }

    #[inline(always)]
    fn message(self, inputs: &[Blocks<'_>; MAX_LANES], block: usize) -> [__m256i; 16] {
        self.0.message(inputs, block)
    }

    #[inline(always)]
    fn add(self, a: __m256i, b: __m256i) -> __m256i {
        self.0.add(a, b)
    }

    #[inline(always)]
    fn xor(self, a: __m256i, b: __m256i) -> __m256i {
        self.0.xor(a, b)
    }

    #[inline(always)]
    fn xor3(self, a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_ternarylogic_epi32::<XOR3>(a, b, c) }
    }

    #[inline(always)]
    fn choose(self, mask: __m256i, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_ternarylogic_epi32::<CHOOSE>(mask, a, b) }
    }

    #[inline(always)]
    fn majority(self, a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_ternarylogic_epi32::<MAJORITY>(a, b, c) }
    }

    #[inline(always)]
    fn rotate_left(self, a: __m256i, bits: u32) -> __m256i {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_rolv_epi32(a, self.splat(bits)) }
    }

    #[inline(always)]
    fn shift_right(self, a: __m256i, bits: u32) -> __m256i {
        self.0.shift_right(a, bits)
    }
}
