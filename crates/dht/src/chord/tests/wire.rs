//! The bytes of messages.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use machine::Wire;
use machine::dht::Key;
use proptest::collection::vec as many;
use proptest::prelude::*;

use crate::chord::{
    DATAGRAM_MAX, Item, Malformed, Message, Neighbours, OFFER_MAX, Packet, Peer, SUCCESSORS_MAX,
    VALUE_MAX, Version, Wanted,
};

fn peer() -> impl Strategy<Value = Peer> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from)
    ];
    let ip = ip.prop_filter("a host's", |ip| !ip.is_unspecified() && !ip.is_multicast());
    (ip, 1u16.., any::<u8>()).prop_map(|(ip, port, vnode)| Peer::new((ip, port).into(), vnode))
}

fn list() -> impl Strategy<Value = Box<[Peer]>> {
    many(peer(), 0..=SUCCESSORS_MAX + 1).prop_map(Into::into)
}

fn neighbours() -> impl Strategy<Value = Neighbours<Peer>> {
    (prop::option::of(peer()), list())
        .prop_map(|(predecessor, successors)| Neighbours { predecessor, successors })
}

fn key() -> impl Strategy<Value = Key> {
    any::<[u8; 20]>().prop_map(Key)
}

fn version() -> impl Strategy<Value = Version> {
    any::<(u32, u32)>().prop_map(|(number, digest)| Version { number, digest })
}

fn item() -> impl Strategy<Value = Box<Item>> {
    (key(), version(), any::<u32>(), many(any::<u8>(), 0..=VALUE_MAX)).prop_map(
        |(key, version, seconds_left, value)| {
            Box::new(Item { key, version, seconds_left, value: value.into() })
        },
    )
}

fn message() -> BoxedStrategy<Message<Peer>> {
    let tag = any::<u32>();
    let wanted = any::<(u32, u32, u32)>()
        .prop_map(|(bits, token, number)| Box::new(Wanted { bits, token, number }));
    prop_oneof![
        (tag, key(), prop::option::of(peer()), any::<bool>())
            .prop_map(|(tag, key, avoid, list)| Message::Find { tag, key, avoid, list }),
        (tag, peer()).prop_map(|(tag, to)| Message::Refer { tag, to }),
        (tag, peer()).prop_map(|(tag, owner)| Message::Owner { tag, owner }),
        (tag, list()).prop_map(|(tag, owners)| Message::Owners { tag, owners }),
        (tag, peer(), key(), any::<(u16, u8, bool, bool)>()).prop_map(
            |(tag, origin, key, (hops, timeouts, last, list))| {
                Message::Route { tag, origin, key, hops, timeouts, last, list }
            }
        ),
        tag.prop_map(|tag| Message::Ack { tag }),
        (tag, any::<(u16, u8)>(), prop::option::of(list())).prop_map(
            |(tag, (hops, timeouts), successors)| {
                Message::Arrived { tag, hops, timeouts, successors }
            }
        ),
        tag.prop_map(|tag| Message::GetNeighbours { tag }),
        (tag, neighbours()).prop_map(|(tag, neighbours)| Message::Neighbours { tag, neighbours }),
        Just(Message::Notify),
        peer().prop_map(|contact| Message::Suggest { contact }),
        tag.prop_map(|tag| Message::Ping { tag }),
        tag.prop_map(|tag| Message::Pong { tag }),
        neighbours().prop_map(|neighbours| Message::Goodbye { neighbours }),
        (tag, key()).prop_map(|(tag, key)| Message::Get { tag, key }),
        (tag, item()).prop_map(|(tag, item)| Message::Value { tag, item }),
        tag.prop_map(|tag| Message::Absent { tag }),
        (tag, any::<bool>(), many((key(), version()), 0..=OFFER_MAX))
            .prop_map(|(tag, put, keys)| Message::Offer { tag, put, keys: keys.into() }),
        (tag, wanted).prop_map(|(tag, wanted)| Message::Want { tag, wanted }),
        (tag, any::<u32>(), item()).prop_map(|(tag, token, item)| Message::Give {
            tag,
            token,
            item
        }),
        tag.prop_map(|tag| Message::Kept { tag }),
    ]
    .boxed()
}

fn encode(message: &Message<Peer>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Packet { to: 1, from: 2, message: message.clone() }.encode(&mut bytes);
    bytes
}

proptest! {
    #[test]
    fn messages_survive_and_nothing_shorter_or_longer_is_read(
        message in message(),
        (to, from) in any::<(u8, u8)>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let packet = Packet { to, from, message };
        let mut bytes = vec![0xff];
        packet.encode(&mut bytes);
        prop_assert_eq!(bytes.remove(0), 0xff, "what stood before stays");
        prop_assert!(bytes.len() <= DATAGRAM_MAX);
        prop_assert_eq!(Packet::decode(&bytes), Ok(packet));
        prop_assert!(Packet::decode(&bytes[..cut.index(bytes.len())]).is_err());
        bytes.push(0);
        prop_assert!(Packet::decode(&bytes).is_err());
    }

    #[test]
    fn whatever_is_read_is_written_alike(
        kind in 0u8..24,
        body in many(any::<u8>(), 0..80),
        at in 6usize..70,
        random in any::<u8>(),
        message in message(),
    ) {
        let mut bytes = b"ch\x01".to_vec();
        bytes.push(kind);
        bytes.extend([0, 0]);
        bytes.extend(body);
        let mut bent = encode(&message);
        if let Some(byte) = bent.get_mut(at) {
            *byte = random;
        }
        for bytes in [bytes, bent] {
            if let Ok(packet) = Packet::decode(&bytes) {
                let mut again = Vec::new();
                packet.encode(&mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }
}

#[test]
fn malformed_datagrams_are_named() {
    let ping = encode(&Message::Ping { tag: 7 });
    assert_eq!(ping, b"ch\x01\x0c\x01\x02\0\0\0\x07");
    let with = |at: usize, byte: u8| {
        let mut bytes = ping.clone();
        bytes[at] = byte;
        bytes
    };
    let refer = |contact: &[u8]| [b"ch\x01\x02\x01\x02\0\0\0\x07", contact].concat();
    let range = |what, value| Malformed::Range { what, value };
    let cases = [
        (vec![], Malformed::Foreign),
        (b"d1:ad2:id20:".to_vec(), Malformed::Foreign),
        (with(2, 2), Malformed::Version(2)),
        (with(3, 22), Malformed::Kind(22)),
        (with(3, 0), Malformed::Kind(0)),
        (ping[..8].to_vec(), Malformed::Truncated("the tag")),
        (with(3, 8), Malformed::Length(0)),
        (with(3, 10), range("the tag", 7)),
        (with(3, 2), Malformed::Truncated("an address")),
        (refer(&[5, 1, 2, 3, 4, 0, 9, 0]), range("an address family", 5)),
        (refer(&[4, 1, 2, 3, 4, 0, 0, 0]), range("a port", 0)),
        (refer(&[4, 0, 0, 0, 0, 0, 9, 0]), range("an address that no node has", 0)),
        (refer(&[4, 1, 2, 3, 4, 0, 9, 0, 0]), Malformed::Length(1)),
    ];
    for (bytes, error) in cases {
        assert_eq!(Packet::decode(&bytes), Err(error), "{bytes:02x?}");
    }
}

#[test]
fn answers_are_at_most_three_times_as_long_as_their_requests() {
    let addr: SocketAddr = (IpAddr::from([0xfd; 16]), 9).into();
    let v4: SocketAddr = (Ipv4Addr::LOCALHOST, 1).into();
    let (peer, small) = (Peer::new(addr, 1), Peer::new(v4, 0));
    let list: Box<[Peer]> = vec![peer; SUCCESSORS_MAX + 1].into();
    let neighbours =
        Neighbours { predecessor: Some(peer), successors: vec![peer; SUCCESSORS_MAX].into() };
    let value = vec![1; VALUE_MAX].into();
    let (tag, key, version) = (1, Key::default(), Version::default());
    let item = Box::new(Item { key, version, seconds_left: 1, value });
    let wanted = Box::new(Wanted { bits: 1, token: 1, number: 1 });
    let find = |list| Message::Find { tag, key, avoid: None, list };
    let route =
        |list| Message::Route { tag, origin: small, key, hops: 0, timeouts: 0, last: true, list };
    let arrived = |successors| Message::Arrived { tag, hops: 1, timeouts: 0, successors };
    let offer = Message::Offer { tag, put: false, keys: vec![(key, version)].into() };
    let pairs = [
        (find(false), Message::Owner { tag, owner: peer }),
        (find(true), Message::Owners { tag, owners: list.clone() }),
        (route(false), arrived(None)),
        (route(true), arrived(Some(list))),
        (Message::GetNeighbours { tag }, Message::Neighbours { tag, neighbours }),
        (Message::Get { tag, key }, Message::Value { tag, item }),
        (Message::Ping { tag }, Message::Pong { tag }),
        (Message::Notify, Message::Ping { tag }),
        (offer, Message::Want { tag, wanted }),
    ];
    for (request, answer) in pairs {
        let (asked, said) = (encode(&request).len(), encode(&answer).len());
        assert!(said <= 3 * asked, "{request:?}: {asked} bytes are answered by {said}");
    }
    // Asked for three times before it is given up.
    let suggested = encode(&Message::Suggest { contact: small }).len();
    assert!(encode(&Message::GetNeighbours { tag }).len() <= suggested);
}
