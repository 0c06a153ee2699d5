//! Tests of trees, ranges of hashes and their proofs.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::peer_wire::HashRange;

fn leaves(count: usize) -> Vec<Hash> {
    (0..count as u64).map(|n| leaf(&n.to_be_bytes())).collect()
}

/// A file of so many leaves in pieces of 2^`layer` leaves: its shape, leaves and piece layer.
fn file(count: usize, layer: u32) -> (FileShape, Vec<Hash>, Vec<Hash>) {
    let leaves = leaves(count);
    let root = root(&leaves, 0);
    let shape = FileShape::new(root, (count as u64) << 14, BLOCK_LEN << layer).unwrap();
    let width = 1 << shape.piece_layer;
    let pieces = leaves.chunks(width).map(|piece| root_of_width(piece, 0, width)).collect();
    (shape, leaves, pieces)
}

fn range(shape: &FileShape, base_layer: u32, index: u32, length: u32, proof: u32) -> HashRange {
    HashRange { pieces_root: shape.root, base_layer, index, length, proof_layers: proof }
}

#[test]
fn roots_follow_from_their_definition() {
    let [a, b, c] = leaves(3).try_into().unwrap();
    let zero = [0; 32];
    assert_eq!(root(&[a], 0), a);
    assert_eq!(root(&[a, b], 0), parent(&a, &b));
    assert_eq!(root(&[a, b, c], 0), parent(&parent(&a, &b), &parent(&c, &zero)));
    assert_eq!(zero_root(2), parent(&parent(&zero, &zero), &parent(&zero, &zero)));
    assert_eq!(root(&[a, b, c], 1), parent(&parent(&a, &b), &parent(&c, &zero_root(1))));
    assert_eq!(root_of_width(&[a], 0, 4), root(&[a, zero, zero, zero], 0));
    assert_eq!(root_of_width(&[], 1, 4), zero_root(3));
    assert_eq!(piece_layer(16 * 1024), 0);
    assert_eq!(piece_layer(128 * 1024), 3);
    assert_eq!((leaf_count(0), leaf_count(1), leaf_count(16385)), (0, 1, 2));
}

#[test]
fn a_layer_is_put_together_from_many_answers() {
    for pieces in [2, 3, 511, 512, 513, 700, 1024, 1500, 2049] {
        let (shape, _, layer) = file(pieces * 2, 1);
        let tree = FileTree::new(shape, &layer).unwrap();
        let mut assembler = LayerAssembler::new(shape).unwrap();
        let requests: Vec<_> = assembler.missing().collect();
        assert_eq!(requests.len(), pieces.div_ceil(512));
        for (number, request) in requests.iter().rev().enumerate() {
            assert!(!assembler.is_complete());
            let answer = tree.answer(request, &[]).unwrap();
            let done = assembler.feed(request, &answer).unwrap();
            assert_eq!(done, number + 1 == requests.len(), "{pieces}");
        }
        assert_eq!(assembler.missing().count(), 0);
        assert_eq!(assembler.finish().unwrap(), layer);
    }
    assert!(LayerAssembler::new(file(2, 1).0).is_none());
}

#[test]
fn requests_ask_for_the_proof_up_to_the_root_and_no_more() {
    let (shape, _, _) = file(700, 0);
    let requests: Vec<_> = LayerAssembler::new(shape).unwrap().missing().collect();
    assert_eq!(requests, [range(&shape, 0, 0, 512, 9), range(&shape, 0, 512, 256, 9)]);
    // A run of one hash would have no place for the proof's first hash: the one after it is
    // asked for as well.
    let (shape, _, _) = file(513, 0);
    let last = LayerAssembler::new(shape).unwrap().missing().last();
    assert_eq!(last, Some(range(&shape, 0, 512, 2, 9)));
    let (shape, _, _) = file(8, 1);
    let requests: Vec<_> = LayerAssembler::new(shape).unwrap().missing().collect();
    assert_eq!(requests, [range(&shape, 1, 0, 4, 1)]);
}

#[test]
fn answers_have_only_the_uncles_that_the_range_does_not_give() {
    let (shape, leaves, layer) = file(16, 2);
    let tree = FileTree::new(shape, &layer).unwrap();
    let request = range(&shape, 0, 4, 2, 3);
    assert_eq!(tree.leaves_needed(&request), Some(1));
    let answer = tree.answer(&request, &leaves[4..8]).unwrap();
    let uncles = [parent(&leaves[6], &leaves[7]), layer[0], parent(&layer[2], &layer[3])];
    assert_eq!(answer, [&leaves[4..6], &uncles[..]].concat());
    assert_eq!(shape.verify(&request, &answer, |_, _| None), Ok(&leaves[4..6]));
}

#[test]
fn a_short_proof_may_end_at_a_known_hash() {
    let (shape, leaves, layer) = file(16, 2);
    let tree = FileTree::new(shape, &layer).unwrap();
    let request = range(&shape, 0, 4, 4, 0);
    let answer = tree.answer(&request, &leaves[4..8]).unwrap();
    assert_eq!(answer, leaves[4..8]);
    let known = |height, index: u64| (height == 2).then(|| layer[index as usize]);
    assert_eq!(shape.verify(&request, &answer, known), Ok(&leaves[4..8]));
    assert_eq!(shape.verify(&request, &answer, |_, _| None), Err(HashesError::Unproven));
    assert_eq!(shape.verify(&request, &leaves[8..12], known), Err(HashesError::Wrong));
}

#[test]
fn a_file_of_one_piece_answers_with_its_leaves() {
    let (shape, leaves, _) = file(3, 4);
    let tree = FileTree::new(shape, &[]).unwrap();
    let request = range(&shape, 0, 0, 4, 1);
    assert_eq!(tree.leaves_needed(&request), Some(0));
    let answer = tree.answer(&request, &leaves).unwrap();
    assert_eq!(answer, [&leaves[..], &[[0; 32]]].concat());
    assert!(shape.verify(&request, &answer, |_, _| None).is_ok());
    assert!(FileTree::new(file(1, 4).0, &[]).is_some());
}

#[test]
fn pw_20_impossible_ranges_and_wrong_hashes_are_refused() {
    let (shape, leaves, layer) = file(40, 2);
    let tree = FileTree::new(shape, &layer).unwrap();
    let table = [
        (range(&shape, 6, 0, 1, 0), HashesError::Layer),
        (range(&shape, u32::MAX, 0, 2, 0), HashesError::Layer),
        (range(&shape, 2, 0, 0, 0), HashesError::Length),
        (range(&shape, 0, 0, 8193, 0), HashesError::Length),
        (range(&shape, 2, 0, u32::MAX, 0), HashesError::Length),
        (range(&shape, 2, 0, 3, 0), HashesError::Length),
        (range(&shape, 2, 1, 2, 0), HashesError::Index),
        (range(&shape, 2, 16, 2, 0), HashesError::Index),
        (range(&shape, 2, 0, 32, 0), HashesError::Index),
        (range(&shape, 2, u32::MAX - 1, 2, 0), HashesError::Index),
        (range(&shape, 2, 0, 2, 4), HashesError::ProofLayers),
        (range(&shape, 2, 0, 2, u32::MAX), HashesError::ProofLayers),
        (HashRange { pieces_root: [1; 32], ..range(&shape, 2, 0, 2, 0) }, HashesError::Root),
    ];
    for (request, error) in table {
        assert_eq!(shape.check(&request), Err(error), "{request:?}");
        assert_eq!(tree.answer(&request, &leaves), None);
        assert_eq!(shape.verify(&request, &[[0; 32]; 2], |_, _| None), Err(error));
    }

    let request = range(&shape, 2, 4, 4, 3);
    let answer = tree.answer(&request, &[]).unwrap();
    assert!(shape.verify(&request, &answer, |_, _| None).is_ok());
    for position in 0..answer.len() {
        let mut wrong = answer.clone();
        wrong[position][31] ^= 1;
        assert_eq!(shape.verify(&request, &wrong, |_, _| None), Err(HashesError::Wrong));
    }
    let mut long = answer.clone();
    long.push([0; 32]);
    for hashes in [&long[..], &answer[1..], &[]] {
        let error = HashesError::Count { found: hashes.len(), needed: 6 };
        assert_eq!(shape.verify(&request, hashes, |_, _| None), Err(error));
    }

    let mut assembler = LayerAssembler::new(shape).unwrap();
    let other = range(&shape, 2, 0, 2, 3);
    let answer = tree.answer(&other, &[]).unwrap();
    assert_eq!(assembler.feed(&other, &answer), Err(HashesError::Index));
    assert!(!assembler.is_complete());

    // Leaves of another piece, too few of them, or wrong ones.
    let request = range(&shape, 0, 8, 4, 1);
    for leaves in [&leaves[4..8], &leaves[8..11], &[]] {
        assert_eq!(tree.answer(&request, leaves), None);
    }
    assert!(tree.answer(&request, &leaves[8..12]).is_some());
    // A run of leaves that reaches over the end of its piece.
    assert_eq!(tree.answer(&range(&shape, 0, 8, 8, 2), &leaves[8..12]), None);
}

#[test]
fn a_tree_over_a_wrong_layer_is_not_made() {
    let (shape, _, layer) = file(40, 2);
    assert!(FileTree::new(shape, &layer[1..]).is_none());
    let mut wrong = layer;
    wrong[3] = [0; 32];
    assert!(FileTree::new(shape, &wrong).is_none());
    assert!(FileShape::new([0; 32], 0, BLOCK_LEN).is_none());
    assert!(FileShape::new([0; 32], u64::MAX, BLOCK_LEN).is_some());
}

proptest! {
    #[test]
    fn every_possible_range_is_answered_and_proven(
        count in 2_usize..300,
        layer in 0_u32..4,
        base in 0_u32..9,
        place: u32,
        length_log in 0_u32..6,
        proof in 0_u32..9,
    ) {
        let (shape, leaves, pieces) = file(count, layer);
        let tree = FileTree::new(shape, &pieces).unwrap();
        let length = 1 << length_log;
        let width = 1_u32.checked_shl(shape.height.saturating_sub(base)).unwrap_or(0);
        let index = place % (width / length).max(1) * length;
        let request = range(&shape, base, index, length, proof);
        let piece_width = 1_usize << shape.piece_layer;
        let mine = match tree.leaves_needed(&request) {
            Some(piece) => leaves.chunks(piece_width).nth(piece as usize).unwrap_or_default(),
            None => &[],
        };
        match tree.answer(&request, mine) {
            None => prop_assert!(
                shape.check(&request).is_err()
                    || (base < shape.piece_layer
                        && (length as usize > piece_width >> base || mine.is_empty()))
            ),
            Some(answer) => {
                let all = |height: u32, index: u64| {
                    let width = 1 << height;
                    let part: Vec<_> =
                        leaves.iter().skip(index as usize * width).take(width).copied().collect();
                    Some(root_of_width(&part, 0, width))
                };
                let run = shape.verify(&request, &answer, all);
                prop_assert_eq!(run, Ok(&answer[..length as usize]));
                let full = range(&shape, base, index, length, shape.height - base - 1);
                let answer = tree.answer(&full, mine).unwrap();
                prop_assert!(shape.verify(&full, &answer, |_, _| None).is_ok());
            }
        }
    }
}

#[test]
fn layers_of_large_files_stay_in_bounds() {
    let shape = FileShape::new([7; 32], 1 << 50, 16 << 20).unwrap();
    assert_eq!((shape.height, shape.piece_layer), (36, 10));
    assert!(shape.check(&range(&shape, 0, u32::MAX - 511, 512, 35)).is_ok());
    let hashes = vec![[0; 32]; 529];
    let wrong = shape.verify(&range(&shape, 10, 0, 512, 25), &hashes, |_, _| None);
    assert_eq!(wrong, Err(HashesError::Wrong));
}
