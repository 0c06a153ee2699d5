//! Which datagrams are refused, and that those which are not are written alike. Whole networks are
//! run by the campaign in `tests`.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

use machine::Wire;
use proptest::prelude::*;

use super::*;

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn bytes(message: &Message<SocketAddr>) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out);
    out
}

fn full_mandate() -> Box<Mandate> {
    let receipt = Receipt::sign(&Nominal(2), Nominal(1).id(), FileHash::of(3), 9, 9);
    let voucher = Voucher::sign(&Nominal(3), receipt, 7);
    let testimony = Testimony { witness: Nominal(4).id(), signature: Signature([5; 64]) };
    let vouchers = vec![voucher; VOUCHERS_MAX].into();
    let testimonies = vec![testimony; TESTIMONIES_MAX].into();
    Box::new(Mandate::sign(&Nominal(3), Nominal(1).id(), vouchers, testimonies))
}

/// The longest of several kinds.
fn messages() -> Vec<Message<SocketAddr>> {
    let to = address("[2001:db8::1]:1");
    let file = Arc::new(File::new(FileHash::of(1), u64::MAX, &"x".repeat(999)));
    let hit = Hit { file: file.clone(), source: to, via: to };
    vec![
        Message::Hello,
        Message::Elsewhere { others: vec![to; OTHERS_MAX].into() },
        Message::Link {
            id: Nominal(1).id(),
            cookie: 1,
            signature: Signature([1; 64]),
            mandate: Some(full_mandate()),
        },
        Message::Publish {
            session: 1,
            round: 2,
            batch: 3,
            files: vec![file; FILES_PER_BATCH].into(),
        },
        Message::Found { session: 1, search: 2, hits: vec![hit; HITS_PER_ANSWER].into() },
        Message::Query { session: 1, guid: 2, ttl: 7, words: "größe".into() },
        Message::Beat { session: 1, leaves: 2, others: vec![(to, Nominal(1).id()); 8].into() },
        Message::Appoint { session: 1, now: true, mandate: full_mandate() },
        Message::Push { cookie: 1, leaf: to, ticket: Guid([2; 16]) },
        Message::Call { session: 1, to, ticket: Guid([2; 16]) },
        Message::Confirm { ticket: Guid([2; 16]), nonce: 3 },
        Message::Confirmed { ticket: Guid([2; 16]), nonce: 3 },
    ]
}

#[test]
fn the_longest_fit_and_come_back_and_their_fronts_do_not() {
    for message in messages() {
        let bytes = bytes(&message);
        assert!(bytes.len() <= DATAGRAM_MAX, "{} bytes: {message:?}", bytes.len());
        assert_eq!(Message::decode(&bytes).as_ref(), Ok(&message));
        for end in 0..bytes.len() {
            assert!(Message::decode(&bytes[..end]).is_err(), "{end} bytes of {message:?}");
        }
        let longer: Vec<_> = bytes.iter().copied().chain([0]).collect();
        assert!(Message::decode(&longer).is_err(), "{message:?}");
    }
}

#[test]
fn strangers_are_answered_with_at_most_three_times_what_they_send() {
    let hello = bytes(&Message::Hello).len();
    let others = vec![address("[2001:db8::1]:1"); 99].into();
    let cookie = Message::Cookie { cookie: 1, id: Nominal(1).id() };
    for answer in [Message::Elsewhere { others }, cookie.clone()] {
        assert!(bytes(&answer).len() <= 3 * hello, "{answer:?}");
    }
    let push = Message::Push { cookie: 0, leaf: address("192.0.2.1:1"), ticket: Guid([2; 16]) };
    assert!(bytes(&cookie).len() <= 3 * bytes(&push).len());
}

#[test]
fn what_no_node_writes_is_refused() {
    let redirect = |to: &str| bytes(&Message::Redirect { session: 1, to: address(to) });
    for to in ["0.0.0.0:1", "224.0.0.1:1", "127.0.0.1:0", "[::ffff:1.2.3.4]:1", "[ff02::1]:1"] {
        assert!(Message::decode(&redirect(to)).is_err(), "{to}");
    }
    assert!(Message::decode(&redirect("127.0.0.1:1")).is_ok());
    let mut kept = bytes(&Message::Kept { session: 1, round: 2, batch: 3 });
    kept[3] = 99;
    assert_eq!(Message::decode(&kept), Err(Malformed::Kind(99)));
    kept[2] = 1;
    assert_eq!(Message::decode(&kept), Err(Malformed::Version(1)));
    kept[0] = b'd';
    assert_eq!(Message::decode(&kept), Err(Malformed::Foreign));
    let mut elsewhere = bytes(&Message::Elsewhere { others: Box::default() });
    elsewhere[4] = OTHERS_MAX as u8 + 1;
    assert!(matches!(Message::decode(&elsewhere), Err(Malformed::Range { .. })));
    let mut query = bytes(&Message::Query { session: 1, guid: 2, ttl: 7, words: "ab".into() });
    *query.last_mut().expect("bytes") = 0xff;
    assert_eq!(Message::decode(&query), Err(Malformed::Text("words")));
}

#[test]
fn na_07_of_ten_thousand_supernodes_two_hundred_are_kept() {
    let me = address("192.0.2.1:1");
    let other = |n: u64| (SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 1)), Nominal(n).id());
    let mut supernode = Supernode::new();
    let all: Vec<_> = (0..10_000).map(other).collect();
    let mut rng = machine::Rng::new(7);
    // At once, and in as many messages as it takes.
    supernode.learn(me, &all, &mut rng);
    all.chunks(OTHERS_MAX).for_each(|some| supernode.learn(me, some, &mut rng));
    assert_eq!(all.iter().filter(|(_, id)| supernode.knows(id)).count(), 200);
    let mut beat = bytes(&Message::Beat { session: 1, leaves: 2, others: Box::default() });
    *beat.last_mut().expect("a count") = u8::MAX;
    assert!(Message::decode(&beat).is_err());
}

proptest! {
    #[test]
    fn anything_is_read_or_refused(kind in 0u8..33, body in prop::collection::vec(any::<u8>(), 0..300)) {
        let datagram: Vec<u8> = [b'f', b't', 2, kind].into_iter().chain(body).collect();
        if let Ok(message) = Message::decode(&datagram) {
            prop_assert_eq!(bytes(&message), datagram);
        }
    }
}
