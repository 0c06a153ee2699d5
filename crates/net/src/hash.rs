//! SHA-1 and SHA-256 of many inputs at once: pieces, merkle leaves, merkle layers.
//!
//! One input is hashed by [`Sha1`] and [`Sha256`], which the `sha1` and `sha2` crates provide. What
//! a piece should hash to, and where its bytes are, is not known here.

mod merkle;

pub use merkle::{LEAF_LEN, merkle_layer, sha256_leaves};
pub use sha1::Sha1;
pub use sha2::{Digest, Sha256};

/// SHA-1 of each input.
///
/// # Panics
/// If there are not as many digests to fill as there are inputs.
pub fn sha1_many(inputs: &[&[u8]], out: &mut [[u8; 20]]) {
    assert_eq!(inputs.len(), out.len(), "one digest for each input");
    for (input, digest) in inputs.iter().zip(out) {
        *digest = Sha1::digest(input).into();
    }
}

/// SHA-256 of each input.
///
/// # Panics
/// If there are not as many digests to fill as there are inputs.
pub fn sha256_many(inputs: &[&[u8]], out: &mut [[u8; 32]]) {
    assert_eq!(inputs.len(), out.len(), "one digest for each input");
    for (input, digest) in inputs.iter().zip(out) {
        *digest = Sha256::digest(input).into();
    }
}
