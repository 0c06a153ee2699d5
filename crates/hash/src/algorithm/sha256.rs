//! SHA-256 (FIPS 180-4, 6.2.2) over vectors of lanes.

use super::Algorithm;
use crate::lanes::{BLOCK_BYTES, Blocks, LaneState, Lanes, MAX_LANES};
#[cfg(target_arch = "x86_64")]
use crate::sha_ni::ShaNi;

/// SHA-256.
pub(crate) struct Sha256;

/// Constants of the rounds: the fractions of the cube roots of the first 64 primes.
#[rustfmt::skip]
pub(crate) const K: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5,
    0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3,
    0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc,
    0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7,
    0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13,
    0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3,
    0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5,
    0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208,
    0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

impl Algorithm for Sha256 {
    type Digest = [u8; 32];
    const INITIAL: [u32; 8] = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];

    fn digest(words: [u32; 8]) -> [u8; 32] {
        let mut digest = [0; 32];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }

    fn compress_one(words: &mut [u32; 8], blocks: &[[u8; BLOCK_BYTES]]) {
        sha2::block_api::compress256(words, blocks);
    }

    #[inline(always)]
    fn compress_lanes<L: Lanes>(
        lanes: L,
        state: &mut LaneState,
        inputs: &[Blocks<'_>; MAX_LANES],
        blocks: usize,
    ) {
        let mut chain = [lanes.splat(0); 8];
        for (vector, row) in chain.iter_mut().zip(&state.0) {
            *vector = lanes.load(row);
        }
        for block in 0..blocks {
            let mut w = lanes.message(inputs, block);
            let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = chain;

            macro_rules! rounds {
                ($($t:literal)*) => { $(
                    if $t >= 16 {
                        let (old, new) = (w[($t + 1) % 16], w[($t + 14) % 16]);
                        let old = lanes.xor3(
                            lanes.rotate_left(old, 32 - 7),
                            lanes.rotate_left(old, 32 - 18),
                            lanes.shift_right(old, 3),
                        );
                        let new = lanes.xor3(
                            lanes.rotate_left(new, 32 - 17),
                            lanes.rotate_left(new, 32 - 19),
                            lanes.shift_right(new, 10),
                        );
                        let sum = lanes.add(w[$t % 16], w[($t + 9) % 16]);
                        w[$t % 16] = lanes.add(sum, lanes.add(old, new));
                    }
                    let input = lanes.add(h, lanes.add(w[$t % 16], lanes.splat(K[$t])));
                    let mixed = lanes.xor3(
                        lanes.rotate_left(e, 32 - 6),
                        lanes.rotate_left(e, 32 - 11),
                        lanes.rotate_left(e, 32 - 25),
                    );
                    let first = lanes.add(lanes.add(input, lanes.choose(e, f, g)), mixed);
                    let mixed = lanes.xor3(
                        lanes.rotate_left(a, 32 - 2),
                        lanes.rotate_left(a, 32 - 13),
                        lanes.rotate_left(a, 32 - 22),
                    );
                    let second = lanes.add(mixed, lanes.majority(a, b, c));
                    h = g;
                    g = f;
                    f = e;
                    e = lanes.add(d, first);
                    d = c;
                    c = b;
                    b = a;
                    a = lanes.add(first, second);
                )* };
            }
            rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
            rounds!(16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
            rounds!(32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47);
            rounds!(48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);

            for (vector, sum) in chain.iter_mut().zip([a, b, c, d, e, f, g, h]) {
                *vector = lanes.add(*vector, sum);
            }
        }
        for (vector, row) in chain.into_iter().zip(&mut state.0) {
            lanes.store(vector, row);
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn compress_pair(sha_ni: ShaNi, state: &mut LaneState, inputs: [Blocks<'_>; 2], blocks: usize) {
        sha_ni.sha256(state, inputs, blocks);
    }
}
