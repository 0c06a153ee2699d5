//! The picker against a naive model, and the claims its order makes.

use alloc::vec;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

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

/// One thing that may happen, with numbers to choose whom and what by.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pick { peer: usize, want: usize, speed: u8 },
    Receive { peer: usize, which: usize, verifies: bool },
    Refuse { peer: usize, which: usize },
    Late { peer: usize, which: usize },
    Leave { peer: usize },
    Gain { peer: usize, piece: u32 },
    Prioritise { piece: u32, level: u8 },
    Urgent { piece: u32, order: Option<u32> },
    Lose { piece: u32 },
    Get { piece: u32 },
    Unasked { peer: usize, piece: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..5usize, 0..9usize, 0..3u8)
            .prop_map(|(peer, want, speed)| Step::Pick { peer, want, speed }),
        8 => (0..5usize, any::<usize>(), prop::bool::weighted(0.8))
            .prop_map(|(peer, which, verifies)| Step::Receive { peer, which, verifies }),
        1 => (0..5usize, any::<usize>()).prop_map(|(peer, which)| Step::Refuse { peer, which }),
        1 => (0..5usize, any::<usize>()).prop_map(|(peer, which)| Step::Late { peer, which }),
        1 => (0..5usize).prop_map(|peer| Step::Leave { peer }),
        2 => (0..5usize, 0..20u32).prop_map(|(peer, piece)| Step::Gain { peer, piece }),
        1 => (0..22u32, 0..9u8).prop_map(|(piece, level)| Step::Prioritise { piece, level }),
        1 => (0..22u32, prop::option::of(0..9u32))
            .prop_map(|(piece, order)| Step::Urgent { piece, order }),
        1 => (0..22u32).prop_map(|piece| Step::Lose { piece }),
        1 => (0..20u32).prop_map(|piece| Step::Get { piece }),
        1 => (0..5usize, 0..22u32).prop_map(|(peer, piece)| Step::Unasked { peer, piece }),
    ]
}

#[derive(Default)]
struct Peer {
    seed: bool,
    has: BTreeSet<u32>,
    /// Blocks asked of it.
    asked: Vec<Block>,
    /// Those of them that are late, and perhaps some that arrived since.
    late: BTreeSet<Block>,
}

/// The picker beside sets that say the same slowly.
struct Model {
    picker: Picker,
    peers: Vec<Peer>,
    have: BTreeSet<u32>,
    level: BTreeMap<u32, u8>,
    received: BTreeMap<Block, ConnId>,
    count: u32,
}

impl Model {
    fn new(
        count: u32,
        blocks: u32,
        budget: u64,
        order: PieceOrder,
        peers: &[BTreeSet<u32>],
    ) -> Self {
        let mut picker = picker(count, blocks);
        picker.set_partial_budget(budget);
        picker.set_piece_order(order);
        let mut all: Vec<_> = peers
            .iter()
            .map(|has| Peer { has: has.iter().map(|p| p % count).collect(), ..Peer::default() })
            .collect();
        all[0].seed = true;
        let mut model = Self {
            picker,
            peers: all,
            have: BTreeSet::new(),
            level: (0..count).map(|piece| (piece, 4)).collect(),
            received: BTreeMap::new(),
            count,
        };
        for peer in 0..model.peers.len() {
            model.join(peer, true);
        }
        model
    }

    fn join(&mut self, peer: usize, joined: bool) {
        let bytes = bits(&self.peers[peer].has, self.count);
        match (self.peers[peer].seed, joined) {
            (true, true) => self.picker.seed_joined(),
            (true, false) => self.picker.seed_left(),
            (false, true) => self.picker.peer_joined(&bytes),
            (false, false) => self.picker.peer_left(&bytes),
        }
    }

    fn wanted(&self, piece: u32) -> bool {
        self.level.get(&piece).is_some_and(|level| *level > 0) && !self.have.contains(&piece)
    }

    fn pick(&mut self, peer: usize, want: usize, speed: Speed) -> usize {
        let bytes = bits(&self.peers[peer].has, self.count);
        let has = if self.peers[peer].seed { PieceSet::All } else { PieceSet::Bits(&bytes) };
        let conn = ConnId(peer as u32);
        let mut out = Vec::new();
        let view = PeerView { speed, ..PeerView::unchoking(conn, has) };
        let picked = self.picker.pick(&view, want, &mut out);
        assert_eq!(picked.blocks, out.len());
        assert!(out.len() <= want);
        if let Some(dropped) = picked.dropped {
            for peer in &mut self.peers {
                let mut lost = peer.asked.extract_if(.., |block| block.piece == dropped);
                assert!(lost.all(|block| peer.late.contains(&block)));
            }
            self.received.retain(|block, _| block.piece != dropped);
        }
        for block in &out {
            assert!(has.has(block.piece), "{block:?} is not at peer {peer}");
            assert!(self.wanted(block.piece.0), "{block:?} is had or not wanted");
            // A late request may have been forgotten for others, and only then be made anew.
            if self.peers[peer].late.contains(block) {
                self.peers[peer].asked.retain(|asked| asked != block);
            }
            assert!(!self.peers[peer].asked.contains(block), "{block:?} asked twice of {peer}");
            assert!(!self.received.contains_key(block), "{block:?} is here");
            assert!(self.picker.layout().block_index(*block).is_some());
            let in_time = |p: &&Peer| p.asked.contains(block) && !p.late.contains(block);
            let asked = self.peers.iter().filter(in_time).count();
            assert!(asked < MAX_REQUESTS_PER_BLOCK);
            assert!(asked == 0 || self.picker.endgame(), "{block:?} asked of several too early");
            self.peers[peer].asked.push(*block);
            self.peers[peer].late.remove(block);
        }
        out.len()
    }

    fn receive(&mut self, peer: usize, which: usize, verifies: bool) {
        if self.peers[peer].asked.is_empty() {
            return;
        }
        let at = which % self.peers[peer].asked.len();
        let block = self.peers[peer].asked.swap_remove(at);
        let conn = ConnId(peer as u32);
        let here = self.have.contains(&block.piece.0) || self.received.contains_key(&block);
        match self.picker.received(block, conn) {
            Received::Accepted { piece_complete, others } => {
                assert!(!here);
                self.received.insert(block, conn);
                for other in others.iter() {
                    let asked = &mut self.peers[other.0 as usize].asked;
                    let before = asked.len();
                    asked.retain(|b| *b != block);
                    assert_eq!(asked.len(), before - 1, "{other:?} was asked for {block:?}");
                }
                let blocks = self.picker.layout().block_count(block.piece);
                let here: Vec<_> =
                    self.received.iter().filter(|(b, _)| b.piece == block.piece).collect();
                assert_eq!(piece_complete, here.len() as u32 == blocks);
                if piece_complete {
                    let told: Vec<_> = self.picker.contributors(block.piece).collect();
                    assert_eq!(told, here.iter().map(|(b, c)| (**b, **c)).collect::<Vec<_>>());
                    self.picker.on_verified(block.piece, verifies);
                    self.received.retain(|b, _| b.piece != block.piece);
                    if verifies {
                        self.have.insert(block.piece.0);
                    }
                }
            }
            Received::AlreadyHave => assert!(here),
            // Its request was forgotten for others once it was late, or its piece given up.
            Received::Unexpected => assert!(!here),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Pick { peer, want, speed } => {
                let speed = [Speed::Slow, Speed::Medium, Speed::Fast][usize::from(speed)];
                self.pick(peer, want, speed);
            }
            Step::Receive { peer, which, verifies } => self.receive(peer, which, verifies),
            Step::Refuse { peer, which } => {
                let asked = &mut self.peers[peer].asked;
                if !asked.is_empty() {
                    let block = asked.swap_remove(which % asked.len());
                    self.picker.unrequest(block, ConnId(peer as u32));
                }
            }
            Step::Late { peer, which } => {
                let asked = &self.peers[peer].asked;
                if !asked.is_empty() {
                    let block = asked[which % asked.len()];
                    self.peers[peer].late.insert(block);
                    self.picker.timed_out(block, ConnId(peer as u32));
                }
            }
            Step::Leave { peer } => {
                self.join(peer, false);
                for block in core::mem::take(&mut self.peers[peer].asked) {
                    self.picker.unrequest(block, ConnId(peer as u32));
                }
                self.join(peer, true);
            }
            Step::Gain { peer, piece } => {
                let count = self.count;
                let peer = &mut self.peers[peer];
                if !peer.seed && peer.has.insert(piece % count) {
                    self.picker.peer_has(PieceIndex(piece % count));
                }
            }
            Step::Prioritise { piece, level } => {
                self.picker.set_priority(PieceIndex(piece), Priority::new(level));
                if let Some(known) = self.level.get_mut(&piece) {
                    *known = level.min(7);
                }
            }
            Step::Urgent { piece, order } => self.picker.set_deadline(PieceIndex(piece), order),
            Step::Lose { piece } => {
                self.picker.lost(PieceIndex(piece));
                self.have.remove(&piece);
            }
            Step::Get { piece } => {
                let piece = piece % self.count;
                self.picker.set_have(PieceIndex(piece));
                self.have.insert(piece);
                self.received.retain(|block, _| block.piece.0 != piece);
                for peer in &mut self.peers {
                    peer.asked.retain(|block| block.piece.0 != piece);
                }
            }
            Step::Unasked { peer, piece } => {
                let block = self.picker.layout().block(PieceIndex(piece), 0);
                if !self.peers[peer].asked.contains(&block) {
                    let got = self.picker.received(block, ConnId(peer as u32));
                    let here = self.have.contains(&piece) || self.received.contains_key(&block);
                    let wrong = if here { Received::AlreadyHave } else { Received::Unexpected };
                    assert_eq!(got, wrong);
                }
            }
        }
    }

    fn check(&self) {
        let wanted = (0..self.count).filter(|&piece| self.wanted(piece)).count() as u32;
        assert_eq!(self.picker.missing_wanted(), wanted);
        assert_eq!(self.picker.have_count() as usize, self.have.len());
        assert_eq!(self.picker.is_complete(), wanted == 0);
        for piece in 0..self.count + 2 {
            assert_eq!(self.picker.wanted_missing(PieceIndex(piece)), self.wanted(piece));
            let peers = self.peers.iter().filter(|peer| peer.has.contains(&piece) && !peer.seed);
            let seeds = self.peers.iter().filter(|peer| peer.seed).count();
            if piece < self.count {
                let known = self.picker.availability(PieceIndex(piece));
                assert_eq!(known as usize, peers.count() + seeds);
            }
        }
        for peer in &self.peers {
            let interesting = peer.has.iter().any(|&piece| self.wanted(piece));
            let bytes = bits(&peer.has, self.count);
            assert_eq!(self.picker.is_interesting(PieceSet::Bits(&bytes)), interesting);
        }
        let received: u32 = self.picker.in_flight().map(|progress| progress.received).sum();
        assert_eq!(received as usize, self.received.len());
    }

    /// Lets the rest arrive; everything wanted must be complete in the end.
    fn finish(&mut self) {
        for _ in 0..10_000 {
            if self.picker.is_complete() {
                return;
            }
            // Peers other than the seed go, and what they and the seed were asked for with them.
            for peer in 0..self.peers.len() {
                for block in core::mem::take(&mut self.peers[peer].asked) {
                    self.picker.unrequest(block, ConnId(peer as u32));
                }
            }
            assert!(self.pick(0, 7, Speed::Medium) > 0, "nothing to ask of a seed");
            while !self.peers[0].asked.is_empty() {
                self.receive(0, 0, true);
            }
        }
        panic!("does not end");
    }
}

fn orders() -> impl Strategy<Value = PieceOrder> {
    prop_oneof![
        Just(PieceOrder::RarestFirst),
        Just(PieceOrder::Random),
        Just(PieceOrder::Sequential)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_naive_model_and_completes(
        count in 1..20u32,
        blocks in 1..5u32,
        budget in prop_oneof![Just(u64::MAX), (0..6u64).prop_map(|p| p * 65_536)],
        order in orders(),
        peers in prop::collection::vec(prop::collection::btree_set(0..20u32, 0..20), 5),
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut model = Model::new(count, blocks, budget, order, &peers);
        for step in steps {
            model.take(step);
            model.check();
        }
        model.finish();
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
