//! Whether we are interested, and what we await of whom: the count of useful pieces against a naive
//! recount, and open requests against the picker's, under anything that can change them.

use proptest::prelude::*;

use super::*;

const PIECES: u32 = 6;
const PEERS: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    Join(Vec<u32>),
    Have(u32, u32),
    DontHave(u32, u32),
    Unchoke(u32),
    Choke(u32),
    Reject(u32),
    Serve(u32),
    Verified(u32, bool),
    Lost(u32),
    Want(Vec<u32>),
    Leave(u32),
    Wait,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (peer, piece) = (0..PEERS, 0..PIECES);
    let some = proptest::collection::vec(0..PIECES, 0..PIECES as usize);
    let step = prop_oneof![
        2 => some.clone().prop_map(Step::Join),
        4 => (peer.clone(), piece.clone()).prop_map(|(peer, piece)| Step::Have(peer, piece)),
        1 => (peer.clone(), piece.clone()).prop_map(|(peer, piece)| Step::DontHave(peer, piece)),
        3 => peer.clone().prop_map(Step::Unchoke),
        1 => peer.clone().prop_map(Step::Choke),
        1 => peer.clone().prop_map(Step::Reject),
        4 => peer.clone().prop_map(Step::Serve),
        4 => (piece.clone(), any::<bool>()).prop_map(|(piece, ok)| Step::Verified(piece, ok)),
        1 => piece.prop_map(Step::Lost),
        1 => some.prop_map(Step::Want),
        1 => peer.prop_map(Step::Leave),
        1 => Just(Step::Wait),
    ];
    proptest::collection::vec(step, 1..60)
}

struct Play {
    bench: Bench,
    alive: Vec<ConnId>,
    /// What we last told each peer.
    told: BTreeMap<ConnId, bool>,
}

impl Play {
    fn at(&self, peer: u32) -> Option<ConnId> {
        self.alive.get(peer as usize).copied()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Join(has) if self.alive.len() < PEERS as usize => {
                let conn = self.bench.greet(if has.len() % 2 == 0 { MODERN } else { PLAIN });
                self.alive.push(conn);
                self.bench.frame(conn, Frame::Bitfield(bits(PIECES, &has).to_wire()));
            }
            Step::Join(_) => {}
            Step::Have(peer, piece) => self.say(peer, Frame::Have(PieceIndex(piece))),
            Step::DontHave(peer, piece) => {
                self.say(peer, Frame::Extended(Extended::DontHave(PieceIndex(piece))));
            }
            Step::Unchoke(peer) => self.say(peer, Frame::Unchoke),
            Step::Choke(peer) => self.say(peer, Frame::Choke),
            Step::Reject(peer) => {
                let open = self.at(peer).and_then(|conn| self.open(conn));
                if let Some(block) = open {
                    self.say(peer, Frame::Reject(block));
                }
            }
            Step::Serve(peer) => {
                if let Some((conn, block)) =
                    self.at(peer).and_then(|conn| Some((conn, self.open(conn)?)))
                {
                    self.bench.deliver(conn, block);
                }
            }
            // A good piece may come from elsewhere, a web seed say, whatever peers are asked.
            Step::Verified(piece, ok) => {
                let asked = Effect::Verify(PieceIndex(piece));
                let at = self.bench.asked.iter().position(|effect| *effect == asked);
                if let Some(at) = at {
                    self.bench.asked.remove(at);
                }
                if ok || at.is_some() {
                    self.bench.verified(piece, ok);
                }
            }
            Step::Lost(piece) => self.bench.command(Command::Lost(PieceIndex(piece))),
            Step::Want(wanted) => self.bench.command(Command::Want(bits(PIECES, &wanted))),
            Step::Leave(peer) => {
                if let Some(conn) = self.at(peer) {
                    self.bench.close(conn, CloseReason::Gone);
                }
            }
            Step::Wait => self.bench.wait(1),
        }
    }

    fn open(&self, conn: ConnId) -> Option<Block> {
        self.bench.swarm.peers.get(&conn)?.requests.front().map(|request| request.block)
    }

    fn say(&mut self, peer: u32, frame: Wire) {
        if let Some(conn) = self.at(peer) {
            self.bench.frame(conn, frame);
        }
    }

    fn check(&mut self) {
        for (conn, frame) in self.bench.sent.drain(..) {
            match frame {
                Frame::Interested => {
                    assert_ne!(self.told.insert(conn, true), Some(true), "said twice");
                }
                Frame::NotInterested => {
                    assert_eq!(self.told.insert(conn, false), Some(true), "said twice");
                }
                _ => {}
            }
        }
        self.alive.retain(|conn| !self.bench.closed.contains_key(conn));
        let swarm = &self.bench.swarm;
        assert_eq!(swarm.peers.len(), self.alive.len());
        let content = swarm.content.as_ref().expect("content");
        let mut have = 0;
        for (conn, peer) in &swarm.peers {
            let useful = (0..PIECES)
                .filter(|&piece| peer.has(PieceIndex(piece)))
                .filter(|&piece| content.wanted.get(piece) && !content.have.get(piece))
                .count() as u32;
            assert_eq!(peer.useful, useful, "useful pieces of {conn:?}");
            assert_eq!(peer.interesting, useful > 0);
            assert_eq!(self.told.get(conn).copied().unwrap_or(false), useful > 0);
            for request in &peer.requests {
                let asked = content.picker.awaits(request.block, *conn);
                let lapsed = content.have.get(request.block.piece.0) || request.given_up;
                assert!(asked || lapsed, "{request:?} of {conn:?} leads nowhere");
            }
            have += u32::from(peer.has(PieceIndex(0)));
        }
        for (block, conn) in (0..PIECES).flat_map(|at| content.picker.requests(PieceIndex(at))) {
            let listed = swarm.peers[&conn].requests.iter().any(|request| request.block == block);
            assert!(listed, "{block:?} is asked of {conn:?}, which knows nothing of it");
        }
        assert_eq!(content.picker.availability(PieceIndex(0)), have);
        assert_eq!(content.picker.peer_count() as usize, self.counted());
    }

    /// Peers that have said anything about pieces.
    fn counted(&self) -> usize {
        let known =
            |peer: &&super::super::Peer<_>| matches!(peer.has, super::super::peer::Has::Known(_));
        self.bench.swarm.peers.values().filter(known).count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn interest_and_requests_are_what_a_recount_says(steps in steps()) {
        let mut play =
            Play { bench: Bench::leecher(PIECES), alive: Vec::new(), told: BTreeMap::new() };
        for step in steps {
            play.step(step);
            play.check();
        }
    }
}

#[test]
fn a_piece_that_is_verified_though_unwanted_changes_no_interest() {
    let mut bench = Bench::leecher(2);
    let (conn, asked) = bench.server(MODERN, &[0, 1]);
    let piece = asked[0].piece.0;
    bench.command(Command::Want(bits(2, &[1 - piece])));
    bench.verified(piece, true);
    assert!(bench.swarm.peers[&conn].interesting, "the other piece is still to be had");
    assert!(!bench.take(conn).contains(&Frame::NotInterested));
}

#[test]
fn a_piece_verified_twice_counts_once() {
    let mut bench = Bench::leecher(3);
    let conn = bench.join(MODERN, &[0, 1]);
    let other = bench.join(MODERN, &[]);
    bench.verified(0, true);
    bench.verified(0, true);
    assert!(bench.swarm.peers[&conn].interesting);
    let news = bench.take(other);
    assert_eq!(news, [Frame::Have(PieceIndex(0))]);
}

#[test]
fn what_comes_by_another_way_is_awaited_of_nobody() {
    for (skills, listed) in [(MODERN, BLOCKS as usize), (PLAIN, 0)] {
        let mut bench = Bench::leecher(2);
        let (conn, asked) = bench.server(skills, &[0]);
        assert_eq!(asked.len(), BLOCKS as usize);
        bench.verified(0, true);
        let said = bench.take(conn);
        for block in asked {
            assert!(said.contains(&Frame::Cancel(block)), "{block:?} of {said:?}");
        }
        // With the fast extension a peer answers what is cancelled, too.
        let requests = &bench.swarm.peers[&conn].requests;
        assert_eq!(requests.len(), listed);
        assert!(requests.iter().all(|request| request.given_up));
    }
}

#[test]
fn what_was_given_up_and_asked_for_anew_is_taken_once() {
    let mut bench = Bench::leecher(2);
    let (conn, asked) = bench.server(MODERN, &[0]);
    bench.verified(0, true);
    bench.command(Command::Lost(PieceIndex(0)));
    let again = bench.take(conn);
    assert!(again.contains(&Frame::Request(asked[0])));
    // The answer to the first request, and that to the cancel of the second.
    assert!(bench.deliver(conn, asked[0]));
    let said = bench.take(conn);
    assert!(said.contains(&Frame::Cancel(asked[0])));
    assert!(said.contains(&Frame::Request(asked[1])));
    bench.frame(conn, Frame::Reject(asked[0]));
    // A refusal of the first leaves the second open.
    bench.frame(conn, Frame::Reject(asked[1]));
    assert!(bench.deliver(conn, asked[1]));
}
