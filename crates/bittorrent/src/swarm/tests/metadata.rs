//! The info dictionary: giving it, collecting it, and peers that lie about it.

use sha1::{Digest, Sha1};

use super::*;
use crate::extension::MetadataMessage;

const PARTS: u32 = 3;

/// An info dictionary of three parts; what it says does not matter here.
fn dictionary() -> Vec<u8> {
    let len = 2 * limits::METADATA_PART + 100;
    (0..len).map(|at| (at * 31 / 7) as u8).collect()
}

fn magnet() -> Bench {
    let hash = InfoHash(Sha1::digest(dictionary()).into());
    let mut bench =
        Bench::magnet(SwarmConfig { hashes: InfoHashes { v1: Some(hash), v2: None }, ..config() });
    bench.now = Instant::ZERO + Duration::from_secs(1);
    bench
}

/// A peer that says how long the dictionary is; the parts that it is asked for.
fn offer(bench: &mut Bench, len: u32) -> (ConnId, Vec<u32>) {
    let conn = bench.open(Side::Listener);
    let Frame::Handshake(mut said) = greeting(peer_id(conn.0), MODERN) else { unreachable!() };
    said.info_hash = InfoHash(Sha1::digest(dictionary()).into());
    bench.frame(conn, Frame::Handshake(said));
    let said = ExtensionHandshake { metadata_len: Some(len), ..abilities() };
    bench.extended(conn, Extended::Handshake(said));
    let asked = asked(bench, conn);
    (conn, asked)
}

fn asked(bench: &mut Bench, conn: ConnId) -> Vec<u32> {
    let frames = bench.take(conn).into_iter();
    let parts = frames.filter_map(|frame| match frame {
        Frame::Extended(Extended::Metadata(MetadataMessage::Request(part))) => Some(part),
        _ => None,
    });
    parts.collect()
}

fn give(bench: &mut Bench, conn: ConnId, part: u32, all: &[u8]) {
    let begin = (part * limits::METADATA_PART) as usize;
    let end = (begin + limits::METADATA_PART as usize).min(all.len());
    let data = MetadataMessage::Data {
        part,
        total_len: all.len() as u32,
        bytes: all.get(begin..end).unwrap_or_default().to_vec(),
    };
    bench.extended(conn, Extended::Metadata(data));
}

fn found(bench: &Bench) -> bool {
    bench.events.iter().any(|event| match event {
        Event::Metadata(bytes) => {
            assert!(bytes[..] == dictionary()[..]);
            true
        }
        _ => false,
    })
}

/// Lets time pass; honest peers answer what they are asked.
fn serve(bench: &mut Bench, honest: &[ConnId], secs: u64) {
    for _ in 0..secs {
        for &conn in honest {
            for part in asked(bench, conn) {
                give(bench, conn, part, &dictionary());
            }
            bench.frame(conn, Frame::KeepAlive);
        }
        bench.wait(1);
    }
}

#[test]
fn parts_are_given_in_order_of_asking_and_refused_past_the_end() {
    let mut given = content(info(1), Bitfield::full(1));
    given.info_bytes = Arc::from(dictionary());
    let mut bench = Bench::with(config(), given);
    let conn = bench.greet(MODERN);
    let told = bench.take(conn).into_iter().find_map(|frame| match frame {
        Frame::Extended(Extended::Handshake(said)) => said.metadata_len,
        _ => None,
    });
    assert_eq!(told, Some(dictionary().len() as u32));
    let mut all = Vec::new();
    for part in 0..PARTS {
        bench.extended(conn, Extended::Metadata(MetadataMessage::Request(part)));
        let frames = bench.take(conn);
        let [Frame::Extended(Extended::Metadata(MetadataMessage::Data { bytes, .. }))] =
            &frames[..]
        else {
            panic!("{frames:?}");
        };
        all.extend_from_slice(bytes);
    }
    assert!(all == dictionary());
    for part in [PARTS, u32::MAX] {
        bench.extended(conn, Extended::Metadata(MetadataMessage::Request(part)));
        let refused = Frame::Extended(Extended::Metadata(MetadataMessage::Reject(part)));
        assert_eq!(bench.take(conn), [refused]);
    }
}

#[test]
fn who_has_no_metadata_refuses() {
    let mut bench = magnet();
    let (conn, _) = offer(&mut bench, 0);
    bench.extended(conn, Extended::Metadata(MetadataMessage::Request(0)));
    let refused = Frame::Extended(Extended::Metadata(MetadataMessage::Reject(0)));
    assert_eq!(bench.take(conn), [refused]);
}

#[test]
fn parts_come_from_several_peers_and_match_the_hash() {
    let mut bench = magnet();
    let len = dictionary().len() as u32;
    let (one, first) = offer(&mut bench, len);
    let (two, second) = offer(&mut bench, len);
    assert_eq!((first.len() as u32, second.len()), (PARTS, 0));
    for part in first {
        give(&mut bench, one, part, &dictionary());
    }
    assert!(found(&bench));
    assert_eq!(asked(&mut bench, two), []);
}

#[test]
fn a_refused_part_is_asked_of_another() {
    let mut bench = magnet();
    let len = dictionary().len() as u32;
    let (one, _) = offer(&mut bench, len);
    let (two, _) = offer(&mut bench, len);
    bench.extended(one, Extended::Metadata(MetadataMessage::Reject(0)));
    serve(&mut bench, &[two], 5);
    assert!(found(&bench));
    assert_eq!(asked(&mut bench, one), [], "it is asked no more");
}

#[test]
fn a_peer_that_leaves_or_falls_silent_is_replaced() {
    for leaves in [true, false] {
        let mut bench = magnet();
        let len = dictionary().len() as u32;
        let (one, _) = offer(&mut bench, len);
        let (two, _) = offer(&mut bench, len);
        if leaves {
            bench.close(one, CloseReason::Gone);
        }
        serve(&mut bench, &[two], 30);
        assert!(found(&bench), "leaves: {leaves}");
    }
}

#[test]
fn parts_not_asked_for_are_an_offence() {
    let mut bench = magnet();
    let (conn, _) = offer(&mut bench, 0);
    for _ in 0..=limits::OFFENCES_MAX {
        give(&mut bench, conn, 0, &dictionary());
    }
    // Without a fetch there is nothing that they could be parts of.
    assert!(!found(&bench));
    let (conn, _) = offer(&mut bench, dictionary().len() as u32);
    give(&mut bench, conn, 99, &dictionary());
    assert_eq!(bench.swarm.peers[&conn].offences, 1);
}

#[test]
fn impossible_lengths_are_ignored() {
    for len in [0, limits::METADATA_LEN_MAX + 1, u32::MAX] {
        let mut bench = magnet();
        assert_eq!(offer(&mut bench, len).1, []);
        assert_eq!(offer(&mut bench, dictionary().len() as u32).1.len() as u32, PARTS);
    }
}

#[test]
fn one_that_lies_about_the_length_does_not_keep_others_from_telling() {
    let mut bench = magnet();
    let (liar, _) = offer(&mut bench, limits::METADATA_LEN_MAX);
    let (honest, _) = offer(&mut bench, dictionary().len() as u32);
    for _ in 0..6 {
        bench.frame(liar, Frame::KeepAlive);
        serve(&mut bench, &[honest], 10);
    }
    assert!(found(&bench));
}

#[test]
fn one_that_lies_about_every_part_is_closed() {
    let mut bench = magnet();
    let len = dictionary().len();
    let (liar, parts) = offer(&mut bench, len as u32);
    for part in parts {
        give(&mut bench, liar, part, &vec![0; len]);
    }
    assert!(!found(&bench));
    assert_eq!(bench.why(liar), Some(CloseReason::Protocol));
    let (honest, parts) = offer(&mut bench, len as u32);
    parts.iter().for_each(|&part| give(&mut bench, honest, part, &dictionary()));
    assert!(found(&bench));
}

#[test]
fn one_that_lies_about_a_part_is_found_out_and_honest_peers_are_not_blamed() {
    for seed in 0..20 {
        let mut bench = magnet();
        bench.rng = Rng::new(seed);
        let len = dictionary().len();
        let (liar, parts) = offer(&mut bench, len as u32);
        let (honest, _) = offer(&mut bench, len as u32);
        let (other, _) = offer(&mut bench, len as u32);
        // One false part; the others come from honest peers after patience.
        give(&mut bench, liar, parts[0], &vec![0; len]);
        for _ in 0..90 {
            for part in asked(&mut bench, liar) {
                give(&mut bench, liar, part, &vec![0; len]);
            }
            bench.frame(liar, Frame::KeepAlive);
            serve(&mut bench, &[honest, other], 1);
        }
        assert!(found(&bench), "seed {seed}");
        assert_eq!((bench.why(honest), bench.why(other)), (None, None), "seed {seed}");
    }
}
