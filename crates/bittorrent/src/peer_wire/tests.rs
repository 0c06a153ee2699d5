//! Frames to bytes and back, in any pieces; and what strangers may not send.

mod arbitrary;

use core::net::SocketAddr;
use std::string::String;
use std::vec;

use machine::{Decoded, Framing, Payload};
use proptest::collection::vec as list;
use proptest::prelude::*;

use arbitrary::{blocks, frames};

use super::*;
use crate::extension::*;
use crate::id::InfoHashes;

type PeerFrame = Frame<SocketAddr>;

const TORRENT: InfoHash = InfoHash([0x11; 20]);

fn handshake() -> Handshake {
    Handshake {
        reserved: Reserved::default().with_extensions().with_fast().with_dht(),
        info_hash: TORRENT,
        peer_id: PeerId(*b"-XX0000-abcdefghijkl"),
    }
}

fn encoded(framing: &mut PeerFraming, frame: &PeerFrame) -> Vec<u8> {
    let mut out = Vec::new();
    framing.encode(frame, &mut out);
    out
}

/// Lets `to` hear `frame` from `from`, who must be able to say it.
fn tell(from: &mut PeerFraming, to: &mut PeerFraming, frame: &PeerFrame) -> PeerFrame {
    assert!(from.can_encode(frame), "{frame:?}");
    let bytes = encoded(from, frame);
    match to.decode(&bytes) {
        Ok(Decoded::Frame { frame, used }) if used == bytes.len() => frame,
        other => panic!("{frame:?} was decoded as {other:?}"),
    }
}

/// Two ends after their handshakes, each offering all extensions if `extended`.
fn connected(extended: bool) -> (PeerFraming, PeerFraming) {
    let (mut a, mut b) = (PeerFraming::new(), PeerFraming::new());
    tell(&mut a, &mut b, &Frame::Handshake(handshake()));
    tell(&mut b, &mut a, &Frame::Handshake(handshake()));
    if extended {
        let hello =
            ExtensionHandshake { extensions: Extensions::ALL, ..ExtensionHandshake::default() };
        let hello = Frame::Extended(Extended::Handshake(hello));
        tell(&mut a, &mut b, &hello);
        tell(&mut b, &mut a, &hello);
    }
    (a, b)
}

/// What a connected end makes of raw bytes.
fn heard(bytes: &[u8]) -> Result<Decoded<PeerFrame>, WireError> {
    connected(true).1.decode(bytes)
}

/// A message with this number and body.
fn message(id: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32 + 1).to_be_bytes().to_vec();
    bytes.push(id);
    bytes.extend_from_slice(body);
    bytes
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

proptest! {
    #[test]
    fn every_frame_round_trips(frame in frames()) {
        let (mut a, mut b) = connected(true);
        prop_assert_eq!(tell(&mut a, &mut b, &frame), frame);
    }

    /// A reader that keeps to what `Incomplete` asks for reads every frame, never asks for more
    /// than there is, and never needs fewer bytes than it asks for.
    #[test]
    fn needs_are_exact(frame in frames()) {
        let (mut a, mut b) = connected(true);
        let bytes = encoded(&mut a, &frame);
        let mut have = 0;
        loop {
            let before = b;
            match b.decode(&bytes[..have]) {
                Ok(Decoded::Incomplete(need)) => {
                    prop_assert!(have < need && need <= bytes.len(), "{have} {need}");
                    prop_assert_eq!(b, before, "nothing is learned from half a frame");
                    let same = Ok(Decoded::Incomplete(need));
                    prop_assert_eq!(b.decode(&bytes[..need - 1]), same);
                    have = need;
                }
                Ok(Decoded::Frame { frame: heard, used }) => {
                    prop_assert_eq!((used, have), (bytes.len(), bytes.len()));
                    prop_assert_eq!(heard, frame);
                    break;
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    #[test]
    fn blocks_round_trip_as_payload(block in blocks()) {
        let (mut a, mut b) = connected(false);
        let payload = Payload::from(block);
        let mut bytes = Vec::new();
        a.encode_payload_head(payload, &mut bytes);
        prop_assert_eq!(bytes.len(), 13);
        prop_assert_eq!(b.decode(&bytes[..4]), Ok(Decoded::Incomplete(5)));
        prop_assert_eq!(b.decode(&bytes[..12]), Ok(Decoded::Incomplete(13)));
        prop_assert_eq!(b.decode(&bytes), Ok(Decoded::Payload { payload, used: 13 }));
    }

    #[test]
    fn strangers_bytes_never_panic(bytes in list(any::<u8>(), 0..400)) {
        let mut framing = connected(true).1;
        let mut rest = &bytes[..];
        while let Ok(Decoded::Frame { used, .. } | Decoded::Payload { used, .. }) =
            framing.decode(rest)
        {
            rest = &rest[used..];
        }
    }
}

#[test]
fn handshakes_round_trip_and_come_first() {
    let mut framing = PeerFraming::new();
    let bytes = encoded(&mut framing, &Frame::Handshake(handshake()));
    assert_eq!(bytes.len(), HANDSHAKE_LEN);
    assert_eq!(bytes[..20], PROTOCOL);
    let mut framing = PeerFraming::new();
    for len in 0..HANDSHAKE_LEN {
        assert_eq!(framing.decode(&bytes[..len]), Ok(Decoded::Incomplete(HANDSHAKE_LEN)));
    }
    let frame = Frame::Handshake(handshake());
    assert_eq!(framing.decode(&bytes), Ok(Decoded::Frame { frame, used: HANDSHAKE_LEN }));
}

#[test]
fn what_the_peer_does_not_speak_is_not_written() {
    let fast = [Frame::HaveAll, Frame::HaveNone, Frame::Suggest(PieceIndex(1))];
    let (mut a, mut b) = (PeerFraming::new(), PeerFraming::new());
    let plain = Handshake { reserved: Reserved::default(), ..handshake() };
    tell(&mut b, &mut a, &Frame::Handshake(plain));
    for frame in fast {
        assert!(!a.can_encode(&frame));
        assert_eq!(encoded(&mut a, &frame), []);
    }
    let hello = Frame::Extended(Extended::Handshake(ExtensionHandshake::default()));
    assert_eq!(encoded(&mut a, &hello), []);
    let (mut a, _) = connected(false);
    assert_eq!(encoded(&mut a, &Frame::Extended(Extended::UploadOnly(true))), []);
    assert!(a.can_encode(&Frame::HaveAll));
}

#[test]
fn fast_messages_need_the_fast_extension_on_both_sides() {
    let plain = Handshake { reserved: Reserved::default(), ..handshake() };
    let have_all = message(14, &[]);
    let error = Err(WireError::NotFast(MessageId::HAVE_ALL));
    let (mut a, mut b) = (PeerFraming::new(), PeerFraming::new());
    tell(&mut a, &mut b, &Frame::Handshake(plain));
    assert_eq!(b.decode(&have_all), error, "the sender does not claim to speak it");
    let (mut a, mut b) = (PeerFraming::new(), PeerFraming::new());
    tell(&mut a, &mut b, &Frame::Handshake(handshake()));
    let used = have_all.len();
    let early = b.clone().decode(&have_all);
    assert_eq!(early, Ok(Decoded::Frame { frame: Frame::HaveAll, used }), "we are yet to answer");
    encoded(&mut b, &Frame::Handshake(plain));
    assert_eq!(b.decode(&have_all), error, "we do not claim to speak it");
    let extended = message(20, b"\0de");
    let (mut a, mut b) = (PeerFraming::new(), PeerFraming::new());
    tell(&mut a, &mut b, &Frame::Handshake(plain));
    assert_eq!(b.decode(&extended), Err(WireError::NotExtended));
}

#[test]
fn pw_03_handshakes_of_strangers_and_of_ourselves_are_refused() {
    let good = encoded(&mut PeerFraming::new(), &Frame::Handshake(handshake()));
    for at in 0..20 {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let error = Err(WireError::NotBitTorrent);
        assert_eq!(PeerFraming::new().decode(&bad), error);
        assert_eq!(PeerFraming::new().decode(&bad[..=at]), error, "at once");
    }
    let torrent = |hash| InfoHashes { v1: Some(hash), v2: None };
    let me = PeerId([7; 20]);
    assert_eq!(handshake().check(&torrent(TORRENT), me), Ok(()));
    let other = torrent(InfoHash([0x22; 20]));
    assert_eq!(handshake().check(&other, me), Err(WireError::WrongTorrent(TORRENT)));
    let own = handshake().peer_id;
    assert_eq!(handshake().check(&torrent(TORRENT), own), Err(WireError::SelfConnect));
    let v2 = crate::id::InfoHashV2([0x11; 32]);
    let hybrid = InfoHashes { v1: Some(InfoHash([0x33; 20])), v2: Some(v2) };
    assert_eq!(handshake().check(&hybrid, me), Ok(()), "a hybrid's second name");
}

#[test]
fn pw_05_bitfields_that_do_not_fit_are_refused() {
    let cases: [(&[u8], u32, bool); 10] = [
        (&[0xff], 8, true),
        (&[0xff, 0x80], 9, true),
        (&[0xff, 0xc0], 9, false),
        (&[0xff, 0x01], 9, false),
        (&[0xff], 9, false),
        (&[0xff, 0, 0], 9, false),
        (&[0xff, 0], 8, false),
        (&[], 0, true),
        (&[0], 0, false),
        (&[], 1, false),
    ];
    for (bits, pieces, fits) in cases {
        assert_eq!(check_bitfield(bits, pieces).is_ok(), fits, "{bits:?} for {pieces}");
    }
    let empty = WireError::Length { id: MessageId::BITFIELD, len: 1 };
    assert_eq!(heard(&message(5, &[])), Err(empty));
    // Longer than that of any torrent: refused by the first five bytes.
    let len = MAX_PIECES / 8 + 2;
    let head = [&len.to_be_bytes()[..], &[5]].concat();
    assert_eq!(heard(&head), Err(WireError::Length { id: MessageId::BITFIELD, len }));
}

#[test]
fn pw_05_all_or_none_is_said_once_and_in_time() {
    let first = [message(5, &[0x80]), message(14, &[]), message(15, &[])];
    let later = [message(4, &words(&[1])), message(6, &words(&[0, 0, 0x4000]))];
    let piece_head = message(7, &[0; 9]);
    for (i, before) in first.iter().chain(&later).chain([&piece_head]).enumerate() {
        for (after, id) in first.iter().zip([5, 14, 15]) {
            let mut framing = connected(true).1;
            framing.decode(before).unwrap();
            let late = i != first.len() + later.len();
            let late = (late || matches!(before[4], 7)) && id != 5;
            let expected = late.then_some(WireError::NotFirst(MessageId(id)));
            assert_eq!(framing.decode(after).err(), expected);
        }
    }
    // Extension messages and interest may come first: magnet links make it so.
    let mut framing = connected(true).1;
    for early in [message(20, b"\0de"), message(2, &[]), message(9, &[1, 2]), vec![0; 4]] {
        framing.decode(&early).unwrap();
    }
    assert!(framing.decode(&first[0]).is_ok());
}

#[test]
fn pw_06_blocks_that_cannot_be_are_refused() {
    let cases = [
        (0, 0),
        (0, MAX_BLOCK_LEN + 1),
        (0, u32::MAX),
        (u32::MAX, 1),
        (u32::MAX - 0x4000 + 1, 0x4000),
    ];
    for (begin, len) in cases {
        let block = Block { piece: PieceIndex(3), begin, len };
        for id in [6, 8, 16] {
            let error = WireError::Block { id: MessageId(id), block };
            assert_eq!(heard(&message(id, &words(&[3, begin, len]))), Err(error));
        }
    }
    let most = words(&[3, u32::MAX - MAX_BLOCK_LEN, MAX_BLOCK_LEN]);
    assert!(heard(&message(6, &most)).is_ok());
    // The same of blocks that arrive: their length is known from the head.
    let head =
        |len: u32, begin: u32| [&(9 + len).to_be_bytes()[..], &[7], &words(&[3, begin])].concat();
    let used = 13;
    let payload = Payload { object: 3, offset: 0, len: MAX_BLOCK_LEN };
    assert_eq!(heard(&head(MAX_BLOCK_LEN, 0)), Ok(Decoded::Payload { payload, used }));
    let id = MessageId::PIECE;
    let too_long = WireError::Length { id, len: 9 + MAX_BLOCK_LEN + 1 };
    assert_eq!(heard(&head(MAX_BLOCK_LEN + 1, 0)[..5]), Err(too_long), "by five bytes");
    let block = Block { piece: PieceIndex(3), begin: 0, len: 0 };
    assert_eq!(heard(&head(0, 0)), Err(WireError::Block { id, block }));
    let block = Block { piece: PieceIndex(3), begin: u32::MAX, len: 1 };
    assert_eq!(heard(&head(1, u32::MAX)), Err(WireError::Block { id, block }));
}

#[test]
fn lengths_are_checked_before_bodies_arrive() {
    // Number, and the lengths of body allowed.
    let cases: [(u8, u32, u32); 22] = [
        (0, 0, 0),
        (1, 0, 0),
        (2, 0, 0),
        (3, 0, 0),
        (4, 4, 4),
        (5, 1, 262_144),
        (6, 12, 12),
        (7, 8, 8 + 131_072),
        (8, 12, 12),
        (9, 2, 2),
        (10, 0, 131_072),
        (13, 4, 4),
        (14, 0, 0),
        (15, 0, 0),
        (16, 12, 12),
        (17, 4, 4),
        (20, 1, 1 + 131_072),
        (21, 48, 48),
        (22, 80, 48 + 32 * (8192 + 48)),
        (23, 48, 48),
        (24, 0, 131_072),
        (255, 0, 131_072),
    ];
    for (id, min, max) in cases {
        let head = |body_len: u32| [&(body_len + 1).to_be_bytes()[..], &[id]].concat();
        let error = |len| Err(WireError::Length { id: MessageId(id), len });
        if let Some(less) = min.checked_sub(1) {
            assert_eq!(heard(&head(less)), error(less + 1), "{id}");
        }
        assert_eq!(heard(&head(max + 1)), error(max + 2), "{id}");
        assert_eq!(heard(&head(u32::MAX - 1)), error(u32::MAX), "{id}");
        assert!(heard(&head(min)).is_ok() && heard(&head(max)).is_ok(), "{id}");
    }
}

#[test]
fn pw_11_unknown_messages_are_ignored() {
    for id in [10, 11, 12, 18, 19, 24, 200, 255] {
        let bytes = message(id, b"whatever");
        let used = bytes.len();
        assert_eq!(heard(&bytes), Ok(Decoded::Frame { frame: Frame::Unknown(id), used }));
    }
    for number in [6, 99, 255] {
        let bytes = message(20, &[number, 1, 2, 3]);
        let frame = Frame::Extended(Extended::Unknown(number));
        assert_eq!(heard(&bytes), Ok(Decoded::Frame { frame, used: bytes.len() }));
    }
    // Numbers that we have not offered on this connection are as unknown as any.
    let bytes = message(20, &[2, b'd', b'e']);
    let frame = Frame::Extended(Extended::Unknown(2));
    let used = bytes.len();
    assert_eq!(connected(false).1.decode(&bytes), Ok(Decoded::Frame { frame, used }));
}

#[test]
fn pw_15_floods_of_advice_leave_no_trace() {
    let mut framing = connected(true).1;
    framing.decode(&message(4, &words(&[0]))).unwrap();
    let before = framing;
    for i in 0..100_000u32 {
        for id in [13, 17] {
            framing.decode(&message(id, &words(&[i]))).unwrap();
        }
    }
    assert_eq!(framing, before, "a framing is Copy: what it holds it holds here");
}

#[test]
fn pw_20_hash_messages_that_cannot_be_are_refused() {
    let range = |base_layer, index, length, proof_layers| HashRange {
        pieces_root: [9; 32],
        base_layer,
        index,
        length,
        proof_layers,
    };
    let cases = [
        (range(0, 0, 512, 10), true),
        (range(4, 1024, 512, 10), true),
        (range(0, 8192, 8192, 0), true),
        (range(0, 0, 0, 0), false),
        (range(0, 0, 3, 0), false),
        (range(0, 256, 512, 0), false),
        (range(0, 0, 16_384, 0), false),
        (range(49, 0, 2, 0), false),
        (range(u32::MAX, 0, 2, u32::MAX), false),
        (range(40, 0, 2, 9), false),
        (range(0, u32::MAX - 1, 2, 0), false),
    ];
    for (range, sound) in cases {
        assert_eq!(range.is_well_formed(), sound, "{range:?}");
        // Requests pass, to be answered by a hash reject.
        let (mut a, mut b) = connected(false);
        assert_eq!(tell(&mut a, &mut b, &Frame::HashRequest(range)), Frame::HashRequest(range));
        // Hashes do not pass.
        if !sound {
            let bytes = encoded(&mut a, &Frame::Hashes(range, vec![[0; 32]; 2]));
            assert_eq!(b.decode(&bytes), Err(WireError::Hashes(2)));
        }
    }
    // Of 8 hashes, 2 of 4 proof layers are inside the range.
    let eight = range(0, 8, 8, 4);
    assert_eq!(eight.proof_len(), 2);
    let (mut a, mut b) = connected(false);
    for count in 0..12 {
        let bytes = encoded(&mut a, &Frame::Hashes(eight, vec![[0; 32]; count]));
        let expected = match count {
            0 => Some(WireError::Length { id: MessageId::HASHES, len: 49 }),
            8..=10 => None,
            _ => Some(WireError::Hashes(count as u32)),
        };
        assert_eq!(b.decode(&bytes).err(), expected, "{count} hashes");
    }
    let ragged = message(22, &[0; 48 + 33]);
    let error = WireError::Length { id: MessageId::HASHES, len: 82 };
    assert_eq!(heard(&ragged), Err(error));
}

#[test]
fn extension_numbers_follow_later_handshakes() {
    let (mut a, mut b) = connected(true);
    let upload_only = Frame::Extended(Extended::UploadOnly(true));
    // The peer's own numbers are used.
    a.decode(&message(20, b"\0d1:md11:upload_onlyi77eee")).unwrap();
    assert_eq!(encoded(&mut a, &upload_only), message(20, &[77, 1]));
    // Number 0 turns an extension off, and only that one.
    a.decode(&message(20, b"\0d1:md11:upload_onlyi0eee")).unwrap();
    assert!(!a.can_encode(&upload_only) && a.peer_extensions().pex);
    // Withdrawn offers are said to be so, and not listened to any more.
    let less = Extensions { upload_only: false, ..Extensions::ALL };
    let less = ExtensionHandshake { extensions: less, ..ExtensionHandshake::default() };
    let frame = Frame::Extended(Extended::Handshake(less));
    assert_eq!(tell(&mut b, &mut a, &frame), frame);
    assert!(!a.can_encode(&upload_only));
    let bytes = message(20, &[5, 1]);
    let ignored = Frame::Extended(Extended::Unknown(5));
    assert_eq!(b.decode(&bytes), Ok(Decoded::Frame { frame: ignored, used: bytes.len() }));
}

#[test]
fn errors_say_what_and_where() {
    let block = Block { piece: PieceIndex(3), begin: 5, len: 0 };
    let shown: [(WireError, &str); 3] = [
        (
            WireError::Block { id: MessageId::REQUEST, block },
            "request message with 0 bytes at 5 of piece 3",
        ),
        (WireError::Length { id: MessageId(99), len: 5 }, "unknown (99) message of 5 bytes"),
        (
            WireError::ExtensionLength { extension: Some(Extension::Metadata), len: 20_000 },
            "ut_metadata message of 20000 bytes",
        ),
    ];
    for (error, expected) in shown {
        let text: String = std::format!("{error}");
        assert_eq!(text, expected);
    }
}
