//! Who may connect: what is said first and in which order, wrong torrents, ourselves, duplicates,
//! hosts that are refused, and room.

use super::*;
use crate::swarm::PeerSource;

fn seed_of_one() -> Bench {
    Bench::seed(1)
}

#[test]
fn the_dialler_speaks_first() {
    let mut bench = seed_of_one();
    let dialled = bench.open(Side::Dialer);
    assert_eq!(names(&bench.take(dialled)), ["Handshake"]);
    bench.frame(dialled, greeting(peer_id(dialled.0), MODERN));
    assert_eq!(names(&bench.take(dialled)), ["HaveAll", "AllowedFast", "ExtensionHandshake"]);

    let accepted = bench.open(Side::Listener);
    assert_eq!(bench.take(accepted), []);
    bench.frame(accepted, greeting(peer_id(accepted.0), PLAIN));
    assert_eq!(names(&bench.take(accepted)), ["Handshake", "Bitfield"]);
}

#[test]
fn who_has_nothing_says_so_where_it_can() {
    let mut bench = Bench::leecher(1);
    let (modern, plain) = (bench.greet(MODERN), bench.greet(PLAIN));
    assert_eq!(names(&bench.take(modern)), ["Handshake", "HaveNone", "ExtensionHandshake"]);
    assert_eq!(names(&bench.take(plain)), ["Handshake"]);
}

#[test]
fn pw_03_the_wrong_torrent_is_closed() {
    let mut bench = seed_of_one();
    let conn = bench.open(Side::Listener);
    let Frame::Handshake(mut said) = greeting(peer_id(0), MODERN) else { unreachable!() };
    said.info_hash = InfoHash([8; 20]);
    bench.frame(conn, Frame::Handshake(said));
    assert_eq!(bench.why(conn), Some(CloseReason::WrongTorrent));
    assert_eq!(bench.take(conn), [], "it learns nothing of us");
}

#[test]
fn pw_03_our_own_id_is_closed_and_its_address_forgotten() {
    let mut bench = seed_of_one();
    bench.command(Command::AddPeers(vec![address(0)], PeerSource::Tracker));
    assert_eq!(bench.dials.len(), 1);
    let conn = bench.open_to(address(0), Side::Dialer);
    bench.frame(conn, greeting(OURSELVES, MODERN));
    assert_eq!(bench.why(conn), Some(CloseReason::Myself));
    bench.wait(3_600);
    assert_eq!(bench.dials.len(), 1);
}

#[test]
fn frames_before_the_handshake_or_a_second_one_close() {
    for frame in [Frame::KeepAlive, Frame::Interested, Frame::Have(PieceIndex(0))] {
        let mut bench = seed_of_one();
        let conn = bench.open(Side::Listener);
        bench.frame(conn, frame);
        assert_eq!(bench.why(conn), Some(CloseReason::Protocol));
    }
    let mut bench = seed_of_one();
    let conn = bench.greet(MODERN);
    bench.frame(conn, greeting(peer_id(conn.0), MODERN));
    assert_eq!(bench.why(conn), Some(CloseReason::Protocol));
}

#[test]
fn a_second_connection_with_a_peer_is_closed() {
    let mut bench = seed_of_one();
    let first = bench.greet(MODERN);
    bench.wait(11);
    let second = bench.open(Side::Dialer);
    bench.frame(second, greeting(peer_id(first.0), MODERN));
    assert_eq!(bench.why(second), Some(CloseReason::Duplicate));
    assert_eq!(bench.why(first), None);
}

#[test]
fn of_two_that_dial_each_other_at_once_both_keep_the_same_connection() {
    // Both ends see the two handshakes in either order.
    let survivor = |ours_first: bool, we_are_less: bool| {
        let mut config = config();
        config.peer_id = PeerId([if we_are_less { 1 } else { 0xff }; 20]);
        let mut bench = Bench::with(config, content(info(1), Bitfield::full(1)));
        let (dialled, accepted) = (bench.open(Side::Dialer), bench.open(Side::Listener));
        let order = if ours_first { [dialled, accepted] } else { [accepted, dialled] };
        for conn in order {
            bench.frame(conn, greeting(peer_id(9), MODERN));
        }
        let left: Vec<_> =
            [dialled, accepted].into_iter().filter(|conn| bench.why(*conn).is_none()).collect();
        assert_eq!(left.len(), 1);
        left[0] == dialled
    };
    for ours_first in [true, false] {
        assert!(survivor(ours_first, true), "who has the smaller id keeps what it dialled");
        assert!(!survivor(ours_first, false), "and the other keeps what it accepted");
    }
}

#[test]
fn an_address_that_led_to_a_duplicate_is_tried_again_only_once_the_other_is_gone() {
    let mut bench = seed_of_one();
    let first = bench.greet(MODERN);
    let listens = ExtensionHandshake { listen_port: Some(6881), ..abilities() };
    bench.extended(first, Extended::Handshake(listens));
    bench.wait(11);
    bench.command(Command::AddPeers(vec![address(first.0)], PeerSource::Pex));
    for _ in 0..60 {
        bench.frame(first, Frame::KeepAlive);
        bench.wait(10);
    }
    assert_eq!(bench.dials, [], "we are connected to who listens there");
    bench.close(first, CloseReason::Gone);
    bench.wait(120);
    assert_eq!(bench.dials.len(), 1);
}

#[test]
fn addresses_of_a_peer_with_many_are_not_kept_from_others() {
    // Each address answers with the same peer id.
    let mut bench = seed_of_one();
    let first = bench.greet(MODERN);
    bench.wait(11);
    for port in 1..=200 {
        let at = SocketAddr::from(([198, 18, 9, 9], port));
        bench.command(Command::AddPeers(vec![at], PeerSource::Pex));
        let conn = bench.open_to(at, Side::Dialer);
        bench.frame(conn, greeting(peer_id(first.0), MODERN));
        assert_eq!(bench.why(conn), Some(CloseReason::Duplicate));
        bench.frame(first, Frame::KeepAlive);
    }
    assert_eq!(bench.swarm.totals().known, 200, "none is taken for connected");
}

#[test]
fn a_peer_names_one_port_and_no_more() {
    let mut bench = seed_of_one();
    let conn = bench.greet(MODERN);
    for port in 1..=5_000 {
        let said = ExtensionHandshake { listen_port: Some(port), ..abilities() };
        bench.extended(conn, Extended::Handshake(said));
    }
    bench.command(Command::AddPeers(vec![address(99)], PeerSource::Incoming));
    assert_eq!(bench.dials.len(), 1, "there is room for the addresses of others");
}

#[test]
fn banned_hosts_are_refused_at_once() {
    let mut bench = Bench::leecher(1);
    let (conn, requests) = bench.server(MODERN, &[0]);
    requests.iter().for_each(|&block| assert!(bench.deliver(conn, block)));
    let digests = [[1; 20]; BLOCKS as usize];
    bench.input(|swarm, cx| swarm.judge(PieceIndex(0), false, &digests, cx));
    assert_eq!(bench.why(conn), Some(CloseReason::Banned));
    let mut again = address(conn.0);
    again.set_port(4);
    let back = bench.open_to(again, Side::Listener);
    assert_eq!(bench.why(back), Some(CloseReason::Banned));
    assert_eq!(bench.take(back), []);
    bench.command(Command::AddPeers(vec![again], PeerSource::User));
    bench.wait(300);
    assert_eq!(bench.dials, []);
}

#[test]
fn connections_are_bounded_and_the_useless_make_room() {
    let mut bench = Bench::with(
        SwarmConfig { max_connections: 3, ..config() },
        content(info(1), bits(1, &[0])),
    );
    let old: Vec<_> = (0..3).map(|_| bench.greet(MODERN)).collect();
    bench.frame(old[1], Frame::Interested);
    let refused = bench.open(Side::Listener);
    assert_eq!(bench.why(refused), Some(CloseReason::Full), "all are new");
    bench.wait(20);
    let welcome = bench.open(Side::Listener);
    assert_eq!(bench.why(welcome), None);
    let gone: Vec<_> = old.iter().filter(|conn| bench.why(**conn).is_some()).collect();
    assert_eq!(gone, [&old[0]], "the interested one stays");
}

#[test]
fn a_lower_limit_closes_those_of_least_use() {
    let mut bench = seed_of_one();
    let old: Vec<_> = (0..4).map(|_| bench.greet(MODERN)).collect();
    bench.frame(old[2], Frame::Interested);
    bench.command(Command::MaxConnections(1));
    let stays = |conn: &&ConnId| bench.why(**conn).is_none();
    assert_eq!(old.iter().filter(stays).collect::<Vec<_>>(), [&old[2]]);
    let refused = bench.open(Side::Listener);
    assert_eq!(bench.why(refused), Some(CloseReason::Full));
    bench.command(Command::MaxConnections(2));
    let welcome = bench.open(Side::Listener);
    assert_eq!(bench.why(welcome), None);
}

#[test]
fn dials_are_bounded_and_leave_room_for_those_who_dial_us() {
    let mut bench = seed_of_one();
    let many = (0..200).map(address).collect();
    bench.command(Command::AddPeers(many, PeerSource::Tracker));
    assert_eq!(bench.dials.len(), config().max_connections / 2);
}

#[test]
fn known_addresses_are_bounded() {
    let mut bench = Bench::magnet(config());
    for batch in 0..50 {
        let many = (batch * 100..(batch + 1) * 100).map(address).collect();
        bench.command(Command::AddPeers(many, PeerSource::Dht));
    }
    assert!(bench.swarm.totals().known <= limits::KNOWN_MAX);
}

#[test]
fn stopping_closes_everything_and_dials_no_more() {
    let mut bench = seed_of_one();
    let conn = bench.greet(MODERN);
    bench.command(Command::Stop);
    assert_eq!(bench.why(conn), Some(CloseReason::Stopped));
    bench.command(Command::AddPeers(vec![address(3)], PeerSource::User));
    let late = bench.open(Side::Listener);
    assert_eq!(bench.why(late), Some(CloseReason::Stopped));
    bench.wait(60);
    assert_eq!(bench.dials, []);
    assert_eq!(bench.tick_at, None, "nothing is left to keep up");
}
