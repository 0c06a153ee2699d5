//! Framings against recordings of a real servent, against each other and against bytes made to
//! hurt, cut in every way.

use alloc::string::ToString;
use alloc::vec;
use core::net::IpAddr;

use machine::Rng;

use super::super::captures::recorded;
use super::super::handshake::{Profile, Role, Room};
use super::super::{Guid, Header, Kind};
use super::*;

/// Reads `bytes` as they would come off a socket, cut by `cut`. Says how many were not used.
fn listen(
    framing: &mut GnutellaFraming,
    bytes: &[u8],
    mut cut: impl FnMut() -> usize,
) -> Result<(Vec<Frame>, usize), FramingError> {
    let (mut frames, mut at, mut end, mut need) = (Vec::new(), 0, 0usize, 0usize);
    loop {
        if end - at < need || end == at {
            if end == bytes.len() {
                return Ok((frames, end - at));
            }
            end = (end + cut().max(1)).min(bytes.len());
            continue;
        }
        need = 0;
        match framing.decode(&bytes[at..end])? {
            Decoded::Incomplete(more) => {
                assert!(more > end - at, "asks for what it has");
                need = more;
            }
            Decoded::Frame { frame, used } => {
                assert!(used <= end - at);
                frames.push(frame);
                at += used;
            }
            Decoded::Payload { .. } => panic!("no payload here"),
        }
    }
}

fn message(len: usize) -> Frame {
    let header = Header::new(Guid([1; 16]), Kind::Query, 3);
    Frame::Message(Descriptor::new(header, vec![7; len]).unwrap())
}

/// Both directions of a recorded connection: bytes and the messages in them.
const RECORDINGS: [[(&[u8], &str); 2]; 2] = [
    [
        (
            include_bytes!("../../../tests/data/leaf_sharing.c2s.bin"),
            include_str!("../../../tests/data/leaf_sharing.c2s.messages.jsonl"),
        ),
        (
            include_bytes!("../../../tests/data/leaf_sharing.s2c.bin"),
            include_str!("../../../tests/data/leaf_sharing.s2c.messages.jsonl"),
        ),
    ],
    [
        (
            include_bytes!("../../../tests/data/leaf_searching.c2s.bin"),
            include_str!("../../../tests/data/leaf_searching.c2s.messages.jsonl"),
        ),
        (
            include_bytes!("../../../tests/data/leaf_searching.s2c.bin"),
            include_str!("../../../tests/data/leaf_searching.s2c.messages.jsonl"),
        ),
    ],
];

#[test]
fn recordings_are_heard_the_same_however_they_are_cut() {
    let mut rng = Rng::new(1);
    for directions in RECORDINGS {
        // Who hears what the dialer says is the listener.
        for ((bytes, lines), side) in directions.into_iter().zip([Side::Listener, Side::Dialer]) {
            for round in 0..60u64 {
                let most = [1, 2, 7, 60, 700, 70_000][round as usize % 6];
                let mut framing = GnutellaFraming::new(side);
                let (frames, left) =
                    listen(&mut framing, bytes, || 1 + rng.below(most) as usize).unwrap();
                let (blocks, messages): (Vec<_>, Vec<_>) =
                    frames.into_iter().partition(|frame| matches!(frame, Frame::Block(_)));
                let expected: Vec<_> = recorded(lines).into_iter().map(Frame::Message).collect();
                assert_eq!(messages, expected);
                // What is left over is what zlib puts behind a flush, not a message.
                assert!(left < 16, "{left} bytes left");
                // Blocks are written back to the byte.
                let mut written = Vec::new();
                for block in &blocks {
                    let Frame::Block(block) = block else { continue };
                    block.encode(&mut written);
                }
                assert!(bytes.starts_with(&written));
                assert_eq!(blocks.len(), if side == Side::Listener { 2 } else { 1 });
            }
        }
    }
}

/// Two ends that have shaken hands, both deflating or neither.
fn connected(deflate: bool) -> (GnutellaFraming, GnutellaFraming) {
    let ip: IpAddr = [127, 0, 0, 1].into();
    let profile = |role| Profile {
        role,
        room: Room { leaves: true, ultrapeers: true },
        yielding: false,
        user_agent: "Shoal".to_string(),
        guid: Guid([2; 16]),
        listen: None,
        deflate,
        degree: 32,
        max_ttl: 4,
    };
    let (leaf, hub) = (profile(Role::Leaf), profile(Role::Ultrapeer));
    let mut dialer = GnutellaFraming::new(Side::Dialer);
    let mut listener = GnutellaFraming::new(Side::Listener);
    let open = leaf.open(ip);
    let answer = hub.answer(&open, ip, &[]);
    let confirm = leaf.confirm(&answer).unwrap();
    for (from_dialer, block) in [(true, open), (false, answer), (true, confirm)] {
        let (from, to) =
            if from_dialer { (&mut dialer, &mut listener) } else { (&mut listener, &mut dialer) };
        let (frame, mut bytes) = (Frame::Block(block), Vec::new());
        assert!(from.can_encode(&frame));
        from.encode(&frame, &mut bytes);
        assert_eq!(listen(to, &bytes, || 5), Ok((vec![frame], 0)));
    }
    (dialer, listener)
}

#[test]
fn ends_understand_each_other() {
    let mut rng = Rng::new(2);
    for deflate in [false, true] {
        let (mut dialer, mut listener) = connected(deflate);
        let frames: Vec<_> =
            [0, 1, 22, 23, 300, 5_000, PAYLOAD_MAX, 9, 0, 0].into_iter().map(message).collect();
        for (from, to) in [(0, 1), (1, 0)] {
            let ends = [&mut dialer, &mut listener];
            let mut bytes = Vec::new();
            ends[from].encode_all(&frames[..4], &mut bytes);
            for frame in &frames[4..] {
                ends[from].encode(frame, &mut bytes);
            }
            let (heard, _) = listen(ends[to], &bytes, || 1 + rng.below(3_000) as usize).unwrap();
            assert_eq!(heard, frames);
        }
    }
}

#[test]
fn what_has_been_flushed_is_heard_before_more_comes() {
    let (mut dialer, mut listener) = connected(true);
    for len in [10, 0, 200, 4_073, 4_074, 60_000] {
        let (frame, mut bytes) = (message(len), Vec::new());
        dialer.encode(&frame, &mut bytes);
        assert_eq!(listen(&mut listener, &bytes, || bytes.len()).unwrap().0, [frame]);
    }
}

#[test]
fn version_04_is_spoken_too() {
    let mut dialer = GnutellaFraming::new(Side::Dialer);
    let mut listener = GnutellaFraming::new(Side::Listener);
    let mut bytes = Vec::new();
    assert!(!dialer.can_encode(&message(1)) && !listener.can_encode(&message(1)));
    dialer.encode(&Frame::Connect04, &mut bytes);
    dialer.encode(&message(4), &mut bytes);
    assert_eq!(listen(&mut listener, &bytes, || 1), Ok((vec![Frame::Connect04, message(4)], 0)));
    bytes.clear();
    listener.encode_all(&[Frame::Ok04, message(5)], &mut bytes);
    assert!(bytes.starts_with(b"GNUTELLA OK\n\n"));
    assert_eq!(listen(&mut dialer, &bytes, || 2), Ok((vec![Frame::Ok04, message(5)], 0)));
}

#[test]
fn blocks_out_of_turn_and_words_after_a_no_are_refused() {
    let connect = Block::connect().to_string();
    let no = Block::status(503, "Full").to_string();
    let yes = Block::status(200, "OK").to_string();
    let table = [
        (Side::Dialer, connect.clone(), FramingError::OutOfTurn),
        (Side::Listener, yes.clone(), FramingError::OutOfTurn),
        (Side::Listener, [&connect[..], &connect].concat(), FramingError::OutOfTurn),
        (Side::Dialer, [&no[..], &yes].concat(), FramingError::Refused),
        (Side::Listener, [&connect[..], &no, "x"].concat(), FramingError::Refused),
        (Side::Listener, "GET / ".to_string(), HandshakeError::NotGnutella.into()),
    ];
    for (side, bytes, error) in table {
        for cut in [1, 3, 10_000] {
            let mut framing = GnutellaFraming::new(side);
            assert_eq!(listen(&mut framing, bytes.as_bytes(), || cut), Err(error));
        }
    }
}

#[test]
fn gn_01_payloads_that_are_too_long_close_compressed_connections_too() {
    for deflate in [false, true] {
        let (mut dialer, mut listener) = connected(deflate);
        let mut head = vec![0; HEADER_LEN];
        head[19..].fill(0xff);
        let bytes = match &mut dialer.deflater {
            Some(deflater) => {
                let mut bytes = Vec::new();
                deflater.write(&head, &mut bytes);
                bytes
            }
            None => head,
        };
        let error = FramingError::Message(WireError::PayloadLen(u32::MAX));
        assert_eq!(listen(&mut listener, &bytes, || 3), Err(error));
    }
}

#[test]
fn gn_22_streams_out_of_proportion_close_the_connection() {
    // Messages of zeros: a thousand to one.
    let (mut dialer, mut listener) = connected(true);
    let zeros = Frame::Message(
        Descriptor::new(Header::new(Guid([0; 16]), Kind::Ping, 0), vec![0; PAYLOAD_MAX]).unwrap(),
    );
    let mut bytes = Vec::new();
    dialer.encode_all(&vec![zeros; 100], &mut bytes);
    assert_eq!(listen(&mut listener, &bytes, || 1_000), Err(FramingError::Ratio));
    // What is held meanwhile is never more than a message.
    let inflow = listener.inflow.as_ref().unwrap();
    assert!(inflow.plain.capacity() <= 2 * (HEADER_LEN + PAYLOAD_MAX));

    // Empty blocks without an end: nothing comes out.
    let (_, mut listener) = connected(true);
    let empty = [0x00, 0x00, 0x00, 0xff, 0xff].repeat(STALL_MAX);
    let bytes = [&[0x78, 0x9c][..], &empty].concat();
    assert_eq!(listen(&mut listener, &bytes, || 1_000), Err(FramingError::Ratio));
}

#[test]
fn gn_22_streams_that_are_none_or_have_ended_close_the_connection() {
    let (_, mut listener) = connected(true);
    assert_eq!(listen(&mut listener, &[0xff; 64], || 64), Err(FramingError::Deflate));
    let (_, mut listener) = connected(true);
    let ended = codec::zlib::deflate(&[0; HEADER_LEN]);
    let bytes = [&ended[..], b"more"].concat();
    assert_eq!(listen(&mut listener, &bytes, || 1), Err(FramingError::Deflate));
}
