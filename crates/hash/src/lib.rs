//! SHA-1 and SHA-256 of many inputs at once.
//!
//! Independent inputs run in the lanes of vector registers, one 32-bit word each, by the engine
//! that is fastest for so many of them. GiB/s, the best of ten, on one core of a Zen 4 at 3.7 GHz,
//! pieces of 256 KiB (`cargo bench -p shoal-hash --bench hash`):
//!
//! | inputs at once         | 1    | 2    | 4    | 8    | 16   |
//! |------------------------|------|------|------|------|------|
//! | SHA-1, crate (SHA-NI)  | 1.80 | 1.80 | 1.80 | 1.80 | 1.80 |
//! | SHA-1, SHA-NI x2       | 1.53 | 2.99 | 3.06 | 3.05 | 3.06 |
//! | SHA-1, AVX2 x8         |      |      | 1.98 | 3.91 | 3.80 |
//! | SHA-1, AVX-512 x8      |      |      | 2.85 | 5.75 | 5.80 |
//! | SHA-1, AVX-512 x16     |      |      |      | 3.25 | 5.44 |
//! | SHA-256, crate (SHA-NI)| 1.68 | 1.68 | 1.68 | 1.68 | 1.68 |
//! | SHA-256, SHA-NI x2     | 1.56 | 3.11 | 3.10 | 3.07 | 3.06 |
//! | SHA-256, AVX2 x8       |      |      | 0.71 | 1.72 | 1.70 |
//! | SHA-256, AVX-512 x8    |      |      | 1.48 | 2.98 | 2.97 |
//! | SHA-256, AVX-512 x16   |      |      |      | 1.69 | 3.01 |
//!
//! Without SHA-NI the crates do 0.76 and 0.36.
//!
//! One input is hashed by [`Sha1`] and [`Sha256`], which the `sha1` and `sha2` crates provide. What
//! a piece should hash to, and where its bytes are, is not known here.

mod algorithm;
mod engine;
mod lanes;
mod schedule;
#[cfg(target_arch = "x86_64")]
mod sha_ni;

use std::sync::LazyLock;

pub use engine::Engine;
pub use sha1::Sha1;
pub use sha2::{Digest, Sha256};

/// SHA-1 of each input.
///
/// # Panics
/// If there are not as many digests to fill as there are inputs.
pub fn sha1_many(inputs: &[&[u8]], out: &mut [[u8; 20]]) {
    schedule::run::<algorithm::sha1::Sha1>(Engine::for_sha1, inputs, out);
}

/// SHA-256 of each input.
///
/// # Panics
/// If there are not as many digests to fill as there are inputs.
pub fn sha256_many(inputs: &[&[u8]], out: &mut [[u8; 32]]) {
    schedule::run::<algorithm::sha256::Sha256>(Engine::for_sha256, inputs, out);
}

/// What hashes a full set of inputs on this processor, for people: `SHA-1 avx512 x16, SHA-256 ..`.
#[must_use]
pub fn engine() -> &'static str {
    static NAMES: LazyLock<String> = LazyLock::new(|| {
        let (sha1, sha256) = (Engine::for_sha1(usize::MAX), Engine::for_sha256(usize::MAX));
        format!("SHA-1 {}, SHA-256 {}", sha1.name(), sha256.name())
    });
    &NAMES
}

/// [`sha1_many`] by one engine, whether or not it is the fastest: for measurements.
///
/// # Panics
/// If there are not as many digests to fill as there are inputs.
pub fn sha1_many_by(engine: Engine, inputs: &[&[u8]], out: &mut [[u8; 20]]) {
    schedule::run::<algorithm::sha1::Sha1>(|_| engine, inputs, out);
}

/// [`sha256_many`] by one engine, whether or not it is the fastest: for measurements.
///
/// # Panics
/// If there are not as many digests to fill as there are inputs.
pub fn sha256_many_by(engine: Engine, inputs: &[&[u8]], out: &mut [[u8; 32]]) {
    schedule::run::<algorithm::sha256::Sha256>(|_| engine, inputs, out);
}
