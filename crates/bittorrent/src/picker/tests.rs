//! The claims that the order of the picker makes; a naive model of all of it is in `model`.

mod model;

use alloc::vec;
use std::collections::BTreeSet;

use machine::Rng;

use super::*;
use crate::id::BLOCK_LEN;

const fn piece(index: u32) -> PieceIndex {
    PieceIndex(index)
}

fn bits(pieces: &BTreeSet<u32>, count: u32) -> Vec<u8> {
    let mut bytes = vec![0; count.div_ceil(8) as usize];
    for &piece in pieces {
        bytes[(piece / 8) as usize] |= 0x80 >> (piece % 8);
    }
    bytes
}

fn picker(pieces: u32, blocks: u32) -> Picker {
    let piece_len = blocks * BLOCK_LEN;
    let total = u64::from(pieces) * u64::from(piece_len) - 100;
    Picker::new(Layout::new(piece_len, total), &mut Rng::new(7))
}

fn pick_all(picker: &mut Picker, conn: u32, want: usize) -> Vec<Block> {
    let mut out = Vec::new();
    let view = PeerView::unchoking(ConnId(conn), PieceSet::All);
    assert_eq!(picker.pick(&view, want, &mut out).blocks, out.len());
    out
}

fn receive_all(picker: &mut Picker, conn: u32, blocks: &[Block]) {
    for &block in blocks {
        let got = picker.received(block, ConnId(conn));
        let Received::Accepted { piece_complete, .. } = got else { panic!("{block:?}: {got:?}") };
        if piece_complete {
            picker.on_verified(block.piece, true);
        }
    }
}

#[test]
fn rarest_pieces_are_begun_first() {
    // Piece p of 40 is at 1 + p / 10 peers, all of which we ask.
    let mut picker = picker(44, 1);
    receive_first_four(&mut picker);
    let have: BTreeSet<u32> = (0..44).filter(|&p| picker.has(piece(p))).collect();
    let rest: Vec<u32> = (0..44).filter(|p| !have.contains(p)).collect();
    for copies in 0..4 {
        let has = rest.iter().enumerate().filter(|(at, _)| at / 10 >= copies);
        picker.peer_joined(&bits(&has.map(|(_, p)| *p).collect(), 44));
    }
    picker.set_partial_budget(u64::MAX);
    for _ in 0..40 {
        picker.peer_joined(&[]);
    }
    let order: Vec<_> = pick_all(&mut picker, 1, 40)
        .iter()
        .map(|block| rest.iter().position(|p| *p == block.piece.0).map(|at| at / 10))
        .collect();
    let sorted = (0..40).map(|at| Some(at / 10)).collect::<Vec<_>>();
    assert_eq!(order, sorted);
}

fn receive_first_four(picker: &mut Picker) {
    picker.seed_joined();
    for _ in 0..4 {
        let blocks = pick_all(picker, 0, 1);
        receive_all(picker, 0, &blocks);
    }
    assert_eq!(picker.have_count(), 4);
    picker.seed_left();
}

#[test]
fn equally_rare_pieces_are_begun_at_random() {
    let mut firsts = [0u32; 16];
    for seed in 0..1_600 {
        let layout = Layout::new(BLOCK_LEN, 16 * u64::from(BLOCK_LEN));
        let mut picker = Picker::new(layout, &mut Rng::new(seed));
        picker.seed_joined();
        for p in 0..4 {
            picker.set_have(piece(p));
        }
        // Two become more common one by one, and must not be favoured when rare again.
        for p in 8..10 {
            picker.peer_has(piece(p));
            let block = pick_all(&mut picker, 1, 1);
            picker.unrequest(block[0], ConnId(1));
            picker.peer_lost(piece(p));
        }
        firsts[pick_all(&mut picker, 1, 1)[0].piece.0 as usize] += 1;
    }
    let (had, rest) = firsts.split_at(4);
    assert_eq!(had, [0; 4]);
    assert!(rest.iter().all(|&n| (85..185).contains(&n)), "{rest:?}");
}

#[test]
fn equal_seeds_pick_equally_and_others_do_not() {
    let run = |seed| {
        let layout = Layout::new(BLOCK_LEN, 100 * u64::from(BLOCK_LEN));
        let mut picker = Picker::new(layout, &mut Rng::new(seed));
        picker.seed_joined();
        (0..3).flat_map(|conn| pick_all(&mut picker, conn, 3)).collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn begun_pieces_are_finished_first() {
    let mut picker = picker(9, 4);
    picker.seed_joined();
    let first = pick_all(&mut picker, 1, 2);
    let second = pick_all(&mut picker, 2, 5);
    assert_eq!(second[0].piece, first[0].piece);
    assert_eq!(second[1].piece, first[0].piece);
    assert!(second[2..].iter().all(|block| block.piece == second[2].piece));
}

#[test]
fn fast_peers_take_whole_pieces() {
    let mut picker = picker(9, 4);
    picker.seed_joined();
    let slow = pick_all(&mut picker, 1, 1);
    let mut out = Vec::new();
    let fast = PeerView { speed: Speed::Fast, ..PeerView::unchoking(ConnId(2), PieceSet::All) };
    assert_eq!(picker.pick(&fast, 2, &mut out).blocks, 2);
    assert_eq!(picker.pick(&fast, 2, &mut out).blocks, 2);
    assert!(out.iter().all(|block| block.piece == out[0].piece));
    assert_ne!(out[0].piece, slow[0].piece);
}

#[test]
fn choked_peers_are_asked_for_what_they_allow() {
    let mut picker = picker(9, 2);
    picker.seed_joined();
    let allowed = [piece(3), piece(200), piece(5)];
    let view =
        PeerView { choked_allows: Some(&allowed), ..PeerView::unchoking(ConnId(1), PieceSet::All) };
    let mut out = Vec::new();
    assert_eq!(picker.pick(&view, 100, &mut out).blocks, 4);
    assert!(out.iter().all(|block| allowed.contains(&block.piece)));
    let view = PeerView { choked_allows: Some(&[]), ..view };
    assert_eq!(picker.pick(&view, 100, &mut out).blocks, 0);
}

#[test]
fn suggestions_and_deadlines_are_heeded() {
    let mut picker = picker(30, 2);
    picker.seed_joined();
    let suggested = [piece(31), piece(17)];
    let view = PeerView { suggested: &suggested, ..PeerView::unchoking(ConnId(1), PieceSet::All) };
    let mut out = Vec::new();
    let _ = picker.pick(&view, 2, &mut out);
    assert!(out.iter().all(|block| block.piece == piece(17)));
    picker.set_deadline(piece(20), Some(2));
    picker.set_deadline(piece(9), Some(1));
    picker.set_deadline(piece(8), Some(0));
    picker.set_deadline(piece(8), None);
    let urgent = pick_all(&mut picker, 2, 4);
    let pieces: Vec<_> = urgent.iter().map(|block| block.piece.0).collect();
    assert_eq!(pieces, [9, 9, 20, 20]);
}

#[test]
fn sequential_picks_run_in_sequence() {
    let mut picker = picker(50, 1);
    picker.set_piece_order(PieceOrder::Sequential);
    for _ in 0..50 {
        picker.seed_joined();
    }
    picker.set_have(piece(2));
    let pieces: Vec<_> = pick_all(&mut picker, 1, 4).iter().map(|block| block.piece.0).collect();
    assert_eq!(pieces, [0, 1, 3, 4]);
}

#[test]
fn random_picks_do_not_heed_rarity() {
    // Piece 0 is what one peer has, the others are what ten have.
    let first = |order: PieceOrder, seed: u64| {
        let layout = picker(50, 1).layout().clone();
        let mut picker = Picker::new(layout, &mut Rng::new(seed));
        picker.set_piece_order(order);
        (1..=4).for_each(|have| picker.set_have(piece(have)));
        let all = vec![0xff; 7];
        let mut others = all.clone();
        others[0] = 0x7f;
        (0..10).for_each(|_| picker.peer_joined(&others));
        picker.peer_joined(&all);
        pick_all(&mut picker, 1, 1)[0].piece.0
    };
    let rare = |order| (0..100).filter(|&seed| first(order, seed) == 0).count();
    assert_eq!(rare(PieceOrder::RarestFirst), 100);
    assert!(rare(PieceOrder::Random) < 10);
}

#[test]
fn endgame_asks_several_and_cancels_the_rest() {
    let mut picker = picker(1, 2);
    picker.seed_joined();
    let blocks = pick_all(&mut picker, 1, 9);
    assert_eq!(blocks.len(), 2);
    assert!(picker.endgame());
    assert_eq!(pick_all(&mut picker, 1, 9), []);
    assert_eq!(pick_all(&mut picker, 2, 1).len(), 1);
    let third = pick_all(&mut picker, 3, 1);
    assert_ne!(third, pick_all(&mut picker, 4, 1));
    for conn in 5..9 {
        let _ = pick_all(&mut picker, conn, 9);
    }
    let Received::Accepted { others, piece_complete: false } = picker.received(third[0], ConnId(3))
    else {
        panic!("not accepted")
    };
    assert_eq!(others.len(), MAX_REQUESTS_PER_BLOCK - 1);
    assert!(!others.contains(&ConnId(3)));
    assert_eq!(picker.received(third[0], ConnId(1)), Received::AlreadyHave);
}

#[test]
fn pw_18_late_blocks_are_asked_of_others_yet_welcome() {
    let mut picker = picker(1, 1);
    picker.seed_joined();
    let block = pick_all(&mut picker, 1, 1)[0];
    picker.timed_out(block, ConnId(1));
    assert!(!picker.endgame());
    assert_eq!(pick_all(&mut picker, 1, 1), []);
    assert_eq!(pick_all(&mut picker, 2, 1), [block]);
    let Received::Accepted { piece_complete: true, others } = picker.received(block, ConnId(1))
    else {
        panic!("not accepted")
    };
    assert_eq!(&*others, [ConnId(2)]);
}

#[test]
fn budget_bounds_begun_pieces_and_stalled_ones_give_way() {
    let mut picker = picker(10, 2);
    picker.set_partial_budget(4 * u64::from(BLOCK_LEN));
    picker.seed_joined();
    let blocks = pick_all(&mut picker, 1, 20);
    assert_eq!(blocks.len(), 4);
    assert_eq!(pick_all(&mut picker, 2, 20).len(), 0);
    // One block arrives and its sender goes; a peer that has none of the begun pieces comes.
    receive_all(&mut picker, 1, &blocks[..1]);
    picker.unrequest(blocks[1], ConnId(1));
    let other = (0..10).map(piece).find(|p| blocks.iter().all(|block| block.piece != *p)).unwrap();
    let has = bits(&BTreeSet::from([other.0]), 10);
    picker.peer_joined(&has);
    let mut out = Vec::new();
    let picked = picker.pick(&PeerView::unchoking(ConnId(3), PieceSet::Bits(&has)), 9, &mut out);
    assert_eq!(picked, Picked { blocks: 2, dropped: Some(blocks[0].piece) });
    assert!(out.iter().all(|block| block.piece == other));
}

#[test]
fn sparse_peers_of_huge_torrents_are_served() {
    let count = 300_000;
    let mut picker = picker(count, 1);
    let has = bits(&BTreeSet::from([count - 3]), count);
    for p in 0..4 {
        picker.set_have(piece(p));
    }
    for _ in 0..3 {
        picker.peer_joined(&has);
    }
    picker.seed_joined();
    let mut out = Vec::new();
    let view = PeerView::unchoking(ConnId(3), PieceSet::Bits(&has));
    assert_eq!(picker.pick(&view, 9, &mut out).blocks, 1);
    assert_eq!(out[0].piece, piece(count - 3));
}

#[test]
fn failed_pieces_are_fetched_again_and_their_senders_known() {
    let mut picker = picker(1, 3);
    picker.seed_joined();
    let (one, two) = (pick_all(&mut picker, 1, 1), pick_all(&mut picker, 2, 2));
    let _ = picker.received(one[0], ConnId(1));
    let _ = picker.received(two[0], ConnId(2));
    let _ = picker.received(two[1], ConnId(2));
    let senders: Vec<_> = picker.contributors(piece(0)).map(|(_, conn)| conn.0).collect();
    assert_eq!(senders, [1, 2, 2]);
    picker.on_verified(piece(0), false);
    assert_eq!(picker.contributors(piece(0)).count(), 0);
    assert_eq!(pick_all(&mut picker, 3, 9).len(), 3);
}
