//! Fetching: requests and their bounds, what becomes of blocks, refusals, chokes, the endgame, and
//! who is to blame for a false piece.

use super::*;
use crate::picker::Priority;
use crate::smart_ban::Digest;

#[test]
fn requests_go_to_peers_that_serve_us() {
    let mut bench = Bench::leecher(4);
    let conn = bench.join(MODERN, &[0]);
    assert!(bench.requests(conn).is_empty(), "it chokes us");
    bench.frame(conn, Frame::Unchoke);
    assert_eq!(bench.requests(conn).len(), BLOCKS as usize);
    let other = bench.join(MODERN, &[]);
    bench.frame(other, Frame::Unchoke);
    assert!(bench.requests(other).is_empty(), "it has nothing");
}

#[test]
fn a_whole_torrent_comes_from_one_seed() {
    for skills in [MODERN, PLAIN] {
        let mut bench = Bench::leecher(20);
        let all: Vec<u32> = (0..20).collect();
        let conn = bench.join(skills, &all);
        bench.frame(conn, Frame::Unchoke);
        let mut served = 0;
        loop {
            let came = bench.serve_all(conn);
            let whole = bench.awaiting_verification();
            if whole.is_empty() {
                break;
            }
            served += came;
            whole.iter().for_each(|piece| bench.verified(piece.0, true));
        }
        assert_eq!(served as u32, 20 * BLOCKS);
        assert!(bench.swarm.is_complete());
        let complete = bench.events.iter().filter(|event| matches!(event, Event::Complete)).count();
        assert_eq!(complete, 1);
        assert_eq!(bench.swarm.totals().wasted, 0);
    }
}

#[test]
fn pw_08_blocks_nobody_asked_for_are_waste_and_then_an_offence() {
    let mut bench = Bench::leecher(4);
    let (conn, requests) = bench.server(MODERN, &[0, 1, 2, 3]);
    let mut all = (0..4).flat_map(|piece| (0..BLOCKS).map(move |index| block(piece, index)));
    let unasked = all.find(|block| !requests.contains(block)).expect("one is left");
    let wrong_size = Block { len: BLOCK_LEN - 1, ..requests[0] };
    for n in 1..=u64::from(limits::OFFENCES_MAX) {
        let bad = if n % 2 == 0 { unasked } else { wrong_size };
        assert!(!bench.deliver(conn, bad));
        assert_eq!(bench.why(conn), None, "{n}");
    }
    let wasted = bench.swarm.totals().wasted;
    let half = u64::from(limits::OFFENCES_MAX) / 2;
    assert_eq!(wasted, half * u64::from(2 * BLOCK_LEN - 1));
    assert_eq!(bench.swarm.totals().downloaded, 0);
    assert!(!bench.deliver(conn, unasked));
    assert_eq!(bench.why(conn), Some(CloseReason::Protocol));
}

#[test]
fn requests_stay_within_what_the_peer_queues() {
    let pieces: Vec<u32> = (0..200).collect();
    for (reqq, most) in [(1, 1), (3, 3), (0, 1), (u32::MAX, limits::REQUESTS_OUT_MAX)] {
        let mut bench = Bench::leecher(200);
        let conn = bench.join(MODERN, &pieces);
        let said = ExtensionHandshake { request_queue: Some(reqq), ..abilities() };
        bench.extended(conn, Extended::Handshake(said));
        bench.frame(conn, Frame::Unchoke);
        let mut open = bench.requests(conn);
        let mut deepest = open.len();
        for _ in 0..600 {
            let next = open.remove(0);
            bench.now = bench.now + Duration::from_micros(10);
            assert!(bench.deliver(conn, next));
            open.extend(bench.requests(conn));
            deepest = deepest.max(open.len());
        }
        assert!(deepest <= most, "{deepest} open where {most} are allowed");
        assert!(reqq < 10 || deepest > 100, "and it grows to {deepest}");
    }
}

#[test]
fn a_choke_frees_plain_requests_at_once_and_fast_ones_by_their_rejects() {
    let mut bench = Bench::leecher(1);
    let (plain, asked) = bench.server(PLAIN, &[0]);
    assert_eq!(asked.len(), 4);
    let idle = bench.join(PLAIN, &[0]);
    bench.frame(plain, Frame::Choke);
    bench.frame(idle, Frame::Unchoke);
    assert_eq!(bench.requests(idle).len(), 4);
    assert!(!bench.deliver(plain, asked[0]), "after the choke it is not awaited");

    let mut bench = Bench::leecher(1);
    let (fast, asked) = bench.server(MODERN, &[0]);
    bench.frame(fast, Frame::Choke);
    assert!(bench.deliver(fast, asked[0]), "it may still send what it has queued");
    for &block in &asked[1..] {
        bench.frame(fast, Frame::Reject(block));
    }
    assert_eq!(bench.requests(fast), [], "it chokes us");
    bench.frame(fast, Frame::Unchoke);
    assert_eq!(bench.requests(fast), asked[1..]);
    assert_eq!(bench.serve_all(fast), 0);
    asked[1..].iter().for_each(|&block| assert!(bench.deliver(fast, block)));
    assert_eq!(bench.awaiting_verification(), [PieceIndex(0)]);
    assert_eq!(bench.swarm.peers[&fast].offences, 0, "rejects of a choke are no offence");
}

#[test]
fn allowed_fast_pieces_are_asked_for_while_choked() {
    let mut bench = Bench::leecher(8);
    let conn = bench.join(MODERN, &[0, 1, 2, 3, 4, 5, 6, 7]);
    bench.frame(conn, Frame::AllowedFast(PieceIndex(5)));
    let asked = bench.requests(conn);
    assert!(!asked.is_empty() && asked.iter().all(|block| block.piece.0 == 5), "{asked:?}");
    for &block in &asked {
        bench.frame(conn, Frame::Reject(block));
    }
    bench.wait(20);
    assert_eq!(bench.requests(conn), [], "refused once, it is not asked again");
    assert_eq!(bench.why(conn), None);
}

#[test]
fn pw_15_floods_of_hints_are_bounded() {
    let mut bench = Bench::leecher(1_000);
    let conn = bench.join(MODERN, &[]);
    for piece in 0..100_000 {
        bench.frame(conn, Frame::AllowedFast(PieceIndex(piece)));
        bench.frame(conn, Frame::Suggest(PieceIndex(piece)));
    }
    let peer = &bench.swarm.peers[&conn];
    assert_eq!(peer.allowed_fast.len(), limits::HINTS_MAX);
    assert_eq!(peer.suggested.len(), limits::HINTS_MAX);
    assert!(peer.suggested.contains(&PieceIndex(99_999)), "the newest are kept");
}

#[test]
fn suggested_pieces_are_begun_first() {
    let mut bench = Bench::leecher(100);
    let all: Vec<u32> = (0..100).collect();
    let conn = bench.join(MODERN, &all);
    bench.frame(conn, Frame::Suggest(PieceIndex(77)));
    bench.frame(conn, Frame::Unchoke);
    assert_eq!(bench.requests(conn)[0].piece, PieceIndex(77));
}

#[test]
fn pw_11_unknown_messages_are_dropped_and_their_floods_closed() {
    for frame in [Frame::Unknown(99), Frame::Extended(Extended::Unknown(200))] {
        let mut bench = Bench::leecher(1);
        let conn = bench.join(MODERN, &[]);
        for _ in 0..limits::OFFENCES_MAX {
            bench.frame(conn, frame.clone());
        }
        assert_eq!((bench.why(conn), bench.take(conn)), (None, vec![]));
        bench.frame(conn, frame);
        assert_eq!(bench.why(conn), Some(CloseReason::Protocol));
    }
}

#[test]
fn who_refuses_though_it_serves_does_not_have_the_piece() {
    let mut bench = Bench::leecher(1);
    let (conn, asked) = bench.server(MODERN, &[0]);
    bench.frame(conn, Frame::Reject(asked[0]));
    assert!(bench.take(conn).contains(&Frame::NotInterested));
    // A refusal of what was never asked is an offence.
    let before = bench.swarm.peers[&conn].offences;
    bench.frame(conn, Frame::Reject(block(0, 9)));
    assert_eq!(bench.swarm.peers[&conn].offences, before + 1);
}

/// A piece whose blocks two peers are both asked for: near the end.
fn endgame(first: Skills, second: Skills) -> (Bench, ConnId, ConnId) {
    let mut bench = Bench::leecher(1);
    let (one, asked) = bench.server(first, &[0]);
    let (two, again) = bench.server(second, &[0]);
    assert_eq!((asked.len(), again.len()), (4, 4), "every block is asked of both");
    (bench, one, two)
}

#[test]
fn the_endgame_asks_several_and_cancels_what_has_come() {
    for second in [MODERN, PLAIN] {
        let (mut bench, one, two) = endgame(MODERN, second);
        assert!(bench.deliver(one, block(0, 1)));
        assert_eq!(bench.take(two), [Frame::Cancel(block(0, 1))]);
        assert_eq!(bench.swarm.totals().wasted, 0);
        assert!(!bench.deliver(two, block(0, 1)), "it crossed the cancel");
        assert_eq!(bench.swarm.totals().wasted, u64::from(BLOCK_LEN));
    }
}

#[test]
fn rejects_of_cancelled_requests_are_as_they_should_be() {
    let (mut bench, one, two) = endgame(MODERN, MODERN);
    for index in 0..3 {
        assert!(bench.deliver(one, block(0, index)));
        bench.frame(two, Frame::Reject(block(0, index)));
    }
    let peer = &bench.swarm.peers[&two];
    assert_eq!((peer.offences, peer.useful), (0, 1), "the peer has done what BEP 6 says");
    assert!(peer.is_seed() && peer.interesting);
    assert!(bench.deliver(two, block(0, 3)));
    bench.verified(0, false);
    assert_eq!(bench.requests(two).len(), 4, "and is asked again when the piece is false");
}

#[test]
fn a_cancelled_piece_that_failed_can_be_asked_of_everybody_again() {
    let (mut bench, one, two) = endgame(MODERN, MODERN);
    for index in 0..4 {
        assert!(bench.deliver(one, block(0, index)));
    }
    assert_eq!(bench.awaiting_verification(), [PieceIndex(0)]);
    bench.verified(0, false);
    bench.close(one, CloseReason::Gone);
    // The rejects of the cancelled requests come only now.
    for index in 0..4 {
        bench.frame(two, Frame::Reject(block(0, index)));
    }
    bench.wait(5);
    bench.serve_all(two);
    assert_eq!(bench.awaiting_verification(), [PieceIndex(0)]);
}

#[test]
fn a_peer_that_leaves_gives_its_requests_back() {
    let mut bench = Bench::leecher(2);
    let (one, _) = bench.server(MODERN, &[0, 1]);
    let (two, _) = bench.server(MODERN, &[0, 1]);
    bench.close(one, CloseReason::Gone);
    bench.close(two, CloseReason::Gone);
    let (three, _) = bench.server(MODERN, &[]);
    for piece in 0..2 {
        bench.frame(three, Frame::Have(PieceIndex(piece)));
    }
    assert_eq!(bench.serve_all(three), 8, "nothing stays with those who left");
}

#[test]
fn a_false_piece_is_fetched_again() {
    let mut bench = Bench::leecher(1);
    let (conn, requests) = bench.server(MODERN, &[0]);
    requests.iter().for_each(|&block| assert!(bench.deliver(conn, block)));
    assert_eq!(bench.awaiting_verification(), [PieceIndex(0)]);
    bench.verified(0, false);
    assert!(matches!(bench.events[..], [Event::Corrupt(PieceIndex(0))]));
    assert!(!bench.take(conn).contains(&Frame::Have(PieceIndex(0))));
    bench.frame(conn, Frame::Unchoke);
    bench.wait(1);
    bench.serve_all(conn);
    assert_eq!(bench.swarm.have().map(Bitfield::count_ones), Some(0));
}

fn digest(index: u32, good: bool) -> Digest {
    let mut digest = [u8::from(good); 20];
    digest[1] = index as u8;
    digest
}

fn digests(bad: Option<u32>) -> Vec<Digest> {
    (0..BLOCKS).map(|index| digest(index, bad != Some(index))).collect()
}

#[test]
fn pw_09_smart_ban_finds_who_spoiled_a_shared_piece() {
    let mut bench = Bench::leecher(1);
    let said = ExtensionHandshake { request_queue: Some(2), ..abilities() };
    let peers: Vec<_> = (0..2)
        .map(|_| {
            let conn = bench.join(MODERN, &[0]);
            bench.extended(conn, Extended::Handshake(said.clone()));
            bench.frame(conn, Frame::Unchoke);
            conn
        })
        .collect();
    let (liar, honest) = (peers[0], peers[1]);
    let (lies, truths) = (bench.requests(liar), bench.requests(honest));
    assert_eq!((lies.len(), truths.len()), (2, 2));
    let bad = lies[0].begin / BLOCK_LEN;
    lies.iter().for_each(|&block| assert!(bench.deliver(liar, block)));
    truths.iter().for_each(|&block| assert!(bench.deliver(honest, block)));
    assert_eq!(bench.awaiting_verification(), [PieceIndex(0)]);
    assert!(!bench.swarm.suspects(PieceIndex(0)));
    bench.input(|swarm, cx| swarm.judge(PieceIndex(0), false, &digests(Some(bad)), cx));
    bench.verified(0, false);
    assert!(bench.closed.is_empty(), "who of the two it was is not known yet");
    assert!(bench.swarm.suspects(PieceIndex(0)));
    // The honest one sends all of it.
    bench.close(liar, CloseReason::Gone);
    bench.serve_all(honest);
    assert_eq!(bench.awaiting_verification(), [PieceIndex(0)]);
    bench.input(|swarm, cx| swarm.judge(PieceIndex(0), true, &digests(None), cx));
    bench.verified(0, true);
    let banned: Vec<_> = bench
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Banned(contact) => Some(*contact),
            _ => None,
        })
        .collect();
    assert_eq!(banned, [address(liar.0)]);
    assert_ne!(bench.why(honest), Some(CloseReason::Banned));
    assert!(!bench.swarm.suspects(PieceIndex(0)));
}

#[test]
fn pw_09_whoever_left_is_not_forgotten_when_a_piece_is_judged() {
    let mut bench = Bench::leecher(2);
    let said = ExtensionHandshake { request_queue: Some(2), ..abilities() };
    let conns: Vec<_> = (0..2)
        .map(|_| {
            let conn = bench.join(MODERN, &[0]);
            bench.extended(conn, Extended::Handshake(said.clone()));
            bench.frame(conn, Frame::Unchoke);
            conn
        })
        .collect();
    for &conn in &conns {
        for block in bench.requests(conn) {
            assert!(bench.deliver(conn, block));
        }
    }
    let (liar, honest) = (conns[0], conns[1]);
    bench.close(liar, CloseReason::Gone);
    assert_eq!(bench.awaiting_verification(), [PieceIndex(0)]);
    bench.input(|swarm, cx| swarm.judge(PieceIndex(0), false, &digests(Some(0)), cx));
    bench.verified(0, false);
    assert!(!bench.closed.contains_key(&honest), "it did not send the piece alone");
    assert!(bench.swarm.departed.is_empty(), "nothing of the piece is left");
    bench.serve_all(honest);
    bench.input(|swarm, cx| swarm.judge(PieceIndex(0), true, &digests(None), cx));
    let banned = |event: &Event<SocketAddr>| match event {
        Event::Banned(contact) => Some(*contact),
        _ => None,
    };
    let banned: Vec<_> = bench.events.iter().filter_map(banned).collect();
    assert_eq!(banned, [address(liar.0)]);
}

#[test]
fn memory_for_unfinished_pieces_is_bounded_and_stalled_ones_make_room() {
    let two = u64::from(2 * PIECE_LEN);
    let config = SwarmConfig { partial_bytes_max: two, ..config() };
    let mut bench = Bench::with(config, content(info(10), Bitfield::new(10)));
    let (slow, asked) = bench.server(PLAIN, &[0, 1]);
    assert!(bench.deliver(slow, asked[0]));
    bench.requests(slow);
    bench.frame(slow, Frame::Choke);
    let fast = bench.join(MODERN, &[5, 6, 7]);
    bench.frame(fast, Frame::Unchoke);
    bench.serve_all(fast);
    let forgotten = |effect: &Effect<_>| matches!(effect, Effect::Forget(_));
    let picker = &bench.swarm.content.as_ref().expect("content").picker;
    assert!(picker.memory().bytes <= two);
    assert!(bench.asked.iter().filter(|effect| forgotten(effect)).count() <= 2);
    assert!(!bench.awaiting_verification().is_empty(), "the fast peer is not held up");
}

#[test]
fn pieces_of_a_higher_priority_are_begun_first_and_those_of_a_lower_one_last() {
    let mut bench = Bench::leecher(100);
    let all: Vec<u32> = (0..100).collect();
    let conn = bench.join(MODERN, &all);
    let mut levels = vec![Priority::NORMAL; 100];
    levels[..90].fill(Priority::LOW);
    levels[50] = Priority::HIGH;
    bench.command(Command::Prioritize(levels));
    bench.frame(conn, Frame::Unchoke);
    let first = bench.requests(conn);
    assert_eq!(first[0].piece, PieceIndex(50));
    first.into_iter().for_each(|block| assert!(bench.deliver(conn, block)));
    let mut order: Vec<u32> = Vec::new();
    for _ in 0..11 {
        bench.serve_all(conn);
        for piece in bench.awaiting_verification() {
            order.push(piece.0);
            bench.verified(piece.0, true);
        }
    }
    assert_eq!(order[0], 50);
    assert!(order[1..11].iter().all(|piece| *piece >= 90), "{order:?}");
}
