//! The picker beside sets that say the same slowly, under anything that may happen to it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

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
    budget: u64,
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
        // Less than one piece would be nothing.
        let budget = budget.max((blocks * BLOCK_LEN).into());
        picker.set_partial_budget(budget);
        picker.set_piece_order(order);
        let mut all: Vec<_> = peers
            .iter()
            .map(|has| Peer { has: has.iter().map(|p| p % count).collect(), ..Peer::default() })
            .collect();
        all[0].seed = true;
        let mut model = Self {
            picker,
            budget,
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
        assert!(self.picker.memory().bytes <= self.budget);
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
