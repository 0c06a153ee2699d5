//! Hashes of v2 files: piece layers that come from peers, and hashes that peers ask of us.

use super::*;
use crate::id::InfoHashV2;
use crate::merkle::{FileShape, FileTree, Hash, piece_layer, root, root_of_width};
use crate::peer_wire::HashRange;

const PIECES: u32 = 5;

struct Made {
    info: Info,
    layer: Vec<Hash>,
    leaves: Vec<Hash>,
    tree: FileTree,
}

/// A v2-only torrent of one file.
fn made() -> Made {
    let leaves: Vec<Hash> = (0..PIECES * BLOCKS).map(|at| [at as u8 + 1; 32]).collect();
    let layer: Vec<Hash> = leaves.chunks(BLOCKS as usize).map(|piece| root(piece, 0)).collect();
    let top = root_of_width(&layer, piece_layer(PIECE_LEN), 8);
    let mut info = info(PIECES);
    info.hashes = InfoHashes { v1: None, v2: Some(InfoHashV2([7; 32])) };
    info.v1_pieces = None;
    info.files[0].pieces_root = Some(top);
    let shape = FileShape::new(top, info.total_len, PIECE_LEN).expect("a file");
    let tree = FileTree::new(shape, &layer).expect("the layer matches");
    Made { info, layer, leaves, tree }
}

fn config_v2() -> SwarmConfig {
    SwarmConfig { hashes: made().info.hashes, ..config() }
}

/// A machine that knows the dictionary and no piece layer, as after a magnet link.
fn without_layers() -> Bench {
    Bench::with(config_v2(), content(made().info, Bitfield::new(PIECES)))
}

fn seed() -> Bench {
    let made = made();
    let mut all = content(made.info, Bitfield::full(PIECES));
    all.piece_layers = vec![made.layer];
    Bench::with(config_v2(), all)
}

fn asked(bench: &mut Bench, conn: ConnId) -> Vec<HashRange> {
    let frames = bench.take(conn).into_iter();
    let ranges = frames.filter_map(|frame| match frame {
        Frame::HashRequest(range) => Some(range),
        _ => None,
    });
    ranges.collect()
}

/// A peer that has everything; what it is asked for.
fn giver(bench: &mut Bench, skills: Skills) -> (ConnId, Vec<HashRange>) {
    let conn = bench.greet(skills);
    bench.frame(conn, Frame::Bitfield(Bitfield::full(PIECES).to_wire()));
    bench.frame(conn, Frame::Unchoke);
    let ranges = asked(bench, conn);
    (conn, ranges)
}

#[test]
fn a_layer_is_fetched_and_then_its_pieces() {
    let mut bench = without_layers();
    assert!(!bench.swarm.is_complete());
    let (conn, ranges) = giver(&mut bench, MODERN);
    assert_eq!(ranges.len(), 1);
    assert_eq!(bench.requests(conn), [], "pieces that cannot be verified are not asked for");
    let hashes = made().tree.answer(&ranges[0], &[]).expect("an answer");
    bench.frame(conn, Frame::Hashes(ranges[0], hashes));
    let known = bench.events.iter().any(|event| match event {
        Event::Layers(0, layer) => *layer == made().layer,
        _ => false,
    });
    assert!(known);
    assert!(!bench.requests(conn).is_empty());
    assert!(!bench.events.iter().any(|event| matches!(event, Event::Complete)));
}

#[test]
fn peers_that_greet_by_the_v2_hash_are_asked_whatever_their_bits_say() {
    let mut bench = without_layers();
    let (_, ranges) = giver(&mut bench, Skills { v2: false, ..MODERN });
    assert_ne!(ranges, []);
}

#[test]
fn handshakes_say_the_hash_that_the_peer_knows() {
    let v2 = InfoHashV2([9; 32]);
    let hashes = InfoHashes { v1: Some(TORRENT), v2: Some(v2) };
    let mut bench = Bench::magnet(SwarmConfig { hashes, ..config() });
    let said = |frames: Vec<Wire>| {
        frames.iter().find_map(|frame| match frame {
            Frame::Handshake(said) => Some(said.info_hash),
            _ => None,
        })
    };
    for hash in [TORRENT, v2.truncated()] {
        let caller = bench.open(Side::Listener);
        let reserved = Reserved::default();
        let peer_id = PeerId([hash.0[0]; 20]);
        bench.frame(caller, Frame::Handshake(Handshake { reserved, info_hash: hash, peer_id }));
        assert_eq!(said(bench.take(caller)), Some(hash));
    }
    let dialled = bench.open(Side::Dialer);
    assert_eq!(said(bench.take(dialled)), Some(TORRENT), "the preferred one");
    bench.swarm.greet_by(v2.truncated());
    let dialled = bench.open(Side::Dialer);
    assert_eq!(said(bench.take(dialled)), Some(v2.truncated()));
}

#[test]
fn pw_20_false_hashes_are_an_offence_and_asked_of_another() {
    let mut bench = without_layers();
    let (liar, ranges) = giver(&mut bench, MODERN);
    let mut hashes = made().tree.answer(&ranges[0], &[]).expect("an answer");
    hashes[0][0] ^= 1;
    bench.frame(liar, Frame::Hashes(ranges[0], hashes));
    assert_eq!(bench.swarm.peers[&liar].offences, 1);
    assert!(bench.events.is_empty());
    bench.wait(30);
    assert_eq!(asked(&mut bench, liar), [], "it is asked no more");
    let (_, again) = giver(&mut bench, MODERN);
    assert_eq!(again, ranges);
}

#[test]
fn pw_20_hashes_nobody_asked_for_are_an_offence() {
    let mut bench = without_layers();
    let (conn, ranges) = giver(&mut bench, MODERN);
    let other = HashRange { index: 8, ..ranges[0] };
    bench.frame(conn, Frame::Hashes(other, vec![[0; 32]; 9]));
    bench.frame(conn, Frame::HashReject(other));
    assert_eq!(bench.swarm.peers[&conn].offences, 2);
    bench.frame(conn, Frame::HashReject(ranges[0]));
    assert_eq!(bench.swarm.peers[&conn].offences, 2);
}

#[test]
fn refusals_and_departures_pass_the_question_on() {
    for leaves in [true, false] {
        let mut bench = without_layers();
        let (one, ranges) = giver(&mut bench, MODERN);
        let (two, none) = giver(&mut bench, MODERN);
        assert_eq!(none, []);
        if leaves {
            bench.close(one, CloseReason::Gone);
        } else {
            bench.frame(one, Frame::HashReject(ranges[0]));
        }
        bench.wait(2);
        assert_eq!(asked(&mut bench, two), ranges);
    }
}

#[test]
fn one_that_never_answers_does_not_hold_the_torrent_up() {
    let mut bench = without_layers();
    let (mute, ranges) = giver(&mut bench, MODERN);
    let (two, _) = giver(&mut bench, MODERN);
    for _ in 0..6 {
        bench.frame(mute, Frame::KeepAlive);
        bench.wait(5);
    }
    assert_eq!(asked(&mut bench, two), ranges);
    assert_eq!(asked(&mut bench, mute), [], "it is not asked twice");
    // Whoever answers first is believed, and the other is no offender.
    let hashes = made().tree.answer(&ranges[0], &[]).expect("an answer");
    bench.frame(mute, Frame::Hashes(ranges[0], hashes.clone()));
    bench.frame(two, Frame::Hashes(ranges[0], hashes));
    assert!(bench.events.iter().any(|event| matches!(event, Event::Layers(..))));
    assert_eq!((bench.swarm.peers[&mute].offences, bench.swarm.peers[&two].offences), (0, 0));
}

#[test]
fn a_torrent_is_not_complete_while_a_layer_is_missing() {
    // Two files; of the first everything is here, of the second not even the hashes.
    let made = made();
    let mut info = made.info;
    let second = File { offset: u64::from(8 * PIECE_LEN), ..info.files[0].clone() };
    info.files[0].len = u64::from(PIECE_LEN);
    info.files[0].pieces_root = Some(made.layer[0]);
    info.total_len = second.offset + second.len;
    info.files.push(second);
    let pieces = info.piece_count();
    let mut bench = Bench::with(config_v2(), content(info, Bitfield::new(pieces)));
    bench.join(MODERN, &[0]);
    bench.verified(0, true);
    assert!(!bench.events.iter().any(|event| matches!(event, Event::Complete)));
    assert!(!bench.swarm.is_complete());
}

#[test]
fn piece_layers_are_given_at_once_and_leaves_by_way_of_the_driver() {
    let mut bench = seed();
    let conn = bench.join(MODERN, &[]);
    let (_, ranges) = giver(&mut without_layers(), MODERN);
    bench.frame(conn, Frame::HashRequest(ranges[0]));
    let expected = made().tree.answer(&ranges[0], &[]).expect("an answer");
    assert_eq!(bench.take(conn), [Frame::Hashes(ranges[0], expected)]);
    let of_leaves = HashRange { base_layer: 0, index: 4, length: 4, ..ranges[0] };
    bench.frame(conn, Frame::HashRequest(of_leaves));
    assert_eq!(bench.asked, [Effect::ReadLeaves(conn, of_leaves, PieceIndex(1))]);
    let leaves = made().leaves[4..8].to_vec();
    bench.command(Command::Leaves(conn, of_leaves, Some(leaves)));
    let answer = bench.take(conn);
    assert!(matches!(&answer[..], [Frame::Hashes(range, _)] if *range == of_leaves), "{answer:?}");
    bench.command(Command::Leaves(conn, of_leaves, None));
    assert_eq!(bench.take(conn), [Frame::HashReject(of_leaves)]);
}

#[test]
fn pw_20_impossible_hash_requests_are_refused() {
    let (_, ranges) = giver(&mut without_layers(), MODERN);
    let good = ranges[0];
    let cases = [
        ("another file", HashRange { pieces_root: [9; 32], ..good }),
        ("no such layer", HashRange { base_layer: 40, ..good }),
        ("a crooked index", HashRange { index: 3, ..good }),
        ("past the end", HashRange { index: 8, ..good }),
        ("far past the end", HashRange { index: u32::MAX, ..good }),
        ("no hashes", HashRange { length: 0, ..good }),
        ("too many", HashRange { length: 1 << 31, ..good }),
        ("too much proof", HashRange { proof_layers: u32::MAX, ..good }),
    ];
    for (what, range) in cases {
        let mut bench = seed();
        let conn = bench.join(MODERN, &[]);
        bench.frame(conn, Frame::HashRequest(range));
        assert_eq!(bench.take(conn), [Frame::HashReject(range)], "{what}");
        assert_eq!(bench.asked, [], "{what}");
    }
}

#[test]
fn leaves_of_pieces_that_are_not_here_are_refused() {
    let made = made();
    let mut some = content(made.info, bits(PIECES, &[0]));
    some.piece_layers = vec![made.layer];
    let mut bench = Bench::with(config_v2(), some);
    let conn = bench.join(MODERN, &[]);
    let (_, ranges) = giver(&mut without_layers(), MODERN);
    let of_leaves = HashRange { base_layer: 0, index: 4, length: 4, ..ranges[0] };
    bench.frame(conn, Frame::HashRequest(of_leaves));
    assert_eq!(bench.take(conn), [Frame::HashReject(of_leaves)]);
}
