//! Peers that say or give nothing: silence, keep-alives alone, requests that are not answered.

use super::*;

#[test]
fn silent_peers_are_closed_and_keep_alives_are_sent() {
    let mut bench = Bench::seed(1);
    let conn = bench.greet(MODERN);
    bench.take(conn);
    bench.wait(limits::KEEP_ALIVE.as_secs() + 2);
    assert_eq!(bench.take(conn), [Frame::KeepAlive]);
    bench.wait((limits::SILENCE_MAX - limits::KEEP_ALIVE).as_secs());
    assert_eq!(bench.why(conn), Some(CloseReason::Idle));
}

#[test]
fn pw_02_a_peer_that_never_finishes_its_handshake_is_closed() {
    let mut bench = Bench::seed(1);
    let conn = bench.open(Side::Dialer);
    bench.wait(limits::HANDSHAKE_MAX.as_secs());
    assert_eq!(bench.why(conn), None);
    bench.wait(2);
    assert_eq!(bench.why(conn), Some(CloseReason::Idle));
}

/// Lets time pass while a peer sends keep-alives and nothing else.
fn keep_alive(bench: &mut Bench, conn: ConnId, secs: u64) {
    for _ in 0..secs / 10 {
        bench.frame(conn, Frame::KeepAlive);
        bench.wait(10);
    }
}

#[test]
fn pw_17_peers_that_only_keep_alive_are_closed_after_two_minutes() {
    let mut bench = Bench::seed(1);
    let conn = bench.greet(PLAIN);
    keep_alive(&mut bench, conn, 110);
    assert_eq!(bench.why(conn), None);
    keep_alive(&mut bench, conn, 20);
    assert_eq!(bench.why(conn), Some(CloseReason::Useless));
}

#[test]
fn pw_17_peers_that_talk_but_are_of_no_use_go_when_there_is_no_room() {
    let full = |max_connections| {
        let config = SwarmConfig { max_connections, ..config() };
        let mut bench = Bench::with(config, content(info(2), bits(2, &[0])));
        let conn = bench.join(MODERN, &[0]);
        keep_alive(&mut bench, conn, 200);
        bench.why(conn)
    };
    assert_eq!(full(2), None, "there is room for it");
    assert_eq!(full(1), Some(CloseReason::Useless));
}

#[test]
fn pw_18_a_peer_that_never_unchokes_does_not_hold_up_others() {
    let mut bench = Bench::leecher(1);
    let stingy = bench.join(MODERN, &[0]);
    let (giver, _) = bench.server(MODERN, &[]);
    bench.frame(giver, Frame::Have(PieceIndex(0)));
    keep_alive(&mut bench, stingy, 30);
    assert_eq!(bench.serve_all(giver), 4);
    assert_eq!(bench.requests(stingy), []);
}

#[test]
fn pw_18_a_peer_without_a_block_for_a_minute_has_snubbed_us() {
    let mut bench = Bench::leecher(8);
    let all: Vec<u32> = (0..8).collect();
    let (stalled, asked) = bench.server(MODERN, &all);
    keep_alive(&mut bench, stalled, 50);
    assert!(!bench.swarm.peers[&stalled].snubbed);
    keep_alive(&mut bench, stalled, 20);
    assert!(bench.swarm.peers[&stalled].snubbed);
    assert!(bench.deliver(stalled, asked[0]), "late is better than never");
    assert!(!bench.swarm.peers[&stalled].snubbed);
}

#[test]
fn pw_18_a_stalled_peer_does_not_keep_the_blocks_it_was_asked_for() {
    // Before the end of the torrent, where blocks are asked of one peer only.
    let mut bench = Bench::leecher(8);
    let (stalled, asked) = bench.server(MODERN, &[0]);
    assert_eq!(asked.len(), 4);
    let giver = bench.join(MODERN, &[0]);
    let config = ExtensionHandshake { request_queue: Some(4), ..abilities() };
    bench.extended(giver, Extended::Handshake(config));
    keep_alive(&mut bench, stalled, 70);
    bench.frame(giver, Frame::Unchoke);
    assert_eq!(bench.requests(giver), asked);
    // Whoever comes first is welcome.
    assert!(bench.deliver(stalled, asked[0]));
    assert!(bench.take(giver).contains(&Frame::Cancel(asked[0])));
}

#[test]
fn pw_18_a_request_that_nobody_answers_does_not_hide_later_ones() {
    // The first request is cancelled and never answered, as BEP 6 says it should be.
    let mut bench = Bench::leecher(1);
    let (mute, asked) = bench.server(MODERN, &[0]);
    let (giver, _) = bench.server(MODERN, &[0]);
    for &block in &asked {
        assert!(bench.deliver(giver, block));
    }
    bench.verified(0, false);
    bench.close(giver, CloseReason::Gone);
    bench.take(mute);
    bench.wait(1);
    let again = bench.swarm.peers[&mute].requests.iter().filter(|request| !request.given_up);
    assert!(again.count() > 0, "it is asked anew");
    keep_alive(&mut bench, mute, 70);
    let open = bench.swarm.peers[&mute].requests.iter().filter(|request| !request.given_up);
    assert_eq!(open.count(), 0, "and these are late in their turn");
}

#[test]
fn pw_18_a_byte_a_second_is_not_enough() {
    // Its block never comes to its end, however often it says that it is alive.
    let mut bench = Bench::leecher(1);
    let (slow, asked) = bench.server(MODERN, &[0]);
    let head = Payload::from(asked[0]);
    bench.input(|swarm, cx| assert!(swarm.on_payload_head(slow, head, cx)));
    let (giver, _) = bench.server(MODERN, &[0]);
    bench.requests(giver);
    keep_alive(&mut bench, slow, 70);
    assert!(bench.swarm.peers[&slow].snubbed);
    let open: Vec<_> =
        bench.swarm.peers[&giver].requests.iter().map(|request| request.block).collect();
    for block in open {
        assert!(bench.deliver(giver, block));
    }
    assert_eq!(bench.awaiting_verification(), [PieceIndex(0)]);
    bench.input(|swarm, cx| swarm.on_payload(slow, head, cx));
    assert_eq!(bench.swarm.totals().wasted, u64::from(BLOCK_LEN));
}
