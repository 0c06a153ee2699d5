//! SHA-NI over two inputs at once: each instruction waits for the one before it in the same input,
//! so a second input runs in the gaps. One input alone is left to the `sha1` and `sha2` crates.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::algorithm::sha256::K;
use super::lanes::{BLOCK_BYTES, Blocks, LaneState};

/// Inputs that run side by side.
pub(super) const STREAMS: usize = 2;

/// Proof of SHA-NI, SSSE3 and SSE4.1.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShaNi(());

/// One register of each stream.
type Streams = [__m128i; STREAMS];

impl ShaNi {
    /// The proof, if the processor has the instructions.
    pub(super) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1");
        all.then_some(Self(()))
    }

    /// SHA-1: compresses the next `blocks` blocks of both inputs.
    pub(super) fn sha1(self, state: &mut LaneState, inputs: [Blocks<'_>; STREAMS], blocks: usize) {
        // SAFETY: `self` exists only where `detect` found the features.
        unsafe { sha1(state, inputs, blocks) }
    }

    /// SHA-256: compresses the next `blocks` blocks of both inputs.
    pub(super) fn sha256(
        self,
        state: &mut LaneState,
        inputs: [Blocks<'_>; STREAMS],
        blocks: usize,
    ) {
        // SAFETY: `self` exists only where `detect` found the features.
        unsafe { sha256(state, inputs, blocks) }
    }
}

/// Four registers of four words of the block, in the order that `swap` gives them.
#[target_feature(enable = "ssse3,sse4.1")]
#[inline]
fn message(block: &[u8; BLOCK_BYTES], swap: __m128i) -> [__m128i; 4] {
    let mut words = [_mm_setzero_si128(); 4];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<16>().0) {
        // SAFETY: `bytes` is 16 readable bytes.
        *word = _mm_shuffle_epi8(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }, swap);
    }
    words
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn sha1(state: &mut LaneState, inputs: [Blocks<'_>; STREAMS], blocks: usize) {
    let zero = _mm_setzero_si128();
    // The whole register backwards: the first word is the highest.
    let swap = _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f);
    let mut abcd: Streams = [zero; STREAMS];
    let mut e: Streams = [zero; STREAMS];
    for s in 0..STREAMS {
        let [a, b, c, d, last, ..] = state.lane(s).map(u32::cast_signed);
        abcd[s] = _mm_set_epi32(a, b, c, d);
        e[s] = _mm_set_epi32(last, 0, 0, 0);
    }
    for pair in inputs[0][..blocks].iter().zip(&inputs[1][..blocks]) {
        let mut w = [message(pair.0, swap), message(pair.1, swap)];
        let (abcd_before, e_before) = (abcd, e);
        // What `abcd` was four rounds ago; its `a`, rotated, is the next `e`.
        let mut earlier = abcd;

        macro_rules! rounds {
            ($group:literal: $($i:literal)*) => { $( for s in 0..STREAMS {
                if $i >= 4 {
                    let sum = _mm_sha1msg1_epu32(w[s][$i % 4], w[s][($i + 1) % 4]);
                    let sum = _mm_xor_si128(sum, w[s][($i + 2) % 4]);
                    w[s][$i % 4] = _mm_sha1msg2_epu32(sum, w[s][($i + 3) % 4]);
                }
                let input = if $i == 0 {
                    _mm_add_epi32(e[s], w[s][0])
                } else {
                    _mm_sha1nexte_epu32(earlier[s], w[s][$i % 4])
                };
                earlier[s] = abcd[s];
                abcd[s] = _mm_sha1rnds4_epu32::<$group>(abcd[s], input);
            } )* };
        }
        rounds!(0: 0 1 2 3 4);
        rounds!(1: 5 6 7 8 9);
        rounds!(2: 10 11 12 13 14);
        rounds!(3: 15 16 17 18 19);

        for s in 0..STREAMS {
            e[s] = _mm_sha1nexte_epu32(earlier[s], e_before[s]);
            abcd[s] = _mm_add_epi32(abcd[s], abcd_before[s]);
        }
    }
    for s in 0..STREAMS {
        let word = i32::cast_unsigned;
        state.set_lane(
            s,
            [
                word(_mm_extract_epi32::<3>(abcd[s])),
                word(_mm_extract_epi32::<2>(abcd[s])),
                word(_mm_extract_epi32::<1>(abcd[s])),
                word(_mm_extract_epi32::<0>(abcd[s])),
                word(_mm_extract_epi32::<3>(e[s])),
                0,
                0,
                0,
            ],
        );
    }
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn sha256(state: &mut LaneState, inputs: [Blocks<'_>; STREAMS], blocks: usize) {
    let zero = _mm_setzero_si128();
    // Each word backwards: the first word is the lowest.
    let swap = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let mut abef: Streams = [zero; STREAMS];
    let mut cdgh: Streams = [zero; STREAMS];
    for s in 0..STREAMS {
        let [a, b, c, d, e, f, g, h] = state.lane(s).map(u32::cast_signed);
        abef[s] = _mm_set_epi32(a, b, e, f);
        cdgh[s] = _mm_set_epi32(c, d, g, h);
    }
    for pair in inputs[0][..blocks].iter().zip(&inputs[1][..blocks]) {
        let mut w = [message(pair.0, swap), message(pair.1, swap)];
        let (abef_before, cdgh_before) = (abef, cdgh);

        macro_rules! rounds {
            ($($i:literal)*) => { $( for s in 0..STREAMS {
                if $i >= 4 {
                    let sum = _mm_sha256msg1_epu32(w[s][$i % 4], w[s][($i + 1) % 4]);
                    let middle = _mm_alignr_epi8::<4>(w[s][($i + 3) % 4], w[s][($i + 2) % 4]);
                    w[s][$i % 4] =
                        _mm_sha256msg2_epu32(_mm_add_epi32(sum, middle), w[s][($i + 3) % 4]);
                }
                let k = K.as_chunks::<4>().0[$i].map(u32::cast_signed);
                let input = _mm_add_epi32(w[s][$i % 4], _mm_set_epi32(k[3], k[2], k[1], k[0]));
                cdgh[s] = _mm_sha256rnds2_epu32(cdgh[s], abef[s], input);
                let input = _mm_shuffle_epi32::<0x0e>(input);
                abef[s] = _mm_sha256rnds2_epu32(abef[s], cdgh[s], input);
            } )* };
        }
        rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);

        for s in 0..STREAMS {
            abef[s] = _mm_add_epi32(abef[s], abef_before[s]);
            cdgh[s] = _mm_add_epi32(cdgh[s], cdgh_before[s]);
        }
    }
    for s in 0..STREAMS {
        let word = i32::cast_unsigned;
        state.set_lane(
            s,
            [
                word(_mm_extract_epi32::<3>(abef[s])),
                word(_mm_extract_epi32::<2>(abef[s])),
                word(_mm_extract_epi32::<3>(cdgh[s])),
                word(_mm_extract_epi32::<2>(cdgh[s])),
                word(_mm_extract_epi32::<1>(abef[s])),
                word(_mm_extract_epi32::<0>(abef[s])),
                word(_mm_extract_epi32::<1>(cdgh[s])),
                word(_mm_extract_epi32::<0>(cdgh[s])),
            ],
        );
    }
}
