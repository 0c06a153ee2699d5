//! What peers say of their pieces: bitfields in time and of the right form, have and don't-have,
//! and seeds that part.

use super::*;

#[test]
fn pw_05_bitfields_of_the_wrong_form_close() {
    let cases: [(&str, &[u8]); 5] = [
        ("empty", &[]),
        ("too short", &[0xff]),
        ("too long", &[0xff, 0xff, 0]),
        ("spare bits", &[0xff, 0xf8]),
        ("all spare bits", &[0, 0x0f]),
    ];
    for (what, bytes) in cases {
        let mut bench = Bench::leecher(12);
        let conn = bench.greet(PLAIN);
        bench.frame(conn, Frame::Bitfield(bytes.to_vec()));
        let expected = (!bytes.is_empty()).then_some(CloseReason::Protocol);
        assert_eq!(bench.why(conn), expected, "{what}");
    }
}

#[test]
fn pw_05_all_or_none_said_late_closes() {
    let field = || Frame::Bitfield(bits(12, &[3]).to_wire());
    let firsts = [field(), Frame::HaveAll, Frame::HaveNone, Frame::Have(PieceIndex(1))];
    for first in firsts {
        for second in [Frame::HaveAll, Frame::HaveNone] {
            let mut bench = Bench::leecher(12);
            let conn = bench.greet(MODERN);
            bench.frame(conn, first.clone());
            assert_eq!(bench.why(conn), None);
            bench.frame(conn, second.clone());
            assert_eq!(bench.why(conn), Some(CloseReason::Protocol), "{first:?}, {second:?}");
        }
    }
}

#[test]
fn pw_05_late_bitfields_are_news_or_an_offence() {
    let field = || Frame::Bitfield(bits(12, &[3]).to_wire());
    let firsts =
        [(field(), 1), (Frame::HaveAll, 1), (Frame::HaveNone, 0), (Frame::Have(PieceIndex(1)), 0)];
    for (first, offences) in firsts {
        let mut bench = Bench::leecher(12);
        let conn = bench.greet(MODERN);
        bench.frame(conn, first.clone());
        bench.frame(conn, field());
        assert_eq!(bench.why(conn), None, "{first:?}");
        assert!(bench.swarm.peers[&conn].has(PieceIndex(3)), "{first:?}");
        assert_eq!(bench.swarm.peers[&conn].offences, offences, "{first:?}");
    }
}

#[test]
fn pw_05_bitfields_are_checked_once_the_piece_count_is_known() {
    let mut bench = Bench::magnet(config());
    let (good, bad) = (bench.greet(PLAIN), bench.greet(PLAIN));
    bench.frame(good, Frame::Bitfield(vec![0xff, 0xf0]));
    bench.frame(bad, Frame::Bitfield(vec![0xff, 0xff]));
    assert!(bench.closed.is_empty());
    bench.command(Command::Begin(Box::new(content(info(12), Bitfield::new(12)))));
    assert_eq!(bench.why(bad), Some(CloseReason::Protocol));
    assert_eq!(bench.why(good), None);
    assert!(bench.take(good).contains(&Frame::Interested));
}

#[test]
fn have_all_needs_the_fast_extension() {
    for frame in [Frame::HaveAll, Frame::HaveNone] {
        let mut bench = Bench::leecher(1);
        let conn = bench.greet(PLAIN);
        bench.frame(conn, frame);
        assert_eq!(bench.why(conn), Some(CloseReason::Protocol));
    }
}

#[test]
fn have_of_no_piece_closes() {
    let mut bench = Bench::leecher(3);
    let conn = bench.greet(PLAIN);
    bench.frame(conn, Frame::Have(PieceIndex(3)));
    assert_eq!(bench.why(conn), Some(CloseReason::Protocol));
}

#[test]
fn early_haves_are_bounded() {
    let mut bench = Bench::magnet(config());
    let conn = bench.greet(PLAIN);
    for piece in 0..3 * limits::KNOWN_MAX as u32 {
        bench.frame(conn, Frame::Have(PieceIndex(piece)));
    }
    let super::super::peer::Has::Early { haves, .. } = &bench.swarm.peers[&conn].has else {
        panic!("settled without content");
    };
    assert_eq!(haves.len(), limits::KNOWN_MAX);
}

#[test]
fn peers_that_speak_of_pieces_after_the_metadata_came_are_counted_once() {
    // Handshake, then our metadata, then its first word about pieces; and then it leaves.
    let words = [Frame::HaveAll, Frame::HaveNone, Frame::Bitfield(vec![0x80])];
    for word in words {
        let mut bench = Bench::magnet(config());
        let conn = bench.greet(MODERN);
        bench.command(Command::Begin(Box::new(content(info(3), Bitfield::new(3)))));
        bench.frame(conn, word.clone());
        bench.close(conn, CloseReason::Gone);
        let fresh = Bench::leecher(3);
        let gone = |bench: &Bench| {
            let picker = &bench.swarm.content.as_ref().expect("content").picker;
            picker.peer_count()
        };
        assert_eq!(gone(&bench), gone(&fresh), "{word:?}");
    }
}

#[test]
fn begin_counts_early_bitfields() {
    let mut bench = Bench::magnet(config());
    let conn = bench.greet(MODERN);
    bench.frame(conn, Frame::Bitfield(vec![0x80]));
    bench.frame(conn, Frame::Have(PieceIndex(2)));
    bench.frame(conn, Frame::Unchoke);
    bench.command(Command::Begin(Box::new(content(info(3), Bitfield::new(3)))));
    let pieces: Vec<_> = bench.requests(conn).iter().map(|block| block.piece.0).collect();
    assert!(!pieces.is_empty() && pieces.iter().all(|piece| [0, 2].contains(piece)), "{pieces:?}");
}

#[test]
fn the_first_pieces_stay_within_what_they_may_take() {
    let mut bench = Bench::magnet(config());
    let conn = bench.greet(MODERN);
    bench.frame(conn, Frame::Bitfield(vec![0xe0]));
    bench.frame(conn, Frame::Unchoke);
    bench.swarm.set_piece_budget(0);
    bench.command(Command::Begin(Box::new(content(info(3), Bitfield::new(3)))));
    assert_eq!(bench.requests(conn), []);
    let memory = bench.swarm.piece_memory();
    assert!(memory.bytes == 0 && memory.lacks, "{memory:?}");
    bench.swarm.set_piece_budget(u64::MAX);
    bench.command(Command::TakeRoom);
    assert!(!bench.requests(conn).is_empty());
}

#[test]
fn two_that_only_upload_part_from_either_side() {
    // We are complete and a seed joins.
    let mut bench = Bench::seed(2);
    let conn = bench.join(MODERN, &[0, 1]);
    assert_eq!(bench.why(conn), Some(CloseReason::Useless));
    // We are complete and a partial seed says that it only uploads, in either way.
    let conn = bench.join(MODERN, &[0]);
    assert_eq!(bench.why(conn), None);
    bench.extended(conn, Extended::UploadOnly(true));
    assert_eq!(bench.why(conn), Some(CloseReason::Useless));
    let conn = bench.join(MODERN, &[0]);
    let said = ExtensionHandshake { upload_only: true, ..abilities() };
    bench.extended(conn, Extended::Handshake(said));
    assert_eq!(bench.why(conn), Some(CloseReason::Useless));
    // A peer becomes a seed by its last piece.
    let conn = bench.join(MODERN, &[0]);
    bench.frame(conn, Frame::Have(PieceIndex(1)));
    assert_eq!(bench.why(conn), Some(CloseReason::Useless));
    // We become complete: seeds go, the others are told.
    let mut bench = Bench::leecher(1);
    let leecher = bench.join(MODERN, &[]);
    let (seed, _) = bench.server(MODERN, &[0]);
    bench.verified(0, true);
    assert_eq!(bench.why(seed), Some(CloseReason::Useless));
    assert_eq!(bench.why(leecher), None);
    let told = bench.take(leecher);
    assert!(told.contains(&Frame::Extended(Extended::UploadOnly(true))), "{told:?}");
    assert!(told.contains(&Frame::Have(PieceIndex(0))), "{told:?}");
}

#[test]
fn a_lost_piece_is_taken_back_and_fetched_again() {
    let mut bench = Bench::seed(2);
    let modern = bench.join(MODERN, &[0]);
    let plain = bench.join(PLAIN, &[0]);
    bench.frame(modern, Frame::Unchoke);
    bench.command(Command::Lost(PieceIndex(0)));
    let told = bench.take(modern);
    assert_eq!(told[0], Frame::Extended(Extended::DontHave(PieceIndex(0))));
    assert_eq!(told[1], Frame::Interested);
    assert_eq!(told.len(), 2 + BLOCKS as usize, "and asks for its blocks: {told:?}");
    assert_eq!(bench.take(plain), [Frame::Interested]);
    bench.frame(modern, Frame::Interested);
    bench.frame(modern, Frame::Request(block(0, 0)));
    assert_eq!(bench.queued, []);
    bench.command(Command::Lost(PieceIndex(0)));
    bench.command(Command::Lost(PieceIndex(9)));
    assert!(!bench.swarm.is_complete());
    bench.verified(0, true);
    assert!(bench.swarm.is_complete());
}
