//! Leaves and layers of the merkle trees of BEP 52. Proofs and roots of whole trees are in
//! `bittorrent::merkle`.

use std::mem;

use bittorrent::id::BLOCK_LEN;
use bittorrent::merkle::parent;

use hash::sha256_many;

/// Bytes of a leaf of the tree; the last leaf of a file is what is left (BEP 52).
pub const LEAF_LEN: usize = BLOCK_LEN as usize;

/// How many inputs are gathered before they are hashed: a multiple of all lane counts.
const BATCH: usize = 64;

/// Appends the leaf hashes of `data` to `out`: SHA-256 of each [`LEAF_LEN`] bytes and of the rest.
/// Nothing is appended for no data.
pub fn sha256_leaves(data: &[u8], out: &mut Vec<[u8; 32]>) {
    let mut leaves: [&[u8]; BATCH] = [&[]; BATCH];
    for run in data.chunks(BATCH * LEAF_LEN) {
        let mut count = 0;
        for (leaf, bytes) in leaves.iter_mut().zip(run.chunks(LEAF_LEN)) {
            *leaf = bytes;
            count += 1;
        }
        let start = out.len();
        out.resize(start + count, [0; 32]);
        sha256_many(&leaves[..count], &mut out[start..]);
    }
}

/// Appends the layer above `nodes` to `out`: SHA-256 of each pair. If their number is odd the last
/// is paired with `pad`, the root of an empty subtree of that height.
pub fn merkle_layer(nodes: &[[u8; 32]], pad: [u8; 32], out: &mut Vec<[u8; 32]>) {
    let (pairs, rest) = nodes.as_chunks::<2>();
    let last = rest.first().map(|&node| [node, pad]);
    let mut inputs: [&[u8]; BATCH] = [&[]; BATCH];
    for run in pairs.chunks(BATCH) {
        for (input, pair) in inputs.iter_mut().zip(run) {
            *input = pair.as_flattened();
        }
        let start = out.len();
        out.resize(start + run.len(), [0; 32]);
        sha256_many(&inputs[..run.len()], &mut out[start..]);
    }
    if let Some(pair) = last {
        let start = out.len();
        out.push([0; 32]);
        sha256_many(&[pair.as_flattened()], &mut out[start..]);
    }
}

/// The root of the tree over `leaves` with zeros for those that are missing up to `width`, a power
/// of two (BEP 52). `None` if there are no leaves, or too many.
#[must_use]
pub fn subtree_root(leaves: &[[u8; 32]], width: u32) -> Option<[u8; 32]> {
    if leaves.is_empty() || !width.is_power_of_two() || leaves.len() as u64 > u64::from(width) {
        return None;
    }
    let mut nodes = leaves.to_vec();
    let mut above = Vec::with_capacity(nodes.len().div_ceil(2));
    let mut pad = [0; 32];
    for _ in 0..width.trailing_zeros() {
        above.clear();
        merkle_layer(&nodes, pad, &mut above);
        pad = parent(&pad, &pad);
        mem::swap(&mut nodes, &mut above);
    }
    nodes.first().copied()
}

#[cfg(test)]
mod tests {
    use hash::{Digest, Sha256};

    use super::*;

    #[test]
    fn leaves_are_blocks_and_a_rest() {
        for len in [0, 1, LEAF_LEN - 1, LEAF_LEN, LEAF_LEN + 1, 65 * LEAF_LEN + 7] {
            let data: Vec<u8> = (0..len).map(|i| (i * 7 + i / 251) as u8).collect();
            let mut found = vec![[9; 32]];
            sha256_leaves(&data, &mut found);
            let wanted: Vec<[u8; 32]> =
                data.chunks(LEAF_LEN).map(|leaf| Sha256::digest(leaf).into()).collect();
            assert_eq!(found[0], [9; 32]);
            assert_eq!(found[1..], wanted, "{len} bytes");
        }
    }

    #[test]
    fn layers_pair_nodes_and_pad_the_last() {
        for count in 0..140_usize {
            let nodes: Vec<[u8; 32]> =
                (0..count).map(|i| Sha256::digest(i.to_le_bytes()).into()).collect();
            let pad = [0x55; 32];
            let mut found = Vec::new();
            merkle_layer(&nodes, pad, &mut found);
            let wanted: Vec<[u8; 32]> = nodes
                .chunks(2)
                .map(|pair| {
                    let right = pair.get(1).unwrap_or(&pad);
                    Sha256::new().chain_update(pair[0]).chain_update(right).finalize().into()
                })
                .collect();
            assert_eq!(found, wanted, "{count} nodes");
        }
    }

    #[test]
    fn missing_leaves_are_zeros() {
        for count in 1..=33_usize {
            let leaves: Vec<[u8; 32]> =
                (0..count).map(|i| Sha256::digest(i.to_le_bytes()).into()).collect();
            for width in [1, 2, 4, 8, 16, 32, 64, 128_u32] {
                let wanted = (count <= width as usize)
                    .then(|| bittorrent::merkle::root_of_width(&leaves, 0, width as usize));
                assert_eq!(subtree_root(&leaves, width), wanted, "{count} of {width}");
            }
        }
        assert_eq!(subtree_root(&[], 4), None);
        assert_eq!(subtree_root(&[[1; 32]; 3], 6), None);
    }
}
