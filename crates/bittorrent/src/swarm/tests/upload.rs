//! Giving: which requests are served, refused or an offence, what a choke drops, cancels, the
//! allowed fast set, and super-seeding.

use super::*;
use crate::peer_wire::allowed_fast_set;

/// A seed of four pieces and a leecher that it serves.
fn served(skills: Skills) -> (Bench, ConnId) {
    let mut bench = Bench::seed(4);
    let conn = bench.join(skills, &[]);
    bench.frame(conn, Frame::Interested);
    assert_eq!(bench.take(conn), [Frame::Unchoke], "a free slot needs no round");
    (bench, conn)
}

#[test]
fn requests_are_queued_and_counted() {
    let (mut bench, conn) = served(MODERN);
    bench.frame(conn, Frame::Request(block(1, 2)));
    assert_eq!(bench.queued, [(conn, block(1, 2))]);
    bench.input(|swarm, cx| swarm.on_sent(conn, block(1, 2).into(), cx));
    assert_eq!(bench.swarm.totals().uploaded, u64::from(BLOCK_LEN));
    assert_eq!(bench.swarm.peers[&conn].queued, 0);
}

#[test]
fn pw_06_requests_out_of_bounds_are_refused_or_close() {
    let cases = [
        ("no such piece", Block { piece: PieceIndex(4), ..block(0, 0) }),
        ("the last piece there could be", Block { piece: PieceIndex(u32::MAX), ..block(0, 0) }),
        ("length 0", Block { len: 0, ..block(0, 0) }),
        ("past the end", Block { begin: PIECE_LEN - 1, len: 2, ..block(0, 0) }),
        ("begins at the end", Block { begin: PIECE_LEN, len: 1, ..block(0, 0) }),
        ("overflow", Block { begin: u32::MAX, len: u32::MAX, ..block(0, 0) }),
        ("overflow to within", Block { begin: u32::MAX - 5, len: 16, ..block(0, 0) }),
    ];
    for (what, block) in cases {
        let (mut bench, conn) = served(MODERN);
        bench.frame(conn, Frame::Request(block));
        assert_eq!(bench.take(conn), [Frame::Reject(block)], "{what}");
        for _ in 0..limits::OFFENCES_MAX {
            bench.frame(conn, Frame::Request(block));
        }
        assert_eq!(bench.why(conn), Some(CloseReason::Protocol), "{what}: not for ever");
        assert_eq!(bench.queued, []);

        let (mut bench, conn) = served(PLAIN);
        bench.frame(conn, Frame::Request(block));
        assert_eq!(bench.why(conn), Some(CloseReason::Protocol), "{what}");
    }
}

#[test]
fn requests_of_a_short_last_piece_end_with_it() {
    let mut short = info(2);
    short.total_len = u64::from(PIECE_LEN) + 100;
    short.files[0].len = short.total_len;
    let mut bench = Bench::with(config(), content(short, Bitfield::full(2)));
    let conn = bench.join(MODERN, &[]);
    bench.frame(conn, Frame::Interested);
    bench.take(conn);
    let last = Block { len: 100, ..block(1, 0) };
    bench.frame(conn, Frame::Request(last));
    assert_eq!(bench.queued, [(conn, last)]);
    bench.frame(conn, Frame::Request(block(1, 0)));
    assert_eq!(bench.take(conn), [Frame::Reject(block(1, 0))]);
}

#[test]
fn requests_while_choked_are_refused_without_blame() {
    let (mut bench, conn) = (Bench::seed(100), ConnId(0));
    assert_eq!(bench.join(MODERN, &[]), conn);
    let granted = bench.swarm.peers[&conn].granted_fast.clone();
    let piece = (0..100).find(|&piece| !granted.contains(&PieceIndex(piece))).expect("one");
    for _ in 0..3 * limits::OFFENCES_MAX {
        bench.frame(conn, Frame::Request(block(piece, 0)));
    }
    assert_eq!(bench.why(conn), None);
    assert_eq!(bench.take(conn).len(), 3 * limits::OFFENCES_MAX as usize);
    assert_eq!(bench.queued, []);
}

#[test]
fn requests_of_what_is_not_here_are_refused() {
    let mut bench = Bench::with(config(), content(info(2), bits(2, &[0])));
    let conn = bench.join(MODERN, &[]);
    bench.frame(conn, Frame::Interested);
    bench.take(conn);
    bench.frame(conn, Frame::Request(block(1, 0)));
    assert_eq!(bench.take(conn), [Frame::Reject(block(1, 0))]);
    assert_eq!(bench.swarm.peers[&conn].offences, 1);
}

#[test]
fn one_peer_can_queue_only_so_much() {
    let (mut bench, conn) = served(MODERN);
    for _ in 0..limits::REQUESTS_IN_MAX {
        bench.frame(conn, Frame::Request(block(0, 0)));
    }
    assert_eq!(bench.take(conn), []);
    bench.frame(conn, Frame::Request(block(0, 0)));
    assert_eq!(bench.take(conn), [Frame::Reject(block(0, 0))]);
    assert_eq!(bench.queued.len(), limits::REQUESTS_IN_MAX);
}

#[test]
fn a_cancel_drops_the_block_and_is_answered() {
    for (skills, answer) in [(MODERN, vec![Frame::Reject(block(0, 1))]), (PLAIN, vec![])] {
        let (mut bench, conn) = served(skills);
        bench.frame(conn, Frame::Request(block(0, 0)));
        bench.frame(conn, Frame::Request(block(0, 1)));
        bench.frame(conn, Frame::Cancel(block(0, 1)));
        assert_eq!(bench.queued, [(conn, block(0, 0))]);
        assert_eq!(bench.take(conn), answer);
        bench.frame(conn, Frame::Cancel(block(3, 3)));
        assert_eq!(bench.take(conn), [], "nothing was queued");
        assert_eq!(bench.swarm.peers[&conn].queued, 1);
    }
}

#[test]
fn a_choke_drops_what_is_queued_but_allowed_fast_pieces() {
    let mut bench = Bench::seed(100);
    let conn = bench.join(MODERN, &[]);
    let granted = bench.swarm.peers[&conn].granted_fast[0].0;
    let other =
        (0..100).find(|&piece| !bench.swarm.peers[&conn].granted_fast.contains(&PieceIndex(piece)));
    let other = other.expect("not all are granted");
    bench.frame(conn, Frame::Interested);
    bench.take(conn);
    for piece in [granted, other] {
        bench.frame(conn, Frame::Request(block(piece, 0)));
    }
    bench.frame(conn, Frame::NotInterested);
    assert_eq!(bench.take(conn), [Frame::Choke, Frame::Reject(block(other, 0))]);
    assert_eq!(bench.queued, [(conn, block(granted, 0))]);

    let (mut bench, conn) = served(PLAIN);
    bench.frame(conn, Frame::Request(block(0, 0)));
    bench.frame(conn, Frame::NotInterested);
    assert_eq!((bench.take(conn), bench.queued), (vec![Frame::Choke], vec![]));
}

#[test]
fn the_allowed_fast_set_is_the_canonical_one_and_served_while_choked() {
    let mut bench = Bench::seed(100);
    let conn = bench.greet(MODERN);
    let allowed: Vec<_> = bench
        .take(conn)
        .into_iter()
        .filter_map(|frame| match frame {
            Frame::AllowedFast(piece) => Some(piece),
            _ => None,
        })
        .collect();
    let set = allowed_fast_set(address(conn.0).ip(), TORRENT, 100, limits::ALLOWED_FAST);
    assert_eq!(allowed, set);
    let wanted = Block { piece: set[3], ..block(0, 1) };
    bench.frame(conn, Frame::Request(wanted));
    assert_eq!(bench.queued, [(conn, wanted)]);
}

#[test]
fn slots_are_bounded() {
    let mut bench = Bench::seed(4);
    let peers: Vec<_> = (0..20).map(|_| bench.join(MODERN, &[])).collect();
    for &conn in &peers {
        bench.frame(conn, Frame::Interested);
    }
    let unchoked =
        |bench: &Bench| bench.swarm.peers.values().filter(|peer| !peer.choked_by_us).count();
    assert_eq!(unchoked(&bench), config().upload_slots + 1);
    let first: Vec<_> =
        peers.iter().filter(|conn| !bench.swarm.peers[conn].choked_by_us).copied().collect();
    bench.close(first[0], CloseReason::Gone);
    assert_eq!(unchoked(&bench), config().upload_slots + 1, "a free slot is given away");
    for &conn in &peers {
        bench.frame(conn, Frame::KeepAlive);
    }
    bench.wait(100);
    assert_eq!(unchoked(&bench), config().upload_slots + 1);
    let now = peers
        .iter()
        .filter(|conn| bench.swarm.peers.get(conn).is_some_and(|peer| peer.unchoked_at.is_some()));
    assert!(now.count() > 10, "a seed takes turns");
}

#[test]
fn super_seeds_show_a_piece_to_one_and_the_next_when_it_has_spread() {
    let mut bench = Bench::with(
        SwarmConfig { super_seeding: true, ..config() },
        content(info(10), Bitfield::full(10)),
    );
    let shown = |frames: Vec<Wire>| -> Vec<PieceIndex> {
        let haves = frames.into_iter().filter_map(|frame| match frame {
            Frame::Have(piece) => Some(piece),
            frame => {
                assert!(!matches!(
                    frame,
                    Frame::HaveAll | Frame::Bitfield(_) | Frame::AllowedFast(_)
                ));
                None
            }
        });
        haves.collect()
    };
    let one = bench.greet(MODERN);
    let first = shown(bench.take(one));
    let two = bench.greet(MODERN);
    let second = shown(bench.take(two));
    assert_eq!((first.len(), second.len()), (2, 2));
    assert!(first.iter().all(|piece| !second.contains(piece)), "{first:?} {second:?}");
    bench.frame(one, Frame::Have(first[0]));
    assert_eq!(shown(bench.take(one)), [], "that it has the piece is not enough");
    bench.frame(two, Frame::Have(first[0]));
    let next = shown(bench.take(one));
    assert_eq!(next.len(), 1, "it has passed one on");
    assert!(!first.contains(&next[0]) && !second.contains(&next[0]));
    assert_eq!(bench.why(one), None);
}
