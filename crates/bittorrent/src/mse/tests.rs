//! Initiator against responder, whole and in pieces; strangers against both.

use proptest::prelude::*;
use std::vec;

use super::*;

const TORRENT: InfoHash = InfoHash([0x11; 20]);
const OTHER: InfoHash = InfoHash([0x22; 20]);

fn entropy(seed: u64) -> [u8; ENTROPY_LEN] {
    let mut bytes = [0; ENTROPY_LEN];
    machine::Rng::new(seed).fill(&mut bytes);
    bytes
}

/// Entropy whose pads have these lengths.
fn padded(seed: u64, first: u16, second: u16) -> [u8; ENTROPY_LEN] {
    let mut bytes = entropy(seed);
    bytes[20..22].copy_from_slice(&first.to_be_bytes());
    bytes[22..24].copy_from_slice(&second.to_be_bytes());
    bytes
}

/// Runs a handshake in which each side hears at most `chunk(n)` bytes at a time.
fn shake(
    mut a: Initiator,
    mut to_b: Vec<u8>,
    mut b: Responder,
    known: &[InfoHash],
    mut chunk: impl FnMut() -> usize,
) -> Result<(Established, Established), MseError> {
    let (mut to_a, mut done_a, mut done_b) = (Vec::new(), None, None);
    while done_a.is_none() || done_b.is_none() {
        let b_can_go_on = done_b.is_none() && !to_b.is_empty();
        let a_can_go_on = done_a.is_none() && !to_a.is_empty();
        assert!(a_can_go_on || b_can_go_on, "both sides wait for the other");
        if done_b.is_none() {
            let n = chunk().min(to_b.len());
            let heard: Vec<u8> = to_b.drain(..n).collect();
            let mut progress = b.feed(&heard, &mut to_a)?;
            if let Progress::NeedTorrent(wanted) = progress {
                let found = known.iter().find(|t| SkeyHash::of(**t) == wanted);
                progress = b.resolve(*found.ok_or(MseError::UnknownTorrent)?, &mut to_a)?;
            }
            if let Progress::Done(established) = progress {
                done_b = Some(established);
            }
        }
        if done_a.is_none() {
            let n = chunk().min(to_a.len());
            let heard: Vec<u8> = to_a.drain(..n).collect();
            done_a = a.feed(&heard, &mut to_b)?;
        }
    }
    assert!(to_a.is_empty(), "the initiator took all that was sent to it");
    Ok((done_a.unwrap(), done_b.unwrap()))
}

fn check_streams_match(a: Established, b: Established, initial: &[u8]) {
    assert_eq!(b.received, initial);
    assert!(a.received.is_empty());
    assert_eq!((a.torrent, b.torrent), (TORRENT, TORRENT));
    match (a.ciphers, b.ciphers) {
        (None, None) => {}
        (Some(mut a), Some(mut b)) => {
            let mut bytes = *b"there and back again";
            a.encrypt.apply(&mut bytes);
            assert_ne!(&bytes, b"there and back again");
            b.decrypt.apply(&mut bytes);
            assert_eq!(&bytes, b"there and back again");
            b.encrypt.apply(&mut bytes);
            a.decrypt.apply(&mut bytes);
            assert_eq!(&bytes, b"there and back again");
        }
        _ => panic!("the sides disagree about the method"),
    }
}

#[test]
fn methods_are_agreed_on_or_the_handshake_fails() {
    let cases = [
        (Methods::RC4, Methods::RC4, Some(Method::Rc4)),
        (Methods::RC4, Methods::ANY, Some(Method::Rc4)),
        (Methods::RC4, Methods::PLAIN, None),
        (Methods::PLAIN, Methods::RC4, None),
        (Methods::PLAIN, Methods::ANY, Some(Method::Plain)),
        (Methods::PLAIN, Methods::PLAIN, Some(Method::Plain)),
        (Methods::ANY, Methods::RC4, Some(Method::Rc4)),
        (Methods::ANY, Methods::ANY, Some(Method::Rc4)),
        (Methods::ANY, Methods::PLAIN, Some(Method::Plain)),
    ];
    for (provide, accept, expected) in cases {
        let mut to_b = Vec::new();
        let a = Initiator::new(TORRENT, provide, &entropy(1), b"hello", &mut to_b);
        let b = Responder::new(accept, &entropy(2));
        let result = shake(a, to_b, b, &[OTHER, TORRENT], || usize::MAX);
        match expected {
            None => assert_eq!(result.unwrap_err(), MseError::NoCommonMethod(provide.0)),
            Some(method) => {
                let (a, b) = result.unwrap();
                assert_eq!((a.method(), b.method()), (method, method));
                check_streams_match(a, b, b"hello");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_chunking_gives_the_same_streams(
        seed in any::<u64>(),
        max_chunk in prop_oneof![Just(1usize), 1usize..64, 1usize..2000],
        pads in [0u16..=512, 0u16..=512, 0u16..=512, 0u16..=512],
        initial in proptest::collection::vec(any::<u8>(), 0..300),
        plain in any::<bool>(),
    ) {
        let provide = if plain { Methods::PLAIN } else { Methods::RC4 };
        let mut to_b = Vec::new();
        let e = padded(seed, pads[0], pads[1]);
        let a = Initiator::new(TORRENT, provide, &e, &initial, &mut to_b);
        prop_assert_eq!(to_b.len(), dh::KEY_LEN + usize::from(pads[0]));
        let b = Responder::new(Methods::ANY, &padded(!seed, pads[2], pads[3]));
        let mut rng = machine::Rng::new(seed);
        let (a, b) = shake(a, to_b, b, &[TORRENT], || 1 + rng.below(max_chunk as u64) as usize)
            .unwrap();
        check_streams_match(a, b, &initial);
    }

    #[test]
    fn garbage_never_completes_nor_panics(
        seed in any::<u64>(),
        garbage in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let mut out = Vec::new();
        let mut a = Initiator::new(TORRENT, Methods::ANY, &entropy(seed), &[], &mut out);
        let mut b = Responder::new(Methods::ANY, &entropy(!seed));
        let expect_end = garbage.len() >= dh::KEY_LEN + MAX_PAD_LEN + 20;
        match a.feed(&garbage, &mut out) {
            Ok(established) => prop_assert!(established.is_none() && !expect_end),
            Err(error) => prop_assert!(matches!(error, MseError::NoSync | MseError::PublicKey)),
        }
        match b.feed(&garbage, &mut out) {
            Ok(progress) => {
                prop_assert!(matches!(progress, Progress::NeedMore) && !expect_end);
            }
            Err(error) => prop_assert!(matches!(error, MseError::NoSync | MseError::PublicKey)),
        }
    }
}

#[test]
fn bytes_behind_the_handshake_are_deciphered() {
    // An initiator that offers RC4 alone knows the outcome and need not wait for it.
    let (mut to_b, mut to_a) = (Vec::new(), Vec::new());
    let mut a = Initiator::new(TORRENT, Methods::RC4, &entropy(3), b"IA", &mut to_b);
    let mut b = Responder::new(Methods::ANY, &entropy(4));
    assert!(matches!(b.feed(&to_b, &mut to_a), Ok(Progress::NeedMore)));
    to_b.clear();
    assert!(a.feed(&to_a, &mut to_b).unwrap().is_none());
    let key = dh::PrivateKey::new(entropy(3).first_chunk().unwrap());
    let secret = key.shared(to_a.first_chunk().unwrap()).unwrap();
    to_a.clear();
    let mut encrypt = cipher(b"keyA", &secret, TORRENT);
    let enciphered = to_b.len() - 40;
    encrypt.apply(&mut vec![0; enciphered]);
    let mut early = b" and more".to_vec();
    encrypt.apply(&mut early);
    to_b.extend_from_slice(&early);
    assert!(matches!(b.feed(&to_b, &mut to_a), Ok(Progress::NeedTorrent(_))));
    let Ok(Progress::Done(established)) = b.resolve(TORRENT, &mut to_a) else {
        panic!("handshake is complete")
    };
    assert_eq!(established.received, b"IA and more");
    // And the same towards the initiator.
    let mut first = b"welcome".to_vec();
    established.ciphers.unwrap().encrypt.apply(&mut first);
    to_a.extend_from_slice(&first);
    assert_eq!(a.feed(&to_a, &mut to_b).unwrap().unwrap().received, b"welcome");
}

#[test]
fn a_torrent_that_is_not_here_is_refused() {
    let mut to_b = Vec::new();
    let a = Initiator::new(OTHER, Methods::ANY, &entropy(5), &[], &mut to_b);
    let b = Responder::new(Methods::ANY, &entropy(6));
    let error = shake(a, to_b, b, &[TORRENT], || 100).unwrap_err();
    assert_eq!(error, MseError::UnknownTorrent);
}

#[test]
fn resolving_the_wrong_torrent_is_refused() {
    let (mut to_b, mut to_a) = (Vec::new(), Vec::new());
    let mut a = Initiator::new(OTHER, Methods::ANY, &entropy(5), &[], &mut to_b);
    let mut b = Responder::new(Methods::ANY, &entropy(6));
    assert!(matches!(b.resolve(OTHER, &mut to_a), Err(MseError::NotExpected)), "too early");
    let mut b = {
        b = Responder::new(Methods::ANY, &entropy(6));
        b
    };
    b.feed(&to_b, &mut to_a).unwrap();
    to_b.clear();
    a.feed(&to_a, &mut to_b).unwrap();
    assert!(matches!(b.feed(&to_b, &mut to_a), Ok(Progress::NeedTorrent(_))));
    assert!(matches!(b.resolve(TORRENT, &mut to_a), Err(MseError::UnknownTorrent)));
}

#[test]
fn scanning_for_the_synchronisation_point_is_bounded() {
    let mut out = Vec::new();
    let mut a = Initiator::new(TORRENT, Methods::ANY, &entropy(7), &[], &mut out);
    let mut b = Responder::new(Methods::ANY, &entropy(8));
    let mut key = vec![0; dh::KEY_LEN];
    key[40] = 1;
    assert!(a.feed(&key, &mut out).unwrap().is_none());
    assert!(matches!(b.feed(&key, &mut out), Ok(Progress::NeedMore)));
    for _ in 0..MAX_PAD_LEN + VC.len() - 1 {
        assert!(a.feed(&[0], &mut out).unwrap().is_none());
    }
    assert_eq!(a.feed(&[0], &mut out).unwrap_err(), MseError::NoSync);
    for _ in 0..MAX_PAD_LEN + 20 - 1 {
        assert!(matches!(b.feed(&[0], &mut out), Ok(Progress::NeedMore)));
    }
    assert_eq!(b.feed(&[0], &mut out).unwrap_err(), MseError::NoSync);
    assert_eq!(b.feed(&[0], &mut out).unwrap_err(), MseError::NotExpected, "it stays ended");
}

/// What a responder says to an initiator's second message forged with these fields.
fn forged(vc: u64, provide: u32, pad_len: u16, ia_len: u16) -> Result<Progress, MseError> {
    let mut b = Responder::new(Methods::ANY, &entropy(9));
    let key = dh::PrivateKey::new(&[9; dh::PRIVATE_LEN]);
    let mut to_a = Vec::new();
    b.feed(&key.public(), &mut to_a)?;
    let secret = key.shared(to_a.first_chunk().unwrap()).unwrap();
    let mut message = hash(&[b"req1", &secret]).to_vec();
    message.extend_from_slice(&xor(SkeyHash::of(TORRENT).0, hash(&[b"req3", &secret])));
    b.feed(&message, &mut to_a)?;
    b.resolve(TORRENT, &mut to_a)?;
    let mut message = vc.to_be_bytes().to_vec();
    message.extend_from_slice(&provide.to_be_bytes());
    message.extend_from_slice(&pad_len.to_be_bytes());
    message.resize(message.len() + usize::from(pad_len), 0);
    message.extend_from_slice(&ia_len.to_be_bytes());
    message.resize(message.len() + usize::from(ia_len), 0);
    cipher(b"keyA", &secret, TORRENT).apply(&mut message);
    b.feed(&message, &mut to_a)
}

#[test]
fn forged_lengths_and_methods_are_refused() {
    assert!(matches!(forged(0, 3, 512, 16 * 1024), Ok(Progress::Done(_))), "the limits themselves");
    assert!(matches!(forged(0, u32::MAX, 0, 0), Ok(Progress::Done(_))), "unknown methods beside");
    assert_eq!(forged(1, 3, 0, 0).unwrap_err(), MseError::VerificationConstant);
    assert_eq!(forged(0, 3, 513, 0).unwrap_err(), MseError::PadTooLong(513));
    assert_eq!(
        forged(0, 3, 0, 16 * 1024 + 1).unwrap_err(),
        MseError::InitialPayloadTooLong(16 * 1024 + 1)
    );
    assert_eq!(forged(0, 0, 0, 0).unwrap_err(), MseError::NoCommonMethod(0));
    assert_eq!(forged(0, 4, 0, 0).unwrap_err(), MseError::NoCommonMethod(4));
}

/// What an initiator that offers `provide` says to a selection forged with these fields.
fn forged_selection(
    provide: Methods,
    select: u32,
    pad_len: u16,
) -> Result<Option<Established>, MseError> {
    let mut to_b = Vec::new();
    let mut a = Initiator::new(TORRENT, provide, &entropy(10), &[], &mut to_b);
    let key = dh::PrivateKey::new(&[9; dh::PRIVATE_LEN]);
    let secret = key.shared(to_b.first_chunk().unwrap()).unwrap();
    a.feed(&key.public(), &mut to_b)?;
    let mut message = VC.to_vec();
    message.extend_from_slice(&select.to_be_bytes());
    message.extend_from_slice(&pad_len.to_be_bytes());
    message.resize(message.len() + usize::from(pad_len), 0);
    cipher(b"keyB", &secret, TORRENT).apply(&mut message);
    a.feed(&message, &mut to_b)
}

#[test]
fn forged_selections_are_refused() {
    assert!(forged_selection(Methods::RC4, 2, 512).unwrap().is_some(), "the limit itself");
    assert_eq!(forged_selection(Methods::RC4, 2, 513).unwrap_err(), MseError::PadTooLong(513));
    for (provide, select) in
        [(Methods::RC4, 1), (Methods::PLAIN, 2), (Methods::ANY, 3), (Methods::ANY, 0)]
    {
        let error = forged_selection(provide, select, 0).unwrap_err();
        assert_eq!(error, MseError::NoCommonMethod(select));
    }
}

#[test]
fn plain_connections_are_told_from_obfuscated_ones() {
    assert_eq!(looks_like_plain(b""), None);
    assert_eq!(looks_like_plain(b"\x13BitTorrent protoco"), None);
    assert_eq!(looks_like_plain(b"\x13BitTorrent protocol\0\0"), Some(true));
    assert_eq!(looks_like_plain(b"\x14"), Some(false));
    assert_eq!(looks_like_plain(b"\x13BitTorrent protocoL"), Some(false));
}
