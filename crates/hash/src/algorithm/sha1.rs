//! SHA-1 (FIPS 180-4, 6.1.2) over vectors of lanes.

use super::Algorithm;
use crate::lanes::{BLOCK_BYTES, Blocks, LaneState, Lanes, MAX_LANES};
#[cfg(target_arch = "x86_64")]
use crate::sha_ni::ShaNi;

/// SHA-1.
pub(crate) struct Sha1;

/// Constants of the four groups of twenty rounds.
const K: [u32; 4] = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6];

impl Algorithm for Sha1 {
    type Digest = [u8; 20];
    const INITIAL: [u32; 8] =
        [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0, 0, 0, 0];

    fn digest(words: [u32; 8]) -> [u8; 20] {
        let mut digest = [0; 20];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }

    fn compress_one(words: &mut [u32; 8], blocks: &[[u8; BLOCK_BYTES]]) {
        if let Some(state) = words.first_chunk_mut::<5>() {
            sha1::block_api::compress(state, blocks);
        }
    }

    #[inline(always)]
    fn compress_lanes<L: Lanes>(
        lanes: L,
        state: &mut LaneState,
        inputs: &[Blocks<'_>; MAX_LANES],
        blocks: usize,
    ) {
        let mut chain = [lanes.splat(0); 5];
        for (vector, row) in chain.iter_mut().zip(&state.0) {
            *vector = lanes.load(row);
        }
        for block in 0..blocks {
            let mut w = lanes.message(inputs, block);
            let [mut a, mut b, mut c, mut d, mut e] = chain;

            macro_rules! rounds {
                ($function:ident, $k:expr, $($t:literal)*) => {
                    let k = lanes.splat($k);
                    $(
                        if $t >= 16 {
                            let (x, y, z) = (w[($t + 13) % 16], w[($t + 8) % 16], w[($t + 2) % 16]);
                            w[$t % 16] = lanes.rotate_left(lanes.xor(lanes.xor3(x, y, z), w[$t % 16]), 1);
                        }
                        let input = lanes.add(lanes.add(e, k), lanes.add(w[$t % 16], lanes.$function(b, c, d)));
                        e = d;
                        d = c;
                        c = lanes.rotate_left(b, 30);
                        b = a;
                        a = lanes.add(lanes.rotate_left(a, 5), input);
                    )*
                };
            }
            rounds!(choose, K[0], 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
            rounds!(xor3, K[1], 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39);
            rounds!(majority, K[2], 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59);
            rounds!(xor3, K[3], 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79);

            for (vector, sum) in chain.iter_mut().zip([a, b, c, d, e]) {
                *vector = lanes.add(*vector, sum);
            }
        }
        for (vector, row) in chain.into_iter().zip(&mut state.0) {
            lanes.store(vector, row);
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn compress_pair(sha_ni: ShaNi, state: &mut LaneState, inputs: [Blocks<'_>; 2], blocks: usize) {
        sha_ni.sha1(state, inputs, blocks);
    }
}
